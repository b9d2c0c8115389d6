"""The system checks of the settings."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from django.core.checks import registry, run_checks
from django.test import override_settings

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = ["django_project.fixtures"]

KEY = "os_sk_live_0123456789"
FINE = {"API_KEY": KEY}


def ids(options: Any, **settings: Any) -> list[str]:
    """Return the ids of the messages about settings."""
    with override_settings(CHATARMIN_OS=options, **settings):
        return [str(message.id).removeprefix("chatarmin_os.") for message in run_checks(tags=["chatarmin_os"])]


def texts(options: Any) -> str:
    """Return the messages about settings, with their hints."""
    with override_settings(CHATARMIN_OS=options):
        return "\n".join(map(str, run_checks(tags=["chatarmin_os"])))


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OS_API_KEY", raising=False)


def test_checks_have_their_tag() -> None:
    """`manage.py check --tag chatarmin_os` runs them alone."""
    assert "chatarmin_os" in registry.registry.tags_available()


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (FINE, []),
        ({}, ["E001"]),
        (None, ["E001"]),
        ({"API_KEY": " "}, ["E001"]),
        ({"TRANSPORT": "chatarmin_os.ChatarminOS.in_memory"}, []),
        ({**FINE, "ORGANISATION": "django_project.views.organisation_of"}, []),
        ({**FINE, "ORGANISATION": "shop.billing.organisation_of"}, ["E002"]),
        ({**FINE, "ORGANISATION": "django_project.views.missing"}, ["E002"]),
        ({**FINE, "ORGANISATION": "organisation_of"}, ["E002"]),
        ({**FINE, "ORGANISATION": 5}, ["E002"]),
        ({**FINE, "API_KEYS": KEY}, ["E003"]),
        ({**FINE, "DEFAULT": {"max_agee": 5}}, ["E003"]),
        ({**FINE, "FEATURES": {"exports": {"on_outages": "deny"}}}, ["E003"]),
        ({**FINE, "FEATURES": {"exports": {"on_outage": "open"}}}, ["E003"]),
        ({**FINE, "GATE": {"timout": 1}}, ["E003"]),
        ({**FINE, "TIMEOUT": "soon"}, ["E003"]),
        ({**FINE, "ON_DENIED": "shop.missing"}, ["E003"]),
        ({**FINE, "OUTBOX": "django"}, ["E003"]),
        ({**FINE, "CACHE": "missing"}, ["E003"]),
        ({**FINE, "CACHE": "default"}, ["W003"]),
        ({**FINE, "CACHE": "dummy"}, []),
        ({"TRANSPORT": "fake"}, ["W001"]),
        ({"ORGANISATION": "shop.a", "TRANSPRT": "fake", "CACHE": "default"}, ["E001", "E002", "E003", "W003"]),
    ],
    ids=str,
)
def test_settings_are_checked(options: Any, found: list[str]) -> None:
    """Each problem has its id, and all are found at once."""
    assert sorted(ids(options)) == found


def test_key_may_be_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key in OS_API_KEY is a key."""
    monkeypatch.setenv("OS_API_KEY", KEY)

    assert ids({}) == []


def test_fake_is_for_development() -> None:
    """With DEBUG the in-memory service is welcome."""
    assert ids({"TRANSPORT": "fake"}, DEBUG=True) == []


def test_messages_name_the_setting_and_no_key() -> None:
    """A message says which setting is meant; the key is in none of them."""
    text = texts({**FINE, "TIMEOUTS": 5, "CACHE": "missing"})

    assert "CHATARMIN_OS.TIMEOUTS: no such setting; did you mean TIMEOUT?" in text
    assert "CHATARMIN_OS.CACHE: 'missing'" in text
    assert KEY not in text


# A project on disk


def project(folder: Path, settings: str, **files: str) -> Path:
    """Write a project whose settings are `shop.settings`."""
    (folder / "shop").mkdir()
    for name, text in {
        "__init__": "",
        "settings": "SECRET_KEY = 'x'\nINSTALLED_APPS = ['chatarmin_os.django']\n" + settings,
        **files,
    }.items():
        (folder / "shop" / f"{name}.py").write_text(text)
    return folder


def check(folder: Path, module: str = "shop.settings") -> str:
    """Return the output of the command `check` for a project."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OS_", "GIT_"))}
    environment |= {"DJANGO_SETTINGS_MODULE": module, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-W", "error", "-m", "django", "check"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout + done.stderr


def git(folder: Path, *arguments: str) -> None:
    """Run git in a folder."""
    subprocess.run([shutil.which("git") or "git", *arguments], cwd=folder, check=True, capture_output=True)  # noqa: S603


LITERAL = f"CHATARMIN_OS = {{'API_KEY': '{KEY}'}}\n"


@pytest.mark.slow
def test_key_under_version_control_is_found(tmp_path: Path) -> None:
    """A literal key in a settings file of a git working copy is a warning with the file, and without the key."""
    git(project(tmp_path, LITERAL), "init", "-q")

    output = check(tmp_path)

    assert "(chatarmin_os.W005)" in output
    assert "settings.py" in output
    assert KEY not in output


@pytest.mark.slow
def test_key_in_an_imported_file_is_found(tmp_path: Path) -> None:
    """Files of the project from which the settings import are settings too."""
    git(project(tmp_path, "from .base import *\nimport shop.more\n", base=LITERAL, more=""), "init", "-q")

    output = check(tmp_path)

    assert "base.py" in output
    assert "(chatarmin_os.W005)" in output


@pytest.mark.slow
def test_key_outside_of_version_control_is_fine(tmp_path: Path) -> None:
    """A file that git ignores, or that is in no working copy, is not warned of; nor is the name of a key."""
    project(tmp_path, LITERAL)
    assert "W005" not in check(tmp_path)

    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text("settings.py\n")
    assert "W005" not in check(tmp_path)


@pytest.mark.slow
def test_name_of_a_key_is_no_key(tmp_path: Path) -> None:
    """Code that checks how a key begins has no key."""
    git(project(tmp_path, "import os\nCHATARMIN_OS = {'API_KEY': os.environ.get('KEY', 'os_sk_')}\n"), "init", "-q")

    assert "W005" not in check(tmp_path)


@pytest.mark.slow
def test_other_version_controls_and_missing_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mercurial counts too, and without the program git nothing is known to be ignored."""
    (project(tmp_path, LITERAL) / ".hg").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))

    assert "(chatarmin_os.W005)" in check(tmp_path)
