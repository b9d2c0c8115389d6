"""Errors: the tree, the codes of the wire, what each error says and carries, and that nothing of it is lost."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

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
SAID: dict[str, Any] = {
    "http_status": 418,
    "path": "billing.trackUsage",
    "data": {"code": "TEAPOT", "nested": {"list": [1, "two", None]}},
    "request_id": "req_1",
}
SAMPLES: list[ChatarminError] = [
    ChatarminError("something"),
    *(kind("no", code="SOME_CODE", **SAID) for kind in ERRORS if issubclass(kind, ApiError)),
    RateLimitError("slow down", code="TOO_MANY_REQUESTS", retry_after=1.5, **SAID),
    ServerError("down", code="BAD_GATEWAY", retry_after=30, **SAID),
    TransportError("no answer", outcome="not_sent", attempts=3),
    ConnectionFailed("refused", outcome="not_sent", attempts=3),
    TimedOut("too late", outcome="unknown", attempts=2),
    InvalidResponse("<html>", outcome="unknown", attempts=2, retry_after=2.5, http_status=502),
    InvalidInput("blank text", field="company_id"),
    CassetteError("no recording"),
]


def _pickled(value: Any, protocol: int) -> Any:
    return pickle.loads(pickle.dumps(value, protocol))  # noqa: S301 - pickled here


COPIES: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {protocol}": partial(_pickled, protocol=protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)},
}


def _bad_request(message: str, data: Any = None) -> BadRequestError:
    return BadRequestError(message, code="BAD_REQUEST", data=data)


def _name(value: object) -> str | None:
    return value.__name__ if isinstance(value, type) else None


@pytest.mark.parametrize(("error", "parent"), TREE, ids=_name)
def test_each_error_has_its_place_in_the_tree(error: type[Exception], parent: type[Exception]) -> None:
    """An error is caught by its parent's name."""
    assert issubclass(error, parent)


def test_the_tree_has_nothing_else() -> None:
    """The table above names every public error there is, and no error lies beside another by accident."""
    exported = [getattr(chatarmin_os, name) for name in chatarmin_os.__all__]

    assert set(ERRORS) == {one for one in exported if isinstance(one, type) and issubclass(one, BaseException)}
    for error in ERRORS:
        parents = {parent for parent in ERRORS if issubclass(error, parent)} - {error}
        told = {parent for child, parent in TREE if child is error} & set(ERRORS)
        assert parents == {ancestor for parent in told for ancestor in ERRORS if issubclass(parent, ancestor)}


@pytest.mark.parametrize("error", ERRORS, ids=_name)
def test_each_error_is_exported_at_the_top(error: type[Exception]) -> None:
    """The name at the top is the one of the module of errors."""
    assert error is getattr(chatarmin_os, error.__name__)
    assert error is getattr(errors, error.__name__)


@pytest.mark.parametrize(("code", "expected"), CODES.items())
def test_each_code_of_the_wire_has_its_class_and_status(code: str, expected: tuple[type[ApiError], int]) -> None:
    """A code alone gives its error, with the code's name as the message and its usual status."""
    error = ApiError.from_code(code)

    assert expected == (type(error), error.http_status)
    assert (code, code) == (error.code, error.message)


def test_the_table_of_codes_has_nothing_else() -> None:
    """The codes that the package knows are those of the wire."""
    assert set(CODES) == set(errors.CODES)


@pytest.mark.parametrize("code", CODES)
def test_an_error_of_a_code_takes_what_the_constructor_takes(code: str) -> None:
    """Message, status, path, data and request id are kept as they were given."""
    error = ApiError.from_code(code, "no", **SAID)

    assert code == error.code
    assert error.message == "no"
    assert {name: getattr(error, name) for name in SAID} == SAID


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
def test_an_unknown_code_goes_by_its_status(code: str, http_status: int | None, expected: type[ApiError]) -> None:
    """An unknown code is the plain error, from status 500 on the server's; a known code needs no status."""
    error = ApiError.from_code(code, "no", http_status=http_status)

    assert expected is type(error)
    assert code == error.code
    assert http_status == (None if code != "NOT_FOUND" and http_status is None else error.http_status)


@pytest.mark.parametrize("code", [*CODES, "TEAPOT"])
def test_only_some_errors_tell_when_to_come_again(code: str) -> None:
    """Any code takes a `retry_after`; only rate limits and the server's errors have it."""
    error = ApiError.from_code(code, retry_after=2.5)

    has_it = type(error) in {RateLimitError, ServerError}
    assert (2.5 if has_it else "none") == getattr(error, "retry_after", "none")


def test_without_a_word_about_it_retry_after_is_none() -> None:
    """Where the service did not say when to come again, the attribute is None."""
    told = [
        RateLimitError("no", code="TOO_MANY_REQUESTS").retry_after,
        ServerError("no", code="BAD_GATEWAY").retry_after,
        InvalidResponse("no").retry_after,
        getattr(ApiError.from_code("TOO_MANY_REQUESTS"), "retry_after", "none"),
    ]

    assert told == [None] * 4


def test_retry_after_can_be_given_to_those_that_have_it() -> None:
    """The constructors of the three errors that have it take it."""
    told = [
        RateLimitError("no", code="TOO_MANY_REQUESTS", retry_after=1).retry_after,
        ServerError("no", code="BAD_GATEWAY", retry_after=2.5).retry_after,
        InvalidResponse("no", retry_after=3).retry_after,
    ]

    assert told == [1, 2.5, 3]


@pytest.mark.parametrize(
    "error", [kind for kind in ERRORS if kind not in {RateLimitError, ServerError, InvalidResponse}], ids=_name
)
def test_no_other_constructor_takes_retry_after(error: type[Any]) -> None:
    """An error that says nothing about coming again refuses to be told."""
    needed = {"code": "SOME_CODE"} if issubclass(error, ApiError) else {}

    with pytest.raises(TypeError):
        error("no", retry_after=1, **needed)
    assert not hasattr(error("no", **needed), "retry_after")


def test_a_refusal_has_defaults() -> None:
    """What was not told of a refusal is None."""
    error = ApiError("no", code="TEAPOT")

    assert (error.message, error.code) == ("no", "TEAPOT")
    assert (error.http_status, error.path, error.data, error.request_id, error.request) == (None,) * 5


@pytest.mark.parametrize("error", [TransportError, ConnectionFailed, TimedOut, InvalidResponse], ids=_name)
def test_a_failed_transport_has_defaults(error: type[TransportError]) -> None:
    """Whether a call without an answer ran is not known unless told, and it was tried once."""
    failed = error("no answer")

    assert (failed.outcome, failed.attempts, failed.request) == ("unknown", 1, None)
    assert str(failed) == "no answer"


@pytest.mark.parametrize("error", [kind for kind in ERRORS if kind not in {ChatarminError, CassetteError}], ids=_name)
def test_what_an_error_has_is_given_by_name(error: type[Any]) -> None:
    """Only the message is positional, and the hint of an invalid input."""
    parameters = inspect.signature(error).parameters.values()
    by_place = [one.name for one in parameters if one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]

    assert by_place == (["message", "hint"] if error is InvalidInput else ["message"])


def test_refused_input_is_a_value_error() -> None:
    """Refused input is caught as a ValueError too, and has no field unless told."""
    with pytest.raises(ValueError, match=r"^blank text$") as refused:
        raise InvalidInput("blank text")

    assert isinstance(refused.value, InvalidInput)
    assert (refused.value.field, refused.value.request) == (None, None)


def test_refused_input_names_its_place() -> None:
    """Seen from outside, a refusal begins with the place, which is also its field; indices need no dot."""
    refusal = InvalidInput("blank text").at("email").at("[3]").at("contacts")

    assert str(refusal) == "contacts[3].email: blank text"
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
        ("No such company", False),
        ('The text says: No procedure found on path "a"', False),
    ],
    ids=["trpc-11", "trpc-10-query", "trpc-10-mutation", "record", "quoted"],
)
def test_not_found_error_distinguishes_missing_procedures(message: str, is_missing: bool) -> None:  # noqa: FBT001 - a parameter
    """Both versions of tRPC name the path of a missing procedure; other messages are about records."""
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
def test_a_refusal_says_code_message_and_place(where: dict[str, Any], expected: str) -> None:
    """The text is the code, what the service said, and in brackets the path and the id to quote."""
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
    ids=["zod 4", "zod 3", "of the whole", "a list as input", "without a path", "without a message"],
)
def test_the_issues_of_a_bad_request_are_in_its_message(
    issues: list[dict[str, Any]], expected: list[tuple[str, str]], text: str | None
) -> None:
    """A message that is zod's list of issues is told as paths and messages, and read as one line."""
    error = _bad_request(json.dumps(issues, indent=2))

    assert expected == error.issues
    if text is not None:
        assert f"BAD_REQUEST: {text}" == str(error)


def test_the_issues_of_a_bad_request_may_be_in_its_data() -> None:
    """Where the message is the service's own, the flattened errors of `data.zodError` are the issues."""
    fields = {"contacts": ["Invalid email", "Too many"], "minConfidence": ["Too big"], "name": [], "role": None}

    error = _bad_request("Invalid input", {"zodError": {"formErrors": [], "fieldErrors": fields}})

    assert error.issues == [("contacts", "Invalid email"), ("contacts", "Too many"), ("minConfidence", "Too big")]
    assert str(error) == "BAD_REQUEST: Invalid input"


def test_issues_of_the_message_say_more_than_those_of_the_data() -> None:
    """Where both are told, the message's issues with their whole paths count."""
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
    ids=lambda value: repr(value)[:40],
)
def test_a_bad_request_without_issues_has_none(message: str, data: Any) -> None:
    """A message or data of another shape are no issues, and the text is the message as it came."""
    error = _bad_request(message, data)

    assert error.issues == []
    assert message == error.message
    assert str(error).startswith(f"BAD_REQUEST: {message}"[:600])
    assert len(str(error)) < 1000


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_every_error_copies_with_all_it_carries(error: ChatarminError, copied: Callable[[Any], Any]) -> None:
    """A copied or pickled error has the class, the text, every attribute and the request of the original."""
    # Given an error that came out of a typed call
    original = copy.copy(error)
    original.request = REQUEST

    # When it travels
    twin = copied(original)

    # Then nothing is lost
    assert twin is not original
    assert type(original) is type(twin)
    assert str(original) == str(twin)
    assert original.args == twin.args
    assert vars(original) == vars(twin)
    assert twin.request == REQUEST


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_without_a_request_copies_without_one(error: ChatarminError, copied: Callable[[Any], Any]) -> None:
    """An error that no typed call raised has no request, and neither has its copy."""
    twin = copied(error)

    assert twin.request is None
    assert vars(error) == vars(twin)


def test_samples_cover_every_error() -> None:
    """Each error of the tree is among those that travel above."""
    assert set(ERRORS) == {type(error) for error in SAMPLES}


def test_a_copy_can_be_given_another_request() -> None:
    """What a copy is told is not told to the original."""
    original = TimedOut("too late")
    twin = copy.copy(original)

    twin.request = REQUEST

    assert original.request is None


def test_a_deep_copy_shares_nothing() -> None:
    """The data and the request of a deep copy are its own."""
    original = ApiError("no", code="TEAPOT", data={"list": [1]})
    original.request = REQUEST
    twin = copy.deepcopy(original)

    twin.data["list"].append(2)

    assert original.data == {"list": [1]}
    assert twin.request == REQUEST
    assert REQUEST is not twin.request


def test_the_module_draws_the_tree() -> None:
    """The docstring of the module names every error and every code of the tree."""
    drawn = errors.__doc__ or ""

    for error in ERRORS:
        assert error.__name__ in drawn
    for code, (error, _) in CODES.items():
        assert error in {ApiError, ServerError} or code in drawn


# Temporary or not


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_says_whether_it_is_temporary(error: ChatarminError) -> None:
    """A missing response, a failure of the service and a rate limit may pass; anything else will not."""
    assert error.is_temporary is isinstance(error, (TransportError, ServerError, RateLimitError))


@pytest.mark.parametrize(("code", "http_status"), [("TIMEOUT", 408), ("TEAPOT", 418), ("NOT_IMPLEMENTED", 501)])
def test_a_code_is_as_temporary_as_its_class(code: str, http_status: int) -> None:
    """The class decides, so that a handler for one class sees errors of one kind."""
    assert ApiError.from_code(code, http_status=http_status).is_temporary is (http_status > 500)


# Arguments, as task queues keep them


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_is_made_again_from_its_arguments(error: ChatarminError) -> None:
    """Class, text and attributes survive JSON, as a task queue stores them: the class called with the arguments."""
    original = copy.copy(error)
    original.request = REQUEST

    twin = type(original)(*json.loads(json.dumps(original.args)))

    assert type(original) is type(twin)
    assert str(original) == str(twin)
    assert {**vars(original), "request": None} == {**vars(twin), "request": None}
    assert twin.request is None
    assert original.args == twin.args


def test_arguments_say_what_is_so_now() -> None:
    """An attribute that is corrected after the error was made is corrected in its arguments too."""
    error = TimedOut("too late", outcome="not_sent")

    error.outcome, error.attempts = "unknown", 3

    assert error.args == ("too late", {"attempts": 3})


def test_arguments_are_the_message_alone_where_all_else_is_default() -> None:
    """The first argument is the message, and without attributes to carry it is the only one."""
    assert TimedOut("too late").args == ("too late",)
    assert InvalidInput("blank text").args == ("blank text",)
    assert NotFoundError("no", code="NOT_FOUND").args == ("no", {"code": "NOT_FOUND"})


def test_a_message_can_be_replaced() -> None:
    """Setting the arguments, as programs do to add to a message, changes the message and keeps the attributes."""
    error, plain = InvalidInput("blank text", field="name"), ChatarminError("a", "b")

    error.args = (f"{error.args[0]} (row 5)", *error.args[1:])
    plain.args = ("c", "d")

    assert (str(error), error.field) == ("name: blank text (row 5)", "name")
    assert error.args == ("blank text (row 5)", {"field": "name"})
    assert (plain.args, copy.copy(plain).args) == (("c", "d"), ("c", "d"))


def test_what_an_older_or_newer_version_put_into_arguments_is_taken_or_dropped() -> None:
    """An attribute that the arguments lack is at its default, and an unknown one is dropped."""
    older, newer = InvalidResponse("no", {"attempts": 2}), TimedOut("no", {"attempts": 2, "moon": "full"})

    assert vars(older) == {"outcome": "unknown", "attempts": 2, "retry_after": None, "http_status": None}
    assert vars(newer) == {"outcome": "unknown", "attempts": 2}


@pytest.mark.parametrize("arguments", [(), ({},), ({"path": "tiers.get"},)])
def test_a_refusal_needs_its_code(arguments: tuple[dict[str, Any], ...]) -> None:
    """A refusal without a code is no refusal of the wire, however it is made."""
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
def test_attributes_are_not_given_by_place(kind: Any, second: object) -> None:
    """A second positional argument that is no mapping is a mistake, not an attribute."""
    with pytest.raises(TypeError, match="takes one positional argument, the message; name the others"):
        kind("no", second)


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_of_an_older_version_has_every_attribute(error: ChatarminError) -> None:
    """An attribute that an error was pickled without, since its version did not know it, is at its default."""
    rebuild, (kind, args, attributes), *_ = error.__reduce__()

    twin = rebuild(kind, args, {name: attributes[name] for name in attributes if name in {"message", "code"}})

    assert [name for name in attributes if not hasattr(twin, name)] == []
    assert getattr(twin, "outcome", "unknown") == "unknown"
    assert type(error).__name__ in repr(twin)


def test_an_error_that_0_1_0_pickled_is_loaded() -> None:
    """A pickle of the first version, which knew no `http_status` of an invalid response, has one now."""
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
def test_the_repr_of_an_error_is_short(kind: type[Any]) -> None:
    """Text of any length and kind comes out on one line of less than 1,000 characters."""
    needed = {"code": "SOME_CODE"} if issubclass(kind, ApiError) else {}

    shown = repr(kind('it\'s "so"\n\x1b[31m' + "\\" * 100_000, **needed))

    assert shown.startswith(f"{kind.__name__}(")
    assert shown.endswith(")")
    assert shown.isprintable()
    assert len(shown) < 1000


def test_the_repr_of_an_error_has_its_text() -> None:
    """The repr is the class and the text."""
    assert repr(InvalidInput("blank text").at("name")) == "InvalidInput('name: blank text')"
    assert repr(ApiError.from_code("NOT_FOUND", "No such tier")) == "NotFoundError('NOT_FOUND: No such tier')"


def test_refused_input_is_short_however_long_its_place() -> None:
    """Keys of any length and depth leave the argument at the beginning and the reason at the end."""
    refusal = InvalidInput("blank text")
    for _ in range(100):
        refusal = refusal.at("k" * 100_000)
    refusal = refusal.at("metadata")

    assert str(refusal).startswith("metadata.kkk")
    assert str(refusal).endswith("kkk...: blank text")
    assert len(str(refusal)) < 1000
    assert len(str(refusal.field)) < 100 * 102 + 10


def test_a_place_is_printable() -> None:
    """A key with control characters does not break the line of a log."""
    refusal = InvalidInput("blank text").at("a\n\x1b[31mb").at("metadata")

    assert str(refusal) == "metadata.a  [31mb: blank text"


# Status


def test_an_invalid_response_knows_its_status() -> None:
    """The HTTP status of an invalid response is given by name, and None if there was no response."""
    assert InvalidResponse("<html>", http_status=502).http_status == 502
    assert InvalidResponse("no HTTP").http_status is None
