"""Requests about contacts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from attrs import field, fields, frozen

from chatarmin_os import _pydantic
from chatarmin_os._input import (
    address,
    at_field,
    boolean,
    company_identifier,
    items,
    keywords,
    mapping,
    name_fields_in_errors,
    optional_boolean,
    optional_text,
)
from chatarmin_os._pickling import AcrossVersions
from chatarmin_os._request import Request
from chatarmin_os.models.contacts import BulkUpsertResult, Contact


@frozen(kw_only=True, field_transformer=name_fields_in_errors)
class _ContactFields(AcrossVersions):
    email: str = field(converter=address)
    name: str | None = field(default=None, converter=optional_text)
    role: str | None = field(default=None, converter=optional_text)
    is_primary: bool | None = field(default=None, converter=optional_boolean)
    avatar_url: str | None = field(default=None, converter=optional_text)
    metadata: dict[str, Any] | None = field(default=None, converter=mapping)


@frozen(kw_only=True)
class ContactInput(_pydantic.Instance, _ContactFields):
    """One contact of `contacts.bulk_upsert`.

    Args:
        email: The address, which identifies the contact whatever its case.
        name: The contact's name.
        role: Its role, such as "CEO".
        is_primary: Whether it is the company's primary contact.
        avatar_url: The URL of its picture.
        metadata: Notes to store with it, as JSON.

    Raises:
        InvalidInput: An invalid field.

    Example:
        >>> ContactInput(email="ann@acme.com", role="CEO").role
        'CEO'
    """


def contact_inputs(value: Iterable[ContactInput | Mapping[str, Any]]) -> tuple[ContactInput, ...]:
    """Return contacts, given as `ContactInput`s or mappings with its keys."""
    given = items(value, of="contacts")
    return tuple(
        contact if type(contact) is ContactInput else at_field(f"[{index}]", contact_input)(contact)
        for index, contact in enumerate(given)
    )


def contact_input(value: ContactInput | Mapping[str, Any]) -> ContactInput:
    """Return a contact, given as such or as a mapping with its keys."""
    if isinstance(value, ContactInput):
        return value
    names = tuple(field.name for field in fields(ContactInput))
    return ContactInput(**keywords(value, allowed=names, needed=("email",)))


@frozen(kw_only=True, field_transformer=name_fields_in_errors)
class CreateContactInput(Request[Contact], _ContactFields):
    """Create a contact, or update the one with this e-mail address.

    `client.contacts.create` describes the arguments, the result and the errors.

    Example:
        >>> company = client.onboard(external_org_id="org_1", tier_code="free").company_id
        >>> client.send(CreateContactInput(company_id=company, email="ann@acme.com", role="CEO")).role
        'CEO'
    """

    path: ClassVar = "contacts.create"
    kind: ClassVar = "mutation"
    result: ClassVar = Contact

    company_id: str = field(converter=company_identifier)


@frozen(kw_only=True, field_transformer=name_fields_in_errors)
class BulkUpsertInput(Request[BulkUpsertResult]):
    """Create or update many contacts, all or none.

    `client.contacts.bulk_upsert` describes the arguments, the result and the errors.

    Example:
        >>> company = client.onboard(external_org_id="org_1", tier_code="free").company_id
        >>> contacts = [ContactInput(email="ann@acme.com"), ContactInput(email="bob@acme.com")]
        >>> client.send(BulkUpsertInput(company_id=company, contacts=contacts)).created
        2
    """

    path: ClassVar = "contacts.bulkUpsert"
    kind: ClassVar = "mutation"
    result: ClassVar = BulkUpsertResult

    company_id: str = field(converter=company_identifier)
    contacts: tuple[ContactInput, ...] = field(converter=contact_inputs)


@frozen(kw_only=True, field_transformer=name_fields_in_errors)
class ListContactsInput(Request[list[Contact]]):
    """List a company's contacts.

    `client.contacts.list` describes the arguments, the result and the errors.

    Example:
        >>> company = client.onboard(external_org_id="org_1", tier_code="free").company_id
        >>> client.send(ListContactsInput(company_id=company))
        []
    """

    path: ClassVar = "contacts.list"
    kind: ClassVar = "query"
    result: ClassVar = list[Contact]

    company_id: str = field(converter=company_identifier)
    primary_only: bool = field(default=False, converter=boolean)
