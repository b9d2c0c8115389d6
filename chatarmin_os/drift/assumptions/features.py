"""Decided: access to features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chatarmin_os.drift._reading import number, text
from chatarmin_os.drift.assumptions.rule import SEEN, decided

if TYPE_CHECKING:
    from chatarmin_os.drift.assumptions.rule import Situation

_SET = "features.setAccess"
_LISTINGS = ("features.listAccess", "features.getAccessByExternalOrgId")


@decided(
    "An access has featureCode, featureName, configValues, source and validUntil, too.",
    *SEEN,
    _SET,
    shows="featureCode featureName configValues source validUntil",
)
def _access_fields(it: Situation) -> object:
    return it.accesses


@decided(
    "Without an access: disabled, limit 0, no source, the default settings.",
    *SEEN,
    shows="isEnabled quantityLimit includedQuantity remaining configValues source validUntil",
)
def _access_none(it: Situation) -> object:
    return any(text(row.get("featureCode")) not in it.sources for row in it.accesses)


@decided("What is enabled, not expired and below its limit can be used.", *SEEN, _SET, shows="canUse")
def _access_can_use(it: Situation) -> object:
    return it.accesses


@decided(
    "A feature without a quantity has no limits, nothing that remains, and usage 0.",
    *SEEN,
    _SET,
    shows="quantityLimit includedQuantity remaining currentUsage",
)
def _access_no_quantity(it: Situation) -> object:
    return any(row.get("hasQuantity") is False for row in it.accesses)


@decided("What remains is never below 0.", *SEEN, _SET, shows="remaining")
def _access_remaining(it: Situation) -> object:
    return any(_is_past(row) for row in it.accesses)


@decided("All features are listed, always in the order of the catalogue.", *_LISTINGS, shows="featureCode")
def _access_order(it: Situation) -> object:
    return len(it.accesses) > 1 and it.last(*_LISTINGS)


@decided("After its validUntil an access is disabled.", *SEEN, shows="isEnabled canUse")
def _access_expired(it: Situation) -> object:
    return any(text(row.get("featureCode")) in it.expired for row in it.accesses)


@decided("Both or none of companyId and externalOrgId for features.setAccess is BAD_REQUEST.", _SET)
def _access_set_whom(it: Situation) -> object:
    return ("companyId" in it.given) == ("externalOrgId" in it.given)


@decided(
    "A new access is disabled, with limit 0 and source api, where nothing else is told.",
    _SET,
    shows="isEnabled quantityLimit includedQuantity source",
)
def _access_set_new(it: Situation) -> object:
    return it.answer and it.access is None


@decided(
    "What features.setAccess does not name stays as it was.",
    _SET,
    shows="isEnabled quantityLimit includedQuantity source validUntil",
)
def _access_set_absent(it: Situation) -> object:
    return it.answer and it.access is not None


@decided("Settings are merged by their top-level keys.", _SET, shows="configValues")
def _access_set_config(it: Situation) -> object:
    return it.answer and it.access is not None and it.access["configValues"] and "config" in it.given


@decided("A negative limit, and any limit of a feature without a quantity, is BAD_REQUEST.", _SET)
def _access_set_limits(it: Situation) -> object:
    return it.company and it.feature and it.code == "BAD_REQUEST" and _limits(it)


@decided("A limit below the usage is accepted.", _SET)
def _access_set_below(it: Situation) -> object:
    limit, usage = number(it.given.get("quantityLimit")), it.usage.get(it.feature["code"], 0) if it.feature else 0
    return limit is not None and limit < usage


def _is_past(row: dict[str, Any]) -> bool:
    limit, usage = number(row.get("quantityLimit")), number(row.get("currentUsage"))
    return limit is not None and usage is not None and limit < usage


def _limits(it: Situation) -> set[str]:
    return {"quantityLimit", "includedQuantity"} & it.given.keys()
