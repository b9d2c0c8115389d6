"""Every error of this package, and the one table of the wire's codes.

    ChatarminError
    ├── ApiError                 the service refused
    │   ├── UnauthorizedError    UNAUTHORIZED
    │   ├── ForbiddenError       FORBIDDEN
    │   ├── NotFoundError        NOT_FOUND
    │   ├── BadRequestError      BAD_REQUEST
    │   ├── UsageLimitError      PRECONDITION_FAILED
    │   ├── ConflictError        CONFLICT
    │   ├── RateLimitError       TOO_MANY_REQUESTS
    │   └── ServerError          the codes of 5xx
    ├── TransportError           no answer to be had
    │   ├── ConnectionFailed     DNS, refused, reset, TLS
    │   ├── TimedOut             the deadline passed
    │   └── InvalidResponse      an answer that is not the service's
    ├── InvalidInput             refused before anything was sent; also a ValueError
    └── CassetteError            recorded transport: no recording, an unused one, no cassette

An error that came out of a typed call knows it: `client.send(error.request)` repeats exactly that call, with the same
idempotency key. All errors pickle and copy with their attributes. `type(error)(*error.args)` is the same error but for
its request, and `args` is JSON: errors keep their class in task queues that store results as JSON, such as Celery.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from chatarmin_os._request import Request

Outcome = Literal["not_sent", "unknown"]

_NO_PROCEDURE = re.compile(r'No (procedure found|"(query|mutation)"-procedure) on path "')  # tRPC 11, tRPC 10


_MAX_TEXT = 900
"""Characters of an error's text, or of its repr."""

_MAX_PLACE = 100
"""Characters of one key or field in the place that an error names."""


class ChatarminError(Exception):
    """Base of every error of this package.

    Example:
        >>> from chatarmin_os import InvalidInput, TimedOut
        >>> TimedOut("no response").is_temporary, InvalidInput("blank text").is_temporary
        (True, False)
    """

    # Defaults of attributes are attributes of the classes: an error that an older version pickled lacks the newer ones.

    request: Request[Any] | None = None
    """The typed request that failed; None for `client.call` and where no request could be built."""

    is_temporary: ClassVar[bool] = False
    """Whether the same call may succeed later: True for TransportError, ServerError and RateLimitError."""

    _carried: ClassVar[tuple[str, ...]] = ()
    """The attributes that `args` carries besides the message."""

    if not TYPE_CHECKING:  # pragma: no branch - for type checkers it stays the attribute that Exception has

        @property
        def args(self) -> tuple[Any, ...]:
            """The message, and a mapping of the attributes that are not at their defaults, if there are any.

            They are read each time, for a transport corrects the `outcome` of an error that exists already.
            """
            message, kind = super().args, type(self)
            carried = {name: getattr(self, name) for name in self._carried}
            carried = {name: value for name, value in carried.items() if value != getattr(kind, name)}
            return (*message, carried) if carried else message

        @args.setter
        def args(self, args: tuple[Any, ...]) -> None:
            BaseException.args.__set__(self, args[:1] if self._carried else args)

    def _set(self, carried: tuple[Mapping[str, Any], ...], **attributes: Any) -> None:
        """Set *attributes*; what `args` of another error carried goes before."""
        for mapping in carried:
            if not isinstance(mapping, Mapping):
                raise TypeError(f"{type(self).__name__}() takes one positional argument, the message; name the others")
            attributes.update({name: mapping[name] for name in self._carried if name in mapping})
        vars(self).update(attributes)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({printable(repr(str(self)), _MAX_TEXT)})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception would call the class with `args` alone, which do not have the request.
        return _revived, (type(self), super().args, self.__dict__.copy())


def _revived(kind: type[ChatarminError], args: tuple[Any, ...], attributes: dict[str, Any]) -> ChatarminError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(attributes)
    return error


_LONGEST_TEXT = 700
"""Characters of a foreign text that a message shows."""

_MAX_MESSAGE = 10_000
"""Characters that are kept of the message of a service that failed."""


def printable(text: str, at_most: int = _LONGEST_TEXT) -> str:
    """Return foreign text as a message shows it: on one line, without control characters, not long."""
    cut = text if len(text) <= at_most else f"{text[: at_most - 3]}..."
    return cut if cut.isprintable() else "".join(letter if letter.isprintable() else " " for letter in cut)


# In the pattern `~` is white space, `@` where a statement or a line begins; both may be escaped, as they are in JSON.
_QUERY = r"""
    (?:(?<![a-z])|(?<=\\n)|(?=[^a-z\ ]))                # where a word begins, or at punctuation: faster
    (?:
      failed\ query:                                    # Drizzle: the query, with its parameters on the next line
    | invalid\ `[^`\n]{1,200}`\ invocation              # Prisma: the arguments of the call, with their values
    | (?:@|\[)(?:params|parameters|bindings):           # also SQLAlchemy
    | [\[(]sql:                                         # SQLAlchemy, Laravel
    | (?:insert|merge|replace)~into(?=~[\w."`[\]\\]{1,200}(?:\s?\(|~(?:values|select|default|using|as)\b))
    | delete~from(?=~(?:[\\"`[]|[\w.]{1,200}~(?:where|using|returning)\b))
    | @update(?=~[\w."`[\]\\]{1,200}~set\b)
    | @select(?=~(?:distinct~)?(?:[\\"`*['(]|\w{1,100}\(|[\w.,\s]{1,500}~from~[\w."`[\]\\]{1,200}
        ~(?:where|join|inner|left|cross|order|group|having|limit|offset|for|union|as)\b))
    | @with(?=~(?:recursive~)?[\w"`\\]{1,200}~as~\()
    | \)=(?=\()                                         # PostgreSQL in any language: Key (email)=(...)
    | failing\ row\ contains | @detail: | json\ data,\ line\ [0-9]{1,9}:
    | invalid\ (?:input|byte|text|value|data|json|escape|encoding|regular|datetime|type|name|reference)\b
        [^:\n]{0,100}:(?=~\\?")
    | (?:invalid\ value|malformed\ \w{1,50}\ literal:|out\ of\ range:|at\ or\ near)(?=~\\?")
    | @value(?=~\\?")
    | (?:duplicate\ entry|(?:incorrect|truncated)\ [\w\ ]{1,100}\ value:|syntax\ to\ use\ near)(?=\ ')  # MySQL
    | duplicate\ key\ value\ is(?=\ \()                 # SQL Server
    | dup\ key:(?=\ \{)                                 # MongoDB
    )
    """.replace("@", r"(?:\A|(?:[\n:`\x22]|\\n)\s{0,20})").replace("~", r"(?:\s|\\[nt]){1,50}")
"""Where the message of a database, or of its library, goes on with a query or with values of a row."""


def without_query(text: str) -> str:
    r"""Return *text* up to where a database error shows a query, its parameters, or the values of a row.

    tRPC sends the message of an unexpected error to its clients, and database libraries write into it what they were
    doing. The forms are those of Drizzle, Prisma, Knex, SQLAlchemy, PostgreSQL, MySQL, SQL Server and MongoDB.

    Example:
        >>> without_query("Failed query: select * from contacts where email = $1\nparams: ann@acme.com")
        'Failed query: ...'
        >>> without_query("Key (email)=(ann@acme.com) already exists.")
        'Key (email)= ...'
        >>> without_query("The tier has no price")
        'The tier has no price'
    """
    found = re.search(_QUERY, text, re.IGNORECASE | re.VERBOSE)  # compiled at its first use: importing is to be fast
    return f"{text[: found.end()]} ..." if found else text


class ApiError(ChatarminError):
    """The service answered that it refuses the call, or (`ServerError`) that it failed.

    A refusal has changed nothing; a `ServerError` leaves open how far the service came.

    Attributes:
        code: The wire's name of the refusal, such as `"NOT_FOUND"`.
        message: What the service said, whole but in a `ServerError`; the text of the error (`str`) ends where a
            database's message goes on with a query, its parameters or the values of a row.
        http_status: The HTTP status that goes with the code, where known.
        path: The procedure's path on the wire.
        data: What else the service sent along, as JSON.
        request_id: The service's id of the exchange, to quote to its support.
        request_size: How large the request was, as text, if it was refused for that; else None.

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
    _carried: ClassVar[tuple[str, ...]] = ("code", "http_status", "path", "data", "request_id", "request_size")

    if TYPE_CHECKING:

        def __init__(
            self,
            message: str,
            *carried: Mapping[str, Any],
            code: str,
            http_status: int | None = None,
            path: str | None = None,
            data: Any = None,
            request_id: str | None = None,
        ) -> None: ...

    else:  # the code may be among what `args` of another error carried

        def __init__(
            self,
            message: str,
            *carried: Mapping[str, Any],
            code: str | None = None,
            http_status: int | None = None,
            path: str | None = None,
            data: Any = None,
            request_id: str | None = None,
        ) -> None:
            super().__init__(message)
            self.message = message
            self._set(carried, code=code, http_status=http_status, path=path, data=data, request_id=request_id)
            if self.code is None:
                raise TypeError(f"{type(self).__name__}() missing 1 required keyword-only argument: 'code'")

    @classmethod
    def from_code(cls, code: str, message: str = "", *, retry_after: float | None = None, **same: Any) -> ApiError:
        """Return the error of the class that *code* belongs to.

        Takes what the constructor takes. Without a message it is the code's name, without an `http_status` the code's
        usual one, as the wire itself does. *retry_after* is kept by the classes that have it.
        """
        known = CODES.get(code)
        status = same.pop("http_status", None)
        if status is None and known:
            status = known.http_status
        kind = known.error if known else ServerError if (status or 0) >= _SERVER_ERROR else ApiError
        if issubclass(kind, _Retriable):
            same["retry_after"] = retry_after
        return kind(message or code, code=code, http_status=status, **same)

    def __str__(self) -> str:
        request_id = self.request_id and f"request {self.request_id}"
        where = [part for part in (self.path, request_id, self.request_size) if part]
        told = without_query(self._told()[:_LONGEST_TEXT])
        return printable(f"{self.code}: {told}") + printable(f" [{', '.join(where)}]" if where else "", 200)

    def _told(self) -> str:
        return self.message


class UnauthorizedError(ApiError):
    """The API key is missing or not valid."""


class ForbiddenError(ApiError):
    """No access: the feature is disabled, expired or not part of what the company has."""


class NotFoundError(ApiError):
    """There is no such company, feature, tier, Stripe object or procedure.

    Example:
        >>> print(NotFoundError('No procedure found on path "a.b"', code="NOT_FOUND"))
        NOT_FOUND: No procedure found on path "a.b"; it is the procedure that is missing, not what it was asked for
    """

    def _told(self) -> str:
        missing = "; it is the procedure that is missing, not what it was asked for"
        return super()._told() + (missing if _NO_PROCEDURE.match(self.message) else "")


class BadRequestError(ApiError):
    """The service could not accept the input.

    Example:
        >>> told = '[{"path": ["contacts", 3, "email"], "message": "Invalid email"}]'
        >>> BadRequestError(told, code="BAD_REQUEST").issues
        [('contacts[3].email', 'Invalid email')]
    """

    @property
    def issues(self) -> list[tuple[str, str]]:
        """What is wrong, as (field path in the wire's names, message); empty where the service does not tell."""
        try:
            told = json.loads(self.message)
        except (ValueError, RecursionError):
            told = None
        if isinstance(told, list):
            issues = [issue for issue in told if isinstance(issue, dict)]
            return [(_dotted(issue.get("path")), str(issue.get("message", ""))) for issue in issues]
        # What the errorFormatter of tRPC's documentation adds.
        flat = _at(self.data, "zodError")
        fields = _at(flat, "fieldErrors")
        told = [("", _at(flat, "formErrors")), *(fields.items() if isinstance(fields, dict) else ())]
        return [(field, str(text)) for field, texts in told if isinstance(texts, list) for text in texts]

    def _told(self) -> str:
        if not self.message.startswith("["):
            return self.message
        return "; ".join(f"{field}: {text}" if field else text for field, text in self.issues) or self.message


class UsageLimitError(ApiError):
    """The usage would pass the limit; nothing of it was counted."""


class ConflictError(ApiError):
    """It is taken: an external id, a subscription, an idempotency key with other values."""


class _Retriable(ApiError):  # noqa: N818 - only its subclasses are raised
    """An error that may say when to come again, in seconds: `retry_after`, None where it was not told."""

    is_temporary = True
    retry_after: float | None = None
    _carried: ClassVar[tuple[str, ...]] = (*ApiError._carried, "retry_after")  # noqa: SLF001 - its parent's

    def __init__(
        self, message: str, *carried: Mapping[str, Any], retry_after: float | None = None, **same: Any
    ) -> None:
        super().__init__(message, *carried, **same)
        self._set(carried, retry_after=retry_after)


class RateLimitError(_Retriable):
    """Too many calls; none of this one was carried out. `retry_after`: seconds to wait, None where not told."""


class ServerError(_Retriable):
    """The service failed; whether it did anything is not known. `retry_after`: seconds to wait, None if not given.

    Its `message` ends where a database's message goes on with a query, its parameters or the values of a row, and has
    at most 10,000 characters: error trackers show it instead of the text.
    """

    def __init__(self, message: str, *carried: Mapping[str, Any], **same: Any) -> None:
        super().__init__(without_query(message[:_MAX_MESSAGE]), *carried, **same)


class TransportError(ChatarminError):
    """No answer to be had.

    Attributes:
        outcome: `"not_sent"`: it certainly did not run. `"unknown"`: it may have.
        attempts: How many times it was tried.
    """

    is_temporary = True
    outcome: Outcome = "unknown"
    attempts: int = 1
    _carried: ClassVar[tuple[str, ...]] = ("outcome", "attempts")

    def __init__(
        self, message: str, *carried: Mapping[str, Any], outcome: Outcome = "unknown", attempts: int = 1
    ) -> None:
        super().__init__(message)
        self._set(carried, outcome=outcome, attempts=attempts)


class ConnectionFailed(TransportError):  # noqa: N818 - a public name, and what happened
    """No connection, or it was lost: DNS, refused, reset, TLS."""


class TimedOut(TransportError):  # noqa: N818 - a public name, and what happened
    """The deadline passed."""


class InvalidResponse(TransportError):  # noqa: N818 - a public name, and what came
    """A response that is not the service's: not JSON, or a value of the wrong type at a place that is named.

    Attributes:
        retry_after: Seconds to wait, None if the service did not say.
        http_status: The HTTP status of the response, None if none was received. 200 for a result with a value of the
            wrong type, whatever transport it came through: a result is what the wire sends with this status.
    """

    retry_after: float | None = None
    http_status: int | None = None
    _carried: ClassVar[tuple[str, ...]] = (*TransportError._carried, "retry_after", "http_status")  # noqa: SLF001

    def __init__(
        self,
        message: str,
        *carried: Mapping[str, Any],
        outcome: Outcome = "unknown",
        attempts: int = 1,
        retry_after: float | None = None,
        http_status: int | None = None,
    ) -> None:
        super().__init__(message, *carried, outcome=outcome, attempts=attempts)
        self._set(carried, retry_after=retry_after, http_status=http_status)


class InvalidInput(ChatarminError, ValueError):  # noqa: N818 - a public name, and what it is
    """Refused before anything was sent.

    Attributes:
        field: The argument's name in Python, with the place inside it (`contacts[3].email`).

    Example:
        >>> client.features.check(company_id="", feature_code="ai_credit")
        Traceback (most recent call last):
        ...
        chatarmin_os.errors.InvalidInput: company_id: blank text
    """

    field: str | None = None
    _carried = ("field",)

    def __init__(self, message: str, *carried: Mapping[str, Any], field: str | None = None) -> None:
        super().__init__(message)
        self._set(carried, field=field)

    def __str__(self) -> str:
        # The argument stands at the beginning and the reason at the end; what can be long is the place between.
        text = super().__str__()
        return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT // 2]}...{text[3 - _MAX_TEXT // 2 :]}"

    def at(self, place: str) -> InvalidInput:
        """Return the same refusal as seen from outside *place*, whose name goes in front."""
        place, message = printable(place, _MAX_PLACE), super().__str__()
        if self.field is None:
            return type(self)(f"{place}: {message}", field=place)
        joint = "" if self.field.startswith("[") else "."
        return type(self)(f"{place}{joint}{message}", field=f"{place}{joint}{self.field}")


class CassetteError(ChatarminError):
    """Recorded transport: a call without a recording, a recording never used, a file that is no cassette."""


def _at(data: Any, key: str) -> Any:
    """Return what an object has at *key*, None where it has nothing or is none."""
    return data.get(key) if isinstance(data, dict) else None


def _dotted(path: Any) -> str:
    """Return a list of keys and indices as one text: `["contacts", 3, "email"]` is `contacts[3].email`."""
    parts = path if isinstance(path, list) else []
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).removeprefix(".")


class Code(NamedTuple):
    """What belongs to one of the wire's codes."""

    error: type[ApiError]
    http_status: int
    number: int
    """The JSON-RPC number in an error envelope; five codes share -32603."""


_SERVER_ERROR = 500

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
