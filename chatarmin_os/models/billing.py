"""Results of counting usage, and subscriptions."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from chatarmin_os._pickling import AcrossVersions
from chatarmin_os.models._base import Quantity, required, unknown_fields
from chatarmin_os.models.tiers import TierSummary


@frozen
class UsageResult(AcrossVersions):
    """A company's usage of a feature, after an event was counted.

    Attributes:
        current_usage: The usage in this billing period.
        remaining: The quantity left in this period; None: unlimited.
        billable_quantity: The usage in this period beyond the included quantity.
        is_at_limit: Whether nothing is left.
        extra: Fields that this version does not know, in wire names.
    """

    current_usage: Quantity = required()
    remaining: Quantity | None = None
    billable_quantity: Quantity | None = None
    is_at_limit: bool | None = None
    extra: dict[str, Any] = unknown_fields()


@frozen
class ClaimResult(AcrossVersions):
    """The result of claiming a checkout.

    Attributes:
        already_claimed: Whether the company had claimed it before this call.
        subscription_id: Stripe's id, `sub_...`.
        extra: Fields that this version does not know, in wire names.
    """

    already_claimed: bool = required()
    subscription_id: str | None = None
    extra: dict[str, Any] = unknown_fields()


@frozen
class LinkSubscriptionResult(AcrossVersions):
    """The result of linking a subscription.

    Attributes:
        subscription_id: Stripe's id, `sub_...`.
        already_linked: Whether it was linked before this call.
        features_applied: The number of features that the tier granted.
        extra: Fields that this version does not know, in wire names.
    """

    subscription_id: str | None = None
    already_linked: bool | None = None
    features_applied: int | None = None
    extra: dict[str, Any] = unknown_fields()


@frozen
class Subscription(AcrossVersions):
    """An active subscription of a company.

    Attributes:
        id: The service's id.
        stripe_subscription_id: Stripe's id, `sub_...`.
        display_name: The name to show for it.
        tier: Its tier; None if it is not known.
        extra: Fields that this version does not know, in wire names.
    """

    id: str | None = None
    stripe_subscription_id: str | None = None
    display_name: str | None = None
    tier: TierSummary | None = None
    extra: dict[str, Any] = unknown_fields()


@frozen
class BillingStatus(AcrossVersions):
    """A company's billing at a glance.

    Attributes:
        has_billing_profile: Whether the company ever had a subscription (assumed here).
        active_subscriptions: Its active subscriptions.
        enabled_features_count: The number of features that are enabled and not expired.
        extra: Fields that this version does not know, in wire names.
    """

    has_billing_profile: bool = required()
    active_subscriptions: tuple[Subscription, ...] = required(())
    enabled_features_count: int | None = None
    extra: dict[str, Any] = unknown_fields()
