"""Onboarding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os.drift.assumptions.criterion import ACCESS_QUERIES, exercised_by
from chatarmin_os.drift.reading import text

if TYPE_CHECKING:
    from chatarmin_os.drift.assumptions.context import Context


def _status(call: Context) -> object:
    return call.answer.get("linkStatus")


@exercised_by("onboard-created", "onboard", shows="linkStatus")
def _onboard_created(call: Context) -> object:
    return _status(call) == "created"


@exercised_by("onboard-evidence", "onboard", shows="linkStatus")
def _onboard_evidence(call: Context) -> object:
    return call.answer and call.knows_contact_domain and not call.linked and not call.hints


@exercised_by("onboard-created-at", "companies.getByProductLink", shows="createdAt")
def _onboard_created_at(call: Context) -> object:
    is_last = call.last("onboard") > call.last("companies.create", "companies.update")
    return call.answer and is_last and "createdAt" in call.onboarded_with


@exercised_by("onboard-name", "onboard", shows="companyName")
def _onboard_name(call: Context) -> object:
    return _status(call) == "created" and not text(call.hints.get("companyName"))


@exercised_by("onboard-again", "onboard", shows="outcome linkStatus companyId companyName")
def _onboard_again(call: Context) -> object:
    return call.linked and call.answer


@exercised_by("onboard-no-billing", "onboard", shows="$ billingStatus")
def _onboard_no_billing(call: Context) -> object:
    return call.answer and not _has_billing(call)


@exercised_by("onboard-billing", "onboard", shows="billingStatus claimed linked tierApplied subscriptionId")
def _onboard_billing(call: Context) -> object:
    return call.answer and _has_billing(call)


@exercised_by(
    "onboard-tier", *ACCESS_QUERIES, shows="isEnabled quantityLimit includedQuantity configValues source validUntil"
)
def _onboard_tier(call: Context) -> object:
    later = call.last("tiers.apply", "billing.claimCheckout", "billing.linkSubscription")
    is_last = "tierCode" in call.onboarded_with and call.last("onboard") > later
    return is_last and any(
        row.get("source") == "subscription" and call.is_granted_by(row, "onboard") for row in call.accesses
    )


@exercised_by("onboard-both", "onboard")
def _onboard_both(call: Context) -> object:
    both = {"checkoutSessionId", "stripeSubscriptionId"} <= call.given.keys()
    return both or ("stripeCustomerId" in call.given and "stripeSubscriptionId" not in call.given)


@exercised_by("onboard-contact", "contacts.list", shows="$ email name isPrimary")
def _onboard_contact(call: Context) -> object:
    return call.last("onboard") > call.last("contacts.create", "contacts.bulkUpsert") and call.outcome.get("answer")


@exercised_by("onboard-whole", "companies.getByProductLink", shows="outcome $")
def _onboard_whole(call: Context) -> object:
    return call.org and call.was_refused and not call.linked


def _has_billing(call: Context) -> bool:
    return bool(call.given.keys() & {"checkoutSessionId", "stripeSubscriptionId", "tierCode"})
