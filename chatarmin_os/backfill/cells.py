"""Values of cells and of JSON, as arguments of `Row`."""

from __future__ import annotations

import json
import re
from typing import Any

from chatarmin_os._json import JSON
from chatarmin_os.backfill.checks import is_missing, refuse_placeholder
from chatarmin_os.backfill.encoding import refuse_invalid_byte
from chatarmin_os.backfill.moments import epoch_moment, moment_of
from chatarmin_os.backfill.problems import value_problem

_TOTALS = re.compile(
    r"(?:grand |sub ?)?totals?\b(?: \(.*\)| g[eé]n[eé]ral)?:?|count|average|sum|summe|gesamt|(?:gesamt|zwischen)summe"
    r"|insgesamt|somme|suma|totale|totaal|totalt|razem|итого|合計|合计|总计"
)
_ROUNDED_NUMBER = re.compile(r"\d(?:[.,]\d+)?E\+\d+|\d+[.,]0+", re.ASCII | re.IGNORECASE)
_GROUPED_NUMBER = re.compile(r"\d{1,3}(?:[, \u00a0\u202f]\d{3})+", re.ASCII)
_NAMES = frozenset(["name", "contact_name", "label"])
_MAX_LINE_BREAKS = 10
"""Of a name: the next quote in the file, such as one for inches, may be what closes an open one, rows further on."""

_BETWEEN_ADDRESSES = re.compile(r"[\s,;]+")
_NO_ELEMENTS = {"NULL", '""'}
"""How PostgreSQL writes elements of an array that are null or empty."""


def value_of_cell(field: str, cell: str, *, is_utc: bool = False) -> Any:
    """Return the value of a cell of a table, without surrounding white space; None if it is empty.

    Raises:
        InvalidInput: The cell has no value of this field.

    Example:
        >>> value_of_cell("name", " Acme Inc "), value_of_cell("domain", " ")
        ('Acme Inc', None)
        >>> value_of_cell("contacts", "ann@acme.com; bob@acme.com")
        ['ann@acme.com', 'bob@acme.com']
        >>> value_of_cell("external_org_id", "Total")
        Traceback (most recent call last):
        ...
        chatarmin_os.errors.InvalidInput: a total, not an id, got str 'Total'; remove the row
    """
    text = cell.strip()
    if not text:
        return None
    _refuse_text(text)
    if field in _NAMES and max(text.count("\n"), text.count("\r")) > _MAX_LINE_BREAKS:
        raise value_problem(
            f"more than {_MAX_LINE_BREAKS} line breaks: is a quote not closed?", text, "close each quote"
        )
    if field == "contacts":
        return addresses(text)
    return _read_text(field, text, is_utc=is_utc)


def value_of_json(field: str, value: JSON, *, is_utc: bool = False) -> Any:
    """Return a value of JSON as an argument of `Row`; None if it is null or blank text.

    Raises:
        InvalidInput: The value is text without a value of this field.

    Example:
        >>> value_of_json("external_org_id", 42), value_of_json("domain", "")
        ('42', None)
        >>> value_of_json("created_at", 1705314600).isoformat()
        '2024-01-15T10:30:00+00:00'
    """
    if is_missing(value):
        return None
    if isinstance(value, str):
        _refuse_text(value)
        return _read_text(field, value, is_utc=is_utc)
    if type(value) is int:
        if field == "created_at":
            return epoch_moment(value)
        if field == "external_org_id":
            return str(value)
    return value


def addresses(text: str) -> list[Any]:
    """Return the contacts of a cell: texts between spaces, commas or semicolons, a JSON list or a PostgreSQL array.

    Raises:
        InvalidInput: The cell begins as a JSON list, but is none.

    Example:
        >>> addresses("ann@acme.com, bob@acme.com"), addresses('[{"email": "ann@acme.com", "role": "CEO"}]')
        (['ann@acme.com', 'bob@acme.com'], [{'email': 'ann@acme.com', 'role': 'CEO'}])
        >>> addresses("{ann@acme.com,NULL}")
        ['ann@acme.com']
    """
    if text.startswith("["):
        return _json_list(text)
    is_array = text.startswith("{") and text.endswith("}")
    found = _BETWEEN_ADDRESSES.split(text[1:-1] if is_array else text)
    return [part for part in found if part and not (is_array and part in _NO_ELEMENTS)]


def _json_list(text: str) -> list[Any]:
    try:
        found: list[Any] = json.loads(text)
    except (ValueError, RecursionError):
        raise value_problem(
            "not a JSON list", text, "write addresses, or a JSON list of addresses or objects"
        ) from None
    return found


def _read_text(field: str, text: str, *, is_utc: bool) -> Any:
    """Return the value of a field that is text in all formats."""
    if field == "created_at":
        return moment_of(text, is_utc=is_utc)
    if field == "external_org_id":
        _check_id(text)
    return text


def _refuse_text(text: str) -> None:
    refuse_invalid_byte(text)
    refuse_placeholder(text)
    if text.startswith('="'):
        raise value_problem("a formula, not a value", text, "export values")
    if text[0] == text[-1] == "'" and len(text) > 1:
        raise value_problem("a value between apostrophes", text, 'quote cells with "')


def _check_id(text: str) -> None:
    if _TOTALS.fullmatch(text.lower()):
        raise value_problem("a total, not an id", text, "remove the row")
    if text[0] == "'":
        raise value_problem("an apostrophe in front, with which spreadsheets mark text", text, "remove it")
    if _GROUPED_NUMBER.fullmatch(text):
        raise value_problem("a number with separators, not an id", text, "export the column as text")
    if _ROUNDED_NUMBER.fullmatch(text):
        raise value_problem(
            "a number that a program rounded or made a decimal, not an id", text, "export the column as text"
        )
