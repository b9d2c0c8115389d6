"""A Redis, producers and senders that are killed: no event is missing, none counts twice."""

from __future__ import annotations

import random
import signal
import time
from typing import TYPE_CHECKING

import pytest
import redis
from outbox_programs import Ledger
from redis_server import RedisServer
from test_crashes import Service, start_program, whole_lines

from chatarmin_os import ChatarminOS, _clock
from chatarmin_os.outbox import RedisOutbox, Sender

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.needs("redis-server")]


MIN_KILLS, MIN_ACKNOWLEDGED = 15, 200


def _acknowledged(folder: Path) -> list[str]:
    return [key for number in range(3) for key in whole_lines(folder / f"ledger{number}")]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """Return a service that listens."""
    service = Service(tmp_path / "service")
    yield service
    service.close()


@pytest.mark.parametrize("is_redis_killed", [False, True])
def test_killed_processes_lose_nothing(tmp_path: Path, service: Service, is_redis_killed: bool) -> None:  # noqa: FBT001
    """With `appendfsync always` what was acknowledged is counted, each event once, also if Redis itself is killed."""
    path = tmp_path / "service"
    choose = random.Random(7)  # noqa: S311 - a test
    kills = 0
    with RedisServer(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as server:
        roles: list[tuple[object, ...]] = [
            ("produce", server.path, tmp_path / f"ledger{number}", 60) for number in range(3)
        ]
        roles += [("send", server.path, path, 60)] * 2
        running = [start_program(*role) for role in roles]
        end = time.monotonic() + 60  # on a machine that is too busy, the assertions say what was not reached
        while time.monotonic() < end and not (
            kills >= MIN_KILLS
            and len(_acknowledged(tmp_path)) >= MIN_ACKNOWLEDGED
            and service.sent > len(service.counted)
        ):
            time.sleep(choose.uniform(0.1, 0.6))
            place = choose.randrange(len(roles) + 2 * is_redis_killed)
            kills += 1
            if place >= len(roles):
                server.kill()
                server.start()
                continue
            running[place].send_signal(signal.SIGKILL)
            running[place].wait()
            running[place] = start_program(*roles[place])
        for process in running:
            process.kill()
            process.wait()

        def later() -> float:
            return _clock.wall() + 3600  # all leases and waits have ended

        with RedisOutbox(redis.Redis(unix_socket_path=server.path), now=later) as outbox:
            client = ChatarminOS(transport=Ledger(str(path), drops=0))
            Sender(client, outbox, now=later).drain()
            stats = outbox.stats()
            consumers = server.client.xinfo_consumers("chatarmin_os:usage", "senders")

    acknowledged = _acknowledged(tmp_path)
    assert (stats.dead, stats.ready, stats.leased) == (0, 0, 0)
    assert {found["name"] for found in consumers} <= {b"waiting"}
    assert set(acknowledged) <= set(service.counted)
    assert kills >= MIN_KILLS
    assert len(acknowledged) >= MIN_ACKNOWLEDGED
    assert service.sent > len(service.counted)  # some were sent twice, and counted once
