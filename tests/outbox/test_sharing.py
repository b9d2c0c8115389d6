"""Threads and processes that use one file at the same time."""

from __future__ import annotations

import multiprocessing
import threading
from typing import TYPE_CHECKING

import pytest
from outbox_world import World

from chatarmin_os.outbox import SQLiteOutbox

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),  # Python 3.12 warns of threads that fork
]


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
    outbox = SQLiteOutbox(path, synchronous="normal")
    for _ in range(count):
        outbox.put(company_id="comp_1", feature_code="ai_credit", quantity=1)


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
