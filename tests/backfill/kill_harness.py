"""Kill the processes of a backfill, start it again until it is done, then compare the service with the rows.

python tests/backfill/kill_harness.py [ENGINE...]       20,000 rows and 50 kills for each engine; a table, and exit code
                                                        1 if a company or a contact is missing, or there twice
python tests/backfill/kill_harness.py --rows 1000 --kills 8 [...]

Engines: threads, processes and dask (a scheduler and two workers, which are processes of their own). The victim is the
coordinator or one of its workers. The service runs in another process, and some requests fail throughout: see
`kill_service.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import urlopen

HERE = Path(__file__).resolve()
sys.path += [str(HERE.parent), str(HERE.parents[1])]  # as pytest does

from backfill_clients import Found, all_of, factory, found_in, rows, write_settings  # noqa: E402
from kill_service import CLIENT_SECONDS, KEY  # noqa: E402

from chatarmin_os import ChatarminError  # noqa: E402
from chatarmin_os.backfill import read_rows  # noqa: E402
from chatarmin_os.backfill.backfill import Backfill  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ENGINES = ("threads", "processes", "dask")
RATE_OF_FAULTS = 0.05
REQUESTS_PER_ROW = 4 / 50  # at least
PATIENCE_SECONDS = 300.0
DONE, STOPPED = 0, 3  # exit codes of the coordinator

_COUNTS = ("lookups", "429", "503", "hung", "lost")
HEADER = ("engine", "rows", "kills", "runs", "seconds", *_COUNTS, "companies", "contacts", "missing", "twice")


class Verdict(NamedTuple):
    """The end of a run with kills.

    Attributes:
        kills: How many processes were killed, by their kind.
        runs: How often the backfill was started.
        counts: Requests by their fault.
        found: The contents of the service.
        wanted: Its contents if each row was applied once.
    """

    kills: int
    runs: int
    seconds: float
    counts: dict[str, int]
    found: Found
    wanted: Found

    @property
    def missing(self) -> int:
        """How many companies, links, contacts and tiers are missing."""
        there = (self.found.organisations, self.found.addresses, self.found.tiers)
        return sum((self.wanted.organisations, self.wanted.addresses, self.wanted.tiers)) - sum(there)

    @property
    def twice(self) -> int:
        """How many companies and contacts are there more than once."""
        return self.found.companies - self.found.organisations + self.found.contacts - self.found.addresses

    @property
    def is_good(self) -> bool:
        """Whether everything is there once."""
        return self.found == self.wanted


class Run:
    """A backfill with kills: its service, its cluster, and the coordinator that is started again and again.

    Args:
        engine: Which workers.
        folder: An empty one.
        count: How many rows.
        seed: Of all choices.
    """

    def __init__(self, engine: str, folder: Path, *, count: int, seed: int) -> None:
        self._engine, self._folder, self._count, self._seed = engine, folder, count, seed
        self._choose = random.Random(seed)  # noqa: S311 - a test
        self._file = folder / "customers.jsonl"
        self._file.write_text("".join(f"{json.dumps(row)}\n" for row in rows(count)))
        self._log = (folder / "output").open("w")
        self._groups: list[int] = []
        self._workers: list[subprocess.Popen[bytes]] = []
        self._scheduler = ""

    def judge(self, kills: int) -> Verdict:
        """Start the backfill, kill its processes, start it again until it is done."""
        began = time.monotonic()
        with ExitStack() as stack:
            stack.callback(self._log.close)
            stack.callback(self._end_groups)
            self._service = stack.enter_context(self._serving())
            if self._engine == "dask":
                stack.callback(self._end_workers)
                self._scheduler = stack.enter_context(self._scheduling())
                self._workers = [self._start_worker() for _ in range(2)]
            # So that the kills are spread over the run, and over before it is.
            self._max_requests = max(2, int(1.5 * REQUESTS_PER_ROW * self._count / max(1, kills)))
            killed, runs = self._kill_until_done(kills)
            self._settle()
            counts, tables = self._ask("counts"), self._ask("tables")
        return Verdict(killed, runs, time.monotonic() - began, counts, found_in(tables), all_of(self._count))

    def _kill_until_done(self, kills: int) -> tuple[int, int]:
        killed = runs = 0
        until = time.monotonic() + PATIENCE_SECONDS + self._count / 20
        while True:
            runs += 1
            coordinator = self._start_coordinator()
            while coordinator.poll() is None:
                if killed < kills and self._requests_pass(coordinator):
                    killed += self._kill_one(coordinator)
                elif killed >= kills:
                    with suppress(subprocess.TimeoutExpired):
                        coordinator.wait(1.0)
                if time.monotonic() > until:
                    raise RuntimeError(f"it is not done after {killed} kills and {runs} runs: {self.output()}")
            code = coordinator.returncode
            if code == DONE:
                return killed, runs
            if code not in {STOPPED, -signal.SIGKILL}:
                raise RuntimeError(f"the backfill ended with {code}: {self.output()}")

    def _requests_pass(self, coordinator: subprocess.Popen[bytes]) -> bool:
        """Wait until some requests have come; return whether the coordinator is still there."""
        wanted = self._ask("counts").get("requests", 0) + self._choose.randrange(1, self._max_requests)
        while coordinator.poll() is None:
            if self._ask("counts").get("requests", 0) >= wanted:
                return True
            time.sleep(0.002)
        return False

    def _kill_one(self, coordinator: subprocess.Popen[bytes]) -> int:
        """Kill the coordinator, or one of its workers, and return how many were killed."""
        if self._workers and self._choose.random() < 0.5:
            place = self._choose.randrange(len(self._workers))
            self._workers[place].kill()
            self._workers[place].wait()
            self._workers[place] = self._start_worker()
            return 1
        children = _workers_of(coordinator.pid) if self._engine == "processes" else []
        if children and self._choose.random() < 0.5:
            with suppress(ProcessLookupError):
                os.kill(self._choose.choice(children), signal.SIGKILL)
            return 1
        coordinator.kill()
        coordinator.wait()
        return 1

    # Processes

    def _start_coordinator(self) -> subprocess.Popen[bytes]:
        # Workers of a coordinator that was killed finish their chunks while the next one runs, and end here after that.
        while len(self._groups) > 1:
            _end_group(self._groups.pop(0))
        command = [sys.executable, str(HERE), "--in", str(self._folder), "--scheduler", self._scheduler, self._engine]
        process = subprocess.Popen(  # noqa: S603 - our own program
            command, stdout=self._log, stderr=self._log, start_new_session=True
        )
        self._groups.append(process.pid)
        return process

    def _end_groups(self) -> None:
        for group in self._groups:
            _end_group(group)

    @contextmanager
    def _serving(self) -> Iterator[str]:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, str(HERE.parent / "kill_service.py"), str(self._seed), str(RATE_OF_FAULTS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        assert process.stdout
        url = process.stdout.readline().strip()
        write_settings(self._folder, KEY, url, timeout=CLIENT_SECONDS)
        parts = urlsplit(url)
        try:
            yield f"{parts.scheme}://{parts.netloc}"
        finally:
            process.communicate()

    @contextmanager
    def _scheduling(self) -> Iterator[str]:
        options = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        found = self._folder / "scheduler.json"
        process = self._dask("scheduler", *options, "--scheduler-file", str(found))
        try:
            until = time.monotonic() + PATIENCE_SECONDS
            while not found.exists() or not found.read_text():
                if time.monotonic() > until or process.poll() is not None:
                    raise RuntimeError(f"the scheduler did not start: {self.output()}")
                time.sleep(0.05)
            yield json.loads(found.read_text())["address"]
        finally:
            process.kill()
            process.wait()

    def _start_worker(self) -> subprocess.Popen[bytes]:
        options = ("--nthreads", "2", "--no-dashboard", "--no-nanny", "--local-directory", str(self._folder))
        return self._dask("worker", self._scheduler, *options)

    def _dask(self, *arguments: str) -> subprocess.Popen[bytes]:
        variables = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (HERE.parent, HERE.parents[1])))}
        return subprocess.Popen(  # noqa: S603 - our own interpreter
            [sys.executable, "-m", "dask", *arguments], stdout=self._log, stderr=self._log, env=variables
        )

    def _end_workers(self) -> None:
        for process in self._workers:
            process.kill()
            process.wait()

    # Their service

    def _ask(self, name: str) -> Any:
        with urlopen(f"{self._service}/{name}", timeout=PATIENCE_SECONDS) as response:  # noqa: S310 - our own server
            return json.load(response)

    def _settle(self) -> None:
        """Wait until no request is running: those of processes that were killed may run late."""
        until = time.monotonic() + PATIENCE_SECONDS
        while self._ask("counts").get("running"):
            if time.monotonic() > until:
                raise RuntimeError("requests hang")
            time.sleep(0.05)

    def output(self) -> str:
        """Return the last output of the processes."""
        return (self._folder / "output").read_text()[-4000:]


def _workers_of(coordinator: int) -> list[int]:
    """Return the processes of its pool: children that are not Python's own tracker of resources."""
    try:
        children = Path(f"/proc/{coordinator}/task/{coordinator}/children").read_text().split()
        commands = {int(child): Path(f"/proc/{child}/cmdline").read_bytes() for child in children}
    except OSError:  # it ended
        return []
    return [child for child, command in commands.items() if b"spawn_main" in command]


def _end_group(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


# The coordinator, in a process of its own


@contextmanager
def _executor(engine: str, scheduler: str) -> Iterator[Executor | None]:
    if engine == "threads":
        yield None
    elif engine == "processes":
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
            yield executor
    else:
        from distributed import Client

        with Client(scheduler, timeout=PATIENCE_SECONDS) as client:
            yield client.get_executor()


def _coordinate(engine: str, folder: Path, scheduler: str) -> int:
    with _executor(engine, scheduler) as executor:
        backfill = Backfill(factory(folder / "settings"), checkpoint=folder / "state", executor=executor, workers=4)
        try:
            report = backfill.run(read_rows(folder / "customers.jsonl"))
        except ChatarminError as error:
            print(error)
            return STOPPED
    print(report)
    return DONE if report.failed == 0 else STOPPED


# The command


def line(cells: Sequence[object]) -> str:
    """Return a line of the table."""
    return "  ".join(f"{cell!s:>9}" for cell in cells)


def row(engine: str, verdict: Verdict) -> str:
    """Return the line of an engine."""
    counts = [verdict.counts.get(name, 0) for name in _COUNTS]
    found = [verdict.found.companies, verdict.found.contacts, verdict.missing, verdict.twice]
    cells = [engine, verdict.wanted.companies, verdict.kills, verdict.runs, f"{verdict.seconds:.0f}", *counts, *found]
    return line(cells) + "  FAILED" * (not verdict.is_good)


def run(engine: str, *, count: int, kills: int, seed: int) -> Verdict:
    """Run a backfill with kills, and return the verdict."""
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        return Run(engine, Path(folder), count=count, seed=seed).judge(kills)


def main(arguments: Sequence[str] | None = None, *, run_engine: Callable[..., Verdict] = run) -> int:
    """Run the engines that the command line names, and print the table."""
    parser = argparse.ArgumentParser(prog="python tests/backfill/kill_harness.py")
    parser.add_argument("engines", nargs="*", metavar="ENGINE", help=f"{', '.join(ENGINES)}; default: all")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="of all choices")  # noqa: S311
    parser.add_argument("--in", dest="folder", type=Path, help=argparse.SUPPRESS)  # be the coordinator
    parser.add_argument("--scheduler", help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if unknown := sorted({*asked.engines} - {*ENGINES}):
        parser.error(f"no such engine: {', '.join(unknown)}")
    if asked.folder:
        return _coordinate(asked.engines[0], asked.folder, asked.scheduler)
    print(f"seed {asked.seed}\n\n{line(HEADER)}", flush=True)
    is_good = True
    for engine in asked.engines or ENGINES:
        verdict = run_engine(engine, count=asked.rows, kills=asked.kills, seed=asked.seed)
        print(row(engine, verdict), flush=True)
        is_good &= verdict.is_good
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
