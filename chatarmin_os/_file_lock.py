"""A lock between processes: a file of its own, locked by the operating system."""

from __future__ import annotations

import os
import time
from random import SystemRandom

from chatarmin_os._clock import monotonic

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None  # type: ignore[assignment]

_MAX_PAUSE_SECONDS = 0.001
_random = SystemRandom()  # callers seed the generator of the module


class FileLock:
    """A lock on a file, which one process holds at a time; it ends with the process.

    The lock belongs to the open file and not to a thread: its owner lets one thread in at a time. Close it before a
    fork, as a child would share it.

    Args:
        path: The file, which is created for its owner only (0600). A symbolic link is refused.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self, seconds: float) -> bool:
        """Take the lock; return False if another process has it for that long.

        Raises:
            OSError: The file cannot be opened or locked.
        """
        return self._try() or self._wait(seconds)

    def release(self) -> None:
        """Give it back."""
        if fcntl is not None and self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file, which gives the lock back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _try(self) -> bool:
        if self._descriptor is None:
            flags = os.O_CREAT | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)
            self._descriptor = os.open(self._path, flags, 0o600)
        try:
            if fcntl is not None:  # pragma: no branch - Windows
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _wait(self, seconds: float) -> bool:
        end = monotonic() + seconds
        while monotonic() < end:
            time.sleep(_random.uniform(0, _MAX_PAUSE_SECONDS))  # so that waiting processes take turns
            if self._try():
                return True
        return False
