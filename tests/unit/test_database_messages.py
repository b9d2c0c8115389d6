"""Messages of databases and of their libraries: the text of an error shows no query, parameter or value of a row."""

from __future__ import annotations

import json
from time import process_time

import pytest

from chatarmin_os import ApiError, BadRequestError, ServerError
from chatarmin_os._messages import without_query

ADDRESS = "ann@acme.com"
# As the libraries wrote them; Knex, Prisma's raw queries and PostgreSQL put values into the message itself.
MESSAGES = {
    "drizzle": 'Failed query: insert into "c" ("email") values ($1) -- ann@acme.com\nparams: ann@acme.com,Ann\nof Acme',
    "drizzle-without-the-query": "Something failed\nparams: ann@acme.com,1",
    "prisma-in-production": (
        '\nInvalid `prisma.contact.create()` invocation:\n\n{\n  data: {\n    email: "ann@acme.com",\n    id: 1\n'
        "        ~\n  }\n}\n\nArgument `id`: Invalid value provided. Expected String, provided Int."
    ),
    "prisma-in-development": (
        "\nInvalid `prisma.contact.create()` invocation in\n/app/src/contacts.ts:12:30\n\n   9 \n→ 12   await "
        'prisma.contact.create({\n         data: { email: "ann@acme.com" }\n       })\nUnique constraint failed'
    ),
    "prisma-raw": "Raw query failed. Code: `23505`. Message: `Key (email)=(ann@acme.com) already exists.`",
    "prisma-raw-value": 'Raw query failed. Code: `22P02`. `invalid input syntax for type uuid: "ann@acme.com"`',
    "knex-insert": 'insert into "c" ("email") values (\'ann@acme.com\') - duplicate key value',
    "knex-select": 'select * from "c" where "email" = \'ann@acme.com\' - timeout',
    "knex-count": "select count(*) from `c` where `email` = 'ann@acme.com' - timeout",
    "knex-distinct": 'select distinct "e" from "c" where "e" = \'ann@acme.com\' - timeout',
    "knex-update": 'update "c" set "email" = \'ann@acme.com\' where "id" = 1 - timeout',
    "knex-delete": 'delete from "c" where "email" = \'ann@acme.com\' - timeout',
    "knex-with": 'with "x" as (select 1) select * from "x" where "e" = \'ann@acme.com\' - timeout',
    "raw-statement": "error:\n  SELECT id, email\n  FROM contacts\n  WHERE email = 'ann@acme.com'",
    "raw-insert": "could not run INSERT  INTO contacts\nVALUES ('ann@acme.com')",
    "raw-update": "error: UPDATE public.contacts\n SET email = 'ann@acme.com'",
    "raw-delete": "DELETE FROM contacts WHERE email = 'ann@acme.com'",
    "sqlalchemy": (
        "(UniqueViolation) duplicate key\n[SQL: INSERT INTO c VALUES (%s)]\n[parameters: ('ann@acme.com',)]"
    ),
    "sqlalchemy-parameters": "(Error) failed\n[parameters: ('ann@acme.com',)]",
    "laravel": "SQLSTATE[23000]: Integrity constraint violation (SQL: insert into `c` values (ann@acme.com))",
    "postgresql-key": "detail: Key (email)=(ann@acme.com) already exists.",
    "postgresql-key-in-german": "Schlüssel »(email)=(ann@acme.com)« existiert bereits.",
    "postgresql-row": "new row violates check constraint\nDETAIL:  Failing row contains (3, ann@acme.com, -1).",
    "postgresql-row-alone": "Failing row contains (3, ann@acme.com, -1).",
    "postgresql-detail-in-german": "Fehler\nDETAIL:  Fehlgeschlagene Zeile enthält (3, ann@acme.com).",
    "postgresql-uuid": 'invalid input syntax for type uuid: "ann@acme.com"',
    "postgresql-enum": 'invalid input value for enum mood: "ann@acme.com"',
    "postgresql-array": 'malformed array literal: "ann@acme.com"',
    "postgresql-date": 'date/time field value out of range: "ann@acme.com"',
    "postgresql-range": 'value "ann@acme.com" is out of range for type integer',
    "postgresql-syntax": 'syntax error at or near "ann@acme.com"',
    "postgresql-format": 'invalid value "ann@acme.com" for "YYYY"',
    "postgresql-setting": 'invalid value for parameter "TimeZone": "ann@acme.com"',
    "postgresql-json": "JSON data, line 1: ann@acme.com",
    "mysql-duplicate": "Duplicate entry 'ann@acme.com' for key 'c.email'",
    "mysql-value": "Incorrect string value: 'ann@acme.com' for column 'name' at row 1",
    "mysql-number": "Truncated incorrect DOUBLE value: 'ann@acme.com'",
    "mysql-syntax": "check the manual for the right syntax to use near 'ann@acme.com' at line 1",
    "sql-server": "Cannot insert duplicate key in object 'dbo.c'. The duplicate key value is (ann@acme.com).",
    "mongodb": 'E11000 duplicate key error collection: db.c index: email_1 dup key: { email: "ann@acme.com" }',
}
HARMLESS = [
    "",
    "Unique constraint failed on the fields: (`email`)",
    'duplicate key value violates unique constraint "contacts_email_key"',
    "value too long for type character varying(3)",
    "numeric field overflow",
    "Can't reach database server at `db`:`5432`",
    "Please select seats and credits from your plan",
    "Update the plan to set seats",
    "Missing params: companyId",
    'Invalid input: expected "free", received "basic"',
    "Invalid enum value. Expected 'free' | 'pro', received 'basic'",
    "could not delete from the queue",
    'Invalid tier: "gold"',
    'Invalid plan code: "gold" is no longer sold',
    "Select a plan from the list",
    "Select one from options",
    "Select a tier from the list where you find it",
    "failed to insert into the queue",
    "with regard to seats as (so far)",
    "quantityLimit: must be at least 0",
]


@pytest.mark.parametrize("message", MESSAGES.values(), ids=list(MESSAGES))
def test_error_hides_values_of_a_database_message(message: str) -> None:
    """Text and repr of an error end before the query or the values, whatever its class; code and path stay."""
    for code in ("INTERNAL_SERVER_ERROR", "CONFLICT", "BAD_REQUEST", "TEAPOT"):
        error = ApiError.from_code(code, message, path="contacts.create", request_id="req_1")

        assert ADDRESS not in str(error)
        assert ADDRESS not in repr(error)
        assert str(error).startswith(f"{code}: ")
        assert str(error).endswith(" ... [contacts.create, request req_1]")
        assert (error.message == message) is (code != "INTERNAL_SERVER_ERROR")
        assert ADDRESS not in error.message or not isinstance(error, ServerError)


def test_message_of_a_server_error_is_bounded() -> None:
    """Of an endless message, such as a bundled stack, the beginning is kept."""
    error = ServerError("a" * 100_000, code="INTERNAL_SERVER_ERROR")

    assert error.message == "a" * 10_000


@pytest.mark.parametrize("message", MESSAGES.values(), ids=list(MESSAGES))
def test_database_message_inside_json_is_cut(message: str) -> None:
    """Frameworks answer with the message inside a JSON object, where line breaks and quotes are escaped."""
    written = json.dumps({"statusCode": 500, "message": message}, ensure_ascii=False)

    assert ADDRESS not in without_query(written)


@pytest.mark.parametrize("message", MESSAGES.values(), ids=list(MESSAGES))
def test_cutting_twice_equals_cutting_once(message: str) -> None:
    """A redacted recording stays unchanged."""
    once = without_query(message)

    assert once.endswith(" ...")
    assert without_query(once) == once


@pytest.mark.parametrize("message", HARMLESS)
def test_message_without_values_is_shown_completely(message: str) -> None:
    """Names of constraints and fields help, and so does ordinary English with the words of SQL in it."""
    assert without_query(message) == message
    assert str(ServerError(message, code="X")) == f"X: {message}"


def test_query_in_a_long_message_is_cut() -> None:
    """A value beyond the length of the text is cut as well."""
    message = f'value "{ADDRESS}{"x" * 2000}" is out of range for type integer'

    assert str(ServerError(message, code="X")) == "X: value ..."


def test_issues_of_a_bad_request_are_not_cut() -> None:
    """Zod's messages about an input are not those of a database."""
    message = '[{"path": ["email"], "message": "Invalid email address"}, {"path": ["n"], "message": "Required"}]'

    assert str(BadRequestError(message, code="BAD_REQUEST")) == "BAD_REQUEST: email: Invalid email address; n: Required"


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece",
    ["insert into ", "select a, ", "\n", "\\n", " ", "`", "invalid ", "invalid `a", "with a ", "update a ", ")=", "["],
)
def test_without_query_takes_linear_time(piece: str) -> None:
    """Eight times the text takes about eight times as long, whatever it repeats."""

    def seconds(size: int) -> float:
        text, taken = piece * (size // len(piece)), []
        for _ in range(3):
            started = process_time()
            without_query(text)
            taken.append(process_time() - started)
        return min(taken)

    assert seconds(64_000) < 24 * seconds(8_000)
