"""Usage as one event, which may name its organisation instead of its company."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from attrs import asdict, field, frozen

from chatarmin_os import _clock
from chatarmin_os._input import (
    idempotency_key,
    mapping,
    name_fields_in_errors,
    optional_company_identifier,
    optional_identifier,
    quantity,
    text,
    timestamp,
)
from chatarmin_os._pickling import AcrossVersions
from chatarmin_os.errors import ApiError, ChatarminError, InvalidInput, InvalidResponse, NotFoundError, TransportError

_NOT_COUNTED = {401, 429}  # the service refused before it counted: an invalid key, too many requests


def _created_at(value: datetime | str | None) -> datetime:
    return timestamp(_clock.now() if value is None else value)


@frozen(kw_only=True, field_transformer=name_fields_in_errors, unsafe_hash=False)  # it holds a mapping
class UsageEvent(AcrossVersions):
    """Usage that is to be counted once; its idempotency key names it.

    Args:
        company_id: The company; None if only the organisation is known.
        external_org_id: Your id of the organisation; None if the company is known. Exactly one of the two is given.
        feature_code: The feature.
        quantity: The quantity, above 0.
        idempotency_key: The text that names the event; default: a new UUID4.
        metadata: Details to keep with the event, as JSON.
        created_at: The instant it was created: an aware datetime, or ISO 8601 text with an offset; default: now.

    Raises:
        InvalidInput: An invalid argument, which the error names.

    Example:
        >>> from chatarmin_os.gate import UsageEvent
        >>> event = UsageEvent(external_org_id="org_1", feature_code="ai_credit", quantity=5, idempotency_key="job_1")
        >>> event.quantity, event.company_id
        (5, None)
    """

    company_id: str | None = field(default=None, converter=optional_company_identifier)
    external_org_id: str | None = field(default=None, converter=optional_identifier)
    feature_code: str = field(converter=text)
    quantity: float = field(converter=quantity)
    idempotency_key: str = field(default=None, converter=idempotency_key)
    metadata: dict[str, Any] | None = field(default=None, converter=mapping)
    created_at: datetime = field(default=None, converter=_created_at)

    def __attrs_post_init__(self) -> None:
        exactly_one(self.external_org_id, self.company_id)


class TriedEvent(UsageEvent):
    """Usage that was sent when the event was created, and that the service may have counted."""

    __slots__ = ()


def after(failure: ChatarminError, event: UsageEvent) -> UsageEvent:
    """Return an event that was sent and failed: as one that was tried, if the service may have counted it.

    Example:
        >>> from chatarmin_os import ConnectionFailed
        >>> event = UsageEvent(company_id="comp_1", feature_code="seats", quantity=1)
        >>> [type(after(ConnectionFailed("", outcome=outcome), event)).__name__ for outcome in ("not_sent", "unknown")]
        ['UsageEvent', 'TriedEvent']
    """
    return TriedEvent(**asdict(event, recurse=False)) if may_be_counted(failure) else event


def may_be_counted(failure: ChatarminError) -> bool:
    """Return whether a call that failed may have reached the part of the service that counts.

    Example:
        >>> from chatarmin_os import ConnectionFailed
        >>> codes = "UNAUTHORIZED", "TOO_MANY_REQUESTS", "INTERNAL_SERVER_ERROR", "NEW"
        >>> [may_be_counted(ApiError.from_code(code)) for code in codes]
        [False, False, True, True]
        >>> [may_be_counted(InvalidResponse("<html>", http_status=status)) for status in (200, 401, 429, 502)]
        [True, False, False, True]
        >>> may_be_counted(NotFoundError('No procedure found on path "a"', code="NOT_FOUND"))
        False
        >>> [may_be_counted(ConnectionFailed("", outcome=outcome)) for outcome in ("not_sent", "unknown")]
        [False, True]
    """
    if isinstance(failure, (ApiError, InvalidResponse)) and failure.http_status in _NOT_COUNTED:
        return False
    if isinstance(failure, NotFoundError):
        return not failure.is_missing_procedure
    return not isinstance(failure, TransportError) or failure.outcome != "not_sent"


def exactly_one(external_org_id: object, company_id: object) -> None:
    """Refuse both ids, and none.

    Raises:
        InvalidInput: Not exactly one of them is given.
    """
    if (company_id is None) == (external_org_id is None):
        given, advice = ("neither", "") if company_id is None else ("both", ", not both")
        raise InvalidInput(
            f"expected exactly one of external_org_id and company_id, got {given}",
            f"pass either external_org_id or company_id{advice}",
        ).at("external_org_id")
