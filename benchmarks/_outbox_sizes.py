"""The outbox with many events and with many writers, in processes of its own."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks._measure import Row, number
from benchmarks.imports import _PEAK_UNIT, _compiled, _run
from chatarmin_os import TrackUsageInput
from chatarmin_os.outbox import SQLiteOutbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

_FEW, _MANY, _AT_ONCE = 1_000, 1_000_000, 50_000
_MAX_BYTES = 2**30
_MAX_MEBIBYTES, _MAX_OPENING_MILLISECONDS = 16, 50
_WRITERS, _PUTS = 8, 1_000

_DRAIN = """
from chatarmin_os import ChatarminOS
from chatarmin_os.outbox import Sender, SQLiteOutbox
from chatarmin_os.transports import FunctionTransport
usage = {"currentUsage": 5, "billableQuantity": 0, "isAtLimit": False, "remaining": None}
with SQLiteOutbox(PATH, max_bytes=2**30) as outbox:
    outbox.put(company_id="comp_1", feature_code="ai_credit", quantity=5)
    assert Sender(ChatarminOS(transport=FunctionTransport(lambda call: usage)), outbox).drain(limit=500).counted == 500
"""

_OPEN = """
from time import perf_counter
from chatarmin_os.outbox import SQLiteOutbox
SQLiteOutbox(PATH + ".warm").put(company_id="comp_1", feature_code="ai_credit", quantity=5)
start = perf_counter()
SQLiteOutbox(PATH, max_bytes=2**30).put(company_id="comp_1", feature_code="ai_credit", quantity=5)
print(perf_counter() - start)
"""

_WRITE = f"""
import sys
from chatarmin_os.outbox import OutboxError
OPEN
refused = 0
with outbox:
    outbox.put(company_id="comp_1", feature_code="ai_credit", quantity=5)
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range({_PUTS}):
        try:
            outbox.put(company_id="comp_1", feature_code="ai_credit", quantity=5)
        except OutboxError:
            refused += 1
print(refused)
"""


def sizes(new_path: Callable[[], Path]) -> Iterator[Row]:
    """Measure memory and opening with many events."""
    few, many = new_path(), new_path()
    for path, count in ((few, _FEW), (many, _MANY)):
        _fill(path, count)
    with _compiled() as environment:
        peaks = [_peak(path, environment) for path in (many, few)]
    more = peaks[0] - peaks[1]
    figure = f"{number(peaks[0])} MiB ({number(peaks[1])} MiB)"
    what = f"peak memory of a put and a drain of 500, {_MANY:,} events waiting; minus that with {_FEW:,}, in MiB"
    yield Row(what, figure, number(more) if more > 0 else "0", f"≤ {_MAX_MEBIBYTES}", more <= _MAX_MEBIBYTES)

    taken = sorted(float(_output(_OPEN, many)) * 1e3 for _ in range(5))
    met = taken[2] <= _MAX_OPENING_MILLISECONDS
    what = f"opening the file with {_MANY:,} events, and a put"
    figure = f"{number(taken[2])} ms (longest of 5: {number(taken[-1])} ms)"
    yield Row(what, figure, "", f"≤ {_MAX_OPENING_MILLISECONDS} ms", met)


def _fill(path: Path, count: int) -> None:
    with SQLiteOutbox(path, synchronous="normal", max_bytes=_MAX_BYTES) as outbox:
        for start in range(0, count, _AT_ONCE):
            keys = (f"{place:036}" for place in range(start, min(start + _AT_ONCE, count)))  # they grow, as new ones do
            outbox.put_many(
                [
                    TrackUsageInput(company_id="comp_1", feature_code="ai_credit", quantity=5, idempotency_key=key)
                    for key in keys
                ]
            )


def _peak(path: Path, environment: Mapping[str, str]) -> float:
    process = _run(_DRAIN.replace("PATH", repr(str(path))), environment)
    assert process.exit_code == 0
    return process.peak * _PEAK_UNIT / 2**20


def _output(code: str, path: Path) -> str:
    command = [sys.executable, "-c", code.replace("PATH", repr(str(path)))]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout  # noqa: S603 - our own text


def opening_of(path: Path) -> str:
    """Return code that opens an outbox in a file."""
    return f"from chatarmin_os.outbox import SQLiteOutbox\noutbox = SQLiteOutbox({str(path)!r}, synchronous='normal')"


def writers(name: str, opening: str) -> Row:
    """Measure many processes that put at the same time, each through the outbox that the code *opening* opens."""
    command = [sys.executable, "-c", _WRITE.replace("OPEN", opening)]
    pipes = partial(subprocess.Popen, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    running = [pipes(command) for _ in range(_WRITERS)]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    start = perf_counter()
    for process in running:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    refused = sum(int(process.communicate()[0]) for process in running)
    rate = _WRITERS * _PUTS / (perf_counter() - start)
    what = f"{_WRITERS} processes with {_PUTS:,} puts each, `{name}`: refused"
    return Row(what, f"{refused} ({number(rate)} puts a second)", "", "0", refused == 0)
