"""Usage and subscriptions."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from chatarmin_os.models._base import Quantity, required, unknown_fields
from chatarmin_os.models.tiers import TierSummary


@frozen
class UsageResult:
    """Where a company stands after usage was counted."""

    current_usage: Quantity = required()  # in this billing period
    remaining: Quantity | None = None  # None: unlimited
    billable_quantity: Quantity | None = None  # so far, beyond what is included
    is_at_limit: bool | None = None
    extra: dict[str, Any] = unknown_fields()


@frozen
class ClaimResult:
    """What claiming a checkout came to."""

    already_claimed: bool = required()
    subscription_id: str | None = None  # Stripe's, sub_...
    extra: dict[str, Any] = unknown_fields()


@frozen
class LinkSubscriptionResult:
    """What linking a subscription came to."""

    subscription_id: str | None = None  # Stripe's, sub_...
    already_linked: bool | None = None
    features_applied: int | None = None
    extra: dict[str, Any] = unknown_fields()


@frozen
class Subscription:
    """An active subscription of a company."""

    id: str | None = None  # the service's own
    stripe_subscription_id: str | None = None
    display_name: str | None = None
    tier: TierSummary | None = None
    extra: dict[str, Any] = unknown_fields()


@frozen
class BillingStatus:
    """A company's billing at a glance."""

    has_billing_profile: bool = required()
    active_subscriptions: tuple[Subscription, ...] = required()
    enabled_features_count: int | None = None
    extra: dict[str, Any] = unknown_fields()
