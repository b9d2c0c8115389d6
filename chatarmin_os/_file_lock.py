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
_STEP_BACK_SECONDS = 0.002  # longer than a pause of those that wait
_PATIENCE_SECONDS = 0.02
_CLOSED = -1
_random = SystemRandom()  # callers seed the generator of the module


class FileLock:
    """A lock on a file, which one process holds at a time; it ends with the process.

    The lock belongs to the open file and not to a thread: its owner lets one thread in at a time. Close it before a
    fork, as a child would share it.

    A process that has waited for long gives the file a size: the others step back once, or they could take the lock
    again and again before it does.

    Args:
        path: The file, which is created for its owner only (0600). A symbolic link is refused.
        patience: Seconds to wait before the others are asked to step back.
    """

    def __init__(self, path: str, *, patience: float = _PATIENCE_SECONDS) -> None:
        self._path, self._patience = path, patience
        self._descriptor = _CLOSED

    def acquire(self, seconds: float) -> bool:
        """Take the lock; return False if another process has it for that long.

        Raises:
            OSError: The file cannot be opened or locked.
        """
        if not self._try():
            return self._wait(seconds)
        if fcntl is None or seconds < _STEP_BACK_SECONDS or not os.pread(self._descriptor, 1, 0):
            return True
        self.release()
        time.sleep(_STEP_BACK_SECONDS)
        os.ftruncate(self._descriptor, 0)  # a process that was killed does not ask again
        return self._wait(seconds - _STEP_BACK_SECONDS)

    def release(self) -> None:
        """Give it back."""
        if fcntl is not None and self._descriptor != _CLOSED:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file, which gives the lock back."""
        if self._descriptor != _CLOSED:
            os.close(self._descriptor)
            self._descriptor = _CLOSED

    def _try(self) -> bool:
        if self._descriptor == _CLOSED:
            flags = os.O_CREAT | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)
            self._descriptor = os.open(self._path, flags, 0o600)
        try:
            if fcntl is not None:  # pragma: no branch - Windows
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _wait(self, seconds: float) -> bool:
        start, is_asking = monotonic(), False
        while (waited := monotonic() - start) < seconds:
            if waited >= self._patience:
                os.ftruncate(self._descriptor, 1)
                is_asking = True
            time.sleep(_random.uniform(0, _MAX_PAUSE_SECONDS))  # so that waiting processes take turns
            if self._try():
                if is_asking:
                    os.ftruncate(self._descriptor, 0)
                return True
        return False
