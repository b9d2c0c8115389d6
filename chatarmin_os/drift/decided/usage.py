"""Decided: counting usage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os.drift._reading import number
from chatarmin_os.drift.decided._rule import decided

if TYPE_CHECKING:
    from chatarmin_os.drift.decided._rule import Situation

_TRACK = "billing.trackUsage"


def _is_new(it: Situation) -> bool:
    return it.company is not None and it.event is None


def _code(it: Situation) -> str | None:
    return it.feature["code"] if it.feature else None


def _is_fine(it: Situation) -> bool:
    return it.code != "BAD_REQUEST"


@decided(_TRACK)
def usage_quantity(it: Situation) -> object:
    """A quantity that is no number above 0 is BAD_REQUEST."""
    return it.code == "BAD_REQUEST" and not number(it.given.get("quantity"))


@decided(_TRACK)
def usage_no_quantity(it: Situation) -> object:
    """Usage of a feature without a quantity is BAD_REQUEST."""
    return it.code == "BAD_REQUEST" and it.feature is not None and not it.feature["hasQuantity"]


@decided(_TRACK, shows="billableQuantity")
def usage_billable(it: Situation) -> object:
    """Billable is what usage so far exceeds the included quantity by, 0 where none is included."""
    # The first usage seen may be what the included quantity was learned from.
    return it.answer and _is_new(it) and it.last(_TRACK, feature=_code(it))


@decided(_TRACK, shows="outcome isAtLimit")
def usage_at_limit(it: Situation) -> object:
    """To reach the limit exactly is fine, and sets isAtLimit."""
    return _is_new(it) and it.answer.get("remaining") == 0


@decided(_TRACK)
def usage_disabled(it: Situation) -> object:
    """Usage of a feature that is disabled, expired or without an access is FORBIDDEN."""
    counted = it.feature is not None and it.feature["hasQuantity"]
    return _is_new(it) and counted and _code(it) not in it.enabled and _is_fine(it)


@decided(_TRACK, "features.check", "features.checkByExternalOrgId", shows="currentUsage remaining")
def usage_refused(it: Situation) -> object:
    """Usage that was refused counts nothing."""
    return it.answer and it.last(_TRACK, feature=_code(it), refused=True) > it.last(_TRACK, feature=_code(it))


@decided(_TRACK, shows="outcome currentUsage remaining billableQuantity isAtLimit")
def usage_again(it: Situation) -> object:
    """A key used again with the same gives the first answer, and counts nothing."""
    return it.answer and it.event is not None


@decided(_TRACK)
def usage_key(it: Situation) -> object:
    """A key used again with another company, feature or quantity is CONFLICT."""
    return it.event is not None and it.code == "CONFLICT"


@decided(_TRACK, shows="outcome currentUsage remaining")
def usage_again_disabled(it: Situation) -> object:
    """A key used again is answered also when the feature has since been disabled or used up."""
    return it.event is not None and _code(it) not in it.enabled and it.code != "CONFLICT"


@decided(_TRACK)
def usage_key_free(it: Situation) -> object:
    """A key of usage that was refused is not used up."""
    return it.event is None and it.was_refused and it.answer


@decided("features.check", "features.checkByExternalOrgId", shows="currentUsage")
def usage_stays(it: Situation) -> object:
    """Another tier, or another access, changes no usage."""
    changed = it.last("tiers.apply", "features.setAccess", "billing.linkSubscription", feature=_code(it))
    return it.answer and changed > it.last(_TRACK, feature=_code(it)) > 0
