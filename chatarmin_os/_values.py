"""Numbers and instants in answers, in the notations of databases and JavaScript."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from chatarmin_os._json import MAX_SAFE_INTEGER

if TYPE_CHECKING:
    from chatarmin_os.models._base import Quantity

_MAX_DIGITS = 4_300
"""The default limit of Python: the time of a conversion grows with the square of the digits."""

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def number_of(text: str) -> Quantity | None:
    """Return the number of a JSON text, exact if it is whole; None if it is not a number, or beyond all floats."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    if match[1] is match[2] is None:
        # The limit of `int` may be lowered by a user.
        return int(Decimal(text)) if len(text) <= _MAX_DIGITS else None
    number = float(text)  # before the exact number: an exponent can mean a billion digits
    if number - number != 0:
        return None
    if abs(number) <= MAX_SAFE_INTEGER:
        return int(number) if number.is_integer() else number
    exact = Decimal(text)
    return int(exact) if exact == exact.to_integral_value() else number


_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_LEAP_CYCLE = 400
"""Years after which the calendar repeats."""

_DATE = re.compile(
    # JavaScript writes years beyond 9999 and before 0 with a sign and six digits, PostgreSQL without a sign.
    r"([0-9]{4}|\+[0-9]{6}|-(?!0{6})[0-9]{6}|\+?[1-9][0-9]{4,5})(-[0-9]{2}-[0-9]{2})(.*)"
)


def instant_of(text: str) -> datetime | None:
    """Return an instant in UTC; None if the text is not an instant, or has no offset."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is UTC:
            return moment
        return None if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def far_instant_of(text: str) -> datetime | None:
    """Return the start of a day in UTC; for a year beyond those of `datetime`, its last or first instant.

    Return None if the text is not a date. Assumed here: such a year means "never".
    """
    date = _DATE.fullmatch(text)
    if date is None:
        return None
    year = int(date[1])
    like = 2000 + year % _LEAP_CYCLE  # a year with the same calendar, within those of `datetime`
    moment = instant_of(f"{like}{date[2]}{date[3] or 'T00:00:00Z'}")
    if moment is None:
        return None
    year += moment.year - like
    if year < _FIRST.year:
        return _FIRST
    return _LAST if year > _LAST.year else moment.replace(year=year)
