"""Decided: access to features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chatarmin_os.drift._reading import number, text
from chatarmin_os.drift.decided._rule import SEEN, decided

if TYPE_CHECKING:
    from chatarmin_os.drift.decided._rule import Situation

_SET = "features.setAccess"
_LISTINGS = ("features.listAccess", "features.getAccessByExternalOrgId")


@decided(*SEEN, _SET, shows="featureCode featureName configValues source validUntil")
def access_fields(it: Situation) -> object:
    """An access has featureCode, featureName, configValues, source and validUntil, too."""
    return it.accesses


@decided(*SEEN, shows="isEnabled quantityLimit includedQuantity remaining configValues source validUntil")
def access_none(it: Situation) -> object:
    """Without an access: disabled, limit 0, no source, the default settings."""
    return any(text(row.get("featureCode")) not in it.sources for row in it.accesses)


@decided(*SEEN, _SET, shows="canUse")
def access_can_use(it: Situation) -> object:
    """What is enabled, not expired and below its limit can be used."""
    return it.accesses


@decided(*SEEN, _SET, shows="quantityLimit includedQuantity remaining currentUsage")
def access_no_quantity(it: Situation) -> object:
    """A feature without a quantity has no limits, nothing that remains, and usage 0."""
    return any(row.get("hasQuantity") is False for row in it.accesses)


@decided(*SEEN, _SET, shows="remaining")
def access_remaining(it: Situation) -> object:
    """What remains is never below 0."""
    return any(_is_past(row) for row in it.accesses)


@decided(*_LISTINGS, shows="featureCode")
def access_order(it: Situation) -> object:
    """All features are listed, always in the order of the catalogue."""
    return len(it.accesses) > 1 and it.last(*_LISTINGS)


@decided(*SEEN, shows="isEnabled canUse")
def access_expired(it: Situation) -> object:
    """After its validUntil an access is disabled."""
    return any(text(row.get("featureCode")) in it.expired for row in it.accesses)


@decided(_SET)
def access_set_whom(it: Situation) -> object:
    """Both or none of companyId and externalOrgId for features.setAccess is BAD_REQUEST."""
    return ("companyId" in it.given) == ("externalOrgId" in it.given)


@decided(_SET, shows="isEnabled quantityLimit includedQuantity source")
def access_set_new(it: Situation) -> object:
    """A new access is disabled, with limit 0 and source api, where nothing else is told."""
    return it.answer and it.access is None


@decided(_SET, shows="isEnabled quantityLimit includedQuantity source validUntil")
def access_set_absent(it: Situation) -> object:
    """What features.setAccess does not name stays as it was."""
    return it.answer and it.access is not None


@decided(_SET, shows="configValues")
def access_set_config(it: Situation) -> object:
    """Settings are merged by their top-level keys."""
    return it.answer and it.access is not None and it.access["configValues"] and "config" in it.given


@decided(_SET)
def access_set_limits(it: Situation) -> object:
    """A negative limit, and any limit of a feature without a quantity, is BAD_REQUEST."""
    return it.company and it.feature and it.code == "BAD_REQUEST" and _limits(it)


@decided(_SET)
def access_set_below(it: Situation) -> object:
    """A limit below the usage is accepted."""
    limit, usage = number(it.given.get("quantityLimit")), it.usage.get(it.feature["code"], 0) if it.feature else 0
    return limit is not None and limit < usage


def _is_past(row: dict[str, Any]) -> bool:
    limit, usage = number(row.get("quantityLimit")), number(row.get("currentUsage"))
    return limit is not None and usage is not None and limit < usage


def _limits(it: Situation) -> set[str]:
    return {"quantityLimit", "includedQuantity"} & it.given.keys()
