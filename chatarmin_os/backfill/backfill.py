"""The backfill: brings many customers in, once each."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

from chatarmin_os._input import Number, at_field, boolean, quantity
from chatarmin_os._json import describe
from chatarmin_os.backfill.checkpoint import Checkpoint, copy_checkpoint
from chatarmin_os.backfill.progress import shown
from chatarmin_os.backfill.reading import Rows
from chatarmin_os.backfill.report import BackfillReport, path_of
from chatarmin_os.backfill.row import Row
from chatarmin_os.backfill.run import Run
from chatarmin_os.backfill.steps import Mode, Settings
from chatarmin_os.backfill.timing import Timing
from chatarmin_os.backfill.work import MakeClient, forget_client
from chatarmin_os.errors import InvalidInput

_MAX_WORKERS = 1_000


class Backfill:
    """Brings existing customers in: companies, links, subscriptions, tiers, labels and contacts.

    Args:
        make_client: A function that returns a client, called once in each process that works. For an executor of
            processes it has to be at the top of a module, and takes the key from the environment.
        checkpoint: The path of a file that notes which rows are done. It has failed rows as they came, so it is made
            for its owner only (0600).
        executor: Where the work runs: any `concurrent.futures.Executor`, such as a `ProcessPoolExecutor` or
            `get_executor()` of a client of Dask. It is not shut down. Default: threads.
        workers: How many chunks of up to 50 rows are worked on at once; without an executor: in as many threads.
        rate: The maximum of rows a second, over all workers; None: as fast as the service allows.
        mode: `"create"`: an organisation without a link becomes a new company, and nothing is matched. `"onboard"`: it
            is linked to an existing company that has its domain or its name, and else becomes a new one.
        apply_tier: Whether the tier is applied to companies that have features already. Their accesses are replaced.

    Raises:
        InvalidInput: An invalid argument, which the error names.
        TypeError: *executor* is not an executor.

    Policies:
        - **Kills**: at most the rows in flight are asked for again, and no company is created twice. Start the same
          run again: rows that are done are skipped, changed ones are applied again, failed ones tried again.
        - **Tiers** are applied to companies that this run makes, and to those without features; once, also if a later
          step has to be repeated or corrected.
        - **Refusals** fail one row. A refused key ends the run.
        - **Outages**: a row without an answer is tried 8 times within about a minute; the others go on.
        - **Overload**: all workers slow down after 429 and 503, and wait as long as the service asks for, at most five
          minutes. They cost no row, as long as other rows are done.
        - **Ctrl-C** ends the run after the rows in flight; a second one ends it at once.

    Example:
        >>> from chatarmin_os.backfill import Backfill
        >>> acme = {"external_org_id": "org_1", "name": "Acme Inc", "tier_code": "free", "contacts": ["ann@acme.com"]}
        >>> backfill = Backfill(lambda: client, checkpoint=tmp_path / "customers.checkpoint")
        >>> backfill.run([acme], dry_run=True).plan
        {'create': 1, 'tier': 1, 'contacts': 1}
        >>> backfill.run([acme]).done, backfill.run([acme]).skipped
        (1, 1)
        >>> company = client.companies.get_by_product_link(external_org_id="org_1")
        >>> client.features.check(company_id=company.id, feature_code="ai_credit").remaining
        100
    """

    _timing = Timing()

    def __init__(
        self,
        make_client: MakeClient,
        *,
        checkpoint: str | os.PathLike[str],
        executor: Executor | None = None,
        workers: int = 16,
        rate: Number | None = None,
        mode: Mode = "create",
        apply_tier: bool = False,
    ) -> None:
        if not callable(make_client):
            problem = f"expected a function that returns a client, got {describe(make_client)}"
            raise InvalidInput(problem, "pass a function, such as lambda: client", field="make_client")
        if executor is not None and not isinstance(executor, Executor):
            raise TypeError(f"executor: expected a concurrent.futures.Executor or None, got {describe(executor)}")
        self._make_client, self._executor = make_client, executor
        self._path = at_field("checkpoint", path_of)(checkpoint)
        self._workers = at_field("workers", _count)(workers)
        self._rate = None if rate is None else float(at_field("rate", quantity)(rate))
        self._settings = Settings(at_field("mode", _mode)(mode), at_field("apply_tier", boolean)(apply_tier))

    def run(
        self,
        rows: Iterable[Row | Mapping[str, Any]],
        *,
        progress: Callable[[int, int | None], object] | bool | None = None,
        dry_run: bool = False,
    ) -> BackfillReport:
        """Apply rows, except those that an earlier run has done.

        Args:
            rows: `read_rows(path)`, or any iterable of rows or of mappings with their keys. It is read once, and never
                held as a whole. Rows with the same organisation: the first one is applied, the others fail.
            progress: A function of the rows that have ended and of all rows, None if their number is unknown. True: a
                bar of tqdm if that is installed and standard error is a terminal, else a line every ten seconds.
            dry_run: Whether to send no mutation, and to leave the checkpoint as it is. All rows are checked, and the
                report's `plan` says what would happen.

        Raises:
            InvalidInput: An invalid argument; the whole file cannot be used; the checkpoint is of another file, product
                or version, or in use; no client could be made. `field` names the argument.
            UnauthorizedError: The key was refused; what was done before is noted.
            TransportError: A dry run got no answer at its start.
            ChatarminError: The executor failed, or the checkpoint cannot be written; the next run goes on.
            KeyboardInterrupt: Ctrl-C was pressed, and the rows in flight have ended.
        """
        is_rehearsal = at_field("dry_run", boolean)(dry_run)
        if isinstance(rows, (str, bytes, os.PathLike, Mapping)) or not isinstance(rows, Iterable):
            problem = f"expected an iterable of rows, got {describe(rows)}"
            raise InvalidInput(problem, "read a file with read_rows(path)", field="rows")
        began_at = self._timing.now()
        total = len(rows) if isinstance(rows, Sized) else None
        if isinstance(rows, Rows):
            rows.begin()  # before there is a checkpoint
        with (
            shown(progress) as show,
            _opened(self._path, is_rehearsal=is_rehearsal) as (checkpoint, folder),
            self._working() as executor,
        ):
            run = Run(
                self._make_client,
                checkpoint,
                executor,
                self._settings,
                in_flight=self._workers,
                rate=self._rate,
                is_rehearsal=is_rehearsal,
                on_progress=lambda counts: show(counts.ended, total),
                timing=self._timing,
            )
            try:
                run.apply(rows, Path(rows.name).name if isinstance(rows, Rows) and rows.is_file else None)
            finally:
                forget_client(run.name)
            checkpoint.end()
        counts = run.counts
        report = BackfillReport(
            counts.total,
            counts.done,
            counts.skipped,
            counts.failed,
            self._timing.now() - began_at,
            kept_tiers=counts.kept_tiers,
            plan=counts.plan,
            checkpoint=checkpoint,
        )
        if folder is not None:
            weakref.finalize(report, shutil.rmtree, folder, ignore_errors=True)
        return report

    @contextmanager
    def _working(self) -> Iterator[Executor]:
        """Return the executor, or threads for the block."""
        if self._executor is not None:
            yield self._executor
            return
        threads = ThreadPoolExecutor(self._workers, "chatarmin_os backfill")
        try:
            yield threads
        finally:
            threads.shutdown(wait=False, cancel_futures=True)  # nothing is in flight, unless a second Ctrl-C came


@contextmanager
def _opened(path: str, *, is_rehearsal: bool) -> Iterator[tuple[Checkpoint, str | None]]:
    """Open the checkpoint, or for a rehearsal a copy of it in a folder, which is removed after an error."""
    folder = tempfile.mkdtemp(prefix="chatarmin_os-") if is_rehearsal else None
    is_complete = False
    try:
        if folder is None:
            checkpoint = Checkpoint(path)
        else:
            copy = f"{folder}/checkpoint"
            copy_checkpoint(path, copy)
            checkpoint = Checkpoint(copy, name=path)
        try:
            yield checkpoint, folder
            is_complete = True
        finally:
            checkpoint.close()
    finally:
        if folder is not None and not is_complete:
            shutil.rmtree(folder, ignore_errors=True)


def _count(value: Any) -> int:
    if type(value) is not int or not 1 <= value <= _MAX_WORKERS:
        raise InvalidInput(f"expected an int from 1 to {_MAX_WORKERS:,}, got {describe(value)}")
    return value


def _mode(value: Any) -> Mode:
    if value not in get_args(Mode):
        raise InvalidInput(f"expected one of {', '.join(get_args(Mode))}, got {describe(value)}")
    mode: Mode = value
    return mode
