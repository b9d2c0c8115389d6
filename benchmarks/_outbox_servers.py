"""Puts into Redis and PostgreSQL, and drains of one sender that has one processor core for itself.

The servers are the programs of this machine, in folders of their own; without them their rows are left out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from benchmarks._local_service import local_service
from benchmarks._measure import Row, interleaved, micro, number
from chatarmin_os import ChatarminOS, TrackUsageInput
from chatarmin_os.outbox import Outbox, RedisOutbox, Sender, SQLiteOutbox

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

_ROUNDS, _PUTS, _EVENTS = 5, 200, 2_000
_FEATURE = "ai_credit"
_INPUT = '{"featureCode": "ai_credit", "quantity": 5, "idempotencyKey": "aedf92e5-e459-46ea-9d79-1c49ba6372f8"}'
_ROLE = "postgres"

_OPEN_REDIS = """
from redis import Redis
from chatarmin_os.outbox import RedisOutbox
outbox = RedisOutbox(Redis(unix_socket_path=PLACE), name="many")
"""

_OPEN_POSTGRES = """
import django
from django.conf import settings
database = {"ENGINE": "django.db.backends.postgresql", "HOST": PLACE, "NAME": "postgres", "USER": "postgres"}
settings.configure(DATABASES={"default": database}, INSTALLED_APPS=["chatarmin_os.django"], USE_TZ=True)
django.setup()
from chatarmin_os.django import DjangoOutbox
outbox = DjangoOutbox()
"""


class Server(NamedTuple):
    """An outbox in a server.

    Attributes:
        name: The name of its outbox.
        outbox: The outbox.
        bare: Stores the same row as a put, without the outbox.
        opening: Code that opens the outbox in another process.
    """

    name: str
    outbox: Outbox
    bare: Callable[[], object]
    opening: str


@contextmanager
def servers() -> Generator[tuple[list[Server], list[str]]]:
    """Run the servers that are installed; yield their outboxes, and the names of those that are not."""
    with ExitStack() as stack:
        found, missing = [], []
        for program, start in (("redis-server", _redis), ("postgres", _postgres)):
            path = _program(program)
            if path is None:
                missing.append(f"`{program}`")
                continue
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="outbox-")))
            try:
                found.append(stack.enter_context(start(path, folder)))
            except ImportError as error:
                missing.append(f"`{error.name}`")
        yield found, missing


def _program(name: str) -> str | None:
    folders = os.environ["PATH"], *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin")))
    return shutil.which(name, path=os.pathsep.join(folders))


@contextmanager
def _redis(program: str, folder: Path) -> Generator[Server]:
    from redis import Redis
    from redis.backoff import ConstantBackoff
    from redis.exceptions import ConnectionError as NotStarted
    from redis.retry import Retry

    socket = str(folder / "redis.sock")
    options = ("--port", "0", "--unixsocket", socket, "--dir", str(folder), "--save", "", "--appendonly", "yes")
    process = subprocess.Popen([program, *options, "--appendfsync", "always"], stdout=subprocess.DEVNULL)  # noqa: S603 - ours
    try:
        with Redis(unix_socket_path=socket, retry=Retry(ConstantBackoff(0.1), 300)) as client:
            client.ping()
            client.set_retry(Retry(ConstantBackoff(0), 0))
            fields = {"key": "aedf92e5-e459-46ea-9d79-1c49ba6372f8", "input": _INPUT, "company": "comp_1234"}
            bare = partial(client.xadd, "bare", fields)
            opening = _OPEN_REDIS.replace("PLACE", repr(socket))
            yield Server("RedisOutbox", RedisOutbox(client), bare, opening)
    except NotStarted as error:
        raise RuntimeError("the Redis of the benchmark does not answer") from error
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _postgres(program: str, folder: Path) -> Generator[Server]:
    import psycopg

    as_role: list[str] = []
    if os.geteuid() == 0:  # which PostgreSQL refuses
        shutil.chown(folder, _ROLE)
        as_role = [shutil.which("runuser") or "runuser", "-u", _ROLE, "--"]
    data, control = str(folder / "data"), str(Path(program).with_name("pg_ctl"))

    def run(*command: str) -> None:
        subprocess.run([*as_role, *command], cwd=folder, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - ours

    run(control, "init", "-D", data, "-o", f"-U {_ROLE} -A trust")
    options = f"-c listen_addresses='' -c unix_socket_directories='{folder}'"
    run(control, "start", "-w", "-D", data, "-l", str(folder / "log"), "-o", options)
    try:
        opening = _OPEN_POSTGRES.replace("PLACE", repr(str(folder)))
        names: dict[str, Any] = {}
        exec(opening, names)  # noqa: S102 - ours
        from django.core.management import call_command
        from django.db import connection

        call_command("migrate", verbosity=0)
        with closing(psycopg.connect(host=str(folder), user=_ROLE, dbname=_ROLE, autocommit=True)) as bare:
            bare.execute(
                "CREATE TABLE bare (id bigserial PRIMARY KEY, key text UNIQUE, input text, company text, at float8)"
            )
            yield Server("DjangoOutbox", names["outbox"], partial(_insert, bare), opening)
        connection.close()
    finally:
        run(control, "stop", "-m", "immediate", "-D", data)


def _insert(connection: Any) -> None:
    row = str(uuid4()), _INPUT, "comp_1234", 1_700_000_000.5
    connection.execute("INSERT INTO bare (key, input, company, at) VALUES (%s, %s, %s, %s)", row)


# Rows


_BARE = {"RedisOutbox": "XADD by redis-py, appendfsync always", "DjangoOutbox": "INSERT by psycopg into PostgreSQL"}


def puts(server: Server) -> Row:
    """Compare a put with its bare statement."""
    put = partial(server.outbox.put, company_id="comp_1234", feature_code=_FEATURE, quantity=5)
    samples = interleaved({"put": partial(_each, put), "bare": partial(_each, server.bare)}, rounds=_ROUNDS)
    figure = f"{micro(samples.median('put'))} ({micro(samples.median('bare'))})"
    what = f"`{server.name}.put`; ratio to a bare {_BARE[server.name]}"
    return Row(what, figure, number(samples.ratio("put", "bare")))


def _each(action: Callable[[], object]) -> float:
    start = perf_counter()
    for _ in range(_PUTS):
        action()
    return (perf_counter() - start) / _PUTS


def drains(new_path: Callable[[], Path], others: list[Server]) -> Iterator[Row]:
    """Drain with one sender on one core, against the local service on another one; the outboxes are empty before."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) < 2:
        return
    with (
        SQLiteOutbox(new_path()) as outbox,
        local_service(cores[1:]) as url,
        ChatarminOS(api_key="os_sk_benchmark", base_url=url) as client,
    ):
        company = client.onboard(external_org_id="org_1", tier_code="enterprise").company_id
        outboxes = {"SQLiteOutbox": outbox, **{server.name: server.outbox for server in others}}
        os.sched_setaffinity(0, cores[:1])
        try:
            figures = {name: _drain(one, client, company) for name, one in outboxes.items()}
        finally:
            os.sched_setaffinity(0, cores)
    for name, (clock, processor) in figures.items():
        figure = f"{number(1 / clock)} events a second, {micro(processor)} an event"
        yield Row(f"one sender on one core, `{name}`: by the clock, and its processor time", figure)


def _drain(outbox: Outbox, client: ChatarminOS, company: str) -> tuple[float, float]:
    """Return the seconds and the seconds of processor time for an event: the medians of some drains."""
    samples = []
    for _ in range(_ROUNDS):
        events = [TrackUsageInput(company_id=company, feature_code=_FEATURE, quantity=1) for _ in range(_EVENTS)]
        outbox.put_many(events)
        sender = Sender(client, outbox)
        starts = perf_counter(), process_time()
        assert sender.drain().counted == _EVENTS
        samples.append(((perf_counter() - starts[0]) / _EVENTS, (process_time() - starts[1]) / _EVENTS))
    clock, processor = (sorted(column)[_ROUNDS // 2] for column in zip(*samples, strict=True))
    return clock, processor
