"""Onboarding checks everything before it stores anything, so that it is all or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chatarmin_os.fake import billing, companies, contacts, links, lookup, tiers
from chatarmin_os.fake.router import procedure
from chatarmin_os.fake.schema import EMAIL, TEXT, TIMESTAMP, Input, bad_request, optional

if TYPE_CHECKING:
    from chatarmin_os._json import JSON
    from chatarmin_os.fake.rows import Company, StripeSubscription, Tier
    from chatarmin_os.fake.state import State


@procedure(
    "onboard",
    "mutation",
    externalOrgId=TEXT,
    hints=optional(companies.HINTS),
    tierCode=optional(TEXT),
    contactEmail=optional(EMAIL),
    contactName=optional(TEXT),
    createdAt=optional(TIMESTAMP),
    checkoutSessionId=optional(TEXT),
    stripeSubscriptionId=optional(TEXT),
    stripeCustomerId=optional(TEXT),
)
def onboard(state: State, input: Input) -> JSON:
    """Match or create the company, link it, claim or link the subscription, apply the tier."""
    if "checkoutSessionId" in input and "stripeSubscriptionId" in input:
        raise bad_request("checkoutSessionId", "give a checkout or a subscription, not both")
    if "stripeCustomerId" in input and "stripeSubscriptionId" not in input:
        raise bad_request("stripeCustomerId", "a customer goes with a stripeSubscriptionId")
    tier = lookup.tier(state, input["tierCode"]) if "tierCode" in input else None
    subscription = _subscription(state, input)
    status, company = _match(state, input)
    if subscription:
        billing.ensure_owned_by(state, subscription, company and company["id"])
    # Nothing below refuses.
    if company is None:
        domain = input.get("hints", {}).get("domain")
        company = companies.add_linked(state, input, name=_name(state, input), domain=domain)
    else:
        links.link(state, company["id"], input["externalOrgId"])
        contacts.upsert_from_input(state, company["id"], input)
    response: dict[str, Any] = {"companyId": company["id"], "companyName": company["name"], "linkStatus": status}
    if subscription or tier:
        response["billingStatus"] = _bill(state, company["id"], input, subscription, tier)
    return response


def _subscription(state: State, input: Input) -> StripeSubscription | None:
    if "checkoutSessionId" in input:
        return billing.checkout_subscription(state, input["checkoutSessionId"])
    if "stripeSubscriptionId" in input:
        subscription = lookup.subscription(state, input["stripeSubscriptionId"])
        billing.ensure_linkable(subscription, input.get("stripeCustomerId"))
        return subscription
    return None


def _match(state: State, input: Input) -> tuple[str, Company | None]:
    """Return the link status, and the company that is linked or that the hints match; suggestions are not enough."""
    link = state.links.get(input["externalOrgId"])
    if link:
        return "already_linked", state.companies[link["companyId"]]
    match = companies.HintMatcher(state, input.get("hints", {})).to_link()
    return ("linked", companies.company_of(state, match)) if match else ("created", None)


def _name(state: State, input: Input) -> str:
    """Return the name of a new company."""
    hints = input.get("hints", {})
    session = state.sessions.get(input.get("checkoutSessionId", ""))
    customer_name = session and session["customerName"]
    name: str = hints.get("companyName") or customer_name or hints.get("domain") or input["externalOrgId"]
    return name


def _bill(
    state: State, company_id: str, input: Input, subscription: StripeSubscription | None, tier: Tier | None
) -> dict[str, Any]:
    """Claim or link the subscription, then apply the tier; return the resulting status."""
    by_checkout = "checkoutSessionId" in input
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
