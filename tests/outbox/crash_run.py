"""One run of a crash test: its processes, the programs that they run, and the verdict at the end."""

from __future__ import annotations

import os
import random
import signal
import time
import traceback
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from crash_service import HOUR, MEMORY_SECONDS, Clock, Service, ToService, ask
from crash_verdict import Verdict, judge
from io_faults import Faults

from chatarmin_os import ChatarminOS
from chatarmin_os.outbox import Outbox, OutboxError, Sender

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from crash_places import Place

LEASE_SECONDS = 0.25
PAUSE_SECONDS = 0.004  # of a producer at most: a bare loop would leave the senders few turns
CALLS_PER_ERROR = 200
KILL_SECONDS = 0.02
PATIENCE_SECONDS, LOOK_SECONDS = 120.0, 12.0  # how long there may be no progress, and when to look for it
HIT = 42  # the exit code of a program in which a call failed


class Run:
    """One run.

    Attributes:
        place: Where the events are.
        kind: The kind of the scenario.
        clock: The time of all processes.
        service: The path of the service's socket.
        kills: How many processes were killed, or calls failed.
        failed: How many programs ended with an error.
        choose: Decides what happens.
    """

    def __init__(self, folder: Path, place: Place, kind: str, *, seed: int, plant: str | None) -> None:
        self.place, self.kind, self._plant = place, kind, plant
        self.choose = random.Random(seed)  # noqa: S311 - a test
        self.clock = Clock()
        self.service = str(folder / "service")
        self.kills = self.failed = 0
        self._ledger, self._failures, self._refused = folder / "acknowledged", folder / "failures", folder / "refused"
        self._ledger.touch()
        memory = 0.0 if plant == "double" else MEMORY_SECONDS
        self._service_process = fork(Service(self.service, self.clock, drops=10, memory=memory).serve)

    def close(self) -> None:
        """End the service."""
        kill(self._service_process)

    def acknowledged(self) -> list[str]:
        """Return the keys that `put` returned."""
        return self._ledger.read_text(encoding="ascii").split()

    def acknowledge(self, key: str) -> None:
        """Write down that `put` returned a key, in one write."""
        ledger = os.open(self._ledger, os.O_WRONLY | os.O_APPEND)
        os.write(ledger, f"{key}\n".encode())
        os.close(ledger)

    def failures(self) -> str:
        """Return the tracebacks of the programs."""
        return self._failures.read_text() if self._failures.exists() else ""

    def progress(self) -> tuple[int, int]:
        """Return numbers that grow as long as events are put, or sent."""
        return self._ledger.stat().st_size, ask(self.service, "progress")

    def is_refused(self) -> bool:
        """Return whether a `put` was refused since the file system is full."""
        return self._refused.exists()

    # Processes

    def start(self, program: Callable[[], object]) -> int:
        """Run a program in a child, and return its id; its result is the exit code."""
        return fork(partial(self._reporting, program))

    def end(self, process: int) -> None:
        """Kill a program, unless it has ended by itself."""
        if self.code(process) is None:
            kill(process)

    def code(self, process: int) -> int | None:
        """Return the exit code of a program, None if it runs."""
        ended, status = os.waitpid(process, os.WNOHANG)
        if not ended:
            return None
        code = os.waitstatus_to_exitcode(status)
        self.failed += code == 1
        return code

    def finish(self, process: int, patience: Patience | None = None) -> int:
        """Wait for the end of a program, and return its exit code; kill one that hangs."""
        patience = patience or Patience(self)
        while (code := self.code(process)) is None:
            if patience.is_over():
                self.fail("a program hung")
                kill(process)
                return -signal.SIGKILL
            time.sleep(0.002)
        return code

    def fail(self, reason: str) -> None:
        """Take note of a failure."""
        self.failed += 1
        with self._failures.open("a") as file:
            file.write(f"{reason}\n")

    def _reporting(self, program: Callable[[], object]) -> object:
        random.seed()
        try:
            return program()
        except BaseException:
            with self._failures.open("a") as file:
                traceback.print_exc(file=file)
            raise

    # Programs

    def open(self) -> Outbox:
        """Return the outbox, on the right clock."""
        return self.place.open(self.clock, self.clock.now)

    def sender(self, outbox: Outbox, now: Callable[[], float] | None = None, batch: int = 10) -> Sender:
        """Return a sender."""
        client = ChatarminOS(transport=ToService(self.service))
        return Sender(client, outbox, batch=batch, lease=LEASE_SECONDS, now=now or self.clock.now)

    def produce(self) -> None:
        """Put events until the process is killed."""
        outbox, _ = self._enter()
        while True:
            self.put(outbox)
            time.sleep(random.uniform(0, PAUSE_SECONDS))  # noqa: S311 - a test

    def put(self, outbox: Outbox) -> None:
        """Put an event, again with its key until that succeeds, and acknowledge it."""
        number = random.randrange(20)  # noqa: S311 - a test
        owner = {"external_org_id": f"org_{number}"} if number < 5 else {"company_id": f"comp_{number}"}
        metadata = {"text": "x" * 2000} if self.kind == "full" else None
        try:
            key = outbox.put(feature_code="ai_credit", quantity=1, metadata=metadata, **owner)
        except OutboxError as error:
            if "full" in str(error):
                self._refused.touch()
            key = self._put_again(outbox, error)
        self.acknowledge(f"lost{key[4:]}" if self._plant == "loss" else key)

    @staticmethod
    def _put_again(outbox: Outbox, error: OutboxError) -> str:
        event = error.event
        assert event is not None
        while True:
            time.sleep(0.005)
            with suppress(OutboxError):
                return outbox.put_many([event])[0]

    def send(self) -> None:
        """Deliver events until the process is killed; if a file system is to be full first, from then on."""
        outbox, now = self._enter()
        sender = self.sender(outbox, now)
        while True:
            if self.kind != "full" or self.is_refused():
                with suppress(OutboxError):
                    sender.drain(deadline=1)
            time.sleep(0.005)

    def _enter(self) -> tuple[Outbox, Callable[[], float]]:
        now = self.clock.now
        if self.kind == "clocks":
            now = self.clock.jumping(random.Random(os.getpid()))  # noqa: S311 - a test
        if self.kind == "errors":
            Faults(self.place.folder).arm_at_random(CALLS_PER_ERROR)
        while True:
            with suppress(OutboxError):
                return self.place.open(self.clock, now), now
            time.sleep(0.01)

    # The end

    def deliver(self) -> int:
        """Deliver what is left, and return how many events remain."""
        with self.open() as outbox:
            sender = self.sender(outbox, batch=50)
            for _ in range(20):
                left = sender.drain().left
                if not left:
                    break
                self.clock.advance(HOUR / 6)  # leases and waits end
            return left

    def verdict(self, *, can_die: bool) -> Verdict:
        """Return what was found."""
        with self.open() as outbox:
            stats = outbox.stats()
            dead = {event.key for event in outbox.dead(limit=max(1, stats.dead))}
        report = ask(self.service, "report")
        return judge(
            self.acknowledged(),
            report["counts"],
            dead,
            sent=report["sent"],
            left=stats.ready + stats.leased,
            kills=self.kills,
            failed=self.failed,
            can_die=can_die,
        )


class Patience:
    """Ends when no event has been put or sent for long."""

    def __init__(self, run: Run) -> None:
        self._run, self._seen, self._since = run, run.progress(), time.monotonic()

    @property
    def kill_seconds(self) -> float:
        """The time between two kills, which grows without progress: on a busy machine, kills may leave none."""
        return max(KILL_SECONDS, (time.monotonic() - self._since - LOOK_SECONDS) / 10)

    def is_over(self) -> bool:
        """Return whether it has ended."""
        now = time.monotonic()
        if now - self._since > LOOK_SECONDS and (found := self._run.progress()) != self._seen:
            self._seen, self._since = found, now
        return now - self._since > PATIENCE_SECONDS


def fork(program: Callable[[], object]) -> int:
    """Run a program in a child, which ends with it."""
    process = os.fork()
    if not process:
        code = 1
        try:
            found = program()
            code = found if isinstance(found, int) else 0
        finally:
            os._exit(code)
    return process


def kill(process: int) -> None:
    """Kill a child, and wait for its end."""
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
