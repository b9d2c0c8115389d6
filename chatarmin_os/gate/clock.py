"""The two clocks of a gate: one to measure ages, and one for instants that others give."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from chatarmin_os import _clock
from chatarmin_os._lazy import lockless_cached_property
from chatarmin_os.transports.base import Transport

if TYPE_CHECKING:
    from chatarmin_os.client import ChatarminOS


class Clock:
    """The clocks of a client's transport, which a lazy client makes at its first call.

    Args:
        client: The client.
        now: Returns seconds on a clock that never goes back, instead of the transport's.
    """

    def __init__(self, client: ChatarminOS, now: Callable[[], float] | None) -> None:
        self._client, self._now = client, now

    @lockless_cached_property
    def seconds(self) -> Callable[[], float]:
        """Return seconds on a clock that never goes back."""
        if self._now is not None:
            return self._now
        transport = self._client.transport
        # Most transports have the clock of the machine: a check then saves the way through them.
        return _clock.monotonic if type(transport).monotonic is Transport.monotonic else transport.monotonic

    def wall(self) -> datetime:
        """Return the time of the service."""
        return self._client.transport.now()
