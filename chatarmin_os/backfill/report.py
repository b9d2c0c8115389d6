"""The report of a run, and its failed rows."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator

from attrs import field, frozen

from chatarmin_os.backfill.checkpoint import Failure
from chatarmin_os.backfill.failed import lines_of_failures


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
    plan: dict[str, int] = field(factory=dict, kw_only=True)
    _failures: Callable[[], Iterator[Failure]] = field(kw_only=True, repr=False, eq=False, alias="failures")

    @property
    def failures(self) -> Iterator[FailedRow]:
        """The rows that failed, in the order of their lines, until the next run on the same checkpoint."""
        for row in self._failures():
            yield FailedRow(row.line, row.organisation, row.step, row.code, row.message)

    def write_failed(self, path: str | os.PathLike[str]) -> None:
        """Write the rows that failed, as they came, with a column `error`; the file is empty if there are none.

        It is CSV if they came from a table, else JSON Lines. Correct the rows and run this file, with a checkpoint of
        its own: `read_rows` ignores the column.

        Args:
            path: The file, which is made for its owner only (0600), and replaced if it is there. A device or a named
                pipe is written to.

        Raises:
            OSError: It cannot be written; a file that is there stays as it is.
        """
        rows = self._failures()
        lines = lines_of_failures((json.loads(row.given), _error_of(row)) for row in rows)
        if os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113 - any path
            with open(path, "wb") as file:  # noqa: PTH123 - the same
                file.writelines(lines)
            return
        target = os.path.realpath(path)
        handle, new = tempfile.mkstemp(dir=os.path.dirname(target))  # noqa: PTH120 - the same
        try:
            with os.fdopen(handle, "wb") as file:
                file.writelines(lines)
            os.replace(new, target)  # noqa: PTH105 - the same
        except BaseException:
            os.unlink(new)  # noqa: PTH108 - the same
            raise


def _error_of(row: Failure) -> str:
    return row.message if row.code == "INVALID" else f"{row.code}: {row.message}"
