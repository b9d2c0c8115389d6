"""Usage as one event, which may name its organisation instead of its company."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from attrs import field, frozen

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
from chatarmin_os.errors import InvalidInput


def _created_at(value: datetime | str | None) -> datetime:
    return _clock.now().astimezone(UTC) if value is None else timestamp(value)


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


def exactly_one(external_org_id: str | None, company_id: str | None) -> None:
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
