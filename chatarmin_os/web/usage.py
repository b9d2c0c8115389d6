"""Usage that is sent after a response: it never changes the response; the log has what was not sent."""

from __future__ import annotations

import json
import logging

from chatarmin_os.client import ChatarminOS
from chatarmin_os.errors import ApiError
from chatarmin_os.gate import UsageEvent
from chatarmin_os.models.billing import UsageResult

logger = logging.getLogger("chatarmin_os")


def send_usage(client: ChatarminOS, event: UsageEvent) -> UsageResult:
    """Send an event; look up the company first, if the event names an organisation.

    Raises:
        NotFoundError: The organisation is not linked to a company; nothing was counted.
        ApiError: The service refused the event.
        TransportError: No usable response was received; the event may have been counted. Send it again.
    """
    company_id = event.company_id
    if company_id is None:
        company = client.companies.get_by_product_link(external_org_id=str(event.external_org_id))
        if company is None:
            raise ApiError.from_code("NOT_FOUND", "the organisation is not linked to a company")
        company_id = company.id
    return client.billing.track_usage(
        company_id=company_id,
        feature_code=event.feature_code,
        quantity=event.quantity,
        idempotency_key=event.idempotency_key,
        metadata=event.metadata,
    )


def send_or_log(client: ChatarminOS, event: UsageEvent) -> None:
    """Send an event; log it completely if that fails, whatever the error is."""
    try:
        send_usage(client, event)
    except Exception:
        logger.exception("usage was not sent; send it again with its key: %s", as_json(event))


def as_json(event: UsageEvent) -> str:
    """Return an event as the JSON of the log."""
    names = ("company_id", "external_org_id", "feature_code", "quantity", "idempotency_key", "metadata")
    values = {name: getattr(event, name) for name in names}
    return json.dumps({name: value for name, value in values.items() if value is not None})
