"""Tiers, and the access that they grant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chatarmin_os.drift.assumptions.criterion import ACCESS_QUERIES, exercised_by
from chatarmin_os.drift.reading import mapping, text
from chatarmin_os.fake.rules.tiers import OVERRIDES

if TYPE_CHECKING:
    from chatarmin_os.drift.assumptions.context import Context

_APPLY = "tiers.apply"
_GRANTED = "isEnabled quantityLimit includedQuantity configValues source validUntil"


@exercised_by("tier-config-values", "tiers.get", shows="configValues")
def _tier_config_values(call: Context) -> object:
    return call.answer


@exercised_by("tier-feature-price", "tiers.get", shows="stripe currency")
def _tier_feature_price(call: Context) -> object:
    return call.answer


@exercised_by("tier-unknown", "tiers.get", _APPLY, "onboard", "billing.linkSubscription")
def _tier_unknown(call: Context) -> object:
    return "tierCode" in call.given and call.tier is None and call.code == "NOT_FOUND"


@exercised_by("tier-overrides", _APPLY)
def _tier_overrides(call: Context) -> object:
    return any(mapping(override).keys() - {*OVERRIDES} for override in mapping(call.given.get("features")).values())


@exercised_by("tier-override-limits", _APPLY)
def _tier_override_limits(call: Context) -> object:
    overrides = mapping(call.given.get("features")).items()
    return call.tier and call.code == "BAD_REQUEST" and any(_is_bad_override(call, *override) for override in overrides)


@exercised_by("tier-override-outside", _APPLY)
def _tier_override_outside(call: Context) -> object:
    lacks = call.tier is not None and mapping(call.given.get("features")).keys() - call.tier["features"].keys()
    return call.company and lacks and call.code == "BAD_REQUEST"


@exercised_by("tier-applied", _APPLY, shows="$ tierCode featuresApplied")
def _tier_applied(call: Context) -> object:
    return call.answer


@exercised_by("tier-grants", *ACCESS_QUERIES, shows=_GRANTED)
def _tier_grants(call: Context) -> object:
    return any(_is_of_tier(call, row) and row.get("isEnabled") for row in call.accesses)


@exercised_by("tier-withdraws", *ACCESS_QUERIES, shows="isEnabled source")
def _tier_withdraws(call: Context) -> object:
    return any(_is_of_tier(call, row) and not row.get("isEnabled") for row in call.accesses)


@exercised_by("tier-leaves", *ACCESS_QUERIES, shows="isEnabled source quantityLimit")
def _tier_leaves(call: Context) -> object:
    kept = (row for row in call.accesses if text(row.get("source")) not in {None, "subscription"})
    return any(
        call.last("features.setAccess", feature=text(row.get("featureCode"))) and call.is_granted_by(row, _APPLY)
        for row in kept
    )


def _is_of_tier(call: Context, row: dict[str, Any]) -> bool:
    return row.get("source") == "subscription" and call.is_granted_by(row, _APPLY)


def _is_bad_override(call: Context, code: str, override: object) -> bool:
    """Return whether an override has a negative limit, or any limit of a feature without a quantity."""
    limits = [limit for limit in mapping(override).values() if isinstance(limit, (int, float))]
    feature = call.features.get(code)
    return any(limit < 0 for limit in limits) or bool(limits and feature and not feature["hasQuantity"])
