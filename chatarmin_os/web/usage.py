"""Usage that is sent after a response: it never changes the response, and the log has each event that failed."""

from __future__ import annotations

import json
import logging
from contextlib import suppress

from chatarmin_os.errors import ApiError, ChatarminError
from chatarmin_os.gate import Gate, UsageEvent
from chatarmin_os.models.billing import UsageResult


def send_usage(gate: Gate, event: UsageEvent) -> UsageResult:
    """Send an event through the client of *gate*, which knows the company of most organisations.

    Raises:
        NotFoundError: The organisation is not linked to a company; nothing was counted.
        ApiError: The service refused the event.
        TransportError: No usable response was received; the event may have been counted. Send it again.
    """
    return gate.client.billing.track_usage(
        company_id=event.company_id or _company_of(gate, event),
        feature_code=event.feature_code,
        quantity=event.quantity,
        idempotency_key=event.idempotency_key,
        metadata=event.metadata,
    )


def _company_of(gate: Gate, event: UsageEvent) -> str:
    """Return the company of the event's organisation: the one that the gate knows, else ask for it."""
    organisation = str(event.external_org_id)
    with suppress(ChatarminError):
        company_id = gate.check(external_org_id=organisation, feature_code=event.feature_code).company_id
        if company_id is not None:
            return company_id
    company = gate.client.companies.get_by_product_link(external_org_id=organisation)
    if company is None:
        raise ApiError.from_code("NOT_FOUND", "the organisation is not linked to a company")
    return company.id


def send_or_log(gate: Gate, event: UsageEvent, logger: logging.Logger) -> None:
    """Send an event; log it completely if that fails, whatever the error is.

    The logger is the framework's, which writes without being configured: nobody else knows of the event.
    """
    try:
        send_usage(gate, event)
    except Exception as error:  # the response is made, and must not become a 500
        logger.log(
            logging.ERROR,
            "usage was not confirmed (%s: %s); send it again with its key: %s",
            type(error).__name__,
            error,
            as_json(event),
            exc_info=None if isinstance(error, ChatarminError) else error,
        )


def as_json(event: UsageEvent) -> str:
    """Return an event as the JSON of the log."""
    names = ("company_id", "external_org_id", "feature_code", "quantity", "idempotency_key", "metadata")
    values = {name: getattr(event, name) for name in names}
    return json.dumps({name: value for name, value in values.items() if value is not None})
