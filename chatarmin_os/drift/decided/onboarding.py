"""Decided: onboarding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os.drift._reading import text
from chatarmin_os.drift.decided._rule import decided

if TYPE_CHECKING:
    from chatarmin_os.drift.decided._rule import Situation


def _status(it: Situation) -> object:
    return it.answer.get("linkStatus")


@decided("onboard", shows="linkStatus")
def onboard_created(it: Situation) -> object:
    """A company is created where none can be linked, also where some are suggested."""
    return _status(it) == "created"


@decided("onboard", shows="companyName")
def onboard_name(it: Situation) -> object:
    """A new company is called by its hint, the checkout's customer, the domain or the organisation's id."""
    return _status(it) == "created" and not text(it.hints.get("companyName"))


@decided("onboard", shows="outcome linkStatus companyId companyName")
def onboard_again(it: Situation) -> object:
    """To onboard again is already_linked, and makes no duplicate."""
    return it.linked and it.answer


@decided("onboard", shows="$ billingStatus")
def onboard_no_billing(it: Situation) -> object:
    """Without a checkout, a subscription and a tier there is no billingStatus."""
    return it.answer and not _has_billing(it)


@decided("onboard", shows="billingStatus claimed linked tierApplied subscriptionId")
def onboard_billing(it: Situation) -> object:
    """The billingStatus tells what is so now, also where it was so before."""
    return it.answer and _has_billing(it)


@decided("onboard")
def onboard_both(it: Situation) -> object:
    """A checkout beside a subscription, and a customer without one, is BAD_REQUEST."""
    both = {"checkoutSessionId", "stripeSubscriptionId"} <= it.given.keys()
    return both or ("stripeCustomerId" in it.given and "stripeSubscriptionId" not in it.given)


@decided("contacts.list", shows="$ email name isPrimary")
def onboard_contact(it: Situation) -> object:
    """The contact of an onboarding is primary, unless there is a primary one."""
    return it.last("onboard") > it.last("contacts.create", "contacts.bulkUpsert") and it.came.get("answer")


@decided("companies.getByProductLink", shows="outcome $")
def onboard_whole(it: Situation) -> object:
    """An onboarding that is refused leaves no company and no link behind."""
    return it.org and it.was_refused and not it.linked


def _has_billing(it: Situation) -> bool:
    return bool(it.given.keys() & {"checkoutSessionId", "stripeSubscriptionId", "tierCode"})
