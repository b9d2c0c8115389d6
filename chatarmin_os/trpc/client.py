"""tRPC over HTTP without I/O: calls to the parts of a request, the body of an answer to what it says of each call.

The body decides, not the status and not the content type. Facts about the wire are those of tRPC 10 and 11, with and
without superjson; which of them the service speaks is not known here.
"""

from __future__ import annotations

import json
import math
import re
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import quote

from chatarmin_os._json import decode
from chatarmin_os._unset import UNSET
from chatarmin_os.errors import CODES, ApiError
from chatarmin_os.trpc import superjson

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chatarmin_os._call import Call
    from chatarmin_os._json import JSON

Transformer = Literal["json", "superjson"]

_SAFE = "-_.!~*()"  # what encodeURIComponent and fetch leave as they are, beside letters and digits
_PUNCTUATION = {letter: quote(letter, safe="") for letter in '%"{}[]:, @/+'}  # the percent sign first
_ENCODED = re.compile(r"[A-Za-z0-9%\-_.!~*()]*")
_MULTI_STATUS = 207

# An argument that the TypeScript SDK takes as a Date; all others are text there. It matters to superjson alone, which
# tells the two apart.
_DATES = {"features.setAccess": ("validUntil",)}


class Message(NamedTuple):
    """A request to send: the target is appended to the base URL."""

    method: Literal["GET", "POST"]
    target: str
    body: bytes | None


def message(calls: Sequence[Call], transformer: Transformer, paths: Mapping[str, str]) -> Message:
    """Return the request that carries *calls*, all of one kind; several of them as a batch.

    Example:
        >>> from chatarmin_os.transports import Call
        >>> message([Call("tiers.get", "query", {"tierCode": "free"})], "json", {})
        Message(method='GET', target='/tiers.get?input=%7B%22tierCode%22%3A%22free%22%7D', body=None)
        >>> message([Call("links.reset", "mutation", {})], "superjson", {})
        Message(method='POST', target='/links.reset', body=b'{"json":{}}')
    """
    is_mutation, is_batch = calls[0].kind == "mutation", len(calls) > 1
    target = "/" + ",".join([_quoted(paths.get(call.path, call.path)) for call in calls])
    inputs = [_encoded(call, transformer) for call in calls]
    content = {index: given for index, given in enumerate(inputs) if given is not UNSET} if is_batch else inputs[0]
    if is_mutation:
        return Message("POST", f"{target}?batch=1" if is_batch else target, _text(content).encode())
    if content is UNSET:
        return Message("GET", target, None)
    return Message("GET", f"{target}?{'batch=1&' if is_batch else ''}input={_percent_encoded(_text(content))}", None)


def _text(content: JSON) -> str:
    return _encoder.encode(content)


@lru_cache(256)
def _quoted(path: str) -> str:
    return quote(path, safe="")


def _percent_encoded(text: str) -> str:
    """Return what `quote` returns; a batch is thousands of characters, and `quote` looks at each in Python."""
    encoded = text
    for letter, code in _PUNCTUATION.items():
        encoded = encoded.replace(letter, code)
    return encoded if _ENCODED.fullmatch(encoded) else quote(text, safe=_SAFE)


_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _encoded(call: Call, transformer: Transformer) -> Any:
    """Return the input of a call as the service reads it, UNSET if it is left out."""
    # Many servers refuse an empty body even if an input is optional; they take an empty object.
    given = {} if call.input is None and call.kind == "mutation" else call.input
    if transformer == "json":
        return UNSET if given is None else given
    if given is None:
        return {"json": None, "meta": {"values": ["undefined"], "v": 1}}
    names = _DATES.get(call.path, ()) if isinstance(given, dict) else ()
    dates = {name: moment for name in names if (moment := _moment(given.get(name)))}
    return superjson.encode({**given, **dates} if dates else given)


def _moment(text: JSON) -> datetime | None:
    """Return the instant that a text says; where it says none, the service will refuse it by name."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else None


def parsed(body: bytes) -> JSON:
    """Return the JSON of a body, with U+FFFD for half a surrogate pair in any text or key.

    JavaScript cuts texts between the halves of an emoji and sends them on, as escapes. No other program takes them.

    Raises:
        ValueError: It is none: not UTF-8, a number that is not finite or endless, nested without end.
    """
    content = decode(_decoder, body.decode("utf-8-sig"))
    return _well_formed(content) if _SURROGATE.search(body) else content


_SURROGATE, _HALF = re.compile(rb"\\u[dD][89a-fA-F]"), re.compile("[\ud800-\udfff]")


def _well_formed(content: JSON) -> JSON:
    """Replace what is left of halves: the parser has joined those that are pairs."""
    root = [content]
    waiting: list[JSON] = [root]
    while waiting:
        holder = waiting.pop()
        for place, part in list(holder.items() if isinstance(holder, dict) else enumerate(holder)):
            if isinstance(part, (dict, list)):
                waiting.append(part)
            elif isinstance(part, str):
                holder[place] = _HALF.sub("\ufffd", part)
            if isinstance(place, str) and _HALF.search(place):
                holder[_HALF.sub("\ufffd", place)] = holder.pop(place)
    return root[0]


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"a number beyond all bounds: {text[:20]}")
    return number


def _constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


_decoder = json.JSONDecoder(parse_float=_finite, parse_constant=_constant)


class Envelope(NamedTuple):
    """What an answer says of one call."""

    error: dict[str, Any] | None
    data: JSON
    transformer: Transformer | None
    """That of the service, where the answer tells it."""


def envelope(item: JSON, repeats: superjson.Repeats | None = None) -> Envelope | None:
    """Return what *item* says, None where it is no answer of tRPC; an error counts more than a result beside it.

    Example:
        >>> envelope({"result": {"data": {"json": 1}}})
        Envelope(error=None, data=1, transformer='superjson')
        >>> envelope({"result": {}}), envelope({"message": "Forbidden"})
        (Envelope(error=None, data=None, transformer=None), None)

    Raises:
        ValueError: An envelope of superjson that would never end.
    """
    error, result = (item.get("error"), item.get("result")) if isinstance(item, dict) else (None, None)
    if error is not None:
        wrapped = isinstance(error, dict) and isinstance(error.get("json"), dict)
        content = superjson.decode(error, repeats) if wrapped else error
        if not isinstance(content, dict) or content.keys().isdisjoint({"message", "code", "data"}):
            return None
        # A gateway's own error may look like one of tRPC, but not down to these.
        data = content.get("data")
        has_names = isinstance(data, dict) and type(data.get("code")) is str and type(data.get("httpStatus")) is int
        is_plain = has_names or _hashable(content.get("code")) in _BY_NUMBER
        return Envelope(content, None, "superjson" if wrapped else "json" if is_plain else None)
    if not isinstance(result, dict):
        return None
    if "data" not in result:
        return Envelope(None, None, None)  # undefined, without a transformer
    data = result["data"]
    if isinstance(data, dict) and {"json"} <= data.keys() <= {"json", "meta"}:
        return Envelope(None, superjson.decode(data, repeats), "superjson")
    return Envelope(None, data, "json")


def refusal(error: Mapping[str, Any], *, status: int, path: str, request_id: str | None) -> ApiError:
    """Return the error that an envelope's *error* is, of the call to *path*."""
    data = error.get("data")
    told = {**data} if isinstance(data, dict) else {}  # of its own: one answer may refuse several calls
    _drop_stacks(told)
    own = told.get("httpStatus")
    http_status = own if type(own) is int else None if status == _MULTI_STATUS else status
    code, message = told.get("code"), error.get("message")
    if not isinstance(code, str) or not code:
        code = _BY_STATUS.get(http_status or 0) or _BY_NUMBER.get(_hashable(error.get("code"))) or "UNKNOWN"
    if not isinstance(message, str) or not message:
        message = code
    return ApiError.from_code(
        code,
        message,
        http_status=http_status,
        path=path,
        data=told or None,
        request_id=request_id,
    )


def _drop_stacks(data: dict[str, Any]) -> None:
    """Drop the stacks of an error's data and of the causes inside it: they show a service's code, and its messages."""
    waiting: list[JSON] = [data]
    while waiting:
        holder = waiting.pop()
        if isinstance(holder, dict):
            holder.pop("stack", None)
        inside = holder.values() if isinstance(holder, dict) else holder
        waiting += [part for part in inside if isinstance(part, (dict, list))]


def _hashable(value: JSON) -> int:
    return value if type(value) is int else 0


# Of several codes with one status or number the last in this order counts.
_RANKED = sorted(CODES.items(), key=lambda item: item[0] in {"BAD_REQUEST", "INTERNAL_SERVER_ERROR"})
_BY_STATUS = {code.http_status: name for name, code in _RANKED}
_BY_NUMBER = {code.number: name for name, code in _RANKED}
