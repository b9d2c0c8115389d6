"""Calls over HTTP, beside bare `requests` and beside the calls of other billing services' SDKs.

A canned server on loopback responds; only the time of the client's process is counted. Threads are measured by the
clock, for they wait for each other.
"""

from __future__ import annotations

import gc
import json
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from importlib.metadata import version
from threading import Barrier
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import requests

from benchmarks._measure import Part, Row, Samples, cpu_seconds, interleaved, micro, number, within_limit
from benchmarks._server import answered, serving
from benchmarks.imports import _PEAK_UNIT, _compiled, _Process, _run
from chatarmin_os import ChatarminOS, FeatureCheckInput
from chatarmin_os.transports import HTTPTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MAX, _MAX_IN_A_BATCH, _MIN_FASTER, _MAX_TO_START, _MAX_MEMORY = 0.5, 0.035, 2, 1.8, 1.3
_BATCH, _THREADS = 50, 32
_ROUNDS, _ROUNDS_OF_THREADS, _ROUNDS_OF_PROCESSES = 40, 15, 15

_KEY, _BASE = "os_sk_benchmark", "/api/v1"
_HEADERS = {"Authorization": f"Bearer {_KEY}"}
_TIMEOUT = 10
_ASKED = {"companyId": "b0f1c2d3-0000-4000-8000-000000000001", "featureCode": "ai_credit"}
_ACCESS = {
    "featureCode": "ai_credit",
    "featureName": "AI credits",
    "isEnabled": True,
    "canUse": True,
    "hasQuantity": True,
    "currentUsage": 120,
    "quantityLimit": 1_000,
    "includedQuantity": 100,
    "remaining": 880,
    "configValues": {"model": "large"},
    "source": "subscription",
    "validUntil": "2027-01-31T10:30:00.000Z",
}
_USAGE = {"currentUsage": 121, "remaining": 879, "billableQuantity": 21, "isAtLimit": False}
_INSTANT = "2026-11-03T10:30:00Z"
_ANSWERS = {
    f"{_BASE}/tiers.list": {"result": {"data": []}},  # the probe before a first mutation
    f"{_BASE}/features.check": {"result": {"data": _ACCESS}},
    f"{_BASE}/{','.join(['features.check'] * _BATCH)}": [{"result": {"data": _ACCESS}}] * _BATCH,
    f"{_BASE}/billing.trackUsage": {"result": {"data": _USAGE}},
    "/polar/v1/events/ingest": {"inserted": 1, "duplicates": 0},
    "/stripe/v1/billing/meter_events": {
        "object": "billing.meter_event",
        "created": 1_793_701_800,
        "event_name": "ai_credit",
        "identifier": "event_1",
        "livemode": False,
        "payload": {"stripe_customer_id": "cus_1", "value": "1"},
        "timestamp": 1_793_701_800,
    },
    "/lago/api/v1/events": {
        "event": {
            "lago_id": "b0f1c2d3-0000-4000-8000-000000000002",
            "transaction_id": "event_1",
            "external_subscription_id": "org_1",
            "code": "ai_credit",
            "timestamp": _INSTANT,
            "properties": {"credits": 1},
            "created_at": _INSTANT,
        }
    },
    "/schematic/events": {
        "data": {"captured_at": _INSTANT, "event_id": "event_1", "remote_ip": "127.0.0.1", "user_agent": "python"},
        "params": {},
    },
    "/orb/ingest": {"validation_failed": []},
}


class _Subject(NamedTuple):
    """A subject of the measurement: so many calls in a turn, each of which makes one request."""

    call: Callable[[], object]
    times: int = 100

    def cpu_time(self) -> float:
        """Return the process time of one call."""

        def repeat() -> None:
            for _ in range(self.times):
                self.call()

        return cpu_seconds(repeat) / self.times


def run() -> Part:
    """Measure calls, threads and processes."""
    with serving(_ANSWERS) as url, requests.Session() as session:
        transport = HTTPTransport(_KEY, url + _BASE)
        with ChatarminOS(transport=transport) as client:
            asked = [FeatureCheckInput(company_id=_ASKED["companyId"], feature_code="ai_credit")] * _BATCH
            _check(client)  # and find out the transformer, without which no mutation is sent
            peers, missing = _peers(url)
            subjects = {
                "requests": _Subject(partial(_bare, session, url)),
                "check": _Subject(partial(_check, client)),
                "track": _Subject(partial(_track, client)),
                "batch": _Subject(partial(client.batch, asked), times=10),
                **peers,
            }
            for name, subject in subjects.items():
                subject.call()
                assert answered(url, subject.call) == 1, name
            gc.freeze()  # the peers' many modules: to walk them between turns would take longer than the turns
            calls = interleaved({name: subject.cpu_time for name, subject in subjects.items()}, rounds=_ROUNDS)
            threads = interleaved(
                {
                    "requests": lambda: _in_threads(lambda: partial(_bare, requests.Session(), url)),
                    "ours": lambda: _in_threads(lambda: partial(_check, client)),
                },
                rounds=_ROUNDS_OF_THREADS,
            )
            gc.unfreeze()
        rows = [*_calls(calls, peers), _together(threads), *_processes(url)]
    note = (
        f"Process time of one call on loopback with keep-alive, {len(os.environ)} environment variables; ratio to "
        "`Session().post(url, json=…, headers=…).json()`."
    )
    return Part("HTTP", f"{note} Not installed, hence left out: {', '.join(missing)}." if missing else note, rows)


# One call after the other


def _bare(session: requests.Session, url: str) -> Any:
    return session.post(f"{url}{_BASE}/features.check", json=_ASKED, headers=_HEADERS, timeout=_TIMEOUT).json()


def _check(client: ChatarminOS) -> object:
    return client.features.check(company_id=_ASKED["companyId"], feature_code="ai_credit")


def _track(client: ChatarminOS) -> object:
    return client.billing.track_usage(company_id=_ASKED["companyId"], feature_code="ai_credit", quantity=1)


def _calls(samples: Samples, peers: dict[str, _Subject]) -> Iterator[Row]:
    def row(subject: str, what: str, maximum: float | None = None, share: int = 1) -> Row:
        ratio, figure = samples.ratio(subject, "requests") / share, micro(samples.median(subject) / share)
        return (
            Row(what, figure, number(ratio))
            if maximum is None
            else within_limit(maximum, ratio, what=what, figure=figure)
        )

    yield row("requests", "`requests`: the floor")
    yield row("check", "`features.check`", _MAX)
    yield row("track", "`billing.track_usage`, a new event each", _MAX)
    yield row("batch", f"each of {_BATCH} checks in one `batch`", _MAX_IN_A_BATCH, _BATCH)
    for name in peers:
        yield row(name, name)


# Peers: the call with which each reports a usage event


def _peers(url: str) -> tuple[dict[str, _Subject], list[str]]:
    """Return the peers that are installed, and the names of those that are not."""
    found, missing = {}, []
    for distribution, (prepared, what, times) in _PEERS.items():
        try:
            call = prepared(url)
        except ImportError:
            missing.append(f"`{distribution}`")
        else:
            release = ".".join(version(distribution).split(".")[:2])
            found[f"{distribution} {release}: `{what}`"] = _Subject(call, times)
    return found, missing


def _polar(url: str) -> Callable[[], object]:
    client = import_module("polar.v2026_10").Polar("polar_oat_benchmark", base_url=f"{url}/polar")
    event = {"name": "ai_credit", "external_customer_id": "org_1", "metadata": {"credits": 1}}
    return lambda: client.events.ingest(events=[event])


def _stripe(url: str) -> Callable[[], object]:
    client = import_module("stripe").StripeClient("sk_test_benchmark", base_addresses={"api": f"{url}/stripe"})
    event = {"event_name": "ai_credit", "payload": {"stripe_customer_id": "cus_1", "value": "1"}}
    return lambda: client.v1.billing.meter_events.create(event)


def _lago(url: str) -> Callable[[], object]:
    client = import_module("lago_python_client").Client("benchmark", api_url=f"{url}/lago/")
    event = import_module("lago_python_client.models").Event
    return lambda: client.events.create(
        event(
            transaction_id="event_1",
            external_subscription_id="org_1",
            code="ai_credit",
            timestamp=1_793_701_800,
            precise_total_amount_cents=None,
            properties={"credits": 1},
        )
    )


def _schematic(url: str) -> Callable[[], object]:
    schematic = import_module("schematic")
    client = import_module("schematic.base_client").BaseSchematic(api_key="benchmark", base_url=f"{url}/schematic")
    return lambda: client.events.create_event(
        event_type="track", body=schematic.EventBodyTrack(event="ai_credit", company={"id": "org_1"}, quantity=1)
    )


def _orb(url: str) -> Callable[[], object]:
    client = import_module("orb").Orb(api_key="benchmark", base_url=f"{url}/orb")
    event = {
        "event_name": "ai_credit",
        "idempotency_key": "event_1",
        "external_customer_id": "org_1",
        "properties": {"credits": 1},
        "timestamp": _INSTANT,
    }
    return lambda: client.events.ingest(events=[event])


_PEERS: dict[str, tuple[Callable[[str], Callable[[], object]], str, int]] = {
    "polar-sdk": (_polar, "events.ingest", 50),
    "stripe": (_stripe, "billing.meter_events.create", 50),
    "orb-billing": (_orb, "events.ingest", 50),
    "schematichq": (_schematic, "events.create_event", 50),
    "lago-python-client": (_lago, "events.create", 3),
}


# Threads


def _in_threads(caller: Callable[[], Callable[[], object]], times: int = 20) -> float:
    """Return the seconds on the clock for each call of 32 threads at once, each connected before."""
    gate = Barrier(_THREADS + 1)

    def thread() -> None:
        call = caller()
        call()
        gate.wait()
        for _ in range(times):
            call()

    with ThreadPoolExecutor(_THREADS) as threads:
        running = [threads.submit(thread) for _ in range(_THREADS)]
        gate.wait()
        start = perf_counter()
        for one in running:
            one.result()
        return (perf_counter() - start) / times / _THREADS


def _together(samples: Samples) -> Row:
    faster = samples.ratio("requests", "ours")
    ours, other = (f"{number(1 / samples.median(name))} calls/s" for name in ("ours", "requests"))
    what = f"{_THREADS} threads on one client, as ratio to {_THREADS} with a `Session` each; clock"
    return Row(what, f"{ours} (`requests` {other})", number(faster), f"≥ {_MIN_FASTER}", faster >= _MIN_FASTER)


# From the start of a process to its first answer


def _processes(url: str) -> Iterator[Row]:
    where = f"{url}{_BASE}"
    first_call = f"ChatarminOS({_KEY!r}, base_url={where!r}).features.check(company_id='id', feature_code='ai_credit')"
    posted = f"{where + '/features.check'!r}, json={json.dumps(_ASKED)}, headers={_HEADERS}, timeout={_TIMEOUT}"
    code = {
        "requests": f"import requests; requests.Session().post({posted}).json()",
        "ours": f"from chatarmin_os import ChatarminOS; {first_call}",
    }
    processes: dict[str, list[_Process]] = {name: [] for name in code}
    with _compiled() as environment:

        def cpu_time(name: str) -> float:
            process = _run(code[name], environment)
            assert process.exit_code == 0, code[name]
            processes[name].append(process)
            return process.cpu

        cpu = interleaved({name: partial(cpu_time, name) for name in code}, rounds=_ROUNDS_OF_PROCESSES)
        asks = "import sys, chatarmin_os; sys.exit('requests' in sys.modules)"
        needs_requests = _run(asks, environment).exit_code != 0
    peak = Samples({name: [process.peak for process in of[1:]] for name, of in processes.items()})

    def row(samples: Samples, what: str, maximum: float, factor: float, unit: str) -> Row:
        ours, other = (f"{number(samples.median(name) * factor)} {unit}" for name in ("ours", "requests"))
        return within_limit(
            maximum, samples.ratio("ours", "requests"), what=what, figure=f"{ours} (`requests` {other})"
        )

    yield row(cpu, "a new process up to its first answer, CPU time", _MAX_TO_START, 1000, "ms")
    yield row(peak, "the same, peak memory", _MAX_MEMORY, _PEAK_UNIT / 2**20, "MiB")
    answer = "yes" if needs_requests else "no"
    yield Row("`requests` is imported by `import chatarmin_os`", answer, "", "no", not needs_requests)
