"""Rows by id, or the refusal of an id that there is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os._json import short_repr
from chatarmin_os.errors import ApiError
from chatarmin_os.fake.router import not_found

if TYPE_CHECKING:
    from chatarmin_os.fake.catalogue import Feature, Tier
    from chatarmin_os.fake.state import Company, State, StripeSubscription


def company(state: State, company_id: str) -> Company:
    """Return a company; a malformed id is NOT_FOUND like any other that does not exist.

    That is an assumption: a service may require UUIDs and answer BAD_REQUEST, so that callers should catch both.
    """
    row = state.companies.get(company_id)
    if row is None:
        raise not_found("company", company_id)
    return row


def linked_company(state: State, external_org_id: str) -> Company:
    """Return the company that an external org id is linked to."""
    link = state.links.get(external_org_id)
    if link is None:
        raise ApiError.from_code("NOT_FOUND", f"External org id {short_repr(external_org_id)} is not linked")
    return state.companies[link["companyId"]]


def feature(state: State, code: str) -> Feature:
    """Return a feature of the catalogue."""
    row = state.catalogue.features.get(code)
    if row is None:
        raise not_found("feature", code)
    return row


def tier(state: State, code: str) -> Tier:
    """Return a tier of the catalogue."""
    row = state.catalogue.tiers.get(code)
    if row is None:
        raise not_found("tier", code)
    return row


def subscription(state: State, subscription_id: str) -> StripeSubscription:
    """Return a subscription at Stripe."""
    row = state.subscriptions.get(subscription_id)
    if row is None:
        raise not_found("Stripe subscription", subscription_id)
    return row
