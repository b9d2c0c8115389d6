"""The client, the gate and the outbox of the current app."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import current_app, has_app_context

from chatarmin_os.errors import InvalidInput
from chatarmin_os.web import settings
from chatarmin_os.web.current import providers
from chatarmin_os.web.services import Services
from chatarmin_os.web.settings import Settings

EXTENSION = "chatarmin_os"


def make_services(config: Mapping[str, Any]) -> Services:
    """Return the services of an app's configuration."""

    def read() -> Settings:
        found = read_settings(config)
        found.ensure_valid()
        return found

    return Services(read, Settings.make_cache)


def read_settings(config: Mapping[str, Any]) -> Settings:
    """Return the settings of an app's configuration.

    Raises:
        InvalidInput: CACHE is the alias of a Django cache, or OUTBOX that of Django.
    """
    found = settings.read(config.get(settings.NAME))
    if isinstance(found.cache, str) and "." not in found.cache:
        problem = f"{found.cache!r} would be the alias of a Django cache"
        raise (
            InvalidInput(problem, "pass a SharedCache such as RedisCache(...), or its dotted path")
            .at("CACHE")
            .at(settings.NAME)
        )
    if found.outbox == settings.DJANGO:
        problem = f"{settings.DJANGO!r} is the outbox of a Django project"
        raise InvalidInput(problem, "pass a path").at("OUTBOX").at(settings.NAME)
    return found


def _services_in_force() -> Services | None:
    return current_app.extensions.get(EXTENSION) if has_app_context() else None


providers["flask"] = _services_in_force


def current_services() -> Services:
    """Return the services of the current app.

    Raises:
        RuntimeError: There is no current app, or `init_app` was not called for it.
    """
    if not has_app_context():
        raise RuntimeError("no app is active; use chatarmin within a request, or within `with app.app_context():`")
    services: Services | None = current_app.extensions.get(EXTENSION)
    if services is None:
        raise RuntimeError(f"the app {current_app.name!r} has no chatarmin; call chatarmin.init_app(app)")
    return services
