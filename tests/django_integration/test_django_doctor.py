"""`chatarmin-os doctor` in a project of Django: its settings, its system checks and its outbox."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from diagnosis import VARIABLES, Diagnosis, diagnose
from django.test import override_settings

from chatarmin_os.django import DjangoOutbox, get_outbox
from chatarmin_os.outbox import SQLiteOutbox
from chatarmin_os.server import serve_fake

pytest_plugins = ["django_project.fixtures"]

KEY = "os_sk_doctor_django"
NOWHERE = "http://127.0.0.1:9/api/v1"
PLACE = "CHATARMIN_OS of django_project"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "django_project")
    monkeypatch.setattr(sys, "path", [*sys.path])


def examined(settings: Any, *arguments: str) -> Diagnosis:
    """Examine the project with these settings."""
    with override_settings(CHATARMIN_OS=settings):
        return diagnose(*arguments, secrets=(KEY,))


def test_settings_are_those_of_the_project() -> None:
    """Key, URL and timeout come from the settings; the policies are summed up."""
    settings = {"API_KEY": KEY, "BASE_URL": NOWHERE, "TIMEOUT": 0.5, "FEATURES": {"seats": {"max_age": 5}}}

    found = examined(settings)

    assert found.of("key")["text"] == f"os_sk_... with 19 characters, from {PLACE}.API_KEY"
    assert found.of("base URL")["text"] == f"{NOWHERE}, from {PLACE}.BASE_URL"
    assert found.of("project")["text"] == (
        f"{PLACE} is valid: on_outage='deny', max_stale=900 s by default, features with a policy of their own: 1, "
        "a timeout of 0.5 s, no shared cache, no outbox"
    )
    assert found.bad().keys() == {"connection"}


def test_timeout_that_is_too_short() -> None:
    """The round trip is compared with the timeout of the project."""
    with serve_fake() as url:
        found = examined({"API_KEY": KEY, "BASE_URL": url, "TIMEOUT": 1e-6})

    assert found.bad().keys() == {"round trip"}
    assert ": more than half of the timeout of 1e-06 s -> " in found.bad()["round trip"]


def test_environment_that_contradicts_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another key or URL in the environment is a warning; an option counts before the settings."""
    monkeypatch.setenv("OS_API_KEY", f"{KEY}_of_environment")
    monkeypatch.setenv("OS_BASE_URL", "http://127.0.0.1:10/api/v1")

    found = examined({"API_KEY": KEY, "BASE_URL": NOWHERE})
    with_option = examined({"API_KEY": KEY, "BASE_URL": NOWHERE}, "--base-url", "http://127.0.0.1:11/api/v1")

    assert found.found["key"][1]["text"] == f"OS_API_KEY differs from {PLACE}.API_KEY, and is not used"
    assert found.found["base URL"][1]["text"].startswith(f"OS_BASE_URL differs from {PLACE}.BASE_URL")
    assert with_option.found["base URL"][0]["text"] == "http://127.0.0.1:11/api/v1, from --base-url"


def test_settings_without_a_key_leave_it_to_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing key is a finding of the key, and not twice."""
    missing = examined({"BASE_URL": NOWHERE})
    monkeypatch.setenv("OS_API_KEY", KEY)
    present = examined({"BASE_URL": NOWHERE})

    assert missing.bad().keys() == {"key", "connection"}
    assert present.of("key")["text"].endswith("from OS_API_KEY")


def test_system_checks_are_findings() -> None:
    """Errors are failures, warnings are warnings, each with its id."""
    found = examined({"API_KEY": KEY, "BASE_URL": NOWHERE, "CACHE": "default", "DEFAULT": {"max_agee": 5}})

    error, warning = found.found["project"]
    assert (error["status"], warning["status"]) == ("failure", "warning")
    assert error["text"].startswith("chatarmin_os.E003: CHATARMIN_OS.DEFAULT.max_agee: no such option")
    assert warning["text"].startswith("chatarmin_os.W003: ")
    assert warning["advice"].startswith("name a cache in Redis")


@pytest.mark.parametrize("transport", ["fake", "chatarmin_os.ChatarminOS.in_memory"])
def test_transport_of_its_own_is_a_warning(transport: str) -> None:
    """The connection that is checked is not that of the application."""
    found = examined({"TRANSPORT": transport, "API_KEY": KEY, "BASE_URL": NOWHERE}).found["project"]

    assert found[0]["text"].startswith(f"{PLACE}.TRANSPORT is set")


def test_application_that_is_not_installed() -> None:
    """Its settings are read without its checks; its outbox has no table."""
    apps = ["django.contrib.contenttypes"]
    with override_settings(INSTALLED_APPS=apps):
        found = examined({"API_KEY": KEY, "BASE_URL": NOWHERE, "OUTBOX": "django"})
        wrong = examined({"API_KEY": KEY, "TIMEOUT": "soon", "BASE_URL": NOWHERE})

    assert found.bad()["outbox"] == (
        f"{PLACE}.OUTBOX: chatarmin_os.django is not in INSTALLED_APPS -> add it, and run `manage.py migrate`"
    )
    assert wrong.bad()["project"].startswith("CHATARMIN_OS.TIMEOUT: must be seconds above 0")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ("raise KeyError('postgres://ann:hunter2hunter2@db')", "cannot be loaded: KeyError"),
        ("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("raise SystemExit(3)", "cannot be loaded: SystemExit"),
    ],
    ids=["error", "import", "exit"],
)
@pytest.mark.slow
def test_project_that_cannot_be_loaded(tmp_path: Path, error: str, text: str) -> None:
    """Its error is a failure, without a text that may hold a password; everything else is checked."""
    (tmp_path / "broken_settings.py").write_text(f"{error}\n")

    code, document = in_a_process(tmp_path, "broken_settings")

    assert code == 1
    by_check = {finding["check"]: finding for finding in document["findings"]}
    assert text in by_check["project"]["text"]
    assert "hunter2" not in json.dumps(document)
    assert by_check["key"]["status"] == "ok"


@pytest.mark.slow
def test_project_is_found_in_the_current_folder(tmp_path: Path) -> None:
    """As `manage.py` finds it; the settings are not configured before."""
    (tmp_path / "shop_settings.py").write_text(
        f"SECRET_KEY = 'x'\nINSTALLED_APPS = ['chatarmin_os.django']\n"
        f"CHATARMIN_OS = {{'API_KEY': {KEY!r}, 'BASE_URL': {NOWHERE!r}, 'OUTBOX': 'usage.db'}}\n"
    )

    _, document = in_a_process(tmp_path, "shop_settings")

    by_check = {finding["check"]: finding for finding in document["findings"]}
    assert by_check["project"]["text"].startswith("CHATARMIN_OS of shop_settings is valid: ")
    assert by_check["outbox"]["text"] == "CHATARMIN_OS of shop_settings.OUTBOX: usage.db does not exist yet"
    assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == {"shop_settings.py"}


def in_a_process(folder: Path, module: str) -> tuple[int, Any]:
    """Run the doctor in a folder, and return its exit code and document."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": module, "OS_API_KEY": KEY, "OS_BASE_URL": NOWHERE}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    command = [sys.executable, "-m", "chatarmin_os", "doctor", "--json"]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)  # noqa: S603
    return ended.returncode, json.loads(ended.stdout)


def test_project_that_cannot_be_loaded_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of Django names the setting; the place of the settings is shown."""
    monkeypatch.setattr("django.setup", lambda: sys.exit(1))
    exits = examined({"API_KEY": KEY, "BASE_URL": NOWHERE}).bad()["project"]
    monkeypatch.setattr("django.setup", lambda: __import__("nowhere_to_be_found"))
    imports = examined({"API_KEY": KEY, "BASE_URL": NOWHERE}).bad()["project"]

    assert exits == "DJANGO_SETTINGS_MODULE=django_project cannot be loaded: SystemExit -> correct the project"
    assert "ModuleNotFoundError: No module named 'nowhere_to_be_found'" in imports


# The outbox


def test_outbox_in_the_database() -> None:
    """Its events are counted, in a connection of its own that is closed again."""
    settings = {"API_KEY": KEY, "BASE_URL": NOWHERE, "OUTBOX": "django"}
    with override_settings(CHATARMIN_OS=settings):
        outbox = get_outbox()
        assert outbox is not None
        key = outbox.put(external_org_id="org_1", feature_code="ai_credit", quantity=1)
        outbox.stats()
    try:
        found = examined(settings).of("outbox")
    finally:
        from chatarmin_os.integrations.django.models import OutboxEvent  # once Django is configured

        OutboxEvent.objects.filter(key=key).delete()

    assert (found["status"], found["values"]["ready"]) == ("ok", 1)
    assert found["text"].startswith(f"{PLACE}.OUTBOX: 1 ready, ")


def test_database_that_does_not_exist_yet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """SQLite would make an empty file: nothing is asked."""
    from django.db import connections

    database = connections.settings["default"]
    monkeypatch.setitem(database, "ENGINE", "django.db.backends.sqlite3")
    monkeypatch.setitem(database, "NAME", tmp_path / "shop.sqlite3")

    found = examined({"API_KEY": KEY, "BASE_URL": NOWHERE, "OUTBOX": "django"}).bad()["outbox"]

    assert (
        found == f"{PLACE}.OUTBOX: the database {tmp_path}/shop.sqlite3 does not exist yet -> run `manage.py migrate`"
    )
    assert list(tmp_path.iterdir()) == []


def test_database_that_cannot_be_reached() -> None:
    """It is a failure, and no error of the database is shown with its address."""
    settings = {"API_KEY": KEY, "BASE_URL": NOWHERE, "OUTBOX": DjangoOutbox(using="unreachable")}

    found = examined(settings)

    assert found.of("outbox")["status"] == "failure"
    assert found.of("outbox")["advice"] == "see the page Outbox, and the log of the application"


def test_outbox_in_a_file(tmp_path: Path) -> None:
    """It is opened if it exists, and never made."""
    settings = {"API_KEY": KEY, "BASE_URL": NOWHERE, "OUTBOX": str(tmp_path / "usage.db")}

    missing = examined(settings).bad()["outbox"]
    assert list(tmp_path.iterdir()) == []
    with override_settings(CHATARMIN_OS=settings):
        outbox = get_outbox()
        assert outbox is not None
        outbox.put(external_org_id="org_1", feature_code="ai_credit", quantity=1)
    present = examined(settings).of("outbox")
    settings["OUTBOX"] = str(tmp_path / "nowhere" / "usage.db")
    nowhere = examined(settings).of("outbox")

    assert missing.startswith(f"{PLACE}.OUTBOX: {tmp_path}/usage.db does not exist yet -> nothing to do")
    assert present["values"]["ready"] == 1
    assert (nowhere["status"], nowhere["text"]) == (
        "failure",
        f"{PLACE}.OUTBOX: {tmp_path}/nowhere/usage.db: its folder does not exist",
    )


def test_outbox_that_is_an_object(tmp_path: Path) -> None:
    """It is asked as it is."""
    settings = {"API_KEY": KEY, "BASE_URL": NOWHERE, "OUTBOX": SQLiteOutbox(tmp_path / "usage.db")}

    assert examined(settings).of("outbox")["text"] == f"{PLACE}.OUTBOX: 0 ready, 0 leased, 0 dead"
