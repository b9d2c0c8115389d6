"""Errors: the tree, the codes of the wire, the text and the attributes of each error, and its copies."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from ids import words

import chatarmin_os
from chatarmin_os import (
    ApiError,
    BadRequestError,
    CassetteError,
    ChatarminError,
    ConflictError,
    ConnectionFailed,
    ForbiddenError,
    InvalidInput,
    InvalidResponse,
    NotFoundError,
    RateLimitError,
    ServerError,
    TimedOut,
    TrackUsageInput,
    TransportError,
    UnauthorizedError,
    UsageLimitError,
    errors,
)

if TYPE_CHECKING:
    from collections.abc import Callable

TREE: list[tuple[type[Exception], type[Exception]]] = [
    (ChatarminError, Exception),
    (ApiError, ChatarminError),
    (UnauthorizedError, ApiError),
    (ForbiddenError, ApiError),
    (NotFoundError, ApiError),
    (BadRequestError, ApiError),
    (UsageLimitError, ApiError),
    (ConflictError, ApiError),
    (RateLimitError, ApiError),
    (ServerError, ApiError),
    (TransportError, ChatarminError),
    (ConnectionFailed, TransportError),
    (TimedOut, TransportError),
    (InvalidResponse, TransportError),
    (InvalidInput, ChatarminError),
    (InvalidInput, ValueError),
    (CassetteError, ChatarminError),
]
ERRORS = list(dict.fromkeys(kind for kind, _ in TREE))

CODES: dict[str, tuple[type[ApiError], int]] = {
    "PARSE_ERROR": (ApiError, 400),
    "BAD_REQUEST": (BadRequestError, 400),
    "UNAUTHORIZED": (UnauthorizedError, 401),
    "PAYMENT_REQUIRED": (ApiError, 402),
    "FORBIDDEN": (ForbiddenError, 403),
    "NOT_FOUND": (NotFoundError, 404),
    "METHOD_NOT_SUPPORTED": (ApiError, 405),
    "TIMEOUT": (ApiError, 408),
    "CONFLICT": (ConflictError, 409),
    "PRECONDITION_FAILED": (UsageLimitError, 412),
    "PAYLOAD_TOO_LARGE": (ApiError, 413),
    "UNSUPPORTED_MEDIA_TYPE": (ApiError, 415),
    "UNPROCESSABLE_CONTENT": (ApiError, 422),
    "PRECONDITION_REQUIRED": (ApiError, 428),
    "TOO_MANY_REQUESTS": (RateLimitError, 429),
    "CLIENT_CLOSED_REQUEST": (ApiError, 499),
    "INTERNAL_SERVER_ERROR": (ServerError, 500),
    "NOT_IMPLEMENTED": (ServerError, 501),
    "BAD_GATEWAY": (ServerError, 502),
    "SERVICE_UNAVAILABLE": (ServerError, 503),
    "GATEWAY_TIMEOUT": (ServerError, 504),
}

ZOD_4 = [
    {
        "origin": "string",
        "code": "invalid_format",
        "format": "email",
        "pattern": "/^.+@.+$/",
        "path": ["contacts", 3, "email"],
        "message": "Invalid email address",
    },
    {"expected": "int", "format": "safeint", "code": "invalid_type", "path": ["n"], "message": "Invalid input"},
]
ZOD_3 = [
    {
        "validation": "email",
        "code": "invalid_string",
        "path": ["contacts", 3, "email"],
        "message": "Invalid email",
    },
    {"code": "invalid_type", "expected": "string", "received": "undefined", "path": ["n"], "message": "Required"},
]

REQUEST = TrackUsageInput(company_id="c", feature_code="ai_credit", quantity=5, metadata={"order": {"rows": [1, 2]}})
DETAILS: dict[str, Any] = {
    "http_status": 418,
    "path": "billing.trackUsage",
    "data": {"code": "TEAPOT", "nested": {"list": [1, "two", None]}},
    "request_id": "req_1",
}
SAMPLES: list[ChatarminError] = [
    ChatarminError("something"),
    *(kind("no", code="SOME_CODE", **DETAILS) for kind in ERRORS if issubclass(kind, ApiError)),
    RateLimitError("slow down", code="TOO_MANY_REQUESTS", retry_after=1.5, **DETAILS),
    ServerError("down", code="BAD_GATEWAY", retry_after=30, **DETAILS),
    TransportError("no answer", outcome="not_sent", attempts=3),
    ConnectionFailed("refused", outcome="not_sent", attempts=3),
    TimedOut("too late", outcome="unknown", attempts=2),
    InvalidResponse("<html>", outcome="unknown", attempts=2, retry_after=2.5, http_status=502),
    InvalidInput("must not be blank", field="company_id"),
    CassetteError("no recording"),
]


def _pickled(value: Any, protocol: int) -> Any:
    return pickle.loads(pickle.dumps(value, protocol))  # noqa: S301 - pickled here


COPIES: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle-{protocol}": partial(_pickled, protocol=protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)},
}


def _bad_request(message: str, data: Any = None) -> BadRequestError:
    return BadRequestError(message, code="BAD_REQUEST", data=data)


def _name(value: object) -> str | None:
    return value.__name__ if isinstance(value, type) else None


@pytest.mark.parametrize(("error", "parent"), TREE, ids=_name)
def test_error_is_caught_by_its_parent(error: type[Exception], parent: type[Exception]) -> None:
    """An `except` clause for the parent catches the error."""
    assert issubclass(error, parent)


def test_tree_is_complete() -> None:
    """The table above names every public error, and each has exactly the parents of the table."""
    exported = [getattr(chatarmin_os, name) for name in chatarmin_os.__all__]

    assert set(ERRORS) == {one for one in exported if isinstance(one, type) and issubclass(one, BaseException)}
    for error in ERRORS:
        parents = {parent for parent in ERRORS if issubclass(error, parent)} - {error}
        direct = {parent for child, parent in TREE if child is error} & set(ERRORS)
        assert parents == {ancestor for parent in direct for ancestor in ERRORS if issubclass(parent, ancestor)}


@pytest.mark.parametrize("error", ERRORS, ids=_name)
def test_error_is_exported_at_the_top(error: type[Exception]) -> None:
    """The name at the top is the one of the module of errors."""
    assert error is getattr(chatarmin_os, error.__name__)
    assert error is getattr(errors, error.__name__)


@pytest.mark.parametrize(("code", "expected"), CODES.items())
def test_code_has_class_and_status(code: str, expected: tuple[type[ApiError], int]) -> None:
    """A code alone gives its error, with the code's name as the message and its usual status."""
    error = ApiError.from_code(code)

    assert expected == (type(error), error.http_status)
    assert (code, code) == (error.code, error.message)


def test_table_of_codes_is_complete() -> None:
    """The codes that the package knows are those of the wire."""
    assert set(CODES) == set(errors.CODES)


@pytest.mark.parametrize("code", CODES)
def test_from_code_takes_the_arguments_of_the_constructor(code: str) -> None:
    """Message, status, path, data and request id are kept as they were given."""
    error = ApiError.from_code(code, "no", **DETAILS)

    assert code == error.code
    assert error.message == "no"
    assert {name: getattr(error, name) for name in DETAILS} == DETAILS


@pytest.mark.parametrize(
    ("code", "http_status", "expected"),
    [
        ("TEAPOT", None, ApiError),
        ("TEAPOT", 418, ApiError),
        ("TEAPOT", 499, ApiError),
        ("TEAPOT", 500, ServerError),
        ("TEAPOT", 599, ServerError),
        ("", None, ApiError),
        ("not_found", 404, ApiError),
        ("NOT_FOUND", 500, NotFoundError),
        ("BAD_GATEWAY", 200, ServerError),
    ],
)
def test_unknown_code_has_the_class_of_its_status(code: str, http_status: int | None, expected: type[ApiError]) -> None:
    """An unknown code is a plain `ApiError`, from status 500 on a `ServerError`; a known code needs no status."""
    error = ApiError.from_code(code, "no", http_status=http_status)

    assert expected is type(error)
    assert code == error.code
    assert http_status == (None if code != "NOT_FOUND" and http_status is None else error.http_status)


@pytest.mark.parametrize("code", [*CODES, "TEAPOT"])
def test_retry_after_is_kept_by_two_classes(code: str) -> None:
    """Any code takes a `retry_after`; only rate limits and the server's errors have it."""
    error = ApiError.from_code(code, retry_after=2.5)

    has_it = type(error) in {RateLimitError, ServerError}
    assert (2.5 if has_it else "none") == getattr(error, "retry_after", "none")


def test_retry_after_defaults_to_none() -> None:
    """If the service did not say when to retry, the attribute is None."""
    values = [
        RateLimitError("no", code="TOO_MANY_REQUESTS").retry_after,
        ServerError("no", code="BAD_GATEWAY").retry_after,
        InvalidResponse("no").retry_after,
        getattr(ApiError.from_code("TOO_MANY_REQUESTS"), "retry_after", "none"),
    ]

    assert values == [None] * 4


def test_retry_after_is_an_argument_of_three_constructors() -> None:
    """The constructors of the three classes with the attribute accept it."""
    values = [
        RateLimitError("no", code="TOO_MANY_REQUESTS", retry_after=1).retry_after,
        ServerError("no", code="BAD_GATEWAY", retry_after=2.5).retry_after,
        InvalidResponse("no", retry_after=3).retry_after,
    ]

    assert values == [1, 2.5, 3]


@pytest.mark.parametrize(
    "error", [kind for kind in ERRORS if kind not in {RateLimitError, ServerError, InvalidResponse}], ids=_name
)
def test_other_constructors_reject_retry_after(error: type[Any]) -> None:
    """Errors without the attribute raise a TypeError."""
    needed = {"code": "SOME_CODE"} if issubclass(error, ApiError) else {}

    with pytest.raises(TypeError):
        error("no", retry_after=1, **needed)
    assert not hasattr(error("no", **needed), "retry_after")


def test_api_error_has_defaults() -> None:
    """An omitted attribute of an `ApiError` is None."""
    error = ApiError("no", code="TEAPOT")

    assert (error.message, error.code) == ("no", "TEAPOT")
    assert (error.http_status, error.path, error.data, error.request_id, error.request) == (None,) * 5


@pytest.mark.parametrize("error", [TransportError, ConnectionFailed, TimedOut, InvalidResponse], ids=_name)
def test_transport_error_has_defaults(error: type[TransportError]) -> None:
    """The default outcome is unknown, after one attempt."""
    failed = error("no answer")

    assert (failed.outcome, failed.attempts, failed.request) == ("unknown", 1, None)
    assert str(failed) == "no answer"


@pytest.mark.parametrize("error", [kind for kind in ERRORS if kind not in {ChatarminError, CassetteError}], ids=_name)
def test_error_takes_attributes_by_name(error: type[Any]) -> None:
    """Only the message is positional, and the hint of an invalid input."""
    parameters = inspect.signature(error).parameters.values()
    by_place = [one.name for one in parameters if one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]

    assert by_place == (["message", "hint"] if error is InvalidInput else ["message"])


def test_invalid_input_is_a_value_error() -> None:
    """`except ValueError` catches an invalid input, which has no field by default."""
    with pytest.raises(ValueError, match=r"^must not be blank$") as refused:
        raise InvalidInput("must not be blank")

    assert isinstance(refused.value, InvalidInput)
    assert (refused.value.field, refused.value.request) == (None, None)


def test_invalid_input_names_its_place() -> None:
    """Seen from outside, the text begins with the place, which is also the field; indices need no dot."""
    refusal = InvalidInput("must not be blank").at("email").at("[3]").at("contacts")

    assert str(refusal) == "contacts[3].email: must not be blank"
    assert refusal.field == "contacts[3].email"


@pytest.mark.parametrize(
    ("error", "text", "parts"),
    [
        (InvalidInput("must not be blank"), "must not be blank", ("must not be blank", None, None)),
        (
            InvalidInput("must not be blank", "omit it or pass None").at("tier_code"),
            "tier_code: must not be blank; omit it or pass None",
            ("must not be blank", "omit it or pass None", "tier_code"),
        ),
        (
            InvalidInput("must not be blank", hint="omit it", field="name"),
            "name: must not be blank; omit it",
            ("must not be blank", "omit it", "name"),
        ),
        (
            InvalidInput("name: must not be blank", field="name"),
            "name: must not be blank",
            ("must not be blank", None, "name"),
        ),
        (
            InvalidInput("must not be blank", field="name"),
            "name: must not be blank",
            ("must not be blank", None, "name"),
        ),
    ],
    ids=["problem", "at-a-place", "by-name", "message-with-its-field", "message-and-field"],
)
def test_invalid_input_has_parts(error: InvalidInput, text: str, parts: tuple[str, ...]) -> None:
    """The text of an invalid input is its field, its problem and its hint."""
    assert text == str(error)
    assert parts == (error.problem, error.hint, error.field)


def test_invalid_input_hides_an_address_in_its_place() -> None:
    """An e-mail address that is a key of a mapping is shortened in field and text."""
    error = InvalidInput("keys must be text").at("ann.smith@acme.com").at("metadata")

    assert error.field == "metadata.a...@acme.com"
    assert str(error) == "metadata.a...@acme.com: keys must be text"


def test_invalid_input_of_0_1_0_is_loaded() -> None:
    """A pickle, and the arguments, of the first version have the same text, problem and field now."""
    message, attributes = "contacts[3].email: blank text", {"field": "contacts[3].email"}
    pickled = (
        b"\x80\x02cchatarmin_os.errors\n_revived\nq\x00cchatarmin_os.errors\nInvalidInput\nq\x01X\x1d\x00\x00\x00"
        b"contacts[3].email: blank textq\x02\x85q\x03}q\x04X\x05\x00\x00\x00fieldq\x05X\x11\x00\x00\x00"
        b"contacts[3].emailq\x06s\x87q\x07Rq\x08."
    )

    for error in (pickle.loads(pickled), InvalidInput(message, attributes)):  # noqa: S301 - pickled by this package
        assert (str(error), error.problem, error.hint) == (message, "blank text", None)
        assert error.field == "contacts[3].email"


@pytest.mark.parametrize(
    ("message", "is_missing"),
    [
        ('No procedure found on path "features.chek"', True),
        ('No "query"-procedure on path "features.chek"', True),
        ('No "mutation"-procedure on path "features.chek"', True),
        ("Not found: the service is at /api/v1, its control API at /__fake__/", True),
        ("No such company", False),
        ('The text says: No procedure found on path "a"', False),
    ],
    ids=["trpc-11", "trpc-10-query", "trpc-10-mutation", "local-service", "record", "quoted"],
)
def test_not_found_error_distinguishes_missing_procedures(message: str, is_missing: bool) -> None:  # noqa: FBT001 - a parameter
    """Both versions of tRPC and the local service say that a procedure is missing; other messages are about records."""
    assert NotFoundError(message, code="NOT_FOUND").is_missing_procedure is is_missing


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, "NOT_FOUND: No such tier"),
        ({"path": "tiers.get"}, "NOT_FOUND: No such tier [tiers.get]"),
        ({"request_id": "req_1"}, "NOT_FOUND: No such tier [request req_1]"),
        ({"path": "tiers.get", "request_id": "req_1"}, "NOT_FOUND: No such tier [tiers.get, request req_1]"),
        ({"data": {"secret": 1}, "http_status": 404}, "NOT_FOUND: No such tier"),
    ],
)
def test_api_error_shows_code_message_and_place(where: dict[str, Any], expected: str) -> None:
    """The text is the code, the message, and in brackets the path and the id to quote."""
    error = ApiError.from_code("NOT_FOUND", "No such tier", **where)

    assert expected == str(error)


@pytest.mark.parametrize(
    ("issues", "expected", "text"),
    [
        (
            ZOD_4,
            [("contacts[3].email", "Invalid email address"), ("n", "Invalid input")],
            "contacts[3].email: Invalid email address; n: Invalid input",
        ),
        (
            ZOD_3,
            [("contacts[3].email", "Invalid email"), ("n", "Required")],
            "contacts[3].email: Invalid email; n: Required",
        ),
        (
            [{"code": "custom", "path": [], "message": "companyId or externalOrgId is required"}],
            [("", "companyId or externalOrgId is required")],
            "companyId or externalOrgId is required",
        ),
        ([{"path": [0, "email"], "message": "Invalid email"}], [("[0].email", "Invalid email")], None),
        ([{"message": "no path"}], [("", "no path")], None),
        ([{"path": ["a"]}], [("a", "")], None),
    ],
    ids=["zod-4", "zod-3", "whole-input", "list-as-input", "without-path", "without-message"],
)
def test_bad_request_reads_issues_from_its_message(
    issues: list[dict[str, Any]], expected: list[tuple[str, str]], text: str | None
) -> None:
    """Zod's list of issues in the message becomes paths and messages, and a text of one line."""
    error = _bad_request(json.dumps(issues, indent=2))

    assert expected == error.issues
    if text is not None:
        assert f"BAD_REQUEST: {text}" == str(error)


def test_bad_request_reads_issues_from_its_data() -> None:
    """If the message is the service's own, the flattened errors of `data.zodError` are the issues."""
    fields = {"contacts": ["Invalid email", "Too many"], "minConfidence": ["Too big"], "name": [], "role": None}

    error = _bad_request("Invalid input", {"zodError": {"formErrors": [], "fieldErrors": fields}})

    assert error.issues == [("contacts", "Invalid email"), ("contacts", "Too many"), ("minConfidence", "Too big")]
    assert str(error) == "BAD_REQUEST: Invalid input"


def test_issues_of_the_message_have_precedence() -> None:
    """If message and data have issues, those of the message count, as their paths are complete."""
    flat = {"zodError": {"formErrors": [], "fieldErrors": {"contacts": ["Invalid email"]}}}

    error = _bad_request(json.dumps(ZOD_3), flat)

    assert error.issues == [("contacts[3].email", "Invalid email"), ("n", "Required")]


@pytest.mark.parametrize(
    ("message", "data"),
    [
        ("Batching is not enabled on the server", None),
        ("", None),
        ("[not json", None),
        ("[]", None),
        ('[1, null, "text"]', None),
        ('{"path": ["a"], "message": "no list"}', None),
        ("5", None),
        ("no", {"zodError": None}),
        ("no", {"zodError": "text"}),
        ("no", {"zodError": {}}),
        ("no", {"zodError": {"fieldErrors": ["a"]}}),
        ("no", {"zodError": {"fieldErrors": {"a": 5}}}),
        ("no", ["zodError"]),
        ("no", "zodError"),
        ("[" * 100_000, None),
    ],
    ids=words,
)
def test_bad_request_without_issues_has_an_empty_list(message: str, data: Any) -> None:
    """A message or data of another shape are not issues, and the text is the unchanged message."""
    error = _bad_request(message, data)

    assert error.issues == []
    assert message == error.message
    assert str(error).startswith(f"BAD_REQUEST: {message}"[:600])
    assert len(str(error)) < 1000


@pytest.mark.parametrize("make_copy", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("error", SAMPLES, ids=words)
def test_error_copies_with_all_attributes(error: ChatarminError, make_copy: Callable[[Any], Any]) -> None:
    """A copied or pickled error has the class, the text, every attribute and the request of the original."""
    # Given an error that came out of a typed call
    original = copy.copy(error)
    original.request = REQUEST

    # When it travels
    clone = make_copy(original)

    # Then nothing is lost
    assert clone is not original
    assert type(original) is type(clone)
    assert str(original) == str(clone)
    assert original.args == clone.args
    assert vars(original) == vars(clone)
    assert clone.request == REQUEST


@pytest.mark.parametrize("make_copy", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("error", SAMPLES, ids=words)
def test_error_without_a_request_copies_without_one(error: ChatarminError, make_copy: Callable[[Any], Any]) -> None:
    """An error that no typed call raised has no request, and neither has its copy."""
    clone = make_copy(error)

    assert clone.request is None
    assert vars(error) == vars(clone)


def test_samples_cover_every_error() -> None:
    """Each error of the tree is among the samples."""
    assert set(ERRORS) == {type(error) for error in SAMPLES}


def test_request_of_a_copy_is_its_own() -> None:
    """Setting the request of a copy does not change the original."""
    original = TimedOut("too late")
    clone = copy.copy(original)

    clone.request = REQUEST

    assert original.request is None


def test_deep_copy_shares_nothing() -> None:
    """A deep copy has its own data and request."""
    original = ApiError("no", code="TEAPOT", data={"list": [1]})
    original.request = REQUEST
    clone = copy.deepcopy(original)

    clone.data["list"].append(2)

    assert original.data == {"list": [1]}
    assert clone.request == REQUEST
    assert REQUEST is not clone.request


def test_module_draws_the_tree() -> None:
    """The docstring of the module names every error and every code of the tree."""
    drawn = errors.__doc__ or ""

    for error in ERRORS:
        assert error.__name__ in drawn
    for code, (error, _) in CODES.items():
        assert error in {ApiError, ServerError} or code in drawn


# Temporary or not


@pytest.mark.parametrize("error", SAMPLES, ids=words)
def test_error_knows_whether_it_is_temporary(error: ChatarminError) -> None:
    """A missing response, a failure of the service and a rate limit are temporary; everything else is not."""
    assert error.is_temporary is isinstance(error, (TransportError, ServerError, RateLimitError))


@pytest.mark.parametrize(("code", "http_status"), [("TIMEOUT", 408), ("TEAPOT", 418), ("NOT_IMPLEMENTED", 501)])
def test_code_is_as_temporary_as_its_class(code: str, http_status: int) -> None:
    """The class decides, so that a handler of one class gets errors of one kind."""
    assert ApiError.from_code(code, http_status=http_status).is_temporary is (http_status > 500)


# Arguments, as task queues keep them


@pytest.mark.parametrize("error", SAMPLES, ids=words)
def test_error_is_rebuilt_from_its_arguments(error: ChatarminError) -> None:
    """Class, text and attributes survive JSON, in which task queues store the arguments."""
    original = copy.copy(error)
    original.request = REQUEST

    clone = type(original)(*json.loads(json.dumps(original.args)))

    assert type(original) is type(clone)
    assert str(original) == str(clone)
    assert {**vars(original), "request": None} == {**vars(clone), "request": None}
    assert clone.request is None
    assert original.args == clone.args


def test_arguments_follow_attributes() -> None:
    """An attribute that is changed later is changed in the arguments too."""
    error = TimedOut("too late", outcome="not_sent")

    error.outcome, error.attempts = "unknown", 3

    assert error.args == ("too late", {"attempts": 3})


def test_arguments_omit_defaults() -> None:
    """The first argument is the message, and without other attributes it is the only one."""
    assert TimedOut("too late").args == ("too late",)
    assert InvalidInput("must not be blank").args == ("must not be blank",)
    assert NotFoundError("no", code="NOT_FOUND").args == ("no", {"code": "NOT_FOUND"})


def test_message_can_be_replaced() -> None:
    """Setting the arguments, with which programs add to a message, changes the message and keeps the attributes."""
    error, plain = InvalidInput("must not be blank", field="name"), ChatarminError("a", "b")

    error.args = (f"{error.args[0]} (row 5)", *error.args[1:])
    plain.args = ("c", "d")

    assert (str(error), error.field) == ("name: must not be blank (row 5)", "name")
    assert error.args == ("must not be blank (row 5)", {"field": "name"})
    assert (plain.args, copy.copy(plain).args) == (("c", "d"), ("c", "d"))


def test_arguments_of_other_versions_are_read() -> None:
    """A missing attribute has its default, and an unknown one is dropped."""
    older, newer = InvalidResponse("no", {"attempts": 2}), TimedOut("no", {"attempts": 2, "moon": "full"})

    assert vars(older) == {"outcome": "unknown", "attempts": 2, "retry_after": None, "http_status": None}
    assert vars(newer) == {"outcome": "unknown", "attempts": 2}


@pytest.mark.parametrize("arguments", [(), ({},), ({"path": "tiers.get"},)])
def test_api_error_requires_a_code(arguments: tuple[dict[str, Any], ...]) -> None:
    """An `ApiError` without a code raises a TypeError, also when it is rebuilt."""
    kind: Any = NotFoundError

    with pytest.raises(TypeError, match=r"NotFoundError\(\) missing 1 required keyword-only argument: 'code'"):
        kind("no", *arguments)


NO_ATTRIBUTES = [
    (kind, second)
    for kind in (ApiError, ServerError, TimedOut, InvalidResponse, InvalidInput)
    for second in ("not_sent", 3, None, ["code"])
    if kind is not InvalidInput or not isinstance(second, (str, type(None)))  # that is its hint
]


@pytest.mark.parametrize(("kind", "second"), NO_ATTRIBUTES)
def test_attributes_are_not_positional(kind: Any, second: object) -> None:
    """A second positional argument that is not a mapping is a TypeError."""
    with pytest.raises(TypeError, match="takes one positional argument, the message; name the others"):
        kind("no", second)


@pytest.mark.parametrize("error", SAMPLES, ids=words)
def test_error_of_an_older_version_has_every_attribute(error: ChatarminError) -> None:
    """An attribute that a pickle lacks has its default."""
    rebuild, (kind, args, attributes), *_ = error.__reduce__()

    clone = rebuild(kind, args, {name: attributes[name] for name in attributes if name in {"message", "code"}})

    assert [name for name in attributes if not hasattr(clone, name)] == []
    assert getattr(clone, "outcome", "unknown") == "unknown"
    assert type(error).__name__ in repr(clone)


def test_invalid_response_of_0_1_0_is_loaded() -> None:
    """A pickle of the first version, which lacks `http_status`, has its default."""
    pickled = (
        b"\x80\x02cchatarmin_os.errors\n_revived\nq\x00cchatarmin_os.errors\nInvalidResponse\nq\x01X\x06\x00\x00\x00<html>"
        b"q\x02\x85q\x03}q\x04(X\x07\x00\x00\x00outcomeq\x05X\x07\x00\x00\x00unknownq\x06X\x08\x00\x00\x00attemptsq\x07K\x02X"
        b"\x0b\x00\x00\x00retry_afterq\x08G@\x04\x00\x00\x00\x00\x00\x00u\x87q\tRq\n."
    )

    error = pickle.loads(pickled)  # noqa: S301 - pickled by this package

    assert type(error) is InvalidResponse
    assert (error.args[0], error.attempts, error.retry_after, error.http_status) == ("<html>", 2, 2.5, None)


# Size


@pytest.mark.parametrize("kind", ERRORS, ids=_name)
def test_repr_is_short(kind: type[Any]) -> None:
    """A repr has one line of less than 1,000 characters, whatever the text."""
    needed = {"code": "SOME_CODE"} if issubclass(kind, ApiError) else {}

    shown = repr(kind('it\'s "so"\n\x1b[31m' + "\\" * 100_000, **needed))

    assert shown.startswith(f"{kind.__name__}(")
    assert shown.endswith(")")
    assert shown.isprintable()
    assert len(shown) < 1000


def test_repr_has_class_and_text() -> None:
    """The repr is the class and the text."""
    assert repr(InvalidInput("must not be blank").at("name")) == "InvalidInput('name: must not be blank')"
    assert repr(ApiError.from_code("NOT_FOUND", "No such tier")) == "NotFoundError('NOT_FOUND: No such tier')"


def test_invalid_input_is_short_for_any_place() -> None:
    """Long and deep keys leave the argument at the beginning and the problem at the end."""
    refusal = InvalidInput("must not be blank")
    for _ in range(100):
        refusal = refusal.at("k" * 100_000)
    refusal = refusal.at("metadata")

    assert str(refusal).startswith("metadata.kkk")
    assert str(refusal).endswith("kkk...: must not be blank")
    assert len(str(refusal)) < 1000
    assert len(str(refusal.field)) < 100 * 102 + 10


def test_place_is_printable() -> None:
    """A key with control characters does not break the line of a log."""
    refusal = InvalidInput("must not be blank").at("a\n\x1b[31mb").at("metadata")

    assert str(refusal) == "metadata.a  [31mb: must not be blank"


# Status


def test_invalid_response_has_its_status() -> None:
    """The HTTP status of an invalid response is given by name, and None if there was no response."""
    assert InvalidResponse("<html>", http_status=502).http_status == 502
    assert InvalidResponse("no HTTP").http_status is None
