"""`chatarmin-os doctor` for an application of Flask: its settings and its outbox."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from diagnosis import VARIABLES, Diagnosis, diagnose

if TYPE_CHECKING:
    from pathlib import Path

KEY = "os_sk_doctor_flask"
NOWHERE = "http://127.0.0.1:9/api/v1"
APP = """
from threading import Event
from flask import Flask
from chatarmin_os.flask import Chatarmin
from chatarmin_os.outbox import SQLiteOutbox

is_over = Event()

class Hanging(SQLiteOutbox):
    def stats(self):
        is_over.wait()
        return super().stats()

print("the application starts")
app = Flask("shop")
app.config["CHATARMIN_OS"] = SETTINGS
EXTENSION
"""


class Application:
    """A file with an application, and the doctor in front of it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def examined(self, settings: str, *arguments: str, extension: str = "Chatarmin(app)") -> Diagnosis:
        """Examine the application with these settings, written as Python."""
        self.path.write_text(APP.replace("SETTINGS", settings).replace("EXTENSION", extension))
        sys.modules.pop(self.path.stem, None)
        return diagnose(*arguments, secrets=(KEY,))


@pytest.fixture
def application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Application:
    """An application that FLASK_APP names, in the current folder."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("FLASK_APP", "doctored_app.py")
    return Application(tmp_path / "doctored_app.py")


def test_settings_are_those_of_the_application(application: Application) -> None:
    """Key and URL come from its configuration."""
    found = application.examined(f"{{'API_KEY': {KEY!r}, 'BASE_URL': {NOWHERE!r}}}")

    place = "CHATARMIN_OS of doctored_app.py"
    assert found.of("key")["text"] == f"os_sk_... with 18 characters, from {place}.API_KEY"
    assert found.of("base URL")["text"] == f"{NOWHERE}, from {place}.BASE_URL"
    assert found.of("project")["text"].startswith(f"{place} is valid: ")
    assert found.of("project")["text"].endswith("a timeout of 2 s, no shared cache, no outbox")


def test_invalid_settings(application: Application) -> None:
    """The extension refuses them; without it each problem is a finding of its own."""
    settings = f"{{'API_KEY': {KEY!r}, 'BASE_URL': {NOWHERE!r}, 'TIMEOUT': 0, 'ON_DENIED': 'shop.missing'}}"

    with_extension = application.examined(settings).bad()["project"]
    without = application.examined(settings, extension="").bad()["project"]
    late = application.examined(settings.replace("'TIMEOUT': 0, ", ""), extension="").bad()["project"]

    assert with_extension.startswith("FLASK_APP=doctored_app.py cannot be loaded: InvalidInput: CHATARMIN_OS.TIMEOUT: ")
    assert without.startswith("CHATARMIN_OS.TIMEOUT: must be seconds above 0")
    assert late.startswith("CHATARMIN_OS.ON_DENIED: ")


def test_application_that_is_missing(application: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of Flask is shown."""
    monkeypatch.setenv("FLASK_APP", "nowhere_app")

    found = application.examined("{}").bad()["project"]

    assert found.startswith("FLASK_APP=nowhere_app cannot be loaded: NoAppException: Could not import 'nowhere_app'.")


def test_django_counts_before_flask(application: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two projects one is looked at, which is said."""
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "django_project")
    monkeypatch.setattr("django.setup", lambda: sys.exit(1))

    both = application.examined("{}").found["project"]

    assert [finding["status"] for finding in both] == ["warning", "failure"]
    assert both[0]["text"] == "FLASK_APP is set too, and its application is not looked at"


def test_outbox_that_does_not_answer(application: Application) -> None:
    """It is a failure at the deadline, like one whose server cannot be reached."""
    found = application.examined(
        f"{{'API_KEY': {KEY!r}, 'BASE_URL': {NOWHERE!r}, 'OUTBOX': Hanging('usage.db')}}", "--timeout", "0.3"
    )
    sys.modules["doctored_app"].is_over.set()

    assert found.bad()["outbox"].startswith("CHATARMIN_OS of doctored_app.py.OUTBOX: no answer within 0.3 s")
