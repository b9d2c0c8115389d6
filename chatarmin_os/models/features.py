"""What a company may use, and how much of it is left."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from attrs import frozen

from chatarmin_os._pickling import AcrossVersions
from chatarmin_os.models._base import Quantity, required, unknown_fields


@frozen(unsafe_hash=False)  # it holds a mapping
class FeatureAccess(AcrossVersions):
    """A company's access to one feature; true if the feature can be used right now (`can_use`).

    Attributes:
        can_use: Right now: enabled, not expired, below the limit.
        current_usage: In this billing period.
        quantity_limit: None: unlimited.
        included_quantity: What is not billed; None: not billed by usage.
        remaining: None: unlimited.
        source: subscription, manual, trial or api.
        valid_until: Valid before this instant; None: no expiry.
    """

    feature_code: str | None = None
    feature_name: str | None = None
    is_enabled: bool = required()
    can_use: bool | None = None
    has_quantity: bool | None = None
    current_usage: Quantity | None = None
    quantity_limit: Quantity | None = None
    included_quantity: Quantity | None = None
    remaining: Quantity | None = None
    config_values: dict[str, Any] | None = None
    source: str | None = None
    valid_until: datetime | None = None
    extra: dict[str, Any] = unknown_fields()

    def __bool__(self) -> bool:
        """Return `can_use`; False if the service did not say."""
        return self.can_use is True


@frozen
class OrgFeatures(AcrossVersions):
    """All features of the company that an external organisation id is linked to."""

    company_id: str = required()
    features: tuple[FeatureAccess, ...] = required(())
    extra: dict[str, Any] = unknown_fields()
