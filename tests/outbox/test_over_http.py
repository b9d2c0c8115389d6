"""Senders on real sockets."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from outbox_world import World

from chatarmin_os import ChatarminOS
from chatarmin_os._clock import monotonic
from chatarmin_os.outbox import Sender, SQLiteOutbox
from chatarmin_os.transports import FunctionTransport, HTTPTransport, RecordingTransport, Transport

if TYPE_CHECKING:
    from pathlib import Path

    from serving import FakeServer


def test_events_are_delivered_over_http(tmp_path: Path, fake_server: FakeServer) -> None:
    """A drain sends batches, and each outcome is that of its event."""
    world = World()
    world.outbox = SQLiteOutbox(tmp_path / "usage.db", synchronous="normal")
    world.put(100)
    world.put(external_org_id="org_1")
    [dead] = world.put(feature_code="unknown")
    with ChatarminOS(api_key=fake_server.add(world.fake), base_url=fake_server.url) as client:
        report = Sender(client, world.outbox).drain(deadline=60)

    assert (report.counted, report.refused, report.requests, report.stopped) == (101, 1, 3, "empty")
    assert [event.key for event in world.outbox.dead()] == [dead]
    assert world.usage() == 101


def test_wrong_key_over_http_keeps_everything(tmp_path: Path, fake_server: FakeServer) -> None:
    """A service that refuses the key stops the drain."""
    world = World()
    world.outbox = SQLiteOutbox(tmp_path / "usage.db", synchronous="normal")
    world.put(100)
    with ChatarminOS(api_key="os_sk_wrong", base_url=fake_server.url) as client:
        report = Sender(client, world.outbox).drain()

    assert (report.stopped, report.left) == ("unauthorized", 100)


def test_sender_repeats_no_request_itself(tmp_path: Path) -> None:
    """The retries of the client are not used: an event that failed waits in the outbox."""
    asked: list[object] = []

    class Noting(FunctionTransport):
        def with_options(self, **options: object) -> Noting:
            asked.append(options)
            return self

    client = ChatarminOS(transport=Noting(lambda _: None))
    Sender(client, SQLiteOutbox(tmp_path / "usage.db")).drain()

    assert [options["max_retries"] for options in asked if isinstance(options, dict)] == [0]


@pytest.mark.parametrize(("timeout", "deadline", "stopped"), [(60, 0.1, "deadline"), (0.1, 60, "outage")])
@pytest.mark.parametrize("is_recorded", [False, True])
def test_request_that_hangs_is_bounded(
    tmp_path: Path,
    timeout: float,
    deadline: float,
    stopped: str,
    is_recorded: bool,  # noqa: FBT001
) -> None:
    """A service that never answers holds a drain for the shorter one of its deadline and the client's timeout."""
    world = World()
    world.outbox = SQLiteOutbox(tmp_path / "usage.db", synchronous="normal")
    world.put(3)
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/api/v1"
        transport: Transport = HTTPTransport("os_sk_test", url, timeout=timeout)
        if is_recorded:
            transport = RecordingTransport(transport, tmp_path / "calls.jsonl")
        with ChatarminOS(transport=transport) as client:
            started = monotonic()
            report = Sender(client, world.outbox).drain(deadline=deadline)

    assert (report.stopped, report.counted, report.left) == (stopped, 0, 3)
    assert monotonic() - started < 30
