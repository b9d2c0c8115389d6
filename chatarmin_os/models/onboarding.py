"""Results of onboarding and of sign-up."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from chatarmin_os._pickling import AcrossVersions
from chatarmin_os.models._base import required, unknown_fields


@frozen
class OnboardBilling(AcrossVersions):
    """The state of the company's billing after the call, whether the call changed it or not.

    Attributes:
        claimed: Whether the company has claimed the checkout.
        linked: Whether the subscription is linked.
        tier_applied: Whether the tier is applied.
        subscription_id: Stripe's id, `sub_...`.
        extra: Fields that this version does not know, in wire names.
    """

    claimed: bool | None = None
    linked: bool | None = None
    tier_applied: bool | None = None
    subscription_id: str | None = None
    extra: dict[str, Any] = unknown_fields()


@frozen
class OnboardResult(AcrossVersions):
    """The company, how it was found, and its billing.

    Attributes:
        company_id: The company.
        company_name: Its name.
        link_status: created, linked or already_linked.
        billing_status: The state of its billing; None if neither checkout, subscription nor tier was given.
        extra: Fields that this version does not know, in wire names.
    """

    company_id: str = required()
    company_name: str | None = None
    link_status: str = required()
    billing_status: OnboardBilling | None = None
    extra: dict[str, Any] = unknown_fields()


@frozen
class SignUpResult(AcrossVersions):
    """The company behind an organisation that signed up, and whether the starting tier was applied.

    The client builds it from several answers, so it has no `extra`.

    Attributes:
        company_id: The company.
        company_name: Its name.
        link_status: created, linked (its verified domain was known) or already_linked.
        tier_applied: Whether this call applied the starting tier; False if the company had features or a subscription.
    """

    company_id: str
    company_name: str | None
    link_status: str
    tier_applied: bool
