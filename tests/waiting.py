"""Wait for another thread or process, and fail if it never gets there."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 20.0
"""Seconds after which a test that hangs fails."""

_PAUSE_SECONDS = 0.002


def until(is_true: Callable[[], bool]) -> None:
    """Wait until another thread or process has got somewhere."""
    waited = threading.Event()
    for _ in range(int(PATIENCE / _PAUSE_SECONDS)):
        if is_true():
            return
        waited.wait(_PAUSE_SECONDS)
    raise AssertionError("it never happened")


@contextmanager
def waiting(count: int, seconds: float) -> Iterator[Callable[[], bool]]:
    """Wait so often in a row in another thread, and yield a function that returns whether all waits are over.

    It is a clock for bounds: a busy machine, on which the block is late, makes each wait late too.
    """
    has_ended, is_over = threading.Event(), threading.Event()

    def wait() -> None:
        if not any(has_ended.wait(seconds) for _ in range(count)):
            is_over.set()

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield is_over.is_set
    finally:
        has_ended.set()
        thread.join()
