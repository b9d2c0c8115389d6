"""Scenarios that were recorded from tRPC itself, replayed here; together they exercise every assumption.

`python tests/recorded/record.py` records them again.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from prepare import CANCELLED, CLAIMED, CUSTOMER, FOREIGN, NAMED, OPEN, OTHER, PAID, SUBSCRIPTION

from chatarmin_os import (
    ApiError,
    BadRequestError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    UsageLimitError,
)

if TYPE_CHECKING:
    from chatarmin_os import ChatarminOS

NOBODY = "00000000-0000-4000-8000-000000000000"


def _refused(client: ChatarminOS, path: str, given: dict[str, Any]) -> str:
    """Return the code with which the service refuses an input that the client's methods would not send."""
    with pytest.raises(ApiError) as refused:
        client.call(path, given)
    return refused.value.code


def _created(client: ChatarminOS, org: str, **more: Any) -> str:
    return client.companies.create(name=f"Company of {org}", external_org_id=org, **more).id


def test_a_sign_up(recorded_os: ChatarminOS) -> None:
    """A company signs up, returns, pays, and is distinguished from others."""
    client = recorded_os
    created = client.onboard(
        external_org_id="org_signup",
        hints={"company_name": "Massive Dynamic GmbH", "domain": "massive.example"},
        tier_code="free",
        contact_email="nina@massive.example",
        contact_name="Nina",
    )
    assert created.link_status == "created"
    assert created.company_id
    company = created.company_id
    again = client.onboard(external_org_id="org_signup", contact_email="walter@massive.example")
    assert (again.link_status, again.company_id, again.billing_status) == ("already_linked", company, None)
    assert [contact.is_primary for contact in client.contacts.list(company)] == [True, False]

    linked = client.onboard(external_org_id="org_signup_2", hints={"domain": "globex.example"})
    assert (linked.link_status, linked.company_name) == ("linked", "Globex Corporation")
    suggested = client.onboard(external_org_id="org_signup_3", hints={"company_name": "Umbrella Lab"})
    assert suggested.link_status == "created"

    paid = client.onboard(external_org_id="org_signup_4", checkout_session_id=NAMED)
    assert (paid.company_name, paid.billing_status and paid.billing_status.claimed) == ("Vehement Capital", True)
    assert paid.company_id
    assert client.billing.get_status(paid.company_id).enabled_features_count == 4
    named_by_its_domain = client.onboard(external_org_id="org_signup_5", hints={"domain": "soylent.example"})
    assert named_by_its_domain.company_name == "soylent.example"
    subscribed = client.onboard(
        external_org_id="org_signup_6", stripe_subscription_id=SUBSCRIPTION, tier_code="enterprise"
    )
    assert subscribed.billing_status
    assert (subscribed.billing_status.linked, subscribed.billing_status.tier_applied) == (True, True)


def test_refused_sign_ups(recorded_os: ChatarminOS) -> None:
    """A refused sign-up leaves nothing behind."""
    client = recorded_os
    with pytest.raises(NotFoundError):
        client.onboard(external_org_id="org_refused", tier_code="gold")
    with pytest.raises(NotFoundError):
        client.onboard(external_org_id="org_refused", checkout_session_id="cs_test_nothing")
    with pytest.raises(BadRequestError):
        client.onboard(external_org_id="org_refused", checkout_session_id=OPEN)
    with pytest.raises(ConflictError):
        client.onboard(external_org_id="org_refused", checkout_session_id=FOREIGN)
    with pytest.raises(BadRequestError):
        client.onboard(external_org_id="org_refused", stripe_subscription_id=CANCELLED)
    both = {"checkoutSessionId": PAID, "stripeSubscriptionId": SUBSCRIPTION}
    assert _refused(client, "onboard", {"externalOrgId": "org_refused", **both}) == "BAD_REQUEST"
    assert client.companies.get_by_product_link(external_org_id="org_refused") is None


def test_smart_linking(recorded_os: ChatarminOS) -> None:
    """Every way to find a company, and hints that find none."""
    smart_link = recorded_os.companies.smart_link
    known = smart_link(external_org_id="org_hooli", hints={"domain": "globex.example"})
    assert (known.status, known.customer_name, known.confidence) == ("already_linked", "Hooli", 100)
    by_name = smart_link(external_org_id="org_smart_1", hints={"company_name": "INITECH, Inc."})
    assert (by_name.status, by_name.confidence) == ("linked", 80)
    by_domain = smart_link(external_org_id="org_smart_2", hints={"domain": "https://www.Globex.example/about"})
    assert (by_domain.status, by_domain.confidence) == ("linked", 95)
    by_email = smart_link(external_org_id="org_smart_3", hints={"emails": ["bob@works.example"]})
    assert (by_email.status, by_email.confidence) == ("linked", 70)
    similar = smart_link(external_org_id="org_smart_4", hints={"company_name": "Umbrella Lab"})
    assert similar.status == "suggestions"
    assert similar.suggestions[0].reason == "name"
    contact = smart_link(external_org_id="org_smart_4", hints={"emails": ["dinesh@piper.example"]})
    assert [(one.customer_name, one.reason) for one in contact.suggestions] == [("Hooli", "email_domain")]
    elsewhere = smart_link(
        external_org_id="org_smart_4", hints={"company_name": "Globex", "domain": "globex-two.example"}
    )
    assert elsewhere.status == "suggestions"
    recorded_os.companies.create(name="Corner Bakery", external_org_id="org_smart_5", domain="gmail.com")
    free = smart_link(external_org_id="org_smart_4", hints={"domain": "gmail.com", "emails": ["bob@gmx.de"]})
    assert free.status == "no_match"
    assert smart_link(external_org_id="org_smart_4").status == "no_match"
    outside = {"externalOrgId": "org_smart_4", "minConfidence": 60}
    assert _refused(recorded_os, "companies.smartLink", outside) == "BAD_REQUEST"


def test_companies(recorded_os: ChatarminOS) -> None:
    """A company is created, found and changed."""
    client = recorded_os
    created = client.companies.create(
        name="Süß & Söhne",
        external_org_id="org_company",
        domain="HTTPS://www.Suess.example/",
        contact_email="berta@suess.example",
        created_at=datetime(2024, 1, 15, 10, 30, tzinfo=UTC),
    )
    assert [contact.is_primary for contact in client.contacts.list(created.id)] == [True]
    assert (created.short_id, created.domain) == ("su-sohne", "suess.example")
    assert client.companies.get_by_product_link(external_org_id="org_company") == created
    with pytest.raises(ConflictError):
        client.companies.create(name="Another", external_org_id="org_company")
    changed = client.companies.update(company_id=created.id, created_at=datetime(2023, 5, 1, tzinfo=UTC))
    assert changed.created_at == datetime(2023, 5, 1, tzinfo=UTC)


def test_contacts(recorded_os: ChatarminOS) -> None:
    """Contacts are created, changed, listed, and refused as a whole."""
    client = recorded_os
    hooli = client.companies.get_by_product_link(external_org_id="org_hooli")
    assert hooli
    changed = client.contacts.create(company_id=hooli.id, email="Richard@PIPER.example", metadata={"floor": 2})
    assert (changed.is_new, changed.role, changed.metadata) == (False, "owner", {"seat": 1, "floor": 2})
    client.contacts.create(company_id=hooli.id, email="jian@hooli.example", name="Jian", is_primary=True)
    result = client.contacts.bulk_upsert(
        company_id=hooli.id,
        contacts=[{"email": "big@hooli.example"}, {"email": "jian@hooli.example", "role": "admin"}],
    )
    assert (result.created, result.updated) == (1, 1)
    entries = [{"email": "fine@hooli.example"}, {"email": "broken"}]
    assert _refused(client, "contacts.bulkUpsert", {"companyId": hooli.id, "contacts": entries}) == "BAD_REQUEST"
    assert [contact.email for contact in client.contacts.list(hooli.id, primary_only=True)] == ["jian@hooli.example"]
    assert len(client.contacts.list(hooli.id)) == 4


def test_access(recorded_os: ChatarminOS) -> None:
    """An access is missing, given, changed, expired, and refused."""
    client = recorded_os
    company, features = _created(client, "org_access"), client.features
    assert not features.check(company_id=company, feature_code="seats").is_enabled
    assert len(features.list_access(company)) == 5
    given = features.set_access(company_id=company, feature_code="seats", config={"theme": {"dark": True}})
    assert (given.is_enabled, given.quantity_limit, given.source) == (False, 0, "api")
    features.set_access(
        company_id=company, feature_code="seats", is_enabled=True, quantity_limit=5, config={"beta": True}
    )
    access = features.check_by_external_org_id("org_access", "seats")
    assert (access.can_use, access.config_values) == (True, {"theme": {"dark": True}, "beta": True})
    client.billing.track_usage(company_id=company, feature_code="seats", quantity=4, idempotency_key="access-1")
    assert features.set_access(company_id=company, feature_code="seats", quantity_limit=3).remaining == 0
    client.features.set_access(company_id=company, feature_code="sso", is_enabled=True)
    past = datetime(2024, 1, 1, tzinfo=UTC)
    features.set_access(company_id=company, feature_code="sso", valid_until=past, source="trial")
    assert not features.check(company_id=company, feature_code="sso").is_enabled
    assert features.get_access_by_external_org_id("org_access").company_id == company
    with pytest.raises(BadRequestError):
        features.set_access(company_id=company, feature_code="sso", quantity_limit=3)
    negative = {"companyId": company, "featureCode": "seats", "quantityLimit": -1}
    assert _refused(client, "features.setAccess", negative) == "BAD_REQUEST"
    assert _refused(client, "features.setAccess", {"featureCode": "seats", "isEnabled": True}) == "BAD_REQUEST"
    assert features.check_by_external_org_id("org_access", "seats").current_usage == 4


def test_usage(recorded_os: ChatarminOS) -> None:
    """Usage up to the limit and past it, and repeated events."""
    client = recorded_os
    company = _created(client, "org_usage")
    client.tiers.apply("free", company_id=company, features={"ai_credit": {"included_quantity": 2, "max_quantity": 10}})
    track: dict[str, Any] = {"company_id": company, "feature_code": "ai_credit"}
    first = client.billing.track_usage(**track, quantity=4, idempotency_key="usage-1")
    assert (first.remaining, first.billable_quantity) == (6, 2)
    assert client.billing.track_usage(**track, quantity=4, idempotency_key="usage-1") == first
    with pytest.raises(ConflictError):
        client.billing.track_usage(**track, quantity=5, idempotency_key="usage-1")
    assert client.billing.track_usage(**track, quantity=0.5, idempotency_key="usage-2").current_usage == 4.5
    with pytest.raises(UsageLimitError):
        client.billing.track_usage(**track, quantity=6, idempotency_key="usage-3")
    assert client.features.check(**track).current_usage == 4.5
    assert client.billing.track_usage(**track, quantity=5.5, idempotency_key="usage-3").is_at_limit
    with pytest.raises(ForbiddenError):
        client.billing.track_usage(company_id=company, feature_code="team_seats", quantity=1, idempotency_key="usage-4")
    with pytest.raises(BadRequestError):
        client.billing.track_usage(company_id=company, feature_code="sso", quantity=1, idempotency_key="usage-5")
    nothing = {"companyId": company, "featureCode": "ai_credit", "quantity": 0}
    assert _refused(client, "billing.trackUsage", nothing) == "BAD_REQUEST"
    client.features.set_access(company_id=company, feature_code="ai_credit", is_enabled=False)
    assert client.billing.track_usage(**track, quantity=4, idempotency_key="usage-1") == first
    client.tiers.apply("pro", company_id=company)
    assert client.features.check(**track).current_usage == 10


def test_tiers(recorded_os: ChatarminOS) -> None:
    """Tiers are listed, and applied one after the other."""
    client = recorded_os
    assert [tier.code for tier in client.tiers.list()] == ["free", "trial", "pro", "enterprise"]
    for code in ("free", "pro", "enterprise"):
        assert client.tiers.get(code).features
    company = _created(client, "org_tiers")
    client.features.set_access(company_id=company, feature_code="sso", is_enabled=True, source="manual")
    assert client.tiers.apply("enterprise", company_id=company).features_applied == 5
    client.features.set_access(company_id=company, feature_code="api_access", source="manual")
    overridden = client.subscriptions.create("free", company_id=company, features={"seats": {"max_quantity": 7}})
    assert overridden.features_applied == 2
    by_code = {access.feature_code: access for access in client.features.list_access(company)}
    assert (by_code["seats"].quantity_limit, by_code["team_seats"].is_enabled) == (7, False)
    assert by_code["api_access"].is_enabled
    outside = {"tierCode": "free", "companyId": company, "features": {"sso": {"max_quantity": None}}}
    assert _refused(client, "tiers.apply", outside) == "BAD_REQUEST"
    misspelt = {"tierCode": "free", "companyId": company, "features": {"seats": {"maxQuantity": 7}}}
    assert _refused(client, "tiers.apply", misspelt) == "BAD_REQUEST"
    with pytest.raises(NotFoundError):
        client.tiers.get("gold")
    assert client.billing.get_status(company).enabled_features_count == 3


def test_billing(recorded_os: ChatarminOS) -> None:
    """Checkouts are claimed and subscriptions linked, repeatedly, and not those of another company."""
    client, billing = recorded_os, recorded_os.billing
    company = _created(client, "org_billing")
    claimed = billing.claim_checkout(company_id=company, checkout_session_id=PAID)
    assert not claimed.already_claimed
    assert client.features.check(company_id=company, feature_code="ai_credit").quantity_limit == 10000
    assert billing.claim_checkout(company_id=company, checkout_session_id=PAID).already_claimed
    with pytest.raises(NotFoundError):
        billing.claim_checkout(company_id=company, checkout_session_id="cs_test_nothing")
    with pytest.raises(BadRequestError):
        billing.claim_checkout(company_id=company, checkout_session_id=OPEN)
    hooli = client.companies.get_by_product_link(external_org_id="org_hooli")
    assert hooli
    assert billing.claim_checkout(company_id=hooli.id, checkout_session_id=FOREIGN).already_claimed
    assert len(billing.get_status(hooli.id).active_subscriptions) == 2
    with pytest.raises(ConflictError):
        billing.claim_checkout(company_id=company, checkout_session_id=FOREIGN)
    own = billing.link_subscription(
        company_id=company, stripe_subscription_id=SUBSCRIPTION, stripe_customer_id=CUSTOMER
    )
    assert not own.already_linked
    with pytest.raises(BadRequestError):
        billing.link_subscription(
            company_id=company, stripe_subscription_id=SUBSCRIPTION, stripe_customer_id="cus_somebody"
        )
    linked = billing.link_subscription(company_id=company, stripe_subscription_id=OTHER, display_name="Add-on")
    assert (linked.already_linked, linked.features_applied) == (False, 0)
    again = billing.link_subscription(company_id=company, stripe_subscription_id=OTHER, tier_code="enterprise")
    assert (again.already_linked, again.features_applied) == (True, 5)
    with pytest.raises(ConflictError):
        billing.link_subscription(company_id=company, stripe_subscription_id=CLAIMED)
    with pytest.raises(BadRequestError):
        billing.link_subscription(company_id=company, stripe_subscription_id=CANCELLED)
    with pytest.raises(NotFoundError):
        billing.link_subscription(company_id=company, stripe_subscription_id="sub_nothing")
    status = billing.get_status(company)
    assert [one.tier and one.tier.name for one in status.active_subscriptions] == ["Pro", "Pro", "Enterprise"]
    assert status.enabled_features_count == 5


def test_links(recorded_os: ChatarminOS) -> None:
    """Links are created, repeated, refused, and all deleted."""
    client = recorded_os
    company, other = _created(client, "org_links"), _created(client, "org_links_2")
    link = client.links.create(company_id=company, external_org_id="store_vienna", label="Store Vienna")
    again = client.links.create(company_id=company, external_org_id="store_vienna", external_user_id="user_1")
    assert (again.label, again.external_user_id) == (link.label, "user_1")
    with pytest.raises(ConflictError):
        client.links.create(company_id=other, external_org_id="store_vienna")
    assert client.features.check_by_external_org_id("store_vienna", "seats").has_quantity
    client.tiers.apply("free", company_id=company)
    client.billing.track_usage(company_id=company, feature_code="seats", quantity=2, idempotency_key="links-1")
    assert client.links.reset(delete_contacts=True).links_deleted == 4
    with pytest.raises(NotFoundError):
        client.features.get_access_by_external_org_id("store_vienna")
    assert client.companies.get_by_product_link(external_org_id="org_links") is None
    assert client.features.check(company_id=company, feature_code="seats").current_usage == 2


def test_bad_inputs(recorded_os: ChatarminOS) -> None:
    """Misspelt keys, blank and malformed values, and ids of no company are refused."""
    client = recorded_os
    company = _created(client, "org_inputs")
    refusals: dict[str, tuple[str, dict[str, Any]]] = {
        "unknown key": ("features.check", {"companyId": company, "featureCode": "seats", "feature": "seats"}),
        "blank": ("companies.create", {"name": " ", "externalOrgId": "org_inputs_2"}),
        "address": ("contacts.create", {"companyId": company, "email": "nobody"}),
        "avatar": ("contacts.create", {"companyId": company, "email": "a@inputs.example", "avatarUrl": "/a.png"}),
        "domain": ("companies.smartLink", {"externalOrgId": "org_inputs_2", "hints": {"domain": "localhost"}}),
    }
    for path, given in refusals.values():
        assert _refused(client, path, given) == "BAD_REQUEST"
    for nobody in (NOBODY, "nobody"):
        with pytest.raises(NotFoundError):
            client.features.list_access(nobody)
    with pytest.raises(NotFoundError):
        client.features.check(company_id=company, feature_code="teleport")
