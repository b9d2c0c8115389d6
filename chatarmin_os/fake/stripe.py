"""A small Stripe, in which tests create and complete checkouts and subscriptions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from chatarmin_os._input import at_field, boolean, items, optional_text, text
from chatarmin_os.fake.service import Service

if TYPE_CHECKING:
    from chatarmin_os.fake.rows import Session, StripeSubscription
    from chatarmin_os.fake.state import State


class Stripe:
    """The test controls of `fake.stripe`; misuse raises `ValueError`.

    Price ids that no tier has are accepted, because a real subscription may have other prices too; the tier is found by
    the ids in `client.tiers.get(code).stripe_price_ids`, and without all of them a claim applies no tier.

    Example:
        >>> session = fake.stripe.add_checkout_session(["price_pro_base"], complete=False)
        >>> company = client.onboard(external_org_id="org_1").company_id
        >>> client.billing.claim_checkout(company_id=company, checkout_session_id=session)
        Traceback (most recent call last):
        ...
        chatarmin_os.errors.BadRequestError: BAD_REQUEST: checkoutSessionId: ... is not complete ...
        >>> fake.stripe.complete(session)
        >>> client.billing.claim_checkout(company_id=company, checkout_session_id=session).already_claimed
        False
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    def add_subscription(self, price_ids: Iterable[str], *, customer_id: str | None = None) -> str:
        """Add an active subscription, for a new customer unless you name one, and return its id (`sub_...`).

        Args:
            price_ids: The ids of its prices; `tier.stripe_price_ids` of a tier.
            customer_id: Its customer; None: a new one.

        Raises:
            ValueError: A price id or the customer is blank or not text.

        Example:
            >>> subscription = fake.stripe.add_subscription(client.tiers.get("pro").stripe_price_ids)
            >>> company = client.onboard(external_org_id="org_1", stripe_subscription_id=subscription).company_id
            >>> client.billing.get_status(company).active_subscriptions[0].stripe_subscription_id == subscription
            True
        """
        prices, customer = _price_ids(price_ids), at_field("customer_id", optional_text)(customer_id)
        with self._service.change() as state:
            return _add_subscription(state, prices, customer)["id"]

    def add_checkout_session(
        self, price_ids: Iterable[str], *, customer_name: str | None = None, complete: bool = True
    ) -> str:
        """Add a checkout session and return its id (`cs_test_...`); a complete one has a subscription.

        Args:
            price_ids: The ids of the prices that the customer pays; `tier.stripe_price_ids` of a tier.
            customer_name: The customer's name at Stripe.
            complete: Whether the customer has paid.

        Raises:
            ValueError: A price id or the customer's name is blank or not text, or *complete* is not a bool.

        Example:
            >>> session = fake.stripe.add_checkout_session(["price_pro_base"], customer_name="Acme Inc")
            >>> client.onboard(external_org_id="org_1", checkout_session_id=session).company_name
            'Acme Inc'
        """
        session: Session = {
            "id": _new_id("cs_test"),
            "priceIds": _price_ids(price_ids),
            "customerName": at_field("customer_name", optional_text)(customer_name),
            "subscriptionId": None,
        }
        complete = at_field("complete", boolean)(complete)
        with self._service.change() as state:
            state.sessions[session["id"]] = session
            if complete:
                _complete(state, session)
        return session["id"]

    def complete(self, session_id: str) -> None:
        """Complete a checkout session, as a customer does by paying; a second time changes nothing.

        Args:
            session_id: The checkout session.

        Raises:
            ValueError: The session is unknown.

        Example:
            >>> session = fake.stripe.add_checkout_session(["price_pro_base"], complete=False)
            >>> fake.stripe.complete(session)
        """
        with self._service.change() as state:
            _complete(state, _row(state.sessions, session_id, "session_id: no checkout session"))

    def cancel(self, subscription_id: str) -> None:
        """Cancel an active subscription: its fee leaves the company's recurring revenue, no access changes.

        Args:
            subscription_id: The subscription.

        Raises:
            ValueError: The subscription is unknown or cancelled already.

        That no access changes is assumed here.

        Example:
            >>> subscription = fake.stripe.add_subscription(client.tiers.get("pro").stripe_price_ids)
            >>> company = client.onboard(external_org_id="org_1", stripe_subscription_id=subscription).company_id
            >>> fake.stripe.cancel(subscription)
            >>> client.billing.get_status(company).active_subscriptions
            ()
        """
        with self._service.change() as state:
            subscription = _active(state, subscription_id)
            state.subscriptions[subscription_id] = {**subscription, "isActive": False}
            claim = state.claims.get(subscription_id)
            if claim:
                revenue = state.mrr.get(claim["companyId"], 0) - claim["monthlyFee"]
                state.mrr[claim["companyId"]] = max(0, revenue)

    def renew(self, subscription_id: str) -> None:
        """Start a new billing period of an active subscription: its company's usage is 0 again.

        Args:
            subscription_id: The subscription.

        Raises:
            ValueError: The subscription is unknown or cancelled, or no company has claimed or linked it, so there
                is no usage to reset.

        Example:
            >>> subscription = fake.stripe.add_subscription(client.tiers.get("pro").stripe_price_ids)
            >>> company = client.onboard(external_org_id="org_1", tier_code="free").company_id
            >>> link = client.billing.link_subscription(company_id=company, stripe_subscription_id=subscription)
            >>> client.billing.track_usage(company_id=company, feature_code="ai_credit", quantity=5).current_usage
            5
            >>> fake.stripe.renew(subscription)
            >>> client.features.check(company_id=company, feature_code="ai_credit").current_usage
            0
        """
        with self._service.change() as state:
            _active(state, subscription_id)
            claim = state.claims.get(subscription_id)
            if claim is None:
                raise ValueError(
                    f"subscription_id: no company has claimed {subscription_id!r}; "
                    f"call billing.claim_checkout, billing.link_subscription or onboard first"
                )
            state.usage.pop(claim["companyId"], None)


def _complete(state: State, session: Session) -> None:
    if session["subscriptionId"] is None:
        subscription = _add_subscription(state, session["priceIds"], None)
        state.sessions[session["id"]] = {**session, "subscriptionId": subscription["id"]}


def _add_subscription(state: State, price_ids: list[str], customer_id: str | None) -> StripeSubscription:
    subscription: StripeSubscription = {
        "id": _new_id("sub"),
        "customerId": customer_id or _new_id("cus"),
        "priceIds": list(price_ids),
        "isActive": True,
    }
    state.subscriptions[subscription["id"]] = subscription
    return subscription


def _new_id(prefix: str) -> str:
    return f"{prefix}_{uuid4().hex[:24]}"


def _active(state: State, subscription_id: str) -> StripeSubscription:
    subscription: StripeSubscription = _row(state.subscriptions, subscription_id, "subscription_id: no subscription")
    if not subscription["isActive"]:
        raise ValueError(f"subscription_id: {subscription_id!r} is cancelled")
    return subscription


def _row(table: dict[str, Any], id: str, problem: str) -> Any:
    if not isinstance(id, str) or id not in table:
        raise ValueError(f"{problem} {id!r}")
    return table[id]


def _prices(value: Iterable[str]) -> list[str]:
    return [at_field(f"[{index}]", text)(price_id) for index, price_id in enumerate(items(value, of="price ids"))]


_price_ids = at_field("price_ids", _prices)
