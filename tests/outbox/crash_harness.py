"""Kill processes that use an outbox, then compare what was acknowledged with what the service counted.

python tests/outbox/crash_harness.py [SCENARIO...]      full counts, 30 seconds each; a table, and exit code 1 if an
                                                        event is missing or counted twice
python tests/outbox/crash_harness.py --small [...]      the counts of the slow tests
python tests/outbox/crash_harness.py --list             the names of the scenarios

Four producers and two senders run as processes, and every 20 ms one of them is killed. Of ten requests the service
drops one before it counts it, and the answer of another one. At the end a last sender delivers what is left.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve()
sys.path += [str(HERE.parent), str(HERE.parents[1])]  # as pytest does

from crash_places import DjangoPlace, FullPlace, Place, PostgresPlace, RedisPlace, TinyPlace, why_not_tiny  # noqa: E402
from crash_rounds import FULL, ROUNDS, SMALL, Size  # noqa: E402
from crash_run import Run  # noqa: E402
from crash_service import HOUR, ask  # noqa: E402
from crash_verdict import HEADER, Verdict, line, row  # noqa: E402
from io_faults import compile_library, compiler  # noqa: E402
from programs import missing  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PLACES: dict[str, type[Place]] = {
    "sqlite": Place,
    "sqlite-full": FullPlace,
    "tiny": TinyPlace,
    "redis": RedisPlace,
    "django-sqlite": DjangoPlace,
    "django-postgres": PostgresPlace,
}
NEEDS = {"redis": "redis-server", "django-postgres": "postgres"}
_KINDS = {
    "kills": ["sqlite", "sqlite-full", "redis", "django-sqlite", "django-postgres"],
    "days": ["sqlite", "redis", "django-postgres"],
    "clocks": ["sqlite", "redis", "django-postgres"],
    "forks": ["sqlite", "sqlite-full", "redis"],
    "full": ["tiny"],
    "errors": ["sqlite", "sqlite-full"],
    "walk": ["sqlite", "sqlite-full"],
}
SCENARIOS = {f"{place}-{kind}": (place, kind) for kind, places in _KINDS.items() for place in places}


def why_not(scenario: str) -> str | None:
    """Return why a scenario cannot run on this machine, None if it can."""
    place, kind = SCENARIOS[scenario]
    if kind in {"errors", "walk"} and not compiler():
        return "install a C compiler"
    if place == "tiny":
        return why_not_tiny()
    return missing(NEEDS[place]) if place in NEEDS else None


def run(scenario: str, *arguments: str) -> Verdict | str:
    """Run a scenario in a process of its own, and return what was found, or the output of a harness that failed."""
    with tempfile.TemporaryDirectory(prefix="crash-") as folder:  # a short path, for the sockets in it
        variables = dict(os.environ)
        if SCENARIOS[scenario][1] in {"errors", "walk"}:
            variables["LD_PRELOAD"] = compile_library(Path(folder))
        command = [sys.executable, str(HERE), scenario, "--in", folder, *arguments]
        output, errors = Path(folder) / "output", Path(folder) / "errors"
        with output.open("w") as out, errors.open("w") as err:
            process = subprocess.Popen(command, env=variables, stdout=out, stderr=err, start_new_session=True)  # noqa: S603
            try:
                code = process.wait()
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # children of one that hung
        if code or errors.read_text():
            return output.read_text() + errors.read_text()
        return Verdict(**json.loads(output.read_text()))


def _run_here(scenario: str, folder: Path, size: Size, *, seed: int, plant: str | None) -> None:
    quiet = (
        logging.CRITICAL if SCENARIOS[scenario][1] == "walk" else logging.ERROR
    )  # dead events, and damage that is meant
    logging.getLogger("chatarmin_os").setLevel(quiet)
    place_name, kind = SCENARIOS[scenario]
    can_die = kind in {"days", "clocks"}
    place = PLACES[place_name](folder)
    current = Run(folder, place, kind, seed=seed, plant=plant)
    try:
        for _ in range(3 if kind == "days" else 1):
            ROUNDS[kind](current, size)
            ask(current.service, "progress")  # which is answered after the requests of those who were killed
            current.clock.advance(25 * HOUR if kind == "days" else HOUR)
        ask(current.service, "settle")
        current.deliver()
        verdict = current.verdict(can_die=can_die)
    finally:
        sys.stderr.write(current.failures())
        current.close()
        place.close()
    print(json.dumps(verdict._asdict()))


def main(arguments: Sequence[str] | None = None, *, run_scenario: Callable[..., Verdict | str] = run) -> None:
    """Run the scenarios that the command line names, and print the table."""
    parser = argparse.ArgumentParser(prog="python tests/outbox/crash_harness.py")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="default: all")
    parser.add_argument("--list", action="store_true", help="print the names of the scenarios")
    parser.add_argument("--small", action="store_true", help="the counts of the slow tests")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="decides what happens")  # noqa: S311
    parser.add_argument("--plant", choices=["loss", "double"], help="a defect that the verdict must show")
    parser.add_argument("--in", dest="folder", type=Path, help=argparse.SUPPRESS)  # run one in this process
    asked = parser.parse_args(arguments)
    if unknown := sorted({*asked.scenarios} - {*SCENARIOS}):
        parser.error(f"no such scenario: {', '.join(unknown)}")
    if asked.list:
        print(*SCENARIOS, sep="\n")
        return
    if asked.folder:
        [scenario] = asked.scenarios
        _run_here(scenario, asked.folder, SMALL if asked.small else FULL, seed=asked.seed, plant=asked.plant)
        return
    print(f"seed {asked.seed}\n\n{line(HEADER)}")
    passed_on = [f"--seed={asked.seed}", *["--small"] * asked.small, *[f"--plant={asked.plant}"] * bool(asked.plant)]
    is_good = True
    for scenario in asked.scenarios or SCENARIOS:
        if reason := why_not(scenario):
            print(f"{scenario:24}  skipped: {reason}")
            continue
        found = run_scenario(scenario, *passed_on)
        print(found if isinstance(found, str) else row(scenario, found), flush=True)
        is_good &= not isinstance(found, str) and found.is_good
    sys.exit(0 if is_good else 1)


if __name__ == "__main__":
    main()
