"""An app that exports orders: sign-up, pages that need a feature, a metered endpoint, Stripe, and an admin page."""

from __future__ import annotations

import csv
import io
import os
import secrets
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Flask, Response, abort, current_app, flash, redirect, render_template, request, session

from chatarmin_os import InvalidInput, RateLimitError, ServerError, TransportError
from chatarmin_os.flask import Chatarmin

if TYPE_CHECKING:
    from collections.abc import Mapping

ORDERS = [("A-1", "Ann", 1900), ("A-2", "Bob", 4900), ("A-3", "Eve", 900)]

pages = Blueprint("pages", __name__)
chatarmin = Chatarmin()


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Create the app; *config* has precedence over the environment."""
    app = Flask(__name__)
    app.config.from_mapping(
        SECRET_KEY=os.environ.get("SECRET_KEY", "only for development"),
        ADMIN_PASSWORD=os.environ.get("ADMIN_PASSWORD", "admin"),
        COMPANIES={},  # your database: the id of the company of each organisation
        CHATARMIN_OS={
            "TRANSPORT": os.environ.get("EXPORTER_TRANSPORT"),  # "fake": in memory, without an account
            "FEATURES": {"api_access": {"on_outage": "allow"}},  # exports go on if the service does not answer
        },
    )
    app.config.from_mapping(config)
    chatarmin.init_app(app)
    app.register_blueprint(pages)
    return app


@chatarmin.organisation_loader
def signed_in() -> str | None:
    """Return the organisation that is signed in."""
    return session.get("organisation")


@pages.get("/")
def index() -> str:
    """Show the sign-up form, or the features of the organisation."""
    return render_template("index.html", organisation=signed_in())


@pages.post("/sign-up")
def sign_up() -> Any:
    """Create an organisation, and its company with the free tier."""
    organisation = session.setdefault(
        "new_organisation", f"org_{secrets.token_hex(8)}"
    )  # a second attempt has the same
    form = {"name": request.form.get("name", ""), "contact_email": request.form.get("email", "")}
    try:
        company = chatarmin.client.sign_up(external_org_id=organisation, starting_tier="free", **form)
    except InvalidInput as error:
        flash(f"{error.field}: {error.problem}")
        return index(), 400
    except (RateLimitError, ServerError, TransportError):
        flash("Please sign up again in a moment.")
        return index(), 503
    current_app.config["COMPANIES"][organisation] = company.company_id
    session["organisation"] = session.pop("new_organisation")
    return redirect("/")


@pages.get("/orders.csv")
@chatarmin.requires_feature("api_access")
def export() -> Response:
    """Export the orders, if the organisation's tier has the feature."""
    text = io.StringIO()
    csv.writer(text).writerows([("order", "customer", "cents"), *ORDERS])
    return Response(text.getvalue(), mimetype="text/csv")


@pages.post("/summaries")
def summarise() -> dict[str, str]:
    """Summarise a text for one credit, which is counted only if the work succeeds."""
    with chatarmin.metered("ai_credit"):
        words = request.get_data(as_text=True).split()
        if not words:
            abort(400, "there is no text")
        return {"summary": " ".join(words[:5])}


@pages.get("/billing/success")
def checkout_succeeded() -> Any:
    """Claim the checkout with which the customer comes back from Stripe: the `success_url` of its session."""
    company_id = current_app.config["COMPANIES"].get(signed_in()) or abort(403)
    chatarmin.client.billing.claim_checkout(company_id=company_id, checkout_session_id=request.args["session_id"])
    flash("Thank you! Your new plan is active.")
    return redirect("/")


@pages.get("/admin/<organisation>")
def admin(organisation: str) -> Any:
    """Show the decision about each feature of an organisation."""
    password = (request.authorization and request.authorization.password) or ""
    if not secrets.compare_digest(password.encode(), current_app.config["ADMIN_PASSWORD"].encode()):
        return Response("Please sign in.", 401, {"WWW-Authenticate": 'Basic realm="admin"'})
    decisions = chatarmin.gate.features(external_org_id=organisation)
    return render_template("admin.html", organisation=organisation, decisions=decisions)
