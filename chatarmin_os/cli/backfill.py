"""`chatarmin-os backfill`: bring the customers of a file in."""

from __future__ import annotations

import os
from argparse import ArgumentTypeError
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import asdict

from chatarmin_os._messages import printable
from chatarmin_os.cli._cluster import ClientOfWorker, ClusterError, cluster_at
from chatarmin_os.cli._connection import add_options, connect, run_command
from chatarmin_os.cli._output import complain, print_json
from chatarmin_os.cli._parser import add_json, command
from chatarmin_os.errors import ApiError, ChatarminError, InvalidInput, TransportError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor

    from chatarmin_os import ChatarminOS
    from chatarmin_os.backfill import BackfillReport, FailedRow

_MAX_SHOWN, _MAX_LISTED = 10, 1_000  # failures for people, and for programs
_STEPS = {
    "create": "companies to create",
    "onboard": "organisations to match, or to create a company for",
    "subscription": "subscriptions to link",
    "tier": "tiers to apply",
    "label": "labels to set",
    "contacts": "companies to bring contacts to",
}
_AGAIN = ": run the same again"
_GO_ON = "run the same command again: rows that are done are skipped"


def add_command(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = command(
        commands,
        "backfill",
        "bring your customers in, from a CSV, TSV, JSON or JSON Lines file; go on where the last run ended",
        "chatarmin-os backfill customers.csv --checkpoint customers.checkpoint --dry-run",
        "chatarmin-os backfill customers.csv --checkpoint customers.checkpoint --failed failed.csv",
        'chatarmin-os backfill hubspot.csv --checkpoint hubspot.checkpoint --map "Record ID=external_org_id"',
        codes="0 success; 1 rows failed, or the service refused the key; 2 wrong usage, or the file cannot be used;\n"
        "  3 the workers failed, or a dry run got no response; 130 interrupted: the same command goes on",
        run=partial(run_command, _run),
        names=_NAMES,
    )
    parser.add_argument(
        "file", metavar="FILE", help="the customers, - for standard input; also compressed with gzip, bzip2 or xz"
    )
    parser.add_argument(
        "--checkpoint", metavar="FILE", required=True, help="notes which rows are done; it is created if it is missing"
    )
    parser.add_argument(
        "--map",
        metavar="COLUMN=FIELD",
        dest="mapping",
        action="append",
        default=[],
        type=_column,
        help="the field that a column holds; COLUMN= ignores the column; can be repeated",
    )
    parser.add_argument(
        "--mode",
        choices=("create", "onboard"),
        default="create",
        help="create (default): an organisation without a link becomes a new company; onboard: it is linked to the "
        "company that has its domain or name, if there is one",
    )
    parser.add_argument(
        "--apply-tier", action="store_true", help="replace the tier also of companies that have features already"
    )
    parser.add_argument(
        "--workers", metavar="COUNT", type=int, default=16, help="requests at the same time; default: 16"
    )
    parser.add_argument("--rate", metavar="ROWS", type=float, help="the maximum of rows a second, over all workers")
    parser.add_argument(
        "--dask", metavar="ADDRESS", help="work on a cluster of Dask; its workers read OS_API_KEY in their environment"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="check all rows, send no change, and say what would happen"
    )
    parser.add_argument(
        "--failed", metavar="FILE", help="replace this file by the rows that failed, with a column error"
    )
    parser.add_argument(
        "--base-url", metavar="URL", help="the URL of the service; default: OS_BASE_URL, or the public one"
    )
    add_options(parser)
    add_json(parser)


_NAMES = {
    "path": "FILE",
    "mapping": "--map",
    "checkpoint": "--checkpoint",
    "workers": "--workers",
    "rate": "--rate",
    "executor": "--dask",
    "make_client": "--dask",
}


def _run(given: Namespace) -> int:
    from chatarmin_os.backfill import Backfill, read_rows
    from chatarmin_os.backfill.problems import FileProblem

    _check_files(given)
    rows = read_rows(given.file, mapping=dict(given.mapping))
    try:
        with _workers(given) as (make_client, executor):
            report = Backfill(
                make_client,
                checkpoint=given.checkpoint,
                executor=executor,
                workers=given.workers,
                rate=given.rate,
                mode=given.mode,
                apply_tier=given.apply_tier,
            ).run(rows, progress=True, dry_run=given.dry_run)
    except KeyboardInterrupt as error:
        complain("; ".join(["interrupted", *map(str, error.args)]), _GO_ON)
        return 130
    except FileProblem as error:
        complain(str(error))
        return 2
    except (ApiError, TransportError, InvalidInput):
        raise
    except ChatarminError as error:
        problem = str(error).removesuffix(_AGAIN)  # the command line says it in its own words
        complain(problem, *([_GO_ON] if not isinstance(error, ClusterError) or problem != str(error) else []))
        return 3
    return _report(report, given)


def _report(report: BackfillReport, given: Namespace) -> int:
    """Write the rows that failed, then print the report: a file that cannot be written must not cost it."""
    code, problem = 1 if report.failed else 0, None
    if given.failed is not None:
        try:
            report.write_failed(given.failed)
        except OSError as error:
            code, problem = 3, f"--failed {given.failed}: {error.strerror}"
    if given.json:
        print_json(_document(report, given))
    else:
        print("\n".join(_lines(report, given)))
    if problem is not None:
        complain(problem, "pass another file, and run the same command again: rows that failed are tried again")
    return code


@contextmanager
def _workers(given: Namespace) -> Iterator[tuple[Callable[[], ChatarminOS], Executor | None]]:
    """Return what makes a client, and the executor if it is a cluster of Dask."""
    if given.dask is None:
        with connect(given) as client:
            yield lambda: client, None
        return
    from chatarmin_os.transports.http.settings import base_url

    if given.api_key_file is not None:
        raise InvalidInput("--api-key-file: workers of a cluster read OS_API_KEY in their own environment; omit it")
    make_client = ClientOfWorker(base_url(given.base_url, allow_http=given.allow_http), given.timeout)
    with cluster_at(given.dask, complain) as executor:
        yield make_client, executor


def _check_files(given: Namespace) -> None:
    """Refuse files that cannot be used, before anything is sent.

    Raises:
        InvalidInput: Two of the files are the same, or the rows that fail cannot be written.
    """
    if given.file == given.api_key_file == "-":
        raise InvalidInput("standard input cannot be both the API key and FILE; set OS_API_KEY, or pass a file")
    checkpoint = os.path.realpath(given.checkpoint)
    seen = {f"{checkpoint}{end}": "--checkpoint" for end in ("", "-wal", "-shm", "-journal")}
    for name, path in (("FILE", given.file), ("--api-key-file", given.api_key_file), ("--failed", given.failed)):
        if path is not None and path != "-" and seen.setdefault(os.path.realpath(path), name) != name:
            raise InvalidInput(f"{name} {path}: it is {seen[os.path.realpath(path)]}, too; pass another file")
    if given.failed is not None:
        _check_writable(given.failed)


def _check_writable(path: str) -> None:
    folder = Path(os.path.realpath(path)).parent
    if path == "-" or Path(path).is_dir():
        raise InvalidInput(f"--failed {path}: pass the path of a file")
    if not os.access(folder, os.W_OK):
        problem = "no permission to write there" if folder.is_dir() else "there is no such folder"
        raise InvalidInput(f"--failed {path}: {problem}")


def _document(report: BackfillReport, given: Namespace) -> dict[str, Any]:
    document = {
        "total": report.total,
        "done": report.done,
        "skipped": report.skipped,
        "failed": report.failed,
        "kept_tiers": report.kept_tiers,
        "seconds": round(report.seconds, 3),
        "dry_run": given.dry_run,
        "failures": [asdict(row) for row in islice(report.failures, _MAX_LISTED)],
    }
    return {**document, "plan": report.plan} if given.dry_run else document


def _lines(report: BackfillReport, given: Namespace) -> Iterator[str]:
    would = "would be " if given.dry_run else ""
    yield f"{report.total:,} rows in {report.seconds:,.1f} seconds:"
    yield f"  {report.done:,} {would}done"
    yield f"  {report.skipped:,} were done before"
    yield f"  {report.failed:,} {'would fail' if given.dry_run else 'failed'}"
    if report.kept_tiers:
        yield f"companies that keep their features, and get no tier without --apply-tier: {report.kept_tiers:,}"
    if given.dry_run:
        yield from (f"{text}: {report.plan[step]:,}" for step, text in _STEPS.items() if step in report.plan)
    yield from map(partial(_failure_line, path=given.file), islice(report.failures, _MAX_SHOWN))
    if report.failed > _MAX_SHOWN:
        yield f"and {report.failed - _MAX_SHOWN:,} more"
    if report.failed and given.failed is None:
        yield "--failed FILE writes the rows that failed, to be corrected"


def _failure_line(row: FailedRow, path: str) -> str:
    """Return the line about a row; an invalid value needs no step and no code, and the file is known."""
    from chatarmin_os.backfill.formats import name_of
    from chatarmin_os.backfill.problems import without_place

    reason = without_place(row.message, name_of(path), row.line)
    is_invalid_row = (row.step, row.code) == ("read", "INVALID")
    return printable(
        f"line {row.line}: {reason}" if is_invalid_row else f"line {row.line}: {row.step}: {row.code}: {reason}"
    )


def _column(text: str) -> tuple[str, str | None]:
    column, separator, field = text.rpartition("=")
    if not separator or not column:
        raise ArgumentTypeError(f"expected COLUMN=FIELD, got {text!r}")
    return column, field or None
