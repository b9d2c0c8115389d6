"""Tiers under their other name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from chatarmin_os.models.tiers import ApplyTierResult
from chatarmin_os.procedures.tiers import ApplyTierInput
from chatarmin_os.resources._base import Resource


class Subscriptions(Resource):
    """`client.subscriptions`."""

    __slots__ = ()

    def create(
        self,
        tier_code: str,
        *,
        company_id: str | UUID,
        features: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> ApplyTierResult:
        """Do what `tiers.apply` does, and raise what it raises: an alias, stated by the service's README.

        Example:
            >>> company = client.onboard(external_org_id="org_1").company_id
            >>> client.subscriptions.create("free", company_id=company).features_applied
            2
        """
        return self._send(ApplyTierInput(tier_code=tier_code, company_id=company_id, features=features))
