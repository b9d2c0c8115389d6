"""`explain`: the rule is that of the service, the sentence says no more than is certain, and the remedies work."""

from __future__ import annotations

import pickle
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatarmin_os import ApiError, ChatarminError, ChatarminOS, ConnectionFailed, InvalidInput, NotFoundError
from chatarmin_os.explanation import Explanation, explain
from chatarmin_os.fake import Catalogue, FakeTransport, demo_catalogue
from chatarmin_os.transports import Call, FunctionTransport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chatarmin_os._json import JSON

EPOCH = datetime(2027, 1, 31, 12, tzinfo=UTC)
TIERS = ("free", "trial", "pro", "enterprise", "team")
FEATURES = ("ai_credit", "seats", "team_seats", "api_access", "sso", "storage")


def make_fake() -> FakeTransport:
    """Return a fake with a clock of its own, and a tier whose usage has fractions and another currency."""
    catalogue = demo_catalogue()
    catalogue.add_feature("storage", name="Storage", has_quantity=True, config={"region": "eu"})
    catalogue.add_tier(
        "team",
        name="Team",
        base_fee=1000,
        currency="jpy",
        features={
            "storage": {"quantity_limit": 0.5, "included_quantity": 0.2, "unit_amount": 3},
            "seats": {"included_quantity": 1},  # without a limit: 0
        },
    )
    return FakeTransport(catalogue, now=lambda: EPOCH)


@pytest.fixture
def fake() -> FakeTransport:
    """Return the service."""
    return make_fake()


@pytest.fixture
def client(fake: FakeTransport) -> ChatarminOS:
    """Return a client of the service, which knows Acme Inc as `org_1`."""
    client = ChatarminOS(transport=fake)
    client.companies.create(name="Acme Inc", external_org_id="org_1")
    return client


def company_of(client: ChatarminOS) -> str:
    """Return the id of Acme Inc."""
    return client.features.get_access_by_external_org_id("org_1").company_id


def of(client: ChatarminOS, feature: str = "ai_credit") -> Explanation:
    """Return the explanation for Acme Inc."""
    return explain(client, feature, external_org_id="org_1")


def reason(client: ChatarminOS, feature: str = "ai_credit") -> str:
    """Return the sentence without its subject."""
    return of(client, feature).text.partition(": ")[2]


def fact(explanation: Explanation, label: str) -> str | None:
    """Return a fact; None if it is missing."""
    return dict(explanation.facts).get(label)


# Random states

limits = st.sampled_from([None, 0, 1, 2, 0.3, 150])
moments = st.sampled_from([None, *(timedelta(hours=hours) for hours in (-1, 0, 1, 24))])
metered = st.sampled_from(["ai_credit", "seats", "storage"])
features = st.one_of(metered, st.sampled_from(FEATURES))
quantities = st.sampled_from([1, 2, 0.1, 0.2, 100])
tiers = st.sampled_from(TIERS)
first_steps = st.tuples(st.sampled_from(["apply", "claim"]), tiers)
steps = st.one_of(
    first_steps,
    st.tuples(st.just("apply_with_limits"), tiers, limits, limits),
    st.tuples(
        st.just("set"),
        features,
        st.fixed_dictionaries(
            {},
            optional={
                "is_enabled": st.booleans(),
                "quantity_limit": limits,
                "included_quantity": limits,
                "valid_until": moments,
                "source": st.sampled_from(["subscription", "manual", "trial", "api"]),
                "config": st.just({"region": "us"}),
            },
        ),
    ),
    st.tuples(st.just("track"), metered, quantities),
    st.tuples(st.just("use_up"), metered),
    st.tuples(st.just("use_more_than_included"), metered),
    st.tuples(st.just("set"), metered, st.fixed_dictionaries({"quantity_limit": limits, "is_enabled": st.just(True)})),
    st.tuples(st.just("link"), tiers, st.one_of(st.none(), tiers)),
    st.tuples(st.just("cancel"), st.integers(0, 2)),
    st.tuples(st.just("renew"), st.integers(0, 2)),
    st.tuples(st.just("advance"), st.sampled_from([1, 24])),
)


class World:
    """A company whose state random steps make; steps that the service refuses change nothing."""

    def __init__(self, fake: FakeTransport) -> None:
        self.fake, self.client = fake, ChatarminOS(transport=fake)
        self.company = self.client.companies.create(name="Acme Inc", external_org_id="org_1").id
        self.subscriptions: list[str] = []

    def take(self, name: str, *values: Any) -> None:
        """Take a step."""
        try:
            getattr(self, name)(*values)
        except (ApiError, ValueError):  # InvalidInput and the test controls are a ValueError
            return

    def apply(self, tier: str) -> None:
        """Apply a tier without Stripe."""
        self.client.tiers.apply(tier, company_id=self.company)

    def apply_with_limits(self, tier: str, limit: Any, included: Any) -> None:
        """Apply a tier with another limit of one of its features."""
        overrides = {"seats": {"max_quantity": limit, "included_quantity": included}}
        self.client.tiers.apply(tier, company_id=self.company, features=overrides)

    def set(self, feature: str, changes: dict[str, Any]) -> None:
        """Set an access by hand."""
        if changes.get("valid_until") is not None:
            changes = {**changes, "valid_until": self.fake.now() + changes["valid_until"]}
        self.client.features.set_access(company_id=self.company, feature_code=feature, **changes)

    def track(self, feature: str, quantity: float) -> None:
        """Count usage."""
        self.client.billing.track_usage(company_id=self.company, feature_code=feature, quantity=quantity)

    def use_up(self, feature: str) -> None:
        """Use what remains."""
        remaining = self.client.features.check(company_id=self.company, feature_code=feature).remaining
        self.track(feature, remaining or 0)

    def use_more_than_included(self, feature: str) -> None:
        """Use a part of what remains, which is billable."""
        self.set(feature, {"included_quantity": 0})
        self.track(feature, 0.1)

    def claim(self, tier: str) -> None:
        """Complete and claim a checkout of a tier."""
        prices = self.client.tiers.get(tier).stripe_price_ids
        session = self.fake.stripe.add_checkout_session(list(prices))
        claimed = self.client.billing.claim_checkout(company_id=self.company, checkout_session_id=session)
        self.subscriptions.append(str(claimed.subscription_id))

    def link(self, paid: str, tier: str | None) -> None:
        """Link a subscription with the prices of a tier, and apply another one, or none."""
        subscription = self.fake.stripe.add_subscription(list(self.client.tiers.get(paid).stripe_price_ids))
        self.client.billing.link_subscription(
            company_id=self.company, stripe_subscription_id=subscription, tier_code=tier
        )
        self.subscriptions.append(subscription)

    def cancel(self, place: int) -> None:
        """Cancel a subscription."""
        for subscription in self.subscriptions[place : place + 1]:
            self.fake.stripe.cancel(subscription)

    def renew(self, place: int) -> None:
        """Start the next billing period."""
        for subscription in self.subscriptions[place : place + 1]:
            self.fake.stripe.renew(subscription)

    def advance(self, hours: int) -> None:
        """Let time pass."""
        self.fake.advance(timedelta(hours=hours))


def rule_in(snapshot: Any, company: str, feature: str, now: datetime) -> str:
    """Return the rule that applies in the tables of the fake."""
    row = snapshot["access"].get(company, {}).get(feature)
    if row is None:
        return "no_access"
    is_expired = row["validUntil"] is not None and datetime.fromisoformat(row["validUntil"]) <= now
    if is_expired or not row["isEnabled"]:
        return "expired" if is_expired else "disabled"
    has_quantity = next(one["hasQuantity"] for one in snapshot["catalogue"]["features"] if one["code"] == feature)
    if not has_quantity:
        return "enabled"
    usage = float(snapshot["usage"].get(company, {}).get(feature, 0))
    limit, included = row["quantityLimit"], row["includedQuantity"]
    if limit is not None and usage >= limit:
        return "over_limit" if usage > limit else "limit_reached" if limit else "zero_limit"
    if included is not None and usage > included:
        return "beyond_included"
    return "unlimited" if limit is None else "within_limit"


def check_sentence(explanation: Explanation, snapshot: Any) -> None:
    """Check that the sentence has the numbers, and that what it says without "most likely" is so."""
    access = explanation.access
    assert access is not None
    if explanation.rule in {"limit_reached", "over_limit", "within_limit"}:
        assert f"it has used {access.current_usage} of {access.quantity_limit} in this period" in explanation.text
    if explanation.rule == "expired":
        assert access.valid_until is not None
        assert f"ended at {access.valid_until:%Y-%m-%d %H:%M UTC}" in explanation.text
    named = re.search(r"(?<!likely )(?:that of its tier (\w+)|its tier is (\w+))", explanation.text)
    if named:
        active = {one["id"] for one in snapshot["stripe"]["subscriptions"] if one["isActive"]}
        claims = [one for one in snapshot["claims"] if one["stripeSubscriptionId"] in active]
        assert (named[1] or named[2]).lower() in {one["tierCode"] for one in claims}
    changed = re.search(r"limit was most likely changed: it is (\S+) in", explanation.text)
    limit = "unlimited" if access.quantity_limit is None else str(access.quantity_limit)
    assert changed is None or changed[1] != limit
    if "no active subscription" in explanation.text:
        assert "(active)" not in str(fact(explanation, "subscriptions"))


def check_remedies(explanation: Explanation, fake: FakeTransport, company: str) -> None:
    """Check that each suggested call alone changes whether the company can use the feature."""
    assert explanation.what_to_do
    assert explanation.access is not None
    for code in explanation.what_to_do:
        copy = FakeTransport.from_snapshot(fake.snapshot(), now=lambda: EPOCH)
        client = ChatarminOS(transport=copy)
        tier = next(
            (one for one in re.findall(r"tiers\.apply\('(\w+)'", "".join(explanation.what_to_do))
             if client.tiers.get(one).stripe_price_ids),
            None,
        )  # fmt: skip
        names: dict[str, Any] = {"client": client, "LIMIT": (explanation.access.current_usage or 0) + 1}
        if tier:
            names["CHECKOUT"] = copy.stripe.add_checkout_session(list(client.tiers.get(tier).stripe_price_ids))
        eval(code, names)  # noqa: S307 - our own
        access = client.features.check(company_id=company, feature_code=str(explanation.feature_code))
        assert access.can_use is not explanation.can_use, code


def check_state(world: World, *, with_remedies: bool) -> Counter[str]:
    """Compare the explanations of all features with the service, and return how often each rule applied."""
    rules: Counter[str] = Counter()
    snapshot: Any = world.fake.snapshot()
    for feature in FEATURES:
        explanation = of(world.client, feature)
        access = world.client.features.check(company_id=world.company, feature_code=feature)
        assert (explanation.can_use, explanation.access) == (access.can_use, access)
        assert explanation.rule == rule_in(snapshot, world.company, feature, world.fake.now())
        assert ("cannot use" in explanation.text) is not access.can_use
        check_sentence(explanation, snapshot)
        by_company = explain(world.client, feature, company_id=world.company)
        assert (by_company.can_use, by_company.rule) == (explanation.can_use, explanation.rule)
        assert by_company.text.partition(": ")[2] == explanation.text.partition(": ")[2]
        if with_remedies:
            check_remedies(explanation, world.fake, world.company)
            check_remedies(by_company, world.fake, world.company)
        rules[explanation.rule] += 1
    assert world.fake.snapshot() == snapshot, "it is made of queries"
    return rules


def check_random_states(count: int, *, with_remedies: bool) -> None:
    """Check random states; all rules occur in them."""
    rules: Counter[str] = Counter()

    @settings(max_examples=count, database=None, derandomize=True)
    @given(first_steps, st.lists(steps, min_size=6, max_size=16))
    def check(first: tuple[Any, ...], others: Sequence[tuple[Any, ...]]) -> None:
        world = World(make_fake())
        for step in (first, *others):
            world.take(*step)
        rules.update(check_state(world, with_remedies=with_remedies))

    check()
    assert len(rules) == 10, rules


def test_explanation_agrees_with_the_service_in_random_states() -> None:
    """`can_use` is that of `features.check`, and the rule is that of the service's own tables."""
    check_random_states(40, with_remedies=False)


@pytest.mark.slow
def test_remedies_work_in_random_states() -> None:
    """Each suggested call alone makes the feature usable, or for a usable one takes it away."""
    check_random_states(100, with_remedies=True)


# Sentences

SENTENCES: dict[str, tuple[str, Sequence[tuple[Any, ...]], str]] = {
    "never-granted": ("sso", [], "it has no access, most likely because none was ever granted"),
    "not-in-the-tier": (
        "sso",
        [("claim", "pro")],
        "it has no access, most likely because none was ever granted; its tier is Pro, which does not include it",
    ),
    "tier-not-applied": (
        "sso",
        [("link", "enterprise", None)],
        "it has no access, most likely because none was ever granted; its tier is Enterprise, which includes it",
    ),
    "switched-off": (
        "sso",
        [("set", "sso", {"is_enabled": False})],
        "it is disabled, most likely by hand or because it was never enabled",
    ),
    "only-configured": (
        "sso",
        [("set", "sso", {"config": {"region": "us"}})],
        "it is disabled, most likely by hand or because it was never enabled",
    ),
    "switched-off-after-usage": (
        "seats",
        [
            ("set", "seats", {"is_enabled": True, "quantity_limit": 5}),
            ("track", "seats", 1),
            ("set", "seats", {"is_enabled": False}),
        ],
        "it is disabled, most likely by hand",
    ),
    "withdrawn": (
        "sso",
        [("apply", "enterprise"), ("apply", "pro")],
        (
            "it is disabled, most likely because a change of its tier withdrew it; "
            "most likely its tier is Pro, which does not include it"
        ),
    ),
    "switched-off-in-the-tier": (
        "sso",
        [("claim", "enterprise"), ("set", "sso", {"is_enabled": False})],
        "it is disabled, most likely by hand or by a change of its tier; its tier is Enterprise, which includes it",
    ),
    "subscription-ended": (
        "sso",
        [("claim", "enterprise"), ("apply", "pro"), ("cancel", 0), ("apply", "team")],
        (
            "it is disabled, most likely because a change of its tier withdrew it; "
            "most likely its tier is Team, which does not include it"
        ),
    ),
    "subscription-ended-without-another-tier": (
        "sso",
        [
            ("claim", "enterprise"),
            *(("set", feature, {"is_enabled": False}) for feature in FEATURES[:5]),
            ("cancel", 0),
        ],
        "it is disabled, most likely by hand, by a change of its tier or at the end of its subscription",
    ),
    "disabled-before-its-end": (
        "sso",
        [("set", "sso", {"is_enabled": False, "valid_until": timedelta(hours=12)})],
        (
            "it is disabled, most likely by hand or because it was never enabled, or the clock of the service is past "
            "the end of its access, 2027-02-01 00:00 UTC"
        ),
    ),
    "expired": (
        "sso",
        [("set", "sso", {"is_enabled": True, "valid_until": timedelta(hours=12)}), ("advance", 12)],
        "its access ended at 2027-02-01 00:00 UTC",
    ),
    "expired-trial-at-its-limit": (
        "seats",
        [
            ("set", "seats", {"is_enabled": True, "quantity_limit": 2, "valid_until": timedelta(1)}),
            ("track", "seats", 2),
            ("set", "seats", {"source": "trial"}),
            ("advance", 24),
        ],
        "its trial ended at 2027-02-01 12:00 UTC; it has used 2 of 2 in this period",
    ),
    "enabled-without-a-limit": (
        "seats",
        [("set", "seats", {"is_enabled": True})],
        "it is enabled, but its limit is 0; its access is set through the API",
    ),
    "at-the-limit-of-a-subscription": (
        "seats",
        [("claim", "pro"), ("use_up", "seats")],
        (
            "it has used 25 of 25 in this period; the limit is that of its tier Pro; "
            "most likely its usage starts again at 0 when its subscription renews"
        ),
    ),
    "at-the-limit-without-a-subscription": (
        "ai_credit",
        [("apply", "free"), ("use_up", "ai_credit")],
        (
            "it has used 100 of 100 in this period; the limit is most likely that of its tier Free; "
            "it has no active subscription, so most likely its usage does not start again at 0"
        ),
    ),
    "at-another-limit-than-that-of-the-tier": (
        "seats",
        [("claim", "pro"), ("set", "seats", {"quantity_limit": 4}), ("use_up", "seats")],
        (
            "it has used 4 of 4 in this period; the limit was most likely changed: it is 25 in its tier Pro; "
            "most likely its usage starts again at 0 when its subscription renews"
        ),
    ),
    "above-a-lowered-limit": (
        "seats",
        [("claim", "pro"), ("use_up", "seats"), ("apply", "free")],
        (
            "it has used 25 of 3 in this period, most likely because the limit was lowered; "
            "the limit was most likely changed: it is 25 in its tier Pro; "
            "most likely its usage starts again at 0 when its subscription renews"
        ),
    ),
    "one-of-two-tiers": (
        "seats",
        [("claim", "pro"), ("claim", "team"), ("set", "seats", {"quantity_limit": 4})],
        (
            "it has used 0 of 4 in this period; the limit was most likely changed: "
            "it is 25 in its tier Pro and 0 in its tier Team"
        ),
    ),
    "limit-in-an-unlimited-tier": (
        "seats",
        [("claim", "enterprise"), ("set", "seats", {"quantity_limit": 4})],
        (
            "it has used 0 of 4 in this period; "
            "the limit was most likely changed: it is unlimited in its tier Enterprise"
        ),
    ),
    "limit-of-the-tier-with-another-included-quantity": (
        "seats",
        [("claim", "pro"), ("set", "seats", {"included_quantity": 4})],
        "it has used 0 of 25 in this period; the limit is that of its tier Pro",
    ),
    "unknown-tier": (
        "seats",
        [("apply", "free"), ("set", "ai_credit", {"source": "manual"})],
        "it has used 0 of 3 in this period; its access is from a tier, and the limit is that of Free",
    ),
    "limit-by-hand-without-a-source": (
        "seats",
        [("apply", "free"), ("set", "seats", {"quantity_limit": 50})],
        (
            "it has used 0 of 50 in this period; its access is from a tier, but no tier has this limit: "
            "most likely it was set for this company"
        ),
    ),
    "limit-by-hand-of-another-tier": (
        "seats",
        [("apply", "free"), ("set", "seats", {"quantity_limit": 25})],
        "it has used 0 of 25 in this period; its access is from a tier, and the limit is that of Pro",
    ),
    "override-of-a-tier": (
        "seats",
        [("apply_with_limits", "pro", 2, 1)],
        (
            "it has used 0 of 2 in this period; its access is from a tier, but no tier has this limit: "
            "most likely it was set for this company"
        ),
    ),
    "enabled": ("api_access", [("apply", "pro")], "it is enabled"),
    "unlimited": (
        "seats",
        [("set", "seats", {"is_enabled": True, "quantity_limit": None, "source": "manual"})],
        "it has used 0 in this period and has no limit; its access is set by hand",
    ),
    "billable": (
        "storage",
        [("claim", "team"), ("track", "storage", 0.3)],
        (
            "it has used 0.3 of 0.5 in this period, 0.1 of it billable, beyond the included 0.2; "
            "the limit is that of its tier Team"
        ),
    ),
}


@pytest.mark.parametrize(("feature", "taken", "expected"), SENTENCES.values(), ids=SENTENCES)
def test_sentence_has_the_cause(
    fake: FakeTransport, feature: str, taken: Sequence[tuple[Any, ...]], expected: str
) -> None:
    """The sentence names rule, numbers and origin, and marks a cause that the service does not state."""
    world = World(fake)
    for name, *values in taken:
        getattr(world, name)(*values)

    assert reason(world.client, feature) == expected


def test_sentence_names_the_company() -> None:
    """The subject is the name with your id, or the id that was asked about."""
    world = World(make_fake())

    assert of(world.client, "sso").text.startswith("Acme Inc (org_1) cannot use sso: ")
    by_company = explain(world.client, "sso", company_id=UUID(world.company))
    assert by_company.text.startswith(f"company {world.company} cannot use sso: ")
    assert (by_company.company_id, by_company.external_org_id) == (world.company, None)


def test_company_that_the_service_does_not_know_is_explained(client: ChatarminOS) -> None:
    """An id without a link, and an unknown company, have no access to anything."""
    unlinked = explain(client, "sso", external_org_id="org_9")
    unknown = explain(client, "sso", company_id="c_9")

    assert (unlinked.can_use, unlinked.rule, unlinked.access) == (None, "not_linked", None)
    assert unlinked.text == (
        "organisation org_9 has no access to sso or any other feature: it is not linked to a company"
    )
    assert dict(unlinked.facts) == {"link": "org_9 (not linked)", "asked at": "2027-01-31 12:00:00 UTC"}
    assert (unknown.can_use, unknown.rule, unknown.access) == (None, "unknown_company", None)
    assert unknown.text == (
        "company c_9 has no access to sso or any other feature: the service does not know this company"
    )
    assert dict(unknown.facts) == {"company": "c_9 (unknown)", "asked at": "2027-01-31 12:00:00 UTC"}
    assert unknown.what_to_do == ()


def test_remedies_link_an_organisation() -> None:
    """Both calls make the organisation known: as a new company, and as an existing one."""
    for place in range(2):
        fake = make_fake()
        client = ChatarminOS(transport=fake)
        code = explain(client, "sso", external_org_id="org_9").what_to_do[place]
        eval(code, {"client": client, "NAME": "Acme Inc", "COMPANY_ID": fake.add_company("Acme Inc")})  # noqa: S307
        assert explain(client, "sso", external_org_id="org_9").rule == "no_access"


def test_remedies_change_what_is_in_the_way_and_nothing_else(client: ChatarminOS) -> None:
    """A limit is not raised that is not reached, and an access that is enabled is not enabled."""
    client.tiers.apply("free", company_id=company_of(client))
    client.billing.track_usage(company_id=company_of(client), feature_code="seats", quantity=3)
    call = "client.features.set_access(external_org_id='org_1', feature_code="

    assert of(client, "sso").what_to_do[0] == f"{call}'sso', is_enabled=True)"
    assert of(client, "seats").what_to_do[0] == (
        f"{call}'seats', quantity_limit=LIMIT)  # LIMIT: above 3, or None for no limit"
    )


def test_few_tiers_are_suggested() -> None:
    """The first three that are enough, of a product with more."""
    fake = FakeTransport(Catalogue())
    fake.add_feature("sso", name="Single sign-on")
    for code in "abcd":
        fake.add_tier(code, name=code.upper(), features={"sso": {}})
    client = ChatarminOS(transport=fake)
    client.companies.create(name="Acme Inc", external_org_id="org_1")

    lines = of(client, "sso").what_to_do

    assert re.findall(r"tiers\.apply\('(\w+)'", "".join(lines)) == ["a", "b", "c"]


def test_unknown_feature_is_refused(client: ChatarminOS) -> None:
    """A feature that the catalogue lacks is a mistake of the caller."""
    company = company_of(client)

    with pytest.raises(NotFoundError, match="ssoo"):
        explain(client, "ssoo", external_org_id="org_1")
    with pytest.raises(NotFoundError, match="ssoo"):
        explain(client, "ssoo", company_id=company)


INVALID: dict[str, dict[str, Any]] = {
    "neither": {"feature_code": "sso"},
    "both": {"feature_code": "sso", "external_org_id": "org_1", "company_id": "c"},
    "blank-feature": {"feature_code": " ", "company_id": "c"},
    "blank-organisation": {"feature_code": "sso", "external_org_id": ""},
}


@pytest.mark.parametrize("arguments", INVALID.values(), ids=INVALID)
def test_invalid_argument_is_refused(client: ChatarminOS, fake: FakeTransport, arguments: dict[str, Any]) -> None:
    """Nothing is sent."""
    count = len(fake.calls)

    with pytest.raises(InvalidInput):
        explain(client, **arguments)
    assert len(fake.calls) == count


def test_transport_is_no_client(fake: FakeTransport) -> None:
    """The error names the argument."""
    client: Any = fake
    with pytest.raises(TypeError, match=r"client: expected a chatarmin_os\.ChatarminOS, got"):
        explain(client, "sso", external_org_id="org_1")


# Facts


def test_facts_are_in_order(fake: FakeTransport) -> None:
    """All facts of a metered feature, from the company to the time of the answer."""
    world = World(fake)
    world.claim("team")
    world.track("storage", 0.3)
    world.set("storage", {"valid_until": timedelta(hours=1), "config": {"region": "Zürich"}})

    explanation = of(world.client, "storage")

    assert explanation.facts == (
        ("company", f"Acme Inc ({world.company})"),
        ("link", "org_1"),
        ("tier", "Team"),
        ("feature", "Storage (storage)"),
        ("access from", "a tier (subscription)"),
        ("enabled", "yes"),
        ("valid until", "2027-01-31 13:00 UTC"),
        ("configuration", '{"region": "Zürich"}'),
        ("limit", "0.5"),
        ("used", "0.3"),
        ("remaining", "0.2"),
        ("billable", "0.1 (beyond the included 0.2)"),
        ("price", "3 JPY each (tier Team)"),
        ("subscriptions", f"{world.subscriptions[0]} (active)"),
        ("period", "ends when a subscription renews (assumed)"),
        ("asked at", "2027-01-31 12:00:00 UTC"),
    )
    assert explanation.asked_at == EPOCH
    assert pickle.loads(pickle.dumps(explanation)) == explanation  # noqa: S301 - our own


def test_facts_of_a_feature_without_a_quantity(fake: FakeTransport) -> None:
    """It has no limits; an end that has passed is marked."""
    world = World(fake)
    world.set("sso", {"is_enabled": True, "valid_until": timedelta(hours=1)})
    world.advance(1)

    facts = dict(of(world.client, "sso").facts)

    assert facts["valid until"] == "2027-01-31 13:00 UTC (past)"
    assert facts["access from"] == "set through the API (api)"
    assert facts["tier"] == "unknown (no active subscription names it)"
    assert not {"limit", "used", "remaining", "billable", "price", "period"} & facts.keys()


def test_facts_of_an_inferred_tier(fake: FakeTransport) -> None:
    """A tier without a subscription is inferred, and so is its price."""
    world = World(fake)
    world.claim("pro")
    world.cancel(0)

    facts = dict(of(world.client).facts)

    assert facts["tier"] == "Pro (most likely)"
    assert facts["price"] == "0.02 EUR each (tier Pro, most likely)"
    assert facts["subscriptions"] == "none active any more"
    assert facts["period"] == "ends when a subscription renews (assumed); none is active"


def test_unlimited_access_has_no_billable_usage(fake: FakeTransport) -> None:
    """Null means unlimited, and not billed by usage."""
    world = World(fake)
    world.set("seats", {"is_enabled": True, "quantity_limit": None})

    facts = dict(of(world.client, "seats").facts)

    assert [facts[label] for label in ("limit", "remaining", "billable")] == [
        "unlimited",
        "unlimited",
        "usage is not billed",
    ]


# Answers that are missing, or other than those of the fake

FAILURES = {
    "companies.getByProductLink": ("company", None),
    "billing.getStatus": ("subscriptions", "unknown (FORBIDDEN)"),
    "tiers.list": ("tier", "unknown (FORBIDDEN)"),
    "features.getAccessByExternalOrgId": ("tier", "unknown (no active subscription names it)"),
}


@pytest.mark.parametrize(("path", "expected"), FAILURES.items(), ids=lambda value: str(value).replace(".", "-"))
def test_failure_of_another_answer_is_a_fact(
    client: ChatarminOS, fake: FakeTransport, path: str, expected: tuple[str, str | None]
) -> None:
    """The access is explained also if the key may not ask the rest."""
    label, value = expected
    client.tiers.apply("free", company_id=company_of(client))
    fake.fail(path, error="FORBIDDEN")

    explanation = of(client, "seats")

    assert (explanation.can_use, explanation.rule) == (True, "within_limit")
    assert fact(explanation, label) == (value or explanation.company_id)
    assert explanation.company_id == company_of(client)


def test_tier_without_details_explains_nothing() -> None:
    """A tier whose features are unknown is not said to lack one."""
    world = World(make_fake())
    world.claim("enterprise")
    world.set("sso", {"is_enabled": False})
    world.fake.fail("tiers.get", error="FORBIDDEN", times=len(TIERS))

    assert reason(world.client, "sso") == "it is disabled, most likely by hand or by a change of its tier"


def test_company_may_stay_unknown(client: ChatarminOS, fake: FakeTransport) -> None:
    """Without a company id the access is explained, and changed by your id of the organisation."""
    client.features.set_access(external_org_id="org_1", feature_code="seats", is_enabled=True)
    for path in ("companies.getByProductLink", "features.getAccessByExternalOrgId", "tiers.get"):
        fake.fail(path, error=ConnectionFailed("refused"))

    explanation = of(client, "seats")

    assert explanation.text.startswith("organisation org_1 cannot use seats: it is enabled, but its limit is 0")
    assert explanation.company_id is None
    assert fact(explanation, "tier") == "unknown (ConnectionFailed)"
    (remedy,) = explanation.what_to_do
    eval(remedy, {"client": client, "LIMIT": 1})  # noqa: S307 - our own
    assert of(client, "seats").can_use


@pytest.mark.parametrize("error", ["FORBIDDEN", "INTERNAL_SERVER_ERROR", ConnectionFailed("refused")])
def test_failure_of_the_check_is_raised(client: ChatarminOS, fake: FakeTransport, error: Any) -> None:
    """Without an answer about the access there is no explanation."""
    company = company_of(client)
    fake.fail("features.checkByExternalOrgId", error=error)
    fake.fail("features.check", error=error)

    for whom in ({"external_org_id": "org_1"}, {"company_id": company}):
        with pytest.raises(ChatarminError) as caught:
            explain(client, "sso", **whom)
        assert getattr(caught.value, "code", error) == error or isinstance(caught.value, ConnectionFailed)


def test_wrong_base_url_is_not_an_unknown_company() -> None:
    """A missing procedure is NOT_FOUND too, and raised."""

    def answer(call: Call) -> JSON:
        raise ApiError.from_code("NOT_FOUND", f'No procedure found on path "{call.path}"', path=call.path)

    with pytest.raises(NotFoundError) as caught:
        explain(ChatarminOS(transport=FunctionTransport(answer)), "sso", company_id="c")
    assert caught.value.is_missing_procedure


ACCESS = {"featureCode": "seats", "featureName": "Seats", "isEnabled": True, "canUse": True, "hasQuantity": True}
ANSWERS: dict[str, tuple[dict[str, Any], str, str]] = {
    "no-reason": ({"canUse": False}, "unexplained", "it has used 0 in this period and has no limit"),
    "below-the-limit": (
        {"canUse": False, "currentUsage": 1, "quantityLimit": 5, "remaining": 4},
        "unexplained",
        "although it is enabled, and it has used 1 of 5 in this period",
    ),
    "nothing-remains-of-no-limit": (
        {"canUse": False, "currentUsage": 5, "remaining": 0},
        "unexplained",
        "although it is enabled, and it has used 5 in this period and has no limit",
    ),
    "nothing-remains-below-the-limit": (
        {"canUse": False, "currentUsage": 3, "quantityLimit": 10, "remaining": 0},
        "limit_reached",
        "it has used 3 of 10 in this period, and the service says that nothing remains",
    ),
    "no-quantity": ({"canUse": False, "hasQuantity": False, "quantityLimit": 0}, "unexplained", "it is enabled"),
    "usable-but-disabled": ({"isEnabled": False}, "unexplained", "although it is disabled"),
    "usable-at-its-limit": (
        {"currentUsage": 5, "quantityLimit": 5},
        "unexplained",
        "can use seats: the service says so and gives no reason, although it is enabled, and it has used 5 of 5",
    ),
    "not-stated": ({"canUse": None}, "not_stated", "the service does not say whether organisation org_1 can use seats"),
    "new-source": (
        {"source": "partner\n", "quantityLimit": 5, "remaining": 5},
        "within_limit",
        "its access is of the source partner ",
    ),
    "unknown-tiers": (
        {"source": "subscription", "quantityLimit": 5, "remaining": 5},
        "within_limit",
        "it has used 0 of 5 in this period; its access is from a tier",
    ),
    "no-source": ({"quantityLimit": 5, "remaining": 5}, "within_limit", "its access is of unknown origin"),
    "minimal": ({"hasQuantity": None}, "enabled", "it is enabled"),
    "no-expiry": (
        {"isEnabled": False, "canUse": False, "validUntil": "+012027-01-01T00:00:00Z", "source": "manual"},
        "disabled",
        "it is disabled, most likely by hand or because it was never enabled",
    ),
    "disabled-after-usage": (
        {"isEnabled": False, "canUse": False, "currentUsage": 5, "quantityLimit": 5},
        "disabled",
        "it is disabled, most likely by hand; it has used 5 of 5 in this period",
    ),
}


def service_with(access: dict[str, Any], **others: JSON) -> ChatarminOS:
    """Return a client of a service that answers so, and refuses all other calls."""
    answers = {
        "features.checkByExternalOrgId": {**ACCESS, **access},
        "features.getAccessByExternalOrgId": {"companyId": "c_1", "features": [{**ACCESS, **access}]},
        **{path.replace("_", "."): answer for path, answer in others.items()},
    }

    def answer(call: Call) -> JSON:
        if call.path not in answers:
            raise ApiError.from_code("FORBIDDEN", "no access", path=call.path)
        return answers[call.path]

    return ChatarminOS(transport=FunctionTransport(answer))


@pytest.mark.parametrize(("access", "rule", "text"), ANSWERS.values(), ids=ANSWERS)
def test_other_answers_are_explained_honestly(access: dict[str, Any], rule: str, text: str) -> None:
    """A service may have rules of its own: no reason is made up for it."""
    explanation = of(service_with(access), "seats")

    assert explanation.rule == rule
    assert explanation.can_use is {**ACCESS, **access}["canUse"]
    assert text in explanation.text
    assert explanation.text.isprintable()
    assert bool(explanation.what_to_do) is (rule not in {"unexplained", "not_stated"})


def test_access_without_an_end_has_none_in_its_sentence() -> None:
    """The last year of a datetime stands for all beyond it: a clock that is wrong has not reached it."""
    access, _, text = ANSWERS["no-expiry"]

    assert of(service_with(access), "seats").text == f"organisation org_1 cannot use seats: {text}"


def test_unlinked_organisation_with_a_default_answer_is_not_linked() -> None:
    """A service may answer for an id that it does not know; the missing link decides."""
    client = service_with({"isEnabled": False, "canUse": False}, companies_getByProductLink=None)

    assert of(client, "seats").rule == "not_linked"


def test_usable_access_without_a_link_is_explained() -> None:
    """A link that ended between two answers takes nothing away."""
    client = service_with({"hasQuantity": False}, companies_getByProductLink=None)

    assert of(client, "seats").text == "organisation org_1 can use seats: it is enabled"


def test_tier_with_odd_settings_fits_no_limit() -> None:
    """Limits of a tier that are not numbers are as good as missing: 0."""
    seats = {"code": "seats", "configValues": {"max_quantity": "5"}, "stripe": {"priceId": "price_1"}}
    subscription = {"id": "s_1", "tier": {"code": "pro"}}
    client = service_with(
        {"quantityLimit": 5, "remaining": 5, "source": "subscription"},
        tiers_list=[{"code": "pro"}],
        tiers_get={"code": "pro", "name": None, "features": [seats]},
        billing_getStatus={"hasBillingProfile": True, "activeSubscriptions": [subscription, {}]},
    )

    explanation = of(client, "seats")

    assert "the limit was most likely changed: it is 0 in its tier pro" in explanation.text
    assert fact(explanation, "price") == "price_1 (tier pro)"
    assert fact(explanation, "subscriptions") == "s_1 (active), - (active)"


@pytest.mark.parametrize(
    ("count", "named"), [(2, "A or B"), (3, "A or B or C"), (4, "several tiers")], ids=["two", "three", "four"]
)
def test_limit_may_be_that_of_several_tiers(count: int, named: str) -> None:
    """A few are named: nobody says which one it was."""
    fake = FakeTransport(Catalogue())
    fake.add_feature("seats", name="Seats", has_quantity=True)
    for code in "abcd"[:count]:
        fake.add_tier(code, name=code.upper(), features={"seats": {"quantity_limit": 4}})
    fake.add_tier("other", name="Other", features={"seats": {"quantity_limit": 9}})
    client = ChatarminOS(transport=fake)
    client.onboard(external_org_id="org_1", tier_code="a")

    assert reason(client, "seats") == (
        f"it has used 0 of 4 in this period; its access is from a tier, and the limit is that of {named}"
    )


def test_tiers_are_bounded() -> None:
    """Of a product with very many tiers the first 40 are asked about, and nothing is inferred from the others."""
    fake = make_fake()
    for place in range(40):
        fake.add_tier(f"t{place}", name=f"T{place}")
    client = ChatarminOS(transport=fake)
    client.tiers.apply("free", company_id=client.companies.create(name="Acme Inc", external_org_id="org_1").id)

    explanation = of(client, "seats")

    assert Counter(call.path for call in fake.calls)["tiers.get"] == 40
    client.features.set_access(external_org_id="org_1", feature_code="seats", quantity_limit=77)
    assert reason(client, "seats") == "it has used 0 of 77 in this period; its access is from a tier"
    assert fact(explanation, "tier") == "unknown (more than 40)"


def test_explanation_takes_two_round_trips(client: ChatarminOS, fake: FakeTransport) -> None:
    """Calls that do not depend on each other share a request."""
    company, sizes = company_of(client), []

    class Counting(FunctionTransport):
        def send_many(self, calls: Sequence[Call]) -> list[JSON | ChatarminError]:
            sizes.append(len(calls))
            return fake.send_many(calls)

    counting = ChatarminOS(transport=Counting(fake.send))
    of(counting)
    explain(counting, "sso", company_id=company)

    assert sizes == [4, 1 + len(TIERS), 4, len(TIERS)]
