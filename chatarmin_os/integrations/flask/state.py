"""The settings, the client and the gate of one app, each created when it is first needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import current_app, has_app_context

from chatarmin_os._lazy import lockless_cached_property
from chatarmin_os.client import ChatarminOS
from chatarmin_os.errors import InvalidInput
from chatarmin_os.gate import Gate
from chatarmin_os.web import settings
from chatarmin_os.web.settings import Settings

EXTENSION = "chatarmin_os"


class State:
    """The settings, the client and the gate of one app.

    They are made without a lock, so that a fork in another thread leaves none locked; threads that read one of them
    first at the same time get the same one.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config

    @lockless_cached_property
    def settings(self) -> Settings:
        """The settings of the app."""
        found = read_settings(self._config)
        found.ensure_valid()
        return found

    @lockless_cached_property
    def client(self) -> ChatarminOS:
        """The client of the app."""
        return self.settings.make_client()

    @lockless_cached_property
    def gate(self) -> Gate:
        """The gate of the app."""
        return self.settings.make_gate(self.client, self.settings.make_cache())

    @lockless_cached_property
    def organisation_function(self) -> Callable[[Any], Any] | None:
        """The setting ORGANISATION."""
        return self.settings.organisation_function()

    @lockless_cached_property
    def denial_function(self) -> Callable[[Any, Any], Any] | None:
        """The setting ON_DENIED."""
        return self.settings.denial_function()


def read_settings(config: Mapping[str, Any]) -> Settings:
    """Return the settings of an app's configuration.

    Raises:
        InvalidInput: CACHE is the alias of a Django cache.
    """
    found = settings.read(config.get(settings.NAME))
    if isinstance(found.cache, str) and "." not in found.cache:
        problem = f"{found.cache!r} would be the alias of a Django cache"
        raise (
            InvalidInput(problem, "pass a SharedCache such as RedisCache(...), or its dotted path")
            .at("CACHE")
            .at(settings.NAME)
        )
    return found


def current_state() -> State:
    """Return the state of the current app.

    Raises:
        RuntimeError: There is no current app, or `init_app` was not called for it.
    """
    if not has_app_context():
        raise RuntimeError("no app is active; use chatarmin within a request, or within `with app.app_context():`")
    state: State | None = current_app.extensions.get(EXTENSION)
    if state is None:
        raise RuntimeError(f"the app {current_app.name!r} has no chatarmin; call chatarmin.init_app(app)")
    return state
