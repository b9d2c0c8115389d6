"""The file of a recording: JSON Lines, a first line about the recording, then a line for each call.

{"format": "chatarmin_os recording 1", "from": "https://...", "recorded_at": "2026-11-25T10:00:00.000Z", ...}
{"answer": {...}, "input": {...}, "kind": "query", "path": "features.check"}
{"error": {"code": "NOT_FOUND", "data": {...}, "message": "...", "status": 404}, "input": {...}, "kind": ..., ...}
{"failure": {"message": "...", "outcome": "unknown", "type": "TimedOut"}, "input": {...}, "kind": ..., "path": ...}
"""

from __future__ import annotations

import json
import math
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from chatarmin_os import _clock
from chatarmin_os._json import instant_text
from chatarmin_os._version import __version__
from chatarmin_os.errors import (
    ApiError,
    CassetteError,
    ChatarminError,
    ConnectionFailed,
    InvalidResponse,
    TimedOut,
    TransportError,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    from chatarmin_os._json import JSON

FIRST_CALL = 2  # its line in the file
_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, allow_nan=False)
_LEAST_QUOTED = 3  # shorter texts stand in every word
_GONE = "redacted"
FORMAT = "chatarmin_os recording 1"

_FAILURES: dict[str, type[TransportError]] = {
    kind.__name__: kind for kind in (ConnectionFailed, TimedOut, InvalidResponse, TransportError)
}


class Recorded(NamedTuple):
    """A call and what came of it; `came` has one of `answer`, `error` and `failure`."""

    path: str
    kind: str
    input: JSON
    came: dict[str, Any]


def head(source: str | None, *, is_redacted: bool) -> dict[str, Any]:
    """Return the first line of a recording made now."""
    now = instant_text(_clock.now())
    return {"format": FORMAT, "from": source, "recorded_at": now, "redacted": is_redacted, "sdk": __version__}


def line(content: dict[str, Any] | Recorded) -> bytes:
    """Return a line of the file: its first one, or a call."""
    if isinstance(content, Recorded):
        content = {"path": content.path, "kind": content.kind, "input": content.input, **content.came}
    try:
        return f"{_ENCODER.encode(content)}\n".encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can only escape
        return f"{json.dumps(content, sort_keys=True, allow_nan=False)}\n".encode()


def came_of(answer: JSON | ChatarminError) -> dict[str, Any]:
    """Return how an answer or an error is written down."""
    if isinstance(answer, ApiError):
        told = {"code": answer.code, "status": answer.http_status, "message": answer.message, "data": answer.data}
        retry_after = getattr(answer, "retry_after", None)
        return {"error": told if retry_after is None else {**told, "retry_after": retry_after}}
    if isinstance(answer, TransportError):
        told = {"type": type(answer).__name__, "message": str(answer), "outcome": answer.outcome}
        return {"failure": told}
    return {"answer": answer}


class Redaction:
    """Takes out of calls what a redactor takes out of inputs and answers, and refusals that quote any of it."""

    def __init__(self, redact: Callable[[JSON], JSON]) -> None:
        self._redact = redact
        self._taken_out: dict[str, str] = {}  # in small letters, what stands there now
        self._lock = threading.Lock()

    def of(self, recorded: Recorded) -> Recorded:
        """Return a call without what is to be taken out.

        Raises:
            RecursionError: It is nested deeper than the redactor can walk.
        """
        given = self._redacted(recorded.input)
        [(came, what)] = recorded.came.items()
        if came == "answer":
            return recorded._replace(input=given, came={came: self._redacted(what)})
        told = self._without_quotes(self._redact({"message": what["message"], "data": what.get("data")}))
        words = {key: told[key] for key in ("message", "data") if key in what}
        return recorded._replace(input=given, came={came: {**what, **words}})

    def _redacted(self, content: JSON) -> JSON:
        redacted = self._redact(content)
        if redacted != content:
            with self._lock:
                self._taken_out.update(_taken_out(content, redacted))
        return redacted

    def _without_quotes(self, content: JSON) -> JSON:
        words = json.dumps(content, ensure_ascii=False).lower()
        with self._lock:
            quoted = {old: new for old, new in self._taken_out.items() if len(old) >= _LEAST_QUOTED and old in words}
        if not quoted:
            return content
        pattern = re.compile("|".join(map(re.escape, sorted(quoted, key=len, reverse=True))), re.IGNORECASE)
        return _replaced(content, lambda text: pattern.sub(lambda found: quoted.get(found[0].lower(), _GONE), text))


def _taken_out(before: JSON, after: JSON) -> dict[str, str]:
    """Return the texts that a redactor has changed, in small letters, each with what stands there now."""
    if isinstance(before, str):
        return {before.lower(): str(after)} if before != after else {}
    inner = before.items() if isinstance(before, dict) else enumerate(before) if isinstance(before, list) else ()
    is_kept = type(before) is type(after) and len(before) == len(after) if inner else False
    found: dict[str, str] = {}
    for key, value in inner:
        found |= _taken_out(value, after[key] if is_kept and (isinstance(after, list) or key in after) else _GONE)
    return found


def _replaced(content: JSON, replace: Callable[[str], str]) -> JSON:
    if isinstance(content, str):
        return replace(content)
    if isinstance(content, dict):
        return {replace(key): _replaced(value, replace) for key, value in content.items()}
    return [_replaced(item, replace) for item in content] if isinstance(content, list) else content


def answer_of(recorded: Recorded) -> JSON:
    """Return what a recording answers.

    Raises:
        ApiError: It was a refusal.
        TransportError: There was no answer.
    """
    if "answer" in recorded.came:
        return recorded.came["answer"]
    if "error" in recorded.came:
        error = recorded.came["error"]
        raise ApiError.from_code(
            error["code"],
            error["message"],
            http_status=error["status"],
            path=recorded.path,
            data=error["data"],
            retry_after=error.get("retry_after"),
        )
    failure = recorded.came["failure"]
    raise _FAILURES[failure["type"]](failure["message"], outcome=failure["outcome"])


def loaded(path: str | os.PathLike[str]) -> tuple[dict[str, Any], list[Recorded]]:
    """Return the first line of a file, and its calls in their order.

    Raises:
        CassetteError: It cannot be read, or is no recording; a broken line is named by its number.
    """
    try:
        lines = Path(path).read_bytes().splitlines()
    except OSError as error:
        raise CassetteError(f"{path}: {error.strerror}") from error
    first = _parsed(path, 1, lines[0]) if lines else None
    if not isinstance(first, dict) or first.get("format") != FORMAT:
        raise CassetteError(f"{path} is no recording of this version: line 1 has to say the format {FORMAT!r}")
    return first, list(_calls(path, lines))


def _calls(path: str | os.PathLike[str], lines: list[bytes]) -> Iterator[Recorded]:
    for number, text in enumerate(lines[1:], start=2):
        content = _parsed(path, number, text)
        try:
            call, kind, given = content.pop("path"), content.pop("kind"), content.pop("input")
            [(came, what)] = content.items()
        except (AttributeError, KeyError, TypeError, ValueError):
            raise CassetteError(f"{path}, line {number}: no call with its answer, error or failure") from None
        if problem := _problem(call, kind, came, what):
            raise CassetteError(f"{path}, line {number}: {problem}")
        yield Recorded(call, kind, given, {came: what})


def _parsed(path: str | os.PathLike[str], number: int, text: bytes) -> Any:
    try:
        return json.loads(text, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        raise CassetteError(f"{path}, line {number}: no JSON: {error}") from None


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no number of JSON")
    return number


def _problem(call: Any, kind: Any, came: str, what: Any) -> str | None:
    """Return what is wrong with a line, None where nothing is."""
    if not isinstance(call, str) or kind not in ("query", "mutation"):
        return "its path or kind is none"
    if came == "answer":
        return None
    if came == "error":
        fine = isinstance(what, dict) and {"code", "message", "status", "data"} <= what.keys()
        return None if fine and isinstance(what["code"], str) else "its error has no code, message, status and data"
    fine = came == "failure" and isinstance(what, dict) and {"type", "message", "outcome"} <= what.keys()
    return (
        None
        if fine and isinstance(what["type"], str) and what["type"] in _FAILURES
        else "no call with its answer, error or failure"
    )
