"""JSON values: what can travel, and copies that share nothing with the original."""

from __future__ import annotations

import math
from contextlib import suppress
from datetime import UTC, datetime
from itertools import chain
from json import JSONDecoder
from typing import TYPE_CHECKING, Any, TypeAlias

from chatarmin_os._messages import printable, shorten_addresses
from chatarmin_os.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

JSON: TypeAlias = Any
"""What `json.loads` gives: dict, list, str, int, float, bool, None; `Any`, so that reading it needs no casts."""

MAX_SAFE_INTEGER = 2**53 - 1
"""JavaScript holds integers up to here exactly; the service would round what lies beyond."""

MAX_DEPTH = 100
"""So deep may lists and objects be nested in an argument: whoever reads what was stored walks through it again."""

FORBIDDEN_KEYS = frozenset({"__proto__", "constructor", "prototype"})
"""Keys that reach into the objects of JavaScript: a service drops them in silence, or fails."""

MAX_PARSED_DEPTH = 1_000
"""Levels of lists and objects in JSON that is read. Python 3.11 itself reads a few less, later versions many more."""

_NESTED = frozenset({dict, list})
_BUILT_IN = frozenset({str, int, float, bool, type(None), dict, list, tuple})
_PROXIES = ("_get_current_object", "_wrapped", "__wrapped__")  # of Werkzeug, of Django, of wrapt and lazy-object-proxy


class _TooDeep(Exception):  # noqa: N818 - never leaves this module
    """Lists and objects are nested deeper than they may be."""


def plain(value: Any) -> Any:
    """Return the object that a lazy object (a proxy) stands for, and anything else as it is.

    A proxy reports the class of its object as its own `__class__`, so that `isinstance` believes it; functions written
    in C, such as `str.isascii` and `json.dumps`, do not.

    Raises:
        InvalidInput: The object behind the proxy cannot be reached.
    """
    kind = type(value)
    if kind in _BUILT_IN or issubclass(kind, value.__class__):
        return value
    for name in _PROXIES:
        inner = getattr(value, name, value)
        if inner is not value:
            return plain(inner() if name == "_get_current_object" else inner)
    raise InvalidInput(f"expected a value, got {describe(value)}, which only poses as a {value.__class__.__name__}")


def to_json(value: JSON, deepest: int = MAX_DEPTH, *, is_stored: bool = True) -> JSON:
    """Return *value* as JSON would bring it to the other side: nothing shared, tuples as lists, at most *deepest* deep.

    Args:
        value: What shall travel.
        deepest: How deep lists and objects may be nested.
        is_stored: Whether the service stores it. Then U+0000, which PostgreSQL cannot store, and the keys that
            JavaScript treats specially (`FORBIDDEN_KEYS`) are refused.

    Raises:
        InvalidInput: Something in it cannot travel; the place is named as seen from *value* (`[3].paid_at`).

    Example:
        >>> to_json({"sizes": (1, 2)})
        {'sizes': [1, 2]}
        >>> to_json({"sizes": [1, {2}]})
        Traceback (most recent call last):
        ...
        chatarmin_os.errors.InvalidInput: sizes[1]: cannot travel as JSON: set {2}
    """
    try:
        return _copied(value, deepest, is_stored)
    except InvalidInput as refusal:
        raise _located(value, is_stored) or refusal from None
    except _TooDeep:
        raise InvalidInput(f"is nested deeper than {deepest} levels, or contains itself") from None


def _copied(value: JSON, deepest: int, is_stored: bool) -> JSON:  # noqa: FBT001 - called for every value
    if type(value) is str and value.isascii() and "\0" not in value:  # most of what travels
        return value
    value = plain(value)
    if not isinstance(value, (dict, list, tuple)):
        return _scalar(value, is_stored=is_stored)
    if not deepest:
        raise _TooDeep
    deepest -= 1
    if isinstance(value, dict):
        return {_key(key, is_stored=is_stored): _copied(inner, deepest, is_stored) for key, inner in value.items()}
    return [_copied(inner, deepest, is_stored) for inner in value]


def _scalar(value: JSON, *, is_stored: bool) -> JSON:
    if isinstance(value, str):
        return unicode_text(value, is_stored=is_stored)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return integer(value)
    if isinstance(value, float):
        return finite(value)
    raise InvalidInput(f"cannot travel as JSON: {describe(value)}")


def _located(value: JSON, is_stored: bool) -> InvalidInput | None:  # noqa: FBT001 - called for every value
    """Return the first refusal of something in *value* with its place, None if nothing is refused.

    It walks as `_copied` does, once; only what fails pays for names of places.
    """
    try:
        value = plain(value)
        if not isinstance(value, (dict, list, tuple)):
            _scalar(value, is_stored=is_stored)
            return None
        for place, inner in value.items() if isinstance(value, dict) else enumerate(value):
            name = _key(place, is_stored=is_stored) if isinstance(value, dict) else f"[{place}]"
            if refusal := _located(inner, is_stored):
                return refusal.at(name)
    except InvalidInput as refusal:
        return refusal
    return None


def is_deeper(value: JSON, levels: int) -> bool:
    """Return whether lists and objects are nested deeper than so many levels."""
    level = [value]
    for _ in range(levels):
        lists = [list(one.values()) if isinstance(one, dict) else one for one in level if isinstance(one, (dict, list))]
        level = list(chain.from_iterable(lists))
    return any(isinstance(one, (dict, list)) for one in level)


def has_many_levels(source: str | bytes, levels: int) -> bool:
    """Return whether JSON text opens so many lists and objects that it may be deeper: cheaper than to look."""
    if isinstance(source, bytes):
        return source.count(b"[") + source.count(b"{") > levels
    return source.count("[") + source.count("{") > levels


def decode(decoder: JSONDecoder, text: str, levels: int = MAX_PARSED_DEPTH) -> JSON:
    """Return the JSON of *text*, at most so many levels deep.

    Raises:
        ValueError: It is no JSON, or nested deeper; which of the two the interpreter refuses depends on its version.
    """
    content, is_too_deep = None, True
    with suppress(RecursionError):
        content = decoder.decode(text)
        is_too_deep = has_many_levels(text, levels) and is_deeper(content, levels)
    if is_too_deep:
        raise ValueError("JSON nested too deep")
    return content


def copy_json(value: JSON) -> JSON:
    """Return a copy of JSON that shares no list and no object with *value*; JSON is not looked for in it."""
    if type(value) is dict:
        return {key: copy_json(inner) if type(inner) in _NESTED else inner for key, inner in value.items()}
    return [copy_json(inner) for inner in value] if type(value) is list else value


def integer(value: int) -> int:
    """Return an integer that JavaScript holds exactly, as a plain int."""
    number = int.__int__(value)  # a subclass may have another idea of itself
    if abs(number) > MAX_SAFE_INTEGER:
        raise InvalidInput(
            f"an integer beyond ±(2**53 - 1) would be rounded on the way, send it as text; got {describe(value)}"
        )
    return number


def finite(value: float) -> float:
    """Return a float that JSON can write, as a plain float."""
    number = float.__float__(value)
    if not math.isfinite(number):
        raise InvalidInput(f"JSON has no such number: {describe(value)}")
    return number


def unicode_text(value: str, *, is_stored: bool = True) -> str:
    """Return text that UTF-8 can write and, if *is_stored*, a database can store, as a plain str."""
    text = str.__str__(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"text with half of a surrogate pair is not Unicode: {describe(value)}") from None
    if is_stored and "\0" in text:
        raise InvalidInput(f"a database cannot store U+0000, remove it; got {describe(value)}")
    return text


def _key(key: object, *, is_stored: bool) -> str:
    key = plain(key)
    if not isinstance(key, str):
        raise InvalidInput(f"keys are text in JSON, got the key {describe(key)}")
    name = unicode_text(key, is_stored=is_stored)
    if is_stored and name in FORBIDDEN_KEYS:
        raise InvalidInput("JavaScript does not keep a key of this name, use another").at(name)
    return name


def timestamp_text(moment: datetime) -> str:
    """Return an instant as the wire has it: UTC, milliseconds, `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def describe(value: object) -> str:
    """Return *value* for a message: its type and a short text of it, without e-mail addresses."""
    if value is None or value is True or value is False:
        return repr(value)
    kind, text = type(value).__name__, short_repr(value, show=private_repr)
    return text if text.startswith(kind) else f"{kind} {text}"


def short_repr(value: object, at_most: int = 60, show: Callable[[object], str] = repr) -> str:
    """Return the repr of *value* on one line, cut in the middle to *at_most* characters; never fails."""
    try:
        text = show(value)
    except Exception:  # noqa: BLE001 - a message must not fail over a broken or bottomless repr
        return "(its repr fails)"
    if len(text) > at_most:
        half = at_most // 2 - 2
        text = f"{text[:half]}...{text[-half:]}"
    return printable(text, at_most)


def private_repr(value: object) -> str:
    """Return the repr of *value* with its e-mail addresses shortened, so that logs and error reports show none.

    Example:
        >>> private_repr({"invited_by": "ann.smith@acme.com"})
        "{'invited_by': 'a...@acme.com'}"
    """
    return shorten_addresses(repr(value))
