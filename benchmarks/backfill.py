"""The backfill: rows a second against loops, on threads and on Dask; what a million rows take, and how it goes on."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from itertools import count, islice
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks._backfill_rows import make_rows
from benchmarks._local_service import local_service
from benchmarks._measure import Part, Row, interleaved, number
from chatarmin_os import (
    ApplyTierInput,
    BulkUpsertInput,
    ChatarminError,
    ChatarminOS,
    ContactInput,
    CreateCompanyInput,
    GetByProductLinkInput,
)
from chatarmin_os.backfill.backfill import Backfill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor

_ROWS, _LOOP_ROWS, _ROUNDS = 5_000, 500, 3
_CALLS_PER_BATCH = 50
_GROWTH = (1_000, 10_000, 100_000, 1_000_000)
_MIB = 2**20
_MAX_GROWTH_MIB, _MAX_SECONDS, _RESUMED = 64, 10, 0.95


def run() -> Part:
    """Measure and return the table."""
    return Part(
        "Backfill",
        "Above: rows a second against the local service on loopback, each with a tier, a date and two contacts; "
        f"{_ROWS:,} rows in each round, {_LOOP_ROWS} of the loop of single calls. Below: against a stand-in that "
        "answers at once, in processes of their own; memory is the peak of the process.",
        [*_rates(), *_growth()],
    )


# Rows a second


def _rates() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder, local_service() as url, ExitStack() as stack:
        new_key, new_file = _Keys(), partial(_next_file, Path(folder), count())
        subjects: dict[str, Callable[[], float]] = {
            "sign_up": lambda: _timed(partial(_sign_up_all, _client(url, new_key())), _LOOP_ROWS),
            "batch": lambda: _timed(partial(_batch_all, _client(url, new_key())), _ROWS),
            "threads": lambda: _timed(partial(_backfill_all, url, new_key(), new_file(), None), _ROWS),
        }
        executor = _dask(stack)
        if executor is not None:
            subjects["dask"] = lambda: _timed(partial(_backfill_all, url, new_key(), new_file(), executor), _ROWS)
        samples = interleaved(subjects, rounds=_ROUNDS)

    def row(what: str, subject: str, to: str, limit: float) -> Row:
        ratio, figure = samples.ratio(to, subject), number(1 / samples.median(subject))
        return Row(what, figure, number(ratio), f"≥ {limit:g}", ratio >= limit)

    rows = [
        Row(
            "the loop of the README of 0.1.0, `sign_up` and `contacts.bulk_upsert`",
            number(1 / samples.median("sign_up")),
        ),
        Row("a bare loop of `client.batch` with the same calls", number(1 / samples.median("batch"))),
        row("`Backfill`, compared with that loop", "threads", "sign_up", 8),
        row("`Backfill`, compared with the loop of `client.batch`", "threads", "batch", 0.8),
    ]
    if executor is not None:
        rows.append(row("`Backfill` on Dask's `LocalCluster(2)`, compared with threads", "dask", "threads", 0.7))
    return rows


class _Keys:
    """API keys, of which each has a product of its own."""

    def __init__(self) -> None:
        self._numbers = count()

    def __call__(self) -> str:
        return f"os_sk_backfill_{next(self._numbers)}"


def _next_file(folder: Path, numbers: count[int]) -> Path:
    return folder / f"checkpoint-{next(numbers)}"


def _client(url: str, key: str) -> ChatarminOS:
    return ChatarminOS(key, base_url=url)


def _timed(action: Callable[[int], object], rows: int) -> float:
    """Return seconds for each row."""
    start = perf_counter()
    action(rows)
    return (perf_counter() - start) / rows


def _sign_up_all(client: ChatarminOS, rows: int) -> None:
    """Do what the README of 0.1.0 does, in the same words."""
    with client:
        for row in make_rows(rows):
            company = client.sign_up(
                external_org_id=row["external_org_id"],
                name=row["name"],
                starting_tier=row["tier_code"],
                created_at=row["created_at"],
            )
            client.contacts.bulk_upsert(
                company_id=company.company_id, contacts=[ContactInput(email=email) for email in row["contacts"]]
            )


def _batch_all(client: ChatarminOS, rows: int) -> None:
    with client:
        for chunk in _chunks(rows):
            assert client.batch(GetByProductLinkInput(external_org_id=row["external_org_id"]) for row in chunk)
            created = client.batch(
                CreateCompanyInput(
                    name=row["name"], external_org_id=row["external_org_id"], created_at=row["created_at"]
                )
                for row in chunk
            )
            companies = [company.id for company in created if not isinstance(company, ChatarminError)]
            client.batch(
                ApplyTierInput(tier_code=row["tier_code"], company_id=company)
                for row, company in zip(chunk, companies, strict=True)
            )
            client.batch(
                BulkUpsertInput(company_id=company, contacts=[ContactInput(email=email) for email in row["contacts"]])
                for row, company in zip(chunk, companies, strict=True)
            )


def _chunks(rows: int) -> Iterator[list[dict[str, Any]]]:
    left = make_rows(rows)
    while chunk := list(islice(left, _CALLS_PER_BATCH)):
        yield chunk


def _backfill_all(url: str, key: str, checkpoint: Path, executor: Executor | None, rows: int) -> None:
    report = Backfill(partial(_client, url, key), checkpoint=checkpoint, executor=executor).run(make_rows(rows))
    assert report.done == rows, report


def _dask(stack: ExitStack) -> Executor | None:
    """Return the executor of a cluster of two processes, None if Dask is not installed."""
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        return None
    cluster = stack.enter_context(LocalCluster(n_workers=2, threads_per_worker=8, dashboard_address="127.0.0.1:0"))
    client = stack.enter_context(Client(cluster))
    executor: Executor = client.get_executor()
    return executor


# Many rows


def _growth() -> list[Row]:
    rows, found = [], {}
    for size in _GROWTH:
        found[size] = run = _run_elsewhere(size, resumed=0)
        what = f"{size:,} rows: rows a second; MiB of memory; bytes of the checkpoint a row"
        figures = number(size / run["seconds"]), number(run["memory"] / _MIB), number(run["checkpoint"] / size)
        rows.append(Row(what, "; ".join(figures)))
    more = (found[_GROWTH[-1]]["memory"] - found[_GROWTH[0]]["memory"]) / _MIB
    rows.append(
        Row(
            f"memory for {_GROWTH[-1]:,} rows, more than for {_GROWTH[0]:,}",
            f"{number(more)} MiB",
            "",
            f"≤ {_MAX_GROWTH_MIB} MiB",
            more <= _MAX_GROWTH_MIB,
        )
    )
    size = _GROWTH[-1]
    again = _run_elsewhere(size, resumed=int(_RESUMED * size))["seconds"]
    whole = found[size]["seconds"]
    left = again - (1 - _RESUMED) * whole
    rows.append(
        Row(
            f"a run of {size:,} rows that is done at {_RESUMED:.0%}, above {1 - _RESUMED:.0%} of the whole",
            f"{left:.1f} s",
            number(again / whole),
            f"≤ {_MAX_SECONDS} s",
            left <= _MAX_SECONDS,
        )
    )
    return rows


def _run_elsewhere(rows: int, *, resumed: int) -> dict[str, float]:
    """Return the figures of a run in a process of its own; *resumed* rows were done before."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks._backfill_rows", f"{folder}/checkpoint"]
        if resumed:
            subprocess.run([*command, str(resumed)], check=True, capture_output=True)  # noqa: S603 - our own program
        output = subprocess.run([*command, str(rows)], check=True, capture_output=True)  # noqa: S603 - the same
    figures: dict[str, float] = json.loads(output.stdout)
    return figures
