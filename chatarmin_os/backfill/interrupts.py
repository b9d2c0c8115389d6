"""Ctrl-C ends a run after the rows in flight."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Interrupted(KeyboardInterrupt):
    """The first Ctrl-C, in a block that it interrupts at once."""


class Interrupts:
    """Notes the first Ctrl-C in the main thread; a second one interrupts as usual.

    Args:
        wake: Called in the signal handler, to end a wait.

    Attributes:
        is_set: Whether there was one.
    """

    def __init__(self, wake: Callable[[], object]) -> None:
        self._wake, self._is_direct = wake, False
        self.is_set = False

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note Ctrl-C in the block, unless the program has a handler of its own."""
        is_ours = (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        )
        if is_ours:
            signal.signal(signal.SIGINT, self._handle)
        try:
            yield
        finally:
            if is_ours:
                signal.signal(signal.SIGINT, signal.default_int_handler)

    @contextmanager
    def direct(self) -> Iterator[None]:
        """Let Ctrl-C interrupt the block: it waits for something else than rows in flight."""
        self._is_direct = True
        try:
            if self.is_set:
                raise Interrupted
            yield
        finally:
            self._is_direct = False

    def _handle(self, _number: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.is_set = True
        self._wake()
        if self._is_direct:
            raise Interrupted
