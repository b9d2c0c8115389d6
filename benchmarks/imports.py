"""The cost of importing the package and creating a client, compared with importing `requests` alone.

Each figure is that of a new interpreter. A command line or a test run on the fake should not pay for an HTTP library
that it does not use. The operating system counts each process: CPU time, time on the clock and peak memory, including
the start of the interpreter.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from benchmarks._measure import Part, Row, Samples, interleaved, number, within_limit

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

_MAX_RATIO = 0.8
_ROUNDS = 20
_CODE = {
    "start": "pass",
    "requests": "import requests",
    "ours": "from chatarmin_os import ChatarminOS; ChatarminOS.in_memory()",
    "first": "from chatarmin_os import ChatarminOS; ChatarminOS.in_memory().onboard(external_org_id='org')",
}
_PEAK_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes
# Starts an interpreter and prints its cost. A process begins with the peak memory of its parent, so the parent is
# smaller than any measured process.
_LAUNCHER = """
import os, sys, time
start = time.perf_counter()
child = os.posix_spawn(sys.executable, [sys.executable, "-c", sys.argv[1]], os.environ)
_, status, usage = os.wait4(child, 0)
wall = time.perf_counter() - start
print(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss, os.waitstatus_to_exitcode(status))
"""
_OURS = "`from chatarmin_os import ChatarminOS; ChatarminOS.in_memory()`"


class _Process(NamedTuple):
    """The cost of one process."""

    cpu: float
    wall: float
    peak: float  # in the system's unit
    exit_code: float


def run() -> Part:
    """Measure the import."""
    with _compiled() as environment:
        run_code = partial(_run, environment=environment)
        processes: dict[str, list[_Process]] = {name: [] for name in _CODE}

        def cpu_time(name: str) -> float:
            process = run_code(_CODE[name])
            assert process.exit_code == 0, _CODE[name]
            processes[name].append(process)
            return process.cpu

        cpu = interleaved({name: partial(cpu_time, name) for name in _CODE}, rounds=_ROUNDS)
        needs_requests = run_code(f"import sys; {_CODE['ours']}; sys.exit('requests' in sys.modules)").exit_code != 0
    # The first of each was a warm-up.
    wall = Samples({name: [process.wall for process in of[1:]] for name, of in processes.items()})
    peak = Samples({name: [process.peak for process in of[1:]] for name, of in processes.items()})
    return Part(
        "Import",
        f"A new interpreter that runs {_OURS}; ratio to one that runs `import requests`.",
        [
            _time(cpu, "CPU time", judged=True, without="start"),
            _time(cpu, "CPU time", judged=True),
            _time(wall, "clock", judged=False, without="start"),
            _time(wall, "clock", judged=False),
            _time(cpu, "CPU time, and a first `onboard`", judged=False, ours="first", without="start"),
            _memory(peak, "peak memory", "ours"),
            _memory(peak, "peak memory, and a first `onboard`", "first"),
            Row("`requests` is imported", "yes" if needs_requests else "no", "", "no", not needs_requests),
        ],
    )


def _time(samples: Samples, what: str, *, judged: bool, ours: str = "ours", without: str | None = None) -> Row:
    what += ", start of the interpreter " + ("subtracted" if without else "included")
    ratio, figure = samples.ratio(ours, "requests", without=without), _pair(samples, ours, "ms", 1000, without)
    return within_limit(_MAX_RATIO, ratio, what=what, figure=figure) if judged else Row(what, figure, number(ratio))


def _memory(samples: Samples, what: str, ours: str) -> Row:
    return Row(what, _pair(samples, ours, "MiB", _PEAK_UNIT / 2**20), number(samples.ratio(ours, "requests")))


def _pair(samples: Samples, ours: str, unit: str, factor: float, without: str | None = None) -> str:
    less = samples.median(without) if without else 0.0
    mine, other = ((samples.median(name) - less) * factor for name in (ours, "requests"))
    return f"{number(mine)} {unit} (`requests` {number(other)} {unit})"


@contextmanager
def _compiled() -> Generator[Mapping[str, str]]:
    """Yield an environment in which modules are compiled once, whatever the settings of this one."""
    with TemporaryDirectory() as cache:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        yield environment


def _run(code: str, environment: Mapping[str, str]) -> _Process:
    command = [sys.executable, "-I", "-S", "-c", _LAUNCHER, code]
    output = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout.split()  # noqa: S603 - our own text
    cpu, wall, peak, exit_code = map(float, output)
    return _Process(cpu, wall, peak, exit_code)
