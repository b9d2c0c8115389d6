"""The client, the gate and the outbox of one project, each created from its settings when it is first needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chatarmin_os._lazy import lockless_cached_property
from chatarmin_os.client import ChatarminOS
from chatarmin_os.errors import InvalidInput
from chatarmin_os.gate import Gate, SharedCache
from chatarmin_os.outbox import Outbox
from chatarmin_os.web.settings import NAME, Settings


class Services:
    """Everything that is made from one value of the setting CHATARMIN_OS.

    No lock is taken, so that a fork never leaves one locked: threads that come first at the same time get the same
    object, and a forked child keeps what is there.

    Args:
        read: Returns the settings.
        make_cache: Returns the shared cache that the settings name, in the way of the framework.
        make_outbox: Returns the outbox that the settings name; default: that of `Settings.make_outbox`.
    """

    def __init__(
        self,
        read: Callable[[], Settings],
        make_cache: Callable[[Settings], SharedCache | None],
        make_outbox: Callable[[Settings], Outbox | None] = Settings.make_outbox,
    ) -> None:
        self._read, self._make_cache, self._make_outbox = read, make_cache, make_outbox

    @lockless_cached_property
    def settings(self) -> Settings:
        """The settings at the time of the first use."""
        return self._read()

    @lockless_cached_property
    def client(self) -> ChatarminOS:
        """The client."""
        self.settings.ensure_valid()
        return self.settings.make_client()

    @lockless_cached_property
    def gate(self) -> Gate:
        """The gate of the client."""
        outbox = None if self.settings.outbox is None else _LateOutbox(self)
        return self.settings.make_gate(self.client, self._make_cache(self.settings), outbox)

    @lockless_cached_property
    def outbox(self) -> Outbox | None:
        """The outbox."""
        self.settings.ensure_valid()
        return self._make_outbox(self.settings)

    def require_outbox(self) -> Outbox:
        """Return the outbox.

        Raises:
            InvalidInput: No outbox is configured, or a setting is invalid.
            OutboxUnavailable: The outbox cannot be opened.
        """
        outbox = self.outbox
        if outbox is None:
            raise no_outbox()
        return outbox

    @lockless_cached_property
    def organisation_function(self) -> Callable[[Any], Any] | None:
        """The function of the setting ORGANISATION."""
        return self.settings.organisation_function()

    @lockless_cached_property
    def denial_function(self) -> Callable[[Any, Any], Any] | None:
        """The function of the setting ON_DENIED."""
        return self.settings.denial_function()

    def close(self) -> None:
        """Close the client and the outbox, if they exist."""
        for name in ("client", "outbox"):
            service = vars(self).get(name)
            if service is not None:
                service.close()


class _LateOutbox:
    """The outbox for the gate, opened at its first event: the gate decides also if the outbox cannot be opened."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def put(self, **values: Any) -> str:
        """Put an event."""
        return self._services.require_outbox().put(**values)


def no_outbox() -> InvalidInput:
    """Return the error of settings that name no outbox."""
    return InvalidInput(f"no outbox is configured: the setting OUTBOX of {NAME} is None")
