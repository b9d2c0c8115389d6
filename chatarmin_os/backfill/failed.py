"""The file of the rows that failed: each as its own file had it, with a column `error`.

Rows of a file keep its form, a table or JSON; the ending of the path decides for rows of a program. `read_rows` reads
the corrected rows, whatever the ending, and ignores the column. It refuses rows that have no place in that form until
they are corrected.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from chatarmin_os._json import JSON
from chatarmin_os.backfill.columns import ERROR
from chatarmin_os.backfill.dialect import is_blank
from chatarmin_os.backfill.formats import TAB_SEPARATED, TABLES, suffix_of
from chatarmin_os.backfill.row import FIELDS

_LINE_END = "\r\n"
"""Both letters: Python 3.12 and older leave a carriage return without quotes if it does not end lines."""


def lines_of_failures(failures: Iterable[tuple[JSON, str]], path: str = "") -> Iterator[bytes]:
    r"""Yield the lines of the file, each with its end; the first row decides whether it is a table or JSON Lines.

    Args:
        failures: The rows in the form of `Origin.source`, those of a program as `{"row": ...}`, and their errors.
        path: The path of the file.

    Example:
        >>> source = {"columns": ["external_org_id", "Company"], "cells": ["org_1", "Acme, Inc"]}
        >>> print(b"".join(lines_of_failures([(source, "NOT_FOUND: no such tier")])).decode())
        external_org_id,Company,error
        org_1,"Acme, Inc",NOT_FOUND: no such tier
        >>> next(lines_of_failures([({"object": {"name": "Acme"}}, "external_org_id: required")]))
        b'{"name": "Acme", "error": "external_org_id: required"}\n'
        >>> next(lines_of_failures([({"row": {"name": "Acme"}}, "external_org_id: required")], "failed.csv"))[:28]
        b'external_org_id,name,domain,'
    """
    iterator = iter(failures)
    first = next(iterator, None)
    if first is None:
        return
    source, suffix = first[0], suffix_of(path)
    if "columns" in source or ("row" in source and suffix in TABLES):
        table = _Table(tuple(source.get("columns", FIELDS)), is_tab_separated=suffix in TAB_SEPARATED)
        yield table.header()
        write = table.line
    else:
        write = _json_line
    yield from (write(source, error) for source, error in chain([first], iterator))


class _Table(NamedTuple):
    columns: tuple[str, ...]
    is_tab_separated: bool

    def header(self) -> bytes:
        """Return the line with the names of the columns."""
        return self._line([*self._without_error(self.columns), ERROR])

    def line(self, source: JSON, error: str) -> bytes:
        """Return the line of a row; a row that fits no line is one cell."""
        cells = self._cells_of_row(source["row"]) if "row" in source else self._cells(source)
        return self._line([*(cells or [_text_of(source)]), error])

    def _cells(self, source: JSON) -> list[str] | None:
        """Return the cells of a row of a table; None if they are unknown, or those of other columns.

        A row with another number of cells than the header is neither filled up nor cut.
        """
        if "cells" not in source or tuple(source["columns"]) != self.columns:
            return None
        cells = source["cells"]
        if len(cells) >= len(self.columns) and is_blank(cells[len(self.columns) :]):
            return self._without_error(cells)
        # Which of the cells is an old error is not certain. With the new one, the row must not fit the header.
        return [*cells, ""] if len(cells) == len(self._without_error(self.columns)) else cells

    def _cells_of_row(self, row: JSON) -> list[str] | None:
        """Return the cells of a row that a program gave; None if a table cannot have the same values."""
        if self.columns != FIELDS or not isinstance(row, Mapping) or not row.keys() <= {*FIELDS}:
            return None
        cells = [_cell(field, row.get(field)) for field in FIELDS]
        return None if None in cells else [cell for cell in cells if cell is not None]

    def _without_error(self, cells: Sequence[str]) -> list[str]:
        """Return the cells of the columns, but not of `error`: the file may be one of rows that failed before."""
        return [cell for cell, name in zip(cells, self.columns, strict=False) if name != ERROR]

    def _line(self, cells: list[str]) -> bytes:
        # Without quotes, a backslash in a table with tabs would be an escape.
        options: dict[str, Any] = {"delimiter": "\t", "quoting": csv.QUOTE_ALL} if self.is_tab_separated else {}
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator=_LINE_END, **options).writerow(cells)
        return _encoded(text.getvalue().removesuffix(_LINE_END) + "\n")


def _cell(field: str, value: JSON) -> str | None:
    """Return the cell from which `read_rows` reads this value of a field; None for a missing value.

    Example:
        >>> _cell("contacts", ["ann@acme.com"]), _cell("name", " Acme"), _cell("name", None)
        ('["ann@acme.com"]', None, '')
    """
    if value is None:
        return ""
    if field == "contacts":
        return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else None
    return value if isinstance(value, str) and value == value.strip() else None


def _text_of(source: JSON) -> str:
    text = source.get("text")
    return text if text is not None else json.dumps(source.get("object", source.get("row", source)))


def _json_line(source: JSON, error: str) -> bytes:
    document = source.get("object", source.get("row"))
    if not isinstance(document, dict):
        document = source
    return _encoded(json.dumps({**document, ERROR: error}, ensure_ascii=False) + "\n")


def _encoded(text: str) -> bytes:
    """Return text in UTF-8, with bytes that are not UTF-8 as they were read."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half of a surrogate pair: bytes that `read_rows` refuses again
        return text.encode("utf-8", "surrogatepass")
