"""The error of a file: it names the file, the line and the column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chatarmin_os._json import JSON, describe
from chatarmin_os._messages import printable
from chatarmin_os.errors import InvalidInput

_MAX_NAME_LENGTH = 100
"""Characters of a path, or of the name of a column, in a message."""


class FileProblem(InvalidInput):
    """A file, or one row of it, cannot be used.

    Args:
        message: The problem, with the text that was read.
        hint: The allowed forms. A mapping has the attributes in the `args` of another error.
        attributes: The attributes below; default: None.

    Attributes:
        field: The field of `Row`; None if the problem concerns the whole record or file.
        file: The path of the file, or "standard input".
        line: The physical line on which the record begins, from 1; None if no line was read.
        column: The name of the column, or the key of a JSON object.
        source: The row as the file has it, in the form of `Origin.source`; None if the whole file is concerned.

    Example:
        >>> FileProblem("must not be blank", field="name", file="a.csv", line=7, column="Company")
        FileProblem("a.csv, line 7, column 'Company' (name): must not be blank")
    """

    file: str | None = None
    column: str | None = None
    source: JSON = None
    _in_args = ("field", "hint", "file", "line", "column", "source")

    def __init__(self, message: str, hint: str | Mapping[str, Any] | None = None, **attributes: Any) -> None:
        if isinstance(hint, str) or hint is None:
            attributes["hint"], hint = hint, {}
        super().__init__(message, hint)
        for name in self._in_args:
            setattr(self, name, hint.get(name, attributes.get(name)))

    def __str__(self) -> str:
        places = [_place(self.file, self.line)]
        if self.column is not None:
            is_named_otherwise = self.field is not None and self.field != self.column
            name = printable(repr(self.column), _MAX_NAME_LENGTH)
            places.append(f"column {name}" + (f" ({self.field})" if is_named_otherwise else ""))
        problem = f"{self.problem}; {self.hint}" if self.hint else self.problem
        place = ", ".join(filter(None, places))
        return f"{place}: {problem}" if place else problem


def _place(file: str | None, line: int | None) -> str:
    places = [file and printable(file, _MAX_NAME_LENGTH), None if line is None else f"line {line}"]
    return ", ".join(filter(None, places))


def without_place(message: str, file: str, line: int) -> str:
    """Return the text of a `FileProblem` without its file and line, for a reader who knows them; others unchanged.

    Example:
        >>> without_place("a.csv, line 7, column 'Company' (name): must not be blank", "a.csv", 7)
        "column 'Company' (name): must not be blank"
    """
    place = _place(file, line)
    return message.removeprefix(place).lstrip(",: ") if message.startswith(place) else message


def value_problem(problem: str, value: object, hint: str | None = None) -> InvalidInput:
    """Return the error for a value that was read, which its message shows.

    Example:
        >>> value_problem("no e-mail address", "Ann Smith", "separate addresses by commas")
        InvalidInput("no e-mail address, got str 'Ann Smith'; separate addresses by commas")
    """
    return InvalidInput(f"{problem}, got {describe(value)}", hint)
