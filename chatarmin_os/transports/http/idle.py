"""The connections that wait for a call."""

from __future__ import annotations

from collections import deque
from queue import Empty
from typing import Any

from chatarmin_os._clock import monotonic

MAX_IDLE_SECONDS = 55.0
"""An older idle connection is closed, for a load balancer will have forgotten it (most do after 60)."""


class IdleStack:
    """Idle connections, the last used first; it has the methods that urllib3 calls of a `queue.LifoQueue`.

    A LifoQueue has a lock written in Python, which an exception raised by a signal, or a fork, can leave locked for
    ever. `deque.append` and `deque.pop` are atomic under the GIL. The size is unlimited.
    """

    def __init__(self, _: int = 0) -> None:
        self.queue: deque[Any] = deque()

    def get(self, *_: Any, **__: Any) -> Any:
        """Return the connection that was used last.

        Raises:
            queue.Empty: No connection is idle.
        """
        try:
            return self.queue.pop()
        except IndexError:
            raise Empty from None

    def put(self, connection: Any, *_: Any, **__: Any) -> None:
        """Keep a connection, and close those that are too old: as many as were ever in use at once would stay."""
        if connection is not None:  # a new pool puts None for each connection that it may open
            self.queue.append(connection)
            self.close_old()

    def close_old(self) -> None:
        """Close the connections that are too old to be used."""
        while True:
            try:
                oldest = self.queue.popleft()
            except IndexError:  # none is left; another thread may have taken the last
                return
            if monotonic() - oldest.idle_since <= MAX_IDLE_SECONDS:
                self.queue.appendleft(oldest)
                return
            oldest.close()
