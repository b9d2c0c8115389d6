"""Errors of a gate as those of OpenFeature, and the log of evaluations that ended with the caller's default."""

from __future__ import annotations

import logging

from openfeature.exception import (
    FlagNotFoundError,
    GeneralError,
    InvalidContextError,
    OpenFeatureError,
    ParseError,
)

from chatarmin_os import _clock
from chatarmin_os._json import short_repr
from chatarmin_os.errors import ChatarminError, InvalidInput, InvalidResponse
from chatarmin_os.gate.failures import class_and_code, is_outage, is_unknown

_log = logging.getLogger("chatarmin_os")
_QUIET_SECONDS = 60.0
_MAX_QUIET = 1_000
_IDENTITIES = "external_org_id", "company_id"


def as_open_feature(error: ChatarminError) -> OpenFeatureError:
    """Return the error of OpenFeature for one of a gate, without ids and texts of the service.

    Example:
        >>> from chatarmin_os import ApiError
        >>> [
        ...     as_open_feature(ApiError.from_code(code)).error_code.value
        ...     for code in ("NOT_FOUND", "UNAUTHORIZED")
        ... ]
        ['FLAG_NOT_FOUND', 'GENERAL']
        >>> answers = InvalidResponse("$.features", http_status=200), InvalidResponse("HTML", http_status=502)
        >>> [as_open_feature(answer).error_code.value for answer in answers]
        ['PARSE_ERROR', 'GENERAL']
    """
    if isinstance(error, InvalidInput) and error.field in _IDENTITIES:
        return InvalidContextError(str(error))
    if is_unknown(error):
        return FlagNotFoundError("the service does not know the feature")
    if isinstance(error, InvalidResponse) and not is_outage(error):
        return ParseError(class_and_code(error))
    return GeneralError(class_and_code(error))


class DefaultsLog:
    """Logs that an evaluation ended with the caller's default, once a minute for each flag and error code."""

    def __init__(self) -> None:
        self._quiet_until: dict[tuple[str, str], float] = {}

    def note(self, key: str, error: OpenFeatureError, default: object) -> None:
        """Log an error: at ERROR if it grants, by a default of True."""
        now, name = _clock.monotonic(), (short_repr(key), str(error.error_code.value))
        if now < self._quiet_until.get(name, 0.0):
            return
        if len(self._quiet_until) >= _MAX_QUIET:  # keys may come from anywhere
            self._quiet_until = {}
        self._quiet_until[name] = now + _QUIET_SECONDS
        outcome = "granted by the default True" if default is True else "its default is used"
        level = logging.ERROR if default is True else logging.WARNING
        _log.log(level, "flag %s: %s: %s (%s)", name[0], outcome, error.error_message, name[1])
