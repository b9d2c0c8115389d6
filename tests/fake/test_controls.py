"""The test controls of the fake: arranging a state that no client could."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from ids import words

from chatarmin_os import (
    ApiError,
    BadRequestError,
    BaseFee,
    ChatarminOS,
    ConnectionFailed,
    Hints,
    InvalidResponse,
    NotFoundError,
    RateLimitError,
    ServerError,
    StripePrice,
    TierFeature,
    TierSummary,
    TimedOut,
    TrackUsageInput,
    UsageLimitError,
)
from chatarmin_os.fake import Catalogue, FakeTransport, demo_catalogue
from chatarmin_os.transports import Call

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatarmin_os import ChatarminError

PRO_PRICES = ["price_pro_base", "price_pro_ai_credit", "price_pro_seats"]
ENTERPRISE_PRICES = ["price_enterprise_base", "price_enterprise_ai_credit", "price_enterprise_seats"]
NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOBODY = "00000000-0000-4000-8000-000000000000"


def on_tier(client: ChatarminOS, service: FakeTransport, tier_code: str) -> str:
    """Return the id of a new company that has a tier."""
    company_id = service.add_company("Acme")
    client.tiers.apply(tier_code, company_id=company_id)
    return company_id


def usage_of(client: ChatarminOS, company_id: str, feature_code: str = "ai_credit") -> float:
    """Return a company's usage of a feature."""
    return client.features.check(company_id=company_id, feature_code=feature_code).current_usage or 0


def as_json(service: FakeTransport) -> str:
    """Return the whole state as one text."""
    return json.dumps(service.snapshot())


# Features


def test_an_added_feature_is_listed_last_with_its_name_and_config(client: ChatarminOS, service: FakeTransport) -> None:
    """A feature that was added comes after the others, with its name, its kind and its default config."""
    company_id = service.add_company("Acme")

    service.add_feature(
        "storage", name="Storage", has_quantity=True, config={"unit": "GB", "camelKey": {"snake_key": 1}}
    )

    *_, last = client.features.list_access(company_id)
    assert (
        last.feature_code,
        last.feature_name,
        last.has_quantity,
        last.config_values,
    ) == ("storage", "Storage", True, {"unit": "GB", "camelKey": {"snake_key": 1}})


def test_a_feature_has_no_quantity_and_no_config_by_default(client: ChatarminOS, service: FakeTransport) -> None:
    """A code and a name are enough: the feature is on or off."""
    company_id = service.add_company("Acme")

    service.add_feature("reports", name="Reports")

    access = client.features.check(company_id=company_id, feature_code="reports")
    assert (access.has_quantity, access.config_values, access.quantity_limit) == (False, {}, None)


def test_adding_a_feature_again_replaces_it_and_accesses_stay(client: ChatarminOS, service: FakeTransport) -> None:
    """A feature's new name and config count from now on; limits and usage of its accesses stay."""
    # Given
    service.add_feature("storage", name="Storage", has_quantity=True, config={"unit": "GB"})
    owner_id, other_id = service.add_company("Acme"), service.add_company("Globex")
    client.features.set_access(company_id=owner_id, feature_code="storage", is_enabled=True, quantity_limit=10)
    client.billing.track_usage(company_id=owner_id, feature_code="storage", quantity=4)

    # When
    service.add_feature("storage", name="Disk space", has_quantity=True, config={"unit": "TB"})

    # Then
    codes = [access.feature_code for access in client.features.list_access(owner_id)]
    owner = client.features.check(company_id=owner_id, feature_code="storage")
    other = client.features.check(company_id=other_id, feature_code="storage")
    assert codes.count("storage") == 1
    assert (
        owner.feature_name,
        owner.is_enabled,
        owner.current_usage,
        owner.quantity_limit,
        owner.config_values,
    ) == ("Disk space", True, 4, 10, {"unit": "GB"})
    assert (other.feature_name, other.config_values) == ("Disk space", {"unit": "TB"})


# Tiers


def test_an_added_tier_is_listed_with_its_prices(client: ChatarminOS, service: FakeTransport) -> None:
    """A tier that was added has its base fee first among its prices, then those of its features."""
    # When
    service.add_tier(
        "gold",
        name="Gold",
        base_fee=1900,
        currency="usd",
        features={
            "ai_credit": {"quantity_limit": 100, "included_quantity": 10, "config": {"model": "m"}, "unit_amount": 5},
            "seats": {"quantity_limit": None, "included_quantity": None},
            "sso": {},
        },
    )

    # Then
    tier = client.tiers.get("gold")
    ai_price = StripePrice(price_id="price_gold_ai_credit", unit_amount=5, currency="usd")
    assert TierSummary(code="gold", name="Gold") == client.tiers.list()[-1]
    assert (tier.code, tier.name) == ("gold", "Gold")
    assert BaseFee(stripe=StripePrice(price_id="price_gold_base", unit_amount=1900, currency="usd")) == tier.base_fee
    assert tier.stripe_price_ids == ("price_gold_base", "price_gold_ai_credit")
    ai_config = {"model": "m", "included_quantity": 10, "max_quantity": 100}
    unlimited = {"included_quantity": None, "max_quantity": None}
    assert [("ai_credit", "AI credits", ai_config, ai_price), ("seats", "Seats", unlimited, None)] == [
        (feature.code, feature.name, feature.config_values, feature.stripe) for feature in tier.features[:2]
    ]
    assert TierFeature(code="sso", name="Single sign-on", config_values={}, stripe=None) == tier.features[2]


def test_a_tier_without_a_base_fee_has_no_base_price(client: ChatarminOS, service: FakeTransport) -> None:
    """No base fee is None, not a fee of zero, and only priced features are in the prices."""
    service.add_tier("metered", name="Metered", features={"ai_credit": {"unit_amount": 2}})

    tier = client.tiers.get("metered")
    assert tier.base_fee is None
    assert tier.stripe_price_ids == ("price_metered_ai_credit",)
    assert (tier.features[0].stripe and tier.features[0].stripe.currency) == "eur"


def test_a_tier_may_have_no_features(client: ChatarminOS, service: FakeTransport) -> None:
    """A tier without features can be listed and applied."""
    company_id = service.add_company("Acme")

    service.add_tier("nothing", name="Nothing")

    tier = client.tiers.get("nothing")
    assert (
        tier.features,
        tier.stripe_price_ids,
        client.tiers.apply("nothing", company_id=company_id).features_applied,
    ) == ((), (), 0)


def test_a_tiers_config_extends_the_features_config(client: ChatarminOS, service: FakeTransport) -> None:
    """Keys of the tier's config replace those of the feature's default config, the others stay."""
    # Given
    service.add_feature("storage", name="Storage", has_quantity=True, config={"unit": "GB", "copies": 1})

    # When
    service.add_tier("gold", name="Gold", features={"storage": {"config": {"unit": "TB"}, "quantity_limit": 5}})

    # Then
    company_id = on_tier(client, service, "gold")
    access = client.features.check(company_id=company_id, feature_code="storage")
    shown = client.tiers.get("gold").features[0].config_values
    assert shown is not None
    assert (shown["unit"], shown["copies"], shown["max_quantity"]) == ("TB", 1, 5)
    assert access.config_values == {"unit": "TB", "copies": 1}


def test_adding_a_tier_again_replaces_it_and_accesses_stay(client: ChatarminOS, service: FakeTransport) -> None:
    """A replaced tier grants its new limits from now on; accesses granted before stay."""
    # Given
    early_id = on_tier(client, service, "pro")

    # When
    service.add_tier("pro", name="Pro 2", base_fee=9900, features={"seats": {"quantity_limit": 7}})

    # Then
    late_id = on_tier(client, service, "pro")
    tier = client.tiers.get("pro")
    limits = [client.features.check(company_id=one, feature_code="seats").quantity_limit for one in (early_id, late_id)]
    assert [summary.code for summary in client.tiers.list()].count("pro") == 1
    assert (
        tier.name,
        tier.stripe_price_ids,
        [feature.code for feature in tier.features],
    ) == ("Pro 2", ("price_pro_base",), ["seats"])
    assert limits == [25, 7]


# Companies


def test_an_added_company_is_known_but_not_linked(client: ChatarminOS, service: FakeTransport) -> None:
    """An added company has a UUID and is found by its domain, and by no external org id before."""
    # When
    company_id = service.add_company("Acme Inc", domain="https://www.Acme.com/about", created_at=NOON)

    # Then
    before = client.companies.get_by_product_link(external_org_id="org_1")
    linked = client.companies.smart_link(external_org_id="org_1", hints=Hints(domain="acme.com"))
    company = client.companies.get_by_product_link(external_org_id="org_1")
    assert company_id == str(uuid.UUID(company_id))
    assert before is None
    assert ("linked", company_id) == (linked.status, linked.company_id)
    assert company is not None
    assert (company_id, "acme-inc", "Acme Inc", "acme.com", NOON) == (
        company.id,
        company.short_id,
        company.name,
        company.domain,
        company.created_at,
    )


def test_a_companys_time_of_creation_is_kept_in_utc(client: ChatarminOS, service: FakeTransport) -> None:
    """A timestamp of another zone is stored as the same time in UTC."""
    vienna = datetime(2024, 3, 1, 13, tzinfo=timezone(HOUR))

    company_id = service.add_company("Acme", created_at=vienna)

    client.links.create(company_id=company_id, external_org_id="org_1")
    company = client.companies.get_by_product_link(external_org_id="org_1")
    assert company is not None
    assert company.created_at is not None
    assert NOON.isoformat() == company.created_at.isoformat()


def test_each_added_company_is_another(service: FakeTransport) -> None:
    """Adding the same name twice adds two companies."""
    first, second = service.add_company("Acme"), service.add_company("Acme")

    assert first != second


# Stripe


def test_an_added_subscription_can_be_linked(client: ChatarminOS, service: FakeTransport) -> None:
    """A subscription belongs to the customer it was added with."""
    company_id = service.add_company("Acme")
    subscription_id = service.stripe.add_subscription(PRO_PRICES, customer_id="cus_1")

    with pytest.raises(BadRequestError):
        client.billing.link_subscription(
            company_id=company_id, stripe_subscription_id=subscription_id, stripe_customer_id="cus_2"
        )
    linked = client.billing.link_subscription(
        company_id=company_id, stripe_subscription_id=subscription_id, stripe_customer_id="cus_1"
    )

    assert subscription_id.startswith("sub_")
    assert (subscription_id, False, 0) == (linked.subscription_id, linked.already_linked, linked.features_applied)


def test_ids_of_stripe_are_all_different(service: FakeTransport) -> None:
    """Equal subscriptions and equal sessions have different ids."""
    subscriptions = {service.stripe.add_subscription(PRO_PRICES) for _ in range(3)}
    sessions = {service.stripe.add_checkout_session(PRO_PRICES) for _ in range(3)}

    assert (len(subscriptions), len(sessions)) == (3, 3)


def test_a_complete_checkout_can_be_claimed(client: ChatarminOS, service: FakeTransport) -> None:
    """A checkout session is complete by default, and brings the tier of its prices."""
    company_id = service.add_company("Acme")
    session_id = service.stripe.add_checkout_session(PRO_PRICES)

    claimed = client.billing.claim_checkout(company_id=company_id, checkout_session_id=session_id)

    (subscription,) = client.billing.get_status(company_id).active_subscriptions
    assert session_id.startswith("cs_test_")
    assert claimed.already_claimed is False
    assert str(claimed.subscription_id).startswith("sub_")
    assert claimed.subscription_id == subscription.stripe_subscription_id
    assert (subscription.tier and subscription.tier.name) == "Pro"


def test_an_incomplete_checkout_can_be_claimed_once_it_is_complete(client: ChatarminOS, service: FakeTransport) -> None:
    """A session that is not complete is refused until the test completes it."""
    company_id = service.add_company("Acme")
    session_id = service.stripe.add_checkout_session(PRO_PRICES, complete=False)

    with pytest.raises(BadRequestError):
        client.billing.claim_checkout(company_id=company_id, checkout_session_id=session_id)
    service.stripe.complete(session_id)

    claimed = client.billing.claim_checkout(company_id=company_id, checkout_session_id=session_id)
    assert claimed.already_claimed is False


def test_a_checkouts_customer_names_a_new_company(client: ChatarminOS, service: FakeTransport) -> None:
    """Onboarding without a company name takes the name of the checkout's customer."""
    session_id = service.stripe.add_checkout_session(PRO_PRICES, customer_name="Initech")

    result = client.onboard(external_org_id="org_1", checkout_session_id=session_id)

    assert result.company_name == "Initech"


def test_a_cancelled_subscription_is_gone_and_its_access_stays(client: ChatarminOS, service: FakeTransport) -> None:
    """Cancelling removes a subscription from the status and changes no access."""
    # Given
    company_id = service.add_company("Acme")
    session_id = service.stripe.add_checkout_session(PRO_PRICES)
    claimed = client.billing.claim_checkout(company_id=company_id, checkout_session_id=session_id)
    before = client.features.list_access(company_id)

    # When
    service.stripe.cancel(str(claimed.subscription_id))

    # Then
    assert client.billing.get_status(company_id).active_subscriptions == ()
    assert before == client.features.list_access(company_id)


def test_a_subscription_cancelled_before_it_was_linked_cannot_be_linked(
    client: ChatarminOS, service: FakeTransport
) -> None:
    """A subscription may be cancelled before any company has it."""
    company_id = service.add_company("Acme")
    subscription_id = service.stripe.add_subscription(PRO_PRICES)
    service.stripe.cancel(subscription_id)

    with pytest.raises(BadRequestError):
        client.billing.link_subscription(company_id=company_id, stripe_subscription_id=subscription_id)


def test_a_renewal_resets_the_usage_of_its_company(client: ChatarminOS, service: FakeTransport) -> None:
    """A new billing period begins without usage of any feature; other companies keep theirs."""
    # Given
    company_id, other_id = service.add_company("Acme"), on_tier(client, service, "free")
    subscription_id = service.stripe.add_subscription(PRO_PRICES)
    client.billing.link_subscription(company_id=company_id, stripe_subscription_id=subscription_id, tier_code="pro")
    for used_by, feature_code in ((company_id, "ai_credit"), (company_id, "seats"), (other_id, "ai_credit")):
        client.billing.track_usage(company_id=used_by, feature_code=feature_code, quantity=2)

    # When
    service.stripe.renew(subscription_id)

    # Then
    assert [
        usage_of(client, company_id),
        usage_of(client, company_id, "seats"),
        usage_of(client, other_id),
    ] == [0, 0, 2]


def test_an_unclaimed_subscription_does_not_renew(service: FakeTransport) -> None:
    """Without a company a renewal is a ValueError that says which call comes first."""
    subscription_id = service.stripe.add_subscription(PRO_PRICES)
    before = as_json(service)

    with pytest.raises(ValueError, match=r"no company has claimed 'sub_.*'; call billing\.claim_checkout, "):
        service.stripe.renew(subscription_id)

    assert before == as_json(service)


def test_a_renewal_frees_no_key(client: ChatarminOS, service: FakeTransport) -> None:
    """A key used before the renewal still returns its first response, and counts nothing."""
    # Given
    company_id = service.add_company("Acme")
    subscription_id = service.stripe.add_subscription(PRO_PRICES)
    client.billing.link_subscription(company_id=company_id, stripe_subscription_id=subscription_id, tier_code="pro")
    event = TrackUsageInput(company_id=company_id, feature_code="ai_credit", quantity=2)
    first = client.send(event)

    # When
    service.stripe.renew(subscription_id)

    # Then
    assert first == client.send(event)
    assert usage_of(client, company_id) == 0


# Time


def test_access_ends_at_its_end_time() -> None:
    """An access is valid while now is before its end, and the test moves the clock."""
    # Given
    fake = FakeTransport(demo_catalogue(), now=lambda: NOON)
    client = ChatarminOS(transport=fake)
    company_id = fake.add_company("Acme")
    client.features.set_access(company_id=company_id, feature_code="sso", is_enabled=True, valid_until=NOON + 2 * HOUR)

    # When
    enabled = [client.features.check(company_id=company_id, feature_code="sso").is_enabled]
    for step in (HOUR, HOUR - timedelta(milliseconds=1), timedelta(milliseconds=1)):
        fake.advance(step)
        enabled.append(client.features.check(company_id=company_id, feature_code="sso").is_enabled)

    # Then
    assert enabled == [True, True, True, False]


def test_the_given_clock_counts() -> None:
    """The fake reads the given clock each time, and adds the time it was advanced by."""
    # Given
    times = [NOON]
    fake = FakeTransport(demo_catalogue(), now=lambda: times[-1])
    client = ChatarminOS(transport=fake)
    company_id = fake.add_company("Acme")
    client.features.set_access(company_id=company_id, feature_code="sso", is_enabled=True, valid_until=NOON + 2 * HOUR)

    # When
    fake.advance(HOUR)
    before = client.features.check(company_id=company_id, feature_code="sso").is_enabled
    times.append(NOON + HOUR)
    after = client.features.check(company_id=company_id, feature_code="sso").is_enabled

    # Then
    assert (before, after) == (True, False)


def test_a_clock_of_another_zone_is_the_same_clock() -> None:
    """The zone of the clock does not matter."""
    fake = FakeTransport(demo_catalogue(), now=lambda: datetime(2024, 3, 1, 13, tzinfo=timezone(HOUR)))
    client = ChatarminOS(transport=fake)
    company_id = fake.add_company("Acme")

    access = [
        client.features.set_access(company_id=company_id, feature_code="sso", is_enabled=True, valid_until=until)
        for until in (NOON, NOON + timedelta(milliseconds=1))
    ]

    assert [one.is_enabled for one in access] == [False, True]


def test_without_a_clock_the_real_one_counts(client: ChatarminOS, service: FakeTransport) -> None:
    """A fake without a given clock has the real time."""
    company_id, now = service.add_company("Acme"), datetime.now(UTC)

    access = [
        client.features.set_access(company_id=company_id, feature_code="sso", is_enabled=True, valid_until=until)
        for until in (now - HOUR, now + HOUR)
    ]

    assert [one.is_enabled for one in access] == [False, True]


# The log of calls


def test_calls_are_logged_in_order_refused_ones_too(client: ChatarminOS, service: FakeTransport) -> None:
    """Every call is in the log as it travelled; test controls are not calls."""
    # When
    company_id = service.add_company("Acme")
    client.tiers.list()
    with pytest.raises(NotFoundError):
        client.tiers.get("no_such_tier")
    client.links.create(company_id=company_id, external_org_id="org_1")

    # Then
    received = {"companyId": company_id, "externalOrgId": "org_1"}
    expected = [
        Call(path="tiers.list", kind="query", input=None, safe_to_repeat=True),
        Call(path="tiers.get", kind="query", input={"tierCode": "no_such_tier"}, safe_to_repeat=True),
        Call(path="links.create", kind="mutation", input=received, safe_to_repeat=False),
    ]
    assert expected == list(service.calls)


def test_calls_of_a_batch_are_all_logged(client: ChatarminOS, service: FakeTransport) -> None:
    """Each call of a batch is logged."""
    company_id = service.add_company("Acme")
    events = [TrackUsageInput(company_id=company_id, feature_code="ai_credit", quantity=1) for _ in range(3)]

    client.batch(events)

    expected = sorted(str(event.idempotency_key) for event in events)
    assert expected == sorted(call.input["idempotencyKey"] for call in service.calls)


def test_the_log_keeps_copies(client: ChatarminOS, service: FakeTransport) -> None:
    """Changing an argument after the call, or the log, changes nothing else."""
    # Given
    company_id = service.add_company("Acme")
    metadata: dict[str, Any] = {"tags": ["a"]}
    client.contacts.create(company_id=company_id, email="ann@acme.com", metadata=metadata)

    # When
    metadata["tags"].append("b")
    logged = service.calls[-1].input["metadata"]["tags"]
    received = list(logged)
    logged.append("c")

    # Then
    assert received == ["a"]
    assert metadata["tags"] == ["a", "b"]
    assert [contact.metadata for contact in client.contacts.list(company_id)] == [{"tags": ["a"]}]


def test_a_call_sent_to_the_transport_itself_is_logged(service: FakeTransport) -> None:
    """The log keeps a call in the form it was sent in."""
    received = {"tierCode": "pro"}

    answer = service.send(Call(path="tiers.get", kind="query", input=received, safe_to_repeat=True))
    received["tierCode"] = "free"

    assert answer["code"] == "pro"
    assert service.calls[-1].input == {"tierCode": "pro"}


def test_responses_are_copies(client: ChatarminOS, service: FakeTransport) -> None:
    """Changing a response changes nothing in the service."""
    # Given
    service.add_feature("storage", name="Storage", has_quantity=True, config={"unit": {"code": "GB"}})
    company_id = service.add_company("Acme")
    before = as_json(service)

    # When
    for access in client.features.list_access(company_id):
        assert access.config_values is not None
        access.config_values.clear()
    answer = client.call("features.check", {"companyId": company_id, "featureCode": "storage"})
    answer["configValues"]["unit"]["code"] = "TB"

    # Then
    storage = client.features.check(company_id=company_id, feature_code="storage")
    assert storage.config_values == {"unit": {"code": "GB"}}
    assert before == as_json(service)


def test_given_configs_are_not_shared(client: ChatarminOS, service: FakeTransport) -> None:
    """Changing a config after it was passed in changes nothing in the service."""
    # Given
    config: dict[str, Any] = {"regions": ["eu"]}
    features: dict[str, Any] = {"storage": {"config": {"copies": [1]}}}
    service.add_feature("storage", name="Storage", config=config)
    service.add_tier("gold", name="Gold", features=features)

    # When
    config["regions"].append("us")
    features["storage"]["config"]["copies"].append(2)

    # Then
    assert client.tiers.get("gold").features[0].config_values == {"regions": ["eu"], "copies": [1]}


# Injected failures


def test_the_next_call_fails_and_then_no_more(client: ChatarminOS, service: FakeTransport) -> None:
    """A failure without a path hits the next call, once."""
    service.fail(error="TOO_MANY_REQUESTS")

    with pytest.raises(RateLimitError) as caught:
        client.tiers.list()

    assert caught.value.code == "TOO_MANY_REQUESTS"
    assert len(client.tiers.list()) == 4


def test_a_failure_of_a_path_waits_for_that_path(client: ChatarminOS, service: FakeTransport) -> None:
    """Calls of other paths neither fail nor count."""
    service.fail("tiers.get", error="INTERNAL_SERVER_ERROR", times=2)

    outcomes = []
    for ask in (client.tiers.list, get_pro(client), client.tiers.list, get_pro(client), get_pro(client)):
        try:
            ask()
            outcomes.append("answered")
        except ServerError:
            outcomes.append("failed")

    assert outcomes == ["answered", "failed", "answered", "failed", "answered"]


def get_pro(client: ChatarminOS) -> Callable[[], object]:
    """Return the request for one tier."""
    return lambda: client.tiers.get("pro")


@pytest.mark.parametrize(
    ("code", "error_class"),
    [
        ("PRECONDITION_FAILED", UsageLimitError),
        ("SERVICE_UNAVAILABLE", ServerError),
        ("PARSE_ERROR", ApiError),
    ],
)
def test_a_code_of_the_wire_gives_the_error_of_its_class(
    client: ChatarminOS, service: FakeTransport, code: str, error_class: type[ApiError]
) -> None:
    """A call fails with the error that belongs to a code of the wire."""
    service.fail(error=code)

    with pytest.raises(ApiError) as caught:
        client.tiers.list()

    assert (error_class, code) == (type(caught.value), caught.value.code)
    assert caught.value.message == "injected by fake.fail()"


@pytest.mark.parametrize(
    "error",
    [
        RateLimitError("slow down", code="TOO_MANY_REQUESTS", http_status=429, retry_after=1.5),
        ServerError("down", code="SERVICE_UNAVAILABLE", data={"code": "SERVICE_UNAVAILABLE"}),
        ConnectionFailed("refused", outcome="not_sent", attempts=3),
        TimedOut("too late"),
        InvalidResponse("<html>"),
    ],
    ids=words,
)
def test_any_error_of_the_tree_can_be_raised(
    client: ChatarminOS, service: FakeTransport, error: ChatarminError
) -> None:
    """A given error is raised with all its attributes."""
    service.fail(error=error)

    with pytest.raises(type(error)) as caught:
        client.tiers.list()

    assert str(error) in str(caught.value)
    for name in ("message", "code", "http_status", "retry_after", "outcome", "attempts", "data"):
        assert getattr(error, name, None) == getattr(caught.value, name, None), name


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("TO_MANY_REQUESTS", "did you mean 'TOO_MANY_REQUESTS'?"),
        ("conflict", "did you mean 'CONFLICT'?"),
        (" NOT_FOUND", "did you mean 'NOT_FOUND'? "),
        ("brew coffee", "unknown code 'brew coffee'; the wire has PARSE_ERROR, BAD_REQUEST, "),
        ("", "unknown code ''"),
    ],
)
def test_an_unknown_code_is_refused(service: FakeTransport, typo: str, meant: str) -> None:
    """A code that the wire does not have is a ValueError that names the known codes, and no call fails."""
    with pytest.raises(ValueError, match=r"^error: unknown code .* pass ApiError\(message, code=\.\.\.\)$") as refused:
        service.fail(error=typo)

    assert meant in str(refused.value)
    assert ChatarminOS(transport=service).tiers.list()


def test_a_code_of_the_services_own_is_passed_as_an_error(client: ChatarminOS, service: FakeTransport) -> None:
    """An `ApiError` may have any code."""
    service.fail(error=ApiError("short and stout", code="TEAPOT"))

    with pytest.raises(ApiError, match="short and stout") as caught:
        client.tiers.list()

    assert caught.value.code == "TEAPOT"


def test_a_call_that_fails_before_it_ran_did_not_run(client: ChatarminOS, service: FakeTransport) -> None:
    """An ordinary failure changes nothing, and the call is still in the log."""
    # Given
    company_id = on_tier(client, service, "free")
    before = as_json(service)
    service.fail(error=ConnectionFailed("refused", outcome="not_sent"))

    # When
    with pytest.raises(ConnectionFailed):
        client.billing.track_usage(company_id=company_id, feature_code="ai_credit", quantity=5)

    # Then
    assert before == as_json(service)
    assert service.calls[-1].path == "billing.trackUsage"


def test_a_lost_response_is_that_of_a_call_that_ran(client: ChatarminOS, service: FakeTransport) -> None:
    """With `after` the call is carried out; sending the error's request again does not count it a second time."""
    # Given
    company_id = on_tier(client, service, "free")
    service.fail("billing.trackUsage", error=TimedOut("lost"), after=True)

    # When
    with pytest.raises(TimedOut) as caught:
        client.billing.track_usage(company_id=company_id, feature_code="ai_credit", quantity=5)

    # Then
    counted = usage_of(client, company_id)
    request = caught.value.request
    assert isinstance(request, TrackUsageInput)
    assert counted == 5
    assert client.send(request).current_usage == 5
    assert usage_of(client, company_id) == 5


@pytest.mark.parametrize(("after", "usage"), [(False, 0), (True, 5)])
def test_a_lost_connection_leaves_the_outcome_unknown(
    client: ChatarminOS, service: FakeTransport, *, after: bool, usage: int
) -> None:
    """A "lost" call raises ConnectionFailed; it ran only with `after`, which no caller can know."""
    company_id = on_tier(client, service, "free")
    service.fail("billing.trackUsage", error="lost", after=after)

    with pytest.raises(ConnectionFailed, match=r"lost: injected by fake\.fail\(\)") as caught:
        client.billing.track_usage(company_id=company_id, feature_code="ai_credit", quantity=5)

    assert (caught.value.outcome, caught.value.attempts) == ("unknown", 1)
    assert usage_of(client, company_id) == usage


def test_injected_failures_are_listed_while_they_wait(client: ChatarminOS, service: FakeTransport) -> None:
    """The list shows path, error, remaining calls and `after` of each failure, in order, until its calls have come."""
    service.fail("tiers.list", error="CONFLICT", times=2)
    service.fail(error=TimedOut("late"), after=True)

    with pytest.raises(ApiError):
        client.tiers.list()
    waiting = [(one.path, str(one.error), one.times, one.after) for one in service.injected_failures]
    with pytest.raises(TimedOut):
        client.tiers.get("pro")
    service.reset()

    assert waiting == [("tiers.list", "CONFLICT: injected by fake.fail()", 1, False), (None, "late", 1, True)]
    assert service.injected_failures == []


def test_a_failure_in_a_batch_hides_no_other_response(client: ChatarminOS, service: FakeTransport) -> None:
    """The call that fails has its error in the list, the others have their responses."""
    # Given
    company_id = on_tier(client, service, "free")
    events = [TrackUsageInput(company_id=company_id, feature_code="ai_credit", quantity=1) for _ in range(3)]
    service.fail("billing.trackUsage", error="INTERNAL_SERVER_ERROR")

    # When
    answers = client.batch(events)

    # Then
    assert sum(isinstance(answer, ServerError) for answer in answers) == 1
    assert usage_of(client, company_id) == 2


# Revenue


def test_revenue_is_the_base_fee_of_active_subscriptions(client: ChatarminOS, service: FakeTransport) -> None:
    """Claimed and linked subscriptions add their tier's base fee, cancelling subtracts it."""
    # Given
    company_id = service.add_company("Acme")
    session_id = service.stripe.add_checkout_session(PRO_PRICES)
    subscription_id = service.stripe.add_subscription(ENTERPRISE_PRICES)
    revenue = [service.mrr(company_id)]

    # When
    client.billing.claim_checkout(company_id=company_id, checkout_session_id=session_id)
    revenue.append(service.mrr(company_id))
    client.billing.link_subscription(company_id=company_id, stripe_subscription_id=subscription_id)
    revenue.append(service.mrr(company_id))
    client.billing.link_subscription(company_id=company_id, stripe_subscription_id=subscription_id)
    revenue.append(service.mrr(company_id))
    service.stripe.cancel(subscription_id)
    revenue.append(service.mrr(company_id))

    # Then
    assert revenue == [0, 4900, 54800, 54800, 4900]


def test_a_tier_without_a_subscription_brings_no_revenue(client: ChatarminOS, service: FakeTransport) -> None:
    """Applying a tier adds nothing, nor does a subscription without a tier."""
    company_id = on_tier(client, service, "enterprise")
    subscription_id = service.stripe.add_subscription(["price_of_something_else"])

    client.billing.link_subscription(company_id=company_id, stripe_subscription_id=subscription_id)

    assert service.mrr(company_id) == 0


def test_revenue_never_falls_below_zero(client: ChatarminOS, service: FakeTransport) -> None:
    """A subscription cancelled after the revenue was reset subtracts nothing."""
    # Given
    company_id = service.add_company("Acme")
    subscription_id = service.stripe.add_subscription(PRO_PRICES)
    client.billing.link_subscription(company_id=company_id, stripe_subscription_id=subscription_id)

    # When
    client.links.reset(reset_mrr=True)
    after_reset = service.mrr(company_id)
    service.stripe.cancel(subscription_id)

    # Then
    assert (after_reset, service.mrr(company_id)) == (0, 0)


def test_a_reset_of_links_keeps_the_revenue_by_default(client: ChatarminOS, service: FakeTransport) -> None:
    """Only `reset_mrr` resets the revenue."""
    company_id = service.add_company("Acme")
    subscription_id = service.stripe.add_subscription(PRO_PRICES)
    client.billing.link_subscription(company_id=company_id, stripe_subscription_id=subscription_id)

    client.links.reset(delete_contacts=True)

    assert service.mrr(company_id) == 4900


def test_a_cancelled_subscription_subtracts_the_fee_it_added(client: ChatarminOS, service: FakeTransport) -> None:
    """Another fee or another tier in between does not change the amount that cancelling subtracts."""
    # Given
    company_id = service.add_company("Acme")
    first, second = (service.stripe.add_subscription(PRO_PRICES) for _ in range(2))
    for subscription_id in (first, second):
        client.billing.link_subscription(company_id=company_id, stripe_subscription_id=subscription_id)

    # When
    service.add_tier("pro", name="Pro", base_fee=1, features={})
    client.billing.link_subscription(company_id=company_id, stripe_subscription_id=first, tier_code="enterprise")
    raised = service.mrr(company_id)
    service.stripe.cancel(first)

    # Then
    assert (raised, service.mrr(company_id)) == (9800, 4900)


# Snapshots


def busy_fake() -> FakeTransport:
    """Return a fake with some rows in every table."""
    fake = FakeTransport(demo_catalogue(), now=lambda: NOON)
    client = ChatarminOS(transport=fake)
    fake.add_feature("storage", name="Storage", has_quantity=True, config={"unit": "GB"})
    fake.add_tier("gold", name="Gold", base_fee=1000, features={"storage": {"unit_amount": 3, "quantity_limit": 5}})
    company = client.companies.create(name="Acme", external_org_id="org_1", contact_email="ann@acme.com")
    fake.add_company("Globex", domain="globex.io")
    session_id = fake.stripe.add_checkout_session(["price_gold_base", "price_gold_storage"])
    fake.stripe.add_subscription(PRO_PRICES, customer_id="cus_1")
    client.billing.claim_checkout(company_id=company.id, checkout_session_id=session_id)
    client.billing.track_usage(company_id=company.id, feature_code="storage", quantity=0.1, idempotency_key="key 1")
    client.features.set_access(company_id=company.id, feature_code="sso", is_enabled=True, valid_until=NOON + 2 * HOUR)
    fake.advance(HOUR)
    return fake


def test_a_snapshot_is_json_and_gives_an_equal_fake() -> None:
    """A fake made from a snapshot that went through JSON text has the same snapshot and the same responses."""
    # Given
    fake = busy_fake()
    snapshot = fake.snapshot()

    # When
    again = FakeTransport.from_snapshot(json.loads(json.dumps(snapshot, allow_nan=False)), now=lambda: NOON)

    # Then
    answers = []
    for transport in (fake, again):
        client = ChatarminOS(transport=transport)
        company = client.companies.get_by_product_link(external_org_id="org_1")
        assert company is not None
        replayed = client.billing.track_usage(
            company_id=company.id, feature_code="storage", quantity=0.1, idempotency_key="key 1"
        )
        answers.append(
            (
                company,
                replayed,
                client.features.list_access(company.id),
                client.contacts.list(company.id),
                client.billing.get_status(company.id),
                client.tiers.get("gold"),
                transport.mrr(company.id),
            )
        )
    assert answers[0] == answers[1]
    assert snapshot == again.snapshot()


def test_a_snapshot_has_the_time_of_an_advanced_clock() -> None:
    """A fake made from a snapshot continues at the time to which the first was advanced."""
    # Given
    fake = FakeTransport.from_snapshot(busy_fake().snapshot(), now=lambda: NOON)
    client = ChatarminOS(transport=fake)

    # When
    enabled = [client.features.check_by_external_org_id("org_1", "sso").is_enabled]
    fake.advance(HOUR)
    enabled.append(client.features.check_by_external_org_id("org_1", "sso").is_enabled)

    # Then
    assert enabled == [True, False]


def test_calls_and_failures_are_in_no_snapshot() -> None:
    """Calls and injected failures belong to the test, not to the state."""
    # Given
    fake = busy_fake()
    before = as_json(fake)

    # When
    fake.fail(error="INTERNAL_SERVER_ERROR")
    faulty = as_json(fake)
    again = FakeTransport.from_snapshot(fake.snapshot())

    # Then
    tiers = ChatarminOS(transport=again).tiers.list()
    assert before == faulty
    assert len(tiers) == 5
    assert [call.path for call in again.calls] == ["tiers.list"]


def test_a_query_changes_no_snapshot() -> None:
    """A query leaves no trace in the state."""
    fake = busy_fake()
    before = as_json(fake)

    ChatarminOS(transport=fake).features.get_access_by_external_org_id("org_1")

    assert before == as_json(fake)


def test_a_snapshot_is_a_copy() -> None:
    """Neither later calls nor changes of a snapshot affect each other."""
    # Given
    fake = busy_fake()
    snapshot = fake.snapshot()
    text = json.dumps(snapshot)
    again = FakeTransport.from_snapshot(snapshot, now=lambda: NOON)

    # When
    fake.add_company("Initech")
    again.add_company("Initech")
    later = json.dumps(snapshot)
    snapshot.clear()

    # Then
    fresh = FakeTransport.from_snapshot(json.loads(text), now=lambda: NOON)
    fresh.add_company("Initech")
    assert text == later
    assert len(as_json(fresh)) == len(as_json(again)) == len(as_json(fake))


@pytest.mark.parametrize(
    "snapshot",
    [None, [], {}, "", 5, {"format": "something else"}, {"version": 99, "companies": []}],
    ids=words,
)
def test_a_snapshot_of_another_format_is_refused(snapshot: Any) -> None:
    """Anything but a snapshot of this fake is a ValueError."""
    with pytest.raises(ValueError, match=r"(?i)snapshot"):
        FakeTransport.from_snapshot(snapshot)


# Reset


def test_a_reset_keeps_the_catalogue_and_forgets_all_else() -> None:
    """After a reset the fake is new, except for its features and tiers."""
    # Given
    fake = busy_fake()
    company_id = fake.add_company("Acme")
    fake.fail(error="INTERNAL_SERVER_ERROR")

    # When
    fake.reset()

    # Then
    calls = list(fake.calls)
    client = ChatarminOS(transport=fake)
    assert calls == []
    assert [tier.code for tier in client.tiers.list()] == ["free", "trial", "pro", "enterprise", "gold"]
    assert client.companies.get_by_product_link(external_org_id="org_1") is None
    with pytest.raises(NotFoundError):
        client.features.check(company_id=company_id, feature_code="storage")


def test_a_reset_fake_has_the_snapshot_of_a_new_one() -> None:
    """A reset leaves nothing of the state, not even the time of the clock."""
    fake = FakeTransport(demo_catalogue(), now=lambda: NOON)
    new = fake.snapshot()
    client = ChatarminOS(transport=fake)

    client.onboard(external_org_id="org_1", tier_code="pro", contact_email="ann@acme.com")
    client.features.check_by_external_org_id("org_1", "sso")
    fake.advance(HOUR)
    fake.reset()

    assert new == fake.snapshot()


def test_a_key_is_free_again_after_a_reset() -> None:
    """A reset forgets the keys of events too."""
    # Given
    fake = FakeTransport(demo_catalogue())
    client = ChatarminOS(transport=fake)
    answers = []

    # When
    for quantity in (5, 6):
        fake.reset()
        company_id = on_tier(client, fake, "free")
        result = client.billing.track_usage(
            company_id=company_id, feature_code="ai_credit", quantity=quantity, idempotency_key="key 1"
        )
        answers.append(result.current_usage)

    # Then
    assert answers == [5, 6]


# Catalogues


def test_a_given_catalogue_is_not_shared() -> None:
    """Additions of one fake are seen by no other fake, nor by the catalogue itself."""
    # Given
    catalogue = demo_catalogue()
    first, second = FakeTransport(catalogue), FakeTransport(catalogue)

    # When
    first.add_feature("storage", name="Storage")
    first.add_tier("gold", name="Gold", features={"storage": {}})

    # Then
    codes = [tier.code for tier in ChatarminOS(transport=second).tiers.list()]
    third = ChatarminOS(transport=FakeTransport(catalogue)).tiers.list()
    assert codes == ["free", "trial", "pro", "enterprise"]
    assert codes == [tier.code for tier in third]


def test_without_a_catalogue_the_product_is_empty() -> None:
    """A fake without a catalogue has neither tiers nor features until some are added."""
    # Given
    fake = FakeTransport()
    client = ChatarminOS(transport=fake)
    company_id = fake.add_company("Acme")

    # When
    empty = (client.tiers.list(), client.features.list_access(company_id))
    fake.add_feature("storage", name="Storage")

    # Then
    assert empty == ([], [])
    assert [access.feature_code for access in client.features.list_access(company_id)] == ["storage"]


def test_a_client_in_memory_has_the_demo_catalogue_to_itself() -> None:
    """Each client in memory has another product."""
    first, second = ChatarminOS.in_memory(), ChatarminOS.in_memory()

    first.companies.create(name="Acme", external_org_id="org_1")

    assert [tier.code for tier in second.tiers.list()] == ["free", "trial", "pro", "enterprise"]
    assert second.companies.get_by_product_link(external_org_id="org_1") is None


class Grant(NamedTuple):
    """The limits of a feature in a tier of the demo catalogue."""

    limit: int | None = None
    included: int | None = None
    unit_amount: int | None = None


DEMO_FEATURES = [
    ("ai_credit", "AI credits", True),
    ("seats", "Seats", True),
    ("team_seats", "Team seats", True),
    ("api_access", "API access", False),
    ("sso", "Single sign-on", False),
]
DEMO_TIERS: dict[str, tuple[str, int | None, dict[str, Grant]]] = {
    "free": ("Free", None, {"ai_credit": Grant(100, 100), "seats": Grant(3, 3)}),
    "trial": ("Trial", None, {"ai_credit": Grant(500, 500), "seats": Grant(5, 5), "api_access": Grant()}),
    "pro": (
        "Pro",
        4900,
        {
            "ai_credit": Grant(10000, 1000, 2),
            "seats": Grant(25, 10, 900),
            "team_seats": Grant(10, 5),
            "api_access": Grant(),
        },
    ),
    "enterprise": (
        "Enterprise",
        49900,
        {
            "ai_credit": Grant(None, 10000, 1),
            "seats": Grant(None, 100, 700),
            "team_seats": Grant(None, 50),
            "api_access": Grant(),
            "sso": Grant(),
        },
    ),
}


def test_the_demo_catalogue_has_the_features_of_its_table(client: ChatarminOS, service: FakeTransport) -> None:
    """The features come in the order of the table, with their names and kinds, and without config."""
    company_id = service.add_company("Acme")

    accesses = client.features.list_access(company_id)

    assert [(one.feature_code, one.feature_name, one.has_quantity) for one in accesses] == DEMO_FEATURES
    assert [one.config_values for one in accesses] == [{}] * 5
    assert {False} == {one.is_enabled for one in accesses}


def test_the_demo_catalogue_has_the_tiers_of_its_table(client: ChatarminOS) -> None:
    """The tiers come in the order of the table."""
    expected = [TierSummary(code=code, name=name) for code, (name, _, _) in DEMO_TIERS.items()]

    assert expected == client.tiers.list()


@pytest.mark.parametrize("code", DEMO_TIERS)
def test_a_demo_tier_has_the_prices_of_its_table(client: ChatarminOS, code: str) -> None:
    """Base fee, prices and features of a demo tier are those of the table."""
    name, base_fee, grants = DEMO_TIERS[code]
    quantities = {feature for feature, _, has_quantity in DEMO_FEATURES if has_quantity}
    names = {feature: shown for feature, shown, _ in DEMO_FEATURES}

    tier = client.tiers.get(code)

    prices = [f"price_{code}_{feature}" for feature, grant in grants.items() if grant.unit_amount is not None]
    features = tuple(
        TierFeature(
            code=feature,
            name=names[feature],
            config_values=(
                {"included_quantity": grant.included, "max_quantity": grant.limit} if feature in quantities else {}
            ),
            stripe=(
                None
                if grant.unit_amount is None
                else StripePrice(price_id=f"price_{code}_{feature}", unit_amount=grant.unit_amount, currency="eur")
            ),
        )
        for feature, grant in grants.items()
    )
    fee = BaseFee(stripe=StripePrice(price_id=f"price_{code}_base", unit_amount=base_fee or 0, currency="eur"))
    assert (code, name, None if base_fee is None else fee) == (tier.code, tier.name, tier.base_fee)
    assert tuple([] if base_fee is None else [f"price_{code}_base"]) + tuple(prices) == tier.stripe_price_ids
    assert features == tier.features


@pytest.mark.parametrize("code", DEMO_TIERS)
def test_a_demo_tier_grants_the_limits_of_its_table(client: ChatarminOS, service: FakeTransport, code: str) -> None:
    """An applied demo tier grants its limits and included quantities, and no other features."""
    grants = DEMO_TIERS[code][2]

    company_id = on_tier(client, service, code)

    accesses = client.features.list_access(company_id)
    assert {feature: (True, grant.limit, grant.included) for feature, grant in grants.items()} == {
        one.feature_code: (one.can_use, one.quantity_limit, one.included_quantity) for one in accesses if one.is_enabled
    }
    assert len(grants) == client.billing.get_status(company_id).enabled_features_count


# Wrong use


def naive_clock() -> None:
    """Use a fake whose clock has no time zone."""
    fake = FakeTransport(demo_catalogue(), now=lambda: NOON.replace(tzinfo=None))
    company_id = fake.add_company("Acme")
    client = ChatarminOS(transport=fake)
    client.features.set_access(company_id=company_id, feature_code="sso", is_enabled=True, valid_until=NOON)


def naive_clock_on_a_snapshot() -> None:
    """Load a snapshot with a clock that has no time zone."""
    fake = FakeTransport.from_snapshot(busy_fake().snapshot(), now=lambda: NOON.replace(tzinfo=None))
    ChatarminOS(transport=fake).features.check_by_external_org_id("org_1", "sso")


@pytest.mark.parametrize("use", [naive_clock, naive_clock_on_a_snapshot])
def test_a_naive_clock_is_refused(use: Callable[[], None]) -> None:
    """A clock must know its offset."""
    with pytest.raises(ValueError, match=r"(?i)naive|aware|offset|zone"):
        use()


WRONG_USES: list[tuple[str, str, list[Any], dict[str, Any]]] = [
    ("feature-without-a-code", "add_feature", [""], {"name": "Storage"}),
    ("feature-with-a-blank-code", "add_feature", [" "], {"name": "Storage"}),
    ("feature-without-a-name", "add_feature", ["storage"], {"name": ""}),
    ("feature-with-a-blank-name", "add_feature", ["storage"], {"name": " \t"}),
    ("quantity-flag-that-is-text", "add_feature", ["storage"], {"name": "Storage", "has_quantity": "no"}),
    ("config-that-is-no-mapping", "add_feature", ["storage"], {"name": "Storage", "config": ["unit"]}),
    ("config-that-is-no-JSON", "add_feature", ["storage"], {"name": "Storage", "config": {"at": NOON}}),
    ("tier-without-a-code", "add_tier", [""], {"name": "Gold"}),
    ("tier-with-a-blank-name", "add_tier", ["gold"], {"name": " "}),
    ("tier-of-an-unknown-feature", "add_tier", ["gold"], {"name": "Gold", "features": {"storage": {}}}),
    ("typo-in-a-tier", "add_tier", ["gold"], {"name": "Gold", "features": {"seats": {"quantity_limits": 5}}}),
    ("override-key-in-a-tier", "add_tier", ["gold"], {"name": "Gold", "features": {"seats": {"max_quantity": 5}}}),
    ("limit-below-zero", "add_tier", ["gold"], {"name": "Gold", "features": {"seats": {"quantity_limit": -1}}}),
    (
        "included-quantity-below-zero",
        "add_tier",
        ["gold"],
        {"name": "Gold", "features": {"seats": {"included_quantity": -1}}},
    ),
    ("limit-that-is-text", "add_tier", ["gold"], {"name": "Gold", "features": {"seats": {"quantity_limit": "5"}}}),
    (
        "limit-that-is-a-boolean",
        "add_tier",
        ["gold"],
        {"name": "Gold", "features": {"seats": {"quantity_limit": True}}},
    ),
    ("limit-without-a-quantity", "add_tier", ["gold"], {"name": "Gold", "features": {"sso": {"quantity_limit": 5}}}),
    ("price-below-zero", "add_tier", ["gold"], {"name": "Gold", "features": {"seats": {"unit_amount": -1}}}),
    ("feature-limits-that-are-no-mapping", "add_tier", ["gold"], {"name": "Gold", "features": {"seats": 5}}),
    ("blank-currency", "add_tier", ["gold"], {"name": "Gold", "currency": " "}),
    ("features-that-are-no-mapping", "add_tier", ["gold"], {"name": "Gold", "features": ["seats"]}),
    ("base-fee-below-zero", "add_tier", ["gold"], {"name": "Gold", "base_fee": -1}),
    ("base-fee-that-is-text", "add_tier", ["gold"], {"name": "Gold", "base_fee": "4900"}),
    ("company-without-a-name", "add_company", [""], {}),
    ("company-with-a-blank-name", "add_company", ["  "], {}),
    ("domain-without-a-dot", "add_company", ["Acme"], {"domain": "acme"}),
    ("domain-with-a-space", "add_company", ["Acme"], {"domain": "ac me.com"}),
    ("naive-timestamp", "add_company", ["Acme"], {"created_at": datetime(2024, 3, 1)}),  # noqa: DTZ001
    ("one-text-as-prices", "stripe.add_subscription", ["price_pro_base"], {}),
    ("one-text-as-a-checkout-prices", "stripe.add_checkout_session", ["price_pro_base"], {}),
    ("prices-that-are-no-list", "stripe.add_subscription", [5], {}),
    ("no-prices-at-all", "stripe.add_subscription", [None], {}),
    ("price-that-is-no-text", "stripe.add_subscription", [["price_pro_base", 5]], {}),
    ("checkout-prices-that-are-no-list", "stripe.add_checkout_session", [5], {}),
    ("complete-that-is-text", "stripe.add_checkout_session", [PRO_PRICES], {"complete": "no"}),
    ("checkout-blank-customer", "stripe.add_checkout_session", [PRO_PRICES], {"customer_name": " "}),
    ("blank-customer", "stripe.add_subscription", [PRO_PRICES], {"customer_id": " "}),
    ("unknown-session", "stripe.complete", ["cs_test_nothing"], {}),
    ("unknown-subscription-to-cancel", "stripe.cancel", ["sub_nothing"], {}),
    ("unknown-subscription-to-renew", "stripe.renew", ["sub_nothing"], {}),
    ("step-back-in-time", "advance", [timedelta(seconds=-1)], {}),
    ("step-that-is-no-timedelta", "advance", [5], {}),
    ("step-beyond-the-calendar", "advance", [timedelta.max], {}),
    ("failure-without-a-code", "fail", [], {"error": ""}),
    ("failure-with-a-blank-code", "fail", [], {"error": " "}),
    ("failure-zero-times", "fail", [], {"error": "CONFLICT", "times": 0}),
    ("failure-negative-times", "fail", [], {"error": "CONFLICT", "times": -1}),
    ("failure-true-times", "fail", [], {"error": "CONFLICT", "times": True}),
    ("failure-after-that-is-text", "fail", ["links.reset"], {"error": "CONFLICT", "after": "no"}),
    ("failure-of-another-tree", "fail", [], {"error": RuntimeError("x")}),
    ("failure-that-is-a-class", "fail", [], {"error": TimedOut}),
    ("revenue-of-an-unknown-company", "mrr", [NOBODY], {}),
]


@pytest.mark.parametrize(
    ("control", "arguments", "options"), [use[1:] for use in WRONG_USES], ids=[use[0] for use in WRONG_USES]
)
def test_wrong_use_of_a_test_control_is_refused(
    client: ChatarminOS, service: FakeTransport, control: str, arguments: list[Any], options: dict[str, Any]
) -> None:
    """Wrong use is a ValueError that names the problem, no response of the service, and changes nothing."""
    # Given
    before = as_json(service)
    target: Any = service
    for name in control.split("."):
        target = getattr(target, name)

    # When
    with pytest.raises(ValueError, match=r"\S") as caught:
        target(*arguments, **options)

    # Then
    assert not isinstance(caught.value, ApiError)
    assert before == as_json(service)
    assert len(client.tiers.list()) == 4


def test_only_an_active_subscription_renews(client: ChatarminOS, service: FakeTransport) -> None:
    """Renewing a cancelled subscription is wrong use, and the usage stays."""
    # Given
    company_id = service.add_company("Acme")
    subscription_id = service.stripe.add_subscription(PRO_PRICES)
    client.billing.link_subscription(company_id=company_id, stripe_subscription_id=subscription_id, tier_code="pro")
    client.billing.track_usage(company_id=company_id, feature_code="ai_credit", quantity=5)
    service.stripe.cancel(subscription_id)

    # When
    with pytest.raises(ValueError, match=subscription_id):
        service.stripe.renew(subscription_id)

    # Then
    assert usage_of(client, company_id) == 5


# Unknown procedures


def test_an_unknown_path_is_not_found(client: ChatarminOS) -> None:
    """An unknown procedure is refused in the words of the wire."""
    with pytest.raises(NotFoundError) as caught:
        client.call("tiers.lst")

    assert caught.value.message == 'No procedure found on path "tiers.lst"'


@pytest.mark.parametrize(("path", "kind"), [("tiers.list", "mutation"), ("links.reset", "query")])
def test_a_wrong_kind_is_not_supported(client: ChatarminOS, service: FakeTransport, path: str, kind: str) -> None:
    """A query sent as a mutation, or a mutation as a query, is refused and does not run."""
    arguments: dict[str, Any] = {"kind": kind}
    before = as_json(service)

    with pytest.raises(ApiError) as caught:
        client.call(path, **arguments)

    assert caught.value.code == "METHOD_NOT_SUPPORTED"
    assert before == as_json(service)


@pytest.mark.parametrize("path", ["billing.track_usage", "trackUsage", ""])
def test_a_failure_for_an_unknown_path_is_refused(path: str) -> None:
    """A misspelt path is refused: a test that waits for its failure would pass for the wrong reason."""
    with pytest.raises(ValueError, match="path: no procedure"):
        FakeTransport().fail(path, error="TOO_MANY_REQUESTS")


def test_a_clock_is_a_function() -> None:
    """The refusal of a time instead of a function that returns it names the argument."""
    wrong: Any = datetime.now(UTC)

    with pytest.raises(ValueError, match="now: expected a function"):
        FakeTransport(now=wrong)


# Changes of the catalogue


def test_a_missing_limit_is_zero_for_a_feature_that_gets_a_quantity(
    client: ChatarminOS, service: FakeTransport
) -> None:
    """A tier without a limit grants nothing of a feature that has a quantity since: only None is unlimited."""
    service.add_feature("export", name="Export")
    service.add_tier("basic", name="Basic", features={"export": {}})
    service.add_feature("export", name="Export", has_quantity=True)

    company_id = on_tier(client, service, "basic")

    access = client.features.check(company_id=company_id, feature_code="export")
    assert (access.is_enabled, access.can_use, access.quantity_limit) == (True, False, 0)
    [shown] = client.tiers.get("basic").features
    assert shown.config_values == {"included_quantity": None, "max_quantity": 0}


@pytest.mark.parametrize(
    ("code", "features", "price_id"),
    [
        ("a", {"base": {"unit_amount": 1}}, "price_a_base"),
        ("demo", {"b_c": {"unit_amount": 1}}, "price_demo_b_c"),
    ],
)
def test_price_ids_are_unique(
    service: FakeTransport, code: str, features: dict[str, dict[str, int]], price_id: str
) -> None:
    """A tier is refused if one of its prices has the id of another price: paying one would pay for the other."""
    for feature in ("base", "c", "b_c"):
        service.add_feature(feature, name=feature)
    service.add_tier("demo_b", name="Demo B", features={"c": {"unit_amount": 1}})
    before = as_json(service)

    with pytest.raises(ValueError, match=f"^code: two prices would have the id '{price_id}'"):
        service.add_tier(code, name="A", base_fee=1, features=features)

    assert as_json(service) == before
    service.add_tier("demo_b", name="Again", features={"c": {"unit_amount": 2}})


def test_an_amount_that_javascript_rounds_is_refused(service: FakeTransport) -> None:
    """The refusal names an amount that JavaScript would round."""
    with pytest.raises(ValueError, match=r"^base_fee: expected an integer within"):
        service.add_tier("dear", name="Dear", base_fee=2**53)


# Failures of each call


def test_injected_errors_share_nothing(client: ChatarminOS, service: FakeTransport) -> None:
    """Each failed call gets another copy of the error: changing one does not change the next."""
    error = ServerError("down", code="BAD_GATEWAY", data={"tried": [1]})
    error.add_note("as injected")
    service.fail(error=error, times=2)
    error.data["tried"].append("later")

    errors = []
    for _ in range(2):
        with pytest.raises(ServerError) as failed:
            client.tiers.list()
        failed.value.data["tried"].append(2)
        failed.value.add_note("seen")
        errors.append(failed.value)

    assert [error.data for error in errors] == [{"tried": [1, 2]}] * 2
    assert [error.__notes__ for error in errors] == [["as injected", "seen"]] * 2


# Clocks


def test_a_clock_that_no_calendar_reaches_is_named() -> None:
    """A clock that overflows is a ValueError that names it, and the fake works again once the clock is right."""
    time = [NOON]
    fake = FakeTransport(demo_catalogue(), now=lambda: time[0])
    fake.advance(timedelta(days=1000))
    time[0] = datetime.max.replace(tzinfo=UTC)

    with pytest.raises(ValueError, match="is beyond the year 9999"):
        ChatarminOS(transport=fake).tiers.list()

    time[0] = NOON
    assert ChatarminOS(transport=fake).tiers.list()


# Long texts


def test_refusals_shorten_long_values(client: ChatarminOS) -> None:
    """An id of a million letters is shortened in the message that refuses it."""
    long = "x" * 1_000_000

    for refused in (
        lambda: client.features.check(company_id=long, feature_code="seats"),
        lambda: client.features.check_by_external_org_id(long, "seats"),
        lambda: client.tiers.get(long),
    ):
        with pytest.raises(NotFoundError) as failed:
            refused()
        assert len(str(failed.value)) < 200


def test_a_clock_that_fails_moves_nothing() -> None:
    """If the clock raises, its error propagates, and the fake's clock does not move."""
    ticks = iter([NOON])
    fake = FakeTransport(demo_catalogue(), now=lambda: next(ticks))
    before = fake.snapshot()

    with pytest.raises(StopIteration):
        fake.advance(HOUR)

    assert fake.snapshot() == before


def test_an_injected_error_may_carry_anything(client: ChatarminOS, service: FakeTransport) -> None:
    """A value that cannot be copied is shared, and the error is accepted."""
    error = TimedOut("gone")
    vars(error)["client"] = client
    service.fail(error=error)

    with pytest.raises(TimedOut) as failed:
        client.tiers.list()

    assert vars(failed.value)["client"] is client


@pytest.mark.parametrize("depth", [1, 99, 100])
def test_an_argument_of_maximum_depth_is_accepted(client: ChatarminOS, service: FakeTransport, depth: int) -> None:
    """Metadata as deep as a request accepts is stored and listed, alone and among others."""
    company_id = service.add_company("Acme")
    metadata: dict[str, Any] = {}
    for _ in range(depth - 1):
        metadata = {"in": metadata}

    client.contacts.create(company_id=company_id, email="ann@acme.com", metadata=metadata)
    client.contacts.bulk_upsert(company_id=company_id, contacts=[{"email": "bob@acme.com", "metadata": metadata}])

    assert [contact.metadata for contact in client.contacts.list(company_id)] == [metadata] * 2
    assert FakeTransport.from_snapshot(service.snapshot()).snapshot() == service.snapshot()


# Hints of refusals


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("Pro", r"; did you mean 'pro'\? "),
        ("enterprize", r"; did you mean 'enterprise'\? "),
        ("gold", r"No tier 'gold'; the tiers are free, trial, pro, enterprise "),
    ],
)
def test_an_unknown_tier_suggests_a_similar_code(client: ChatarminOS, code: str, hint: str) -> None:
    """The refusal of a misspelt tier code names the code that is most similar, if any is."""
    with pytest.raises(NotFoundError, match=hint):
        client.tiers.get(code)


@pytest.mark.parametrize("count", [0, 11], ids=["none", "many"])
def test_unknown_tier_lists_no_tiers_if_there_are_none_or_many(count: int) -> None:
    """The refusal stays short."""
    catalogue = Catalogue()
    for number in range(count):
        catalogue.add_tier(f"t{number}", name=f"Tier {number}")

    with pytest.raises(NotFoundError, match=r"No tier 'gold' \["):
        ChatarminOS(transport=FakeTransport(catalogue)).tiers.get("gold")


def test_an_unknown_feature_suggests_a_similar_code(client: ChatarminOS, service: FakeTransport) -> None:
    """The refusal of a misspelt feature code names the code that is most similar."""
    company_id = service.add_company("Acme")

    with pytest.raises(NotFoundError, match=r"No feature 'ai-credits'; did you mean 'ai_credit'\?"):
        client.features.check(company_id=company_id, feature_code="ai-credits")


def test_an_external_org_id_in_place_of_a_company_id_is_recognised(client: ChatarminOS) -> None:
    """The refusal of a company id says so if it is the external org id of a company."""
    company_id = client.onboard(external_org_id="org_1").company_id

    with pytest.raises(
        NotFoundError, match=f"No company 'org_1'; it is the external org id of the company '{company_id}'"
    ):
        client.billing.get_status("org_1")
    with pytest.raises(NotFoundError, match=r"No company 'org_2' \["):
        client.billing.get_status("org_2")
