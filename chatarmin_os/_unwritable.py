"""The end of a command whose output cannot be written: its reader has read enough, or the disk is full."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def ending_if_unwritable(program: str) -> Iterator[None]:
    """Write the output of a command in the block, and end the process if that fails.

    Args:
        program: The name of the command, for its error.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        sys.exit(exit_code(error, program))


def exit_code(error: OSError, program: str) -> int:
    """Return the exit code if standard output or standard error cannot be written, and print the error."""
    for stream in (sys.stdout, sys.stderr):  # buffered text must not fail once more when Python exits
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    if isinstance(error, BrokenPipeError):  # the reader has read enough
        return 0
    problem = f"could not write the output: {error.strerror}; the command may have had its effect"
    with suppress(OSError):
        print(f"{program}: {problem}", file=sys.stderr)  # noqa: T201 - to the user of a command
    return 3
