"""The file of the rows that failed: each as its own file had it, with a column `error`.

It has the form of the file that was read, so that `read_rows` reads the corrected rows; it ignores the column.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator

from chatarmin_os._json import JSON
from chatarmin_os.backfill.columns import ERROR
from chatarmin_os.backfill.dialect import is_blank

_LINE_END = "\r\n"
"""Both letters: Python 3.12 and older leave a carriage return without quotes if it does not end lines."""


def lines_of_failures(failures: Iterable[tuple[JSON, str]]) -> Iterator[bytes]:
    r"""Yield the lines of the file, each with its end: CSV if the first row is from a table, else JSON Lines.

    Args:
        failures: The rows in the form of `Origin.source`, `{"object": row_to_json(row)}` of others, and their errors.

    Example:
        >>> source = {"columns": ["external_org_id", "Company"], "cells": ["org_1", "Acme, Inc"]}
        >>> print(b"".join(lines_of_failures([(source, "NOT_FOUND: no such tier")])).decode())
        external_org_id,Company,error
        org_1,"Acme, Inc",NOT_FOUND: no such tier
        >>> next(lines_of_failures([({"object": {"name": "Acme"}}, "external_org_id: required")]))
        b'{"name": "Acme", "error": "external_org_id: required"}\n'
    """
    is_table = None
    for source, error in failures:
        if is_table is None:
            is_table = "columns" in source
            if is_table:
                yield _csv_line([*_without_error(source["columns"], source["columns"]), ERROR])
        yield _csv_line([*_cells(source), error]) if is_table else _json_line(source, error)


def _cells(source: JSON) -> list[str]:
    """Return the cells of a row.

    A row with another number of cells than the header is neither filled up nor cut, and one that cannot be read is one
    cell: unless they are corrected, `read_rows` must refuse them again.
    """
    if "cells" not in source:
        return [source["text"] if "text" in source else json.dumps(source["object"])]
    cells, columns = source["cells"], source["columns"]
    if len(cells) >= len(columns) and is_blank(cells[len(columns) :]):
        return _without_error(cells, columns)
    # Which of the cells is an old error is not certain. With the new one, the row must not fit the header.
    return [*cells, ""] if len(cells) == len(_without_error(columns, columns)) else cells


def _without_error(cells: list[str], columns: list[str]) -> list[str]:
    """Return the cells of the columns, but not of `error`: the file may be one of rows that failed before."""
    return [cell for cell, name in zip(cells, columns, strict=False) if name != ERROR]


def _csv_line(cells: list[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=_LINE_END).writerow(cells)
    return _encoded(text.getvalue().removesuffix(_LINE_END) + "\n")


def _json_line(source: JSON, error: str) -> bytes:
    document = source.get("object")
    if not isinstance(document, dict):
        document = source
    return _encoded(json.dumps({**document, ERROR: error}, ensure_ascii=False) + "\n")


def _encoded(text: str) -> bytes:
    """Return text in UTF-8, with bytes that are not UTF-8 as they were read."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half of a surrogate pair: bytes that `read_rows` refuses again
        return text.encode("utf-8", "surrogatepass")
