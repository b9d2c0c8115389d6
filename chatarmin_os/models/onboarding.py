"""What one onboarding call did."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from chatarmin_os._pickling import AcrossVersions
from chatarmin_os.models._base import required, unknown_fields


@frozen
class OnboardBilling(AcrossVersions):
    """What is now so with the company's billing, also where it was so before.

    Attributes:
        subscription_id: Stripe's, `sub_...`.
    """

    claimed: bool | None = None
    linked: bool | None = None
    tier_applied: bool | None = None
    subscription_id: str | None = None
    extra: dict[str, Any] = unknown_fields()


@frozen
class OnboardResult(AcrossVersions):
    """The company, how it was found, and its billing where any was asked for.

    Attributes:
        link_status: created, linked or already_linked.
    """

    company_id: str = required()
    company_name: str | None = None
    link_status: str = required()
    billing_status: OnboardBilling | None = None
    extra: dict[str, Any] = unknown_fields()


@frozen
class SignUpResult(AcrossVersions):
    """The company behind an organisation that signed up, and whether it was put on the starting tier.

    The client makes it of several answers, so it has no `extra`.

    Attributes:
        link_status: created, linked (its verified domain was known) or already_linked.
        tier_applied: Whether this call applied the starting tier; False if the company had features or a subscription.
    """

    company_id: str
    company_name: str | None
    link_status: str
    tier_applied: bool
