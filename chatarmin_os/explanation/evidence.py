"""The answers of the service on which an explanation rests, in two round trips."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from attrs import evolve, field, frozen

from chatarmin_os._request import Request
from chatarmin_os._usage_event import exactly_one
from chatarmin_os.client import ChatarminOS
from chatarmin_os.errors import ApiError, ChatarminError, NotFoundError
from chatarmin_os.models.billing import BillingStatus
from chatarmin_os.models.companies import Company
from chatarmin_os.models.features import FeatureAccess, OrgFeatures
from chatarmin_os.models.tiers import Tier, TierSummary
from chatarmin_os.procedures.billing import GetStatusInput
from chatarmin_os.procedures.companies import GetByProductLinkInput
from chatarmin_os.procedures.features import (
    CheckByExternalOrgIdInput,
    FeatureCheckInput,
    GetAccessByExternalOrgIdInput,
    ListAccessInput,
)
from chatarmin_os.procedures.tiers import GetTierInput, ListTiersInput

_MAX_TIERS = 40
"""Tiers that are asked about, so that they fit into one HTTP request."""

T = TypeVar("T")


@frozen(unsafe_hash=False)  # it holds mappings
class Evidence:
    """What the service answered about one company and one feature.

    Attributes:
        feature_code: The feature.
        external_org_id: The organisation that was asked about; None if a company was.
        company_id: The company, also one that was asked about and does not exist; None if it is unknown.
        company_name: Its name; None if it is unknown.
        access: Its access to the feature; None if the company is unknown.
        features: Its access to all features; empty if it is unknown.
        status: Its billing status; None if it is unknown.
        tiers: The tiers of the product; empty if they are unknown.
        failures: By topic (`"company"`, `"features"`, `"subscriptions"`, `"tiers"`), why it is unknown.
        asked_at: The time of the service, as far as the transport knows it.
    """

    feature_code: str
    external_org_id: str | None
    company_id: str | None
    asked_at: datetime
    company_name: str | None = None
    access: FeatureAccess | None = None
    features: tuple[FeatureAccess, ...] = ()
    status: BillingStatus | None = None
    tiers: tuple[Tier, ...] = ()
    failures: dict[str, str] = field(factory=dict)


def collect(
    client: ChatarminOS, feature_code: str, external_org_id: str | UUID | None, company_id: str | UUID | None
) -> Evidence:
    """Ask the service.

    Raises:
        InvalidInput: An invalid argument, or not exactly one of the two ids; nothing was sent.
        NotFoundError: The feature does not exist.
        ChatarminError: There is no answer about the access. Other answers may be missing: `failures` names them.
    """
    exactly_one(external_org_id, company_id)
    if external_org_id is not None:
        return _of_organisation(client, feature_code, external_org_id)
    return _of_company(client, feature_code, company_id)


def _of_organisation(client: ChatarminOS, feature_code: str, external_org_id: str | UUID) -> Evidence:
    check = CheckByExternalOrgIdInput(external_org_id=external_org_id, feature_code=feature_code)
    org = check.external_org_id
    evidence = Evidence(check.feature_code, org, None, client.transport.now())
    access, link, listed, tiers = _batch(
        client,
        check,
        GetByProductLinkInput(external_org_id=org),
        GetAccessByExternalOrgIdInput(external_org_id=org),
        ListTiersInput(),
    )
    if link is None and (_is_unknown(access) or not access):  # an access is false if it cannot be used
        return evidence
    access, failures = _needed(access), evidence.failures
    company = _known(link, Company, "company", failures)
    features = _known(listed, OrgFeatures, "features", failures)
    company_id = company.id if company else features.company_id if features else None
    requests = [] if company_id is None else [GetStatusInput(company_id=company_id)]
    status, details = _second_round(client, requests, _known(tiers, list, "tiers", failures), failures)
    return evolve(
        evidence,
        company_id=company_id,
        company_name=company.name if company else None,
        access=access,
        features=features.features if features else (),
        status=status,
        tiers=details,
    )


def _of_company(client: ChatarminOS, feature_code: str, company_id: Any) -> Evidence:
    check = FeatureCheckInput(company_id=company_id, feature_code=feature_code)
    company = check.company_id
    evidence = Evidence(check.feature_code, None, company, client.transport.now())
    access, listed, status, tiers = _batch(
        client, check, ListAccessInput(company_id=company), GetStatusInput(company_id=company), ListTiersInput()
    )
    if _is_unknown(access) and _is_unknown(listed):
        return evidence
    access, failures = _needed(access), evidence.failures
    features = _known(listed, list, "features", failures) or []
    _, details = _second_round(client, [], _known(tiers, list, "tiers", failures), failures)
    status = _known(status, BillingStatus, "subscriptions", failures)
    return evolve(evidence, access=access, features=tuple(features), status=status, tiers=details)


def _batch(client: ChatarminOS, *requests: Request[Any]) -> list[Any]:
    return client.batch(requests)


def _second_round(
    client: ChatarminOS,
    requests: Sequence[Request[Any]],
    tiers: Sequence[TierSummary] | None,
    failures: dict[str, str],
) -> tuple[BillingStatus | None, tuple[Tier, ...]]:
    """Return the billing status, if *requests* has a request of it, and the details of all tiers."""
    codes = [tier.code for tier in tiers or ()]
    answers = _batch(client, *requests, *(GetTierInput(tier_code=code) for code in codes[:_MAX_TIERS]))
    statuses = [_known(answer, BillingStatus, "subscriptions", failures) for answer in answers[: len(requests)]]
    details = [_known(answer, Tier, "tiers", failures) for answer in answers[len(requests) :]]
    if len(codes) > _MAX_TIERS:
        failures["tiers"] = f"more than {_MAX_TIERS}"
    return (statuses[0] if statuses else None), tuple(tier for tier in details if tier is not None)


def _is_unknown(answer: object) -> bool:
    """Return whether the company or the feature does not exist; a missing procedure is another mistake."""
    return isinstance(answer, NotFoundError) and not answer.is_missing_procedure


def _needed(answer: Any) -> Any:
    if isinstance(answer, ChatarminError):
        raise answer
    return answer


def _known(answer: Any, kind: type[T], topic: str, failures: dict[str, str]) -> T | None:
    """Return an answer; if it is an error, note the topic as unknown and return None."""
    if isinstance(answer, kind):
        return answer
    if isinstance(answer, ChatarminError):
        failures[topic] = answer.code if isinstance(answer, ApiError) else type(answer).__name__
    return None
