"""When a call may be made again, after how long, and how often in all."""

from __future__ import annotations

import re
import sys
from datetime import UTC
from email.utils import parsedate_to_datetime
from random import SystemRandom
from typing import Literal

from chatarmin_os._clock import monotonic, wall
from chatarmin_os.errors import ApiError, RateLimitError

Repeat = Literal["any", "safe", "never"]
"""Which calls may be made again after a failure: any, those that are safe to repeat, none."""

FIRST_WAIT, LONGEST_WAIT = 0.1, 2.0
"""Seconds: the waits between attempts are drawn from 0 to 0.1, 0.2, 0.4 ... and at most 2."""

_LONGEST = 10.0**6
"""Seconds: 11 days, which the clocks of all operating systems can wait."""

_UNAVAILABLE = frozenset({502, 503, 504})
_TOO_MANY = 429
_TELLS_WHEN = frozenset({429, 503})


random = SystemRandom()
"""Not the generator of the module `random`, which callers seed; the operating system's needs no seed after a fork."""


class Deadline:
    """The instant until which something may take, on the clock that nobody sets."""

    __slots__ = ("_at",)

    def __init__(self, seconds: float) -> None:
        self._at = monotonic() + min(seconds, _LONGEST)

    def remaining(self) -> float:
        """Return the seconds that are left, 0 where none are."""
        return max(0.0, self._at - monotonic())


class Budget:
    """Repeats for all calls of a transport together, so that a service that is down is not stormed.

    It holds 20 repeats. Each takes one, and each call that was answered gives back a fifth: where one call in ten
    fails all are repeated, where all fail a few are. Threads share it without a lock: a lost count does no harm.
    """

    _MOST, _GIVEN_BACK = 20.0, 0.2

    def __init__(self) -> None:
        self._left = self._MOST

    def take(self) -> bool:
        """Take one repeat, if there is one."""
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def give_back(self) -> None:
        """Give back for a call that was answered."""
        if self._left < self._MOST:
            self._left += self._GIVEN_BACK


def longest_wait(attempt: int) -> float:
    """Return the most seconds to wait after an attempt, the first being 1; the wait is drawn from 0 to it.

    Example:
        >>> [longest_wait(attempt) for attempt in (1, 2, 3, 10, 5000)]
        [0.1, 0.2, 0.4, 2.0, 2.0]
    """
    return float(min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(attempt - 1, 10)))


def after_status(status: int | None) -> Repeat:
    """Return which calls may be made again after an answer with *status* that is no success.

    A complete 429 says that the call did not run. 502, 503 and 504 come from in front of the service or from its start
    and end, and may pass. A 500 is the service's own failure: it would most likely fail again, and may have run.
    """
    return "any" if status == _TOO_MANY else "safe" if status in _UNAVAILABLE else "never"


def after_refusal(error: ApiError) -> Repeat:
    """Return which calls may be made again after a refusal."""
    if isinstance(error, RateLimitError):
        return "any"
    by_code = error.code in {"BAD_GATEWAY", "SERVICE_UNAVAILABLE", "GATEWAY_TIMEOUT"}
    return "safe" if by_code else after_status(error.http_status)


def told_wait(error: object) -> float:
    """Return the seconds that an error says to wait, 0 where it does not."""
    return getattr(error, "retry_after", None) or 0.0


def retry_after(status: int, header: str | None) -> float | None:
    """Return the seconds to wait by a Retry-After header of a 429 or 503, None if it says none.

    A number or a date of any size is a wait: the longest is `sys.float_info.max`, a year beyond 9999 counts as 9999.

    Example:
        >>> retry_after(429, " 5 "), retry_after(503, "1.5"), retry_after(429, "Sun, 06 Nov 1994 08:49:37 GMT")
        (5.0, 1.5, None)
        >>> retry_after(429, "9" * 12), retry_after(429, "9" * 400) == sys.float_info.max
        (999999999999.0, True)
        >>> [retry_after(429, junk) for junk in ("-5", "nan", "soon", "", "1e3", None)]
        [None, None, None, None, None, None]
    """
    if header is None or status not in _TELLS_WHEN:
        return None
    text = header.strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return min(float(text), sys.float_info.max)
    try:
        moment = parsedate_to_datetime(re.sub(r"\b[1-9][0-9]{4,}\b", "9999", text))
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - wall()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return seconds if seconds > 0 else None
