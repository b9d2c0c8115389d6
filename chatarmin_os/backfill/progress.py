"""Progress of a run: a bar of tqdm, or lines."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from chatarmin_os._clock import monotonic
from chatarmin_os._json import describe
from chatarmin_os.errors import InvalidInput

_SECONDS = 10.0

Show = Callable[[int, int | None], object]
"""Shows how many rows have ended, and how many there are."""


@contextmanager
def shown(progress: Show | bool | None) -> Iterator[Show]:  # noqa: FBT001 - as it was given
    """Return a function that shows progress in the block.

    Raises:
        InvalidInput: *progress* is neither a function nor True.

    Example:
        >>> with shown(print) as show:
        ...     show(5, 10)
        5 10
    """
    if progress is None or progress is False:
        yield lambda _done, _total: None
    elif callable(progress):
        yield progress
    elif progress is not True:
        raise InvalidInput(f"expected a function, True or None, got {describe(progress)}", field="progress")
    elif sys.stderr is not None and sys.stderr.isatty() and (tqdm := _tqdm()) is not None:
        with tqdm(unit=" rows", unit_scale=True) as bar:
            yield _on(bar)
    else:
        yield Lines(monotonic)


def _tqdm() -> Any:
    """Return tqdm, the extra `backfill`; None if it is not installed."""
    try:
        return importlib.import_module("tqdm").tqdm
    except ImportError:
        return None


def _on(bar: Any) -> Show:
    def show(done: int, total: int | None) -> None:
        bar.total = total
        bar.update(done - bar.n)

    return show


class Lines:
    """Writes a line every ten seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now, self._began_at, self._written_at = now, now(), now()

    def __call__(self, done: int, total: int | None) -> None:
        """Write a line, if the last one is ten seconds old."""
        if self._now() - self._written_at >= _SECONDS:
            self._written_at = self._now()
            of = "" if total is None else f" of {total:,}"
            sys.stderr.write(f"{done:,}{of} rows in {self._now() - self._began_at:.0f} seconds\n")
