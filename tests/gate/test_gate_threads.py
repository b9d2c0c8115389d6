"""Threads, forks, interleavings."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from steering import LISTING, Running, Stage
from waiting import PATIENCE, until

from chatarmin_os import ChatarminError, ChatarminOS, TimedOut
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.gate import Gate, Policy, forks
from chatarmin_os.transports import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chatarmin_os.transports import Call


@pytest.fixture
def stage(service: FakeTransport) -> Stage:
    """Return a service with one organisation, and a gate on it."""
    return Stage(service)


@pytest.fixture
def _quick_switches() -> Iterator[None]:
    """Let threads take turns as often as the interpreter allows."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_two_hundred_threads_cold_on_one_organisation_are_one_request(service: FakeTransport) -> None:
    """All of them have its answer."""
    stage = Stage(service, timeout=PATIENCE)
    hold = stage.transport.hold(LISTING)
    running = [Running(stage.check) for _ in range(200)]
    hold.wait()
    until(lambda: stage.waiting() == 199)
    hold.release()

    assert {one.result().source for one in running} == {"live"}
    assert stage.calls() == [LISTING]


@pytest.mark.usefixtures("_quick_switches")
def test_timeout_may_be_longer_than_the_platform_counts(service: FakeTransport) -> None:
    """Who waits for the refresh of another thread waits as long as possible."""
    stage = Stage(service, timeout=1e300)
    hold = stage.transport.hold(LISTING)
    first = Running(stage.check)
    hold.wait()
    other = Running(stage.check)
    flight = stage.gate._state.store.organisations["org_1"].flights[None]
    until(lambda: other.is_over or len(flight._done._cond._waiters) == 1)  # type: ignore[attr-defined]
    hold.release()

    assert first.result().source == other.result().source == "live"


def test_stats_count_every_decision_of_many_threads(stage: Stage) -> None:
    """No count is lost, though a fresh decision takes no lock."""

    def check() -> None:
        for _ in range(500):
            stage.check()

    for one in [Running(check) for _ in range(8)]:
        one.result()
    stats = stage.gate.stats()

    assert stats.fresh + stats.stale + stats.policy == 4_000


def test_no_lock_is_held_while_code_of_the_user_runs(service: FakeTransport) -> None:
    """Neither during I/O, nor while a clock is read, a cache is asked, or a log is written."""
    stages: list[Stage] = []
    held: list[str] = []

    def free(where: str) -> None:
        if stages:
            lock = stages[0].gate._state.lock

            def take() -> bool:
                with lock:
                    return True

            if not Running(take).result():
                held.append(where)

    class Cache:
        def get(self, _: str) -> None:
            free("get")

        def set(self, *_: Any) -> None:
            free("set")

        def delete(self, _: str) -> None:
            free("delete")

    def now() -> float:
        free("now")
        return service.monotonic()

    stage = Stage(service, shared=Cache(), now=now, timeout=PATIENCE)
    stage.transport.product = "print0"
    stage.transport.answers[LISTING] = lambda _call, answer: free("send") or answer  # type: ignore[func-returns-value]
    stages.append(stage)
    for _ in range(2):
        stage.check()
        stage.gate.features(external_org_id="org_1")
        stage.gate.check_many([("org_1", "sso"), ("org_2", "sso")])
        stage.client.billing.track_usage(company_id=stage.company, feature_code="ai_credit", quantity=1)
        stage.client.tiers.apply("free", company_id=stage.company)
        stage.gate.expect_usage(external_org_id="org_1", feature_code="seats", quantity=1, idempotency_key="a")
        stage.gate.clear()

    assert held == []


def test_fresh_answers_need_no_lock(stage: Stage) -> None:
    """Another thread that holds it for long delays nobody."""
    for _ in range(2):
        stage.check()
        stage.gate.features(external_org_id="org_1")
    with stage.gate._state.lock:
        check, features = Running(stage.check), Running(lambda: stage.gate.features(external_org_id="org_1"))
        assert check.result().source == "cache"
        assert {one.source for one in features.result().values()} == {"cache"}


def test_signal_handler_may_ask_while_its_thread_holds_the_lock(stage: Stage) -> None:
    """The lock can be taken twice by one thread."""
    with stage.gate._state.lock:
        assert stage.check().allowed


# Forks


def _in_child(act: Callable[[], object]) -> str:
    """Run *act* in a forked child, and return what it returns as text."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            os.write(writer, str(act()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        text = file.read()
    os.waitpid(child, 0)
    return text


pytest_forks = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 warns of threads


@pytest_forks
def test_forked_child_keeps_what_is_known(stage: Stage) -> None:
    """And asks with the time of a first refresh."""
    stage.check()

    def ask() -> object:
        assert stage.gate._state.is_first
        return stage.check().source, stage.calls()

    assert stage.gate._state.is_first is False
    assert _in_child(ask) == f"('cache', {[LISTING]})"
    assert stage.gate._state.is_first is False


@pytest_forks
def test_forked_child_has_locks_of_its_own(service: FakeTransport) -> None:
    """Another thread of the parent takes the lock and refreshes all the time."""
    stage = Stage(service, default=Policy(max_age=0), timeout=PATIENCE)
    is_over = threading.Event()

    def ask() -> None:
        while not is_over.is_set():
            stage.check()

    running = Running(ask)
    for _ in range(20):
        assert _in_child(lambda: stage.gate._state.lock.acquire(timeout=PATIENCE)) == "True"
    is_over.set()
    running.result()


@pytest_forks
def test_forked_child_does_not_wait_for_threads_of_its_parent(service: FakeTransport) -> None:
    """Refreshes and changes that were under way belong to the parent; what they may have changed is not fresh."""
    stage = Stage(service, default=Policy(max_age=900), timeout=PATIENCE)
    stage.check()
    change_hold, listing_hold = stage.transport.hold("tiers.apply"), stage.transport.hold(LISTING)
    change = Running(lambda: stage.client.tiers.apply("free", company_id=stage.company))
    change_hold.wait()
    refresh = Running(lambda: stage.check(organisation="org_2"))
    listing_hold.wait()

    def ask() -> object:
        stage.transport._holds.clear()
        return [stage.check(organisation=one).source for one in ("org_2", "org_1", "org_1")]

    assert _in_child(ask) == "['live', 'live', 'cache']"
    change_hold.release()
    listing_hold.release()
    change.result()
    refresh.result()


@pytest_forks
def test_threads_may_fork_at_the_same_time(stage: Stage) -> None:
    """Each leaves the locks as they were."""
    stage.check()
    running = [Running(lambda: _in_child(lambda: stage.check().source)) for _ in range(8)]

    assert {one.result() for one in running} == {"cache"}
    assert stage.gate._state.lock.acquire(blocking=False)
    stage.gate._state.lock.release()


@pytest_forks
def test_change_of_anything_under_way_at_a_fork_makes_everything_not_fresh(stage: Stage) -> None:
    """The child does not know how it ended."""
    stage.check()
    hold = stage.transport.hold("links.reset")
    change = Running(stage.client.links.reset)
    hold.wait()
    assert _in_child(lambda: stage.check().source) == "live"
    hold.release()
    change.result()


def test_child_forgets_what_only_threads_of_its_parent_do(stage: Stage) -> None:
    """The hooks of a fork, in this process: coverage does not see a child."""
    stage.check()
    hold = stage.transport.hold("tiers.apply")
    change = Running(lambda: stage.client.tiers.apply("free", company_id=stage.company))
    hold.wait()
    lock = stage.gate._state.lock
    forks._before()
    forks._after_in_child()
    lock.release()

    assert stage.gate._state.lock is not lock
    assert forks._held == []
    assert [stage.check().source for _ in range(2)] == ["live", "cache"]
    hold.release()
    change.result()


# Interleavings


class Shuffled(Transport):
    """A service whose answers come late, in an order of chance; listings may lack a feature."""

    def __init__(self, inner: FakeTransport, random: Random) -> None:
        self.inner, self._random = inner, random
        self._pause = threading.Event()

    def send(self, call: Call) -> Any:
        """Answer, before or after a pause."""
        for _ in range(self._random.randrange(3)):
            self._pause.wait(self._random.random() * 1e-4)
        if self._random.random() < 0.1:
            raise TimedOut("lost")
        answer: Any = self.inner.send(call)
        for _ in range(self._random.randrange(3)):
            self._pause.wait(self._random.random() * 1e-4)
        if self._random.random() < 0.1:
            raise TimedOut("lost after it ran")
        if call.path == LISTING and self._random.random() < 0.3:
            return answer | {"features": []}
        return answer


def _interleave(seed: int) -> None:
    """Change and check from several threads; after a change that returned, no thread may read what was before.

    Each change sets the limit of a feature to a higher number, or counts usage of it, so that an answer shows how old
    it is.
    """
    random = Random(seed)  # noqa: S311 - a test
    fake = FakeTransport(demo_catalogue())
    behind = ChatarminOS(transport=fake)
    company = behind.onboard(external_org_id="org_1", tier_code="pro").company_id
    behind.links.create(company_id=company, external_org_id="org_2")
    client = ChatarminOS(transport=Shuffled(fake, random))
    gate = Gate(client, default=Policy(max_age=random.choice([0, 900]), on_outage="deny"), timeout=PATIENCE)
    limit, usage, numbers, lock = [0], [0.0], iter(range(1_001, 10_000)), threading.Lock()
    stale: list[Any] = []

    def change() -> None:
        for _ in range(6):
            with lock, suppress(ChatarminError):  # one change after the other: their numbers rise
                if random.random() < 0.5:
                    counted = client.billing.track_usage(company_id=company, feature_code="seats", quantity=1)
                    usage[0] = counted.current_usage
                    continue
                number = next(numbers)
                who: dict[str, Any] = random.choice([{"company_id": company}, {"external_org_id": "org_1"}])
                client.features.set_access(**who, feature_code="seats", quantity_limit=number)
                limit[0] = number

    def check() -> None:
        for _ in range(8):
            who = random.choice([{"company_id": company}, {"external_org_id": "org_1"}, {"external_org_id": "org_2"}])
            if random.random() < 0.05:
                gate.clear()
            known = limit[0], usage[0]
            access: Any = gate.check(**who, feature_code="seats").access
            if access is not None and (access.quantity_limit < known[0] or access.current_usage < known[1]):
                stale.append((known, access.quantity_limit, access.current_usage))

    for one in [Running(change), *[Running(check) for _ in range(3)]]:
        one.result()
    assert stale == [], f"seed {seed}"


@pytest.mark.parametrize("seeds", [range(start, start + 5) for start in range(0, 20, 5)], ids=str)
def test_no_stale_read_after_a_change_returned(seeds: range) -> None:
    """Whatever the order in which refreshes and changes of several threads run."""
    for seed in seeds:
        _interleave(seed)


@pytest.mark.slow
def test_no_stale_read_in_ten_thousand_interleavings() -> None:
    """The same, often: each seed has some 30 questions and changes."""
    for seed in range(100, 2_100):
        _interleave(seed)
