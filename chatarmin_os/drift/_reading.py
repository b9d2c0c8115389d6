"""What recorded calls show, read without trust: the service may answer otherwise than this version knows."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from chatarmin_os._values import number_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from chatarmin_os._json import JSON
    from chatarmin_os.recording.file import Recorded

LISTINGS = frozenset({"features.listAccess", "features.getAccessByExternalOrgId"})
_APPLYING = frozenset({"tiers.apply", "billing.linkSubscription", "onboard"})


class Sight(NamedTuple):
    """An access that an answer shows; of company and organisation one may be unknown."""

    company: str | None
    org: str | None
    feature: str
    access: dict[str, Any]


def sights(recorded: Recorded) -> Iterator[Sight]:
    """Yield the accesses that the answer to a call shows."""
    if not recorded.path.startswith("features."):
        return
    given, answer = mapping(recorded.input), recorded.came.get("answer")
    company, org = text(given.get("companyId")), text(given.get("externalOrgId"))
    if isinstance(answer, dict) and "features" in answer:
        company, answer = text(answer.get("companyId")), answer["features"]
    for access in objects(answer if isinstance(answer, list) else [answer]):
        if code := text(access.get("featureCode")) or text(given.get("featureCode")):
            yield Sight(company, org, code, access)


def usage_told(recorded: Recorded) -> dict[str, Any] | None:
    """Return what counted, or refused, usage tells of an access, in its fields; None where it tells nothing."""
    answer = mapping(recorded.came.get("answer"))
    used, remaining, billable = (number(answer.get(key)) for key in ("currentUsage", "remaining", "billableQuantity"))
    if recorded.path != "billing.trackUsage" or (used is None and refusal(recorded) != "PRECONDITION_FAILED"):
        return None
    if used is None:
        return {"isEnabled": True, "source": "api", "quantityLimit": 0, "includedQuantity": None}
    limit = None if remaining is None else used + remaining
    return {
        "isEnabled": True,
        "source": "api",
        "quantityLimit": limit,
        "includedQuantity": used - billable if billable else None,
    }


def tier_applied(recorded: Recorded) -> str | None:
    """Return the code of the tier that a call has applied as it was told to."""
    given = mapping(recorded.input)
    return text(given.get("tierCode")) if recorded.path in _APPLYING and "answer" in recorded.came else None


def subscription_claimed(recorded: Recorded) -> str | None:
    """Return the subscription of a checkout that a call has claimed."""
    answer = mapping(recorded.came.get("answer"))
    if recorded.path == "onboard" and text(mapping(recorded.input).get("checkoutSessionId")):
        answer = mapping(answer.get("billingStatus"))
    elif recorded.path != "billing.claimCheckout":
        return None
    return text(answer.get("subscriptionId"))


def company_of(recorded: Recorded) -> str | None:
    """Return the id of the company that a call names or answers."""
    answer = mapping(recorded.came.get("answer"))
    key = "id" if recorded.path.startswith("companies.") and "id" in answer else "companyId"
    return text(mapping(recorded.input).get("companyId")) or text(answer.get(key))


def companies_of_orgs(calls: Iterable[Recorded]) -> dict[str, str]:
    """Return the company of each organisation, as the first answer shows it that tells both."""
    found: dict[str, str] = {}
    for recorded in calls:
        org, company = text(mapping(recorded.input).get("externalOrgId")), company_of(recorded)
        if org and company and "answer" in recorded.came:
            found.setdefault(org, company)
    return found


def refusal(recorded: Recorded) -> str | None:
    """Return the code of a refusal."""
    return recorded.came["error"]["code"] if "error" in recorded.came else None


def mapping(value: JSON) -> dict[str, Any]:
    """Return an object, an empty one where it is none."""
    return value if isinstance(value, dict) else {}


def objects(value: JSON) -> list[dict[str, Any]]:
    """Return the objects of a list, none where it is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(value: JSON) -> str | None:
    """Return text that is not blank."""
    return value if isinstance(value, str) and value.strip() else None


def number(value: JSON) -> int | float | None:
    """Return a number of at least 0, also one that is written as text, as the client reads it."""
    if isinstance(value, str):
        value = number_of(value)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number and 0 <= value <= sys.float_info.max else None
