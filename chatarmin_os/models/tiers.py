"""Subscription tiers and their Stripe prices."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from chatarmin_os._pickling import AcrossVersions
from chatarmin_os.models._base import Quantity, required, unknown_fields


@frozen
class TierSummary(AcrossVersions):
    """A tier's code and name.

    Attributes:
        code: The tier's code.
        name: Its name to show.
        extra: Fields that this version does not know, in wire names.
    """

    code: str = required()
    name: str | None = None
    extra: dict[str, Any] = unknown_fields()


@frozen
class StripePrice(AcrossVersions):
    """A price at Stripe.

    Attributes:
        price_id: Stripe's id, `price_...`.
        unit_amount: The amount in minor units, such as cents.
        currency: The currency in lower case, such as eur.
        extra: Fields that this version does not know, in wire names.
    """

    price_id: str = required()
    unit_amount: Quantity | None = None
    currency: str | None = None
    extra: dict[str, Any] = unknown_fields()


@frozen
class BaseFee(AcrossVersions):
    """The price of a tier per billing period, without usage.

    Attributes:
        stripe: Its price at Stripe.
        extra: Fields that this version does not know, in wire names.
    """

    stripe: StripePrice | None = None
    extra: dict[str, Any] = unknown_fields()


@frozen(unsafe_hash=False)  # it holds a mapping
class TierFeature(AcrossVersions):
    """A feature as a tier grants it.

    Attributes:
        code: The feature's code.
        name: Its name to show.
        config_values: The settings that the tier gives it.
        stripe: The price of its usage at Stripe; None if usage has no price.
        extra: Fields that this version does not know, in wire names.
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
        code: The tier's code.
        name: Its name to show.
        base_fee: The price per billing period; None if the tier has no base fee.
        features: The features that it grants.
        stripe_price_ids: The line items of a Stripe checkout: the base fee's price, then those of the features.
        extra: Fields that this version does not know, in wire names.
    """

    code: str = required()
    name: str | None = None
    base_fee: BaseFee | None = None
    features: tuple[TierFeature, ...] = required(())
    stripe_price_ids: tuple[str, ...] = ()
    extra: dict[str, Any] = unknown_fields()


@frozen
class ApplyTierResult(AcrossVersions):
    """The result of applying a tier.

    Attributes:
        tier_code: The tier's code.
        features_applied: The number of features that it granted.
        extra: Fields that this version does not know, in wire names.
    """

    tier_code: str | None = None
    features_applied: int | None = None
    extra: dict[str, Any] = unknown_fields()
