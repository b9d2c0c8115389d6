"""Names of columns, and of keys of JSON objects, to fields of `Row`.

A name is understood if it can mean one field only; the caller has to map any other. The ids of HubSpot ("Record ID"),
Stripe ("id") and Chargebee ("Customer Id") are never taken for your id of an organisation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from attrs import frozen

from chatarmin_os._json import describe
from chatarmin_os._messages import closest, printable
from chatarmin_os.backfill.digests import digest_of
from chatarmin_os.backfill.row import FIELDS, REQUIRED
from chatarmin_os.errors import InvalidInput

ERROR = "error"
"""The column of a file of failed rows, which is not read."""

_SYNONYMS = {
    "company": "name",  # Chargebee
    "company_name": "name",  # HubSpot
    "company_domain": "domain",
    "company_domain_name": "domain",  # HubSpot
    "email": "contact_email",  # Stripe, Chargebee
    "created": "created_at",  # Stripe
    "create_date": "created_at",  # HubSpot
    "createdate": "created_at",  # the API of HubSpot
}
"""Names of other programs, as `_words` returns them -> fields."""

_OTHER_OBJECT = {"customer", "customer_id"}
"""A table with one of these columns may be about subscriptions or payments: its creation is not the customer's."""

_WORD_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[\W_]+")
_MAX_SHOWN_COLUMNS = 30
_MAX_NAME_LENGTH = 40

Mapped = Mapping[str, str | None]
"""Columns -> fields; None for a column to ignore."""


class Column(NamedTuple):
    """A column that is read."""

    place: int
    name: str
    field: str
    is_utc: bool
    """Whether its name says that its times are in UTC."""


@frozen
class Columns:
    """The columns of a table, or the keys of an object.

    Attributes:
        ignored: Columns that are not read, except for those mapped to None, and `error` of a file of failed rows.
        is_table: Whether the values are the text of cells.
        place_of_id: The place of `external_org_id`.
        digest: Of all that decides how values are read.
    """

    names: tuple[str, ...]
    read: tuple[Column, ...]
    ignored: tuple[str, ...]
    is_table: bool
    place_of_id: int
    digest: bytes


def check_mapping(mapping: object) -> dict[str, str | None]:
    """Return a mapping of columns to fields; empty for None.

    Raises:
        InvalidInput: It is no mapping, a field is unknown, or two columns are mapped to one.

    Example:
        >>> check_mapping({"id": "external_org_id", "notes": None})
        {'id': 'external_org_id', 'notes': None}
        >>> check_mapping({"id": "org"})
        Traceback (most recent call last):
        ...
        chatarmin_os.errors.InvalidInput: mapping.id: no such field, got str 'org'; allowed: external_org_id, name, ...
    """
    if mapping is None:
        return {}
    if not isinstance(mapping, Mapping):
        raise InvalidInput(f"expected a mapping of columns to fields, got {describe(mapping)}").at("mapping")
    mapped: dict[str, str | None] = {}
    for column, field in mapping.items():
        if not isinstance(column, str):
            raise InvalidInput(f"columns must be text, got {describe(column)}").at("mapping")
        if field is not None and field not in FIELDS:
            hint = f"allowed: {', '.join(FIELDS)}"
            raise InvalidInput(f"no such field, got {describe(field)}", hint).at(column).at("mapping")
        if field is not None and field in mapped.values():
            raise InvalidInput(f"{field} is mapped already", "map one column to each field").at(column).at("mapping")
        mapped[column.strip()] = field
    return mapped


def field_of(name: str) -> str | None:
    """Return the field that a column is certain to mean; None if it means no field, or may mean another.

    Example:
        >>> [field_of(name) for name in ("externalOrgId", "Company name", "Created (UTC)", "tier_code (metadata)")]
        ['external_org_id', 'name', 'created_at', 'tier_code']
    """
    words = _words(name).removesuffix("_utc")
    return words if words in FIELDS else _SYNONYMS.get(words)


def _words(name: str) -> str:
    """Return a name in lower case, its words joined by underscores.

    Stripe adds "(metadata)" to the names that its users gave.
    """
    return _WORD_BOUNDARY.sub("_", name.strip().removesuffix("(metadata)")).strip("_").lower()


def fields_read(names: Sequence[str], mapping: Mapped) -> dict[str, list[str]]:
    """Return the columns of each field, as many as claim it.

    Example:
        >>> fields_read(["id", "Name", "Company"], {"id": "external_org_id"})
        {'external_org_id': ['id'], 'name': ['Name', 'Company']}
    """
    mapped_fields = set(mapping.values())
    found: dict[str, list[str]] = {}
    for name in names:
        field = mapping[name] if name in mapping else field_of(name)
        if field is not None and (name in mapping or field not in mapped_fields):
            found.setdefault(field, []).append(name)
    return found


def understand(names: Sequence[str], mapping: Mapped, *, is_table: bool = True) -> Columns:
    """Return which columns are read and which are ignored.

    Args:
        names: The names of the columns.
        mapping: Columns -> fields; it has precedence over the names.
        is_table: Whether a mapped column has to exist: keys of a JSON object are optional.

    Raises:
        InvalidInput: A field is missing, or a column is missing or not certain.

    Example:
        >>> columns = understand(["id", "Company", "Notes"], {"id": "external_org_id"})
        >>> [(column.place, column.field) for column in columns.read], columns.ignored
        ([(0, 'external_org_id'), (1, 'name')], ('Notes',))
        >>> understand(["external_org_id", "Name", "Company"], {})
        Traceback (most recent call last):
        ...
        chatarmin_os.errors.InvalidInput: several columns may be the field name: 'Name', 'Company'; map one of them, ...
    """
    found = fields_read(names, mapping)
    if is_table:
        _refuse_missing_columns(names, mapping)
    _refuse_uncertain_fields(names, found)
    _refuse_other_creation(names, mapping, found)
    used = {columns[0]: field for field, columns in found.items()}
    read = tuple(
        Column(place, name, used[name], _words(name).endswith("_utc"))
        for place, name in enumerate(names)
        if name in used
    )
    on_purpose = {*used, *mapping, ERROR}
    return Columns(
        tuple(names),
        read,
        tuple(name for name in names if name and name not in on_purpose),
        is_table,
        place_of_id=next(column.place for column in read if column.field == REQUIRED[0]),
        digest=digest_of([is_table, *map(tuple, read)]) or b"",
    )


def _refuse_missing_columns(names: Sequence[str], mapping: Mapped) -> None:
    for name in mapping:
        if name not in names:
            near = closest(name, [column for column in names if column])
            advice = f"did you mean {near!r}? " if near else ""
            raise InvalidInput(f"the mapped column {_shown(name)} does not exist", f"{advice}columns: {_listed(names)}")


def _refuse_uncertain_fields(names: Sequence[str], found: Mapping[str, list[str]]) -> None:
    """Refuse a required field without a column, and a field with several."""
    missing = [field for field in REQUIRED if field not in found]
    if missing:
        raise InvalidInput(
            f"no column is certain to be {' or '.join(missing)}",
            f"map one, as in mapping={{{'COLUMN'!r}: {missing[0]!r}}} or --map COLUMN={missing[0]}; "
            f"columns: {_listed(names)}",
        )
    for field, columns in found.items():
        if len(columns) > 1:
            shown = ", ".join(map(_shown, columns))
            advice = "rename one of them" if len({*columns}) == 1 else "map one of them, or map the others to None"
            raise InvalidInput(f"several columns may be the field {field}: {shown}", advice)


def _refuse_other_creation(names: Sequence[str], mapping: Mapped, found: Mapping[str, list[str]]) -> None:
    created = found.get("created_at", ["created_at"])[0]
    other = next((name for name in names if _words(name) in _OTHER_OBJECT), None)
    if other is not None and created in names and created not in mapping:
        raise InvalidInput(
            f"{_shown(created)} may be the date of a payment or subscription, since there is a column {_shown(other)}",
            f"map {_shown(created)} to created_at if it is the date of the customer, or else to None",
        )


def _shown(name: str) -> str:
    return printable(repr(name), _MAX_NAME_LENGTH)


def _listed(names: Sequence[str]) -> str:
    listed = ", ".join(map(_shown, names[:_MAX_SHOWN_COLUMNS]))
    return f"{listed} and {len(names) - _MAX_SHOWN_COLUMNS} more" if len(names) > _MAX_SHOWN_COLUMNS else listed
