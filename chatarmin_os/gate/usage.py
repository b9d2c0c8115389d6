"""The effect of usage on a known access."""

from __future__ import annotations

from decimal import Decimal

from attrs import evolve

from chatarmin_os.models._base import Quantity
from chatarmin_os.models.billing import UsageResult
from chatarmin_os.models.features import FeatureAccess


def apply_usage(access: FeatureAccess, result: UsageResult) -> FeatureAccess | None:
    """Return a known access after its usage was counted; None if the answer is below the known usage.

    Fields that the answer lacks are computed from the known limit.

    Example:
        >>> from chatarmin_os import FeatureAccess, UsageResult
        >>> known = FeatureAccess(is_enabled=True, can_use=True, current_usage=3, quantity_limit=5, remaining=2)
        >>> after = apply_usage(known, UsageResult(current_usage=5))
        >>> after.current_usage, after.remaining, after.can_use
        (5, 0, False)
        >>> apply_usage(known, UsageResult(current_usage=2)) is None
        True
    """
    if access.current_usage is not None and result.current_usage < access.current_usage:
        return None
    remaining = result.remaining
    if remaining is None and access.quantity_limit is not None:
        remaining = 0 if result.is_at_limit else minus(access.quantity_limit, result.current_usage)
    is_at_limit = result.is_at_limit is True or (remaining is not None and remaining <= 0)
    return evolve(
        access,
        current_usage=result.current_usage,
        remaining=remaining,
        can_use=access.can_use if access.can_use is None else access.is_enabled and not is_at_limit,
    )


def subtract(access: FeatureAccess, quantity: Quantity) -> FeatureAccess:
    """Return a known access less usage that is not counted yet; unlimited stays unlimited.

    Example:
        >>> from chatarmin_os import FeatureAccess
        >>> known = FeatureAccess(is_enabled=True, can_use=True, current_usage=3, quantity_limit=5, remaining=2)
        >>> subtract(known, 2).remaining, subtract(known, 2).can_use, subtract(known, 9).remaining
        (0, False, 0)
    """
    known = remaining_of(access)
    remaining = None if known is None else minus(known, quantity)
    usage = access.current_usage
    return evolve(
        access,
        current_usage=usage if usage is None else plus(usage, quantity),
        remaining=remaining,
        can_use=False if remaining is not None and remaining <= 0 else access.can_use,
    )


def remaining_of(access: FeatureAccess) -> Quantity | None:
    """Return the quantity that is known to remain; None if it is unlimited or unknown.

    Example:
        >>> from chatarmin_os import FeatureAccess
        >>> remaining_of(FeatureAccess(is_enabled=True, current_usage=0.1, quantity_limit=0.4))
        0.3
    """
    if access.remaining is None and access.quantity_limit is not None and access.current_usage is not None:
        return minus(access.quantity_limit, access.current_usage)
    return access.remaining


def plus(one: Quantity, other: Quantity) -> Quantity:
    """Return the sum of the numbers as they are written: 0.1 and 0.2 are 0.3."""
    return _number(Decimal(repr(one)) + Decimal(repr(other)))


def minus(one: Quantity, other: Quantity) -> Quantity:
    """Return the difference of the numbers as they are written, at least 0."""
    return max(0, _number(Decimal(repr(one)) - Decimal(repr(other))))


def _number(amount: Decimal) -> Quantity:
    return int(amount) if amount == amount.to_integral_value() else float(amount)
