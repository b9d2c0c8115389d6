"""JSON text to values, read incrementally: a file is never held whole."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from json import JSONDecodeError, JSONDecoder
from typing import NamedTuple

from chatarmin_os._json import JSON, describe
from chatarmin_os.backfill.encoding import SPACE
from chatarmin_os.backfill.tables import MAX_RECORD_LENGTH

_CHUNK_LENGTH = 65_536
_MAX_TOKEN_LENGTH = 20
"""Characters of what the decoder reads at once, apart from strings: `-Infinity`, or two escapes of a surrogate pair."""

_SPACE = re.compile(f"[{SPACE}]*")
_ERRORS = (ValueError, RecursionError)  # ValueError: also an integer of more than 4,300 digits


class BrokenJson(Exception):  # noqa: N818 - never leaves this package
    """The text is no JSON from a certain line on; reading cannot continue."""

    def __init__(self, problem: str, line: int) -> None:
        super().__init__(problem)
        self.line = line


class Value(NamedTuple):
    """A value and the line on which it begins; or the reason why a line cannot be read, and the line as text."""

    line: int
    value: JSON
    problem: str = ""
    text: str = ""
    hint: str = "write one JSON object on each line"


class _Decoder:
    """Decodes JSON, and detects keys that an object has twice: which of their values is meant is not certain."""

    def __init__(self) -> None:
        self._decoder = JSONDecoder(object_pairs_hook=self._object)
        self._repeated: str | None = None

    def value(self, text: str, place: int, line: int) -> tuple[Value, int]:
        """Return the value at a place of a text, and its end.

        Raises:
            ValueError: It is invalid.
            RecursionError: It is nested too deep.
        """
        self._repeated = None
        value, end = self._decoder.raw_decode(text, place)
        if self._repeated is None:
            return Value(line, value), end
        problem = f"the key {describe(self._repeated)} is repeated"
        return Value(line, None, problem, text[place:end], "write each key once"), end

    def _object(self, pairs: list[tuple[str, JSON]]) -> JSON:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            self._repeated = next(key for key in keys if keys.count(key) > 1)
        return found


def values_of_lines(lines: Iterator[str]) -> Iterator[Value]:
    r"""Yield the values of JSON Lines, one for each line that is not blank.

    Example:
        >>> for value in values_of_lines(iter(['{"a": 1}\n', '\n', '{"a": \n'])):
        ...     print(value.line, value.value, value.problem)
        1 {'a': 1}
        3 None the JSON is not valid at character 6: Expecting value
    """
    decoder = _Decoder()
    for number, line in enumerate(lines, 1):
        text = line.strip(SPACE)
        if len(line) >= MAX_RECORD_LENGTH:
            yield Value(number, None, f"the line has more than {MAX_RECORD_LENGTH:,} characters", line)
        elif text:
            try:
                value, end = decoder.value(text, 0, number)
                if end < len(text):
                    json.loads(text)  # fails with the right error
            except _ERRORS as error:
                yield Value(number, None, _reason(error), line)
            else:
                yield value


def values_of_text(text: io.TextIOBase, start: str = "") -> Iterator[Value]:
    r"""Yield the elements of a JSON array, or the values of JSON documents one after the other.

    Args:
        text: The text.
        start: The part of it that was read already.

    Raises:
        BrokenJson: The text is no JSON, or ends early.

    Example:
        >>> for value in values_of_text(io.StringIO('[{"a": 1},\n {"a": 2}]')):
        ...     print(value.line, value.value)
        1 {'a': 1}
        2 {'a': 2}
        >>> list(values_of_text(io.StringIO('[{"a": 1},\n {"a": ')))
        Traceback (most recent call last):
        ...
        chatarmin_os.backfill.json_values.BrokenJson: the JSON ends early
    """
    window = _Window(text, start)
    if window.letter() != "[":
        while window.letter():
            yield window.value()
        return
    window.skip()
    if window.letter() != "]":
        yield window.value()
        while window.letter() == ",":
            window.skip()
            window.letter()
            yield window.value()
    if window.letter() != "]":
        problem = "expected ',' or ']' after an element" if window.letter() else "the JSON ends early"
        raise BrokenJson(problem, window.line)
    window.skip()
    if window.letter():
        raise BrokenJson("there is more text after the end of the array", window.line)


class _Window:
    """The part of a text that is not read yet, as far as it is needed."""

    def __init__(self, text: io.TextIOBase, start: str) -> None:
        self.line = 1
        self._text = text
        self._buffer = start
        self._place = 0
        self._is_at_end = False
        self._decoder = _Decoder()

    def letter(self) -> str:
        """Skip white space, and return the next letter; empty at the end."""
        while True:
            self._go_to(_SPACE.match(self._buffer, self._place).end())  # type: ignore[union-attr]
            if self._place < len(self._buffer):
                return self._buffer[self._place]
            if self._is_at_end:
                return ""
            self._read_more()

    def skip(self) -> None:
        """Skip a letter."""
        self._place += 1

    def value(self) -> Value:
        """Return the value that begins at the next letter."""
        while True:
            error: Exception | None = None
            try:
                value, end = self._decoder.value(self._buffer, self._place, self.line)
            except _ERRORS as broken:
                value, end, error = Value(self.line, None), self._place, broken
            # A number may continue in the next chunk.
            if error is None and (end < len(self._buffer) or self._is_at_end):
                self._go_to(end)
                return value
            if error is not None and (self._is_at_end or not self._may_be_cut(error)):
                raise BrokenJson(self._reason(error), self._line_of(error))
            if len(self._buffer) - self._place >= MAX_RECORD_LENGTH:
                raise BrokenJson(f"no end of the value within {MAX_RECORD_LENGTH:,} characters", self.line)
            self._read_more()

    def _go_to(self, place: int) -> None:
        self.line += self._buffer.count("\n", self._place, place)
        self._place = place

    def _read_more(self) -> None:
        """Read as much again as is in the buffer: a long value is decoded a few times only, so the time is linear."""
        rest = self._buffer[self._place :]
        chunk = self._text.read(max(_CHUNK_LENGTH, len(rest)))
        self._buffer, self._place = rest + chunk, 0
        self._is_at_end = not chunk

    def _may_be_cut(self, error: Exception) -> bool:
        """Return whether the error may be due to the end of the buffer."""
        return isinstance(error, JSONDecodeError) and (
            error.pos > len(self._buffer) - _MAX_TOKEN_LENGTH or error.msg.startswith("Unterminated")
        )

    def _reason(self, error: Exception) -> str:
        rest = self._buffer[error.pos :].rstrip() if isinstance(error, JSONDecodeError) else None
        is_unfinished = rest is not None and any(word.startswith(rest) for word in ("true", "false", "null"))
        if is_unfinished or (isinstance(error, JSONDecodeError) and error.msg.startswith("Unterminated")):
            return "the JSON ends early"
        return _reason(error, self._place)

    def _line_of(self, error: Exception) -> int:
        place = error.pos if isinstance(error, JSONDecodeError) else self._place
        return self.line + self._buffer.count("\n", self._place, place)


def _reason(error: Exception, start: int = 0) -> str:
    if isinstance(error, JSONDecodeError):
        return f"the JSON is not valid at character {error.pos - start + 1}: {error.msg}"
    return "the JSON is nested too deep" if isinstance(error, RecursionError) else f"the JSON is not valid: {error}"
