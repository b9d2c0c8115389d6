"""The rows of the fake's tables, as JSON objects."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NotRequired, TypeAlias, TypedDict

Number: TypeAlias = int | float
"""A number of JSON."""
Amount: TypeAlias = int | Decimal
"""An exact number: a sum of quantities."""


class Feature(TypedDict):
    """A feature of the product."""

    code: str
    name: str
    hasQuantity: bool
    config: dict[str, Any]


class TierFeature(TypedDict):
    """The limits, the settings and the price of a feature in a tier."""

    quantityLimit: NotRequired[Number | None]
    """As the caller gave it; missing, it counts as 0 if the feature has a quantity when the tier is applied."""
    includedQuantity: Number | None
    config: dict[str, Any]
    unitAmount: int | None


class Tier(TypedDict):
    """A tier of the product."""

    code: str
    name: str
    baseFee: int | None
    currency: str
    features: dict[str, TierFeature]


class Company(TypedDict):
    """A company, as responses show it."""

    id: str
    shortId: str
    name: str
    domain: str | None
    createdAt: str | None


class Link(TypedDict):
    """A link, as responses show it."""

    companyId: str
    externalOrgId: str
    label: str | None
    externalUserId: str | None


class Contact(TypedDict):
    """A contact, as responses show it."""

    id: str
    email: str
    name: str | None
    role: str | None
    isPrimary: bool
    avatarUrl: str | None
    metadata: dict[str, Any]


class Access(TypedDict):
    """A company's stored access to a feature; the rules decide whether the company can use it now."""

    isEnabled: bool
    quantityLimit: Number | None
    includedQuantity: Number | None
    configValues: dict[str, Any]
    source: str | None
    validUntil: str | None


class UsageAnswer(TypedDict):
    """The response of `billing.trackUsage`."""

    currentUsage: Number
    remaining: Number | None
    billableQuantity: Number
    isAtLimit: bool


class Event(TypedDict):
    """A usage event that was counted, with its response."""

    companyId: str
    featureCode: str
    quantity: Number
    answer: UsageAnswer


class StripeSubscription(TypedDict):
    """A subscription at Stripe."""

    id: str
    customerId: str
    priceIds: list[str]
    isActive: bool


class Session(TypedDict):
    """A checkout session at Stripe; it has a subscription once it is complete."""

    id: str
    priceIds: list[str]
    customerName: str | None
    subscriptionId: str | None


class Claim(TypedDict):
    """A Stripe subscription that belongs to a company."""

    id: str
    companyId: str
    stripeSubscriptionId: str
    displayName: str | None
    tierCode: str | None
    monthlyFee: int
