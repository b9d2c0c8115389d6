"""The outbox, compared with a bare INSERT and a bare loop of batches, against the local service in another process."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, thread_time
from typing import TYPE_CHECKING, Literal
from uuid import uuid4

from benchmarks._local_service import local_service
from benchmarks._measure import Part, Row, interleaved, micro, number, within_limit
from benchmarks._outbox_servers import drains, puts, servers
from benchmarks._outbox_sizes import opening_of, sizes, writers
from benchmarks._queues import ANSWERS, Queue, queues
from benchmarks._server import answered, serving
from chatarmin_os import ChatarminOS, TrackUsageInput
from chatarmin_os.outbox import Sender, SQLiteOutbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_MAX_RATIOS: Mapping[Literal["normal", "full"], float] = {"normal": 1.5, "full": 1.3}
_MIN_SHARE, _MIN_FASTER = 0.8, 8
_MAX_TO_POSTHOG, _PUTS_IN_OUTAGE, _NOBODY = 1.3, 250, "http://127.0.0.1:1"
_ROUNDS, _PUTS, _EVENTS, _BATCH = 11, {"normal": 400, "full": 100}, 2_000, 50
_DRAIN_ROUNDS = 7
_FIRST_PUTS = 2_500  # until both logs are written again from their beginning: a log that grows takes longer to sync
_FEATURE = "ai_credit"
_INPUT = '{"featureCode": "ai_credit", "quantity": 5, "idempotencyKey": "aedf92e5-e459-46ea-9d79-1c49ba6372f8"}'


def run() -> Part:
    """Measure puts and drains."""
    with TemporaryDirectory() as folder:
        names = (Path(folder) / f"{number}.db" for number in count())
        rows = [row for synchronous in _MAX_RATIOS for row in _puts(partial(next, names), synchronous)]
        with local_service() as url, ChatarminOS(api_key="os_sk_benchmark", base_url=url) as client:
            rows += _drains(partial(next, names), client)
        with serving(ANSWERS) as url:
            others, missing = queues(url)
            rows += _queues(partial(next, names), url, others)
        rows += _queues_in_outage(partial(next, names))
        rows += sizes(partial(next, names))
        with servers() as (running, absent):
            rows += drains(partial(next, names), running)
            rows += [puts(server) for server in running]
            openings = {"SQLiteOutbox": opening_of(next(names)), **{one.name: one.opening for one in running}}
            rows += [writers(name, opening) for name, opening in openings.items()]
    note = (
        "`put` and an INSERT of the same row by sqlite3, both with a write-ahead log that has its size, in turns. "
        f"Drains of {_EVENTS:,} events, and a loop of `client.batch` with {_BATCH} each, by the clock. "
        "The queues in memory lose what waits when the process is killed; they send to a server on loopback, in an "
        "outage to a port that refuses connections. Redis writes with `appendfsync always`, PostgreSQL with `fsync`, "
        "both on this machine. One sender on one core drains to the local service on another core; its processor time "
        "is its own, the clock includes the service and the server of the outbox."
    )
    missing += absent
    return Part("Outbox", f"{note} Not installed, hence left out: {', '.join(missing)}." if missing else note, rows)


# Puts


def _puts(new_path: Callable[[], Path], synchronous: Literal["normal", "full"]) -> list[Row]:
    with SQLiteOutbox(new_path(), synchronous=synchronous) as outbox, closing(_bare(new_path(), synchronous)) as bare:
        put = partial(outbox.put, company_id="comp_1234", feature_code=_FEATURE, quantity=5)
        acts: dict[str, Callable[[], object]] = {"put": put, "insert": partial(_insert, bare)}
        for act in acts.values():
            _each(act, _FIRST_PUTS)
        times = _PUTS[synchronous]
        samples = interleaved({name: partial(_each, act, times) for name, act in acts.items()}, rounds=_ROUNDS)
    figure = f"{micro(samples.median('put'))} ({micro(samples.median('insert'))})"
    what = f"`SQLiteOutbox.put`, {synchronous}; ratio to a bare INSERT"
    return [within_limit(_MAX_RATIOS[synchronous], samples.ratio("put", "insert"), what=what, figure=figure)]


def _bare(path: Path, synchronous: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute(
        "CREATE TABLE events (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, input TEXT, company TEXT, created REAL)"
    )
    return connection


def _insert(connection: sqlite3.Connection) -> None:
    row = str(uuid4()), _INPUT, "comp_1234", 1_700_000_000.5
    connection.execute("INSERT INTO events (key, input, company, created) VALUES (?, ?, ?, ?)", row)


def _each(action: Callable[[], object], times: int) -> float:
    start = perf_counter()
    for _ in range(times):
        action()
    return (perf_counter() - start) / times


# Queues of other libraries


def _queues(new_path: Callable[[], Path], url: str, others: Mapping[str, Queue]) -> Iterator[Row]:
    for name, queue in others.items():
        queue.put()
        assert answered(url, queue.flush) > 0, name
    with SQLiteOutbox(new_path(), synchronous="normal") as outbox:
        put = partial(outbox.put, company_id="comp_1234", feature_code=_FEATURE, quantity=5)
        acts: dict[str, Callable[[], object]] = {"put": put, **{name: queue.put for name, queue in others.items()}}
        samples = interleaved({name: partial(_own_time, act) for name, act in acts.items()}, rounds=_ROUNDS)
    if "posthog" in others:
        figure = f"{micro(samples.median('put'))} ({micro(samples.median('posthog'))})"
        what = "`SQLiteOutbox.put`, normal, processor time; ratio to `capture` of posthog"
        yield within_limit(_MAX_TO_POSTHOG, samples.ratio("put", "posthog"), what=what, figure=figure)
    for name, queue in others.items():
        yield Row(f"{queue.name}, processor time", micro(samples.median(name)))


def _own_time(action: Callable[[], object]) -> float:
    """Return the processor time of this thread for a call: that of the senders is not in it."""
    start, times = thread_time(), _PUTS["normal"]
    for _ in range(times):
        action()
    return (thread_time() - start) / times


def _queues_in_outage(new_path: Callable[[], Path]) -> Iterator[Row]:
    logging.disable()  # they log each failure
    with SQLiteOutbox(new_path(), synchronous="normal") as outbox:
        put = partial(outbox.put, company_id="comp_1234", feature_code=_FEATURE, quantity=5)
        yield Row("`SQLiteOutbox.put`, normal, in an outage", micro(_each(put, _PUTS_IN_OUTAGE)))
    for queue in queues(_NOBODY)[0].values():
        yield Row(f"{queue.name}, in an outage", micro(_each(queue.put, _PUTS_IN_OUTAGE)))
    logging.disable(logging.NOTSET)


# Drains


def _drains(new_path: Callable[[], Path], client: ChatarminOS) -> list[Row]:
    company = client.onboard(external_org_id="org_1", tier_code="enterprise").company_id
    events = partial(_events, company)
    samples = interleaved(
        {
            "drain": lambda: _drain(SQLiteOutbox(new_path()), client, events(_EVENTS)),
            "batch": lambda: _batches(client, [events(_BATCH) for _ in range(_EVENTS // _BATCH)]),
            "single": lambda: _singles(client, events(_EVENTS // 10)),
        },
        rounds=_DRAIN_ROUNDS,
    )
    rate = {name: number(1 / samples.median(name)) for name in ("drain", "batch", "single")}
    share, faster = samples.ratio("batch", "drain"), samples.ratio("single", "drain")
    return [
        _share_row(_MIN_SHARE, share, f"`drain`, events a second; ratio to `client.batch` of {_BATCH}", rate, "batch"),
        _share_row(_MIN_FASTER, faster, "`drain`, events a second; ratio to single calls", rate, "single"),
    ]


def _share_row(bar: float, ratio: float, what: str, rate: Mapping[str, str], other: str) -> Row:
    return Row(what, f"{rate['drain']} ({rate[other]})", number(ratio), f"≥ {bar:g}", ratio >= bar)


def _events(company: str, times: int) -> list[TrackUsageInput]:
    return [TrackUsageInput(company_id=company, feature_code=_FEATURE, quantity=1) for _ in range(times)]


def _drain(outbox: SQLiteOutbox, client: ChatarminOS, events: list[TrackUsageInput]) -> float:
    with outbox:
        outbox.put_many(events)
        sender = Sender(client, outbox)
        start = perf_counter()
        report = sender.drain()
        taken = perf_counter() - start
    assert report.counted == len(events)
    return taken / len(events)


def _batches(client: ChatarminOS, batches: list[list[TrackUsageInput]]) -> float:
    start = perf_counter()
    for batch in batches:
        client.batch(batch)
    return (perf_counter() - start) / _EVENTS


def _singles(client: ChatarminOS, events: list[TrackUsageInput]) -> float:
    start = perf_counter()
    for event in events:
        client.send(event)
    return (perf_counter() - start) / len(events)
