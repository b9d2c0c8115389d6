"""A line of a recording: a call with its outcome, as text and back."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from chatarmin_os._json import JSON, describe, has_many_levels, is_deeper
from chatarmin_os.errors import (
    ApiError,
    ChatarminError,
    ConnectionFailed,
    InvalidResponse,
    TimedOut,
    TransportError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_DEPTH = 800
"""Levels of lists and objects in a line: every supported Python reads them."""

_MAX_DIGITS = 308  # of an integer that a double, and so JavaScript, can hold
_STATUSES = range(100, 1000)
_ATTEMPTS = range(1_000_001)
_LONG_NUMBER = re.compile(rb"[0-9]{%d}" % _MAX_DIGITS)
_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, allow_nan=False)

_FAILURES: dict[str, type[TransportError]] = {
    kind.__name__: kind for kind in (ConnectionFailed, TimedOut, InvalidResponse, TransportError)
}


class RecordedCall(NamedTuple):
    """A call and its outcome.

    Attributes:
        outcome: Has one key: `answer`, `error` or `failure`.
        is_prologue: Whether the recorder sent the call, and not the program that was recorded.
        line: Its line in the file; 0 if it was not read from one.
    """

    path: str
    kind: str
    input: JSON
    outcome: dict[str, Any]
    is_prologue: bool = False
    line: int = 0


def encode(content: dict[str, Any] | RecordedCall) -> bytes:
    """Return a line of the file: its first one, or a call.

    Raises:
        ValueError: The line would be invalid.
        RecursionError: It is nested too deep.
    """
    if not isinstance(content, RecordedCall):
        return _encode(content)
    [(kind, result)] = content.outcome.items()
    if problem := _problem(content.path, content.kind, kind, result):
        raise ValueError(problem)
    call = {"path": content.path, "kind": content.kind, "input": content.input, kind: result}
    encoded = _encode({"prologue": call} if content.is_prologue else call)
    if has_many_levels(encoded, MAX_DEPTH) or _LONG_NUMBER.search(encoded):
        decode(encoded)
    return encoded


def _encode(content: dict[str, Any]) -> bytes:
    try:
        return f"{_ENCODER.encode(content)}\n".encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can only escape
        return f"{json.dumps(content, sort_keys=True, allow_nan=False)}\n".encode()
    except TypeError as error:
        raise ValueError(str(error)) from None


def outcome_of(result: JSON | ApiError | TransportError) -> dict[str, Any]:
    """Return an answer or an error as the outcome in a line."""
    if isinstance(result, ApiError):
        fields = {"code": result.code, "status": result.http_status, "message": result.message, "data": result.data}
        return {"error": fields | _attributes(result, "retry_after", "request_id")}
    if isinstance(result, TransportError):
        kind = next(kind for kind in type(result).__mro__ if kind in _FAILURES.values())
        fields = {"type": kind.__name__, "message": str(result), "outcome": result.outcome, "attempts": result.attempts}
        return {"failure": fields | _attributes(result, "retry_after")}
    return {"answer": result}


def _attributes(error: ChatarminError, *names: str) -> dict[str, Any]:
    """Return those attributes of an error that exist and are not None."""
    return {name: value for name in names if (value := getattr(error, name, None)) is not None}


def answer_of(recorded: RecordedCall) -> JSON:
    """Return the recorded answer.

    Raises:
        ApiError: The call was refused.
        TransportError: The call failed without an answer.
    """
    if "answer" in recorded.outcome:
        return recorded.outcome["answer"]
    if "error" in recorded.outcome:
        error = recorded.outcome["error"]
        raise ApiError.from_code(
            error["code"],
            error["message"],
            http_status=error["status"],
            path=recorded.path,
            data=error["data"],
            request_id=error.get("request_id"),
            retry_after=error.get("retry_after"),
        )
    failure = recorded.outcome["failure"]
    kind = _FAILURES[failure["type"]]
    extra = {"retry_after": failure.get("retry_after")} if issubclass(kind, InvalidResponse) else {}
    raise kind(failure["message"], outcome=failure["outcome"], attempts=failure.get("attempts", 1), **extra)


def decode(text: bytes, line: int = 0) -> RecordedCall:
    """Return the call of a line; *line* is its number.

    Raises:
        ValueError: The line is invalid.
    """
    content = parse(text)
    is_prologue = isinstance(content, dict) and content.keys() == {"prologue"}
    if is_prologue:
        content = content["prologue"]
    try:
        path, kind, given = content.pop("path"), content.pop("kind"), content.pop("input")
        [(outcome, result)] = content.items()
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ValueError(_NO_CALL) from None
    if problem := _problem(path, kind, outcome, result):
        raise ValueError(problem)
    return RecordedCall(path, kind, given, {outcome: result}, is_prologue, line)


def parse(text: bytes) -> JSON:
    """Return the JSON of a line.

    Raises:
        ValueError: The line is not JSON, or JSON that a recording cannot hold.
    """
    try:
        content = _DECODER.decode(text.decode())
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except ValueError as error:
        detail = f"column {error.colno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else error
        raise ValueError(f"not valid JSON ({detail})") from None
    if has_many_levels(text, MAX_DEPTH) and is_deeper(content, MAX_DEPTH):
        raise ValueError(_TOO_DEEP)
    return content


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a number in JSON")
    return number


def _integer(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"an integer of {len(text)} digits is larger than a number can be")
    return int(text)


def _object(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("an object has a key twice")
    return content


_NO_CALL = "not a call with an answer, error or failure"
_TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_finite, parse_int=_integer, parse_constant=_finite)


class Field(NamedTuple):
    """The values that a field may have; an optional one may be missing or null."""

    is_valid: Callable[[Any], bool]
    expected: str
    is_optional: bool = True


def _is_text(value: JSON) -> bool:
    return isinstance(value, str)


def _is_seconds(value: JSON) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0


_TEXT = Field(_is_text, "text", is_optional=False)
OPTIONAL_TEXT = Field(_is_text, "text or null")
_SECONDS = Field(_is_seconds, "seconds of at least 0, or null")
_ERROR = {
    "code": _TEXT,
    "message": _TEXT,
    "status": Field(lambda value: type(value) is int and value in _STATUSES, "an HTTP status or null"),
    "request_id": OPTIONAL_TEXT,
    "retry_after": _SECONDS,
}
_FAILURE = {
    "message": _TEXT,
    "outcome": Field(lambda value: value in ("not_sent", "unknown"), "not_sent or unknown", is_optional=False),
    "attempts": Field(lambda value: type(value) is int and value in _ATTEMPTS, "a number from 0 to 1,000,000"),
    "retry_after": _SECONDS,
}


def invalid_field(content: dict[str, Any], fields: dict[str, Field], name: str = "") -> str | None:
    """Return the problem of the first invalid field, None if all are valid."""
    for key, field in fields.items():
        value = content.get(key)
        if not (value is None and field.is_optional) and not field.is_valid(value):
            return f"{name}{key}: expected {field.expected}, got {describe(value)}"
    return None


def _problem(path: JSON, kind: JSON, outcome: str, result: JSON) -> str | None:
    """Return the problem of a line, None if it is valid."""
    if not isinstance(path, str) or kind not in ("query", "mutation"):
        return "its path is not text, or its kind is neither query nor mutation"
    if outcome == "answer":
        return None
    if outcome == "error":
        if not isinstance(result, dict) or not {"code", "message", "status", "data"} <= result.keys():
            return "its error lacks code, message, status or data"
        return invalid_field(result, _ERROR, "error.")
    is_failure = outcome == "failure" and isinstance(result, dict) and {"type", "message", "outcome"} <= result.keys()
    if not is_failure or not isinstance(result["type"], str) or result["type"] not in _FAILURES:
        return _NO_CALL
    return invalid_field(result, _FAILURE, "failure.")
