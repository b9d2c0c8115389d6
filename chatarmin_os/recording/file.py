"""The file of a recording: JSON Lines, a first line about the recording, then a line for each call.

{"format": "chatarmin_os recording 1", "from": "https://...", "recorded_at": "2026-11-25T10:00:00.000Z", ...}
{"answer": {...}, "input": {...}, "kind": "query", "path": "features.check"}
{"error": {"code": "NOT_FOUND", "data": {...}, "message": "...", "status": 404}, "input": {...}, "kind": ..., ...}
{"failure": {"message": "...", "outcome": "unknown", "type": "TimedOut"}, "input": {...}, "kind": ..., "path": ...}
"""

from __future__ import annotations

import codecs
import json
import math
import re
import threading
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from uuid import uuid4

from chatarmin_os import _clock
from chatarmin_os._json import JSON, describe, has_many_levels, is_deeper, timestamp_text
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
    from collections.abc import Callable

_Line = TypeVar("_Line")

FIRST_CALL = 2  # its line in the file
FORMAT = "chatarmin_os recording 1"
MAX_MEGABYTES = 128
MAX_DEPTH = 800
"""Levels of lists and objects in a line: every supported Python reads them."""

_MEGABYTE = 2**20
_MAX_DIGITS = 308  # of an integer: what a double can hold, and JavaScript with it
_YEARS = range(1970, 9000)
_STATUSES = range(100, 1000)
_ATTEMPTS = range(1_000_001)
_LONG_NUMBER = re.compile(rb"[0-9]{%d}" % _MAX_DIGITS)
_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, allow_nan=False)

_FAILURES: dict[str, type[TransportError]] = {
    kind.__name__: kind for kind in (ConnectionFailed, TimedOut, InvalidResponse, TransportError)
}


class Recorded(NamedTuple):
    """A call and what came of it; `came` has one of `answer`, `error` and `failure`."""

    path: str
    kind: str
    input: JSON
    came: dict[str, Any]


class Writer:
    """The file of a recording that is being made; what writes to it may be several transports and threads.

    Raises:
        CassetteError: It is there already, or cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], head: dict[str, Any], *, overwrite: bool) -> None:
        self.path = path
        self.problem: CassetteError | None = None
        """Why a call is not in the file."""
        self._lock = threading.Lock()
        self._size = 0
        try:
            self._file = Path(path).open("wb" if overwrite else "xb", buffering=0)  # noqa: SIM115 - `close` closes it
        except FileExistsError:
            raise CassetteError(f"{path} is there already; delete it, or pass overwrite=True") from None
        except OSError as error:
            raise CassetteError(f"{path}: {error.strerror}") from error
        except ValueError as error:  # U+0000 in the path
            raise CassetteError(f"{path!r}: {error}") from None
        try:
            self.append(line(head))
        except OSError as error:
            self.close()
            if not overwrite:  # it was made just now
                Path(path).unlink()
            raise CassetteError(f"{path}: {error.strerror}") from error

    @property
    def is_closed(self) -> bool:
        """Whether nothing more can be written."""
        return self._file.closed

    def append(self, line: bytes) -> None:
        """Write a line at the end of the file, whole or not at all.

        Raises:
            OSError: The disk is full, or the file may grow no further.
            ValueError: The file is closed.
        """
        left = memoryview(line)
        with self._lock:
            try:
                while left:
                    left = left[self._file.write(left) :]
            except OSError:
                with suppress(OSError):  # what is no file on a disk has no size
                    self._file.truncate(self._size)
                    self._file.seek(self._size)
                raise
            self._size += len(line)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def head(source: str | None, *, is_redacted: bool) -> dict[str, Any]:
    """Return the first line of a recording made now."""
    now = timestamp_text(_clock.now())
    return {"format": FORMAT, "from": source, "recorded_at": now, "redacted": is_redacted, "sdk": __version__}


def line(content: dict[str, Any] | Recorded) -> bytes:
    """Return a line of the file: its first one, or a call.

    Raises:
        ValueError: It could not be read again.
        RecursionError: It is nested too deep.
    """
    if not isinstance(content, Recorded):
        return _encoded(content)
    [(came, what)] = content.came.items()
    if problem := _problem(content.path, content.kind, came, what):
        raise ValueError(problem)
    encoded = _encoded({"path": content.path, "kind": content.kind, "input": content.input, came: what})
    if has_many_levels(encoded, MAX_DEPTH) or _LONG_NUMBER.search(encoded):
        call_of(encoded)
    return encoded


def _encoded(content: dict[str, Any]) -> bytes:
    try:
        return f"{_ENCODER.encode(content)}\n".encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can only escape
        return f"{json.dumps(content, sort_keys=True, allow_nan=False)}\n".encode()
    except TypeError as error:
        raise ValueError(str(error)) from None


def came_of(answer: JSON | ApiError | TransportError) -> dict[str, Any]:
    """Return how an answer or an error is written down."""
    if isinstance(answer, ApiError):
        told = {"code": answer.code, "status": answer.http_status, "message": answer.message, "data": answer.data}
        return {"error": told | _known(answer, "retry_after", "request_id")}
    if isinstance(answer, TransportError):
        kind = next(kind for kind in type(answer).__mro__ if kind in _FAILURES.values())
        told = {"type": kind.__name__, "message": str(answer), "outcome": answer.outcome, "attempts": answer.attempts}
        return {"failure": told | _known(answer, "retry_after")}
    return {"answer": answer}


def _known(error: ChatarminError, *names: str) -> dict[str, Any]:
    """Return those attributes that an error has, and that are not None."""
    return {name: value for name in names if (value := getattr(error, name, None)) is not None}


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
            request_id=error.get("request_id"),
            retry_after=error.get("retry_after"),
        )
    failure = recorded.came["failure"]
    kind = _FAILURES[failure["type"]]
    known = {"retry_after": failure.get("retry_after")} if issubclass(kind, InvalidResponse) else {}
    raise kind(failure["message"], outcome=failure["outcome"], attempts=failure.get("attempts", 1), **known)


def loaded(path: str | os.PathLike[str]) -> tuple[dict[str, Any], list[Recorded]]:
    """Return the first line of a file, and its calls in their order.

    Raises:
        CassetteError: It cannot be read, or is no recording; a broken line is named by its number.
    """
    first, *others = _read(path).splitlines() or [b""]
    head = _located(path, 1, _head, first)
    return head, [_located(path, number, call_of, text) for number, text in enumerate(others, start=FIRST_CALL)]


def head_of(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the first line of a file; the others may be broken.

    Raises:
        CassetteError: It cannot be read, or is no recording.
    """
    first, *_ = _read(path).splitlines() or [b""]
    return _located(path, 1, _head, first)


def recorded_at(head: dict[str, Any]) -> datetime | None:
    """Return when a recording was made; None if it does not say, or if a fake could not look back and ahead then."""
    text = head.get("recorded_at")
    try:
        moment = datetime.fromisoformat(text if isinstance(text, str) else "")
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.utcoffset() is not None and moment.year in _YEARS else None


def write_whole(path: Path, content: bytes, *, mode: int | None = None) -> None:
    """Write a file whole, or not at all; what is there is replaced at once.

    Raises:
        OSError: It cannot be written; what was there is still there.
    """
    beside = path.with_name(f".{uuid4().hex}")
    try:
        beside.write_bytes(content)
        if mode is not None:
            beside.chmod(mode)
        beside.replace(path)
    finally:
        with suppress(OSError):  # it is not there any more
            beside.unlink()


def _read(path: str | os.PathLike[str]) -> bytes:
    try:
        with Path(path).open("rb") as file:
            content = b"".join(islice(iter(partial(file.read, _MEGABYTE), b""), MAX_MEGABYTES + 1))
    except OSError as error:
        raise CassetteError(f"{path}: {error.strerror}") from error
    except ValueError as error:  # U+0000 in the path
        raise CassetteError(f"{path!r}: {error}") from None
    if len(content) > MAX_MEGABYTES * _MEGABYTE:
        raise CassetteError(f"{path}: longer than {MAX_MEGABYTES} MiB, no recording")
    return content.removeprefix(codecs.BOM_UTF8)


def _located(path: str | os.PathLike[str], number: int, read: Callable[[bytes], _Line], text: bytes) -> _Line:
    try:
        return read(text)
    except ValueError as error:
        raise CassetteError(f"{path}, line {number}: {error}") from None


def _head(text: bytes) -> dict[str, Any]:
    """Return the content of a first line.

    Raises:
        ValueError: It is none of this version.
    """
    first = _parsed(text)
    version = first.get("format") if isinstance(first, dict) else first
    if version != FORMAT:
        raise ValueError(f"no recording of this version: expected the format {FORMAT!r}, got {describe(version)}")
    if problem := _wrong_field(first, _HEAD):
        raise ValueError(problem)
    return dict(first)


def call_of(text: bytes) -> Recorded:
    """Return the call of a line.

    Raises:
        ValueError: It is none.
    """
    content = _parsed(text)
    try:
        call, kind, given = content.pop("path"), content.pop("kind"), content.pop("input")
        [(came, what)] = content.items()
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ValueError("no call with its answer, error or failure") from None
    if problem := _problem(call, kind, came, what):
        raise ValueError(problem)
    return Recorded(call, kind, given, {came: what})


def _parsed(text: bytes) -> JSON:
    try:
        content = _DECODER.decode(text.decode())
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except ValueError as error:
        raise ValueError(f"no JSON: {error}") from None
    if has_many_levels(text, MAX_DEPTH) and is_deeper(content, MAX_DEPTH):
        raise ValueError(_TOO_DEEP)
    return content


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no number of JSON")
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


_TOO_DEEP = f"no JSON of at most {MAX_DEPTH} levels"
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_finite, parse_int=_integer, parse_constant=_finite)


class _Field(NamedTuple):
    """What a field may be; it may be missing, or null, where it is optional."""

    is_fine: Callable[[Any], bool]
    expected: str
    is_optional: bool = True


def _is_text(value: JSON) -> bool:
    return isinstance(value, str)


def _is_seconds(value: JSON) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0


_TEXT = _Field(_is_text, "text", is_optional=False)
_OPTIONAL_TEXT = _Field(_is_text, "text or null")
_SECONDS = _Field(_is_seconds, "seconds of at least 0, or null")
_HEAD = {
    "from": _OPTIONAL_TEXT,
    "redacted": _Field(lambda value: isinstance(value, bool), "true or false"),
    "sdk": _OPTIONAL_TEXT,
}
_ERROR = {
    "code": _TEXT,
    "message": _TEXT,
    "status": _Field(lambda value: type(value) is int and value in _STATUSES, "an HTTP status or null"),
    "request_id": _OPTIONAL_TEXT,
    "retry_after": _SECONDS,
}
_FAILURE = {
    "message": _TEXT,
    "outcome": _Field(lambda value: value in ("not_sent", "unknown"), "not_sent or unknown", is_optional=False),
    "attempts": _Field(lambda value: type(value) is int and value in _ATTEMPTS, "a number from 0 to 1,000,000"),
    "retry_after": _SECONDS,
}


def _wrong_field(content: dict[str, Any], fields: dict[str, _Field], name: str = "") -> str | None:
    """Return which of the fields is not as it has to be, None where all are."""
    for key, field in fields.items():
        value = content.get(key)
        if not (value is None and field.is_optional) and not field.is_fine(value):
            return f"{name}{key}: expected {field.expected}, got {describe(value)}"
    return None


def _problem(call: JSON, kind: JSON, came: str, what: JSON) -> str | None:
    """Return what is wrong with a line, None where nothing is."""
    if not isinstance(call, str) or kind not in ("query", "mutation"):
        return "its path or kind is none"
    if came == "answer":
        return None
    if came == "error":
        if not isinstance(what, dict) or not {"code", "message", "status", "data"} <= what.keys():
            return "its error has no code, message, status and data"
        return _wrong_field(what, _ERROR, "error.")
    is_failure = came == "failure" and isinstance(what, dict) and {"type", "message", "outcome"} <= what.keys()
    if not is_failure or not isinstance(what["type"], str) or what["type"] not in _FAILURES:
        return "no call with its answer, error or failure"
    return _wrong_field(what, _FAILURE, "failure.")
