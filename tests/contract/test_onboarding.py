"""Onboarding: company, link, billing, tier and contact of a new customer in one call, all or nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from chatarmin_os import (
    BadRequestError,
    ChatarminError,
    ChatarminOS,
    ConflictError,
    Hints,
    InvalidInput,
    NotFoundError,
    OnboardBilling,
    OnboardInput,
    OnboardResult,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatarmin_os.fake import FakeTransport

PRO_PRICES = ["price_pro_base", "price_pro_ai_credit", "price_pro_seats"]
LIMITS: dict[str, dict[str, int | None]] = {
    "free": {"ai_credit": 100, "seats": 3},
    "pro": {"ai_credit": 10000, "seats": 25, "team_seats": 10, "api_access": None},
    "enterprise": {"ai_credit": None, "seats": None, "team_seats": None, "api_access": None, "sso": None},
}


def linked_id(client: ChatarminOS, external_org_id: str = "org_1") -> str | None:
    """Return the id of the company that an external org id leads to."""
    company = client.companies.get_by_product_link(external_org_id=external_org_id)
    return None if company is None else company.id


def enabled(client: ChatarminOS, company_id: str) -> dict[str | None, float | None]:
    """Return the features that are enabled for a company, each with its limit."""
    return {
        access.feature_code: access.quantity_limit
        for access in client.features.list_access(company_id)
        if access.is_enabled
    }


def contacts(client: ChatarminOS, company_id: str) -> list[tuple[str | None, str | None, bool | None]]:
    """Return e-mail address, name and rank of a company's contacts."""
    return [(contact.email, contact.name, contact.is_primary) for contact in client.contacts.list(company_id)]


def tier_names(client: ChatarminOS, company_id: str) -> list[str | None]:
    """Return the names of the tiers of a company's active subscriptions."""
    subscriptions = client.billing.get_status(company_id).active_subscriptions
    return [None if subscription.tier is None else subscription.tier.name for subscription in subscriptions]


# Matching, creating and linking


def test_a_newcomer_gets_a_company_and_its_link(client: ChatarminOS) -> None:
    """An id that matches nothing is linked to a new company."""
    result = client.onboard(external_org_id="org_1", hints=Hints(company_name="Acme"))

    company = client.companies.get_by_product_link(external_org_id="org_1")

    assert company is not None
    assert (
        OnboardResult(company_id=company.id, company_name="Acme", link_status="created", billing_status=None) == result
    )


@pytest.mark.parametrize(
    "hints",
    [Hints(domain="acme.com"), Hints(company_name="ACME GmbH"), Hints(emails=("anna@acme.com",))],
)
def test_a_match_is_linked(client: ChatarminOS, service: FakeTransport, hints: Hints) -> None:
    """An id whose hints lead to a company is linked to it, and the company keeps its name."""
    company_id = service.add_company("Acme", domain="acme.com")

    result = client.onboard(external_org_id="org_1", hints=hints)

    expected = OnboardResult(company_id=company_id, company_name="Acme", link_status="linked", billing_status=None)
    assert expected == result
    assert company_id == linked_id(client)


def test_a_link_is_found_again(client: ChatarminOS, service: FakeTransport) -> None:
    """A linked id stays with its company, whichever company the hints mean."""
    company = client.companies.create(name="Acme", external_org_id="org_1")
    service.add_company("Globex", domain="globex.com")

    result = client.onboard(external_org_id="org_1", hints=Hints(company_name="Globex", domain="globex.com"))

    expected = OnboardResult(
        company_id=company.id, company_name="Acme", link_status="already_linked", billing_status=None
    )
    assert expected == result
    assert company == client.companies.get_by_product_link(external_org_id="org_1")


@pytest.mark.parametrize(
    "hints",
    [
        Hints(company_name="Foods Acme"),
        Hints(company_name="Acme Foods", domain="acme.de"),
        Hints(emails=("anna@partner.com",)),
    ],
)
def test_a_suggestion_is_no_match(client: ChatarminOS, service: FakeTransport, hints: Hints) -> None:
    """If smart linking would only suggest a company, a new one is created."""
    known_id = service.add_company("Acme Foods", domain="acme.com")
    client.contacts.create(company_id=known_id, email="paula@partner.com")

    result = client.onboard(external_org_id="org_1", hints=hints)

    expected = "created"
    assert expected == result.link_status
    assert known_id != result.company_id
    assert result.company_id == linked_id(client)


def test_between_equals_a_new_company_is_created(client: ChatarminOS, service: FakeTransport) -> None:
    """If two companies match equally well, a new one is created."""
    known_ids = [service.add_company("Acme", domain="acme.com") for _ in range(2)]

    result = client.onboard(external_org_id="org_1", hints=Hints(domain="acme.com"))

    expected = "created"
    assert expected == result.link_status
    assert result.company_id not in known_ids


def test_an_onboarded_company_can_be_matched(client: ChatarminOS) -> None:
    """A second id with the name of an onboarded company is linked to that company."""
    first = client.onboard(external_org_id="org_1", hints=Hints(company_name="Acme"))

    second = client.onboard(external_org_id="org_2", hints=Hints(company_name="Acme"))

    expected = OnboardResult(
        company_id=first.company_id, company_name="Acme", link_status="linked", billing_status=None
    )
    assert expected == second


def test_a_contact_email_is_no_evidence(client: ChatarminOS, service: FakeTransport) -> None:
    """The domain of the contact's e-mail address matches no company; only hints do."""
    service.add_company("Acme", domain="acme.com")

    result = client.onboard(external_org_id="org_1", contact_email="anna@acme.com", contact_name="Acme")

    expected = "created"
    assert expected == result.link_status


def test_a_checkouts_customer_is_no_evidence(client: ChatarminOS, service: FakeTransport) -> None:
    """The customer name of a checkout names a new company, but matches none."""
    known_id = service.add_company("Acme")
    session_id = service.stripe.add_checkout_session(PRO_PRICES, customer_name="Acme")

    result = client.onboard(external_org_id="org_1", checkout_session_id=session_id)

    expected = ("Acme", "created")
    assert expected == (result.company_name, result.link_status)
    assert known_id != result.company_id


# The name and the date of a new company


@pytest.mark.parametrize(
    ("hints", "customer_name", "expected"),
    [
        (Hints(company_name="Acme", domain="acme.com"), "Acme Holding", "Acme"),
        (Hints(domain="acme.com"), "Acme Holding", "Acme Holding"),
        (Hints(domain="acme.com"), None, "acme.com"),
        (Hints(emails=("anna@acme.com",)), None, "org_1"),
        (None, "Acme Holding", "Acme Holding"),
        (None, None, "org_1"),
    ],
)
def test_a_new_company_is_named_by_the_best_source(
    client: ChatarminOS, service: FakeTransport, hints: Hints | None, customer_name: str | None, expected: str
) -> None:
    """A new company is named by the hint, else the checkout's customer, else the domain, else the external org id."""
    session_id = service.stripe.add_checkout_session(PRO_PRICES, customer_name=customer_name)

    result = client.onboard(external_org_id="org_1", hints=hints, checkout_session_id=session_id)

    company = client.companies.get_by_product_link(external_org_id="org_1")
    assert company is not None
    assert expected == result.company_name
    assert expected == company.name


@pytest.mark.parametrize(
    ("hints", "expected"),
    [(Hints(company_name="Acme", domain="acme.com"), "Acme"), (Hints(domain="acme.com"), "acme.com"), (None, "org_1")],
)
def test_a_new_company_without_a_checkout_is_named_too(client: ChatarminOS, hints: Hints | None, expected: str) -> None:
    """Without a checkout a new company is named by the hint, else the domain, else the external org id."""
    result = client.onboard(external_org_id="org_1", hints=hints)

    assert expected == result.company_name


def test_a_new_company_gets_its_time_of_creation(client: ChatarminOS) -> None:
    """The creation time of a new company is kept in UTC to the millisecond."""
    created_at = datetime(2024, 7, 1, 0, 30, 0, 123_456, tzinfo=timezone(timedelta(hours=2)))
    client.onboard(external_org_id="org_1", created_at=created_at)

    company = client.companies.get_by_product_link(external_org_id="org_1")

    assert company is not None
    assert datetime(2024, 6, 30, 22, 30, 0, 123_000, tzinfo=UTC) == company.created_at


@pytest.mark.parametrize("external_org_id", ["org_1", "org_2"])
def test_a_known_company_keeps_its_time_of_creation(client: ChatarminOS, external_org_id: str) -> None:
    """The creation time counts for a new company only, not for one that is matched or linked already."""
    company = client.companies.create(
        name="Acme", external_org_id="org_1", domain="acme.com", created_at="2020-01-01T00:00:00Z"
    )

    client.onboard(external_org_id=external_org_id, hints=Hints(domain="acme.com"), created_at="2024-01-01T00:00:00Z")

    assert company == client.companies.get_by_product_link(external_org_id=external_org_id)


# Billing


def test_without_billing_the_billing_status_is_absent(client: ChatarminOS) -> None:
    """Without checkout, subscription and tier the response has no billing status, and nothing is enabled."""
    result = client.onboard(external_org_id="org_1", contact_email="anna@acme.com")

    assert result.billing_status is None
    assert not enabled(client, result.company_id)


def test_an_absent_billing_status_is_no_null(client: ChatarminOS) -> None:
    """Without billing the response has no key for the billing status, not even null."""
    answer = client.call(OnboardInput.path, {"externalOrgId": "org_1", "hints": {"companyName": "Acme"}})

    expected = {"companyId": linked_id(client), "companyName": "Acme", "linkStatus": "created"}
    assert expected == answer


def test_a_billing_status_has_all_keys(client: ChatarminOS) -> None:
    """A billing status has all three flags, and null for a missing subscription."""
    answer = client.call(OnboardInput.path, {"externalOrgId": "org_1", "tierCode": "free"})

    expected = {
        "companyId": linked_id(client),
        "companyName": "org_1",
        "linkStatus": "created",
        "billingStatus": {"claimed": False, "linked": False, "tierApplied": True, "subscriptionId": None},
    }
    assert expected == answer


def test_an_earlier_subscription_gives_no_billing_status(client: ChatarminOS, service: FakeTransport) -> None:
    """The billing status covers the billing of this call only, not the company's earlier subscriptions."""
    session_id = service.stripe.add_checkout_session(PRO_PRICES)
    client.onboard(external_org_id="org_1", checkout_session_id=session_id)

    result = client.onboard(external_org_id="org_1")

    assert result.billing_status is None


def test_a_tier_alone_is_applied(client: ChatarminOS) -> None:
    """A tier code alone applies the tier, without any subscription."""
    result = client.onboard(external_org_id="org_1", tier_code="pro")

    status = client.billing.get_status(result.company_id)
    assert OnboardBilling(claimed=False, linked=False, tier_applied=True, subscription_id=None) == result.billing_status
    assert LIMITS["pro"] == enabled(client, result.company_id)
    assert not status.has_billing_profile
    assert not status.active_subscriptions


def test_a_checkout_is_claimed_and_brings_its_tier(client: ChatarminOS, service: FakeTransport) -> None:
    """A completed checkout is claimed for the company, and the tier of its prices applied."""
    session_id = service.stripe.add_checkout_session(PRO_PRICES)

    result = client.onboard(external_org_id="org_1", checkout_session_id=session_id)

    status = client.billing.get_status(result.company_id)
    billing = result.billing_status
    assert billing is not None
    assert billing.claimed
    assert billing.tier_applied
    assert [billing.subscription_id] == [each.stripe_subscription_id for each in status.active_subscriptions]
    assert status.has_billing_profile
    assert LIMITS["pro"] == enabled(client, result.company_id)
    tiers = ["Pro"]
    assert tiers == tier_names(client, result.company_id)


def test_the_subscription_of_a_checkout_is_stripes(client: ChatarminOS, service: FakeTransport) -> None:
    """The subscription id of a claimed checkout is the one that claiming it again returns."""
    session_id = service.stripe.add_checkout_session(PRO_PRICES)

    result = client.onboard(external_org_id="org_1", checkout_session_id=session_id)

    claim = client.billing.claim_checkout(company_id=result.company_id, checkout_session_id=session_id)
    assert result.billing_status is not None
    assert claim.already_claimed
    assert claim.subscription_id == result.billing_status.subscription_id
    assert str(claim.subscription_id).startswith("sub_")


def test_a_checkout_without_a_tier_is_claimed(client: ChatarminOS, service: FakeTransport) -> None:
    """A checkout whose prices make up no tier is claimed, and no tier is applied."""
    session_id = service.stripe.add_checkout_session(["price_elsewhere"])

    result = client.onboard(external_org_id="org_1", checkout_session_id=session_id)

    assert result.billing_status is not None
    assert result.billing_status.claimed
    assert not result.billing_status.tier_applied
    assert not enabled(client, result.company_id)
    tiers = [None]
    assert tiers == tier_names(client, result.company_id)


@pytest.mark.parametrize("tier_code", ["enterprise", "free"])
def test_with_a_checkout_the_tier_code_is_applied_last(
    client: ChatarminOS, service: FakeTransport, tier_code: str
) -> None:
    """A tier code is applied after a checkout in the same call, whether it grants more or less than the checkout."""
    session_id = service.stripe.add_checkout_session(PRO_PRICES)

    result = client.onboard(external_org_id="org_1", checkout_session_id=session_id, tier_code=tier_code)

    assert result.billing_status is not None
    assert result.billing_status.claimed
    assert result.billing_status.tier_applied
    assert result.billing_status.subscription_id is not None
    assert LIMITS[tier_code] == enabled(client, result.company_id)


def test_a_tier_code_makes_up_for_a_checkout_without_one(client: ChatarminOS, service: FakeTransport) -> None:
    """A checkout whose prices make up no tier may come with a tier code, which is applied."""
    session_id = service.stripe.add_checkout_session(["price_elsewhere"])

    result = client.onboard(external_org_id="org_1", checkout_session_id=session_id, tier_code="free")

    assert result.billing_status is not None
    assert result.billing_status.claimed
    assert result.billing_status.tier_applied
    assert LIMITS["free"] == enabled(client, result.company_id)


def test_a_subscription_is_linked_with_its_tier(client: ChatarminOS, service: FakeTransport) -> None:
    """A subscription with a tier code is linked, and the tier is applied as given, whatever its prices."""
    subscription_id = service.stripe.add_subscription(PRO_PRICES)

    result = client.onboard(external_org_id="org_1", stripe_subscription_id=subscription_id, tier_code="enterprise")

    expected = OnboardBilling(claimed=False, linked=True, tier_applied=True, subscription_id=subscription_id)
    assert expected == result.billing_status
    assert client.billing.get_status(result.company_id).has_billing_profile
    assert LIMITS["enterprise"] == enabled(client, result.company_id)
    tiers = ["Enterprise"]
    assert tiers == tier_names(client, result.company_id)


def test_a_subscription_without_a_tier_code_applies_nothing(client: ChatarminOS, service: FakeTransport) -> None:
    """A subscription alone is linked, its tier found by its prices, and nothing applied."""
    subscription_id = service.stripe.add_subscription(PRO_PRICES)

    result = client.onboard(external_org_id="org_1", stripe_subscription_id=subscription_id)

    expected = OnboardBilling(claimed=False, linked=True, tier_applied=False, subscription_id=subscription_id)
    assert expected == result.billing_status
    assert not enabled(client, result.company_id)
    tiers = ["Pro"]
    assert tiers == tier_names(client, result.company_id)


def test_a_subscription_may_come_with_its_customer(client: ChatarminOS, service: FakeTransport) -> None:
    """The customer of a subscription may be given with it."""
    subscription_id = service.stripe.add_subscription(PRO_PRICES, customer_id="cus_1")

    result = client.onboard(
        external_org_id="org_1",
        stripe_subscription_id=subscription_id,
        stripe_customer_id="cus_1",
        tier_code="pro",
    )

    expected = OnboardBilling(claimed=False, linked=True, tier_applied=True, subscription_id=subscription_id)
    assert expected == result.billing_status


def test_a_matched_company_gets_the_billing(client: ChatarminOS, service: FakeTransport) -> None:
    """Billing goes to the company that was matched, not to a new one."""
    company_id = service.add_company("Acme", domain="acme.com")
    session_id = service.stripe.add_checkout_session(PRO_PRICES, customer_name="Somebody")

    result = client.onboard(external_org_id="org_1", hints=Hints(domain="acme.com"), checkout_session_id=session_id)

    expected = (company_id, "Acme", "linked")
    assert expected == (result.company_id, result.company_name, result.link_status)
    assert LIMITS["pro"] == enabled(client, company_id)


@pytest.mark.outside_changes("a checkout was completed")
def test_a_checkout_that_is_completed_later_can_be_onboarded(client: ChatarminOS, service: FakeTransport) -> None:
    """A call that is refused for an open checkout succeeds once the checkout is complete."""
    session_id = service.stripe.add_checkout_session(PRO_PRICES, complete=False)
    with pytest.raises(BadRequestError):
        client.onboard(external_org_id="org_1", checkout_session_id=session_id)
    service.stripe.complete(session_id)

    result = client.onboard(external_org_id="org_1", checkout_session_id=session_id)

    expected = "created"
    assert expected == result.link_status
    assert LIMITS["pro"] == enabled(client, result.company_id)


def test_a_checkout_that_the_company_has_claimed_counts_as_claimed(client: ChatarminOS, service: FakeTransport) -> None:
    """A checkout that the company itself claimed before is still claimed, its tier still applied."""
    company = client.companies.create(name="Acme", external_org_id="org_1")
    session_id = service.stripe.add_checkout_session(PRO_PRICES)
    claim = client.billing.claim_checkout(company_id=company.id, checkout_session_id=session_id)

    result = client.onboard(external_org_id="org_1", checkout_session_id=session_id)

    assert result.billing_status is not None
    assert result.billing_status.claimed
    assert result.billing_status.tier_applied
    assert claim.subscription_id == result.billing_status.subscription_id


def test_a_tier_that_another_has_replaced_is_not_applied(client: ChatarminOS, service: FakeTransport) -> None:
    """After another tier was applied, the checkout is still claimed, and its tier is no longer applied."""
    session_id = service.stripe.add_checkout_session(PRO_PRICES)
    company_id = client.onboard(external_org_id="org_1", checkout_session_id=session_id).company_id
    client.tiers.apply("free", company_id=company_id)

    result = client.onboard(external_org_id="org_1", checkout_session_id=session_id)

    assert result.billing_status is not None
    assert (result.billing_status.claimed, result.billing_status.tier_applied) == (True, False)
    assert LIMITS["free"] == enabled(client, company_id)


def test_a_subscription_that_the_company_has_linked_counts_as_linked(
    client: ChatarminOS, service: FakeTransport
) -> None:
    """A subscription that the company itself linked before is still linked."""
    company = client.companies.create(name="Acme", external_org_id="org_1")
    subscription_id = service.stripe.add_subscription(PRO_PRICES)
    client.billing.link_subscription(company_id=company.id, stripe_subscription_id=subscription_id)

    result = client.onboard(external_org_id="org_1", stripe_subscription_id=subscription_id, tier_code="pro")

    expected = OnboardBilling(claimed=False, linked=True, tier_applied=True, subscription_id=subscription_id)
    assert expected == result.billing_status
    assert LIMITS["pro"] == enabled(client, company.id)


# The contact


def test_the_contact_of_a_new_company_is_primary(client: ChatarminOS) -> None:
    """The contact e-mail creates the primary contact of a new company, with the given name."""
    result = client.onboard(external_org_id="org_1", contact_email=" Anna@Acme.com ", contact_name="Anna")

    expected = [("Anna@Acme.com", "Anna", True)]
    assert expected == contacts(client, result.company_id)


def test_a_contact_name_alone_creates_no_contact(client: ChatarminOS) -> None:
    """A contact name without an e-mail address is ignored."""
    result = client.onboard(external_org_id="org_1", contact_name="Anna")

    assert not contacts(client, result.company_id)


@pytest.mark.parametrize("external_org_id", ["org_1", "org_2"])
def test_a_primary_contact_stays_primary(client: ChatarminOS, external_org_id: str) -> None:
    """If a company has a primary contact, the new contact is an ordinary one."""
    company = client.companies.create(
        name="Acme", external_org_id="org_1", domain="acme.com", contact_email="anna@acme.com"
    )

    client.onboard(
        external_org_id=external_org_id,
        hints=Hints(domain="acme.com"),
        contact_email="berta@acme.com",
        contact_name="Berta",
    )

    expected = [("anna@acme.com", None, True), ("berta@acme.com", "Berta", False)]
    assert expected == contacts(client, company.id)


def test_a_company_without_a_primary_contact_gets_one(client: ChatarminOS) -> None:
    """A new contact becomes the primary one of a known company that has none."""
    company = client.companies.create(name="Acme", external_org_id="org_1")
    client.contacts.create(company_id=company.id, email="anna@acme.com", is_primary=False)

    client.onboard(external_org_id="org_1", contact_email="berta@acme.com")

    expected = [("anna@acme.com", None, False), ("berta@acme.com", None, True)]
    assert expected == contacts(client, company.id)


def test_a_known_contact_becomes_primary_if_the_company_has_none(client: ChatarminOS) -> None:
    """A known contact becomes primary if the company has no primary contact, and gets its new name."""
    company = client.companies.create(name="Acme", external_org_id="org_1")
    client.contacts.create(company_id=company.id, email="Anna@Acme.com", name="A.", is_primary=False)

    client.onboard(external_org_id="org_1", contact_email="anna@acme.com", contact_name="Anna")

    expected = [("Anna@Acme.com", "Anna", True)]
    assert expected == contacts(client, company.id)


def test_a_known_contact_is_updated(client: ChatarminOS) -> None:
    """A known contact keeps its other values, and does not replace the primary one."""
    # Given
    company = client.companies.create(
        name="Acme", external_org_id="org_1", contact_email="anna@acme.com", contact_name="Anna"
    )
    client.contacts.create(company_id=company.id, email="berta@acme.com", name="Berta", role="CTO")

    # When
    client.onboard(external_org_id="org_1", contact_email="anna@acme.com")
    client.onboard(external_org_id="org_1", contact_email="BERTA@acme.com", contact_name="Berta B.")

    # Then
    expected = [("anna@acme.com", "Anna", True), ("berta@acme.com", "Berta B.", False)]
    assert expected == contacts(client, company.id)
    roles = [None, "CTO"]
    assert roles == [contact.role for contact in client.contacts.list(company.id)]


# All or nothing


def other_companys_checkout(client: ChatarminOS, service: FakeTransport) -> dict[str, Any]:
    """Return a checkout that another company has claimed."""
    session_id = service.stripe.add_checkout_session(PRO_PRICES, customer_name="Globex")
    client.billing.claim_checkout(company_id=service.add_company("Globex"), checkout_session_id=session_id)
    return {"checkout_session_id": session_id}


def other_companys_subscription(client: ChatarminOS, service: FakeTransport) -> dict[str, Any]:
    """Return a subscription that another company has linked."""
    subscription_id = service.stripe.add_subscription(PRO_PRICES)
    client.billing.link_subscription(company_id=service.add_company("Globex"), stripe_subscription_id=subscription_id)
    return {"stripe_subscription_id": subscription_id}


def open_checkout(_: ChatarminOS, service: FakeTransport) -> dict[str, Any]:
    """Return a checkout that is not complete."""
    return {"checkout_session_id": service.stripe.add_checkout_session(PRO_PRICES, complete=False)}


def cancelled_subscription(_: ChatarminOS, service: FakeTransport) -> dict[str, Any]:
    """Return a subscription that was cancelled."""
    subscription_id = service.stripe.add_subscription(PRO_PRICES)
    service.stripe.cancel(subscription_id)
    return {"stripe_subscription_id": subscription_id, "tier_code": "pro"}


def wrong_customer(_: ChatarminOS, service: FakeTransport) -> dict[str, Any]:
    """Return a subscription with the customer of another."""
    subscription_id = service.stripe.add_subscription(PRO_PRICES, customer_id="cus_1")
    return {"stripe_subscription_id": subscription_id, "stripe_customer_id": "cus_2", "tier_code": "pro"}


def checkout_with_unknown_tier(_: ChatarminOS, service: FakeTransport) -> dict[str, Any]:
    """Return a good checkout with a tier code that does not exist."""
    return {"checkout_session_id": service.stripe.add_checkout_session(PRO_PRICES), "tier_code": "platinum"}


def subscription_with_unknown_tier(_: ChatarminOS, service: FakeTransport) -> dict[str, Any]:
    """Return a good subscription with a tier code that does not exist."""
    return {"stripe_subscription_id": service.stripe.add_subscription(PRO_PRICES), "tier_code": "platinum"}


def checkout_with_malformed_email(_: ChatarminOS, service: FakeTransport) -> dict[str, Any]:
    """Return a good checkout and tier with a malformed e-mail address."""
    session_id = service.stripe.add_checkout_session(PRO_PRICES)
    return {"checkout_session_id": session_id, "tier_code": "pro", "contact_email": "anna"}


def no_setup(**arguments: str) -> Callable[[ChatarminOS, FakeTransport], dict[str, Any]]:
    """Return arguments that need no setup."""
    return lambda _client, _service: arguments


@pytest.mark.parametrize("known", ["nobody", "matched", "linked"])
@pytest.mark.parametrize(
    ("prepare", "error"),
    [
        pytest.param(no_setup(tier_code="platinum"), NotFoundError, id="unknown-tier"),
        pytest.param(no_setup(checkout_session_id="cs_test_none"), NotFoundError, id="unknown-checkout"),
        pytest.param(no_setup(stripe_subscription_id="sub_none"), NotFoundError, id="unknown-subscription"),
        pytest.param(checkout_with_unknown_tier, NotFoundError, id="checkout-with-unknown-tier"),
        pytest.param(subscription_with_unknown_tier, NotFoundError, id="subscription-with-unknown-tier"),
        pytest.param(open_checkout, BadRequestError, id="open-checkout"),
        pytest.param(cancelled_subscription, BadRequestError, id="cancelled-subscription"),
        pytest.param(wrong_customer, BadRequestError, id="wrong-customer"),
        pytest.param(no_setup(contact_email="anna"), BadRequestError, id="malformed-email"),
        pytest.param(checkout_with_malformed_email, BadRequestError, id="checkout-with-malformed-email"),
        pytest.param(other_companys_checkout, ConflictError, id="checkout-of-another-company"),
        pytest.param(other_companys_subscription, ConflictError, id="subscription-of-another-company"),
    ],
)
def test_a_refused_call_leaves_nothing_behind(
    client: ChatarminOS,
    service: FakeTransport,
    prepare: Callable[[ChatarminOS, FakeTransport], dict[str, Any]],
    error: type[ChatarminError],
    known: str,
) -> None:
    """A refused call leaves no company, link, contact, access or claim, for a new, matched or linked company."""
    # Given
    arguments = {"hints": Hints(domain="acme.com"), "contact_email": "anna@acme.com", **prepare(client, service)}
    if known == "matched":
        service.add_company("Acme", domain="acme.com")
    if known == "linked":
        client.companies.create(name="Acme", external_org_id="org_1")
    before = service.snapshot()

    # When
    with pytest.raises(error):
        client.onboard(external_org_id="org_1", contact_name="Anna", **arguments)

    # Then
    assert before == service.snapshot()


def test_the_checkout_of_a_refused_call_stays_claimable(client: ChatarminOS, service: FakeTransport) -> None:
    """A checkout of a refused call can still be claimed."""
    session_id = service.stripe.add_checkout_session(PRO_PRICES)
    with pytest.raises(NotFoundError):
        client.onboard(external_org_id="org_1", checkout_session_id=session_id, tier_code="platinum")

    result = client.onboard(external_org_id="org_2", checkout_session_id=session_id)

    assert result.billing_status is not None
    assert result.billing_status.claimed
    assert linked_id(client) is None


@pytest.mark.parametrize(
    ("hints", "field"), [(Hints(domain="acme"), "domain"), (Hints(emails=("anna@acme.com", "anna")), "emails")]
)
def test_malformed_hints_are_refused(client: ChatarminOS, service: FakeTransport, hints: Hints, field: str) -> None:
    """The refusal names a malformed hint, and nothing is created."""
    before = service.snapshot()

    with pytest.raises(BadRequestError) as refusal:
        client.onboard(external_org_id="org_1", hints=hints, tier_code="pro")

    assert field in refusal.value.message
    assert before == service.snapshot()


@pytest.mark.parametrize(
    "arguments",
    [
        {"checkout_session_id": "cs_test_1", "stripe_subscription_id": "sub_1"},
        {"stripe_customer_id": "cus_1"},
        {"stripe_customer_id": "cus_1", "checkout_session_id": "cs_test_1"},
        {"stripe_customer_id": "cus_1", "tier_code": "pro"},
    ],
)
def test_contradictory_billing_is_not_sent(
    client: ChatarminOS, service: FakeTransport, arguments: dict[str, Any]
) -> None:
    """The client itself refuses a checkout with a subscription, and a customer without a subscription."""
    with pytest.raises(InvalidInput):
        client.onboard(external_org_id="org_1", **arguments)

    assert not service.calls


@pytest.mark.parametrize("extra", [{"stripeSubscriptionId": "sub_1"}, {"stripeCustomerId": "cus_1"}])
def test_the_service_refuses_contradictory_billing(
    client: ChatarminOS, service: FakeTransport, extra: dict[str, str]
) -> None:
    """The service refuses a good checkout with a subscription, or a customer without a subscription."""
    session_id = service.stripe.add_checkout_session(PRO_PRICES)
    before = service.snapshot()

    with pytest.raises(BadRequestError):
        client.call(OnboardInput.path, {"externalOrgId": "org_1", "checkoutSessionId": session_id, **extra})

    assert before == service.snapshot()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"externalOrgId": ""}, "externalOrgId"),
        ({"externalOrgId": "  "}, "externalOrgId"),
        ({"externalOrgId": None}, "externalOrgId"),
        ({"tierCode": 5}, "tierCode"),
        ({"tierCode": None}, "tierCode"),
        ({"contactEmail": 5}, "contactEmail"),
        ({"contactEmail": "anna@acme"}, "contactEmail"),
        ({"contactEmail": "anna@müller.de"}, "contactEmail"),
        ({"hints": {"emails": ["anna@acme.com", "x@acme.com#.evil.example"]}}, "emails"),
        ({"hints": {"domain": "acme.com#.evil.example"}}, "domain"),
        ({"createdAt": "yesterday"}, "createdAt"),
        ({"hints": "Acme"}, "hints"),
        ({"hints": {"emails": "anna@acme.com"}}, "emails"),
        ({"hints": {"name": "Acme"}}, "name"),
        ({"tier": "pro"}, "tier"),
        ({"minConfidence": 0.5}, "minConfidence"),
    ],
)
def test_the_service_refuses_bad_input(
    client: ChatarminOS, service: FakeTransport, change: dict[str, Any], field: str
) -> None:
    """The refusal names blank, mistyped and unknown fields, and nothing is created."""
    before = service.snapshot()

    with pytest.raises(BadRequestError) as refusal:
        client.call(OnboardInput.path, {"externalOrgId": "org_1", **change})

    assert field in refusal.value.message
    assert before == service.snapshot()


def test_bad_input_is_reported_before_missing_rows(client: ChatarminOS) -> None:
    """The input is validated before the tier is looked up."""
    with pytest.raises(BadRequestError):
        client.onboard(external_org_id="org_1", contact_email="anna", tier_code="platinum")


def test_missing_rows_are_reported_before_conflicts(client: ChatarminOS, service: FakeTransport) -> None:
    """A tier that does not exist is reported before a checkout that another company has claimed."""
    arguments = other_companys_checkout(client, service)

    with pytest.raises(NotFoundError):
        client.onboard(external_org_id="org_1", tier_code="platinum", **arguments)


# Repeated calls


def test_without_billing_it_can_be_repeated(client: ChatarminOS) -> None:
    """The second call finds the link of the first and creates neither a company nor a contact."""
    hints = Hints(company_name="Acme", domain="acme.com", emails=("anna@acme.com",))
    first = client.onboard(external_org_id="org_1", hints=hints, contact_email="anna@acme.com", contact_name="Anna")

    again = client.onboard(external_org_id="org_1", hints=hints, contact_email="anna@acme.com", contact_name="Anna")

    expected = OnboardResult(
        company_id=first.company_id, company_name="Acme", link_status="already_linked", billing_status=None
    )
    assert expected == again
    only = [("anna@acme.com", "Anna", True)]
    assert only == contacts(client, first.company_id)


@pytest.mark.parametrize("billing", ["tier", "checkout", "checkout and tier", "subscription", "subscription and tier"])
def test_with_billing_it_can_be_repeated(client: ChatarminOS, service: FakeTransport, billing: str) -> None:
    """The second call returns the same billing status and leaves accesses, usage, billing and revenue unchanged."""
    # Given
    arguments: dict[str, Any] = {"external_org_id": "org_1", "contact_email": "anna@acme.com"}
    if "tier" in billing:
        arguments["tier_code"] = "enterprise"
    if "checkout" in billing:
        arguments["checkout_session_id"] = service.stripe.add_checkout_session(PRO_PRICES)
    if "subscription" in billing:
        arguments["stripe_subscription_id"] = service.stripe.add_subscription(PRO_PRICES)
    first = client.onboard(**arguments)
    if billing != "subscription":
        client.billing.track_usage(company_id=first.company_id, feature_code="ai_credit", quantity=7)
    before = [
        client.features.list_access(first.company_id),
        client.billing.get_status(first.company_id),
        client.contacts.list(first.company_id),
        service.mrr(first.company_id),
    ]

    # When
    again = client.onboard(**arguments)

    # Then
    expected = OnboardResult(
        company_id=first.company_id,
        company_name="org_1",
        link_status="already_linked",
        billing_status=first.billing_status,
    )
    after = [
        client.features.list_access(first.company_id),
        client.billing.get_status(first.company_id),
        client.contacts.list(first.company_id),
        service.mrr(first.company_id),
    ]
    assert expected == again
    assert before == after


def test_a_second_id_may_bring_the_same_checkout(client: ChatarminOS, service: FakeTransport) -> None:
    """A checkout may be given again with another id that leads to the company that claimed it."""
    session_id = service.stripe.add_checkout_session(PRO_PRICES)
    hints = Hints(company_name="Acme")
    first = client.onboard(external_org_id="org_1", hints=hints, checkout_session_id=session_id)

    second = client.onboard(external_org_id="org_2", hints=hints, checkout_session_id=session_id)

    expected = OnboardResult(
        company_id=first.company_id,
        company_name="Acme",
        link_status="linked",
        billing_status=first.billing_status,
    )
    assert expected == second


def test_a_lower_tier_replaces_a_higher_one(client: ChatarminOS) -> None:
    """Applying is literal: a lower tier code withdraws the features of the higher tier."""
    client.onboard(external_org_id="org_1", tier_code="enterprise")

    result = client.onboard(external_org_id="org_1", tier_code="free")

    assert LIMITS["free"] == enabled(client, result.company_id)


def test_a_tier_replaces_an_access_set_by_hand(client: ChatarminOS) -> None:
    """Applying is literal: it rewrites an access to a feature of the tier that was set by hand."""
    # Given
    company = client.companies.create(name="Acme", external_org_id="org_1")
    client.features.set_access(
        company_id=company.id, feature_code="seats", is_enabled=True, quantity_limit=None, source="manual"
    )
    client.features.set_access(company_id=company.id, feature_code="sso", is_enabled=True, source="manual")

    # When
    client.onboard(external_org_id="org_1", tier_code="free")

    # Then
    seats = client.features.check(company_id=company.id, feature_code="seats")
    expected = (3, 3, "subscription")
    assert expected == (seats.quantity_limit, seats.included_quantity, seats.source)
    assert {**LIMITS["free"], "sso": None} == enabled(client, company.id)


def test_without_a_tier_code_accesses_stay(client: ChatarminOS) -> None:
    """A call without billing leaves the accesses of a known company unchanged."""
    company = client.companies.create(name="Acme", external_org_id="org_1")
    client.tiers.apply("enterprise", company_id=company.id)
    before = client.features.list_access(company.id)

    client.onboard(external_org_id="org_1", contact_email="anna@acme.com")

    assert before == client.features.list_access(company.id)


def test_usage_stays(client: ChatarminOS) -> None:
    """A tier that is applied by onboarding leaves the usage so far unchanged."""
    result = client.onboard(external_org_id="org_1", tier_code="pro")
    client.billing.track_usage(company_id=result.company_id, feature_code="ai_credit", quantity=150)

    client.onboard(external_org_id="org_1", tier_code="free")

    access = client.features.check(company_id=result.company_id, feature_code="ai_credit")
    expected = (150, 100, 0, False)
    assert expected == (access.current_usage, access.quantity_limit, access.remaining, access.can_use)


# Warnings in docstrings


def test_the_docstrings_warn_about_hints() -> None:
    """Both calls that take hints say to pass verified hints only."""
    docstrings = [ChatarminOS.onboard.__doc__ or "", ChatarminOS.in_memory().companies.smart_link.__doc__ or ""]

    word = "verified"
    assert all(word in docstring for docstring in docstrings)


@pytest.mark.parametrize("word", ["sign-up", "log-in", "link_status"])
def test_the_docstring_says_when_to_onboard(word: str) -> None:
    """The docstring says to call at sign-up, not at log-in, and to look at the link status."""
    docstring = ChatarminOS.onboard.__doc__ or ""

    assert word in docstring
