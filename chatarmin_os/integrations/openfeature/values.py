"""Values of the types of OpenFeature, converted without loss.

The SDK compares types by `isinstance`: a limit of 100 would be no float, and True an integer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openfeature.exception import TypeMismatchError
from openfeature.flag_evaluation import FlagType

from chatarmin_os._json import JSON, copy_json

UNLIMITED = 2**53 - 1
"""What remains of an unlimited quantity: the largest whole number that JSON and floats hold exactly."""


def converted(value: JSON, flag_type: FlagType) -> Any:
    """Return a value of JSON as one of a type; an object is a copy.

    Raises:
        TypeMismatchError: It has another type, or would lose something.

    Example:
        >>> converted(100, FlagType.FLOAT), converted(100.0, FlagType.INTEGER), converted([1], FlagType.OBJECT)
        (100.0, 100, [1])
        >>> for value, flag_type in [
        ...     (True, FlagType.INTEGER),
        ...     (True, FlagType.FLOAT),
        ...     (2.5, FlagType.INTEGER),
        ...     (2**53 + 1, FlagType.FLOAT),
        ...     (10**400, FlagType.FLOAT),
        ...     ("100", FlagType.INTEGER),
        ...     (1, FlagType.BOOLEAN),
        ...     (None, FlagType.STRING),
        ... ]:
        ...     try:
        ...         converted(value, flag_type)
        ...     except TypeMismatchError as error:
        ...         print(error.error_message)
        is a bool, and not an integer
        is a bool, and not a float
        is a float that is no whole number, and not an integer
        is an int that no float holds exactly, and not a float
        is an int that no float holds exactly, and not a float
        is a str, and not an integer
        is an int, and not a boolean
        is null, and not a string
    """
    return _CONVERSIONS[flag_type](value)


def _boolean(value: JSON) -> bool:
    return value if isinstance(value, bool) else _refuse(value, "a boolean")


def _string(value: JSON) -> str:
    return value if isinstance(value, str) else _refuse(value, "a string")


def _integer(value: JSON) -> int:
    if isinstance(value, float):
        return int(value) if value.is_integer() else _refuse(value, "an integer", " that is no whole number")
    return value if isinstance(value, int) and not isinstance(value, bool) else _refuse(value, "an integer")


def _float(value: JSON) -> float:
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            is_exact = float(value) == value
        except OverflowError:
            is_exact = False
        return float(value) if is_exact else _refuse(value, "a float", " that no float holds exactly")
    return value if isinstance(value, float) else _refuse(value, "a float")


def _object(value: JSON) -> dict[str, Any] | list[Any]:
    found: dict[str, Any] | list[Any] = (
        copy_json(value) if isinstance(value, dict | list) else _refuse(value, "an object")
    )
    return found


def _refuse(value: JSON, expected: str, why: str = "") -> Any:
    """Refuse a value, which is not shown: a setting may be a secret."""
    name = type(value).__name__
    found = "null" if value is None else f"{'an' if name == 'int' else 'a'} {name}{why}"
    raise TypeMismatchError(f"is {found}, and not {expected}")


_CONVERSIONS: dict[FlagType, Callable[[JSON], Any]] = {
    FlagType.BOOLEAN: _boolean,
    FlagType.STRING: _string,
    FlagType.INTEGER: _integer,
    FlagType.FLOAT: _float,
    FlagType.OBJECT: _object,
}
