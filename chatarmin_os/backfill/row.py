"""A row: one customer, as a file or a program gives it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

from attrs import field, fields, frozen

from chatarmin_os._input import (
    address,
    at_field,
    hint,
    identifier,
    items,
    keywords,
    name_fields_in_errors,
    optional_identifier,
    optional_timestamp,
    text,
)
from chatarmin_os._json import JSON, plain, timestamp_text
from chatarmin_os._pickling import AcrossVersions
from chatarmin_os.backfill.checks import (
    check_address,
    check_code,
    is_missing,
    refuse_placeholder,
    refuse_placeholder_date,
)
from chatarmin_os.errors import InvalidInput
from chatarmin_os.procedures.contacts import ContactInput, contact_input

_CONTACT_FIELDS = tuple(one.name for one in fields(ContactInput))


class Origin(NamedTuple):
    """The place of a row in its file, and the row as the file has it.

    Attributes:
        line: The physical line on which the record begins, from 1.
        source: JSON: `{"columns": [...], "cells": [...]}` of a table, `{"object": {...}}` of JSON, and `"text"` in
            place of cells or object if the record has no readable parts.
    """

    line: int
    source: JSON


class _HasOrigin:
    """A slot outside of the fields of attrs: it is not compared, pickled, hashed or shown."""

    __slots__ = ("_origin",)

    _origin: Origin


def _organisation(value: str | UUID) -> str:
    found = check_code(identifier(value))
    refuse_placeholder(found)
    return found


def _optional_identifier(value: str | UUID | None) -> str | None:
    found = optional_identifier(None if is_missing(value) else value)
    return None if found is None else check_code(found)


def _optional_code(value: str | None) -> str | None:
    found = hint(value)
    return None if found is None else check_code(found)


def _optional_domain(value: str | None) -> str | None:
    found = _optional_code(value)
    if found is not None:
        refuse_placeholder(found)
    return found


def _optional_address(value: str | None) -> str | None:
    found = hint(value)
    return None if found is None else check_address(address(found))


def _optional_created_at(value: datetime | str | None) -> datetime | None:
    moment = optional_timestamp(None if is_missing(value) else value)
    if moment is not None:
        refuse_placeholder_date(moment, value)
    return moment


def _contacts(value: Iterable[ContactInput | Mapping[str, Any] | str | None] | None) -> tuple[ContactInput, ...]:
    """Return contacts without those that are missing."""
    given = () if value is None or is_missing(value) else items(value, of="contacts or e-mail addresses")
    found = [_contact_at(place, one) for place, one in enumerate(given)]
    return tuple(contact for contact in found if contact is not None)


def _contact_at(place: int, value: Any) -> ContactInput | None:
    if type(value) is not str:
        return at_field(f"[{place}]", _contact)(value)
    try:  # the most frequent case
        return _contact(value)
    except InvalidInput as error:
        raise error.at(f"[{place}]") from None


def _contact(value: ContactInput | Mapping[str, Any] | str | None) -> ContactInput | None:
    """Return a contact; None for null, blank text, and a mapping whose values are all missing."""
    if value is None or is_missing(value):
        return None
    if isinstance(value, str):
        value = ContactInput(email=value)
    elif isinstance(value, Mapping):
        value = {key: one for key, one in value.items() if key not in _CONTACT_FIELDS or not is_missing(plain(one))}
        if not value:
            return None
    contact = contact_input(value)
    try:
        check_address(contact.email)
    except InvalidInput as error:
        raise error.at("email") from None
    return contact


@frozen(field_transformer=name_fields_in_errors)
class Row(_HasOrigin, AcrossVersions):
    """One customer of a backfill. Blank text of an optional field, also of a contact, counts as omitted.

    Args:
        external_org_id: Your id of the organisation, as text or UUID.
        name: The company's name.
        domain: Its domain, such as `acme.com`.
        tier_code: The tier to apply; None for no tier.
        contact_email: The e-mail address of the contact that is created with the company.
        contact_name: The name of that contact.
        created_at: The instant since which it is your customer: an aware datetime, or ISO 8601 text with an offset.
        contacts: People at the company: e-mail addresses, `ContactInput`s, or mappings with its keys. Those that are
            None, blank text, or have no value at all are left out.
        stripe_subscription_id: The Stripe subscription to link.
        label: The label of the link.

    Raises:
        InvalidInput: An invalid argument, which the error names: also an id or a domain that stands for a missing one
            ("None", "n/a"), a date that does (1970-01-01), invisible letters in a code, and text that is no address.

    Example:
        >>> from chatarmin_os.backfill import Row
        >>> row = Row(external_org_id="org_1", name="Acme Inc", contacts=["ann@acme.com", {"email": "bob@acme.com"}])
        >>> [contact.email for contact in row.contacts]
        ['ann@acme.com', 'bob@acme.com']
    """

    external_org_id: str = field(converter=_organisation)
    name: str = field(converter=text)
    domain: str | None = field(default=None, converter=_optional_domain)
    tier_code: str | None = field(default=None, converter=_optional_code)
    contact_email: str | None = field(default=None, converter=_optional_address)
    contact_name: str | None = field(default=None, converter=hint)
    created_at: datetime | None = field(default=None, converter=_optional_created_at)
    contacts: tuple[ContactInput, ...] = field(default=(), converter=_contacts)
    stripe_subscription_id: str | None = field(default=None, converter=_optional_identifier)
    label: str | None = field(default=None, converter=hint)


FIELDS = tuple(one.name for one in fields(Row))
REQUIRED = ("external_org_id", "name")


def row_of(value: Row | Mapping[str, Any]) -> Row:
    """Return a row, given as such or as a mapping with its keys.

    Raises:
        InvalidInput: A key is unknown or missing, or its value is invalid.

    Example:
        >>> row_of({"external_org_id": "org_1", "name": "Acme Inc", "tier_code": "pro"}).tier_code
        'pro'
        >>> row_of({"external_org_id": "org_1", "name": "Acme Inc", "plan": "pro"})
        Traceback (most recent call last):
        ...
        chatarmin_os.errors.InvalidInput: plan: no such field; allowed: external_org_id, name, domain, tier_code, ...
    """
    return value if isinstance(value, Row) else Row(**keywords(value, allowed=FIELDS, needed=REQUIRED))


def row_to_json(row: Row) -> JSON:
    """Return a row as JSON, without the fields that are None or empty; `row_of` returns the equal row.

    Example:
        >>> row_to_json(Row("org_1", "Acme Inc", created_at="2024-01-15T10:30:00Z", contacts=["ann@acme.com"]))
        {'external_org_id': 'org_1', 'name': 'Acme Inc', 'created_at': '2024-01-15T10:30:00.000Z', 'contacts':
        [{'email': 'ann@acme.com'}]}
    """
    document = {name: value for name, value in zip(FIELDS, _values(row), strict=True) if value is not None}
    if row.created_at is not None:
        document["created_at"] = timestamp_text(row.created_at)
    document["contacts"] = [_contact_to_json(contact) for contact in row.contacts]
    if not row.contacts:
        del document["contacts"]
    return document


def _contact_to_json(contact: ContactInput) -> JSON:
    values = zip(_CONTACT_FIELDS, _contact_values(contact), strict=True)
    return {name: value for name, value in values if value is not None}


def given_to_json(value: object) -> JSON:
    """Return a part of an invalid row that JSON lacks, without loss if it has contacts.

    Example:
        >>> given_to_json(ContactInput(email="ann@acme.com")), given_to_json({"ann@acme.com"}), given_to_json(1j)
        ({'email': 'ann@acme.com'}, ['ann@acme.com'], '1j')
    """
    if isinstance(value, ContactInput):
        return _contact_to_json(value)
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, Iterable) and not isinstance(value, bytes) else str(value)


_values, _contact_values = attrgetter(*FIELDS), attrgetter(*_CONTACT_FIELDS)
_CREATED_AT, _CONTACTS = FIELDS.index("created_at"), FIELDS.index("contacts")
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def content_hash(row: Row) -> str:
    """Return the SHA-256 of a row's content, in hexadecimal digits: equal rows have equal hashes on every version.

    A field that is None has no part in it, so that a later version with more fields computes the same hash.

    Example:
        >>> content_hash(Row(external_org_id="org_1", name="Acme Inc"))[:16]
        '529d95ba4179d3ab'
    """
    return hashlib.sha256(_encode(row_to_json(row)).encode("ascii")).hexdigest()


def row_values(row: Row) -> list[Any]:
    """Return the values of a row as JSON, as far as they are that.

    Example:
        >>> row_values(Row(external_org_id="org_1", name="Acme Inc"))[:3]
        ['org_1', 'Acme Inc', None]
    """
    values = list(_values(row))
    values[_CREATED_AT] = str(row.created_at)
    values[_CONTACTS] = [_contact_values(contact) for contact in row.contacts]
    return values


def with_origin(row: Row, origin: Origin) -> Row:
    """Return the same row, which now knows its place in a file."""
    object.__setattr__(row, "_origin", origin)  # the class is frozen
    return row


def origin_of(row: Row) -> Origin | None:
    """Return the place of a row in its file; None if it is not from a file, or was copied or pickled.

    Example:
        >>> origin_of(Row(external_org_id="org_1", name="Acme Inc")) is None
        True
    """
    return getattr(row, "_origin", None)
