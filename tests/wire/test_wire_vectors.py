"""Responses of real tRPC servers, requests of the official client and texts of superjson, recorded in `*.json`."""

from __future__ import annotations

import base64
import json
import math
import re
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from urllib.parse import parse_qs, quote, urlsplit

import pytest
import responses
from cases import check_each
from hypothesis import given, settings
from hypothesis import strategies as st

from chatarmin_os import (
    UNSET,
    ApiError,
    BadRequestError,
    ChatarminError,
    ConflictError,
    ForbiddenError,
    InvalidInput,
    InvalidResponse,
    NotFoundError,
    RateLimitError,
    ServerError,
    UnauthorizedError,
    UsageLimitError,
)
from chatarmin_os.transports import Call, HTTPTransport
from chatarmin_os.trpc import client, superjson

if TYPE_CHECKING:
    from collections.abc import Iterator

Mock: TypeAlias = responses.RequestsMock

BASE_URL = "https://os.test/api/v1"
MISSING = "the service has no procedure '"


def _vectors(name: str) -> list[dict[str, Any]]:
    samples: list[dict[str, Any]] = json.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))["samples"]
    return samples


ANSWERS = {sample["from"]: sample for sample in _vectors("answers.json")}
VALUES = {sample["id"]: sample for sample in _vectors("superjson_values.json")}
TOLERATED = {sample["id"]: sample for sample in _vectors("client_tolerance.json")}
REQUESTS = {sample["id"]: sample["requests"] for sample in _vectors("client_requests.json")}
CODES = _vectors("codes.json")

CLASSES: dict[str, type[ApiError]] = {
    "UNAUTHORIZED": UnauthorizedError,
    "FORBIDDEN": ForbiddenError,
    "NOT_FOUND": NotFoundError,
    "BAD_REQUEST": BadRequestError,
    "PRECONDITION_FAILED": UsageLimitError,
    "CONFLICT": ConflictError,
    "TOO_MANY_REQUESTS": RateLimitError,
}
STATUSES = {code["code"]: code["status"] for code in CODES}
# Where a server's own formatter drops the code's name: the status shows, and after a 207 the number.
BY_STATUS = {400: "BAD_REQUEST", 401: "UNAUTHORIZED", 404: "NOT_FOUND", 409: "CONFLICT", 500: "INTERNAL_SERVER_ERROR"}
BY_NUMBER = {-32001: "UNAUTHORIZED", -32603: "INTERNAL_SERVER_ERROR"}


@pytest.fixture(autouse=True)
def mocked() -> Iterator[Mock]:
    """Answer every request of this module with the responses that the test adds."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def _answers(
    mocked: Mock,
    sample: dict[str, Any],
    transformer: Literal["auto", "json", "superjson"],
    *,
    kind: Literal["query", "mutation"] = "query",
) -> list[Any]:
    """Return the results of a transport for a response to as many calls as it belongs to."""
    body = sample["body"].encode() if "body" in sample else base64.b64decode(sample["body_base64"])
    headers = {"content-type": sample["type"]} if "type" in sample else sample.get("headers", {})
    mocked.add(
        responses.GET if kind == "query" else responses.POST,
        re.compile(re.escape(BASE_URL)),
        body,
        status=sample["status"],
        headers={name: value for name, value in headers.items() if name != "content-type"},
        content_type=headers.get("content-type"),
    )
    transport = HTTPTransport("os_sk_key", BASE_URL, transformer=transformer, max_retries=0)
    return transport.send_many([Call(f"probe.call{index}", kind) for index in range(sample.get("batch") or 1)])


def _seen(answer: Any) -> Any:
    """Return an answer as `_expected` shows it."""
    if isinstance(answer, ApiError):
        return type(answer), answer.code, answer.http_status, answer.path, answer.message, answer.data
    return type(answer) if isinstance(answer, ChatarminError) else answer


def _expected(sample: dict[str, Any]) -> list[Any]:
    """Return the result of each call in a response, `InvalidResponse` if it is invalid."""
    count, asked_one = sample.get("batch") or 1, (sample.get("batch") or 1) == 1
    try:
        content = json.loads(sample["body"])
    except ValueError:
        content = None
    if isinstance(content, list) and not asked_one and len(content) == count:
        items = content
    elif isinstance(content, dict) and (asked_one or "error" in content):
        items = [content] * count
    else:
        return [InvalidResponse] * count
    decoded = sample.get("decoded", _Nothing)
    tagged = decoded if isinstance(content, list) and decoded is not _Nothing else [decoded] * count
    return [
        _expected_of_one(item, tag, f"probe.call{index}", sample)
        for index, (item, tag) in enumerate(zip(items, tagged, strict=True))
    ]


class _Nothing:
    """The result of superjson for a response that it did not write."""


def _expected_of_one(item: dict[str, Any], tagged: Any, path: str, sample: dict[str, Any]) -> Any:
    if item.keys().isdisjoint({"error", "result"}):
        return InvalidResponse
    is_error = "error" in item
    written = item["error"] if is_error else item["result"].get("data")
    if sample["transformer"] == "superjson" and written is not None:
        written = written["json"] if tagged is _Nothing else _meaning(tagged, written["json"])
    return _refusal(written, path, sample["status"]) if is_error else written


def _refusal(error: dict[str, Any], path: str, status: int) -> tuple[Any, ...]:
    data = {key: value for key, value in error.get("data", {}).items() if key != "stack"}
    code = data.get("code") or BY_STATUS.get(status) or BY_NUMBER[error["code"]]
    http_status = data.get("httpStatus") or (STATUSES[code] if status == 207 else status)
    is_failure = STATUSES.get(code, http_status) >= 500
    kind = CLASSES.get(code, ServerError if is_failure else ApiError)
    return kind, code, http_status, path, error["message"] or code, data or None


def _meaning(tagged: Any, written: Any) -> Any:  # noqa: PLR0911 - one return per kind of value
    """Return in JSON the value that superjson decoded from *written* to *tagged*."""
    if isinstance(tagged, list):
        return [None if _is_gone(one) else _meaning(one, raw) for one, raw in zip(tagged, written, strict=True)]
    if not isinstance(tagged, dict):
        return tagged
    match tagged.get("$"):
        case None:
            inner = written if isinstance(written, dict) else {}  # null where the server left out a repeat
            return {key: _meaning(one, inner.get(key, _Nothing)) for key, one in tagged.items() if not _is_gone(one)}
        case "undefined":
            return None
        case "bigint":
            return int(tagged["v"])
        case "number":
            return {"-0": 0, "Infinity": None}.get(tagged["v"], written)
        case "set":
            return _meaning(tagged["v"], written)
        case "map":
            pairs = _meaning(tagged["v"], written)
            return dict(pairs) if all(isinstance(name, str) for name, _ in pairs) else pairs
        case "Date" if written is _Nothing:
            return tagged["v"]
        case _:
            return written


def _is_gone(tagged: Any) -> bool:
    return isinstance(tagged, dict) and tagged.get("$") == "undefined"


# Answers


def test_response_means_the_same_as_its_body(mocked: Mock) -> None:
    """Each call gets the value or the typed error that a server's answer has for it, and nothing else is raised.

    The transformer need not be given; texts of errors are short, printable and without stacks.
    """

    def check(name: str) -> None:
        sample = ANSWERS[name]
        mocked.reset()

        given, detected = _answers(mocked, sample, sample["transformer"]), _answers(mocked, sample, "auto")

        assert [_seen(answer) for answer in given] == _expected(sample)
        assert [_seen(answer) for answer in detected] == _expected(sample)
        for error in [answer for answer in given if isinstance(answer, ChatarminError)]:
            assert len(str(error)) < 1000
            assert str(error).isprintable()
            assert "<frames removed>" not in str(error) + repr(vars(error))

    check_each(ANSWERS, check)


@pytest.mark.parametrize(
    "name", [name for name, sample in ANSWERS.items() if sample.get("batch") == 1 and "/v11/" not in name]
)
def test_batch_of_one_has_an_envelope(name: str) -> None:
    """The item of a batch of one is an ordinary envelope."""
    sample = ANSWERS[name]
    content = client.parse(sample["body"].encode())
    items = content if isinstance(content, list) else [content]
    received = [client.parse_envelope(item) for item in items]

    (expected,) = _expected({**sample, "batch": None, "body": json.dumps(items[0]), "decoded": _Nothing})
    if expected is InvalidResponse:
        assert received == [None]
    else:
        assert [one and one.transformer for one in received] == [sample["transformer"]]
        assert [one and one.data for one in received] == [None if isinstance(expected, tuple) else expected]


ZOD_4 = {
    "missing-key": [("tierCode", "Invalid input: expected string, received undefined")],
    "too-small-string": [("tierCode", "Too small: expected string to have >=1 characters")],
    "not-an-object": [("", "Invalid input: expected object, received string")],
    "array-for-object": [("", "Invalid input: expected object, received array")],
    "null-for-object": [("", "Invalid input: expected object, received null")],
    "nested-many-issues": [
        ("user.emails[1]", "Invalid email address"),
        ("user.emails[2]", "Invalid input: expected string, received number"),
        ("n", "Invalid input: expected int, received number"),
    ],
    "extra-key-strict": [("", 'Unrecognized keys: "b", "c"')],
    "null-for-optional-field": [("primaryOnly", "Invalid input: expected boolean, received null")],
    "refine": [("", "companyId or externalOrgId is required")],
    "array-index-in-path": [("contacts[1].email", "Invalid email address")],
    "number-range": [("minConfidence", "Too big: expected number to be <=1")],
    "negative-quantity": [("quantity", "Too small: expected number to be >0")],
    "float-for-int": [("quantityLimit", "Invalid input: expected int, received number")],
}
ZOD_3 = {
    "missing-key": [("tierCode", "Required")],
    "wrong-type": [("tierCode", "Expected string, received number")],
    "too-small-string": [("tierCode", "String must contain at least 1 character(s)")],
    "not-an-object": [("", "Expected object, received string")],
    "absent": [("", "Required")],
    "nested-many-issues": [
        ("user.emails[1]", "Invalid email"),
        ("user.emails[2]", "Expected string, received number"),
        ("n", "Expected integer, received float"),
    ],
    "extra-key-strict": [("", "Unrecognized key(s) in object: 'b', 'c'")],
    "array-index-in-path": [("contacts[1].email", "Invalid email")],
    "number-range": [("minConfidence", "Number must be less than or equal to 1")],
}
ISSUES = [
    *[
        (f"validation/v11-plain{suffix}/{case}", reported)
        for case, reported in ZOD_4.items()
        for suffix in ("", "-zodfmt")
    ],
    *[
        (f"validation/v11-superjson{suffix}/{case}", reported)
        for case, reported in ZOD_4.items()
        for suffix in ("", "-zodfmt")
    ],
    *[(f"validation/v11-plain-zod3/{case}", reported) for case, reported in ZOD_3.items()],
    ("error_shapes/v11-plain-barefmt/zod", [("tierCode", "Invalid input: expected string, received number")]),
    ("error_shapes/v11-superjson-dev/zod", [("tierCode", "Invalid input: expected string, received number")]),
    ("errors/v11-plain/code/BAD_REQUEST", []),
]


@pytest.mark.parametrize(("name", "issues"), ISSUES, ids=[name.replace("/", "-") for name, _ in ISSUES])
def test_refusal_of_zod_has_an_issue_per_field(mocked: Mock, name: str, issues: list[tuple[str, str]]) -> None:
    """The issues of zod 3 and zod 4 are pairs of a field's path and a message, in the error's text too."""
    (error,) = _answers(mocked, ANSWERS[name], ANSWERS[name]["transformer"])

    assert type(error) is BadRequestError
    assert error.issues == issues
    for field, message in issues:
        assert (f"{field}: {message}" if field else message) in str(error)


def test_flattened_error_of_zod_has_issues(mocked: Mock) -> None:
    """Where only the errorFormatter of tRPC's documentation shows the fields, they are read from there."""
    sample = ANSWERS["validation/v11-plain-zodfmt/nested-many-issues"]
    envelope = json.loads(sample["body"])
    envelope["error"]["message"] = "Input validation failed"

    (error,) = _answers(mocked, {**sample, "body": json.dumps(envelope)}, "json")

    assert error.issues == [
        ("user", "Invalid email address"),
        ("user", "Invalid input: expected string, received number"),
        ("n", "Invalid input: expected int, received number"),
    ]


MISSING_PROCEDURES = [
    name
    for name, sample in ANSWERS.items()
    if sample["status"] == 404
    and re.search(r'No (procedure found|\\"(query|mutation)\\"-procedure) on', sample["body"])
]


@pytest.mark.parametrize("name", [name for name, sample in ANSWERS.items() if sample["status"] == 404])
def test_missing_procedure_differs_from_a_missing_resource(mocked: Mock, name: str) -> None:
    """Both versions of tRPC say that a procedure is missing; the text adds that the object is not what is missing."""
    for answer in _answers(mocked, ANSWERS[name], ANSWERS[name]["transformer"]):
        if isinstance(answer, NotFoundError):
            assert (MISSING in str(answer)) is (name in MISSING_PROCEDURES)


def test_there_are_missing_procedures_of_both_versions() -> None:
    """The recorded answers have both wordings, plain and in superjson, alone and in batches."""
    assert {(name.split("/")[1], "batch" in ANSWERS[name]) for name in MISSING_PROCEDURES} >= {
        ("v10-plain", False),
        ("v11-plain", False),
        ("v10-superjson", True),
        ("v11-superjson", True),
    }


# Codes


@pytest.mark.parametrize("code", CODES, ids=lambda code: str(code["code"]))
@pytest.mark.parametrize("reported", ["name", "number"])
def test_code_is_known_by_name_and_by_number(code: dict[str, Any], reported: str) -> None:
    """The name of a code counts, and shows the usual status; without it the number shows the name."""
    error = {"message": "?", "code": code["number"]} if reported == "number" else {"data": {"code": code["code"]}}
    shared = reported == "number" and code["number"] == -32603
    name = "INTERNAL_SERVER_ERROR" if shared else code["code"]

    refusal = client.to_error(error, status=207, path="a.b", request_id=None)

    assert (refusal.code, refusal.http_status) == (name, STATUSES[name])
    assert type(refusal) is CLASSES.get(name, ServerError if code["status"] >= 500 else ApiError)
    assert refusal.message == ("?" if reported == "number" else name)


@pytest.mark.parametrize(
    ("error", "status", "code", "http_status"),
    [
        ({"message": "m", "code": -32009, "data": {"code": "NOT_FOUND", "httpStatus": 404}}, 409, "NOT_FOUND", 404),
        ({"message": "m", "code": -32009, "data": {"httpStatus": 404}}, 200, "NOT_FOUND", 404),
        ({"message": "m", "code": -32009}, 404, "NOT_FOUND", 404),
        ({"message": "m", "code": -32009}, 418, "CONFLICT", 418),
        ({"message": "m", "code": -32603}, 502, "BAD_GATEWAY", 502),
        ({"message": "m", "code": -32603, "data": {"httpStatus": 503}}, 207, "SERVICE_UNAVAILABLE", 503),
        ({"message": "m"}, 400, "BAD_REQUEST", 400),
        ({"message": "m", "data": {"code": 7, "httpStatus": "404"}}, 409, "CONFLICT", 409),
        ({"message": "m", "data": {"code": "", "httpStatus": True}}, 409, "CONFLICT", 409),
        ({"message": "m", "data": ["code"]}, 409, "CONFLICT", 409),
        ({"message": "m", "code": [1]}, 418, "UNKNOWN", 418),
        ({"message": "m", "data": {"code": "TEAPOT"}}, 418, "TEAPOT", 418),
    ],
)
def test_code_comes_from_the_first_valid_source(
    error: dict[str, Any], status: int, code: str, http_status: int
) -> None:
    """The name in the data counts first, then the status there, then that of the answer, then the number."""
    refusal = client.to_error(error, status=status, path="a.b", request_id=None)

    assert (refusal.code, refusal.http_status) == (code, http_status)


@pytest.mark.parametrize("status", [200, 207, 404, 499, 500, 599])
def test_unknown_code_is_a_server_error_from_status_500(status: int) -> None:
    """A code that nobody knows is a server's error where its status says so, else an error of no special kind."""
    error = {"message": "m", "data": {"code": "TEAPOT"}}

    refusal = client.to_error(error, status=status, path="a.b", request_id=None)

    assert type(refusal) is (ServerError if status >= 500 else ApiError)


# Replies that nobody promised

NOT_TRPC = [
    {},
    {"result": None},
    {"result": 1},
    {"result": []},
    {"error": "Internal Server Error"},
    {"error": 1},
    {"error": []},
    {"error": {}},
    {"error": {"reason": "gone"}},
    {"error": {"json": {}}},
    {"error": {"json": {"reason": "gone"}}},
    {"message": "upstream says no"},
    [],
    [{"result": {}}],
    None,
    True,
    42,
    "text",
]


@pytest.mark.parametrize("item", NOT_TRPC)
def test_foreign_content_has_no_envelope(item: Any) -> None:
    """JSON that is not an envelope of tRPC is not one of superjson either."""
    assert client.parse_envelope(item) is None


@pytest.mark.parametrize(
    ("item", "error", "data", "transformer"),
    [
        ({"result": {}}, None, None, None),
        ({"result": {"type": "started"}}, None, None, None),
        ({"result": {"data": None}}, None, None, "json"),
        ({"result": {"data": "abc"}}, None, "abc", "json"),
        ({"result": {"data": {}}}, None, {}, "json"),
        ({"result": {"data": {"json": 1, "meta": None}}}, None, 1, "superjson"),
        ({"result": {"data": {"json": 1, "metre": 2}}}, None, {"json": 1, "metre": 2}, "json"),
        ({"result": {"data": {"meta": {}}}}, None, {"meta": {}}, "json"),
        ({"result": {"data": 1}, "id": None, "jsonrpc": "2.0"}, None, 1, "json"),
        ({"result": {"data": 1}, "error": None}, None, 1, "json"),
        ({"result": {"data": 1}, "error": {"code": -32603}}, {"code": -32603}, None, "json"),
        ({"error": {"message": "m", "code": 500}}, {"message": "m", "code": 500}, None, None),
        ({"error": {"code": 1, "data": {}}}, {"code": 1, "data": {}}, None, None),
        ({"error": {"json": {"message": "m"}}}, {"message": "m"}, None, "superjson"),
        ({"error": {"json": 1, "message": "m"}}, {"json": 1, "message": "m"}, None, None),
        ({"error": {"message": "m"}}, {"message": "m"}, None, None),
        ({"error": {"message": "m", "code": "504"}}, {"message": "m", "code": "504"}, None, None),
        ({"error": {"message": "m", "code": True}}, {"message": "m", "code": True}, None, None),
        (
            {"error": {"message": "m", "data": {"code": "TEAPOT", "httpStatus": 500}}},
            {"message": "m", "data": {"code": "TEAPOT", "httpStatus": 500}},
            None,
            "json",
        ),
    ],
)
def test_envelope_shows_its_transformer(item: Any, error: Any, data: Any, transformer: str | None) -> None:
    """An error counts more than a result; the envelope shows the transformer if it can."""
    assert client.parse_envelope(item) == (error, data, transformer)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"<html>",
        b'{"result":{"da',
        b"NaN",
        b"[1, Infinity]",
        b"-Infinity",
        b"1e400",
        b"-1e400",
        b"\xff",
        b'"\xed\xa0\x80"',
        "1".encode("utf-16"),
        b"\xef\xbb\xbf\xef\xbb\xbf1",
        b"[" * 100_000,
        b"1" * 5_000,
    ],
)
def test_body_that_is_not_json_is_a_value_error(body: bytes) -> None:
    """A body that is not finite, not UTF-8, not complete or nested without end is refused with a ValueError."""
    with pytest.raises(ValueError, match=r"."):
        client.parse(body)


# Results for hand-made replies that differ from the official client's: more lenient, or stricter.
KINDER: dict[str, Any] = {
    "error-no-code": (NotFoundError, "gone"),
    "error-string-code": (NotFoundError, "gone"),
    "error-no-message": (NotFoundError, "NOT_FOUND"),
    "superjson/sj-result-without-data": None,
}
STRICTER = {
    "superjson/sj-plain-data": "transformer='json'",
    "superjson/sj-plain-null": "transformer='json'",
    "superjson/sj-plain-error": "transformer='json'",
    "single-result-for-batch": "no tRPC envelope for each of 2 call(s)",
    "short-array": "no tRPC envelope for each of 2 call(s)",
    "long-array": "no tRPC envelope for each of 2 call(s)",
}


@pytest.mark.parametrize("name", TOLERATED)
def test_handwritten_responses_are_read_as_by_the_official_client(mocked: Mock, name: str) -> None:
    """Values and refusals are those of the official client, but for the differences listed above."""
    sample, case = TOLERATED[name], name.partition("/")[2].partition("/")[2]
    outcomes = sample["outcome"] if isinstance(sample["outcome"], list) else [sample["outcome"]]

    answers = _answers(mocked, sample, sample["transformer"])

    assert len(answers) == len(outcomes)
    for answer, outcome in zip(answers, outcomes, strict=True):
        if case in STRICTER:
            assert type(answer) is InvalidResponse
            assert STRICTER[case] in str(answer)
        elif case in KINDER:
            assert ((type(answer), answer.message) if isinstance(answer, ApiError) else answer) == KINDER[case]
        elif case == "null-item":
            assert isinstance(answers[1], InvalidResponse)
        elif "ok" in outcome:
            assert answer == (None if outcome["ok"] == "<undefined>" else outcome["ok"])
        elif "data" in outcome["error"]:
            assert type(answer) is NotFoundError
            assert (answer.message, answer.data) == (outcome["error"]["message"], outcome["error"]["data"])
        elif outcome["error"]["message"] == "gone":
            assert (type(answer), answer.data) == (NotFoundError, None)
        else:
            assert type(answer) is InvalidResponse


# superjson


@pytest.mark.parametrize("name", [name for name, sample in VALUES.items() if sample.get("serialized", "")[:1] == "{"])
def test_superjson_values_are_decoded(name: str) -> None:
    """Values have their meaning in JSON; unknown types stay unchanged and raise no error."""
    sample = VALUES[name]
    envelope = json.loads(sample["serialized"])
    written = envelope.get("json")
    expected = written if "error" in sample else _meaning(sample["decoded"], written)
    if name == "decode/leaf-to-nothing":
        expected = {"a": 1}  # a path that leads nowhere is ignored; superjson makes an invalid date of it

    decoded = superjson.decode(envelope)

    assert decoded == expected
    assert [type(part) for part in _parts(decoded)] == [type(part) for part in _parts(expected)]


def _parts(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [value, *(part for one in inner for part in _parts(one))]


class Ordered(set[Any]):
    """A set that is gone through in the order it was made in."""

    def __init__(self, items: list[Any]) -> None:
        """Keep the order of *items*."""
        super().__init__(items)
        self._items = items

    def __iter__(self) -> Iterator[Any]:
        """Go through the items."""
        return iter(self._items)


class _None:
    """There is no such value in Python, or none that is written in this way."""


def _in_python(tagged: Any) -> Any:
    """Return the Python value of a tagged one, `_None` if it has none."""
    if isinstance(tagged, list):
        items = [_in_python(one) for one in tagged]
        return _None if _None in items else items
    if not isinstance(tagged, dict):
        return tagged
    value: Any = tagged.get("v")
    given: Any = _None
    match tagged.get("$"):
        case None:
            named = {key: _in_python(one) for key, one in tagged.items()}
            given = _None if _None in named.values() else named
        case "undefined":
            given = UNSET
        case "Date" if re.fullmatch(r"\d{4}-.*Z", value):
            given = datetime.fromisoformat(value)
        case "bigint" if abs(int(value)) > 2**53:  # a smaller one is a number in Python
            given = int(value)
        case "number" if value != "-0":  # JSON has a minus zero
            given = float(value)
        case "set":
            items = _in_python(value)
            given = _None if items is _None else Ordered(items)
        case "map":
            pairs = _in_python(value)
            is_map = pairs is not _None and not all(isinstance(key, str) for key, _ in pairs)
            given = dict(pairs) if is_map else _None  # a dict with text for keys is an object
    return given


ENCODED = {
    name: sample
    for name, sample in VALUES.items()
    if "value" in sample and _in_python(sample["value"]) is not _None and "dropped" not in name
}


@pytest.mark.parametrize("name", ENCODED)
def test_values_are_encoded_like_superjson_does(name: str) -> None:
    """Where Python has such a value its envelope is that of superjson, except for the identity of objects."""
    sample = ENCODED[name]
    expected = json.loads(sample["serialized"])
    if "dedupe" in name:
        expected = json.loads(VALUES["encode/shared-object"]["serialized"])
        del expected["json"]["c"], expected["meta"]["values"]["c.d.at"]
    meta = expected.get("meta", {})
    meta.pop("referentialEqualities", None)

    assert superjson.encode(_in_python(sample["value"])) == expected


def test_values_of_superjson_have_counterparts_in_python() -> None:
    """The vectors that are written are not few."""
    assert len(ENCODED) > 35


@pytest.mark.parametrize("key", ["__proto__", "constructor", "prototype"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_key_that_is_dangerous_in_javascript_is_refused(key: str, wrapped: bool) -> None:  # noqa: FBT001 - a case
    """Where a path would have to name a key that superjson refuses, the input is refused here."""
    assert "Detected property" in VALUES[f"encode-refused/{'proto-own' if key == '__proto__' else key}-key"]["error"]
    value = {key: [{"at": UNSET}]} if wrapped else {"a": {key: UNSET}}

    with pytest.raises(InvalidInput, match=key):
        superjson.encode(value)

    assert superjson.encode({key: 1}) == {"json": {key: 1}}


@pytest.mark.parametrize(
    ("value", "plain", "node"),
    [
        (2**53 - 1, 2**53 - 1, None),
        (2**53, "9007199254740992", ["bigint"]),
        (-(2**53), "-9007199254740992", ["bigint"]),
        (True, True, None),
        ((1, 2), [1, 2], None),
        ({"a": frozenset([math.inf])}, {"a": ["Infinity"]}, {"a": ["set", {"0": ["number"]}]}),
        ({1: {2: UNSET}}, [[1, [[2, None]]]], ["map", {"0.1": ["map", {"0.1": ["undefined"]}]}]),
        ({"a.b": {"c\\d": UNSET}}, {"a.b": {"c\\d": None}}, {"a\\.b.c\\\\d": ["undefined"]}),
        (datetime(2025, 1, 2, 1, tzinfo=timezone(timedelta(hours=2))), "2025-01-01T23:00:00.000Z", ["Date"]),
        (datetime(2025, 1, 2, 1, 2, 3, 678_901, tzinfo=UTC), "2025-01-02T01:02:03.678Z", ["Date"]),
        ({}, {}, None),
        (set(), [], ["set"]),
    ],
)
def test_values_are_encoded(value: Any, plain: Any, node: Any) -> None:
    """The types that JSON lacks are in the meta data, with paths from the nearest map or set."""
    expected = {"json": plain} if node is None else {"json": plain, "meta": {"values": node, "v": 1}}

    assert superjson.encode(value) == expected
    assert json.dumps(superjson.encode(value)) == json.dumps(expected)


@pytest.mark.parametrize(
    ("envelope", "expected"),
    [
        ({"json": {"a": ["1"]}, "meta": {"values": {"a.0": ["bigint"]}}}, {"a": [1]}),
        ({"json": {"a": {"b": "1"}}, "meta": {"values": {"a": {"b": ["bigint"]}}}}, {"a": {"b": 1}}),
        ({"json": {"a": "x"}, "meta": {"values": {"a": ["bigint"]}}}, {"a": "x"}),
        ({"json": {"a": "\u0663"}, "meta": {"values": {"a": ["bigint"]}}}, {"a": "\u0663"}),
        ({"json": {"a": "9" * 5000}, "meta": {"values": {"a": ["bigint"]}}}, {"a": "9" * 5000}),
        ({"json": ["1"], "meta": {"values": {"1": ["bigint"], "-1": ["bigint"], "x": ["bigint"]}}}, ["1"]),
        ({"json": ["1"], "meta": {"values": {"\u0660": ["bigint"], "9" * 5000: ["bigint"]}}}, ["1"]),
        ({"json": 1, "meta": {"values": {"a": ["bigint"]}}}, 1),
        ({"json": [1], "meta": {"values": ["map"]}}, [1]),
        ({"json": [["a"]], "meta": {"values": ["map"]}}, [["a"]]),
        ({"json": [["a", 1], [2, 3]], "meta": {"values": ["map"]}}, [["a", 1], [2, 3]]),
        ({"json": {"a": 1}, "meta": {"values": ["map"]}}, {"a": 1}),
        ({"json": [], "meta": {"values": ["map"]}}, {}),
        ({"json": {"a": 1}, "meta": {"values": []}}, {"a": 1}),
        ({"json": {"a": 1}, "meta": {"values": 5}}, {"a": 1}),
        ({"json": {"a": "1"}, "meta": {"values": {"a": [["bigint"]]}}}, {"a": "1"}),
        ({"json": {"a": "1"}, "meta": {"values": {"a": [["custom", "x"], {"": ["bigint"]}]}}}, {"a": "1"}),
        ({"json": {"a": {"b": 1}}, "meta": {"values": {"a": ["undefined", {"b": ["undefined"]}]}}}, {}),
        ({"json": 1, "meta": {"values": [None]}}, 1),
        ({"json": 1, "meta": 5}, 1),
        ({"json": {"a": 1, "b": None}, "meta": {"referentialEqualities": {"a": ["b"], "x": ["b"]}}}, {"a": 1, "b": 1}),
        ({"json": {"a": 1, "b": 2}, "meta": {"referentialEqualities": {"a": ["b", "x.y"]}}}, {"a": 1, "b": 2}),
        ({"json": None, "meta": {"values": ["undefined"], "referentialEqualities": {"a": ["b"]}}}, None),
        ({"json": {"a": 1, "b": None}, "meta": {"referentialEqualities": {"a": "b"}}}, {"a": 1, "b": None}),
        (
            {"json": [{}, None, {"c": None}], "meta": {"referentialEqualities": {"0": ["1", "2.c"]}}},
            [{}, {}, {"c": {}}],
        ),
        (
            {"json": {"a": {"b": 1}, "c": None}, "meta": {"referentialEqualities": [["c"], {"a": ["c"]}]}},
            {"a": {"b": 1}, "c": {"b": 1}},
        ),
    ],
)
def test_odd_envelopes_are_decoded_as_far_as_possible(envelope: Any, expected: Any) -> None:
    """A type, a path or a table that makes no sense changes nothing and raises nothing."""
    assert superjson.decode(envelope) == expected


def test_repeats_share_nothing() -> None:
    """A value that is omitted because the body has it elsewhere is restored as a copy."""
    decoded = superjson.decode(
        {"json": {"a": {"x": []}, "b": None, "c": None}, "meta": {"referentialEqualities": {"a": ["b", "c"]}}}
    )
    decoded["a"]["x"].append(1)

    assert decoded == {"a": {"x": [1]}, "b": {"x": []}, "c": {"x": []}}


def test_nested_repeats_are_bounded(mocked: Mock) -> None:
    """An answer that would grow beyond all bounds by its repeats is refused before it does."""
    names = [f"k{index}" for index in range(21)]
    value: dict[str, Any] = {"k0": ["x" * 100]}
    equalities: dict[str, list[str]] = {}
    for before, after in pairwise(names):
        value[after] = [None, None]
        equalities[before] = [f"{after}.0", f"{after}.1"]
    body = {"result": {"data": {"json": value, "meta": {"referentialEqualities": equalities, "v": 1}}}}

    (answer,) = _answers(mocked, {"status": 200, "type": "application/json", "body": json.dumps(body)}, "superjson")

    assert type(answer) is InvalidResponse
    assert "repeated values are too large" in str(answer)


# Requests

AT = "2025-01-02T03:04:05.678Z"
TIER, LINK, ORG = {"tierCode": "free"}, {"companyId": "c", "externalOrgId": "o"}, {"externalOrgId": "org_1"}
ACCESS = {"companyId": "c", "featureCode": "f"}
LIST, GET, RESET = Call("tiers.list", "query"), Call("tiers.get", "query", TIER), Call("links.reset", "mutation", {})
SENT: list[tuple[str, Call]] = [
    ("query-no-input", LIST),
    ("query-undefined", LIST),
    ("query-object", GET),
    ("query-empty-object", Call("tiers.get", "query", {})),
    ("query-string", Call("tiers.get", "query", "it's (a) *test*! ~ü☃𝄞 +&%#?/")),
    ("mutation-empty-object", RESET),
    ("mutation-date", Call("features.setAccess", "mutation", {**ACCESS, "validUntil": AT})),
    ("mutation-date-null", Call("features.setAccess", "mutation", {**ACCESS, "validUntil": None})),
    ("mutation-top-level", Call("onboard", "mutation", ORG)),
]
SENT_PLAIN: list[tuple[str, Call]] = [  # superjson would show undefined fields and dates that are none here
    ("query-undefined-field", Call("contacts.list", "query", {"companyId": "cmp_1"})),
    ("query-date", Call("tiers.get", "query", {"at": AT})),
    ("mutation-object", Call("companies.create", "mutation", {"name": "Ümläut ☃", **ORG})),
]
TRANSFORMERS: tuple[Literal["json"], Literal["superjson"]] = ("json", "superjson")


def _recorded(name: str) -> tuple[str, str, str | None]:
    (request,) = REQUESTS[name]
    return request["method"], request["target"].removeprefix("/api/v1"), request["body"]


def _message(calls: list[Call], transformer: Literal["json", "superjson"]) -> tuple[str, str, str | None]:
    method, target, body = client.make_request(calls, transformer, {})
    return method, target, None if body is None else body.decode()


@pytest.mark.parametrize("transformer", TRANSFORMERS)
@pytest.mark.parametrize(("case", "call"), SENT, ids=[case for case, _ in SENT])
def test_call_is_sent_like_by_the_official_client(
    case: str, call: Call, transformer: Literal["json", "superjson"]
) -> None:
    """Method, path, encoding of the input and body are those of `httpLink`."""
    link = "plain" if transformer == "json" else "superjson"

    assert _message([call], transformer) == _recorded(f"httpLink/{link}/{case}")


@pytest.mark.parametrize(("case", "call"), SENT_PLAIN, ids=[case for case, _ in SENT_PLAIN])
def test_plain_call_is_sent_like_by_the_official_client(case: str, call: Call) -> None:
    """Undefined values are omitted, and instants are text."""
    assert _message([call], "json") == _recorded(f"httpLink/plain/{case}")


@pytest.mark.parametrize(
    ("case", "calls"), [("two-queries", [LIST, GET]), ("two-queries-both-no-input", [LIST, LIST])], ids=["two", "none"]
)
@pytest.mark.parametrize("transformer", TRANSFORMERS)
def test_batch_of_queries_is_sent_like_by_the_official_client(
    case: str, calls: list[Call], transformer: Literal["json", "superjson"]
) -> None:
    """Paths are joined by commas, and inputs are an object by index."""
    link = "plain" if transformer == "json" else "superjson"

    assert _message(calls, transformer) == _recorded(f"httpBatchLink/{link}/{case}")


@pytest.mark.parametrize("transformer", TRANSFORMERS)
@pytest.mark.parametrize("reset", [RESET, Call("links.reset", "mutation")], ids=["empty", "none"])
def test_batch_of_mutations_marks_missing_inputs(reset: Call, transformer: Literal["json", "superjson"]) -> None:
    """It is the official client's, but that an input which is not given is an empty object, which all servers take."""
    method, target, body = _recorded(f"httpBatchLink/{'plain' if transformer == 'json' else transformer}/two-mutations")
    given = json.loads(body or "")
    given["0"] = {} if transformer == "json" else {"json": {}}

    sent = _message([reset, Call("links.create", "mutation", LINK)], transformer)

    assert sent[:2] == (method, target)
    assert json.loads(sent[2] or "") == given


@pytest.mark.parametrize("transformer", TRANSFORMERS)
def test_mutation_without_input_sends_an_empty_object(transformer: Literal["json", "superjson"]) -> None:
    """An empty body is refused by many servers, an empty object by none."""
    link = "plain" if transformer == "json" else "superjson"

    assert _message([Call("links.reset", "mutation")], transformer) == _recorded(
        f"httpLink/{link}/mutation-empty-object"
    )


@settings(deadline=None)
@given(text=st.text() | st.text(st.sampled_from("%\"'{}[]:, @/+&=#?\\~*!()25\u00fc\x00\n")))
def test_inputs_are_encoded_like_by_a_browser(text: str) -> None:
    """Each character but those that `encodeURIComponent` leaves alone is percent-encoded, whatever there is."""
    written = json.dumps(text, ensure_ascii=False)

    target = client.make_request([Call("a.b", "query", text)], "json", {}).target

    assert target == f"/a.b?input={quote(written, safe='-_.!~*()')}"
    assert parse_qs(urlsplit(target).query) == {"input": [written]}


def test_paths_are_replaced_and_escaped() -> None:
    """A procedure goes by the path that it has there, and no path can leave its place in the URL."""
    paths = {"tiers.get": "plans.get", "odd": "a/b?c,d%e ü"}

    assert client.make_request([GET, LIST], "json", paths).target.startswith("/plans.get,tiers.list?batch=1&input=")
    assert client.make_request([Call("odd", "query")], "json", paths).target == "/a%2Fb%3Fc%2Cd%25e%20%C3%BC"


def test_only_date_arguments_are_dates_in_superjson() -> None:
    """Instants that the service takes as text stay text; an expiry is a date, also where the path is replaced."""
    given = {"companyId": "c", "createdAt": AT}

    assert _message([Call("companies.update", "mutation", given)], "superjson")[2] == json.dumps(
        {"json": given}, separators=(",", ":")
    )
    access = Call("features.setAccess", "mutation", {"validUntil": AT})
    (body,) = {client.make_request([access], "superjson", paths).body for paths in ({}, {"features.setAccess": "x"})}
    assert json.loads(body or b"")["meta"] == {"values": {"validUntil": ["Date"]}, "v": 1}
