"""A company may use a feature that is enabled, not expired, and below its limit."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from chatarmin_os.fake.rules.usage import as_number, standing

if TYPE_CHECKING:
    from chatarmin_os.fake.catalogue import Feature
    from chatarmin_os.fake.rules.usage import Amount
    from chatarmin_os.fake.state import Access


def starting(feature: Feature) -> Access:
    """Return the access that a company without one has: disabled, and with a limit of 0 if there is a quantity."""
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


def described(feature: Feature, access: Access, current: Amount, now: datetime) -> dict[str, Any]:
    """Return what `features.check` answers (README: the fields up to `remaining`)."""
    enabled = is_enabled(access, now)
    counted = feature["hasQuantity"]
    limit = access["quantityLimit"] if counted else None
    included = access["includedQuantity"] if counted else None
    stand = standing(current, limit, included)
    return {
        "featureCode": feature["code"],
        "featureName": feature["name"],
        "isEnabled": enabled,
        "canUse": enabled and not stand.is_at_limit,
        "hasQuantity": counted,
        "currentUsage": as_number(current) if counted else 0,
        "quantityLimit": limit,
        "includedQuantity": included,
        "remaining": None if stand.remaining is None else as_number(stand.remaining),
        "configValues": access["configValues"],
        "source": access["source"],
        "validUntil": access["validUntil"],
    }
