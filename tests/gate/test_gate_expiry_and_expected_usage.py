"""Expiry is watched, expected usage is subtracted, and clocks that are set change nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from freezegun import freeze_time
from steering import LISTING, Clock, Stage

from chatarmin_os import ChatarminOS, InvalidInput, TimedOut, TrackUsageInput
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.gate import Gate, Policy

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def clock() -> Clock:
    """Return the clock of the gate."""
    return Clock()


@pytest.fixture
def stage(service: FakeTransport, clock: Clock) -> Stage:
    """Return a stage whose gate has that clock, and whose answers stay fresh."""
    return Stage(service, now=clock, default=Policy(max_age=800))


def test_access_is_denied_from_the_instant_at_which_it_ends(stage: Stage, clock: Clock) -> None:
    """Without asking again; the access is the one that was fetched."""
    stage.set_access(valid_until=stage.fake.now() + timedelta(seconds=100))
    assert [stage.check().allowed for _ in range(2)] == [True, True]
    clock.seconds += 99
    assert stage.check().allowed
    clock.seconds += 1.1
    ended = stage.check()

    assert (ended.allowed, ended.reason, ended.source) == (False, "disabled", "cache")
    assert stage.check() == ended
    assert stage.gate.features(external_org_id="org_1")["api_access"].allowed is False
    assert stage.calls() == [LISTING]


def test_features_notice_the_end_of_an_access(stage: Stage, clock: Clock) -> None:
    """The decisions about all features are built again at that instant."""
    stage.set_access(valid_until=stage.fake.now() + timedelta(seconds=100))
    for _ in range(2):
        assert stage.gate.features(external_org_id="org_1")["api_access"].allowed
    clock.seconds += 100.1

    assert not stage.gate.features(external_org_id="org_1")["api_access"].allowed
    assert stage.calls() == [LISTING]


def test_access_that_ended_is_denied_in_an_outage_too(stage: Stage, clock: Clock) -> None:
    """A stale answer opens nothing."""
    stage.set_access(valid_until=stage.fake.now() + timedelta(seconds=850))
    stage.check()
    stage.transport.answers[LISTING] = lambda _call, _answer: TimedOut("slow")
    clock.seconds += 840
    assert stage.check().allowed
    clock.seconds += 11

    assert (stage.check().allowed, stage.check().source) == (False, "stale")


def test_access_that_has_ended_by_our_clock_is_denied(stage: Stage) -> None:
    """If the service's clock is late, the earlier end counts."""
    stage.transport.answers[LISTING] = lambda _call, answer: (
        answer | {"features": [one | {"validUntil": "2020-01-01T00:00:00Z"} for one in answer["features"]]}
    )
    assert (stage.check().allowed, stage.check().reason) == (False, "disabled")


def test_access_ends_by_the_fakes_clock(service: FakeTransport) -> None:
    """On a fake, its clocks measure both."""
    stage = Stage(service, default=Policy(max_age=800))
    stage.set_access(valid_until=service.now() + timedelta(seconds=100))
    assert stage.check().allowed
    service.advance(timedelta(seconds=101))

    assert (stage.check().allowed, stage.check().source) == (False, "cache")


def test_clock_that_a_test_sets_neither_ages_nor_rejuvenates(service: FakeTransport) -> None:
    """Freezegun moves `time.time` and `time.monotonic`; an answer stays as fresh as it is."""
    client = ChatarminOS(transport=service)
    client.onboard(external_org_id="org_1", tier_code="pro")
    gate = Gate(client)
    with freeze_time("2020-01-01") as frozen:
        first = gate.check(external_org_id="org_1", feature_code="api_access")
        frozen.move_to("2031-01-01")
        assert gate.check(external_org_id="org_1", feature_code="api_access").source == "cache"
        assert first.fetched_at is not None
    assert gate.check(external_org_id="org_1", feature_code="api_access").source == "cache"
    service.advance(timedelta(seconds=31))
    with freeze_time("2020-01-01"):
        assert gate.check(external_org_id="org_1", feature_code="api_access").source == "live"


# Expected usage


def _remaining(stage: Stage, **who: str) -> Any:
    decision: Any = stage.gate.check(**(who or {"external_org_id": "org_1"}), feature_code="ai_credit")
    return decision.access.remaining


def _expect(stage: Stage, quantity: float, key: str, **who: str) -> None:
    who = who or {"external_org_id": "org_1"}
    stage.gate.expect_usage(**who, feature_code="ai_credit", quantity=quantity, idempotency_key=key)


def test_expected_usage_is_subtracted_for_a_minute(stage: Stage, clock: Clock) -> None:
    """Of what is known, also when it was asked for before; then it is not subtracted any more."""
    assert _remaining(stage) == 10_000
    _expect(stage, 400, "a")
    clock.seconds += 1
    _expect(stage, 9_600, "b")
    decision = stage.check("ai_credit")
    assert (decision.allowed, decision.reason, decision.source) == (False, "limit_reached", "cache")
    assert (decision.access.current_usage, decision.access.remaining) == (10_000, 0)
    clock.seconds += 58.9
    assert _remaining(stage) == 0
    clock.seconds += 0.2
    assert _remaining(stage) == 400
    clock.seconds += 1

    assert _remaining(stage) == 10_000
    assert stage.calls() == [LISTING]


def test_expected_usage_is_that_of_the_company(stage: Stage) -> None:
    """Usage of one organisation is subtracted for the company and its other organisations too."""
    stage.client.links.create(company_id=stage.company, external_org_id="org_2")
    for who in ({"external_org_id": "org_1"}, {"external_org_id": "org_2"}, {"company_id": stage.company}):
        stage.gate.check(**who, feature_code="ai_credit")
    _expect(stage, 5, "a", external_org_id="org_1")
    _expect(stage, 6, "b", external_org_id="org_2")
    _expect(stage, 7, "c", company_id=stage.company)

    for who in ({"external_org_id": "org_1"}, {"external_org_id": "org_2"}, {"company_id": stage.company}):
        assert _remaining(stage, **who) == 10_000 - 18


def test_expected_usage_counts_before_anything_is_known(stage: Stage) -> None:
    """A first answer is less what is expected."""
    _expect(stage, 0.1, "a")
    _expect(stage, 0.2, "b")
    assert _remaining(stage) == 9_999.7


def test_expected_usage_of_the_same_key_counts_once(stage: Stage) -> None:
    """The key names the event; the last quantity counts."""
    _expect(stage, 5, "a")
    _expect(stage, 6, "a")
    assert _remaining(stage) == 9_994


def test_expected_usage_ends_when_its_key_was_sent(stage: Stage) -> None:
    """The answer has it then."""
    stage.check("ai_credit")
    _expect(stage, 5, "a")
    _expect(stage, 6, "b")
    event = TrackUsageInput(company_id=stage.company, feature_code="ai_credit", quantity=5, idempotency_key="a")
    stage.client.send(event)

    access = stage.check("ai_credit").access
    assert (access.current_usage, access.remaining) == (11, 9_989)
    assert len(stage.gate._state.expected) == 1


def test_expected_usage_ends_when_another_client_has_sent_its_key(stage: Stage) -> None:
    """A gate can watch the client of a sender too; to watch one twice changes nothing."""
    stage.check("ai_credit")
    _expect(stage, 5, "a")
    event = TrackUsageInput(company_id=stage.company, feature_code="ai_credit", quantity=5, idempotency_key="a")
    sender = ChatarminOS(transport=stage.fake)
    stage.gate.watch(sender)
    stage.gate.watch(sender)
    sender.batch([event])

    access = stage.check("ai_credit").access
    assert (access.current_usage, access.remaining) == (5, 9_995)


def test_watching_needs_a_client(stage: Stage) -> None:
    """A transport is none."""
    with pytest.raises(TypeError, match="client: expected a chatarmin_os"):
        stage.gate.watch(stage.fake)  # type: ignore[arg-type]


def test_expected_usage_ends_when_its_key_was_refused(stage: Stage) -> None:
    """Nobody will count it."""
    stage.check("ai_credit")
    _expect(stage, 20_000, "a")
    event = TrackUsageInput(company_id=stage.company, feature_code="ai_credit", quantity=20_000, idempotency_key="a")
    stage.client.batch([event])

    assert _remaining(stage) == 10_000


def test_expected_usage_stays_if_sending_failed(stage: Stage) -> None:
    """The outbox still holds it."""
    stage.check("ai_credit")
    _expect(stage, 5, "a")
    stage.fake.fail("billing.trackUsage", error="lost")
    event = TrackUsageInput(company_id=stage.company, feature_code="ai_credit", quantity=5, idempotency_key="a")
    stage.client.batch([event])

    assert _remaining(stage) == 9_995


def test_expected_usage_of_unlimited_and_of_features_without_quantity_changes_no_decision(stage: Stage) -> None:
    """Nothing can run out."""
    stage.client.tiers.apply("enterprise", company_id=stage.company)
    _expect(stage, 5, "a")
    stage.gate.expect_usage(external_org_id="org_1", feature_code="sso", quantity=5, idempotency_key="b")

    assert (_remaining(stage), stage.check("ai_credit").allowed, stage.check("sso").allowed) == (None, True, True)


def test_expected_usage_that_is_over_is_forgotten(stage: Stage, clock: Clock) -> None:
    """The memory holds a minute of it."""
    for number in range(100):
        clock.seconds += 10
        _expect(stage, 1, str(number))
    assert len(stage.gate._state.expected) == 6


BAD_USAGE: list[tuple[dict[str, Any], str]] = [
    ({"quantity": 0}, "quantity"),
    ({"quantity": -1}, "quantity"),
    ({"quantity": True}, "quantity"),
    ({"quantity": float("nan")}, "quantity"),
    ({"quantity": None}, "quantity"),
    ({"idempotency_key": None}, "idempotency_key"),
    ({"idempotency_key": " "}, "idempotency_key"),
    ({"idempotency_key": 5}, "idempotency_key"),
    ({"feature_code": ""}, "feature_code"),
    ({"feature_code": 5}, "feature_code"),
    ({"external_org_id": None}, "external_org_id"),
    ({"company_id": "comp_1"}, "external_org_id"),
]


@pytest.mark.parametrize(
    ("wrong", "field"), BAD_USAGE, ids=[f"{field}-{number}" for number, (_, field) in enumerate(BAD_USAGE)]
)
def test_bad_expected_usage_is_refused(stage: Stage, wrong: dict[str, Any], field: str) -> None:
    """The error names the argument."""
    good: dict[str, Any] = {
        "external_org_id": "org_1",
        "feature_code": "ai_credit",
        "quantity": 1,
        "idempotency_key": "a",
    }
    with pytest.raises(InvalidInput) as caught:
        stage.gate.expect_usage(**(good | wrong))
    assert caught.value.field == field


def _instants() -> Iterator[datetime]:
    yield from (datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))


def test_wall_clock_that_jumps_does_not_age_an_answer() -> None:
    """Ages are measured by the clock that never goes back."""
    jumps = _instants()
    last = [next(jumps)]
    fake = FakeTransport(demo_catalogue(), now=lambda: last[0])
    client = ChatarminOS(transport=fake)
    client.onboard(external_org_id="org_1", tier_code="pro")
    gate = Gate(client)
    gate.check(external_org_id="org_1", feature_code="api_access")
    last[0] = next(jumps)

    assert gate.check(external_org_id="org_1", feature_code="api_access").source == "cache"
