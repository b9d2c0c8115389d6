"""What a company may use, and how much of it is left."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from attrs import frozen

from chatarmin_os.models._base import Quantity, required, unknown_fields


@frozen(unsafe_hash=False)  # it holds a mapping
class FeatureAccess:
    """A company's access to one feature."""

    feature_code: str | None = None
    feature_name: str | None = None
    is_enabled: bool = required()
    can_use: bool | None = None  # right now: enabled, not expired, below the limit
    has_quantity: bool | None = None
    current_usage: Quantity | None = None  # in this billing period
    quantity_limit: Quantity | None = None  # None: unlimited
    included_quantity: Quantity | None = None  # what is not billed; None: not billed by usage
    remaining: Quantity | None = None  # None: unlimited
    config_values: dict[str, Any] | None = None
    source: str | None = None  # subscription, manual, trial or api
    valid_until: datetime | None = None  # valid before this instant; None: no expiry
    extra: dict[str, Any] = unknown_fields()


@frozen
class OrgFeatures:
    """All features of the company that an external organisation id is linked to."""

    company_id: str = required()
    features: tuple[FeatureAccess, ...] = required()
    extra: dict[str, Any] = unknown_fields()
