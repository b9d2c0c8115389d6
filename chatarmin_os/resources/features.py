"""What companies may use."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any
from uuid import UUID

from chatarmin_os._input import Number
from chatarmin_os._unset import UNSET, Unset
from chatarmin_os.models.features import FeatureAccess, OrgFeatures
from chatarmin_os.procedures.features import (
    CheckByExternalOrgIdInput,
    FeatureCheckInput,
    FeatureSetAccessInput,
    GetAccessByExternalOrgIdInput,
    ListAccessInput,
)
from chatarmin_os.resources._base import Resource


class Features(Resource):
    """`client.features`."""

    __slots__ = ()

    def check(self, *, company_id: str | UUID, feature_code: str) -> FeatureAccess:
        """Return a company's access to a feature, as it is now.

        `can_use` is what a view asks: enabled, not expired, and below the limit. `remaining` is None where there is no
        limit. A company without any access gets an answer too: `is_enabled` False, `quantity_limit` 0.

        Raises:
            NotFoundError: No such company, or no such feature.

        What it answers is stated by the service's README; expiry and the answer without an access are decided by
        this project.

        Example:
            >>> company = client.onboard(external_org_id="org_1", tier_code="free").company_id
            >>> access = client.features.check(company_id=company, feature_code="ai_credit")
            >>> access.can_use, access.current_usage, access.quantity_limit
            (True, 0, 100)
        """
        return self._send(FeatureCheckInput(company_id=company_id, feature_code=feature_code))

    def list_access(self, company_id: str | UUID) -> list[FeatureAccess]:
        """Return a company's access to every feature of the product, in the catalogue's order.

        Raises:
            NotFoundError: No such company.

        Example:
            >>> company = client.onboard(external_org_id="org_1", tier_code="free").company_id
            >>> [access.feature_code for access in client.features.list_access(company) if access.is_enabled]
            ['ai_credit', 'seats']
        """
        return self._send(ListAccessInput(company_id=company_id))

    def set_access(
        self,
        *,
        company_id: str | UUID | None = None,
        external_org_id: str | UUID | None = None,
        feature_code: str,
        is_enabled: bool | None = None,
        quantity_limit: Number | Unset | None = UNSET,
        included_quantity: Number | Unset | None = UNSET,
        config: Mapping[str, Any] | None = None,
        source: str | None = None,
        valid_until: datetime | date | str | Unset | None = UNSET,
    ) -> FeatureAccess:
        """Change a company's access to a feature and return it; what is not given stays as it is.

        A new access is disabled unless *is_enabled* is True, and has a limit of 0 until one is given: enabling alone
        grants nothing of a feature with a quantity, and unlimited has to be said.

        Args:
            company_id: The company; either this or *external_org_id*.
            external_org_id: Your own id of the organisation, if it is linked.
            feature_code: The feature.
            is_enabled: Whether it may be used at all.
            quantity_limit: The most that may be used in a billing period; None: unlimited.
            included_quantity: What of it is not billed; None: nothing is billed by usage, 0: everything is.
            config: Settings to merge: keys given replace, others stay.
            source: Where the access comes from: subscription, manual, trial or api.
            valid_until: It is valid before this instant; a day means its start in UTC; None: no expiry.

        Raises:
            InvalidInput: An argument that cannot be, or not exactly one of *company_id* and *external_org_id*.
            NotFoundError: No such company, link or feature.
            BadRequestError: A limit for a feature without a quantity.

        The merge, the sources and no expiry are stated by the service's README, the rest is decided by this project.

        Example:
            >>> company = client.onboard(external_org_id="org_1").company_id
            >>> access = client.features.set_access(
            ...     external_org_id="org_1", feature_code="ai_credit", is_enabled=True, quantity_limit=1000
            ... )
            >>> access.can_use, access.remaining, access.source
            (True, 1000, 'api')
        """
        return self._send(
            FeatureSetAccessInput(
                company_id=company_id,
                external_org_id=external_org_id,
                feature_code=feature_code,
                is_enabled=is_enabled,
                quantity_limit=quantity_limit,
                included_quantity=included_quantity,
                config=config,
                source=source,
                valid_until=valid_until,
            )
        )

    def get_access_by_external_org_id(self, external_org_id: str | UUID) -> OrgFeatures:
        """Return the company behind your organisation id, with its access to every feature.

        Raises:
            NotFoundError: The organisation is not linked.

        Example:
            >>> company = client.onboard(external_org_id="org_1", tier_code="free").company_id
            >>> client.features.get_access_by_external_org_id("org_1").company_id == company
            True
        """
        return self._send(GetAccessByExternalOrgIdInput(external_org_id=external_org_id))

    def check_by_external_org_id(self, external_org_id: str | UUID, feature_code: str) -> FeatureAccess:
        """Return `check` for the company behind your organisation id.

        Raises:
            NotFoundError: The organisation is not linked, or there is no such feature.

        Example:
            >>> company = client.onboard(external_org_id="org_1", tier_code="free")
            >>> client.features.check_by_external_org_id("org_1", "sso").can_use
            False
        """
        return self._send(CheckByExternalOrgIdInput(external_org_id=external_org_id, feature_code=feature_code))
