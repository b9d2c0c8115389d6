"""The system checks of the settings."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.core.checks import registry, run_checks
from django.test import override_settings

if TYPE_CHECKING:
    from collections.abc import Callable

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
        ({"API_KEY": 5}, ["E003"]),  # it is not missing
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
        ({**FINE, "OUTBOX": 5}, ["E003"]),
        ({**FINE, "OUTBOX": "django"}, []),
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


LITERAL = f"CHATARMIN_OS = {{'API_KEY': '{KEY}'}}\n"
_numbers = count(1)


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return how to write and import a project; each has another name, which is returned."""

    def write(**files: str) -> str:
        name = f"shop_{next(_numbers)}"
        (tmp_path / name).mkdir()
        for file, text in {"__init__": "", **files}.items():
            (tmp_path / name / f"{file}.py").write_text(text)
        import_module(f"{name}.settings")
        return name

    monkeypatch.syspath_prepend(tmp_path)
    return write


def found_keys(module: str) -> list[str]:
    """Return the files with keys, for the settings in a module."""
    with override_settings(CHATARMIN_OS=FINE, SETTINGS_MODULE=module):
        messages = run_checks(tags=["chatarmin_os"])
    assert {message.id for message in messages} <= {"chatarmin_os.W005"}
    assert KEY not in str(messages)
    return [Path(message.msg.partition(":")[0]).name for message in messages]


def git(folder: Path, *arguments: str) -> None:
    """Run git in a folder."""
    subprocess.run([shutil.which("git") or "git", *arguments], cwd=folder, check=True, capture_output=True)  # noqa: S603


def test_key_under_version_control_is_found(write: Callable[..., str], tmp_path: Path) -> None:
    """A literal key in a settings file of a git working copy is a warning."""
    git(tmp_path, "init", "-q")

    assert found_keys(f"{write(settings=LITERAL)}.settings") == ["settings.py"]


def test_key_in_an_imported_file_is_found(write: Callable[..., str], tmp_path: Path) -> None:
    """Files of the project from which the settings import are settings too; those of libraries are not."""
    git(tmp_path, "init", "-q")
    settings = "import os\nimport django.conf\nfrom .base import *\nfrom . import more\nfrom chatarmin_os import *\n"

    name = write(settings=settings, base="from .settings import os\n" + LITERAL, more=LITERAL)

    assert sorted(found_keys(f"{name}.settings")) == ["base.py", "more.py"]


def test_libraries_inside_of_a_project_are_not_its_settings(
    write: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment may be in the folder of the project."""
    git(tmp_path, "init", "-q")
    library = tmp_path / "site-packages"
    library.mkdir()
    (library / "keys_of_others.py").write_text(LITERAL)
    monkeypatch.syspath_prepend(library)

    assert found_keys(f"{write(settings='from keys_of_others import *')}.settings") == []


def test_settings_may_be_a_package(write: Callable[..., str], tmp_path: Path) -> None:
    """The key may be in its `__init__.py`, or in a module next to it."""
    git(tmp_path, "init", "-q")
    name = write(settings="", __init__="from .local import *\n" + LITERAL, local=LITERAL)

    assert sorted(found_keys(name)) == ["__init__.py", "local.py"]


def test_key_outside_of_version_control_is_fine(write: Callable[..., str], tmp_path: Path) -> None:
    """A file that is in no working copy, or that git ignores, is not warned of."""
    module = f"{write(settings=LITERAL)}.settings"
    assert found_keys(module) == []

    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text("settings.py\n")
    assert found_keys(module) == []


def test_name_of_a_key_is_no_key(write: Callable[..., str], tmp_path: Path) -> None:
    """Code that checks how a key begins has no key."""
    git(tmp_path, "init", "-q")

    assert found_keys(f"{write(settings='IS_KEY = str.startswith(chr(0), ' + repr('os_sk_') + ')')}.settings") == []


def test_other_version_controls_and_missing_git(
    write: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mercurial counts too, and without the program git nothing is known to be ignored."""
    module = f"{write(settings=LITERAL)}.settings"
    (tmp_path / ".hg").mkdir()
    assert found_keys(module) == ["settings.py"]

    monkeypatch.setenv("PATH", "")
    assert found_keys(module) == ["settings.py"]


def test_file_that_is_gone_has_no_key(write: Callable[..., str], tmp_path: Path) -> None:
    """A file that cannot be read, such as one that was replaced since its import, is skipped."""
    git(tmp_path, "init", "-q")
    name = write(settings=LITERAL)
    (tmp_path / name / "settings.py").unlink()

    assert found_keys(f"{name}.settings") == []


@pytest.mark.slow
def test_command_checks_a_project(write: Callable[..., str], tmp_path: Path) -> None:
    """`manage.py check` finds the setting of the project, and its key."""
    git(tmp_path, "init", "-q")
    name = write(settings="SECRET_KEY = 'x'\nINSTALLED_APPS = ['chatarmin_os.django']\n" + LITERAL)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("OS_", "GIT_"))}
    environment |= {"DJANGO_SETTINGS_MODULE": f"{name}.settings", "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-W", "error", "-m", "django", "check"]

    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)  # noqa: S603

    assert done.stderr.count("(chatarmin_os.W005)") == 1
    assert KEY not in done.stderr
