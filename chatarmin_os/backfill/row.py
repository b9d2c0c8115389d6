"""A row: one customer, as a file or a program gives it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple

from attrs import field, fields, frozen

from chatarmin_os._input import (
    identifier,
    items,
    keywords,
    name_fields_in_errors,
    optional_address,
    optional_identifier,
    optional_text,
    optional_timestamp,
    text,
)
from chatarmin_os._json import JSON, timestamp_text
from chatarmin_os._pickling import AcrossVersions
from chatarmin_os.errors import InvalidInput
from chatarmin_os.procedures.contacts import ContactInput, contact_inputs


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
    """A slot that is no field of attrs: it is not compared, pickled, hashed or shown."""

    __slots__ = ("_origin",)

    _origin: Origin


def _contacts(value: Iterable[ContactInput | Mapping[str, Any] | str] | None) -> tuple[ContactInput, ...]:
    """Return contacts, given as e-mail addresses, `ContactInput`s or mappings with its keys."""
    given = () if value is None else items(value, of="contacts or e-mail addresses")
    if all(type(one) is str for one in given):  # the most frequent case
        return tuple(_contact(place, one) for place, one in enumerate(given))
    return contact_inputs([{"email": one} if isinstance(one, str) else one for one in given])


def _contact(place: int, address: str) -> ContactInput:
    try:
        return ContactInput(email=address)
    except InvalidInput as error:
        raise error.at(f"[{place}]") from None


@frozen(field_transformer=name_fields_in_errors)
class Row(_HasOrigin, AcrossVersions):
    """One customer of a backfill.

    Args:
        external_org_id: Your id of the organisation, as text or UUID.
        name: The company's name.
        domain: Its domain, such as `acme.com`.
        tier_code: The tier to apply; None for no tier.
        contact_email: The e-mail address of the contact that is created with the company.
        contact_name: The name of that contact.
        created_at: The instant since which it is your customer: an aware datetime, or ISO 8601 text with an offset.
        contacts: People at the company: e-mail addresses, `ContactInput`s, or mappings with its keys.
        stripe_subscription_id: The Stripe subscription to link.
        label: The label of the link.

    Raises:
        InvalidInput: An invalid argument, which the error names.

    Example:
        >>> from chatarmin_os.backfill import Row
        >>> row = Row(external_org_id="org_1", name="Acme Inc", contacts=["ann@acme.com", {"email": "bob@acme.com"}])
        >>> [contact.email for contact in row.contacts]
        ['ann@acme.com', 'bob@acme.com']
    """

    external_org_id: str = field(converter=identifier)
    name: str = field(converter=text)
    domain: str | None = field(default=None, converter=optional_text)
    tier_code: str | None = field(default=None, converter=optional_text)
    contact_email: str | None = field(default=None, converter=optional_address)
    contact_name: str | None = field(default=None, converter=optional_text)
    created_at: datetime | None = field(default=None, converter=optional_timestamp)
    contacts: tuple[ContactInput, ...] = field(default=(), converter=_contacts)
    stripe_subscription_id: str | None = field(default=None, converter=optional_identifier)
    label: str | None = field(default=None, converter=optional_text)


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
    document["contacts"] = [
        {
            name: value
            for name, value in zip(_CONTACT_FIELDS, _contact_values(contact), strict=True)
            if value is not None
        }
        for contact in row.contacts
    ]
    if not row.contacts:
        del document["contacts"]
    return document


_CONTACT_FIELDS = tuple(one.name for one in fields(ContactInput))
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
