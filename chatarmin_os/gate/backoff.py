"""How long the gate leaves a key alone after a failure."""

from __future__ import annotations

from collections.abc import Callable

from chatarmin_os.errors import ChatarminError
from chatarmin_os.gate.failures import retry_after

Jitter = Callable[[float, float], float]

_MAX_WAIT_SECONDS = 30.0
_MAX_DOUBLINGS = 10


def delay_after(failures: int, error: ChatarminError, jitter: Jitter) -> float:
    """Return the seconds to wait after so many failures: a random 0.5 to 1 second, doubling to 30.

    Example:
        >>> from chatarmin_os import ApiError, TimedOut
        >>> [delay_after(failures, TimedOut("slow"), max) for failures in (1, 2, 3, 9)]
        [1.0, 2.0, 4.0, 30.0]
        >>> delay_after(1, ApiError.from_code("TOO_MANY_REQUESTS", retry_after=20), min)
        20.0
    """
    doubled = min(2.0 ** min(failures - 1, _MAX_DOUBLINGS), _MAX_WAIT_SECONDS)
    return max(jitter(0.5, 1.0) * doubled, retry_after(error))


class Backoff:
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
        self.until = now + delay_after(self.failures, error, jitter)

    def error_at(self, now: float) -> ChatarminError | None:
        """Return the last error, while it is waited; else None."""
        return self.error if now < self.until else None
