"""The calls that would change the outcome; pure functions."""

from __future__ import annotations

from collections.abc import Iterator

from chatarmin_os._messages import printable
from chatarmin_os.explanation.evidence import Evidence
from chatarmin_os.explanation.rules import Rule, is_at_limit, is_expired
from chatarmin_os.explanation.tiers import feature_of, limit_of
from chatarmin_os.models.features import FeatureAccess
from chatarmin_os.models.tiers import Tier

_MAX_TIERS = 3
"""Tiers that are suggested."""


def remedies_of(evidence: Evidence, rule: Rule) -> tuple[str, ...]:
    """Return lines of Python, with names in capitals for the values that are yours to decide."""
    access, company = evidence.access, f"company_id={evidence.company_id!r}"
    if access is None:
        return tuple(_to_link(evidence, rule))
    if evidence.company_id is None or rule in {"unexplained", "not_stated"}:
        return ()
    feature = f"feature_code={evidence.feature_code!r}"
    if access.can_use:
        return (f"client.features.set_access({company}, {feature}, is_enabled=False)  # switches it off",)
    return (
        f"client.features.set_access({company}, {feature}, {_changes(evidence, access)}",
        *_of_tiers(evidence, access, company),
    )


def _to_link(evidence: Evidence, rule: Rule) -> Iterator[str]:
    if rule == "not_linked":
        org = f"external_org_id={evidence.external_org_id!r}"
        yield f"client.sign_up({org}, name=NAME)  # a new company"
        yield f"client.links.create({org}, company_id=COMPANY_ID)  # an existing company"


def _changes(evidence: Evidence, access: FeatureAccess) -> str:
    """Return the arguments that make the access usable, the closing parenthesis, and a comment."""
    changes, notes = [], []
    if not access.is_enabled:
        changes.append("is_enabled=True")
    if is_expired(access, evidence.asked_at):
        changes.append("valid_until=None")
        notes.append("no expiry, or a later time")
    if is_at_limit(access):
        changes.append("quantity_limit=LIMIT")
        notes.append(f"LIMIT: above {access.current_usage or 0}, or None for no limit")
    return f"{', '.join(changes)}){'  # ' if notes else ''}{'; '.join(notes)}"


def _of_tiers(evidence: Evidence, access: FeatureAccess, company: str) -> Iterator[str]:
    helpful = [tier for tier in evidence.tiers if _helps(tier, evidence.feature_code, access)][:_MAX_TIERS]
    for tier in helpful:
        yield f"client.tiers.apply({tier.code!r}, {company})  # {_gift(tier, evidence.feature_code, access)}"
    if any(tier.stripe_price_ids for tier in helpful):
        yield (
            f"client.billing.claim_checkout({company}, checkout_session_id=CHECKOUT)"
            "  # after a checkout with all prices of such a tier: tier.stripe_price_ids"
        )


def _helps(tier: Tier, feature_code: str, access: FeatureAccess) -> bool:
    granted = feature_of(tier, feature_code)
    if granted is None:
        return False
    limit = limit_of(granted)
    return access.has_quantity is False or limit is None or limit > (access.current_usage or 0)


def _gift(tier: Tier, feature_code: str, access: FeatureAccess) -> str:
    granted = feature_of(tier, feature_code)
    limit = limit_of(granted) if granted and access.has_quantity is not False else None
    amount = "" if access.has_quantity is False else f", {'no limit' if limit is None else f'a limit of {limit}'}"
    return printable(f"replaces its accesses to the features of the tier {tier.name or tier.code}{amount}")
