"""Features: the access of a company, by its id or by the caller's id, and setting it by hand."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from chatarmin_os import (
    UNSET,
    BadRequestError,
    ChatarminOS,
    FeatureAccess,
    ForbiddenError,
    InvalidInput,
    NotFoundError,
    OrgFeatures,
    UsageLimitError,
)

if TYPE_CHECKING:
    from chatarmin_os.fake import FakeTransport

CATALOGUE = ["ai_credit", "seats", "team_seats", "api_access", "sso"]
NOBODY = "5f0c2c1e-0000-4000-8000-000000000000"


def _linked(client: ChatarminOS, service: FakeTransport, external_org_id: str = "org_1") -> str:
    company_id = service.add_company("Acme Inc")
    client.links.create(company_id=company_id, external_org_id=external_org_id)
    return company_id


def test_check_without_an_access(client: ChatarminOS, service: FakeTransport) -> None:
    """Without an access a feature with a quantity is disabled and has a limit of 0."""
    company_id = service.add_company("Acme Inc")

    access = client.features.check(company_id=company_id, feature_code="ai_credit")

    assert (
        FeatureAccess(
            feature_code="ai_credit",
            feature_name="AI credits",
            is_enabled=False,
            can_use=False,
            has_quantity=True,
            current_usage=0,
            quantity_limit=0,
            included_quantity=None,
            remaining=0,
            config_values={},
            source=None,
            valid_until=None,
        )
        == access
    )


def test_check_without_an_access_and_without_a_quantity(client: ChatarminOS, service: FakeTransport) -> None:
    """Without an access a feature without a quantity is disabled and has no limits."""
    company_id = service.add_company("Acme Inc")

    access = client.features.check(company_id=company_id, feature_code="api_access")

    assert (
        FeatureAccess(
            feature_code="api_access",
            feature_name="API access",
            is_enabled=False,
            can_use=False,
            has_quantity=False,
            current_usage=0,
            quantity_limit=None,
            included_quantity=None,
            remaining=None,
            config_values={},
            source=None,
            valid_until=None,
        )
        == access
    )


def test_check_without_an_access_returns_the_default_config(client: ChatarminOS, service: FakeTransport) -> None:
    """Without an access the config values are the feature's, with unchanged keys."""
    service.add_feature("reports", name="Reports", config={"maxRows": 10, "file_format": "csv"})
    company_id = service.add_company("Acme Inc")

    access = client.features.check(company_id=company_id, feature_code="reports")

    assert access.config_values == {"maxRows": 10, "file_format": "csv"}


@pytest.mark.parametrize(
    ("limit", "usage", "expected"),
    [
        (None, 0, (True, None)),
        (None, 500, (True, None)),
        (10, 0, (True, 10)),
        (10, 9, (True, 1)),
        (10, 10, (False, 0)),
        (10, 12, (False, 0)),
        (0, 0, (False, 0)),
        (2.5, 2, (True, 0.5)),
    ],
)
def test_an_enabled_feature_can_be_used_below_its_limit(
    client: ChatarminOS,
    service: FakeTransport,
    limit: float | None,
    usage: int,
    expected: tuple[bool, float | None],
) -> None:
    """The remaining quantity is never negative, None without a limit; below the limit the feature can be used."""
    # Given some usage
    company_id = service.add_company("Acme Inc")
    client.features.set_access(company_id=company_id, feature_code="seats", is_enabled=True, quantity_limit=None)
    if usage:
        client.billing.track_usage(company_id=company_id, feature_code="seats", quantity=usage)

    # When the limit is set
    access = client.features.set_access(company_id=company_id, feature_code="seats", quantity_limit=limit)

    # Then the remaining quantity follows
    assert access.is_enabled is True
    assert expected == (access.can_use, access.remaining)
    assert limit == access.quantity_limit
    assert usage == access.current_usage


def test_a_disabled_feature_cannot_be_used(client: ChatarminOS, service: FakeTransport) -> None:
    """A feature below its limit cannot be used while it is disabled."""
    company_id = service.add_company("Acme Inc")

    access = client.features.set_access(company_id=company_id, feature_code="seats", is_enabled=False, quantity_limit=5)

    assert (access.is_enabled, access.can_use) == (False, False)


def test_an_enabled_feature_without_a_quantity_can_be_used(client: ChatarminOS, service: FakeTransport) -> None:
    """A feature without a quantity needs no limit to be used, and shows none."""
    company_id = service.add_company("Acme Inc")

    access = client.features.set_access(company_id=company_id, feature_code="sso", is_enabled=True)

    assert (access.is_enabled, access.can_use, access.has_quantity) == (True, True, False)
    assert (access.quantity_limit, access.included_quantity, access.remaining) == (None, None, None)
    assert access.current_usage == 0


@pytest.mark.outside_changes("time passed")
def test_an_access_ends_at_valid_until(client: ChatarminOS, service: FakeTransport) -> None:
    """An access is enabled before valid_until, and neither enabled nor usable from then on."""
    # Given an access for an hour
    company_id = service.add_company("Acme Inc")
    client.features.set_access(
        company_id=company_id,
        feature_code="seats",
        is_enabled=True,
        quantity_limit=5,
        valid_until=datetime.now(UTC) + timedelta(hours=1),
    )

    # When most of the hour passes, and then the rest
    service.advance(timedelta(minutes=58))
    before = client.features.check(company_id=company_id, feature_code="seats")
    service.advance(timedelta(minutes=2))
    after = client.features.check(company_id=company_id, feature_code="seats")

    # Then it ended in between
    assert (before.is_enabled, before.can_use) == (True, True)
    assert (after.is_enabled, after.can_use) == (False, False)


@pytest.mark.outside_changes("time passed")
def test_an_access_of_a_feature_without_a_quantity_ends_too(client: ChatarminOS, service: FakeTransport) -> None:
    """An access to a feature without a quantity expires as well."""
    company_id = service.add_company("Acme Inc")
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    client.features.set_access(company_id=company_id, feature_code="sso", is_enabled=True, valid_until=tomorrow)

    service.advance(timedelta(days=1))

    access = client.features.check(company_id=company_id, feature_code="sso")
    assert (access.is_enabled, access.can_use) == (False, False)


def test_enabling_leaves_an_expired_access_expired(client: ChatarminOS, service: FakeTransport) -> None:
    """An expired access becomes enabled only with another valid_until."""
    company_id = service.add_company("Acme Inc")
    past = datetime(2020, 1, 1, tzinfo=UTC)
    expired = client.features.set_access(company_id=company_id, feature_code="sso", is_enabled=True, valid_until=past)

    enabled = client.features.set_access(company_id=company_id, feature_code="sso", is_enabled=True)
    for_ever = client.features.set_access(company_id=company_id, feature_code="sso", is_enabled=True, valid_until=None)

    assert expired.is_enabled is False
    assert (enabled.is_enabled, enabled.can_use) == (False, False)
    assert past == enabled.valid_until
    assert (for_ever.is_enabled, for_ever.can_use, for_ever.valid_until) == (True, True, None)


@pytest.mark.parametrize("company_id", [NOBODY, "not-a-company-id"])
def test_an_unknown_company_is_not_found(client: ChatarminOS, company_id: str) -> None:
    """A company id that does not exist, malformed or not, is not found by any procedure of features."""
    with pytest.raises(NotFoundError):
        client.features.check(company_id=company_id, feature_code="seats")
    with pytest.raises(NotFoundError):
        client.features.list_access(company_id)
    with pytest.raises(NotFoundError):
        client.features.set_access(company_id=company_id, feature_code="seats", is_enabled=True)


def test_a_code_outside_the_catalogue_is_not_found(client: ChatarminOS, service: FakeTransport) -> None:
    """A feature that the product does not have is not found by any procedure of features."""
    company_id = _linked(client, service)

    with pytest.raises(NotFoundError):
        client.features.check(company_id=company_id, feature_code="teleport")
    with pytest.raises(NotFoundError):
        client.features.check_by_external_org_id("org_1", "teleport")
    with pytest.raises(NotFoundError):
        client.features.set_access(company_id=company_id, feature_code="teleport", is_enabled=True)


def test_an_unlinked_id_is_not_found(client: ChatarminOS) -> None:
    """An external org id without a link is not found by any procedure of features."""
    with pytest.raises(NotFoundError):
        client.features.get_access_by_external_org_id("org_unknown")
    with pytest.raises(NotFoundError):
        client.features.check_by_external_org_id("org_unknown", "seats")
    with pytest.raises(NotFoundError):
        client.features.set_access(external_org_id="org_unknown", feature_code="seats", is_enabled=True)


def test_list_access_lists_all_features_in_catalogue_order(client: ChatarminOS, service: FakeTransport) -> None:
    """All features are listed with their status in the order of the catalogue, with and without an access."""
    company_id = service.add_company("Acme Inc")
    client.features.set_access(company_id=company_id, feature_code="sso", is_enabled=True)
    client.features.set_access(company_id=company_id, feature_code="seats", is_enabled=True, quantity_limit=3)

    accesses = client.features.list_access(company_id)

    assert [access.feature_code for access in accesses] == CATALOGUE
    assert [access.is_enabled for access in accesses] == [False, True, False, False, True]


def test_list_access_equals_the_check_of_each_feature(client: ChatarminOS, service: FakeTransport) -> None:
    """The list has the same entry for a feature as its check."""
    company_id = service.add_company("Acme Inc")
    client.tiers.apply("trial", company_id=company_id)
    client.billing.track_usage(company_id=company_id, feature_code="seats", quantity=5)
    checked = [client.features.check(company_id=company_id, feature_code=code) for code in CATALOGUE]

    accesses = client.features.list_access(company_id)

    assert checked == accesses


def test_a_feature_added_later_is_listed_last(client: ChatarminOS, service: FakeTransport) -> None:
    """A feature that the product gets later is part of every company's list."""
    company_id = service.add_company("Acme Inc")
    service.add_feature("reports", name="Reports", has_quantity=True)

    accesses = client.features.list_access(company_id)

    assert [*CATALOGUE, "reports"] == [access.feature_code for access in accesses]


def test_get_access_by_external_org_id_is_the_list_by_link(client: ChatarminOS, service: FakeTransport) -> None:
    """The list by link has the company's id too."""
    company_id = _linked(client, service)
    client.tiers.apply("free", company_id=company_id)
    expected = OrgFeatures(company_id=company_id, features=tuple(client.features.list_access(company_id)))

    features = client.features.get_access_by_external_org_id("org_1")

    assert expected == features


def test_check_by_external_org_id_is_the_check_by_link(client: ChatarminOS, service: FakeTransport) -> None:
    """Every link of a company shows its features."""
    company_id = _linked(client, service)
    client.links.create(company_id=company_id, external_org_id="org_2")
    client.tiers.apply("free", company_id=company_id)
    expected = client.features.check(company_id=company_id, feature_code="ai_credit")

    by_first = client.features.check_by_external_org_id("org_1", "ai_credit")
    by_second = client.features.check_by_external_org_id("org_2", "ai_credit")

    assert expected == by_first
    assert expected == by_second


def test_set_access_returns_the_same_as_check(client: ChatarminOS, service: FakeTransport) -> None:
    """All values that are set are returned, and check returns them too."""
    company_id = service.add_company("Acme Inc")

    access = client.features.set_access(
        company_id=company_id,
        feature_code="ai_credit",
        is_enabled=True,
        quantity_limit=100,
        included_quantity=10,
        config={"model": "large"},
        source="manual",
        valid_until=datetime(2099, 5, 1, 12, tzinfo=UTC),
    )

    assert (
        FeatureAccess(
            feature_code="ai_credit",
            feature_name="AI credits",
            is_enabled=True,
            can_use=True,
            has_quantity=True,
            current_usage=0,
            quantity_limit=100,
            included_quantity=10,
            remaining=100,
            config_values={"model": "large"},
            source="manual",
            valid_until=datetime(2099, 5, 1, 12, tzinfo=UTC),
        )
        == access
    )
    assert client.features.check(company_id=company_id, feature_code="ai_credit") == access


def test_set_access_touches_no_other_feature_or_company(client: ChatarminOS, service: FakeTransport) -> None:
    """An access belongs to one company and one feature."""
    acme, globex = service.add_company("Acme Inc"), service.add_company("Globex")

    client.features.set_access(company_id=acme, feature_code="seats", is_enabled=True, quantity_limit=3)

    assert [access.feature_code for access in client.features.list_access(acme) if access.is_enabled] == ["seats"]
    assert [access.feature_code for access in client.features.list_access(globex) if access.is_enabled] == []


def test_set_access_by_external_org_id(client: ChatarminOS, service: FakeTransport) -> None:
    """Setting an access by link has the same effect as by company."""
    company_id = _linked(client, service)

    access = client.features.set_access(
        external_org_id="org_1", feature_code="seats", is_enabled=True, quantity_limit=7
    )

    assert access.quantity_limit == 7
    assert client.features.check(company_id=company_id, feature_code="seats") == access


def test_set_access_takes_exactly_one_id(client: ChatarminOS, service: FakeTransport) -> None:
    """Neither id, or both, is refused before anything is sent."""
    company_id = service.add_company("Acme Inc")

    with pytest.raises(InvalidInput):
        client.features.set_access(feature_code="seats", is_enabled=True)
    with pytest.raises(InvalidInput):
        client.features.set_access(
            company_id=company_id, external_org_id="org_1", feature_code="seats", is_enabled=True
        )

    assert service.calls == []


def test_the_service_takes_exactly_one_id(client: ChatarminOS, service: FakeTransport) -> None:
    """Neither id, or both, is a bad request, even if both mean the same company."""
    company_id = _linked(client, service)
    given = {"featureCode": "seats", "isEnabled": True}

    with pytest.raises(BadRequestError):
        client.call("features.setAccess", given)
    with pytest.raises(BadRequestError):
        client.call("features.setAccess", {**given, "companyId": company_id, "externalOrgId": "org_1"})

    assert client.features.check(company_id=company_id, feature_code="seats").is_enabled is False


def test_a_call_that_only_sets_config_grants_nothing(client: ChatarminOS, service: FakeTransport) -> None:
    """A new access is disabled, has no quantity, and its source is the api."""
    company_id = service.add_company("Acme Inc")

    access = client.features.set_access(company_id=company_id, feature_code="ai_credit", config={"model": "large"})

    assert (
        FeatureAccess(
            feature_code="ai_credit",
            feature_name="AI credits",
            is_enabled=False,
            can_use=False,
            has_quantity=True,
            current_usage=0,
            quantity_limit=0,
            included_quantity=None,
            remaining=0,
            config_values={"model": "large"},
            source="api",
            valid_until=None,
        )
        == access
    )


def test_a_call_that_sets_nothing_creates_a_disabled_access(client: ChatarminOS, service: FakeTransport) -> None:
    """A new access without any values is disabled and from the api."""
    company_id = service.add_company("Acme Inc")

    access = client.features.set_access(company_id=company_id, feature_code="sso")

    assert (access.is_enabled, access.can_use, access.source) == (False, False, "api")


def test_a_limit_alone_does_not_enable(client: ChatarminOS, service: FakeTransport) -> None:
    """A new access with a limit is still disabled."""
    company_id = service.add_company("Acme Inc")

    access = client.features.set_access(company_id=company_id, feature_code="seats", quantity_limit=10)

    assert (access.is_enabled, access.can_use, access.quantity_limit) == (False, False, 10)


def test_enabling_alone_gives_nothing(client: ChatarminOS, service: FakeTransport) -> None:
    """A new access to a feature with a quantity has a limit of 0 unless another is given."""
    company_id = service.add_company("Acme Inc")

    access = client.features.set_access(company_id=company_id, feature_code="seats", is_enabled=True)

    assert (access.is_enabled, access.can_use) == (True, False)
    assert (access.quantity_limit, access.included_quantity, access.remaining) == (0, None, 0)
    with pytest.raises(UsageLimitError):
        client.billing.track_usage(company_id=company_id, feature_code="seats", quantity=1)


def test_a_new_access_starts_with_the_default_config(client: ChatarminOS, service: FakeTransport) -> None:
    """The first config is merged into the feature's default config."""
    service.add_feature("reports", name="Reports", config={"rows": 10, "format": "csv"})
    company_id = service.add_company("Acme Inc")

    access = client.features.set_access(company_id=company_id, feature_code="reports", config={"rows": 99})

    assert access.config_values == {"rows": 99, "format": "csv"}


def test_config_is_merged_by_its_top_level_keys(client: ChatarminOS, service: FakeTransport) -> None:
    """Given keys of config are replaced whole, the others stay."""
    company_id = service.add_company("Acme Inc")
    first = {"model": "small", "limits": {"perDay": 1, "perHour": 2}, "tags": ["a"]}
    client.features.set_access(company_id=company_id, feature_code="sso", config=first)

    access = client.features.set_access(
        company_id=company_id, feature_code="sso", config={"limits": {"perDay": 5}, "tags": ["b", "c"]}
    )

    assert access.config_values == {"model": "small", "limits": {"perDay": 5}, "tags": ["b", "c"]}


def test_config_of_no_keys_changes_nothing(client: ChatarminOS, service: FakeTransport) -> None:
    """Merging an empty config leaves the config unchanged."""
    company_id = service.add_company("Acme Inc")
    client.features.set_access(company_id=company_id, feature_code="sso", config={"idp": "okta"})

    access = client.features.set_access(company_id=company_id, feature_code="sso", config={})

    assert access.config_values == {"idp": "okta"}


def test_config_keys_are_never_renamed(client: ChatarminOS, service: FakeTransport) -> None:
    """Keys of a config are the customer's and are returned unchanged."""
    company_id = service.add_company("Acme Inc")
    config = {"snake_case": {"inner_key": 1}, "camelCase": {"innerKey": [None, 2.5]}, "is_enabled": "x"}

    access = client.features.set_access(company_id=company_id, feature_code="sso", config=config)

    assert config == access.config_values
    assert service.calls[-1].input == {"companyId": company_id, "featureCode": "sso", "config": config}


@pytest.mark.parametrize("source", ["subscription", "manual", "trial", "api"])
def test_the_source_is_kept(client: ChatarminOS, service: FakeTransport, source: str) -> None:
    """Each of the four sources is kept."""
    company_id = service.add_company("Acme Inc")

    access = client.features.set_access(company_id=company_id, feature_code="sso", is_enabled=True, source=source)

    assert source == access.source


def test_a_source_outside_the_four_is_refused(client: ChatarminOS, service: FakeTransport) -> None:
    """An unknown source is refused before it is sent, and by the service."""
    company_id = service.add_company("Acme Inc")

    with pytest.raises(InvalidInput) as refused:
        client.features.set_access(company_id=company_id, feature_code="sso", source="gift")
    with pytest.raises(BadRequestError, match="source"):
        client.call("features.setAccess", {"companyId": company_id, "featureCode": "sso", "source": "gift"})

    assert refused.value.field == "source"
    assert client.features.check(company_id=company_id, feature_code="sso").source is None


@pytest.mark.parametrize(
    ("given", "changed"),
    [
        ({}, {}),
        ({"is_enabled": False}, {"is_enabled": False}),
        ({"quantity_limit": 20}, {"quantity_limit": 20}),
        ({"quantity_limit": None}, {"quantity_limit": None}),
        ({"quantity_limit": 0}, {"quantity_limit": 0}),
        ({"included_quantity": 5}, {"included_quantity": 5}),
        ({"included_quantity": None}, {"included_quantity": None}),
        ({"included_quantity": 0}, {"included_quantity": 0}),
        ({"config": {"size": "xl"}}, {"config_values": {"model": "large", "size": "xl"}}),
        ({"source": "trial"}, {"source": "trial"}),
        ({"valid_until": None}, {"valid_until": None}),
        ({"valid_until": "2098-01-01T00:00:00Z"}, {"valid_until": datetime(2098, 1, 1, tzinfo=UTC)}),
        ({"quantity_limit": UNSET, "included_quantity": UNSET, "valid_until": UNSET}, {}),
        ({"is_enabled": None, "config": None, "source": None}, {}),
    ],
)
def test_only_given_fields_change(
    client: ChatarminOS, service: FakeTransport, given: dict[str, Any], changed: dict[str, Any]
) -> None:
    """An omitted field stays; None is a value for the fields that accept null."""
    # Given an access with all its fields set
    company_id = service.add_company("Acme Inc")
    client.features.set_access(
        company_id=company_id,
        feature_code="ai_credit",
        is_enabled=True,
        quantity_limit=100,
        included_quantity=10,
        config={"model": "large"},
        source="manual",
        valid_until="2099-01-01T00:00:00Z",
    )
    expected = {
        "is_enabled": True,
        "quantity_limit": 100,
        "included_quantity": 10,
        "config_values": {"model": "large"},
        "source": "manual",
        "valid_until": datetime(2099, 1, 1, tzinfo=UTC),
        **changed,
    }

    # When some of them are set again
    client.features.set_access(company_id=company_id, feature_code="ai_credit", **given)

    # Then only those have changed
    access = client.features.check(company_id=company_id, feature_code="ai_credit")
    assert expected == {name: getattr(access, name) for name in expected}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({}, {}),
        ({"quantity_limit": UNSET, "included_quantity": UNSET, "valid_until": UNSET}, {}),
        ({"is_enabled": None, "config": None, "source": None}, {}),
        ({"quantity_limit": None}, {"quantityLimit": None}),
        ({"included_quantity": None}, {"includedQuantity": None}),
        ({"valid_until": None}, {"validUntil": None}),
        ({"is_enabled": False, "quantity_limit": 0}, {"isEnabled": False, "quantityLimit": 0}),
    ],
)
def test_null_is_sent_only_for_fields_that_accept_it(
    client: ChatarminOS, service: FakeTransport, given: dict[str, Any], sent: dict[str, Any]
) -> None:
    """None travels as null for the three fields that accept it, and is omitted for all others."""
    company_id = service.add_company("Acme Inc")
    expected = {"companyId": company_id, "featureCode": "seats", **sent}

    client.features.set_access(company_id=company_id, feature_code="seats", **given)

    assert expected == service.calls[-1].input


@pytest.mark.parametrize("field", ["isEnabled", "config", "source"])
def test_the_service_refuses_null_elsewhere(client: ChatarminOS, service: FakeTransport, field: str) -> None:
    """Null is a bad request for a field that does not accept it."""
    company_id = service.add_company("Acme Inc")

    with pytest.raises(BadRequestError, match=field):
        client.call("features.setAccess", {"companyId": company_id, "featureCode": "seats", field: None})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (datetime(2099, 3, 1, 12, 30, tzinfo=UTC), datetime(2099, 3, 1, 12, 30, tzinfo=UTC)),
        (
            datetime(2099, 3, 1, 1, 0, tzinfo=timezone(timedelta(hours=2))),
            datetime(2099, 2, 28, 23, 0, tzinfo=UTC),
        ),
        (datetime(2099, 3, 1, 0, 0, 0, 123999, tzinfo=UTC), datetime(2099, 3, 1, 0, 0, 0, 123000, tzinfo=UTC)),
        ("2099-03-01T12:30:00Z", datetime(2099, 3, 1, 12, 30, tzinfo=UTC)),
        ("2099-03-01T01:00:00+02:00", datetime(2099, 2, 28, 23, 0, tzinfo=UTC)),
        ("2099-03-01T12:30:00.5-01:00", datetime(2099, 3, 1, 13, 30, 0, 500000, tzinfo=UTC)),
        (date(2099, 3, 1), datetime(2099, 3, 1, tzinfo=UTC)),
        ("2099-03-01", datetime(2099, 3, 1, tzinfo=UTC)),
    ],
)
def test_valid_until_is_returned_in_utc(
    client: ChatarminOS, service: FakeTransport, given: str | date, expected: datetime
) -> None:
    """Timestamps are returned in UTC, cut to milliseconds; a date is the start of its day in UTC."""
    company_id = service.add_company("Acme Inc")

    access = client.features.set_access(company_id=company_id, feature_code="sso", is_enabled=True, valid_until=given)

    assert expected == access.valid_until
    assert access.valid_until is not None
    assert access.valid_until.utcoffset() == timedelta(0)


def test_valid_until_travels_in_utc_with_milliseconds(client: ChatarminOS, service: FakeTransport) -> None:
    """A timestamp is sent in UTC with milliseconds and Z."""
    company_id = service.add_company("Acme Inc")
    expected = {"companyId": company_id, "featureCode": "sso", "validUntil": "2099-02-28T23:00:00.000Z"}

    client.features.set_access(company_id=company_id, feature_code="sso", valid_until="2099-03-01T01:00:00+02:00")

    assert expected == service.calls[-1].input


@pytest.mark.parametrize(
    "naive",
    [
        datetime(2099, 3, 1, 12, 30),  # noqa: DTZ001 - the client refuses it
        "2099-03-01T12:30:00",
        "soon",
    ],
)
def test_valid_until_needs_an_offset(client: ChatarminOS, service: FakeTransport, naive: str | datetime) -> None:
    """A datetime or text without an offset is refused before anything is sent."""
    company_id = service.add_company("Acme Inc")

    with pytest.raises(InvalidInput) as refused:
        client.features.set_access(company_id=company_id, feature_code="sso", valid_until=naive)

    assert refused.value.field == "valid_until"
    assert service.calls == []


def test_the_service_refuses_an_unparseable_timestamp(client: ChatarminOS, service: FakeTransport) -> None:
    """A text that is not a timestamp is a bad request that names its field."""
    company_id = service.add_company("Acme Inc")

    with pytest.raises(BadRequestError, match="validUntil"):
        client.call("features.setAccess", {"companyId": company_id, "featureCode": "sso", "validUntil": "soon"})


@pytest.mark.outside_changes("time passed")
def test_an_access_until_a_date_ends_when_the_day_begins(client: ChatarminOS, service: FakeTransport) -> None:
    """A date ends the access at the start of its day in UTC, not at the end."""
    # Given one access until today and another until the day after tomorrow
    company_id = service.add_company("Acme Inc")
    today = datetime.now(UTC).date()
    until_today = client.features.set_access(
        company_id=company_id, feature_code="sso", is_enabled=True, valid_until=today
    )
    until_later = client.features.set_access(
        company_id=company_id, feature_code="api_access", is_enabled=True, valid_until=today + timedelta(days=2)
    )

    # When that day begins
    service.advance(timedelta(days=2))

    # Then the first had ended at once and the second ends now
    assert until_today.is_enabled is False
    assert until_later.is_enabled is True
    assert client.features.check(company_id=company_id, feature_code="api_access").is_enabled is False


@pytest.mark.parametrize("field", ["quantity_limit", "included_quantity"])
@pytest.mark.parametrize(
    "value",
    [-1, -0.5, float("nan"), float("inf"), True, "5", Decimal(5), 2**53],
    ids=["minus-1", "minus-0.5", "nan", "inf", "True", "text", "Decimal", "beyond-javascript"],
)
def test_an_invalid_limit_is_not_sent(client: ChatarminOS, service: FakeTransport, field: str, value: object) -> None:
    """The client names negative limits and values that are not JSON numbers, before anything is sent."""
    company_id = service.add_company("Acme Inc")
    given: dict[str, Any] = {field: value}

    with pytest.raises(InvalidInput) as refused:
        client.features.set_access(company_id=company_id, feature_code="seats", **given)

    assert field == refused.value.field
    assert service.calls == []


@pytest.mark.parametrize("field", ["quantityLimit", "includedQuantity"])
@pytest.mark.parametrize("value", [-1, -0.5, "5", True])
def test_the_service_refuses_an_invalid_limit(
    client: ChatarminOS, service: FakeTransport, field: str, value: object
) -> None:
    """Negative limits and values that are not numbers are bad requests, and nothing is set."""
    company_id = service.add_company("Acme Inc")
    given = {"companyId": company_id, "featureCode": "seats", "isEnabled": True}

    with pytest.raises(BadRequestError, match=field):
        client.call("features.setAccess", {**given, field: value})

    access = client.features.check(company_id=company_id, feature_code="seats")
    assert (access.is_enabled, access.source) == (False, None)


@pytest.mark.parametrize("limits", [{"quantity_limit": 5}, {"quantity_limit": 0}, {"included_quantity": 5}])
def test_a_feature_without_a_quantity_takes_no_limit(
    client: ChatarminOS, service: FakeTransport, limits: dict[str, Any]
) -> None:
    """Any number as a limit of a feature without a quantity is a bad request, and nothing is set."""
    company_id = service.add_company("Acme Inc")

    with pytest.raises(BadRequestError):
        client.features.set_access(company_id=company_id, feature_code="sso", is_enabled=True, **limits)

    access = client.features.check(company_id=company_id, feature_code="sso")
    assert (access.is_enabled, access.source) == (False, None)


def test_a_feature_without_a_quantity_accepts_null_as_limit(client: ChatarminOS, service: FakeTransport) -> None:
    """Null means no limit, which a feature without a quantity accepts."""
    company_id = service.add_company("Acme Inc")

    access = client.features.set_access(
        company_id=company_id, feature_code="sso", is_enabled=True, quantity_limit=None, included_quantity=None
    )

    assert (access.is_enabled, access.can_use) == (True, True)
    assert (access.quantity_limit, access.included_quantity, access.remaining) == (None, None, None)


def test_the_company_is_looked_up_before_the_feature_is_checked(client: ChatarminOS) -> None:
    """An unknown company is not found, also with a limit for a feature without a quantity."""
    with pytest.raises(NotFoundError):
        client.features.set_access(company_id=NOBODY, feature_code="sso", quantity_limit=5)
    with pytest.raises(NotFoundError):
        client.features.set_access(external_org_id="org_unknown", feature_code="sso", quantity_limit=5)


def test_input_is_validated_before_the_company_is_looked_up(client: ChatarminOS) -> None:
    """A negative limit of an unknown company is a bad request."""
    with pytest.raises(BadRequestError):
        client.call("features.setAccess", {"companyId": NOBODY, "featureCode": "teleport", "quantityLimit": -1})


def test_a_limit_below_the_usage_is_accepted(client: ChatarminOS, service: FakeTransport) -> None:
    """A limit below the current usage puts the company at its limit and changes no usage."""
    # Given a usage of 8
    company_id = service.add_company("Acme Inc")
    client.features.set_access(company_id=company_id, feature_code="seats", is_enabled=True, quantity_limit=10)
    client.billing.track_usage(company_id=company_id, feature_code="seats", quantity=8)

    # When the limit becomes 5
    access = client.features.set_access(company_id=company_id, feature_code="seats", quantity_limit=5)

    # Then nothing remains and nothing more can be used
    assert (access.is_enabled, access.can_use) == (True, False)
    assert (access.current_usage, access.quantity_limit, access.remaining) == (8, 5, 0)
    with pytest.raises(UsageLimitError):
        client.billing.track_usage(company_id=company_id, feature_code="seats", quantity=1)


def test_disabling_keeps_the_rest_of_the_access(client: ChatarminOS, service: FakeTransport) -> None:
    """An access that is disabled and enabled again is unchanged."""
    # Given an access in use
    company_id = service.add_company("Acme Inc")
    client.features.set_access(
        company_id=company_id, feature_code="seats", is_enabled=True, quantity_limit=10, config={"a": 1}, source="trial"
    )
    client.billing.track_usage(company_id=company_id, feature_code="seats", quantity=4)
    before = client.features.check(company_id=company_id, feature_code="seats")

    # When it is disabled
    client.features.set_access(company_id=company_id, feature_code="seats", is_enabled=False)

    # Then it cannot be used until it is enabled again
    with pytest.raises(ForbiddenError):
        client.billing.track_usage(company_id=company_id, feature_code="seats", quantity=1)
    assert client.features.set_access(company_id=company_id, feature_code="seats", is_enabled=True) == before


def test_ids_may_be_uuids(client: ChatarminOS, service: FakeTransport) -> None:
    """An id may be given as a UUID as well as its text."""
    company_id = service.add_company("Acme Inc")

    access = client.features.check(company_id=uuid.UUID(company_id), feature_code="seats")

    assert client.features.check(company_id=company_id, feature_code="seats") == access
