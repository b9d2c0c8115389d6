"""Every error of this package, and the one table of the codes that the service sends.

    ChatarminError
    ├── ApiError                 the service refused the call, or failed
    │   ├── UnauthorizedError    UNAUTHORIZED
    │   ├── ForbiddenError       FORBIDDEN
    │   ├── NotFoundError        NOT_FOUND
    │   ├── BadRequestError      BAD_REQUEST
    │   ├── UsageLimitError      PRECONDITION_FAILED
    │   ├── ConflictError        CONFLICT
    │   ├── RateLimitError       TOO_MANY_REQUESTS
    │   └── ServerError          the codes with an HTTP status of 5xx
    ├── TransportError           no usable response was received
    │   ├── ConnectionFailed     DNS, refused, reset, TLS
    │   ├── TimedOut             the deadline passed
    │   └── InvalidResponse      a response that is not the service's
    ├── InvalidInput             an invalid argument or setting; nothing was sent; also a ValueError
    └── CassetteError            a recording lacks a call, has an unused one, or is not a recording

The error of a typed call has the call: `client.send(error.request)` repeats exactly that one, with the same idempotency
key. All errors pickle and copy with their attributes. `type(error)(*error.args)` is the same error without its request,
and `args` is JSON: errors keep their class in task queues that store results as JSON, such as Celery.

The tree is one module, so that it reads as a whole and its names in tracebacks and pickles stay short.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from chatarmin_os._messages import MAX_TEXT_LENGTH, printable, shorten_addresses, without_query
from chatarmin_os._request import Request

Outcome = Literal["not_sent", "unknown"]

_MAX_LENGTH = 900
"""Characters of the text of an `InvalidInput`, and of the repr of any error."""

_MAX_PLACE_LENGTH = 100
"""Characters of one key or argument in the place that an error names."""

_MAX_MESSAGE_LENGTH = 10_000
"""Characters of the message that a `ServerError` keeps."""


class ChatarminError(Exception):
    """Base of every error of this package.

    Attributes:
        request: The typed request that failed; None for `client.call`, and if no request could be built.
        is_temporary: Whether the same call may succeed later: True for TransportError, ServerError and RateLimitError.

    Example:
        >>> from chatarmin_os import InvalidInput, TimedOut
        >>> TimedOut("no response").is_temporary, InvalidInput("must not be blank").is_temporary
        (True, False)
    """

    # Defaults of attributes are attributes of the classes: an error that an older version pickled lacks the newer ones.

    request: Request[Any] | None = None
    is_temporary: ClassVar[bool] = False

    _in_args: ClassVar[tuple[str, ...]] = ()
    """The attributes that `args` holds besides the message."""

    if not TYPE_CHECKING:  # pragma: no branch - for type checkers it stays the attribute that Exception has

        @property
        def args(self) -> tuple[Any, ...]:
            """The message, and a mapping of the attributes that differ from their defaults, if any do.

            They are read each time, for a transport corrects the `outcome` of an existing error.
            """
            message, kind = super().args, type(self)
            attributes = {name: getattr(self, name) for name in self._in_args}
            attributes = {name: value for name, value in attributes.items() if value != getattr(kind, name)}
            return (*message, attributes) if attributes else message

        @args.setter
        def args(self, args: tuple[Any, ...]) -> None:
            BaseException.args.__set__(self, args[:1] if self._in_args else args)

    def _set(self, from_args: tuple[Mapping[str, Any], ...], **attributes: Any) -> None:
        """Set *attributes*; those in the `args` of another error have precedence."""
        for mapping in from_args:
            if not isinstance(mapping, Mapping):
                raise TypeError(f"{type(self).__name__}() takes one positional argument, the message; name the others")
            attributes.update({name: mapping[name] for name in self._in_args if name in mapping})
        vars(self).update(attributes)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({printable(repr(str(self)), _MAX_LENGTH)})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception would call the class with `args` alone, which lack the request.
        return _revived, (type(self), super().args, self.__dict__.copy())


def _revived(kind: type[ChatarminError], args: tuple[Any, ...], attributes: dict[str, Any]) -> ChatarminError:
    """Return a pickled error; pickles of 0.1.0 know this function by its name."""
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(attributes)
    return error


class ApiError(ChatarminError):
    """The service refused the call, or (`ServerError`) failed.

    A refusal changed nothing; after a `ServerError` the call may have run in part.

    Attributes:
        code: The name of the refusal on the wire, such as `"NOT_FOUND"`.
        message: The message of the service, complete except in a `ServerError`; the text of the error (`str`) ends
            where a database's message continues with a query, its parameters or the values of a row.
        http_status: The HTTP status that goes with the code; None if it is not known.
        path: The procedure's path on the wire.
        data: Further details from the service, as JSON.
        request_id: The service's id of the exchange, to quote to its support.
        request_size: The size of the request as text, if the service refused it for its size; else None.

    Example:
        >>> error = ApiError.from_code("NOT_FOUND", "No such company", path="features.check")
        >>> print(type(error).__name__, "-", error)
        NotFoundError - NOT_FOUND: No such company [features.check]
    """

    message: str = ""
    code: str = ""
    http_status: int | None = None
    path: str | None = None
    data: Any = None
    request_id: str | None = None
    request_size: str | None = None
    _in_args: ClassVar[tuple[str, ...]] = ("code", "http_status", "path", "data", "request_id", "request_size")

    if TYPE_CHECKING:

        def __init__(
            self,
            message: str,
            *from_args: Mapping[str, Any],
            code: str,
            http_status: int | None = None,
            path: str | None = None,
            data: Any = None,
            request_id: str | None = None,
        ) -> None: ...

    else:  # the code may come from the `args` of another error

        def __init__(
            self,
            message: str,
            *from_args: Mapping[str, Any],
            code: str | None = None,
            http_status: int | None = None,
            path: str | None = None,
            data: Any = None,
            request_id: str | None = None,
        ) -> None:
            super().__init__(message)
            self.message = message
            self._set(from_args, code=code, http_status=http_status, path=path, data=data, request_id=request_id)
            if self.code is None:
                raise TypeError(f"{type(self).__name__}() missing 1 required keyword-only argument: 'code'")

    @classmethod
    def from_code(cls, code: str, message: str = "", *, retry_after: float | None = None, **same: Any) -> ApiError:
        """Return an error of the class that belongs to *code*.

        Args:
            code: The name of the refusal on the wire.
            message: The message of the service; default: the code.
            retry_after: Seconds to wait; classes without this attribute ignore it.
            same: The other arguments of the constructor. The default of *http_status* is the usual status of the code.

        Example:
            >>> ApiError.from_code("TOO_MANY_REQUESTS", retry_after=2)
            RateLimitError('TOO_MANY_REQUESTS: TOO_MANY_REQUESTS')
        """
        known = CODES.get(code)
        status = same.pop("http_status", None)
        if status is None and known:
            status = known.http_status
        kind = known.error if known else ServerError if (status or 0) >= _MIN_SERVER_ERROR else ApiError
        if issubclass(kind, _Retriable):
            same["retry_after"] = retry_after
        return kind(message or code, code=code, http_status=status, **same)

    def __str__(self) -> str:
        return self._text(self._reason() + self._advice())

    def _text(self, reason: str) -> str:
        request_id = self.request_id and f"request {self.request_id}"
        where = [part for part in (self.path, request_id, self.request_size) if part]
        reason = without_query(reason[:MAX_TEXT_LENGTH])
        return printable(f"{self.code}: {reason}") + printable(f" [{', '.join(where)}]" if where else "", 200)

    def _reason(self) -> str:
        """Return the message as the text of the error shows it."""
        return self.message

    def _advice(self) -> str:
        """Return what to do, in the names of Python's arguments."""
        return ""


class UnauthorizedError(ApiError):
    """The API key is missing or invalid."""


class ForbiddenError(ApiError):
    """The company has no access: the feature is disabled, expired, or was never granted.

    Example:
        >>> company = client.onboard(external_org_id="org_1", tier_code="free").company_id
        >>> client.billing.track_usage(company_id=company, feature_code="team_seats", quantity=1)
        Traceback (most recent call last):
        ...
        chatarmin_os.errors.ForbiddenError: FORBIDDEN: ... [billing.trackUsage]
    """


_NO_PROCEDURE = re.compile(
    r'No (?:procedure found|"(?:query|mutation)"-procedure) on path "(?P<path>[^"]*)'  # tRPC 11, tRPC 10
    r"|Not found: the service is at "  # the local service, outside its endpoint
)


class NotFoundError(ApiError):
    """The company, feature, tier, Stripe object or procedure does not exist.

    Attributes:
        is_missing_procedure: Whether the service has no procedure at the path (in the words of tRPC 10 and 11, or of
            the local service), rather than no such record: a wrong base URL, or a procedure that this service names
            otherwise.

    Example:
        >>> error = NotFoundError('No procedure found on path "a.b"', code="NOT_FOUND")
        >>> error.is_missing_procedure
        True
        >>> print(error)
        NOT_FOUND: the service has no procedure 'a.b'; check base_url, which ends in /api/v1, or pass paths=
    """

    @property
    def is_missing_procedure(self) -> bool:
        """Whether the service has no procedure at the path, rather than no such record."""
        return _NO_PROCEDURE.match(self.message) is not None

    def _reason(self) -> str:
        missing = _NO_PROCEDURE.match(self.message)
        if missing is None:
            return self.message
        return self.message if missing["path"] is None else f"the service has no procedure '{missing['path']}'"

    def _advice(self) -> str:
        return "; check base_url, which ends in /api/v1, or pass paths=" if self.is_missing_procedure else ""


class BadRequestError(ApiError):
    """The service rejected the input.

    Attributes:
        issues: The problems, as (field path in wire names, message); empty if the service does not list them.

    Example:
        >>> message = '[{"path": ["contacts", 3, "email"], "message": "Invalid email"}]'
        >>> BadRequestError(message, code="BAD_REQUEST").issues
        [('contacts[3].email', 'Invalid email')]
    """

    @property
    def issues(self) -> list[tuple[str, str]]:
        """The problems, as (field path in wire names, message); empty if the service does not list them."""
        try:
            issues = json.loads(self.message)
        except (ValueError, RecursionError):
            issues = None
        if isinstance(issues, list):
            objects = [issue for issue in issues if isinstance(issue, dict)]
            return [(_dotted(issue.get("path")), str(issue.get("message", ""))) for issue in objects]
        # The shape that the errorFormatter of tRPC's documentation adds.
        flat = _value_at(self.data, "zodError")
        fields = _value_at(flat, "fieldErrors")
        messages = [("", _value_at(flat, "formErrors")), *(fields.items() if isinstance(fields, dict) else ())]
        return [(field, str(text)) for field, texts in messages if isinstance(texts, list) for text in texts]

    def _reason(self) -> str:
        if not self.message.startswith("["):
            return self.message
        return "; ".join(f"{field}: {text}" if field else text for field, text in self.issues) or self.message


class UsageLimitError(ApiError):
    """The usage would exceed the limit; the service counted none of it.

    Example:
        >>> company = client.onboard(external_org_id="org_1", tier_code="free").company_id
        >>> client.billing.track_usage(company_id=company, feature_code="ai_credit", quantity=101)
        Traceback (most recent call last):
        ...
        chatarmin_os.errors.UsageLimitError: PRECONDITION_FAILED: ... [billing.trackUsage]
    """


class ConflictError(ApiError):
    """Another record has it: an external id, a subscription, an idempotency key with other values.

    Example:
        >>> company = client.onboard(external_org_id="org_1").company_id
        >>> client.companies.create(name="Acme Inc", external_org_id="org_1")
        Traceback (most recent call last):
        ...
        chatarmin_os.errors.ConflictError: CONFLICT: ... [companies.create]
    """


class _Retriable(ApiError):  # noqa: N818 - only its subclasses are raised
    """An error with `retry_after`: the seconds to wait; None if the service did not say."""

    is_temporary = True
    retry_after: float | None = None
    _in_args: ClassVar[tuple[str, ...]] = (*ApiError._in_args, "retry_after")  # noqa: SLF001 - its parent's

    def __init__(
        self, message: str, *from_args: Mapping[str, Any], retry_after: float | None = None, **same: Any
    ) -> None:
        super().__init__(message, *from_args, **same)
        self._set(from_args, retry_after=retry_after)


class RateLimitError(_Retriable):
    """Too many calls; this one did not run.

    Attributes:
        retry_after: Seconds to wait; None if the service did not say.

    Example:
        >>> ApiError.from_code("TOO_MANY_REQUESTS", retry_after=30).retry_after
        30
    """


class ServerError(_Retriable):
    """The service failed; the call may have run, in part or completely.

    Its `message` ends where a database's message continues with a query, its parameters or the values of a row, and
    has at most 10,000 characters: error trackers show it instead of the text.

    Attributes:
        retry_after: Seconds to wait; None if the service did not say.
    """

    def __init__(self, message: str, *from_args: Mapping[str, Any], **same: Any) -> None:
        super().__init__(without_query(message[:_MAX_MESSAGE_LENGTH]), *from_args, **same)


class TransportError(ChatarminError):
    """No usable response was received.

    Attributes:
        outcome: `"not_sent"`: the call certainly did not run. `"unknown"`: it may have run.
        attempts: The number of times the call was sent.

    Example:
        >>> fake.fail("tiers.list", error="lost")
        >>> try:
        ...     client.tiers.list()
        ... except TransportError as error:
        ...     print(error.outcome, error.attempts)
        unknown 1
    """

    is_temporary = True
    outcome: Outcome = "unknown"
    attempts: int = 1
    _in_args: ClassVar[tuple[str, ...]] = ("outcome", "attempts")

    def __init__(
        self, message: str, *from_args: Mapping[str, Any], outcome: Outcome = "unknown", attempts: int = 1
    ) -> None:
        super().__init__(message)
        self._set(from_args, outcome=outcome, attempts=attempts)


class ConnectionFailed(TransportError):  # noqa: N818 - a public name
    """No connection was made, or it was lost: DNS, refused, reset, TLS."""


class TimedOut(TransportError):  # noqa: N818 - a public name
    """The deadline passed."""


class InvalidResponse(TransportError):  # noqa: N818 - a public name
    """A response that is not the service's: not JSON, or a value of the wrong type, whose place is named.

    Attributes:
        retry_after: Seconds to wait; None if the service did not say.
        http_status: The HTTP status of the response; None if none was received. 200 for a result with a value of the
            wrong type, on every transport: the service sends results with this status.
    """

    retry_after: float | None = None
    http_status: int | None = None
    _in_args: ClassVar[tuple[str, ...]] = (*TransportError._in_args, "retry_after", "http_status")  # noqa: SLF001

    def __init__(
        self,
        message: str,
        *from_args: Mapping[str, Any],
        outcome: Outcome = "unknown",
        attempts: int = 1,
        retry_after: float | None = None,
        http_status: int | None = None,
    ) -> None:
        super().__init__(message, *from_args, outcome=outcome, attempts=attempts)
        self._set(from_args, retry_after=retry_after, http_status=http_status)


class InvalidInput(ChatarminError, ValueError):  # noqa: N818 - a public name
    """An argument or a setting is invalid; nothing was sent.

    The text is "field: problem; hint", without the parts that are missing.

    Args:
        message: The problem; it may begin with the field and a colon.
        hint: Advice on how to correct it. A mapping has the attributes in the `args` of another error.
        field: The argument's name.

    Attributes:
        field: The argument's name in Python, with the place inside it (`contacts[3].email`); e-mail addresses in it
            are shortened.
        problem: The reason, such as "must not be blank".
        hint: Advice on how to correct it, such as "omit it or pass None"; None without advice.
        line: The line of a file of `chatarmin_os.backfill.read_rows`, from 1; None for an argument.

    Example:
        >>> client.features.check(company_id="", feature_code="ai_credit")
        Traceback (most recent call last):
        ...
        chatarmin_os.errors.InvalidInput: company_id: must not be blank
    """

    field: str | None = None
    hint: str | None = None
    line: int | None = None
    _in_args: ClassVar[tuple[str, ...]] = ("field", "hint")

    def __init__(self, message: str, hint: str | Mapping[str, Any] | None = None, *, field: str | None = None) -> None:
        super().__init__(message)
        if hint is None or isinstance(hint, str):
            self._set((), field=field, hint=hint)
        else:
            self._set((hint,), field=field, hint=None)

    @property
    def problem(self) -> str:
        """The reason, without field and hint."""
        return super().__str__().removeprefix(f"{self.field}: ")

    def __str__(self) -> str:
        field = "" if self.field is None else f"{self.field}: "
        text = f"{field}{self.problem}" + (f"; {self.hint}" if self.hint else "")
        # Only the middle can be long: the place inside an argument.
        half = _MAX_LENGTH // 2
        return text if len(text) <= _MAX_LENGTH else f"{text[:half]}...{text[3 - half :]}"

    def at(self, place: str) -> InvalidInput:
        """Return the error with *place* in front of its field, as seen from outside that place.

        Args:
            place: A name, or an index in brackets.

        Example:
            >>> InvalidInput("must not be blank").at("email").at("[3]").at("contacts")
            InvalidInput('contacts[3].email: must not be blank')
        """
        field = printable(shorten_addresses(place), _MAX_PLACE_LENGTH)
        if self.field is not None:
            field += self.field if self.field.startswith("[") else f".{self.field}"
        return type(self)(f"{field}: {self.problem}", self.hint, field=field)


class CassetteError(ChatarminError):
    """A recording lacks a call, has an unused one, or is not a recording."""


def _value_at(data: Any, key: str) -> Any:
    """Return the value at *key*; None if *data* is not an object or lacks the key."""
    return data.get(key) if isinstance(data, dict) else None


def _dotted(path: Any) -> str:
    """Return a list of keys and indices as one text: `["contacts", 3, "email"]` is `contacts[3].email`."""
    parts = path if isinstance(path, list) else []
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).removeprefix(".")


class Code(NamedTuple):
    """The class and the numbers of one code."""

    error: type[ApiError]
    http_status: int
    number: int
    """The JSON-RPC number in an error envelope; five codes share -32603."""


_MIN_SERVER_ERROR = 500

CODES: dict[str, Code] = {
    "PARSE_ERROR": Code(ApiError, 400, -32700),
    "BAD_REQUEST": Code(BadRequestError, 400, -32600),
    "UNAUTHORIZED": Code(UnauthorizedError, 401, -32001),
    "PAYMENT_REQUIRED": Code(ApiError, 402, -32002),
    "FORBIDDEN": Code(ForbiddenError, 403, -32003),
    "NOT_FOUND": Code(NotFoundError, 404, -32004),
    "METHOD_NOT_SUPPORTED": Code(ApiError, 405, -32005),
    "TIMEOUT": Code(ApiError, 408, -32008),
    "CONFLICT": Code(ConflictError, 409, -32009),
    "PRECONDITION_FAILED": Code(UsageLimitError, 412, -32012),
    "PAYLOAD_TOO_LARGE": Code(ApiError, 413, -32013),
    "UNSUPPORTED_MEDIA_TYPE": Code(ApiError, 415, -32015),
    "UNPROCESSABLE_CONTENT": Code(ApiError, 422, -32022),
    "PRECONDITION_REQUIRED": Code(ApiError, 428, -32028),
    "TOO_MANY_REQUESTS": Code(RateLimitError, 429, -32029),
    "CLIENT_CLOSED_REQUEST": Code(ApiError, 499, -32099),
    "INTERNAL_SERVER_ERROR": Code(ServerError, 500, -32603),
    "NOT_IMPLEMENTED": Code(ServerError, 501, -32603),
    "BAD_GATEWAY": Code(ServerError, 502, -32603),
    "SERVICE_UNAVAILABLE": Code(ServerError, 503, -32603),
    "GATEWAY_TIMEOUT": Code(ServerError, 504, -32603),
}
"""The codes of tRPC 11 (10 has all but six of them), by name."""
