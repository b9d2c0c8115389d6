"""Read a file of customers: from its bytes to rows."""

from __future__ import annotations

import io
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple, NoReturn

from chatarmin_os._json import describe
from chatarmin_os._messages import printable
from chatarmin_os.backfill.cells import value_of_cell, value_of_json
from chatarmin_os.backfill.columns import ERROR, Column, Columns, Mapped, check_mapping, understand
from chatarmin_os.backfill.dialect import SEPARATORS, detect, has_escape, is_blank, is_header
from chatarmin_os.backfill.encoding import SPACE, OpenFile, UnreadableFile, open_file
from chatarmin_os.backfill.formats import JSON_FILES, JSON_LINES, TAB_SEPARATED, TABLES, name_of, suffix_of
from chatarmin_os.backfill.json_values import BrokenJson, Value, values_of_lines, values_of_text
from chatarmin_os.backfill.problems import FileProblem, value_problem
from chatarmin_os.backfill.row import REQUIRED, Origin, Row, with_origin
from chatarmin_os.backfill.tables import Record, lines, records
from chatarmin_os.errors import InvalidInput

_log = logging.getLogger("chatarmin_os")

_SAMPLE_LINES = 200
_SAMPLE_LENGTH = 262_144
_MAX_KINDS_OF_OBJECTS = 1_000
_JSON_OBJECT = re.compile(r'\{\s*"')
"""The beginning of an object, which no header has: a file of rows that failed has the form of their file."""


def read_rows(path: str | os.PathLike[str], *, mapping: Mapping[str, str | None] | None = None) -> Iterator[Row]:
    r"""Read customers from a CSV, TSV, JSON or JSON Lines file, one at a time.

    Separator, quotes, encoding (UTF-8, or UTF-16 with a byte order mark) and compression are detected. Column names
    of HubSpot, Stripe and Chargebee are understood where they can mean one field only. Text in tables is read without
    surrounding white space, empty cells are None, and blank rows are skipped.

    Args:
        path: The file, also compressed with gzip, bzip2 or xz; "-" for standard input.
        mapping: Columns, or keys of JSON objects -> fields of `Row`; None for a column to ignore.

    Returns:
        An iterator of rows. A row that cannot be read raises `InvalidInput`; the iterator goes on with the next row
        if it is asked again. A problem of the whole file is raised before the first row, and ends the iterator; so
        does JSON that is broken further on, and a mapped key that no object has. The names of the ignored columns are
        logged.

    Raises:
        InvalidInput: An invalid argument. While iterating, a problem of the file: its text names the file, the line
            and the column; the attribute `line` is the physical line on which the record begins.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, "customers.csv")
        ...     _ = path.write_text("id;Company;contacts\norg_1;Acme Inc;ann@acme.com bob@acme.com\n")
        ...     rows = list(read_rows(path, mapping={"id": "external_org_id"}))
        >>> rows[0].name, len(rows[0].contacts)
        ('Acme Inc', 2)
    """
    try:
        name = os.fspath(path)
    except TypeError:
        name = None
    if not isinstance(name, str):
        raise InvalidInput(f"expected a path, or '-' for standard input, got {describe(path)}").at("path")
    return Rows(name, check_mapping(mapping))


class Unread(NamedTuple):
    """A record of a file whose values are not read yet: a run skips most records without reading them."""

    line: int
    columns: Columns
    values: list[Any]

    @property
    def origin(self) -> Origin:
        """Its place, and the record as the file has it."""
        names = self.columns.names
        if self.columns.is_table:
            return Origin(self.line, {"columns": names, "cells": self.values})
        return Origin(self.line, {"object": dict(zip(names, self.values, strict=True))})


class Rows(Iterator[Row]):
    """The rows of a file.

    Attributes:
        ignored_columns: The columns, or keys of JSON objects, that were read so far and are not used.
        name: The path, or "standard input".
        is_file: Whether it is a path.
        records: The records that are left; an item that is an error concerns one record only.
    """

    def __init__(self, path: str, mapping: Mapped) -> None:
        self.ignored_columns: tuple[str, ...] = ()
        self._path = path
        self.is_file = path != "-"
        self.name = name_of(path)
        self._suffix = suffix_of(path)
        self._mapping = mapping
        self._line: int | None = None
        self._mapped_keys: set[str] = set()
        self._may_have_escapes = False
        self.records: Iterator[Unread | FileProblem] = self._read()

    def __next__(self) -> Row:
        record = next(self.records)
        if isinstance(record, FileProblem):
            raise record
        return self.row_of(record)

    def begin(self) -> None:
        """Read the first record, which is kept.

        Raises:
            FileProblem: The file cannot be used.
        """
        self.records = chain(list(islice(self.records, 1)), self.records)

    def _read(self) -> Iterator[Unread | FileProblem]:
        try:
            with open_file(self._path) as file:
                self._line = 1
                yield from self._objects(file) if self._is_json(file) else self._table(file)
        except (UnreadableFile, UnicodeDecodeError) as error:
            problem = str(error) if isinstance(error, UnreadableFile) else f"is damaged or cut off: {error.reason}"
            raise FileProblem(f"the file {problem}", file=self.name, line=self._line) from None

    def _is_json(self, file: OpenFile) -> bool:
        """Return whether the file has JSON, by its ending unless its beginning is certain to be of the other kind."""
        if not file.start:
            self._end("the file is empty, or begins with blank lines only")
        is_json = file.start[0] in "[{"
        if self._suffix in JSON_FILES:
            return is_json or not is_header(file.start, self._mapping)
        if self._suffix in TABLES:
            return _JSON_OBJECT.match(file.start) is not None
        return is_json

    def _end(self, problem: str, hint: str | None = None) -> NoReturn:
        raise FileProblem(problem, hint, file=self.name, line=self._line) from None

    def _table(self, file: OpenFile) -> Iterator[Unread | FileProblem]:
        numbered = lines(file.text(newline=""))
        sample: list[str] = []
        while len(sample) < _SAMPLE_LINES and sum(map(len, sample)) < _SAMPLE_LENGTH and (line := next(numbered, "")):
            sample.append(line)
        separators, skipped = _separators(self._suffix, sample)
        try:
            dialect = detect(sample[skipped:], self._mapping, separators)
        except InvalidInput as error:
            self._end(error.problem, error.hint)
        self._may_have_escapes = dialect.may_have_escapes(sample)
        found = records(chain(sample[skipped:], numbered), dialect, skipped)
        header = next(found, None)
        if header is None or header.problem:
            self._end(f"there is no header: {header.problem if header else 'all lines are blank'}")
        self._line = header.line
        try:
            columns = understand([name.strip() for name in header.cells], self._mapping)
        except InvalidInput as error:
            self._end(error.problem, error.hint)
        self._report_ignored(columns.ignored)
        for record in found:
            self._line = record.line
            yield self._check_record(record, columns)

    def _check_record(self, record: Record, columns: Columns) -> Unread | FileProblem:
        line, cells, problem, text = record
        names = columns.names
        if problem:
            hint = "close each quote, and double a quote inside of quotes"
            return self._problem(InvalidInput(problem, hint), Origin(line, {"columns": names, "text": text}))
        if len(cells) != len(names) and (len(cells) < len(names) or not is_blank(cells[len(names) :])):
            hint = "quote cells that contain the separator or a line break; remove titles and totals"
            problem = f"expected {len(names)} cells, got {len(cells)}"
            return self._problem(InvalidInput(problem, hint), Unread(line, columns, cells).origin)
        if cells[columns.place_of_id].strip(" \ufeff") == names[columns.place_of_id]:
            error = InvalidInput("the header is repeated, as in files that were joined", "remove the line")
            return self._problem(error, Unread(line, columns, cells).origin)
        return (self._may_have_escapes and self._escape_problem(line, columns, cells)) or Unread(line, columns, cells)

    def _escape_problem(self, line: int, columns: Columns, cells: list[str]) -> FileProblem | None:
        column = next((column for column in columns.read if has_escape(cells[column.place])), None)
        if column is None:
            return None
        hint = "export CSV with quotes"
        error = value_problem("a backslash escape, which may mean another letter", cells[column.place], hint)
        # As cells of a table with commas, they would be read.
        return self._problem(error, Origin(line, {"columns": columns.names, "text": "\t".join(cells)}), column)

    def _objects(self, file: OpenFile) -> Iterator[Unread | FileProblem]:
        text = file.text(newline=None)
        kinds: dict[tuple[str, ...], Columns] = {}
        self._mapped_keys = {name for name, field in self._mapping.items() if field is not None}
        try:
            for value in _json_values(text, file.start[0], self._suffix):
                self._line = value.line
                yield self._check_value(value, kinds)
        except BrokenJson as error:
            self._line = error.line
            self._end(str(error), "the rows in front of it were read" if kinds else None)
        if kinds and self._mapped_keys:
            missing = ", ".join(map(repr, sorted(self._mapped_keys)))
            self._end(printable(f"no object has the mapped key {missing}"), "the rows were read without it")

    def _check_value(self, value: Value, kinds: dict[tuple[str, ...], Columns]) -> Unread | FileProblem:
        line, document, problem, text, hint = value
        if problem:
            return self._problem(InvalidInput(problem, hint), Origin(line, {"text": text}))
        if not isinstance(document, dict):
            error = InvalidInput(f"expected an object, got {describe(document)}", "write one object for each customer")
            return self._problem(error, Origin(line, {"object": document}))
        keys = tuple(document)
        columns = kinds.get(keys)
        if columns is None:
            try:
                columns = understand(keys, self._mapping, is_table=False)
            except InvalidInput as error:
                if not kinds and ERROR not in document:  # most likely, the keys of all objects have to be mapped
                    self._end(error.problem, error.hint)
                return self._problem(error, Origin(line, {"object": document}))
            self._report_ignored(columns.ignored)
            self._mapped_keys.difference_update(keys)
            if len(kinds) < _MAX_KINDS_OF_OBJECTS:
                kinds[keys] = columns
        return Unread(line, columns, list(document.values()))

    def row_of(self, record: Unread) -> Row:
        """Return the row of a record.

        Raises:
            FileProblem: A value is invalid.
        """
        _, columns, values = record
        read = value_of_cell if columns.is_table else value_of_json
        arguments = {}
        for column in columns.read:
            place, _, field, is_utc = column
            try:
                value = read(field, values[place], is_utc=is_utc)
                if value is None and field in REQUIRED:
                    raise InvalidInput("must not be empty")  # noqa: TRY301 - as the errors of the other cells
            except InvalidInput as error:
                raise self._problem(error, record.origin, column) from None
            if value is not None:
                arguments[field] = value
        try:
            return with_origin(Row(**arguments), record.origin)
        except InvalidInput as error:
            raise self._problem(error, record.origin, _column_of(error, columns)) from None

    def _problem(self, error: InvalidInput, origin: Origin, column: Column | None = None) -> FileProblem:
        field = error.field or (column and column.field)
        return FileProblem(
            error.problem,
            error.hint,
            field=field,
            file=self.name,
            line=origin.line,
            column=column and column.name,
            source=origin.source,
        )

    def _report_ignored(self, names: tuple[str, ...]) -> None:
        new = [name for name in dict.fromkeys(names) if name not in self.ignored_columns]
        if new and len(self.ignored_columns) < _MAX_KINDS_OF_OBJECTS:
            self.ignored_columns += tuple(new)
            shown = printable(", ".join(map(repr, new)))
            _log.warning("%s: columns that are not read: %s", self.name, shown)


def _separators(suffix: str, sample: Sequence[str]) -> tuple[str, int]:
    r"""Return the possible separators, and the number of lines in front of the header: Excel reads "sep=;".

    Example:
        >>> _separators(".csv", ["sep=;\r\n", "id;name\r\n"]), _separators(".tsv", ["id\tname\n"])
        ((';', 1), ('\t', 0))
    """
    first = "".join(sample[:1]).strip("\r\n").lower()
    if first[:4] == "sep=" and first[4:] in SEPARATORS:
        return first[4:], 1
    return "\t" if suffix in TAB_SEPARATED else "".join(SEPARATORS), 0


def _json_values(text: io.TextIOWrapper, first_letter: str, suffix: str) -> Iterator[Value]:
    """Return the values of an array, of JSON Lines, or of objects that are written over several lines."""
    if first_letter == "[":
        return values_of_text(text)
    numbered = lines(text)
    start = [next(numbered)]
    while not start[-1].strip(SPACE):  # not to the end: the file has a first letter
        start.append(next(numbered))
    if suffix in JSON_LINES or _is_json(start[-1]):
        return values_of_lines(chain(start, numbered))
    return values_of_text(text, "".join(start))


def _is_json(line: str) -> bool:
    return not next(values_of_lines(iter([line]))).problem


def _column_of(error: InvalidInput, columns: Columns) -> Column | None:
    """Return the column of an error, which may name a place inside of a field: `contacts[1].email`."""
    field = (error.field or "").partition("[")[0]
    return next((column for column in columns.read if column.field == field), None)
