"""The file of the rows that failed: as they came, with a column `error`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from customer_files import read, read_text, write

from chatarmin_os import InvalidInput
from chatarmin_os.backfill import Row
from chatarmin_os.backfill.failed import lines_of_failures
from chatarmin_os.backfill.problems import FileProblem
from chatarmin_os.backfill.row import origin_of, row_to_json

if TYPE_CHECKING:
    from pathlib import Path

TABLE = """\
external_org_id;Company;note
org_1;Müller;"a
b"
;Acme;;
org_2;Bolt
org_3;Cone;x;y
org_4;"Dot"s;z
"""


def _failures(found: list[Row | InvalidInput]) -> list[tuple[Any, str]]:
    """Return rows and errors in the form of a checkpoint; all of them failed."""
    sources = []
    for one in found:
        origin = origin_of(one) if isinstance(one, Row) else None
        source = one.source if isinstance(one, FileProblem) else origin and origin.source
        sources.append((json.loads(json.dumps(source)), "refused"))
    return sources


def _write(path: Path, failures: list[tuple[Any, str]]) -> None:
    path.write_bytes(b"".join(lines_of_failures(failures)))


def test_table_keeps_its_columns(tmp_path: Path) -> None:
    """Rows that cannot be read are not repaired silently: they are refused again."""
    found = read_text(tmp_path, TABLE)
    path = tmp_path / "failed.csv"
    _write(path, _failures(found))

    assert path.read_text(encoding="utf-8") == (
        "external_org_id,Company,note,error\n"
        'org_1,Müller,"a\nb",refused\n'
        ",Acme,,,refused\n"
        "org_2,Bolt,refused\n"
        "org_3,Cone,x,y,refused\n"
        '"org_4;""Dot""s;z\n",refused\n'
    )
    again = read(path)
    assert again[0] == Row("org_1", "Müller")
    assert all(isinstance(one, InvalidInput) for one in again[1:])
    assert len(again) == len(found) == 5


def test_column_error_is_replaced(tmp_path: Path) -> None:
    """A second run on the file of a first one does not add another."""
    path = write(tmp_path, "external_org_id,error,name\norg_1,old,Acme\n")
    _write(path, _failures(read(path)))

    assert path.read_text() == "external_org_id,name,error\norg_1,Acme,refused\n"


def test_objects_keep_their_keys(tmp_path: Path) -> None:
    """Also lines that are no objects."""
    found = read_text(
        tmp_path, '{"external_org_id": 1, "name": "Müller", "x": [1.5]}\n5\n{"a\n', name="customers.jsonl"
    )
    path = tmp_path / "failed.jsonl"
    _write(path, _failures(found))

    assert path.read_text(encoding="utf-8") == (
        '{"external_org_id": 1, "name": "Müller", "x": [1.5], "error": "refused"}\n'
        '{"object": 5, "error": "refused"}\n'
        '{"text": "{\\"a\\n", "error": "refused"}\n'
    )
    assert read(path)[0] == Row("1", "Müller")


def test_bytes_are_those_of_the_file(tmp_path: Path) -> None:
    """A row in another encoding can be converted in the file of failed rows."""
    content = "external_org_id,name\norg_1,Müller\n".encode("cp1252")
    path = tmp_path / "failed.csv"
    _write(path, _failures(read_text(tmp_path, content)))

    assert path.read_bytes() == "external_org_id,name,error\norg_1,Müller,refused\n".encode("cp1252")


def test_half_of_a_surrogate_pair_is_refused_again(tmp_path: Path) -> None:
    """It is no text in UTF-8: the file is written nevertheless, and no name is changed."""
    found = read_text(tmp_path, '{"external_org_id": "1", "name": "\\ud800"}', name="customers.jsonl")
    found += read_text(tmp_path, "external_org_id,name\n1,".encode("utf-16") + b"\x00\xd8")
    path = tmp_path / "failed"

    for failure in _failures(found):
        _write(path, [failure])
        (error,) = read(path)
        assert "column 'name': the byte 0xED is not UTF-8" in str(error)


def test_rows_of_a_program_are_objects(tmp_path: Path) -> None:
    """In a table they are one cell, which is refused until it is corrected."""
    row = Row("org_1", "Acme", contacts=["ann@a.example"])
    failure = ({"object": row_to_json(row)}, "refused")
    lines, table = tmp_path / "failed.jsonl", tmp_path / "failed.csv"
    _write(lines, [failure])
    _write(table, [({"columns": ["external_org_id", "name"], "cells": ["org_2", "Bolt"]}, "refused"), failure])

    assert read(lines) == [row]
    good, bad = read(table)
    assert good == Row("org_2", "Bolt")
    assert isinstance(bad, InvalidInput)
    assert list(lines_of_failures([])) == []
