"""Usage that is sent, or put into the outbox, after a response; the log has each event that failed."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

from chatarmin_os.errors import ChatarminError
from chatarmin_os.gate import Gate, UsageEvent
from chatarmin_os.gate.service import company_of
from chatarmin_os.models.billing import UsageResult
from chatarmin_os.web.log import log_lost_usage
from chatarmin_os.web.services import Services


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
    return company_of(gate.client, organisation)


def deliver(services: Services, event: UsageEvent) -> None:
    """Put an event into the outbox if the settings name one, else send it.

    Raises:
        OutboxError: The outbox did not store it.
        ChatarminError: As `send_usage`.
    """
    if services.settings.outbox is None:
        send_usage(services.gate, event)
    else:
        services.require_outbox().put_many([event])
        expect(services, event)


def expect(services: Services, event: UsageEvent) -> None:
    """Let the gate subtract an event that the outbox holds; never fail, as it is stored."""
    with suppress(ChatarminError):
        services.gate.expect_usage(
            external_org_id=event.external_org_id,
            company_id=event.company_id,
            feature_code=event.feature_code,
            quantity=event.quantity,
            idempotency_key=event.idempotency_key,
        )


def deliver_or_log(services: Services, event: UsageEvent, logger: logging.Logger) -> None:
    """Deliver an event; log it completely if that fails, whatever the error is.

    The logger is the framework's, which writes without being configured: nobody else knows of the event.
    """
    try:
        deliver(services, event)
    except Exception as error:  # noqa: BLE001 - the response is made, and must not become a 500
        log_lost_usage(logger, fields_of(event), error)


def fields_of(event: UsageEvent) -> dict[str, Any]:
    """Return the fields that are needed to send an event again."""
    names = ("company_id", "external_org_id", "feature_code", "quantity", "idempotency_key", "metadata")
    return {name: getattr(event, name) for name in names}
