"""The task of Celery that delivers what an outbox holds, in a worker."""

from __future__ import annotations

import logging
import sys
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any

import django_project
import pytest
from celery import Celery
from celery.beat import Scheduler
from celery.contrib.testing.worker import start_worker
from celery.signals import setup_logging
from django.test import override_settings
from flask import Flask
from waiting import until

from chatarmin_os import ApiError, ChatarminOS, InvalidInput
from chatarmin_os.celery import beat_schedule, drain_usage
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.flask import Chatarmin
from chatarmin_os.outbox import SQLiteOutbox
from chatarmin_os.web import current

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

assert django_project.SETTINGS, "importing the project configures Django"

USAGE: dict[str, Any] = {"external_org_id": "org_1", "feature_code": "ai_credit", "quantity": 5}


class World:
    """An outbox with one event, the service, and settings with both."""

    def __init__(self, path: Path) -> None:
        self.fake = FakeTransport(demo_catalogue())
        ChatarminOS(transport=self.fake).onboard(external_org_id="org_1", tier_code="free")
        self.outbox = SQLiteOutbox(path)
        self.outbox.put(**USAGE)
        self.settings = {"TRANSPORT": self.fake, "OUTBOX": self.outbox}

    def ready(self) -> int:
        """Return how many events wait."""
        return self.outbox.stats().ready


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a world."""
    world = World(tmp_path / "usage.db")
    with world.outbox:
        yield world


@pytest.fixture
def app() -> Iterator[Celery]:
    """Return an application of Celery, with a broker in memory."""
    app = Celery("shop", broker="memory://", backend="cache+memory://", set_as_current=False)
    yield app
    app.close()


def _run(app: Celery) -> Any:
    """Run the task in this thread."""
    return app.tasks[drain_usage.name].apply(throw=True).result


def test_task_drains_the_outbox_of_django(world: World, app: Celery) -> None:
    """In a Django project the settings are the project's."""
    with override_settings(CHATARMIN_OS=world.settings):
        assert _run(app)["counted"] == 1

    assert world.ready() == 0


def test_task_drains_the_outbox_of_a_flask_app(world: World, app: Celery) -> None:
    """Within an app context of Flask the settings are those of the app, also if a Django project has some too."""
    flask = Flask("shop")
    flask.config["CHATARMIN_OS"] = world.settings
    Chatarmin(flask)

    with flask.app_context():
        assert _run(app)["counted"] == 1
    assert world.ready() == 0


def test_task_needs_settings_and_an_outbox(
    world: World, app: Celery, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without settings or an outbox the task fails; a refused key is an ERROR, and all events are kept."""
    with pytest.raises(InvalidInput, match="no outbox is configured"), override_settings(CHATARMIN_OS=None):
        _run(app)
    world.fake.fail(error=ApiError.from_code("UNAUTHORIZED"))
    with override_settings(CHATARMIN_OS=world.settings):
        assert _run(app)["stopped"] == "unauthorized"
    assert world.ready() == 1
    assert [record.levelno for record in caplog.records if "refused the API key" in record.message] == [logging.ERROR]

    monkeypatch.setattr(current, "providers", {})
    with pytest.raises(RuntimeError, match=r"add chatarmin_os\.django to INSTALLED_APPS"):
        _run(app)


def test_task_is_acknowledged_late_and_keeps_no_result(app: Celery) -> None:
    """A worker that dies loses no task, and no backend is needed; the message is JSON."""
    task = app.tasks[drain_usage.name]

    assert (task.acks_late, task.ignore_result, task.serializer) == (True, True, "json")


def test_schedule_is_one_entry(app: Celery) -> None:
    """Celery's beat takes it; a task that nobody starts in time expires."""
    assert beat_schedule() == {
        "chatarmin_os.drain_usage": {
            "task": "chatarmin_os.drain_usage",
            "schedule": 10.0,
            "options": {"expires": 10.0},
        }
    }
    app.conf.beat_schedule = beat_schedule(seconds=0.5)
    scheduler = Scheduler(app)
    scheduler.setup_schedule()
    assert scheduler.schedule["chatarmin_os.drain_usage"].schedule.run_every == timedelta(seconds=0.5)


@pytest.mark.parametrize("seconds", [0, -1, True, "10"])
def test_interval_is_above_zero(seconds: Any) -> None:
    """The interval is checked."""
    with pytest.raises(InvalidInput, match="seconds: "):
        beat_schedule(seconds)


def test_module_needs_celery(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Celery the import names the extra."""
    monkeypatch.delitem(sys.modules, "chatarmin_os.integrations.celery")
    monkeypatch.setitem(sys.modules, "celery", None)

    with pytest.raises(ImportError, match=r"pip install 'chatarmin-os\[celery\]'"):
        import_module("chatarmin_os.integrations.celery")


@pytest.fixture
def _logging_of_the_tests() -> Iterator[None]:
    """Let a worker leave logging as it is: with a receiver of this signal, Celery does not set it up."""

    def keep(**_: object) -> None:
        """Set up nothing."""

    setup_logging.connect(keep)
    yield
    setup_logging.disconnect(keep)


@pytest.mark.slow
@pytest.mark.usefixtures("_logging_of_the_tests")
def test_worker_runs_the_task(world: World, app: Celery) -> None:
    """A worker takes the task from its broker."""
    with override_settings(CHATARMIN_OS=world.settings), start_worker(app, perform_ping_check=False, loglevel="ERROR"):
        app.tasks[drain_usage.name].apply_async()
        until(lambda: world.ready() == 0)
