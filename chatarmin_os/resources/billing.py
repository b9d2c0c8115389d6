"""Usage, Stripe checkouts and subscriptions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from chatarmin_os._input import Number
from chatarmin_os.models.billing import BillingStatus, ClaimResult, LinkSubscriptionResult, UsageResult
from chatarmin_os.procedures.billing import (
    ClaimCheckoutInput,
    GetStatusInput,
    LinkSubscriptionInput,
    TrackUsageInput,
)
from chatarmin_os.resources._base import Resource


class Billing(Resource):
    """`client.billing`: usage, Stripe checkouts and subscriptions."""

    __slots__ = ()

    def track_usage(
        self,
        *,
        company_id: str | UUID,
        feature_code: str,
        quantity: Number,
        idempotency_key: str | UUID | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> UsageResult:
        """Count usage of a feature, once per *idempotency_key*.

        A call without a key generates one, so that its retries cannot count twice. It does not protect against your
        code running twice: pass a key derived from the reason of the usage, such as an order's id. After an error send
        the same event again with `client.send(error.request)`.

        Args:
            company_id: The company.
            feature_code: A feature with a quantity.
            quantity: The amount used, above 0.
            idempotency_key: The name of the event.
            metadata: Notes to store with the event, as JSON; not compared.

        Returns:
            The usage of the billing period, the rest (None: unlimited) and the billable quantity after this event.

        Raises:
            InvalidInput: An invalid argument; nothing was sent.
            NotFoundError: The company or the feature does not exist.
            BadRequestError: The feature has no quantity.
            ConflictError: The key was used for another company, feature or quantity.
            ForbiddenError: The feature is disabled, expired, or was never granted.
            UsageLimitError: The usage would exceed the limit; none of it was counted.
            ApiError: The service refused for another reason, or failed.
            TransportError: No usable response was received.

        The README of the service states the refusal beyond the limit, and the key. Assumed here: the same event gets
        the same answer again, and the conflicts.

        Example:
            >>> company = client.onboard(external_org_id="org_1", tier_code="free").company_id
            >>> used = client.billing.track_usage(
            ...     company_id=company, feature_code="ai_credit", quantity=5, idempotency_key="order-17"
            ... )
            >>> used.current_usage, used.remaining, used.is_at_limit
            (5, 95, False)
        """
        return self._send(
            TrackUsageInput(
                company_id=company_id,
                feature_code=feature_code,
                quantity=quantity,
                idempotency_key=idempotency_key,
                metadata=metadata,
            )
        )

    def claim_checkout(self, *, company_id: str | UUID, checkout_session_id: str | UUID) -> ClaimResult:
        """Give a company the subscription of a completed Stripe checkout, and the tier that it paid for.

        Claiming again changes nothing; `already_claimed` is then True.

        Args:
            company_id: The company.
            checkout_session_id: Stripe's id of the checkout session, `cs_...`.

        Returns:
            Stripe's id of the subscription, and whether the company had claimed it already.

        Raises:
            InvalidInput: An invalid argument; nothing was sent.
            NotFoundError: The company or the session does not exist.
            BadRequestError: The session is not complete, or its subscription is cancelled.
            ConflictError: Another company has claimed it.
            ApiError: The service refused for another reason, or failed.
            TransportError: No usable response was received.

        The README of the service states the result. Assumed here: the prices of the subscription identify the tier.

        Example:
            >>> company = client.onboard(external_org_id="org_1").company_id
            >>> session = fake.stripe.add_checkout_session(client.tiers.get("pro").stripe_price_ids)
            >>> client.billing.claim_checkout(company_id=company, checkout_session_id=session).already_claimed
            False
        """
        return self._send(ClaimCheckoutInput(company_id=company_id, checkout_session_id=checkout_session_id))

    def link_subscription(
        self,
        *,
        company_id: str | UUID,
        stripe_subscription_id: str | UUID,
        stripe_customer_id: str | UUID | None = None,
        tier_code: str | None = None,
        display_name: str | None = None,
    ) -> LinkSubscriptionResult:
        """Link a subscription of your own Stripe account to a company.

        Args:
            company_id: The company.
            stripe_subscription_id: Stripe's id, `sub_...`.
            stripe_customer_id: Its customer; the service looks it up if it is omitted.
            tier_code: The tier to apply, whether it was paid for or not. Without it no tier is applied, and the prices
                of the subscription identify its tier.
            display_name: The name to show for it.

        Returns:
            The subscription, whether it was linked already, and the number of features that were granted.

        Raises:
            InvalidInput: An invalid argument; nothing was sent.
            NotFoundError: The company, the subscription or the tier does not exist.
            BadRequestError: The customer is not the subscription's, or the subscription is cancelled.
            ConflictError: It is linked to another company.
            ApiError: The service refused for another reason, or failed.
            TransportError: No usable response was received.

        Assumed here: linking again updates the name and applies the tier again.

        Example:
            >>> company = client.onboard(external_org_id="org_1").company_id
            >>> subscription = fake.stripe.add_subscription(["price_pro_base"])
            >>> client.billing.link_subscription(
            ...     company_id=company, stripe_subscription_id=subscription, tier_code="pro"
            ... ).features_applied
            4
        """
        return self._send(
            LinkSubscriptionInput(
                company_id=company_id,
                stripe_subscription_id=stripe_subscription_id,
                stripe_customer_id=stripe_customer_id,
                tier_code=tier_code,
                display_name=display_name,
            )
        )

    def get_status(self, company_id: str | UUID) -> BillingStatus:
        """Return a company's active subscriptions and its number of enabled features.

        Args:
            company_id: The company.

        Raises:
            InvalidInput: An invalid argument; nothing was sent.
            NotFoundError: The company does not exist.
            ApiError: The service refused for another reason, or failed.
            TransportError: No usable response was received.

        Example:
            >>> company = client.onboard(external_org_id="org_1", tier_code="free").company_id
            >>> status = client.billing.get_status(company)
            >>> status.has_billing_profile, status.enabled_features_count
            (False, 2)
        """
        return self._send(GetStatusInput(company_id=company_id))
