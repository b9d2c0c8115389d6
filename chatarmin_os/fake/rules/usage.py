"""Usage is counted up to the limit and never past it; what exceeds the included quantity is billable.

That fractions are counted exactly is an assumption: a service may keep quantities in an integer column, which refuses
them, or as `numeric(12, 2)`, which makes 0.125 into 0.13 and 0.0000001 into 0. Whole units are the safe choice.
"""

from __future__ import annotations

import sys
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from typing import NamedTuple, TypeAlias

Number: TypeAlias = int | float
Amount: TypeAlias = int | Decimal
"""An exact number: a sum of quantities."""

# Wide enough for any two floats: sums are exact, three times 0.1 is 0.3.
_EXACT = Context(prec=1100, Emax=MAX_EMAX, Emin=MIN_EMIN)


class Standing(NamedTuple):
    """Where a company stands."""

    remaining: Amount | None  # None: unlimited
    billable: Amount
    is_at_limit: bool


def exact(number: Number) -> Amount:
    """Return the decimal that the shortest text of *number* says.

    Example:
        >>> exact(0.1), exact(3)
        (Decimal('0.1'), 3)
    """
    return Decimal(repr(number)) if isinstance(number, float) else number


def as_number(amount: Amount) -> Number:
    """Return an int where *amount* is whole, else a float; beyond the largest float the whole part.

    Example:
        >>> as_number(Decimal("2.0")), as_number(Decimal("0.3"))
        (2, 0.3)
    """
    whole = int(amount)
    return whole if whole == amount or abs(whole) > sys.float_info.max else float(amount)


def added(current: Amount, quantity: Number) -> Amount:
    """Return the exact sum.

    Example:
        >>> added(added(exact(0.1), 0.1), 0.1)
        Decimal('0.3')
    """
    if isinstance(current, int) and isinstance(quantity, int):
        return current + quantity
    return _EXACT.add(current, exact(quantity))


def passes(current: Amount, limit: Number | None) -> bool:
    """Return whether usage is past the limit (README); reaching it exactly is fine.

    Example:
        >>> passes(10, 10), passes(Decimal("10.1"), 10), passes(10**9, None)
        (False, True, False)
    """
    return limit is not None and current > exact(limit)


def standing(current: Amount, limit: Number | None, included: Number | None) -> Standing:
    """Return what is left, what is billable so far, and whether the limit is reached.

    Example:
        >>> standing(12, limit=20, included=10)
        Standing(remaining=8, billable=2, is_at_limit=False)
        >>> standing(12, limit=None, included=None)
        Standing(remaining=None, billable=0, is_at_limit=False)
        >>> standing(12, limit=10, included=None)
        Standing(remaining=0, billable=0, is_at_limit=True)
    """
    remaining = None if limit is None else _excess(exact(limit), current)
    billable = 0 if included is None else _excess(current, exact(included))
    return Standing(remaining, billable, remaining == 0)


def _excess(one: Amount, other: Amount) -> Amount:
    """Return what *one* is more than *other*, 0 where it is not."""
    if one <= other:
        return 0
    return one - other if isinstance(one, int) and isinstance(other, int) else _EXACT.subtract(one, other)
