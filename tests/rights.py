"""Tests of missing rights, also if root runs them."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_NOBODY = 12345


@contextmanager
def without_rights_of_root() -> Iterator[None]:
    """Let files be opened as a user who owns none of them, if root runs the tests."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)
