"""Requests about the access of companies to features."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, ClassVar

from attrs import field, frozen

from chatarmin_os._input import (
    company_identifier,
    expiry,
    identifier,
    limit,
    mapping,
    name_fields_in_errors,
    optional_boolean,
    optional_company_identifier,
    optional_identifier,
    source,
    text,
)
from chatarmin_os._request import Request
from chatarmin_os._unset import UNSET, Unset
from chatarmin_os.errors import InvalidInput
from chatarmin_os.models.features import FeatureAccess, OrgFeatures


@frozen(kw_only=True, field_transformer=name_fields_in_errors)
class FeatureCheckInput(Request[FeatureAccess]):
    """Get a company's current access to a feature.

    `client.features.check` describes the arguments, the result and the errors.

    Example:
        >>> company = client.onboard(external_org_id="org_1", tier_code="free").company_id
        >>> client.send(FeatureCheckInput(company_id=company, feature_code="ai_credit")).can_use
        True
    """

    path: ClassVar = "features.check"
    kind: ClassVar = "query"
    result: ClassVar = FeatureAccess

    company_id: str = field(converter=company_identifier)
    feature_code: str = field(converter=text)


@frozen(kw_only=True, field_transformer=name_fields_in_errors)
class ListAccessInput(Request[list[FeatureAccess]]):
    """List a company's access to each feature.

    `client.features.list_access` describes the arguments, the result and the errors.

    Example:
        >>> company = client.onboard(external_org_id="org_1", tier_code="free").company_id
        >>> [access.can_use for access in client.send(ListAccessInput(company_id=company))]
        [True, True, False, False, False]
    """

    path: ClassVar = "features.listAccess"
    kind: ClassVar = "query"
    result: ClassVar = list[FeatureAccess]

    company_id: str = field(converter=company_identifier)


@frozen(kw_only=True, field_transformer=name_fields_in_errors)
class FeatureSetAccessInput(Request[FeatureAccess]):
    """Change a company's access to a feature; omitted fields stay unchanged.

    `client.features.set_access` describes the arguments, the result and the errors.

    Example:
        >>> company = client.onboard(external_org_id="org_1", tier_code="free").company_id
        >>> change = FeatureSetAccessInput(company_id=company, feature_code="sso", is_enabled=True)
        >>> client.send(change).can_use
        True
    """

    path: ClassVar = "features.setAccess"
    kind: ClassVar = "mutation"
    result: ClassVar = FeatureAccess
    may_be_empty: ClassVar = True

    company_id: str | None = field(default=None, converter=optional_company_identifier)
    external_org_id: str | None = field(default=None, converter=optional_identifier)
    feature_code: str = field(converter=text)
    is_enabled: bool | None = field(default=None, converter=optional_boolean)
    quantity_limit: float | Unset | None = field(default=UNSET, converter=limit)
    included_quantity: float | Unset | None = field(default=UNSET, converter=limit)
    config: dict[str, Any] | None = field(default=None, converter=mapping)
    source: str | None = field(default=None, converter=source)
    valid_until: datetime | date | str | Unset | None = field(default=UNSET, converter=expiry)

    def __attrs_post_init__(self) -> None:
        if (self.company_id is None) == (self.external_org_id is None):
            given, advice = ("neither", "") if self.company_id is None else ("both", ", not both")
            raise InvalidInput(
                f"expected exactly one of company_id and external_org_id, got {given}",
                f"pass either company_id or external_org_id{advice}",
            ).at("company_id")


@frozen(kw_only=True, field_transformer=name_fields_in_errors)
class GetAccessByExternalOrgIdInput(Request[OrgFeatures]):
    """Get the company behind an organisation id, with its access to each feature.

    `client.features.get_access_by_external_org_id` describes the arguments, the result and the errors.

    Example:
        >>> company = client.onboard(external_org_id="org_1", tier_code="free").company_id
        >>> client.send(GetAccessByExternalOrgIdInput(external_org_id="org_1")).company_id == company
        True
    """

    path: ClassVar = "features.getAccessByExternalOrgId"
    kind: ClassVar = "query"
    result: ClassVar = OrgFeatures

    external_org_id: str = field(converter=identifier)


@frozen(kw_only=True, field_transformer=name_fields_in_errors)
class CheckByExternalOrgIdInput(Request[FeatureAccess]):
    """Get the current access of the company behind an organisation id to a feature.

    `client.features.check_by_external_org_id` describes the arguments, the result and the errors.

    Example:
        >>> company = client.onboard(external_org_id="org_1", tier_code="free").company_id
        >>> client.send(CheckByExternalOrgIdInput(external_org_id="org_1", feature_code="sso")).can_use
        False
    """

    path: ClassVar = "features.checkByExternalOrgId"
    kind: ClassVar = "query"
    result: ClassVar = FeatureAccess

    external_org_id: str = field(converter=identifier)
    feature_code: str = field(converter=text)
