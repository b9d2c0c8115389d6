"""System checks of the setting CHATARMIN_OS; none of them makes a call."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import resolve_name
from pathlib import Path
from shutil import which
from typing import Any

from django import conf  # its settings are read late
from django.apps import AppConfig
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django.core.checks import CheckMessage, Error, Warning, register  # noqa: A004 - Django's name
from django.db import DEFAULT_DB_ALIAS, connections, router

from chatarmin_os.integrations.django.outbox import DjangoOutbox
from chatarmin_os.integrations.django.services import current
from chatarmin_os.outbox import opening
from chatarmin_os.web.problems import Problem
from chatarmin_os.web.settings import DJANGO, FAKE, NAME, read

_LITERAL_KEY = re.compile(rb"os_sk_[A-Za-z0-9]")
_IDS = {"no-key": "E001", "unknown": "E003", "invalid": "E003"}
_NO_DATABASE = "django.db.backends.dummy"
_VERSION_CONTROLS = (".git", ".hg", ".jj", ".svn")


def register_all() -> None:
    """Register the checks under the tag of the application."""
    for check in (check_settings, check_fake, check_cache, check_outbox, check_keys):
        register(check, "chatarmin_os")


def check_settings(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:  # noqa: ARG001
    """E001: neither key nor transport. E002: ORGANISATION cannot be imported. E003: an unknown or invalid setting."""
    given = read(getattr(conf.settings, NAME, None))
    found = {problem.setting for problem in given.problems} - {""}
    # An invalid key is not missing.
    late = [problem for problem in given.late_problems() if problem.setting not in found]
    return [_error(problem) for problem in [*given.problems, *late]]


def _error(problem: Problem) -> CheckMessage:
    number = "E002" if problem.setting == "ORGANISATION" else _IDS.get(problem.kind, "E003")
    return Error(str(problem.error), id=f"chatarmin_os.{number}")


def check_fake(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:  # noqa: ARG001
    """W001: the in-memory service outside of development."""
    if conf.settings.DEBUG or read(getattr(conf.settings, NAME, None)).transport != FAKE:
        return []
    return [
        Warning(
            f"{NAME}.TRANSPORT is {FAKE!r} while DEBUG is off: each process has a service of its own in memory",
            hint="remove TRANSPORT, and set API_KEY or OS_API_KEY",
            id="chatarmin_os.W001",
        )
    ]


def check_cache(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:  # noqa: ARG001
    """W003: decisions are shared through a cache that each process has for itself. E003: the cache does not exist."""
    alias = read(getattr(conf.settings, NAME, None)).cache
    if alias is None:
        return []
    try:
        cache = caches[alias]
    except Exception as error:  # noqa: BLE001 - an unknown alias, or whatever its backend raises
        return [Error(f"{NAME}.CACHE: {alias!r} cannot be used: {type(error).__name__}", id="chatarmin_os.E003")]
    if not isinstance(cache, LocMemCache):
        return []
    return [
        Warning(
            f"{NAME}.CACHE: {alias!r} is a LocMemCache, which no other process sees: each decides for itself",
            hint="name a cache in Redis, Memcached or the database, or set CACHE to None",
            id="chatarmin_os.W003",
        )
    ]


def check_outbox(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:  # noqa: ARG001
    """E004: the outbox cannot be written. Nothing is created, for the user who runs the check would own it."""
    outbox = read(getattr(conf.settings, NAME, None)).outbox
    problem = None
    if isinstance(outbox, DjangoOutbox):
        problem = _problem_of_database(outbox.using)
    elif outbox == DJANGO:
        problem = _problem_of_database(DEFAULT_DB_ALIAS)
    elif isinstance(outbox, str):
        problem = _problem_of_file(Path(outbox))
    return [] if problem is None else [Error(f"{NAME}.OUTBOX: {problem}", id="chatarmin_os.E004")]


def _problem_of_database(alias: str) -> str | None:
    if connections.settings.get(alias, {}).get("ENGINE", _NO_DATABASE) == _NO_DATABASE:
        return f"the project has no database {alias!r}"
    if not router.allow_migrate(alias, "chatarmin_os", model_name="outboxevent"):
        return f"no database router lets the database {alias!r} have the table of the outbox"
    return None


def _problem_of_file(path: Path) -> str | None:
    if path.is_symlink():
        return f"{str(path)!r} is a symbolic link; name the file itself"
    if path.exists() and not path.is_file():
        return f"{str(path)!r} is not a file"
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        return f"{str(path)!r} cannot be written by this user"
    if path.exists() and "outbox" not in vars(current()):  # reading it would end the locks of one that is open
        problem = opening.problem_of(str(path))
        if problem is not None:
            return f"{str(path)!r}: {problem}"
    return _problem_of_folder(path.absolute().parent)


def _problem_of_folder(folder: Path) -> str | None:
    if not folder.is_dir():
        return f"the folder {str(folder)!r} does not exist"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"no file can be created in {str(folder)!r} by this user"
    return None


def check_keys(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:  # noqa: ARG001
    """W005: an API key is written in a settings file that is under version control."""
    return [
        Warning(
            f"{path}: an API key (os_sk_...) is in a file under version control",
            hint="read it from the environment variable OS_API_KEY, and replace the key: it is in the history",
            id="chatarmin_os.W005",
        )
        for path in _settings_files()
        if _has_key(path) and _is_under_version_control(path)
    ]


def _settings_files() -> Iterator[Path]:
    """Yield the file of the settings module, and those of the project from which it imports."""
    name = getattr(conf.settings, "SETTINGS_MODULE", None) or os.environ.get("DJANGO_SETTINGS_MODULE", "")
    names, seen = [name], set[str]()
    root: Path | None = None
    while names:
        name = names.pop()
        path = Path(getattr(sys.modules.get(name), "__file__", None) or "")
        if name in seen or path.suffix != ".py":
            continue
        seen.add(name)
        root = root or path.parents[name.count(".") + (path.name == "__init__.py")]
        if path.is_relative_to(root) and "site-packages" not in path.parts:
            yield path
            names += _imports(name, path)


def _imports(name: str, path: Path) -> Iterator[str]:
    """Yield the names of the modules that a module imports."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(_read(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            base = resolve_name(module, package) if node.level else module
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _has_key(path: Path) -> bool:
    return _LITERAL_KEY.search(_read(path)) is not None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _is_under_version_control(path: Path) -> bool:
    """Return whether a file is in a working copy, and git does not ignore it."""
    path = path.resolve()
    for folder in path.parents:
        if any((folder / name).exists() for name in _VERSION_CONTROLS):
            return not _is_ignored_by_git(path, folder)
    return False


def _is_ignored_by_git(path: Path, folder: Path) -> bool:
    git = which("git")
    if git is None:
        return False
    command = [git, "-C", str(folder), "check-ignore", "-q", "--", str(path)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603 - a fixed command
