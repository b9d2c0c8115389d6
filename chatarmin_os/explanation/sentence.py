"""The sentence of an explanation; pure functions. A cause that the service does not state is "most likely"."""

from __future__ import annotations

from datetime import datetime

from chatarmin_os._messages import printable
from chatarmin_os.explanation.evidence import Evidence
from chatarmin_os.explanation.rules import Rule, billable, is_at_limit
from chatarmin_os.explanation.tiers import MAX_NAME_LENGTH, CompanyTier, feature_of, limit_of, name_of
from chatarmin_os.models.features import FeatureAccess

_MAX_LENGTH = 1_000
_MAX_TIERS = 3  # that are named
_VERBS = {True: "can use", False: "cannot use"}
_NEVER_YEAR = 9999  # the last one of datetime; answers beyond it are cut to it
ORIGINS = {"subscription": "a tier", "manual": "set by hand", "trial": "a trial", "api": "set through the API"}
"""The sources that the README of the service names, in words."""


def sentence_of(evidence: Evidence, rule: Rule, tiers: list[CompanyTier]) -> str:
    """Return why the company can or cannot use the feature, without a full stop."""
    who, feature, access = who_of(evidence), printable(evidence.feature_code, MAX_NAME_LENGTH), evidence.access
    if access is None:
        unknown = "it is not linked to a company" if rule == "not_linked" else "the service does not know this company"
        return f"{who} has no access to {feature} or any other feature: {unknown}"
    if rule == "not_stated":
        return f"the service does not say whether {who} can use {feature}"
    causes = [_cause(evidence, access, rule, tiers), *_more(evidence, access, rule, tiers)]
    return printable(f"{who} {_VERBS[bool(access.can_use)]} {feature}: {'; '.join(causes)}", _MAX_LENGTH)


def who_of(evidence: Evidence) -> str:
    """Return a company as the subject of a sentence."""
    name = printable(evidence.company_name or "", MAX_NAME_LENGTH).strip()
    org, company = (printable(one or "", MAX_NAME_LENGTH) for one in (evidence.external_org_id, evidence.company_id))
    if name:
        return f"{name} ({org})"
    return f"organisation {org}" if org else f"company {company}"


def moment(instant: datetime) -> str:
    """Return an instant as people write it.

    Example:
        >>> [moment(datetime.fromisoformat(f"{day}T00:00:00Z")) for day in ("2027-03-01", "9999-12-31")]
        ['2027-03-01 00:00 UTC', 'never']
    """
    return "never" if instant.year == _NEVER_YEAR else instant.strftime("%Y-%m-%d %H:%M UTC")


def _cause(evidence: Evidence, access: FeatureAccess, rule: Rule, tiers: list[CompanyTier]) -> str:
    """Return the clause about the rule itself."""
    if rule == "disabled":
        return _why_disabled(evidence, access, tiers)
    included = access.included_quantity
    ended = access.valid_until and moment(access.valid_until)
    clauses: dict[Rule, str] = {
        "no_access": "it has no access, most likely because none was ever granted",
        "expired": f"its {'trial' if access.source == 'trial' else 'access'} ended at {ended}",
        "zero_limit": "it is enabled, but its limit is 0",
        "over_limit": f"{_used(access)}, most likely because the limit was lowered",
        "limit_reached": _used(access),
        "within_limit": _used(access),
        "enabled": "it is enabled",
        "unlimited": _used(access),
        "beyond_included": f"{_used(access)}, {billable(access)} of it billable, beyond the included {included}",
    }
    return clauses.get(rule) or _unexplained(access)


def _used(access: FeatureAccess) -> str:
    usage, limit = access.current_usage or 0, access.quantity_limit
    if limit is None:
        return f"it has used {usage} in this period and has no limit"
    used = f"it has used {usage} of {limit} in this period"
    is_short = usage < limit and is_at_limit(access)
    return f"{used}, and the service says that nothing remains" if is_short else used


def _why_disabled(evidence: Evidence, access: FeatureAccess, tiers: list[CompanyTier]) -> str:
    status = evidence.status
    off = "it is disabled, most likely by hand"
    if not access.current_usage:  # usage shows that it was enabled once
        off += " or because it was never enabled"
    if access.valid_until is not None and access.valid_until.year != _NEVER_YEAR:
        until = moment(access.valid_until)
        return f"{off}, or the clock of the service is past the end of its access, {until}"
    if access.source != "subscription":
        return off
    if tiers and not any(tier.details is None or feature_of(tier.details, evidence.feature_code) for tier in tiers):
        return "it is disabled, most likely because a change of its tier withdrew it"
    if status and status.has_billing_profile and not status.active_subscriptions:
        return "it is disabled, most likely by hand, by a change of its tier or at the end of its subscription"
    return "it is disabled, most likely by hand or by a change of its tier"


def _unexplained(access: FeatureAccess) -> str:
    """Return the clause if the service decides otherwise than the other fields of its answer suggest."""
    state = "enabled" if access.is_enabled else "disabled"
    used = f", and {_used(access)}" if access.has_quantity else ""
    return f"the service says so and gives no reason, although it is {state}{used}"


def _more(evidence: Evidence, access: FeatureAccess, rule: Rule, tiers: list[CompanyTier]) -> list[str]:
    """Return clauses about the origin of the limit or the access, and about the end of the period."""
    if rule == "unexplained":
        return []
    clauses = []
    if rule in {"disabled", "expired"} and is_at_limit(access) and access.quantity_limit:
        clauses.append(_used(access))
    if rule in {"no_access", "disabled"}:
        clauses += _tier_clause(evidence, tiers)
    elif access.has_quantity and rule != "expired":
        clauses.append(_limit_clause(evidence, access, tiers))
    if rule in {"limit_reached", "over_limit"} and evidence.status:
        clauses.append(_reset_clause(has_subscription=bool(evidence.status.active_subscriptions)))
    return clauses


def _tier_clause(evidence: Evidence, tiers: list[CompanyTier]) -> list[str]:
    """Return the clause about the only tier of a company that has no access."""
    if len(tiers) != 1 or tiers[0].details is None:
        return []
    tier = tiers[0]
    has_feature = feature_of(tier.details, evidence.feature_code) is not None
    hedge = "" if tier.is_stated else "most likely "
    return [f"{hedge}its tier is {tier.name}, which {'includes' if has_feature else 'does not include'} it"]


def _limit_clause(evidence: Evidence, access: FeatureAccess, tiers: list[CompanyTier]) -> str:
    """Return the clause about the origin of a limit."""
    if access.source != "subscription":
        origin = f"of the source {access.source}" if access.source else "of unknown origin"
        return f"its access is {ORIGINS.get(access.source or '', origin)}"
    limits = [
        (tier, limit_of(granted)) for tier in tiers if (granted := feature_of(tier.details, evidence.feature_code))
    ]
    for tier, limit in limits:
        if limit == access.quantity_limit:
            return f"the limit is {'' if tier.is_stated else 'most likely '}that of its tier {tier.name}"
    if not limits:
        return _clause_of_any_tier(evidence, access)
    others = [f"{'unlimited' if limit is None else limit} in its tier {tier.name}" for tier, limit in limits]
    return f"the limit was most likely changed: it is {' and '.join(others)}"


def _clause_of_any_tier(evidence: Evidence, access: FeatureAccess) -> str:
    """Return the clause about a limit if none of the company's tiers is known to have the feature.

    The source is that of a tier also if the limit was set by hand since: a call without a source leaves the old one.
    """
    origin = "its access is from a tier"
    if not evidence.tiers or "tiers" in evidence.failures:
        return origin
    granted = ((tier, feature_of(tier, evidence.feature_code)) for tier in evidence.tiers)
    names = [name_of(tier) for tier, one in granted if one and limit_of(one) == access.quantity_limit]
    if not names:
        return f"{origin}, but no tier has this limit: most likely it was set for this company"
    few = " or ".join(names) if len(names) <= _MAX_TIERS else "several tiers"
    return f"{origin}, and the limit is that of {few}"


def _reset_clause(*, has_subscription: bool) -> str:
    """Return the clause about the next period; the service names no date (assumed here: a renewal starts it)."""
    if has_subscription:
        return "most likely its usage starts again at 0 when its subscription renews"
    return "it has no active subscription, so most likely its usage does not start again at 0"
