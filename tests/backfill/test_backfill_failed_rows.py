"""The file of the rows that failed: as they came, with a column `error`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from customer_files import HEADER, read, read_text, write

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
        ",Acme,,refused\n"
        "org_2,Bolt,refused\n"
        "org_3,Cone,x,y,refused\n"
        '"org_4;""Dot""s;z\n",refused\n'
    )
    again = read(path)
    assert again[0] == Row("org_1", "Müller")
    assert all(isinstance(one, InvalidInput) for one in again[1:])
    assert len(again) == len(found) == 5


def test_rows_that_do_not_fit_are_refused_by_every_further_run(tmp_path: Path) -> None:
    """The error of a short row must not become the value of its last column, and no cell is lost."""
    path = write(tmp_path, "external_org_id,name,tier_code\norg_1,Acme\norg_2,Bolt,pro,x\norg_3,Cone,\n")
    for _ in range(3):
        *refused, last = read(path)
        assert [isinstance(one, InvalidInput) for one in refused] == [True, True]
        assert last == Row("org_3", "Cone")
        _write(path, _failures([*refused, last]))

    lines = path.read_text().splitlines()
    assert lines[0] == "external_org_id,name,tier_code,error"
    assert lines[1].startswith("org_1,Acme,refused,")
    assert lines[2].startswith("org_2,Bolt,pro,x,refused,")


def test_blank_cells_behind_the_last_column_are_left_out(tmp_path: Path) -> None:
    """Else the row would not fit the header with the column `error`."""
    path = write(tmp_path, "external_org_id,name\norg_1,Acme,, \n")
    row = read(path)
    _write(path, _failures(row))

    assert path.read_text() == "external_org_id,name,error\norg_1,Acme,refused\n"
    assert read(path) == row == [Row("org_1", "Acme")]


def test_letters_of_any_kind_are_kept(tmp_path: Path) -> None:
    """Formulas and line ends of each kind, also on versions of Python that do not quote a carriage return."""
    names = [
        "=1+1",
        "@A",
        "+A",
        "-A",
        "A\rB",
        "A\r\nB",
        "A\nB",
        'A "B" C',
        "A\\B\\",
        "A\u2028B",
        "A\tB",
        "A;B",
        "A\ufeffB",
    ]
    text = "".join(f'org_{place},"{name.replace(chr(34), chr(34) * 2)}"\n' for place, name in enumerate(names))
    rows = read_text(tmp_path, HEADER + text)
    path = tmp_path / "failed.csv"
    _write(path, _failures(rows))

    assert read(path) == rows == [Row(f"org_{place}", name) for place, name in enumerate(names)]


def test_backslash_escape_is_refused_again(tmp_path: Path) -> None:
    """The file of failed rows has commas, so its backslashes would be letters."""
    (error,) = read_text(tmp_path, "external_org_id\tname\torg\norg_1\tAcme\\nInc\tx\n")
    path = tmp_path / "failed.csv"
    _write(path, _failures([error]))

    assert path.read_text() == "external_org_id,name,org,error\norg_1\tAcme\\nInc\tx,refused\n"
    (again,) = read(path)
    assert isinstance(again, InvalidInput)
    assert again.problem == "expected 4 cells, got 2"


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
