"""Gates of several processes on one service and one Redis, which hangs and is killed under them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import redis
from redis_server import RedisServer

from chatarmin_os import ChatarminOS
from chatarmin_os.gate import Gate, Policy
from chatarmin_os.gate.caches import RedisCache

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from serving import FakeServer

    from chatarmin_os.fake import FakeTransport

pytestmark = pytest.mark.needs("redis-server")

LONG = 10.0  # seconds: a busy machine may let a Redis that works wait


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """Run a Redis for one test."""
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
def api_key(fake_server: FakeServer, service: FakeTransport) -> Iterator[str]:
    """Return a key of the service, in which an organisation is on a tier."""
    ChatarminOS(transport=service).onboard(external_org_id="org_1", tier_code="pro")
    key = fake_server.add(service)
    yield key
    fake_server.forget(key)


def gate_of(api_key: str, fake_server: FakeServer, own_redis: RedisServer, **settings: Any) -> Gate:
    """Return a gate as another process has it, on a client and a connection of its own."""
    shared = RedisCache(redis.Redis(port=own_redis.port), **settings)
    return Gate(ChatarminOS(api_key, base_url=fake_server.url), timeout=LONG, shared=shared)


def test_processes_ask_once(
    api_key: str, fake_server: FakeServer, own_redis: RedisServer, service: FakeTransport
) -> None:
    """What one gate has asked for another reads from Redis; no key of Redis shows the API key or the organisation."""
    one, other = (gate_of(api_key, fake_server, own_redis, timeout=LONG) for _ in range(2))
    before = len(service.calls)

    decisions = [gate.check(external_org_id="org_1", feature_code="api_access") for gate in (one, other)]

    assert [decision.allowed for decision in decisions] == [True, True]
    assert len(service.calls) == before + 1
    keys = b" ".join(own_redis.client.keys()).decode()
    assert api_key not in keys
    assert "org_1" not in keys


def test_own_change_reaches_the_others(api_key: str, fake_server: FakeServer, own_redis: RedisServer) -> None:
    """A change through one client drops the shared copy: a process that starts afterwards asks the service."""
    one, other = (gate_of(api_key, fake_server, own_redis, timeout=LONG) for _ in range(2))
    assert one.check(external_org_id="org_1", feature_code="api_access")
    company = one.client.companies.get_by_product_link(external_org_id="org_1")
    assert company

    one.client.features.set_access(company_id=company.id, feature_code="api_access", is_enabled=False)

    assert not other.check(external_org_id="org_1", feature_code="api_access")


def test_redis_that_hangs_costs_one_wait(api_key: str, fake_server: FakeServer, own_redis: RedisServer) -> None:
    """With a Redis that hangs each answer is that of the service, and only the first one waits for Redis."""
    own_redis.hang()
    gate = gate_of(api_key, fake_server, own_redis)

    start = time.perf_counter()
    assert gate.check(external_org_id="org_1", feature_code="api_access").source == "live"

    assert time.perf_counter() - start < LONG
    assert gate.stats().refreshed == 1


PROCESS = """
import json, random, sys, time
import redis
from chatarmin_os import ChatarminOS
from chatarmin_os.gate import Gate, Policy
from chatarmin_os.gate.caches import RedisCache

number, (api_key, url, port, seconds) = int(sys.argv[1]), json.loads(sys.argv[2])
gate = Gate(
    ChatarminOS(api_key, base_url=url),
    default=Policy(max_age=0.05, max_stale=900),
    timeout=10,
    shared=RedisCache(redis.Redis(port=port)),
)
own, choose, changes, checks, until = f"org_{number}", random.Random(number), 0, 0, time.monotonic() + seconds
company = gate.client.companies.get_by_product_link(external_org_id=own).id
while time.monotonic() < until:
    is_enabled = choose.random() < 0.5
    gate.client.features.set_access(company_id=company, feature_code="api_access", is_enabled=is_enabled)
    changes += 1
    for _ in range(choose.randrange(5)):
        decision = gate.check(external_org_id=own, feature_code="api_access")
        assert decision.allowed == is_enabled, (decision, is_enabled)
        assert gate.check(external_org_id=f"org_{choose.randrange(4)}", feature_code="seats").access
        checks += 1
        if choose.random() < 0.1:
            time.sleep(0.06)
print(json.dumps([changes, checks, gate.stats().shared]))
"""


@pytest.mark.slow
def test_no_process_reads_what_it_has_changed(
    api_key: str, fake_server: FakeServer, own_redis: RedisServer, service: FakeTransport
) -> None:
    """While Redis hangs, is killed and started, each process sees its own changes at once."""
    client = ChatarminOS(transport=service)
    for number in range(4):
        client.onboard(external_org_id=f"org_{number}", tier_code="pro")
    given = json.dumps([api_key, fake_server.url, own_redis.port, 6])
    processes = [
        subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-c", PROCESS, str(number), given],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for _ in range(3):
        time.sleep(1)
        own_redis.hang()
        time.sleep(0.3)
        own_redis.resume()
        time.sleep(0.4)
    own_redis.kill()
    own_redis.start()

    results = [process.communicate(timeout=60) for process in processes]
    lines = [line for _, errors in results for line in errors.splitlines()]
    assert [line for line in lines if not line.startswith("the shared cache of the gate failed: ")] == []
    counts = [json.loads(output) for output, _ in results]
    assert all(changes > 10 for changes, _, _ in counts)
    assert sum(shared for _, _, shared in counts) > 0


def test_policy_is_per_process(api_key: str, fake_server: FakeServer, own_redis: RedisServer) -> None:
    """What is shared are answers, not decisions: how old one may be is decided by each gate for itself."""
    one = gate_of(api_key, fake_server, own_redis, timeout=LONG)
    assert one.check(external_org_id="org_1", feature_code="api_access").source == "live"
    strict = Gate(
        ChatarminOS(api_key, base_url=fake_server.url),
        default=Policy(max_age=0),
        timeout=LONG,
        shared=RedisCache(redis.Redis(port=own_redis.port), timeout=LONG),
    )

    assert strict.check(external_org_id="org_1", feature_code="api_access").source == "live"
    assert strict.stats().refreshed == 1
