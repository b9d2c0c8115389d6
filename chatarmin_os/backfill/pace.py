"""How many rows a second are sent: the user's maximum, and fewer after the service asked for that."""

from __future__ import annotations

from math import inf

_GROWTH_PER_SECOND = 0.1  # of the usual rate
_MIN_RATE = 1.0
_MAX_CHUNK = 50  # the calls of one request
_MIN_MEASURED_SECONDS = 1.0


class Pace:
    """Decides when rows may be sent.

    After an overload the rate is half of what it was. After the wait that the service asked for it grows by a tenth of
    the usual rate a second, which is that before the first overload; at twice the usual rate it is unlimited. Further
    overloads of rows that were sent before that count as the same one.

    The growth does not depend on the current rate: if it did, a service that refuses a few requests of a hundred,
    however many there are, would get fewer and fewer.

    Args:
        rate: The maximum, in rows a second; None: no maximum.
        now: The seconds on a clock that never goes back.

    Example:
        >>> pace = Pace(100.0, now=0.0)
        >>> pace.wait(50, now=0.0), pace.wait(50, now=0.0)  # the second 50 may be sent after half a second
        (0.0, 0.5)
        >>> pace.slow_down(sent_at=0.0, retry_after=2.0, now=1.0)
        >>> pace.rate
        50.0
        >>> pace.wait(50, now=1.0), pace.wait(0, now=3.5)  # 50 rows a second after the wait
        (2.0, 0.5)
        >>> pace.rate
        55.0
    """

    def __init__(self, rate: float | None, *, now: float) -> None:
        self._max = inf if rate is None else rate
        self._limit = inf  # after an overload
        self._usual = 0.0
        self._free_at = self._grown_at = self._began_at = now
        self._slowed_at = self._resumes_at = -inf
        self._rows = 0  # since it began, or was unlimited again

    @property
    def rate(self) -> float:
        """How many rows a second may be sent."""
        return min(self._max, self._limit)

    @property
    def chunk(self) -> int:
        """How many rows to send at once: those of a second."""
        return int(max(1.0, min(_MAX_CHUNK, self.rate)))

    def wait(self, rows: int, *, now: float) -> float:
        """Return how many seconds to wait before so many rows are sent, which are the next ones."""
        self._grow(now)
        seconds = max(0.0, self._free_at - now)
        self._rows += rows
        self._free_at = now + seconds + rows / self.rate
        return seconds

    @property
    def resumes_at(self) -> float:
        """The end of the longest wait that the service asked for; nothing is sent before."""
        return self._resumes_at

    def slow_down(self, *, sent_at: float, retry_after: float, now: float) -> None:
        """Take note of an overload of rows that were sent at *sent_at*."""
        self._grow(now)
        self._resumes_at = max(self._resumes_at, now + retry_after)
        self._free_at = max(self._free_at, self._resumes_at)
        self._grown_at = max(self._grown_at, self._resumes_at)
        if sent_at <= self._slowed_at:
            return
        if self._limit == inf:
            measured = self._rows / max(_MIN_MEASURED_SECONDS, now - self._began_at)
            self._usual = max(self._usual, _MIN_RATE, min(self._max, measured))
            self._limit = self._usual
        self._limit, self._slowed_at = max(_MIN_RATE, self.rate / 2), now

    def _grow(self, now: float) -> None:
        if self._limit < inf and now > self._grown_at:
            self._limit += _GROWTH_PER_SECOND * self._usual * (now - self._grown_at)
            if self._limit >= min(2 * self._usual, self._max):
                self._limit, self._rows, self._began_at = inf, 0, now
        self._grown_at = max(self._grown_at, now)
