"""A backfill that is killed at one moment: run by `python kill_moments.py MOMENT SETTINGS CHECKPOINT ROWS`."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

HERE = Path(__file__).resolve()
sys.path += [str(HERE.parent), str(HERE.parents[1])]  # as pytest does

from backfill_clients import factory, rows  # noqa: E402

from chatarmin_os.backfill.backfill import Backfill  # noqa: E402
from chatarmin_os.backfill.checkpoint import Checkpoint  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MOMENTS = ("first-row", "first-chunk", "rehearsal", "before-commit", "after-commit", "never")
FATAL_NOTE = 3  # of four or more


def die(*_: object) -> None:
    """Kill this process."""
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)  # until it has come


def _die_around_commit(*, is_before: bool) -> None:
    note, transaction, numbers = Checkpoint.note, Checkpoint._transaction, count(1)

    def fatal_note(self: Checkpoint, rows: Any, failures: Any) -> None:
        if next(numbers) == FATAL_NOTE:

            @contextmanager
            def fatal() -> Iterator[Any]:
                with transaction(self) as connection:
                    yield connection
                    if is_before:
                        die()
                die()

            self._transaction = fatal  # type: ignore[method-assign]
        note(self, rows, failures)

    Checkpoint.note = fatal_note  # type: ignore[method-assign]


def _rows(number: int, moment: str) -> Iterator[Mapping[str, Any]]:
    if moment == "first-row":
        die()
    if moment == "waits":
        print("waiting", flush=True)  # noqa: T201 - for the process that started this one
        sys.stdin.read()
    for place, row in enumerate(rows(number)):
        if moment == "rehearsal" and place == number // 2:
            die()
        yield row


def main(moment: str, settings: str, checkpoint: str, number: str) -> None:
    """Run until that moment."""
    if moment.endswith("commit"):
        _die_around_commit(is_before=moment == "before-commit")
    progress: Callable[[int, int | None], object] | None = die if moment == "first-chunk" else None
    backfill = Backfill(factory(Path(settings)), checkpoint=checkpoint, workers=2)
    report = backfill.run(_rows(int(number), moment), progress=progress, dry_run=moment == "rehearsal")
    print(report.done, report.skipped)  # noqa: T201 - for the process that started this one


if __name__ == "__main__":
    main(*sys.argv[1:])
