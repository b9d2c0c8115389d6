"""Signals that end a delivery after the request under way."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def stopped_by(stop: threading.Event, *signals: signal.Signals) -> Generator[list[int]]:
    """Set *stop* when one of these signals arrives, and yield the list of those that arrived; only in the main thread.

    A second Ctrl-C interrupts as usual.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def note(number: int, _: object) -> None:
        received.append(number)
        if number == signal.SIGINT:
            signal.signal(number, signal.default_int_handler)
        # The interrupted code may hold the lock of the event, so that setting it here would wait for ever.
        threading.Thread(target=stop.set, name="chatarmin_os-stop").start()

    before = {number: signal.signal(number, note) for number in signals}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)  # None: it was not set by Python
