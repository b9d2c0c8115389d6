"""Questions about all features, many organisations, and what counts them."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from steering import LISTING, SINGLE, Clock, Running, Stage
from waiting import until

from chatarmin_os import (
    ChatarminOS,
    InvalidInput,
    NotFoundError,
    ServerError,
    TimedOut,
    UnauthorizedError,
)
from chatarmin_os.gate import Decision, Gate, GateStats, Policy
from chatarmin_os.gate.fences import Fences
from chatarmin_os.gate.store import Store

if TYPE_CHECKING:
    from chatarmin_os.fake import FakeTransport
    from chatarmin_os.gate.fences import Key

FEATURES = ["ai_credit", "seats", "team_seats", "api_access", "sso"]


@pytest.fixture
def clock() -> Clock:
    """Return the clock of the gate."""
    return Clock()


@pytest.fixture
def stage(service: FakeTransport, clock: Clock) -> Stage:
    """Return a stage whose gate has that clock."""
    return Stage(service, now=clock, policies={"sso": Policy(on_outage="allow", max_stale=1_000)})


def _sources(decisions: dict[str, Decision]) -> dict[str, str]:
    return {code: one.source for code, one in decisions.items()}


def test_features_are_those_of_the_service_in_its_order(stage: Stage) -> None:
    """One request; each decision is what `check` says."""
    decisions = stage.gate.features(external_org_id="org_1")

    assert list(decisions) == FEATURES
    assert _sources(decisions) == dict.fromkeys(FEATURES, "live")
    again = stage.gate.features(external_org_id="org_1")
    assert _sources(again) == dict.fromkeys(FEATURES, "cache")
    assert again == {code: stage.check(code) for code in FEATURES}
    assert stage.gate.features(company_id=stage.company).keys() == again.keys()
    assert stage.calls() == [LISTING, "features.listAccess"]


def test_features_belong_to_the_caller(stage: Stage) -> None:
    """Who changes the mapping changes nothing for others."""
    for _ in range(3):
        stage.gate.features(external_org_id="org_1").clear()
        stage.gate.features(company_id=stage.company).clear()
    assert list(stage.gate.features(external_org_id="org_1")) == FEATURES


def test_features_ask_if_one_of_them_is_not_fresh(stage: Stage, clock: Clock) -> None:
    """A quantity is old after two seconds."""
    stage.gate.features(external_org_id="org_1")
    clock.seconds += 3

    assert set(_sources(stage.gate.features(external_org_id="org_1")).values()) == {"live"}


def test_features_in_an_outage_are_old_or_decided_by_their_policies(stage: Stage, clock: Clock) -> None:
    """Those that are fresh are "cache"; those beyond their `max_stale` by policy."""
    stage.gate.features(external_org_id="org_1")
    stage.transport.answers[LISTING] = lambda _call, _answer: TimedOut("slow")
    clock.seconds += 3
    early = stage.gate.features(external_org_id="org_1")
    clock.seconds += 947
    late = stage.gate.features(external_org_id="org_1")

    assert _sources(early) == dict.fromkeys(FEATURES, "stale") | {"api_access": "cache", "sso": "cache"}
    assert {type(one.error) for one in early.values()} == {TimedOut}
    assert _sources(late) == dict.fromkeys(FEATURES, "policy") | {"sso": "stale"}
    assert list(late) == FEATURES


def test_features_that_were_asked_for_alone_are_left_out_once_they_are_gone(stage: Stage, clock: Clock) -> None:
    """No policy decides about them: the service does not list them."""
    stage.transport.answers[LISTING] = lambda _call, answer: answer | {"features": answer["features"][-1:]}
    stage.check()
    stage.transport.answers[LISTING] = lambda _call, _answer: TimedOut("slow")
    clock.seconds += 950

    assert _sources(stage.gate.features(external_org_id="org_1")) == {"sso": "stale"}


def test_features_of_which_nothing_is_known_are_those_of_the_policies(service: FakeTransport) -> None:
    """One decision for each code in `policies`."""
    stage = Stage(service, policies={"sso": Policy(on_outage="allow"), "exports": Policy()})
    stage.transport.answers[LISTING] = lambda _call, _answer: TimedOut("slow")
    decisions = stage.gate.features(external_org_id="org_1")

    assert {code: (one.allowed, one.source) for code, one in decisions.items()} == {
        "sso": (True, "policy"),
        "exports": (False, "policy"),
    }
    assert stage.gate.stats() == GateStats(policy=2, failed=1)


@pytest.mark.parametrize("known", [False, True], ids=["cold", "gone"])
def test_policy_that_raises_raises_for_all_features(service: FakeTransport, *, known: bool) -> None:
    """A "raise" among them raises."""
    stage = Stage(service, policies={"sso": Policy(on_outage="raise", max_stale=10), "seats": Policy()})
    if known:
        stage.gate.features(external_org_id="org_1")
        service.advance(timedelta(seconds=11))
    stage.transport.answers[LISTING] = lambda _call, _answer: TimedOut("slow")
    with pytest.raises(TimedOut):
        stage.gate.features(external_org_id="org_1")


@pytest.mark.parametrize("policies", [{}, {"sso": Policy(on_outage="allow")}], ids=["none", "one"])
def test_mistake_is_raised_for_all_features(service: FakeTransport, policies: dict[str, Policy]) -> None:
    """Whatever the policies say."""
    stage = Stage(service, policies=policies)
    stage.transport.answers[LISTING] = lambda _call, _answer: UnauthorizedError("no", code="UNAUTHORIZED")
    with pytest.raises(UnauthorizedError):
        stage.gate.features(external_org_id="org_1")


def test_mistake_leaves_old_features_in_use(stage: Stage, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """And it is logged."""
    stage.gate.features(external_org_id="org_1")
    stage.transport.answers[LISTING] = lambda _call, _answer: UnauthorizedError("no", code="UNAUTHORIZED")
    clock.seconds += 31

    assert set(_sources(stage.gate.features(external_org_id="org_1")).values()) == {"stale"}
    assert "about all features of organisation 'org_1': UnauthorizedError UNAUTHORIZED" in caplog.text


@pytest.mark.parametrize("organisation", ["org_1", "org_9"], ids=["no-features", "not-linked"])
def test_features_that_are_none_are_asked_for_again(service: FakeTransport, organisation: str) -> None:
    """An empty answer is not fresh for ever."""
    stage = Stage(service)
    stage.transport.answers[LISTING] = lambda _call, answer: (
        answer | {"features": []} if isinstance(answer, dict) else answer
    )
    for _ in range(3):
        assert stage.gate.features(external_org_id=organisation) == {}
    assert stage.calls() == [LISTING]
    service.advance(timedelta(seconds=31))
    del stage.transport.answers[LISTING]
    if organisation == "org_9":
        ChatarminOS(transport=service).links.create(company_id=stage.company, external_org_id="org_9")

    assert list(stage.gate.features(external_org_id=organisation)) == FEATURES


def test_features_share_a_refresh(service: FakeTransport) -> None:
    """A caller that asks for all waits for the request of another, or has the old answers at once."""
    stage = Stage(service, timeout=10)
    hold = stage.transport.hold(LISTING)
    first = Running(stage.check)
    hold.wait()
    other = Running(lambda: stage.gate.features(external_org_id="org_1"))
    hold.release()
    first.result()
    assert list(other.result()) == FEATURES

    service.advance(timedelta(seconds=31))
    hold = stage.transport.hold(LISTING)
    first = Running(stage.check)
    hold.wait()
    assert set(_sources(stage.gate.features(external_org_id="org_1")).values()) == {"stale"}
    service.advance(timedelta(seconds=900))
    other = Running(lambda: stage.gate.features(external_org_id="org_1"))
    hold.release()
    first.result()
    assert set(_sources(other.result()).values()) <= {"live", "cache"}


def test_features_wait_for_a_refresh_if_one_of_them_is_gone(service: FakeTransport) -> None:
    """Old answers are given at once only if there is one for each feature."""
    stage = Stage(service, policies={"sso": Policy(max_stale=100)}, timeout=10)
    stage.check()
    service.advance(timedelta(seconds=101))
    hold = stage.transport.hold(LISTING)
    first = Running(stage.check)
    hold.wait()
    other = Running(lambda: stage.gate.features(external_org_id="org_1"))
    until(lambda: stage.waiting() == 1)
    hold.release()

    assert set(_sources(other.result()).values()) == {"live"}
    assert first.result().source == "live"


def test_hundred_organisations_are_two_requests(stage: Stage) -> None:
    """`check_many` asks in batches, and answers in the order of the pairs."""
    for number in range(2, 101):
        stage.client.onboard(external_org_id=f"org_{number}", tier_code="free" if number % 2 else "pro")
    stage.transport.rounds.clear()
    pairs = [(f"org_{number}", "api_access") for number in range(1, 101)]
    decisions = stage.gate.check_many(pairs)

    assert stage.transport.rounds == [50, 50]
    assert [bool(one) for one in decisions] == [number % 2 == 0 or number == 1 for number in range(1, 101)]
    assert [one.external_org_id for one in decisions if isinstance(one, Decision)] == [pair[0] for pair in pairs]
    assert {one.source for one in stage.gate.check_many(pairs) if isinstance(one, Decision)} == {"cache"}
    assert stage.transport.rounds == [50, 50]


def test_several_features_of_one_organisation_are_one_question(stage: Stage) -> None:
    """The second pair waits for the request of the first."""
    decisions = stage.gate.check_many([("org_1", feature) for feature in FEATURES])

    assert {one.source for one in decisions if isinstance(one, Decision)} == {"live"}
    assert stage.calls() == [LISTING]


def test_unlisted_features_of_many_are_asked_for_together(stage: Stage) -> None:
    """The single questions are a second batch."""
    stage.client.onboard(external_org_id="org_2", tier_code="pro")
    stage.transport.answers[LISTING] = lambda _call, answer: answer | {"features": answer["features"][:2]}
    stage.transport.rounds.clear()
    decisions = stage.gate.check_many([("org_1", "api_access"), ("org_2", "api_access"), ("org_2", "expotrs")])

    assert [bool(one) if isinstance(one, Decision) else type(one) for one in decisions] == [True, True, NotFoundError]
    assert stage.transport.rounds == [2, 3]


def test_errors_stand_in_their_place(stage: Stage) -> None:
    """What `check` would raise, bad pairs included, hides no other decision."""
    stage = Stage(stage.fake, policies={"seats": Policy(on_outage="raise")})
    stage.fake.fail(LISTING, error="lost", times=2)
    wrong: list[Any] = [
        ("", "sso"),
        (None, "sso"),
        ("org_1", ""),
        ("org_1", None),
        "ab",
        5,
        ("a", "b", "c"),
        (5, "sso"),
        {"org_1", "sso"},
        {"org_1": 1, "sso": 2},
    ]
    results = stage.gate.check_many([*wrong, ("org_1", "seats"), ("org_2", "sso")])

    assert [type(one) for one in results[:10]] == [InvalidInput] * 10
    assert str(results[0]) == "external_org_id: must not be blank"
    assert str(results[2]) == "feature_code: must not be blank"
    assert str(results[4]) == "pairs: expected (external_org_id, feature_code), got str 'ab'"
    assert type(results[10]).__name__ == "ConnectionFailed"
    assert {one.__traceback__ or one.__context__ for one in results[:11]} == {None}  # type: ignore[union-attr]
    assert results[11].source == "policy"  # type: ignore[union-attr]


@pytest.mark.parametrize("pairs", ["org_1", 5, None, {"org_1": "sso"}], ids=["text", "int", "none", "mapping"])
def test_pairs_that_are_none_are_refused(stage: Stage, pairs: Any) -> None:
    """They name the argument."""
    with pytest.raises(InvalidInput, match="pairs: "):
        stage.gate.check_many(pairs)


def test_no_pairs_are_no_request(stage: Stage) -> None:
    """Any iterable will do, an empty one too."""
    assert stage.gate.check_many(iter([])) == []
    assert stage.calls() == []


def test_interrupted_batch_ends_every_refresh(stage: Stage) -> None:
    """Nobody waits for a refresh that no thread runs."""
    stage.transport.answers[LISTING] = lambda _call, _answer: KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        stage.gate.check_many([("org_1", "sso"), ("org_2", "sso")])
    del stage.transport.answers[LISTING]

    assert stage.check("sso").source == "live"


def test_warm_asks_in_batches_for_what_is_not_fresh(stage: Stage) -> None:
    """Afterwards checks cost nothing."""
    stage.client.onboard(external_org_id="org_2")
    stage.check()
    stage.transport.rounds.clear()
    stage.gate.warm(iter(["org_1", "org_2", *(f"org_x{number}" for number in range(60))]))

    assert stage.transport.rounds == [49, 12]
    assert stage.check("sso", "org_2").source == "cache"
    assert stage.check("sso", "org_x59").reason == "not_linked"
    stage.gate.warm(["org_1", "org_2"])
    assert stage.transport.rounds == [49, 12]


def test_warm_raises_nothing_of_the_service(stage: Stage) -> None:
    """Checks decide as ever."""
    stage.transport.answers[LISTING] = lambda _call, _answer: ServerError("down", code="INTERNAL_SERVER_ERROR")
    stage.gate.warm(["org_1"])
    stage.transport.answers[LISTING] = lambda _call, _answer: UnauthorizedError("no", code="UNAUTHORIZED")
    stage.gate.warm(["org_2"])


@pytest.mark.parametrize(
    ("ids", "field"),
    [("org_1", "external_org_ids"), ([""], "external_org_ids[0]"), (["a", 5], "external_org_ids[1]")],
    ids=["text", "blank", "int"],
)
def test_bad_ids_to_warm_are_refused(stage: Stage, ids: Any, field: str) -> None:
    """Before anything is sent."""
    with pytest.raises(InvalidInput) as caught:
        stage.gate.warm(ids)
    assert caught.value.field == field
    assert stage.calls() == []


def test_stats_count_decisions_and_refreshes(stage: Stage, clock: Clock) -> None:
    """Each decision once, by what it rests on; each refresh once, by how it ended."""
    stage.check()
    for _ in range(3):
        stage.check()
    stage.gate.features(external_org_id="org_1")
    stage.gate.features(external_org_id="org_1")
    assert stage.gate.stats() == GateStats(fresh=14, refreshed=1)
    stage.transport.answers[LISTING] = lambda _call, _answer: TimedOut("slow")
    clock.seconds += 31
    stage.check()
    stage.check(organisation="org_9")
    stage.gate.check_many([("org_1", "seats")])

    assert stage.gate.stats() == GateStats(fresh=14, stale=2, policy=1, refreshed=1, failed=2)
    assert stage.gate.stats() == stage.gate.stats()


# Memory


def test_entries_are_forgotten_in_the_order_of_use(service: FakeTransport) -> None:
    """Any use counts, a fresh one without a lock too; negative answers and waits are organisations as well."""
    stage = Stage(service, max_organisations=3)
    for organisation in ("a", "b", "c"):
        stage.check("sso", organisation)
    for organisation in ("c", "b", "a"):
        stage.check("sso", organisation)
    stage.gate.check(company_id="d", feature_code="sso")
    stage.calls()

    assert [stage.check("sso", one).source for one in ("a", "b")] == ["cache", "cache"]
    assert stage.check("sso", "c").source == "live"
    assert len(stage.gate._state.store) == 3


def test_memory_is_bounded_by_max_organisations(service: FakeTransport) -> None:
    """Nothing of the forgotten ones stays, though they were linked, failed, or changed."""
    stage = Stage(service, max_organisations=10, timeout=5)
    state = stage.gate._state
    for number in range(100):
        company = stage.client.onboard(external_org_id=f"org_x{number}", tier_code="free").company_id
        stage.check("sso", f"org_x{number}")
        stage.gate.check(company_id=company, feature_code="sso")
        stage.client.tiers.apply("pro", company_id=company)
        stage.check("sso", f"org_x{number}")

    assert len(state.store) <= 10
    assert len(state.store._organisations_of) <= 10
    assert len(state.store._heap) <= 2 * 10 + 64
    assert len(state.fences) <= 10


def test_store_forgets_in_the_order_of_use() -> None:
    """Against a list that is sorted by each use."""
    random, uses = Random(7), itertools.count(1)  # noqa: S311 - a test
    store, order = Store(20), []
    for _ in range(5_000):
        key = ("organisation", str(random.randrange(40)))
        entry = store.get(key)
        if entry is None:
            entry = store.add(key, next(uses))
            order.append(key)
            order = order[-20:]
        elif random.random() < 0.1:
            store.remove(entry)
            order.remove(key)
        else:
            entry.used = next(uses)
            order.remove(key)
            order.append(key)
        assert {one.key for one in store} == set(order)


def test_store_that_is_never_full_does_not_grow() -> None:
    """Entries that are dropped and come again leave nothing behind."""
    store = Store(1_000)
    for use in range(1_000):
        store.remove(store.add(("organisation", "org_1"), use))
    assert len(store._heap) <= 65


def test_fences_are_kept_while_a_change_is_under_way() -> None:
    """Also beyond the number that is kept."""
    fences, at = Fences(1), datetime(2026, 1, 1, tzinfo=UTC)
    keys: list[Key] = [("company", "a"), ("company", "b")]
    fences.begin(keys)
    fences.touch(("company", "c"), at)
    assert len(fences) == 2
    assert not fences.is_clear([("company", "a")], fences.tick())
    fences.end(keys, at)
    assert len(fences) == 1


def test_gate_on_a_lazy_client_makes_no_transport() -> None:
    """A module may make its gate before there is a key."""
    client = ChatarminOS.lazy("os_sk_1")
    gate = Gate(client)
    gate.clear()
    gate.expect_usage(external_org_id="org_1", feature_code="ai_credit", quantity=1, idempotency_key="a")
    assert repr(client) in repr(gate)


def test_single_question_is_no_batch(stage: Stage) -> None:
    """One question is one call, also from `check_many`."""
    stage.transport.rounds.clear()
    stage.gate.check_many([("org_1", "sso")])
    assert stage.transport.rounds == [1]
    assert SINGLE not in stage.calls()
