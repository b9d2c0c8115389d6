"""Bytes to text: compression and encoding are detected from the first bytes."""

from __future__ import annotations

import io
import re
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from chatarmin_os._json import describe
from chatarmin_os.errors import InvalidInput

SPACE = " \t\r\n"
"""White space of JSON."""

_HEAD_SIZE = 4_096
_BUFFER_SIZE = 65_536

_COMPRESSIONS = {
    b"\x1f\x8b": ("gzip", ()),
    b"BZh": ("bz2", ()),
    b"\xfd7zXZ\x00": ("lzma", ("LZMAError",)),
}
"""First bytes -> the module, and the errors of its own."""

_OTHER_FORMATS = {
    b"PK\x03\x04": ("a ZIP archive or a spreadsheet (.xlsx)", "unpack it, or save the sheet as CSV in UTF-8"),
    b"\xd0\xcf\x11\xe0": ("an Excel file (.xls)", "save the sheet as CSV in UTF-8"),
    b"%PDF": ("a PDF", "export a CSV file"),
    b"PGDMP": ("an archive of pg_dump", "export with COPY ... TO ... WITH (FORMAT csv, HEADER)"),
    b"SQLite format 3\x00": ("an SQLite database", "export a CSV file"),
    b"PAR1": ("a Parquet file", "export a CSV file"),
    b"(\xb5/\xfd": ("compressed with Zstandard", "decompress it, or use gzip"),
}
"""First bytes -> the name of the format and the advice."""

_MARKS = {
    b"\xff\xfe\x00\x00": "utf-32",  # before UTF-16, whose mark is its beginning
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_UTF_8_MARK = b"\xef\xbb\xbf"

_INVALID_BYTE = re.compile("[\udc80-\udcff]")
"""A byte that is not UTF-8, as the error handler `surrogateescape` decodes it."""

CONVERT = "save the file as UTF-8, or convert it, e.g. with: iconv -f WINDOWS-1252 -t UTF-8"


class UnreadableFile(Exception):  # noqa: N818 - never leaves this package
    """The file is missing or damaged; the message says how."""


class OpenFile(NamedTuple):
    """An open file whose compression and encoding are known."""

    stream: io.BufferedReader
    encoding: str
    start: str
    """The beginning of the text, from its first letter that is not white space; empty if it has blank lines only."""

    def text(self, newline: str | None) -> io.TextIOWrapper:
        """Return the text. Invalid bytes of UTF-8 become lone surrogates, so that they spoil one row only."""
        errors = "surrogateescape" if self.encoding == "utf-8" else "surrogatepass"
        return io.TextIOWrapper(self.stream, self.encoding, errors, newline)


@contextmanager
def open_file(path: str) -> Iterator[OpenFile]:
    """Open a file, or standard input for "-".

    Raises:
        UnreadableFile: It is missing, damaged, or not a text file.
    """
    try:
        file: Any = None if path == "-" else Path(path).open("rb")  # noqa: SIM115 - closed below
    except (OSError, ValueError) as error:  # ValueError: a path with U+0000
        raise UnreadableFile(f"could not be opened: {getattr(error, 'strerror', None) or error}") from None
    try:
        if file and Path(path).is_file():
            _verify(path)
        yield _detect(file or _standard_input())
    finally:
        if file:
            file.close()


def _verify(path: str) -> None:
    """Decompress a file once if it is compressed: a checksum at its end decides whether its rows are right.

    Raises:
        UnreadableFile: It is damaged or cut off.
    """
    with Path(path).open("rb") as file:
        if file.peek(_HEAD_SIZE).startswith(tuple(_COMPRESSIONS)):
            stream = _detect(file).stream
            while stream.read(_BUFFER_SIZE):
                pass


def _standard_input() -> BinaryIO:
    binary = getattr(sys.stdin, "buffer", None)
    if binary is None:  # closed, or replaced by an object that has text only
        raise UnreadableFile("has no bytes")
    return binary  # type: ignore[no-any-return]


def _detect(binary: BinaryIO) -> OpenFile:
    stream: Any = _Stream(binary)
    head = stream.head
    for mark, (module, errors) in _COMPRESSIONS.items():
        if head.startswith(mark):
            library = import_module(module)
            opened = library.open(io.BufferedReader(stream, _BUFFER_SIZE))
            stream = _Stream(opened, tuple(getattr(library, name) for name in errors))
            head = stream.head
            break
    for mark, (name, advice) in _OTHER_FORMATS.items():
        if head.startswith(mark):
            raise UnreadableFile(f"is {name}, not a text file; {advice}")
    encoding = next((name for mark, name in _MARKS.items() if head.startswith(mark)), "utf-8")
    if encoding == "utf-8" and 0 in head[:2]:
        raise UnreadableFile("has the byte 0 at its beginning, as UTF-16 without a byte order mark; save it as UTF-8")
    stream.skip(len(_UTF_8_MARK) if head.startswith(_UTF_8_MARK) else 0)
    letters = head.removeprefix(_UTF_8_MARK).decode(encoding, "replace")
    return OpenFile(io.BufferedReader(stream, _BUFFER_SIZE), encoding, letters.lstrip(SPACE))


class _Stream(io.RawIOBase):
    """A stream whose first bytes were read already, and whose errors are of one kind."""

    def __init__(self, inner: Any, errors: tuple[type[Exception], ...] = ()) -> None:
        self._inner = inner
        self._errors: tuple[type[Exception], ...] = (OSError, EOFError, zlib.error, *errors)
        self.head = self._rest = b""
        while len(self._rest) < _HEAD_SIZE and (chunk := self._read(_HEAD_SIZE - len(self._rest))):
            self.head = self._rest = self._rest + chunk

    def skip(self, count: int) -> None:
        """Drop the first bytes."""
        self._rest = self._rest[count:]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = len(buffer)
        chunk, self._rest = (self._rest[:size], self._rest[size:]) if self._rest else (self._read(size), b"")
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def _read(self, size: int) -> bytes:
        try:
            return self._inner.read1(size)  # type: ignore[no-any-return]
        except self._errors as error:
            raise UnreadableFile(f"is damaged or cut off: {error}") from None


def refuse_invalid_byte(text: str) -> None:
    r"""Refuse text with a byte that is not UTF-8.

    Raises:
        InvalidInput: The text has such a byte.

    Example:
        >>> refuse_invalid_byte("Müller")
        >>> refuse_invalid_byte(b"M\xfcller".decode("utf-8", "surrogateescape"))
        Traceback (most recent call last):
        ...
        chatarmin_os.errors.InvalidInput: the byte 0xFC is not UTF-8, got str 'M?ller'; save the file as UTF-8, ...
    """
    if not text.isascii() and (found := _INVALID_BYTE.search(text)):
        byte = ord(found[0]) & 0xFF
        shown = describe(_INVALID_BYTE.sub("?", text))
        raise InvalidInput(f"the byte 0x{byte:02X} is not UTF-8, got {shown}", CONVERT)
