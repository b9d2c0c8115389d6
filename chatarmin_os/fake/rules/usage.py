"""Usage is counted up to the limit and never past it; the part beyond the included quantity is billable.

That fractions are counted exactly is an assumption. A service may keep quantities in an integer column, which refuses
fractions, or as `numeric(12, 2)`, which rounds 0.125 to 0.13 and 0.0000001 to 0. Whole units are the safe choice.
"""

from __future__ import annotations

import sys
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from typing import NamedTuple

from chatarmin_os.fake.rows import Amount, Number

# Wide enough for any two floats: sums are exact, three times 0.1 is 0.3.
_EXACT = Context(prec=1100, Emax=MAX_EMAX, Emin=MIN_EMIN)


class QuotaStatus(NamedTuple):
    """Usage compared with the limit and the included quantity."""

    remaining: Amount | None  # None: unlimited
    billable: Amount
    is_at_limit: bool


def exact(number: Number) -> Amount:
    """Return the decimal value of the shortest text of *number*.

    Example:
        >>> exact(0.1), exact(3)
        (Decimal('0.1'), 3)
    """
    return Decimal(repr(number)) if isinstance(number, float) else number


def as_number(amount: Amount) -> Number:
    """Return an int if *amount* is whole, else a float; beyond the largest float the whole part.

    Example:
        >>> as_number(Decimal("2.0")), as_number(Decimal("0.3"))
        (2, 0.3)
    """
    whole = int(amount)
    return whole if whole == amount or abs(whole) > sys.float_info.max else float(amount)


def add_exact(usage: Amount, quantity: Number) -> Amount:
    """Return the exact sum.

    Example:
        >>> add_exact(add_exact(exact(0.1), 0.1), 0.1)
        Decimal('0.3')
    """
    if isinstance(usage, int) and isinstance(quantity, int):
        return usage + quantity
    return _EXACT.add(usage, exact(quantity))


def exceeds(usage: Amount, limit: Number | None) -> bool:
    """Return whether usage is above the limit (README); reaching it exactly is allowed.

    Example:
        >>> exceeds(10, 10), exceeds(Decimal("10.1"), 10), exceeds(10**9, None)
        (False, True, False)
    """
    return limit is not None and usage > exact(limit)


def quota_status(usage: Amount, limit: Number | None, included: Number | None) -> QuotaStatus:
    """Return the quantity that remains, the billable quantity so far, and whether the limit is reached.

    Example:
        >>> quota_status(12, limit=20, included=10)
        QuotaStatus(remaining=8, billable=2, is_at_limit=False)
        >>> quota_status(12, limit=None, included=None)
        QuotaStatus(remaining=None, billable=0, is_at_limit=False)
        >>> quota_status(12, limit=10, included=None)
        QuotaStatus(remaining=0, billable=0, is_at_limit=True)
    """
    remaining = None if limit is None else _excess(exact(limit), usage)
    billable = 0 if included is None else _excess(usage, exact(included))
    return QuotaStatus(remaining, billable, remaining == 0)


def _excess(one: Amount, other: Amount) -> Amount:
    """Return how far *one* exceeds *other*, at least 0."""
    if one <= other:
        return 0
    return one - other if isinstance(one, int) and isinstance(other, int) else _EXACT.subtract(one, other)
