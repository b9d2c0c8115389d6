"""Decided: what tiers show and grant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chatarmin_os.drift._reading import mapping, text
from chatarmin_os.drift.decided._rule import SEEN, decided
from chatarmin_os.fake.rules.tiers import OVERRIDES

if TYPE_CHECKING:
    from chatarmin_os.drift.decided._rule import Situation

_APPLY = "tiers.apply"
_GRANTED = "isEnabled quantityLimit includedQuantity configValues source validUntil"


@decided("tiers.get", shows="configValues")
def tier_config_values(it: Situation) -> object:
    """A tier shows its limits in configValues, as included_quantity and max_quantity."""
    return it.answer


@decided("tiers.get", _APPLY, "onboard", "billing.linkSubscription")
def tier_unknown(it: Situation) -> object:
    """An unknown tier is NOT_FOUND."""
    return "tierCode" in it.given and it.tier is None and it.code == "NOT_FOUND"


@decided(_APPLY)
def tier_overrides(it: Situation) -> object:
    """An override has the keys included_quantity and max_quantity; any other is BAD_REQUEST."""
    return any(mapping(override).keys() - {*OVERRIDES} for override in mapping(it.given.get("features")).values())


@decided(_APPLY)
def tier_override_outside(it: Situation) -> object:
    """An override for a feature that the tier lacks is BAD_REQUEST."""
    lacks = it.tier is not None and mapping(it.given.get("features")).keys() - it.tier["features"].keys()
    return it.company and lacks and it.code == "BAD_REQUEST"


@decided(_APPLY, shows="$ tierCode featuresApplied")
def tier_applied(it: Situation) -> object:
    """The answer to tiers.apply tells the tier, and how many features were applied."""
    return it.answer


@decided(*SEEN, shows=_GRANTED)
def tier_grants(it: Situation) -> object:
    """A tier writes the access to each of its features anew, whatever its source was."""
    return any(_is_of_tier(it, row) and row.get("isEnabled") for row in it.accesses)


@decided(*SEEN, shows="isEnabled source")
def tier_withdraws(it: Situation) -> object:
    """A feature that the new tier lacks is disabled where a subscription had given it."""
    return any(_is_of_tier(it, row) and not row.get("isEnabled") for row in it.accesses)


@decided(*SEEN, shows="isEnabled source quantityLimit")
def tier_leaves(it: Situation) -> object:
    """A feature that the new tier lacks stays where something else had given it."""
    kept = (row for row in it.accesses if text(row.get("source")) not in {None, "subscription"})
    return any(
        it.last("features.setAccess", feature=text(row.get("featureCode"))) and it.was_given(row, _APPLY)
        for row in kept
    )


def _is_of_tier(it: Situation, row: dict[str, Any]) -> bool:
    return row.get("source") == "subscription" and it.was_given(row, _APPLY)
