"""Usage, checkouts and subscriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from chatarmin_os._json import short_repr
from chatarmin_os.errors import ApiError
from chatarmin_os.fake import lookup, tiers
from chatarmin_os.fake.features import access_to, count_enabled, usage_of
from chatarmin_os.fake.router import procedure
from chatarmin_os.fake.rules.access import is_enabled
from chatarmin_os.fake.rules.tiers import tier_of_prices
from chatarmin_os.fake.rules.usage import add_exact, as_number, exceeds, quota_status
from chatarmin_os.fake.schema import MAPPING, QUANTITY, TEXT, Input, bad_request, optional

if TYPE_CHECKING:
    from chatarmin_os._json import JSON
    from chatarmin_os.fake.rows import Claim, StripeSubscription, Tier, UsageAnswer
    from chatarmin_os.fake.state import State


@procedure(
    "billing.trackUsage",
    "mutation",
    companyId=TEXT,
    featureCode=TEXT,
    quantity=QUANTITY,
    idempotencyKey=optional(TEXT),
    metadata=optional(MAPPING),
)
def track_usage(state: State, input: Input) -> JSON:
    """Count usage once per key; a repeated key gets its response even if the feature is now disabled or used up."""
    company = lookup.company(state, input["companyId"])
    feature = lookup.feature(state, input["featureCode"])
    if not feature["hasQuantity"]:
        raise bad_request("featureCode", f"the feature {feature['code']!r} has no quantity to track")
    key = input.get("idempotencyKey")
    if key in state.events:
        return _replay(state, key, input)
    access = access_to(state, company["id"], feature)
    if not is_enabled(access, state.now):
        raise ApiError.from_code("FORBIDDEN", f"The feature {feature['code']!r} is not enabled for this company")
    usage = add_exact(usage_of(state, company["id"], feature), input["quantity"])
    if exceeds(usage, access["quantityLimit"]):
        raise ApiError.from_code(
            "PRECONDITION_FAILED",
            f"Usage limit of {feature['code']!r}: {as_number(usage)} would exceed {access['quantityLimit']}",
        )
    status = quota_status(usage, access["quantityLimit"], access["includedQuantity"])
    answer: UsageAnswer = {
        "currentUsage": as_number(usage),
        "remaining": None if status.remaining is None else as_number(status.remaining),
        "billableQuantity": as_number(status.billable),
        "isAtLimit": status.is_at_limit,
    }
    state.usage[company["id"]] = {**state.usage.get(company["id"], {}), feature["code"]: usage}
    if key is not None:
        state.events[key] = {
            "companyId": company["id"],
            "featureCode": feature["code"],
            "quantity": input["quantity"],
            "answer": answer,
        }
    return answer


def _replay(state: State, key: str, input: Input) -> JSON:
    event = state.events[key]
    for field in ("companyId", "featureCode", "quantity"):
        if event[field] != input[field]:
            raise ApiError.from_code("CONFLICT", f"The idempotency key {short_repr(key)} was used with another {field}")
    return event["answer"]


@procedure("billing.claimCheckout", "mutation", companyId=TEXT, checkoutSessionId=TEXT)
def claim_checkout(state: State, input: Input) -> JSON:
    """Give a company the subscription of a completed checkout, and the tier of its prices."""
    company = lookup.company(state, input["companyId"])
    subscription = checkout_subscription(state, input["checkoutSessionId"])
    ensure_owned_by(state, subscription, company["id"])
    already = subscription["id"] in state.claims
    claim(state, company["id"], subscription)
    return {"alreadyClaimed": already, "subscriptionId": subscription["id"]}


@procedure(
    "billing.linkSubscription",
    "mutation",
    companyId=TEXT,
    stripeSubscriptionId=TEXT,
    stripeCustomerId=optional(TEXT),
    tierCode=optional(TEXT),
    displayName=optional(TEXT),
)
def link_subscription(state: State, input: Input) -> JSON:
    """Link a subscription that the caller created; a tier code is applied even if its prices were not paid."""
    company = lookup.company(state, input["companyId"])
    subscription = lookup.subscription(state, input["stripeSubscriptionId"])
    tier = lookup.tier(state, input["tierCode"]) if "tierCode" in input else None
    ensure_linkable(subscription, input.get("stripeCustomerId"))
    ensure_owned_by(state, subscription, company["id"])
    already = subscription["id"] in state.claims
    applied = link(state, company["id"], subscription, tier, input.get("displayName"))
    return {"subscriptionId": subscription["id"], "alreadyLinked": already, "featuresApplied": applied}


@procedure("billing.getStatus", "query", companyId=TEXT)
def get_status(state: State, input: Input) -> JSON:
    """Return the active subscriptions in claiming order, and the number of features that are enabled now."""
    company = lookup.company(state, input["companyId"])
    claims = state.claims_of(company["id"])
    return {
        "hasBillingProfile": bool(claims),
        "activeSubscriptions": [
            {
                "id": claim["id"],
                "stripeSubscriptionId": claim["stripeSubscriptionId"],
                "displayName": claim["displayName"],
                "tier": claim["tierCode"] and tiers.summary(state.catalogue.tiers[claim["tierCode"]]),
            }
            for claim in claims
            if state.subscriptions[claim["stripeSubscriptionId"]]["isActive"]
        ],
        "enabledFeaturesCount": count_enabled(state, company["id"]),
    }


def checkout_subscription(state: State, session_id: str) -> StripeSubscription:
    """Return the subscription of a completed checkout."""
    session = lookup.session(state, session_id)
    if session["subscriptionId"] is None:
        raise bad_request("checkoutSessionId", f"the checkout session {session_id!r} is not complete")
    subscription = state.subscriptions[session["subscriptionId"]]
    _ensure_active(subscription, "checkoutSessionId")
    return subscription


def ensure_linkable(subscription: StripeSubscription, customer_id: str | None) -> None:
    """Refuse a cancelled subscription, and a customer that is not the subscription's."""
    _ensure_active(subscription, "stripeSubscriptionId")
    if customer_id not in {None, subscription["customerId"]}:
        raise bad_request(
            "stripeCustomerId", f"{short_repr(customer_id)} is not the customer of {subscription['id']!r}"
        )


def _ensure_active(subscription: StripeSubscription, place: str) -> None:
    if not subscription["isActive"]:
        raise bad_request(place, f"the subscription {subscription['id']!r} is cancelled")


def ensure_owned_by(state: State, subscription: StripeSubscription, company_id: str | None) -> None:
    """Refuse a subscription that belongs to a company other than *company_id*."""
    claim = state.claims.get(subscription["id"])
    if claim and claim["companyId"] != company_id:
        raise ApiError.from_code("CONFLICT", f"The subscription {subscription['id']!r} belongs to another company")


def claim(state: State, company_id: str, subscription: StripeSubscription) -> Claim:
    """Return the claim of a subscription; a new claim applies the tier of the subscription's prices."""
    known = state.claims.get(subscription["id"])
    if known:
        return known
    tier = tier_of_prices(state.catalogue.tiers.values(), subscription["priceIds"])
    if tier:
        tiers.grant(state, company_id, tier)
    return _add_claim(state, company_id, subscription, tier)


def link(
    state: State,
    company_id: str,
    subscription: StripeSubscription,
    tier: Tier | None,
    display_name: str | None = None,
) -> int:
    """Link a subscription, or update its link, and return the number of applied features."""
    claim = state.claims.get(subscription["id"])
    if claim is None:
        paid = tier or tier_of_prices(state.catalogue.tiers.values(), subscription["priceIds"])
        claim = _add_claim(state, company_id, subscription, paid)
    state.claims[subscription["id"]] = {
        **claim,
        "displayName": display_name or claim["displayName"],
        "tierCode": tier["code"] if tier else claim["tierCode"],
    }
    return tiers.grant(state, company_id, tier) if tier else 0


def is_tier_applied(state: State, subscription: StripeSubscription) -> bool:
    """Return whether the tier of a claimed subscription is the one that was applied last to its company."""
    claim = state.claims[subscription["id"]]
    return claim["tierCode"] is not None and claim["tierCode"] == state.tiers.get(claim["companyId"])


def _add_claim(state: State, company_id: str, subscription: StripeSubscription, tier: Tier | None) -> Claim:
    claim: Claim = {
        "id": str(uuid4()),
        "companyId": company_id,
        "stripeSubscriptionId": subscription["id"],
        "displayName": None,
        "tierCode": tier and tier["code"],
        "monthlyFee": (tier and tier["baseFee"]) or 0,
    }
    state.add_claim(claim)
    return claim
