"""An app for gunicorn: its gate knows an organisation before gunicorn forks."""

from __future__ import annotations

import os

from flask import Flask, request

from chatarmin_os.flask import Chatarmin

app = Flask("worker")
app.config["CHATARMIN_OS"] = {"TIMEOUT": 0.5, "FEATURES": {"seats": {"max_age": 0.2}}, "DEFAULT": {"max_age": 0.2}}
chatarmin = Chatarmin(app)


@chatarmin.organisation_loader
def organisation() -> str | None:
    """Return the organisation that the request names."""
    return request.args.get("org")


@app.get("/seats")
@chatarmin.requires_feature("seats")
def seats() -> str:
    """Return the process, for those who may."""
    return str(os.getpid())


@app.get("/async-seats")
@chatarmin.requires_feature("seats")
async def async_seats() -> str:
    """Return the process, for those who may."""
    return str(os.getpid())


@app.get("/work")
def work() -> str:
    """Count usage after the response."""
    chatarmin.track_usage("ai_credit")
    return str(os.getpid())


with app.app_context():
    chatarmin.gate.warm(["org_0"])
