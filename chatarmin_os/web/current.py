"""The services in force, for a background task that belongs to no framework."""

from __future__ import annotations

from collections.abc import Callable

from chatarmin_os.outbox import DrainReport, Sender
from chatarmin_os.web.log import LOGGER
from chatarmin_os.web.services import Services

providers: dict[str, Callable[[], Services | None]] = {}
"""By framework, a function that returns the services in force, None if there are none; each adds its own."""

DEADLINE_SECONDS = 60.0
"""How long a task drains: the next one goes on."""


def drain(services: Services, deadline: float = DEADLINE_SECONDS) -> DrainReport:
    """Deliver what the outbox of the settings holds.

    Raises:
        InvalidInput: No outbox is configured, or a setting is invalid.
        OutboxUnavailable: It cannot be read or written.
    """
    outbox = services.require_outbox()
    report = Sender(services.client, outbox).drain(deadline=deadline)
    if report.stopped == "unauthorized":
        LOGGER.error("the service refused the API key, or has no such procedure; the outbox keeps all events")
    return report


def services_in_force() -> Services:
    """Return the services of the current Flask app, else those of the Django project.

    Raises:
        RuntimeError: There are none.
    """
    for name in sorted(providers, reverse=True):  # an active app of Flask is the more specific one
        services = providers[name]()
        if services is not None:
            return services
    raise RuntimeError(
        "no settings CHATARMIN_OS are in force; add chatarmin_os.django to INSTALLED_APPS, or run the task within "
        "an app context of Flask"
    )
