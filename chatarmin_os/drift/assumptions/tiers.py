"""Decided: what tiers show and grant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chatarmin_os.drift._reading import mapping, text
from chatarmin_os.drift.assumptions.rule import SEEN, decided
from chatarmin_os.fake.rules.tiers import OVERRIDES

if TYPE_CHECKING:
    from chatarmin_os.drift.assumptions.rule import Situation

_APPLY = "tiers.apply"
_GRANTED = "isEnabled quantityLimit includedQuantity configValues source validUntil"


@decided(
    "A tier shows its limits in configValues, as included_quantity and max_quantity.", "tiers.get", shows="configValues"
)
def _tier_config_values(it: Situation) -> object:
    return it.answer


@decided("An unknown tier is NOT_FOUND.", "tiers.get", _APPLY, "onboard", "billing.linkSubscription")
def _tier_unknown(it: Situation) -> object:
    return "tierCode" in it.given and it.tier is None and it.code == "NOT_FOUND"


@decided("An override has the keys included_quantity and max_quantity; any other is BAD_REQUEST.", _APPLY)
def _tier_overrides(it: Situation) -> object:
    return any(mapping(override).keys() - {*OVERRIDES} for override in mapping(it.given.get("features")).values())


@decided("An override for a feature that the tier lacks is BAD_REQUEST.", _APPLY)
def _tier_override_outside(it: Situation) -> object:
    lacks = it.tier is not None and mapping(it.given.get("features")).keys() - it.tier["features"].keys()
    return it.company and lacks and it.code == "BAD_REQUEST"


@decided(
    "The answer to tiers.apply tells the tier, and how many features were applied.",
    _APPLY,
    shows="$ tierCode featuresApplied",
)
def _tier_applied(it: Situation) -> object:
    return it.answer


@decided("A tier writes the access to each of its features anew, whatever its source was.", *SEEN, shows=_GRANTED)
def _tier_grants(it: Situation) -> object:
    return any(_is_of_tier(it, row) and row.get("isEnabled") for row in it.accesses)


@decided(
    "A feature that the new tier lacks is disabled where a subscription had given it.", *SEEN, shows="isEnabled source"
)
def _tier_withdraws(it: Situation) -> object:
    return any(_is_of_tier(it, row) and not row.get("isEnabled") for row in it.accesses)


@decided(
    "A feature that the new tier lacks stays where something else had given it.",
    *SEEN,
    shows="isEnabled source quantityLimit",
)
def _tier_leaves(it: Situation) -> object:
    kept = (row for row in it.accesses if text(row.get("source")) not in {None, "subscription"})
    return any(
        it.last("features.setAccess", feature=text(row.get("featureCode"))) and it.was_given(row, _APPLY)
        for row in kept
    )


def _is_of_tier(it: Situation, row: dict[str, Any]) -> bool:
    return row.get("source") == "subscription" and it.was_given(row, _APPLY)
