"""The project of a web framework that the environment names: its settings, its system checks and its outbox."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chatarmin_os.cli.doctor.examination import Examination, Project
from chatarmin_os.cli.doctor.findings import Finding, failure, ok, warning
from chatarmin_os.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from chatarmin_os.web.settings import Settings

_DJANGO, _FLASK = "DJANGO_SETTINGS_MODULE", "FLASK_APP"
_APPLICATION, _LABEL = "chatarmin_os.django", "chatarmin_os"
_OF_OTHER_CHECKS = ("no-key",)  # and E001 of Django: the check of the key reports it
_SHOWN_ERRORS = ("ImproperlyConfigured", "ModuleNotFoundError", "NoAppException", "InvalidInput")


def check_project(examination: Examination) -> Iterator[Finding]:
    """Load the project, and report its settings and what its system checks find."""
    names = [name for name in (_DJANGO, _FLASK) if os.environ.get(name)]
    if not names:
        yield ok(f"none: neither {_DJANGO} nor {_FLASK} is set")
        return
    load = {_DJANGO: _django, _FLASK: _flask}[names[0]]
    if len(names) > 1:
        yield warning(f"{_FLASK} is set too, and its application is not looked at", f"unset {_DJANGO} for that")
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - as `manage.py` and `flask` do
    try:
        with redirect_stdout(sys.stderr):  # the report must not have output of the project
            project = load(os.environ[names[0]])
    except (Exception, SystemExit) as error:  # noqa: BLE001 - of the project's code
        yield failure(f"{names[0]}={os.environ[names[0]]} cannot be loaded: {_shown(error)}", "correct the project")
        return
    examination.project = project
    if project.settings.transport is not None:
        text = f"{project.place}.TRANSPORT is set: the application does not use the connection that is checked here"
        yield warning(text, "remove it in production" if project.settings.transport == "fake" else "check it yourself")
    yield from project.problems or [ok(_summary(project))]


def _shown(error: BaseException) -> str:
    """Return an error, with its text only if that is about names: others may hold passwords."""
    name = type(error).__name__
    return f"{name}: {error}" if name in _SHOWN_ERRORS else name


def _summary(project: Project) -> str:
    settings = project.settings
    policy = settings.default
    return (
        f"{project.place} is valid: on_outage={policy.on_outage!r}, max_stale={policy.max_stale:g} s by default, "
        f"features with a policy of their own: {len(settings.features)}, a timeout of {project.call_seconds():g} s, "
        f"{'a' if settings.cache is not None else 'no'} shared cache, "
        f"{'an' if settings.outbox is not None else 'no'} outbox"
    )


def _django(module: str) -> Project:
    import django
    from django import conf
    from django.apps import apps
    from django.core import checks

    from chatarmin_os.web.settings import NAME, read

    django.setup()
    settings = read(getattr(conf.settings, NAME, None))
    if _LABEL not in apps.app_configs:
        return Project(module, settings, _problems(settings), _no_database)
    levels = {checks.ERROR: failure, checks.CRITICAL: failure}
    found = [
        levels.get(message.level, warning)(
            f"{message.id}: {message.msg}", message.hint or "correct the setting; see the page Troubleshooting"
        )
        for message in sorted(checks.run_checks(tags=[_LABEL]), key=lambda message: str(message.id))
        if message.id != "chatarmin_os.E001"
    ]
    return Project(module, settings, found, _database_outbox)


@contextmanager
def _database_outbox() -> Generator[Any]:
    from django.db import DEFAULT_DB_ALIAS, connections

    from chatarmin_os.django import get_outbox

    database = connections.settings[DEFAULT_DB_ALIAS]
    name = str(database["NAME"])
    is_file = database["ENGINE"].endswith("sqlite3") and not name.startswith(("file:", ":"))
    if is_file and not Path(name).exists():  # SQLite would make it
        raise InvalidInput(f"the database {name} does not exist yet", "run `manage.py migrate`").at("OUTBOX")
    try:
        yield get_outbox()
    finally:
        connections.close_all()  # those of this thread


def _no_database() -> Any:
    raise InvalidInput(f"{_APPLICATION} is not in INSTALLED_APPS", "add it, and run `manage.py migrate`").at("OUTBOX")


def _flask(path: str) -> Project:
    from flask.cli import ScriptInfo

    from chatarmin_os.web.settings import NAME, read

    app = ScriptInfo(app_import_path=path).load_app()
    settings = read(app.config.get(NAME))
    return Project(path, settings, _problems(settings), _no_database)


def _problems(settings: Settings) -> list[Finding]:
    late = [] if settings.problems else settings.late_problems()
    return [
        failure(str(problem.error), "correct the setting")
        for problem in [*settings.problems, *late]
        if problem.kind not in _OF_OTHER_CHECKS and problem.setting != "BASE_URL"
    ]
