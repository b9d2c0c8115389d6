"""JSON values: what can travel, and copies that share nothing with the original."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any, TypeAlias

from chatarmin_os.errors import InvalidInput

JSON: TypeAlias = Any
"""What `json.loads` gives: dict, list, str, int, float, bool, None; `Any`, so that reading it needs no casts."""

LARGEST_INTEGER = 2**53 - 1
"""JavaScript holds integers up to here exactly; the service would round what lies beyond."""

DEEPEST = 100
"""So deep may lists and objects be nested in an argument: whoever reads what was stored walks through it again."""

_NESTED = frozenset({dict, list})


class _TooDeep(Exception):  # noqa: N818 - never leaves this module
    """Lists and objects are nested deeper than they may be."""


def copied(value: JSON, deepest: int = DEEPEST) -> JSON:
    """Return *value* as JSON would bring it to the other side: nothing shared, tuples as lists, at most *deepest* deep.

    Raises:
        InvalidInput: Something in it cannot travel; the place is named as seen from *value* (`[3].paid_at`).

    Example:
        >>> copied({"sizes": (1, 2)})
        {'sizes': [1, 2]}
        >>> copied({"sizes": [1, {2}]})
        Traceback (most recent call last):
        ...
        chatarmin_os.errors.InvalidInput: sizes[1]: cannot travel as JSON: set {2}
    """
    try:
        return _copied(value, deepest)
    except InvalidInput as refusal:
        raise _located(value) or refusal from None
    except _TooDeep:
        raise InvalidInput(f"is nested deeper than {deepest} levels, or contains itself") from None


def _copied(value: JSON, deepest: int) -> JSON:
    if type(value) is str and value.isascii():  # most of what travels
        return value
    if not isinstance(value, (dict, list, tuple)):
        return _scalar(value)
    if not deepest:
        raise _TooDeep
    deepest -= 1
    if isinstance(value, dict):
        return {
            key if type(key) is str and key.isascii() else _key(key): _copied(inner, deepest)
            for key, inner in value.items()
        }
    return [_copied(inner, deepest) for inner in value]


def _scalar(value: JSON) -> JSON:
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return integer(value)
    if isinstance(value, float):
        return finite(value)
    raise InvalidInput(f"cannot travel as JSON: {described(value)}")


def _located(value: JSON) -> InvalidInput | None:
    """Return the first refusal of something in *value* with its place, None where nothing is refused.

    It walks as `_copied` does, once; only what fails pays for names of places.
    """
    try:
        if not isinstance(value, (dict, list, tuple)):
            _scalar(value)
            return None
        for place, inner in value.items() if isinstance(value, dict) else enumerate(value):
            name = _key(place) if isinstance(value, dict) else f"[{place}]"
            if refusal := _located(inner):
                return refusal.inside(name)
    except InvalidInput as refusal:
        return refusal
    return None


def unshared(value: JSON) -> JSON:
    """Return a copy of JSON that shares no list and no object with *value*; JSON is not looked for in it."""
    if type(value) is dict:
        return {key: unshared(inner) if type(inner) in _NESTED else inner for key, inner in value.items()}
    return [unshared(inner) for inner in value] if type(value) is list else value


def integer(value: int) -> int:
    """Return an integer that JavaScript holds exactly, as a plain int."""
    if abs(value) > LARGEST_INTEGER:
        raise InvalidInput(
            f"an integer beyond ±(2**53 - 1) would be rounded on the way, send it as text; got {described(value)}"
        )
    return int(value)


def finite(value: float) -> float:
    """Return a float that JSON can write, as a plain float."""
    if not math.isfinite(value):
        raise InvalidInput(f"JSON has no such number: {described(value)}")
    return float(value)


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"text with half of a surrogate pair is not Unicode: {described(value)}") from None
    return str.__str__(value)


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise InvalidInput(f"keys are text in JSON, got the key {described(key)}")
    return _text(key)


def instant_text(moment: datetime) -> str:
    """Return an instant as the wire has it: UTC, milliseconds, `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def described(value: object) -> str:
    """Return *value* for a message: its type and a short text of it."""
    if value is None or isinstance(value, bool):
        return repr(value)
    kind, text = type(value).__name__, shortened(value)
    return text if text.startswith(kind) else f"{kind} {text}"


def shortened(value: object, at_most: int = 60) -> str:
    """Return the repr of *value*, cut in the middle to *at_most* characters; never fails."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a message must not fail over a broken or bottomless repr
        return "(its repr fails)"
    if len(text) > at_most:
        half = at_most // 2 - 2
        text = f"{text[:half]}...{text[-half:]}"
    return text
