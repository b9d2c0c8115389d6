"""Celery: a task that delivers what the outbox holds, and its schedule; documented as `chatarmin_os.celery`."""

from __future__ import annotations

from typing import Any

import attrs

from chatarmin_os._input import Number, at_field, positive_seconds
from chatarmin_os.web.current import DEADLINE_SECONDS, drain, services_in_force

try:
    from celery import shared_task
except ImportError as missing:
    raise ImportError("chatarmin_os.celery needs Celery: pip install 'chatarmin-os[celery]'") from missing

_NAME = "chatarmin_os.drain_usage"


@shared_task(name=_NAME, acks_late=True, ignore_result=True, serializer="json")  # type: ignore[untyped-decorator]
def drain_usage(deadline: float = DEADLINE_SECONDS) -> dict[str, Any]:
    """Deliver what the outbox of the settings `CHATARMIN_OS` holds, of the Django project or of the current Flask app.

    Any number of workers may run it at once. An outage or a refused key keeps all events; the latter is logged at
    ERROR.

    Args:
        deadline: Seconds after which nothing more is sent.

    Returns:
        The fields of a `DrainReport`.

    Raises:
        InvalidInput: No outbox is configured, or a setting is invalid.
        OutboxUnavailable: The outbox cannot be read or written.
        RuntimeError: Neither Django nor a Flask app is set up.

    Example:
        >>> from celery import Celery
        >>> from chatarmin_os.celery import drain_usage
        >>> app = Celery("shop", set_as_current=False)
        >>> app.tasks[drain_usage.name].acks_late
        True
    """
    return attrs.asdict(drain(services_in_force(), deadline))


def beat_schedule(seconds: Number = 10) -> dict[str, dict[str, Any]]:
    """Return an entry for `beat_schedule` of Celery, which runs `drain_usage` every so many seconds.

    A task that no worker started until the next one is due expires, so that tasks never pile up.

    Args:
        seconds: The interval, above 0.

    Raises:
        InvalidInput: *seconds* is not a number above 0.

    Example:
        >>> from celery import Celery
        >>> from chatarmin_os.celery import beat_schedule
        >>> app = Celery("shop", set_as_current=False)
        >>> app.conf.beat_schedule = beat_schedule(seconds=5)
        >>> app.conf.beat_schedule
        {'chatarmin_os.drain_usage': {'task': 'chatarmin_os.drain_usage', 'schedule': 5.0, 'options': {'expires': 5.0}}}
    """
    interval = at_field("seconds", positive_seconds)(seconds)
    return {_NAME: {"task": _NAME, "schedule": interval, "options": {"expires": interval}}}
