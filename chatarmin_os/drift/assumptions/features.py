"""Access to features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chatarmin_os.drift.assumptions.criterion import ACCESS_QUERIES, exercised_by
from chatarmin_os.drift.reading import number, text

if TYPE_CHECKING:
    from chatarmin_os.drift.assumptions.context import Context

_SET = "features.setAccess"
_LIMITS = {"quantityLimit", "includedQuantity"}
_LISTINGS = ("features.listAccess", "features.getAccessByExternalOrgId")


@exercised_by("access-fields", *ACCESS_QUERIES, _SET, shows="featureCode featureName configValues source validUntil")
def _access_fields(call: Context) -> object:
    return call.accesses


@exercised_by(
    "access-none",
    *ACCESS_QUERIES,
    shows="isEnabled quantityLimit includedQuantity remaining configValues source validUntil",
)
def _access_none(call: Context) -> object:
    return any(text(row.get("featureCode")) not in call.sources for row in call.accesses)


@exercised_by("access-can-use", *ACCESS_QUERIES, _SET, shows="canUse")
def _access_can_use(call: Context) -> object:
    return call.accesses


@exercised_by(
    "access-no-quantity", *ACCESS_QUERIES, _SET, shows="quantityLimit includedQuantity remaining currentUsage"
)
def _access_no_quantity(call: Context) -> object:
    return any(row.get("hasQuantity") is False for row in call.accesses)


@exercised_by("access-remaining", *ACCESS_QUERIES, _SET, shows="remaining")
def _access_remaining(call: Context) -> object:
    return any(_is_past(row) for row in call.accesses)


@exercised_by("access-order", *_LISTINGS, shows="featureCode")
def _access_order(call: Context) -> object:
    return len(call.accesses) > 1 and call.last(*_LISTINGS)


@exercised_by("access-expired", *ACCESS_QUERIES, shows="isEnabled canUse")
def _access_expired(call: Context) -> object:
    return any(text(row.get("featureCode")) in call.expired for row in call.accesses)


@exercised_by("access-set-whom", _SET)
def _access_set_whom(call: Context) -> object:
    return ("companyId" in call.given) == ("externalOrgId" in call.given)


@exercised_by("access-set-new", _SET, shows="isEnabled quantityLimit includedQuantity source")
def _access_set_new(call: Context) -> object:
    return call.answer and call.access is None


@exercised_by("access-set-absent", _SET, shows="isEnabled quantityLimit includedQuantity source validUntil")
def _access_set_absent(call: Context) -> object:
    return call.answer and call.access is not None


@exercised_by("access-set-config", _SET, shows="configValues")
def _access_set_config(call: Context) -> object:
    return call.answer and call.access is not None and call.access["configValues"] and "config" in call.given


@exercised_by("access-set-expired", _SET, shows="isEnabled canUse")
def _access_set_expired(call: Context) -> object:
    is_expired = call.feature is not None and call.feature["code"] in call.expired
    return is_expired and call.given.get("isEnabled") is True and "validUntil" not in call.given


@exercised_by("access-set-limits", _SET)
def _access_set_limits(call: Context) -> object:
    return call.company and call.feature and call.code == "BAD_REQUEST" and call.given.keys() & _LIMITS


@exercised_by("access-set-below", _SET)
def _access_set_below(call: Context) -> object:
    limit, usage = (
        number(call.given.get("quantityLimit")),
        call.usage.get(call.feature["code"], 0) if call.feature else 0,
    )
    return limit is not None and limit < usage


def _is_past(row: dict[str, Any]) -> bool:
    """Return whether the usage of an access exceeds its limit."""
    limit, usage = number(row.get("quantityLimit")), number(row.get("currentUsage"))
    return limit is not None and usage is not None and limit < usage
