"""The features that companies may use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chatarmin_os.fake import lookup
from chatarmin_os.fake.router import procedure
from chatarmin_os.fake.rules.access import access_response, default_access, is_enabled
from chatarmin_os.fake.schema import (
    BOOLEAN,
    LIMIT,
    MAPPING,
    NULLABLE_TIMESTAMP,
    TEXT,
    Field,
    Input,
    bad_request,
    one_of,
    optional,
)

if TYPE_CHECKING:
    from chatarmin_os._json import JSON
    from chatarmin_os.fake.rows import Access, Amount, Feature
    from chatarmin_os.fake.state import State


@procedure("features.check", "query", companyId=TEXT, featureCode=TEXT)
def check(state: State, input: Input) -> JSON:
    """Return a company's current access to a feature."""
    company = lookup.company(state, input["companyId"])
    return _response(state, company["id"], lookup.feature(state, input["featureCode"]))


@procedure("features.checkByExternalOrgId", "query", externalOrgId=TEXT, featureCode=TEXT)
def check_by_external_org_id(state: State, input: Input) -> JSON:
    """Return a linked company's current access to a feature."""
    company = lookup.linked_company(state, input["externalOrgId"])
    return _response(state, company["id"], lookup.feature(state, input["featureCode"]))


@procedure("features.listAccess", "query", companyId=TEXT)
def list_access(state: State, input: Input) -> JSON:
    """Return a company's access to all features, in catalogue order."""
    return _responses(state, lookup.company(state, input["companyId"])["id"])


@procedure("features.getAccessByExternalOrgId", "query", externalOrgId=TEXT)
def get_access_by_external_org_id(state: State, input: Input) -> JSON:
    """Return the company behind a link, with its access to all features."""
    company = lookup.linked_company(state, input["externalOrgId"])
    return {"companyId": company["id"], "features": _responses(state, company["id"])}


@procedure(
    "features.setAccess",
    "mutation",
    companyId=optional(TEXT),
    externalOrgId=optional(TEXT),
    featureCode=TEXT,
    isEnabled=optional(BOOLEAN),
    quantityLimit=optional(LIMIT),
    includedQuantity=optional(LIMIT),
    config=optional(MAPPING),
    source=optional(Field(one_of("subscription", "manual", "trial", "api"))),
    validUntil=optional(NULLABLE_TIMESTAMP),
)
def set_access(state: State, input: Input) -> JSON:
    """Change an access: fields that are absent stay, settings are merged."""
    if ("companyId" in input) == ("externalOrgId" in input):
        raise bad_request("companyId", "give exactly one of companyId and externalOrgId")
    if "companyId" in input:
        company = lookup.company(state, input["companyId"])
    else:
        company = lookup.linked_company(state, input["externalOrgId"])
    feature = lookup.feature(state, input["featureCode"])
    for key in ("quantityLimit", "includedQuantity"):
        check_limit(feature, input.get(key), key)
    access = access_to(state, company["id"], feature)
    changed: Access = {
        "isEnabled": input.get("isEnabled", access["isEnabled"]),
        "quantityLimit": input.get("quantityLimit", access["quantityLimit"]),
        "includedQuantity": input.get("includedQuantity", access["includedQuantity"]),
        "configValues": {**access["configValues"], **input.get("config", {})},
        "source": input.get("source", access["source"] or "api"),
        "validUntil": input.get("validUntil", access["validUntil"]),
    }
    state.access[company["id"]] = {**state.access.get(company["id"], {}), feature["code"]: changed}
    return _response(state, company["id"], feature)


def check_limit(feature: Feature, limit: Any, place: str) -> None:
    """Refuse a number as a limit of a feature that has no quantity."""
    if limit is not None and not feature["hasQuantity"]:
        raise bad_request(place, f"the feature {feature['code']!r} has no quantity, so it has no limits")


def access_to(state: State, company_id: str, feature: Feature) -> Access:
    """Return a company's access to a feature, or the default one."""
    return state.access.get(company_id, {}).get(feature["code"]) or default_access(feature)


def usage_of(state: State, company_id: str, feature: Feature) -> Amount:
    """Return a company's usage of a feature in this billing period."""
    return state.usage.get(company_id, {}).get(feature["code"], 0)


def count_enabled(state: State, company_id: str) -> int:
    """Return the number of features that a company has enabled now."""
    features = state.catalogue.features.values()
    return sum(is_enabled(access_to(state, company_id, feature), state.now) for feature in features)


def _response(state: State, company_id: str, feature: Feature) -> dict[str, Any]:
    access, usage = access_to(state, company_id, feature), usage_of(state, company_id, feature)
    return access_response(feature, access, usage, state.now)


def _responses(state: State, company_id: str) -> list[dict[str, Any]]:
    return [_response(state, company_id, feature) for feature in state.catalogue.features.values()]
