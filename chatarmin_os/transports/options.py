"""The options of `Transport.with_options`, checked before anything uses them."""

from __future__ import annotations

import sys

from chatarmin_os._input import at_field
from chatarmin_os._json import describe
from chatarmin_os.errors import InvalidInput


def timeout(given: float) -> float:
    """Return the seconds that a whole call may take."""
    return at_field("timeout", _seconds)(given)


def max_retries(given: int) -> int:
    """Return the maximum number of retries of a call."""
    return at_field("max_retries", _count)(given)


def check(given_timeout: float | None, given_max_retries: int | None) -> None:
    """Refuse an invalid timeout or number of retries; None leaves an option unchanged."""
    if given_timeout is not None:
        timeout(given_timeout)
    if given_max_retries is not None:
        max_retries(given_max_retries)


def _seconds(given: float) -> float:
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 < given <= sys.float_info.max:
        raise InvalidInput(f"must be seconds above 0, got {describe(given)}")
    return float(given)


def _count(given: int) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or given < 0:
        raise InvalidInput(f"must be an int of at least 0, got {describe(given)}")
    return int(given)
