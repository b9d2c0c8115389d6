"""Streams that cannot be written."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO


def broken_pipe() -> TextIO:
    """Return a pipe whose reader is gone."""
    reading, writing = os.pipe()
    os.close(reading)
    return open(writing, "w", encoding="utf-8")  # noqa: PTH123 - the caller closes it


def full_disk() -> TextIO:
    """Return a file on a disk that is full."""
    if not os.path.exists("/dev/full"):  # noqa: PTH110
        pytest.skip("this system has no disk that is always full")
    return open("/dev/full", "w", encoding="utf-8")  # noqa: PTH123 - the same


UNWRITABLE: list[tuple[Callable[[], TextIO], int, str]] = [
    (broken_pipe, 0, ""),
    (full_disk, 3, "could not write the output: No space left on device; the command may have had its effect\n"),
]
"""Streams, and the exit code and the error of a command that writes to them."""
