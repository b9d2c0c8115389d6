"""Which rule of the service decides about an access; pure functions.

The README of the service states `canUse` and names no reason. Assumed here: it follows from the other fields, as in
`chatarmin_os.fake.rules.access`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from chatarmin_os.fake.rules.usage import as_number, exact, quota_status
from chatarmin_os.models._base import Quantity
from chatarmin_os.models.features import FeatureAccess

Rule = Literal[
    "not_linked",
    "unknown_company",
    "no_access",
    "disabled",
    "expired",
    "zero_limit",
    "limit_reached",
    "over_limit",
    "enabled",
    "unlimited",
    "within_limit",
    "beyond_included",
    "unexplained",
    "not_stated",
]


def rule_of(access: FeatureAccess, now: datetime) -> Rule:
    """Return the rule that decides about *access* at *now*, the time of the service.

    Example:
        >>> now = datetime.fromisoformat("2025-01-02T00:00:00Z")
        >>> rule_of(FeatureAccess(is_enabled=False, can_use=False, valid_until=now), now)
        'expired'
        >>> rule_of(FeatureAccess(is_enabled=True, can_use=False), now)  # the service has a rule of its own
        'unexplained'
    """
    if access.can_use is None:
        return "not_stated"
    if access.can_use:
        return _rule_of_usable(access)
    if access.is_enabled:
        return _rule_of_limit(access) if is_at_limit(access) else "unexplained"
    if is_expired(access, now):
        return "expired"
    return "no_access" if _is_missing(access) else "disabled"


def _rule_of_usable(access: FeatureAccess) -> Rule:
    if not access.is_enabled or is_at_limit(access):
        return "unexplained"
    if billable(access):
        return "beyond_included"
    if not access.has_quantity:
        return "enabled"
    return "unlimited" if access.quantity_limit is None else "within_limit"


def _rule_of_limit(access: FeatureAccess) -> Rule:
    usage, limit = access.current_usage or 0, access.quantity_limit
    if limit is None:  # nothing remains of no limit
        return "unexplained"
    if usage > limit:
        return "over_limit"
    return "limit_reached" if limit else "zero_limit"


def is_expired(access: FeatureAccess, now: datetime) -> bool:
    """Return whether an access has ended: from `valid_until` on."""
    return access.valid_until is not None and access.valid_until <= now


def is_at_limit(access: FeatureAccess) -> bool:
    """Return whether nothing is left; `remaining` is the service's own comparison.

    Example:
        >>> is_at_limit(FeatureAccess(current_usage=5, quantity_limit=5))
        True
        >>> is_at_limit(FeatureAccess(current_usage=5, quantity_limit=5, remaining=0.001))
        False
    """
    if access.has_quantity is False:
        return False
    if access.remaining is not None:
        return access.remaining <= 0
    return access.quantity_limit is not None and (access.current_usage or 0) >= access.quantity_limit


def billable(access: FeatureAccess) -> Quantity | None:
    """Return the usage beyond the included quantity; None if usage is not billed.

    Example:
        >>> billable(FeatureAccess(current_usage=0.3, included_quantity=0.1)), billable(FeatureAccess(current_usage=9))
        (0.2, None)
    """
    if access.included_quantity is None:
        return None
    return as_number(quota_status(exact(access.current_usage or 0), None, access.included_quantity).billable)


def _is_missing(access: FeatureAccess) -> bool:
    """Return whether a disabled access looks as if it was never granted."""
    return access.source is None and not (access.quantity_limit or access.current_usage or access.included_quantity)
