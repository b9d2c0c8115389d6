"""Subscription tiers and their Stripe prices."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from chatarmin_os._pickling import AcrossVersions
from chatarmin_os.models._base import Quantity, required, unknown_fields


@frozen
class TierSummary(AcrossVersions):
    """A tier by code and name."""

    code: str = required()
    name: str | None = None
    extra: dict[str, Any] = unknown_fields()


@frozen
class StripePrice(AcrossVersions):
    """A price at Stripe.

    Attributes:
        unit_amount: In minor units, such as cents.
    """

    price_id: str = required()
    unit_amount: Quantity | None = None
    currency: str | None = None
    extra: dict[str, Any] = unknown_fields()


@frozen
class BaseFee(AcrossVersions):
    """What a tier costs per billing period before any usage."""

    stripe: StripePrice | None = None
    extra: dict[str, Any] = unknown_fields()


@frozen(unsafe_hash=False)  # it holds a mapping
class TierFeature(AcrossVersions):
    """What a tier grants of one feature.

    Attributes:
        stripe: None: usage has no price of its own.
    """

    code: str | None = None
    name: str | None = None
    config_values: dict[str, Any] | None = None
    stripe: StripePrice | None = None
    extra: dict[str, Any] = unknown_fields()


@frozen
class Tier(AcrossVersions):
    """A tier with its features and prices.

    Attributes:
        stripe_price_ids: The base fee's first, then the features'.
    """

    code: str = required()
    name: str | None = None
    base_fee: BaseFee | None = None
    features: tuple[TierFeature, ...] = required(())
    stripe_price_ids: tuple[str, ...] = ()
    extra: dict[str, Any] = unknown_fields()


@frozen
class ApplyTierResult(AcrossVersions):
    """What applying a tier did."""

    tier_code: str | None = None
    features_applied: int | None = None
    extra: dict[str, Any] = unknown_fields()
