"""Requests about tiers."""

from __future__ import annotations

from typing import Any, ClassVar

from attrs import field, frozen

from chatarmin_os._input import company_identifier, name_fields_in_errors, overrides, text
from chatarmin_os._request import Request
from chatarmin_os.models.tiers import ApplyTierResult, Tier, TierSummary


@frozen(kw_only=True)
class ListTiersInput(Request[list[TierSummary]]):
    """List the tiers; it has no input.

    `client.tiers.list` describes the arguments, the result and the errors.

    Example:
        >>> [tier.code for tier in client.send(ListTiersInput())]
        ['free', 'trial', 'pro', 'enterprise']
    """

    path: ClassVar = "tiers.list"
    kind: ClassVar = "query"
    result: ClassVar = list[TierSummary]


@frozen(kw_only=True, field_transformer=name_fields_in_errors)
class GetTierInput(Request[Tier]):
    """Get a tier with its features and prices.

    `client.tiers.get` describes the arguments, the result and the errors.

    Example:
        >>> client.send(GetTierInput(tier_code="pro")).base_fee.stripe.unit_amount
        4900
    """

    path: ClassVar = "tiers.get"
    kind: ClassVar = "query"
    result: ClassVar = Tier

    tier_code: str = field(converter=text)


@frozen(kw_only=True, field_transformer=name_fields_in_errors)
class ApplyTierInput(Request[ApplyTierResult]):
    """Grant a company the features of a tier, without Stripe.

    `client.tiers.apply` describes the arguments, the result and the errors.

    Example:
        >>> company = client.onboard(external_org_id="org_1", tier_code="free").company_id
        >>> result = client.send(ApplyTierInput(tier_code="pro", company_id=company))
        >>> client.features.check(company_id=company, feature_code="api_access").can_use
        True
    """

    path: ClassVar = "tiers.apply"
    kind: ClassVar = "mutation"
    result: ClassVar = ApplyTierResult
    may_be_empty: ClassVar = True

    tier_code: str = field(converter=text)
    company_id: str = field(converter=company_identifier)
    features: dict[str, dict[str, Any]] | None = field(default=None, converter=overrides)
