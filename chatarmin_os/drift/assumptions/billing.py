"""Decided: checkouts and subscriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os.drift._reading import text
from chatarmin_os.drift.assumptions.rule import decided

if TYPE_CHECKING:
    from chatarmin_os.drift.assumptions.rule import Situation

_CLAIM, _LINK = "billing.claimCheckout", "billing.linkSubscription"


@decided("An unknown checkout session is NOT_FOUND.", _CLAIM, "onboard")
def _claim_unknown(it: Situation) -> object:
    return "checkoutSessionId" in it.given and it.session is None and it.code == "NOT_FOUND"


@decided("A checkout session that is not complete is BAD_REQUEST.", _CLAIM, "onboard")
def _claim_incomplete(it: Situation) -> object:
    return it.session is not None and it.subscription is None and it.code == "BAD_REQUEST"


@decided("A checkout that another company has claimed is CONFLICT.", _CLAIM, "onboard")
def _claim_foreign(it: Situation) -> object:
    return it.session is not None and it.claimed_by not in {None, it.company} and it.code == "CONFLICT"


@decided("To claim again is harmless: alreadyClaimed is true.", _CLAIM, shows="outcome alreadyClaimed subscriptionId")
def _claim_again(it: Situation) -> object:
    return it.answer and it.claimed_by is not None


@decided(
    "A claimed checkout applies the tier that its prices pay for.",
    "features.check",
    "features.listAccess",
    shows="isEnabled quantityLimit includedQuantity source",
)
def _claim_tier(it: Situation) -> object:
    later = "tiers.apply", _LINK
    return it.last(_CLAIM, "onboard") > it.last(*later) and any(
        row.get("source") == "subscription" and it.was_given(row, _CLAIM, "onboard") for row in it.accesses
    )


@decided("An unknown subscription is NOT_FOUND.", _LINK, "onboard")
def _subscription_unknown(it: Situation) -> object:
    return "stripeSubscriptionId" in it.given and it.subscription is None and it.code == "NOT_FOUND"


@decided("A subscription of another company is CONFLICT.", _LINK, "onboard")
def _subscription_foreign(it: Situation) -> object:
    return "stripeSubscriptionId" in it.given and it.claimed_by not in {None, it.company} and it.code == "CONFLICT"


@decided("A customer that is not the subscription's is BAD_REQUEST.", _LINK, "onboard")
def _subscription_customer(it: Situation) -> object:
    customer = text(it.given.get("stripeCustomerId"))
    is_other = it.subscription is not None and customer not in {None, it.subscription["customerId"]}
    return is_other and it.code == "BAD_REQUEST"


@decided("A cancelled subscription is BAD_REQUEST.", _LINK, _CLAIM, "onboard")
def _subscription_cancelled(it: Situation) -> object:
    return it.subscription is not None and not it.subscription["isActive"] and it.code == "BAD_REQUEST"


@decided(
    "Linking applies the tier that is named, else none; featuresApplied is a count.",
    _LINK,
    shows="alreadyLinked featuresApplied subscriptionId",
)
def _subscription_linked(it: Situation) -> object:
    return it.answer


@decided(
    "A company's active subscriptions are told in the order of claiming, each with its tier.",
    "billing.getStatus",
    shows="activeSubscriptions displayName tier hasBillingProfile",
)
def _status_subscriptions(it: Situation) -> object:
    return it.answer and it.last(_CLAIM, _LINK)


@decided("The features that are enabled right now are counted.", "billing.getStatus", shows="enabledFeaturesCount")
def _status_count(it: Situation) -> object:
    return it.answer and it.sources
