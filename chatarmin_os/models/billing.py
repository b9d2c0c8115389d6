"""Usage and subscriptions."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from chatarmin_os._pickling import AcrossVersions
from chatarmin_os.models._base import Quantity, required, unknown_fields
from chatarmin_os.models.tiers import TierSummary


@frozen
class UsageResult(AcrossVersions):
    """Where a company stands after usage was counted.

    Attributes:
        current_usage: In this billing period.
        remaining: None: unlimited.
        billable_quantity: So far, beyond what is included.
    """

    current_usage: Quantity = required()
    remaining: Quantity | None = None
    billable_quantity: Quantity | None = None
    is_at_limit: bool | None = None
    extra: dict[str, Any] = unknown_fields()


@frozen
class ClaimResult(AcrossVersions):
    """What claiming a checkout came to.

    Attributes:
        subscription_id: Stripe's, `sub_...`.
    """

    already_claimed: bool = required()
    subscription_id: str | None = None
    extra: dict[str, Any] = unknown_fields()


@frozen
class LinkSubscriptionResult(AcrossVersions):
    """What linking a subscription came to.

    Attributes:
        subscription_id: Stripe's, `sub_...`.
    """

    subscription_id: str | None = None
    already_linked: bool | None = None
    features_applied: int | None = None
    extra: dict[str, Any] = unknown_fields()


@frozen
class Subscription(AcrossVersions):
    """An active subscription of a company.

    Attributes:
        id: The service's own.
    """

    id: str | None = None
    stripe_subscription_id: str | None = None
    display_name: str | None = None
    tier: TierSummary | None = None
    extra: dict[str, Any] = unknown_fields()


@frozen
class BillingStatus(AcrossVersions):
    """A company's billing at a glance."""

    has_billing_profile: bool = required()
    active_subscriptions: tuple[Subscription, ...] = required(())
    enabled_features_count: int | None = None
    extra: dict[str, Any] = unknown_fields()
