"""The client's half of tRPC over HTTP, without I/O: calls become a request, the body of a response becomes envelopes.

The body decides, not the status and not the content type. The facts are those of tRPC 10 and 11, with and without
superjson; this module does not know which of them the service uses.
"""

from __future__ import annotations

import json
import math
import re
from datetime import datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import quote

from chatarmin_os._json import decode, refuse_constant
from chatarmin_os._unset import UNSET
from chatarmin_os.errors import CODES, ApiError
from chatarmin_os.trpc import superjson

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from chatarmin_os._call import Call
    from chatarmin_os._json import JSON

Transformer = Literal["json", "superjson"]

_SAFE = "-_.!~*()"  # besides letters and digits, encodeURIComponent and fetch leave these unchanged
_PUNCTUATION = {letter: quote(letter, safe="") for letter in '%"{}[]:, @/+'}  # the percent sign first
_ENCODED = re.compile(r"[A-Za-z0-9%\-_.!~*()]*")
_MULTI_STATUS = 207

# The one argument that the TypeScript SDK takes as a Date; all others are text there. It matters to superjson alone,
# which writes the two differently.
_DATES = {"features.setAccess": ("validUntil",)}


class WireRequest(NamedTuple):
    """A request to send; the target is appended to the base URL."""

    method: Literal["GET", "POST"]
    target: str
    body: bytes | None


def make_request(calls: Sequence[Call], transformer: Transformer, paths: Mapping[str, str]) -> WireRequest:
    """Return the request that carries *calls*, all of one kind; several calls make a batch.

    Example:
        >>> from chatarmin_os.transports import Call
        >>> make_request([Call("tiers.get", "query", {"tierCode": "free"})], "json", {})
        WireRequest(method='GET', target='/tiers.get?input=%7B%22tierCode%22%3A%22free%22%7D', body=None)
        >>> make_request([Call("links.reset", "mutation", {})], "superjson", {})
        WireRequest(method='POST', target='/links.reset', body=b'{"json":{}}')
    """
    is_mutation, is_batch = calls[0].kind == "mutation", len(calls) > 1
    target = "/" + ",".join([_quote_path(paths.get(call.path, call.path)) for call in calls])
    inputs = [_encode_input(call, transformer) for call in calls]
    content = {index: value for index, value in enumerate(inputs) if value is not UNSET} if is_batch else inputs[0]
    if is_mutation:
        return WireRequest("POST", f"{target}?batch=1" if is_batch else target, _encoder.encode(content).encode())
    if content is UNSET:
        return WireRequest("GET", target, None)
    query = f"{'batch=1&' if is_batch else ''}input={_percent_encode(_encoder.encode(content))}"
    return WireRequest("GET", f"{target}?{query}", None)


@lru_cache(256)
def _quote_path(path: str) -> str:
    return quote(path, safe="")


def _percent_encode(text: str) -> str:
    """Return the same as `quote`, faster: `quote` reads each of the thousands of characters of a batch in Python."""
    encoded = text
    for letter, code in _PUNCTUATION.items():
        encoded = encoded.replace(letter, code)
    return encoded if _ENCODED.fullmatch(encoded) else quote(text, safe=_SAFE)


_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _encode_input(call: Call, transformer: Transformer) -> Any:
    """Return the input of a call as the service reads it, UNSET if the request omits it."""
    # Many servers refuse an empty body even if an input is optional; they take an empty object.
    content = {} if call.input is None and call.kind == "mutation" else call.input
    if transformer == "json":
        return UNSET if content is None else content
    if content is None:
        return {"json": None, "meta": {"values": ["undefined"], "v": 1}}
    names = _DATES.get(call.path, ()) if isinstance(content, dict) else ()
    dates = {name: moment for name in names if (moment := _parse_timestamp(content.get(name)))}
    return superjson.encode({**content, **dates} if dates else content)


def _parse_timestamp(text: JSON) -> datetime | None:
    """Return the instant of a text; None if it is invalid: the service will then refuse it and name the field."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else None


def parse(body: bytes) -> JSON:
    """Return the JSON of a body, with U+FFFD for half a surrogate pair in any text or key.

    JavaScript cuts texts between the halves of an emoji and sends them on, as escapes. No other program takes them.

    Raises:
        ValueError: The body is not UTF-8 or not JSON, has a number that is not finite, or is nested too deep.
    """
    content = decode(_decoder, body.decode("utf-8-sig"))
    if not _SURROGATE.search(body):
        return content
    return map_text(content, partial(_HALF.sub, "\ufffd"))  # the parser has joined the halves that are pairs


_SURROGATE, _HALF = re.compile(rb"\\u[dD][89a-fA-F]"), re.compile("[\ud800-\udfff]")


def map_text(content: JSON, convert: Callable[[str], str]) -> JSON:
    """Return JSON whose keys and texts are converted, however deep; lists and objects are changed in place.

    Example:
        >>> map_text({"a": ["b", 1]}, str.upper)
        {'A': ['B', 1]}
    """
    root = [content]
    waiting: list[JSON] = [root]
    while waiting:
        holder = waiting.pop()
        for place, part in list(holder.items() if isinstance(holder, dict) else enumerate(holder)):
            if isinstance(part, (dict, list)):
                waiting.append(part)
            elif isinstance(part, str):
                holder[place] = convert(part)
            if isinstance(place, str) and (key := convert(place)) != place:
                holder[key] = holder.pop(place)
    return root[0]


def _parse_finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"a number that is too large: {text[:20]}")
    return number


_decoder = json.JSONDecoder(parse_float=_parse_finite, parse_constant=refuse_constant)


class Envelope(NamedTuple):
    """The response to one call."""

    error: dict[str, Any] | None
    data: JSON
    transformer: Transformer | None
    """The transformer of the service, if the envelope shows it."""


def parse_envelope(item: JSON, repeats: superjson.Repeats | None = None) -> Envelope | None:
    """Return the envelope of *item*, None if it is not one of tRPC; an error has precedence over a result.

    Example:
        >>> parse_envelope({"result": {"data": {"json": 1}}})
        Envelope(error=None, data=1, transformer='superjson')
        >>> parse_envelope({"result": {}}), parse_envelope({"message": "Forbidden"})
        (Envelope(error=None, data=None, transformer=None), None)

    Raises:
        ValueError: The repeated values of superjson are too large.
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
        is_plain = has_names or _number(content.get("code")) in _BY_NUMBER
        return Envelope(content, None, "superjson" if wrapped else "json" if is_plain else None)
    if not isinstance(result, dict):
        return None
    if "data" not in result:
        return Envelope(None, None, None)  # undefined, without a transformer
    data = result["data"]
    if isinstance(data, dict) and "json" in data and data.keys() <= {"json", "meta"}:
        return Envelope(None, superjson.decode(data, repeats), "superjson")
    return Envelope(None, data, "json")


def to_error(error: Mapping[str, Any], *, status: int, path: str, request_id: str | None) -> ApiError:
    """Return the exception for the *error* of an envelope, of the call to *path*."""
    data = error.get("data")
    details = {**data} if isinstance(data, dict) else {}  # a copy: one envelope may refuse several calls
    _drop_stacks(details)
    own_status = details.get("httpStatus")
    http_status = own_status if type(own_status) is int else None if status == _MULTI_STATUS else status
    code, message = details.get("code"), error.get("message")
    if not isinstance(code, str) or not code:
        code = _BY_STATUS.get(http_status or 0) or _BY_NUMBER.get(_number(error.get("code"))) or "UNKNOWN"
    if not isinstance(message, str) or not message:
        message = code
    return ApiError.from_code(
        code,
        message,
        http_status=http_status,
        path=path,
        data=details or None,
        request_id=request_id,
    )


def _drop_stacks(data: dict[str, Any]) -> None:
    """Drop the stacks of an error's data and of its causes, in place: they show a service's code and its messages."""
    waiting: list[JSON] = [data]
    while waiting:
        holder = waiting.pop()
        if isinstance(holder, dict):
            holder.pop("stack", None)
        inside = holder.values() if isinstance(holder, dict) else holder
        waiting += [part for part in inside if isinstance(part, (dict, list))]


def _number(value: JSON) -> int:
    return value if type(value) is int else 0


# If several codes share a status or a number, the dictionaries keep the last in this order.
_RANKED = sorted(CODES.items(), key=lambda item: item[0] in {"BAD_REQUEST", "INTERNAL_SERVER_ERROR"})
_BY_STATUS = {code.http_status: name for name, code in _RANKED}
_BY_NUMBER = {code.number: name for name, code in _RANKED}
