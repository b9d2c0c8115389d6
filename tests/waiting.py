"""Wait for another thread or process, and fail if it never gets there."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

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
