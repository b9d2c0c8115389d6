"""Linking by hand, and deleting all links of the product."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from chatarmin_os import BadRequestError, ConflictError, InvalidInput, Link, NotFoundError, ResetResult

if TYPE_CHECKING:
    from chatarmin_os import ChatarminOS
    from chatarmin_os.fake import FakeTransport

PRO_PRICES = ["price_pro_base", "price_pro_ai_credit", "price_pro_seats"]


def linked_id(client: ChatarminOS, external_org_id: str) -> str | None:
    """Return the id of the company that an external org id leads to."""
    company = client.companies.get_by_product_link(external_org_id=external_org_id)
    return None if company is None else company.id


def test_a_link_by_hand_leads_to_its_company(client: ChatarminOS, service: FakeTransport) -> None:
    """A link made by hand is returned with all its values, and leads to its company."""
    company_id = service.add_company("Acme")

    link = client.links.create(
        company_id=company_id, external_org_id="org_1", label="Store Vienna", external_user_id="user_1"
    )

    expected = Link(company_id=company_id, external_org_id="org_1", label="Store Vienna", external_user_id="user_1")
    assert expected == link
    assert company_id == linked_id(client, "org_1")


def test_label_and_user_may_be_missing(client: ChatarminOS, service: FakeTransport) -> None:
    """A link needs neither label nor user, and returns None for them."""
    company_id = service.add_company("Acme")

    link = client.links.create(company_id=company_id, external_org_id="org_1")

    assert Link(company_id=company_id, external_org_id="org_1", label=None, external_user_id=None) == link


def test_a_company_may_have_many_links(client: ChatarminOS) -> None:
    """Several external org ids may lead to the same company."""
    company = client.companies.create(name="Acme", external_org_id="org_1")

    client.links.create(company_id=company.id, external_org_id="org_2", label="Store Vienna")
    client.links.create(company_id=company.id, external_org_id="org_3", label="Store Vienna")

    expected = [company.id] * 3
    assert expected == [linked_id(client, external_org_id) for external_org_id in ("org_1", "org_2", "org_3")]


def test_the_same_link_again_updates_label_and_user(client: ChatarminOS, service: FakeTransport) -> None:
    """Making a link again is harmless: it gets the new label and user and stays one link."""
    # Given
    company_id = service.add_company("Acme")
    client.links.create(company_id=company_id, external_org_id="org_1", label="Vienna", external_user_id="user_1")

    # When
    again = client.links.create(company_id=company_id, external_org_id="org_1", label="Graz", external_user_id="user_2")

    # Then
    assert Link(company_id=company_id, external_org_id="org_1", label="Graz", external_user_id="user_2") == again
    assert company_id == linked_id(client, "org_1")
    assert ResetResult(links_deleted=1, contacts_deleted=0) == client.links.reset()


def test_an_id_linked_to_another_company_is_a_conflict(client: ChatarminOS, service: FakeTransport) -> None:
    """A link is never moved to another company."""
    # Given
    acme = client.companies.create(name="Acme", external_org_id="org_1")
    globex_id = service.add_company("Globex")
    before = service.snapshot()

    # When
    with pytest.raises(ConflictError):
        client.links.create(company_id=globex_id, external_org_id="org_1", label="Vienna")

    # Then
    assert before == service.snapshot()
    assert acme.id == linked_id(client, "org_1")


@pytest.mark.parametrize("company_id", ["00000000-0000-4000-8000-000000000000", "not-a-uuid"])
@pytest.mark.parametrize("external_org_id", ["org_free", "org_taken"])
def test_an_unknown_company_cannot_be_linked(
    client: ChatarminOS, service: FakeTransport, company_id: str, external_org_id: str
) -> None:
    """An unknown or malformed company id is not found, whether the external org id is free or not."""
    client.companies.create(name="Acme", external_org_id="org_taken")
    before = service.snapshot()

    with pytest.raises(NotFoundError):
        client.links.create(company_id=company_id, external_org_id=external_org_id)

    assert before == service.snapshot()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"externalOrgId": ""}, "externalOrgId"),
        ({"externalOrgId": " "}, "externalOrgId"),
        ({"externalOrgId": 7}, "externalOrgId"),
        ({"companyId": ""}, "companyId"),
        ({"label": 7}, "label"),
        ({"externalUserId": 7}, "externalUserId"),
        ({"lable": "Vienna"}, "lable"),
    ],
)
def test_the_service_refuses_a_bad_link(
    client: ChatarminOS, service: FakeTransport, change: dict[str, Any], field: str
) -> None:
    """The refusal names blank, mistyped and unknown fields, and no link is created."""
    company_id = service.add_company("Acme")
    before = service.snapshot()

    with pytest.raises(BadRequestError) as refusal:
        client.call("links.create", {"companyId": company_id, "externalOrgId": "org_1", **change})

    assert field in refusal.value.message
    assert before == service.snapshot()


@pytest.mark.parametrize("field", ["company_id", "external_org_id", "label", "external_user_id"])
def test_blank_text_is_not_sent(client: ChatarminOS, service: FakeTransport, field: str) -> None:
    """The client itself refuses blank text and names the argument."""
    arguments = {"company_id": "c", "external_org_id": "org_1", "label": "Vienna", "external_user_id": "user_1"}

    with pytest.raises(InvalidInput) as refusal:
        client.links.create(**{**arguments, field: "  "})

    assert field == refusal.value.field
    assert not service.calls


def test_a_reset_deletes_every_link(client: ChatarminOS, service: FakeTransport) -> None:
    """A reset counts and deletes all links of the product, however they were created."""
    # Given
    acme = client.companies.create(name="Acme", external_org_id="org_1", domain="acme.com")
    client.links.create(company_id=acme.id, external_org_id="org_2")
    client.links.create(company_id=service.add_company("Globex"), external_org_id="org_3")
    client.companies.smart_link(external_org_id="org_4", hints={"domain": "acme.com"})

    # When
    result = client.links.reset()

    # Then
    assert ResetResult(links_deleted=4, contacts_deleted=0) == result
    assert not any(linked_id(client, f"org_{number}") for number in (1, 2, 3, 4))


def test_a_reset_of_nothing_deletes_nothing(client: ChatarminOS) -> None:
    """Without links and contacts a reset returns two zeros, the second time as well."""
    client.companies.create(name="Acme", external_org_id="org_1")
    client.links.reset(delete_contacts=True, reset_mrr=True)

    assert ResetResult(links_deleted=0, contacts_deleted=0) == client.links.reset(delete_contacts=True, reset_mrr=True)


def test_a_reset_frees_the_ids(client: ChatarminOS, service: FakeTransport) -> None:
    """After a reset an external org id may be linked to any company."""
    client.companies.create(name="Acme", external_org_id="org_1")
    globex_id = service.add_company("Globex")
    client.links.reset()

    client.links.create(company_id=globex_id, external_org_id="org_1")

    assert globex_id == linked_id(client, "org_1")


def test_companies_accesses_and_usage_stay(client: ChatarminOS) -> None:
    """A reset deletes links and leaves accesses and usage unchanged."""
    # Given
    company = client.companies.create(name="Acme", external_org_id="org_1", domain="acme.com")
    client.tiers.apply("pro", company_id=company.id)
    client.features.set_access(company_id=company.id, feature_code="sso", is_enabled=True, source="manual")
    client.billing.track_usage(company_id=company.id, feature_code="ai_credit", quantity=42)
    before = client.features.list_access(company.id)

    # When
    client.links.reset(delete_contacts=True, reset_mrr=True)

    # Then
    assert before == client.features.list_access(company.id)

    # When
    client.links.create(company_id=company.id, external_org_id="org_9")

    # Then
    assert company == client.companies.get_by_product_link(external_org_id="org_9")


def test_billing_stays(client: ChatarminOS, service: FakeTransport) -> None:
    """A reset leaves billing profile and subscriptions of a company unchanged."""
    company = client.companies.create(name="Acme", external_org_id="org_1")
    session_id = service.stripe.add_checkout_session(PRO_PRICES)
    client.billing.claim_checkout(company_id=company.id, checkout_session_id=session_id)
    before = client.billing.get_status(company.id)

    client.links.reset(delete_contacts=True, reset_mrr=True)

    assert before == client.billing.get_status(company.id)


def test_contacts_stay_by_default(client: ChatarminOS) -> None:
    """A plain reset deletes no contact."""
    company = client.companies.create(name="Acme", external_org_id="org_1", contact_email="anna@acme.com")
    before = client.contacts.list(company.id)

    result = client.links.reset(reset_mrr=True)

    assert ResetResult(links_deleted=1, contacts_deleted=0) == result
    assert before == client.contacts.list(company.id)


def test_contacts_are_deleted_with_delete_contacts(client: ChatarminOS) -> None:
    """With delete_contacts a reset deletes and counts the contacts of every company."""
    # Given
    acme = client.companies.create(name="Acme", external_org_id="org_1", contact_email="anna@acme.com")
    globex = client.companies.create(name="Globex", external_org_id="org_2", contact_email="hank@globex.com")
    client.contacts.create(company_id=acme.id, email="berta@acme.com")

    # When
    result = client.links.reset(delete_contacts=True)

    # Then
    assert ResetResult(links_deleted=2, contacts_deleted=3) == result
    assert not client.contacts.list(acme.id)
    assert not client.contacts.list(globex.id)


def test_a_deleted_contact_is_new_again(client: ChatarminOS) -> None:
    """A contact that a reset deleted is created again, without its former values."""
    company = client.companies.create(
        name="Acme", external_org_id="org_1", contact_email="anna@acme.com", contact_name="Anna"
    )
    client.links.reset(delete_contacts=True)

    contact = client.contacts.create(company_id=company.id, email="anna@acme.com")

    assert contact.is_new
    assert contact.name is None


def test_mrr_stays_by_default(client: ChatarminOS, service: FakeTransport) -> None:
    """A plain reset leaves the monthly revenue of a company unchanged."""
    company = client.companies.create(name="Acme", external_org_id="org_1")
    session_id = service.stripe.add_checkout_session(PRO_PRICES)
    client.billing.claim_checkout(company_id=company.id, checkout_session_id=session_id)

    client.links.reset(delete_contacts=True)

    expected = 4900
    assert expected == service.mrr(company.id)


def test_mrr_is_zero_after_its_reset(client: ChatarminOS, service: FakeTransport) -> None:
    """With reset_mrr a reset sets the monthly revenue of every company to zero."""
    # Given
    companies = [client.companies.create(name="Acme", external_org_id=f"org_{number}") for number in (1, 2)]
    for company in companies:
        session_id = service.stripe.add_checkout_session(PRO_PRICES)
        client.billing.claim_checkout(company_id=company.id, checkout_session_id=session_id)

    # When
    client.links.reset(reset_mrr=True)

    # Then
    expected = [0, 0]
    assert expected == [service.mrr(company.id) for company in companies]


def test_mrr_follows_the_subscriptions(client: ChatarminOS, service: FakeTransport) -> None:
    """Monthly revenue rises by the base fee of each subscription's tier and falls when one is cancelled."""
    company_id = service.add_company("Acme")
    first = service.stripe.add_subscription(PRO_PRICES)
    second = service.stripe.add_subscription([])
    seen = [service.mrr(company_id)]

    client.billing.link_subscription(company_id=company_id, stripe_subscription_id=first)
    seen.append(service.mrr(company_id))
    client.billing.link_subscription(company_id=company_id, stripe_subscription_id=second, tier_code="enterprise")
    seen.append(service.mrr(company_id))
    service.stripe.cancel(first)
    seen.append(service.mrr(company_id))
    service.stripe.cancel(second)
    seen.append(service.mrr(company_id))

    expected = [0, 4900, 54800, 49900, 0]
    assert expected == seen


def test_a_tier_without_subscription_raises_no_mrr(client: ChatarminOS, service: FakeTransport) -> None:
    """A tier that is applied without a subscription adds no monthly revenue."""
    company_id = service.add_company("Acme")

    client.tiers.apply("pro", company_id=company_id)

    expected = 0
    assert expected == service.mrr(company_id)


def test_linking_again_raises_no_mrr(client: ChatarminOS, service: FakeTransport) -> None:
    """The fee that counts is that of the tier a subscription had when it became active, counted once."""
    company_id = service.add_company("Acme")
    subscription_id = service.stripe.add_subscription(PRO_PRICES)
    seen = []

    for tier_code in ("pro", "pro", "enterprise"):
        client.billing.link_subscription(
            company_id=company_id, stripe_subscription_id=subscription_id, tier_code=tier_code
        )
        seen.append(service.mrr(company_id))
    service.stripe.cancel(subscription_id)
    seen.append(service.mrr(company_id))

    expected = [4900, 4900, 4900, 0]
    assert expected == seen


def test_mrr_is_never_below_zero(client: ChatarminOS, service: FakeTransport) -> None:
    """Cancelling after a reset of the monthly revenue leaves it at zero."""
    company_id = service.add_company("Acme")
    subscription_id = service.stripe.add_subscription(PRO_PRICES)
    client.billing.link_subscription(company_id=company_id, stripe_subscription_id=subscription_id)
    client.links.reset(reset_mrr=True)

    service.stripe.cancel(subscription_id)

    expected = 0
    assert expected == service.mrr(company_id)


def test_a_subscription_after_the_reset_counts(client: ChatarminOS, service: FakeTransport) -> None:
    """Monthly revenue grows again after its reset."""
    company_id = service.add_company("Acme")
    client.links.reset(reset_mrr=True)

    client.billing.link_subscription(
        company_id=company_id, stripe_subscription_id=service.stripe.add_subscription(PRO_PRICES)
    )

    expected = 4900
    assert expected == service.mrr(company_id)


@pytest.mark.parametrize("payload", [{"deleteContacts": "yes"}, {"resetMrr": 1}, {"deleteContact": True}])
def test_a_bad_reset_deletes_nothing(client: ChatarminOS, service: FakeTransport, payload: dict[str, Any]) -> None:
    """The refusal names mistyped and unknown keys, and every link stays."""
    client.companies.create(name="Acme", external_org_id="org_1", contact_email="anna@acme.com")
    before = service.snapshot()

    with pytest.raises(BadRequestError) as refusal:
        client.call("links.reset", payload)

    assert next(iter(payload)) in refusal.value.message
    assert before == service.snapshot()
