"""The value of a flag by the decision of a gate; a denial never becomes the caller's default where it is a boolean."""

from __future__ import annotations

import json
from typing import Any

from openfeature.exception import FlagNotFoundError, GeneralError, TypeMismatchError
from openfeature.flag_evaluation import FlagResolutionDetails, FlagType, Reason

from chatarmin_os import FeatureAccess
from chatarmin_os.gate import Decision
from chatarmin_os.gate.failures import class_and_code
from chatarmin_os.gate.policy import has_quantity
from chatarmin_os.gate.usage import remaining_of
from chatarmin_os.integrations.openfeature.flags import Flag
from chatarmin_os.integrations.openfeature.values import UNLIMITED, converted

_REASONS = {
    "live": Reason.TARGETING_MATCH,
    "cache": Reason.CACHED,
    "stale": Reason.STALE,
    "policy": Reason.DEFAULT,
}
_NUMBERS = FlagType.INTEGER, FlagType.FLOAT


class _NoValueError(Exception):
    """The decision has no value of that kind: the caller's default stands in."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


def resolve(decision: Decision, flag: Flag, flag_type: FlagType, default: Any) -> FlagResolutionDetails[Any]:
    """Return the value of a flag by a decision.

    Raises:
        TypeMismatchError: It has no value of that type.
        FlagNotFoundError: The feature has no such setting.

    Example:
        >>> from chatarmin_os import FeatureAccess
        >>> access = FeatureAccess(is_enabled=True, can_use=True, has_quantity=True, config_values={"model": "large"})
        >>> decision = Decision(True, "allowed", "cache", "ai", access=access)
        >>> details = resolve(decision, Flag("ai"), FlagType.INTEGER, 0)
        >>> details.value == UNLIMITED, details.variant, details.reason.value
        (True, 'unlimited', 'CACHED')
        >>> resolve(decision, Flag("ai", setting="model"), FlagType.STRING, "").value
        'large'
    """
    reason = _REASONS[decision.source]
    try:
        value, variant = _value(decision, flag, flag_type)
        if flag.setting is not None and decision.reason == "disabled":
            reason = Reason.DISABLED
    except _NoValueError as missing:
        # Where a float is expected, an int is no mistake to a type checker, but one to the SDK.
        is_whole = flag_type is FlagType.FLOAT and type(default) is int
        value = converted(default, flag_type) if is_whole else default
        variant, reason = decision.reason, missing.reason
    return FlagResolutionDetails(value=value, variant=variant, reason=reason, flag_metadata=_metadata(decision))


def _value(decision: Decision, flag: Flag, flag_type: FlagType) -> tuple[Any, str]:
    """Return a value and its variant."""
    if flag_type is FlagType.BOOLEAN and (flag.setting is None or not decision.allowed):
        return decision.allowed, decision.reason
    if flag.setting is None and flag_type in _NUMBERS:
        left, variant = _remaining(decision)
        return converted(left, flag_type), variant
    access = decision.access
    if access is None:
        raise _NoValueError(Reason.DEFAULT)
    value, variant = _configured(access, flag, flag_type)
    if decision.reason == "disabled":
        raise _NoValueError(Reason.DISABLED)
    return value, variant


def _remaining(decision: Decision) -> tuple[int | float, str]:
    """Return the quantity that remains: 0 if the feature is denied, whatever the reason."""
    access = decision.access
    if access is not None and not has_quantity(access):
        raise TypeMismatchError("the feature has no quantity")
    if not decision.allowed:
        return 0, decision.reason
    if access is None:
        raise _NoValueError(Reason.DEFAULT)
    left = remaining_of(access)
    if left is not None:
        return left, "remaining"
    if access.quantity_limit is not None:
        raise GeneralError("the service did not say how much of the quantity is used")
    return UNLIMITED, "unlimited"


def _configured(access: FeatureAccess, flag: Flag, flag_type: FlagType) -> tuple[Any, str]:
    """Return one setting, or all of them: as an object, or as the text of its JSON."""
    settings = access.config_values or {}
    if flag.setting is not None:
        if flag.setting not in settings:
            raise FlagNotFoundError("the feature has no such setting")
        return converted(settings[flag.setting], flag_type), flag.setting
    if not settings:
        raise TypeMismatchError("the feature has no settings")
    if flag_type is FlagType.STRING:
        return json.dumps(settings, ensure_ascii=False), "settings"
    return converted(settings, flag_type), "settings"


def _metadata(decision: Decision) -> dict[str, bool | int | float | str]:
    """Return what a hook or a log may want to know: without ids, and without texts of the service."""
    access = decision.access
    found: dict[str, bool | int | float | str | None] = {
        "allowed": decision.allowed,
        "decision": decision.reason,
        "source": decision.source,
        "age": decision.age,
        "error": None if decision.error is None else class_and_code(decision.error),
    }
    if access is not None:
        found |= {
            "current_usage": access.current_usage,
            "quantity_limit": access.quantity_limit,
            "included_quantity": access.included_quantity,
            "remaining": access.remaining,
            "access_source": access.source,
            "valid_until": None if access.valid_until is None else access.valid_until.isoformat(),
        }
    return {name: value for name, value in found.items() if value is not None}
