"""What happens in a crash test: processes are killed, threads fork, or a disk fails."""

from __future__ import annotations

import threading
import time
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from crash_run import HIT, Patience
from crash_service import HOUR, ask
from io_faults import MODES, STEPS, Faults, Mode, Steps

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from crash_run import Run

PRODUCERS, SENDERS, CHILDREN = 4, 2, 8
RESTART_SECONDS = 1.0


class Size(NamedTuple):
    """How much happens at least.

    Attributes:
        seconds: For which processes are killed.
        kills: How many of them.
        acknowledged: Events.
        requests: Of the senders.
        puts: Of each child of a fork, and more until there were enough requests.
        stride: Of so many calls one fails.
    """

    seconds: float
    kills: int
    acknowledged: int
    requests: int
    puts: int
    stride: int


SMALL = Size(seconds=0, kills=40, acknowledged=200, requests=20, puts=100, stride=9)
FULL = Size(seconds=30, kills=200, acknowledged=1000, requests=100, puts=1000, stride=1)


def kill_programs(run: Run, size: Size) -> None:
    """Kill producers and senders, and start them again; the server of the outbox too, if it has one."""
    programs: list[Callable[[], None]] = [run.produce] * PRODUCERS + [run.send] * SENDERS
    start = at = restarted = time.monotonic()
    patience = Patience(run)
    kills, puts = run.kills + size.kills, len(run.acknowledged()) + size.acknowledged
    requests = ask(run.service, "progress") + size.requests

    def is_enough() -> bool:
        return (
            time.monotonic() - start >= size.seconds
            and run.kills >= kills
            and len(run.acknowledged()) >= puts
            and ask(run.service, "progress") >= requests
            and (run.kind != "full" or run.is_refused())
        )

    running = [run.start(program) for program in programs]
    try:
        while not is_enough():
            if patience.is_over():
                raise RuntimeError(f"no progress after {run.kills} kills and {len(run.acknowledged())} events")
            at += patience.kill_seconds
            time.sleep(max(0.0, at - time.monotonic()))
            place = run.choose.randrange(len(running))
            run.end(running[place])
            running[place] = run.start(programs[place])
            run.kills += 1
            if run.place.has_server and time.monotonic() - restarted >= RESTART_SECONDS:
                run.place.restart(run.choose)
                run.kills += 1
                at = restarted = time.monotonic()
    finally:
        for process in running:
            run.end(process)


def fork_from_threads(run: Run, size: Size) -> None:
    """Fork children while threads of their parent put and send; each child puts, and sends by a thread of its own."""
    run.finish(run.start(partial(_be_parent, run, size)))


def _be_parent(run: Run, size: Size) -> None:
    outbox = run.open()
    sender = run.sender(outbox)
    sender.start(poll=0.01)
    stop = threading.Event()

    def put_in_thread() -> None:
        while not stop.is_set():
            run.put(outbox)

    requests = ask(run.service, "progress") + size.requests

    def put_in_child() -> None:
        for turn in range(10 * size.puts):
            # On a busy machine all puts may come before the service has dropped an answer.
            if turn >= size.puts and ask(run.service, "progress") >= requests:
                return
            run.put(outbox)

    threads = [threading.Thread(target=put_in_thread) for _ in range(2)]
    for thread in threads:
        thread.start()
    children = [run.start(put_in_child) for _ in range(CHILDREN)]
    stop.set()  # from now on only children put: whether all of them hang can be seen
    for thread in threads:
        thread.join()
    sender.stop()
    patience = Patience(run)
    for child in children:
        run.finish(child, patience)
    assert not run.failed, f"{run.failed} children failed or hung"


def walk(run: Run, size: Size) -> None:
    """Let each call that changes a file fail, or each of so many; then deliver what is there."""
    for step, mode in product(STEPS, MODES):
        place = run.choose.randrange(size.stride) + 1
        while _fails(run, step, mode, place):
            run.kills += 1
            place += size.stride


def _fails(run: Run, step: str, mode: Mode, place: int) -> bool:
    """Let one call of a step fail in a new file, and deliver what is there; return whether there is such a call."""
    file = run.place.renew()
    faults = Faults(run.place.folder)
    steps = Steps(file, run.open, run.sender, run.acknowledge)
    run.finish(run.start(steps.prepare))

    def fail() -> int:
        return HIT * bool(steps.run(step, partial(faults.arm, mode, place), faults.disarm))

    code = run.finish(run.start(fail))
    run.clock.advance(HOUR / 6)
    left = run.deliver()
    evidence = _evidence(file)
    is_damaged = step in {"salvage", "salvage later"}
    if left or (evidence and not is_damaged):
        run.fail(f"{step}, {mode.name} at {place}: {left} left, {evidence}")
    return code in {HIT, -9}


def _evidence(file: Path) -> list[str]:
    return [found.name for found in file.parent.iterdir() if ".corrupt-" in found.name]


ROUNDS: dict[str, Callable[[Run, Size], None]] = {
    "kills": kill_programs,
    "full": kill_programs,  # senders start when the file system is full
    "days": kill_programs,  # a day passes between rounds, and the service forgets the keys
    "clocks": kill_programs,  # those of processes are set a day forward and back
    "errors": kill_programs,  # calls that change a file fail at random
    "forks": fork_from_threads,
    "walk": walk,  # each call that changes a file fails once, in each step and in each way
}
