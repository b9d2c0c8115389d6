"""The requests to the service, and the meaning of its answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chatarmin_os._request import Request
from chatarmin_os.client import ChatarminOS
from chatarmin_os.errors import ApiError, ChatarminError, TimedOut
from chatarmin_os.gate.answers import Answer, Failed, Fetched, Listing, Missing, Outcome, Unlinked
from chatarmin_os.gate.failures import is_unknown, without_traceback
from chatarmin_os.gate.flight import Flight
from chatarmin_os.models.features import FeatureAccess, OrgFeatures
from chatarmin_os.procedures.features import (
    CheckByExternalOrgIdInput,
    FeatureCheckInput,
    GetAccessByExternalOrgIdInput,
    ListAccessInput,
)


def request_of(flight: Flight) -> Request[Any]:
    """Return the request that answers a refresh."""
    kind, name = flight.key
    if kind == "organisation":
        if flight.feature is None:
            return GetAccessByExternalOrgIdInput(external_org_id=name)
        return CheckByExternalOrgIdInput(external_org_id=name, feature_code=flight.feature)
    if flight.feature is None:
        return ListAccessInput(company_id=name)
    return FeatureCheckInput(company_id=name, feature_code=flight.feature)


def ask(client: ChatarminOS, flights: Sequence[Flight], seconds: float) -> list[Any]:
    """Return the service's results or errors, in as few round trips as possible, without retries.

    Args:
        client: The client to ask.
        flights: The refreshes.
        seconds: The time for all of them.
    """
    quick = client.with_options(timeout=seconds, max_retries=0)
    if len(flights) > 1:
        return quick.batch([request_of(flight) for flight in flights])
    try:
        return [quick.send(request_of(flights[0]))]
    except ChatarminError as error:
        return [error]


def company_of(client: ChatarminOS, organisation: str) -> str:
    """Return the company of an organisation.

    Raises:
        NotFoundError: It is not linked.
    """
    company = client.companies.get_by_product_link(external_org_id=organisation)
    if company is None:
        raise ApiError.from_code("NOT_FOUND", "the organisation is not linked to a company; its usage was not counted")
    return company.id


def late() -> TimedOut:
    """Return the error of a check whose time ran out."""
    return TimedOut("the gate's timeout passed before the service answered", outcome="unknown", attempts=0)


def outcome_of(flight: Flight, result: Any, fetched: Fetched) -> Outcome:
    """Return the outcome of a refresh from a result of the service."""
    if isinstance(result, ChatarminError):
        error = without_traceback(result)
        if not is_unknown(error):
            return Failed(error)
        if flight.feature is None:
            return Unlinked(fetched)
        return Failed(error) if flight.has_listing else Missing(error, flight.feature, flight.number)
    if isinstance(result, OrgFeatures):
        return Listing(result.company_id, _by_code(result.features), fetched)
    if isinstance(result, FeatureAccess):
        return Answer(result, fetched)
    return Listing(flight.key[1], _by_code(result), fetched)


def _by_code(accesses: Sequence[FeatureAccess]) -> dict[str, FeatureAccess]:
    return {access.feature_code: access for access in accesses if access.feature_code is not None}
