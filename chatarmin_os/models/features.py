"""Access to features, and the quantities that are left."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from attrs import frozen

from chatarmin_os._pickling import AcrossVersions
from chatarmin_os.models._base import Quantity, required, unknown_fields


@frozen(unsafe_hash=False)  # it holds a mapping
class FeatureAccess(AcrossVersions):
    """A company's access to one feature; true if the company can use the feature now (`can_use`).

    Attributes:
        feature_code: The feature.
        feature_name: Its name to show.
        is_enabled: Whether the company may use it now, regardless of its limit.
        can_use: Whether it is enabled, not expired, and below the limit.
        has_quantity: Whether its usage is counted.
        current_usage: The usage in this billing period.
        quantity_limit: The most that may be used in a billing period; None: unlimited.
        included_quantity: The part of it that is not billed; None: usage is not billed.
        remaining: The quantity left in this period; None: unlimited.
        config_values: The settings of the access.
        source: The origin of the access: subscription, manual, trial or api.
        valid_until: The instant at which the access ends, in UTC; None: no expiry.
        extra: Fields that this version does not know, in wire names.
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
    """The company that an organisation id is linked to, with its access to each feature.

    Attributes:
        company_id: The company.
        features: Its access to each feature, in the order of the catalogue.
        extra: Fields that this version does not know, in wire names.
    """

    company_id: str = required()
    features: tuple[FeatureAccess, ...] = required(())
    extra: dict[str, Any] = unknown_fields()
