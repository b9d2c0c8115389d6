"""Ctrl-C ends a run after the rows in flight; after a kill the next run goes on."""

from __future__ import annotations

import json
import os
import queue
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from backfill_clients import all_of, found_in, rows
from backfill_world import Inline, World
from kill_service import KEY
from waiting import PATIENCE, until

from chatarmin_os.backfill.interrupts import Interrupts
from chatarmin_os.backfill.timing import take

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chatarmin_os.transports import Call

HERE = Path(__file__).parent
ROWS, WORKERS = 3_000, 4


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a world without customers."""
    return World(tmp_path)


def customers(count: int) -> list[dict[str, Any]]:
    """Return rows."""
    return [{"external_org_id": f"org_{number}", "name": f"Company {number}"} for number in range(count)]


def interrupt() -> None:
    """Press Ctrl-C."""
    signal.raise_signal(signal.SIGINT)


def test_ctrl_c_ends_a_run_after_the_rows_in_flight(world: World) -> None:
    """The chunk is done and noted, the next one is not sent, and the next run goes on."""

    def press(call: Call) -> None:
        if call.path == "companies.create":
            world.transport.before = lambda _: None
            interrupt()

    world.transport.before = press
    with pytest.raises(KeyboardInterrupt):
        world.run(customers(120), workers=1)
    assert len(world.companies()) == 50
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    report = world.run(customers(120))

    assert (report.done, report.skipped) == (70, 50)


def test_second_ctrl_c_ends_a_run_at_once(world: World) -> None:
    """It interrupts the run, as Python does; nothing is made twice afterwards."""

    def press(call: Call) -> None:
        if call.path == "companies.create":
            world.transport.before = lambda _: None
            interrupt()
            interrupt()

    world.transport.before = press
    with pytest.raises(KeyboardInterrupt):
        world.run(customers(120), workers=1)
    assert len(world.companies()) == 0

    assert world.run(customers(120)).done == 120
    assert len(world.companies()) == 120


def test_ctrl_c_interrupts_the_wait_for_the_next_row(world: World) -> None:
    """Standard input may be a terminal, or a pipe that nobody writes to."""

    def rows() -> Iterator[dict[str, Any]]:
        yield from customers(210)
        interrupt()
        raise AssertionError("it goes on")

    with pytest.raises(KeyboardInterrupt) as caught:
        world.run(rows())
    assert (len(world.companies()), str(caught.value)) == (200, "the rows in flight have ended")


def test_ctrl_c_before_a_wait_is_not_lost() -> None:
    """It may come between two rows that are read."""
    interrupts = Interrupts(lambda: None)
    with interrupts.noted():
        interrupt()
        with pytest.raises(KeyboardInterrupt), interrupts.direct():
            raise AssertionError("it waits")
    assert interrupts.is_set


def test_wait_for_an_item_ends() -> None:
    """An item ends it at once, and so do the seconds."""
    source: queue.SimpleQueue[int] = queue.SimpleQueue()
    assert take(source, 0.0) is None
    source.put(1)
    assert take(source, None) == 1


def test_program_with_its_own_handler_keeps_it(world: World) -> None:
    """The handler is called, and the run goes on."""
    calls: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: calls.append(number))
    try:
        world.transport.before = lambda call: interrupt() if call.path == "tiers.list" else None
        assert world.run(customers(3)).done == 3
    finally:
        signal.signal(signal.SIGINT, before)
    assert calls == [signal.SIGINT]


def test_run_in_a_thread_leaves_signals_alone(world: World) -> None:
    """Only the main thread may set handlers."""
    reports: list[Any] = []
    thread = threading.Thread(target=lambda: reports.append(world.run(customers(3))))
    thread.start()
    thread.join()
    assert reports[0].done == 3


def test_executor_that_breaks_ends_the_run_after_the_rows_in_flight(world: World) -> None:
    """The rows of other chunks are noted."""

    class Breaking(Inline):
        submitted = 0

        def submit(self, function: Any, /, *arguments: Any, **named: Any) -> Any:
            self.submitted += 1
            if self.submitted == 4:
                raise RuntimeError("cannot schedule new futures")
            return super().submit(function, *arguments, **named)

    with pytest.raises(Exception, match="the executor failed"):
        world.run(customers(200), executor=Breaking())
    assert len(world.companies()) == 100

    assert world.run(customers(200)).skipped == 100


class Runs:
    """The command on a file of customers, against the local service in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._checkpoint = folder, folder / "checkpoint"
        (folder / "customers.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows(ROWS)))

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Run the service for the block."""
        with subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, str(HERE / "kill_service.py"), "1", "0"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin
            assert process.stdout
            self._url = process.stdout.readline().strip()
            try:
                yield
            finally:
                process.stdin.close()
                process.wait(PATIENCE)

    def ask(self, name: str) -> Any:
        """Return the counts of requests, or the tables of the service."""
        address = f"{self._url.removesuffix(urlsplit(self._url).path)}/{name}"
        with urlopen(address, timeout=PATIENCE) as response:  # noqa: S310 - our own server
            return json.load(response)

    def asked(self) -> int:
        """Return how many organisations were looked up, when all requests have ended."""
        until(lambda: not self.ask("counts").get("running"))
        return int(self.ask("counts").get("lookups", 0))

    def done(self) -> int:
        """Return how many rows the checkpoint has as done."""
        if not self._checkpoint.exists():
            return 0
        with closing(sqlite3.connect(self._checkpoint)) as connection:
            return int(connection.execute("SELECT count(*) FROM rows WHERE is_done").fetchone()[0])

    def start(self) -> subprocess.Popen[str]:
        """Start the command."""
        command = [sys.executable, "-m", "chatarmin_os", "backfill", "customers.jsonl", "--checkpoint", "checkpoint"]
        return subprocess.Popen(  # noqa: S603 - our own program
            [*command, "--workers", str(WORKERS), "--json"],
            env={**os.environ, "OS_API_KEY": KEY, "OS_BASE_URL": self._url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self._folder,
        )

    def interrupt(self, number: signal.Signals, *, after: int) -> tuple[int, str, int]:
        """Start the command, and send it a signal when so many rows more were looked up.

        Returns:
            Its exit code, its errors, and how many rows it asked for that it did not note as done.
        """
        asked, done = self.asked(), self.done()
        with self.start() as process:
            until(lambda: self.ask("counts").get("lookups", 0) >= asked + after or process.poll() is not None)
            process.send_signal(number)
            _, errors = process.communicate(timeout=PATIENCE)
        return process.returncode, errors, (self.asked() - asked) - (self.done() - done)


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    """Return a service, and a file of customers."""
    found = Runs(tmp_path)
    with found.serving():
        yield found


def assert_rest_is_done(runs: Runs) -> None:
    """The same command ends the rest, and everything is there once."""
    with runs.start() as process:
        output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    report = json.loads(output)
    assert (report["total"], report["done"] + report["skipped"], report["failed"]) == (ROWS, ROWS, 0)
    assert report["skipped"] > 0
    assert found_in(runs.ask("tables")) == all_of(ROWS)


@pytest.mark.slow
def test_killed_runs_make_everything_once(runs: Runs) -> None:
    """After kills at random moments each customer is there once, and only rows in flight were asked for again."""
    chance = random.Random(7)  # noqa: S311 - moments of kills
    for _ in range(6):
        code, errors, not_done = runs.interrupt(signal.SIGKILL, after=chance.randrange(1, ROWS // 8))
        assert (code, errors) == (-signal.SIGKILL, "")
        assert 0 <= not_done <= WORKERS * 50
    assert_rest_is_done(runs)


@pytest.mark.slow
def test_ctrl_c_ends_the_command_after_the_rows_in_flight(runs: Runs) -> None:
    """All rows in flight are done, and the last line says how to go on."""
    code, errors, not_done = runs.interrupt(signal.SIGINT, after=ROWS // 8)
    assert code == 130
    assert errors.splitlines()[-2:] == [
        "chatarmin-os: interrupted; the rows in flight have ended",
        "  run the same command again: rows that are done are skipped",
    ]
    assert not_done == 0
    assert_rest_is_done(runs)
