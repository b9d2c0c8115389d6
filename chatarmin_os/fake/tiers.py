"""Tiers: their features and prices, and applying them to companies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chatarmin_os.fake import lookup
from chatarmin_os.fake.features import check_limit
from chatarmin_os.fake.router import procedure
from chatarmin_os.fake.rules import tiers as rules
from chatarmin_os.fake.schema import LIMIT, TEXT, Field, Input, bad_request, object_of, optional, validate

if TYPE_CHECKING:
    from chatarmin_os._json import JSON
    from chatarmin_os.fake.rows import Tier
    from chatarmin_os.fake.state import State


@procedure("tiers.list", "query")
def list_tiers(state: State, _: Input) -> JSON:
    """Return code and name of each tier."""
    return [summary(tier) for tier in state.catalogue.tiers.values()]


def summary(tier: Tier) -> dict[str, Any]:
    """Return code and name of a tier."""
    return {"code": tier["code"], "name": tier["name"]}


@procedure("tiers.get", "query", tierCode=TEXT)
def get(state: State, input: Input) -> JSON:
    """Return a tier with its features and prices."""
    tier = lookup.tier(state, input["tierCode"])
    base = rules.base_price(tier)
    catalogue = state.catalogue.features
    return {
        **summary(tier),
        "baseFee": base and {"stripe": base},
        "features": [
            {
                "code": code,
                "name": catalogue[code]["name"],
                "configValues": rules.config_values(catalogue[code], granted),
                "stripe": rules.feature_price(tier, code),
            }
            for code, granted in tier["features"].items()
        ],
        "stripePriceIds": rules.price_ids_of(tier),
    }


def _overrides(value: Any, place: str) -> Input:
    override = object_of(**dict.fromkeys(rules.OVERRIDES, optional(LIMIT)))
    schema = dict.fromkeys(value, optional(Field(override))) if isinstance(value, dict) else {}
    return validate(schema, value, place)


@procedure("tiers.apply", "mutation", tierCode=TEXT, companyId=TEXT, features=optional(Field(_overrides)))
def apply(state: State, input: Input) -> JSON:
    """Apply a tier without Stripe."""
    company = lookup.company(state, input["companyId"])
    tier = lookup.tier(state, input["tierCode"])
    overrides = input.get("features", {})
    for code, override in overrides.items():
        if code not in tier["features"]:
            raise bad_request(f"features.{code}", f"the tier {tier['code']!r} has no such feature")
        for key, limit in override.items():
            check_limit(state.catalogue.features[code], limit, f"features.{code}.{key}")
    return {"tierCode": tier["code"], "featuresApplied": grant(state, company["id"], tier, overrides)}


def grant(state: State, company_id: str, tier: Tier, overrides: dict[str, dict[str, Any]] | None = None) -> int:
    """Apply a tier to a company, and return the number of its features; usage stays."""
    accesses = dict(state.access.get(company_id, {}))
    for code, access in accesses.items():
        if code not in tier["features"] and rules.is_withdrawn(access):
            accesses[code] = {**access, "isEnabled": False}
    for code, granted in tier["features"].items():
        override = (overrides or {}).get(code, {})
        accesses[code] = rules.granted_access(state.catalogue.features[code], granted, override)
    state.access[company_id] = accesses
    state.tiers[company_id] = tier["code"]
    return len(tier["features"])
