"""Usage: counting it, its limits, billable usage, and counting it once only."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from chatarmin_os import (
    BadRequestError,
    ChatarminOS,
    ConflictError,
    ForbiddenError,
    InvalidInput,
    NotFoundError,
    TrackUsageInput,
    UsageLimitError,
    UsageResult,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatarmin_os.fake import FakeTransport

NOBODY = "5f0c2c1e-0000-4000-8000-000000000000"


def _company(
    client: ChatarminOS, service: FakeTransport, *, limit: float | None = None, included: float | None = None
) -> str:
    company_id = service.add_company("Acme Inc")
    client.features.set_access(
        company_id=company_id,
        feature_code="ai_credit",
        is_enabled=True,
        quantity_limit=limit,
        included_quantity=included,
    )
    return company_id


def _track(client: ChatarminOS, company_id: str, quantity: float, key: str | None = None) -> UsageResult:
    return client.billing.track_usage(
        company_id=company_id, feature_code="ai_credit", quantity=quantity, idempotency_key=key
    )


def _usage(client: ChatarminOS, company_id: str, feature_code: str = "ai_credit") -> float | None:
    return client.features.check(company_id=company_id, feature_code=feature_code).current_usage


def _disable(client: ChatarminOS, service: FakeTransport, company_id: str) -> None:
    del service
    client.features.set_access(company_id=company_id, feature_code="ai_credit", is_enabled=False)


def _expire(client: ChatarminOS, service: FakeTransport, company_id: str) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    client.features.set_access(company_id=company_id, feature_code="ai_credit", valid_until=soon)
    service.advance(timedelta(hours=1))


def _use_up(client: ChatarminOS, service: FakeTransport, company_id: str) -> None:
    del service
    usage = _usage(client, company_id)
    client.features.set_access(company_id=company_id, feature_code="ai_credit", quantity_limit=usage)


def _lower_the_limit(client: ChatarminOS, service: FakeTransport, company_id: str) -> None:
    del service
    client.features.set_access(company_id=company_id, feature_code="ai_credit", quantity_limit=0)


def test_usage_is_counted(client: ChatarminOS, service: FakeTransport) -> None:
    """The response has usage, the remaining and the billable quantity so far, and check agrees."""
    company_id = _company(client, service, limit=10, included=4)
    expected = UsageResult(current_usage=6, remaining=4, billable_quantity=2, is_at_limit=False)

    result = _track(client, company_id, 6)

    access = client.features.check(company_id=company_id, feature_code="ai_credit")
    assert expected == result
    assert (access.current_usage, access.remaining, access.can_use) == (6, 4, True)


def test_usage_adds_up(client: ChatarminOS, service: FakeTransport) -> None:
    """Each call adds its quantity to the usage so far."""
    company_id = _company(client, service, limit=10)

    results = [_track(client, company_id, quantity) for quantity in (1, 2, 4)]

    assert [result.current_usage for result in results] == [1, 3, 7]
    assert [result.remaining for result in results] == [9, 7, 3]


def test_usage_is_counted_per_company_and_feature(client: ChatarminOS, service: FakeTransport) -> None:
    """Usage of one feature of one company counts nowhere else."""
    acme, globex = _company(client, service), _company(client, service)
    client.features.set_access(company_id=acme, feature_code="seats", is_enabled=True, quantity_limit=5)

    _track(client, acme, 3)

    assert _usage(client, acme) == 3
    assert _usage(client, acme, "seats") == 0
    assert _usage(client, globex) == 0


@pytest.mark.parametrize(
    ("quantities", "total"),
    [
        ([0.1, 0.1, 0.1], 0.3),
        ([0.1, 0.2], 0.3),
        ([0.7, 0.1], 0.8),
        ([1.1, 2.2], 3.3),
        ([0.1] * 10, 1),
        ([2.5, 2.5], 5),
        ([4.35, 0.65, 0.01], 5.01),
        ([1e-07, 2e-07], 3e-07),
        ([5.0], 5),
    ],
)
def test_quantities_add_up_as_decimal_numbers(
    client: ChatarminOS, service: FakeTransport, quantities: list[float], total: float
) -> None:
    """Quantities are added as they are written, and a whole total is an int."""
    company_id = _company(client, service)

    for quantity in quantities:
        result = _track(client, company_id, quantity)

    assert total == result.current_usage
    assert type(total) is type(result.current_usage)
    assert total == _usage(client, company_id)


def test_remaining_and_billable_quantities_are_decimal_numbers_too(client: ChatarminOS, service: FakeTransport) -> None:
    """No binary fraction shows in the remaining or in the billable quantity."""
    company_id = _company(client, service, limit=1, included=0.1)
    expected = UsageResult(current_usage=0.3, remaining=0.7, billable_quantity=0.2, is_at_limit=False)

    _track(client, company_id, 0.2)
    result = _track(client, company_id, 0.1)

    assert expected == result


@pytest.mark.parametrize(
    ("included", "billable"),
    [
        (None, [0, 0, 0, 0]),
        (0, [4, 10, 15, 16]),
        (10, [0, 0, 5, 6]),
        (12, [0, 0, 3, 4]),
        (100, [0, 0, 0, 0]),
    ],
)
def test_billable_is_the_excess_over_the_included_quantity(
    client: ChatarminOS, service: FakeTransport, included: float | None, billable: list[float]
) -> None:
    """All usage above the included quantity is billable, and none if usage is not billed."""
    company_id = _company(client, service, included=included)

    results = [_track(client, company_id, quantity) for quantity in (4, 6, 5, 1)]

    assert billable == [result.billable_quantity for result in results]


def test_the_limit_can_be_reached_exactly(client: ChatarminOS, service: FakeTransport) -> None:
    """Usage up to the limit is counted, and the response says that the company is at its limit."""
    company_id = _company(client, service, limit=10, included=0)

    below = _track(client, company_id, 9)
    reached = _track(client, company_id, 1)

    access = client.features.check(company_id=company_id, feature_code="ai_credit")
    assert below.is_at_limit is False
    assert reached == UsageResult(current_usage=10, remaining=0, billable_quantity=10, is_at_limit=True)
    assert (access.is_enabled, access.can_use, access.remaining) == (True, False, 0)


def test_a_limit_with_fractions_can_be_reached_exactly(client: ChatarminOS, service: FakeTransport) -> None:
    """Three times 0.1 reaches a limit of 0.3 and does not exceed it."""
    company_id = _company(client, service, limit=0.3)

    results = [_track(client, company_id, 0.1) for _ in range(3)]

    assert [result.is_at_limit for result in results] == [False, False, True]
    assert [result.remaining for result in results] == [0.2, 0.1, 0]


@pytest.mark.parametrize(("used", "quantity"), [(0, 11), (8, 3), (10, 1), (10, 0.001), (9.5, 0.6)])
def test_usage_over_the_limit_is_refused_and_not_counted(
    client: ChatarminOS, service: FakeTransport, used: float, quantity: float
) -> None:
    """Nothing of a quantity that would exceed the limit is counted, not even the part that would fit."""
    company_id = _company(client, service, limit=10)
    if used:
        _track(client, company_id, used)

    with pytest.raises(UsageLimitError) as refused:
        _track(client, company_id, quantity)

    assert refused.value.code == "PRECONDITION_FAILED"
    assert used == _usage(client, company_id)


def test_a_smaller_quantity_is_counted_after_a_refusal(client: ChatarminOS, service: FakeTransport) -> None:
    """After a refusal the rest of the limit can be used."""
    company_id = _company(client, service, limit=10)
    _track(client, company_id, 8)
    with pytest.raises(UsageLimitError):
        _track(client, company_id, 5)

    result = _track(client, company_id, 2)

    assert (result.current_usage, result.is_at_limit) == (10, True)


def test_unlimited_usage_is_never_at_its_limit(client: ChatarminOS, service: FakeTransport) -> None:
    """Without a limit the remaining quantity is None and no usage is too much."""
    company_id = _company(client, service, limit=None)

    result = _track(client, company_id, 1_000_000)

    assert (result.current_usage, result.remaining, result.is_at_limit) == (1_000_000, None, False)


def test_a_raised_limit_lets_usage_go_on(client: ChatarminOS, service: FakeTransport) -> None:
    """Usage continues from its count when the limit is raised."""
    company_id = _company(client, service, limit=5)
    _track(client, company_id, 5)
    client.features.set_access(company_id=company_id, feature_code="ai_credit", quantity_limit=8)

    result = _track(client, company_id, 1)

    assert (result.current_usage, result.remaining, result.is_at_limit) == (6, 2, False)


def test_a_feature_without_an_access_is_forbidden(client: ChatarminOS, service: FakeTransport) -> None:
    """Usage of a feature without an access is forbidden and not counted."""
    company_id = service.add_company("Acme Inc")

    with pytest.raises(ForbiddenError) as refused:
        _track(client, company_id, 1)

    assert refused.value.code == "FORBIDDEN"
    assert _usage(client, company_id) == 0


@pytest.mark.parametrize("end", [_disable, _expire])
@pytest.mark.outside_changes("time passed")
def test_a_feature_that_is_disabled_or_expired_is_forbidden(
    client: ChatarminOS, service: FakeTransport, end: Callable[[ChatarminOS, FakeTransport, str], None]
) -> None:
    """Usage of a feature that is disabled or has expired is forbidden and not counted."""
    company_id = _company(client, service, limit=10)
    _track(client, company_id, 3)
    end(client, service, company_id)

    with pytest.raises(ForbiddenError):
        _track(client, company_id, 1)

    assert _usage(client, company_id) == 3


@pytest.mark.parametrize(
    "given", [None, {"is_enabled": True}, {"is_enabled": False}], ids=["no-access", "enabled", "disabled"]
)
def test_a_feature_without_a_quantity_is_a_bad_request(
    client: ChatarminOS, service: FakeTransport, given: dict[str, bool] | None
) -> None:
    """A feature without a quantity has no usage to count, enabled or not."""
    company_id = service.add_company("Acme Inc")
    if given is not None:
        client.features.set_access(company_id=company_id, feature_code="sso", is_enabled=given["is_enabled"])

    with pytest.raises(BadRequestError):
        client.billing.track_usage(company_id=company_id, feature_code="sso", quantity=1)


@pytest.mark.parametrize(
    "quantity",
    [0, -1, -0.5, float("nan"), float("inf"), True, None, "5", Decimal(5), 2**53],
    ids=["0", "minus-1", "minus-0.5", "nan", "inf", "True", "None", "text", "Decimal", "beyond-javascript"],
)
def test_an_invalid_quantity_is_not_sent(client: ChatarminOS, service: FakeTransport, quantity: object) -> None:
    """The client names a quantity that is not a finite number above 0, before anything is sent."""
    company_id = service.add_company("Acme Inc")
    given: dict[str, Any] = {"quantity": quantity}

    with pytest.raises(InvalidInput) as refused:
        client.billing.track_usage(company_id=company_id, feature_code="ai_credit", **given)

    assert refused.value.field == "quantity"
    assert service.calls == []


@pytest.mark.parametrize("quantity", [0, -1, -0.5, True, None, "5", [5]])
def test_the_service_refuses_an_invalid_quantity(client: ChatarminOS, service: FakeTransport, quantity: object) -> None:
    """A quantity that is not a number above 0 is a bad request that names the field."""
    company_id = _company(client, service)
    given = {"companyId": company_id, "featureCode": "ai_credit"}

    with pytest.raises(BadRequestError, match="quantity"):
        client.call("billing.trackUsage", {**given, "quantity": quantity})

    assert _usage(client, company_id) == 0


@pytest.mark.parametrize("company_id", [NOBODY, "not-a-company-id"])
def test_an_unknown_company_is_not_found(client: ChatarminOS, company_id: str) -> None:
    """A company id that does not exist, malformed or not, is not found."""
    with pytest.raises(NotFoundError):
        _track(client, company_id, 1)


def test_an_unknown_feature_is_not_found(client: ChatarminOS, service: FakeTransport) -> None:
    """A feature outside the catalogue is not found."""
    company_id = service.add_company("Acme Inc")

    with pytest.raises(NotFoundError):
        client.billing.track_usage(company_id=company_id, feature_code="teleport", quantity=1)


def test_usage_may_carry_metadata(client: ChatarminOS, service: FakeTransport) -> None:
    """Metadata of an event travels unchanged, its keys never renamed."""
    company_id = _company(client, service)

    result = client.billing.track_usage(
        company_id=company_id,
        feature_code="ai_credit",
        quantity=2,
        idempotency_key="k",
        metadata={"user_id": [1, None]},
    )

    assert result.current_usage == 2
    assert service.calls[-1].input == {
        "companyId": company_id,
        "featureCode": "ai_credit",
        "quantity": 2,
        "idempotencyKey": "k",
        "metadata": {"user_id": [1, None]},
    }


def test_the_same_key_returns_the_first_response_again(client: ChatarminOS, service: FakeTransport) -> None:
    """A repeated event gets its first response, in spite of later usage, and counts nothing."""
    # Given an event and another one after it
    company_id = _company(client, service, limit=100, included=2)
    first = _track(client, company_id, 5, "event-1")
    _track(client, company_id, 7, "event-2")

    # When the first is repeated
    again = _track(client, company_id, 5, "event-1")

    # Then it gets its first response and nothing is counted
    assert first == again
    assert again.current_usage == 5
    assert _usage(client, company_id) == 12


def test_a_key_compares_quantities_as_numbers(client: ChatarminOS, service: FakeTransport) -> None:
    """The quantities 5 and 5.0 are the same."""
    company_id = _company(client, service)
    first = _track(client, company_id, 5, "event-1")

    again = _track(client, company_id, 5.0, "event-1")

    assert first == again
    assert _usage(client, company_id) == 5


@pytest.mark.parametrize("metadata", [None, {}, {"job": 2}])
def test_metadata_is_no_part_of_an_event(
    client: ChatarminOS, service: FakeTransport, metadata: dict[str, Any] | None
) -> None:
    """The same key with other metadata is the same event."""
    company_id = _company(client, service)
    first = client.billing.track_usage(
        company_id=company_id, feature_code="ai_credit", quantity=5, idempotency_key="event-1", metadata={"job": 1}
    )

    again = client.billing.track_usage(
        company_id=company_id, feature_code="ai_credit", quantity=5, idempotency_key="event-1", metadata=metadata
    )

    assert first == again
    assert _usage(client, company_id) == 5


@pytest.mark.parametrize("quantity", [4, 6, 5.000001, 1000])
def test_the_same_key_with_another_quantity_is_a_conflict(
    client: ChatarminOS, service: FakeTransport, quantity: float
) -> None:
    """The same key with another quantity is a conflict, even if that quantity would exceed the limit."""
    company_id = _company(client, service, limit=100)
    _track(client, company_id, 5, "event-1")

    with pytest.raises(ConflictError) as refused:
        _track(client, company_id, quantity, "event-1")

    assert refused.value.code == "CONFLICT"
    assert _usage(client, company_id) == 5


def test_the_same_key_with_another_feature_is_a_conflict(client: ChatarminOS, service: FakeTransport) -> None:
    """The same key with another feature is a conflict."""
    company_id = _company(client, service)
    client.features.set_access(company_id=company_id, feature_code="seats", is_enabled=True, quantity_limit=None)
    _track(client, company_id, 5, "event-1")

    with pytest.raises(ConflictError):
        client.billing.track_usage(company_id=company_id, feature_code="seats", quantity=5, idempotency_key="event-1")

    assert _usage(client, company_id, "seats") == 0


def test_the_same_key_of_another_company_is_a_conflict(client: ChatarminOS, service: FakeTransport) -> None:
    """Keys are the product's, not each company's."""
    acme, globex = _company(client, service), _company(client, service)
    _track(client, acme, 5, "event-1")

    with pytest.raises(ConflictError):
        _track(client, globex, 5, "event-1")

    assert _usage(client, globex) == 0


def test_a_conflict_keeps_the_first_event(client: ChatarminOS, service: FakeTransport) -> None:
    """After a conflict the key still returns its first response."""
    company_id = _company(client, service)
    first = _track(client, company_id, 5, "event-1")
    with pytest.raises(ConflictError):
        _track(client, company_id, 6, "event-1")

    again = _track(client, company_id, 5, "event-1")

    assert first == again


def test_a_refusal_at_the_limit_keeps_the_key_free(client: ChatarminOS, service: FakeTransport) -> None:
    """The key of usage that was refused at the limit can be used, even for another quantity."""
    company_id = _company(client, service, limit=10)
    with pytest.raises(UsageLimitError):
        _track(client, company_id, 11, "event-1")

    result = _track(client, company_id, 10, "event-1")

    assert result.current_usage == 10


@pytest.mark.parametrize("end", [_disable, _expire])
@pytest.mark.outside_changes("time passed")
def test_a_forbidden_call_keeps_the_key_free(
    client: ChatarminOS, service: FakeTransport, end: Callable[[ChatarminOS, FakeTransport, str], None]
) -> None:
    """The key of usage that was forbidden can be used once the feature is enabled."""
    company_id = _company(client, service, limit=10)
    end(client, service, company_id)
    with pytest.raises(ForbiddenError):
        _track(client, company_id, 3, "event-1")
    client.features.set_access(company_id=company_id, feature_code="ai_credit", is_enabled=True, valid_until=None)

    result = _track(client, company_id, 3, "event-1")

    assert result.current_usage == 3


@pytest.mark.parametrize("feature_code", ["sso", "teleport"])
def test_a_call_for_the_wrong_feature_keeps_the_key_free(
    client: ChatarminOS, service: FakeTransport, feature_code: str
) -> None:
    """The key of usage that named the wrong feature can be used for the right one."""
    company_id = _company(client, service)
    with pytest.raises((BadRequestError, NotFoundError)):
        client.billing.track_usage(
            company_id=company_id, feature_code=feature_code, quantity=3, idempotency_key="event-1"
        )

    result = _track(client, company_id, 3, "event-1")

    assert result.current_usage == 3


@pytest.mark.parametrize("change", [_disable, _expire, _use_up, _lower_the_limit])
@pytest.mark.outside_changes("time passed")
def test_a_repeated_event_needs_no_enabled_feature(
    client: ChatarminOS, service: FakeTransport, change: Callable[[ChatarminOS, FakeTransport, str], None]
) -> None:
    """The first response is returned after the feature was disabled, expired or used up."""
    company_id = _company(client, service, limit=10)
    first = _track(client, company_id, 5, "event-1")
    change(client, service, company_id)

    again = _track(client, company_id, 5, "event-1")

    assert first == again
    assert _usage(client, company_id) == 5


@pytest.mark.parametrize("change", [_disable, _expire, _use_up, _lower_the_limit])
def test_a_conflict_of_keys_is_reported_before_state_and_limit(
    client: ChatarminOS, service: FakeTransport, change: Callable[[ChatarminOS, FakeTransport, str], None]
) -> None:
    """A used key with another quantity is a conflict, even if the feature could not be used."""
    company_id = _company(client, service, limit=10)
    _track(client, company_id, 5, "event-1")
    change(client, service, company_id)

    with pytest.raises(ConflictError):
        _track(client, company_id, 6, "event-1")


def test_missing_rows_are_reported_before_a_used_key(client: ChatarminOS, service: FakeTransport) -> None:
    """A used key with an unknown company or feature is not found."""
    company_id = _company(client, service)
    _track(client, company_id, 5, "event-1")

    with pytest.raises(NotFoundError):
        _track(client, NOBODY, 5, "event-1")
    with pytest.raises(NotFoundError):
        client.billing.track_usage(
            company_id=company_id, feature_code="teleport", quantity=5, idempotency_key="event-1"
        )


def test_a_feature_without_a_quantity_is_reported_before_a_used_key(
    client: ChatarminOS, service: FakeTransport
) -> None:
    """A used key with a feature that has no quantity is a bad request."""
    company_id = _company(client, service)
    _track(client, company_id, 5, "event-1")

    with pytest.raises(BadRequestError):
        client.billing.track_usage(company_id=company_id, feature_code="sso", quantity=5, idempotency_key="event-1")


def test_a_missing_company_is_reported_before_the_kind_of_feature(client: ChatarminOS) -> None:
    """A feature without a quantity of an unknown company is not found."""
    with pytest.raises(NotFoundError):
        client.billing.track_usage(company_id=NOBODY, feature_code="sso", quantity=5)


def test_bad_input_is_reported_first(client: ChatarminOS) -> None:
    """A quantity of 0 of an unknown feature of an unknown company is a bad request."""
    with pytest.raises(BadRequestError):
        client.call("billing.trackUsage", {"companyId": NOBODY, "featureCode": "teleport", "quantity": 0})


def test_a_disabled_feature_is_reported_before_the_limit(client: ChatarminOS, service: FakeTransport) -> None:
    """A quantity over the limit of a disabled feature is forbidden."""
    company_id = _company(client, service, limit=10)
    _disable(client, service, company_id)

    with pytest.raises(ForbiddenError):
        _track(client, company_id, 11)


@pytest.mark.outside_changes("a billing period ended")
def test_a_renewal_resets_usage_and_frees_no_key(client: ChatarminOS, service: FakeTransport) -> None:
    """In a new billing period usage is 0, and earlier keys still return their first responses."""
    # Given a subscribed company with an event
    company_id = _company(client, service, limit=10)
    subscription_id = service.stripe.add_subscription(["price_pro_base"])
    client.billing.link_subscription(company_id=company_id, stripe_subscription_id=subscription_id)
    first = _track(client, company_id, 5, "event-1")

    # When its subscription renews and the event is repeated
    service.stripe.renew(subscription_id)
    renewed = _usage(client, company_id)
    again = _track(client, company_id, 5, "event-1")

    # Then nothing of it is counted in the new period
    assert renewed == 0
    assert first == again
    assert _usage(client, company_id) == 0
    with pytest.raises(ConflictError):
        _track(client, company_id, 6, "event-1")


def test_usage_starts_from_zero_after_a_renewal(client: ChatarminOS, service: FakeTransport) -> None:
    """In a new billing period the whole limit and the whole included quantity can be used again."""
    company_id = _company(client, service, limit=10, included=8)
    subscription_id = service.stripe.add_subscription(["price_pro_base"])
    client.billing.link_subscription(company_id=company_id, stripe_subscription_id=subscription_id)
    _track(client, company_id, 10)
    service.stripe.renew(subscription_id)

    result = _track(client, company_id, 9)

    assert result == UsageResult(current_usage=9, remaining=1, billable_quantity=1, is_at_limit=False)


def test_keys_are_kept_for_ever(client: ChatarminOS, service: FakeTransport) -> None:
    """An event counts once, however late it is repeated."""
    company_id = _company(client, service, limit=10)
    first = _track(client, company_id, 5, "event-1")
    service.advance(timedelta(days=4000))

    again = _track(client, company_id, 5, "event-1")

    assert first == again
    assert _usage(client, company_id) == 5


def test_time_alone_ends_no_billing_period(client: ChatarminOS, service: FakeTransport) -> None:
    """Usage stays however much time passes."""
    company_id = _company(client, service, limit=10)
    _track(client, company_id, 5)

    service.advance(timedelta(days=400))

    assert _usage(client, company_id) == 5


def test_changes_of_tier_or_access_change_no_usage(client: ChatarminOS, service: FakeTransport) -> None:
    """Usage stays through other tiers, other limits, disabling and enabling."""
    company_id = _company(client, service)
    _track(client, company_id, 5)

    usages = []
    for tier_code in ("pro", "free", "enterprise"):
        client.tiers.apply(tier_code, company_id=company_id)
        usages.append(_usage(client, company_id))
    for is_enabled, limit in ((False, 3), (True, None)):
        client.features.set_access(
            company_id=company_id, feature_code="ai_credit", is_enabled=is_enabled, quantity_limit=limit
        )
        usages.append(_usage(client, company_id))

    assert usages == [5, 5, 5, 5, 5]


def test_each_call_without_a_key_is_another_event(client: ChatarminOS, service: FakeTransport) -> None:
    """Two equal calls without a key count twice."""
    company_id = _company(client, service)

    _track(client, company_id, 5)
    result = _track(client, company_id, 5)

    assert result.current_usage == 10


def test_one_request_is_one_event(client: ChatarminOS, service: FakeTransport) -> None:
    """A request counts once however often it is sent, and a copy without its key is another event."""
    company_id = _company(client, service)
    request = TrackUsageInput(company_id=company_id, feature_code="ai_credit", quantity=5)

    first = client.send(request)
    again = client.send(request)
    other = client.send(attrs.evolve(request, idempotency_key=None))

    assert first == again
    assert (again.current_usage, other.current_usage) == (5, 10)


def test_a_key_may_be_a_uuid(client: ChatarminOS, service: FakeTransport) -> None:
    """A key given as a UUID is the same key as its text."""
    company_id = _company(client, service)
    key = uuid.uuid4()
    first = client.billing.track_usage(company_id=company_id, feature_code="ai_credit", quantity=5, idempotency_key=key)

    again = _track(client, company_id, 5, str(key))

    assert first == again
    assert _usage(client, company_id) == 5


def test_the_service_counts_calls_without_a_key_each(client: ChatarminOS, service: FakeTransport) -> None:
    """On the wire a key may be missing, and then nothing prevents double counting."""
    company_id = _company(client, service)
    given = {"companyId": company_id, "featureCode": "ai_credit", "quantity": 5}

    client.call("billing.trackUsage", given)
    client.call("billing.trackUsage", given)

    assert _usage(client, company_id) == 10
