"""The cache that the gates of several processes share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from chatarmin_os._clock import monotonic

_MAX_ENTRIES = 10_000


@runtime_checkable
class SharedCache(Protocol):
    """A cache of text that several processes share: `Gate(client, shared=...)`.

    `DjangoCache` and `RedisCache` of `chatarmin_os.gate.caches` are such caches, and any object with these three
    methods is one. A gate takes every exception of theirs for a missing entry, and logs it. It waits for them: a cache
    on a network needs a timeout, of a few hundredths of a second. Arguments are passed by position.

    Example:
        >>> isinstance(DictCache(), SharedCache)
        True
    """

    def get(self, key: str, /) -> str | None:
        """Return the value of a key; None without one, or if it has expired."""

    def set(self, key: str, value: str, seconds: float, /) -> None:
        """Store a value that expires after so many seconds, or sooner."""

    def delete(self, key: str, /) -> None:
        """Remove the value of a key, if there is one."""


class DictCache:
    """A shared cache in the memory of one process, for tests of several gates.

    Args:
        now: Returns seconds on a clock that never goes back; default: the machine's. Pass `fake.monotonic`, and the
            fake's `advance` moves this cache too.

    It holds at most 10,000 entries, the oldest go first. Any number of threads may share it.

    Example:
        >>> cache = DictCache(now=fake.monotonic)
        >>> cache.set("key", "value", 60)
        >>> cache.get("key")
        'value'
        >>> from datetime import timedelta
        >>> fake.advance(timedelta(minutes=1))
        >>> print(cache.get("key"))
        None
    """

    def __init__(self, *, now: Callable[[], float] | None = None) -> None:
        self._now = monotonic if now is None else now
        # Each step on it is atomic: a fork leaves no lock locked.
        self._entries: dict[str, tuple[str, float]] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} with {len(self._entries)} entries>"

    def get(self, key: str) -> str | None:
        """Return the value of a key; None without one, or if it has expired."""
        value, expires_at = self._entries.get(key, (None, 0.0))
        return value if self._now() < expires_at else None

    def set(self, key: str, value: str, seconds: float) -> None:
        """Store a value that expires after so many seconds."""
        self._entries.pop(key, None)
        self._entries[key] = (value, self._now() + seconds)
        if len(self._entries) > _MAX_ENTRIES:
            for oldest in list(self._entries)[:-_MAX_ENTRIES]:
                self._entries.pop(oldest, None)

    def delete(self, key: str) -> None:
        """Remove the value of a key, if there is one."""
        self._entries.pop(key, None)
