"""Usage, checkouts and subscriptions."""

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
    """`client.billing`."""

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
        """Count usage of a feature, once per *idempotency_key*, and return where the company stands.

        A call without a key makes one of its own, so that a repeat of this call cannot count twice. It does not
        protect against your own code running twice: pass a key made from what the usage is for, such as an order's
        id. After an error the same event is sent again by `client.send(error.request)`.

        Args:
            company_id: The company.
            feature_code: A feature with a quantity.
            quantity: How much, above 0.
            idempotency_key: Names the event.
            metadata: Whatever you want to keep with it; not compared.

        Raises:
            InvalidInput: An argument that cannot be.
            NotFoundError: No such company or feature.
            BadRequestError: The feature has no quantity.
            ConflictError: The key was used for another company, feature or quantity.
            ForbiddenError: The feature is disabled, expired, or was never granted.
            UsageLimitError: It would pass the limit; nothing of it was counted.

        The refusal past the limit and the key are stated by the service's README; that a replay gives the first
        answer again, and what is a conflict, is decided by this project.

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
        """Give a company the subscription of a completed Stripe checkout, and with it the tier it paid for.

        Claiming again is harmless and changes nothing: `already_claimed` is then True.

        Raises:
            NotFoundError: No such company or session.
            BadRequestError: The session is not complete, or its subscription is cancelled.
            ConflictError: Another company has claimed it.

        What it answers is stated by the service's README; the tier is found by its prices, decided by this project.

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
            stripe_customer_id: Its customer; looked up where omitted.
            tier_code: The tier to apply as given; whether it was paid for is yours to know. Without it nothing is
                applied, and the subscription's tier is found by its prices.
            display_name: What to call it.

        Raises:
            NotFoundError: No such company, subscription or tier.
            BadRequestError: The customer is not the subscription's, or it is cancelled.
            ConflictError: It is linked to another company.

        Linking again updates the name and applies the tier again, decided by this project.

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
        """Return a company's active subscriptions and how many features it has enabled right now.

        Raises:
            NotFoundError: No such company.

        Example:
            >>> company = client.onboard(external_org_id="org_1", tier_code="free").company_id
            >>> status = client.billing.get_status(company)
            >>> status.has_billing_profile, status.enabled_features_count
            (False, 2)
        """
        return self._send(GetStatusInput(company_id=company_id))
