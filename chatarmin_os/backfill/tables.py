"""Lines of a table to records: lists of cells, each with the physical line on which it begins."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import NamedTuple

from chatarmin_os.backfill.dialect import Dialect, is_blank

MAX_RECORD_LENGTH = 1_048_576
"""Characters of a record, in a table and in JSON: a quote that is never closed must not read the whole file."""


TEXT_BEHIND_QUOTE = "a broken quote: there is text behind a closing quote"


class Record(NamedTuple):
    """The cells of a record, or the reason why it cannot be read and its first line as text."""

    line: int
    cells: list[str]
    problem: str = ""
    text: str = ""


def lines(text: io.TextIOWrapper) -> Iterator[str]:
    r"""Yield the lines of *text* with their ends; a longer line than `MAX_RECORD_LENGTH` is cut to that length.

    Example:
        >>> from io import BytesIO, TextIOWrapper
        >>> list(lines(TextIOWrapper(BytesIO(b"a\r\nb\rc"), newline="")))
        ['a\r\n', 'b\r', 'c']
    """
    while line := text.readline(MAX_RECORD_LENGTH):
        yield line
        while len(line) == MAX_RECORD_LENGTH and line[-1] not in "\r\n":
            line = text.readline(MAX_RECORD_LENGTH)


class _TooLong(csv.Error):
    """The record has more than `MAX_RECORD_LENGTH` characters."""


def _reason(error: csv.Error) -> str:
    """Return a message of `csv` as a problem of the file.

    Example:
        >>> _reason(csv.Error("unexpected end of data"))
        'a quote is not closed'
    """
    text = str(error)
    if isinstance(error, _TooLong):
        return f"the record has more than {MAX_RECORD_LENGTH:,} characters: is a quote not closed?"
    if text.startswith("field larger"):
        return f"a cell has more than {csv.field_size_limit():,} characters: is a quote not closed?"
    if text == "unexpected end of data":
        return "a quote is not closed"
    return TEXT_BEHIND_QUOTE if "expected after" in text else f"it cannot be read: {text}"


class _Feed:
    """The lines for `csv.reader`, which can go back to the second line of a record that cannot be read."""

    def __init__(self, source: Iterator[str], line: int) -> None:
        self.line = line
        self._source = source
        self._again: list[str] = []
        self._record: list[str] = []
        self._length = 0

    def begin(self) -> int:
        """Begin a record, and return the number of its first line."""
        self._record.clear()
        self._length = 0
        return self.line + 1

    def text(self) -> str:
        """Return the record as it is in the file."""
        return "".join(self._record)

    def go_back(self) -> str:
        """Go back to the second line of the record, and return the first one."""
        first, *others = self._record
        self._again.extend(reversed(others))
        self.line -= len(others)
        return first

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        line = self._again.pop() if self._again else next(self._source)
        self.line += 1
        self._record.append(line)
        self._length += len(line)
        if self._length >= MAX_RECORD_LENGTH:
            raise _TooLong
        return line


def records(source: Iterator[str], dialect: Dialect, line: int = 0) -> Iterator[Record]:
    r"""Yield the records of a table that are not blank.

    After a record that cannot be read, reading continues with its second line.

    Args:
        source: The lines with their ends.
        dialect: The separator and the quotes.
        line: The number of lines in front of them.

    Example:
        >>> for record in records(iter(['a,"b\n', 'c"\n', '\n', 'd,"e"f\n', 'g,h\n']), Dialect(",")):
        ...     print(record.line, record.cells, record.problem)
        1 ['a', 'b\nc']
        4 [] a broken quote: there is text behind a closing quote
        5 ['g', 'h']
    """
    feed = _Feed(source, line)
    reader = csv.reader(map(dialect.line, feed), **dialect.options())
    while True:
        start = feed.begin()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Record(start, [], _reason(error), feed.go_back())
            continue
        if dialect.escape is not None and not dialect.fits(feed.text()):
            yield Record(start, [], TEXT_BEHIND_QUOTE, feed.go_back())
        elif not is_blank(cells):
            yield Record(start, cells)
