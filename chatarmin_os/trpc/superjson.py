r"""superjson: JSON, with the paths of the values that JSON cannot express.

`{"json": {"at": "2025-01-02T03:04:05.678Z"}, "meta": {"values": {"at": ["Date"]}, "v": 1}}`

The tree under `values` has dot-joined paths; a node is a list of its type and its inner nodes, or an object of
its inner nodes. With `v` a `\` of a key is written `\\` and a `.` is `\.`; without it only `\.` is an escape.
"""

from __future__ import annotations

import json
import math
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from chatarmin_os._json import MAX_SAFE_INTEGER, timestamp_text
from chatarmin_os._unset import UNSET
from chatarmin_os.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chatarmin_os._json import JSON

MAX_RESPONSE_BYTES = 64 * 2**20
"""The maximum size of a response, after decompression."""

_NUMBERS: dict[str, JSON] = {"Infinity": None, "-0": 0}
_POISONOUS = frozenset({"__proto__", "constructor", "prototype"})
_ESCAPED = {True: re.compile(r"\\(.)|([^\\])", re.DOTALL), False: re.compile(r"\\(\.)|(.)", re.DOTALL)}


def encode(value: Any) -> JSON:
    """Return the envelope of *value*: JSON, or with instants, `UNSET`, large integers, sets, maps, infinities in it.

    Raises:
        InvalidInput: The path of one of these has a key that JavaScript must not see.

    Example:
        >>> from datetime import UTC, datetime
        >>> encode({"at": datetime(2025, 1, 2, tzinfo=UTC)})
        {'json': {'at': '2025-01-02T00:00:00.000Z'}, 'meta': {'values': {'at': ['Date']}, 'v': 1}}
        >>> encode({"a": 1})
        {'json': {'a': 1}}
    """
    plain, node = _encode(value)
    return {"json": plain} if node is None else {"json": plain, "meta": {"values": node, "v": 1}}


def _encode(value: Any) -> tuple[JSON, Any]:  # noqa: PLR0911 - one return per kind of value
    """Return the JSON of a value, and its node in the tree; None if it needs no node."""
    if value is UNSET:
        return None, ["undefined"]
    if isinstance(value, datetime):
        return timestamp_text(value), ["Date"]
    if isinstance(value, int) and abs(value) > MAX_SAFE_INTEGER:
        return str(value), ["bigint"]
    if isinstance(value, float) and not math.isfinite(value):
        return ("NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"), ["number"]
    if isinstance(value, (set, frozenset)):
        return _encode_container("set", list(enumerate(value)), list)
    if isinstance(value, dict):
        if all(isinstance(key, str) for key in value):
            return _encode_container(None, list(value.items()), lambda parts: dict(zip(value, parts, strict=True)))
        return _encode_container("map", list(enumerate(map(list, value.items()))), list)
    if isinstance(value, (list, tuple)):
        return _encode_container(None, list(enumerate(value)), list)
    return value, None


def _encode_container(
    kind: str | None, items: list[tuple[Any, Any]], make: Callable[[list[JSON]], JSON]
) -> tuple[JSON, Any]:
    """Return the JSON of a container of *items*, and a node with theirs."""
    parts, inside = [], {}
    for key, item in items:
        part, node = _encode(item)
        parts.append(part)
        if isinstance(node, dict):
            inside.update({f"{_escape(key)}.{path}": below for path, below in node.items()})
        elif node is not None:
            inside[_escape(key)] = node
    return make(parts), (([kind, inside] if inside else [kind]) if kind else inside or None)


def _escape(key: str | int) -> str:
    if key in _POISONOUS:
        raise InvalidInput(f"must not have the key {key!r} here, which JavaScript does not keep").at("input")
    return str(key).replace("\\", "\\\\").replace(".", "\\.")


class Repeats:
    """A bound for the values that one body repeats by reference, in all its envelopes together.

    Each repeat may hold others, so a short body could grow to any size. The bound allows a listing that repeats one
    object in each of its rows.
    """

    def __init__(self, size: int) -> None:
        """Allow repeats in proportion to a body of *size* characters."""
        self._left = min(64 * size, 4 * 2**20 + 2 * size)

    def take(self, size: int) -> None:
        """Count a repeat of *size* characters.

        Raises:
            ValueError: The repeats have grown too large.
        """
        self._left -= size
        if self._left < 0:
            raise ValueError("its repeated values are too large")


def decode(envelope: JSON, repeats: Repeats | None = None) -> JSON:
    """Return the value of an envelope as JSON: sets as lists, maps with text keys as objects, without undefined values.

    Instants stay text, and so do values without a counterpart in JSON, such as a regular expression or NaN. Unknown
    types stay unchanged, and a path that leads nowhere is ignored.

    Args:
        envelope: An object with `json`, and maybe `meta`.
        repeats: The bound for the repeats in the whole body; default: in proportion to this envelope.

    Raises:
        ValueError: The repeats are larger.

    Example:
        >>> decode({"json": {"n": "9007199254740993", "gone": None}, "meta": {"values": {"n": ["bigint"],
        ...     "gone": ["undefined"]}}})
        {'n': 9007199254740993}
    """
    holder = {"": envelope.get("json")}  # the value itself may be replaced or removed too
    meta = envelope.get("meta")
    if isinstance(meta, dict):
        has_version = bool(meta.get("v"))
        _apply(meta.get("values"), holder, "", has_version=has_version)
        if equalities := meta.get("referentialEqualities"):
            _share(equalities, holder, repeats or Repeats(len(json.dumps(envelope))), has_version=has_version)
    return holder.get("")


def _apply(node: JSON, holder: Any, key: Any, *, has_version: bool) -> None:
    """Convert the value at *key* of *holder* according to *node*: first its inner values, then the value itself."""
    kind, inside = (node[0], node[1:]) if isinstance(node, list) and node else (None, [node])
    for below in inside:
        for path, deeper in below.items() if isinstance(below, dict) else ():
            place = _follow(holder, key, path, has_version=has_version)
            if place:
                _apply(deeper, *place, has_version=has_version)
    if isinstance(kind, str) and kind in _CONVERSIONS:
        _CONVERSIONS[kind](holder, key)


def _follow(holder: Any, key: Any, path: str, *, has_version: bool) -> tuple[Any, Any] | None:
    """Return the object and the key that a path leads to, None if it leads nowhere."""
    for step in _steps(path, has_version=has_version):
        if isinstance(holder, dict) and key not in holder:
            return None  # it was undefined
        holder = holder[key]
        if isinstance(holder, list):
            key = int(step) if re.fullmatch("[0-9]{1,9}", step) and int(step) < len(holder) else None
        else:
            key = step if isinstance(holder, dict) and step in holder else None
        if key is None:
            return None
    return holder, key


def _steps(path: str, *, has_version: bool) -> Iterator[str]:
    """Yield the keys of a path."""
    step = ""
    for match in _ESCAPED[has_version].finditer(path):
        escaped, letter = match.groups()
        if letter == ".":
            yield step
            step = ""
        else:
            step += escaped or letter
    yield step


def _undefined(holder: Any, key: Any) -> None:
    if isinstance(holder, dict):
        del holder[key]  # in a list null keeps the place, as JSON.stringify does


def _bigint(holder: Any, key: Any) -> None:
    text = holder[key]
    if isinstance(text, str) and re.fullmatch(r"-?[0-9]{1,4000}", text):
        holder[key] = int(text)


def _number(holder: Any, key: Any) -> None:
    """Read infinity as no limit. NaN and minus infinity stay text, which no field for a number or an instant accepts.

    As None they would mean unlimited, or no expiry.
    """
    if isinstance(holder[key], str):
        holder[key] = _NUMBERS.get(holder[key], holder[key])


def _map(holder: Any, key: Any) -> None:
    rows = holder[key]
    pair = 2
    if isinstance(rows, list) and all(isinstance(row, list) and len(row) == pair for row in rows):
        names = [name for name, _ in rows]
        if all(isinstance(name, str) for name in names):
            holder[key] = dict(rows)


_CONVERSIONS: dict[str, Callable[[Any, Any], None]] = {
    "undefined": _undefined,
    "bigint": _bigint,
    "number": _number,
    "map": _map,
}


def _share(equalities: JSON, holder: dict[str, Any], repeats: Repeats, *, has_version: bool) -> None:
    """Restore the values that a server replaced by null because the body has them elsewhere; a cycle stays cut."""
    for original, place in _equal_places(equalities, holder, has_version=has_version):
        if place[0][place[1]] is None:
            text = json.dumps(original[0][original[1]])
            repeats.take(len(text))
            place[0][place[1]] = json.loads(text)


def _equal_places(
    equalities: JSON, holder: dict[str, Any], *, has_version: bool
) -> Iterator[tuple[tuple[Any, Any], tuple[Any, Any]]]:
    """Yield the place of each original with the place of each of its repeats."""
    for table in equalities if isinstance(equalities, list) else [equalities]:
        for source, copies in table.items() if isinstance(table, dict) else ():
            original = _follow(holder, "", source, has_version=has_version)
            for path in copies if original and isinstance(copies, list) else ():
                place = _follow(holder, "", path, has_version=has_version) if isinstance(path, str) else None
                if original and place:
                    yield original, place
