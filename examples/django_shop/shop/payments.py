"""Checkouts."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from django.urls import reverse

from chatarmin_os.django import get_client
from shop.stripe_stand_in import pay

if TYPE_CHECKING:
    from django.http import HttpRequest


def start_checkout(request: HttpRequest, tier_code: str) -> str:
    """Return the URL of a checkout with the prices of a tier."""
    prices = get_client().tiers.get(tier_code).stripe_price_ids
    success_url = request.build_absolute_uri(reverse("checkout-succeeded"))
    # With Stripe: create a checkout session with these prices and this URL, to which Stripe adds the session_id, and
    # return the URL of the session.
    return f"{success_url}?{urlencode({'session_id': pay(prices)})}"
