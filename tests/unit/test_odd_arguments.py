"""Every argument of every method, given lazy, broken and other odd objects: the value, or a refusal that names it."""

from __future__ import annotations

import enum
import inspect
import json
import pickle
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NoReturn
from unittest.mock import MagicMock, Mock
from uuid import UUID

import freezegun
import pytest
from django.utils.functional import SimpleLazyObject, lazystr
from ids import words
from werkzeug.local import LocalProxy, LocalStack

from chatarmin_os import (
    ApiError,
    ChatarminOS,
    ContactInput,
    FeatureCheckInput,
    Hints,
    InvalidInput,
    TrackUsageInput,
    UpdateCompanyInput,
)
from chatarmin_os.fake import FakeTransport, demo_catalogue

if TYPE_CHECKING:
    from collections.abc import Callable

NOON = datetime(2024, 1, 15, 12, tzinfo=UTC)

# A call of each method with every argument that can go with the others.
WHOLE: dict[str, dict[str, Any]] = {
    "companies.get_by_product_link": {"external_org_id": "org_1"},
    "companies.create": {
        "name": "Acme",
        "external_org_id": "org_1",
        "domain": "acme.com",
        "contact_email": "ann@acme.com",
        "contact_name": "Ann",
        "created_at": NOON,
    },
    "companies.update": {"company_id": "c", "created_at": NOON},
    "companies.smart_link": {"external_org_id": "org_1", "hints": {"domain": "acme.com"}, "min_confidence": 0.5},
    "contacts.create": {
        "company_id": "c",
        "email": "ann@acme.com",
        "name": "Ann",
        "role": "CEO",
        "is_primary": True,
        "avatar_url": "https://acme.com/a.png",
        "metadata": {"a": 1},
    },
    "contacts.bulk_upsert": {"company_id": "c", "contacts": [{"email": "ann@acme.com"}]},
    "contacts.list": {"company_id": "c", "primary_only": True},
    "features.check": {"company_id": "c", "feature_code": "seats"},
    "features.list_access": {"company_id": "c"},
    "features.set_access": {
        "company_id": "c",
        "feature_code": "seats",
        "is_enabled": True,
        "quantity_limit": 5,
        "included_quantity": 1.5,
        "config": {"a": [1]},
        "source": "manual",
        "valid_until": NOON,
    },
    "features.get_access_by_external_org_id": {"external_org_id": "org_1"},
    "features.check_by_external_org_id": {"external_org_id": "org_1", "feature_code": "seats"},
    "billing.track_usage": {
        "company_id": "c",
        "feature_code": "seats",
        "quantity": 2.5,
        "idempotency_key": "k",
        "metadata": {"a": 1},
    },
    "billing.claim_checkout": {"company_id": "c", "checkout_session_id": "cs_test_1"},
    "billing.link_subscription": {
        "company_id": "c",
        "stripe_subscription_id": "sub_1",
        "stripe_customer_id": "cus_1",
        "tier_code": "pro",
        "display_name": "Main",
    },
    "billing.get_status": {"company_id": "c"},
    "tiers.get": {"tier_code": "pro"},
    "tiers.apply": {"tier_code": "pro", "company_id": "c", "features": {"seats": {"max_quantity": 10}}},
    "subscriptions.create": {"tier_code": "pro", "company_id": "c", "features": {"seats": {"max_quantity": 10}}},
    "links.create": {"company_id": "c", "external_org_id": "org_1", "label": "Vienna", "external_user_id": "u"},
    "links.reset": {"delete_contacts": True, "reset_mrr": True},
    "onboard": {
        "external_org_id": "org_1",
        "hints": {"company_name": "Acme", "emails": ["ann@acme.com"]},
        "tier_code": "pro",
        "contact_email": "ann@acme.com",
        "contact_name": "Ann",
        "created_at": NOON,
        "stripe_subscription_id": "sub_1",
        "stripe_customer_id": "cus_1",
    },
}
ALONE = {"features.set_access": {"external_org_id": "org_1"}, "onboard": {"checkout_session_id": "cs_1"}}
EXCLUDES = {"external_org_id": ["company_id"], "checkout_session_id": ["stripe_subscription_id", "stripe_customer_id"]}

ARGUMENTS = [(method, name) for method, arguments in WHOLE.items() for name in arguments]
ARGUMENTS += [(method, name) for method, arguments in ALONE.items() for name in arguments]


def _arguments(method: str, name: str) -> dict[str, Any]:
    """Return arguments of a method among which *name* is."""
    alone = ALONE.get(method, {})
    if name not in alone:
        return WHOLE[method]
    return {key: value for key, value in WHOLE[method].items() if key not in EXCLUDES[name]} | alone


def _outcome(method: str, arguments: Mapping[str, Any]) -> Any:
    """Return the input of the call that a method sends, or its refusal if it sends none."""
    fake = FakeTransport(demo_catalogue())
    try:
        with suppress(ApiError):
            attrgetter(method)(ChatarminOS(transport=fake))(**arguments)
    except InvalidInput as refusal:
        assert list(fake.calls) == []
        return refusal
    (call,) = fake.calls
    return call.input


class Text(str):
    """Text of a subclass with wrong methods."""

    __slots__ = ()

    def __str__(self) -> str:
        return "another text"

    def strip(self, _: str | None = None, /) -> str:
        """Return another text."""
        return "another text"


class Code(enum.StrEnum):
    """Text with names."""

    SEATS = "seats"


class Failing:
    """An object of which nothing works."""

    def __fail(self, *_: object) -> NoReturn:
        raise RuntimeError("broken")

    __str__ = __repr__ = __eq__ = __bool__ = __iter__ = __len__ = __getitem__ = __contains__ = __fail
    __hash__ = __lt__ = __int__ = __float__ = __index__ = __getattr__ = __fail


class BrokenMapping(Mapping[str, Any]):
    """A mapping that cannot be read."""

    def __getitem__(self, _: str) -> Any:
        raise KeyError("gone")

    def __iter__(self) -> Iterator[str]:
        raise ValueError("closed")

    def __len__(self) -> int:
        return 1


class LosingMapping(BrokenMapping):
    """A mapping whose keys have no values."""

    def __iter__(self) -> Iterator[str]:
        return iter(["email", "domain", "seats", "a"])


class BrokenDict(dict[str, Any]):
    """A dict that cannot be read."""

    def items(self) -> Any:
        """Fail."""
        raise LookupError("closed")

    keys = __iter__ = items


class BrokenIterable:
    """An iterable that cannot be read."""

    def __iter__(self) -> Iterator[Any]:
        raise ZeroDivisionError

    def __repr__(self) -> str:
        return "line 1\nline 2\x1b[31m"


class NotATime(datetime):
    """The value for a missing datetime in a data frame: a datetime without a time."""

    def utcoffset(self) -> NoReturn:
        """Fail."""
        raise ValueError("NotATime does not support utcoffset")

    astimezone = isoformat = replace = utcoffset  # type: ignore[assignment]

    @property
    def year(self) -> float:  # type: ignore[override]
        """Return no year."""
        return float("nan")


class Zone(tzinfo):
    """A time zone that answers with anything."""

    def __init__(self, offset: Any = None) -> None:
        """Answer with *offset*, or raise it."""
        self.offset = offset

    def utcoffset(self, _: datetime | None, /) -> Any:
        """Answer."""
        if isinstance(self.offset, Exception):
            raise self.offset
        return self.offset

    def tzname(self, _: datetime | None, /) -> str:
        """Return a name."""
        return "zone"

    def dst(self, _: datetime | None, /) -> None:
        """Return no shift."""


def _unbound() -> Any:
    return LocalStack[Any]()()


def _lazily(error: Exception, kind: Any) -> Any:
    def fail() -> NoReturn:
        raise error

    return kind(fail)


ODD: dict[str, Callable[[], Any]] = {
    "unbound-proxy": _unbound,
    "failing-lazy-object": lambda: _lazily(ZeroDivisionError("no"), SimpleLazyObject),
    "failing-proxy": lambda: _lazily(LookupError("no"), LocalProxy),
    "lazy-object": lambda: SimpleLazyObject(object),
    "lazystr": lambda: lazystr("text"),
    "mock": Mock,
    "magic-mock": MagicMock,
    "mock-of-str": lambda: Mock(spec=str),
    "mock-of-dict": lambda: MagicMock(spec=dict),
    "mock-of-datetime": lambda: Mock(spec=datetime),
    "failing": Failing,
    "class": lambda: Failing,
    "broken-mapping": BrokenMapping,
    "losing-mapping": LosingMapping,
    "broken-dict": lambda: BrokenDict(a=1),
    "broken-iterable": BrokenIterable,
    "not-a-time": lambda: NotATime(2024, 1, 15, tzinfo=UTC),
    "no-zone": lambda: datetime(2024, 1, 15, tzinfo=Zone()),
    "failing-zone": lambda: datetime(2024, 1, 15, tzinfo=Zone(NotImplementedError("a tzinfo subclass"))),
    "absurd-zone": lambda: datetime(2024, 1, 15, tzinfo=Zone(timedelta(hours=30))),
    "zone-of-text": lambda: datetime(2024, 1, 15, tzinfo=Zone("+01:00")),
    "text-of-its-own": lambda: Text("seats"),
    "enum": lambda: Code.SEATS,
    "bytes": lambda: b"text",
    "day": lambda: date(2024, 1, 15),
    "number": lambda: 5,
    "nul": lambda: "a\0b",
    "half-a-surrogate": lambda: "\ud800",
    "uuid": lambda: UUID(int=1),
    "hints": lambda: Hints(domain="acme.com"),
    "contact": lambda: ContactInput(email="ann@acme.com"),
    "long": lambda: {"k" * 100_000: [{"k" * 100_000: b""}]},
}


def test_table_names_every_argument() -> None:
    """The table above names every argument of every method that sends a request."""
    client = ChatarminOS.in_memory()

    for method, arguments in WHOLE.items():
        parameters = set(inspect.signature(attrgetter(method)(client)).parameters)
        assert parameters == {*arguments, *ALONE.get(method, {})}
    assert not isinstance(_outcome("onboard", _arguments("onboard", "checkout_session_id")), InvalidInput)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "name"), ARGUMENTS)
@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_any_argument_is_sent_or_rejected(method: str, name: str, odd: Callable[[], Any]) -> None:
    """Any object is sent as JSON, or rejected with the name of the argument and a short text."""
    outcome = _outcome(method, {**_arguments(method, name), name: odd()})

    if isinstance(outcome, InvalidInput):
        assert str(outcome.field).startswith(name)
        assert str(outcome.field)[len(name) :][:1] in {"", ".", "["}
        assert str(outcome).startswith(str(outcome.field)[:200])
        assert str(outcome).isprintable()
        assert len(str(outcome)) < 1000
    else:
        assert json.loads(json.dumps(outcome)) == outcome
        assert "another text" not in json.dumps(outcome)


@pytest.mark.parametrize(("method", "name"), ARGUMENTS)
@pytest.mark.parametrize(
    "lazy",
    [SimpleLazyObject, LocalProxy, lambda make: LocalProxy(lambda: SimpleLazyObject(make))],
    ids=["lazy-object", "proxy", "proxy-of-lazy-object"],
)
def test_lazy_argument_is_its_value(method: str, name: str, lazy: Callable[[Callable[[], Any]], Any]) -> None:
    """A lazy object counts as the object behind it, and the request keeps that object."""
    arguments = _arguments(method, name)

    outcome = _outcome(method, {**arguments, name: lazy(lambda: arguments[name])})

    assert _outcome(method, arguments) == outcome
    assert not isinstance(outcome, InvalidInput)


@pytest.mark.parametrize(
    ("method", "name", "value"),
    [
        ("onboard", "hints", Hints(domain="acme.com")),
        ("contacts.bulk_upsert", "contacts", (ContactInput(email="ann@acme.com"),)),
        ("features.set_access", "valid_until", date(2024, 1, 15)),
        ("features.set_access", "valid_until", None),
        ("features.set_access", "is_enabled", False),
        ("contacts.create", "metadata", None),
        ("billing.track_usage", "company_id", UUID(int=1)),
        ("billing.track_usage", "quantity", 5),
    ],
)
def test_lazy_argument_may_have_any_type(method: str, name: str, value: Any) -> None:
    """Hints, contacts, days, None, booleans and UUIDs may be lazy like text."""
    arguments = WHOLE[method]

    outcome = _outcome(method, {**arguments, name: SimpleLazyObject(lambda: value)})

    assert _outcome(method, {**arguments, name: value}) == outcome
    assert not isinstance(outcome, InvalidInput)


LAZY_TEXT = SimpleLazyObject(lambda: "ann@acme.com")
LAZY_NUMBER = LocalProxy(lambda: 7)


@pytest.mark.parametrize(
    ("method", "arguments", "same"),
    [
        (
            "contacts.create",
            {"metadata": {"invited_by": LAZY_TEXT, "rows": [LAZY_NUMBER, SimpleLazyObject(lambda: {"a": (1,)})]}},
            {"metadata": {"invited_by": "ann@acme.com", "rows": [7, {"a": (1,)}]}},
        ),
        (
            "contacts.bulk_upsert",
            {"contacts": [SimpleLazyObject(lambda: {"email": LAZY_TEXT}), {"email": LAZY_TEXT, "name": LAZY_TEXT}]},
            {"contacts": [{"email": "ann@acme.com"}, {"email": "ann@acme.com", "name": "ann@acme.com"}]},
        ),
        ("onboard", {"hints": {"emails": [LAZY_TEXT]}}, {"hints": {"emails": ["ann@acme.com"]}}),
        (
            "tiers.apply",
            {"features": {"seats": LocalProxy(lambda: {"max_quantity": LAZY_NUMBER})}},
            {"features": {"seats": {"max_quantity": 7}}},
        ),
        ("features.set_access", {"config": {LAZY_TEXT: 1}}, {"config": {"ann@acme.com": 1}}),
        ("onboard", {"hints": {SimpleLazyObject(lambda: "domain"): LAZY_TEXT}}, {"hints": {"domain": "ann@acme.com"}}),
        (
            "tiers.apply",
            {"features": {LocalProxy(lambda: "seats"): {LocalProxy(lambda: "max_quantity"): LAZY_NUMBER}}},
            {"features": {"seats": {"max_quantity": 7}}},
        ),
    ],
    ids=["metadata", "contacts", "hints", "overrides", "key", "key-of-hints", "key-of-overrides"],
)
def test_lazy_value_inside_is_its_value(method: str, arguments: dict[str, Any], same: dict[str, Any]) -> None:
    """Lazy objects in mappings and lists count as their objects too."""
    whole = WHOLE[method]

    assert _outcome(method, {**whole, **arguments}) == _outcome(method, {**whole, **same})


INSIDE: list[tuple[str, str, Callable[[Any], Any], str]] = [
    ("contacts.create", "metadata", lambda odd: {"a": [odd]}, "metadata.a[0]"),
    ("contacts.bulk_upsert", "contacts", lambda odd: [{"email": "ann@acme.com"}, odd], "contacts[1]"),
    ("contacts.bulk_upsert", "contacts", lambda odd: [{"email": odd}], "contacts[0].email"),
    ("contacts.bulk_upsert", "contacts", lambda odd: [{"email": "a@b.co", "metadata": odd}], "contacts[0].metadata"),
    ("onboard", "hints", lambda odd: {"domain": odd}, "hints.domain"),
    ("onboard", "hints", lambda odd: {"emails": [odd]}, "hints.emails[0]"),
    ("onboard", "hints", lambda odd: {"emails": odd}, "hints.emails"),
    ("tiers.apply", "features", lambda odd: {"seats": odd}, "features.seats"),
    ("tiers.apply", "features", lambda odd: {"seats": {"max_quantity": odd}}, "features.seats.max_quantity"),
]


@pytest.mark.parametrize(("method", "name", "make", "place"), INSIDE, ids=[words(row[3]) for row in INSIDE])
@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_any_value_inside_is_sent_or_rejected(
    method: str, name: str, make: Callable[[Any], Any], place: str, odd: Callable[[], Any]
) -> None:
    """An odd object inside an argument is sent as JSON, or rejected with its place."""
    outcome = _outcome(method, {**WHOLE[method], name: make(odd())})

    if isinstance(outcome, InvalidInput):
        assert str(outcome.field).startswith((place, name))
        assert len(str(outcome)) < 1000
    else:
        assert json.loads(json.dumps(outcome)) == outcome


@pytest.mark.parametrize(
    "key",
    [SimpleLazyObject(lambda: 5), Mock(spec=str), b"a", None, ("a",), "a\0b"],
    ids=["lazy-int", "mock", "bytes", "none", "tuple", "nul"],
)
@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("contacts.create", "metadata"),
        ("features.set_access", "config"),
        ("tiers.apply", "features"),
        ("onboard", "hints"),
        ("contacts.bulk_upsert", "contacts"),
    ],
)
def test_any_key_is_sent_or_rejected(method: str, name: str, key: Any) -> None:
    """An odd key is rejected with the name of its argument."""
    given: Any = {key: {}}

    outcome = _outcome(method, {**WHOLE[method], name: [given] if name == "contacts" else given})

    assert isinstance(outcome, InvalidInput)
    assert str(outcome.field).startswith(name)
    assert str(outcome).isprintable()


@pytest.mark.parametrize("name", ["path", "input", "kind"])
@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_any_argument_of_a_call_is_sent_or_rejected(name: str, odd: Callable[[], Any]) -> None:
    """The path, the input and the kind of a call by its path are checked like the arguments of methods."""
    outcome = _outcome("call", {"path": "tiers.list", "input": None, "kind": "query", name: odd()})

    if isinstance(outcome, InvalidInput):
        assert str(outcome.field).startswith(name)
        assert len(str(outcome)) < 1000
    else:
        assert json.loads(json.dumps(outcome)) == outcome


def test_lazy_argument_of_a_call_is_its_value() -> None:
    """Path, input and kind of a call by its path may be lazy; the call has plain values."""
    fake = FakeTransport(demo_catalogue())
    given: Any = SimpleLazyObject(lambda: {"tierCode": LocalProxy(lambda: "pro")})

    ChatarminOS(transport=fake).call(
        SimpleLazyObject(lambda: "tiers.get"),  # type: ignore[arg-type]
        given,
        kind=SimpleLazyObject(lambda: Text("query")),  # type: ignore[arg-type]
    )

    (call,) = fake.calls
    assert (call.path, call.kind, call.input) == ("tiers.get", "query", {"tierCode": "pro"})
    assert [type(one) for one in (call.path, call.kind, call.input)] == [str, str, dict]


class OutageError(Exception):
    """The error of an unreachable database, or of a timer of the caller."""


@pytest.mark.parametrize("kind", [SimpleLazyObject, LocalProxy])
def test_outage_behind_a_lazy_argument_is_raised(kind: Any) -> None:
    """A failure of the source of a lazy object is not an invalid input."""
    for error in (OutageError(), TimeoutError(), MemoryError()):
        with pytest.raises(type(error)):
            FeatureCheckInput(company_id=_lazily(error, kind), feature_code="seats")


def test_error_of_a_broken_object_has_its_cause() -> None:
    """The object's error is the cause of the invalid input, and named in it."""
    with pytest.raises(
        InvalidInput, match=r"^company_id: could not read the given SimpleLazyObject: KeyError\('no'\)$"
    ) as (refused):
        FeatureCheckInput(company_id=_lazily(KeyError("no"), SimpleLazyObject), feature_code="seats")

    assert isinstance(refused.value.__cause__, KeyError)


# Classes of their own become plain


class Frozen(datetime):
    """A datetime of a library, with methods of its own."""

    def astimezone(self, _: tzinfo | None = None) -> NoReturn:
        """Fail: it is not called."""
        raise AssertionError

    isoformat = astimezone  # type: ignore[assignment]


class FrozenDay(date):
    """A date of a library."""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Frozen(2024, 1, 15, 13, 30, 5, 123_456, timezone(timedelta(hours=1))), NOON.replace(minute=30, second=5)),
        (Frozen(2024, 1, 15, 12, tzinfo=UTC), NOON),
    ],
)
def test_datetime_of_a_library_becomes_plain(value: datetime, expected: datetime) -> None:
    """A request keeps no class of another library: it can be stored and loaded without it."""
    request = UpdateCompanyInput(company_id="c", created_at=value)

    assert type(request.created_at) is datetime
    assert request.created_at.replace(microsecond=0) == expected
    assert b"Frozen" not in pickle.dumps(request)


def test_day_of_a_library_becomes_a_plain_instant() -> None:
    """The start of a day is a plain datetime, whatever the class of the day."""
    received = _outcome("features.set_access", {**WHOLE["features.set_access"], "valid_until": FrozenDay(2024, 1, 15)})

    assert received["validUntil"] == "2024-01-15T00:00:00.000Z"


def test_request_built_in_frozen_time_is_plain() -> None:
    """A library that freezes time replaces the class `datetime`; requests do not contain the replacement."""
    with freezegun.freeze_time("2024-01-15T12:00:00Z"):
        created = [
            UpdateCompanyInput(company_id="c", created_at=given).created_at
            for given in (
                freezegun.api.FakeDatetime.now(UTC),
                "2024-01-15T12:00:00Z",
                Frozen(2024, 1, 15, 12, tzinfo=UTC),
            )
        ]

    assert created == [NOON] * 3
    assert {type(moment) for moment in created} == {datetime}


def test_text_and_numbers_of_subclasses_become_plain() -> None:
    """A request keeps plain text and plain numbers, which mean the same wherever they are loaded."""
    event = TrackUsageInput(company_id=Text("c"), feature_code=Code.SEATS, quantity=True + 1, idempotency_key=Text("k"))

    assert [type(value) for value in (event.company_id, event.feature_code, event.idempotency_key)] == [str] * 3
    assert (event.company_id, event.feature_code, event.idempotency_key) == ("c", "seats", "k")
