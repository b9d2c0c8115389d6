"""Organisations that are not linked, and features that the listing lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from steering import LISTING, SINGLE, Clock, Running, Stage
from waiting import until

from chatarmin_os import ChatarminOS, NotFoundError, TimedOut
from chatarmin_os.gate import Policy
from chatarmin_os.gate.answers import Answer

if TYPE_CHECKING:
    from chatarmin_os.fake import FakeTransport


@pytest.fixture
def clock() -> Clock:
    """Return the clock of the gate."""
    return Clock()


@pytest.fixture
def stage(service: FakeTransport, clock: Clock) -> Stage:
    """Return a stage whose gate has that clock, and whose policies must not matter here."""
    return Stage(service, now=clock, default=Policy(on_outage="raise"), policies={"sso": Policy(on_outage="allow")})


def _without(stage: Stage, *features: str) -> None:
    """Let the listing lack features."""
    stage.transport.answers[LISTING] = lambda _call, answer: (
        answer | {"features": [one for one in answer["features"] if one["featureCode"] not in features]}
        if isinstance(answer, dict)
        else answer
    )


def test_unlinked_organisation_is_denied_and_remembered(stage: Stage, clock: Clock) -> None:
    """It is a decision, remembered for `unlinked_max_age`."""
    first = stage.check("sso", "org_9")
    clock.seconds += 4.9
    second = stage.check("seats", "org_9")
    assert stage.calls() == [LISTING]
    clock.seconds += 0.2
    third = stage.check("sso", "org_9")

    assert (first.allowed, first.reason, first.source) == (False, "not_linked", "live")
    assert (first.company_id, first.access, first.external_org_id) == (None, None, "org_9")
    assert first.fetched_at is not None
    assert (second.source, second.reason) == ("cache", "not_linked")
    assert third.source == "live"
    assert stage.calls() == [LISTING]


def test_unknown_company_is_denied_as_not_linked(stage: Stage) -> None:
    """A company id that the service does not know is no exception either."""
    decision = stage.gate.check(company_id="comp_9", feature_code="sso")

    assert (decision.reason, decision.company_id, decision.external_org_id) == ("not_linked", "comp_9", None)
    assert stage.gate.check(company_id="comp_9", feature_code="sso").source == "cache"


def test_unlinked_organisation_stays_denied_in_an_outage(stage: Stage, clock: Clock) -> None:
    """`on_outage` does not matter, and `max_stale` does not end it."""
    stage.check("sso", "org_9")
    stage.transport.answers[LISTING] = lambda _call, _answer: TimedOut("slow")
    for later in (6, 900, 100_000):
        clock.seconds += later
        decision = stage.check("sso", "org_9")
        assert (decision.allowed, decision.reason, decision.source) == (False, "not_linked", "stale")
        assert isinstance(decision.error, TimedOut)


def test_unlinked_max_age_zero_asks_each_time(service: FakeTransport) -> None:
    """Nothing negative is remembered as fresh."""
    stage = Stage(service, unlinked_max_age=0)
    assert [stage.check("sso", "org_9").source for _ in range(2)] == ["live", "live"]


def test_features_of_an_unlinked_organisation_are_those_of_the_policies(stage: Stage) -> None:
    """One denial for each policy."""
    decisions = stage.gate.features(external_org_id="org_9")

    assert {code: one.reason for code, one in decisions.items()} == {"sso": "not_linked"}
    assert stage.gate.features(external_org_id="org_9")["sso"].source == "cache"
    assert stage.calls() == [LISTING]


def test_link_that_is_gone_is_noticed_at_the_next_refresh(stage: Stage, clock: Clock) -> None:
    """An organisation whose link was deleted elsewhere is denied, and its old listing forgotten."""
    stage.check()
    ChatarminOS(transport=stage.fake).links.reset()
    clock.seconds += 31

    assert stage.check().reason == "not_linked"
    assert stage.check("ai_credit").reason == "not_linked"


def test_feature_that_the_listing_lacks_is_asked_for_alone(stage: Stage, clock: Clock) -> None:
    """It is remembered like the rest; the listing is not asked for again."""
    _without(stage, "api_access")
    assert stage.check().source == "live"
    assert stage.calls() == [LISTING, SINGLE]
    assert stage.check().source == "cache"
    clock.seconds += 31
    assert stage.check().source == "live"

    assert stage.calls() == [SINGLE]


def test_company_feature_that_the_listing_lacks_is_asked_for_alone(stage: Stage) -> None:
    """The same for a company id, by `features.check`."""
    stage.transport.answers["features.listAccess"] = lambda _call, _answer: []

    assert stage.gate.check(company_id=stage.company, feature_code="api_access").allowed
    assert stage.calls() == ["features.listAccess", "features.check"]


def test_access_without_can_use_is_asked_for_alone(stage: Stage) -> None:
    """A listing that does not say whether a feature can be used is as one that lacks it."""
    stage.transport.answers[LISTING] = lambda _call, answer: (
        answer | {"features": [{k: v for k, v in one.items() if k != "canUse"} for one in answer["features"]]}
    )
    assert stage.check().allowed
    assert stage.calls() == [LISTING, SINGLE]
    assert list(stage.gate.features(external_org_id="org_1")) == ["api_access"]
    assert stage.check("ai_credit").allowed
    assert list(stage.gate.features(external_org_id="org_1")) == ["ai_credit", "api_access"]


def test_single_answer_without_can_use_is_denied(stage: Stage) -> None:
    """What the service does not say is not granted."""
    _without(stage, "api_access")
    stage.transport.answers[SINGLE] = lambda _call, answer: answer | {"canUse": None}

    assert (stage.check().allowed, stage.check().reason) == (False, "disabled")


def test_features_has_a_feature_of_its_own_only_while_that_is_known(stage: Stage, clock: Clock) -> None:
    """A feature that was asked for alone is among them until it is older than `max_stale`; no question is added."""
    _without(stage, "api_access")
    assert "api_access" not in stage.gate.features(external_org_id="org_1")
    stage.check()
    assert stage.gate.features(external_org_id="org_1")["api_access"].source == "cache"
    stage.calls()
    clock.seconds += 31
    assert stage.gate.features(external_org_id="org_1")["api_access"].source == "stale"
    clock.seconds += 900

    assert "api_access" not in stage.gate.features(external_org_id="org_1")
    assert stage.calls() == [LISTING, LISTING]


def test_unknown_feature_is_a_mistake(stage: Stage, clock: Clock) -> None:
    """The service's NOT_FOUND for a feature is raised, also again while it waits; other features are not concerned."""
    for feature in ("sso", "expotrs"):
        stage.check(feature) if feature == "sso" else None
    with pytest.raises(NotFoundError):
        stage.check("expotrs")
    assert stage.calls() == [LISTING, SINGLE, LISTING]
    with pytest.raises(NotFoundError):
        stage.check("expotrs")
    assert stage.calls() == []
    assert stage.check("sso").source == "cache"
    assert stage.check("sso").error is None
    clock.seconds += 1
    with pytest.raises(NotFoundError):
        stage.check("expotrs")
    assert SINGLE in stage.calls()


def test_unknown_feature_beside_a_listing_of_the_same_check_is_a_mistake_at_once(stage: Stage) -> None:
    """The listing that was just asked for decides."""
    with pytest.raises(NotFoundError):
        stage.check("expotrs")

    assert stage.calls() == [LISTING, SINGLE]


def test_not_found_beside_an_older_listing_may_mean_that_the_link_is_gone(stage: Stage) -> None:
    """The listing is asked for again, and decides."""
    _without(stage, "api_access")
    stage.check("sso")
    ChatarminOS(transport=stage.fake).links.reset()

    assert stage.check().reason == "not_linked"
    assert stage.calls() == [LISTING, SINGLE, LISTING]


def test_not_found_beside_an_older_listing_may_be_answered_by_the_new_one(stage: Stage) -> None:
    """A feature that the new listing has is decided by it."""
    _without(stage, "api_access")
    stage.check("sso")
    del stage.transport.answers[LISTING]
    stage.transport.answers[SINGLE] = lambda _call, _answer: NotFoundError("no", code="NOT_FOUND")

    assert (stage.check().allowed, stage.check().source) == (True, "cache")


def test_not_found_with_a_listing_that_fails_is_an_outage(stage: Stage) -> None:
    """If the listing that is to decide does not come, nothing is known."""
    _without(stage, "api_access")
    stage.check("sso")
    stage.transport.answers[SINGLE] = lambda _call, _answer: NotFoundError("no", code="NOT_FOUND")
    stage.transport.answers[LISTING] = lambda _call, _answer: TimedOut("slow")
    with pytest.raises(TimedOut):
        stage.check()


def test_unknown_feature_with_an_old_answer_is_stale(stage: Stage, clock: Clock) -> None:
    """A feature that the service no longer knows keeps its old answer within `max_stale`."""
    _without(stage, "api_access")
    stage.check()
    stage.transport.answers[SINGLE] = lambda _call, _answer: NotFoundError("no", code="NOT_FOUND")
    clock.seconds += 31
    decision = stage.check()

    assert (decision.allowed, decision.source, type(decision.error)) == (True, "stale", NotFoundError)


def test_many_callers_share_the_question_about_an_unknown_feature(service: FakeTransport) -> None:
    """Who waits for the single question has its outcome, and the listing that decides is asked for once more."""
    stage = Stage(service, timeout=10)
    stage.check()
    hold = stage.transport.hold(SINGLE)

    def ask() -> Any:
        with pytest.raises(NotFoundError):
            stage.check("expotrs")

    first = Running(ask)
    hold.wait()
    others = [Running(ask) for _ in range(4)]
    until(lambda: stage.waiting("expotrs") == 4)
    hold.release()
    for running in (first, *others):
        running.result()

    assert stage.calls() == [LISTING, SINGLE, LISTING]
    assert stage.gate.stats().failed == 1


def test_listing_that_is_gone_is_asked_for_before_a_single_question(stage: Stage, clock: Clock) -> None:
    """After `max_stale` nothing is known, neither the company nor what the listing lacks."""
    _without(stage, "api_access")
    stage.check("sso")
    clock.seconds += 900
    stage.calls()
    stage.check()

    assert stage.calls() == [LISTING, SINGLE]


def test_answers_of_a_former_company_are_forgotten(stage: Stage, clock: Clock) -> None:
    """An organisation that was linked to another company elsewhere has nothing of the first one."""
    _without(stage, "api_access")
    stage.check()
    behind = ChatarminOS(transport=stage.fake)
    behind.links.reset()
    other = stage.fake.add_company("Other")
    behind.links.create(company_id=other, external_org_id="org_1")
    clock.seconds += 3
    stage.check("ai_credit")
    stage.calls()

    assert stage.check().allowed is False
    assert stage.calls() == [SINGLE]


def test_number_of_features_asked_for_alone_is_bounded(stage: Stage) -> None:
    """Feature codes from a URL do not fill the memory, whether the service knows them or not."""
    stage.check()
    state, key = stage.gate._state, ("organisation", "org_1")
    entry = state.store.organisations["org_1"]
    answer = entry.known("api_access")
    assert isinstance(answer, Answer)
    for number in range(1_050):
        state.fail(key, f"x{number}", TimedOut("slow"), 0.0)
        state.keep(key, f"x{number}", answer)

    assert (len(entry.backoffs), len(entry.answers)) == (1_000, 1_000)


def test_wait_of_the_listing_outlives_those_of_features(stage: Stage) -> None:
    """Whatever codes are asked for."""
    state = stage.gate._state
    state.fail(("organisation", "org_1"), None, TimedOut("slow"), 0.0)
    for number in range(1_050):
        state.fail(("organisation", "org_1"), f"x{number}", TimedOut("slow"), 0.0)

    assert None in state.entry(("organisation", "org_1")).backoffs


def test_denials_of_an_unlinked_organisation_are_bounded(stage: Stage) -> None:
    """One for each code that was asked for would fill the memory."""
    for number in range(2_500):
        assert stage.check(f"x{number}", "org_9").reason == "not_linked"

    assert len(stage.gate._state.store.organisations["org_9"].ready) <= 1_000
    assert stage.calls() == [LISTING]


def test_listed_features_without_a_code_are_ignored(stage: Stage) -> None:
    """An access that does not say of which feature it is grants nothing."""
    stage.transport.answers[LISTING] = lambda _call, answer: (
        answer | {"features": [{"isEnabled": True, "canUse": True}]}
    )
    assert stage.gate.features(external_org_id="org_1") == {}
    assert stage.gate.features(external_org_id="org_1") == {}
    assert stage.calls() == [LISTING]
