"""The client and the gate of one project, each created from its settings when it is first needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chatarmin_os._lazy import lockless_cached_property
from chatarmin_os.client import ChatarminOS
from chatarmin_os.gate import Gate, SharedCache
from chatarmin_os.web.settings import Settings


class Services:
    """Everything that is made from one value of the setting CHATARMIN_OS.

    No lock is taken, so that a fork never leaves one locked: threads that come first at the same time get the same
    object, and a forked child keeps what is there.

    Args:
        read: Returns the settings.
        make_cache: Returns the shared cache that the settings name, in the way of the framework.
    """

    def __init__(self, read: Callable[[], Settings], make_cache: Callable[[Settings], SharedCache | None]) -> None:
        self._read, self._make_cache = read, make_cache

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
        return self.settings.make_gate(self.client, self._make_cache(self.settings))

    @lockless_cached_property
    def organisation_function(self) -> Callable[[Any], Any] | None:
        """The function of the setting ORGANISATION."""
        return self.settings.organisation_function()

    @lockless_cached_property
    def denial_function(self) -> Callable[[Any, Any], Any] | None:
        """The function of the setting ON_DENIED."""
        return self.settings.denial_function()

    def close(self) -> None:
        """Close the client, if there is one."""
        client = vars(self).get("client")
        if client is not None:
            client.close()
