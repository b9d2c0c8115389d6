"""JSON values: checks of arguments, limits, copies, and values in messages."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from datetime import UTC, date, datetime, time
from itertools import chain
from json import JSONDecoder
from typing import TYPE_CHECKING, Any, TypeAlias

from chatarmin_os._messages import printable, shorten_addresses
from chatarmin_os.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

JSON: TypeAlias = Any
"""A result of `json.loads`: dict, list, str, int, float, bool or None; `Any`, so that reading it needs no casts."""

MAX_SAFE_INTEGER = 2**53 - 1
"""The largest integer that JavaScript holds exactly; the service would round larger ones."""

MAX_DEPTH = 100
"""Levels of lists and objects in an argument: each reader of the stored value walks through them again."""

FORBIDDEN_KEYS = frozenset({"__proto__", "constructor", "prototype"})
"""Keys with a meaning in JavaScript objects: a service drops them silently, or fails."""

MAX_PARSED_DEPTH = 1_000
"""Levels of lists and objects in parsed JSON. Python 3.11 itself parses a few less, later versions many more."""

_NESTED = frozenset({dict, list})
_BUILT_IN = frozenset({str, int, float, bool, type(None), dict, list, tuple})
_PROXIES = ("_get_current_object", "_wrapped", "__wrapped__")  # of Werkzeug, of Django, of wrapt and lazy-object-proxy


class _TooDeep(Exception):  # noqa: N818 - never leaves this module
    """Lists and objects are nested too deep."""


def plain(value: Any) -> Any:
    """Return the object behind a lazy object (a proxy); any other object unchanged.

    A proxy has the `__class__` of its object, which satisfies `isinstance`; functions written in C, such as
    `str.isascii` and `json.dumps`, still fail on it.

    Raises:
        InvalidInput: The object behind the proxy is not accessible.
    """
    kind = type(value)
    if kind in _BUILT_IN or issubclass(kind, value.__class__):
        return value
    for name in _PROXIES:
        inner = getattr(value, name, value)
        if inner is not value:
            return plain(inner() if name == "_get_current_object" else inner)
    raise InvalidInput(f"expected a value, got {describe(value)}, which only claims to be a {value.__class__.__name__}")


def to_json(value: JSON, max_depth: int = MAX_DEPTH, *, is_stored: bool = True) -> JSON:
    """Return *value* as the receiver of its JSON reads it: a copy that shares nothing, with tuples as lists.

    Args:
        value: The value to copy.
        max_depth: The number of levels of nested lists and objects that it may have.
        is_stored: Whether the service stores it. Then U+0000, which PostgreSQL does not store, and the keys that
            JavaScript treats specially (`FORBIDDEN_KEYS`) are errors.

    Raises:
        InvalidInput: A part is not JSON-serializable; its place is named as seen from *value* (`[3].paid_at`).

    Example:
        >>> to_json({"sizes": (1, 2)})
        {'sizes': [1, 2]}
        >>> to_json({"sizes": [1, {2}]})
        Traceback (most recent call last):
        ...
        chatarmin_os.errors.InvalidInput: sizes[1]: is not JSON-serializable, got set {2}
    """
    try:
        return _to_json(value, max_depth, is_stored)
    except InvalidInput as error:
        raise _locate(value, is_stored) or error from None
    except _TooDeep:
        raise InvalidInput(f"must not be nested deeper than {max_depth} levels, or contain itself") from None


def _to_json(value: JSON, max_depth: int, is_stored: bool) -> JSON:  # noqa: FBT001 - called for every value
    if type(value) is str and value.isascii() and "\0" not in value:  # the most frequent case
        return value
    value = plain(value)
    if not isinstance(value, (dict, list, tuple)):
        return _scalar(value, is_stored=is_stored)
    if not max_depth:
        raise _TooDeep
    max_depth -= 1
    if isinstance(value, dict):
        return {_key(key, is_stored): _to_json(inner, max_depth, is_stored) for key, inner in value.items()}
    return [_to_json(inner, max_depth, is_stored) for inner in value]


def _scalar(value: JSON, *, is_stored: bool) -> JSON:
    if isinstance(value, str):
        return unicode_text(value, is_stored=is_stored)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return integer(value)
    if isinstance(value, float):
        return finite(value)
    hint = "pass .isoformat()" if isinstance(value, (date, time)) else None
    raise InvalidInput(f"is not JSON-serializable, got {describe(value)}", hint)


def _locate(value: JSON, is_stored: bool) -> InvalidInput | None:  # noqa: FBT001 - called for every value
    """Return the first error in *value* with its place; None if it has no error.

    It walks as `_to_json` does, once more: only invalid values pay for the names of places.
    """
    try:
        value = plain(value)
        if not isinstance(value, (dict, list, tuple)):
            _scalar(value, is_stored=is_stored)
            return None
        for place, inner in value.items() if isinstance(value, dict) else enumerate(value):
            name = _key(place, is_stored) if isinstance(value, dict) else f"[{place}]"
            if error := _locate(inner, is_stored):
                return error.at(name)
    except InvalidInput as error:
        return error
    return None


def is_deeper(value: JSON, levels: int) -> bool:
    """Return whether lists and objects are nested deeper than *levels*."""
    level = [value]
    for _ in range(levels):
        lists = [list(one.values()) if isinstance(one, dict) else one for one in level if isinstance(one, (dict, list))]
        level = list(chain.from_iterable(lists))
    return any(isinstance(one, (dict, list)) for one in level)


def has_many_levels(source: str | bytes, levels: int) -> bool:
    """Return whether JSON text opens enough lists and objects to be deeper than *levels*: cheaper than walking it."""
    if isinstance(source, bytes):
        return source.count(b"[") + source.count(b"{") > levels
    return source.count("[") + source.count("{") > levels


def decode(decoder: JSONDecoder, text: str, levels: int = MAX_PARSED_DEPTH) -> JSON:
    """Return the parsed JSON of *text*, at most *levels* deep.

    Raises:
        ValueError: *text* is not JSON, or is nested deeper on every version of Python.
    """
    content, is_too_deep = None, True
    with suppress(RecursionError):
        content = decoder.decode(text)
        is_too_deep = has_many_levels(text, levels) and is_deeper(content, levels)
    if is_too_deep:
        raise ValueError("JSON nested too deep")
    return content


def refuse_constant(name: str) -> float:
    """Refuse `NaN` and infinities, which are not JSON; for `JSONDecoder(parse_constant=...)`."""
    raise ValueError(f"{name} is not JSON")


def copy_json(value: JSON) -> JSON:
    """Return a copy of JSON that shares no list and no object with *value*, which is not checked."""
    if type(value) is dict:
        copy = value.copy()
        for key, inner in value.items():
            if type(inner) in _NESTED:
                copy[key] = copy_json(inner)
        return copy
    return [copy_json(inner) for inner in value] if type(value) is list else value


def integer(value: int) -> int:
    """Return an integer that JavaScript holds exactly, as a plain int."""
    number = int.__int__(value)  # a subclass may override the conversion
    if abs(number) > MAX_SAFE_INTEGER:
        raise InvalidInput(
            f"expected an integer within ±(2**53 - 1), got {describe(value)}",
            "a larger one would be rounded; send it as text",
        )
    return number


def finite(value: float) -> float:
    """Return a finite float, as JSON requires it, as a plain float."""
    number = float.__float__(value)
    if not math.isfinite(number):
        raise InvalidInput(f"expected a finite number, got {describe(value)}")
    return number


def unicode_text(value: str, *, is_stored: bool = True) -> str:
    """Return text that UTF-8 can encode and, if *is_stored*, a database can store, as a plain str."""
    if type(value) is str and value.isascii() and "\0" not in value:  # the most frequent case
        return value
    text = str.__str__(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"must not contain half of a surrogate pair, got {describe(value)}") from None
    if is_stored and "\0" in text:
        raise InvalidInput(f"must not contain U+0000, got {describe(value)}", "a database does not store it; remove it")
    return text


def _key(key: object, is_stored: bool) -> str:  # noqa: FBT001 - called for every key
    if type(key) is str and key.isascii() and "\0" not in key and key not in FORBIDDEN_KEYS:  # the most frequent case
        return key
    key = plain(key)
    if not isinstance(key, str):
        raise InvalidInput(f"keys must be text, got {describe(key)}")
    name = unicode_text(key, is_stored=is_stored)
    if is_stored and name in FORBIDDEN_KEYS:
        raise InvalidInput("JavaScript does not keep a key of this name", "use another").at(name)
    return name


def timestamp_text(moment: datetime) -> str:
    """Return an instant as text on the wire: UTC, milliseconds, `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def describe(value: object) -> str:
    """Return *value* for a message: its type and a short repr, with e-mail addresses shortened."""
    if value is None or value is True or value is False:
        return repr(value)
    kind, text = type(value).__name__, short_repr(value, show=private_repr)
    return text if text.startswith(kind) else f"{kind} {text}"


def short_repr(value: object, max_length: int = 60, show: Callable[[object], str] = repr) -> str:
    """Return the repr of *value* on one line, cut in the middle to *max_length* characters; never fails."""
    try:
        text = show(value)
    except Exception:  # noqa: BLE001 - a message must not fail because of a broken or endless repr
        return "(its repr fails)"
    if len(text) > max_length:
        half = max_length // 2 - 2
        text = f"{text[:half]}...{text[-half:]}"
    return printable(text, max_length)


def short_json(value: JSON, max_length: int) -> str:
    """Return *value* as JSON on one line, cut at its end to *max_length* characters.

    Example:
        >>> short_json({"name": "Gärtner"}, 40), short_json("x" * 20, 10)
        ('{"name": "Gärtner"}', '"xxxxxx...')
    """
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= max_length else f"{text[: max_length - 3]}..."


def private_repr(value: object) -> str:
    """Return the repr of *value* with its e-mail addresses shortened, so that logs and error reports show none.

    Example:
        >>> private_repr({"invited_by": "ann.smith@acme.com"})
        "{'invited_by': 'a...@acme.com'}"
    """
    return shorten_addresses(repr(value))


def document_of(model: Any) -> Any:
    """Return a model as JSON: Python names, timestamps as text, `extra` only if the service sent unknown fields."""
    import attrs  # for command lines only

    if attrs.has(type(model)):
        fields = {field.name: getattr(model, field.name) for field in attrs.fields(type(model))}
        return {name: document_of(value) for name, value in fields.items() if name != "extra" or value}
    if isinstance(model, (list, tuple)):
        return [document_of(item) for item in model]
    return model.isoformat() if isinstance(model, datetime) else model
