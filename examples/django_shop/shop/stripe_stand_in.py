"""A stand-in for Stripe during development: every customer pays at once."""

from __future__ import annotations

import os
from urllib.parse import urljoin, urlsplit

import requests

from chatarmin_os.django import get_client
from chatarmin_os.fake import FakeTransport


def pay(price_ids: tuple[str, ...]) -> str:
    """Return the id of a paid checkout session, of the service in memory or of the local service."""
    transport = get_client().transport
    if isinstance(transport, FakeTransport):
        return transport.stripe.add_checkout_session(price_ids)
    url = os.environ.get("OS_BASE_URL", "")
    if urlsplit(url).hostname not in {"127.0.0.1", "localhost"}:
        raise NotImplementedError("let shop/payments.py create a checkout session of Stripe")
    response = requests.post(
        urljoin(url, "/__fake__/stripe.add_checkout_session"),
        json={"price_ids": list(price_ids)},
        headers={"x-api-key": os.environ["OS_API_KEY"]},
        timeout=10,
    )
    response.raise_for_status()
    session_id: str = response.json()["result"]["data"]
    return session_id
