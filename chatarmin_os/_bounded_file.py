"""Read files of users, which may be devices, pipes, folders, or far too large."""

from __future__ import annotations

import errno
import os
import stat


def read_bounded(path: str, max_bytes: int) -> bytes:
    """Return the content of a regular file of at most *max_bytes*, without waiting for a pipe or a device.

    Raises:
        OSError: The file is missing, not a regular one, or larger.

    Example:
        >>> read_bounded("/dev/zero", 100)
        Traceback (most recent call last):
        ...
        OSError: [Errno 22] it is not a regular file
    """
    with open(path, "rb", opener=_open_without_waiting) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        if found.st_size > max_bytes:
            raise OSError(errno.EFBIG, f"it is larger than {max_bytes:,} bytes")
        return file.read(max_bytes)


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
