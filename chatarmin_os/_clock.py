"""The real clock, also in tests that stop or move time.

freezegun replaces the functions of `time` in every module, those that are imported while time stands still included:
a deadline would never pass. It knows them by identity, so that the functions of a second copy of the module stay as
they are. Waits need nothing: `time.sleep` is left alone, and is looked up at each call because gevent replaces it.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from functools import partial
from importlib.machinery import BuiltinImporter
from importlib.util import module_from_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_LINUX_WALL_CLOCK = 5  # CLOCK_REALTIME_COARSE: time-machine moves CLOCK_REALTIME, and `time.time` with it


def _second_copy_of_time() -> Any:
    spec: Any = BuiltinImporter.find_spec("time")
    copy: Any = module_from_spec(spec)
    spec.loader.exec_module(copy)
    return copy


_time = _second_copy_of_time()

monotonic: Callable[[], float] = _time.monotonic
"""Return seconds on a clock that nobody sets."""

perf_counter: Callable[[], float] = _time.perf_counter
"""Return seconds on the finest clock, to measure how long something takes."""

wall: Callable[[], float] = partial(_time.clock_gettime, _LINUX_WALL_CLOCK) if sys.platform == "linux" else _time.time
"""Return the seconds since 1970, to some milliseconds."""


def now() -> datetime:
    """Return the instant that it really is, in UTC."""
    return datetime.fromtimestamp(wall(), UTC)
