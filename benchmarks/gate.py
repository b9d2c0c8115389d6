"""The gate, compared with what other libraries answer from memory, and in an outage.

A canned server on loopback responds for the service. In an outage it accepts connections and never answers.
"""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from statistics import median
from threading import Barrier
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks._flags import FEATURE, ORGANISATION, SCHEMATIC_ANSWER, SCHEMATIC_PATH, peers
from benchmarks._measure import Part, Row, Samples, cpu_seconds, interleaved, micro, number, within_limit
from benchmarks._server import answered, hanging, serving
from benchmarks.http import _ACCESS, _ASKED, _BASE, _KEY
from benchmarks.imports import _PEAK_UNIT, _compiled, _run
from chatarmin_os import ChatarminOS
from chatarmin_os.gate import Decision, Gate, Policy
from chatarmin_os.transports import HTTPTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MAX_MICROSECONDS, _MAX_RATIO, _MAX_MICROSECONDS_OF_ALL = 0.5, 0.25, 1.5
_MIN_FASTER = 1_000
_MIN_SHARE, _QUICK, _MAX_LATE, _MAX_QUICK = 0.99, 0.002, 0.05, 0.001  # the last three in seconds
_MAX_GROWTH = 1.1
_ROUNDS, _CHECKS, _PAGES = 40, 2_000, 200
_THREADS, _CHECKS_IN_OUTAGE, _ORGANISATIONS_IN_OUTAGE, _PAUSE = 8, 10_000, 4, 0.002
_WAITING, _MANY, _MAX_BATCH = 200, 100, 50
_FEW_KEPT, _ASKED_ONCE = 10_000, 1_000_000

_FEATURES = [FEATURE, "seats", "team_seats", "api_access", "sso"]
_PATH = "features.getAccessByExternalOrgId"
_LISTING = {
    "result": {
        "data": {
            "companyId": _ASKED["companyId"],
            "features": [{**_ACCESS, "featureCode": code, "validUntil": None} for code in _FEATURES],
        }
    }
}
_ANSWERS: dict[str, Any] = {
    f"{_BASE}/features.check": {"result": {"data": _ACCESS}},
    SCHEMATIC_PATH: SCHEMATIC_ANSWER,
    f"{_BASE}/{_PATH}": _LISTING,
    **{f"{_BASE}/{','.join([_PATH] * calls)}": [_LISTING] * calls for calls in range(2, _MAX_BATCH + 1)},
}
_LONG = Policy(max_age=86_400, max_stale=86_400)
_OLD = Policy(max_age=0, max_stale=86_400)
_DEFAULT_TIMEOUT, _FIRST_TIMEOUT = 0.5, 2.0


def run() -> Part:
    """Measure checks, pages, outages and memory."""
    with serving(_ANSWERS) as url, ChatarminOS(transport=HTTPTransport(_KEY, url + _BASE)) as client:
        rows, missing = _in_memory(client, url)
        rows += [
            *_pages(client, url),
            *_pages_in_outage(client, url),
            *_round_trips(client, url),
            *_warm_outage(client, url),
            *_cold_outage(client, url),
            _memory(),
        ]
    note = (
        "A check that is answered from memory, in process time, as ratio to the cached check of `schematichq`. Pages "
        f"ask {len(_FEATURES)} features of one organisation, by the clock. In an outage the service accepts "
        "connections and never answers."
    )
    return Part("Gate", f"{note} Not installed, hence left out: {', '.join(missing)}." if missing else note, rows)


# From memory


def _in_memory(client: ChatarminOS, url: str) -> tuple[list[Row], list[str]]:
    gate = Gate(client, default=_LONG)
    others, missing = peers(url)

    def check() -> Decision:
        return gate.check(external_org_id=ORGANISATION, feature_code=FEATURE)

    subjects = {"check": check, "features": lambda: gate.features(external_org_id=ORGANISATION), **others}
    for subject in subjects.values():
        subject()
    for name in ("check", "features"):
        assert answered(url, subjects[name]) == 0, name
    gc.freeze()  # the many modules of the peers
    samples = interleaved({name: partial(_cpu_time, act) for name, act in subjects.items()}, rounds=_ROUNDS)
    gc.unfreeze()
    schematic = next((name for name in others if name.startswith("schematichq")), None)
    return list(_rows_in_memory(samples, schematic, list(others))), missing


def _cpu_time(act: Callable[[], object]) -> float:
    def repeat() -> None:
        for _ in range(_CHECKS):
            act()

    return cpu_seconds(repeat) / _CHECKS


def _rows_in_memory(samples: Samples, schematic: str | None, others: list[str]) -> Iterator[Row]:
    def ratio(name: str) -> float | None:
        return samples.ratio(name, schematic) if schematic else None

    taken, all_taken = samples.median("check") * 1e6, samples.median("features") * 1e6
    yield Row("`gate.check`, fresh", micro(taken / 1e6), "", f"≤ {_MAX_MICROSECONDS} µs", taken <= _MAX_MICROSECONDS)
    if (to_schematic := ratio("check")) is not None:
        yield within_limit(_MAX_RATIO, to_schematic, what="the same, to `schematichq`", figure=micro(taken / 1e6))
    yield Row(
        f"`gate.features` of {len(_FEATURES)} features, fresh",
        micro(all_taken / 1e6),
        "",
        f"≤ {_MAX_MICROSECONDS_OF_ALL} µs",
        all_taken <= _MAX_MICROSECONDS_OF_ALL,
    )
    for name in others:
        to_schematic = ratio(name)
        yield Row(name, micro(samples.median(name)), "" if to_schematic is None else number(to_schematic))


# Pages of five features, and batches


def _page(gate: Gate, organisation: str = ORGANISATION) -> None:
    for feature in _FEATURES:
        gate.check(external_org_id=organisation, feature_code=feature)


def _page_without_gate(client: ChatarminOS) -> None:
    for feature in _FEATURES:
        client.features.check(company_id=_ASKED["companyId"], feature_code=feature)


def _clock_time(act: Callable[[], object], times: int) -> float:
    start = perf_counter()
    for _ in range(times):
        act()
    return (perf_counter() - start) / times


def _pages(client: ChatarminOS, url: str) -> Iterator[Row]:
    warm = Gate(client, default=_LONG)
    assert all(warm.check(external_org_id=ORGANISATION, feature_code=feature) for feature in _FEATURES)
    numbers = count()

    def cold() -> None:
        _page(warm, f"org_cold_{next(numbers)}")

    samples = interleaved(
        {
            "without": partial(_clock_time, partial(_page_without_gate, client), 5),
            "cold": partial(_clock_time, cold, 5),
            "warm": partial(_clock_time, partial(_page, warm), _PAGES),
        },
        rounds=_ROUNDS,
    )
    requests = {
        "without": answered(url, partial(_page_without_gate, client)),
        "cold": answered(url, cold),
        "warm": answered(url, partial(_page, warm)),
    }

    def figure(name: str) -> str:
        return f"{_requests(requests[name])}, {micro(samples.median(name))}"

    yield Row("a page without a gate: `features.check`", figure("without"))
    yield Row(
        "a page, cold", figure("cold"), number(samples.ratio("without", "cold")), "1 request", requests["cold"] == 1
    )
    faster = samples.ratio("without", "warm")
    met = faster >= _MIN_FASTER and requests["warm"] == 0
    yield Row("a page, warm; times as fast as without", figure("warm"), number(faster), f"≥ {_MIN_FASTER:,}", met)


def _pages_in_outage(client: ChatarminOS, url: str) -> Iterator[Row]:
    known, unknown = Gate(client, default=_OLD), Gate(client)
    known.warm([ORGANISATION])
    for what, gate in {"stale": known, "nothing known": unknown}.items():
        times: list[float] = []

        def pages(gate: Gate = gate, times: list[float] = times) -> None:
            times += [_clock_time(partial(_page, gate), 1) for _ in range(_PAGES)]

        with hanging(url):
            sent = answered(url, pages)
        figure = f"{_requests(sent)}, {micro(median(times))} (slowest {number(max(times) * 1e3)} ms)"
        yield Row(f"{_PAGES} pages in an outage, {what}; median", figure, "", "1 request", sent == 1)


def _requests(number_of: int) -> str:
    return f"{number_of} request{'' if number_of == 1 else 's'}"


def _round_trips(client: ChatarminOS, url: str) -> Iterator[Row]:
    gate = Gate(client, default=_LONG)
    pairs = [(f"org_{number_of}", FEATURE) for number_of in range(_MANY)]

    def check_many() -> None:
        assert all(isinstance(decision, Decision) and decision for decision in gate.check_many(pairs))

    start = perf_counter()
    sent = answered(url, check_many)
    figure = f"{_requests(sent)}, {number((perf_counter() - start) * 1e3)} ms"
    yield Row(f"`check_many` of {_MANY} organisations, cold", figure, "", "2 requests", sent == 2)

    together = Barrier(_WAITING)

    def wait_for_all() -> bool:
        together.wait()
        return gate.check(external_org_id="org_of_all", feature_code=FEATURE).allowed

    def at_once() -> None:
        with ThreadPoolExecutor(_WAITING) as threads:
            running = [threads.submit(wait_for_all) for _ in range(_WAITING)]
            assert all(one.result() for one in running)

    sent = answered(url, at_once)
    yield Row(f"{_WAITING} threads, cold, on one organisation", _requests(sent), "", "1 request", sent == 1)


# Outages


class _Timed(NamedTuple):
    seconds: float
    decision: Decision


def _timed(gate: Gate, organisation: str) -> _Timed:
    start = perf_counter()
    decision = gate.check(external_org_id=organisation, feature_code=FEATURE)
    return _Timed(perf_counter() - start, decision)


def _max_attempts(seconds: float) -> int:
    """Return how often a key may be tried: after each attempt it rests for at least 0.5, 1, 2 ... 15 seconds."""
    attempts, next_at, wait = 1, _DEFAULT_TIMEOUT + 0.5, 0.5
    while next_at < seconds:
        attempts, wait = attempts + 1, min(wait * 2, 15.0)
        next_at += _DEFAULT_TIMEOUT + wait
    return attempts


def _warm_outage(client: ChatarminOS, url: str) -> Iterator[Row]:
    gate = Gate(client, default=_OLD)
    organisations = [f"org_{number_of}" for number_of in range(_ORGANISATIONS_IN_OUTAGE)]
    gate.warm(organisations)
    timed: list[_Timed] = []

    def thread(_: int) -> None:
        for turn in range(_CHECKS_IN_OUTAGE // _THREADS):
            timed.append(_timed(gate, organisations[turn % len(organisations)]))
            sleep(_PAUSE)

    def checks() -> None:
        with ThreadPoolExecutor(_THREADS) as threads:
            list(threads.map(thread, range(_THREADS)))

    with hanging(url):
        start = perf_counter()
        sent = answered(url, checks)
        taken = perf_counter() - start
    what = f"{len(timed):,} checks of {_THREADS} threads in an outage, warm"
    stale = sum(one.decision.source == "stale" and one.decision.allowed for one in timed)
    yield Row(f"{what}: stale, without an exception", f"{stale:,}", "", "all", stale == len(timed) == _CHECKS_IN_OUTAGE)
    share = sum(one.seconds < _QUICK for one in timed) / len(timed)
    bar = f"≥ {_MIN_SHARE:.0%}"
    yield Row(f"the same: under {_QUICK * 1e3:g} ms", f"{share:.2%}", "", bar, share >= _MIN_SHARE)
    bound = _max_attempts(taken) * len(organisations)
    what = f"the same, in {taken:.1f} s: attempts for {len(organisations)} organisations"
    yield Row(what, f"{sent}", "", f"≤ {bound}", sent <= bound)


def _cold_outage(client: ChatarminOS, url: str) -> Iterator[Row]:
    gate = Gate(client)
    with hanging(url):
        failing = [_timed(gate, f"org_{number_of}") for number_of in range(5)]
        after = [_timed(gate, f"org_after_{number_of}") for number_of in range(1_000)]
        at_once = Gate(client, first_timeout=_DEFAULT_TIMEOUT)
        with ThreadPoolExecutor(50) as threads:
            parallel = list(threads.map(partial(_timed, at_once), [f"org_{number_of}" for number_of in range(50)]))
    late = max(
        failing[0].seconds - _FIRST_TIMEOUT, *(one.seconds - _DEFAULT_TIMEOUT for one in [*failing[1:], *parallel])
    )
    bar, met = f"≤ {_MAX_LATE * 1e3:g} ms", late <= _MAX_LATE
    yield Row("checks in an outage, cold: the longest, over its timeout", f"{late * 1e3:.1f} ms", "", bar, met)
    share = sum(one.seconds < _MAX_QUICK for one in after) / len(after)
    slowest = number(max(one.seconds for one in after) * 1e3)
    what = f"the same, {len(after):,} checks after five failures: under {_MAX_QUICK * 1e3:g} ms"
    yield Row(what, f"{share:.1%} (slowest {slowest} ms)", "", f"≥ {_MIN_SHARE:.0%}", share >= _MIN_SHARE)
    assert not any(one.decision for one in [*failing, *after, *parallel])


# Memory

_CODE = f"""
from uuid import UUID
from chatarmin_os import ChatarminOS
from chatarmin_os.gate import Gate
from chatarmin_os.transports import FunctionTransport
access = {{"featureCode": {FEATURE!r}, "featureName": "AI credits", "isEnabled": True, "canUse": True}}
def answer(call):
    return {{"companyId": str(UUID(int=int(call.input["externalOrgId"]))), "features": [access]}}
gate = Gate(ChatarminOS(transport=FunctionTransport(answer)), max_organisations={_FEW_KEPT})
for number in range(ASKED):
    assert gate.check(external_org_id=str(number), feature_code={FEATURE!r})
"""


def _memory() -> Row:
    with _compiled() as environment:
        few, many = (_run(_CODE.replace("ASKED", str(asked)), environment) for asked in (_FEW_KEPT, _ASKED_ONCE))
    assert few.exit_code == many.exit_code == 0
    megabytes = [f"{number(one.peak * _PEAK_UNIT / 2**20)} MiB" for one in (many, few)]
    what = f"peak memory, {_ASKED_ONCE:,} organisations asked once, {_FEW_KEPT:,} kept; ratio to {_FEW_KEPT:,} asked"
    return within_limit(_MAX_GROWTH, many.peak / few.peak, what=what, figure=f"{megabytes[0]} ({megabytes[1]})")
