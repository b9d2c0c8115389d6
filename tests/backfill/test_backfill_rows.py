"""A row: its arguments, its content hash, and its place in a file; the error of a file."""

from __future__ import annotations

import copy
import gc
import io
import json
import pickle
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
import pytest
from customer_files import HEADER, error_of, read, read_text, write

from chatarmin_os import ContactInput, InvalidInput
from chatarmin_os.backfill import Row, read_rows
from chatarmin_os.backfill.problems import FileProblem
from chatarmin_os.backfill.row import Origin, content_hash, origin_of, row_of, row_to_json

FULL = {
    "external_org_id": "org_1",
    "name": "Müller",
    "domain": "mueller.example",
    "tier_code": "pro",
    "contact_email": "ann@mueller.example",
    "contact_name": "Ann",
    "created_at": "2024-01-15T12:30:00.000Z",
    "contacts": [
        {"email": "ann@mueller.example", "name": "Ann", "metadata": {"b": 1, "a": [True, None]}},
        {"email": "bob@mueller.example"},
    ],
    "stripe_subscription_id": "sub_1",
    "label": "main",
}


def test_row_has_the_documented_fields() -> None:
    """In this order."""
    assert [field.name for field in attrs.fields(Row)] == list(FULL)


def test_row_is_read_from_mapping_and_back() -> None:
    """JSON has no field that is None or empty."""
    row = row_of(FULL)

    assert row.created_at == datetime(2024, 1, 15, 12, 30, tzinfo=UTC)
    assert row.contacts[1] == ContactInput(email="bob@mueller.example")
    assert row_to_json(row) == FULL
    assert row_of(json.loads(json.dumps(row_to_json(row)))) == row
    assert row_to_json(Row("org_1", "Acme")) == {"external_org_id": "org_1", "name": "Acme"}
    assert row_of(row) is row


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"external_org_id": 42}, "external_org_id: must be text or uuid.UUID, got int 42; pass str(42)"),
        ({"external_org_id": " "}, "external_org_id: must not be blank"),
        ({"name": None}, "name: expected text, got None"),
        ({"domain": "N/A"}, "domain: a placeholder, not a value, got str 'N/A'; write an empty cell, null in JSON, or"),
        ({"external_org_id": "None"}, "external_org_id: a placeholder, not a value, got str 'None'"),
        ({"stripe_subscription_id": "sub\u200b_1"}, "stripe_subscription_id: the invisible character U+200B"),
        ({"tier_code": "pro\n"}, "tier_code: the invisible character U+000A"),
        ({"contact_email": "Ann <ann@a.example>"}, "contact_email: not an e-mail address"),
        ({"contact_email": "ann@a.example, bob@a.example"}, "contact_email: not an e-mail address"),
        ({"created_at": "0001-01-01T00:00:00Z"}, "created_at: a date that stands for a missing one, got str '0001-"),
        ({"created_at": datetime(1970, 1, 1, tzinfo=UTC)}, "created_at: a date that stands for a missing one, got da"),
        ({"created_at": datetime(2024, 1, 15)}, "created_at: expected an offset from UTC"),  # noqa: DTZ001 - the case
        ({"contacts": "ann@a.example"}, "contacts: expected a list of contacts or e-mail addresses, got one str"),
        ({"contacts": ["ann@a.example", "bob"]}, "contacts[1].email: not an e-mail address, got str 'bob'; write one"),
        ({"contacts": [{"email": "ann@a.example\u200b"}]}, "contacts[0].email: the invisible character U+200B"),
        ({"contacts": [ContactInput(email="ann")]}, "contacts[0].email: not an e-mail address"),
        ({"contacts": [{"email": " ", "name": "Ann"}]}, "contacts[0].email: required"),
        ({"contacts": [{"phone": None}]}, "contacts[0].phone: no such field"),
        ({"contacts": [5]}, "contacts[0]: expected a mapping with email"),
        ({"plan": "pro"}, "plan: no such field; allowed: external_org_id, name"),
    ],
    ids=lambda value: next(iter(value)).replace("_", "-") if isinstance(value, dict) else "",
)
def test_invalid_argument_is_named(arguments: dict[str, Any], text: str) -> None:
    """The arguments are validated as those of the client are."""
    with pytest.raises(InvalidInput) as refused:
        row_of({"external_org_id": "org_1", "name": "Acme"} | arguments)

    assert str(refused.value).startswith(text)
    assert refused.value.line is None


OPTIONAL = [name for name in FULL if name not in {"external_org_id", "name"}]


@pytest.mark.parametrize("blank", ["", " \n", None], ids=["empty", "white-space", "none"])
@pytest.mark.parametrize("field", OPTIONAL)
def test_blank_text_is_a_missing_value(tmp_path: Path, field: str, blank: str | None) -> None:
    """A `CharField` of Django that has no value is blank: in files, mappings and rows alike."""
    mapping = {name: value for name, value in FULL.items() if name != field}
    given: dict[str, Any] = {**mapping, field: blank}

    assert row_of(given) == Row(**given) == row_of(mapping)
    assert read_text(tmp_path, json.dumps(given), name="customers.json") == [row_of(mapping)]


@pytest.mark.parametrize("blank", ["", " \n", None], ids=["empty", "white-space", "none"])
def test_blank_text_of_a_contact_is_a_missing_value(tmp_path: Path, blank: str | None) -> None:
    """A contact without any value is left out, as an outer join has it; its other values are not lost."""
    full: dict[str, Any] = {
        "email": "ann@a.example",
        "name": "Ann",
        "role": "CEO",
        "avatar_url": "https://a.example/ann",
    }
    contacts = [{**full, name: blank} for name in ("name", "role", "avatar_url")]
    given = {
        "external_org_id": "org_1",
        "name": "Acme",
        "contacts": [blank, *contacts, {"email": blank, "name": blank}],
    }
    expected = [
        ContactInput(**{key: value for key, value in full.items() if key != name})
        for name in ("name", "role", "avatar_url")
    ]

    assert list(row_of(given).contacts) == expected
    cell = json.dumps(given["contacts"]).replace('"', '""')
    table = f'external_org_id;name;contacts\norg_1;Acme;"{cell}"\n'
    for text, name in ((json.dumps(given), "customers.json"), (table, "customers.csv")):
        (row,) = read_text(tmp_path, text, name=name)
        assert isinstance(row, Row)
        assert list(row.contacts) == expected


def test_array_of_postgresql_may_have_no_elements(tmp_path: Path) -> None:
    """`array_agg` of an outer join is `{NULL}`."""
    rows = read_text(tmp_path, 'external_org_id;name;contacts\n1;A;{NULL}\n2;B;"{ann@a.example,"""",NULL}"\n3;C;{}\n')

    assert [[contact.email for contact in row.contacts] for row in rows if isinstance(row, Row)] == [
        [],
        ["ann@a.example"],
        [],
    ]


@pytest.mark.parametrize("missing", ["external_org_id", "name"])
def test_id_and_name_are_required(missing: str) -> None:
    """A company without a name cannot be created."""
    with pytest.raises(InvalidInput, match=f"^{missing}: required$"):
        row_of({name: value for name, value in FULL.items() if name != missing})


def test_contacts_have_three_forms() -> None:
    """Also together, and lazily."""
    given = ("ann@a.example", {"email": "bob@a.example"}, ContactInput(email="cid@a.example"))

    contacts = Row("org_1", "Acme", contacts=iter(given)).contacts

    assert [contact.email for contact in contacts] == ["ann@a.example", "bob@a.example", "cid@a.example"]
    assert Row("org_1", "Acme", contacts=None).contacts == ()


def test_content_hashes_are_those_on_record() -> None:
    """A checkpoint of an older version must recognise its rows: these hashes never change."""
    assert content_hash(Row("org_1", "Acme Inc")) == "529d95ba4179d3abe9b243c2477837fa25e857ffbe5a24e4462201c400643349"
    assert content_hash(row_of(FULL)) == "1e67af90c3e1e6d5a525b520a8c76c11b678158581c2e82bb16ddabd120a90e6"


def test_content_hash_depends_on_content_only() -> None:
    """Not on the spelling of a date, the form of a contact, or the order of keys."""
    same = FULL | {
        "created_at": "2024-01-15T14:30:00+02:00",
        "contacts": [
            ContactInput(email="ann@mueller.example", name="Ann", metadata={"a": [True, None], "b": 1}),
            "bob@mueller.example",
        ],
    }
    row = row_of(FULL)

    assert content_hash(row_of(dict(reversed(same.items())))) == content_hash(row)
    optional = [name for name in FULL if name not in {"external_org_id", "name"}]
    changed = [row_of({**FULL, name: None}) for name in optional]
    changed += [attrs.evolve(row, contacts=row.contacts[::-1]), attrs.evolve(row, name="Mueller")]
    assert len({content_hash(one) for one in [row, *changed]}) == len(changed) + 1
    uuid = UUID("12345678-1234-5678-1234-567812345678")
    assert content_hash(Row(uuid, "A")) == content_hash(Row(str(uuid), "A"))


def test_content_hash_is_the_same_in_another_process() -> None:
    """Hashes of Python's own depend on a random seed."""
    code = (
        "import sys, json; from chatarmin_os.backfill.row import content_hash, row_of; "
        "print(content_hash(row_of(json.load(sys.stdin))))"
    )
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code], input=json.dumps(FULL), capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == content_hash(row_of(FULL))


def test_row_of_file_knows_its_place(tmp_path: Path) -> None:
    """The row as the file has it is JSON; neither equality, nor hash, nor a pickle has part in it."""
    table = read_text(tmp_path, '\nexternal_org_id; name;x\norg_1;" A\nB";ü\norg_2;C;\n')
    document = read_text(tmp_path, '[\n{"external_org_id": 1, "name": "A", "x": [1.5]}]', name="customers.json")
    row = table[0]
    assert isinstance(row, Row)
    assert isinstance(document[0], Row)

    assert origin_of(row) == Origin(3, {"columns": ("external_org_id", "name", "x"), "cells": ["org_1", " A\nB", "ü"]})
    assert isinstance(table[1], Row)
    assert origin_of(table[1]) == Origin(5, {"columns": ("external_org_id", "name", "x"), "cells": ["org_2", "C", ""]})
    assert origin_of(document[0]) == Origin(2, {"object": {"external_org_id": 1, "name": "A", "x": [1.5]}})
    json.dumps(origin_of(row))
    assert row == Row("org_1", "A\nB")
    assert content_hash(row) == content_hash(Row("org_1", "A\nB"))
    assert hash(row) == hash(Row("org_1", "A\nB"))
    assert pickle.loads(pickle.dumps(row)) == row  # noqa: S301 - pickled here
    assert [origin_of(one) for one in (copy.copy(row), attrs.evolve(row), Row("a", "b"))] == [None, None, None]


def test_refused_row_is_kept_as_the_file_has_it(tmp_path: Path) -> None:
    """For a file of the rows that failed."""
    errors = read_text(tmp_path, HEADER + ',Acme\norg_1\norg_2,"a"b\n')
    lines = read_text(tmp_path, '{"external_org_id": "", "name": "A"}\n5\n{"a\n', name="customers.jsonl")
    columns = ("external_org_id", "name")

    assert [getattr(error, "source", None) for error in errors + lines] == [
        {"columns": columns, "cells": ["", "Acme"]},
        {"columns": columns, "cells": ["org_1"]},
        {"columns": columns, "text": 'org_2,"a"b\n'},
        {"object": {"external_org_id": "", "name": "A"}},
        {"object": 5},
        {"text": '{"a\n'},
    ]


def test_bytes_that_are_not_utf_8_survive_in_the_kept_row(tmp_path: Path) -> None:
    """The file of the rows that failed has the same bytes again."""
    content = "external_org_id,name\norg_1,Müller\n".encode("cp1252")
    (error,) = read_text(tmp_path, content)

    assert isinstance(error, FileProblem)
    kept = json.loads(json.dumps(error.source))["cells"][1]
    assert kept.encode("utf-8", "surrogateescape") == "Müller".encode("cp1252")


def test_error_of_file_pickles_and_has_its_parts(tmp_path: Path) -> None:
    """Its `args` make the same error, as those of all errors of the package do."""
    error = error_of(tmp_path, HEADER + "org_1,\n")
    assert isinstance(error, FileProblem)

    for other in (pickle.loads(pickle.dumps(error)), type(error)(*error.args)):  # noqa: S301 - pickled here
        assert str(other) == str(error)
        assert vars(other) == vars(error)
    assert (error.field, error.line, error.column, error.problem) == ("name", 2, "name", "must not be empty")
    assert error.file == str(tmp_path / "customers.csv")
    assert error.source == {"columns": ("external_org_id", "name"), "cells": ["org_1", ""]}
    assert str(FileProblem("is empty", "export it again")) == "is empty; export it again"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"path": None}, "path: expected a path, or '-' for standard input, got None"),
        ({"path": 0}, "path: expected a path, or '-' for standard input, got int 0"),
        ({"path": b"a.csv"}, "path: expected a path, or '-' for standard input, got bytes b'a.csv'"),
        ({"mapping": "id=name"}, "mapping: expected a mapping of columns to fields, got str 'id=name'"),
        ({"mapping": {1: "name"}}, "mapping: columns must be text, got int 1"),
        ({"mapping": {"id": "plan"}}, "mapping.id: no such field, got str 'plan'; allowed: external_org_id, name"),
        ({"mapping": {"id": ["name"]}}, "mapping.id: no such field, got list ['name']; allowed: external_org_id"),
        ({"mapping": {"a": "name", "b": "name"}}, "mapping.b: name is mapped already; map one column to each field"),
    ],
    ids=["no-path", "descriptor", "bytes", "text", "number", "unknown-field", "list", "twice"],
)
def test_invalid_argument_of_read_rows_is_refused_at_once(arguments: dict[str, Any], text: str) -> None:
    """Before the file is opened."""
    with pytest.raises(InvalidInput) as refused:
        read_rows(**({"path": "customers.csv"} | arguments))

    assert str(refused.value).startswith(text)


@pytest.mark.parametrize("name", ["missing.csv", "folder", "a\0b"])
def test_file_that_cannot_be_opened_is_invalid_input(tmp_path: Path, name: str) -> None:
    """The error names it, and the iterator ends."""
    (tmp_path / "folder").mkdir()

    (error,) = read(f"{tmp_path}/{name}")

    assert isinstance(error, InvalidInput)
    assert "the file could not be opened: " in str(error)
    assert error.line is None


@pytest.mark.parametrize(
    "content",
    [
        HEADER + "org_1,Acme\n",
        '[{"external_org_id": "org_1", "name": "Acme"}]',
        '{"external_org_id": "org_1", "name": "Acme"}',
    ],
    ids=["table", "array", "lines"],
)
def test_standard_input_is_read_and_stays_open(monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    """Its format is that of its first letters."""
    stdin = io.TextIOWrapper(io.BytesIO(content.encode()))
    monkeypatch.setattr(sys, "stdin", stdin)

    assert read("-") == [Row("org_1", "Acme")]
    gc.collect()
    assert not stdin.buffer.closed


def test_error_of_standard_input_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if it has no bytes."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"id\n")))
    (error,) = read("-")
    monkeypatch.setattr(sys, "stdin", io.StringIO("id\n"))
    (closed,) = read("-")

    assert str(error).startswith("standard input, line 1: no column is certain to be external_org_id")
    assert str(closed) == "standard input: the file has no bytes"


def test_abandoned_iterator_closes_its_file(tmp_path: Path) -> None:
    """An open file would be a warning, which fails the test."""
    rows = read_rows(write(tmp_path, HEADER + "org_1,A\norg_2,B\n"))

    assert next(rows) == Row("org_1", "A")
    del rows
    gc.collect()
    read_rows(tmp_path / "customers.csv")
    gc.collect()


def test_path_may_be_any_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative ones too; a file may be named "-" with its folder."""
    write(tmp_path, HEADER + "org_1,A\n", "-")
    monkeypatch.chdir(tmp_path)

    assert read("./-") == read(tmp_path / "-") == [Row("org_1", "A")]
    assert list(read_rows(Path("-").absolute())) == [Row("org_1", "A")]
