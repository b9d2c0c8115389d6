"""Usage is counted up to the limit and never past it; what exceeds the included quantity is billable."""

from __future__ import annotations

from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from typing import NamedTuple, TypeAlias

Number: TypeAlias = int | float

# Wide enough for any two floats: sums are exact, three times 0.1 is 0.3.
_EXACT = Context(prec=1100, Emax=MAX_EMAX, Emin=MIN_EMIN)


class Standing(NamedTuple):
    """Where a company stands."""

    remaining: Decimal | None  # None: unlimited
    billable: Decimal
    is_at_limit: bool


def exact(number: Number) -> Decimal:
    """Return the decimal that the shortest text of *number* says.

    Example:
        >>> exact(0.1)
        Decimal('0.1')
    """
    return Decimal(repr(number))


def as_number(amount: Decimal) -> Number:
    """Return an int where *amount* is whole, else a float.

    Example:
        >>> as_number(Decimal("2.0")), as_number(Decimal("0.3"))
        (2, 0.3)
    """
    whole = int(amount)
    return whole if whole == amount else float(amount)


def added(current: Decimal, quantity: Number) -> Decimal:
    """Return the exact sum.

    Example:
        >>> added(added(exact(0.1), 0.1), 0.1)
        Decimal('0.3')
    """
    return _EXACT.add(current, exact(quantity))


def passes(current: Decimal, limit: Number | None) -> bool:
    """Return whether usage is past the limit (README); reaching it exactly is fine.

    Example:
        >>> passes(Decimal(10), 10), passes(Decimal("10.1"), 10), passes(Decimal(10**9), None)
        (False, True, False)
    """
    return limit is not None and current > exact(limit)


def standing(current: Decimal, limit: Number | None, included: Number | None) -> Standing:
    """Return what is left, what is billable so far, and whether the limit is reached.

    Example:
        >>> standing(Decimal(12), limit=20, included=10)
        Standing(remaining=Decimal('8'), billable=Decimal('2'), is_at_limit=False)
        >>> standing(Decimal(12), limit=None, included=None)
        Standing(remaining=None, billable=Decimal('0'), is_at_limit=False)
        >>> standing(Decimal(12), limit=10, included=None)
        Standing(remaining=Decimal('0'), billable=Decimal('0'), is_at_limit=True)
    """
    zero = Decimal(0)
    remaining = None if limit is None else max(zero, _EXACT.subtract(exact(limit), current))
    billable = zero if included is None else max(zero, _EXACT.subtract(current, exact(included)))
    return Standing(remaining, billable, remaining == 0)
