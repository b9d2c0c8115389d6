"""What companies may use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chatarmin_os.fake import lookup
from chatarmin_os.fake.router import (
    FLAG,
    LIMIT,
    MAPPING,
    NULLABLE_INSTANT,
    TEXT,
    Field,
    Given,
    bad_request,
    one_of,
    optional,
    procedure,
)
from chatarmin_os.fake.rules.access import described, is_enabled, starting

if TYPE_CHECKING:
    from chatarmin_os._json import JSON
    from chatarmin_os.fake.catalogue import Feature
    from chatarmin_os.fake.rules.usage import Amount
    from chatarmin_os.fake.state import Access, State


@procedure("features.check", "query", companyId=TEXT, featureCode=TEXT)
def check(state: State, given: Given) -> JSON:
    """Answer a company's access to a feature, as it is now."""
    company = lookup.company(state, given["companyId"])
    return _described(state, company["id"], lookup.feature(state, given["featureCode"]))


@procedure("features.checkByExternalOrgId", "query", externalOrgId=TEXT, featureCode=TEXT)
def check_by_external_org_id(state: State, given: Given) -> JSON:
    """Answer the same by link."""
    company = lookup.linked_company(state, given["externalOrgId"])
    return _described(state, company["id"], lookup.feature(state, given["featureCode"]))


@procedure("features.listAccess", "query", companyId=TEXT)
def list_access(state: State, given: Given) -> JSON:
    """Answer a company's access to all features, in catalogue order."""
    return _all_described(state, lookup.company(state, given["companyId"])["id"])


@procedure("features.getAccessByExternalOrgId", "query", externalOrgId=TEXT)
def get_access_by_external_org_id(state: State, given: Given) -> JSON:
    """Answer the company behind a link, with its access to all features."""
    company = lookup.linked_company(state, given["externalOrgId"])
    return {"companyId": company["id"], "features": _all_described(state, company["id"])}


@procedure(
    "features.setAccess",
    "mutation",
    companyId=optional(TEXT),
    externalOrgId=optional(TEXT),
    featureCode=TEXT,
    isEnabled=optional(FLAG),
    quantityLimit=optional(LIMIT),
    includedQuantity=optional(LIMIT),
    config=optional(MAPPING),
    source=optional(Field(one_of("subscription", "manual", "trial", "api"))),
    validUntil=optional(NULLABLE_INSTANT),
)
def set_access(state: State, given: Given) -> JSON:
    """Change an access: what is absent stays, settings are merged."""
    if ("companyId" in given) == ("externalOrgId" in given):
        raise bad_request("companyId", "give exactly one of companyId and externalOrgId")
    if "companyId" in given:
        company = lookup.company(state, given["companyId"])
    else:
        company = lookup.linked_company(state, given["externalOrgId"])
    feature = lookup.feature(state, given["featureCode"])
    for limit in ("quantityLimit", "includedQuantity"):
        refuse_limit(feature, given.get(limit), limit)
    access = access_to(state, company["id"], feature)
    changed: Access = {
        "isEnabled": given.get("isEnabled", access["isEnabled"]),
        "quantityLimit": given.get("quantityLimit", access["quantityLimit"]),
        "includedQuantity": given.get("includedQuantity", access["includedQuantity"]),
        "configValues": {**access["configValues"], **given.get("config", {})},
        "source": given.get("source", access["source"] or "api"),
        "validUntil": given.get("validUntil", access["validUntil"]),
    }
    state.access.setdefault(company["id"], {})[feature["code"]] = changed
    return _described(state, company["id"], feature)


def refuse_limit(feature: Feature, limit: Any, place: str) -> None:
    """Refuse a number as a limit of a feature that has no quantity."""
    if limit is not None and not feature["hasQuantity"]:
        raise bad_request(place, f"the feature {feature['code']!r} has no quantity, so it has no limits")


def access_to(state: State, company_id: str, feature: Feature) -> Access:
    """Return a company's access to a feature, or the one it starts with."""
    return state.access.get(company_id, {}).get(feature["code"]) or starting(feature)


def usage_of(state: State, company_id: str, feature: Feature) -> Amount:
    """Return how much a company has used of a feature in this billing period."""
    return state.usage.get(company_id, {}).get(feature["code"], 0)


def count_enabled(state: State, company_id: str) -> int:
    """Return how many features a company has enabled right now."""
    features = state.catalogue.features.values()
    return sum(is_enabled(access_to(state, company_id, feature), state.now) for feature in features)


def _described(state: State, company_id: str, feature: Feature) -> dict[str, Any]:
    access, usage = access_to(state, company_id, feature), usage_of(state, company_id, feature)
    return described(feature, access, usage, state.now)


def _all_described(state: State, company_id: str) -> list[dict[str, Any]]:
    return [_described(state, company_id, feature) for feature in state.catalogue.features.values()]
