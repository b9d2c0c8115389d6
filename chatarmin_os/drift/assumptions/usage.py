"""Usage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os.drift.assumptions.criterion import exercised_by
from chatarmin_os.drift.reading import number

if TYPE_CHECKING:
    from chatarmin_os.drift.assumptions.context import Context

_TRACK = "billing.trackUsage"


def _is_new(call: Context) -> bool:
    return call.company is not None and call.event is None


def _code(call: Context) -> str | None:
    return call.feature["code"] if call.feature else None


@exercised_by("usage-quantity", _TRACK)
def _usage_quantity(call: Context) -> object:
    quantity = call.given.get("quantity")
    return call.code == "BAD_REQUEST" and (isinstance(quantity, str) or not number(quantity))


@exercised_by("usage-fraction", _TRACK, shows="outcome currentUsage remaining billableQuantity")
def _usage_fraction(call: Context) -> object:
    # An integer column refuses a fraction, and other columns round it.
    quantity = number(call.given.get("quantity"))
    return _is_new(call) and call.answer and quantity is not None and quantity % 1


@exercised_by("usage-no-quantity", _TRACK)
def _usage_no_quantity(call: Context) -> object:
    return call.code == "BAD_REQUEST" and call.feature is not None and not call.feature["hasQuantity"]


@exercised_by("usage-billable", _TRACK, shows="billableQuantity")
def _usage_billable(call: Context) -> object:
    # The start of the fake may have its included quantity from the first usage.
    return call.answer and _is_new(call) and call.last(_TRACK, feature=_code(call))


@exercised_by("usage-at-limit", _TRACK, shows="outcome isAtLimit")
def _usage_at_limit(call: Context) -> object:
    return _is_new(call) and number(call.answer.get("remaining")) == 0


@exercised_by("usage-disabled", _TRACK)
def _usage_disabled(call: Context) -> object:
    is_counted = call.feature is not None and call.feature["hasQuantity"]
    return _is_new(call) and is_counted and _code(call) not in call.enabled and call.code != "BAD_REQUEST"


@exercised_by(
    "usage-refused", _TRACK, "features.check", "features.checkByExternalOrgId", shows="currentUsage remaining"
)
def _usage_refused(call: Context) -> object:
    return call.answer and call.last(_TRACK, feature=_code(call), refused=True) > call.last(_TRACK, feature=_code(call))


@exercised_by("usage-again", _TRACK, shows="outcome currentUsage remaining billableQuantity isAtLimit")
def _usage_again(call: Context) -> object:
    return call.answer and call.event is not None


@exercised_by("usage-key", _TRACK)
def _usage_key(call: Context) -> object:
    return call.event is not None and call.code == "CONFLICT"


@exercised_by("usage-again-disabled", _TRACK, shows="outcome currentUsage remaining")
def _usage_again_disabled(call: Context) -> object:
    return call.event is not None and _code(call) not in call.enabled and call.code != "CONFLICT"


@exercised_by("usage-key-free", _TRACK)
def _usage_key_free(call: Context) -> object:
    return call.event is None and call.was_refused and call.answer


@exercised_by("usage-stays", "features.check", "features.checkByExternalOrgId", shows="currentUsage")
def _usage_stays(call: Context) -> object:
    changed = call.last("tiers.apply", "features.setAccess", "billing.linkSubscription", feature=_code(call))
    return call.answer and changed > call.last(_TRACK, feature=_code(call)) > 0
