"""Requests about tiers."""

from __future__ import annotations

from typing import Any, ClassVar

from attrs import field, frozen

from chatarmin_os._input import company_identifier, name_fields_in_errors, overrides, text
from chatarmin_os._request import Request
from chatarmin_os.models.tiers import ApplyTierResult, Tier, TierSummary


@frozen(kw_only=True)
class ListTiersInput(Request[list[TierSummary]]):
    """List the tiers; it has no input."""

    path: ClassVar = "tiers.list"
    kind: ClassVar = "query"
    result: ClassVar = list[TierSummary]


@frozen(kw_only=True, field_transformer=name_fields_in_errors)
class GetTierInput(Request[Tier]):
    """Get a tier with its features and prices."""

    path: ClassVar = "tiers.get"
    kind: ClassVar = "query"
    result: ClassVar = Tier

    tier_code: str = field(converter=text)


@frozen(kw_only=True, field_transformer=name_fields_in_errors)
class ApplyTierInput(Request[ApplyTierResult]):
    """Grant a company the features of a tier, without Stripe."""

    path: ClassVar = "tiers.apply"
    kind: ClassVar = "mutation"
    result: ClassVar = ApplyTierResult
    may_be_empty: ClassVar = True

    tier_code: str = field(converter=text)
    company_id: str = field(converter=company_identifier)
    features: dict[str, dict[str, Any]] | None = field(default=None, converter=overrides)
