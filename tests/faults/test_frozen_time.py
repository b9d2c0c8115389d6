"""Tests that stop time with freezegun or time-machine: calls keep the real clock, the fake sees the frozen one."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import freezegun
import pytest
import time_machine
from fault_server import FaultServer, age, client_of, dripped, refused, stalled, stalled_in_body

import chatarmin_os
from chatarmin_os import ChatarminOS, RateLimitError, TimedOut, _clock
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.transports import RecordingTransport
from chatarmin_os.transports.http import retry
from chatarmin_os.transports.http.idle import MAX_IDLE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

LONG_AGO = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
FREEZERS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "freezegun": lambda: freezegun.freeze_time(LONG_AGO),
    "time-machine": lambda: time_machine.travel(LONG_AGO, tick=False),
}
frozen = pytest.mark.parametrize("freeze", FREEZERS.values(), ids=list(FREEZERS))


@pytest.mark.slow
@frozen
@pytest.mark.parametrize("behaviour", [stalled, stalled_in_body, dripped("body")], ids=["stall", "in-body", "drip"])
def test_deadline_passes_in_frozen_time(freeze: Callable[[], Any], behaviour: Any) -> None:
    """A service that stalls or drips is TimedOut after the timeout, and not a bare TimeoutError or an endless call."""
    with FaultServer() as server, client_of(server, timeout=0.3, max_retries=0) as client:
        server.behaviour = behaviour
        with freeze(), pytest.raises(TimedOut) as raised:
            client.tiers.list()

    assert raised.value.outcome == "unknown"


@frozen
def test_deadline_spans_retries_in_frozen_time(freeze: Callable[[], Any]) -> None:
    """Waits and repeats end when the timeout is over, however many repeats are left."""
    with FaultServer() as server, client_of(server, timeout=2.0, max_retries=1000, backoff=None) as client:
        server.behaviour = refused("SERVICE_UNAVAILABLE", 503)
        with freeze(), pytest.raises((chatarmin_os.ServerError, TimedOut)):  # the time may be up in a last request
            client.tiers.list()

        assert 1 < len(server.requests) < 100


@frozen
def test_retry_after_is_waited_in_frozen_time(freeze: Callable[[], Any]) -> None:
    """A Retry-After takes as long on the real clock as it says, and the repeat is answered."""
    with FaultServer() as server, client_of(server) as client:
        server.will(refused("TOO_MANY_REQUESTS", 429, wait="0.2"))
        started = _clock.monotonic()
        with freeze():
            client.tiers.list()

    assert _clock.monotonic() - started >= 0.2


@frozen
def test_retry_after_date_uses_the_real_clock(freeze: Callable[[], Any]) -> None:
    """A service that says at which instant to come again means the real one."""
    moment = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    with FaultServer() as server, client_of(server) as client:
        server.will(refused("TOO_MANY_REQUESTS", 429, wait=moment))
        with freeze(), pytest.raises(RateLimitError) as raised:
            client.tiers.list()

    assert raised.value.retry_after == pytest.approx(3600, abs=60)


@frozen
def test_idle_connection_ages_in_frozen_time(freeze: Callable[[], Any]) -> None:
    """A connection that was idle for too long is not used again, though no time has passed for the test."""
    with FaultServer() as server, client_of(server) as client, freeze():
        client.tiers.list()
        age(client, MAX_IDLE_SECONDS - 0.02)
        time.sleep(0.05)
        client.tiers.list()

        assert server.connections == 2


@frozen
def test_recording_has_the_real_date(freeze: Callable[[], Any], tmp_path: Path) -> None:
    """Its date says when the service was asked, and not which time the test pretends."""
    path = tmp_path / "recording.jsonl"
    with freeze(), ChatarminOS(transport=RecordingTransport(FakeTransport(demo_catalogue()), path)) as client:
        client.tiers.list()

    recorded_at = datetime.fromisoformat(json.loads(path.read_text(encoding="utf-8").partition("\n")[0])["recorded_at"])
    assert abs(datetime.now(UTC) - recorded_at) < timedelta(hours=1)


@frozen
def test_real_clock_runs_in_frozen_time(freeze: Callable[[], Any]) -> None:
    """All the functions of the clock agree with those of `time` outside."""
    with freeze():
        instants = _clock.monotonic(), _clock.perf_counter(), _clock.wall(), _clock.now().timestamp()

    assert instants == pytest.approx((time.monotonic(), time.perf_counter(), time.time(), time.time()), abs=60)


@frozen
def test_fake_uses_the_frozen_time(freeze: Callable[[], Any]) -> None:
    """An access that expires in the frozen future is valid, and has expired once time has moved on."""
    client = ChatarminOS.in_memory()
    company = client.companies.create(name="Acme", external_org_id="org_1").id
    with freeze():
        access = client.features.set_access(
            company_id=company, feature_code="sso", is_enabled=True, valid_until=LONG_AGO + timedelta(days=1)
        )
        assert access.is_enabled

    assert not client.features.check(company_id=company, feature_code="sso").is_enabled


FROZEN_IMPORT = """
import freezegun
with freezegun.freeze_time("2001-02-03"):
    import socket
    from chatarmin_os import ChatarminOS, TimedOut
    silent = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{silent.getsockname()[1]}"
    client = ChatarminOS("os_sk_test", base_url=url, timeout=2, max_retries=0)  # it is imported in that time
    try:
        client.tiers.list()
    except TimedOut as error:
        print(error.outcome)
    client.close()
    silent.close()
"""


@pytest.mark.slow
def test_client_imported_in_frozen_time_keeps_its_deadline() -> None:
    """A module that is imported inside a frozen test finds frozen functions in `time`, and still has the real clock."""
    done = subprocess.run([sys.executable, "-c", FROZEN_IMPORT], capture_output=True, text=True, check=True)  # noqa: S603

    assert done.stdout == "unknown\n"


def test_package_uses_one_clock() -> None:
    """No module but that of the clock uses a function that freezegun replaces, and only the fake is to see its time."""
    uses = re.compile(r"\btime\.(?:time|monotonic|perf_counter)|from time import|datetime\.(?:now|utcnow|today)\(")
    package = Path(chatarmin_os.__file__).parent
    found = {
        path.relative_to(package).as_posix() for path in package.rglob("*.py") if uses.search(path.read_text("utf-8"))
    }

    assert found == {"_clock.py", "drift/check.py", "fake/service.py"}


def test_waits_do_not_advance_the_callers_random_generator() -> None:
    """A caller who has seeded `random` draws the same numbers, whether calls were repeated or not."""
    waits: list[float] = []
    random.seed(11)
    before = random.getstate()
    for _ in range(2):
        random.seed(11)
        with FaultServer() as server, client_of(server, backoff=None, sleep=waits.append) as client:
            server.will(refused("SERVICE_UNAVAILABLE", 503), refused("SERVICE_UNAVAILABLE", 503))
            client.tiers.list()

    assert random.getstate() == before
    assert len(set(waits)) == len(waits) == 4
    assert all(0 <= wait <= retry.max_wait(2) for wait in waits)


FORKS = """
import os, random
from chatarmin_os.transports.http import retry
from chatarmin_os.transports.http.idle import MAX_IDLE_SECONDS
for _ in range(2):
    if os.fork() == 0:
        print(retry.full_jitter(1), random.Random(1).random(), flush=True)
        os._exit(0)
    os.wait()
"""


def test_child_processes_wait_differently() -> None:
    """Children that were forked from one process do not come back to a service at the same instants."""
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, check=True)  # noqa: S603

    first, second = (line.split() for line in done.stdout.splitlines())
    assert first[0] != second[0]
    assert first[1] == second[1]
