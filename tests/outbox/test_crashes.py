"""Processes that are killed and forked while they use an outbox: no event is missing, none counts twice."""

from __future__ import annotations

import json
import multiprocessing
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from outbox_programs import Ledger
from outbox_world import World

from chatarmin_os import ChatarminOS, _clock
from chatarmin_os.outbox import Sender, SQLiteOutbox

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),  # Python 3.12 warns of threads that fork
]

MIN_KILLS, MIN_ACKNOWLEDGED = 20, 200
PROGRAM = str(Path(__file__).with_name("outbox_programs.py"))


class Service:
    """Counts each key once, for any number of processes; remembers how often it was sent."""

    def __init__(self, path: Path) -> None:
        self.counted: Counter[str] = Counter()
        self.sent = 0
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen(64)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                with connection, suppress(OSError, ValueError):
                    keys = json.loads(connection.makefile("rb").readline())
                    for key in keys:
                        self.sent += 1
                        self.counted[key] = 1
                    connection.sendall(b"ok\n")

    def close(self) -> None:
        """Accept no more connections."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """Return a service that listens."""
    service = Service(tmp_path / "service")
    yield service
    service.close()


def start_program(*arguments: object) -> subprocess.Popen[bytes]:
    """Start one of the programs."""
    return subprocess.Popen([sys.executable, PROGRAM, *map(str, arguments)])  # noqa: S603 - our own program


def test_killed_processes_lose_nothing(tmp_path: Path, service: Service) -> None:
    """Four producers and two senders are killed again and again: what was acknowledged is counted, each event once."""
    file, path = tmp_path / "usage.db", tmp_path / "service"
    roles: list[tuple[object, ...]] = [("produce", file, tmp_path / f"ledger{number}", 60) for number in range(4)]
    roles += [("send", file, path, 60)] * 2
    choose = random.Random(7)  # noqa: S311 - a test
    running = [start_program(*role) for role in roles]
    end = time.monotonic() + 60  # on a machine that is too busy, the assertions say what was not reached
    kills = 0

    def acknowledged() -> list[str]:
        return [key for number in range(4) for key in whole_lines(tmp_path / f"ledger{number}")]

    while time.monotonic() < end and not (
        kills >= MIN_KILLS and len(acknowledged()) >= MIN_ACKNOWLEDGED and service.sent > len(service.counted)
    ):
        time.sleep(choose.uniform(0.1, 0.6))
        place = choose.randrange(len(roles))
        running[place].send_signal(signal.SIGKILL)
        running[place].wait()
        running[place] = start_program(*roles[place])
        kills += 1
    for process in running:
        process.kill()
        process.wait()
    outbox = SQLiteOutbox(file)
    client = ChatarminOS(transport=Ledger(str(path), drops=0))
    Sender(client, outbox, now=lambda: _clock.wall() + 3600).drain()  # all leases and waits have ended

    stats = outbox.stats()
    assert (stats.dead, stats.ready, stats.leased) == (0, 0, 0)
    assert set(acknowledged()) <= set(service.counted)
    assert kills >= MIN_KILLS
    assert len(acknowledged()) >= MIN_ACKNOWLEDGED
    assert service.sent > len(service.counted)  # some were sent twice, and counted once


def whole_lines(path: Path) -> list[str]:
    """Return the lines of a file, without one whose end is missing."""
    return path.read_text(encoding="ascii").split("\n")[:-1] if path.exists() else []


def _put_in_child(outbox: SQLiteOutbox, count: int) -> None:
    for _ in range(count):
        outbox.put(company_id="comp_1", feature_code="ai_credit", quantity=1)


def test_forked_children_use_the_outbox(tmp_path: Path) -> None:
    """Children that are forked while threads put lose nothing, and none of them hangs."""
    outbox = SQLiteOutbox(tmp_path / "usage.db", synchronous="normal", put_wait=30)
    stop = threading.Event()
    counts = [0, 0]

    def put(place: int) -> None:
        while not stop.is_set():
            _put_in_child(outbox, 1)
            counts[place] += 1

    threads = [threading.Thread(target=put, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_put_in_child, args=(outbox, 250)) for _ in range(8)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    stop.set()
    for thread in threads:
        thread.join()

    assert [child.exitcode for child in children] == [0] * 8
    assert outbox.stats().ready == sum(counts) + 8 * 250


def test_writers_of_many_processes_are_not_refused(tmp_path: Path) -> None:
    """Eight processes put at once, and none is refused."""
    path = tmp_path / "usage.db"
    SQLiteOutbox(path).close()
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_put_in_new, args=(path, 300)) for _ in range(8)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)

    assert [child.exitcode for child in children] == [0] * 8
    assert SQLiteOutbox(path).stats().ready == 8 * 300


def _put_in_new(path: Path, count: int) -> None:
    _put_in_child(SQLiteOutbox(path, synchronous="normal"), count)


def test_senders_of_many_processes_share_the_events(tmp_path: Path) -> None:
    """Four threads with senders of their own deliver each event once."""
    world = World()
    world.outbox = SQLiteOutbox(tmp_path / "usage.db", synchronous="normal")
    world.put(1000)
    reports = []
    threads = [threading.Thread(target=lambda: reports.append(world.sender().drain())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(report.counted for report in reports) == 1000
    assert world.usage() == 1000
