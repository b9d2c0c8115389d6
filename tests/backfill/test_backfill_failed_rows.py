"""The file of the rows that failed: as they came, with a column `error`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from customer_files import HEADER, read, read_text, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatarmin_os import InvalidInput
from chatarmin_os.backfill import Row
from chatarmin_os.backfill.failed import lines_of_failures
from chatarmin_os.backfill.problems import FileProblem
from chatarmin_os.backfill.row import origin_of, row_of, row_to_json

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
    path.write_bytes(b"".join(lines_of_failures(failures, str(path))))


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


def test_rows_of_a_program_in_the_table_of_a_file_are_one_cell(tmp_path: Path) -> None:
    """Each row is read with the columns of the first one, so rows with others are refused until they are corrected."""
    row = {"row": row_to_json(Row("org_1", "Acme", contacts=["ann@a.example"]))}
    first = {"columns": ["name", "external_org_id"], "cells": ["Bolt", "org_2"]}
    second = {"columns": ["external_org_id", "name"], "cells": ["org_3", "Cone"]}
    path = tmp_path / "failed.csv"
    _write(path, [(source, "refused") for source in (first, row, second, {"object": 5})])

    good, *bad = read(path)
    assert good == Row("org_2", "Bolt")
    assert len(bad) == 3
    assert all(isinstance(one, InvalidInput) for one in bad)
    assert all(word in path.read_text() for word in ("ann@a.example", "org_3", "Cone"))


def test_table_behind_objects_is_refused_alone(tmp_path: Path) -> None:
    """Rows of two files, or of a program and a file."""
    table = {"columns": ["external_org_id", "name"], "cells": ["org_2", "Bolt"]}
    path = tmp_path / "failed.jsonl"
    for first in ({"object": {"external_org_id": "1", "name": "A"}}, {"row": {"external_org_id": "1", "name": "A"}}):
        _write(path, [(first, "refused"), (table, "refused")])
        good, bad = read(path)
        assert good == Row("1", "A")
        assert isinstance(bad, InvalidInput)
        assert "Bolt" in path.read_text()


def test_row_that_cannot_be_read_comes_first(tmp_path: Path) -> None:
    """It costs itself only, though no key of it is known; in another file, that ends the run."""
    first = '{"text": "{\\"a", "error": "refused"}\n'
    second = '{"external_org_id": "1", "name": "A", "error": "refused"}\n'

    bad, good = read_text(tmp_path, first + second, name="failed.jsonl")

    assert isinstance(bad, InvalidInput)
    assert good == Row("1", "A")
    assert len(read_text(tmp_path, first.replace("error", "x") + second, name="failed.jsonl")) == 1


ENDINGS = [".csv", ".TSV", ".tab", ".txt", ".json", ".jsonl", ".ndjson", "", ".csv.gz", ".failed"]
FILES = {
    "comma": ("a.csv", 'external_org_id,name,note\norg_1,Müller,"a\nb"\norg_2,\norg_3,"a\\nb",\n'),
    "tab": ("a.tsv", "external_org_id\tname\torg\norg_1\tAcme, Inc\t\norg_2\tA\\nB\t\norg_3\tC\\D\tx\n"),
    "apostrophes": ("a.csv", "'external_org_id';'name'\n'org_1';'A \"b\"'\n'org_2';\n"),
    "json": ("a.json", '[{"external_org_id": 1, "name": "A, \\"b", "contacts": ["ann@a.example"]}, 5, {"name": "B"}]'),
    "json-lines": ("a.jsonl", '{"external_org_id": "1", "name": " A\\tB ", "x": {"y": [1]}}\n{"a\n{"name": "B"}\n'),
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("form", FILES)
def test_rows_of_a_file_read_back_equal(tmp_path: Path, form: str, ending: str) -> None:
    """In their own form, whatever the ending of the path; rows that were refused are refused again, each alone."""
    name, content = FILES[form]
    found = read_text(tmp_path, content, name=name)[::-1]  # the first one lacks the id, or cannot be read
    path = tmp_path / f"failed{ending}"
    _write(path, _failures(found))

    again = read(path)

    assert [one if isinstance(one, Row) else None for one in again] == [
        one if isinstance(one, Row) else None for one in found
    ]
    assert {type(one) for one in found} == {Row, FileProblem}


PROGRAM: list[Any] = [
    {"external_org_id": "org_1", "name": 'A, "b"\n\\', "contacts": ["ann@a.example", {"email": "b@a.at", "name": "ü"}]},
    {"external_org_id": " org_2", "name": "B"},
    {"external_org_id": "org_3", "name": "C", "created_at": "2024-01-15T12:30:00.123Z", "label": "x\ty", "domain": ""},
    {"external_org_id": "org_4", "name": 5},
    {"external_org_id": "org_5", "name": "E", "plan": "pro"},
    {"external_org_id": "org_6", "name": "F", "contacts": "ann@a.example"},
    5,
]
KEPT = [row_of(PROGRAM[0]), row_of(PROGRAM[2])]


@pytest.mark.parametrize("ending", ENDINGS)
def test_rows_of_a_program_read_back_equal(tmp_path: Path, ending: str) -> None:
    """The ending decides: a table has the fields as columns. A row without its form is kept, and refused."""
    path = tmp_path / f"failed{ending}"
    _write(path, [({"row": row}, "refused") for row in PROGRAM])
    is_table = ending.lower() in {".csv", ".tsv", ".tab", ".txt", ".csv.gz"}

    found = read(path)

    rows = [one for one in found if isinstance(one, Row)]
    assert len(found) == len(PROGRAM)
    if is_table:
        assert rows == KEPT
        assert path.read_text().startswith("external_org_id,") or ending != ".csv"
    else:  # JSON keeps white space, and a program's unknown keys are ignored columns
        assert rows == [KEPT[0], row_of(PROGRAM[1]), KEPT[1], Row("org_5", "E")]
    assert all(word in path.read_text() for word in ("org_2", "org_4", "plan", "org_6"))


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
VALUES = {
    "external_org_id": TEXTS,
    "name": TEXTS,
    "domain": TEXTS,
    "tier_code": TEXTS,
    "contact_email": st.from_regex(r"[a-z'+=-]{1,5}@[a-z]{1,5}", fullmatch=True),
    "contact_name": TEXTS,
    "created_at": st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    "label": TEXTS,
    "contacts": st.lists(
        st.fixed_dictionaries(
            {"email": st.just("ann@a.example"), "name": TEXTS, "metadata": st.just({"a": ['"\\\\"']})}
        ),
        max_size=2,
    ),
}


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    given_rows=st.lists(st.fixed_dictionaries({}, optional=VALUES), min_size=1, max_size=4),
    ending=st.sampled_from(ENDINGS),
)
def test_any_row_of_a_program_reads_back_equal_or_is_refused(
    tmp_path: Path, given_rows: list[dict[str, Any]], ending: str
) -> None:
    """No value changes on the way."""
    rows = []
    for number, one in enumerate(given_rows):
        try:
            rows.append(row_of({"external_org_id": f"org_{number}", "name": "A", **one}))
        except InvalidInput:
            continue
    path = tmp_path / f"failed{ending}"
    _write(path, [({"row": row_to_json(row)}, "refused") for row in rows])

    for row, again in zip(rows, read(path) if rows else [], strict=True):
        assert isinstance(again, InvalidInput) or again == row
