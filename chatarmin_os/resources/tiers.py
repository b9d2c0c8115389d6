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
    """`client.tiers`."""

    __slots__ = ()

    def list(self) -> builtins.list[TierSummary]:
        """Return the code and name of every tier.

        Example:
            >>> [tier.name for tier in client.tiers.list()]
            ['Free', 'Trial', 'Pro', 'Enterprise']
        """
        return self._send(ListTiersInput())

    def get(self, tier_code: str) -> Tier:
        """Return a tier with its features and Stripe prices; amounts are in minor units, such as cents.

        `stripe_price_ids` is what a Stripe checkout takes as line items: the base fee's price, then the features'.

        Raises:
            NotFoundError: No such tier.

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
        """Grant a company a tier's features, without Stripe.

        It is literal: the access to every feature of the tier is written anew, also where it was set by hand, and
        what the company had from another subscription is disabled. Usage stays.

        Args:
            tier_code: The tier.
            company_id: The company.
            features: Limits that differ from the tier's: `{"seats": {"max_quantity": 10}}`; the inner keys are
                `included_quantity` and `max_quantity`.

        Raises:
            InvalidInput: An argument that cannot be.
            NotFoundError: No such company or tier.
            BadRequestError: An override for a feature that the tier lacks, or with another key.

        The overrides are stated by the service's README, what is written anew is decided by this project.

        Example:
            >>> company = client.onboard(external_org_id="org_1").company_id
            >>> client.tiers.apply("trial", company_id=company, features={"seats": {"max_quantity": 10}})
            ApplyTierResult(tier_code='trial', features_applied=3)
        """
        return self._send(ApplyTierInput(tier_code=tier_code, company_id=company_id, features=features))
