"""When a call may be retried, after how long, and how often in all."""

from __future__ import annotations

import re
import sys
from datetime import UTC
from email.utils import parsedate_to_datetime
from random import SystemRandom
from typing import TYPE_CHECKING, Literal

from chatarmin_os._clock import monotonic, wall
from chatarmin_os.errors import ApiError, RateLimitError

if TYPE_CHECKING:
    from collections.abc import Callable

Repeat = Literal["any", "safe", "never"]
"""The calls that may be retried after a failure: any, those that are safe to repeat, none."""

FIRST_WAIT_SECONDS, MAX_WAIT_SECONDS = 0.1, 2.0
"""A wait is drawn from 0 to 0.1, 0.2, 0.4 ... and at most 2 seconds."""

_MAX_DEADLINE_SECONDS = 10.0**6
"""11 days, which the clocks of all operating systems can wait."""

_TOLERANCE_SECONDS = 0.05

_UNAVAILABLE = frozenset({502, 503, 504})
_TOO_MANY_REQUESTS = 429
_HAS_RETRY_AFTER = frozenset({429, 503})

_random = SystemRandom()
"""Callers seed the generator of the module `random`; the operating system's needs no seed, not even after a fork."""


class Deadline:
    """The instant at which a call has to end, on a clock that nobody sets."""

    __slots__ = ("_at", "_clock", "seconds")

    def __init__(self, seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self.seconds = float(seconds)
        self._clock = clock
        self._at = clock() + min(seconds, _MAX_DEADLINE_SECONDS)

    def remaining(self) -> float:
        """Return the seconds that are left, 0 after the deadline."""
        return max(0.0, self._at - self._clock())

    def has_passed(self) -> bool:
        """Return whether a timeout now may be that of the deadline: clocks differ by a few milliseconds."""
        return self.remaining() <= _TOLERANCE_SECONDS


class Budget:
    """Retries for all calls of a transport together, so that retries do not flood a service that is down.

    It holds 20 retries. Each retry takes one, and each answered call refunds a fifth: if one call in ten fails, all are
    retried; if all fail, a few are. Threads share it without a lock: a lost count does no harm.
    """

    _MAX, _REFUND = 20.0, 0.2

    def __init__(self) -> None:
        self._left = self._MAX

    def take(self) -> bool:
        """Take one retry, if one is left."""
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def refund(self) -> None:
        """Refund a part of a retry for a call that was answered."""
        if self._left < self._MAX:
            self._left += self._REFUND


def max_wait(attempt: int) -> float:
    """Return the maximum seconds to wait after an attempt; the first attempt is 1.

    Example:
        >>> [max_wait(attempt) for attempt in (1, 2, 3, 10, 5000)]
        [0.1, 0.2, 0.4, 2.0, 2.0]
    """
    return float(min(MAX_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** min(attempt - 1, 10)))


def full_jitter(attempt: int) -> float:
    """Return random seconds to wait after an attempt, so that clients that failed together do not return together."""
    return _random.uniform(0, max_wait(attempt))


def after_status(status: int | None) -> Repeat:
    """Return which calls may be retried after a response with *status* that is no success.

    A complete 429 means that the call did not run. 502, 503 and 504 come from a proxy, or from a service that starts or
    stops, and may pass. A 500 is the service's own failure: it would most likely fail again, and may have run.
    """
    return "any" if status == _TOO_MANY_REQUESTS else "safe" if status in _UNAVAILABLE else "never"


def after_refusal(error: ApiError) -> Repeat:
    """Return which calls may be retried after a refusal."""
    if isinstance(error, RateLimitError):
        return "any"
    is_unavailable = error.code in {"BAD_GATEWAY", "SERVICE_UNAVAILABLE", "GATEWAY_TIMEOUT"}
    return "safe" if is_unavailable else after_status(error.http_status)


def retry_after_of(error: object) -> float:
    """Return the seconds that an error says to wait, 0 if it says none."""
    return getattr(error, "retry_after", None) or 0.0


def retry_after(status: int, header: str | None, clock: Callable[[], float] = wall) -> float | None:
    """Return the seconds to wait by the Retry-After header of a 429 or 503, None without a valid one.

    A number or a date of any size is a wait: the maximum is `sys.float_info.max`, a year after 9999 counts as 9999.

    Example:
        >>> retry_after(429, " 5 "), retry_after(503, "1.5"), retry_after(429, "Sun, 06 Nov 1994 08:49:37 GMT")
        (5.0, 1.5, None)
        >>> retry_after(429, "9" * 12), retry_after(429, "9" * 400) == sys.float_info.max
        (999999999999.0, True)
        >>> [retry_after(429, junk) for junk in ("-5", "nan", "soon", "", "1e3", None)]
        [None, None, None, None, None, None]
    """
    if header is None or status not in _HAS_RETRY_AFTER:
        return None
    text = header.strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return min(float(text), sys.float_info.max)
    try:
        moment = parsedate_to_datetime(re.sub(r"\b[1-9][0-9]{4,}\b", "9999", text))
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - clock()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return seconds if seconds > 0 else None
