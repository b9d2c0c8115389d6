"""A PostgreSQL, producers and senders that are killed: no event is missing, none counts twice."""

from __future__ import annotations

import random
import signal
import time
from typing import TYPE_CHECKING, Any

import outbox_databases
import pytest
from django.db import connections
from outbox_programs import Ledger
from test_crashes import Service, start_program, whole_lines

from chatarmin_os import ChatarminOS, _clock
from chatarmin_os.django import DjangoOutbox
from chatarmin_os.outbox import OutboxUnavailable, Sender

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.needs("postgres")]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """Return a service that listens."""
    service = Service(tmp_path / "service")
    yield service
    service.close()


def test_connection_that_ended_is_replaced() -> None:
    """Without PostgreSQL a put fails with its event; when it runs again a put succeeds, although no request began."""
    using, server = outbox_databases.postgres(), outbox_databases.postgres_server()
    outbox = outbox_databases.outbox(using)
    event: dict[str, Any] = {"company_id": "comp_1", "feature_code": "ai_credit", "quantity": 1}
    outbox.put(**event)
    server.stop()
    with pytest.raises(OutboxUnavailable) as raised:
        outbox.put(**event)
    server.start()
    assert raised.value.event is not None
    outbox.put_many([raised.value.event])

    server.stop()
    server.start()
    outbox.put(**event)
    assert outbox.stats().ready == 3


@pytest.mark.parametrize("is_server_stopped", [False, True])
def test_killed_processes_lose_nothing(tmp_path: Path, service: Service, is_server_stopped: bool) -> None:  # noqa: FBT001
    """What was acknowledged is counted, each event once, also if PostgreSQL itself ends and starts again."""
    using, server = outbox_databases.postgres(), outbox_databases.postgres_server()
    outbox_databases.outbox(using)
    path = tmp_path / "service"
    roles: list[tuple[object, ...]] = [
        ("produce", server.folder, tmp_path / f"ledger{number}", 60) for number in range(3)
    ]
    roles += [("send", server.folder, path, 60)] * 2
    choose = random.Random(7)  # noqa: S311 - a test
    kills = 0
    running = [start_program(*role) for role in roles]
    end = time.monotonic() + 15
    while time.monotonic() < end:
        time.sleep(0.4)  # a program imports Django first
        place = choose.randrange(len(roles) + 2 * is_server_stopped)
        kills += 1
        if place >= len(roles):
            server.stop()
            server.start()
            continue
        running[place].send_signal(signal.SIGKILL)
        running[place].wait()
        running[place] = start_program(*roles[place])
    for process in running:
        process.kill()
        process.wait()
    connections[using].close()

    def later() -> float:
        return _clock.wall() + 3600  # all leases and waits have ended

    outbox = DjangoOutbox(using, now=later)
    Sender(ChatarminOS(transport=Ledger(str(path), drops=0)), outbox, now=later).drain()

    stats = outbox.stats()
    acknowledged = [key for number in range(3) for key in whole_lines(tmp_path / f"ledger{number}")]
    assert (stats.dead, stats.ready, stats.leased) == (0, 0, 0)
    assert set(acknowledged) <= set(service.counted)
    assert kills > 10
    assert len(acknowledged) > 100
    assert service.sent > len(service.counted)  # some were sent twice, and counted once
