"""The server half of tRPC answers as real tRPC servers did, as recorded in `server_requests.json`."""

from __future__ import annotations

import base64
import json
import random
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs, quote, unquote, urlencode

import pytest
from cases import check_each
from hypothesis import given, settings
from hypothesis import strategies as st

from chatarmin_os import UNSET, ApiError, ConnectionFailed
from chatarmin_os.trpc import superjson
from chatarmin_os.trpc.server import Dialect, Procedure, Request, Response, respond

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

VERSIONS: tuple[Literal[11], Literal[10]] = (11, 10)
TRANSFORMERS: tuple[Literal["json"], Literal["superjson"]] = ("json", "superjson")


def _read(name: str) -> list[dict[str, Any]]:
    samples: list[dict[str, Any]] = json.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))["samples"]
    return samples


# Why a sample is left out, and how it is known by its path, its request or its answer.
LEFT_OUT = {
    "values that Python lacks, such as promises and regular expressions": r"^probe\.(deferred|rich|stream)\b",
    "forms and binaries are no inputs": r"multipart/form-data|application/octet-stream",
    "big integers are integers: plain JSON has them": r"serialize a BigInt",
    "big integers are integers: a number is expected, and is one": r"expected number, received bigint",
    "sets are lists, with what is in them twice": r'\["set"\]',
    "zero has no sign": r"\{\\*\"n\\*\": -0\}",
    "superjson refuses what the decoder leaves as it came": (
        r"invalid path|deserialize unknown custom|Unknown transformation|is not allowed as a property"
    ),
}
# Texts of errors, by number, that are those of V8, zod and superjson, and of exceptions that nobody expected.
FREE = {
    -32600: r"^\[\n|JSON|^Cannot destructure",
    -32700: r"JSON",
    -32603: r"^Cannot destructure|^database password is hunter2$|^just a string$",
}


def _text(sample: dict[str, Any]) -> str:
    """Return the request of a sample."""
    return f"{unquote(sample['target'])} {json.dumps(sample.get('headers', {}))} {sample.get('body', '')}"


def _reason(sample: dict[str, Any]) -> str | None:
    """Return why a sample is left out, None where it is not."""
    text = _text(sample) + sample["answer"]
    return next((reason for reason, known_by in LEFT_OUT.items() if re.search(known_by, text)), None)


SAMPLES = {sample["from"]: sample for sample in _read("server_requests.json") if not _reason(sample)}


def _says_superjson(sample: dict[str, Any]) -> bool:
    """Report whether there is an envelope of superjson among the inputs."""
    query = parse_qs(sample["target"].partition("?")[2])
    try:
        content = json.loads(query["input"][0] if sample["method"] == "GET" else sample["body"])
    except (KeyError, ValueError):
        return False
    inputs = content.values() if query.get("batch") == ["1"] and isinstance(content, dict) else [content]
    return any(isinstance(one, dict) and "json" in one and one.keys() <= {"json", "meta"} for one in inputs)


REPORTED = [
    name for name, sample in SAMPLES.items() if _says_superjson(sample) is (sample["transformer"] == "superjson")
]


# The procedures that were asked


def _reported(value: Any) -> str:
    """Return the input that a procedure reports."""
    return "undefined" if value is UNSET else re.sub(r"(\d)\.0\b", r"\1", json.dumps(value, ensure_ascii=False))


def _got(value: Any) -> Any:
    return {"got": _reported(value)}


def _echo(value: Any) -> Any:
    return {"got": _reported(value), "echo": value} if value is not UNSET else {"got": "undefined", "echo": UNSET}


def _refuse(given: Any) -> Any:
    message = given.get("message", given.get("cause", given["code"]))
    raise ApiError(message, code=given["code"])


def _fail(_: Any) -> Any:
    raise RuntimeError("nobody expected this")


def _bad_output(_: Any) -> Any:
    raise ApiError.from_code("INTERNAL_SERVER_ERROR", "Output validation failed")


def _missing_company(given: Any) -> Any:
    raise ApiError.from_code("NOT_FOUND", f"Company {given['companyId']} not found")


def _reset(given: Any) -> Any:
    return {"deletedLinks": 0, "deletedContacts": 0, "mrrReset": given is not UNSET and given.get("resetMrr", False)}


def _tier(given: Any) -> Any:
    tier = next((tier for tier in TIERS if tier["code"] == given["tierCode"]), None)
    if tier is None:
        raise ApiError.from_code("NOT_FOUND", f"Tier {given['tierCode']} not found")
    return tier


def _is_object(given: Any) -> bool:
    return isinstance(given, dict)


def _has_text(name: str) -> Callable[[Any], bool]:
    return lambda given: isinstance(given, dict) and isinstance(given.get(name), str) and given[name] != ""


def _has_number(given: Any) -> bool:
    return isinstance(given, dict) and isinstance(given.get("n"), (int, float)) and abs(given["n"]) < 1e308


def _are_emails(emails: list[Any]) -> bool:
    return all(isinstance(email, str) and "@" in email for email in emails)


def _is_access(given: Any) -> bool:
    names_company = not given.keys().isdisjoint({"companyId", "externalOrgId"})
    return names_company and isinstance(given.get("quantityLimit", 0), int)


TIERS = json.loads(SAMPLES["query/v11-plain/tiers-list"]["answer"])["result"]["data"]
AT = datetime(2025, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
STAMP = {"at": datetime(2025, 5, 5, tzinfo=UTC)}
NUMBERS = {"n": 2.0**53, "max": 2**53 - 1, "f": 0.1 + 0.2, "e": 1e21, "small": 5e-324, "intFloat": 2.0}

# The valid inputs, and their results; None: the procedure has no input and reads none.
Run = tuple["Callable[[Any], bool] | None", "Callable[[Any], Any]"]
QUERIES: dict[str, Run] = {
    "companies.getByProductLink": (_is_object, lambda _: None),
    "contacts.list": (lambda given: isinstance(given.get("primaryOnly", False), bool), _missing_company),
    "probe.authed": (None, lambda _: "secret"),
    "probe.authedInput": (_has_text("a"), _got),
    "probe.badOutput": (None, _bad_output),
    "probe.bigintOut": (None, lambda _: {"big": 9007199254740993}),
    "probe.echo": (lambda _: True, _echo),
    "probe.int": (lambda given: _has_number(given) and isinstance(given["n"], int), _got),
    "probe.nested": (lambda given: _are_emails(given["user"]["emails"]), _got),
    "probe.noInput": (None, lambda _: "ok"),
    "probe.noInputEcho": (None, _reported),
    "probe.nullable": (lambda given: given in (UNSET, None) or _has_text("a")(given), _got),
    "probe.num": (_has_number, _got),
    "probe.optional": (lambda given: given is UNSET or _has_text("a")(given), _got),
    "probe.returnEmptyArray": (None, lambda _: []),
    "probe.returnEmptyString": (None, lambda _: ""),
    "probe.returnFalse": (None, lambda _: False),
    "probe.returnNull": (None, lambda _: None),
    "probe.returnObjUndef": (None, lambda _: {"a": UNSET, "b": None, "c": [UNSET, None, 1]}),
    "probe.returnUndefined": (None, lambda _: UNSET),
    "probe.returnZero": (None, lambda _: 0),
    "probe.rootArray": (None, lambda _: [AT, UNSET, 1]),
    "probe.rootDate": (None, lambda _: AT),
    "probe.sameRef": (None, lambda _: {"a": STAMP, "b": {"again": STAMP}}),
    "probe.slow": (_is_object, lambda given: {"ms": given["ms"], "tag": given.get("tag", UNSET)}),
    "probe.str": (lambda given: isinstance(given, str), _got),
    "probe.strict": (lambda given: given.keys() == {"a"}, _got),
    "probe.strip": (_has_text("a"), lambda given: _got({"a": given["a"]})),
    "probe.throw": (_has_text("code"), _refuse),
    "probe.throwPlain": (None, _fail),
    "probe.throwString": (None, _fail),
    "probe.unsafeInt": (None, lambda _: NUMBERS),
    "probe.voidInput": (lambda given: given is UNSET, _got),
    "tiers.get": (_has_text("tierCode"), _tier),
    "tiers.list": (None, lambda _: TIERS),
}
MUTATIONS: dict[str, Run] = {
    "billing.trackUsage": (lambda given: given["quantity"] > 0, _missing_company),
    "companies.smartLink": (lambda given: given["minConfidence"] <= 1, _missing_company),
    "contacts.bulkUpsert": (lambda given: _are_emails([one["email"] for one in given["contacts"]]), _missing_company),
    "features.setAccess": (_is_access, _missing_company),
    "links.reset": (lambda given: given is UNSET or _is_object(given), _reset),
    "probe.mEcho": (lambda _: True, _echo),
    "probe.mNoInput": (None, lambda _: "done"),
    "probe.mNull": (None, lambda _: None),
    "probe.mOptional": (lambda given: given is UNSET or _is_object(given), _got),
    "probe.mRequired": (_has_text("a"), _got),
    "probe.mThrow": (_has_text("code"), lambda given: _refuse({"message": f"thrown {given['code']}", **given})),
    "probe.mVoid": (None, lambda _: UNSET),
    "probe.mVoidInput": (lambda given: given is UNSET, _got),
    "tiers.apply": (_has_text("tierCode"), _tier),
}


def _check_key(path: str, headers: Mapping[str, str]) -> None:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    key = key if scheme.lower() == "bearer" else headers.get("x-api-key", "")
    if not key:
        raise ApiError.from_code("UNAUTHORIZED", "Missing API key")
    if key not in {"os_sk_test", "os_sk_readonly"}:
        raise ApiError.from_code("UNAUTHORIZED", "Invalid API key")
    if key == "os_sk_readonly" and path in MUTATIONS:
        raise ApiError.from_code("FORBIDDEN", "This API key is read-only")


def _router(headers: Mapping[str, str]) -> Callable[[str], Procedure | None]:
    """Return the function that finds the procedures, for a request with *headers*."""

    def find(path: str) -> Procedure | None:
        kind: Literal["query", "mutation"] = "query" if path in QUERIES else "mutation"
        known = QUERIES.get(path) or MUTATIONS.get(path)
        if known is None:
            return None
        is_valid, answer = known

        def run(read: Callable[[], Any]) -> Any:
            if path.startswith("probe.authed") or not path.startswith("probe."):
                _check_key(path, headers)
            if is_valid is None:
                return answer(UNSET)
            value = read()
            if not _holds(is_valid, value):
                raise ApiError.from_code("BAD_REQUEST", f"not the expected input: {_reported(value)}")
            return answer(value)

        return Procedure(kind, run)

    return find


def _holds(is_valid: Callable[[Any], bool], value: Any) -> bool:
    try:
        return is_valid(value)
    except (AttributeError, KeyError, TypeError):
        return False


def _answer(
    method: str,
    target: str,
    body: bytes | None = b"",
    headers: Mapping[str, str] | None = None,
    *,
    version: Literal[10, 11] = 11,
    transformer: Literal["auto", "json", "superjson"] = "json",
) -> Response:
    headers = {"content-type": "application/json"} if headers is None else headers
    return respond(Request(method, target, headers, body), _router(headers), Dialect(version, transformer))


def _replayed(sample: dict[str, Any], transformer: Literal["auto", "json", "superjson"]) -> Response:
    """Return the answer to the request of a sample."""
    body: bytes | None = base64.b64decode(sample.get("body_base64", "")) or sample.get("body", "").encode()
    return _answer(
        sample["method"],
        sample["target"],
        None if "is_too_large" in sample else body,
        sample.get("headers", {}),
        version=sample["version"],
        transformer=transformer,
    )


# Answers compared


def _parsed(text: str | bytes) -> Any:
    """Return JSON with all numbers as JavaScript has them."""
    return json.loads(text, parse_int=float)


def _lines(text: str) -> list[Any]:
    """Return the lines of a streamed answer of tRPC 11, instants in superjson as `{"Date": ...}`."""
    lines = [_parsed(line) for line in text.splitlines()]
    return [_revived(line) if isinstance(line, dict) and "json" in line else line for line in lines]


def _revived(envelope: dict[str, Any]) -> Any:
    holder = {"": envelope["json"]}
    for path, kind in envelope.get("meta", {}).get("values", {}).items():
        *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
        place: Any = holder[""]
        for step in way:
            place = place[step if isinstance(place, list) else str(step)]
        if kind == ["undefined"]:
            del place[last]
        else:
            place[last] = {kind[0]: place[last]}
    return holder[""]


def _joined(text: str) -> Any:
    """Return the envelope of each call in a streamed response of tRPC 11."""
    head, *chunks = _lines(text)
    values = {number: value for number, _, value in chunks}

    def whole(encoded: list[Any]) -> Any:
        value, *deferred = encoded
        if not value:
            return UNSET
        holder = {None: value[0]}
        for key, _, number in deferred:
            (holder if key is None else holder[None])[key] = whole(values[number])
        return holder[None]

    joined = {index: whole(encoded) for index, encoded in head.items()}
    return {
        index: {"result": {}} if envelope.get("result") == {"data": UNSET} else envelope
        for index, envelope in joined.items()
    }


def _content_of(text: str) -> Any:
    """Return the content of a response: JSON, or a stream of either version."""
    if re.match(r'(\{"json": ?)?\{"0": ?\[\[', text):
        return _joined(text)
    if re.match(r'\{"[0-9]+":', text):
        *lines, end = text.splitlines()
        assert end == "}"
        assert [line[0] for line in lines] == ["{", *"," * (len(lines) - 1)]
        return {index: one for line in lines for index, one in _parsed(f"{{{line[1:]}}}").items()}
    return _parsed(text)


def _content(text: str | bytes, sample: dict[str, Any]) -> Any:
    """Return a response for comparison: without the parts that are left out on purpose."""
    text = text if isinstance(text, str) else text.decode()
    if not text:
        return None
    return _comparable(_content_of(text), has_types=bool(re.search(r'"values":(?!\["undefined"\])', _text(sample))))


def _comparable(value: Any, *, has_types: bool) -> Any:
    if isinstance(value, list):
        return [_comparable(one, has_types=has_types) for one in value]
    if not isinstance(value, dict):
        return value
    if has_types and "echo" in (value.get("json") or ()):  # an input is JSON once it is read
        return _parsed(json.dumps(superjson.decode(value)["echo"]))
    left_out = {"stack", "referentialEqualities"}
    kept = {key: _comparable(one, has_types=has_types) for key, one in value.items() if key not in left_out}
    return {key: one for key, one in kept.items() if one != {"v": 1}}


def _with_free_texts(content: Any, expected: Any) -> Any:
    """Return an answer with those messages as they are expected whose text is free."""
    if isinstance(content, list) and isinstance(expected, list) and len(content) == len(expected):
        return [_with_free_texts(one, other) for one, other in zip(content, expected, strict=True)]
    if not isinstance(content, dict) or not isinstance(expected, dict):
        return content
    freed = {key: _with_free_texts(one, expected.get(key)) for key, one in content.items()}
    code = expected.get("code")
    if isinstance(code, float) and code in FREE and re.search(FREE[int(code)], expected["message"]):
        assert content["message"]
        freed["message"] = expected["message"]
    return freed


def _assert_same(answer: Response, sample: dict[str, Any]) -> None:
    headers = {name: answer.headers[name] for name in ("content-type", "vary", "allow") if name in answer.headers}
    expected = _content(sample["answer"], sample)
    content = _content(answer.body, sample)

    assert answer.status == sample["status"]
    assert headers == sample["answer_headers"]
    assert _text_of(_with_free_texts(content, expected)) == _text_of(expected)


def _text_of(content: Any) -> str:
    """Return JSON to be compared: true is not 1 in it."""
    return json.dumps(content, sort_keys=True, indent=1)


def test_request_is_answered_like_by_trpc() -> None:
    """Status, content type, `vary`, `allow` and the content of the body are those of a real server."""

    def check(name: str) -> None:
        sample = SAMPLES[name]
        _assert_same(_replayed(sample, sample["transformer"]), sample)

    check_each(SAMPLES, check)


def test_request_is_answered_like_in_the_vectors() -> None:
    """If no transformer is set, a request in superjson is answered in superjson, and any other in plain JSON."""
    check_each(REPORTED, lambda name: _assert_same(_replayed(SAMPLES[name], "auto"), SAMPLES[name]))


def test_skipped_requests_are_few() -> None:
    """There are many requests of either version in either transformer, and each reason to leave some out has some."""
    everything = _read("server_requests.json")
    counts = Counter((sample["version"], sample["transformer"]) for sample in SAMPLES.values())

    assert counts.keys() == {(version, transformer) for version in VERSIONS for transformer in TRANSFORMERS}
    assert min(counts.values()) > 230
    assert {_reason(sample) for sample in everything} == {None, *LEFT_OUT}
    assert len(SAMPLES) > 0.95 * len(everything)
    assert len(REPORTED) > 0.8 * len(SAMPLES)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("code", _read("codes.json"), ids=lambda code: str(code["code"]))
def test_code_has_its_number_and_its_status(code: dict[str, Any], version: Literal[10, 11]) -> None:
    """A refusal has the number and the status of its code; a code that tRPC 10 does not know has no number."""
    answer = _answer("POST", "probe.mThrow", json.dumps({"code": code["code"]}).encode(), version=version)
    unknown = f"errors/v10-plain/code/{code['code']}" in SAMPLES and version == 10
    expected = SAMPLES[f"errors/v{version}-plain/code/{code['code']}"] if unknown else None

    error = json.loads(answer.body)["error"]

    assert answer.status == (expected["status"] if expected else code["status"])
    assert error.get("code") == (json.loads(expected["answer"])["error"].get("code") if expected else code["number"])


# Beyond the samples


@pytest.mark.parametrize("transformer", TRANSFORMERS)
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("deep", ["[" * 400 + "]" * 400, "[" * 100_000], ids=["much", "without-end"])
def test_too_deep_input_is_an_error(
    deep: str, version: Literal[10, 11], transformer: Literal["json", "superjson"]
) -> None:
    """JSON that cannot be read or written for its depth gets an envelope, as any other failure."""
    body = deep if transformer == "json" else f'{{"json":{deep}}}'

    answer = _answer("POST", "probe.mEcho", body.encode(), version=version, transformer=transformer)

    (envelope,), _ = _envelopes(answer)
    assert (answer.status == 200) is ("result" in envelope)
    assert answer.status in {200, 400, 500}


@pytest.mark.parametrize("transformer", TRANSFORMERS)
@pytest.mark.parametrize("version", VERSIONS)
def test_output_that_is_not_json_fails_the_whole_request(
    version: Literal[10, 11], transformer: Literal["json", "superjson"]
) -> None:
    """As where a bigint is in plain JSON: one error for all calls, without a path, and in no stream."""
    find = {"a": Procedure("query", lambda _: object()), "b": Procedure("query", lambda _: 1)}.get
    streaming = {"trpc-accept": "application/jsonl", "trpc-batch-mode": "stream"}

    answers = [
        respond(Request("GET", "a,b?batch=1&input={}", headers, b""), find, Dialect(version, transformer))
        for headers in ({}, streaming)
    ]

    for answer in answers:
        content = json.loads(answer.body)["error"]
        error = content if transformer == "json" else content["json"]
        assert answer.status == 500
        assert answer.headers["content-type"] == "application/json"
        assert (error["code"], error["data"]) == (-32603, {"code": "INTERNAL_SERVER_ERROR", "httpStatus": 500})


def test_exception_of_a_procedure_is_logged_and_not_sent(caplog: pytest.LogCaptureFixture) -> None:
    """An exception that nobody expected is an internal error whose text stays here."""
    answer = _answer("GET", "probe.throwPlain")

    assert answer.status == 500
    assert b"nobody expected this" not in answer.body
    assert "nobody expected this" in caplog.text


def test_response_to_lose_is_not_sent() -> None:
    """A transport's error is not an answer: it is raised, also from the middle of a batch."""

    def lose(_: Callable[[], Any]) -> Any:
        raise ConnectionFailed("lost on purpose")

    find = {"lost": Procedure("query", lose), "fine": Procedure("query", lambda _: 1)}.get

    with pytest.raises(ConnectionFailed):
        respond(Request("GET", "fine,lost?batch=1", {}, b""), find, Dialect())


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("1e400", None),
        ("-1E400", None),
        ("9" * 5000, None),
        ("9007199254740993", 2.0**53),
        ("9007199254740991", 2**53 - 1),
        ("10.0", 10),
        ("1E3", 1000),
        ("1.5", 1.5),
        ("-0", 0),
    ],
)
def test_numbers_are_parsed_like_in_javascript(number: str, expected: float | None) -> None:
    """Beyond 2**53 they are rounded, beyond all bounds infinite, and whole ones are integers however written."""
    answer = _answer("POST", "probe.mEcho", number.encode())

    assert json.dumps(json.loads(answer.body)["result"]["data"]["echo"]) == json.dumps(expected)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "01", "1.", "+1", "0x1"])
def test_invalid_numbers_of_javascript_are_invalid_json(number: str) -> None:
    """Values that Python reads and writes beyond JSON are refused."""
    assert _answer("POST", "probe.mEcho", number.encode()).status == 400


@pytest.mark.parametrize(
    ("headers", "streams"),
    [
        ({"trpc-accept": "application/jsonl"}, True),
        ({"accept": "text/html, application/jsonl"}, True),
        ({"accept": "application/jsonl", "trpc-accept": "application/json"}, False),
        ({"accept": "application/jsonl;q=1"}, False),
        ({"trpc-accept": " application/jsonl "}, False),
        ({}, False),
    ],
)
def test_stream_is_sent_on_request(headers: dict[str, str], streams: bool) -> None:  # noqa: FBT001 - a case
    """The header of tRPC counts more than `accept`, which must list the type exactly."""
    answer = _answer("GET", "probe.noInput?batch=1", headers=headers)

    assert isinstance(json.loads(answer.body), dict) is streams
    assert answer.body.endswith(b"\n") is streams


@pytest.mark.parametrize("headers", [{}, {"content-type": ""}, {"content-type": "text/plain; a=b"}])
def test_content_type_is_reported_unchanged(headers: dict[str, str]) -> None:
    """A content type that is not taken is in the message with its parameters; an empty one is missing."""
    error = json.loads(_answer("POST", "probe.mNoInput", headers=headers).body)["error"]

    named = headers.get("content-type")
    assert error["message"] == (f'Unsupported content-type "{named}' if named else "Missing content-type header")


@pytest.mark.parametrize("path", ["probe.%ZZ", "probe.%FF", "probe.%E2%98", "probe.%"])
def test_path_that_javascript_does_not_decode_is_refused(path: str) -> None:
    """Escapes that are none, or no UTF-8: tRPC 11 refuses them, tRPC 10 fails over them in a batch."""
    target = f"{path}?batch=1&input={{}}"

    assert _answer("GET", path).status == 400
    assert _answer("GET", target).status == 400
    assert _answer("GET", path, version=10).status == 404
    assert json.loads(_answer("GET", target, version=10).body)["error"] == {
        "message": "URI malformed",
        "code": -32603,
        "data": {"code": "INTERNAL_SERVER_ERROR", "httpStatus": 500},
    }


def test_one_invalid_input_fails_the_whole_batch() -> None:
    """One that superjson cannot read fails all calls that read theirs, but no call without an input; 10: the whole."""
    inputs = urlencode({"input": json.dumps({"0": None, "1": {"json": 1}})})
    target = f"probe.echo,probe.echo,probe.noInput?batch=1&{inputs}"

    together = json.loads(_answer("GET", target, transformer="superjson").body)
    whole = json.loads(_answer("GET", target, transformer="superjson", version=10).body)

    assert [one.get("error", {}).get("json", {}).get("code") for one in together] == [-32600, -32600, None]
    assert whole["error"]["json"]["code"] == -32603


@pytest.mark.parametrize(("version", "status"), [(11, 200), (10, 500)])
def test_only_version_10_parses_surplus_inputs(version: Literal[10, 11], status: int) -> None:
    """An index beyond the calls of a batch is not looked at by tRPC 11; 10 reads it first of all."""
    target = f"probe.echo?batch=1&{urlencode({'input': json.dumps({'0': {'json': 1}, '7': None})})}"

    assert _answer("GET", target, transformer="superjson", version=version).status == status


def test_input_is_parsed_again() -> None:
    """Whatever reads the input twice gets the same, though superjson's values were converted in place."""
    find = {"twice": Procedure("query", lambda read: [read(), read()])}.get
    zero = json.dumps({"json": {"n": "-0"}, "meta": {"values": {"n": ["number"]}}})

    answer = respond(Request("GET", f"twice?input={quote(zero)}", {}, b""), find, Dialect(11, "superjson"))

    assert json.loads(answer.body)["result"]["data"]["json"] == [{"n": 0}, {"n": 0}]


def test_version_10_checks_the_body_size_before_the_method() -> None:
    """Version 10 says so whatever the method; 11 says first that the method is wrong."""
    assert _answer("PUT", "probe.mEcho", None, version=10).status == 413
    assert _answer("PUT", "probe.mEcho", None).status == 405


def test_refusal_has_its_own_data() -> None:
    """Data of an error and a status of its own are reported."""

    def refuse(_: Callable[[], Any]) -> Any:
        raise ApiError("full", code="CONFLICT", http_status=423, data={"reason": "full", "gone": UNSET})

    answer = respond(Request("GET", "a", {}, b""), {"a": Procedure("query", refuse)}.get, Dialect())

    assert answer.status == 423
    assert json.loads(answer.body)["error"]["data"] == {
        "code": "CONFLICT",
        "httpStatus": 423,
        "path": "a",
        "reason": "full",
    }


# Whatever comes


def _envelopes(answer: Response) -> tuple[list[dict[str, Any]], bool]:
    """Return the envelopes of an answer, having seen that there is nothing else in it, and whether it is a stream."""
    content = json.loads(answer.body.decode("ascii"), parse_constant=_no_constant)
    if isinstance(content, dict) and "json" in content:  # a stream in superjson
        content = content["json"]
    is_stream = isinstance(content, dict) and content.keys().isdisjoint({"result", "error"})
    if is_stream:
        assert answer.body.endswith((b"}\n", b"\n}"))
        assert list(content) == [str(index) for index in range(len(content))]
        content = [one[0][0] if isinstance(one, list) else one for one in content.values()]
    envelopes = content if isinstance(content, list) else [content]
    assert envelopes
    for envelope in envelopes:
        assert envelope.keys() in ({"result"}, {"error"})
        if "error" in envelope:
            assert isinstance(_error(envelope)["message"], str)
            assert _error(envelope)["data"].keys() >= {"code", "httpStatus"}
    return envelopes, is_stream


def _error(envelope: dict[str, Any]) -> Any:
    return envelope["error"].get("json", envelope["error"])


def _no_constant(name: str) -> Any:
    pytest.fail(f"{name} is no JSON")


def _assert_answered(request: Request, dialect: Dialect) -> None:
    answer = respond(request, _router(request.headers), dialect)

    assert answer.headers.keys() <= {"content-type", "vary", "allow"}
    if request.method == "HEAD":
        assert answer == Response(204, b"", {})
        return
    envelopes, is_stream = _envelopes(answer)
    statuses = {200 if "result" in one else _error(one)["data"]["httpStatus"] for one in envelopes}
    assert answer.status == (200 if is_stream else statuses.pop() if len(statuses) == 1 else 207)


PATHS = [*QUERIES, *MUTATIONS, "nope", "", "%2C", "%FF", "%", ",", "/", "probe%2Eecho", "\ud800"]
INPUTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.sampled_from(["json", "meta", "values", "__proto__", "code"]), inner)
        | st.fixed_dictionaries(
            {"json": inner}, optional={"meta": st.fixed_dictionaries({}, optional={"values": inner})}
        )
    ),
    max_leaves=8,
)
TEXTS = (
    st.builds(json.dumps, INPUTS | st.dictionaries(st.sampled_from(["0", "1", "7"]), INPUTS))
    | st.sampled_from(["", " ", "{bad", "1e400", "NaN", "\ufeff1", "[" * 5000, '{"0":' * 300 + "1" + "}" * 300])
    | st.text(max_size=20)
)
TARGETS = st.text(max_size=20) | st.builds(
    lambda paths, batch, text, quoting, rest: f"{','.join(paths)}?{batch}&input={quoting(text)}{rest}",
    st.lists(st.sampled_from(PATHS), min_size=1, max_size=3),
    st.sampled_from(["batch=1", "batch=0", "batch=", "b"]),
    TEXTS,
    st.sampled_from([lambda text: quote(text, errors="replace"), str]),
    st.sampled_from(["", "&input=2", "%", "#", "&&=&"]),
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "content-type": st.sampled_from(["application/json", "Application/JSON ; charset=x", "text/plain", ""])
        | st.text(),
        "trpc-accept": st.sampled_from(["application/jsonl", "x"]),
        "accept": st.sampled_from(["application/jsonl", "*/*, application/jsonl", ",", ""]),
        "trpc-batch-mode": st.sampled_from(["stream", ""]),
        "authorization": st.sampled_from(["Bearer os_sk_test", "Bearer", "x"]),
    },
)
DIALECTS = st.builds(Dialect, st.sampled_from(VERSIONS), st.sampled_from(["auto", *TRANSFORMERS]))


@settings(deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "OPTIONS", "HEAD", "get"]) | st.text(max_size=5),
    target=TARGETS,
    headers=HEADERS,
    body=st.none() | st.binary(max_size=20) | TEXTS.map(lambda text: text.encode(errors="surrogatepass")),
    dialect=DIALECTS,
)
def test_every_request_is_answered(
    method: str, target: str, headers: dict[str, str], body: bytes | None, dialect: Dialect
) -> None:
    """Whatever comes, the answer is an envelope, a list of them, or a stream of them; to HEAD nothing."""
    _assert_answered(Request(method, target, headers, body), dialect)


def _damaged(text: str, dice: random.Random) -> str:
    """Return a text with a part of it repeated, left out or replaced."""
    start = dice.randrange(len(text) + 1)
    end = min(len(text), start + dice.choice([0, 1, 1, 2, 8]))
    filling = dice.choice(["", text[start:end] * 2, *'"{}[]:,%/?&=+0\\', "\ud800", "\xff", "null", "%ZZ", "e999"])
    return f"{text[:start]}{filling}{text[end:]}"


def _damages() -> Iterator[tuple[Request, Dialect]]:
    dice = random.Random(11)  # noqa: S311 - nothing secret
    samples = list(SAMPLES.values())
    for _ in range(4000):
        sample = dice.choice(samples)
        target, body = sample["target"], sample.get("body", "")
        for _ in range(dice.choice([0, 1, 1, 2])):
            target, body = _damaged(target, dice), _damaged(body, dice) if body else body
        method = dice.choice([sample["method"], sample["method"], "GET", "POST", "PATCH"])
        dialect = Dialect(dice.choice(VERSIONS), dice.choice(["auto", *TRANSFORMERS]))
        yield Request(method, target, sample.get("headers", {}), body.encode(errors="surrogatepass")), dialect


def test_damaged_requests_are_answered() -> None:
    """Requests like the recorded ones, damaged here and there, are answered as well."""
    for request, dialect in _damages():
        _assert_answered(request, dialect)
