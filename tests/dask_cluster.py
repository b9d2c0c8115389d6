"""A cluster of Dask for tests: a scheduler and workers, each a process of its own, as on several machines."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

from waiting import until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HERE = Path(__file__).parent


class DaskCluster:
    """A scheduler, and the workers that a test starts; all of them end with the block.

    Args:
        folder: Where they write; their logs are in it.
        port: That of an earlier scheduler; 0: a free one.

    Attributes:
        address: That of the scheduler.
        workers: The workers, in the order of their start.
    """

    def __init__(self, folder: Path, *, port: int = 0) -> None:
        self._folder, self._count = folder, 0
        self.workers: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", str(port))
        self.address = ""

    def __enter__(self) -> Self:
        try:
            until(lambda: "Scheduler at:" in self.log() or self.scheduler.poll() is not None)
            line = next(line for line in self.log().splitlines() if "Scheduler at:" in line)
        except BaseException:
            self.__exit__()
            raise
        self.address = line.split("Scheduler at:")[1].strip()
        return self

    def __exit__(self, *_: object) -> None:
        _kill([*self.workers, self.scheduler])  # they take long to end by themselves on a busy machine

    def add_worker(self, variables: Mapping[str, str] | None = None, *, count: int = 1) -> None:
        """Start workers with more variables in their environment, and wait until they are registered."""
        wanted = self.log().count("Register worker") + count
        for _ in range(count):
            options = ("--nthreads", "2", "--no-nanny", "--local-directory", str(self._folder))
            self.workers.append(self._start("worker", self.address, *options, variables=variables))
        until(lambda: self.log().count("Register worker") >= wanted)

    def remove_workers(self) -> None:
        """Kill all workers, and wait until the scheduler has noticed."""
        _kill(self.workers)
        self.workers.clear()
        until(lambda: self.log().count("Remove worker") >= self.log().count("Register worker"))

    def log(self) -> str:
        """Return all that the processes wrote."""
        return "".join(path.read_text() for path in sorted(self._folder.glob("dask-*.log")))

    def _start(
        self, program: str, *arguments: str, variables: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        self._count += 1
        path = os.pathsep.join([str(_HERE / "backfill"), str(_HERE)])
        with (self._folder / f"dask-{os.getpid()}-{program}-{self._count}.log").open("wb") as log:
            return subprocess.Popen(  # noqa: S603 - our own interpreter
                [sys.executable, "-m", "dask", program, *arguments, "--no-dashboard"],
                stderr=subprocess.STDOUT,
                stdout=log,
                env={**os.environ, "PYTHONPATH": path, **(variables or {})},
                cwd=self._folder,
            )


def _kill(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.kill()
    for process in processes:
        process.wait()
