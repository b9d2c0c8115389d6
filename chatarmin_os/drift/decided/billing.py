"""Decided: checkouts and subscriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os.drift._reading import text
from chatarmin_os.drift.decided._rule import decided

if TYPE_CHECKING:
    from chatarmin_os.drift.decided._rule import Situation

_CLAIM, _LINK = "billing.claimCheckout", "billing.linkSubscription"


@decided(_CLAIM, "onboard")
def claim_unknown(it: Situation) -> object:
    """An unknown checkout session is NOT_FOUND."""
    return "checkoutSessionId" in it.given and it.session is None and it.code == "NOT_FOUND"


@decided(_CLAIM, "onboard")
def claim_incomplete(it: Situation) -> object:
    """A checkout session that is not complete is BAD_REQUEST."""
    return it.session is not None and it.subscription is None and it.code == "BAD_REQUEST"


@decided(_CLAIM, "onboard")
def claim_foreign(it: Situation) -> object:
    """A checkout that another company has claimed is CONFLICT."""
    return it.session is not None and it.claimed_by not in {None, it.company} and it.code == "CONFLICT"


@decided(_CLAIM, shows="outcome alreadyClaimed subscriptionId")
def claim_again(it: Situation) -> object:
    """To claim again is harmless: alreadyClaimed is true."""
    return it.answer and it.claimed_by is not None


@decided("features.check", "features.listAccess", shows="isEnabled quantityLimit includedQuantity source")
def claim_tier(it: Situation) -> object:
    """A claimed checkout applies the tier that its prices pay for."""
    later = "tiers.apply", _LINK
    return it.last(_CLAIM, "onboard") > it.last(*later) and any(
        row.get("source") == "subscription" and it.was_given(row, _CLAIM, "onboard") for row in it.accesses
    )


@decided(_LINK, "onboard")
def subscription_unknown(it: Situation) -> object:
    """An unknown subscription is NOT_FOUND."""
    return "stripeSubscriptionId" in it.given and it.subscription is None and it.code == "NOT_FOUND"


@decided(_LINK, "onboard")
def subscription_foreign(it: Situation) -> object:
    """A subscription of another company is CONFLICT."""
    return "stripeSubscriptionId" in it.given and it.claimed_by not in {None, it.company} and it.code == "CONFLICT"


@decided(_LINK, "onboard")
def subscription_customer(it: Situation) -> object:
    """A customer that is not the subscription's is BAD_REQUEST."""
    customer = text(it.given.get("stripeCustomerId"))
    is_other = it.subscription is not None and customer not in {None, it.subscription["customerId"]}
    return is_other and it.code == "BAD_REQUEST"


@decided(_LINK, _CLAIM, "onboard")
def subscription_cancelled(it: Situation) -> object:
    """A cancelled subscription is BAD_REQUEST."""
    return it.subscription is not None and not it.subscription["isActive"] and it.code == "BAD_REQUEST"


@decided(_LINK, shows="alreadyLinked featuresApplied subscriptionId")
def subscription_linked(it: Situation) -> object:
    """Linking applies the tier that is named, else none; featuresApplied is a count."""
    return it.answer


@decided("billing.getStatus", shows="activeSubscriptions displayName tier hasBillingProfile")
def status_subscriptions(it: Situation) -> object:
    """A company's active subscriptions are told in the order of claiming, each with its tier."""
    return it.answer and it.last(_CLAIM, _LINK)


@decided("billing.getStatus", shows="enabledFeaturesCount")
def status_count(it: Situation) -> object:
    """The features that are enabled right now are counted."""
    return it.answer and it.sources
