"""Decided: onboarding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os.drift._reading import text
from chatarmin_os.drift.assumptions.rule import decided

if TYPE_CHECKING:
    from chatarmin_os.drift.assumptions.rule import Situation


def _status(it: Situation) -> object:
    return it.answer.get("linkStatus")


@decided("A company is created where none can be linked, also where some are suggested.", "onboard", shows="linkStatus")
def _onboard_created(it: Situation) -> object:
    return _status(it) == "created"


@decided(
    "A new company is called by its hint, the checkout's customer, the domain or the organisation's id.",
    "onboard",
    shows="companyName",
)
def _onboard_name(it: Situation) -> object:
    return _status(it) == "created" and not text(it.hints.get("companyName"))


@decided(
    "To onboard again is already_linked, and makes no duplicate.",
    "onboard",
    shows="outcome linkStatus companyId companyName",
)
def _onboard_again(it: Situation) -> object:
    return it.linked and it.answer


@decided("Without a checkout, a subscription and a tier there is no billingStatus.", "onboard", shows="$ billingStatus")
def _onboard_no_billing(it: Situation) -> object:
    return it.answer and not _has_billing(it)


@decided(
    "The billingStatus tells what is so now, also where it was so before.",
    "onboard",
    shows="billingStatus claimed linked tierApplied subscriptionId",
)
def _onboard_billing(it: Situation) -> object:
    return it.answer and _has_billing(it)


@decided("A checkout beside a subscription, and a customer without one, is BAD_REQUEST.", "onboard")
def _onboard_both(it: Situation) -> object:
    both = {"checkoutSessionId", "stripeSubscriptionId"} <= it.given.keys()
    return both or ("stripeCustomerId" in it.given and "stripeSubscriptionId" not in it.given)


@decided(
    "The contact of an onboarding is primary, unless there is a primary one.",
    "contacts.list",
    shows="$ email name isPrimary",
)
def _onboard_contact(it: Situation) -> object:
    return it.last("onboard") > it.last("contacts.create", "contacts.bulkUpsert") and it.came.get("answer")


@decided(
    "An onboarding that is refused leaves no company and no link behind.",
    "companies.getByProductLink",
    shows="outcome $",
)
def _onboard_whole(it: Situation) -> object:
    return it.org and it.was_refused and not it.linked


def _has_billing(it: Situation) -> bool:
    return bool(it.given.keys() & {"checkoutSessionId", "stripeSubscriptionId", "tierCode"})
