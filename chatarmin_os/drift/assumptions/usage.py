"""Decided: counting usage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os.drift._reading import number
from chatarmin_os.drift.assumptions.rule import decided

if TYPE_CHECKING:
    from chatarmin_os.drift.assumptions.rule import Situation

_TRACK = "billing.trackUsage"


def _is_new(it: Situation) -> bool:
    return it.company is not None and it.event is None


def _code(it: Situation) -> str | None:
    return it.feature["code"] if it.feature else None


def _is_fine(it: Situation) -> bool:
    return it.code != "BAD_REQUEST"


@decided("A quantity that is no number above 0 is BAD_REQUEST.", _TRACK)
def _usage_quantity(it: Situation) -> object:
    quantity = it.given.get("quantity")
    return it.code == "BAD_REQUEST" and (isinstance(quantity, str) or not number(quantity))


@decided(
    "A quantity may be a fraction, and is counted exactly as it is given.",
    _TRACK,
    shows="outcome currentUsage remaining billableQuantity",
)
def _usage_fraction(it: Situation) -> object:
    # Integer columns refuse fractions, and others round them: whole units are the safe choice.
    quantity = number(it.given.get("quantity"))
    return _is_new(it) and it.answer and quantity is not None and quantity % 1


@decided("Usage of a feature without a quantity is BAD_REQUEST.", _TRACK)
def _usage_no_quantity(it: Situation) -> object:
    return it.code == "BAD_REQUEST" and it.feature is not None and not it.feature["hasQuantity"]


@decided(
    "Billable is what usage so far exceeds the included quantity by, 0 where none is included.",
    _TRACK,
    shows="billableQuantity",
)
def _usage_billable(it: Situation) -> object:
    # The first usage seen may be what the included quantity was learned from.
    return it.answer and _is_new(it) and it.last(_TRACK, feature=_code(it))


@decided("To reach the limit exactly is fine, and sets isAtLimit.", _TRACK, shows="outcome isAtLimit")
def _usage_at_limit(it: Situation) -> object:
    return _is_new(it) and number(it.answer.get("remaining")) == 0


@decided("Usage of a feature that is disabled, expired or without an access is FORBIDDEN.", _TRACK)
def _usage_disabled(it: Situation) -> object:
    counted = it.feature is not None and it.feature["hasQuantity"]
    return _is_new(it) and counted and _code(it) not in it.enabled and _is_fine(it)


@decided(
    "Usage that was refused counts nothing.",
    _TRACK,
    "features.check",
    "features.checkByExternalOrgId",
    shows="currentUsage remaining",
)
def _usage_refused(it: Situation) -> object:
    return it.answer and it.last(_TRACK, feature=_code(it), refused=True) > it.last(_TRACK, feature=_code(it))


@decided(
    "A key used again with the same gives the first answer, and counts nothing.",
    _TRACK,
    shows="outcome currentUsage remaining billableQuantity isAtLimit",
)
def _usage_again(it: Situation) -> object:
    return it.answer and it.event is not None


@decided("A key used again with another company, feature or quantity is CONFLICT.", _TRACK)
def _usage_key(it: Situation) -> object:
    return it.event is not None and it.code == "CONFLICT"


@decided(
    "A key used again is answered also when the feature has since been disabled or used up.",
    _TRACK,
    shows="outcome currentUsage remaining",
)
def _usage_again_disabled(it: Situation) -> object:
    return it.event is not None and _code(it) not in it.enabled and it.code != "CONFLICT"


@decided("A key of usage that was refused is not used up.", _TRACK)
def _usage_key_free(it: Situation) -> object:
    return it.event is None and it.was_refused and it.answer


@decided(
    "Another tier, or another access, changes no usage.",
    "features.check",
    "features.checkByExternalOrgId",
    shows="currentUsage",
)
def _usage_stays(it: Situation) -> object:
    changed = it.last("tiers.apply", "features.setAccess", "billing.linkSubscription", feature=_code(it))
    return it.answer and changed > it.last(_TRACK, feature=_code(it)) > 0
