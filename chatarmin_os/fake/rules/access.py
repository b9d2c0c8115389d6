"""A company may use a feature that is enabled, not expired, and below its limit."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from chatarmin_os.fake.rules.usage import as_number, quota_status

if TYPE_CHECKING:
    from chatarmin_os.fake.rows import Access, Amount, Feature


def default_access(feature: Feature) -> Access:
    """Return the access of a company without one: disabled, and with a limit of 0 if the feature has a quantity."""
    return {
        "isEnabled": False,
        "quantityLimit": 0 if feature["hasQuantity"] else None,
        "includedQuantity": None,
        "configValues": feature["config"],
        "source": None,
        "validUntil": None,
    }


def is_enabled(access: Access, now: datetime) -> bool:
    """Return whether *access* is enabled and valid at *now*: before `validUntil`, not at it.

    Example:
        >>> access = {"isEnabled": True, "validUntil": "2025-01-02T00:00:00.000Z"}
        >>> is_enabled(access, datetime.fromisoformat("2025-01-01T23:59:59Z"))
        True
        >>> is_enabled(access, datetime.fromisoformat("2025-01-02T00:00:00Z"))
        False
    """
    return access["isEnabled"] and (access["validUntil"] is None or now < datetime.fromisoformat(access["validUntil"]))


def access_response(feature: Feature, access: Access, usage: Amount, now: datetime) -> dict[str, Any]:
    """Return the response of `features.check` (README: the fields up to `remaining`)."""
    enabled = is_enabled(access, now)
    has_quantity = feature["hasQuantity"]
    limit = access["quantityLimit"] if has_quantity else None
    included = access["includedQuantity"] if has_quantity else None
    status = quota_status(usage, limit, included)
    return {
        "featureCode": feature["code"],
        "featureName": feature["name"],
        "isEnabled": enabled,
        "canUse": enabled and not status.is_at_limit,
        "hasQuantity": has_quantity,
        "currentUsage": as_number(usage) if has_quantity else 0,
        "quantityLimit": limit,
        "includedQuantity": included,
        "remaining": None if status.remaining is None else as_number(status.remaining),
        "configValues": access["configValues"],
        "source": access["source"],
        "validUntil": access["validUntil"],
    }
