"""Checks of values that a row has from any source: a file, a mapping or a call of `Row`."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from chatarmin_os.backfill.problems import value_problem

_PLACEHOLDERS = frozenset(
    [
        *("null", "(null)", "<null>", "[null]", "nil", "none", "(none)", "undefined", "(blank)", "(empty)", r"\n"),
        *("na", "<na>", "n/a", "n.a.", "nan", "nat", "#n/a", "#nv"),
        *(f"err:{code}" for code in range(501, 541)),
    ]
)
"""How programs write a missing value, or a failed formula (`Err:502` is LibreOffice's), in lower case."""

_MARKS_ONLY = re.compile(r"[-\u2010-\u2015_.?*/\\:=~ ]+|#+|#\S+[!?]")
"""A dash or the like for a missing value, a number that was too wide for its column, a failed formula (`#REF!`)."""

_ADDRESS = re.compile(r"[^\s,;@<>()\[\]{}\"]+@[^\s,;@<>()\[\]{}\"]+")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLACEHOLDER_YEARS = {1, 1899, 1900, 9999}
"""The first and last date of Go and .NET, and the zero of spreadsheets; `_EPOCH` is the zero of most others."""

_OMIT = "write an empty cell, null in JSON, or None in Python"


def is_missing(value: object) -> bool:
    """Return whether an optional value is missing: None or blank text.

    Example:
        >>> is_missing(None), is_missing(" "), is_missing([]), is_missing("0")
        (True, True, False, False)
    """
    return value is None or (isinstance(value, str) and not value.strip())


def refuse_placeholder(text: str) -> None:
    """Refuse text that stands for a missing value: the domain "n/a" would link all customers that have none.

    Raises:
        InvalidInput: The text is such a placeholder.

    Example:
        >>> refuse_placeholder("acme.com")
        >>> refuse_placeholder("N/A")
        Traceback (most recent call last):
        ...
        chatarmin_os.errors.InvalidInput: a placeholder, not a value, got str 'N/A'; write an empty cell, null in ...
    """
    if text.strip().lower() in _PLACEHOLDERS or (not text[0].isalnum() and _MARKS_ONLY.fullmatch(text)):
        raise value_problem("a placeholder, not a value", text, _OMIT)


def refuse_placeholder_date(moment: datetime, given: object) -> None:
    """Refuse an instant in UTC that stands for a missing one; the message shows *given*.

    Raises:
        InvalidInput: The instant is such a placeholder.
    """
    if moment.year in _PLACEHOLDER_YEARS or moment == _EPOCH:
        raise value_problem("a date that stands for a missing one", given, _OMIT)


def check_code(code: str) -> str:
    r"""Return text that is compared with other texts.

    Raises:
        InvalidInput: The text has an invisible character.

    Example:
        >>> check_code("pro\u200b")
        Traceback (most recent call last):
        ...
        chatarmin_os.errors.InvalidInput: the invisible character U+200B, got str 'pro\u200b'; remove it
    """
    if not code.isprintable():
        character = next(character for character in code if not character.isprintable())
        raise value_problem(f"the invisible character U+{ord(character):04X}", code, "remove it")
    return code


def check_address(address: str) -> str:
    """Return an e-mail address; only the service checks its exact form.

    Raises:
        InvalidInput: The text is not one address.

    Example:
        >>> check_address("ann@acme.com")
        'ann@acme.com'
        >>> check_address("Ann <ann@acme.com>")
        Traceback (most recent call last):
        ...
        chatarmin_os.errors.InvalidInput: not an e-mail address, got str 'Ann <a...@acme.com>'; write one address, ...
    """
    if not (address.isprintable() and _ADDRESS.fullmatch(address)):
        check_code(address)
        raise value_problem("not an e-mail address", address, "write one address, without a name")
    return address
