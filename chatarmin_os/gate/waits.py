"""How long to leave a key alone after a failure, and when to leave the whole service alone."""

from __future__ import annotations

from collections.abc import Callable
from random import uniform

from chatarmin_os.errors import ChatarminError
from chatarmin_os.gate.failures import is_outage, is_rate_limit, retry_after

Jitter = Callable[[float, float], float]

_MAX_WAIT_SECONDS = 30.0
_MAX_DOUBLINGS = 10
_FAILURES_IN_A_ROW = 5


def wait_after(failures: int, error: ChatarminError, jitter: Jitter) -> float:
    """Return the seconds to wait after so many failures: a random 0.5 to 1 second, doubling to 30.

    Example:
        >>> from chatarmin_os import ApiError, TimedOut
        >>> [wait_after(failures, TimedOut("slow"), max) for failures in (1, 2, 3, 9)]
        [1.0, 2.0, 4.0, 30.0]
        >>> wait_after(1, ApiError.from_code("TOO_MANY_REQUESTS", retry_after=20), min)
        20.0
    """
    doubled = min(2.0 ** min(failures - 1, _MAX_DOUBLINGS), _MAX_WAIT_SECONDS)
    return max(jitter(0.5, 1.0) * doubled, retry_after(error))


class Wait:
    """The failures in a row of one key."""

    __slots__ = ("error", "failed_at", "failures", "until")

    def __init__(self) -> None:
        self.failures = 0
        self.failed_at = self.until = float("-inf")
        self.error: ChatarminError | None = None

    def fail(self, error: ChatarminError, now: float, jitter: Jitter) -> None:
        """Take note of a failure, and wait."""
        self.failures += 1
        self.error, self.failed_at = error, now
        self.until = now + wait_after(self.failures, error, jitter)

    def error_at(self, now: float) -> ChatarminError | None:
        """Return the last error, while it is waited; else None."""
        return self.error if now < self.until else None


class Breaker:
    """The failures in a row of any keys: from the fifth on, one refresh goes through after each wait."""

    def __init__(self, jitter: Jitter = uniform) -> None:
        self._jitter = jitter
        self._close()

    def succeed(self, *, is_probe: bool) -> None:
        """Take note of an answer. One that was under way when a wait began does not end the wait."""
        if is_probe or not self._is_open:
            self._close()

    def _close(self) -> None:
        self._failures = self._trips = 0
        self._is_open = self._is_probing = False
        self._until = float("-inf")
        self._error: ChatarminError | None = None

    def refusal(self, now: float) -> ChatarminError | None:
        """Return the error because of which no refresh may begin now; None if one may."""
        return self._error if self._is_open and (now < self._until or self._is_probing) else None

    @property
    def until(self) -> float:
        """The end of the wait."""
        return self._until

    def begin(self) -> bool:
        """Take note of a refresh that begins; return whether it is the one that goes through."""
        self._is_probing = self._is_open
        return self._is_open

    def release(self) -> None:
        """Let another refresh go through: the one that did has ended."""
        self._is_probing = False

    def fail(self, error: ChatarminError, now: float) -> None:
        """Take note of a failure; a mistake does not count."""
        if not is_outage(error):
            return
        self._failures += 1
        is_limited = is_rate_limit(error)
        if not is_limited and self._failures < _FAILURES_IN_A_ROW and not self._is_open:
            return
        if self._is_open and now < self._until:
            self._until = max(self._until, now + retry_after(error))
            return
        self._is_open = True
        self._trips += 1
        self._until = now + wait_after(self._trips, error, self._jitter)
        self._error = error
