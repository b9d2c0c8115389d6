"""Checkouts: those of Stripe, or of the service in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from django.urls import reverse

from chatarmin_os.django import get_client
from chatarmin_os.fake import FakeTransport

if TYPE_CHECKING:
    from django.http import HttpRequest


def start_checkout(request: HttpRequest, tier_code: str) -> str:
    """Return the URL of a checkout with the prices of a tier."""
    client = get_client()
    prices = client.tiers.get(tier_code).stripe_price_ids
    success_url = request.build_absolute_uri(reverse("checkout-succeeded"))  # Stripe adds session_id
    if isinstance(client.transport, FakeTransport):  # every customer pays at once
        session_id = client.transport.stripe.add_checkout_session(prices)
        return f"{success_url}?{urlencode({'session_id': session_id})}"
    raise NotImplementedError("create a checkout session of Stripe with these prices and this URL, and return its URL")
