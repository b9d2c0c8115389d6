"""The real clock, also in tests that stop or move time.

freezegun replaces the functions of `time` in every module, also in modules imported later: a deadline would never pass.
It identifies them by identity, so that it does not replace the functions of a second copy of the module. Waits need no
copy: freezegun does not replace `time.sleep`, which each call looks up because gevent replaces it.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from functools import partial
from importlib.machinery import BuiltinImporter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_LINUX_WALL_CLOCK = 5  # CLOCK_REALTIME_COARSE: time-machine moves CLOCK_REALTIME, and `time.time` with it


def _second_copy_of_time() -> Any:
    spec: Any = BuiltinImporter.find_spec("time")
    copy: Any = spec.loader.create_module(spec)  # as `importlib.util` does, without importing that
    spec.loader.exec_module(copy)
    return copy


_time = _second_copy_of_time()

monotonic: Callable[[], float] = _time.monotonic
"""Return seconds on a clock that never goes back."""

perf_counter: Callable[[], float] = _time.perf_counter
"""Return seconds on the most precise clock, to measure durations."""

wall: Callable[[], float] = partial(_time.clock_gettime, _LINUX_WALL_CLOCK) if sys.platform == "linux" else _time.time
"""Return the seconds since 1970, precise to a few milliseconds."""


def now() -> datetime:
    """Return the real current time in UTC."""
    return datetime.fromtimestamp(wall(), UTC)
