"""Billing: claiming checkouts, linking subscriptions, status, revenue, cancelling and renewing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from chatarmin_os import (
    BadRequestError,
    BillingStatus,
    ChatarminOS,
    ClaimResult,
    ConflictError,
    LinkSubscriptionResult,
    NotFoundError,
)

if TYPE_CHECKING:
    from chatarmin_os.fake import FakeTransport

NOBODY = "5f0c2c1e-0000-4000-8000-000000000000"
PRO = ["price_pro_base", "price_pro_ai_credit", "price_pro_seats"]
ENTERPRISE = ["price_enterprise_base", "price_enterprise_ai_credit", "price_enterprise_seats"]
UNTOUCHED = BillingStatus(has_billing_profile=False, active_subscriptions=(), enabled_features_count=0)


def _claim(client: ChatarminOS, service: FakeTransport, company_id: str, prices: list[str]) -> str:
    session_id = service.stripe.add_checkout_session(prices)
    subscription_id = client.billing.claim_checkout(
        company_id=company_id, checkout_session_id=session_id
    ).subscription_id
    assert subscription_id is not None
    return subscription_id


def _link(client: ChatarminOS, service: FakeTransport, company_id: str, prices: list[str]) -> str:
    subscription_id = service.stripe.add_subscription(prices)
    client.billing.link_subscription(company_id=company_id, stripe_subscription_id=subscription_id)
    return subscription_id


def _subscriptions(client: ChatarminOS, company_id: str) -> list[tuple[str | None, str | None]]:
    """The active subscriptions by Stripe's id, each with the name of its tier."""
    return [
        (subscription.stripe_subscription_id, None if subscription.tier is None else subscription.tier.name)
        for subscription in client.billing.get_status(company_id).active_subscriptions
    ]


def _enabled(client: ChatarminOS, company_id: str) -> list[str | None]:
    return [access.feature_code for access in client.features.list_access(company_id) if access.is_enabled]


def test_claim_gives_profile_subscription_and_tier(client: ChatarminOS, service: FakeTransport) -> None:
    """A claimed checkout gives a billing profile, an active subscription and the features of its tier."""
    # Given two companies, one of which has the tier
    acme, globex = service.add_company("Acme Inc"), service.add_company("Globex")
    client.tiers.apply("pro", company_id=globex)
    session_id = service.stripe.add_checkout_session(PRO)

    # When it claims a completed checkout
    result = client.billing.claim_checkout(company_id=acme, checkout_session_id=session_id)

    # Then it has the same access as the other
    status = client.billing.get_status(acme)
    assert result.already_claimed is False
    assert status.has_billing_profile is True
    assert [(result.subscription_id, "Pro")] == _subscriptions(client, acme)
    assert status.enabled_features_count == 4
    assert client.features.list_access(acme) == client.features.list_access(globex)


def test_claim_returns_the_id_of_the_stripe_subscription(client: ChatarminOS, service: FakeTransport) -> None:
    """A response has Stripe's subscription id; the subscription also has an id of the service."""
    company_id = service.add_company("Acme Inc")

    subscription_id = _claim(client, service, company_id, PRO)

    (subscription,) = client.billing.get_status(company_id).active_subscriptions
    assert subscription_id.startswith("sub_")
    assert subscription_id == subscription.stripe_subscription_id
    assert subscription.id
    assert subscription_id != subscription.id


def test_claim_of_an_unknown_session_is_not_found(client: ChatarminOS, service: FakeTransport) -> None:
    """A session that Stripe does not know is not found, and the call changes nothing."""
    company_id = service.add_company("Acme Inc")

    with pytest.raises(NotFoundError):
        client.billing.claim_checkout(company_id=company_id, checkout_session_id="cs_test_unknown")

    assert client.billing.get_status(company_id) == UNTOUCHED


@pytest.mark.outside_changes("a checkout was completed")
def test_claim_of_an_incomplete_session_is_a_bad_request(client: ChatarminOS, service: FakeTransport) -> None:
    """A session cannot be claimed before it is complete."""
    # Given a session that is not complete
    company_id = service.add_company("Acme Inc")
    session_id = service.stripe.add_checkout_session(PRO, complete=False)

    # When it is claimed, and again after its completion
    with pytest.raises(BadRequestError):
        client.billing.claim_checkout(company_id=company_id, checkout_session_id=session_id)
    before = client.billing.get_status(company_id)
    service.stripe.complete(session_id)
    result = client.billing.claim_checkout(company_id=company_id, checkout_session_id=session_id)

    # Then only the second claim counts
    assert before == UNTOUCHED
    assert result.already_claimed is False
    assert [(result.subscription_id, "Pro")] == _subscriptions(client, company_id)


def test_claim_of_another_companys_session_is_a_conflict(client: ChatarminOS, service: FakeTransport) -> None:
    """A session belongs to the company that claimed it first."""
    acme, globex = service.add_company("Acme Inc"), service.add_company("Globex")
    session_id = service.stripe.add_checkout_session(PRO)
    first = client.billing.claim_checkout(company_id=acme, checkout_session_id=session_id)

    with pytest.raises(ConflictError):
        client.billing.claim_checkout(company_id=globex, checkout_session_id=session_id)

    assert client.billing.get_status(globex) == UNTOUCHED
    assert [(first.subscription_id, "Pro")] == _subscriptions(client, acme)


def test_claiming_again_changes_nothing(client: ChatarminOS, service: FakeTransport) -> None:
    """A repeated claim returns the same subscription and leaves accesses that were changed since as they are."""
    # Given a claimed session, and an access changed by hand since
    company_id = service.add_company("Acme Inc")
    session_id = service.stripe.add_checkout_session(PRO)
    first = client.billing.claim_checkout(company_id=company_id, checkout_session_id=session_id)
    client.features.set_access(company_id=company_id, feature_code="seats", quantity_limit=99, source="manual")
    client.features.set_access(company_id=company_id, feature_code="api_access", is_enabled=False)
    accesses = client.features.list_access(company_id)
    status = client.billing.get_status(company_id)

    # When it is claimed again
    again = client.billing.claim_checkout(company_id=company_id, checkout_session_id=session_id)

    # Then nothing has changed
    assert ClaimResult(already_claimed=True, subscription_id=first.subscription_id) == again
    assert accesses == client.features.list_access(company_id)
    assert status == client.billing.get_status(company_id)
    assert service.mrr(company_id) == 4900


@pytest.mark.parametrize(
    ("prices", "tier_name"),
    [
        (PRO, "Pro"),
        (PRO[::-1], "Pro"),
        ([*PRO, "price_of_something_else"], "Pro"),
        (ENTERPRISE, "Enterprise"),
        ([*PRO, "price_enterprise_base"], "Pro"),
        (["price_mini_base"], "Mini"),
        ([*PRO, "price_mini_base"], "Pro"),
        (["price_mini_base", *PRO], "Pro"),
        (["price_mini_base", *PRO[:2]], "Mini"),
        (PRO[:2], None),
        (["price_pro_base", "price_enterprise_ai_credit", "price_enterprise_seats"], None),
        (["price_of_something_else"], None),
    ],
)
def test_the_tier_is_found_by_its_prices(
    client: ChatarminOS, service: FakeTransport, prices: list[str], tier_name: str | None
) -> None:
    """The tier is the one with most prices, of those whose prices the subscription has all."""
    service.add_tier("mini", name="Mini", base_fee=100, features={"seats": {"quantity_limit": 1}})
    company_id = service.add_company("Acme Inc")

    claimed = _claim(client, service, company_id, prices)
    linked = _link(client, service, company_id, prices)

    assert [(claimed, tier_name), (linked, tier_name)] == _subscriptions(client, company_id)


def test_claim_without_a_tier_applies_nothing(client: ChatarminOS, service: FakeTransport) -> None:
    """A subscription whose prices belong to no tier is claimed and gives no feature."""
    company_id = service.add_company("Acme Inc")

    subscription_id = _claim(client, service, company_id, ["price_of_something_else"])

    status = client.billing.get_status(company_id)
    assert (status.has_billing_profile, status.enabled_features_count) == (True, 0)
    assert [(subscription_id, None)] == _subscriptions(client, company_id)


@pytest.mark.parametrize("company_id", [NOBODY, "not-a-company-id"])
def test_an_unknown_company_is_not_found(client: ChatarminOS, service: FakeTransport, company_id: str) -> None:
    """A company id that does not exist, malformed or not, is not found by any procedure of billing."""
    session_id = service.stripe.add_checkout_session(PRO)
    subscription_id = service.stripe.add_subscription(PRO)

    with pytest.raises(NotFoundError):
        client.billing.claim_checkout(company_id=company_id, checkout_session_id=session_id)
    with pytest.raises(NotFoundError):
        client.billing.link_subscription(company_id=company_id, stripe_subscription_id=subscription_id)
    with pytest.raises(NotFoundError):
        client.billing.get_status(company_id)


def test_claim_looks_up_the_company_before_it_checks_the_session(client: ChatarminOS, service: FakeTransport) -> None:
    """An incomplete session for an unknown company is not found."""
    session_id = service.stripe.add_checkout_session(PRO, complete=False)

    with pytest.raises(NotFoundError):
        client.billing.claim_checkout(company_id=NOBODY, checkout_session_id=session_id)


def test_link_without_a_tier_code_applies_nothing(client: ChatarminOS, service: FakeTransport) -> None:
    """Linking gives a billing profile and a subscription with the tier of its prices, and no feature."""
    company_id = service.add_company("Acme Inc")
    subscription_id = service.stripe.add_subscription(PRO)

    result = client.billing.link_subscription(company_id=company_id, stripe_subscription_id=subscription_id)

    assert LinkSubscriptionResult(subscription_id=subscription_id, already_linked=False, features_applied=0) == result
    status = client.billing.get_status(company_id)
    assert (status.has_billing_profile, status.enabled_features_count) == (True, 0)
    assert [(subscription_id, "Pro")] == _subscriptions(client, company_id)


@pytest.mark.parametrize(
    ("tier_code", "tier_name", "count"), [("free", "Free", 2), ("pro", "Pro", 4), ("enterprise", "Enterprise", 5)]
)
def test_link_with_a_tier_code_applies_that_tier(
    client: ChatarminOS, service: FakeTransport, tier_code: str, tier_name: str, count: int
) -> None:
    """The given tier is applied and becomes the subscription's tier, whichever prices were paid."""
    # Given a subscription with the prices of one tier, and another company with another tier
    acme, globex = service.add_company("Acme Inc"), service.add_company("Globex")
    client.tiers.apply(tier_code, company_id=globex)
    subscription_id = service.stripe.add_subscription(PRO)

    # When it is linked with a tier code
    result = client.billing.link_subscription(
        company_id=acme, stripe_subscription_id=subscription_id, tier_code=tier_code
    )

    # Then both companies have the same access
    assert (
        LinkSubscriptionResult(subscription_id=subscription_id, already_linked=False, features_applied=count) == result
    )
    assert [(subscription_id, tier_name)] == _subscriptions(client, acme)
    assert client.features.list_access(globex) == client.features.list_access(acme)


def test_link_accepts_only_the_subscriptions_customer(client: ChatarminOS, service: FakeTransport) -> None:
    """The customer may be omitted or correct, and no other customer is accepted."""
    company_id = service.add_company("Acme Inc")
    first = service.stripe.add_subscription(PRO, customer_id="cus_acme")
    second = service.stripe.add_subscription(PRO, customer_id="cus_acme")

    with pytest.raises(BadRequestError):
        client.billing.link_subscription(
            company_id=company_id, stripe_subscription_id=first, stripe_customer_id="cus_globex", tier_code="pro"
        )
    refused = client.billing.get_status(company_id)
    client.billing.link_subscription(company_id=company_id, stripe_subscription_id=first)
    client.billing.link_subscription(
        company_id=company_id, stripe_subscription_id=second, stripe_customer_id="cus_acme"
    )

    assert refused == UNTOUCHED
    assert [(first, "Pro"), (second, "Pro")] == _subscriptions(client, company_id)


def test_link_of_an_unknown_subscription_is_not_found(client: ChatarminOS, service: FakeTransport) -> None:
    """A subscription that Stripe does not know is not found, and the call changes nothing."""
    company_id = service.add_company("Acme Inc")

    with pytest.raises(NotFoundError):
        client.billing.link_subscription(company_id=company_id, stripe_subscription_id="sub_unknown", tier_code="pro")

    assert client.billing.get_status(company_id) == UNTOUCHED


def test_link_with_an_unknown_tier_is_not_found(client: ChatarminOS, service: FakeTransport) -> None:
    """An unknown tier leaves the subscription unlinked."""
    company_id = service.add_company("Acme Inc")
    subscription_id = service.stripe.add_subscription(PRO)

    with pytest.raises(NotFoundError):
        client.billing.link_subscription(
            company_id=company_id, stripe_subscription_id=subscription_id, tier_code="platinum"
        )

    assert client.billing.get_status(company_id) == UNTOUCHED
    assert service.mrr(company_id) == 0


def test_link_of_another_companys_subscription_is_a_conflict(client: ChatarminOS, service: FakeTransport) -> None:
    """A subscription belongs to the company that linked or claimed it first."""
    acme, globex = service.add_company("Acme Inc"), service.add_company("Globex")
    linked = _link(client, service, acme, PRO)
    claimed = _claim(client, service, acme, PRO)

    with pytest.raises(ConflictError):
        client.billing.link_subscription(company_id=globex, stripe_subscription_id=linked, tier_code="pro")
    with pytest.raises(ConflictError):
        client.billing.link_subscription(company_id=globex, stripe_subscription_id=claimed)

    assert client.billing.get_status(globex) == UNTOUCHED
    assert [(linked, "Pro"), (claimed, "Pro")] == _subscriptions(client, acme)


def test_link_checks_in_order(client: ChatarminOS, service: FakeTransport) -> None:
    """An unknown tier is reported first, then a wrong customer, then the subscription of another company."""
    acme, globex = service.add_company("Acme Inc"), service.add_company("Globex")
    subscription_id = _link(client, service, acme, PRO)

    with pytest.raises(NotFoundError):
        client.billing.link_subscription(
            company_id=globex,
            stripe_subscription_id=subscription_id,
            stripe_customer_id="cus_wrong",
            tier_code="platinum",
        )
    with pytest.raises(BadRequestError):
        client.billing.link_subscription(
            company_id=globex, stripe_subscription_id=subscription_id, stripe_customer_id="cus_wrong"
        )


def test_linking_again_is_harmless(client: ChatarminOS, service: FakeTransport) -> None:
    """A repeated link reports that and creates no second subscription."""
    company_id = service.add_company("Acme Inc")
    subscription_id = _link(client, service, company_id, PRO)

    again = client.billing.link_subscription(company_id=company_id, stripe_subscription_id=subscription_id)

    assert LinkSubscriptionResult(subscription_id=subscription_id, already_linked=True, features_applied=0) == again
    assert [(subscription_id, "Pro")] == _subscriptions(client, company_id)


def test_linking_a_claimed_subscription_is_linking_again(client: ChatarminOS, service: FakeTransport) -> None:
    """A subscription that the company has claimed is already linked."""
    company_id = service.add_company("Acme Inc")
    subscription_id = _claim(client, service, company_id, PRO)

    result = client.billing.link_subscription(company_id=company_id, stripe_subscription_id=subscription_id)

    assert result.already_linked is True
    assert [(subscription_id, "Pro")] == _subscriptions(client, company_id)


def test_linking_again_updates_the_display_name(client: ChatarminOS, service: FakeTransport) -> None:
    """The last display name wins."""
    company_id = service.add_company("Acme Inc")
    subscription_id = service.stripe.add_subscription(PRO)

    names = []
    for name in ("Store Vienna", "Store Graz"):
        client.billing.link_subscription(
            company_id=company_id, stripe_subscription_id=subscription_id, display_name=name
        )
        (subscription,) = client.billing.get_status(company_id).active_subscriptions
        names.append(subscription.display_name)

    assert names == ["Store Vienna", "Store Graz"]


def test_linking_again_with_a_tier_code_applies_it_again(client: ChatarminOS, service: FakeTransport) -> None:
    """With a tier code the tier's accesses are rewritten; without one, accesses that were changed since stay."""
    # Given a linked subscription, and an access changed by hand since
    company_id = service.add_company("Acme Inc")
    subscription_id = service.stripe.add_subscription(PRO)
    client.billing.link_subscription(company_id=company_id, stripe_subscription_id=subscription_id, tier_code="pro")
    client.features.set_access(company_id=company_id, feature_code="seats", quantity_limit=99, source="manual")

    # When it is linked again without and with a tier code
    without = client.billing.link_subscription(company_id=company_id, stripe_subscription_id=subscription_id)
    between = client.features.check(company_id=company_id, feature_code="seats")
    with_code = client.billing.link_subscription(
        company_id=company_id, stripe_subscription_id=subscription_id, tier_code="pro"
    )
    after = client.features.check(company_id=company_id, feature_code="seats")

    # Then only the latter restores the access
    assert (without.already_linked, without.features_applied) == (True, 0)
    assert (between.quantity_limit, between.source) == (99, "manual")
    assert (with_code.already_linked, with_code.features_applied) == (True, 4)
    assert (after.quantity_limit, after.source) == (25, "subscription")


def test_linking_again_with_another_tier_code_changes_the_tier(client: ChatarminOS, service: FakeTransport) -> None:
    """The last tier code is the subscription's; the revenue stays that of the tier it became active with."""
    company_id = service.add_company("Acme Inc")
    subscription_id = service.stripe.add_subscription(PRO)
    client.billing.link_subscription(company_id=company_id, stripe_subscription_id=subscription_id, tier_code="pro")

    result = client.billing.link_subscription(
        company_id=company_id, stripe_subscription_id=subscription_id, tier_code="enterprise"
    )

    assert (result.already_linked, result.features_applied) == (True, 5)
    assert [(subscription_id, "Enterprise")] == _subscriptions(client, company_id)
    assert service.mrr(company_id) == 4900


def test_a_cancelled_subscription_cannot_be_linked(client: ChatarminOS, service: FakeTransport) -> None:
    """A subscription that was cancelled before it was linked is a bad request, and the call changes nothing."""
    company_id = service.add_company("Acme Inc")
    subscription_id = service.stripe.add_subscription(PRO)
    service.stripe.cancel(subscription_id)

    with pytest.raises(BadRequestError):
        client.billing.link_subscription(company_id=company_id, stripe_subscription_id=subscription_id, tier_code="pro")

    assert client.billing.get_status(company_id) == UNTOUCHED
    assert service.mrr(company_id) == 0


@pytest.mark.outside_changes("a subscription was cancelled")
def test_cancelling_changes_no_access(client: ChatarminOS, service: FakeTransport) -> None:
    """After a cancellation the company keeps its features and usage and can go on using them."""
    # Given a company that uses the features of its subscription
    company_id = service.add_company("Acme Inc")
    subscription_id = _claim(client, service, company_id, PRO)
    client.billing.track_usage(company_id=company_id, feature_code="seats", quantity=5)
    before = client.features.list_access(company_id)

    # When the subscription is cancelled
    service.stripe.cancel(subscription_id)

    # Then only the subscription is missing
    assert before == client.features.list_access(company_id)
    assert client.billing.get_status(company_id).enabled_features_count == 4
    assert _subscriptions(client, company_id) == []
    assert client.billing.track_usage(company_id=company_id, feature_code="seats", quantity=1).current_usage == 6


def test_status_of_a_company_without_billing(client: ChatarminOS, service: FakeTransport) -> None:
    """Without a claim or a link there is no billing profile, no subscription and no feature."""
    company_id = service.add_company("Acme Inc")

    status = client.billing.get_status(company_id)

    assert status == UNTOUCHED


@pytest.mark.outside_changes("time passed")
def test_status_counts_the_features_enabled_right_now(client: ChatarminOS, service: FakeTransport) -> None:
    """Features at their limit count; disabled and expired features do not."""
    # Given an enabled feature, one at its limit, a disabled one, and one that is about to expire
    company_id = service.add_company("Acme Inc")
    soon = datetime.now(UTC) + timedelta(hours=1)
    client.features.set_access(company_id=company_id, feature_code="api_access", is_enabled=True)
    client.features.set_access(company_id=company_id, feature_code="seats", is_enabled=True, quantity_limit=0)
    client.features.set_access(company_id=company_id, feature_code="team_seats", is_enabled=False, quantity_limit=5)
    client.features.set_access(company_id=company_id, feature_code="sso", is_enabled=True, valid_until=soon)

    # When the last one expires
    before = client.billing.get_status(company_id)
    service.advance(timedelta(hours=1))
    after = client.billing.get_status(company_id)

    # Then it no longer counts
    assert before.enabled_features_count == 3
    assert after.enabled_features_count == 2


@pytest.mark.outside_changes("a subscription was cancelled")
def test_status_lists_active_subscriptions_in_claiming_order(client: ChatarminOS, service: FakeTransport) -> None:
    """Subscriptions come in the order in which they were claimed or linked, without the cancelled ones."""
    # Given subscriptions that are linked in another order than they were added
    company_id = service.add_company("Acme Inc")
    added_first = service.stripe.add_subscription(PRO)
    added_second = service.stripe.add_subscription(ENTERPRISE)
    client.billing.link_subscription(company_id=company_id, stripe_subscription_id=added_second)
    claimed = _claim(client, service, company_id, PRO)
    client.billing.link_subscription(company_id=company_id, stripe_subscription_id=added_first)
    before = _subscriptions(client, company_id)

    # When one in the middle is cancelled
    service.stripe.cancel(claimed)

    # Then the others stay in their order
    assert [(added_second, "Enterprise"), (claimed, "Pro"), (added_first, "Pro")] == before
    assert [(added_second, "Enterprise"), (added_first, "Pro")] == _subscriptions(client, company_id)


def test_status_shows_only_the_companys_subscriptions(client: ChatarminOS, service: FakeTransport) -> None:
    """A subscription shows at its company only."""
    acme, globex = service.add_company("Acme Inc"), service.add_company("Globex")

    _claim(client, service, acme, PRO)

    assert client.billing.get_status(globex) == UNTOUCHED
    assert service.mrr(globex) == 0


def test_revenue_is_raised_by_the_base_fee_of_a_claim(client: ChatarminOS, service: FakeTransport) -> None:
    """A claimed subscription adds the base fee of its tier."""
    company_id = service.add_company("Acme Inc")
    before = service.mrr(company_id)

    _claim(client, service, company_id, PRO)

    assert before == 0
    assert service.mrr(company_id) == 4900


@pytest.mark.parametrize(
    ("prices", "tier_code", "mrr"),
    [
        (PRO, None, 4900),
        (PRO, "pro", 4900),
        (PRO, "enterprise", 49900),
        (PRO, "free", 0),
        (["price_of_something_else"], None, 0),
        (["price_of_something_else"], "pro", 4900),
    ],
)
def test_revenue_is_raised_by_the_base_fee_of_a_link(
    client: ChatarminOS, service: FakeTransport, prices: list[str], tier_code: str | None, mrr: int
) -> None:
    """A linked subscription adds the base fee of its tier, whether the tier is given or found by its prices."""
    company_id = service.add_company("Acme Inc")
    subscription_id = service.stripe.add_subscription(prices)

    client.billing.link_subscription(company_id=company_id, stripe_subscription_id=subscription_id, tier_code=tier_code)

    assert mrr == service.mrr(company_id)


def test_revenue_is_raised_once_by_each_subscription(client: ChatarminOS, service: FakeTransport) -> None:
    """Claiming or linking again adds nothing."""
    company_id = service.add_company("Acme Inc")
    session_id = service.stripe.add_checkout_session(PRO)
    claimed = client.billing.claim_checkout(company_id=company_id, checkout_session_id=session_id).subscription_id
    assert claimed is not None

    client.billing.claim_checkout(company_id=company_id, checkout_session_id=session_id)
    client.billing.link_subscription(company_id=company_id, stripe_subscription_id=claimed, tier_code="pro")

    assert service.mrr(company_id) == 4900


def test_revenue_adds_up_and_is_lowered_by_cancelling(client: ChatarminOS, service: FakeTransport) -> None:
    """Each subscription adds its fee when it becomes active and subtracts it when it is cancelled."""
    company_id = service.add_company("Acme Inc")

    revenues = []
    pro = _claim(client, service, company_id, PRO)
    revenues.append(service.mrr(company_id))
    enterprise = _link(client, service, company_id, ENTERPRISE)
    revenues.append(service.mrr(company_id))
    service.stripe.cancel(pro)
    revenues.append(service.mrr(company_id))
    service.stripe.cancel(enterprise)
    revenues.append(service.mrr(company_id))

    assert revenues == [4900, 54800, 49900, 0]


def test_a_cancelled_subscription_subtracts_the_fee_it_added(client: ChatarminOS, service: FakeTransport) -> None:
    """The fee is that of the tier the subscription had when it became active, whichever tier it has now."""
    # Given a subscription whose tier has changed, and another one
    company_id = service.add_company("Acme Inc")
    _claim(client, service, company_id, ENTERPRISE)
    changed = _claim(client, service, company_id, PRO)
    client.billing.link_subscription(company_id=company_id, stripe_subscription_id=changed, tier_code="enterprise")

    # When it is cancelled
    service.stripe.cancel(changed)

    # Then the fee of its first tier is subtracted
    assert service.mrr(company_id) == 49900


def test_revenue_ignores_currencies(client: ChatarminOS, service: FakeTransport) -> None:
    """Fees in different currencies are added as numbers."""
    service.add_tier("us", name="US", base_fee=1000, currency="usd")
    company_id = service.add_company("Acme Inc")

    _claim(client, service, company_id, PRO)
    _claim(client, service, company_id, ["price_us_base"])

    assert service.mrr(company_id) == 5900


def test_reset_of_links_sets_revenue_to_zero_with_reset_mrr(client: ChatarminOS, service: FakeTransport) -> None:
    """A reset of the links keeps the revenue; with reset_mrr it is 0 for every company."""
    acme, globex = service.add_company("Acme Inc"), service.add_company("Globex")
    _claim(client, service, acme, PRO)
    _claim(client, service, globex, ENTERPRISE)

    client.links.reset()
    kept = (service.mrr(acme), service.mrr(globex))
    client.links.reset(reset_mrr=True)

    assert kept == (4900, 49900)
    assert (service.mrr(acme), service.mrr(globex)) == (0, 0)


def test_revenue_is_never_negative(client: ChatarminOS, service: FakeTransport) -> None:
    """Cancelling after a reset subtracts nothing below 0."""
    # Given a subscription from before a reset and a smaller one from after it
    service.add_tier("mini", name="Mini", base_fee=100)
    company_id = service.add_company("Acme Inc")
    pro = _claim(client, service, company_id, PRO)
    client.links.reset(reset_mrr=True)
    mini = _claim(client, service, company_id, ["price_mini_base"])
    after_reset = service.mrr(company_id)

    # When both are cancelled
    service.stripe.cancel(pro)
    without_pro = service.mrr(company_id)
    service.stripe.cancel(mini)

    # Then the revenue is 0
    assert after_reset == 100
    assert without_pro == 0
    assert service.mrr(company_id) == 0


def test_a_reset_of_links_keeps_accesses_usage_and_subscriptions(client: ChatarminOS, service: FakeTransport) -> None:
    """Deleting links leaves the accesses, usage and subscriptions of companies unchanged."""
    company_id = service.add_company("Acme Inc")
    client.links.create(company_id=company_id, external_org_id="org_1")
    _claim(client, service, company_id, PRO)
    client.billing.track_usage(company_id=company_id, feature_code="seats", quantity=5)
    accesses = client.features.list_access(company_id)
    status = client.billing.get_status(company_id)

    result = client.links.reset(reset_mrr=True)

    assert result.links_deleted == 1
    assert accesses == client.features.list_access(company_id)
    assert status == client.billing.get_status(company_id)


@pytest.mark.outside_changes("a billing period ended")
def test_a_renewal_resets_the_usage_of_its_company(client: ChatarminOS, service: FakeTransport) -> None:
    """Usage of every feature of the company is 0 again, and other companies keep theirs."""
    # Given two companies with usage
    acme, globex = service.add_company("Acme Inc"), service.add_company("Globex")
    subscription_id = _claim(client, service, acme, PRO)
    _claim(client, service, globex, PRO)
    for company_id in (acme, globex):
        client.billing.track_usage(company_id=company_id, feature_code="seats", quantity=25)
        client.billing.track_usage(company_id=company_id, feature_code="ai_credit", quantity=1.5)

    # When the subscription of one renews
    service.stripe.renew(subscription_id)

    # Then its usage is 0 and the other's stays
    usages = {
        company_id: [access.current_usage for access in client.features.list_access(company_id)]
        for company_id in (acme, globex)
    }
    assert usages == {acme: [0, 0, 0, 0, 0], globex: [1.5, 25, 0, 0, 0]}
    assert client.features.check(company_id=acme, feature_code="seats").can_use is True


def test_a_renewal_changes_nothing_but_usage(client: ChatarminOS, service: FakeTransport) -> None:
    """Accesses, subscriptions and revenue are the same in the next billing period."""
    company_id = service.add_company("Acme Inc")
    subscription_id = _claim(client, service, company_id, PRO)
    client.features.set_access(company_id=company_id, feature_code="seats", quantity_limit=7, source="manual")
    accesses = client.features.list_access(company_id)
    status = client.billing.get_status(company_id)

    service.stripe.renew(subscription_id)

    assert accesses == client.features.list_access(company_id)
    assert status == client.billing.get_status(company_id)
    assert service.mrr(company_id) == 4900


@pytest.mark.parametrize("field", ["companyId", "checkoutSessionId"])
def test_the_service_refuses_blank_ids(client: ChatarminOS, service: FakeTransport, field: str) -> None:
    """A blank id is a bad request that names its field."""
    company_id = service.add_company("Acme Inc")
    given = {"companyId": company_id, "checkoutSessionId": service.stripe.add_checkout_session(PRO)}

    with pytest.raises(BadRequestError, match=field):
        client.call("billing.claimCheckout", {**given, field: " "})

    assert client.billing.get_status(company_id) == UNTOUCHED
