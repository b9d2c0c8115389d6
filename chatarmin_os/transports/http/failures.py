"""The failures of an exchange: each is classified once, and one table has the error and the retries of its kind."""

from __future__ import annotations

import http.client
import ssl
from enum import Enum, auto
from inspect import CO_VARARGS
from traceback import walk_stack, walk_tb
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

import requests
from urllib3.exceptions import (
    ConnectTimeoutError,
    DecodeError,
    IncompleteRead,
    InvalidChunkLength,
    InvalidHeader,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
)

from chatarmin_os.errors import ConnectionFailed, InvalidResponse, TimedOut, TransportError
from chatarmin_os.transports.http.dns import DeadlineError
from chatarmin_os.transports.http.trust import UnusableFileError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chatarmin_os.errors import Outcome
    from chatarmin_os.transports.http.exchange import Exchange
    from chatarmin_os.transports.http.retry import Repeat


class TooLargeError(Exception):
    """A response is larger than any may be."""


class Kind(Enum):
    """The kinds of failures that leave a call without a valid response."""

    NO_TIME_LEFT = auto()
    TIMED_OUT_UNSENT = auto()
    TIMED_OUT = auto()
    UNTRUSTED = auto()
    NOT_CONNECTED = auto()
    CONNECTION_LOST = auto()
    NOT_HTTP = auto()
    TOO_LARGE = auto()
    REDIRECTED = auto()


class Rule(NamedTuple):
    """The error of a kind, and which calls may be retried after it.

    Attributes:
        error: The class of the error.
        outcome: Whether the call may have run.
        repeat: Which calls may be retried.
        message: A format; `phase`, `reason` and `after` are known.
    """

    error: type[TransportError]
    outcome: Outcome
    repeat: Repeat
    message: str


RULES: dict[Kind, Rule] = {
    Kind.NO_TIME_LEFT: Rule(TimedOut, "not_sent", "never", "timed out before the request was sent"),
    Kind.TIMED_OUT_UNSENT: Rule(TimedOut, "not_sent", "any", "timed out before the request was sent, while {phase}"),
    Kind.TIMED_OUT: Rule(TimedOut, "unknown", "safe", "timed out{after} while {phase}"),
    Kind.UNTRUSTED: Rule(
        ConnectionFailed,
        "not_sent",
        "never",
        "its certificate is not trusted ({reason}); pass the path of its authority as verify=, or set "
        "REQUESTS_CA_BUNDLE to it",
    ),
    Kind.NOT_CONNECTED: Rule(ConnectionFailed, "not_sent", "any", "no connection: {reason}"),
    Kind.CONNECTION_LOST: Rule(ConnectionFailed, "unknown", "safe", "the connection was lost: {reason}"),
    Kind.NOT_HTTP: Rule(InvalidResponse, "unknown", "never", "the response is not valid HTTP: {reason}"),
    Kind.TOO_LARGE: Rule(InvalidResponse, "unknown", "never", "the response has more than {reason} bytes"),
    Kind.REDIRECTED: Rule(
        InvalidResponse, "unknown", "never", "redirects{reason}, which is not followed; check the base URL"
    ),
}


class Failure(NamedTuple):
    """The error of a call without a valid response, and which calls may be retried after it."""

    error: TransportError
    repeat: Repeat


def failure_of(kind: Kind, host: str, *, phase: str = "", reason: str = "", after: str = "") -> Failure:
    """Return the failure of a kind."""
    rule = RULES[kind]
    message = f"{host}: {rule.message.format(phase=phase, reason=reason, after=after)}"
    return Failure(rule.error(message, outcome=rule.outcome), rule.repeat)


# Classification

_BEFORE_SENDING = (
    ConnectTimeoutError,
    NewConnectionError,
    NameResolutionError,
    requests.ConnectTimeout,
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    LocationParseError,
    UnusableFileError,
)
"""Exceptions that show that a request was not sent, if it went through a user's own session."""

_CUT = (http.client.RemoteDisconnected, http.client.IncompleteRead, IncompleteRead, ConnectionError)
"""Exceptions that show that a connection of such a session was closed before the response ended."""

_TIMEOUTS = (TimeoutError, ReadTimeoutError, requests.Timeout)
"""Exceptions that show that the deadline passed, unless the operating system gave up a connection."""

_GARBLED = (http.client.HTTPException, InvalidHeader, InvalidChunkLength, DecodeError, ValueError)
"""Exceptions that show that a response is not HTTP, unless it was cut off."""


def classify(causes: list[BaseException], exchange: Exchange, *, is_plain: bool) -> Kind:
    """Return the kind of a failure.

    Args:
        causes: The exception, and those inside it.
        exchange: The exchange that failed.
        is_plain: Whether a user's own session sends a request once and reports its failure truly.
    """
    if isinstance(causes[0], TooLargeError):
        return Kind.TOO_LARGE
    if exchange.is_ours:
        is_unsent, was_cut = not exchange.sent, exchange.was_closed
    else:
        is_unsent, was_cut = is_plain and _was_not_sent(causes), _has(causes, _CUT)
    if _has(causes, _TIMEOUTS) and not any(map(_is_of_the_system, causes)):
        return Kind.TIMED_OUT_UNSENT if is_unsent else Kind.TIMED_OUT
    if _has(causes, ssl.SSLCertVerificationError):
        return Kind.UNTRUSTED
    if is_unsent:
        return Kind.NOT_CONNECTED
    if _has(causes, DecodeError if was_cut else _GARBLED):  # a response that was cut off looks garbled too
        return Kind.NOT_HTTP
    return Kind.CONNECTION_LOST


def causes_of(error: BaseException) -> list[BaseException]:
    """Return an exception and those inside it: requests and urllib3 wrap one in the other in several ways.

    The context of an exception is not among its causes: it may belong to another connection.
    """
    causes: dict[int, BaseException] = {}
    waiting = [error]
    while waiting:
        cause = waiting.pop(0)
        if id(cause) not in causes:
            causes[id(cause)] = cause
            inside = [*cause.args, getattr(cause, "reason", None), cause.__cause__]
            waiting += [part for part in inside if isinstance(part, BaseException)]
    return list(causes.values())


def _has(causes: list[BaseException], kinds: type[BaseException] | tuple[type[BaseException], ...]) -> bool:
    return any(isinstance(cause, kinds) for cause in causes)


def _was_not_sent(causes: list[BaseException]) -> bool:
    return _has(causes, _BEFORE_SENDING)


def _is_of_the_system(cause: BaseException) -> bool:
    """Return whether it is a timeout of the operating system, such as ETIMEDOUT after many lost packets."""
    return isinstance(cause, TimeoutError) and cause.errno is not None


# Exceptions of the caller


def raise_callers_own(causes: list[BaseException], exchange: Exchange) -> None:
    """Raise the exception of a timer or signal of the caller, if there is one among the causes."""
    own = [cause for cause in causes if _is_callers_own(cause, exchange)]
    if own:
        raise own[-1] from None  # the innermost: urllib3 gives its traceback to the exceptions around it


def _is_callers_own(cause: BaseException, exchange: Exchange) -> bool:
    """Return whether a timer or signal of the caller raised it.

    The network's timeouts are plain: of the class itself, and either with a number or raised at the deadline.
    """
    if _is_of_a_signal(cause):
        return True
    if not isinstance(cause, TimeoutError) or isinstance(cause, DeadlineError) or cause.errno is not None:
        return False
    is_early = exchange.is_ours and not exchange.deadline.has_passed()
    return type(cause) is not TimeoutError or is_early


def _is_of_a_signal(cause: BaseException) -> bool:
    """Return whether the handler of a signal raised it: Python passes it the frame that it interrupts."""
    running = {id(frame) for frame, _ in walk_stack(None)}
    for frame, _ in walk_tb(cause.__traceback__):
        if id(frame) in running:  # Python 3.11 would keep a copy of its locals, and so the error itself in a circle
            continue
        if frame.f_back is not None and any(value is frame.f_back for value in _arguments(frame)):
            return True
    return False


def _arguments(frame: FrameType) -> Iterator[Any]:
    """Yield the arguments of a function that runs in a frame."""
    code, values = frame.f_code, frame.f_locals
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & CO_VARARGS)
    for name in code.co_varnames[:count]:
        value = values.get(name)
        yield from value if isinstance(value, tuple) else (value,)
