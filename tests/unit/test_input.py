"""Arguments: the invalid ones, rejected before anything is sent, and the wire input of the others."""

from __future__ import annotations

import copy
import enum
import math
import pickle
import uuid
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest
from ids import words

from chatarmin_os import UNSET, ApiError, ChatarminOS, ContactInput, FeatureCheckInput, Hints, InvalidInput
from chatarmin_os.fake import FakeTransport, demo_catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import NoReturn

SOME_UUID = uuid.UUID("6F9619FF-8B86-D011-B42D-00CF4FC964FF")

# A call of each method that the client lets through; whether the service likes it is another matter.
FINE: dict[str, dict[str, Any]] = {
    "companies.get_by_product_link": {"external_org_id": "org_1"},
    "companies.create": {"name": "Acme", "external_org_id": "org_1"},
    "companies.update": {"company_id": "c", "created_at": "2024-01-15T10:30:00Z"},
    "companies.smart_link": {"external_org_id": "org_1"},
    "contacts.create": {"company_id": "c", "email": "ann@acme.com"},
    "contacts.bulk_upsert": {"company_id": "c", "contacts": []},
    "contacts.list": {"company_id": "c"},
    "features.check": {"company_id": "c", "feature_code": "seats"},
    "features.list_access": {"company_id": "c"},
    "features.set_access": {"company_id": "c", "feature_code": "seats"},
    "features.get_access_by_external_org_id": {"external_org_id": "org_1"},
    "features.check_by_external_org_id": {"external_org_id": "org_1", "feature_code": "seats"},
    "billing.track_usage": {"company_id": "c", "feature_code": "seats", "quantity": 1, "idempotency_key": "k"},
    "billing.claim_checkout": {"company_id": "c", "checkout_session_id": "cs_test_1"},
    "billing.link_subscription": {"company_id": "c", "stripe_subscription_id": "sub_1"},
    "billing.get_status": {"company_id": "c"},
    "tiers.list": {},
    "tiers.get": {"tier_code": "pro"},
    "tiers.apply": {"tier_code": "pro", "company_id": "c"},
    "subscriptions.create": {"tier_code": "pro", "company_id": "c"},
    "links.create": {"company_id": "c", "external_org_id": "org_1"},
    "links.reset": {},
    "onboard": {"external_org_id": "org_1"},
}

# Text arguments: the required and the optional ones.
NEEDED_TEXT = [
    (method, argument)
    for method, arguments in FINE.items()
    for argument, value in arguments.items()
    if isinstance(value, str) and argument not in {"created_at", "idempotency_key"}
]
OPTIONAL_TEXT = [
    ("companies.create", "domain"),
    ("companies.create", "contact_email"),
    ("companies.create", "contact_name"),
    ("contacts.create", "name"),
    ("contacts.create", "role"),
    ("contacts.create", "avatar_url"),
    ("billing.track_usage", "idempotency_key"),
    ("billing.link_subscription", "stripe_customer_id"),
    ("billing.link_subscription", "tier_code"),
    ("billing.link_subscription", "display_name"),
    ("links.create", "label"),
    ("links.create", "external_user_id"),
    ("onboard", "tier_code"),
    ("onboard", "contact_email"),
    ("onboard", "contact_name"),
    ("onboard", "checkout_session_id"),
    ("onboard", "stripe_subscription_id"),
]
TEXT = NEEDED_TEXT + OPTIONAL_TEXT
IDS = [(method, argument) for method, argument in TEXT if argument.endswith("_id") or argument == "idempotency_key"]
NO_IDS = [pair for pair in TEXT if pair not in IDS]
FREE = [
    ("contacts.create", "metadata"),
    ("billing.track_usage", "metadata"),
    ("features.set_access", "config"),
]


class Plain:
    """An object that is nothing in particular."""


class Rude:
    """An object that will not be shown."""

    def __repr__(self) -> NoReturn:
        """Refuse to be shown."""
        raise RuntimeError("no")

    __str__ = __repr__


class Nothing:
    """An object whose repr is not text."""

    def __repr__(self) -> Any:
        """Return another type than text."""
        return None


class Nowhere(tzinfo):
    """A time zone that does not know its offset."""

    def utcoffset(self, _: datetime | None, /) -> None:
        """Return no offset."""

    def tzname(self, _: datetime | None, /) -> str:
        """Return a name."""
        return "nowhere"

    def dst(self, _: datetime | None, /) -> None:
        """Return no shift."""


class Plan(enum.StrEnum):
    """Tiers and sources as an application may keep them."""

    PRO = "pro"
    MANUAL = "manual"


def in_a_circle() -> dict[str, Any]:
    """Return a mapping that contains itself."""
    circle: dict[str, Any] = {}
    circle["again"] = {"and": [circle]}
    return circle


def too_deep() -> list[Any]:
    """Return a list in a list in a list, deeper than JSON can be written."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    return deep


@pytest.fixture
def fake() -> FakeTransport:
    """Return the fake that would be called."""
    return FakeTransport(demo_catalogue())


def call(fake: FakeTransport, method: str, arguments: Mapping[str, Any]) -> None:
    """Call a method of a client on the fake."""
    attrgetter(method)(ChatarminOS(transport=fake))(**arguments)


def refused(fake: FakeTransport, method: str, **arguments: Any) -> InvalidInput:
    """Return the refusal of a call that was not sent, for whatever reason."""
    with pytest.raises(InvalidInput) as caught:
        call(fake, method, FINE[method] | arguments)
    assert isinstance(caught.value, ValueError)
    assert caught.value.field is not None
    assert caught.value.field in str(caught.value)
    assert list(fake.calls) == []
    return caught.value


def sent(fake: FakeTransport, method: str, **arguments: Any) -> Any:
    """Return the input of a call that was sent, whatever became of it."""
    with suppress(ApiError):
        call(fake, method, FINE[method] | arguments)
    assert len(fake.calls) == 1
    return fake.calls[-1].input


# Text


def refused_in_each_text(fake: FakeTransport, value: object) -> list[InvalidInput]:
    """Return the refusals of a value in each text argument."""
    errors = [(argument, refused(fake, method, **{argument: value})) for method, argument in TEXT]
    assert [argument for argument, _ in errors] == [error.field for _, error in errors]
    return [error for _, error in errors]


@pytest.mark.parametrize("value", ["", " ", "\t\n\u00a0"], ids=["empty", "space", "white"])
def test_blank_text_is_rejected(fake: FakeTransport, value: str) -> None:
    """Blank text is rejected in every text argument."""
    assert refused_in_each_text(fake, value)


@pytest.mark.parametrize(
    "value", [5, 0, 1.5, True, False, b"text", bytearray(b"text"), ["text"], {"text": 1}, Plain()], ids=words
)
def test_non_text_is_rejected(fake: FakeTransport, value: object) -> None:
    """No other type is converted to text."""
    assert refused_in_each_text(fake, value)


@pytest.mark.parametrize(("method", "argument"), NEEDED_TEXT)
def test_required_text_rejects_none(fake: FakeTransport, method: str, argument: str) -> None:
    """None is rejected by name if text is required."""
    whom = {"external_org_id": None} if method == "features.set_access" else {}

    error = refused(fake, method, **whom, **{argument: None})

    if whom and argument == "company_id":
        assert error.field in {"company_id", "external_org_id"}
    else:
        assert argument == error.field
        assert "None" in str(error)


@pytest.mark.parametrize(("method", "argument"), IDS)
def test_number_as_an_id_is_shown(fake: FakeTransport, method: str, argument: str) -> None:
    """The error of a number says that it was one."""
    error = refused(fake, method, **{argument: 4711})

    assert "4711" in str(error) or "int" in str(error)


def test_errors_of_ids_say_what_to_pass(fake: FakeTransport) -> None:
    """A number, a missing company, and an object that has the id."""
    client = ChatarminOS(transport=fake)
    onboarded = client.onboard(external_org_id="org_1")
    company = client.companies.get_by_product_link(external_org_id="org_1")
    fake.calls.clear()

    number = refused(fake, "onboard", external_org_id=17)
    texts = [str(refused(fake, "billing.get_status", company_id=value)) for value in (17, None, onboarded, company)]

    assert str(number) == "external_org_id: must be text or uuid.UUID, got int 17; pass str(17)"
    assert texts[0] == "company_id: must be text or uuid.UUID, got int 17; pass str(17)"
    assert texts[1] == "company_id: must be text or uuid.UUID, got None; is the organisation linked?"
    assert texts[2].endswith("; pass .company_id")
    assert texts[3].endswith("; pass .id")


@pytest.mark.parametrize(
    ("method", "arguments", "expected"),
    [
        (
            "billing.track_usage",
            {"quantity": Decimal("1.5")},
            "quantity: expected an int or float, got Decimal('1.5'); pass float(...)",
        ),
        (
            "features.set_access",
            {"config": {"since": date(2026, 1, 2)}},
            "config.since: is not JSON-serializable, got datetime.date(2026, 1, 2); pass .isoformat()",
        ),
        (
            "features.set_access",
            {"company_id": "c", "external_org_id": "o"},
            (
                "company_id: expected exactly one of company_id and external_org_id, got both; pass either company_id "
                "or external_org_id, not both"
            ),
        ),
    ],
    ids=["decimal", "date", "both-ids"],
)
def test_errors_advise_how_to_convert(
    fake: FakeTransport, method: str, arguments: dict[str, Any], expected: str
) -> None:
    """The text ends with what to pass."""
    assert str(refused(fake, method, **arguments)) == expected


@pytest.mark.parametrize(("method", "argument"), IDS)
def test_id_may_be_a_uuid(fake: FakeTransport, method: str, argument: str) -> None:
    """A UUID is sent as its text."""
    received = sent(fake, method, **{argument: SOME_UUID})

    assert "6f9619ff-8b86-d011-b42d-00cf4fc964ff" in received.values()


@pytest.mark.parametrize(("method", "argument"), NO_IDS)
def test_other_text_rejects_a_uuid(fake: FakeTransport, method: str, argument: str) -> None:
    """A UUID is not a name, a code or an address."""
    error = refused(fake, method, **{argument: SOME_UUID})

    assert argument == error.field


def test_external_org_id_of_set_access_is_checked(fake: FakeTransport) -> None:
    """The other id of a company is checked like the first, and may be a UUID too."""
    for value in ("", " ", 5, b"org", True):
        error = refused(fake, "features.set_access", company_id=None, external_org_id=value)
        assert error.field == "external_org_id"

    received = sent(fake, "features.set_access", company_id=None, external_org_id=SOME_UUID)
    assert received == {"externalOrgId": str(SOME_UUID), "featureCode": "seats"}


def test_customer_of_onboarding_is_checked(fake: FakeTransport) -> None:
    """The customer of a subscription is checked like all text, and may be a UUID."""
    for value in ("", " ", 5, b"cus", False):
        error = refused(fake, "onboard", stripe_subscription_id="sub_1", stripe_customer_id=value)
        assert error.field == "stripe_customer_id"

    received = sent(fake, "onboard", stripe_subscription_id="sub_1", stripe_customer_id=SOME_UUID)
    assert received["stripeCustomerId"] == str(SOME_UUID)


def test_enum_member_is_sent_as_its_value(fake: FakeTransport) -> None:
    """A member of a StrEnum is sent as its value."""
    assert sent(fake, "tiers.get", tier_code=Plan.PRO) == {"tierCode": "pro"}


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("contacts.list", [5]),
        ("features.list_access", [None]),
        ("features.get_access_by_external_org_id", [""]),
        ("features.check_by_external_org_id", ["org_1", 5]),
        ("billing.get_status", [b"c"]),
        ("tiers.get", [" "]),
    ],
)
def test_positional_arguments_are_checked(fake: FakeTransport, method: str, arguments: list[Any]) -> None:
    """Positional arguments are checked like those by name."""
    with pytest.raises(InvalidInput):
        attrgetter(method)(ChatarminOS(transport=fake))(*arguments)

    assert list(fake.calls) == []


@pytest.mark.parametrize("value", ["\0", "a\0", "\0a b", "é\0"], ids=words)
def test_nul_in_text_is_rejected(fake: FakeTransport, value: str) -> None:
    """A database never stores U+0000: it is rejected in every text, ids and keys of events included."""
    for error in refused_in_each_text(fake, value):
        assert "U+0000" in str(error)
        assert str(error).isprintable()


@pytest.mark.parametrize(
    ("method", "arguments", "field"),
    [
        ("onboard", {"hints": {"domain": "acme\0.com"}}, "hints.domain"),
        ("onboard", {"hints": {"company_name": "\0"}}, "hints.company_name"),
        ("companies.smart_link", {"hints": {"emails": ["a@b.co", "\0"]}}, "hints.emails[1]"),
        ("companies.smart_link", {"hints": {"dom\0ain": "acme.com"}}, "hints.dom ain"),
        ("contacts.bulk_upsert", {"contacts": [{"email": "a\0@b.co"}]}, "contacts[0].email"),
        ("contacts.bulk_upsert", {"contacts": [{"email": "a@b.co", "name": "\0"}]}, "contacts[0].name"),
        ("contacts.bulk_upsert", {"contacts": [{"email": "a@b.co", "metadata": {"\0": 1}}]}, "contacts[0].metadata"),
        ("contacts.create", {"metadata": {"a": ["\0"]}}, "metadata.a[0]"),
        ("features.set_access", {"config": {"a": {"b": "\0"}}}, "config.a.b"),
        ("features.set_access", {"source": "api\0"}, "source"),
        ("features.set_access", {"valid_until": "2024-01-15\0"}, "valid_until"),
        ("billing.track_usage", {"metadata": {"a\0": 1}}, "metadata"),
        ("tiers.apply", {"features": {"se\0ats": {}}}, "features"),
        ("tiers.apply", {"features": {"seats": {"\0": 1}}}, "features.seats"),
    ],
)
def test_nul_inside_arguments_is_rejected(
    fake: FakeTransport, method: str, arguments: dict[str, Any], field: str
) -> None:
    """U+0000 is rejected in hints, contacts, mappings and keys with its place."""
    assert refused(fake, method, **arguments).field == field


@pytest.mark.parametrize("value", [{"a": "\0"}, ["\0"], "\0", {"\0": 1}], ids=words)
def test_nul_in_calls_by_path_is_rejected(fake: FakeTransport, value: Any) -> None:
    """The input of a call by its path is checked in the same way, and so is the path."""
    client = ChatarminOS(transport=fake)

    for path, given, field in (("a.b", value, "input"), ("a\0b", None, "path")):
        with pytest.raises(InvalidInput, match=r"U\+0000") as caught:
            client.call(path, given)
        assert str(caught.value.field).startswith(field)
    assert list(fake.calls) == []


POISONOUS = ["__proto__", "constructor", "prototype"]


@pytest.mark.parametrize("key", POISONOUS)
@pytest.mark.parametrize(
    ("method", "argument", "make", "place"),
    [
        *((method, argument, lambda key: {key: 1}, "") for method, argument in FREE),
        *((method, argument, lambda key: {"a": [{"b": {key: {}}}]}, ".a[0].b") for method, argument in FREE),
        ("tiers.apply", "features", lambda key: {key: {"max_quantity": 1}}, ""),
        ("subscriptions.create", "features", lambda key: {"seats": {key: 1}}, ".seats"),
        ("contacts.bulk_upsert", "contacts", lambda key: [{"email": "a@b.co", "metadata": {key: 1}}], "[0].metadata"),
    ],
)
def test_special_keys_are_rejected(
    fake: FakeTransport, method: str, *, argument: str, make: Callable[[str], Any], place: str, key: str
) -> None:
    """Keys with a meaning in JavaScript are rejected at any depth, as the service would drop them silently."""
    error = refused(fake, method, **{argument: make(key)})

    assert error.field == f"{argument}{place}.{key}"


@pytest.mark.parametrize("key", POISONOUS)
def test_special_keys_in_calls_by_path_are_rejected(fake: FakeTransport, key: str) -> None:
    """The input of a call by its path is checked in the same way."""
    with pytest.raises(InvalidInput) as caught:
        ChatarminOS(transport=fake).call("a.b", {"a": [{key: 1}]})

    assert caught.value.field == f"input.a[0].{key}"
    assert list(fake.calls) == []


# Addresses

SPACES = [" ann@acme.com", "ann@acme.com ", "\tann@acme.com\r\n", "\u00a0ann@acme.com\u2003", "\u3000ann@acme.com"]


@pytest.mark.parametrize("given", SPACES, ids=words)
@pytest.mark.parametrize(
    ("method", "make", "found"),
    [
        (
            "companies.create",
            lambda email: {"contact_email": email},
            lambda received: received["contactEmail"],
        ),
        ("contacts.create", lambda email: {"email": email}, lambda received: received["email"]),
        (
            "contacts.bulk_upsert",
            lambda email: {"contacts": [{"email": email}]},
            lambda received: received["contacts"][0]["email"],
        ),
        (
            "contacts.bulk_upsert",
            lambda email: {"contacts": [ContactInput(email=email)]},
            lambda received: received["contacts"][0]["email"],
        ),
        (
            "companies.smart_link",
            lambda email: {"hints": {"emails": [email]}},
            lambda received: received["hints"]["emails"][0],
        ),
        (
            "onboard",
            lambda email: {"hints": Hints(emails=(email, " "))},
            lambda received: received["hints"]["emails"][0],
        ),
        ("onboard", lambda email: {"contact_email": email}, lambda received: received["contactEmail"]),
    ],
    ids=["companies.create", "contacts.create", "mapping", "ContactInput", "smart_link", "Hints", "onboard"],
)
def test_address_is_trimmed(
    fake: FakeTransport, method: str, make: Callable[[str], Any], found: Callable[[Any], Any], given: str
) -> None:
    """White space around an address is not sent, wherever an address is given."""
    assert found(sent(fake, method, **make(given))) == "ann@acme.com"


def test_address_keeps_inner_white_space(fake: FakeTransport) -> None:
    """The service checks the rest of an address."""
    assert sent(fake, "contacts.create", email=" a b@acme.com ")["email"] == "a b@acme.com"


def test_other_text_is_not_trimmed(fake: FakeTransport) -> None:
    """Names and ids are sent unchanged."""
    received = sent(fake, "contacts.create", company_id=" c ", name=" Ann ")

    assert (received["companyId"], received["name"]) == (" c ", " Ann ")


# Flags

FLAGS = [
    ("contacts.create", "is_primary"),
    ("contacts.list", "primary_only"),
    ("features.set_access", "is_enabled"),
    ("links.reset", "delete_contacts"),
    ("links.reset", "reset_mrr"),
]


@pytest.mark.parametrize(("method", "argument"), FLAGS)
@pytest.mark.parametrize("value", [1, 0, 1.0, "true", "", "False", [], {}, Plain()], ids=words)
def test_boolean_rejects_other_types(fake: FakeTransport, method: str, argument: str, value: object) -> None:
    """Other values that are true or false in Python are rejected."""
    error = refused(fake, method, **{argument: value})

    assert argument == error.field


@pytest.mark.parametrize(
    ("method", "argument", "name"),
    [
        ("contacts.list", "primary_only", "primaryOnly"),
        ("links.reset", "delete_contacts", "deleteContacts"),
        ("links.reset", "reset_mrr", "resetMrr"),
    ],
)
def test_boolean_with_default_false_is_sent_if_true(method: str, argument: str, name: str) -> None:
    """A boolean whose default is False is omitted if it is False."""
    without, false, true = (
        sent(FakeTransport(demo_catalogue()), method, **given) for given in ({}, {argument: False}, {argument: True})
    )

    assert without == false
    assert {**without, name: True} == true


@pytest.mark.parametrize(
    ("method", "argument", "name"),
    [("contacts.create", "is_primary", "isPrimary"), ("features.set_access", "is_enabled", "isEnabled")],
)
def test_optional_boolean_has_three_states(method: str, argument: str, name: str) -> None:
    """Omitted, True and False are three different inputs of an optional boolean."""
    without, true, false = (
        sent(FakeTransport(demo_catalogue()), method, **{argument: given}) for given in (None, True, False)
    )

    assert name not in without
    assert (true[name], false[name]) == (True, False)


# Free-form mappings

MAPPINGS = [*FREE, ("tiers.apply", "features"), ("subscriptions.create", "features")]


@pytest.mark.parametrize(("method", "argument"), MAPPINGS)
@pytest.mark.parametrize("value", ["", "{}", 5, True, [], [("a", 1)], (), {"a"}, b"{}", Plain()], ids=words)
def test_non_mapping_is_rejected(fake: FakeTransport, method: str, argument: str, value: object) -> None:
    """Pairs, JSON text and the like are not mappings."""
    error = refused(fake, method, **{argument: value})

    assert argument == error.field


NO_JSON = [
    datetime(2024, 1, 15, tzinfo=UTC),
    date(2024, 1, 15),
    Decimal("1.5"),
    Fraction(1, 2),
    SOME_UUID,
    b"bytes",
    {1, 2},
    frozenset(),
    1j,
    math.nan,
    math.inf,
    -math.inf,
    range(3),
    (letter for letter in "text"),
    UNSET,
    len,
    Plain,
    Plain(),
    Rude(),
    Nothing(),
]


@pytest.mark.parametrize(("method", "argument"), FREE)
@pytest.mark.parametrize("value", NO_JSON, ids=words)
def test_unserializable_value_is_rejected_at_its_place(
    fake: FakeTransport, method: str, argument: str, value: object
) -> None:
    """A value that is not JSON-serializable is named by its place; none is converted."""
    error = refused(fake, method, **{argument: {"fine": 1, "paid_at": value}})

    assert f"{argument}.paid_at" == error.field


@pytest.mark.parametrize("method", ["tiers.apply", "subscriptions.create"])
@pytest.mark.parametrize("value", NO_JSON, ids=words)
def test_unserializable_override_is_rejected_at_its_place(fake: FakeTransport, method: str, value: object) -> None:
    """The place inside the overrides is the feature and the key."""
    error = refused(fake, method, features={"ai_credit": {}, "seats": {"max_quantity": value}})

    assert error.field == "features.seats.max_quantity"


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"a": {"b": {"c": b""}}}, "a.b.c"),
        ({"a": [0, b""]}, "a[1]"),
        ({"a": (0, b"")}, "a[1]"),
        ({"a": [{"b": [[1, b""]]}]}, "a[0].b[0][1]"),
        ({"camelKey": {"snake_key": b""}}, "camelKey.snake_key"),
    ],
)
@pytest.mark.parametrize(("method", "argument"), FREE)
def test_place_is_complete(fake: FakeTransport, method: str, argument: str, value: object, place: str) -> None:
    """Keys are joined with dots, and indices are in brackets."""
    error = refused(fake, method, **{argument: value})

    assert f"{argument}.{place}" == error.field


@pytest.mark.parametrize("key", [1, None, True, 1.5, b"key", ("a", "b"), SOME_UUID, Plain()], ids=words)
@pytest.mark.parametrize(("method", "argument"), FREE)
def test_keys_must_be_text(fake: FakeTransport, method: str, argument: str, key: object) -> None:
    """No key is converted to text, at any level."""
    for value in ({key: 1}, {"inner": {key: 1}}):
        error = refused(fake, method, **{argument: value})
        assert str(error.field).startswith(argument)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(in_a_circle(), id="circle"),
        pytest.param({"deep": too_deep()}, id="deep"),
        pytest.param({"huge": 10**5000}, id="huge"),
    ],
)
@pytest.mark.parametrize(("method", "argument"), FREE)
def test_loops_and_large_numbers_are_rejected(fake: FakeTransport, method: str, argument: str, value: object) -> None:
    """Loops, endless depth and numbers too long to print are rejected like other values."""
    error = refused(fake, method, **{argument: value})

    assert str(error.field).startswith(argument)


@pytest.mark.parametrize(("method", "argument"), FREE)
def test_json_is_sent_unchanged(fake: FakeTransport, method: str, argument: str) -> None:
    """Every kind of JSON value is sent, keys keep their names, and tuples are sent as lists."""
    value = {"snake_key": {"camelKey": [1, 2.5, True, False, None, "", "é", ("a", ("b",), ())]}, "": {}}

    received = sent(fake, method, **{argument: value})

    expected = {"snake_key": {"camelKey": [1, 2.5, True, False, None, "", "é", ["a", ["b"], []]]}, "": {}}
    assert expected == received[argument]


@pytest.mark.parametrize(("method", "argument"), MAPPINGS)
def test_mapping_need_not_be_a_dict(fake: FakeTransport, method: str, argument: str) -> None:
    """A mapping need not be a dict."""
    value: dict[str, Any] = {"seats": {"max_quantity": 5}}

    received = sent(fake, method, **{argument: MappingProxyType(value)})

    assert value == received[argument]


@pytest.mark.parametrize(("method", "argument"), FREE)
def test_empty_mapping_is_sent(fake: FakeTransport, method: str, argument: str) -> None:
    """An empty mapping differs from an omitted one."""
    assert sent(fake, method, **{argument: {}})[argument] == {}


def test_keys_of_overrides_are_not_renamed(fake: FakeTransport) -> None:
    """Feature codes and the keys inside are sent unchanged, null as well."""
    features = {"ai_credit": {"included_quantity": 100, "max_quantity": None}, "seats": {}}

    received = sent(fake, "tiers.apply", features=features)

    assert {"tierCode": "pro", "companyId": "c", "features": features} == received


# Numbers

NO_NUMBERS = [True, False, Decimal(1), Decimal("0.5"), Fraction(1, 2), "5", "", b"5", [1], {}, 1j, Plain(), Rude()]
NOT_FINITE = [math.nan, math.inf, -math.inf]
TOO_LARGE = [2**53, -(2**53), 10**400]


@pytest.mark.parametrize("value", [*NO_NUMBERS, *NOT_FINITE, *TOO_LARGE, 0, 0.0, -0.0, -1, -0.5, None], ids=words)
def test_invalid_quantity_is_rejected(fake: FakeTransport, value: object) -> None:
    """Booleans, decimals, text and infinite numbers are not quantities."""
    error = refused(fake, "billing.track_usage", quantity=value)

    assert error.field == "quantity"


@pytest.mark.parametrize("value", [1, 2**53 - 1, 0.1, 5e-324, 2.0, 1.5])
def test_quantity_is_sent_unchanged(fake: FakeTransport, value: float) -> None:
    """Every finite number above zero is a quantity."""
    assert sent(fake, "billing.track_usage", quantity=value)["quantity"] == value


@pytest.mark.parametrize("argument", ["quantity_limit", "included_quantity"])
@pytest.mark.parametrize("value", [*NO_NUMBERS, *NOT_FINITE, *TOO_LARGE, -1, -0.5], ids=words)
def test_invalid_limit_is_rejected(fake: FakeTransport, argument: str, value: object) -> None:
    """A negative limit, or one that is not a number, is rejected."""
    error = refused(fake, "features.set_access", **{argument: value})

    assert argument == error.field


@pytest.mark.parametrize(
    ("argument", "name"), [("quantity_limit", "quantityLimit"), ("included_quantity", "includedQuantity")]
)
@pytest.mark.parametrize("value", [0, 0.5, 10, 2**53 - 1])
def test_limit_is_sent_unchanged(fake: FakeTransport, argument: str, name: str, value: float) -> None:
    """Zero is a limit too."""
    assert sent(fake, "features.set_access", **{argument: value})[name] == value


@pytest.mark.parametrize("value", [*NO_NUMBERS, *NOT_FINITE, *TOO_LARGE, -0.01, 1.01, 60, -1, 2], ids=words)
def test_invalid_confidence_is_rejected(fake: FakeTransport, value: object) -> None:
    """A confidence is between 0 and 1; a percentage is rejected."""
    error = refused(fake, "companies.smart_link", min_confidence=value)

    assert error.field == "min_confidence"


@pytest.mark.parametrize("value", [0, 1, 0.0, 0.6, 1.0])
def test_confidence_is_sent_unchanged(fake: FakeTransport, value: float) -> None:
    """Both ends are fractions too."""
    assert sent(fake, "companies.smart_link", min_confidence=value) == {
        "externalOrgId": "org_1",
        "minConfidence": value,
    }


def test_numbers_too_long_to_print_are_rejected(fake: FakeTransport) -> None:
    """A number with more digits than Python prints breaks no message."""
    for method, argument in (
        ("billing.track_usage", "quantity"),
        ("features.set_access", "quantity_limit"),
        ("companies.smart_link", "min_confidence"),
        ("tiers.get", "tier_code"),
    ):
        error = refused(fake, method, **{argument: 10**5000})
        assert argument == error.field


# Sources


@pytest.mark.parametrize(
    "value", ["gift", "Manual", " manual", "", " ", 5, True, b"manual", ["manual"], Plain()], ids=words
)
def test_unknown_source_is_rejected(fake: FakeTransport, value: object) -> None:
    """A source is one of the four that the service knows."""
    error = refused(fake, "features.set_access", source=value)

    assert error.field == "source"


@pytest.mark.parametrize("value", ["subscription", "manual", "trial", "api", Plan.MANUAL])
def test_known_source_is_sent(fake: FakeTransport, value: str) -> None:
    """Each of the four is sent."""
    assert str(value) == sent(fake, "features.set_access", source=value)["source"]


# Arguments that go together or not at all


@pytest.mark.parametrize("whom", [{"company_id": None}, {"company_id": "c", "external_org_id": "org_1"}])
def test_set_access_requires_one_company(fake: FakeTransport, whom: dict[str, Any]) -> None:
    """Neither or both ids of a company are rejected."""
    error = refused(fake, "features.set_access", is_enabled=True, **whom)

    assert error.field in {"company_id", "external_org_id"}


@pytest.mark.parametrize(
    "arguments",
    [
        {"checkout_session_id": "cs_test_1", "stripe_subscription_id": "sub_1"},
        {"checkout_session_id": "cs_test_1", "stripe_subscription_id": "sub_1", "stripe_customer_id": "cus_1"},
        {"checkout_session_id": "cs_test_1", "stripe_customer_id": "cus_1"},
        {"stripe_customer_id": "cus_1"},
        {"stripe_customer_id": "cus_1", "tier_code": "pro"},
    ],
    ids="-and-".join,
)
def test_onboard_rejects_conflicting_billing(fake: FakeTransport, arguments: dict[str, Any]) -> None:
    """A checkout with a subscription, or a customer without a subscription, is rejected."""
    error = refused(fake, "onboard", **arguments)

    assert error.field in arguments or error.field == "stripe_subscription_id"


# Instants

INSTANTS = [("companies.create", "created_at"), ("companies.update", "created_at"), ("onboard", "created_at")]
ALL_INSTANTS = [*INSTANTS, ("features.set_access", "valid_until")]
WIRE = {"created_at": "createdAt", "valid_until": "validUntil"}
VIENNA = timezone(timedelta(hours=1))


@pytest.mark.parametrize(("method", "argument"), ALL_INSTANTS)
@pytest.mark.parametrize(
    "value",
    [
        datetime(2024, 1, 15, 10, 30),  # noqa: DTZ001
        datetime(2024, 1, 15, 10, 30, tzinfo=Nowhere()),
        "2024-01-15T10:30:00",
        "2024-01-15T10:30:00.000",
        "2024-01-15 10:30:00",
        "soon",
        "2024-02-30T10:30:00Z",
        "2024-13-01T10:30:00Z",
        "2024-01-15T25:30:00Z",
        "",
        " ",
        1705314600,
        1705314600.0,
        True,
        b"2024-01-15T10:30:00Z",
        time(10, 30, tzinfo=UTC),
        timedelta(days=1),
        [],
        Plain(),
        Rude(),
    ],
    ids=words,
)
def test_instant_without_an_offset_is_rejected(fake: FakeTransport, method: str, argument: str, value: object) -> None:
    """A value without an offset from UTC, or without a time, is rejected."""
    error = refused(fake, method, **{argument: value})

    assert argument == error.field


@pytest.mark.parametrize(("method", "argument"), INSTANTS)
@pytest.mark.parametrize("value", [date(2024, 1, 15), "2024-01-15"])
def test_day_is_rejected_as_an_instant(fake: FakeTransport, method: str, argument: str, value: object) -> None:
    """Only the end of an access may be a day."""
    error = refused(fake, method, **{argument: value})

    assert argument == error.field


@pytest.mark.parametrize(("method", "argument"), ALL_INSTANTS)
@pytest.mark.parametrize(
    "value",
    [
        datetime(9999, 12, 31, 23, 30, tzinfo=timezone(-timedelta(hours=1))),
        datetime(1, 1, 1, 0, 30, tzinfo=VIENNA),
        "9999-12-31T23:30:00-01:00",
        "0001-01-01T00:30:00+01:00",
    ],
    ids=words,
)
def test_instant_beyond_the_calendar_is_rejected(
    fake: FakeTransport, method: str, argument: str, value: object
) -> None:
    """An instant outside the years 1 to 9999 in UTC is rejected."""
    error = refused(fake, method, **{argument: value})

    assert argument == error.field


@pytest.mark.parametrize(("method", "argument"), ALL_INSTANTS)
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (datetime(2024, 1, 15, 10, 30, tzinfo=UTC), "2024-01-15T10:30:00.000Z"),
        (datetime(2024, 1, 15, 0, 30, tzinfo=VIENNA), "2024-01-14T23:30:00.000Z"),
        (datetime(2024, 1, 15, 10, 30, 0, 123999, tzinfo=UTC), "2024-01-15T10:30:00.123Z"),
        (datetime(2024, 1, 15, 10, 30, 59, 999999, tzinfo=UTC), "2024-01-15T10:30:59.999Z"),
        (datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), "1969-12-31T23:59:59.999Z"),
        (datetime(987, 6, 5, tzinfo=UTC), "0987-06-05T00:00:00.000Z"),
        ("2024-01-15T10:30:00Z", "2024-01-15T10:30:00.000Z"),
        ("2024-01-15T10:30:00.000Z", "2024-01-15T10:30:00.000Z"),
        ("2024-01-15T10:30:00+01:00", "2024-01-15T09:30:00.000Z"),
        ("2024-01-15T10:30:00.123456-02:30", "2024-01-15T13:00:00.123Z"),
    ],
    ids=words,
)
def test_instant_is_sent_in_utc_with_milliseconds(
    fake: FakeTransport, method: str, argument: str, value: object, expected: str
) -> None:
    """Instants of any zone are sent in UTC; fractions of a millisecond are cut, not rounded."""
    received = sent(fake, method, **{argument: value})

    assert expected == received[WIRE[argument]]


@pytest.mark.parametrize("value", [date(2025, 12, 31), "2025-12-31"])
def test_access_may_end_at_the_start_of_a_day(fake: FakeTransport, value: object) -> None:
    """A day as the end of an access is its start in UTC."""
    received = sent(fake, "features.set_access", valid_until=value)

    assert received["validUntil"] == "2025-12-31T00:00:00.000Z"


# Hints

HINT_METHODS = ["companies.smart_link", "onboard"]


@pytest.mark.parametrize("method", HINT_METHODS)
@pytest.mark.parametrize(
    "value", ["Acme", b"Acme", 5, True, ["acme.com"], [("domain", "acme.com")], Plain()], ids=words
)
def test_invalid_hints_are_rejected(fake: FakeTransport, method: str, value: object) -> None:
    """Only hints and mappings are hints."""
    error = refused(fake, method, hints=value)

    assert error.field == "hints"


@pytest.mark.parametrize("method", HINT_METHODS)
@pytest.mark.parametrize("key", ["companyName", "compnay_name", "email", "Domain", ""])
def test_unknown_hint_is_rejected(fake: FakeTransport, method: str, key: str) -> None:
    """A typo, or a wire name, is rejected by name."""
    error = refused(fake, method, hints={"domain": "acme.com", key: "Acme"})

    assert str(error.field).startswith("hints")
    assert key in str(error)


@pytest.mark.parametrize("method", HINT_METHODS)
@pytest.mark.parametrize("key", ["company_name", "domain"])
@pytest.mark.parametrize("value", [5, 0, True, False, b"acme.com", ["acme.com"], SOME_UUID, Plain()], ids=words)
def test_non_text_hint_is_rejected(fake: FakeTransport, method: str, key: str, value: object) -> None:
    """A hint of another type is rejected by name."""
    error = refused(fake, method, hints={key: value})

    assert f"hints.{key}" == error.field


@pytest.mark.parametrize("method", HINT_METHODS)
@pytest.mark.parametrize("value", ["ann@acme.com", b"ann@acme.com", 5, True, Plain()], ids=words)
def test_emails_must_be_a_list(fake: FakeTransport, method: str, value: object) -> None:
    """One text instead of a list, or another type, is rejected."""
    error = refused(fake, method, hints={"emails": value})

    assert error.field == "hints.emails"


@pytest.mark.parametrize("value", [5, True, b"ann@acme.com", ["ann@acme.com"], SOME_UUID, Plain()], ids=words)
@pytest.mark.parametrize("method", HINT_METHODS)
def test_non_text_email_is_rejected(fake: FakeTransport, method: str, value: object) -> None:
    """The error of an e-mail address of another type has its index."""
    error = refused(fake, method, hints={"emails": ["ann@acme.com", value]})

    assert error.field == "hints.emails[1]"


@pytest.mark.parametrize(
    "arguments", [{"emails": "ann@acme.com"}, {"emails": 5}, {"company_name": 5}, {"domain": b"acme.com"}], ids=words
)
def test_hints_are_checked_at_construction(fake: FakeTransport, arguments: dict[str, Any]) -> None:
    """Invalid `Hints` are rejected before they are used."""
    (name,) = arguments

    with pytest.raises(InvalidInput, match=name) as caught:
        ChatarminOS(transport=fake).onboard(external_org_id="org_1", hints=Hints(**arguments))

    assert str(caught.value.field).endswith(name)
    assert list(fake.calls) == []


@pytest.mark.parametrize("method", HINT_METHODS)
@pytest.mark.parametrize(
    "hints",
    [
        {"company_name": "Acme", "domain": "acme.com", "emails": ["a@acme.com", "b@acme.com"]},
        {"company_name": "Acme", "domain": "acme.com", "emails": ("a@acme.com", "b@acme.com")},
        MappingProxyType({"company_name": "Acme", "domain": "acme.com", "emails": ["a@acme.com", "b@acme.com"]}),
        Hints(company_name="Acme", domain="acme.com", emails=("a@acme.com", "b@acme.com")),
    ],
    ids=words,
)
def test_hints_are_sent_in_wire_names(fake: FakeTransport, method: str, hints: Hints) -> None:
    """Hints and an equal mapping are sent alike."""
    received = sent(fake, method, hints=hints)

    expected = {"companyName": "Acme", "domain": "acme.com", "emails": ["a@acme.com", "b@acme.com"]}
    assert {"externalOrgId": "org_1", "hints": expected} == received


@pytest.mark.parametrize("method", HINT_METHODS)
@pytest.mark.parametrize(
    "hints",
    [
        None,
        {},
        Hints(),
        {"company_name": None, "domain": None, "emails": []},
        {"company_name": "", "domain": " \t", "emails": ()},
        Hints(company_name="", domain=" "),
    ],
    ids=words,
)
def test_blank_hints_are_omitted(fake: FakeTransport, method: str, hints: object) -> None:
    """Blank hints count as omitted."""
    assert sent(fake, method, hints=hints) == {"externalOrgId": "org_1"}


@pytest.mark.parametrize("method", HINT_METHODS)
@pytest.mark.parametrize(
    ("hints", "expected"),
    [
        ({"company_name": "Acme"}, {"companyName": "Acme"}),
        ({"company_name": "", "domain": "acme.com", "emails": []}, {"domain": "acme.com"}),
        (Hints(domain=" ", emails=("a@acme.com",)), {"emails": ["a@acme.com"]}),
    ],
)
def test_blank_hint_is_omitted(fake: FakeTransport, method: str, hints: object, expected: dict[str, Any]) -> None:
    """Each blank hint is omitted."""
    assert expected == sent(fake, method, hints=hints)["hints"]


# Contacts


@pytest.mark.parametrize(
    "value",
    [
        {"email": "ann@acme.com"},
        {},
        ContactInput(email="ann@acme.com"),
        "ann@acme.com",
        "",
        b"ann@acme.com",
        None,
        5,
        True,
        Plain(),
    ],
    ids=words,
)
def test_contacts_must_be_a_list(fake: FakeTransport, value: object) -> None:
    """One contact, or one text, is not a list of contacts."""
    error = refused(fake, "contacts.bulk_upsert", contacts=value)

    assert error.field == "contacts"


@pytest.mark.parametrize(
    "value", ["ann@acme.com", None, 5, ["ann@acme.com"], [("email", "ann@acme.com")], Plain()], ids=words
)
def test_invalid_contact_is_rejected_by_index(fake: FakeTransport, value: object) -> None:
    """Any other object is rejected with its index."""
    error = refused(fake, "contacts.bulk_upsert", contacts=[{"email": "ann@acme.com"}, value])

    assert error.field == "contacts[1]"


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"email": ""}, "email"),
        ({"email": " "}, "email"),
        ({"email": 5}, "email"),
        ({"email": None}, "email"),
        ({"email": SOME_UUID}, "email"),
        ({"name": ""}, "name"),
        ({"name": 5}, "name"),
        ({"role": " "}, "role"),
        ({"role": b"CEO"}, "role"),
        ({"avatar_url": ""}, "avatar_url"),
        ({"avatar_url": 5}, "avatar_url"),
        ({"is_primary": 1}, "is_primary"),
        ({"is_primary": "yes"}, "is_primary"),
        ({"metadata": []}, "metadata"),
        ({"metadata": "{}"}, "metadata"),
        ({"metadata": {"paid_at": datetime(2024, 1, 15, tzinfo=UTC)}}, "metadata.paid_at"),
        ({"metadata": {"a": [{"b": math.nan}]}}, "metadata.a[0].b"),
    ],
)
def test_error_of_a_contact_names_index_and_field(fake: FakeTransport, wrong: dict[str, Any], place: str) -> None:
    """The error has the index of the contact and the name of the field."""
    fine = {"email": "ann@acme.com"}

    error = refused(fake, "contacts.bulk_upsert", contacts=[fine, fine, fine, fine | wrong, fine])

    assert f"contacts[3].{place}" == error.field


def test_contact_requires_an_address(fake: FakeTransport) -> None:
    """A contact without an e-mail address is rejected with its index."""
    error = refused(fake, "contacts.bulk_upsert", contacts=[{"email": "ann@acme.com"}, {"name": "Bob"}])

    assert error.field == "contacts[1].email"


@pytest.mark.parametrize("key", ["isPrimary", "avatarUrl", "e_mail", "company_id", ""])
def test_unknown_key_of_a_contact_is_rejected(fake: FakeTransport, key: str) -> None:
    """A typo, or a wire name, is rejected by name."""
    error = refused(fake, "contacts.bulk_upsert", contacts=[{"email": "a@acme.com"}, {"email": "b@acme.com", key: "x"}])

    assert str(error.field).startswith("contacts[1]")
    assert key in str(error)


def test_contacts_are_sent_in_wire_names(fake: FakeTransport) -> None:
    """Inputs, mappings and any iterable of them are sent alike; None is omitted."""
    # Given
    full = {
        "email": "ann@acme.com",
        "name": "Ann",
        "role": "CEO",
        "is_primary": False,
        "avatar_url": "https://acme.com/a.png",
        "metadata": {"slack_id": "U1", "slackId": ("U2", None)},
    }
    bare = {"email": "bob@acme.com", "name": None, "metadata": None, "is_primary": None}
    arguments: dict[str, Any] = full

    # When
    received = sent(
        fake,
        "contacts.bulk_upsert",
        contacts=(contact for contact in (ContactInput(**arguments), MappingProxyType(full), bare)),
    )

    # Then
    sent_in_full = {
        "email": "ann@acme.com",
        "name": "Ann",
        "role": "CEO",
        "isPrimary": False,
        "avatarUrl": "https://acme.com/a.png",
        "metadata": {"slack_id": "U1", "slackId": ["U2", None]},
    }
    assert {"companyId": "c", "contacts": [sent_in_full, sent_in_full, {"email": "bob@acme.com"}]} == received


@pytest.mark.parametrize("contacts", [[], (), iter(())])
def test_empty_list_of_contacts_is_sent(fake: FakeTransport, contacts: object) -> None:
    """An empty list is fine."""
    assert sent(fake, "contacts.bulk_upsert", contacts=contacts) == {"companyId": "c", "contacts": []}


# Omitted arguments

OPTIONAL: dict[str, list[str]] = {
    "companies.create": ["domain", "contact_email", "contact_name", "created_at"],
    "companies.smart_link": ["hints", "min_confidence"],
    "contacts.create": ["name", "role", "is_primary", "avatar_url", "metadata"],
    "features.set_access": ["external_org_id", "is_enabled", "config", "source"],
    "billing.track_usage": ["metadata"],
    "billing.link_subscription": ["stripe_customer_id", "tier_code", "display_name"],
    "tiers.apply": ["features"],
    "subscriptions.create": ["features"],
    "links.create": ["label", "external_user_id"],
    "onboard": [
        "hints",
        "tier_code",
        "contact_email",
        "contact_name",
        "created_at",
        "checkout_session_id",
        "stripe_subscription_id",
        "stripe_customer_id",
    ],
}


@pytest.mark.parametrize("method", OPTIONAL)
def test_none_is_omitted(method: str) -> None:
    """None equals an omitted argument, and is never sent as null."""
    without = sent(FakeTransport(demo_catalogue()), method)
    none = sent(FakeTransport(demo_catalogue()), method, **dict.fromkeys(OPTIONAL[method]))

    assert without == none
    assert None not in without.values()


UNSETTABLE = [
    ("quantity_limit", "quantityLimit", 5),
    ("included_quantity", "includedQuantity", 5),
    ("valid_until", "validUntil", "2025-12-31T00:00:00.000Z"),
]


@pytest.mark.parametrize(("argument", "name", "value"), UNSETTABLE)
def test_three_arguments_send_null(argument: str, name: str, value: object) -> None:
    """For three arguments UNSET is omitted, None is sent as null, and a value as itself."""
    without, unset, none, given = (
        sent(FakeTransport(demo_catalogue()), "features.set_access", **arguments)
        for arguments in ({}, {argument: UNSET}, {argument: None}, {argument: value})
    )

    assert without == unset == {"companyId": "c", "featureCode": "seats"}
    assert {**without, name: None} == none
    assert {**without, name: value} == given


def test_unset_is_one_object_and_falsy() -> None:
    """UNSET stays the same object in any copy."""
    copies = [copy.copy(UNSET), copy.deepcopy(UNSET), copy.deepcopy([UNSET])[0]]
    copies += [pickle.loads(pickle.dumps(UNSET, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]  # noqa: S301

    assert not UNSET
    assert all(one is UNSET for one in copies)


def test_event_without_a_key_gets_one(fake: FakeTransport) -> None:
    """Each event without a key gets a random UUID as its key."""
    for _ in range(2):
        with suppress(ApiError):
            call(fake, "billing.track_usage", {"company_id": "c", "feature_code": "seats", "quantity": 1})

    keys = [uuid.UUID(one.input["idempotencyKey"]) for one in fake.calls if one.input]
    assert [key.version for key in keys] == [4, 4]
    assert keys[0] != keys[1]


# The wire

EXPECTED: list[tuple[str, str, str, Any]] = [
    ("companies.get_by_product_link", "companies.getByProductLink", "query", {"externalOrgId": "org_1"}),
    ("companies.create", "companies.create", "mutation", {"name": "Acme", "externalOrgId": "org_1"}),
    (
        "companies.update",
        "companies.update",
        "mutation",
        {"companyId": "c", "createdAt": "2024-01-15T10:30:00.000Z"},
    ),
    ("companies.smart_link", "companies.smartLink", "mutation", {"externalOrgId": "org_1"}),
    ("contacts.create", "contacts.create", "mutation", {"companyId": "c", "email": "ann@acme.com"}),
    ("contacts.bulk_upsert", "contacts.bulkUpsert", "mutation", {"companyId": "c", "contacts": []}),
    ("contacts.list", "contacts.list", "query", {"companyId": "c"}),
    ("features.check", "features.check", "query", {"companyId": "c", "featureCode": "seats"}),
    ("features.list_access", "features.listAccess", "query", {"companyId": "c"}),
    ("features.set_access", "features.setAccess", "mutation", {"companyId": "c", "featureCode": "seats"}),
    (
        "features.get_access_by_external_org_id",
        "features.getAccessByExternalOrgId",
        "query",
        {"externalOrgId": "org_1"},
    ),
    (
        "features.check_by_external_org_id",
        "features.checkByExternalOrgId",
        "query",
        {"externalOrgId": "org_1", "featureCode": "seats"},
    ),
    (
        "billing.track_usage",
        "billing.trackUsage",
        "mutation",
        {"companyId": "c", "featureCode": "seats", "quantity": 1, "idempotencyKey": "k"},
    ),
    (
        "billing.claim_checkout",
        "billing.claimCheckout",
        "mutation",
        {"companyId": "c", "checkoutSessionId": "cs_test_1"},
    ),
    (
        "billing.link_subscription",
        "billing.linkSubscription",
        "mutation",
        {"companyId": "c", "stripeSubscriptionId": "sub_1"},
    ),
    ("billing.get_status", "billing.getStatus", "query", {"companyId": "c"}),
    ("tiers.list", "tiers.list", "query", None),
    ("tiers.get", "tiers.get", "query", {"tierCode": "pro"}),
    ("tiers.apply", "tiers.apply", "mutation", {"tierCode": "pro", "companyId": "c"}),
    ("subscriptions.create", "tiers.apply", "mutation", {"tierCode": "pro", "companyId": "c"}),
    ("links.create", "links.create", "mutation", {"companyId": "c", "externalOrgId": "org_1"}),
    ("links.reset", "links.reset", "mutation", {}),
    ("onboard", "onboard", "mutation", {"externalOrgId": "org_1"}),
]


@pytest.mark.parametrize(("method", "path", "kind", "received"), EXPECTED, ids=[row[0] for row in EXPECTED])
def test_method_makes_one_call(fake: FakeTransport, method: str, path: str, kind: str, received: object) -> None:
    """A method makes one call of one procedure; a missing input is None, an empty one an empty object."""
    sent(fake, method)

    (call,) = fake.calls
    assert (path, kind, received) == (call.path, call.kind, call.input)


def test_argument_has_its_wire_name(fake: FakeTransport) -> None:
    """All arguments of the longest methods are sent in camelCase."""
    # When
    received = [
        sent(
            FakeTransport(demo_catalogue()),
            "contacts.create",
            name="Ann",
            role="CEO",
            is_primary=True,
            avatar_url="https://acme.com/a.png",
            metadata={"slack_id": "U1"},
        ),
        sent(
            FakeTransport(demo_catalogue()),
            "billing.link_subscription",
            stripe_customer_id="cus_1",
            tier_code="pro",
            display_name="Pro Plan",
        ),
        sent(FakeTransport(demo_catalogue()), "links.create", label="Vienna", external_user_id="user_1"),
        sent(
            fake,
            "onboard",
            tier_code="pro",
            contact_email="ann@acme.com",
            contact_name="Ann",
            stripe_subscription_id="sub_1",
            stripe_customer_id="cus_1",
        ),
    ]

    # Then
    expected = [
        {
            "companyId": "c",
            "email": "ann@acme.com",
            "name": "Ann",
            "role": "CEO",
            "isPrimary": True,
            "avatarUrl": "https://acme.com/a.png",
            "metadata": {"slack_id": "U1"},
        },
        {
            "companyId": "c",
            "stripeSubscriptionId": "sub_1",
            "stripeCustomerId": "cus_1",
            "tierCode": "pro",
            "displayName": "Pro Plan",
        },
        {"companyId": "c", "externalOrgId": "org_1", "label": "Vienna", "externalUserId": "user_1"},
        {
            "externalOrgId": "org_1",
            "tierCode": "pro",
            "contactEmail": "ann@acme.com",
            "contactName": "Ann",
            "stripeSubscriptionId": "sub_1",
            "stripeCustomerId": "cus_1",
        },
    ]
    assert expected == received


# Whatever comes


@pytest.mark.parametrize("value", [Rude(), Nothing(), Rude, "x" * 10**6], ids=["rude", "nothing", "class", "long"])
@pytest.mark.parametrize(
    ("method", "argument"),
    [
        ("billing.track_usage", "quantity"),
        ("contacts.list", "primary_only"),
        ("contacts.create", "metadata"),
        ("contacts.bulk_upsert", "contacts"),
        ("features.set_access", "source"),
        ("features.set_access", "valid_until"),
        ("companies.create", "created_at"),
        ("onboard", "hints"),
    ],
)
def test_any_value_is_rejected_by_name(fake: FakeTransport, method: str, argument: str, value: object) -> None:
    """Any value is rejected by the argument's name, whatever its repr."""
    error = refused(fake, method, **{argument: value})

    assert argument == error.field


@pytest.mark.parametrize("value", [Rude(), Nothing(), Rude], ids=["rude", "nothing", "class"])
def test_any_value_is_rejected_as_text(fake: FakeTransport, value: object) -> None:
    """The same holds for text arguments, inside hints and contacts too."""
    fields = [
        refused(fake, "tiers.get", tier_code=value).field,
        refused(fake, "onboard", hints={"domain": value}).field,
        refused(fake, "contacts.bulk_upsert", contacts=[{"email": value}]).field,
        refused(fake, "contacts.bulk_upsert", contacts=[value]).field,
    ]

    assert fields == ["tier_code", "hints.domain", "contacts[0].email", "contacts[0]"]


@pytest.mark.parametrize(
    "value", ["features.check", {"company_id": "c"}, None, 5, FeatureCheckInput, Plain()], ids=words
)
def test_send_and_batch_reject_other_objects(fake: FakeTransport, value: Any) -> None:
    """Any other object is a TypeError, and no request of the same batch is sent."""
    client = ChatarminOS(transport=fake)
    fine = FeatureCheckInput(company_id="c", feature_code="seats")

    with pytest.raises(TypeError):
        client.send(value)
    with pytest.raises(TypeError):
        client.batch([fine, value])

    assert list(fake.calls) == []


def test_requests_are_checked_like_methods(fake: FakeTransport) -> None:
    """An invalid request is rejected before it is sent."""
    arguments: dict[str, Any] = {"company_id": 5, "feature_code": "seats"}

    with pytest.raises(InvalidInput, match="company_id") as caught:
        ChatarminOS(transport=fake).send(FeatureCheckInput(**arguments))

    assert caught.value.field == "company_id"
    assert list(fake.calls) == []
