"""The gate knows what its client does, by whichever method, and reads nothing stale after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from steering import LISTING, SINGLE, Running, Stage
from waiting import until

from chatarmin_os import (
    ApplyTierInput,
    ChatarminError,
    ChatarminOS,
    ConnectionFailed,
    FeatureSetAccessInput,
    ForbiddenError,
    InvalidResponse,
    ServerError,
    TimedOut,
    TrackUsageInput,
    UsageLimitError,
)
from chatarmin_os.gate import Policy

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatarmin_os.fake import FakeTransport


@pytest.fixture
def stage(service: FakeTransport) -> Stage:
    """Return a stage whose answers stay fresh, and whose callers wait."""
    return Stage(service, default=Policy(max_age=900), timeout=10)


def _checkout(stage: Stage) -> str:
    return stage.fake.stripe.add_checkout_session(stage.client.tiers.get("pro").stripe_price_ids)


def _subscription(stage: Stage) -> str:
    return stage.fake.stripe.add_subscription(stage.client.tiers.get("pro").stripe_price_ids)


CHANGES: dict[str, Callable[[Stage], Any]] = {
    "set-access-by-company": lambda s: s.client.features.set_access(
        company_id=s.company, feature_code="sso", is_enabled=True
    ),
    "set-access-by-organisation": lambda s: s.client.features.set_access(
        external_org_id="org_1", feature_code="sso", is_enabled=True
    ),
    "apply-tier": lambda s: s.client.tiers.apply("free", company_id=s.company),
    "create-subscription": lambda s: s.client.subscriptions.create("free", company_id=s.company),
    "claim-checkout": lambda s: s.client.billing.claim_checkout(company_id=s.company, checkout_session_id=_checkout(s)),
    "link-subscription": lambda s: s.client.billing.link_subscription(
        company_id=s.company, stripe_subscription_id=_subscription(s)
    ),
    "update-company": lambda s: s.client.companies.update(company_id=s.company, created_at="2024-01-15T10:30:00Z"),
    "smart-link": lambda s: s.client.companies.smart_link(external_org_id="org_1"),
    "create-link": lambda s: s.client.links.create(company_id=s.company, external_org_id="org_1"),
    "link-another-organisation": lambda s: s.client.links.create(company_id=s.company, external_org_id="org_3"),
    "reset-links": lambda s: s.client.links.reset(),
    "onboard": lambda s: s.client.onboard(external_org_id="org_1", tier_code="free"),
    "send": lambda s: s.client.send(ApplyTierInput(tier_code="free", company_id=s.company)),
    "batch": lambda s: s.client.batch([ApplyTierInput(tier_code="free", company_id=s.company)]),
    "call": lambda s: s.client.call("tiers.apply", {"tierCode": "free", "companyId": s.company}),
    "unlisted-path": lambda s: s.client.call("seats.assign", {"companyId": s.company}, kind="mutation"),
    "unlisted-company-path": lambda s: s.client.call("companies.merge", {"companyId": s.company}, kind="mutation"),
    "unlisted-link-path": lambda s: s.client.call("links.sync", {}, kind="mutation"),
    "derived-client": lambda s: s.client.with_options(timeout=1).tiers.apply("free", company_id=s.company),
}
"""Mutations that may change what the company may do."""


def _accept_unlisted(stage: Stage) -> None:
    for path in ("seats.assign", "companies.merge", "links.sync"):
        stage.transport.answers[path] = lambda _call, _answer: {}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("by_company", [False, True], ids=["by-organisation", "by-company"])
def test_own_change_takes_effect_at_once(stage: Stage, change: Callable[[Stage], Any], *, by_company: bool) -> None:
    """After a change nothing of before is read, of all organisations of the company; the next answer is live."""
    _accept_unlisted(stage)
    stage.client.links.create(company_id=stage.company, external_org_id="org_2")
    who = {"company_id": stage.company} if by_company else {"external_org_id": "org_2"}
    stage.gate.check(**who, feature_code="sso")
    stage.gate.check(external_org_id="org_1", feature_code="sso")
    change(stage)

    assert stage.gate.check(**who, feature_code="sso").source == "live"
    assert stage.gate.check(external_org_id="org_1", feature_code="sso").source == "live"


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_failed_change_leaves_the_old_answer_for_outages(stage: Stage, change: Callable[[Stage], Any]) -> None:
    """What is known is not fresh any more, but an outage that fails the change does not destroy it."""
    _accept_unlisted(stage)
    stage.check()
    stage.client.tiers.list()
    paths = {"seats.assign", "companies.merge", "links.sync"} | set(_PATHS)
    for path in paths:
        stage.transport.answers[path] = lambda _call, _answer: TimedOut("slow")
    stage.transport.answers[LISTING] = lambda _call, _answer: TimedOut("slow")
    try:
        failed = change(stage)
    except TimedOut:
        pass
    else:
        assert isinstance(failed[0], TimedOut)
    stage.calls()
    decision = stage.check()

    assert (decision.allowed, decision.source) == (True, "stale")
    assert stage.calls() == [LISTING]


_PATHS = (
    "features.setAccess",
    "tiers.apply",
    "billing.claimCheckout",
    "billing.linkSubscription",
    "companies.update",
    "companies.smartLink",
    "links.create",
    "links.reset",
    "onboard",
)


def test_failed_change_ends_the_memory_that_an_organisation_is_not_linked(stage: Stage) -> None:
    """It may have been linked."""
    stage.check("sso", "org_9")
    stage.fake.fail("companies.create", error="lost", after=True)
    with pytest.raises(ConnectionFailed):
        stage.client.companies.create(name="New", external_org_id="org_9")

    assert stage.check("sso", "org_9").reason == "disabled"


def test_failed_change_lets_others_have_the_old_answer_during_a_refresh(stage: Stage) -> None:
    """Only a change that succeeded lets them wait."""
    stage.check()
    stage.fake.fail("tiers.apply", error="lost")
    with pytest.raises(ConnectionFailed):
        stage.client.tiers.apply("free", company_id=stage.company)
    hold = stage.transport.hold(LISTING)
    first = Running(stage.check)
    hold.wait()
    assert stage.check().source == "stale"
    hold.release()
    first.result()


def test_other_companies_are_not_concerned(stage: Stage) -> None:
    """A change of one company leaves the answers of others fresh."""
    stage.client.onboard(external_org_id="org_2")
    stage.check(organisation="org_2")
    stage.check()
    stage.client.tiers.apply("free", company_id=stage.company)
    assert stage.check(organisation="org_2").source == "cache"
    stage.check()
    stage.client.features.set_access(external_org_id="org_1", feature_code="sso", is_enabled=True)

    assert stage.check(organisation="org_2").source == "cache"


def test_contacts_change_nothing(stage: Stage) -> None:
    """Contacts have no access."""
    stage.check()
    stage.client.contacts.create(company_id=stage.company, email="ann@acme.com")
    stage.client.contacts.bulk_upsert(company_id=stage.company, contacts=[{"email": "bob@acme.com"}])

    assert stage.check().source == "cache"


def test_queries_change_nothing(stage: Stage) -> None:
    """A query is no mutation, also one of an unlisted path."""
    stage.check()
    stage.client.tiers.list()
    stage.transport.answers["seats.list"] = lambda _call, _answer: []
    stage.client.call("seats.list")

    assert stage.check().source == "cache"


def test_new_company_ends_the_memory_that_its_organisation_is_not_linked(stage: Stage) -> None:
    """A sign-up takes effect at once."""
    assert stage.check("sso", "org_9").reason == "not_linked"
    stage.client.companies.create(name="New", external_org_id="org_9")

    assert stage.check("sso", "org_9").reason == "disabled"


def test_onboard_concerns_the_company_that_its_answer_names(stage: Stage) -> None:
    """A second organisation that is matched to a known company may change its tier."""
    known = stage.fake.add_company("Acme", domain="acme.com")
    stage.client.links.create(company_id=known, external_org_id="org_2")
    assert stage.check("sso", "org_2").source == "live"
    stage.check("sso")
    stage.client.onboard(external_org_id="org_3", hints={"domain": "acme.com"}, tier_code="enterprise")

    assert (stage.check("sso", "org_2").allowed, stage.check("sso").source) == (True, "cache")


@pytest.mark.parametrize("answer", [{}, None, TimedOut("slow")], ids=["no-company", "no-answer", "lost"])
def test_onboard_that_names_no_company_concerns_all(stage: Stage, answer: Any) -> None:
    """Nobody says which company it may have changed; what is known stays for outages."""
    stage.check()
    stage.transport.answers["onboard"] = lambda _call, _answer: answer
    with pytest.raises((InvalidResponse, TimedOut)):
        stage.client.onboard(external_org_id="org_3")
    stage.transport.answers[LISTING] = lambda _call, _answer: TimedOut("slow")

    assert stage.check().source == "stale"


def test_onboard_that_is_refused_concerns_its_organisation_only(stage: Stage) -> None:
    """A refusal changed nothing."""
    stage.check()
    with pytest.raises(ChatarminError):
        stage.client.onboard(external_org_id="org_3", tier_code="unknown")

    assert stage.check().source == "cache"


def test_change_of_an_organisation_whose_company_is_unknown_concerns_all(stage: Stage) -> None:
    """It may be any company."""
    stage.client.links.create(company_id=stage.company, external_org_id="org_2")
    assert stage.check("sso").allowed is False
    stage.client.features.set_access(external_org_id="org_2", feature_code="sso", is_enabled=True)

    assert (stage.check("sso").allowed, stage.check("sso").source) == (True, "cache")


def test_change_of_an_unknown_company_leaves_no_old_answer_for_an_outage(stage: Stage) -> None:
    """The organisation may be of any company: one that lost a feature must not be let in because of an outage."""
    stage.client.links.create(company_id=stage.company, external_org_id="org_2")
    assert stage.check("api_access").allowed
    stage.client.features.set_access(external_org_id="org_2", feature_code="api_access", is_enabled=False)
    stage.fake.fail(LISTING, error=TimedOut("slow"))

    assert stage.check("api_access").reason == "outage"


def test_nobody_gets_an_old_answer_after_a_match_that_names_no_company(stage: Stage) -> None:
    """While one caller refreshes, others wait too; in an outage the old answer is given."""
    stage.check("sso")
    assert stage.client.companies.smart_link(external_org_id="org_2").company_id is None
    hold = stage.transport.hold(LISTING)
    first = Running(lambda: stage.check("sso"))
    hold.wait()
    other = Running(lambda: stage.check("sso"))
    until(lambda: stage.waiting() == 1)
    hold.release()

    assert first.result().source == other.result().source == "live"
    stage.client.companies.smart_link(external_org_id="org_2")
    stage.fake.fail(LISTING, error=TimedOut("slow"))
    assert stage.check("sso").source == "stale"


def test_nobody_gets_an_old_answer_after_a_change_of_an_unknown_company(stage: Stage) -> None:
    """While one caller refreshes, others wait too: the old answer may be of before the change."""
    stage.client.links.create(company_id=stage.company, external_org_id="org_2")
    stage.check("sso")
    stage.client.features.set_access(external_org_id="org_2", feature_code="sso", is_enabled=True)
    hold = stage.transport.hold(LISTING)
    first = Running(lambda: stage.check("sso"))
    hold.wait()
    other = Running(lambda: stage.check("sso"))
    until(lambda: stage.waiting() == 1)
    hold.release()

    assert first.result().allowed
    assert other.result().allowed


# Fences


def _single_seats(stage: Stage) -> tuple[Any, Running]:
    """Return a held question about a feature that the listing lacks, and the check that waits for it."""
    stage.transport.answers[LISTING] = lambda _call, answer: answer | {"features": []}
    hold = stage.transport.hold(SINGLE)
    check = Running(lambda: stage.check("seats"))
    hold.wait()
    del stage.transport.answers[LISTING]
    return hold, check


def _limit_seats(stage: Stage, limit: int) -> None:
    stage.client.features.set_access(company_id=stage.company, feature_code="seats", quantity_limit=limit)


def test_single_question_during_which_its_company_was_changed_is_not_kept(stage: Stage) -> None:
    """The change dropped the listing, which had said of which company the organisation is."""
    hold, check = _single_seats(stage)
    _limit_seats(stage, 7)
    hold.release()

    assert check.result().access.quantity_limit == 25
    assert stage.check("seats").access.quantity_limit == 7


def test_single_answer_is_not_kept_without_its_listing(service: FakeTransport) -> None:
    """The listing had to go for another organisation: later changes of the company would not concern the answer."""
    stage = Stage(service, default=Policy(max_age=900), timeout=10, max_organisations=1)
    hold, check = _single_seats(stage)
    stage.gate.warm(["org_2"])
    hold.release()

    assert check.result().access.quantity_limit == 25
    _limit_seats(stage, 7)
    assert stage.check("seats").access.quantity_limit == 7


def test_single_answer_has_the_usage_of_the_company_of_its_listing(service: FakeTransport) -> None:
    """Also if the listing had to go while it was asked for."""
    stage = Stage(service, default=Policy(max_age=900), timeout=10, max_organisations=1)
    hold, check = _single_seats(stage)
    stage.client.billing.track_usage(company_id=stage.company, feature_code="seats", quantity=3)
    stage.gate.warm(["org_2"])
    hold.release()

    assert check.result().access.current_usage == 3


def test_refresh_that_began_before_a_change_ended_is_not_kept(stage: Stage) -> None:
    """Its caller has its answer; a check after the change asks the service."""
    hold = stage.transport.hold(LISTING)
    before = Running(lambda: stage.check("sso"))
    hold.wait()
    stage.client.features.set_access(external_org_id="org_1", feature_code="sso", is_enabled=True)
    after = Running(lambda: stage.check("sso"))
    hold.wait()
    hold.release()

    assert before.result().allowed is False
    assert after.result().allowed is True
    assert stage.check("sso").allowed is True
    assert stage.calls() == [LISTING, "features.setAccess", LISTING]


def test_refresh_while_a_change_is_under_way_is_not_kept(stage: Stage) -> None:
    """The service may have answered before it changed."""
    hold = stage.transport.hold("features.setAccess")
    change = Running(
        lambda: stage.client.features.set_access(company_id=stage.company, feature_code="sso", is_enabled=True)
    )
    hold.wait()
    assert [stage.check("sso").source for _ in range(2)] == ["live", "live"]
    hold.release()
    change.result()

    assert stage.check("sso").source == "live"
    assert stage.check("sso").source == "cache"


def test_answer_is_not_fresh_from_before_a_change_is_sent(stage: Stage) -> None:
    """While the change is under way, what was known is asked for again."""
    stage.check("sso")
    hold = stage.transport.hold("tiers.apply")
    change = Running(lambda: stage.client.tiers.apply("enterprise", company_id=stage.company))
    hold.wait()
    assert stage.check("sso").allowed is True
    hold.release()
    change.result()


def test_change_by_company_concerns_a_refresh_whose_company_is_not_known_yet(stage: Stage) -> None:
    """The first refresh of an organisation names its company only in its answer: that is not kept either."""
    hold = stage.transport.hold(LISTING)
    before = Running(lambda: stage.check("sso"))
    hold.wait()
    stage.client.features.set_access(company_id=stage.company, feature_code="sso", is_enabled=True)
    joined = Running(lambda: stage.check("sso"))
    until(lambda: stage.waiting() == 1)
    hold.release()

    assert before.result().allowed is False
    assert joined.result().allowed is True, "it asked after the change had returned"
    assert stage.check("sso").allowed is True


def test_who_joined_before_a_change_began_may_have_the_older_answer(stage: Stage) -> None:
    """The question and the change were under way at the same time: no second request is made."""
    stage.check("sso")
    stage.gate.forget(external_org_id="org_1")
    hold = stage.transport.hold(LISTING)
    first = Running(lambda: stage.check("sso"))
    hold.wait()
    other = Running(lambda: stage.check("sso"))
    until(lambda: stage.waiting() == 1)
    stage.gate.forget(external_org_id="org_1")
    stage.calls()
    hold.release()

    assert {first.result().source, other.result().source} == {"live"}
    assert stage.calls() == []
    assert stage.check("sso").source == "live"


def test_forget_and_clear_are_fences(stage: Stage) -> None:
    """A refresh that began before is not kept."""
    acts: list[Callable[[], None]] = [lambda: stage.gate.forget(company_id=stage.company), stage.gate.clear]
    for act in acts:
        hold = stage.transport.hold(LISTING)
        before = Running(lambda: stage.check("sso"))
        hold.wait()
        act()
        hold.release()
        before.result()
        assert stage.check("sso").source == "live"
        act()
        assert stage.check("sso").source == "live"
        act()


def test_forgotten_fence_counts_for_everything(service: FakeTransport) -> None:
    """If few organisations are kept, an old refresh of any of them is not kept rather than kept by mistake."""
    stage = Stage(service, max_organisations=1, timeout=10)
    hold = stage.transport.hold(LISTING)
    before = Running(lambda: stage.check("sso"))
    hold.wait()
    stage.client.features.set_access(company_id=stage.company, feature_code="sso", is_enabled=True)
    for number in range(3):
        stage.gate.forget(external_org_id=f"org_x{number}")
    assert len(stage.gate._state.fences) == 1
    hold.release()
    before.result()

    assert stage.check("sso").source == "live"


def test_company_that_only_the_answer_names_is_fenced_too(stage: Stage) -> None:
    """A refresh of another of its organisations that began before is not kept."""
    known = stage.fake.add_company("Acme", domain="acme.com")
    stage.client.links.create(company_id=known, external_org_id="org_2")
    hold = stage.transport.hold(LISTING)
    before = Running(lambda: stage.check("sso", "org_2"))
    hold.wait()
    stage.client.onboard(external_org_id="org_3", hints={"domain": "acme.com"}, tier_code="enterprise")
    hold.release()
    before.result()

    assert stage.check("sso", "org_2").source == "live"


# Usage


def _credits(stage: Stage) -> Any:
    return stage.check("ai_credit").access


def test_usage_is_written_into_what_is_known(stage: Stage) -> None:
    """Of all organisations of the company, and of the company itself; without a request."""
    stage.client.links.create(company_id=stage.company, external_org_id="org_2")
    stage.check("ai_credit")
    stage.check("ai_credit", "org_2")
    stage.gate.check(company_id=stage.company, feature_code="ai_credit")
    stage.client.billing.track_usage(company_id=stage.company, feature_code="ai_credit", quantity=10_000)
    stage.calls()

    decisions: list[Any] = [
        stage.check("ai_credit"),
        stage.check("ai_credit", "org_2"),
        stage.gate.check(company_id=stage.company, feature_code="ai_credit"),
    ]
    for decision in decisions:
        assert (decision.allowed, decision.reason, decision.source) == (False, "limit_reached", "cache")
        assert (decision.access.current_usage, decision.access.remaining) == (10_000, 0)
    assert stage.check("seats").allowed
    assert stage.calls() == []


@pytest.mark.parametrize(
    "track",
    [
        lambda s, e: s.client.send(e),
        lambda s, e: s.client.batch([e, e]),
        lambda s, e: s.client.call(**e.to_json()),
        lambda s, e: s.client.with_options(max_retries=0).send(e),
    ],
    ids=["send", "batch", "call", "derived-client"],
)
def test_usage_is_known_by_whichever_method(stage: Stage, track: Any) -> None:
    """All of them are the same client."""
    stage.check("ai_credit")
    track(stage, TrackUsageInput(company_id=stage.company, feature_code="ai_credit", quantity=7))
    stage.calls()

    assert _credits(stage).current_usage == 7
    assert stage.calls() == []


def test_missing_parts_of_an_answer_are_computed(stage: Stage) -> None:
    """With `currentUsage` alone, the rest follows from the known limit."""
    stage.check("ai_credit")
    stage.transport.answers["billing.trackUsage"] = lambda _call, answer: {"currentUsage": answer["currentUsage"]}
    track: dict[str, Any] = {"company_id": stage.company, "feature_code": "ai_credit"}
    stage.client.billing.track_usage(**track, quantity=9_999)
    assert (_credits(stage).remaining, _credits(stage).can_use) == (1, True)
    stage.client.billing.track_usage(**track, quantity=1)

    assert (_credits(stage).remaining, _credits(stage).can_use) == (0, False)


def test_unlimited_stays_unlimited(stage: Stage) -> None:
    """Without a limit nothing is computed."""
    stage.client.tiers.apply("enterprise", company_id=stage.company)
    stage.check("ai_credit")
    stage.client.billing.track_usage(company_id=stage.company, feature_code="ai_credit", quantity=50_000)

    assert (_credits(stage).current_usage, _credits(stage).remaining, _credits(stage).can_use) == (50_000, None, True)


def test_usage_of_a_feature_that_was_asked_for_alone_is_written_down(stage: Stage) -> None:
    """Single answers are what is known too."""
    stage.transport.answers[LISTING] = lambda _call, answer: answer | {"features": []}
    stage.check("ai_credit")
    stage.client.billing.track_usage(company_id=stage.company, feature_code="ai_credit", quantity=7)
    stage.calls()

    assert _credits(stage).current_usage == 7
    assert stage.calls() == []


def test_refresh_during_which_usage_was_tracked_is_kept_with_the_answer_laid_over(stage: Stage) -> None:
    """The listing of before has the usage of after."""
    hold = stage.transport.hold(LISTING)
    refresh = Running(lambda: stage.check("ai_credit"))
    hold.wait()
    stage.client.billing.track_usage(company_id=stage.company, feature_code="ai_credit", quantity=7)
    stage.client.billing.track_usage(company_id=stage.company, feature_code="seats", quantity=2)
    hold.release()

    assert refresh.result().access.current_usage == 7
    assert stage.check("ai_credit").source == "cache"
    assert _credits(stage).current_usage == 7
    assert stage.check("seats").access.current_usage == 2
    assert stage.gate._state._usages == []


def test_usage_after_one_whose_answer_was_lost_is_laid_over_a_refresh(stage: Stage) -> None:
    """The answer that was lost makes the refresh not fresh; the later one is read from then on."""
    hold = stage.transport.hold(LISTING)
    refresh = Running(lambda: stage.check("ai_credit"))
    hold.wait()
    stage.transport.answers["billing.trackUsage"] = lambda _call, _answer: TimedOut("lost")
    with pytest.raises(TimedOut):
        stage.client.billing.track_usage(company_id=stage.company, feature_code="ai_credit", quantity=7)
    del stage.transport.answers["billing.trackUsage"]
    stage.client.billing.track_usage(company_id=stage.company, feature_code="ai_credit", quantity=1)
    hold.release()

    assert refresh.result().access.current_usage == 8
    stage.fake.fail(LISTING, error=TimedOut("slow"))
    decision = stage.check("ai_credit")
    assert (decision.source, decision.access.current_usage) == ("stale", 8)


def test_refresh_that_counted_later_usage_is_kept_as_it_is(stage: Stage) -> None:
    """An answer to usage that is below the listing was given before that: it changes nothing."""
    stage.client.billing.track_usage(company_id=stage.company, feature_code="ai_credit", quantity=7)
    stage.transport.answers["billing.trackUsage"] = lambda _call, answer: answer | {"currentUsage": 3}
    hold = stage.transport.hold(LISTING)
    refresh = Running(lambda: stage.check("ai_credit"))
    hold.wait()
    stage.client.billing.track_usage(company_id=stage.company, feature_code="ai_credit", quantity=1)
    hold.release()

    assert refresh.result().access.current_usage == 7
    assert stage.check("ai_credit").source == "cache"


def test_usage_of_other_companies_and_features_is_not_laid_over(stage: Stage) -> None:
    """A refresh has the usage of its own company, and a single question that of its feature."""
    other = stage.client.onboard(external_org_id="org_2", tier_code="pro").company_id
    stage.transport.answers[LISTING] = lambda _call, answer: answer | {"features": []}
    hold = stage.transport.hold(SINGLE)
    refresh = Running(lambda: stage.check("ai_credit"))
    hold.wait()
    stage.client.billing.track_usage(company_id=stage.company, feature_code="ai_credit", quantity=7)
    stage.client.billing.track_usage(company_id=other, feature_code="ai_credit", quantity=8)
    stage.client.billing.track_usage(company_id=stage.company, feature_code="seats", quantity=9)
    hold.release()

    assert refresh.result().access.current_usage == 7


@pytest.mark.parametrize("feature", ["ai_credit", "seats"])
def test_usage_that_reached_the_limit_leaves_nothing(stage: Stage, feature: str) -> None:
    """An answer without a remainder has the last word on the limit, which may have changed."""
    stage.transport.answers["billing.trackUsage"] = lambda _call, _answer: {"currentUsage": 5, "isAtLimit": True}
    stage.check(feature)
    stage.client.billing.track_usage(company_id=stage.company, feature_code=feature, quantity=1)

    decision = stage.check(feature)
    assert (decision.reason, decision.access.remaining, decision.source) == ("limit_reached", 0, "cache")


def test_usage_below_what_is_known_makes_it_not_fresh(stage: Stage) -> None:
    """A new period, or a repeated event: the gate asks."""
    event = TrackUsageInput(company_id=stage.company, feature_code="ai_credit", quantity=7)
    stage.client.send(event)
    stage.client.billing.track_usage(company_id=stage.company, feature_code="ai_credit", quantity=1)
    stage.check("ai_credit")
    stage.client.send(event)

    assert stage.check("ai_credit").source == "live"
    assert _credits(stage).current_usage == 8


@pytest.mark.parametrize(
    "error",
    [
        UsageLimitError("limit", code="PRECONDITION_FAILED"),
        ForbiddenError("off", code="FORBIDDEN"),
        ServerError("down", code="INTERNAL_SERVER_ERROR"),
        TimedOut("slow"),
        InvalidResponse("wrong type", http_status=200),
    ],
    ids=lambda error: type(error).__name__,
)
def test_usage_that_failed_makes_what_is_known_not_fresh(stage: Stage, error: ChatarminError) -> None:
    """The answer stays for outages; a refresh that was under way is not fresh either."""
    stage.transport.answers["billing.trackUsage"] = lambda _call, _answer: error
    hold = stage.transport.hold(LISTING)

    def track() -> None:
        with pytest.raises(type(error)):
            stage.client.billing.track_usage(company_id=stage.company, feature_code="ai_credit", quantity=1)

    refresh = Running(stage.check)
    hold.wait()
    track()
    hold.release()
    refresh.result()
    assert stage.check().source == "live"
    assert stage.check().source == "cache"
    track()
    assert stage.check().source == "live"
    track()
    stage.transport.answers[LISTING] = lambda _call, _answer: TimedOut("slow")

    assert stage.check().source == "stale"


def test_usage_of_a_company_that_the_service_did_not_know_changes_nothing(stage: Stage) -> None:
    """That it is not linked has no usage."""
    stage.gate.check(company_id="comp_9", feature_code="sso")
    stage.transport.answers["billing.trackUsage"] = lambda _call, _answer: {"currentUsage": 1}
    stage.client.billing.track_usage(company_id="comp_9", feature_code="sso", quantity=1)

    assert stage.gate.check(company_id="comp_9", feature_code="sso").reason == "not_linked"


def test_usage_that_was_not_sent_changes_nothing(stage: Stage) -> None:
    """The service did not get it."""
    stage.check()
    stage.transport.answers["billing.trackUsage"] = lambda _call, _answer: ConnectionFailed("no", outcome="not_sent")
    with pytest.raises(ConnectionFailed):
        stage.client.billing.track_usage(company_id=stage.company, feature_code="ai_credit", quantity=1)

    assert stage.check().source == "cache"


def test_usage_with_an_answer_of_the_wrong_type_is_a_failure(stage: Stage) -> None:
    """`client.call` does not check answers; the gate does."""
    stage.check()
    stage.transport.answers["billing.trackUsage"] = lambda _call, _answer: {"currentUsage": "many"}
    stage.client.call("billing.trackUsage", {"companyId": stage.company, "featureCode": "ai_credit", "quantity": 1})

    assert stage.check().source == "live"


@pytest.mark.parametrize(
    "usage", [None, {"featureCode": "ai_credit"}, {"companyId": "comp_9"}], ids=["nothing", "no-company", "no-feature"]
)
def test_usage_of_no_known_company_makes_everything_not_fresh(stage: Stage, usage: Any) -> None:
    """A service that takes other fields may have counted for any."""
    stage.check()
    stage.transport.answers["billing.trackUsage"] = lambda _call, _answer: {"currentUsage": 1}
    stage.client.call("billing.trackUsage", usage)

    assert stage.check().source == "live"


def test_usage_of_a_feature_that_the_listing_lacks_changes_nothing(stage: Stage) -> None:
    """There is nothing to write to."""
    stage.check()
    stage.transport.answers["billing.trackUsage"] = lambda _call, _answer: {"currentUsage": 1}
    stage.client.call("billing.trackUsage", {"companyId": stage.company, "featureCode": "new", "quantity": 1})
    assert stage.check().source == "cache"
    stage.transport.answers["billing.trackUsage"] = lambda _call, _answer: TimedOut("slow")
    with pytest.raises(TimedOut):
        stage.client.call("billing.trackUsage", {"companyId": stage.company, "featureCode": "new", "quantity": 1})

    assert stage.check().source == "live"


def test_usage_that_reaches_no_limit_keeps_a_disabled_access_disabled(stage: Stage) -> None:
    """Usage grants nothing."""
    stage.client.features.set_access(company_id=stage.company, feature_code="ai_credit", is_enabled=False)
    stage.check("ai_credit")
    stage.transport.answers["billing.trackUsage"] = lambda _call, _answer: {"currentUsage": 1, "isAtLimit": False}
    stage.client.call("billing.trackUsage", {"companyId": stage.company, "featureCode": "ai_credit", "quantity": 1})

    assert stage.check("ai_credit").allowed is False


def test_own_change_during_a_batch_is_one_fence_for_each_call(stage: Stage) -> None:
    """A batch of several mutations leaves nothing under way."""
    stage.check("sso")
    change = FeatureSetAccessInput(company_id=stage.company, feature_code="sso", is_enabled=True)
    wrong = FeatureSetAccessInput(company_id=stage.company, feature_code="unknown", is_enabled=True)
    stage.client.batch([change, wrong, change])

    assert [stage.check("sso").source for _ in range(2)] == ["live", "cache"]


def test_interrupted_change_closes_its_fence(stage: Stage) -> None:
    """Whatever ends a call, refreshes after it are kept."""
    stage.check()
    stage.transport.answers["tiers.apply"] = lambda _call, _answer: KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        stage.client.tiers.apply("free", company_id=stage.company)

    assert [stage.check().source for _ in range(2)] == ["live", "cache"]


def test_gate_that_is_gone_is_not_notified(service: FakeTransport) -> None:
    """A client does not keep the gates that watched it."""
    stage = Stage(service)
    del stage.gate
    stage.client.tiers.apply("free", company_id=stage.company)


def test_other_client_on_the_same_transport_is_not_watched(stage: Stage) -> None:
    """Only the client of the gate and those made from it are known."""
    stage.check()
    ChatarminOS(transport=stage.transport).tiers.apply("free", company_id=stage.company)

    assert stage.check().source == "cache"


def test_fence_closes_also_if_the_clock_of_the_service_fails(stage: Stage, service: FakeTransport) -> None:
    """A broken wall clock must not leave a change under way."""
    stage.check()
    stage.transport.now = lambda: (_ for _ in ()).throw(ValueError("no time"))  # type: ignore[method-assign]
    stage.client.tiers.apply("free", company_id=stage.company)
    stage.transport.now = service.now  # type: ignore[method-assign]

    assert [stage.check().source for _ in range(2)] == ["live", "cache"]
