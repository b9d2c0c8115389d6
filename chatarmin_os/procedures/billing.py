"""Requests about usage and subscriptions."""

from __future__ import annotations

from typing import Any, ClassVar

from attrs import field, frozen

from chatarmin_os._input import (
    company_identifier,
    idempotency_key,
    identifier,
    mapping,
    name_fields_in_errors,
    optional_identifier,
    optional_text,
    quantity,
    text,
)
from chatarmin_os._request import Request
from chatarmin_os.models.billing import BillingStatus, ClaimResult, LinkSubscriptionResult, UsageResult


@frozen(kw_only=True, field_transformer=name_fields_in_errors)
class TrackUsageInput(Request[UsageResult]):
    """Count usage; one object is one event, however often it is sent.

    Without an `idempotency_key` it generates one, a UUID4, when it is built. For another event with the same values use
    `attrs.evolve(request, idempotency_key=None)`.

    Example:
        >>> company = client.onboard(external_org_id="org_1", tier_code="free").company_id
        >>> event = TrackUsageInput(company_id=company, feature_code="ai_credit", quantity=5)
        >>> client.send(event).current_usage, client.send(event).current_usage
        (5, 5)
    """

    path: ClassVar = "billing.trackUsage"
    kind: ClassVar = "mutation"
    result: ClassVar = UsageResult

    company_id: str = field(converter=company_identifier)
    feature_code: str = field(converter=text)
    quantity: float = field(converter=quantity)
    idempotency_key: str = field(default=None, converter=idempotency_key)
    metadata: dict[str, Any] | None = field(default=None, converter=mapping)


@frozen(kw_only=True, field_transformer=name_fields_in_errors)
class ClaimCheckoutInput(Request[ClaimResult]):
    """Claim the subscription of a completed Stripe checkout.

    `client.billing.claim_checkout` describes the arguments, the result and the errors.

    Example:
        >>> company = client.onboard(external_org_id="org_1", tier_code="free").company_id
        >>> session = fake.stripe.add_checkout_session(client.tiers.get("pro").stripe_price_ids)
        >>> client.send(ClaimCheckoutInput(company_id=company, checkout_session_id=session)).already_claimed
        False
    """

    path: ClassVar = "billing.claimCheckout"
    kind: ClassVar = "mutation"
    result: ClassVar = ClaimResult

    company_id: str = field(converter=company_identifier)
    checkout_session_id: str = field(converter=identifier)


@frozen(kw_only=True, field_transformer=name_fields_in_errors)
class LinkSubscriptionInput(Request[LinkSubscriptionResult]):
    """Link an existing Stripe subscription.

    `client.billing.link_subscription` describes the arguments, the result and the errors.

    Example:
        >>> company = client.onboard(external_org_id="org_1", tier_code="free").company_id
        >>> subscription = fake.stripe.add_subscription(client.tiers.get("pro").stripe_price_ids)
        >>> link = LinkSubscriptionInput(company_id=company, stripe_subscription_id=subscription)
        >>> client.send(link).subscription_id == client.send(link).subscription_id
        True
    """

    path: ClassVar = "billing.linkSubscription"
    kind: ClassVar = "mutation"
    result: ClassVar = LinkSubscriptionResult

    company_id: str = field(converter=company_identifier)
    stripe_subscription_id: str = field(converter=identifier)
    stripe_customer_id: str | None = field(default=None, converter=optional_identifier)
    tier_code: str | None = field(default=None, converter=optional_text)
    display_name: str | None = field(default=None, converter=optional_text)


@frozen(kw_only=True, field_transformer=name_fields_in_errors)
class GetStatusInput(Request[BillingStatus]):
    """Get a company's active subscriptions and its number of enabled features.

    `client.billing.get_status` describes the arguments, the result and the errors.

    Example:
        >>> company = client.onboard(external_org_id="org_1", tier_code="free").company_id
        >>> client.send(GetStatusInput(company_id=company)).enabled_features_count
        2
    """

    path: ClassVar = "billing.getStatus"
    kind: ClassVar = "query"
    result: ClassVar = BillingStatus

    company_id: str = field(converter=company_identifier)
