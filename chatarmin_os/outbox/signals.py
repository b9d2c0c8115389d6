"""Signals that end a delivery after the request under way."""

from __future__ import annotations

import signal
import threading
from _thread import start_new_thread
from collections.abc import Generator
from contextlib import contextmanager


class Stop:
    """Ends a delivery: an event of the caller that is set, or a signal.

    Attributes:
        received: The signals that arrived.
    """

    def __init__(self, event: threading.Event) -> None:
        self._event = event
        self.received: list[int] = []

    def is_set(self) -> bool:
        """Return whether there is a reason to stop."""
        return bool(self.received) or self._event.is_set()

    def wait(self, seconds: float) -> None:
        """Wait for a reason to stop, so many seconds at most."""
        self._event.wait(seconds)

    def receive(self, number: int, _: object) -> None:
        """Handle a signal."""
        self.received.append(number)
        if number == signal.SIGINT:
            signal.signal(number, signal.default_int_handler)
        # The interrupted code may hold the lock of the event, or those of `threading`: setting the event here, or in a
        # Thread, would wait for ever.
        start_new_thread(self._event.set, ())


@contextmanager
def stopped_by(event: threading.Event, *signals: signal.Signals) -> Generator[Stop]:
    """Let these signals stop a delivery in the block, if it is in the main thread.

    A second Ctrl-C interrupts as usual.
    """
    stop = Stop(event)
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop.receive) for number in signals}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)  # None: it was not set by Python
