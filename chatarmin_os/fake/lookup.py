"""Rows by id, or the refusal of an id that does not exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os._json import short_repr
from chatarmin_os._messages import closest
from chatarmin_os.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chatarmin_os.fake.rows import Company, Feature, Session, StripeSubscription, Tier
    from chatarmin_os.fake.state import State

_MAX_SHOWN_TIERS = 10


def company(state: State, company_id: str) -> Company:
    """Return a company; a malformed id is NOT_FOUND like any other that does not exist.

    That is an assumption: a service may require UUIDs and answer BAD_REQUEST, so that callers should catch both.
    """
    row = state.companies.get(company_id)
    if row is None:
        link = state.links.get(company_id)
        raise _not_found(
            "company", company_id, link and f"it is the external org id of the company {link['companyId']!r}"
        )
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
        raise _not_found("feature", code, did_you_mean(code, state.catalogue.features))
    return row


def tier(state: State, code: str) -> Tier:
    """Return a tier of the catalogue."""
    row = state.catalogue.tiers.get(code)
    if row is None:
        tiers = state.catalogue.tiers
        known = f"the tiers are {', '.join(tiers)}" if 0 < len(tiers) <= _MAX_SHOWN_TIERS else None
        raise _not_found("tier", code, did_you_mean(code, tiers) or known)
    return row


def session(state: State, session_id: str) -> Session:
    """Return a checkout session."""
    row = state.sessions.get(session_id)
    if row is None:
        raise _not_found("checkout session", session_id)
    return row


def subscription(state: State, subscription_id: str) -> StripeSubscription:
    """Return a subscription at Stripe."""
    row = state.subscriptions.get(subscription_id)
    if row is None:
        raise _not_found("Stripe subscription", subscription_id)
    return row


def did_you_mean(code: str, known: Iterable[str]) -> str | None:
    """Return a question about the known code that is most like *code*, None without a similar one.

    Example:
        >>> did_you_mean("Pro", ["free", "pro"])
        "did you mean 'pro'?"
    """
    near = closest(code, known)
    return f"did you mean {near!r}?" if near else None


def _not_found(kind: str, id: str, hint: str | None = None) -> ApiError:
    return ApiError.from_code("NOT_FOUND", f"No {kind} {short_repr(id)}" + (f"; {hint}" if hint else ""))
