"""Access of companies to features."""

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
    """`client.features`: access of companies to features."""

    __slots__ = ()

    def check(self, *, company_id: str | UUID, feature_code: str) -> FeatureAccess:
        """Return a company's current access to a feature.

        A view needs `can_use`: enabled, not expired, and below the limit. `remaining` is None if the access is
        unlimited. A company without an access gets an answer too: `is_enabled` False, `quantity_limit` 0.

        Args:
            company_id: The company.
            feature_code: The feature.

        Raises:
            InvalidInput: An invalid argument; nothing was sent.
            NotFoundError: The company or the feature does not exist.
            ApiError: The service refused for another reason, or failed.
            TransportError: No usable response was received.

        The README of the service states the answer. Assumed here: the expiry, and the answer without an access.

        Example:
            >>> company = client.onboard(external_org_id="org_1", tier_code="free").company_id
            >>> access = client.features.check(company_id=company, feature_code="ai_credit")
            >>> access.can_use, access.current_usage, access.quantity_limit
            (True, 0, 100)
        """
        return self._send(FeatureCheckInput(company_id=company_id, feature_code=feature_code))

    def list_access(self, company_id: str | UUID) -> list[FeatureAccess]:
        """Return a company's access to each feature of the product, in the order of the catalogue.

        Args:
            company_id: The company.

        Raises:
            InvalidInput: An invalid argument; nothing was sent.
            NotFoundError: The company does not exist.
            ApiError: The service refused for another reason, or failed.
            TransportError: No usable response was received.

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
        """Change a company's access to a feature; omitted fields stay unchanged.

        A new access is disabled unless *is_enabled* is True, and has a limit of 0 unless one is given: enabling alone
        grants nothing of a feature with a quantity.

        Args:
            company_id: The company; either this or *external_org_id*.
            external_org_id: Your id of the organisation, if it is linked.
            feature_code: The feature.
            is_enabled: Whether the company may use it, within its limit.
            quantity_limit: The most that it may use in a billing period; None: unlimited.
            included_quantity: The part of it that is not billed; None: usage is not billed, 0: all usage is.
            config: Settings to merge: given keys replace, others stay.
            source: The origin of the access: subscription, manual, trial or api.
            valid_until: The instant at which the access ends: an aware datetime, or ISO 8601 text with an offset; a day
                is its start in UTC; None: no expiry.

        Returns:
            The access after the change. If the answer of the service is empty, all fields are None.

        Raises:
            InvalidInput: An invalid argument, or not exactly one of *company_id* and *external_org_id*; nothing was
                sent.
            NotFoundError: The company, the link or the feature does not exist.
            BadRequestError: A limit for a feature without a quantity.
            ApiError: The service refused for another reason, or failed.
            TransportError: No usable response was received.

        The README of the service states the merge, the sources and "no expiry". Everything else is assumed here.

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
        """Return the company behind your organisation id, with its access to each feature.

        Args:
            external_org_id: Your id of the organisation.

        Raises:
            InvalidInput: An invalid argument; nothing was sent.
            NotFoundError: The organisation is not linked.
            ApiError: The service refused for another reason, or failed.
            TransportError: No usable response was received.

        Example:
            >>> company = client.onboard(external_org_id="org_1", tier_code="free").company_id
            >>> client.features.get_access_by_external_org_id("org_1").company_id == company
            True
        """
        return self._send(GetAccessByExternalOrgIdInput(external_org_id=external_org_id))

    def check_by_external_org_id(self, external_org_id: str | UUID, feature_code: str) -> FeatureAccess:
        """Return the result of `check` for the company behind your organisation id.

        Args:
            external_org_id: Your id of the organisation.
            feature_code: The feature.

        Raises:
            InvalidInput: An invalid argument; nothing was sent.
            NotFoundError: The organisation is not linked, or the feature does not exist.
            ApiError: The service refused for another reason, or failed.
            TransportError: No usable response was received.

        Example:
            >>> company = client.onboard(external_org_id="org_1", tier_code="free")
            >>> client.features.check_by_external_org_id("org_1", "sso").can_use
            False
        """
        return self._send(CheckByExternalOrgIdInput(external_org_id=external_org_id, feature_code=feature_code))
