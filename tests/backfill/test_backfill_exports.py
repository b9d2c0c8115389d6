"""Files as other programs export them: understood, asked for with a mapping, or refused with line and column."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from cases import check_each
from customer_files import HEADER, error_of, read, read_text

from chatarmin_os import InvalidInput
from chatarmin_os.backfill import Row, read_rows
from chatarmin_os.backfill.columns import field_of
from chatarmin_os.backfill.reading import Rows
from chatarmin_os.backfill.row import FIELDS

if TYPE_CHECKING:
    import logging

NOON = datetime(2024, 1, 15, 12, 30, tzinfo=UTC)


class Export(NamedTuple):
    """A file, its mapping, and its rows."""

    content: str | bytes
    rows: list[Row]
    mapping: dict[str, str | None] | None = None
    name: str = "export.csv"


# The columns and the time zones of the programs:
# Stripe: https://docs.cello.so/guides/attribution/stripe-reports (`id`, `Created (UTC)`, columns of metadata)
# HubSpot: https://legacydocs.hubspot.com/docs/faq/how-should-timestamps-be-formatted-for-hubspots-apis (milliseconds in
#   the API, and the time zone of the user elsewhere)
# Chargebee: https://www.chargebee.com/docs/billing/2.0/kb/billing/
#   what-is-the-impact-of-changing-site-timezone-on-subscriptions-next-billing-dates (of the site, or UTC)
EXPORTS = {
    "stripe-customers": Export(
        "id,Description,Email,Name,Created (UTC),Delinquent,Total Spend,external_org_id (metadata)\n"
        'cus_A1,,ann@acme.example,"Acme, Inc.",2024-01-15 12:30,false,"1,250.00",org_1\n'
        "cus_B2,,,Bolt Ltd,2024-01-15 12:30,,0.00,org_2\n",
        [
            Row("org_1", "Acme, Inc.", contact_email="ann@acme.example", created_at=NOON),
            Row("org_2", "Bolt Ltd", created_at=NOON),
        ],
    ),
    "stripe-subscriptions": Export(
        "id,Customer ID,Customer Email,Plan,Created (UTC),org (metadata),team (metadata)\n"
        "sub_A1,cus_A1,ann@acme.example,price_1,2024-01-20 09:00,org_1,Acme\n",
        [Row("org_1", "Acme", stripe_subscription_id="sub_A1")],
        {
            "id": "stripe_subscription_id",
            "org (metadata)": "external_org_id",
            "team (metadata)": "name",
            "Created (UTC)": None,
        },
    ),
    "hubspot-companies": Export(
        '"Record ID","Company name","Company Domain Name","Create Date","Annual Revenue","Account number"\n'
        '"9001","Acme GmbH","acme.example","2024-01-15 13:30","€1.250,00","org_1"\n',
        [Row("org_1", "Acme GmbH", domain="acme.example")],
        {"Account number": "external_org_id", "Create Date": None},
    ),
    "hubspot-api": Export(
        '[{"name": "Acme", "domain": "acme.example", "createdate": "2024-01-15T12:30:00.000Z", "org": "org_1"},\n'
        ' {"name": "Bolt", "domain": null, "createdate": 1705321800000, "org": "org_2"}]',
        [
            Row("org_1", "Acme", domain="acme.example", created_at=NOON),
            Row("org_2", "Bolt", created_at=NOON),
        ],
        {"org": "external_org_id"},
        "export.json",
    ),
    "chargebee-customers": Export(
        "Customer Id,First Name,Last Name,Email,Company,Created At,Net Term Days\n"
        "org_1,Ann,Smith,ann@acme.example,Acme,15-Jan-2024 13:30,0\n",
        [Row("org_1", "Acme", contact_email="ann@acme.example")],
        {"Customer Id": "external_org_id", "Created At": None},
    ),
    "chargebee-in-utc": Export(
        "external_org_id,Company,Created At (UTC)\norg_1,Acme,15-Jan-2024 12:30\n",
        [Row("org_1", "Acme", created_at=NOON)],
    ),
    "postgres-copy": Export(
        "external_org_id,name,domain,created_at,contacts,tier_code\n"
        'org_1,Acme,,2024-01-15 12:30:00+00,"{ann@acme.example,bob@acme.example}",pro\n'
        'org_2,"Bolt ""the"" Ltd","",2024-01-15 14:30:00.000+02,,\n',
        [
            Row(
                "org_1",
                "Acme",
                created_at=NOON,
                contacts=["ann@acme.example", "bob@acme.example"],
                tier_code="pro",
            ),
            Row("org_2", 'Bolt "the" Ltd', created_at=NOON),
        ],
    ),
    "excel-german": Export(
        b"\xef\xbb\xbf" + 'external_org_id;name;MRR\r\norg_1;"Müller\r\nSöhne";1.250,00\r\n;;\r\n'.encode(),
        [Row("org_1", "Müller\r\nSöhne")],
    ),
    "excel-unicode-text": Export(
        "external_org_id\tname\r\norg_1\tMüller\r\n".encode("utf-16"), [Row("org_1", "Müller")], name="export.txt"
    ),
    "utf-16-big-endian": Export(
        b"\xfe\xff" + "external_org_id;name\norg_1;Müller\n".encode("utf-16-be"), [Row("org_1", "Müller")]
    ),
    "utf-32": Export("external_org_id;name\norg_1;Müller\n".encode("utf-32"), [Row("org_1", "Müller")]),
    "separator-line": Export("sep=|\nexternal_org_id|name\norg_1|Acme;Inc\n", [Row("org_1", "Acme;Inc")]),
    "tsv": Export("external_org_id\tname\norg_1\tAcme, Inc\n", [Row("org_1", "Acme, Inc")], name="export.tsv"),
    "backslashes": Export('external_org_id,name\norg_1,"Acme \\"the\\", Inc"\n', [Row("org_1", 'Acme "the", Inc')]),
    "backslashes-of-copy": Export(  # COPY c TO 'f' WITH (FORMAT csv, HEADER, ESCAPE '\\') of PostgreSQL 15
        'external_org_id,name,label\norg_1,"say \\"hi\\"",C:\\D.\\E\norg_2,"A\\\\, B",\\x\n',
        [Row("org_1", 'say "hi"', label="C:\\D.\\E"), Row("org_2", "A\\, B", label="\\x")],
    ),
    "backslashes-in-quoted-tsv": Export(
        '"external_org_id"\t"name"\n"org_1"\t"A\\n"\n', [Row("org_1", "A\\n")], name="export.tsv"
    ),
    "date-of-snowflake": Export(
        "external_org_id,name,created_at\n"
        "org_1,Acme,2024-01-15 13:30:00.000 +0100\norg_2,Bolt,2024-01-15 12:30:00.000 Z\n",
        [Row("org_1", "Acme", created_at=NOON), Row("org_2", "Bolt", created_at=NOON)],
    ),
    "apostrophes": Export("'external_org_id','name'\n'org_1','Acme, ''Inc'\n", [Row("org_1", "Acme, 'Inc")]),
    "apostrophes-as-letters": Export(HEADER + "org_1,'t Hoekje\n", [Row("org_1", "'t Hoekje")]),
    "inches-as-letters": Export(HEADER + 'org_1,5" Pipes\n', [Row("org_1", '5" Pipes')]),
    "spaces-after-separators": Export('external_org_id, name\norg_1, "Acme, Inc"\n', [Row("org_1", "Acme, Inc")]),
    "column-order-and-case": Export("NAME,External Org ID\nAcme,org_1\n", [Row("org_1", "Acme")]),
    "camel-case": Export("externalOrgId,name,tierCode\norg_1,Acme,pro\n", [Row("org_1", "Acme", tier_code="pro")]),
    "repeated-ignored-columns": Export("external_org_id,name,x,x,\norg_1,Acme,1,2,3\n", [Row("org_1", "Acme")]),
    "empty-cells-behind-the-last-column": Export(HEADER + "org_1,Acme,,\n", [Row("org_1", "Acme")]),
    "blank-rows": Export("\n ,\n" + HEADER + "\norg_1,Acme\n , \n,\n", [Row("org_1", "Acme")]),
    "no-rows": Export(HEADER, []),
    "no-line-end": Export(HEADER + "org_1,Acme", [Row("org_1", "Acme")]),
    "gzip": Export(gzip.compress((HEADER + "org_1,Acme\n").encode()), [Row("org_1", "Acme")], name="export.csv.gz"),
    "bzip2": Export(bz2.compress((HEADER + "org_1,Acme\n").encode()), [Row("org_1", "Acme")], name="export.csv.bz2"),
    "xz": Export(lzma.compress((HEADER + "org_1,Acme\n").encode()), [Row("org_1", "Acme")], name="export.csv.xz"),
    "gzip-by-content": Export(gzip.compress((HEADER + "org_1,Acme\n").encode()), [Row("org_1", "Acme")]),
    "gzip-by-name-only": Export(HEADER + "org_1,Acme\n", [Row("org_1", "Acme")], name="export.csv.gz"),
    "json-lines": Export(
        '{"external_org_id": 42, "name": "Acme", "label": ""}\n\n'
        '{"external_org_id": "org_2", "name": "Bolt", "contacts": ["ann@a.example", {"email": "b@b.example"}]}',
        [Row("42", "Acme"), Row("org_2", "Bolt", contacts=["ann@a.example", "b@b.example"])],
        name="export.jsonl",
    ),
    "json-lines-named-json": Export(
        '\n{"external_org_id": "1", "name": "A"}\n{"external_org_id": "2", "name": "B"}\n',
        [Row("1", "A"), Row("2", "B")],
        name="export.json",
    ),
    "json-array-named-json-lines": Export(
        '[\n{"external_org_id": "1", "name": "A"}\n]', [Row("1", "A")], name="export.ndjson"
    ),
    "json-objects-over-several-lines": Export(
        '\n{\n "external_org_id": "1",\n "name": "A"}\n{"external_org_id": "2",\n "name": "B"}\n',
        [Row("1", "A"), Row("2", "B")],
        name="export.json",
    ),
    "json-with-a-byte-order-mark": Export(
        b'\xef\xbb\xbf[{"external_org_id": "1", "name": "A"}]', [Row("1", "A")], name="export.json"
    ),
    "json-empty-array": Export(" [ ] ", [], name="export.json"),
    "json-by-content": Export('[{"external_org_id": "1", "name": "A"}]', [Row("1", "A")], name="export"),
    "contacts-as-json": Export(
        'external_org_id,name,contacts\norg_1,Acme,"[{""email"": ""ann@a.example"", ""role"": ""CEO""}]"\n',
        [Row("org_1", "Acme", contacts=[{"email": "ann@a.example", "role": "CEO"}])],
    ),
}


@pytest.mark.parametrize("export", EXPORTS.values(), ids=EXPORTS)
def test_export_is_understood(tmp_path: Path, export: Export) -> None:
    """Separator, quotes, encoding, compression and columns are those of the file."""
    assert read_text(tmp_path, export.content, name=export.name, mapping=export.mapping) == export.rows


ASKED = {
    "id": ("id,name\n", "no column is certain to be external_org_id"),
    "record-id": ("Record ID,Company name\n", "no column is certain to be external_org_id"),
    "customer-id": ("Customer Id,Company\n", "no column is certain to be external_org_id"),
    "no-name": ("external_org_id,First Name,Last Name\n", "no column is certain to be name"),
    "two-names": ("external_org_id,Name,Company\n", "several columns may be the field name: 'Name', 'Company'"),
    "two-equal-columns": ("external_org_id,name,name\n", "several columns may be the field name: 'name', 'name'"),
    "date-of-a-subscription": (
        "external_org_id,name,Customer ID,Created (UTC)\n",
        "'Created (UTC)' may be the date of a payment or subscription",
    ),
    "two-separators": ("id;company,since\n", "the header has two possible separators, comma and semicolon"),
    "date-of-a-payment": ("external_org_id,name,customer,created\n", "'created' may be the date of a payment"),
    "one-column": ("company\n", "no column is certain to be external_org_id; map one"),
    "title-above-the-table": ("Customers of 2024\n" + HEADER, "columns: 'Customers of 2024'"),
    "many-columns": (",".join(f"c{number}" for number in range(40)) + "\n", "'c29' and 10 more"),
    "no-header": ("org_1,Acme\norg_2,Bolt\n", "columns: 'org_1', 'Acme'"),
}


@pytest.mark.parametrize(("content", "problem"), ASKED.values(), ids=ASKED)
def test_uncertain_columns_are_asked_for(tmp_path: Path, content: str, problem: str) -> None:
    """The run ends before its first row; the error lists the columns and says how to map one."""
    error = error_of(tmp_path, content + "1,2,3,4\n" * 3)

    assert problem in str(error)
    assert (error.line, "customers.csv, line 1: " in str(error)) == (1, True)


def test_error_about_columns_names_those_read_and_the_way_to_map_them(tmp_path: Path) -> None:
    """The text can be followed without the documentation."""
    error = error_of(tmp_path, "ID;Firma\n")

    assert str(error).endswith(
        "customers.csv, line 1: no column is certain to be external_org_id or name; map one, as in "
        "mapping={'COLUMN': 'external_org_id'} or --map COLUMN=external_org_id; columns: 'ID', 'Firma'"
    )


def test_documented_names_of_columns_are_understood() -> None:
    """The table of the documentation is complete, and right."""
    page = (Path(__file__).parents[2] / "docs" / "backfill-files.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `(\w+)` \| (.+) \|$", page.partition("## Columns")[2].partition("## Values")[0], re.MULTILINE
    )
    documented = {field: re.findall("`([^`]+)`", names) for field, names in rows}

    assert list(documented) == list(FIELDS)
    for field, names in documented.items():
        for name in names:
            if name == "(UTC)":
                assert all(field_of(f"{other} (UTC)") == field for other in names[:-1])
            else:
                assert field_of(name) == field_of(f"{name} (metadata)") == field
    assert {field_of(name) for name in ("id", "Record ID", "Customer Id", "First Name", "plan", "Subscription Id")} == {
        None
    }


def test_mapped_column_has_to_exist(tmp_path: Path) -> None:
    """A typo in a mapping ends the run, with the column that is most like it."""
    error = error_of(tmp_path, "Org,name\n", mapping={"Orgs": "external_org_id"})
    other = error_of(tmp_path, "Org,name\n", mapping={"xyz": "external_org_id"})

    assert error.problem == "the mapped column 'Orgs' does not exist"
    assert error.hint == "did you mean 'Org'? columns: 'Org', 'name'"
    assert other.hint == "columns: 'Org', 'name'"


def test_ignored_columns_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A typo in the name of a column is visible; each name is logged once."""
    path = tmp_path / "customers.json"
    path.write_text(
        '[{"external_org_id": "1", "name": "A", "domian": "a.example"},\n'
        '{"external_org_id": "2", "name": "B", "domian": "b.example"},\n'
        '{"external_org_id": "3", "name": "C", "domian": "b.example", "x": 1}]'
    )
    rows = read_rows(path)

    assert [row.domain for row in rows] == [None, None, None]
    assert isinstance(rows, Rows)
    assert rows.ignored_columns == ("domian", "x")
    assert _messages(caplog) == [
        f"{path}: columns that are not read: 'domian'",
        f"{path}: columns that are not read: 'x'",
    ]


def test_columns_that_are_ignored_on_purpose_are_not_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A warning would be noise for a column that is mapped to None, and for the errors of a file of failed rows."""
    path = tmp_path / "failed.csv"
    path.write_text("external_org_id,name,Notes,error,errors\norg_1,Acme,x,NOT_FOUND: no such tier,y\n")

    assert list(read_rows(path, mapping={"Notes": None})) == [Row("org_1", "Acme")]

    assert _messages(caplog) == [f"{path}: columns that are not read: 'errors'"]


def _messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    records: list[logging.LogRecord] = caplog.records
    return [record.getMessage() for record in records]


REFUSED_ROWS = {
    "total": ("Total,12", "external_org_id", "a total, not an id, got str 'Total'; remove the row"),
    "empty-id": (",Acme", "external_org_id", "must not be empty"),
    "empty-name": ("org_1,", "name", "must not be empty"),
    "rounded-id": ("1.23E+11,Acme", "external_org_id", "a number that a program rounded or made a decimal, not an id"),
    "decimal-id": ("42.0,Acme", "external_org_id", "a number that a program rounded or made a decimal, not an id"),
    "formula": ('"=""0042""",Acme', "external_org_id", "a formula, not a value"),
    "null": (r"org_1,NULL", "name", "a placeholder, not a value, got str 'NULL'"),
    "null-of-copy": (r"org_1,\N", "name", "a placeholder, not a value"),
    "failed-formula": ("org_1,#REF!", "name", "a placeholder, not a value"),
    "failed-formula-in-german": ("org_1,#WERT!", "name", "a placeholder, not a value, got str '#WERT!'"),
    "failed-formula-of-libreoffice": ("org_1,Err:502", "name", "a placeholder, not a value"),
    "too-wide-for-its-column": ("####,Acme", "external_org_id", "a placeholder, not a value, got str '####'"),
    "total-of-a-pivot-table": ("Total (2),12", "external_org_id", "a total, not an id, got str 'Total (2)'"),
    "grouped-digits": ('"1,234,567",Acme', "external_org_id", "a number with separators, not an id"),
    "rounded-id-without-fraction": ("1E+05,Acme", "external_org_id", "a number that a program rounded"),
    "apostrophe-in-front-of-an-id": (
        "'0042,Acme",
        "external_org_id",
        "an apostrophe in front, with which spreadsheets",
    ),
    "invisible-letter-in-an-id": ("org\u200b_1,Acme", "external_org_id", "the invisible character U+200B, got str"),
    "header-again": ("external_org_id,name", None, "the header is repeated, as in files that were joined"),
    "header-again-with-mark": ("\ufeffexternal_org_id,name", None, "the header is repeated, as in files that were"),
    "between-apostrophes": ("org_1,'Acme'", "name", "a value between apostrophes"),
    "byte-zero": ("org_1,A\0B", "name", "must not contain U+0000"),
    "too-many-cells": ("org_1,Acme, Inc", None, "expected 2 cells, got 3"),
    "too-few-cells": ("org_1", None, "expected 2 cells, got 1"),
    "broken-quote": ('org_1,"Acme" Inc', None, "a broken quote: there is text behind a closing quote"),
    "huge-cell": ("org_1," + "x" * 140_000, None, "a cell has more than 131,072 characters: is a quote not closed?"),
}


@pytest.mark.parametrize(("row", "column", "problem"), REFUSED_ROWS.values(), ids=REFUSED_ROWS)
def test_refused_row_has_line_and_column_and_the_rest_is_read(
    tmp_path: Path, row: str, column: str | None, problem: str
) -> None:
    """The iterator goes on behind the row."""
    before, error, after = read_text(tmp_path, f"{HEADER}org_8,Before\n{row}\norg_9,After\n")

    assert (before, after) == (Row("org_8", "Before"), Row("org_9", "After"))
    assert isinstance(error, InvalidInput)
    assert error.line == 3
    place = f", column '{column}'" if column else ""
    assert f"customers.csv, line 3{place}: {problem}" in str(error)


MISSING = (
    *("NULL", "null", "Null", "(null)", "<null>", "[NULL]", "nil", "None", "(none)", "undefined", "(blank)", "(empty)"),
    *(
        r"\N",
        "NA",
        "<NA>",
        "N/A",
        "n/a",
        "n.a.",
        "NaN",
        "nan",
        "NaT",
        "#N/A",
        "#NV",
        "-",
        "--",
        "—",
        "\u2013",
        "?",
        "...",
        "----",
    ),
)
"""How databases, pandas, R, spreadsheets and people write a missing value."""


@pytest.mark.parametrize("field", [field for field in FIELDS if field != "created_at"])
def test_placeholder_is_no_value(tmp_path: Path, field: str) -> None:
    """A domain "n/a" would link all customers that have it to one company; in JSON it means the same."""
    names = dict.fromkeys(["external_org_id", "name", field])
    for text in MISSING:
        cells = {**dict.fromkeys(names, "Acme"), field: text}
        table = ",".join(names) + "\n" + ",".join(cells.values()) + "\n"
        problems = [error_of(tmp_path, table).problem]
        if field != "contacts":
            problems.append(error_of(tmp_path, json.dumps(cells), name="customers.jsonl").problem)
        assert {problem.partition(",")[0] for problem in problems} == {"a placeholder"}, text


def test_text_that_looks_like_a_placeholder_is_a_name(tmp_path: Path) -> None:
    """Names may consist of marks, or begin with a word for a missing value."""
    names = ["Null Island", "N/A Records", "!!!", "#1 Pizza!", "+", "🍕", "Total Energies", "NAN Ltd"]
    content = HEADER + "".join(f"org_{place},{name}\n" for place, name in enumerate(names))

    assert read_text(tmp_path, content) == [Row(f"org_{place}", name) for place, name in enumerate(names)]


def test_ids_that_look_like_numbers_or_totals_are_read(tmp_path: Path) -> None:
    """Only forms in which no program writes ids are refused."""
    ids = ["1e5", "12e4ab", "0042", "1.25", "total-energies", "123e4567-e89b-12d3-a456-426614174000", "7,5", "12,34"]
    content = "external_org_id;name\n" + "".join(f"{one};Acme\n" for one in ids)

    assert read_text(tmp_path, content) == [Row(one, "Acme") for one in ids]


TEXT_FORMAT = (
    "external_org_id\tname\tnotes\n"
    "org_1\tBolt\\nLtd\tx\n"
    "org_2\tAcme\\\\Sons\tx\n"
    "org_3\tAcme\t\\N\n"
    "org_4\t\\N\tx\n"
    "org_5\tAcme\\\n"
)
"""As COPY of PostgreSQL in its text format, SELECT INTO OUTFILE of MySQL and @tsv of jq write tables."""


def test_backslash_escapes_of_databases_cost_the_rows_that_have_them(tmp_path: Path) -> None:
    """No letter is guessed; columns that are not read may have them."""
    first, second, third, fourth, fifth = read_text(tmp_path, TEXT_FORMAT, name="customers.txt")

    assert third == Row("org_3", "Acme")
    expected = "a backslash escape, which may mean another letter, got str "
    for line, error, shown in ((2, first, r"'Bolt\\nLtd'"), (3, second, r"'Acme\\\\Sons'")):
        assert isinstance(error, InvalidInput)
        assert (error.line, error.problem) == (line, expected + shown)
    assert isinstance(fourth, InvalidInput)
    assert fourth.problem.startswith("a placeholder")
    assert isinstance(fifth, InvalidInput)
    assert fifth.problem == "expected 3 cells, got 2"


def test_null_of_mysql_is_no_letter(tmp_path: Path) -> None:
    r"""`csv` reads \N as the letter N, if quotes are written with backslashes."""
    content = '"external_org_id","name","label"\n"org_1","A \\"B\\"","x"\n"org_2","C",\\N\n'
    good, error = read_text(tmp_path, content)

    assert good == Row("org_1", 'A "B"', label="x")
    assert isinstance(error, InvalidInput)
    assert "line 3, column 'label': a placeholder, not a value" in str(error)


def test_quote_that_is_never_closed_costs_one_row(tmp_path: Path) -> None:
    """Reading continues on the next line, also if the quote would run to the end of the file."""
    content = HEADER + 'org_1,"Acme\n' + "".join(f"org_{number},Bolt\n" for number in range(2, 60_000))
    error, *rows = read_text(tmp_path, content)

    assert isinstance(error, InvalidInput)
    assert (error.line, error.problem) == (2, "a cell has more than 131,072 characters: is a quote not closed?")
    assert len(rows) == 59_998

    error, *rows = read_text(tmp_path, HEADER + 'org_1,"Acme\norg_2,Bolt\n')

    assert isinstance(error, InvalidInput)
    assert (error.line, error.problem, rows) == (2, "a quote is not closed", [Row("org_2", "Bolt")])


def test_rows_between_two_stray_quotes_are_not_a_name(tmp_path: Path) -> None:
    """The second quote, for inches, closes the first one: the cells are as many as the header has."""
    rows = "".join(f"org_{number},Bolt,\n" for number in range(2, 20))
    content = f'external_org_id,name,label\norg_1,"Acme,\n{rows}org_20,Pipes 5",\norg_21,Cone,\n'
    error, row = read_text(tmp_path, content)

    assert isinstance(error, InvalidInput)
    assert "line 2, column 'name': more than 10 line breaks: is a quote not closed?" in str(error)
    assert row == Row("org_21", "Cone")


def test_record_of_many_cells_is_bounded(tmp_path: Path) -> None:
    """A line of more than a mebibyte is one refused row, and is not held whole."""
    content = f"{HEADER}org_1,{'x,' * 2_000_000}\norg_2,Bolt\n"
    error, row = read_text(tmp_path, content)

    assert isinstance(error, InvalidInput)
    assert (error.line, row) == (2, Row("org_2", "Bolt"))
    assert error.problem == "the record has more than 1,048,576 characters: is a quote not closed?"


def test_text_behind_an_escaped_quote_is_refused(tmp_path: Path) -> None:
    """With backslashes too, a closing quote has a separator behind it."""
    good, error = read_text(tmp_path, HEADER + 'org_1,"Acme \\"the\\""\norg_2,"Bolt"s\n')

    assert good == Row("org_1", 'Acme "the"')
    assert isinstance(error, InvalidInput)
    assert (error.line, error.problem) == (3, "a broken quote: there is text behind a closing quote")


REFUSED_DATES = {
    "no-offset": ("2024-01-15 12:30", "the time has no offset from UTC"),
    "day-only": ("2024-01-15", "the time has no offset from UTC"),
    "digits-only": ("20240115", "no date"),
    "slashes": ("01/06/2024", "the order of day and month is not certain"),
    "slashes-with-time": ("1/15/2024 12:30", "the order of day and month is not certain"),
    "dots": ("15.01.2024", "the order of day and month is not certain"),
    "month-name": ("15-Jan-2024 12:30", "the time has no offset from UTC"),
    "month-of-another-language": ("15-Mai-2024 12:30 UTC", "no date"),
    "impossible-day": ("2024-02-30T12:30:00Z", "no possible date"),
    "impossible-day-in-utc": ("2024-02-30 12:30 UTC", "no possible date"),
    "impossible-month-name-day": ("31-Feb-2024 UTC", "no possible date"),
    "serial-number-of-a-spreadsheet": ("45306.52", "no date"),
    "words": ("yesterday", "no date"),
    "year-without-an-instant": ("0001-01-01T00:00:00+14:00", "no date"),
}


@pytest.mark.parametrize(("text", "problem"), REFUSED_DATES.values(), ids=REFUSED_DATES)
def test_uncertain_date_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    """The error has the value that was read, and the allowed ones."""
    error = error_of(tmp_path, f"external_org_id,name,Create Date\norg_1,Acme,{text}\n")

    assert f"line 2, column 'Create Date' (created_at): {problem}, got str {text!r}; write ISO 8601" in str(error)
    assert error.field == "created_at"


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00Z", "1970-01-01 00:00:00+00", "1899-12-30T00:00:00Z", "9999-12-31T23:59:59Z"]
)
def test_date_that_stands_for_a_missing_one_is_refused(tmp_path: Path, text: str) -> None:
    """The zero of Go, of Unix and of spreadsheets, and the last second of most programs."""
    error = error_of(tmp_path, f"external_org_id,name,created_at\norg_1,Acme,{text}\n")

    assert str(error).endswith(
        f"line 2, column 'created_at': a date that stands for a missing one, got str {text!r}; "
        "write an empty cell, null in JSON, or None in Python"
    )


def test_certain_dates_are_read(tmp_path: Path) -> None:
    """The same instant in each form."""
    forms = (
        "2024-01-15T12:30:00Z",
        "2024-01-15T12:30Z",
        "2024-01-15T13:30:00+01:00",
        "2024-01-15 12:30:00+00",
        "2024-01-15 12:30:00.000000+00",
        "2024-01-15 12:30:00 +0000",
        "2024-01-15 12:30:00 UTC",
        "2024-01-15 12:30:00.000 UTC",
        "2024-01-15 12:30 gmt",
        "20240115T123000Z",
        "15-Jan-2024 12:30 UTC",
        "1705321800",
        "1705321800000",
    )

    def check(text: str) -> None:
        assert read_text(tmp_path, f"external_org_id,name,created_at\norg_1,Acme,{text}\n") == [
            Row("org_1", "Acme", created_at=NOON)
        ]

    check_each(forms, check)
    day = read_text(tmp_path, "external_org_id,name,created (UTC)\norg_1,Acme,2024-01-15\n")
    assert day == [Row("org_1", "Acme", created_at=NOON.replace(hour=0, minute=0))]


REFUSED_CONTACTS = {
    "name-in-front": ("Ann <ann@a.example>", "not an e-mail address, got str 'Ann'"),
    "no-address": ("Ann", "not an e-mail address, got str 'Ann'"),
    "broken-json": ('"[""ann@a.example"""', "not a JSON list, got str '[\"a...@a.example\"'"),
    "deep-json": ("[" * 100_000, "not a JSON list"),
    "unknown-key": ('"[{""mail"": ""ann@a.example""}]"', "no such field; allowed: email"),
}


@pytest.mark.parametrize(("cell", "problem"), REFUSED_CONTACTS.values(), ids=REFUSED_CONTACTS)
def test_unreadable_contacts_are_refused(tmp_path: Path, cell: str, problem: str) -> None:
    """A part of a name must not become a contact."""
    error = error_of(tmp_path, f"external_org_id,name,contacts\norg_1,Acme,{cell}\n")

    assert "line 2, column 'contacts'" in str(error)
    assert problem in str(error)


@pytest.mark.parametrize("separators", [" ", ",", "; ", "\n", " ,\t;"])
def test_addresses_are_separated_by_spaces_commas_or_semicolons(tmp_path: Path, separators: str) -> None:
    """Any number of them."""
    cell = separators.join(["ann@a.example", "bob@b.example", ""])

    (row,) = read_text(tmp_path, f'external_org_id,name,contacts\norg_1,Acme,"{cell}"\n')

    assert row == Row("org_1", "Acme", contacts=["ann@a.example", "bob@b.example"])


@pytest.mark.parametrize("name", ["customers.csv", "customers.jsonl"])
def test_contact_email_is_one_address(tmp_path: Path, name: str) -> None:
    """The service would refuse two addresses, or a name in front of one, after other calls."""
    content = {
        "customers.csv": "external_org_id,name,email\norg_1,Acme,a@a.example; b@b.example\n",
        "customers.jsonl": '{"external_org_id": "1", "name": "A", "email": "Ann <ann@a.example>"}',
    }[name]

    error = error_of(tmp_path, content, name=name)

    assert "column 'email' (contact_email): not an e-mail address" in str(error)
    assert str(error).endswith("; write one address, without a name")


REFUSED_FILES = {
    "empty": (b"", "the file is empty"),
    "blank": (b" \n\n", "the file is empty, or begins with blank lines only"),
    "blank-cells": (b",,\n,,\n", "there is no header: all lines are blank"),
    "broken-header": (b'external_org_id,name,"x\norg_1,Acme,x\n', "there is no header: a quote is not closed"),
    "spreadsheet": (b"PK\x03\x04", "the file is a ZIP archive or a spreadsheet (.xlsx), not a text file; unpack it"),
    "old-spreadsheet": (b"\xd0\xcf\x11\xe0\xa1", "the file is an Excel file (.xls), not a text file"),
    "parquet": (b"PAR1", "the file is a Parquet file"),
    "utf-16-without-mark": ("external_org_id".encode("utf-16-le"), "as UTF-16 without a byte order mark"),
    "utf-16-cut": ("external_org_id;name\n".encode("utf-16")[:-1], "is damaged or cut off: truncated data"),
    "gzip-cut": (gzip.compress(b"external_org_id")[:-4], "is damaged or cut off: Compressed file ended before"),
    "gzip-damaged": (gzip.compress(b"external_org_id")[:12] + b"\xff" * 20, "is damaged or cut off: "),
    "gzip-without-content": (b"\x1f\x8b", "is damaged or cut off: "),
    "xz-damaged": (lzma.compress(b"external_org_id")[:-12] + b"\xff" * 12, "is damaged or cut off: "),
    "archive-in-gzip": (gzip.compress(b"PK\x03\x04"), "the file is a ZIP archive"),
}


@pytest.mark.parametrize(("content", "problem"), REFUSED_FILES.values(), ids=REFUSED_FILES)
def test_file_that_is_no_table_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    """One error, then the iterator ends."""
    error = error_of(tmp_path, content)

    assert problem in str(error)
    assert "customers.csv" in str(error)


@pytest.mark.parametrize("compression", [gzip, bz2, lzma], ids=["gzip", "bzip2", "xz"])
@pytest.mark.parametrize("damage", ["cut", "flipped-bit"])
def test_damaged_file_is_refused_before_its_first_row(tmp_path: Path, compression: Any, damage: str) -> None:
    """With one bit flipped, gzip yields wrong names, and fails at the end of the file only."""
    rows = "".join(f"org_{n},Company {n * 7919}\n" for n in range(20_000))
    content = bytearray(compression.compress((HEADER + rows).encode()))
    middle = len(content) // 2
    if damage == "cut":
        del content[middle:]
    else:
        content[middle] ^= 1

    assert "the file is damaged or cut off" in error_of(tmp_path, bytes(content)).problem


def test_damage_of_standard_input_ends_the_run_behind_the_rows_in_front_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has the line as far as the file was read: a stream cannot be read twice."""
    content = gzip.compress((HEADER + "".join(f"org_{n},Company {n * 7919}\n" for n in range(20_000))).encode())
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content[: len(content) // 2])))
    *rows, error = read("-")

    assert 1_000 < len(rows) < 19_000
    assert isinstance(error, InvalidInput)
    assert "the file is damaged or cut off" in error.problem
    assert error.line == len(rows) + 1


def test_bytes_of_another_encoding_cost_the_rows_that_have_them(tmp_path: Path) -> None:
    """No letter is guessed: Windows-1252 and other encodings of the same bytes cannot be distinguished."""
    content = "external_org_id,name,city\norg_1,Acme,Köln\norg_2,Müller,Bonn\norg_3,Bolt,Bonn\n".encode("cp1252")

    first, error, last = read_text(tmp_path, content)

    assert (first, last) == (Row("org_1", "Acme"), Row("org_3", "Bolt"))  # the column `city` is not sent
    assert isinstance(error, InvalidInput)
    assert str(error).endswith(
        "line 3, column 'name': the byte 0xFC is not UTF-8, got str 'M?ller'; "
        "save the file as UTF-8, or convert it, e.g. with: iconv -f WINDOWS-1252 -t UTF-8"
    )


REFUSED_JSON = {
    "ends-in-an-object": (
        '[{"external_org_id": "1", "name": "A"},\n{"external_org_id": "2", "na',
        2,
        "the JSON ends early",
    ),
    "ends-behind-an-object": ('[{"external_org_id": "1", "name": "A"}\n', 2, "the JSON ends early"),
    "ends-behind-a-comma": ('[{"external_org_id": "1", "name": "A"},\n', 2, "the JSON ends early"),
    "ends-in-a-word": ('[{"external_org_id": "1", "name": "A"}, {"x": nul', 1, "the JSON ends early"),
    "no-comma": ('[{"external_org_id": "1", "name": "A"}\n{"a": 1}]', 2, "expected ',' or ']' after an element"),
    "comma-at-the-end": ('[{"external_org_id": "1", "name": "A"},\n]', 2, "the JSON is not valid at character 1"),
    "text-behind-the-end": ('[{"external_org_id": "1", "name": "A"}]\n[]', 2, "more text after the end of the array"),
    "broken-element": (
        '[{"external_org_id": "1", "name": "A"},\n{"name": A},\n' + " " * 99 + "]",
        2,
        "the JSON is not valid at character 10: Expecting value",
    ),
    "too-deep": ('[{"external_org_id": "1", "name": "A"},' + "[" * 100_000, 1, "the JSON is nested too deep"),
    "too-many-digits": ('[{"external_org_id": "1", "name": "A"},' + "9" * 5_000 + "]", 1, "the JSON is not valid: "),
    "too-long": (
        '[{"external_org_id": "1", "name": "A"},\n"' + "x" * 1_200_000,
        2,
        "no end of the value within 1,048,576 characters",
    ),
}


@pytest.mark.parametrize(("content", "line", "problem"), REFUSED_JSON.values(), ids=REFUSED_JSON)
def test_broken_array_ends_the_run_behind_the_rows_in_front_of_it(
    tmp_path: Path, content: str, line: int, problem: str
) -> None:
    """The place of the next element is not certain."""
    row, error = read_text(tmp_path, content, name="customers.json")

    assert row == Row("1", "A")
    assert isinstance(error, InvalidInput)
    assert (error.line, error.hint) == (line, "the rows in front of it were read")
    assert problem in error.problem


REFUSED_LINES = {
    "repeated-key": ('{"external_org_id": "1", "name": "A", "name": "B"}', "the key str 'name' is repeated"),
    "repeated-key-of-a-contact": (
        '{"external_org_id": "1", "name": "A", "contacts": [{"email": "a@a.example", "email": "b@a.example"}]}',
        "the key str 'email' is repeated; write each key once",
    ),
    "repeated-key-and-more-text": ('{"a": 1, "a": 2} {}', "the JSON is not valid at character 18: Extra data"),
    "not-json": ("{'a': 1}", "the JSON is not valid at character 2: "),
    "cut": ('{"external_org_id": "1", "na', "the JSON is not valid at character 26: Unterminated string"),
    "too-deep": ("[" * 100_000, "the JSON is nested too deep"),
    "too-long": ('{"external_org_id": "' + "x" * 1_200_000 + '", "name": "A"}', "the line has more than 1,048,576"),
    "no-object": ("[1]", "expected an object, got list [1]; write one object for each customer"),
    "no-name": ('{"external_org_id": "1"}', "no column is certain to be name"),
    "null": ('{"external_org_id": "1", "name": null}', "column 'name': must not be empty"),
    "boolean-id": (
        '{"external_org_id": true, "name": "A"}',
        "column 'external_org_id': must be text or uuid.UUID, got True",
    ),
    "number-as-name": ('{"external_org_id": "1", "name": 5}', "column 'name': expected text, got int 5"),
    "infinity-as-name": ('{"external_org_id": "1", "name": Infinity}', "column 'name': expected text, got float inf"),
    "text-as-contacts": (
        '{"external_org_id": "1", "name": "A", "contacts": "ann@a.example"}',
        "column 'contacts': expected a list of contacts or e-mail addresses, got one str 'a...@a.example'",
    ),
    "contact-without-address": (
        '{"external_org_id": "1", "name": "A", "contacts": ["ann@a.example", {"email": "", "name": "Bob"}]}',
        "column 'contacts' (contacts[1].email): required",
    ),
    "name-in-contacts": (
        '{"external_org_id": "1", "name": "A", "contacts": ["Ann <ann@a.example>"]}',
        "column 'contacts' (contacts[0].email): not an e-mail address",
    ),
    "number-in-contacts": (
        '{"external_org_id": "1", "name": "A", "contacts": ["ann@a.example", 5]}',
        "column 'contacts' (contacts[1]): expected a mapping with email",
    ),
    "short-number-as-date": (
        '{"external_org_id": "1", "name": "A", "created": 45306}',
        "column 'created' (created_at): neither seconds (10 digits) nor milliseconds (13) since 1970, got int 45306",
    ),
    "long-number-as-date": (
        '{"external_org_id": "1", "name": "A", "created": ' + "9" * 20 + "}",
        "column 'created' (created_at): neither seconds (10 digits) nor milliseconds (13) since 1970",
    ),
    "text-behind-an-object": (
        '{"external_org_id": "1", "name": "A"} {}',
        "the JSON is not valid at character 39: Extra data",
    ),
    "half-a-surrogate-pair": ('{"external_org_id": "1", "name": "\\ud800"}', "column 'name': must not contain half"),
}


@pytest.mark.parametrize(("text", "problem"), REFUSED_LINES.values(), ids=REFUSED_LINES)
def test_refused_line_of_json_lines_costs_one_row(tmp_path: Path, text: str, problem: str) -> None:
    """The iterator goes on with the next line."""
    content = f'{{"external_org_id": "8", "name": "B"}}\n\n{text}\n{{"external_org_id": "9", "name": "C"}}\n'
    before, error, after = read_text(tmp_path, content, name="customers.jsonl")

    assert (before, after) == (Row("8", "B"), Row("9", "C"))
    assert isinstance(error, InvalidInput)
    assert error.line == 3
    assert problem in str(error)


def test_first_object_without_the_needed_keys_ends_the_run(tmp_path: Path) -> None:
    """Most likely, the keys of all objects have to be mapped."""
    error = error_of(tmp_path, '[{"id": "1", "name": "A"}, {"id": "2", "name": "B"}]', name="customers.json")

    assert "no column is certain to be external_org_id" in error.problem
    assert "columns: 'id', 'name'" in str(error)


def test_mapped_key_is_optional(tmp_path: Path) -> None:
    """Objects without a value often lack its key."""
    content = '{"id": "1", "name": "A", "since": 1705321800}\n{"id": "2", "name": "B"}\n'
    mapping = {"id": "external_org_id", "since": "created_at"}

    assert read_text(tmp_path, content, name="customers.jsonl", mapping=mapping) == [
        Row("1", "A", created_at=NOON),
        Row("2", "B"),
    ]


@pytest.mark.parametrize("name", ["customers.json", "customers.jsonl"])
@pytest.mark.parametrize(
    "letter", ["\x1e", "\u00a0", "\u2028"], ids=["record-separator", "no-break-space", "line-separator"]
)
def test_letter_that_is_no_space_of_json_is_refused(tmp_path: Path, name: str, letter: str) -> None:
    """Python takes it for white space; jq --seq writes U+001E in front of each value."""
    error, *_ = read_text(tmp_path, f'{letter}\n{{"external_org_id": "1", "name": "A"}}\n', name=name)

    assert isinstance(error, InvalidInput)
    assert (error.line, error.problem) == (1, "the JSON is not valid at character 1: Expecting value")


@pytest.mark.parametrize("name", ["customers.json", "customers.jsonl"])
def test_mapped_key_of_no_object_is_an_error(tmp_path: Path, name: str) -> None:
    """A typo in the mapping would import all customers without their tiers."""
    content = '{"external_org_id": "1", "name": "A", "plan": "pro"}\n{"external_org_id": "2", "name": "B"}\n'
    *rows, error = read_text(tmp_path, content, name=name, mapping={"Plan": "tier_code", "notes": None})

    assert rows == [Row("1", "A"), Row("2", "B")]
    assert isinstance(error, InvalidInput)
    assert str(error).endswith("line 2: no object has the mapped key 'Plan'; the rows were read without it")


def test_repeated_key_in_an_array_costs_one_row(tmp_path: Path) -> None:
    """The object has an end, so the place of the next one is certain."""
    content = (
        '[{"external_org_id": "1", "name": "A"},\n{"external_org_id": "2",\n"name": "B", "name": "C"},\n'
        '{"external_org_id": "3", "name": "D"}]'
    )
    first, error, last = read_text(tmp_path, content, name="customers.json")

    assert (first, last) == (Row("1", "A"), Row("3", "D"))
    assert isinstance(error, InvalidInput)
    assert (error.line, error.problem) == (2, "the key str 'name' is repeated")


def test_objects_of_many_kinds_are_read(tmp_path: Path) -> None:
    """Memory for kinds of keys is bounded."""
    content = "".join(f'{{"external_org_id": "{n}", "name": "A", "key_{n}": 1}}\n' for n in range(1_200))

    assert len(read_text(tmp_path, content, name="customers.jsonl")) == 1_200
