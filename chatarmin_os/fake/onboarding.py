"""Onboarding: everything is checked before anything is stored, so that it is all or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chatarmin_os.fake import billing, companies, contacts, links, lookup, tiers
from chatarmin_os.fake.router import EMAIL, INSTANT, TEXT, Given, bad_request, optional, procedure

if TYPE_CHECKING:
    from chatarmin_os._json import JSON
    from chatarmin_os.fake.catalogue import Tier
    from chatarmin_os.fake.state import Company, State, StripeSubscription


@procedure(
    "onboard",
    "mutation",
    externalOrgId=TEXT,
    hints=optional(companies.HINTS),
    tierCode=optional(TEXT),
    contactEmail=optional(EMAIL),
    contactName=optional(TEXT),
    createdAt=optional(INSTANT),
    checkoutSessionId=optional(TEXT),
    stripeSubscriptionId=optional(TEXT),
    stripeCustomerId=optional(TEXT),
)
def onboard(state: State, given: Given) -> JSON:
    """Match or create the company, link it, claim or link the subscription, apply the tier."""
    if "checkoutSessionId" in given and "stripeSubscriptionId" in given:
        raise bad_request("checkoutSessionId", "give a checkout or a subscription, not both")
    if "stripeCustomerId" in given and "stripeSubscriptionId" not in given:
        raise bad_request("stripeCustomerId", "a customer goes with a stripeSubscriptionId")
    tier = lookup.tier(state, given["tierCode"]) if "tierCode" in given else None
    subscription = _subscription(state, given)
    status, company = _found(state, given)
    if subscription:
        billing.refuse_foreign(state, subscription, company and company["id"])
    # Nothing below refuses.
    if company is None:
        company = companies.added(state, given, name=_name(state, given), domain=given.get("hints", {}).get("domain"))
    else:
        links.link(state, company["id"], given["externalOrgId"])
        contacts.upsert_from_input(state, company["id"], given)
    answer: dict[str, Any] = {"companyId": company["id"], "companyName": company["name"], "linkStatus": status}
    if subscription or tier:
        answer["billingStatus"] = _billed(state, company["id"], given, subscription, tier)
    return answer


def _subscription(state: State, given: Given) -> StripeSubscription | None:
    if "checkoutSessionId" in given:
        return billing.bought(state, given["checkoutSessionId"])
    if "stripeSubscriptionId" in given:
        subscription = lookup.subscription(state, given["stripeSubscriptionId"])
        billing.refuse_unlinkable(subscription, given.get("stripeCustomerId"))
        return subscription
    return None


def _found(state: State, given: Given) -> tuple[str, Company | None]:
    """Return the company that is linked or that the hints find; suggestions are not enough."""
    link = state.links.get(given["externalOrgId"])
    if link:
        return "already_linked", state.companies[link["companyId"]]
    match = companies.Hinted(state, given.get("hints", {})).to_link()
    return ("linked", companies.at(state, match)) if match else ("created", None)


def _name(state: State, given: Given) -> str:
    """Return what to call a new company."""
    hints = given.get("hints", {})
    session = state.sessions.get(given.get("checkoutSessionId", ""))
    customer_name = session and session["customerName"]
    name: str = hints.get("companyName") or customer_name or hints.get("domain") or given["externalOrgId"]
    return name


def _billed(
    state: State, company_id: str, given: Given, subscription: StripeSubscription | None, tier: Tier | None
) -> dict[str, Any]:
    """Claim or link the subscription, then apply the tier; return what is now so."""
    by_checkout = "checkoutSessionId" in given
    if subscription and not by_checkout:
        billing.link(state, company_id, subscription, tier)
    else:
        if subscription:
            billing.claim(state, company_id, subscription)
        if tier:
            tiers.grant(state, company_id, tier)
    return {
        "claimed": by_checkout,
        "linked": subscription is not None and not by_checkout,
        "tierApplied": tier is not None or (subscription is not None and billing.is_tier_applied(state, subscription)),
        "subscriptionId": subscription and subscription["id"],
    }
