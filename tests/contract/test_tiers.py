"""Tiers: the list, the contents of a tier, and applying one to a company."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from chatarmin_os import (
    ApplyTierResult,
    BadRequestError,
    BaseFee,
    ChatarminOS,
    FeatureAccess,
    NotFoundError,
    StripePrice,
    UsageLimitError,
)

if TYPE_CHECKING:
    from chatarmin_os.fake import FakeTransport

NOBODY = "5f0c2c1e-0000-4000-8000-000000000000"
NAMES = {
    "ai_credit": "AI credits",
    "seats": "Seats",
    "team_seats": "Team seats",
    "api_access": "API access",
    "sso": "Single sign-on",
}
HAVE_QUANTITY = {"ai_credit", "seats", "team_seats"}
# tier -> feature -> (limit, included, unit amount)
FEATURES: dict[str, dict[str, tuple[int | None, int | None, int | None]]] = {
    "free": {"ai_credit": (100, 100, None), "seats": (3, 3, None)},
    "trial": {"ai_credit": (500, 500, None), "seats": (5, 5, None), "api_access": (None, None, None)},
    "pro": {
        "ai_credit": (10000, 1000, 2),
        "seats": (25, 10, 900),
        "team_seats": (10, 5, None),
        "api_access": (None, None, None),
    },
    "enterprise": {
        "ai_credit": (None, 10000, 1),
        "seats": (None, 100, 700),
        "team_seats": (None, 50, None),
        "api_access": (None, None, None),
        "sso": (None, None, None),
    },
}


def _access(client: ChatarminOS, company_id: str, feature_code: str) -> FeatureAccess:
    return client.features.check(company_id=company_id, feature_code=feature_code)


def _enabled(client: ChatarminOS, company_id: str) -> list[str | None]:
    return [access.feature_code for access in client.features.list_access(company_id) if access.is_enabled]


def test_list_names_every_tier(client: ChatarminOS) -> None:
    """Each tier is listed with its code and its name."""
    tiers = client.tiers.list()

    assert {tier.code: tier.name for tier in tiers} == {
        "free": "Free",
        "trial": "Trial",
        "pro": "Pro",
        "enterprise": "Enterprise",
    }
    assert len(tiers) == 4


def test_list_sends_no_input(client: ChatarminOS, service: FakeTransport) -> None:
    """The list of tiers has no input."""
    client.tiers.list()

    assert service.calls[-1].input is None


@pytest.mark.parametrize(
    ("tier_code", "name", "amount"),
    [("free", "Free", None), ("trial", "Trial", None), ("pro", "Pro", 4900), ("enterprise", "Enterprise", 49900)],
)
def test_get_returns_name_and_base_fee(client: ChatarminOS, tier_code: str, name: str, amount: int | None) -> None:
    """A base fee is a Stripe price in minor units, and None if the tier has no base fee."""
    price = StripePrice(price_id=f"price_{tier_code}_base", unit_amount=amount, currency="eur")
    expected = None if amount is None else BaseFee(stripe=price)

    tier = client.tiers.get(tier_code)

    assert tier_code == tier.code
    assert name == tier.name
    assert expected == tier.base_fee


@pytest.mark.parametrize("tier_code", FEATURES)
def test_get_returns_the_features_with_their_limits(client: ChatarminOS, tier_code: str) -> None:
    """Features with a quantity have their limits under the keys of overrides, the others have none."""
    expected = {
        code: {"included_quantity": included, "max_quantity": limit} if code in HAVE_QUANTITY else {}
        for code, (limit, included, _) in FEATURES[tier_code].items()
    }

    tier = client.tiers.get(tier_code)

    assert expected == {feature.code: feature.config_values for feature in tier.features}
    assert len(expected) == len(tier.features)


@pytest.mark.parametrize("tier_code", FEATURES)
def test_get_returns_the_features_prices(client: ChatarminOS, tier_code: str) -> None:
    """A feature of a tier has a Stripe price if the tier charges an amount for it."""
    expected = {
        code: None
        if amount is None
        else StripePrice(price_id=f"price_{tier_code}_{code}", unit_amount=amount, currency="eur")
        for code, (_, _, amount) in FEATURES[tier_code].items()
    }

    tier = client.tiers.get(tier_code)

    assert expected == {feature.code: feature.stripe for feature in tier.features}


@pytest.mark.parametrize(
    ("tier_code", "expected"),
    [
        ("free", ()),
        ("trial", ()),
        ("pro", ("price_pro_base", "price_pro_ai_credit", "price_pro_seats")),
        ("enterprise", ("price_enterprise_base", "price_enterprise_ai_credit", "price_enterprise_seats")),
    ],
)
def test_get_lists_the_price_of_the_base_fee_first(
    client: ChatarminOS, tier_code: str, expected: tuple[str, ...]
) -> None:
    """The price ids are the base fee's and then the features' in the order of the features."""
    tier = client.tiers.get(tier_code)

    of_features = [feature.stripe.price_id for feature in tier.features if feature.stripe is not None]
    assert expected == tier.stripe_price_ids
    assert [*expected[:1], *of_features] == list(tier.stripe_price_ids)


def test_a_tier_without_a_base_fee_lists_the_features_prices(client: ChatarminOS, service: FakeTransport) -> None:
    """Without a base fee the price ids are the features' alone."""
    service.add_tier("metered", name="Metered", features={"ai_credit": {"quantity_limit": None, "unit_amount": 3}})

    tier = client.tiers.get("metered")

    assert tier.base_fee is None
    assert tier.stripe_price_ids == ("price_metered_ai_credit",)


def test_a_tier_has_a_currency(client: ChatarminOS, service: FakeTransport) -> None:
    """Prices are in the currency of their tier."""
    service.add_tier("us", name="US", base_fee=5000, currency="usd", features={"seats": {"unit_amount": 7}})

    tier = client.tiers.get("us")

    assert tier.base_fee == BaseFee(stripe=StripePrice(price_id="price_us_base", unit_amount=5000, currency="usd"))
    assert [feature.stripe for feature in tier.features] == [
        StripePrice(price_id="price_us_seats", unit_amount=7, currency="usd")
    ]


def test_config_values_are_the_defaults_with_the_tiers_on_top(client: ChatarminOS, service: FakeTransport) -> None:
    """A tier's config replaces the default config by key, and has the limits."""
    service.add_feature("exports", name="Exports", has_quantity=True, config={"maxRows": 10, "file_format": "csv"})
    service.add_feature("reports", name="Reports", config={"pages": 1, "logo": False})
    service.add_tier(
        "plus",
        name="Plus",
        features={
            "exports": {"quantity_limit": 5, "included_quantity": 2, "config": {"maxRows": 50}},
            "reports": {"config": {"logo": True, "colour": "red"}},
        },
    )

    tier = client.tiers.get("plus")

    assert {feature.code: feature.config_values for feature in tier.features} == {
        "exports": {"maxRows": 50, "file_format": "csv", "included_quantity": 2, "max_quantity": 5},
        "reports": {"pages": 1, "logo": True, "colour": "red"},
    }


def test_an_unknown_tier_is_not_found(client: ChatarminOS, service: FakeTransport) -> None:
    """A code that no tier has is not found, and nothing is applied."""
    company_id = service.add_company("Acme Inc")

    with pytest.raises(NotFoundError):
        client.tiers.get("platinum")
    with pytest.raises(NotFoundError):
        client.tiers.apply("platinum", company_id=company_id)

    assert _enabled(client, company_id) == []


@pytest.mark.parametrize("company_id", [NOBODY, "not-a-company-id"])
def test_an_unknown_company_is_not_found(client: ChatarminOS, company_id: str) -> None:
    """A company id that does not exist, malformed or not, is not found."""
    with pytest.raises(NotFoundError):
        client.tiers.apply("pro", company_id=company_id)


@pytest.mark.parametrize("tier_code", FEATURES)
def test_apply_gives_the_features_of_the_tier(client: ChatarminOS, service: FakeTransport, tier_code: str) -> None:
    """Each feature of the tier is enabled with the tier's limits, and the others stay unchanged."""
    company_id = service.add_company("Acme Inc")
    features = FEATURES[tier_code]
    before = client.features.list_access(company_id)

    result = client.tiers.apply(tier_code, company_id=company_id)

    assert ApplyTierResult(tier_code=tier_code, features_applied=len(features)) == result
    for untouched in before:
        code = untouched.feature_code or ""
        limit, included, _ = features.get(code, (None, None, None))
        expected = (
            FeatureAccess(
                feature_code=code,
                feature_name=NAMES[code],
                is_enabled=True,
                can_use=True,
                has_quantity=code in HAVE_QUANTITY,
                current_usage=0,
                quantity_limit=limit,
                included_quantity=included,
                remaining=limit,
                config_values={},
                source="subscription",
                valid_until=None,
            )
            if code in features
            else untouched
        )
        assert expected == _access(client, company_id, code)


def test_apply_needs_no_stripe(client: ChatarminOS, service: FakeTransport) -> None:
    """Applying a tier creates neither a billing profile nor a subscription, and no revenue."""
    company_id = service.add_company("Acme Inc")

    client.tiers.apply("pro", company_id=company_id)

    status = client.billing.get_status(company_id)
    assert (status.has_billing_profile, status.active_subscriptions) == (False, ())
    assert status.enabled_features_count == 4
    assert service.mrr(company_id) == 0


@pytest.mark.parametrize("source", ["subscription", "manual", "trial", "api"])
def test_apply_rewrites_accesses_of_the_tier(client: ChatarminOS, service: FakeTransport, source: str) -> None:
    """Any earlier access to a feature of the tier is replaced by the tier's."""
    # Given an access that was set by hand in every respect
    company_id = service.add_company("Acme Inc")
    client.features.set_access(
        company_id=company_id,
        feature_code="ai_credit",
        is_enabled=False,
        quantity_limit=99999,
        included_quantity=None,
        config={"model": "large"},
        source=source,
        valid_until="2020-01-01T00:00:00Z",
    )

    # When a tier is applied that has the feature
    client.tiers.apply("pro", company_id=company_id)

    # Then none of it remains
    assert FeatureAccess(
        feature_code="ai_credit",
        feature_name="AI credits",
        is_enabled=True,
        can_use=True,
        has_quantity=True,
        current_usage=0,
        quantity_limit=10000,
        included_quantity=1000,
        remaining=10000,
        config_values={},
        source="subscription",
        valid_until=None,
    ) == _access(client, company_id, "ai_credit")


def test_apply_writes_config_from_defaults_and_tier(client: ChatarminOS, service: FakeTransport) -> None:
    """An applied access has the default config with the tier's on top, without settings made by hand before."""
    service.add_feature("exports", name="Exports", has_quantity=True, config={"maxRows": 10, "file_format": "csv"})
    service.add_tier(
        "plus",
        name="Plus",
        features={"exports": {"quantity_limit": 5, "included_quantity": 2, "config": {"maxRows": 50}}},
    )
    company_id = service.add_company("Acme Inc")
    client.features.set_access(
        company_id=company_id, feature_code="exports", config={"maxRows": 1, "file_format": "pdf", "extra": True}
    )

    client.tiers.apply("plus", company_id=company_id)

    assert _access(client, company_id, "exports").config_values == {"maxRows": 50, "file_format": "csv"}


def test_a_smaller_tier_disables_missing_features(client: ChatarminOS, service: FakeTransport) -> None:
    """Features that a subscription granted end if the new tier lacks them."""
    company_id = service.add_company("Acme Inc")
    client.tiers.apply("enterprise", company_id=company_id)
    all_of_them = _enabled(client, company_id)

    result = client.tiers.apply("free", company_id=company_id)

    assert result.features_applied == 2
    assert list(NAMES) == all_of_them
    assert _enabled(client, company_id) == ["ai_credit", "seats"]


@pytest.mark.parametrize("source", ["manual", "trial", "api"])
def test_an_access_from_another_source_stays(client: ChatarminOS, service: FakeTransport, source: str) -> None:
    """A feature that the tier lacks stays unchanged if its source is not a subscription."""
    company_id = service.add_company("Acme Inc")
    before = client.features.set_access(
        company_id=company_id,
        feature_code="team_seats",
        is_enabled=True,
        quantity_limit=7,
        included_quantity=1,
        config={"a": 1},
        source=source,
        valid_until="2099-01-01T00:00:00Z",
    )

    client.tiers.apply("free", company_id=company_id)

    assert before == _access(client, company_id, "team_seats")


def test_an_access_with_source_subscription_is_disabled(client: ChatarminOS, service: FakeTransport) -> None:
    """A feature that the tier lacks is disabled if its source is a subscription, also if a call set that source."""
    company_id = service.add_company("Acme Inc")
    client.features.set_access(company_id=company_id, feature_code="sso", is_enabled=True, source="subscription")

    client.tiers.apply("pro", company_id=company_id)

    access = _access(client, company_id, "sso")
    assert (access.is_enabled, access.can_use) == (False, False)


def test_usage_stays_when_a_tier_is_applied(client: ChatarminOS, service: FakeTransport) -> None:
    """Usage continues in the new tier, and may be at its limit there."""
    # Given a company that uses 20 seats
    company_id = service.add_company("Acme Inc")
    client.tiers.apply("pro", company_id=company_id)
    client.billing.track_usage(company_id=company_id, feature_code="seats", quantity=20)

    # When a tier of 3 seats is applied
    client.tiers.apply("free", company_id=company_id)

    # Then all 20 are still counted
    access = _access(client, company_id, "seats")
    assert (access.is_enabled, access.can_use) == (True, False)
    assert (access.current_usage, access.quantity_limit, access.remaining) == (20, 3, 0)
    with pytest.raises(UsageLimitError):
        client.billing.track_usage(company_id=company_id, feature_code="seats", quantity=1)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"ai_credit": {"included_quantity": 100}, "seats": {"max_quantity": 10}}, [(10000, 100), (10, 10), (10, 5)]),
        ({"ai_credit": {"included_quantity": 1, "max_quantity": 2}}, [(2, 1), (25, 10), (10, 5)]),
        ({"ai_credit": {"max_quantity": None}}, [(None, 1000), (25, 10), (10, 5)]),
        ({"ai_credit": {"included_quantity": None}}, [(10000, None), (25, 10), (10, 5)]),
        ({"seats": {"max_quantity": 0, "included_quantity": 0}}, [(10000, 1000), (0, 0), (10, 5)]),
        ({"api_access": {"max_quantity": None, "included_quantity": None}}, [(10000, 1000), (25, 10), (10, 5)]),
        ({}, [(10000, 1000), (25, 10), (10, 5)]),
    ],
)
def test_overrides_go_on_top_of_the_limits_of_the_tier(
    client: ChatarminOS,
    service: FakeTransport,
    overrides: dict[str, dict[str, float | None]],
    expected: list[tuple[float | None, float | None]],
) -> None:
    """An override replaces the limit or the included quantity of its feature, and None removes it."""
    company_id = service.add_company("Acme Inc")

    result = client.tiers.apply("pro", company_id=company_id, features=overrides)

    accesses = [_access(client, company_id, code) for code in ("ai_credit", "seats", "team_seats")]
    assert expected == [(access.quantity_limit, access.included_quantity) for access in accesses]
    assert result.features_applied == 4


def test_overrides_count_for_one_call_only(client: ChatarminOS, service: FakeTransport) -> None:
    """Applying a tier again without overrides restores its own limits."""
    company_id = service.add_company("Acme Inc")
    client.tiers.apply("pro", company_id=company_id, features={"seats": {"max_quantity": 99}})

    client.tiers.apply("pro", company_id=company_id)

    assert _access(client, company_id, "seats").quantity_limit == 25


def test_override_keys_are_never_renamed(client: ChatarminOS, service: FakeTransport) -> None:
    """Feature codes and override keys travel in snake case, unchanged."""
    company_id = service.add_company("Acme Inc")
    overrides = {"ai_credit": {"included_quantity": 100}, "team_seats": {"max_quantity": 10}}
    expected = {"tierCode": "pro", "companyId": company_id, "features": overrides}

    client.tiers.apply("pro", company_id=company_id, features=overrides)

    assert expected == service.calls[-1].input


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ({"seats": {"maxQuantity": 5}}, "maxQuantity"),
        ({"seats": {"includedQuantity": 5}}, "includedQuantity"),
        ({"seats": {"quantity_limit": 5}}, "quantity_limit"),
        ({"ai_credit": {"max_quantity": 5}, "seats": {"max_quantity": 5, "colour": 1}}, "colour"),
    ],
)
def test_an_unknown_override_key_is_named(
    client: ChatarminOS, service: FakeTransport, overrides: dict[str, Any], named: str
) -> None:
    """An unknown override key is a bad request that names it, and nothing is applied."""
    company_id = service.add_company("Acme Inc")

    with pytest.raises(BadRequestError, match=named):
        client.call("tiers.apply", {"tierCode": "pro", "companyId": company_id, "features": overrides})

    assert _enabled(client, company_id) == []


@pytest.mark.parametrize("key", ["included_quantity", "max_quantity"])
@pytest.mark.parametrize("value", [-1, -0.5, "5", True, [5]])
def test_a_negative_override_is_refused(client: ChatarminOS, service: FakeTransport, key: str, value: object) -> None:
    """An override that is negative or no number is a bad request, and nothing is applied."""
    company_id = service.add_company("Acme Inc")
    overrides = {"seats": {key: value}}

    with pytest.raises(BadRequestError):
        client.call("tiers.apply", {"tierCode": "pro", "companyId": company_id, "features": overrides})

    assert _enabled(client, company_id) == []


def test_an_override_outside_the_tier_is_a_bad_request(client: ChatarminOS, service: FakeTransport) -> None:
    """A feature that the tier lacks cannot be overridden into it, and nothing is applied."""
    company_id = service.add_company("Acme Inc")

    with pytest.raises(BadRequestError):
        client.tiers.apply("free", company_id=company_id, features={"team_seats": {"max_quantity": 5}})

    assert _enabled(client, company_id) == []


@pytest.mark.parametrize("key", ["included_quantity", "max_quantity"])
def test_a_feature_without_a_quantity_takes_no_override(client: ChatarminOS, service: FakeTransport, key: str) -> None:
    """A number as an override of a feature without a quantity is a bad request, and nothing is applied."""
    company_id = service.add_company("Acme Inc")

    with pytest.raises(BadRequestError):
        client.tiers.apply("pro", company_id=company_id, features={"api_access": {key: 5}})

    assert _enabled(client, company_id) == []


def test_missing_rows_are_reported_before_overrides(client: ChatarminOS, service: FakeTransport) -> None:
    """An unknown company or tier is not found, also with an override outside any tier."""
    company_id = service.add_company("Acme Inc")

    with pytest.raises(NotFoundError):
        client.tiers.apply("free", company_id=NOBODY, features={"team_seats": {"max_quantity": 5}})
    with pytest.raises(NotFoundError):
        client.tiers.apply("platinum", company_id=company_id, features={"team_seats": {"max_quantity": 5}})


def test_bad_input_is_reported_before_missing_rows(client: ChatarminOS) -> None:
    """An unknown override key is a bad request, also for an unknown tier of an unknown company."""
    with pytest.raises(BadRequestError):
        client.call(
            "tiers.apply", {"tierCode": "platinum", "companyId": NOBODY, "features": {"seats": {"maxQuantity": 5}}}
        )


def test_a_tier_touches_no_other_company(client: ChatarminOS, service: FakeTransport) -> None:
    """A tier is applied to one company."""
    acme, globex = service.add_company("Acme Inc"), service.add_company("Globex")

    client.tiers.apply("pro", company_id=acme)

    assert _enabled(client, globex) == []


def test_subscriptions_create_is_another_name_of_apply(client: ChatarminOS, service: FakeTransport) -> None:
    """A subscription is created by the same call, with the same response and the same accesses."""
    # Given two companies
    applied, created = service.add_company("Acme Inc"), service.add_company("Globex")

    # When one gets a tier applied and the other a subscription created
    by_apply = client.tiers.apply("pro", company_id=applied, features={"seats": {"max_quantity": 10}})
    by_create = client.subscriptions.create("pro", company_id=created, features={"seats": {"max_quantity": 10}})

    # Then both calls were the same, with the same result
    first, second = [call for call in service.calls if call.kind == "mutation"]
    assert by_apply == by_create
    assert (first.path, first.kind) == (second.path, second.kind)
    assert second.path == "tiers.apply"
    assert client.features.list_access(applied) == client.features.list_access(created)


def test_subscriptions_create_has_the_refusals_of_apply(client: ChatarminOS, service: FakeTransport) -> None:
    """An unknown tier or an override outside the tier is refused under its other name too."""
    company_id = service.add_company("Acme Inc")

    with pytest.raises(NotFoundError):
        client.subscriptions.create("platinum", company_id=company_id)
    with pytest.raises(BadRequestError):
        client.subscriptions.create("free", company_id=company_id, features={"sso": {"max_quantity": None}})
