"""Dates as exports write them: understood if their time zone is certain."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from chatarmin_os._values import instant_of
from chatarmin_os.backfill.checks import refuse_placeholder_date
from chatarmin_os.backfill.problems import value_problem

ALLOWED = (
    "write ISO 8601 with an offset, such as 2024-01-15T10:30:00Z; "
    "if all times of the column are in UTC, add (UTC) to its name"
)
_START = datetime(1970, 1, 1, tzinfo=UTC)

_EPOCH_SECONDS, _EPOCH_MILLISECONDS = 10, 13
"""Digits of a time since 1970, from 2001 to 2286."""

_SPACE_BEFORE_OFFSET = re.compile(r" (?=(?:Z|[+-]\d\d(?::?\d\d)?)$)", re.ASCII)
_ZONE_NAME = re.compile(r" ?(?:UTC|GMT)$", re.IGNORECASE)
_ISO = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)?", re.ASCII)
_MONTH_NAME = re.compile(r"(\d{1,2})-([A-Z][a-z]{2})-(\d{4})((?: \d\d:\d\d(?::\d\d)?)?)", re.ASCII)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NUMBERS_ONLY = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}\b.*", re.ASCII | re.DOTALL)


def moment_of(text: str, *, is_utc: bool = False) -> datetime:
    """Return the instant that a cell names.

    Args:
        text: The cell: ISO 8601 with an offset, "UTC" or "GMT"; or seconds (10 digits) or milliseconds (13) since 1970.
        is_utc: Whether the column is in UTC. Then the offset may be missing, and 15-Jan-2024 is understood too.

    Raises:
        InvalidInput: The text is no date, is no possible one, or could be several.

    Example:
        >>> [moment_of(text).isoformat() for text in ("2024-01-15 10:30:00+00", "1705314600", "1705314600000")]
        ['2024-01-15T10:30:00+00:00', '2024-01-15T10:30:00+00:00', '2024-01-15T10:30:00+00:00']
        >>> moment_of("2024-01-15 10:30", is_utc=True).isoformat()
        '2024-01-15T10:30:00+00:00'
        >>> moment_of("2024-01-15 10:30")
        Traceback (most recent call last):
        ...
        chatarmin_os.errors.InvalidInput: the time has no offset from UTC, got str '2024-01-15 10:30'; write ISO ...
    """
    if text.isascii() and text.isdigit() and len(text) in {_EPOCH_SECONDS, _EPOCH_MILLISECONDS}:
        return epoch_moment(int(text))
    local = _ZONE_NAME.sub("", _SPACE_BEFORE_OFFSET.sub("", text))
    is_utc = is_utc or _ZONE_NAME.search(text) is not None
    iso = _with_numeric_month(local) if is_utc else local
    if is_utc and _ISO.fullmatch(iso):
        iso += "T00:00Z" if len(iso) == len("2024-01-15") else "Z"
    moment = instant_of(iso)
    if moment is not None:
        refuse_placeholder_date(moment, text)
        return moment
    raise value_problem(_reason(text, iso), text, ALLOWED)


def epoch_moment(number: int) -> datetime:
    """Return the instant of seconds (10 digits) or milliseconds (13) since 1970.

    Raises:
        InvalidInput: The number has another count of digits.

    Example:
        >>> epoch_moment(1705314600).isoformat(), epoch_moment(1705314600500).isoformat()
        ('2024-01-15T10:30:00+00:00', '2024-01-15T10:30:00.500000+00:00')
    """
    digits = len(str(number)) if 0 < number < 10**_EPOCH_MILLISECONDS else 0
    if digits == _EPOCH_SECONDS:
        return _START + timedelta(seconds=number)
    if digits == _EPOCH_MILLISECONDS:
        return _START + timedelta(milliseconds=number)
    raise value_problem("neither seconds (10 digits) nor milliseconds (13) since 1970", number, ALLOWED)


def _with_numeric_month(text: str) -> str:
    """Return 15-Jan-2024 as 2024-01-15; other text unchanged."""
    found = _MONTH_NAME.fullmatch(text)
    if found is None or found[2] not in _MONTHS:
        return text
    return f"{found[3]}-{_MONTHS.index(found[2]) + 1:02}-{int(found[1]):02}{found[4]}"


def _reason(text: str, iso: str) -> str:
    found = _ISO.match(iso)
    if found is not None:
        try:
            datetime.fromisoformat(found[0])
        except ValueError:
            return "no possible date"
    if _MONTH_NAME.fullmatch(text) or (found is not None and found.end() == len(iso)):
        return "the time has no offset from UTC"
    if _NUMBERS_ONLY.fullmatch(text) and found is None:
        return "the order of day and month is not certain"
    return "no date"
