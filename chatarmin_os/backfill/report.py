"""The report of a run, and its failed rows."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import field, frozen

from chatarmin_os._input import at_field
from chatarmin_os._json import describe
from chatarmin_os.backfill.checkpoint import Checkpoint, Failure
from chatarmin_os.backfill.failed import lines_of_failures
from chatarmin_os.errors import InvalidInput

_MAX_PREFIX_LENGTH = 50  # of the new file: the name of a file has 255 bytes at most


@frozen
class FailedRow:
    """A row that failed.

    Attributes:
        line: The physical line of its file; its place from 1 if it came from an iterable.
        external_org_id: Your id of the organisation, None if it could not be read.
        step: The step that failed: `"read"`, `"look_up"`, `"create"`, `"onboard"`, `"subscription"`, `"status"`,
            `"tier"`, `"label"` or `"contacts"`.
        code: The code of the refusal. Without an answer: `"not_sent"`, or `"unknown"` if the call may have run.
            `"INVALID"`: the row is invalid, and nothing was sent. `"CONFLICT"` at the step `"read"`: an earlier row
            has the same organisation.
        message: The reason.
    """

    line: int
    external_org_id: str | None
    step: str
    code: str
    message: str


@frozen
class BackfillReport:
    """The result of a run.

    Attributes:
        total: The number of rows that were read; the sum of the next three.
        done: Applied in this run; in a dry run: would be applied.
        skipped: Applied by an earlier run, and not changed since.
        failed: Refused, invalid, or without an answer; the next run tries them again.
        seconds: The duration.
        kept_tiers: The number of rows in `done` whose tier was not applied: their companies have features already.
        plan: In a dry run: how many rows need each step that changes something.

    Example:
        >>> from chatarmin_os.backfill import Backfill
        >>> backfill = Backfill(lambda: client, checkpoint=tmp_path / "customers.checkpoint")
        >>> report = backfill.run([{"external_org_id": "org_1", "name": "Acme Inc"}, {"external_org_id": "org_2"}])
        >>> report.total, report.done, report.failed
        (2, 1, 1)
        >>> [(row.line, row.message) for row in report.failures]
        [(2, 'name: required')]
    """

    total: int
    done: int
    skipped: int
    failed: int
    seconds: float
    kept_tiers: int = field(default=0, kw_only=True)
    plan: dict[str, int] = field(factory=dict, kw_only=True)
    _checkpoint: Checkpoint = field(kw_only=True, repr=False, eq=False, alias="checkpoint")

    @property
    def failures(self) -> Iterator[FailedRow]:
        """The rows that failed, in the order of their lines, until the next run on the same checkpoint has ended.

        Raises:
            ChatarminError: It has, or the checkpoint was removed.
        """
        for row in self._rows():
            yield FailedRow(row.line, row.organisation, row.step, row.code, row.message)

    def write_failed(self, path: str | os.PathLike[str]) -> None:
        """Write the rows that failed, as they came, with a column `error`; the file is empty if there are none.

        It has the form of their file: CSV, with tabs if *path* ends in `.tsv`, or JSON Lines. Rows that a program gave
        are a table if *path* ends in `.csv` or `.tsv`, else JSON Lines. Correct the rows and run this file, with a
        checkpoint of its own: `read_rows` reads each of these forms, whatever the ending, and ignores the column.

        Args:
            path: The file, which is made for its owner only (0600), and replaced if it is there. A device or a named
                pipe is written to.

        Raises:
            InvalidInput: *path* is not a path, or that of the checkpoint.
            OSError: It cannot be written; what was there is left as it was.
            ChatarminError: The rows are gone, as for `failures`.
        """
        target = os.path.realpath(at_field("path", path_of)(path))
        if target == os.path.realpath(self._checkpoint.name):
            raise InvalidInput("it is the checkpoint", "pass another file", field="path")
        lines = lines_of_failures(((json.loads(row.given), _error_of(row)) for row in self._rows()), os.fspath(path))
        if Path(path).exists() and not Path(path).is_file():
            with Path(path).open("wb") as file:  # a pipe, or /dev/stdout
                file.writelines(lines)
            return
        folder, name = os.path.split(target)
        descriptor, new = tempfile.mkstemp(".new", f"{name[:_MAX_PREFIX_LENGTH]}.", folder)
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
                file.writelines(lines)
            Path(new).replace(target)
        except BaseException:
            Path(new).unlink()
            raise

    def _rows(self) -> Iterator[Failure]:
        return self._checkpoint.failures() if self.failed else iter(())


def _error_of(row: Failure) -> str:
    return row.message if row.code == "INVALID" else f"{row.code}: {row.message}"


def path_of(value: Any) -> str:
    """Return the path of a file as text.

    Raises:
        InvalidInput: It is something else.
    """
    try:
        path = os.fspath(value)
    except TypeError:
        path = None
    if not isinstance(path, str) or not path or "\0" in path:
        raise InvalidInput(f"expected the path of a file, got {describe(value)}")
    return path
