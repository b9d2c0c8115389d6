"""The meaning of an error of a refresh: an outage, which a policy covers, or a mistake, which allows nothing."""

from __future__ import annotations

from copy import copy
from typing import TypeVar

from chatarmin_os.errors import ApiError, ChatarminError, InvalidResponse, NotFoundError, RateLimitError, TransportError

E = TypeVar("E", bound=ChatarminError)

_MAX_RETRY_AFTER_SECONDS = 300.0
_MIN_SUCCESS, _MAX_SUCCESS, _MIN_SERVER_ERROR = 200, 299, 500


def is_outage(error: ChatarminError) -> bool:
    """Return whether the service gave no answer of its own: none at all, 5xx, 429, or one of a proxy.

    Example:
        >>> from chatarmin_os import InvalidResponse, TimedOut, UnauthorizedError
        >>> is_outage(TimedOut("no response")), is_outage(UnauthorizedError("no", code="UNAUTHORIZED"))
        (True, False)
        >>> [is_outage(InvalidResponse("HTML", http_status=status)) for status in (None, 502, 200)]
        [True, True, False]
    """
    if isinstance(error, InvalidResponse):
        return error.http_status is None or not _MIN_SUCCESS <= error.http_status <= _MAX_SUCCESS
    if isinstance(error, ApiError):
        return error.is_temporary or (error.http_status or 0) >= _MIN_SERVER_ERROR
    return isinstance(error, TransportError)


def is_unknown(error: ChatarminError) -> bool:
    """Return whether the service says that it does not know the organisation, the company or the feature.

    Example:
        >>> from chatarmin_os import NotFoundError
        >>> is_unknown(NotFoundError("No such company", code="NOT_FOUND"))
        True
        >>> is_unknown(NotFoundError('No procedure found on path "a"', code="NOT_FOUND"))
        False
    """
    return isinstance(error, NotFoundError) and not error.is_missing_procedure


def is_rate_limit(error: ChatarminError) -> bool:
    """Return whether the service asks its clients to slow down, in whichever form."""
    return isinstance(error, RateLimitError) or getattr(error, "http_status", None) == 429  # noqa: PLR2004 - the status


def retry_after(error: ChatarminError) -> float:
    """Return the seconds that the service asks to wait, at most 300; 0 if it does not ask.

    Example:
        >>> from chatarmin_os import ApiError, TimedOut
        >>> retry_after(ApiError.from_code("TOO_MANY_REQUESTS", retry_after=3600)), retry_after(TimedOut("slow"))
        (300.0, 0.0)
    """
    return min(float(getattr(error, "retry_after", None) or 0.0), _MAX_RETRY_AFTER_SECONDS)


def without_traceback(error: E) -> E:
    """Return a copy of *error* without traceback, cause and context, which would keep frames alive."""
    clone = copy(error)
    clone.__traceback__ = clone.__cause__ = clone.__context__ = None
    return clone


def class_and_code(error: ChatarminError) -> str:
    """Return an error's class and code for the log; its message may have ids of the service.

    Example:
        >>> from chatarmin_os import ApiError, TimedOut
        >>> class_and_code(ApiError.from_code("UNAUTHORIZED", "no key os_sk_1")), class_and_code(TimedOut("slow"))
        ('UnauthorizedError UNAUTHORIZED', 'TimedOut')
    """
    return f"{type(error).__name__} {getattr(error, 'code', '')}".strip()
