"""Signing up: found by link, else linked by a verified domain, else created; never matched by name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from chatarmin_os import BadRequestError, ChatarminOS, InvalidInput, NotFoundError

if TYPE_CHECKING:
    from chatarmin_os.fake import FakeTransport


def _limit(client: ChatarminOS, company_id: str) -> float | None:
    return client.features.check(company_id=company_id, feature_code="ai_credit").quantity_limit


def test_a_new_customer_is_created_on_the_starting_tier(client: ChatarminOS) -> None:
    """An unknown company is created with its name, domain, age and contact, and has the tier's limits."""
    result = client.sign_up(
        external_org_id="org_1",
        name="Acme Inc",
        verified_domain="https://www.acme.com",
        starting_tier="free",
        contact_email=" ann@acme.com ",
        contact_name="Ann",
        created_at="2024-01-15T10:30:00Z",
    )

    assert (result.link_status, result.company_name, result.tier_applied) == ("created", "Acme Inc", True)
    company = client.companies.get_by_product_link(external_org_id="org_1")
    assert company
    assert (company.id, company.name, company.domain) == (result.company_id, "Acme Inc", "acme.com")
    assert company.created_at == datetime(2024, 1, 15, 10, 30, tzinfo=UTC)
    [contact] = client.contacts.list(company.id)
    assert (contact.email, contact.name, contact.is_primary) == ("ann@acme.com", "Ann", True)
    assert _limit(client, company.id) == 100


def test_a_name_and_an_id_are_enough(client: ChatarminOS) -> None:
    """Without a tier nothing is granted."""
    result = client.sign_up(external_org_id="org_1", name="Acme Inc")

    assert (result.link_status, result.tier_applied) == ("created", False)
    assert client.billing.get_status(result.company_id).enabled_features_count == 0


def test_a_verified_domain_links_the_known_company(client: ChatarminOS, service: FakeTransport) -> None:
    """The company that has the domain is linked, keeps its name, and gets tier and first contact if it has none."""
    known = service.add_company("Acme GmbH", domain="acme.com")

    result = client.sign_up(
        external_org_id="org_1",
        name="Acme",
        verified_domain="acme.com",
        starting_tier="free",
        contact_email="ann@acme.com",
        contact_name="Ann",
    )

    assert (result.company_id, result.company_name, result.link_status) == (known, "Acme GmbH", "linked")
    assert result.tier_applied
    [contact] = client.contacts.list(known)
    assert (contact.email, contact.name, contact.is_primary) == ("ann@acme.com", "Ann", True)


def test_a_colleague_does_not_downgrade_a_paying_customer(client: ChatarminOS) -> None:
    """A second organisation of the same domain joins the company, whose tier stays."""
    first = client.sign_up(
        external_org_id="org_1",
        name="Acme Inc",
        verified_domain="acme.com",
        starting_tier="free",
        contact_email="ann@acme.com",
    )
    client.tiers.apply("pro", company_id=first.company_id)

    second = client.sign_up(
        external_org_id="org_2",
        name="Acme Vienna",
        verified_domain="acme.com",
        starting_tier="free",
        contact_email="bob@acme.com",
    )

    assert (second.company_id, second.link_status, second.tier_applied) == (first.company_id, "linked", False)
    assert _limit(client, first.company_id) == 10_000
    assert [(contact.email, contact.is_primary) for contact in client.contacts.list(first.company_id)] == [
        ("ann@acme.com", True),
        ("bob@acme.com", False),
    ]


def test_a_subscription_keeps_the_starting_tier_away(client: ChatarminOS, service: FakeTransport) -> None:
    """A company with an active subscription is not put on the starting tier, even if no feature is enabled."""
    company = client.companies.create(name="Acme Inc", external_org_id="org_1")
    subscription = service.stripe.add_subscription(["price_of_something_else"])
    client.billing.link_subscription(company_id=company.id, stripe_subscription_id=subscription)

    result = client.sign_up(external_org_id="org_1", name="Acme Inc", starting_tier="free")

    assert (result.link_status, result.tier_applied) == ("already_linked", False)
    assert client.billing.get_status(company.id).enabled_features_count == 0


def test_an_equal_name_matches_nothing(client: ChatarminOS, service: FakeTransport) -> None:
    """Two customers may have the same name: the second gets another company."""
    known = service.add_company("Acme Inc", domain="acme.com")

    for number, domain in enumerate((None, "acme.example")):
        result = client.sign_up(external_org_id=f"org_{number}", name="Acme Inc", verified_domain=domain)

        assert result.link_status == "created"
        assert result.company_id != known


@pytest.mark.parametrize("domain", ["gmail.com", "GMail.com.", "www.gmx.de", "https://web.de/"])
def test_a_free_mail_provider_links_nothing(client: ChatarminOS, domain: str) -> None:
    """Each customer with an address at a free mail provider gets another company, and the domain is not kept."""
    results = [client.sign_up(external_org_id=f"org_{n}", name="Ann", verified_domain=domain) for n in range(2)]

    assert [result.link_status for result in results] == ["created", "created"]
    assert len({result.company_id for result in results}) == 2
    company = client.companies.get_by_product_link(external_org_id="org_0")
    assert company
    assert company.domain is None


def test_an_ambiguous_domain_links_nothing(client: ChatarminOS, service: FakeTransport) -> None:
    """If two companies have the domain, a new company is created, so that nobody gets the wrong one."""
    known = {service.add_company(name, domain="acme.com") for name in ("Acme One", "Acme Two")}

    result = client.sign_up(external_org_id="org_1", name="Acme One", verified_domain="acme.com")

    assert result.link_status == "created"
    assert result.company_id not in known


def test_signing_up_again_changes_nothing(client: ChatarminOS, service: FakeTransport) -> None:
    """A repeated sign-up is already_linked, and the state of the service stays, in spite of changes in between."""

    def sign_up(name: str = "Acme Inc") -> tuple[str, bool]:
        result = client.sign_up(
            external_org_id="org_1",
            name=name,
            verified_domain="acme.com",
            starting_tier="free",
            contact_email="ann@acme.com",
            contact_name="Ann",
        )
        return result.link_status, result.tier_applied

    assert sign_up() == ("created", True)
    [contact] = client.contacts.list(client.features.get_access_by_external_org_id("org_1").company_id)
    client.contacts.create(
        company_id=client.features.get_access_by_external_org_id("org_1").company_id,
        email="ANN@acme.com",
        name="Ann of Acme",
    )
    before = service.snapshot()

    assert sign_up() == ("already_linked", False)
    assert sign_up("Another name") == ("already_linked", False)

    assert service.snapshot() == before
    assert contact.is_primary


@pytest.mark.outside_changes("time passes")
def test_an_access_that_ended_is_not_granted_again(client: ChatarminOS, service: FakeTransport) -> None:
    """A second sign-up after a trial gives no second trial, and a suspended company stays suspended."""
    for number, end in enumerate(("expires", "is disabled")):
        org = f"org_{number}"
        company = client.companies.create(name="Acme Inc", external_org_id=org)
        client.features.set_access(
            company_id=company.id,
            feature_code="sso",
            is_enabled=end == "expires",
            source="trial",
            valid_until="2100-01-01" if end == "expires" else None,
        )
    service.advance(timedelta(days=100 * 366))

    for number in range(2):
        assert not client.sign_up(external_org_id=f"org_{number}", name="Acme Inc", starting_tier="trial").tier_applied


def test_an_unknown_tier_is_refused_before_anything_is_created(client: ChatarminOS, service: FakeTransport) -> None:
    """No company, link or contact is left behind."""
    before = service.snapshot()

    with pytest.raises(NotFoundError):
        client.sign_up(external_org_id="org_1", name="Acme Inc", starting_tier="gold", contact_email="ann@acme.com")

    assert service.snapshot() == before


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("external_org_id", " "),
        ("external_org_id", 17),
        ("name", ""),
        ("verified_domain", "acme"),
        ("verified_domain", "acme inc.com"),
        ("verified_domain", 17),
        ("starting_tier", ""),
        ("contact_email", "ann"),
        ("contact_email", "ann@acme"),
        ("contact_name", " "),
        ("created_at", "yesterday"),
    ],
)
def test_an_invalid_argument_is_named_before_anything_is_sent(
    client: ChatarminOS, service: FakeTransport, field: str, value: object
) -> None:
    """Each argument is checked under its own name, and no call is made."""
    arguments = {"external_org_id": "org_1", "name": "Acme Inc", field: value}

    with pytest.raises(InvalidInput) as refused:
        client.sign_up(**arguments)  # type: ignore[arg-type]

    assert refused.value.field == field
    assert str(refused.value).startswith(f"{field}: ")
    assert service.calls == []


@pytest.mark.outside_changes("a call is made to fail")
def test_a_refusal_of_one_call_says_which(client: ChatarminOS, service: FakeTransport) -> None:
    """The error that ends a sign-up is that of the call, with its request."""
    service.fail("companies.create", error="BAD_REQUEST")

    with pytest.raises(BadRequestError) as refused:
        client.sign_up(external_org_id="org_1", name="Acme Inc")

    assert refused.value.request
    assert refused.value.request.path == "companies.create"
