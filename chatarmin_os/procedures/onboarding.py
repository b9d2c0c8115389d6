"""The request that onboards a customer in one call."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from attrs import field, frozen

from chatarmin_os._input import (
    identifier,
    name_fields_in_errors,
    optional_address,
    optional_identifier,
    optional_text,
    optional_timestamp,
)
from chatarmin_os._request import Request
from chatarmin_os.errors import InvalidInput
from chatarmin_os.models.onboarding import OnboardResult
from chatarmin_os.procedures.companies import Hints, hints


@frozen(kw_only=True, field_transformer=name_fields_in_errors)
class OnboardInput(Request[OnboardResult]):
    """Match or create a company, link it, claim or link its subscription, apply a tier: all or nothing.

    `client.onboard` describes the arguments, the result and the errors.

    Example:
        >>> client.send(OnboardInput(external_org_id="org_1", tier_code="free")).link_status
        'created'
    """

    path: ClassVar = "onboard"
    kind: ClassVar = "mutation"
    result: ClassVar = OnboardResult

    external_org_id: str = field(converter=identifier)
    hints: Hints | None = field(default=None, converter=hints)
    tier_code: str | None = field(default=None, converter=optional_text)
    contact_email: str | None = field(default=None, converter=optional_address)
    contact_name: str | None = field(default=None, converter=optional_text)
    created_at: datetime | None = field(default=None, converter=optional_timestamp)
    checkout_session_id: str | None = field(default=None, converter=optional_identifier)
    stripe_subscription_id: str | None = field(default=None, converter=optional_identifier)
    stripe_customer_id: str | None = field(default=None, converter=optional_identifier)

    def __attrs_post_init__(self) -> None:
        if self.checkout_session_id is not None and self.stripe_subscription_id is not None:
            raise InvalidInput("must not be given with a subscription", "omit one of them").at("checkout_session_id")
        if self.stripe_customer_id is not None and self.stripe_subscription_id is None:
            raise InvalidInput("must be given with a stripe_subscription_id", "omit it").at("stripe_customer_id")
