"""Fresh answers cost nothing, and one caller refreshes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from steering import LISTING, Clock, Running, Stage
from waiting import until

from chatarmin_os import FeatureAccess, InvalidInput, ServerError, TimedOut
from chatarmin_os.gate import Policy

if TYPE_CHECKING:
    from chatarmin_os.fake import FakeTransport

FEATURES = ["ai_credit", "seats", "team_seats", "api_access", "sso"]


@pytest.fixture
def stage(service: FakeTransport) -> Stage:
    """Return a service with one organisation, and a gate on it."""
    return Stage(service)


def test_page_of_five_checks_is_one_request_cold_and_none_warm(stage: Stage) -> None:
    """The first check asks for all features; the others, and the next page, are answered from it."""
    cold = [stage.check(feature).source for feature in FEATURES]
    assert stage.calls() == [LISTING]
    warm = [stage.check(feature).source for feature in FEATURES]

    assert cold == ["live", "cache", "cache", "cache", "cache"]
    assert warm == ["cache"] * 5
    assert stage.calls() == []


def test_decision_has_what_it_rests_on(stage: Stage) -> None:
    """A decision has its feature, both ids, its access, and when that was asked for."""
    decision = stage.check("sso")

    assert (decision.allowed, decision.reason, decision.feature_code) == (False, "disabled", "sso")
    assert (decision.external_org_id, decision.company_id) == ("org_1", stage.company)
    assert decision.access.feature_code == "sso"
    assert decision.error is None
    assert decision.fetched_at.utcoffset() == timedelta()
    assert not decision


def test_company_is_asked_for_by_its_own_listing(stage: Stage) -> None:
    """A check of a company id lists its access; the decision has no organisation."""
    decision = stage.gate.check(company_id=stage.company, feature_code="api_access")
    again = stage.gate.check(company_id=stage.company, feature_code="ai_credit")

    assert (decision.source, decision.external_org_id, decision.company_id) == ("live", None, stage.company)
    assert again.source == "cache"
    assert stage.calls() == ["features.listAccess"]


@pytest.mark.parametrize(("feature", "max_age"), [("api_access", 30), ("ai_credit", 2)])
def test_default_max_age_is_shorter_for_a_quantity(service: FakeTransport, feature: str, max_age: int) -> None:
    """An answer is fresh for 30 seconds, or 2 if the feature has a quantity; at that age it no longer is."""
    clock = Clock()
    stage = Stage(service, now=clock)
    stage.check(feature)
    clock.seconds += max_age - 0.001
    assert stage.check(feature).source == "cache"
    clock.seconds += 0.001

    assert stage.check(feature).source == "live"
    assert stage.calls() == [LISTING, LISTING]


@pytest.mark.parametrize(
    ("access", "max_age"),
    [
        (FeatureAccess(is_enabled=True, quantity_limit=5), 2),
        (FeatureAccess(is_enabled=True, remaining=5), 2),
        (FeatureAccess(is_enabled=True), 30),
        (FeatureAccess(is_enabled=True, has_quantity=False, can_use=False), 30),
        (FeatureAccess(is_enabled=True, has_quantity=True, can_use=False), 2),
    ],
    ids=["limit", "remaining", "nothing", "without", "with"],
)
def test_numbers_show_that_a_feature_has_a_quantity(access: FeatureAccess, max_age: float) -> None:
    """A service may not say `hasQuantity`."""
    assert Policy().max_age_of(access) == max_age


def test_max_age_zero_always_asks(service: FakeTransport) -> None:
    """A policy may ask for a live answer each time."""
    stage = Stage(service, policies={"api_access": Policy(max_age=0)})

    assert [stage.check().source for _ in range(3)] == ["live"] * 3
    assert len(stage.calls()) == 3


def test_max_age_is_never_more_than_max_stale() -> None:
    """The default age is cut to `max_stale`; a given one above it is refused."""
    assert Policy(max_stale=1).max_age_of(None) == 1
    with pytest.raises(InvalidInput, match=r"max_stale: must be at least max_age"):
        Policy(max_age=2, max_stale=1)


def test_one_caller_refreshes_and_others_get_the_old_answer_at_once(service: FakeTransport) -> None:
    """While a refresh is under way, all others have the old answer; the caller that refreshes has the new one."""
    stage = Stage(service, timeout=10)
    stage.check()
    service.advance(timedelta(seconds=31))
    stage.set_access(is_enabled=False)
    hold = stage.transport.hold(LISTING)
    refreshing = Running(stage.check)
    hold.wait()

    during = [stage.check(), stage.check()]
    hold.release()
    refreshed = refreshing.result()

    assert [(one.source, one.allowed) for one in during] == [("stale", True)] * 2
    assert (refreshed.source, refreshed.allowed) == ("live", False)
    assert stage.check().source == "cache"
    assert len(stage.calls()) == 2


def test_cold_callers_share_one_request(service: FakeTransport) -> None:
    """If nothing is known, all wait for the one that asks, and have its answer as theirs."""
    stage = Stage(service, timeout=10)
    hold = stage.transport.hold(LISTING)
    first = Running(stage.check)
    hold.wait()
    others = [Running(stage.check) for _ in range(5)]
    until(lambda: stage.waiting() == 5)
    hold.release()

    assert {running.result().source for running in [first, *others]} == {"live"}
    assert stage.calls() == [LISTING]


def test_cold_callers_share_a_failure(service: FakeTransport) -> None:
    """Who waited has the failure of the refresh, and no traceback."""
    stage = Stage(service, timeout=10)
    stage.transport.answers[LISTING] = lambda _call, _answer: ServerError("down", code="INTERNAL_SERVER_ERROR")
    hold = stage.transport.hold(LISTING)
    first = Running(stage.check)
    hold.wait()
    other = Running(stage.check)
    until(lambda: stage.waiting() == 1)
    hold.release()

    for decision in (first.result(), other.result()):
        assert (decision.reason, decision.source, type(decision.error)) == ("outage", "policy", ServerError)
        assert decision.error.__traceback__ is None
    assert stage.calls() == [LISTING]


def test_time_of_a_waiting_caller_runs_out(service: FakeTransport) -> None:
    """Who waits longer than the timeout decides by the policy, with TimedOut as the error."""
    stage = Stage(service, timeout=0.25, first_timeout=0.25)
    hold = stage.transport.hold(LISTING)
    first = Running(stage.check)
    hold.wait()

    decision = stage.check()
    hold.release()
    first.result()

    assert (decision.reason, decision.source) == ("outage", "policy")
    assert isinstance(decision.error, TimedOut)


def test_first_refresh_of_a_process_has_more_time(service: FakeTransport) -> None:
    """The first refresh has `first_timeout`, and later ones `timeout`."""
    seconds: list[float] = []
    stage = Stage(service, timeout=10, first_timeout=60)
    stage.transport.with_options = lambda **options: seconds.append(options["timeout"]) or stage.transport  # type: ignore[method-assign,func-returns-value]
    stage.check()
    service.advance(timedelta(seconds=31))
    stage.check()

    assert 30 < seconds[0] <= 60
    assert seconds[1] <= 10


def test_who_waits_for_the_first_refresh_has_its_time(service: FakeTransport) -> None:
    """The time of the first refresh is also that of who waits for it."""
    stage = Stage(service, timeout=0.01, first_timeout=20)
    hold = stage.transport.hold(LISTING)
    first = Running(stage.check)
    hold.wait()
    other = Running(stage.check)
    until(lambda: stage.waiting() == 1)
    other._thread.join(0.1)
    assert not other.is_over
    hold.release()

    assert (first.result().source, other.result().source) == ("live", "live")


def test_first_timeout_below_timeout_shortens_nothing(service: FakeTransport) -> None:
    """`first_timeout` counts only where it is more than `timeout`."""
    seconds: list[float] = []
    stage = Stage(service, timeout=60, first_timeout=1)
    stage.transport.with_options = lambda **options: seconds.append(options["timeout"]) or stage.transport  # type: ignore[method-assign,func-returns-value]
    stage.check()

    assert 30 < seconds[0] <= 60


def test_refreshes_are_not_retried(service: FakeTransport) -> None:
    """The gate asks with `max_retries=0`."""
    given: list[Any] = []
    stage = Stage(service)
    stage.transport.with_options = lambda **options: given.append(options) or stage.transport  # type: ignore[method-assign,func-returns-value]
    stage.check()

    assert [options["max_retries"] for options in given] == [0]


def test_transport_that_asks_the_gate_does_not_wait_for_itself(service: FakeTransport) -> None:
    """A transport that checks the organisation it is asked about gets the policy's decision."""
    stage = Stage(service, timeout=10)
    inner: list[Any] = []
    stage.transport.answers[LISTING] = lambda _call, answer: inner.append(stage.check()) or answer  # type: ignore[func-returns-value]

    assert stage.check().source == "live"
    assert [(one.source, type(one.error)) for one in inner] == [("policy", TimedOut)]
