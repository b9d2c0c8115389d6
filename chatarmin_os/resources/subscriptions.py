"""Tiers, under the name that the TypeScript SDK gives them too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from chatarmin_os.models.tiers import ApplyTierResult
from chatarmin_os.procedures.tiers import ApplyTierInput
from chatarmin_os.resources._base import Resource


class Subscriptions(Resource):
    """`client.subscriptions`: an alias of `client.tiers.apply`."""

    __slots__ = ()

    def create(
        self,
        tier_code: str,
        *,
        company_id: str | UUID,
        features: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> ApplyTierResult:
        """Do the same as `tiers.apply`, with the same arguments and errors: an alias in the README of the service.

        Args:
            tier_code: The tier.
            company_id: The company.
            features: Limits that override the tier's.

        Raises:
            InvalidInput: An invalid argument; nothing was sent.
            NotFoundError: The company or the tier does not exist.
            BadRequestError: An override for a feature that the tier lacks, or with another key.
            ApiError: The service refused for another reason, or failed.
            TransportError: No usable response was received.

        Example:
            >>> company = client.onboard(external_org_id="org_1").company_id
            >>> client.subscriptions.create("free", company_id=company).features_applied
            2
        """
        return self._send(ApplyTierInput(tier_code=tier_code, company_id=company_id, features=features))
