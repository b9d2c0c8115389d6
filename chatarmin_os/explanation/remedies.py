"""The calls that would change the outcome; pure functions."""

from __future__ import annotations

from collections.abc import Iterator

from chatarmin_os.explanation.evidence import Evidence
from chatarmin_os.explanation.rules import Rule, is_at_limit, is_expired
from chatarmin_os.explanation.tiers import feature_of, limit_of
from chatarmin_os.models._base import Quantity
from chatarmin_os.models.features import FeatureAccess

_MAX_TIERS = 3
"""Tiers that are suggested."""


def remedies_of(evidence: Evidence, rule: Rule) -> tuple[str, ...]:
    """Return lines of Python, with names in capitals for the values that are yours to decide."""
    access, org = evidence.access, evidence.external_org_id
    company = f"company_id={evidence.company_id!r}"
    whom = company if org is None else f"external_org_id={org!r}"
    if access is None:
        return () if org is None else tuple(_to_link(whom))
    if rule in {"unexplained", "not_stated"}:
        return ()
    call = f"client.features.set_access({whom}, feature_code={evidence.feature_code!r}"
    if access.can_use:
        return (f"{call}, is_enabled=False)  # switches it off",)
    tiers = () if evidence.company_id is None else _of_tiers(evidence, access, company)
    return (f"{call}, {_changes(evidence, access)}", *tiers)


def _to_link(whom: str) -> Iterator[str]:
    yield f"client.sign_up({whom}, name=NAME)  # a new company"
    yield f"client.links.create({whom}, company_id=COMPANY_ID)  # an existing company"


def _changes(evidence: Evidence, access: FeatureAccess) -> str:
    """Return the arguments that make the access usable, the closing parenthesis, and a comment."""
    changes, notes = [], []
    if not access.is_enabled:
        changes.append("is_enabled=True")
    if is_expired(access, evidence.asked_at):
        changes.append("valid_until=None")
        notes.append("or a later time")
    if is_at_limit(access):
        changes.append("quantity_limit=LIMIT")
        notes.append(f"LIMIT: above {access.current_usage or 0}, or None for no limit")
    return f"{', '.join(changes)}){'  # ' if notes else ''}{'; '.join(notes)}"


def _of_tiers(evidence: Evidence, access: FeatureAccess, company: str) -> Iterator[str]:
    """Yield the calls that give a tier with which the company could use the feature."""
    granted = ((tier, feature_of(tier, evidence.feature_code)) for tier in evidence.tiers)
    enough = [(tier, limit_of(one)) for tier, one in granted if one and _is_enough(limit_of(one), access)][:_MAX_TIERS]
    for tier, limit in enough:
        note = "" if access.has_quantity is False else f"{'no limit' if limit is None else f'limit {limit}'}; "
        yield f"client.tiers.apply({tier.code!r}, {company})  # {note}rewrites its access to each feature of the tier"
    if any(tier.stripe_price_ids for tier, _ in enough):
        yield (
            f"client.billing.claim_checkout({company}, checkout_session_id=CHECKOUT)"
            "  # after a checkout with all prices of such a tier: tier.stripe_price_ids"
        )


def _is_enough(limit: Quantity | None, access: FeatureAccess) -> bool:
    return access.has_quantity is False or limit is None or limit > (access.current_usage or 0)
