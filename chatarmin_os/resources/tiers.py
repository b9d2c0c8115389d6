"""Subscription tiers."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from chatarmin_os.models.tiers import ApplyTierResult, Tier, TierSummary
from chatarmin_os.procedures.tiers import ApplyTierInput, GetTierInput, ListTiersInput
from chatarmin_os.resources._base import Resource


class Tiers(Resource):
    """`client.tiers`: subscription tiers."""

    __slots__ = ()

    def list(self) -> builtins.list[TierSummary]:
        """Return the code and the name of each tier.

        Raises:
            ApiError: The service refused for another reason, or failed.
            TransportError: No usable response was received.

        Example:
            >>> [tier.name for tier in client.tiers.list()]
            ['Free', 'Trial', 'Pro', 'Enterprise']
        """
        return self._send(ListTiersInput())

    def get(self, tier_code: str) -> Tier:
        """Return a tier with its features and Stripe prices.

        Args:
            tier_code: The tier.

        Returns:
            The tier; amounts are in minor units, such as cents. `stripe_price_ids` are the line items of a Stripe
            checkout: the base fee's price, then those of the features.

        Raises:
            InvalidInput: An invalid argument; nothing was sent.
            NotFoundError: The tier does not exist.
            ApiError: The service refused for another reason, or failed.
            TransportError: No usable response was received.

        Example:
            >>> client.tiers.get("pro").stripe_price_ids
            ('price_pro_base', 'price_pro_ai_credit', 'price_pro_seats')
        """
        return self._send(GetTierInput(tier_code=tier_code))

    def apply(
        self,
        tier_code: str,
        *,
        company_id: str | UUID,
        features: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> ApplyTierResult:
        """Grant a company the features of a tier, without Stripe.

        It writes the access to each feature of the tier, replacing one that was set by hand, and disables the features
        of the company's other subscriptions. Usage stays.

        Args:
            tier_code: The tier.
            company_id: The company.
            features: Limits that override the tier's: `{"seats": {"max_quantity": 10}}`; the inner keys are
                `included_quantity` and `max_quantity`.

        Returns:
            The tier's code and the number of granted features. If the answer of the service is empty, both are None.

        Raises:
            InvalidInput: An invalid argument; nothing was sent.
            NotFoundError: The company or the tier does not exist.
            BadRequestError: An override for a feature that the tier lacks, or with another key.
            ApiError: The service refused for another reason, or failed.
            TransportError: No usable response was received.

        The README of the service states the overrides. Assumed here: the replaced and disabled accesses.

        Example:
            >>> company = client.onboard(external_org_id="org_1").company_id
            >>> client.tiers.apply("trial", company_id=company, features={"seats": {"max_quantity": 10}})
            ApplyTierResult(tier_code='trial', features_applied=3)
        """
        return self._send(ApplyTierInput(tier_code=tier_code, company_id=company_id, features=features))
