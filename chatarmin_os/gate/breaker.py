"""When the gate leaves the whole service alone."""

from __future__ import annotations

from random import uniform

from chatarmin_os.errors import ChatarminError
from chatarmin_os.gate.backoff import Jitter, delay_after
from chatarmin_os.gate.failures import is_outage, is_rate_limit, retry_after

_FAILURES_IN_A_ROW = 5


class CircuitBreaker:
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
    def error(self) -> ChatarminError | None:
        """The failure that opened it; None while it is closed."""
        return self._error

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
        self._until = now + delay_after(self._trips, error, self._jitter)
        self._error = error
