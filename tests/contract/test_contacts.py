"""Contacts of a company: create or update by e-mail address, many at once, list."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from ids import words

from chatarmin_os import BadRequestError, ChatarminOS, ContactInput, InvalidInput, NotFoundError

if TYPE_CHECKING:
    from chatarmin_os import Contact
    from chatarmin_os.fake import FakeTransport

MALFORMED_EMAILS = [
    "ana",
    "@example.com",
    "ana@",
    "ana@example",
    "ana@b@example.com",
    "a na@example.com",
    "ana@ex ample.de",
    "ana@müller.de",
    "r&d@example.com",
    "<ana@example.com>",
    "ana@example.com.",
    "a..b@example.com",
    "ana@example.c",
    "x@example.com#.evil.example",
]
NO_URLS = [
    "example.com",
    "/avatars/1.png",
    "https://a b.com",
    "//example.com/a.png",
    "https://",
    "https://example.com:port",
]
URLS = [
    "https://example.com/ana picture.png",
    "HTTP:example.com",
    "data:image/png;base64,AA==",
    "mailto:ana",
    "https://\u2615.com",
]


def _emails(contacts: list[Contact]) -> list[str | None]:
    return [contact.email for contact in contacts]


def _without_ids(contacts: tuple[Contact, ...]) -> list[Contact]:
    return [attrs.evolve(contact, id="any") for contact in contacts]


def test_create_returns_a_new_contact(client: ChatarminOS, service: FakeTransport) -> None:
    """The first contact of an address is new and has the given values."""
    company_id = service.add_company("Acme Inc")

    contact = client.contacts.create(
        company_id=company_id,
        email="ana@acme.com",
        name="Ana",
        role="CTO",
        is_primary=True,
        avatar_url="https://acme.com/ana.png",
        metadata={"plan": "gold"},
    )

    assert contact.id
    assert contact.is_new is True
    assert contact.email == "ana@acme.com"
    assert contact.name == "Ana"
    assert contact.role == "CTO"
    assert contact.is_primary is True
    assert contact.avatar_url == "https://acme.com/ana.png"
    assert contact.metadata == {"plan": "gold"}


def test_create_sends_only_given_arguments(client: ChatarminOS, service: FakeTransport) -> None:
    """An argument left at None is omitted on the wire."""
    company_id = service.add_company("Acme Inc")
    expected = {"companyId": company_id, "email": "ana@acme.com"}

    client.contacts.create(company_id=company_id, email="ana@acme.com")

    assert expected == service.calls[-1].input


def test_create_leaves_omitted_texts_empty(client: ChatarminOS, service: FakeTransport) -> None:
    """The omitted fields of a new contact are None."""
    company_id = service.add_company("Acme Inc")

    contact = client.contacts.create(company_id=company_id, email="ana@acme.com")

    assert contact.name is None
    assert contact.role is None
    assert contact.avatar_url is None


def test_create_again_updates_the_same_contact(client: ChatarminOS, service: FakeTransport) -> None:
    """The same address in the same company is the same contact, and not new."""
    company_id = service.add_company("Acme Inc")
    first = client.contacts.create(company_id=company_id, email="ana@acme.com", name="Ana")

    second = client.contacts.create(company_id=company_id, email="ana@acme.com", name="Ana Weber")

    assert second.is_new is False
    assert first.id == second.id
    assert second.name == "Ana Weber"
    assert len(client.contacts.list(company_id)) == 1


@pytest.mark.parametrize("again", ["ANA@ACME.COM", "ana@acme.com", "  Ana@Acme.com", "ana@acme.com\n"])
def test_an_address_is_compared_without_case_and_outer_space(
    client: ChatarminOS, service: FakeTransport, again: str
) -> None:
    """An address in another case or with outer white space is the same, and stays as first given."""
    company_id = service.add_company("Acme Inc")
    first = client.contacts.create(company_id=company_id, email="Ana@Acme.com")

    second = client.contacts.create(company_id=company_id, email=again)

    assert second.is_new is False
    assert first.id == second.id
    assert second.email == "Ana@Acme.com"


def test_an_address_is_trimmed_when_stored(client: ChatarminOS, service: FakeTransport) -> None:
    """Outer white space of an address is not stored."""
    company_id = service.add_company("Acme Inc")

    contact = client.contacts.create(company_id=company_id, email="  Ana@Acme.com ")

    assert contact.email == "Ana@Acme.com"


def test_the_same_address_in_another_company_is_another_contact(client: ChatarminOS, service: FakeTransport) -> None:
    """Company and address together identify a contact."""
    acme, globex = service.add_company("Acme Inc"), service.add_company("Globex")
    first = client.contacts.create(company_id=acme, email="ana@acme.com", name="Ana")

    second = client.contacts.create(company_id=globex, email="ana@acme.com")

    assert second.is_new is True
    assert first.id != second.id
    assert second.name is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"name": "Ana Weber"}, {"name": "Ana Weber"}),
        ({"role": "CEO"}, {"role": "CEO"}),
        ({"avatar_url": "https://acme.com/new.png"}, {"avatar_url": "https://acme.com/new.png"}),
        ({"is_primary": False}, {"is_primary": False}),
        ({"metadata": {"team": "sales"}}, {"metadata": {"plan": "gold", "team": "sales"}}),
        ({"metadata": {}}, {}),
        ({}, {}),
    ],
)
def test_an_update_changes_only_the_given_fields(
    client: ChatarminOS, service: FakeTransport, given: dict[str, Any], expected: dict[str, Any]
) -> None:
    """An update leaves omitted fields unchanged."""
    company_id = service.add_company("Acme Inc")
    before = client.contacts.create(
        company_id=company_id,
        email="ana@acme.com",
        name="Ana",
        role="CTO",
        is_primary=True,
        avatar_url="https://acme.com/ana.png",
        metadata={"plan": "gold"},
    )

    after = client.contacts.create(company_id=company_id, email="ana@acme.com", **given)

    assert attrs.evolve(before, is_new=False, **expected) == after


def test_metadata_is_merged_key_by_key(client: ChatarminOS, service: FakeTransport) -> None:
    """Given keys of metadata are replaced, the others stay."""
    company_id = service.add_company("Acme Inc")
    client.contacts.create(company_id=company_id, email="ana@acme.com", metadata={"plan": "gold", "seats": 3})

    contact = client.contacts.create(company_id=company_id, email="ana@acme.com", metadata={"seats": 4, "vip": True})

    assert contact.metadata == {"plan": "gold", "seats": 4, "vip": True}


def test_metadata_keys_are_never_renamed(client: ChatarminOS, service: FakeTransport) -> None:
    """Keys of metadata are the customer's and are returned unchanged."""
    company_id = service.add_company("Acme Inc")
    metadata = {"snake_case": 1, "camelCase": {"inner_key": [1, 2.5, None, "x"]}, "With Space": False}

    contact = client.contacts.create(company_id=company_id, email="ana@acme.com", metadata=metadata)

    assert metadata == contact.metadata


def test_making_one_primary_demotes_the_other(client: ChatarminOS, service: FakeTransport) -> None:
    """A company has at most one primary contact: the last one that was made primary."""
    company_id = service.add_company("Acme Inc")
    client.contacts.create(company_id=company_id, email="ana@acme.com", is_primary=True)
    client.contacts.create(company_id=company_id, email="ben@acme.com", is_primary=True)

    primaries = [contact.email for contact in client.contacts.list(company_id) if contact.is_primary]

    assert primaries == ["ben@acme.com"]


def test_an_update_can_make_a_contact_primary(client: ChatarminOS, service: FakeTransport) -> None:
    """Making an older contact primary demotes the newer one."""
    # Given two contacts, the second of them primary
    company_id = service.add_company("Acme Inc")
    client.contacts.create(company_id=company_id, email="ana@acme.com")
    client.contacts.create(company_id=company_id, email="ben@acme.com", is_primary=True)

    # When the first is made primary
    client.contacts.create(company_id=company_id, email="ana@acme.com", is_primary=True)

    # Then it is the only one
    assert _emails(client.contacts.list(company_id, primary_only=True)) == ["ana@acme.com"]


def test_a_company_may_have_no_primary_contact(client: ChatarminOS, service: FakeTransport) -> None:
    """A primary contact can be demoted without another taking its place."""
    company_id = service.add_company("Acme Inc")
    client.contacts.create(company_id=company_id, email="ana@acme.com", is_primary=True)
    client.contacts.create(company_id=company_id, email="ben@acme.com")

    client.contacts.create(company_id=company_id, email="ana@acme.com", is_primary=False)

    assert client.contacts.list(company_id, primary_only=True) == []


def test_a_primary_contact_demotes_nobody_elsewhere(client: ChatarminOS, service: FakeTransport) -> None:
    """A primary contact of one company does not demote that of another."""
    acme, globex = service.add_company("Acme Inc"), service.add_company("Globex")
    client.contacts.create(company_id=acme, email="ana@acme.com", is_primary=True)

    client.contacts.create(company_id=globex, email="gus@globex.com", is_primary=True)

    assert _emails(client.contacts.list(acme, primary_only=True)) == ["ana@acme.com"]


@pytest.mark.parametrize("email", MALFORMED_EMAILS)
def test_create_refuses_a_malformed_address(client: ChatarminOS, service: FakeTransport, email: str) -> None:
    """The refusal names the field of a malformed e-mail address, and nothing is created."""
    company_id = service.add_company("Acme Inc")

    with pytest.raises(BadRequestError, match="email"):
        client.contacts.create(company_id=company_id, email=email)

    assert client.contacts.list(company_id) == []


@pytest.mark.parametrize("url", NO_URLS)
def test_an_avatar_that_is_no_url_is_refused(client: ChatarminOS, service: FakeTransport, url: str) -> None:
    """The refusal names text that JavaScript's `new URL()` does not parse, in one contact and in one of many."""
    company_id = service.add_company("Acme Inc")
    contact = {"email": "ana@acme.com", "avatarUrl": url}

    with pytest.raises(BadRequestError, match="avatarUrl"):
        client.call("contacts.create", {"companyId": company_id, **contact})
    with pytest.raises(BadRequestError, match=r"avatarUrl"):
        client.call("contacts.bulkUpsert", {"companyId": company_id, "contacts": [{"email": "bob@acme.com"}, contact]})

    assert client.contacts.list(company_id) == []


@pytest.mark.parametrize("url", URLS)
def test_an_avatar_is_any_url(client: ChatarminOS, service: FakeTransport, url: str) -> None:
    """Any URL that JavaScript's `new URL()` parses, of any scheme, is stored as given."""
    company_id = service.add_company("Acme Inc")

    contact = client.contacts.create(company_id=company_id, email="ana@acme.com", avatar_url=url)

    assert contact.avatar_url == url


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "A\0na"}, "name"),
        ({"email": "ana\0@acme.com"}, "email"),
        ({"metadata": {"slack": {"id\0": 1}}}, "metadata"),
        ({"metadata": {"slack": ["U1", {"id": "\0"}]}}, "metadata"),
        ({"metadata": {"slack": [{"constructor": 1}]}}, "metadata"),
        ({"metadata": {"prototype": None}}, "metadata"),
    ],
    ids=words,
)
def test_values_that_cannot_be_stored_are_refused(
    client: ChatarminOS, service: FakeTransport, change: dict[str, Any], field: str
) -> None:
    """The refusal names U+0000 and keys with a meaning in JavaScript, and nothing is stored."""
    company_id = service.add_company("Acme Inc")

    with pytest.raises((BadRequestError, InvalidInput), match=field):
        client.call("contacts.create", {"companyId": company_id, "email": "ana@acme.com", **change})

    assert client.contacts.list(company_id) == []


@pytest.mark.parametrize("field", ["companyId", "email"])
@pytest.mark.parametrize("blank", ["", "  ", "\t\n"])
def test_the_service_refuses_blank_texts(client: ChatarminOS, service: FakeTransport, field: str, blank: str) -> None:
    """The refusal names the field of a required text that is blank."""
    given = {"companyId": service.add_company("Acme Inc"), "email": "ana@acme.com"}

    with pytest.raises(BadRequestError, match=field):
        client.call("contacts.create", {**given, field: blank})


@pytest.mark.parametrize("company_id", ["8a0f2f5e-6a5e-4d0e-9c52-0d5a0a8f4e11", "not-a-company-id"])
def test_an_unknown_company_is_not_found(client: ChatarminOS, company_id: str) -> None:
    """A company id that does not exist, malformed or not, is not found by any procedure of contacts."""
    with pytest.raises(NotFoundError):
        client.contacts.create(company_id=company_id, email="ana@acme.com")
    with pytest.raises(NotFoundError):
        client.contacts.bulk_upsert(company_id=company_id, contacts=[{"email": "ana@acme.com"}])
    with pytest.raises(NotFoundError):
        client.contacts.bulk_upsert(company_id=company_id, contacts=[])
    with pytest.raises(NotFoundError):
        client.contacts.list(company_id)


def test_input_is_validated_before_the_company_is_looked_up(client: ChatarminOS) -> None:
    """A malformed address of an unknown company is a bad request."""
    with pytest.raises(BadRequestError):
        client.contacts.create(company_id=str(uuid.uuid4()), email="ana")
    with pytest.raises(BadRequestError):
        client.contacts.bulk_upsert(company_id=str(uuid.uuid4()), contacts=[{"email": "ana"}])


def test_bulk_upsert_counts_created_and_updated(client: ChatarminOS, service: FakeTransport) -> None:
    """Each entry counts as created or updated and is returned with its id and whether it is new."""
    company_id = service.add_company("Acme Inc")
    known = client.contacts.create(company_id=company_id, email="ana@acme.com")

    result = client.contacts.bulk_upsert(
        company_id=company_id,
        contacts=[{"email": "ben@acme.com"}, {"email": "ana@acme.com", "name": "Ana"}, {"email": "cleo@acme.com"}],
    )

    assert result.created == 2
    assert result.updated == 1
    assert [contact.is_new for contact in result.contacts] == [True, False, True]
    assert known.id == result.contacts[1].id
    assert [contact.id for contact in client.contacts.list(company_id)] == [
        result.contacts[1].id,
        result.contacts[0].id,
        result.contacts[2].id,
    ]


@pytest.mark.parametrize(
    "entries",
    [
        [{"email": "ana@acme.com", "name": "Ana"}, {"email": "ben@acme.com", "role": "CFO"}],
        [{"email": "ana@acme.com", "name": "Ana"}, {"email": "ANA@acme.com", "role": "CTO"}],
        [{"email": "ana@acme.com", "is_primary": True}, {"email": "ben@acme.com", "is_primary": True}],
        [
            {"email": "ana@acme.com", "metadata": {"a": 1, "b": 1}},
            {"email": "ana@acme.com", "metadata": {"b": 2, "c": 3}},
        ],
        [{"email": "old@acme.com", "metadata": {"b": 2}}, {"email": "old@acme.com", "is_primary": False}],
    ],
)
def test_bulk_upsert_is_the_sequence_of_its_creates(
    client: ChatarminOS, service: FakeTransport, entries: list[dict[str, Any]]
) -> None:
    """A bulk upsert returns and stores the same as its creates, one after the other."""
    # Given two companies with the same contact
    one_by_one, at_once = service.add_company("Acme Inc"), service.add_company("Globex")
    for company_id in (one_by_one, at_once):
        client.contacts.create(company_id=company_id, email="old@acme.com", is_primary=True, metadata={"a": 1})

    # When one gets the contacts one by one and the other at once
    created = tuple(client.contacts.create(company_id=one_by_one, **entry) for entry in entries)
    result = client.contacts.bulk_upsert(company_id=at_once, contacts=entries)

    # Then each entry has its state after its own step, and both companies have the same contacts
    assert _without_ids(created) == _without_ids(result.contacts)
    assert sum(contact.is_new is True for contact in created) == result.created
    assert sum(contact.is_new is False for contact in created) == result.updated
    assert _without_ids(tuple(client.contacts.list(one_by_one))) == _without_ids(tuple(client.contacts.list(at_once)))


def test_bulk_upsert_takes_the_same_address_twice(client: ChatarminOS, service: FakeTransport) -> None:
    """The second entry of an address updates what the first one created."""
    company_id = service.add_company("Acme Inc")

    result = client.contacts.bulk_upsert(
        company_id=company_id,
        contacts=[{"email": "ana@acme.com", "name": "Ana"}, {"email": "ana@acme.com", "role": "CTO"}],
    )

    assert (result.created, result.updated) == (1, 1)
    assert result.contacts[0].id == result.contacts[1].id
    assert [(contact.name, contact.role, contact.is_new) for contact in result.contacts] == [
        ("Ana", None, True),
        ("Ana", "CTO", False),
    ]


def test_bulk_upsert_takes_any_iterable_of_either_kind(client: ChatarminOS, service: FakeTransport) -> None:
    """Contacts come as mappings or as ContactInput, from any iterable."""
    company_id = service.add_company("Acme Inc")
    entries = [ContactInput(email="ana@acme.com", name="Ana"), ContactInput(email="ben@acme.com")]

    first = client.contacts.bulk_upsert(company_id=company_id, contacts=(entry for entry in entries))
    second = client.contacts.bulk_upsert(company_id=company_id, contacts=({"email": "cleo@acme.com"},))

    assert (first.created, second.created) == (2, 1)
    assert _emails(client.contacts.list(company_id)) == ["ana@acme.com", "ben@acme.com", "cleo@acme.com"]


@pytest.mark.parametrize("email", MALFORMED_EMAILS)
def test_one_invalid_entry_rejects_the_whole_bulk_upsert(
    client: ChatarminOS, service: FakeTransport, email: str
) -> None:
    """The refusal names the index of an invalid entry, and no entry before or after it is stored."""
    company_id = service.add_company("Acme Inc")
    before = client.contacts.create(company_id=company_id, email="ana@acme.com", name="Ana")
    entries = [
        {"email": "ana@acme.com", "name": "Changed"},
        {"email": "ben@acme.com"},
        {"email": "cleo@acme.com"},
        {"email": email},
        {"email": "dora@acme.com"},
    ]

    with pytest.raises(BadRequestError, match=r"\b3\b"):
        client.contacts.bulk_upsert(company_id=company_id, contacts=entries)

    assert [attrs.evolve(before, is_new=None)] == client.contacts.list(company_id)


def test_an_entry_that_could_not_be_sent_is_named(client: ChatarminOS, service: FakeTransport) -> None:
    """An entry that is refused before anything is sent is named with its index."""
    company_id = service.add_company("Acme Inc")

    with pytest.raises(InvalidInput) as refused:
        client.contacts.bulk_upsert(company_id=company_id, contacts=[{"email": "ana@acme.com"}, {"email": " "}])

    assert refused.value.field == "contacts[1].email"
    assert service.calls == []


def test_an_unknown_key_of_an_entry_is_named(client: ChatarminOS, service: FakeTransport) -> None:
    """The refusal names a key that no contact has, before anything is sent."""
    company_id = service.add_company("Acme Inc")

    with pytest.raises(InvalidInput, match="nickname"):
        client.contacts.bulk_upsert(company_id=company_id, contacts=[{"email": "ana@acme.com", "nickname": "A"}])

    assert service.calls == []


def test_an_empty_bulk_upsert_is_fine(client: ChatarminOS, service: FakeTransport) -> None:
    """An empty list creates none and updates none."""
    company_id = service.add_company("Acme Inc")

    result = client.contacts.bulk_upsert(company_id=company_id, contacts=[])

    assert (result.created, result.updated, result.contacts) == (0, 0, ())


def test_list_returns_contacts_in_creation_order(client: ChatarminOS, service: FakeTransport) -> None:
    """Contacts are listed in order of creation, in spite of later updates."""
    company_id = service.add_company("Acme Inc")
    for email in ("zoe@acme.com", "ana@acme.com", "max@acme.com"):
        client.contacts.create(company_id=company_id, email=email)
    client.contacts.create(company_id=company_id, email="zoe@acme.com", name="Zoe", is_primary=True)

    contacts = client.contacts.list(company_id)

    assert _emails(contacts) == ["zoe@acme.com", "ana@acme.com", "max@acme.com"]


def test_list_is_empty_for_a_company_without_contacts(client: ChatarminOS, service: FakeTransport) -> None:
    """A company without contacts has an empty list, even if other companies have contacts."""
    acme, globex = service.add_company("Acme Inc"), service.add_company("Globex")
    client.contacts.create(company_id=acme, email="ana@acme.com")

    contacts = client.contacts.list(globex)

    assert contacts == []


def test_list_returns_the_created_contact_without_is_new(client: ChatarminOS, service: FakeTransport) -> None:
    """A listed contact equals the created one, without `is_new`."""
    company_id = service.add_company("Acme Inc")
    created = client.contacts.create(
        company_id=company_id, email="ana@acme.com", name="Ana", is_primary=True, metadata={"plan": "gold"}
    )

    contacts = client.contacts.list(company_id)

    assert [attrs.evolve(created, is_new=None)] == contacts
    assert "isNew" not in client.call("contacts.list", {"companyId": company_id})[0]


def test_list_can_be_limited_to_the_primary_contact(client: ChatarminOS, service: FakeTransport) -> None:
    """With primary_only the list has the primary contact and no other."""
    company_id = service.add_company("Acme Inc")
    client.contacts.create(company_id=company_id, email="ana@acme.com")
    client.contacts.create(company_id=company_id, email="ben@acme.com", is_primary=True)
    client.contacts.create(company_id=company_id, email="cleo@acme.com")

    contacts = client.contacts.list(company_id, primary_only=True)

    assert _emails(contacts) == ["ben@acme.com"]
    assert service.calls[-1].input == {"companyId": company_id, "primaryOnly": True}


def test_list_of_all_omits_primary_only(client: ChatarminOS, service: FakeTransport) -> None:
    """A primary_only that is False is omitted on the wire."""
    company_id = service.add_company("Acme Inc")
    expected = {"companyId": company_id}

    client.contacts.list(company_id, primary_only=False)

    assert expected == service.calls[-1].input


def test_the_primary_list_is_empty_without_a_primary_contact(client: ChatarminOS, service: FakeTransport) -> None:
    """No contact is primary unless it was made so."""
    company_id = service.add_company("Acme Inc")
    client.contacts.create(company_id=company_id, email="ana@acme.com")

    contacts = client.contacts.list(company_id, primary_only=True)

    assert contacts == []
