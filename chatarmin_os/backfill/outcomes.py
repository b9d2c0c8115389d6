"""The meaning of an error for a row: pure functions."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from chatarmin_os.backfill.steps import Step
from chatarmin_os.errors import (
    ApiError,
    ChatarminError,
    NotFoundError,
    RateLimitError,
    TransportError,
    UnauthorizedError,
)

_TEMPORARY_STATUSES = frozenset({408, 429, 499})
_MIN_SERVER_ERROR = 500
_TOO_MANY_REQUESTS, _UNAVAILABLE = 429, 503

_MAX_ATTEMPTS, _MAX_CONFLICTS = 8, 3
_FIRST_WAIT_SECONDS, _MAX_WAIT_SECONDS = 0.5, 30.0
_MAX_RETRY_AFTER_SECONDS = 300.0


@frozen
class Outcome:
    """The consequence of an error.

    Attributes:
        kind: `"failed"`: the service refused the row. `"again"`: the row is tried again, from its first step. `"stop"`:
            nothing can be done with this key, or at this URL.
        is_overload: Whether all workers have to slow down: after 429 and 503.
        retry_after: Seconds that the service asks to wait, at most 300.
    """

    kind: Literal["failed", "again", "stop"]
    is_overload: bool = False
    retry_after: float = 0.0


def outcome_of(step: Step, error: ChatarminError) -> Outcome:
    """Return the consequence of the error of a step.

    After CONFLICT of a creation the organisation is looked up again: an earlier attempt may have linked it.

    Example:
        >>> from chatarmin_os import TimedOut
        >>> for code in ("BAD_REQUEST", "CONFLICT", "TOO_MANY_REQUESTS", "INTERNAL_SERVER_ERROR", "UNAUTHORIZED"):
        ...     print(code, outcome_of("create", ApiError.from_code(code)).kind)
        BAD_REQUEST failed
        CONFLICT again
        TOO_MANY_REQUESTS again
        INTERNAL_SERVER_ERROR again
        UNAUTHORIZED stop
        >>> outcome_of("subscription", ApiError.from_code("CONFLICT")).kind
        'failed'
        >>> outcome_of("tier", TimedOut("", outcome="unknown"))
        Outcome(kind='again', is_overload=False, retry_after=0.0)
        >>> outcome_of("tier", ApiError.from_code("SERVICE_UNAVAILABLE", retry_after=7.0))
        Outcome(kind='again', is_overload=True, retry_after=7.0)
        >>> outcome_of("tier", ApiError.from_code("TOO_MANY_REQUESTS", retry_after=86_400.0)).retry_after
        300.0
    """
    if isinstance(error, UnauthorizedError) or (isinstance(error, NotFoundError) and error.is_missing_procedure):
        return Outcome("stop")
    status = getattr(error, "http_status", None) or 0
    wait = min(float(getattr(error, "retry_after", None) or 0.0), _MAX_RETRY_AFTER_SECONDS)
    is_overload = status in {_TOO_MANY_REQUESTS, _UNAVAILABLE} or isinstance(error, RateLimitError)
    is_missing = isinstance(error, TransportError)  # the answer
    if is_missing or is_overload or error.is_temporary or status in _TEMPORARY_STATUSES or status >= _MIN_SERVER_ERROR:
        return Outcome("again", is_overload, wait)
    return Outcome("again" if step == "create" and code_of(error) == "CONFLICT" else "failed")


def code_of(error: ChatarminError) -> str:
    """Return the code of a refusal; of a missing answer, whether the call may have run.

    Example:
        >>> from chatarmin_os import ConnectionFailed
        >>> code_of(ApiError.from_code("FORBIDDEN")), code_of(ConnectionFailed("", outcome="not_sent"))
        ('FORBIDDEN', 'not_sent')
        >>> code_of(ChatarminError("a transport of your own may raise it"))
        'ChatarminError'
    """
    if isinstance(error, ApiError):
        return error.code
    return error.outcome if isinstance(error, TransportError) else type(error).__name__


def is_last(attempts: int, conflicts: int) -> bool:
    """Return whether a row is not tried again after so many attempts, of which some ended with CONFLICT.

    Example:
        >>> is_last(7, 2), is_last(8, 0), is_last(3, 3)
        (False, True, True)
    """
    return attempts >= _MAX_ATTEMPTS or conflicts >= _MAX_CONFLICTS


def wait_after(attempts: int, fraction: float) -> float:
    """Return the seconds to wait after so many attempts; *fraction* is random, from 0 to 1.

    Example:
        >>> [wait_after(attempts, 1.0) for attempts in (1, 2, 3, 20)], wait_after(1, 0.0)
        ([0.5, 1.0, 2.0, 30.0], 0.25)
    """
    limit = min(_MAX_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2.0 ** min(attempts - 1, 10))
    return limit * (0.5 + fraction / 2)
