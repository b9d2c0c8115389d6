"""The clock, the waits and the random numbers of a run, which tests replace."""

from __future__ import annotations

import queue
from collections.abc import Callable
from random import SystemRandom
from typing import TypeVar

from attrs import frozen

from chatarmin_os._clock import monotonic

T = TypeVar("T")


def take(source: queue.SimpleQueue[T], seconds: float | None) -> T | None:
    """Return the next item; None if none came within so many seconds.

    Example:
        >>> take(queue.SimpleQueue(), 0.0) is None
        True
    """
    try:
        return source.get(timeout=None if seconds is None else max(0.0, min(seconds, _MAX_WAIT_SECONDS)))
    except queue.Empty:
        return None


_MAX_WAIT_SECONDS = 60.0  # callers wait again; a longer wait may be too long for the platform


@frozen
class Timing:
    """Where the time of a run comes from.

    Attributes:
        now: Returns seconds on a clock that never goes back.
        random: Returns a number from 0 to 1.
        take: Waits for the next item of a queue.
    """

    now: Callable[[], float] = monotonic
    random: Callable[[], float] = SystemRandom().random
    take: Callable[[queue.SimpleQueue[object], float | None], object] = take
