"""The file of a recording: JSON Lines, a first line about the recording, then a line for each call.

{"format": "chatarmin_os recording 2", "from": "https://...", "recorded_at": "2026-11-25T10:00:00.000Z", ...}
{"prologue": {"answer": [...], "input": null, "kind": "query", "path": "tiers.list"}}
{"answer": {...}, "input": {...}, "kind": "query", "path": "features.check"}
{"error": {"code": "NOT_FOUND", "data": {...}, "message": "...", "status": 404}, "input": {...}, "kind": ..., ...}
{"failure": {"message": "...", "outcome": "unknown", "type": "TimedOut"}, "input": {...}, "kind": ..., "path": ...}

Lines of the prologue are queries that the recorder sent to learn the state from which the calls start. Format 1 has
none.
"""

from __future__ import annotations

import codecs
import threading
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from uuid import uuid4

from chatarmin_os import _clock
from chatarmin_os._json import describe, timestamp_text
from chatarmin_os._version import __version__
from chatarmin_os.errors import CassetteError
from chatarmin_os.recording.line import OPTIONAL_TEXT, Field, RecordedCall, decode, encode, invalid_field, parse

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

_Line = TypeVar("_Line")

FORMAT = "chatarmin_os recording 1"
FORMAT_WITH_PROLOGUE = "chatarmin_os recording 2"
MAX_MEGABYTES = 128

_FIRST_CALL = 2  # its line in the file
_MEGABYTE = 2**20
_YEARS = range(1970, 9000)
_HEAD = {
    "from": OPTIONAL_TEXT,
    "redacted": Field(lambda value: isinstance(value, bool), "true or false"),
    "sdk": OPTIONAL_TEXT,
}


class Recording(NamedTuple):
    """The content of a file: its first line, and all others in their order."""

    head: dict[str, Any]
    lines: list[RecordedCall]

    @property
    def calls(self) -> list[RecordedCall]:
        """The calls of the program that was recorded."""
        return [line for line in self.lines if not line.is_prologue]


class Writer:
    """The file of a recording in progress; several transports and threads may write to it.

    Raises:
        CassetteError: The file already exists, or writing to it fails.
    """

    def __init__(self, path: str | os.PathLike[str], head: dict[str, Any], *, overwrite: bool) -> None:
        self.path = path
        self.problem: CassetteError | None = None
        """The error of a call that the file lacks; None if it has all calls."""
        self._lock = threading.Lock()
        self._size = 0
        try:
            self._file = Path(path).open("wb" if overwrite else "xb", buffering=0)  # noqa: SIM115 - `close` closes it
        except FileExistsError:
            raise CassetteError(f"{path} already exists; delete it, or pass overwrite=True") from None
        except OSError as error:
            raise CassetteError(f"{path}: {error.strerror}") from error
        except ValueError as error:  # U+0000 in the path
            raise CassetteError(f"{path!r}: {error}") from None
        try:
            self.append(encode(head))
        except OSError as error:
            self.close()
            if not overwrite:  # this writer has created it
                Path(path).unlink()
            raise CassetteError(f"{path}: {error.strerror}") from error

    @property
    def is_closed(self) -> bool:
        """Whether the file takes no more lines."""
        return self._file.closed

    def append(self, line: bytes) -> None:
        """Append a line to the file, completely or not at all.

        Raises:
            OSError: The disk is full, or the file has reached its maximum size.
            ValueError: The file is closed.
        """
        left = memoryview(line)
        with self._lock:
            try:
                while left:
                    left = left[self._file.write(left) :]
            except OSError:
                with suppress(OSError):  # a device has no size
                    self._file.truncate(self._size)
                    self._file.seek(self._size)
                raise
            self._size += len(line)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def head(source: str | None, *, is_redacted: bool, has_prologue: bool = False) -> dict[str, Any]:
    """Return the first line of a recording that starts now."""
    now = timestamp_text(_clock.now())
    version = FORMAT_WITH_PROLOGUE if has_prologue else FORMAT
    return {"format": version, "from": source, "recorded_at": now, "redacted": is_redacted, "sdk": __version__}


def load(path: str | os.PathLike[str]) -> Recording:
    """Return the content of a file.

    Raises:
        CassetteError: The file is missing or is not a recording; the message has the number of an invalid line.
    """
    first, *others = _read(path).splitlines()
    head = _at_line(path, 1, _head, first)
    lines = enumerate(others, start=_FIRST_CALL)
    return Recording(head, [_at_line(path, number, partial(decode, line=number), text) for number, text in lines])


def load_head(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the first line of a file; the others may be invalid.

    Raises:
        CassetteError: The file is missing or is not a recording.
    """
    first, *_ = _read(path).splitlines()
    return _at_line(path, 1, _head, first)


def recorded_at(head: dict[str, Any]) -> datetime | None:
    """Return the time of a recording; None if it is missing, or too close to the limits of `datetime` for a fake."""
    text = head.get("recorded_at")
    try:
        moment = datetime.fromisoformat(text if isinstance(text, str) else "")
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.utcoffset() is not None and moment.year in _YEARS else None


def write_atomically(path: Path, content: bytes, *, mode: int | None = None) -> None:
    """Write a file completely or not at all; an existing one is replaced in one step.

    Raises:
        OSError: Writing fails; an existing file is unchanged.
    """
    temporary = path.with_name(f".{uuid4().hex}")
    try:
        temporary.write_bytes(content)
        if mode is not None:
            temporary.chmod(mode)
        temporary.replace(path)
    finally:
        with suppress(OSError):  # it has been renamed
            temporary.unlink()


def _read(path: str | os.PathLike[str]) -> bytes:
    try:
        with Path(path).open("rb") as file:
            content = b"".join(islice(iter(partial(file.read, _MEGABYTE), b""), MAX_MEGABYTES + 1))
    except OSError as error:
        raise CassetteError(f"{path}: {error.strerror}") from error
    except ValueError as error:  # U+0000 in the path
        raise CassetteError(f"{path!r}: {error}") from None
    if len(content) > MAX_MEGABYTES * _MEGABYTE:
        raise CassetteError(f"{path}: larger than {MAX_MEGABYTES} MiB, so it is not a recording")
    content = content.removeprefix(codecs.BOM_UTF8)
    if not content.strip():
        raise CassetteError(f"{path}: the recording is empty")
    return content


def _at_line(path: str | os.PathLike[str], number: int, read: Callable[[bytes], _Line], text: bytes) -> _Line:
    try:
        return read(text)
    except ValueError as error:
        raise CassetteError(f"{path}, line {number}: {error}") from None


def _head(text: bytes) -> dict[str, Any]:
    """Return the content of a first line.

    Raises:
        ValueError: It is not the first line of a recording in a known format.
    """
    try:
        first = parse(text)
    except ValueError as error:
        raise ValueError(f"not a recording: {error}") from None
    if not isinstance(first, dict) or "format" not in first:
        raise ValueError("not a recording: its first line has no format")
    version = first["format"]
    if version not in (FORMAT, FORMAT_WITH_PROLOGUE):
        expected = f"{FORMAT!r} or {FORMAT_WITH_PROLOGUE!r}"
        raise ValueError(f"not a recording of this version: expected the format {expected}, got {describe(version)}")
    if problem := invalid_field(first, _HEAD):
        raise ValueError(problem)
    return dict(first)
