"""The facts of an explanation, as labels and texts in the order in which people read them; pure functions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal

from chatarmin_os._messages import printable
from chatarmin_os.explanation.evidence import Evidence
from chatarmin_os.explanation.rules import billable, is_expired
from chatarmin_os.explanation.sentence import ORIGINS, moment
from chatarmin_os.explanation.tiers import MAX_NAME_LENGTH, CompanyTier, feature_of
from chatarmin_os.models.features import FeatureAccess
from chatarmin_os.models.tiers import StripePrice

_DECIMALS = 2
_OTHER_DECIMALS = {
    **dict.fromkeys(re.findall(r"\w+", "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf"), 0),
    **dict.fromkeys(re.findall(r"\w+", "bhd jod kwd omr tnd"), 3),
}
"""The decimals of the currencies whose minor unit is not a hundredth, at Stripe."""


def facts_of(evidence: Evidence, tiers: list[CompanyTier]) -> tuple[tuple[str, str], ...]:
    """Return what is known, as pairs of a label and a text."""
    facts = list(_of_company(evidence, tiers))
    if evidence.access is not None:
        facts += _of_access(evidence, evidence.access)
        facts += _of_quantity(evidence, evidence.access, tiers)
        facts += _of_billing(evidence)
    facts.append(("asked at", evidence.asked_at.strftime("%Y-%m-%d %H:%M:%S UTC")))
    return tuple((label, printable(value)) for label, value in facts)


def _of_company(evidence: Evidence, tiers: list[CompanyTier]) -> Iterator[tuple[str, str]]:
    name, company_id = evidence.company_name, evidence.company_id
    if company_id is not None:
        known = f"{printable(name, MAX_NAME_LENGTH)} ({company_id})" if name else company_id
        yield "company", f"{known} (unknown)" if evidence.access is None else known
    if evidence.external_org_id is not None:
        yield "link", f"{evidence.external_org_id}{' (not linked)' if evidence.access is None else ''}"
    if evidence.access is None:
        return
    if tiers:
        yield "tier", ", ".join(one.name if one.is_stated else f"{one.name} (most likely)" for one in tiers)
    else:
        yield "tier", _unknown(evidence, "tiers")


def _of_access(evidence: Evidence, access: FeatureAccess) -> Iterator[tuple[str, str]]:
    source = access.source
    yield (
        "feature",
        f"{access.feature_name} ({evidence.feature_code})" if access.feature_name else evidence.feature_code,
    )
    yield "access from", f"{ORIGINS.get(source, 'unknown')} ({source})" if source else "none"
    yield "enabled", "yes" if access.is_enabled else "no"
    until = "no expiry" if access.valid_until is None else moment(access.valid_until)
    yield "valid until", f"{until} (past)" if is_expired(access, evidence.asked_at) else until
    if access.config_values:
        yield "configuration", json.dumps(access.config_values, ensure_ascii=False)


def _of_quantity(evidence: Evidence, access: FeatureAccess, tiers: list[CompanyTier]) -> Iterator[tuple[str, str]]:
    if access.has_quantity is False:
        return
    yield "limit", "unlimited" if access.quantity_limit is None else str(access.quantity_limit)
    yield "used", str(access.current_usage or 0)
    yield "remaining", "unlimited" if access.remaining is None else str(access.remaining)
    if access.included_quantity is None:
        yield "billable", "usage is not billed"
    else:
        yield "billable", f"{billable(access)} (beyond the included {access.included_quantity})"
    for tier in tiers:
        granted = feature_of(tier.details, evidence.feature_code)
        if granted and granted.stripe:
            yield "price", f"{_price(granted.stripe)} (tier {tier.name}{'' if tier.is_stated else ', most likely'})"


def _of_billing(evidence: Evidence) -> Iterator[tuple[str, str]]:
    status = evidence.status
    if status is None:
        yield "subscriptions", _unknown(evidence, "subscriptions")
        return
    names = [one.display_name or one.stripe_subscription_id or one.id or "-" for one in status.active_subscriptions]
    none = "none active any more" if status.has_billing_profile else "none"
    yield "subscriptions", ", ".join(f"{name} (active)" for name in names) or none
    if evidence.access is not None and evidence.access.has_quantity:
        yield "period", f"ends when a subscription renews (assumed){'' if names else '; none is active'}"


def _unknown(evidence: Evidence, topic: str) -> str:
    return f"unknown ({evidence.failures.get(topic, 'no active subscription names it')})"


def _price(price: StripePrice) -> str:
    """Return a price of one unit.

    Example:
        >>> _price(StripePrice(price_id="price_1", unit_amount=2, currency="eur"))
        '0.02 EUR each'
        >>> _price(StripePrice(price_id="price_1", unit_amount=300, currency="jpy"))
        '300 JPY each'
        >>> _price(StripePrice(price_id="price_1", unit_amount=300))
        'price_1'
    """
    currency = (price.currency or "").lower()
    if price.unit_amount is None or not currency:
        return price.price_id
    amount = Decimal(str(price.unit_amount)).scaleb(-_OTHER_DECIMALS.get(currency, _DECIMALS))
    return f"{amount:f} {currency.upper()} each"
