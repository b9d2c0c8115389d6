"""Checkouts and subscriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os.drift.assumptions.criterion import exercised_by
from chatarmin_os.drift.reading import text

if TYPE_CHECKING:
    from chatarmin_os.drift.assumptions.context import Context

_CLAIM, _LINK = "billing.claimCheckout", "billing.linkSubscription"


@exercised_by("claim-unknown", _CLAIM, "onboard")
def _claim_unknown(call: Context) -> object:
    return "checkoutSessionId" in call.given and call.session is None and call.code == "NOT_FOUND"


@exercised_by("claim-incomplete", _CLAIM, "onboard")
def _claim_incomplete(call: Context) -> object:
    return call.session is not None and call.subscription is None and call.code == "BAD_REQUEST"


@exercised_by("claim-foreign", _CLAIM, "onboard")
def _claim_foreign(call: Context) -> object:
    return call.session is not None and call.claimed_by not in {None, call.company} and call.code == "CONFLICT"


@exercised_by("claim-again", _CLAIM, shows="outcome alreadyClaimed subscriptionId")
def _claim_again(call: Context) -> object:
    return call.answer and call.claimed_by is not None


@exercised_by(
    "claim-tier", "features.check", "features.listAccess", shows="isEnabled quantityLimit includedQuantity source"
)
def _claim_tier(call: Context) -> object:
    later = "tiers.apply", _LINK
    return call.last(_CLAIM, "onboard") > call.last(*later) and any(
        row.get("source") == "subscription" and call.is_granted_by(row, _CLAIM, "onboard") for row in call.accesses
    )


@exercised_by("subscription-unknown", _LINK, "onboard")
def _subscription_unknown(call: Context) -> object:
    return "stripeSubscriptionId" in call.given and call.subscription is None and call.code == "NOT_FOUND"


@exercised_by("subscription-foreign", _LINK, "onboard")
def _subscription_foreign(call: Context) -> object:
    return (
        "stripeSubscriptionId" in call.given and call.claimed_by not in {None, call.company} and call.code == "CONFLICT"
    )


@exercised_by("subscription-customer", _LINK, "onboard")
def _subscription_customer(call: Context) -> object:
    customer = text(call.given.get("stripeCustomerId"))
    is_other = call.subscription is not None and customer not in {None, call.subscription["customerId"]}
    return is_other and call.code == "BAD_REQUEST"


@exercised_by("subscription-cancelled", _LINK, _CLAIM, "onboard")
def _subscription_cancelled(call: Context) -> object:
    return call.subscription is not None and not call.subscription["isActive"] and call.code == "BAD_REQUEST"


@exercised_by("subscription-linked", _LINK, shows="alreadyLinked featuresApplied subscriptionId")
def _subscription_linked(call: Context) -> object:
    return call.answer


@exercised_by("subscription-again", _LINK, shows="outcome alreadyLinked featuresApplied subscriptionId")
def _subscription_again(call: Context) -> object:
    return call.answer and call.claimed_by is not None


@exercised_by(
    "status-subscriptions", "billing.getStatus", shows="activeSubscriptions displayName tier hasBillingProfile"
)
def _status_subscriptions(call: Context) -> object:
    return call.answer and call.last(_CLAIM, _LINK)


@exercised_by("subscription-ids", "billing.getStatus", shows="id stripeSubscriptionId")
def _subscription_ids(call: Context) -> object:
    return call.answer.get("activeSubscriptions") and call.last(_CLAIM, _LINK, "onboard")


@exercised_by("status-count", "billing.getStatus", shows="enabledFeaturesCount")
def _status_count(call: Context) -> object:
    return call.answer and call.sources
