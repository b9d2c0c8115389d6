"""Models: the checks of an answer, the places of errors, and the behaviour of the classes."""

from __future__ import annotations

import copy
import json
import pickle
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import attrs
import pytest
from cases import check_each
from hypothesis import given
from hypothesis import strategies as st
from ids import words

import chatarmin_os
from chatarmin_os import (
    ApplyTierInput,
    ApplyTierResult,
    BaseFee,
    BillingStatus,
    BulkUpsertInput,
    BulkUpsertResult,
    ChatarminOS,
    ClaimCheckoutInput,
    ClaimResult,
    Company,
    Contact,
    CreateLinkInput,
    FeatureAccess,
    FeatureCheckInput,
    FeatureSetAccessInput,
    GetByProductLinkInput,
    GetStatusInput,
    GetTierInput,
    Hints,
    InvalidResponse,
    Link,
    LinkSubscriptionInput,
    LinkSubscriptionResult,
    ListAccessInput,
    ListContactsInput,
    ListTiersInput,
    OnboardBilling,
    OnboardInput,
    OnboardResult,
    OrgFeatures,
    ResetLinksInput,
    ResetResult,
    SignUpResult,
    SmartLinkInput,
    SmartLinkResult,
    StripePrice,
    Subscription,
    Suggestion,
    Tier,
    TierFeature,
    TierSummary,
    TrackUsageInput,
    UpdateCompanyInput,
    UsageResult,
)
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.transports import Transport

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatarmin_os.transports import Call


class Prepared(Transport):
    """A transport that gives the answer it was prepared with, whatever is asked."""

    def __init__(self, answer: Any) -> None:
        """Prepare the *answer*."""
        self.answer = answer

    def send(self, call: Call) -> Any:
        """Give the prepared answer itself, so that a test can change it afterwards."""
        del call
        return self.answer


def answered(request: Any, answer: Any) -> Any:
    """Return the result of a client for an answer to a request."""
    return ChatarminOS(transport=Prepared(answer)).send(request)


# The fields of each model in order: (name here, name on the wire, type).

TEXT, BOOL, QUANTITY, COUNT, INSTANT, MAPPING = "text", "bool", "quantity", "count", "instant", "mapping"


class ListOf(NamedTuple):
    """A field that is a list of models or of something else."""

    item: Any


MODELS: dict[type[Any], list[tuple[str, str, Any]]] = {
    Company: [
        ("id", "id", TEXT),
        ("short_id", "shortId", TEXT),
        ("name", "name", TEXT),
        ("domain", "domain", TEXT),
        ("created_at", "createdAt", INSTANT),
    ],
    SmartLinkResult: [
        ("status", "status", TEXT),
        ("company_id", "companyId", TEXT),
        ("customer_name", "customerName", TEXT),
        ("confidence", "confidence", QUANTITY),
        ("suggestions", "suggestions", ListOf(Suggestion)),
    ],
    Suggestion: [
        ("company_id", "companyId", TEXT),
        ("customer_name", "customerName", TEXT),
        ("confidence", "confidence", QUANTITY),
        ("reason", "reason", TEXT),
    ],
    Contact: [
        ("id", "id", TEXT),
        ("email", "email", TEXT),
        ("name", "name", TEXT),
        ("role", "role", TEXT),
        ("is_primary", "isPrimary", BOOL),
        ("avatar_url", "avatarUrl", TEXT),
        ("metadata", "metadata", MAPPING),
        ("is_new", "isNew", BOOL),
    ],
    BulkUpsertResult: [
        ("created", "created", COUNT),
        ("updated", "updated", COUNT),
        ("contacts", "contacts", ListOf(Contact)),
    ],
    FeatureAccess: [
        ("feature_code", "featureCode", TEXT),
        ("feature_name", "featureName", TEXT),
        ("is_enabled", "isEnabled", BOOL),
        ("can_use", "canUse", BOOL),
        ("has_quantity", "hasQuantity", BOOL),
        ("current_usage", "currentUsage", QUANTITY),
        ("quantity_limit", "quantityLimit", QUANTITY),
        ("included_quantity", "includedQuantity", QUANTITY),
        ("remaining", "remaining", QUANTITY),
        ("config_values", "configValues", MAPPING),
        ("source", "source", TEXT),
        ("valid_until", "validUntil", INSTANT),
    ],
    OrgFeatures: [
        ("company_id", "companyId", TEXT),
        ("features", "features", ListOf(FeatureAccess)),
    ],
    UsageResult: [
        ("current_usage", "currentUsage", QUANTITY),
        ("remaining", "remaining", QUANTITY),
        ("billable_quantity", "billableQuantity", QUANTITY),
        ("is_at_limit", "isAtLimit", BOOL),
    ],
    ClaimResult: [
        ("already_claimed", "alreadyClaimed", BOOL),
        ("subscription_id", "subscriptionId", TEXT),
    ],
    LinkSubscriptionResult: [
        ("subscription_id", "subscriptionId", TEXT),
        ("already_linked", "alreadyLinked", BOOL),
        ("features_applied", "featuresApplied", COUNT),
    ],
    BillingStatus: [
        ("has_billing_profile", "hasBillingProfile", BOOL),
        ("active_subscriptions", "activeSubscriptions", ListOf(Subscription)),
        ("enabled_features_count", "enabledFeaturesCount", COUNT),
    ],
    Subscription: [
        ("id", "id", TEXT),
        ("stripe_subscription_id", "stripeSubscriptionId", TEXT),
        ("display_name", "displayName", TEXT),
        ("tier", "tier", TierSummary),
    ],
    TierSummary: [
        ("code", "code", TEXT),
        ("name", "name", TEXT),
    ],
    Tier: [
        ("code", "code", TEXT),
        ("name", "name", TEXT),
        ("base_fee", "baseFee", BaseFee),
        ("features", "features", ListOf(TierFeature)),
        ("stripe_price_ids", "stripePriceIds", ListOf(TEXT)),
    ],
    TierFeature: [
        ("code", "code", TEXT),
        ("name", "name", TEXT),
        ("config_values", "configValues", MAPPING),
        ("stripe", "stripe", StripePrice),
    ],
    BaseFee: [
        ("stripe", "stripe", StripePrice),
    ],
    StripePrice: [
        ("price_id", "priceId", TEXT),
        ("unit_amount", "unitAmount", QUANTITY),
        ("currency", "currency", TEXT),
    ],
    ApplyTierResult: [
        ("tier_code", "tierCode", TEXT),
        ("features_applied", "featuresApplied", COUNT),
    ],
    Link: [
        ("company_id", "companyId", TEXT),
        ("external_org_id", "externalOrgId", TEXT),
        ("label", "label", TEXT),
        ("external_user_id", "externalUserId", TEXT),
    ],
    ResetResult: [
        ("links_deleted", "linksDeleted", COUNT),
        ("contacts_deleted", "contactsDeleted", COUNT),
    ],
    OnboardResult: [
        ("company_id", "companyId", TEXT),
        ("company_name", "companyName", TEXT),
        ("link_status", "linkStatus", TEXT),
        ("billing_status", "billingStatus", OnboardBilling),
    ],
    OnboardBilling: [
        ("claimed", "claimed", BOOL),
        ("linked", "linked", BOOL),
        ("tier_applied", "tierApplied", BOOL),
        ("subscription_id", "subscriptionId", TEXT),
    ],
}

# The required fields; all others are optional, in nested models too.
REQUIRED = {
    (Company, "id"),
    (Contact, "id"),
    (FeatureAccess, "is_enabled"),
    (OrgFeatures, "company_id"),
    (OrgFeatures, "features"),
    (SmartLinkResult, "status"),
    (BulkUpsertResult, "created"),
    (BulkUpsertResult, "updated"),
    (UsageResult, "current_usage"),
    (ClaimResult, "already_claimed"),
    (BillingStatus, "has_billing_profile"),
    (BillingStatus, "active_subscriptions"),
    (TierSummary, "code"),
    (Tier, "code"),
    (Tier, "features"),
    (StripePrice, "price_id"),
    (ResetResult, "links_deleted"),
    (OnboardResult, "company_id"),
    (OnboardResult, "link_status"),
}


class Way(NamedTuple):
    """The way of a model to the caller: its request, the answer around it, its place in the result."""

    request: Any
    place: str
    wrapped: Callable[[Any], Any]
    found: Callable[[Any], Any]


def _itself(value: Any) -> Any:
    return value


def _straight(request: Any) -> Way:
    return Way(request, "$", _itself, _itself)


CHECK = FeatureCheckInput(company_id="c", feature_code="f")
SET_ACCESS = FeatureSetAccessInput(company_id="c", feature_code="f", is_enabled=True)
SMART_LINK = SmartLinkInput(external_org_id="o")
UPSERT = BulkUpsertInput(company_id="c", contacts=[])
STATUS = GetStatusInput(company_id="c")
TIER = GetTierInput(tier_code="t")
APPLY = ApplyTierInput(tier_code="t", company_id="c")
CREATE_LINK = CreateLinkInput(company_id="c", external_org_id="o")
UPDATE = UpdateCompanyInput(company_id="c", created_at="2024-01-15T10:30:00Z")
ONBOARD = OnboardInput(external_org_id="o")
ORG = chatarmin_os.GetAccessByExternalOrgIdInput(external_org_id="o")

WAYS: dict[type[Any], Way] = {
    Company: _straight(GetByProductLinkInput(external_org_id="o")),
    SmartLinkResult: _straight(SMART_LINK),
    Suggestion: Way(
        SMART_LINK,
        "$.suggestions[1]",
        lambda model: {"status": "suggestions", "suggestions": [{}, model]},
        lambda result: result.suggestions[1],
    ),
    Contact: Way(
        ListContactsInput(company_id="c"),
        "$[2]",
        lambda model: [{"id": "1"}, {"id": "2"}, model],
        lambda result: result[2],
    ),
    BulkUpsertResult: _straight(UPSERT),
    FeatureAccess: _straight(CHECK),
    OrgFeatures: _straight(ORG),
    UsageResult: _straight(TrackUsageInput(company_id="c", feature_code="f", quantity=1)),
    ClaimResult: _straight(ClaimCheckoutInput(company_id="c", checkout_session_id="s")),
    LinkSubscriptionResult: _straight(LinkSubscriptionInput(company_id="c", stripe_subscription_id="s")),
    BillingStatus: _straight(STATUS),
    Subscription: Way(
        STATUS,
        "$.activeSubscriptions[0]",
        lambda model: {"hasBillingProfile": True, "activeSubscriptions": [model]},
        lambda result: result.active_subscriptions[0],
    ),
    TierSummary: Way(
        STATUS,
        "$.activeSubscriptions[0].tier",
        lambda model: {"hasBillingProfile": True, "activeSubscriptions": [{"tier": model}]},
        lambda result: result.active_subscriptions[0].tier,
    ),
    Tier: _straight(TIER),
    TierFeature: Way(
        TIER,
        "$.features[0]",
        lambda model: {"code": "t", "features": [model]},
        lambda result: result.features[0],
    ),
    BaseFee: Way(
        TIER,
        "$.baseFee",
        lambda model: {"code": "t", "features": [], "baseFee": model},
        lambda result: result.base_fee,
    ),
    StripePrice: Way(
        TIER,
        "$.baseFee.stripe",
        lambda model: {"code": "t", "features": [], "baseFee": {"stripe": model}},
        lambda result: result.base_fee.stripe,
    ),
    ApplyTierResult: _straight(APPLY),
    Link: _straight(CREATE_LINK),
    ResetResult: _straight(ResetLinksInput()),
    OnboardResult: _straight(ONBOARD),
    OnboardBilling: Way(
        ONBOARD,
        "$.billingStatus",
        lambda model: {"companyId": "c", "linkStatus": "created", "billingStatus": model},
        lambda result: result.billing_status,
    ),
}

VALUES: dict[Any, Any] = {
    TEXT: "text",
    BOOL: True,
    QUANTITY: 2.5,
    COUNT: 2,
    INSTANT: "2024-01-15T10:30:00.123Z",
    MAPPING: {"max_rows": 5, "maxRows": [1, {"deep_er": None}]},
}
DECODED = {**VALUES, INSTANT: datetime(2024, 1, 15, 10, 30, 0, 123_000, tzinfo=UTC)}


def _full(kind: Any) -> Any:
    """Return the JSON of a field with everything in it."""
    if isinstance(kind, ListOf):
        return [_full(kind.item), _full(kind.item)]
    if kind in VALUES:
        return copy.deepcopy(VALUES[kind])
    return {wire: _full(of) for _, wire, of in MODELS[kind]}


def _model(kind: Any) -> Any:
    """Return the values of a model that `_full` becomes."""
    if isinstance(kind, ListOf):
        return (_model(kind.item), _model(kind.item))
    if kind in VALUES:
        return copy.deepcopy(DECODED[kind])
    return kind(**{name: _model(of) for name, _, of in MODELS[kind]})


def _decoded(model: type[Any], content: Any) -> Any:
    """Return the model that a client builds from JSON."""
    way = WAYS[model]
    return way.found(answered(way.request, way.wrapped(content)))


def _refused(model: type[Any], content: Any, place: str) -> str:
    """Return the message with which a client refuses a model's JSON, which names its *place* and no other."""
    way = WAYS[model]
    with pytest.raises(InvalidResponse) as refused:
        answered(way.request, way.wrapped(content))
    message = str(refused.value)
    named = re.search(r"\$[\w.\[\]]*", message)
    assert (way.place + place) == (named and named[0])
    assert way.request.path in message
    assert refused.value.request == way.request
    return message


FIELDS = [(model, name, wire, kind) for model, fields in MODELS.items() for name, wire, kind in fields]
OPTIONAL = [row for row in FIELDS if (row[0], row[1]) not in REQUIRED]
NEEDED = [row for row in FIELDS if (row[0], row[1]) in REQUIRED]

NAN = float("nan")
WRONG: dict[Any, list[Any]] = {
    TEXT: [5, 1.5, True, False, ["text"], {"text": "text"}],
    BOOL: [0, 1, 1.0, "true", "", [], [True], {}],
    QUANTITY: ["5 ", "", "five", True, False, [5], ["5"], {}, NAN, float("inf"), float("-inf")],
    COUNT: ["2.5", "five", "", True, False, [], {}, 2.5, -0.5, 1e-9, NAN, float("inf"), float("-inf")],
    INSTANT: [
        *[1705314600, 1.5, True, [], {}, NAN, float("-inf"), "", "soon", "2024-01-15T10:30:00"],
        *["2024-13-01T00:00:00Z", "2024-02-30", "20240115", "2024-01", "NaN", "-Infinity", "1705314600000"],
    ],
    MAPPING: [[], [["key", "value"]], "text", "", 5, True],
}
WRONG_LISTS = [{}, {"0": {}}, "text", "", 5, True, False, 1.5]
WRONG_MODELS = [[], [{}], [["id", "x"]], "text", "", 5, True, False]


def _wrong(kind: Any) -> list[Any]:
    if isinstance(kind, ListOf):
        return WRONG_LISTS
    return WRONG.get(kind, WRONG_MODELS)


# Shape


def test_tables_name_every_model() -> None:
    """The tables of this module name every model that is exported."""
    exported = {cast("Any", getattr(chatarmin_os, name)) for name in chatarmin_os.__all__ if name != "PROCEDURES"}
    models = {one for one in exported if getattr(one, "__module__", "").startswith("chatarmin_os.models.")}

    assert models == {*MODELS, SignUpResult}
    assert set(MODELS) == set(WAYS)


@pytest.mark.parametrize("model", MODELS, ids=words)
def test_model_has_its_fields_in_order(model: type[Any]) -> None:
    """A model has the fields of its table in that order, then `extra`."""
    assert [name for name, _, _ in MODELS[model]] + ["extra"] == [field.name for field in attrs.fields(model)]


def test_hints_have_three_fields() -> None:
    """Hints have three fields and, as an input, no `extra`."""
    assert [field.name for field in attrs.fields(Hints)] == ["company_name", "domain", "emails"]


@pytest.mark.parametrize("model", MODELS, ids=words)
def test_fields_are_keyword_arguments(model: type[Any]) -> None:
    """A model can be built from keywords alone, in any order."""
    values = {name: _model(kind) for name, _, kind in reversed(MODELS[model])}

    built = model(extra={"more": 1}, **values)

    assert values == {name: getattr(built, name) for name in values}
    assert built.extra == {"more": 1}


@pytest.mark.parametrize("model", MODELS, ids=words)
def test_extra_is_keyword_only(model: type[Any]) -> None:
    """`extra` is not positional."""
    values = [_model(kind) for _, _, kind in MODELS[model]]

    assert _model(model) == model(*values)
    with pytest.raises(TypeError):
        model(*values, {"more": 1})


@pytest.mark.parametrize(("model", "name"), [row[:2] for row in FIELDS], ids=words)
def test_model_is_frozen(model: type[Any], name: str) -> None:
    """No field of a model can be set or deleted."""
    built = _model(model)

    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(built, name, None)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        delattr(built, name)
    with pytest.raises(AttributeError):
        built.something_else = 1


@pytest.mark.parametrize("model", MODELS, ids=words)
def test_model_copies_completely(model: type[Any]) -> None:
    """A copied, deeply copied or pickled model is equal, unknown fields included."""
    built = attrs.evolve(_model(model), extra={"more": [1, {"two": 2}]})

    copies = [copy.copy(built), copy.deepcopy(built)]
    copies += [pickle.loads(pickle.dumps(built, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]  # noqa: S301 - pickled here

    for clone in copies:
        assert built == clone
        assert built.extra == clone.extra


def test_deep_copy_shares_no_mapping() -> None:
    """Changing the mappings of a deep copy does not change the original."""
    built = Contact(id="1", metadata={"list": [1]}, extra={"more": [1]})
    clone = copy.deepcopy(built)

    assert clone.metadata
    clone.metadata["list"].append(2)
    clone.extra["more"].append(2)

    assert (built.metadata, built.extra) == ({"list": [1]}, {"more": [1]})


WITH_MAPPING = (Contact, FeatureAccess, TierFeature, BulkUpsertResult, OrgFeatures, Tier)


@pytest.mark.parametrize("model", [model for model in MODELS if model not in WITH_MAPPING], ids=words)
def test_model_without_a_mapping_is_hashable(model: type[Any]) -> None:
    """Equal models without a mapping are one in a set."""
    assert {_model(model)} == {_model(model), model(**attrs.asdict(_model(model), recurse=False))}


@pytest.mark.parametrize("model", WITH_MAPPING, ids=words)
def test_model_with_a_mapping_is_not_hashable(model: type[Any]) -> None:
    """A model that holds a mapping, itself or further in, cannot be in a set."""
    with pytest.raises(TypeError, match="unhashable"):
        hash(_model(model))


# Answers


@pytest.mark.parametrize("model", MODELS, ids=words)
def test_complete_answer_becomes_a_complete_model(model: type[Any]) -> None:
    """Every field comes from its camelCase name, and nothing is left over."""
    decoded = _decoded(model, _full(model))

    assert _model(model) == decoded
    assert decoded.extra == {}


@pytest.mark.parametrize("model", MODELS, ids=words)
def test_missing_optional_field_is_none(model: type[Any]) -> None:
    """A missing optional field is None, or an empty tuple."""
    minimal = {wire: _full(kind) for of, _, wire, kind in NEEDED if of is model}

    decoded = _decoded(model, minimal)

    for name, _, kind in MODELS[model]:
        if (model, name) in REQUIRED:
            assert _model(kind) == getattr(decoded, name)
        else:
            assert getattr(decoded, name) == (() if isinstance(kind, ListOf) else None)


@pytest.mark.parametrize(("model", "name", "wire", "kind"), OPTIONAL, ids=words)
def test_optional_field_may_be_null(model: type[Any], name: str, wire: str, kind: Any) -> None:
    """Null equals a missing field: None, or an empty tuple for a sequence."""
    decoded = _decoded(model, {**_full(model), wire: None})

    assert getattr(decoded, name) == (() if isinstance(kind, ListOf) else None)


@pytest.mark.parametrize(("model", "wire"), [(row[0], row[2]) for row in NEEDED], ids=words)
def test_missing_required_field_is_rejected(model: type[Any], wire: str) -> None:
    """A required field that is missing or null is rejected by name."""
    missing = _full(model)
    del missing[wire]

    _refused(model, missing, f".{wire}")
    _refused(model, {**missing, wire: None}, f".{wire}")


@pytest.mark.parametrize("model", MODELS, ids=words)
def test_wrong_type_is_rejected_at_its_place(model: type[Any]) -> None:
    """A value of another type is never converted: the answer is rejected, and the place named in wire names."""
    wrong_fields = [(wire, wrong) for of, _, wire, kind in FIELDS if of is model for wrong in _wrong(kind)]

    check_each(wrong_fields, lambda field: _refused(model, {**_full(model), field[0]: field[1]}, f".{field[0]}"))


@pytest.mark.parametrize("model", MODELS, ids=words)
@pytest.mark.parametrize("wrong", WRONG_MODELS, ids=words)
def test_non_object_is_rejected(model: type[Any], wrong: Any) -> None:
    """A list or a single value is not a model."""
    _refused(model, wrong, "")


@pytest.mark.parametrize(
    ("asked", "path"),
    [(ListTiersInput(), "tiers.list"), (ListAccessInput(company_id="c"), "features.listAccess")],
    ids=words,
)
@pytest.mark.parametrize("wrong", [None, *WRONG_LISTS], ids=words)
def test_non_list_is_rejected(asked: Any, path: str, wrong: Any) -> None:
    """If the answer is a list, an object, a text or null is rejected."""
    with pytest.raises(InvalidResponse) as refused:
        answered(asked, wrong)

    assert str(refused.value).startswith(f"{path}: unexpected answer: expected a list at $, got")


@pytest.mark.parametrize(
    ("asked", "answer", "place"),
    [
        (
            ORG,
            {"companyId": "c", "features": [{"isEnabled": True}] * 3 + [{"isEnabled": "yes"}]},
            "$.features[3].isEnabled",
        ),
        (ORG, {"companyId": "c", "features": [{"isEnabled": True}, {"featureCode": "f"}]}, "$.features[1].isEnabled"),
        (ORG, {"companyId": "c", "features": [None]}, "$.features[0]"),
        (ListTiersInput(), [{"code": "a"}, {"code": 5}], "$[1].code"),
        (ListTiersInput(), [{"code": "a"}, None], "$[1]"),
        (TIER, {"code": "t", "features": [], "stripePriceIds": ["a", None]}, "$.stripePriceIds[1]"),
        (TIER, {"code": "t", "features": [], "stripePriceIds": ["a", "b", 3]}, "$.stripePriceIds[2]"),
        (TIER, {"code": "t", "features": [{"stripe": {"unitAmount": 5}}]}, "$.features[0].stripe.priceId"),
        (
            STATUS,
            {"hasBillingProfile": True, "activeSubscriptions": [{"tier": {"name": "Pro"}}]},
            "$.activeSubscriptions[0].tier.code",
        ),
        (
            UPSERT,
            {"created": 1, "updated": 0, "contacts": [{"id": "1", "metadata": []}]},
            "$.contacts[0].metadata",
        ),
    ],
    ids=words,
)
def test_place_of_a_wrong_type_is_complete(asked: Any, answer: Any, place: str) -> None:
    """A place of any depth is named from the root, with indices and wire names."""
    with pytest.raises(InvalidResponse, match=re.escape(f" at {place}, got ")):
        answered(asked, answer)


def test_invalid_answer_is_shown_in_short() -> None:
    """The message shows the value, cut if it is long, and the error has the request."""
    with pytest.raises(InvalidResponse) as refused:
        answered(CHECK, {"isEnabled": "x" * 10_000})

    assert len(str(refused.value)) < 300
    assert "str 'xxx" in str(refused.value)
    assert (refused.value.outcome, refused.value.attempts, refused.value.request) == ("unknown", 1, CHECK)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [(0, 0), (2, 2), (2.0, 2), (-0.0, 0), (0.1, 0.1), (2.5, 2.5), (-3, -3), (1e3, 1000), (2**60, 2**60)],
)
def test_whole_quantity_is_an_int(given: float, expected: float) -> None:
    """A whole quantity is an int in any notation, any other a float."""
    result = answered(WAYS[UsageResult].request, {"currentUsage": given, "remaining": given})

    assert (expected, expected) == (result.current_usage, result.remaining)
    assert type(expected) is type(result.current_usage) is type(result.remaining)


@pytest.mark.parametrize(("given", "expected"), [(0, 0), (2, 2), (2.0, 2), (1e3, 1000)])
def test_count_is_an_int(given: float, expected: int) -> None:
    """A count is an int, also if it is written with a point."""
    result = answered(ResetLinksInput(), {"linksDeleted": given, "contactsDeleted": given})

    assert (expected, expected) == (result.links_deleted, result.contacts_deleted)
    assert type(result.links_deleted) is type(result.contacts_deleted) is int


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2024-01-15T10:30:00.000Z", datetime(2024, 1, 15, 10, 30, tzinfo=UTC)),
        ("2024-01-15T10:30:00Z", datetime(2024, 1, 15, 10, 30, tzinfo=UTC)),
        ("2024-01-15T10:30:00+00:00", datetime(2024, 1, 15, 10, 30, tzinfo=UTC)),
        ("2024-01-15T10:30:00+02:00", datetime(2024, 1, 15, 8, 30, tzinfo=UTC)),
        ("2024-01-15T00:30:00-05:30", datetime(2024, 1, 15, 6, 0, tzinfo=UTC)),
        ("2023-12-31T23:30:00-01:00", datetime(2024, 1, 1, 0, 30, tzinfo=UTC)),
        ("2024-01-15T10:30:00.123456Z", datetime(2024, 1, 15, 10, 30, 0, 123_456, tzinfo=UTC)),
        ("2024-01-15T10:30:00.5+01:00", datetime(2024, 1, 15, 9, 30, 0, 500_000, tzinfo=UTC)),
    ],
)
def test_instant_is_aware_and_in_utc(given: str, expected: datetime) -> None:
    """An instant of any offset is an aware datetime in UTC with all its microseconds."""
    company = answered(GetByProductLinkInput(external_org_id="o"), {"id": "c", "createdAt": given})
    access = answered(CHECK, {"isEnabled": True, "validUntil": given})

    assert (expected, expected) == (company.created_at, access.valid_until)
    for moment in (company.created_at, access.valid_until):
        assert moment.tzinfo is UTC
        assert moment.utcoffset() == timedelta(0)


NUMBERS_AS_TEXT = [
    ("6", 6),
    ("6.00", 6),
    ("12.5", 12.5),
    ("-3.50", -3.5),
    ("0", 0),
    ("-0", 0),
    ("-0.00", 0),
    ("0.125", 0.125),
    ("1e3", 1000),
    ("1.5E+1", 15),
    ("25e-1", 2.5),
    ("1e-400", 0),
    ("0e999999999999", 0),
    ("9007199254740993", 9007199254740993),
    ("-9007199254740993.00", -9007199254740993),
    ("90071992547409930e-1", 9007199254740993),
    ("12345678901234567.8e1", 123456789012345678),
    ("9007199254740993.5", 9007199254740994.0),
    ("1e22", 10**22),
    ("1" + "0" * 400, 10**400),
    ("9" * 4300, 10**4300 - 1),
    ("5." + "0" * 100_000, 5),
    ("0." + "0" * 100_000 + "1e100001", 1),
]


@pytest.mark.parametrize(("given", "expected"), NUMBERS_AS_TEXT, ids=[words(row[0]) for row in NUMBERS_AS_TEXT])
def test_quantity_may_be_text(given: str, expected: float) -> None:
    """Text that is exactly a JSON number is that number, as databases write it: exact, and an int if it is whole."""
    usage = answered(WAYS[UsageResult].request, {"currentUsage": given, "billableQuantity": given})

    assert (usage.current_usage, usage.billable_quantity) == (expected, expected)
    assert type(usage.current_usage) is type(expected)


@pytest.mark.parametrize(("given", "expected"), [row for row in NUMBERS_AS_TEXT if type(row[1]) is int][:20])
def test_count_may_be_text(given: str, expected: int) -> None:
    """The same holds for counts."""
    result = answered(ResetLinksInput(), {"linksDeleted": given, "contactsDeleted": given})

    assert (result.links_deleted, result.contacts_deleted) == (expected, expected)
    assert type(result.links_deleted) is int


@pytest.mark.parametrize(("model", "name", "wire", "kind"), FIELDS, ids=words)
def test_numbers_may_be_text_in_every_model(model: type[Any], name: str, wire: str, kind: Any) -> None:
    """Quantities, counts, amounts and confidences may be text in every model and list, and no other field."""
    if kind in {QUANTITY, COUNT}:
        assert getattr(_decoded(model, {**_full(model), wire: "6.00"}), name) == 6
    elif kind == TEXT:
        assert getattr(_decoded(model, {**_full(model), wire: "6.00"}), name) == "6.00"
    else:
        _refused(model, {**_full(model), wire: "6.00"}, f".{wire}")


@pytest.mark.parametrize(
    "text",
    [
        *[
            "",
            " ",
            "-",
            "+6",
            " 6",
            "6 ",
            "6\n",
            "\t6",
            "06",
            "-06",
            "00",
            "6.",
            ".5",
            "-.5",
            "1e",
            "1e+",
            "1e5.0",
            "e5",
        ],
        *["0x6", "0b1", "1_000", "1,000", "1,5", "1 000", "6.0.0", "--6", "6-", "1/2", "6%", "$6", "6n", "six", "true"],
        *["null", "NaN", "nan", "Infinity", "-Infinity", "inf", "1e999", "-1e400", "1e999999999", "9" * 4301],
        *["\u0666", "\uff16", "\u00b2", "6\0", '"6"', "[6]"],
    ],
    ids=words,
)
def test_other_text_is_not_a_number(text: str) -> None:
    """Text that is not a finite JSON number is a wrong type, also for counts."""
    for model, wire in ((UsageResult, "currentUsage"), (ResetResult, "linksDeleted")):
        assert f"got str {text!r}"[:30] in _refused(model, {**_full(model), wire: text}, f".{wire}")


@given(number=st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_text_of_a_number_is_read_as_the_number(number: float) -> None:
    """Every JSON number in quotes is the same number."""
    text = json.dumps(number)
    plain, quoted = (answered(WAYS[UsageResult].request, {"currentUsage": given}) for given in (number, text))

    if abs(number) <= 2**53:  # the text of a larger float says more than the float: it is read exactly
        assert repr(plain.current_usage) == repr(quoted.current_usage)
    assert float(quoted.current_usage) == float(number)


@pytest.mark.parametrize(("make", "expected"), [("0.{}", 0), ("0e{}", 0), ("1.{}", 1), ("1e-{}1", 0.1), ("{}", None)])
def test_number_of_any_length_is_read_in_linear_time(make: str, expected: float | None) -> None:
    """Text of any length is read or rejected in linear time."""
    text = make.format("0" * 1_000_000)

    if expected is None:
        assert len(_refused(UsageResult, {"currentUsage": text}, ".currentUsage")) < 300
    else:
        assert answered(WAYS[UsageResult].request, {"currentUsage": text}).current_usage == expected


@pytest.mark.parametrize("make", ["1{}", "-1{}", "1{}.5", "1{}e5", "1e1{}", "1.{}x"])
def test_endless_number_is_rejected_at_once(make: str) -> None:
    """A number beyond all floats, and longer than the ints that Python prints, is a wrong type."""
    text = make.format("0" * 1_000_000)

    assert len(_refused(UsageResult, {"currentUsage": text}, ".currentUsage")) < 300


@pytest.mark.parametrize("wrong", ["4900", 4900.5])
def test_snapshot_of_the_fake_rejects_numbers_as_text(wrong: object) -> None:
    """Numbers as text are for answers of the service only."""
    snapshot = FakeTransport(demo_catalogue()).snapshot()
    snapshot["catalogue"]["tiers"][0]["baseFee"] = wrong

    with pytest.raises(ValueError, match="baseFee"):
        FakeTransport.from_snapshot(snapshot)


LAST, FIRST = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)
NEW_YEAR = datetime(2027, 1, 1, tzinfo=UTC)
INSTANTS = [
    # Days, as Drizzle's `date` answers them
    ("2027-01-01", NEW_YEAR),
    ("2024-02-29", datetime(2024, 2, 29, tzinfo=UTC)),
    ("0001-01-01", FIRST),
    ("9999-12-31", datetime(9999, 12, 31, tzinfo=UTC)),
    # JavaScript writes other years with a sign and six digits
    ("+275760-09-13T00:00:00.000Z", LAST),
    ("+010000-01-01T00:00:00.000Z", LAST),
    ("+012024-02-29T23:59:59.999Z", LAST),
    ("+275760-09-13", LAST),
    ("+002027-01-01T00:00:00.000Z", NEW_YEAR),
    ("+002027-01-01T02:00:00.000+02:00", NEW_YEAR),
    ("-000001-12-31T23:59:59.999Z", FIRST),
    ("-271821-04-20T00:00:00.000Z", FIRST),
    ("0000-01-01T00:00:00.000Z", FIRST),
    ("+000000-01-01T00:00:00.000Z", FIRST),
    # PostgreSQL writes them without a sign
    ("12024-01-01", LAST),
    ("275760-09-13", LAST),
    ("10000-01-01 00:00:00+00", LAST),
    ("+12024-01-01T00:00:00Z", LAST),
    ("2027-01-01 01:00:00+01", NEW_YEAR),
    # An offset decides the year
    ("9999-12-31T23:59:59-01:00", LAST),
    ("+010000-01-01T00:30:00+01:00", datetime(9999, 12, 31, 23, 30, tzinfo=UTC)),
    ("0001-01-01T00:00:00+01:00", FIRST),
    ("0000-12-31T23:30:00-01:00", datetime(1, 1, 1, 0, 30, tzinfo=UTC)),
    # Fractions of a microsecond are cut
    ("2027-01-01T00:00:00.123456789Z", NEW_YEAR.replace(microsecond=123_456)),
]


@pytest.mark.parametrize(("given", "expected"), INSTANTS, ids=[words(row[0]) for row in INSTANTS])
def test_day_or_far_year_is_an_instant(given: str, expected: datetime) -> None:
    """A day is its start in UTC; an instant beyond the years of `datetime` is its last or first one."""
    company = answered(GetByProductLinkInput(external_org_id="o"), {"id": "c", "createdAt": given})
    (access,) = answered(ListAccessInput(company_id="c"), [{"isEnabled": True, "validUntil": given}])

    assert (company.created_at, access.valid_until) == (expected, expected)
    assert company.created_at.tzinfo is access.valid_until.tzinfo is UTC


@pytest.mark.parametrize(
    "given",
    [
        *[
            "2027",
            "2027-01",
            "2027-1-1",
            "20270101",
            "2027-W01-1",
            "2027-001",
            "2027-01-01Z",
            "2027-01-01T",
            "2027/01/01",
        ],
        *["2027-13-01", "2027-00-01", "2027-02-29", "2027-01-32", "2027-01-01\n", " 2027-01-01", "\uff12027-01-01"],
        *["-000000-01-01T00:00:00.000Z", "+275760-13-01T00:00:00.000Z", "+002027-02-29T00:00:00.000Z"],
        *[
            "+275760-09-13T25:00:00.000Z",
            "+275760-09-13T00:00:00.000",
            "+275760-09-13T00:00:00.000 Z",
            "-275760-09-13T00",
        ],
        *["+2757600-09-13T00:00:00.000Z", "02027-01-01", "-2027-01-01T00:00:00Z", "--00001-01-01T00:00:00Z"],
        *["2027-01-01T24:00:00Z", "2027-01-01T23:59:60Z", "2027-01-01T00:00:00", "12024-01-01T00:00:00"],
        *[
            "Fri Jan 01 2027 00:00:00 GMT+0000",
            "Fri, 01 Jan 2027 00:00:00 GMT",
            "1/1/2027, 12:00:00 AM",
            "Invalid Date",
        ],
        *["infinity", "-infinity", "0044-03-15 BC", "never", "today", "1798761600", "1798761600000", "6.00"],
    ],
)
def test_other_notation_of_a_date_is_rejected(given: str) -> None:
    """A notation of neither a driver nor `JSON.stringify` is a wrong type, and shown unchanged."""
    assert repr(given)[1:30] in _refused(Company, {"id": "c", "createdAt": given}, ".createdAt")


def test_wrong_type_in_a_result_has_status_200() -> None:
    """The response was a result, which is sent with status 200: it is a mistake, not an outage."""
    wrong: list[Any] = [{"isEnabled": "yes"}, {}, None, []]
    for answer in wrong:
        with pytest.raises(InvalidResponse) as refused:
            answered(CHECK, answer)
        assert refused.value.http_status == 200


@pytest.mark.parametrize("unknown", ["merged", "", "LINKED", "already linked"])
def test_unknown_status_is_plain_text(unknown: str) -> None:
    """An unknown status, reason or source stays unchanged text."""
    linked = answered(SMART_LINK, {"status": unknown, "suggestions": [{"reason": unknown}]})
    onboarded = answered(ONBOARD, {"companyId": "c", "linkStatus": unknown})
    access = answered(CHECK, {"isEnabled": True, "source": unknown})

    values = [linked.status, linked.suggestions[0].reason, onboarded.link_status, access.source]
    assert [unknown] * 4 == values
    assert {type(text) for text in values} == {str}


def test_list_is_a_tuple_in_a_model_and_a_list_at_the_top() -> None:
    """A sequence of a model is a tuple; an answer that is a list is a list."""
    tier = answered(TIER, {"code": "t", "features": [], "stripePriceIds": ["b", "a"]})
    tiers = answered(ListTiersInput(), [{"code": "b"}, {"code": "a"}])

    assert (tier.features, tier.stripe_price_ids) == ((), ("b", "a"))
    assert tiers == [TierSummary(code="b"), TierSummary(code="a")]
    assert answered(ListTiersInput(), []) == []


def test_empty_answer_may_be_none() -> None:
    """An empty answer is None if the result may be None."""
    company = answered(GetByProductLinkInput(external_org_id="o"), None)

    assert company is None


@pytest.mark.parametrize(("can_use", "expected"), [(True, True), (False, False), (None, False)])
def test_access_is_true_if_it_can_be_used(can_use: bool | None, expected: bool) -> None:  # noqa: FBT001
    """An access in a condition is its `can_use`, and false if the service does not say."""
    built = FeatureAccess(is_enabled=True, can_use=can_use)
    checked = answered(CHECK, {"isEnabled": True} if can_use is None else {"isEnabled": True, "canUse": can_use})

    assert (bool(built), bool(checked), not built) == (expected, expected, not expected)


def test_other_models_are_true() -> None:
    """All other models are true, with any content."""
    assert [model for model in MODELS if not model()] == [FeatureAccess]


# Mappings


def test_mapping_keeps_its_keys() -> None:
    """Keys of free-form mappings are not renamed, in any notation."""
    keys = {"snake_case": 1, "camelCase": 2, "with space": {"inner_key": [{"deepKey": None}]}, "": True}

    contact = answered(ListContactsInput(company_id="c"), [{"id": "1", "metadata": keys}])[0]
    access = answered(CHECK, {"isEnabled": True, "configValues": keys})

    assert keys == contact.metadata
    assert keys == access.config_values
    assert type(contact.metadata) is dict


def test_mapping_is_independent_of_the_answer() -> None:
    """Changing the transport's answer afterwards does not change the model."""
    # Given an answer with mappings, lists in them, and unknown fields
    answer: Any = {
        "isEnabled": True,
        "configValues": {"list": [1, {"deep": 1}], "map": {"a": 1}},
        "unknown": {"list": [1, {"deep": 1}]},
        "others": [[1]],
    }
    expected = copy.deepcopy(answer)
    access = answered(CHECK, answer)

    # When the answer is changed through and through
    answer["configValues"]["list"][1]["deep"] = 2
    answer["configValues"]["list"].append(3)
    answer["configValues"]["map"]["b"] = 4
    answer["unknown"]["list"][1]["deep"] = 2
    answer["others"][0].append(5)
    answer.clear()

    # Then the model is as it was
    assert expected["configValues"] == access.config_values
    assert access.extra == {"unknown": expected["unknown"], "others": expected["others"]}


def test_answer_is_independent_of_the_mapping() -> None:
    """Changing a model's mapping does not change the transport's answer."""
    answer: Any = {"isEnabled": True, "configValues": {"list": [1]}, "unknown": {"list": [1]}}
    access = answered(CHECK, answer)

    access.config_values["list"].append(2)
    access.extra["unknown"]["list"].append(2)

    assert answer == {"isEnabled": True, "configValues": {"list": [1]}, "unknown": {"list": [1]}}


# Unknown fields


@pytest.mark.parametrize("model", MODELS, ids=words)
def test_unknown_field_is_in_extra(model: type[Any]) -> None:
    """A field that this version does not know is in `extra` by its wire name, and nowhere else."""
    more = {"newField": {"inner_key": [1, None]}, "snake_field": "text", "extra": False, "zero": None}

    decoded = _decoded(model, {**_full(model), **more})

    assert more == decoded.extra
    assert _model(model) == decoded
    assert repr(_model(model)) == repr(decoded)
    assert "newField" not in repr(decoded)


@pytest.mark.parametrize("model", [model for model in MODELS if model not in WITH_MAPPING], ids=words)
def test_extra_is_not_hashed(model: type[Any]) -> None:
    """Two models that differ in `extra` alone are one in a set."""
    decoded = _decoded(model, {**_full(model), "newField": [1]})

    assert hash(_model(model)) == hash(decoded)
    assert {_model(model)} == {decoded}


@pytest.mark.parametrize("model", MODELS, ids=words)
def test_models_share_no_extra(model: type[Any]) -> None:
    """Models without unknown fields do not share their empty mapping."""
    one, other = _decoded(model, _full(model)), _decoded(model, _full(model))

    assert one.extra is not other.extra
    assert model().extra is not model().extra


def test_python_name_is_unknown_on_the_wire() -> None:
    """A field is read from its wire name only; the Python name is an unknown field."""
    access = answered(CHECK, {"isEnabled": True, "can_use": True, "canUse": False})

    assert access.can_use is False
    assert access.extra == {"can_use": True}


# Empty answers

LENIENT: list[tuple[Any, type[Any]]] = [
    (UPDATE, Company),
    (SET_ACCESS, FeatureAccess),
    (APPLY, ApplyTierResult),
    (CREATE_LINK, Link),
]


@pytest.mark.parametrize(("asked", "model"), LENIENT, ids=words)
@pytest.mark.parametrize("empty", [None, {}], ids=["null", "object"])
def test_empty_answer_is_a_model_of_nones(asked: Any, model: type[Any], empty: Any) -> None:
    """If the service shows no result, an empty answer is a model of Nones."""
    decoded = answered(asked, empty)

    assert type(decoded) is model
    assert {None} == {getattr(decoded, name) for name, _, _ in MODELS[model]}
    assert decoded.extra == {}


def test_empty_answer_of_the_alias_is_a_model_of_nones() -> None:
    """`subscriptions.create` applies a tier, and its answer may be empty too."""
    client = ChatarminOS(transport=Prepared(None))

    decoded = client.subscriptions.create("t", company_id="c")

    assert decoded == ApplyTierResult()


@pytest.mark.parametrize(("asked", "model"), LENIENT, ids=words)
def test_optional_answer_may_be_complete(asked: Any, model: type[Any]) -> None:
    """An answer that may be empty may also have all fields, or any one of them."""
    whole = answered(asked, _full(model))
    parts = [answered(asked, {wire: _full(kind)}) for _, wire, kind in MODELS[model]]

    assert _model(model) == whole
    assert [model(**{name: _model(kind)}) for name, _, kind in MODELS[model]] == parts


@pytest.mark.parametrize(("asked", "model"), LENIENT, ids=words)
def test_optional_answer_rejects_a_wrong_type(asked: Any, model: type[Any]) -> None:
    """A wrong type in an answer that may be empty is rejected by name."""

    def check(field: tuple[str, Any]) -> None:
        wire, wrong = field
        with pytest.raises(InvalidResponse, match=re.escape(f" at $.{wire}, got ")):
            answered(asked, {wire: wrong})

    check_each([(wire, wrong) for _, wire, kind in MODELS[model] for wrong in _wrong(kind)], check)


@pytest.mark.parametrize(("asked", "model"), LENIENT, ids=words)
@pytest.mark.parametrize("wrong", WRONG_MODELS, ids=words)
def test_optional_answer_is_an_object_or_null(asked: Any, model: type[Any], wrong: Any) -> None:
    """An empty list or text is not an empty answer."""
    del model
    with pytest.raises(InvalidResponse, match=r" at \$, got "):
        answered(asked, wrong)


@pytest.mark.parametrize(
    "asked",
    [
        way.request
        for model, way in WAYS.items()
        if way.place == "$" and model not in {Company, *(model for _, model in LENIENT if model is not FeatureAccess)}
    ]
    + [
        ListContactsInput(company_id="c"),
        ListAccessInput(company_id="c"),
        ListTiersInput(),
        chatarmin_os.CreateCompanyInput(name="n", external_org_id="o"),
        chatarmin_os.CreateContactInput(company_id="c", email="ann@acme.com"),
        chatarmin_os.CheckByExternalOrgIdInput(external_org_id="o", feature_code="f"),
    ],
    ids=lambda request: request.path,
)
def test_other_answers_must_not_be_empty(asked: Any) -> None:
    """If the service shows a result, an empty answer is invalid."""
    with pytest.raises(InvalidResponse, match=r" at \$, got None$"):
        answered(asked, None)


def test_deeply_nested_answer_is_rejected() -> None:
    """JSON nested deeper than Python can follow is an invalid answer, not an error of the interpreter."""
    nested: list[Any] = []
    for _ in range(10_000):
        nested = [nested]

    with pytest.raises(InvalidResponse, match="nested too deep"):
        answered(FeatureCheckInput(company_id="c", feature_code="f"), {"isEnabled": True, "shards": nested})


@pytest.mark.parametrize(
    "model", [Tier(code="x"), OrgFeatures(company_id="c"), BillingStatus(has_billing_profile=True)]
)
def test_model_without_a_sequence_has_an_empty_one(model: Any) -> None:
    """A sequence that a user omits is empty, like one that an answer lacks."""
    sequences = [
        value
        for name, value in attrs.asdict(model, recurse=False).items()
        if name in {"features", "active_subscriptions"}
    ]

    assert sequences == [()]
    hash(model)
