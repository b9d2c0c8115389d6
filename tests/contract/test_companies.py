"""Creating companies, finding them by their link, and changing them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from uuid import UUID

import attrs
import pytest

from chatarmin_os import BadRequestError, ConflictError, InvalidInput, NotFoundError

if TYPE_CHECKING:
    from chatarmin_os import ChatarminOS
    from chatarmin_os.fake import FakeTransport

VIENNA_SUMMER = timezone(timedelta(hours=2))
KATHMANDU = timezone(timedelta(hours=5, minutes=45))


def short_ids(client: ChatarminOS, *names: str) -> list[str | None]:
    """Create a company of each name, in order, and return their slugs."""
    return [
        client.companies.create(name=name, external_org_id=f"org_{number}").short_id
        for number, name in enumerate(names)
    ]


def test_a_company_is_created_together_with_its_link(client: ChatarminOS) -> None:
    """A new company has its name, a UUID and a slug, and is found at once by its external org id."""
    company = client.companies.create(name="Acme Inc", external_org_id="org_1", domain="acme.com")

    expected = ("Acme Inc", "acme-inc", "acme.com")
    assert expected == (company.name, company.short_id, company.domain)
    assert company.id == str(UUID(company.id))
    assert company == client.companies.get_by_product_link(external_org_id="org_1")


def test_a_company_without_a_domain_has_none(client: ChatarminOS) -> None:
    """The domain is null if none was given."""
    company = client.companies.create(name="Acme", external_org_id="org_1")

    assert company.domain is None


def test_an_unlinked_id_has_no_company(client: ChatarminOS, service: FakeTransport) -> None:
    """An external org id without a link returns None and raises nothing."""
    service.add_company("Acme", domain="acme.com")

    assert client.companies.get_by_product_link(external_org_id="org_1") is None


def test_a_link_leads_to_its_own_company(client: ChatarminOS) -> None:
    """Among several companies the one that is linked to the external org id is returned."""
    acme = client.companies.create(name="Acme", external_org_id="org_1")
    globex = client.companies.create(name="Globex", external_org_id="org_2")

    assert acme == client.companies.get_by_product_link(external_org_id="org_1")
    assert globex == client.companies.get_by_product_link(external_org_id="org_2")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Acme Inc", "acme-inc"),
        ("ACME", "acme"),
        ("Café Zoë", "cafe-zoe"),
        ("Ångström & Söhne GmbH", "angstrom-sohne-gmbh"),
        ("Straße 5", "stra-e-5"),
        ("Łódź", "odz"),
        ("İstanbul", "istanbul"),
        ("\uff21\uff43\uff4d\uff45", "acme"),
        ("Area m²", "area-m2"),
        ("Louis Ⅳ", "louis-iv"),
        ("½ Off", "1-2-off"),
        ("  --Acme__Foods!!  ", "acme-foods"),
        ("a.b.c", "a-b-c"),
        ("東京 24", "24"),
        ("東京", "company"),
        ("!!!", "company"),
        ("a" * 50, "a" * 50),
        ("a" * 51, "a" * 50),
        ("a" * 49 + " b", "a" * 49),
        ("a" * 48 + " bc", "a" * 48 + "-b"),
        ("東京" * 60 + "Acme", "acme"),
    ],
)
def test_a_slug_follows_from_the_name(client: ChatarminOS, name: str, expected: str) -> None:
    """The slug keeps ASCII letters and digits in lower case, joins the rest with single dashes, at most 50 long."""
    assert [expected] == short_ids(client, name)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["Acme", "Acme", "ACME!"], ["acme", "acme-2", "acme-3"]),
        (["Acme 2", "Acme", "Acme", "Acme"], ["acme-2", "acme", "acme-3", "acme-4"]),
        (["Acme 3", "Acme", "Acme", "Acme"], ["acme-3", "acme", "acme-2", "acme-4"]),
        (["Acme", "Acme", "Acme 2"], ["acme", "acme-2", "acme-2-2"]),
        (["東京", "大阪", "Company"], ["company", "company-2", "company-3"]),
    ],
)
def test_a_taken_slug_gets_the_first_free_number(client: ChatarminOS, names: list[str], expected: list[str]) -> None:
    """Companies with the same slug get the first free suffix of -2, -3 and so on."""
    assert expected == short_ids(client, *names)


def test_a_slug_of_a_company_not_linked_is_taken_too(client: ChatarminOS, service: FakeTransport) -> None:
    """A company that the service knows already has a slug, linked or not."""
    service.add_company("Acme")

    expected = ["acme-2"]
    assert expected == short_ids(client, "Acme")


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("acme.com", "acme.com"),
        ("ACME.Com", "acme.com"),
        ("www.acme.com", "acme.com"),
        ("WWW.acme.com", "acme.com"),
        ("http://acme.com", "acme.com"),
        ("HTTPS://www.acme.com/", "acme.com"),
        ("https://anna:secret@www.Acme.com:8443/a/b?c=d#e", "acme.com"),
        ("anna@acme.com", "acme.com"),
        ("acme.com:8080", "acme.com"),
        ("acme.com/imprint", "acme.com"),
        ("acme.com.", "acme.com"),
        ("https://www.acme.com./imprint", "acme.com"),
        ("shop.acme.co.uk", "shop.acme.co.uk"),
        ("wwwacme.com", "wwwacme.com"),
        ("www2.acme.com", "www2.acme.com"),
        ("Müller.de", "xn--mller-kva.de"),
        ("MÜLLER.DE", "xn--mller-kva.de"),
        ("mu\u0308ller.de", "xn--mller-kva.de"),
        ("https://www.müller.de/impressum", "xn--mller-kva.de"),
        ("xn--mller-kva.de", "xn--mller-kva.de"),
        ("straße.de", "xn--strae-oqa.de"),
        ("strasse.de", "strasse.de"),
        ("\uff41\uff43\uff4d\uff45.com", "acme.com"),
        ("例え.jp", "xn--r8jz45g.jp"),
    ],
)
def test_a_domain_is_stored_in_its_normal_form(client: ChatarminOS, domain: str, expected: str) -> None:
    """A domain is returned in lower-case ASCII, without scheme, user, www, port, path and trailing dot."""
    company = client.companies.create(name="Acme", external_org_id="org_1", domain=domain)

    assert expected == company.domain


@pytest.mark.parametrize(
    "domain",
    [
        "localhost",
        "acme",
        "acme com",
        "ac me.com",
        "acme..com",
        ".acme.com",
        "https://acme",
        "https://",
        "acme.com#.evil.example",
        "acme.com\\.evil.example",
        "evil.example@acme.com",
        "acme.com:80@evil.example",
        "acme%2ecom",
        "acme.com\uff0f.evil.example",
    ],
)
def test_an_invalid_domain_is_refused(client: ChatarminOS, service: FakeTransport, domain: str) -> None:
    """Text without a dot, with a space or with an empty label is not a domain, and no company is created."""
    before = service.snapshot()

    with pytest.raises(BadRequestError) as refusal:
        client.companies.create(name="Acme", external_org_id="org_1", domain=domain)

    assert "domain" in refusal.value.message
    assert before == service.snapshot()


@pytest.mark.parametrize(
    ("created_at", "expected"),
    [
        (datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (datetime(2024, 7, 1, 0, 30, tzinfo=VIENNA_SUMMER), datetime(2024, 6, 30, 22, 30, tzinfo=UTC)),
        (datetime(2024, 7, 1, 0, 30, tzinfo=KATHMANDU), datetime(2024, 6, 30, 18, 45, tzinfo=UTC)),
        (
            datetime(2024, 1, 2, 3, 4, 5, 678_999, tzinfo=UTC),
            datetime(2024, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC),
        ),
        (
            datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
            datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
        ),
        ("2024-01-02T03:04:05Z", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2024-07-01T00:30:00.25+02:00", datetime(2024, 6, 30, 22, 30, 0, 250_000, tzinfo=UTC)),
        ("2024-02-29T23:59:59.999-01:00", datetime(2024, 3, 1, 0, 59, 59, 999_000, tzinfo=UTC)),
    ],
)
def test_the_time_of_creation_is_kept_in_utc(
    client: ChatarminOS, created_at: datetime | str, expected: datetime
) -> None:
    """A creation time is returned in UTC, cut to the millisecond."""
    company = client.companies.create(name="Acme", external_org_id="org_1", created_at=created_at)

    assert str(expected) == str(company.created_at)
    assert company == client.companies.get_by_product_link(external_org_id="org_1")


def test_the_service_keeps_milliseconds_only(client: ChatarminOS) -> None:
    """The service stores a finer timestamp, from any caller, in UTC to the millisecond."""
    payload = {"name": "Acme", "externalOrgId": "org_1", "createdAt": "2024-01-02T03:04:05.678123+02:00"}
    client.call("companies.create", payload)

    company = client.companies.get_by_product_link(external_org_id="org_1")

    expected = "2024-01-02 01:04:05.678000+00:00"
    assert company is not None
    assert expected == str(company.created_at)


@pytest.mark.parametrize("created_at", [datetime(2024, 1, 2), "2024-01-02T03:04:05", "yesterday"])  # noqa: DTZ001
def test_a_timestamp_without_its_offset_is_refused(client: ChatarminOS, created_at: datetime | str) -> None:
    """A timestamp that does not say which time it means is refused before anything is sent."""
    with pytest.raises(InvalidInput) as refusal:
        client.companies.create(name="Acme", external_org_id="org_1", created_at=created_at)

    expected = "created_at"
    assert expected == refusal.value.field
    assert client.companies.get_by_product_link(external_org_id="org_1") is None


def test_a_contact_email_creates_the_primary_contact(client: ChatarminOS) -> None:
    """A company created with a contact e-mail has that contact, named and primary."""
    company = client.companies.create(
        name="Acme", external_org_id="org_1", contact_email="Anna@Acme.com", contact_name="Anna Berger"
    )

    contacts = client.contacts.list(company.id)

    expected = [("Anna@Acme.com", "Anna Berger", True)]
    assert expected == [(contact.email, contact.name, contact.is_primary) for contact in contacts]


def test_a_contact_needs_no_name(client: ChatarminOS) -> None:
    """A contact e-mail without a name creates a primary contact without a name."""
    company = client.companies.create(name="Acme", external_org_id="org_1", contact_email="anna@acme.com")

    contacts = client.contacts.list(company.id, primary_only=True)

    expected = [("anna@acme.com", None)]
    assert expected == [(contact.email, contact.name) for contact in contacts]


def test_white_space_around_a_contact_email_is_dropped(client: ChatarminOS) -> None:
    """An e-mail address is trimmed and otherwise stored as given."""
    company = client.companies.create(name="Acme", external_org_id="org_1", contact_email="  Anna@Acme.com\n")

    expected = ["Anna@Acme.com"]
    assert expected == [contact.email for contact in client.contacts.list(company.id)]


def test_a_contact_name_alone_creates_no_contact(client: ChatarminOS) -> None:
    """A contact name without an e-mail address is ignored."""
    company = client.companies.create(name="Acme", external_org_id="org_1", contact_name="Anna Berger")

    assert not client.contacts.list(company.id)


def test_a_contact_email_is_no_domain(client: ChatarminOS) -> None:
    """The domain of the contact's e-mail address does not become the company's."""
    company = client.companies.create(name="Acme", external_org_id="org_1", contact_email="anna@acme.com")

    assert company.domain is None


@pytest.mark.parametrize(
    "email",
    [
        "anna",
        "@acme.com",
        "anna@",
        "anna@acme",
        "anna@.com",
        "anna@acme.",
        "anna@acme@acme.com",
        "an na@acme.com",
        "anna@ac me.com",
        "anna@acme\t.com",
        "ann@müller.de",
        "r&d@acme.com",
        "<ann@acme.com>",
        "ann@acme.com.",
        "a..b@acme.com",
        "ann@acme.c",
        "ann@acme.com#.evil.example",
    ],
)
def test_a_malformed_contact_email_is_refused(client: ChatarminOS, service: FakeTransport, email: str) -> None:
    """The refusal names a malformed e-mail address, and neither company nor link is created."""
    before = service.snapshot()

    with pytest.raises(BadRequestError) as refusal:
        client.companies.create(name="Acme", external_org_id="org_1", contact_email=email)

    assert "contactEmail" in refusal.value.message
    assert before == service.snapshot()


def test_a_linked_id_gets_no_second_company(client: ChatarminOS, service: FakeTransport) -> None:
    """Creating for an external org id that is linked already is a conflict and creates nothing."""
    # Given
    acme = client.companies.create(name="Acme", external_org_id="org_1")
    before = service.snapshot()

    # When
    with pytest.raises(ConflictError):
        client.companies.create(
            name="Globex", external_org_id="org_1", domain="globex.com", contact_email="hank@globex.com"
        )

    # Then
    assert before == service.snapshot()
    assert acme == client.companies.get_by_product_link(external_org_id="org_1")


def test_the_same_company_twice_is_two_companies(client: ChatarminOS) -> None:
    """Creating does not match: the same name and domain under another id is another company."""
    first = client.companies.create(name="Acme", external_org_id="org_1", domain="acme.com")
    second = client.companies.create(name="Acme", external_org_id="org_2", domain="acme.com")

    assert first.id != second.id


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"externalOrgId": "org_1"}, "name"),
        ({"name": "Acme"}, "externalOrgId"),
        ({"name": "", "externalOrgId": "org_1"}, "name"),
        ({"name": " \t", "externalOrgId": "org_1"}, "name"),
        ({"name": "Acme", "externalOrgId": ""}, "externalOrgId"),
        ({"name": "Acme", "externalOrgId": "  "}, "externalOrgId"),
        ({"name": None, "externalOrgId": "org_1"}, "name"),
        ({"name": 5, "externalOrgId": "org_1"}, "name"),
        ({"name": "Acme", "externalOrgId": 5}, "externalOrgId"),
        ({"name": "Acme", "externalOrgId": "org_1", "domain": 5}, "domain"),
        ({"name": "Acme", "externalOrgId": "org_1", "domain": None}, "domain"),
        ({"name": "Acme", "externalOrgId": "org_1", "contactEmail": ["anna@acme.com"]}, "contactEmail"),
        ({"name": "Acme", "externalOrgId": "org_1", "createdAt": "yesterday"}, "createdAt"),
        ({"name": "Acme", "externalOrgId": "org_1", "createdAt": "2023-02-29T00:00:00Z"}, "createdAt"),
        ({"name": "Acme", "externalOrgId": "org_1", "createdAt": ""}, "createdAt"),
        ({"name": "Acme", "externalOrgId": "org_1", "domian": "acme.com"}, "domian"),
        ({"name": "Acme", "externalOrgId": "org_1", "external_org_id": "org_1"}, "external_org_id"),
    ],
)
def test_the_service_refuses_bad_input(
    client: ChatarminOS, service: FakeTransport, payload: dict[str, Any], field: str
) -> None:
    """The refusal names missing, blank, mistyped and unknown fields, and nothing is created."""
    before = service.snapshot()

    with pytest.raises(BadRequestError) as refusal:
        client.call("companies.create", payload)

    assert field in refusal.value.message
    assert before == service.snapshot()


@pytest.mark.parametrize("external_org_id", ["", "   "])
def test_the_service_refuses_a_blank_id(client: ChatarminOS, external_org_id: str) -> None:
    """A blank external org id is bad input for a look-up, not an unlinked id."""
    with pytest.raises(BadRequestError) as refusal:
        client.call("companies.getByProductLink", {"externalOrgId": external_org_id})

    field = "externalOrgId"
    assert field in refusal.value.message


def test_a_blank_name_is_not_sent(client: ChatarminOS, service: FakeTransport) -> None:
    """The client itself refuses a blank name and names the argument."""
    with pytest.raises(InvalidInput) as refusal:
        client.companies.create(name="  ", external_org_id="org_1")

    expected = "name"
    assert expected == refusal.value.field
    assert not service.calls


def test_an_update_changes_the_time_of_creation_only(client: ChatarminOS) -> None:
    """An update returns the company with its new creation time and everything else unchanged."""
    company = client.companies.create(
        name="Acme", external_org_id="org_1", domain="acme.com", created_at="2024-01-02T03:04:05Z"
    )

    updated = client.companies.update(
        company_id=company.id, created_at=datetime(2020, 7, 1, 0, 30, 0, 123_456, tzinfo=VIENNA_SUMMER)
    )

    expected = attrs.evolve(company, created_at=datetime(2020, 6, 30, 22, 30, 0, 123_000, tzinfo=UTC))
    assert expected == updated
    assert expected == client.companies.get_by_product_link(external_org_id="org_1")


def test_an_update_keeps_to_its_company(client: ChatarminOS) -> None:
    """Updating one company leaves the others unchanged."""
    acme = client.companies.create(name="Acme", external_org_id="org_1", created_at="2024-01-02T03:04:05Z")
    globex = client.companies.create(name="Globex", external_org_id="org_2", created_at="2024-01-02T03:04:05Z")

    client.companies.update(company_id=acme.id, created_at="2020-01-01T00:00:00Z")

    assert globex == client.companies.get_by_product_link(external_org_id="org_2")


@pytest.mark.parametrize("company_id", ["00000000-0000-4000-8000-000000000000", "not-a-uuid", "acme"])
def test_an_unknown_company_cannot_be_updated(client: ChatarminOS, service: FakeTransport, company_id: str) -> None:
    """A company id that does not exist is not found, nor is a malformed one or a slug."""
    client.companies.create(name="Acme", external_org_id="org_1")
    before = service.snapshot()

    with pytest.raises(NotFoundError):
        client.companies.update(company_id=company_id, created_at="2020-01-01T00:00:00Z")

    assert before == service.snapshot()


@pytest.mark.parametrize("created_at", ["", "yesterday", "2023-02-29T00:00:00Z", 5])
def test_an_update_with_a_bad_date_changes_nothing(
    client: ChatarminOS, service: FakeTransport, created_at: str | int
) -> None:
    """The refusal names an unreadable date, and the company stays unchanged."""
    company = client.companies.create(name="Acme", external_org_id="org_1", created_at="2024-01-02T03:04:05Z")
    before = service.snapshot()

    with pytest.raises(BadRequestError) as refusal:
        client.call("companies.update", {"companyId": company.id, "createdAt": created_at})

    field = "createdAt"
    assert field in refusal.value.message
    assert before == service.snapshot()


def test_bad_input_is_reported_before_a_missing_company(client: ChatarminOS) -> None:
    """The input is validated before the company is looked up."""
    with pytest.raises(BadRequestError):
        client.call("companies.update", {"companyId": "not-a-uuid", "createdAt": "yesterday"})
