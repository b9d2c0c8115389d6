"""The base of shared caches on a network: it rests after each failure, and forgets no deletion."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from math import ceil

from chatarmin_os._clock import monotonic

REST_SECONDS = 1.0
MAX_SECONDS = 365 * 86_400  # an entry may expire sooner; some backends cannot count further
MAX_PENDING = 10_000


def whole(seconds: float, unit: float = 1.0) -> int:
    """Return a time to live in whole units, at least 1: zero means "for ever" to some caches, and "never" to others.

    Example:
        >>> whole(0.2), whole(900.0), whole(4.5, unit=0.001), whole(float("inf")) == MAX_SECONDS
        (1, 900, 4500, True)
    """
    return max(1, ceil(min(seconds, MAX_SECONDS) / unit))


class RestingCache(ABC):
    """A shared cache that is left alone for a second after a failure.

    While it rests, `get` returns None and `set` does nothing. Then one caller tries, and the others go on as before
    until it has succeeded: of many threads one waits for a cache that hangs.

    A key whose deletion was skipped or failed is deleted before anything else is done with the cache: an old value must
    not outlive the failure. A deletion that comes late removes a newer value at worst.

    No step takes a lock that a fork could leave locked.
    """

    _failures: tuple[type[Exception], ...]  # after which the cache rests
    _max_seconds: float | None = None  # an operation that takes longer is one too; None: it has a timeout

    def __init__(self, now: Callable[[], float] | None) -> None:
        self._now = monotonic if now is None else now
        self._rests_until: float | None = None  # None: it works
        self._pending: dict[str, bool] = {}  # the keys to delete, the oldest first

    def get(self, key: str) -> str | None:
        """Return the value of a key; None without one, if it has expired, or if it is not text."""
        if self._is_resting():
            return None
        with self._trying():
            self._delete_pending()
            value = self._get(key)
        return value if isinstance(value, str) else None

    def set(self, key: str, value: str, seconds: float) -> None:
        """Store a value that expires after so many seconds, rounded up; without a time it is deleted."""
        if seconds <= 0:
            self.delete(key)
        elif not self._is_resting():
            with self._trying():
                self._delete_pending()
                self._set(key, value, seconds)

    def delete(self, key: str) -> None:
        """Remove the value of a key: now, or once the cache can be reached."""
        self._pending[key] = True
        for oldest in list(self._pending)[:-MAX_PENDING]:
            self._pending.pop(oldest, None)
        if not self._is_resting():
            with self._trying():
                self._delete_pending()

    @abstractmethod
    def _get(self, key: str) -> object: ...

    @abstractmethod
    def _set(self, key: str, value: str, seconds: float) -> None: ...

    @abstractmethod
    def _delete(self, keys: Sequence[str]) -> None: ...

    def _delete_pending(self) -> None:
        if not self._pending:
            return
        taken = [key for key in list(self._pending) if self._pending.pop(key, False)]
        try:
            self._delete(taken)
        except BaseException:
            self._pending.update(dict.fromkeys(taken, True))
            raise

    def _is_resting(self) -> bool:
        rests_until = self._rests_until
        if rests_until is None:
            return False
        now = self._now()
        if now < rests_until:
            return True
        self._rests_until = now + REST_SECONDS  # for all but this caller, who tries
        return False

    @contextmanager
    def _trying(self) -> Generator[None]:
        started = self._now()
        try:
            yield
        except self._failures:
            self._rests_until = self._now() + REST_SECONDS
            raise
        except Exception:
            self._rests_until = None  # it answered
            raise
        self._rests_until = self._end_of_rest(self._now() - started)

    def _end_of_rest(self, took: float) -> float | None:
        """Return until when a cache rests that answered: ten times as long as it took, if that was too long."""
        is_slow = self._max_seconds is not None and took > self._max_seconds
        return self._now() + 10 * took if is_slow else None
