"""Requests: the classes of the table, and that one object is one call in copies, pickles and JSON."""

from __future__ import annotations

import copy
import json
import pickle
import uuid
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, cast, get_type_hints

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ids import words

import chatarmin_os
from chatarmin_os import (
    PROCEDURES,
    UNSET,
    ApplyTierInput,
    ApplyTierResult,
    BillingStatus,
    BulkUpsertInput,
    BulkUpsertResult,
    ChatarminOS,
    CheckByExternalOrgIdInput,
    ClaimCheckoutInput,
    ClaimResult,
    Company,
    Contact,
    ContactInput,
    CreateCompanyInput,
    CreateContactInput,
    CreateLinkInput,
    FeatureAccess,
    FeatureCheckInput,
    FeatureSetAccessInput,
    GetAccessByExternalOrgIdInput,
    GetByProductLinkInput,
    GetStatusInput,
    GetTierInput,
    Hints,
    InvalidInput,
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
    SmartLinkInput,
    SmartLinkResult,
    Tier,
    TierSummary,
    TrackUsageInput,
    UpdateCompanyInput,
    UsageResult,
    request_from_json,
)
from chatarmin_os._converter import to_call
from chatarmin_os._json import FORBIDDEN_KEYS
from chatarmin_os._pickling import AcrossVersions
from chatarmin_os.transports import Call, Transport

if TYPE_CHECKING:
    from collections.abc import Callable


class Echo(Transport):
    """A transport that keeps the calls it gets and gives the answer it was prepared with."""

    def __init__(self, answer: Any = None) -> None:
        """Prepare the *answer*."""
        self.answer = answer
        self.calls: list[Call] = []

    def send(self, call: Call) -> Any:
        """Keep *call*."""
        self.calls.append(call)
        return self.answer


class Row(NamedTuple):
    """A procedure: its request with every argument, its wire input, and its properties."""

    request: Any
    path: str
    kind: Any
    result: Any
    safe_to_repeat: bool
    input: Any
    answer: Any
    decoded: Any


NOON = datetime(2024, 1, 15, 12, tzinfo=UTC)
METADATA = {"order_id": [1, {"rowNo": 2.5}]}
HINTS = Hints(company_name="Acme", domain="acme.com", emails=["ann@acme.com"])

TABLE = [
    Row(
        GetByProductLinkInput(external_org_id="o"),
        "companies.getByProductLink",
        "query",
        Company | None,
        safe_to_repeat=True,
        input={"externalOrgId": "o"},
        answer={"id": "c", "name": "Acme"},
        decoded=Company(id="c", name="Acme"),
    ),
    Row(
        CreateCompanyInput(
            name="Acme",
            external_org_id="o",
            domain="acme.com",
            contact_email="ann@acme.com",
            contact_name="Ann",
            created_at=NOON,
        ),
        "companies.create",
        "mutation",
        Company,
        safe_to_repeat=False,
        input={
            "name": "Acme",
            "externalOrgId": "o",
            "domain": "acme.com",
            "contactEmail": "ann@acme.com",
            "contactName": "Ann",
            "createdAt": "2024-01-15T12:00:00.000Z",
        },
        answer={"id": "c"},
        decoded=Company(id="c"),
    ),
    Row(
        UpdateCompanyInput(company_id="c", created_at=NOON),
        "companies.update",
        "mutation",
        Company,
        safe_to_repeat=True,
        input={"companyId": "c", "createdAt": "2024-01-15T12:00:00.000Z"},
        answer=None,
        decoded=Company(),
    ),
    Row(
        SmartLinkInput(external_org_id="o", hints=HINTS, min_confidence=0.5),
        "companies.smartLink",
        "mutation",
        SmartLinkResult,
        safe_to_repeat=True,
        input={
            "externalOrgId": "o",
            "hints": {"companyName": "Acme", "domain": "acme.com", "emails": ["ann@acme.com"]},
            "minConfidence": 0.5,
        },
        answer={"status": "no_match"},
        decoded=SmartLinkResult(status="no_match"),
    ),
    Row(
        CreateContactInput(
            company_id="c",
            email="ann@acme.com",
            name="Ann",
            role="CEO",
            is_primary=False,
            avatar_url="https://acme.com/ann.png",
            metadata=METADATA,
        ),
        "contacts.create",
        "mutation",
        Contact,
        safe_to_repeat=True,
        input={
            "companyId": "c",
            "email": "ann@acme.com",
            "name": "Ann",
            "role": "CEO",
            "isPrimary": False,
            "avatarUrl": "https://acme.com/ann.png",
            "metadata": METADATA,
        },
        answer={"id": "1", "isNew": True},
        decoded=Contact(id="1", is_new=True),
    ),
    Row(
        BulkUpsertInput(
            company_id="c", contacts=[ContactInput(email="ann@acme.com", is_primary=True), {"email": "bob@acme.com"}]
        ),
        "contacts.bulkUpsert",
        "mutation",
        BulkUpsertResult,
        safe_to_repeat=True,
        input={
            "companyId": "c",
            "contacts": [{"email": "ann@acme.com", "isPrimary": True}, {"email": "bob@acme.com"}],
        },
        answer={"created": 2, "updated": 0},
        decoded=BulkUpsertResult(created=2, updated=0),
    ),
    Row(
        ListContactsInput(company_id="c", primary_only=True),
        "contacts.list",
        "query",
        list[Contact],
        safe_to_repeat=True,
        input={"companyId": "c", "primaryOnly": True},
        answer=[{"id": "1"}],
        decoded=[Contact(id="1")],
    ),
    Row(
        FeatureCheckInput(company_id="c", feature_code="seats"),
        "features.check",
        "query",
        FeatureAccess,
        safe_to_repeat=True,
        input={"companyId": "c", "featureCode": "seats"},
        answer={"isEnabled": True},
        decoded=FeatureAccess(is_enabled=True),
    ),
    Row(
        ListAccessInput(company_id="c"),
        "features.listAccess",
        "query",
        list[FeatureAccess],
        safe_to_repeat=True,
        input={"companyId": "c"},
        answer=[{"isEnabled": True}],
        decoded=[FeatureAccess(is_enabled=True)],
    ),
    Row(
        FeatureSetAccessInput(
            external_org_id="o",
            feature_code="seats",
            is_enabled=False,
            quantity_limit=None,
            included_quantity=0,
            config={"max_rows": 5},
            source="manual",
            valid_until=date(2024, 1, 15),
        ),
        "features.setAccess",
        "mutation",
        FeatureAccess,
        safe_to_repeat=True,
        input={
            "externalOrgId": "o",
            "featureCode": "seats",
            "isEnabled": False,
            "quantityLimit": None,
            "includedQuantity": 0,
            "config": {"max_rows": 5},
            "source": "manual",
            "validUntil": "2024-01-15T00:00:00.000Z",
        },
        answer={},
        decoded=FeatureAccess(),
    ),
    Row(
        GetAccessByExternalOrgIdInput(external_org_id="o"),
        "features.getAccessByExternalOrgId",
        "query",
        OrgFeatures,
        safe_to_repeat=True,
        input={"externalOrgId": "o"},
        answer={"companyId": "c", "features": []},
        decoded=OrgFeatures(company_id="c", features=()),
    ),
    Row(
        CheckByExternalOrgIdInput(external_org_id="o", feature_code="seats"),
        "features.checkByExternalOrgId",
        "query",
        FeatureAccess,
        safe_to_repeat=True,
        input={"externalOrgId": "o", "featureCode": "seats"},
        answer={"isEnabled": False},
        decoded=FeatureAccess(is_enabled=False),
    ),
    Row(
        TrackUsageInput(company_id="c", feature_code="seats", quantity=2.5, idempotency_key="k", metadata=METADATA),
        "billing.trackUsage",
        "mutation",
        UsageResult,
        safe_to_repeat=True,
        input={
            "companyId": "c",
            "featureCode": "seats",
            "quantity": 2.5,
            "idempotencyKey": "k",
            "metadata": METADATA,
        },
        answer={"currentUsage": 2.5},
        decoded=UsageResult(current_usage=2.5),
    ),
    Row(
        ClaimCheckoutInput(company_id="c", checkout_session_id="cs_1"),
        "billing.claimCheckout",
        "mutation",
        ClaimResult,
        safe_to_repeat=True,
        input={"companyId": "c", "checkoutSessionId": "cs_1"},
        answer={"alreadyClaimed": True},
        decoded=ClaimResult(already_claimed=True),
    ),
    Row(
        LinkSubscriptionInput(
            company_id="c",
            stripe_subscription_id="sub_1",
            stripe_customer_id="cus_1",
            tier_code="pro",
            display_name="Main",
        ),
        "billing.linkSubscription",
        "mutation",
        LinkSubscriptionResult,
        safe_to_repeat=True,
        input={
            "companyId": "c",
            "stripeSubscriptionId": "sub_1",
            "stripeCustomerId": "cus_1",
            "tierCode": "pro",
            "displayName": "Main",
        },
        answer={},
        decoded=LinkSubscriptionResult(),
    ),
    Row(
        GetStatusInput(company_id="c"),
        "billing.getStatus",
        "query",
        BillingStatus,
        safe_to_repeat=True,
        input={"companyId": "c"},
        answer={"hasBillingProfile": False, "activeSubscriptions": []},
        decoded=BillingStatus(has_billing_profile=False, active_subscriptions=()),
    ),
    Row(
        ListTiersInput(),
        "tiers.list",
        "query",
        list[TierSummary],
        safe_to_repeat=True,
        input=None,
        answer=[{"code": "pro"}],
        decoded=[TierSummary(code="pro")],
    ),
    Row(
        GetTierInput(tier_code="pro"),
        "tiers.get",
        "query",
        Tier,
        safe_to_repeat=True,
        input={"tierCode": "pro"},
        answer={"code": "pro", "features": []},
        decoded=Tier(code="pro", features=()),
    ),
    Row(
        ApplyTierInput(tier_code="pro", company_id="c", features={"seats": {"max_quantity": 10}}),
        "tiers.apply",
        "mutation",
        ApplyTierResult,
        safe_to_repeat=True,
        input={"tierCode": "pro", "companyId": "c", "features": {"seats": {"max_quantity": 10}}},
        answer=None,
        decoded=ApplyTierResult(),
    ),
    Row(
        CreateLinkInput(company_id="c", external_org_id="o", label="Store", external_user_id="u"),
        "links.create",
        "mutation",
        Link,
        safe_to_repeat=False,
        input={"companyId": "c", "externalOrgId": "o", "label": "Store", "externalUserId": "u"},
        answer=None,
        decoded=Link(),
    ),
    Row(
        ResetLinksInput(delete_contacts=True, reset_mrr=True),
        "links.reset",
        "mutation",
        ResetResult,
        safe_to_repeat=False,
        input={"deleteContacts": True, "resetMrr": True},
        answer={"linksDeleted": 1},
        decoded=ResetResult(links_deleted=1),
    ),
    Row(
        OnboardInput(
            external_org_id="o",
            hints=HINTS,
            tier_code="pro",
            contact_email="ann@acme.com",
            contact_name="Ann",
            created_at=NOON,
            stripe_subscription_id="sub_1",
            stripe_customer_id="cus_1",
        ),
        "onboard",
        "mutation",
        OnboardResult,
        safe_to_repeat=True,
        input={
            "externalOrgId": "o",
            "hints": {"companyName": "Acme", "domain": "acme.com", "emails": ["ann@acme.com"]},
            "tierCode": "pro",
            "contactEmail": "ann@acme.com",
            "contactName": "Ann",
            "createdAt": "2024-01-15T12:00:00.000Z",
            "stripeSubscriptionId": "sub_1",
            "stripeCustomerId": "cus_1",
        },
        answer={"companyId": "c", "linkStatus": "linked", "billingStatus": {"linked": True}},
        decoded=OnboardResult(company_id="c", link_status="linked", billing_status=OnboardBilling(linked=True)),
    ),
]
EVENT = TrackUsageInput(company_id="c", feature_code="seats", quantity=1)

rows = pytest.mark.parametrize("row", TABLE, ids=[type(row.request).__name__ for row in TABLE])


def _copies(value: Any) -> list[Any]:
    pickled = [pickle.loads(pickle.dumps(value, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]  # noqa: S301 - pickled here
    return [copy.copy(value), copy.deepcopy(value), *pickled]


@rows
def test_request_describes_its_procedure(row: Row) -> None:
    """Path, kind, result and whether repeating is harmless are attributes of the class."""
    kind = type(row.request)

    assert (row.path, row.kind, row.result) == (kind.path, kind.kind, kind.result)
    assert row.safe_to_repeat is kind.safe_to_repeat


def test_three_mutations_are_not_repeated() -> None:
    """Repeating is harmless for every query, and for every mutation but three."""
    unsafe = {path for path, request in PROCEDURES.items() if not request.safe_to_repeat}

    assert unsafe == {"companies.create", "links.create", "links.reset"}
    assert {PROCEDURES[path].kind for path in unsafe} == {"mutation"}


def test_table_of_procedures_is_complete() -> None:
    """`PROCEDURES` maps each path to its class, and has every exported request."""
    exported = [getattr(chatarmin_os, name) for name in chatarmin_os.__all__ if name.endswith("Input")]
    requests = {one for one in exported if hasattr(one, "path")}

    assert dict(PROCEDURES) == {row.path: type(row.request) for row in TABLE}
    assert requests == set(PROCEDURES.values())
    assert set(exported) - requests == {ContactInput, InvalidInput}


def test_table_of_procedures_is_read_only() -> None:
    """No path can be changed by accident."""
    table = cast("Any", PROCEDURES)

    assert isinstance(PROCEDURES, Mapping)
    with pytest.raises(TypeError):
        table["tiers.list"] = GetTierInput
    with pytest.raises(TypeError):
        del table["tiers.list"]
    with pytest.raises(AttributeError):
        table.clear()


@rows
def test_send_makes_the_call_and_the_result(row: Row) -> None:
    """A request is sent as the one call that it describes, and its answer becomes the result it names."""
    transport = Echo(row.answer)

    result = ChatarminOS(transport=transport).send(row.request)

    assert [Call(row.path, row.kind, row.input, row.safe_to_repeat)] == transport.calls
    assert row.decoded == result
    assert type(row.decoded) is type(result)


@rows
def test_request_is_frozen(row: Row) -> None:
    """Neither a field nor a class attribute of a request can be set."""
    for name in [*(field.name for field in attrs.fields(type(row.request))), "path", "something_else"]:
        with pytest.raises(AttributeError):
            setattr(row.request, name, "x")


@rows
def test_request_is_keyword_only(row: Row) -> None:
    """No argument of a request is given by its place."""
    with pytest.raises(TypeError):
        type(row.request)("c")


@pytest.mark.parametrize("row", [row for row in TABLE if row.path != "tiers.list"], ids=lambda row: row.path)
def test_request_rejects_unknown_arguments(row: Row) -> None:
    """An unknown argument, or one in another notation, is a TypeError."""
    given = attrs.asdict(row.request, recurse=False)

    assert row.request == type(row.request)(**given)
    for name in ("more", "companyId", "path"):
        with pytest.raises(TypeError):
            type(row.request)(**given, **{name: "x"})


@rows
def test_request_copies_and_pickles(row: Row) -> None:
    """A copy of a request is the same call, idempotency key included."""
    for clone in _copies(row.request):
        transport = Echo(row.answer)
        ChatarminOS(transport=transport).send(clone)

        assert row.request == clone
        assert type(row.request) is type(clone)
        assert transport.calls[0].input == row.input


@rows
def test_evolved_request_differs_in_given_fields_only(row: Row) -> None:
    """Without changes an evolved request is equal; a changed field is checked again."""
    assert row.request == attrs.evolve(row.request)
    for field in attrs.fields(type(row.request)):
        if field.converter is not None and field.default is attrs.NOTHING:
            with pytest.raises(InvalidInput) as refused:
                attrs.evolve(row.request, **{field.name: object()})
            assert refused.value.field == field.name


def test_evolving_keeps_the_original() -> None:
    """The original stays unchanged."""
    check = FeatureCheckInput(company_id="c", feature_code="seats")

    other = attrs.evolve(check, feature_code="sso")

    assert (check.feature_code, other.feature_code) == ("seats", "sso")
    assert other.company_id == "c"


@pytest.mark.parametrize(
    ("build", "mine"),
    [
        (lambda mine: attrs.evolve(EVENT, metadata=mine), {"list": [1]}),
        (lambda mine: CreateContactInput(company_id="c", email="ann@acme.com", metadata=mine), {"list": [1]}),
        (lambda mine: FeatureSetAccessInput(company_id="c", feature_code="f", config=mine), {"list": [1]}),
        (lambda mine: ApplyTierInput(tier_code="t", company_id="c", features=mine), {"seats": {"max_quantity": 1}}),
        (lambda mine: ContactInput(email="ann@acme.com", metadata=mine), {"list": [1]}),
    ],
    ids=["track_usage", "contact", "set_access", "tier", "contact-input"],
)
def test_request_copies_its_mappings(build: Callable[[Any], Any], mine: dict[str, Any]) -> None:
    """Changing a mapping afterwards does not change the request."""
    request, same = build(mine), build(copy.deepcopy(mine))

    mine.popitem()[1].clear()
    mine["more"] = {}

    assert request == same


def test_request_is_independent_of_its_call() -> None:
    """A transport may change a call's input; the request can be sent again."""

    class Rude(Echo):
        def send(self, call: Call) -> Any:
            self.calls.append(copy.deepcopy(call))
            call.input["metadata"]["list"].append("!")
            call.input.clear()
            return {"currentUsage": 1}

    request = attrs.evolve(EVENT, metadata={"list": [1]})
    transport = Rude()
    client = ChatarminOS(transport=transport)

    client.send(request)
    client.send(request)

    assert transport.calls[0] == transport.calls[1]
    assert request.metadata == {"list": [1]}


def test_unset_survives_a_pickle() -> None:
    """An UNSET field is still omitted after a request was stored and loaded."""
    request = FeatureSetAccessInput(company_id="c", feature_code="f", included_quantity=None)

    for clone in _copies(request):
        assert clone.quantity_limit is UNSET
        assert clone.valid_until is UNSET
        assert clone.included_quantity is None


@pytest.mark.parametrize(
    "override", [5, None, True, "max_quantity", ["max_quantity"], [("max_quantity", 5)]], ids=words
)
def test_override_of_a_tier_must_be_a_mapping(override: Any) -> None:
    """Overrides are a mapping per feature; any other type is rejected at its feature."""
    with pytest.raises(InvalidInput) as refused:
        ApplyTierInput(tier_code="pro", company_id="c", features={"ai_credit": {}, "seats": override})

    assert refused.value.field == "features.seats"


# Usage events


def test_event_generates_its_key_when_built() -> None:
    """An event without a key generates a random UUID when it is built, each another one."""
    keys = {TrackUsageInput(company_id="c", feature_code="f", quantity=1).idempotency_key for _ in range(100)}

    assert len(keys) == 100
    assert {uuid.UUID(key).version for key in keys} == {4}
    assert {str(uuid.UUID(key)) for key in keys} == keys


def test_event_keeps_its_key() -> None:
    """An event has the same key however often it is sent, alone or in a batch."""
    transport = Echo({"currentUsage": 1})
    client = ChatarminOS(transport=transport)

    client.send(EVENT)
    client.send(EVENT)
    client.batch([EVENT, EVENT])

    assert [EVENT.idempotency_key] * 4 == [call.input["idempotencyKey"] for call in transport.calls]


def test_event_keeps_its_key_in_copies() -> None:
    """A copied or stored event is the same event."""
    keys = {clone.idempotency_key for clone in _copies(EVENT)}

    assert keys == {EVENT.idempotency_key}


def test_evolved_event_keeps_its_key() -> None:
    """Evolving keeps the key; with None it is another event."""
    same = attrs.evolve(EVENT, metadata={"a": 1})
    other = attrs.evolve(EVENT, idempotency_key=None)
    named = attrs.evolve(EVENT, idempotency_key=uuid.UUID(int=1))

    assert EVENT.idempotency_key == same.idempotency_key
    assert other.idempotency_key not in {EVENT.idempotency_key, None}
    assert uuid.UUID(other.idempotency_key).version == 4
    assert named.idempotency_key == "00000000-0000-0000-0000-000000000001"
    assert attrs.evolve(other, idempotency_key=EVENT.idempotency_key) == EVENT


# Personal data in logs

PRIVATE = "ann.smith@acme.com"


@pytest.mark.parametrize(
    "request_of",
    [
        lambda: CreateContactInput(company_id="c", email=PRIVATE, name=PRIVATE, metadata={PRIVATE: [PRIVATE]}),
        lambda: BulkUpsertInput(company_id="c", contacts=[{"email": PRIVATE}, {"email": "b@c.de", "role": PRIVATE}]),
        lambda: CreateCompanyInput(name="Acme", external_org_id=PRIVATE, contact_email=PRIVATE),
        lambda: SmartLinkInput(external_org_id="o", hints=Hints(emails=[PRIVATE, PRIVATE], company_name=PRIVATE)),
        lambda: OnboardInput(external_org_id="o", contact_email=PRIVATE, hints={"emails": [PRIVATE]}),
        lambda: TrackUsageInput(company_id="c", feature_code="f", quantity=1, idempotency_key=f"{PRIVATE}:1"),
        lambda: CreateLinkInput(company_id="c", external_org_id="o", external_user_id=PRIVATE, label=PRIVATE),
        lambda: FeatureSetAccessInput(company_id="c", feature_code="f", config={"owner": PRIVATE}),
        lambda: ContactInput(email=PRIVATE),
        lambda: Hints(emails=[PRIVATE]),
        lambda: Contact(id="1", email=PRIVATE, metadata={"assistant": PRIVATE}),
    ],
)
def test_repr_shortens_addresses(request_of: Callable[[], Any]) -> None:
    """The repr of a request, of hints or of a contact shows of each e-mail address its first letter and its host."""
    shown = repr(request_of())

    assert "a...@acme.com" in shown
    assert "smith" not in shown


def test_repr_shows_all_else() -> None:
    """Everything else is shown unchanged: the repr of a request distinguishes calls."""
    request = CreateContactInput(company_id="c", email=PRIVATE, name="Ann", metadata={"a": 1})

    assert repr(request) == (
        "CreateContactInput(email='a...@acme.com', name='Ann', role=None, is_primary=None, avatar_url=None, "
        "metadata={'a': 1}, company_id='c')"
    )
    assert request.email == PRIVATE


def test_error_shortens_addresses() -> None:
    """The value in an error's text is shown without its address too."""
    given: Any = [PRIVATE]

    with pytest.raises(InvalidInput, match=r"got list \['a\.\.\.@acme\.com'\]"):
        CreateContactInput(company_id="c", email=given)


# Pickles of other versions

STORED = [
    *(row.request for row in TABLE),
    HINTS,
    ContactInput(email="ann@acme.com"),
    *(row.decoded for row in TABLE if not isinstance(row.decoded, list)),
]


def _loaded(stored: Any, state: dict[str, Any]) -> Any:
    """Return the object of the class of *stored* that has another pickled state."""
    kind: Any = type(stored)
    clone = kind.__new__(kind)
    clone.__setstate__(state)
    return clone


@pytest.mark.parametrize("stored", STORED, ids=words)
def test_pickle_without_a_newer_field_has_its_default(stored: Any) -> None:
    """A field that a pickle lacks has its default, for each field with one."""
    state = stored.__getstate__()

    for field in attrs.fields(type(stored)):
        if field.default is not attrs.NOTHING:
            default = field.default.factory() if isinstance(field.default, attrs.Factory) else field.default  # type: ignore[arg-type]
            clone = _loaded(stored, {name: value for name, value in state.items() if name != field.name})
            assert getattr(clone, field.name) == default
            assert {**state, field.name: default} == clone.__getstate__()
            assert repr(clone)


@pytest.mark.parametrize("stored", STORED, ids=words)
def test_pickle_with_an_unknown_field_is_loaded(stored: Any) -> None:
    """A field of another version is dropped."""
    clone = _loaded(stored, stored.__getstate__() | {"moon_phase": "full"})

    assert clone == stored
    assert not hasattr(clone, "moon_phase")


def test_pickle_without_a_required_field_is_rejected() -> None:
    """A stored request that lacks a required field is rejected with its name when it is loaded."""
    state = cast("dict[str, Any]", EVENT.__getstate__())
    del state["quantity"]

    with pytest.raises(
        InvalidInput, match=r"^quantity: required, but missing in a pickled TrackUsageInput; build a new one$"
    ) as (refused):
        _loaded(EVENT, state)

    assert refused.value.field == "quantity"


def test_loaded_models_share_no_extra() -> None:
    """A mutable default is created for each."""
    one, other = (_loaded(Company(id="c"), {"id": "c"}) for _ in range(2))

    assert one == other == Company(id="c")
    assert one.extra is not other.extra


def test_stored_objects_load_in_other_versions() -> None:
    """Every request, every model, hints and contacts load in this way."""
    exported = [getattr(chatarmin_os, name) for name in chatarmin_os.__all__]
    stored = [cast("Any", one) for one in exported if isinstance(one, type) and attrs.has(one)]

    assert len(stored) > 40
    assert [kind for kind in stored if not issubclass(kind, AcrossVersions)] == []
    assert len({kind.__setstate__ for kind in stored}) == 1


OF_0_1_0 = [
    (
        (
            b"\x80\x02cchatarmin_os.procedures.billing\nTrackUsageInput\nq\x00)\x81q\x01}q\x02(X\n\x00\x00\x00company_idq\x03X"
            b"\x01\x00\x00\x00cq\x04X\x0c\x00\x00\x00feature_codeq\x05X\x05\x00\x00\x00seatsq\x06X\x08\x00\x00\x00quantityq\x07G@"
            b"\x04\x00\x00\x00\x00\x00\x00X\x0f\x00\x00\x00idempotency_keyq\x08X\x01\x00\x00\x00kq\tX\x08\x00\x00\x00metadataq\n}q"
            b"\x0bX\x01\x00\x00\x00aq\x0c]q\rK\x01asub."
        ),
        TrackUsageInput(company_id="c", feature_code="seats", quantity=2.5, idempotency_key="k", metadata={"a": [1]}),
    ),
    (
        (
            b"\x80\x02cchatarmin_os.procedures.contacts\nBulkUpsertInput\nq\x00)\x81q\x01}q\x02(X\n\x00\x00\x00company_idq\x03X"
            b"\x01\x00\x00\x00cq\x04X\x08\x00\x00\x00contactsq\x05cchatarmin_os.procedures.contacts\nContactInput\nq\x06)\x81q"
            b"\x07}q\x08(X\x05\x00\x00\x00emailq\tX\x0c\x00\x00\x00ann@acme.comq\nX\x04\x00\x00\x00nameq\x0bNX\x04\x00\x00\x00roleq"
            b"\x0cNX\n\x00\x00\x00is_primaryq\rNX\n\x00\x00\x00avatar_urlq\x0eNX\x08\x00\x00\x00metadataq\x0fNub\x85q\x10ub."
        ),
        BulkUpsertInput(company_id="c", contacts=[ContactInput(email="ann@acme.com")]),
    ),
    (
        (
            b"\x80\x02cchatarmin_os.procedures.companies\nSmartLinkInput\nq\x00)\x81q\x01}q\x02(X\x0f\x00\x00\x00"
            b"external_org_idq\x03X\x01\x00\x00\x00oq\x04X\x05\x00\x00\x00hintsq\x05cchatarmin_os.models.companies\nHints\n"
            b"q\x06)\x81q\x07}q\x08(X\x0c\x00\x00\x00company_nameq\tNX\x06\x00\x00\x00domainq\nX\x08\x00\x00\x00acme.com"
            b"q\x0bX\x06\x00\x00\x00emailsq\x0cX\x0c\x00\x00\x00ann@acme.comq\r\x85q\x0eubX\x0e\x00\x00\x00min_confidence"
            b"q\x0fNub."
        ),
        SmartLinkInput(external_org_id="o", hints=Hints(domain="acme.com", emails=["ann@acme.com"])),
    ),
]


@pytest.mark.parametrize(("pickled", "expected"), OF_0_1_0, ids=["event", "contacts", "hints"])
def test_pickle_of_0_1_0_is_loaded(pickled: bytes, expected: Any) -> None:
    """A request that waited in a queue since the first version is an equal request."""
    assert pickle.loads(pickled) == expected  # noqa: S301 - pickled by this package


# JSON of requests

WHITE = st.sampled_from(["", " ", "\n", "\u3000"])
WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(str.strip)
KEYS = WORDS.filter(lambda key: key not in FORBIDDEN_KEYS)
NUMBERS = st.integers(0, 2**53 - 1) | st.floats(0, allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(1 - 2**53, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
INSTANTS = st.datetimes(timezones=st.just(UTC)) | st.datetimes(timezones=st.just(timezone(timedelta(hours=-5)))).filter(
    lambda moment: 1 < moment.year < 9999
)
IDS = WORDS | st.uuids()
MAPPINGS = st.dictionaries(KEYS, JSON, max_size=3)
FIELDS: dict[str, Any] = {
    "config": MAPPINGS,
    "created_at": INSTANTS,
    "delete_contacts": st.booleans(),
    "email": st.tuples(WHITE, WORDS, WHITE).map("".join),
    "features": st.dictionaries(
        KEYS, st.fixed_dictionaries({}, optional={"max_quantity": st.none() | NUMBERS}), max_size=3
    ),
    "hints": st.builds(Hints, company_name=st.none() | WORDS, domain=st.none() | WORDS, emails=st.lists(WORDS)),
    "included_quantity": st.just(UNSET) | st.none() | NUMBERS,
    "is_enabled": st.booleans(),
    "is_primary": st.booleans(),
    "metadata": MAPPINGS,
    "min_confidence": st.floats(0, 1),
    "primary_only": st.booleans(),
    "quantity": NUMBERS.filter(bool),
    "quantity_limit": st.just(UNSET) | st.none() | NUMBERS,
    "reset_mrr": st.booleans(),
    "source": st.sampled_from(["subscription", "manual", "trial", "api"]),
    "valid_until": st.just(UNSET) | st.none() | INSTANTS | st.dates(),
}
TOGETHER: dict[Any, dict[str, Any]] = {
    FeatureSetAccessInput: {"external_org_id": st.none()},
    OnboardInput: {"checkout_session_id": st.none()},
}


def _model_of(kind: Any) -> Any:
    """Return a strategy for every object of a class of requests."""
    known = {**FIELDS, "contacts": st.lists(_model_of(ContactInput), max_size=3)} if kind is BulkUpsertInput else FIELDS
    arguments = {}
    for field in attrs.fields(kind):
        argument = known.get(field.name, IDS if field.name.endswith(("_id", "_key")) else WORDS)
        may_be_none = field.default is None and field.name not in {"company_id", "stripe_subscription_id"}
        arguments[field.name] = st.none() | argument if may_be_none else argument
    return st.builds(kind, **{**arguments, **TOGETHER.get(kind, {})})


@pytest.mark.slow
@pytest.mark.parametrize("kind", PROCEDURES.values(), ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_request_survives_json(kind: Any, data: st.DataObject) -> None:
    """Any request is equal after JSON: its instants, null and UNSET, its key, and each call that it makes."""
    request = data.draw(_model_of(kind))

    stored = json.dumps(request.to_json(), allow_nan=False)
    clone = request_from_json(json.loads(stored))

    assert type(clone) is kind
    assert clone == request
    assert json.dumps(clone.to_json()) == stored
    assert to_call(clone) == to_call(request)


@rows
def test_json_of_a_request_has_path_and_input(row: Row) -> None:
    """The JSON of a request is its path, and its input in wire names."""
    document = row.request.to_json()

    assert document == {"path": row.path, "input": row.input}
    assert request_from_json(document) == row.request
    assert type(request_from_json(document)) is type(row.request)


def test_json_of_a_request_is_independent() -> None:
    """Changing a document changes neither the request that wrote it nor the one that reads it."""
    request = attrs.evolve(EVENT, metadata={"list": [1]})
    document = request.to_json()
    clone = request_from_json(document)

    document["input"]["metadata"]["list"].append(2)

    assert request == clone == attrs.evolve(EVENT, metadata={"list": [1]})


def test_alias_of_a_tier_survives_json() -> None:
    """`subscriptions.create` sends `tiers.apply`, and so does its request from JSON."""
    transport = Echo({})
    client = ChatarminOS(transport=transport)

    client.subscriptions.create("pro", company_id="c")
    (call,) = transport.calls

    assert request_from_json({"path": call.path, "input": call.input}) == ApplyTierInput(
        tier_code="pro", company_id="c"
    )


def _document(**changes: Any) -> Any:
    return {"path": "features.setAccess", "input": {"companyId": "c", "featureCode": "f"} | changes}


CHANGED: list[tuple[Any, str]] = [
    # No document
    (None, "document"),
    ("{}", "document"),
    ([], "document"),
    (FeatureCheckInput(company_id="c", feature_code="f"), "document"),
    ({}, "path"),
    ({"path": "tiers.list"}, "input"),
    ({"input": None}, "path"),
    ({"path": "tiers.list", "input": None, "id": 1}, "id"),
    ({"path": "tiers.list", "input": None, 5: 1}, "5"),
    # No procedure
    ({"path": "tiers.lost", "input": None}, "path"),
    ({"path": "", "input": None}, "path"),
    ({"path": None, "input": None}, "path"),
    ({"path": ["tiers.list"], "input": None}, "path"),
    ({"path": "features.set_access", "input": {}}, "path"),
    # No input of it
    ({"path": "tiers.list", "input": {}}, "input"),
    ({"path": "tiers.list", "input": []}, "input"),
    ({"path": "tiers.get", "input": None}, "input"),
    ({"path": "tiers.get", "input": []}, "input"),
    ({"path": "tiers.get", "input": "pro"}, "input"),
    ({"path": "tiers.get", "input": {}}, "tier_code"),
    ({"path": "links.reset", "input": None}, "input"),
    # Unknown keys
    (_document(featurecode="f"), "featurecode"),
    (_document(feature_code="f"), "feature_code"),
    (_document(extra=None), "extra"),
    ({"path": "onboard", "input": {"externalOrgId": "o", "hints": {"company_name": "Acme"}}}, "hints.company_name"),
    (
        {
            "path": "contacts.bulkUpsert",
            "input": {"companyId": "c", "contacts": [{"email": "a@b.co", "is_primary": True}]},
        },
        "contacts[0].is_primary",
    ),
    # Null where it is not sent
    (_document(companyId=None), "company_id"),
    (_document(source=None), "source"),
    (_document(isEnabled=None), "is_enabled"),
    ({"path": "onboard", "input": {"externalOrgId": "o", "hints": None}}, "hints"),
    ({"path": "onboard", "input": {"externalOrgId": "o", "hints": {"domain": None}}}, "hints.domain"),
    # Wrong types
    (_document(companyId=5), "company_id"),
    (_document(isEnabled=1), "is_enabled"),
    (_document(quantityLimit="5"), "quantity_limit"),
    (_document(validUntil=5), "valid_until"),
    (_document(validUntil="soon"), "valid_until"),
    (_document(config=[]), "config"),
    (_document(config={"__proto__": 1}), "config.__proto__"),
    (_document(source="gift"), "source"),
    ({"path": "onboard", "input": {"externalOrgId": "o", "hints": "acme.com"}}, "hints"),
    ({"path": "onboard", "input": {"externalOrgId": "o", "hints": {"emails": "a@b.co"}}}, "hints.emails"),
    ({"path": "onboard", "input": {"externalOrgId": "o", "hints": {"emails": [5]}}}, "hints.emails[0]"),
    ({"path": "companies.update", "input": {"companyId": "c", "createdAt": "2024-01-15"}}, "created_at"),
    ({"path": "contacts.bulkUpsert", "input": {"companyId": "c", "contacts": {}}}, "contacts"),
    ({"path": "contacts.bulkUpsert", "input": {"companyId": "c", "contacts": 5}}, "contacts"),
    ({"path": "contacts.bulkUpsert", "input": {"companyId": "c", "contacts": [{"email": "a@b.co"}, 5]}}, "contacts[1]"),
    ({"path": "contacts.bulkUpsert", "input": {"companyId": "c", "contacts": [{}]}}, "contacts[0].email"),
    ({"path": "tiers.apply", "input": {"tierCode": "t", "companyId": "c", "features": {"f": 5}}}, "features.f"),
    # Arguments that exclude each other
    ({"path": "features.setAccess", "input": {"featureCode": "f"}}, "company_id"),
    (_document(externalOrgId="o"), "company_id"),
]


@pytest.mark.parametrize(("document", "field"), CHANGED, ids=words)
def test_json_of_no_request_is_rejected(document: Any, field: str) -> None:
    """Unknown keys and paths, null and wrong types are rejected with their place."""
    with pytest.raises(InvalidInput) as refused:
        request_from_json(document)

    assert refused.value.field == field
    assert str(refused.value).startswith(f"{field}: ")


@pytest.mark.parametrize("document", ["{}", b"{}"])
def test_json_text_is_rejected_with_a_hint(document: Any) -> None:
    """The error of JSON text says that it must be parsed first."""
    with pytest.raises(InvalidInput) as refused:
        request_from_json(document)

    assert refused.value.hint == "parse JSON text with json.loads first"


@pytest.mark.parametrize("changes", [{}, {"idempotencyKey": None}])
def test_json_of_an_event_requires_its_key(changes: dict[str, Any]) -> None:
    """An event without its key is rejected: each delivery by a queue would be another event."""
    document = EVENT.to_json()
    del document["input"]["idempotencyKey"]
    document["input"].update(changes)

    with pytest.raises(InvalidInput, match=r"^idempotency_key: "):
        request_from_json(document)


def test_document_need_not_be_a_dict() -> None:
    """A document need not be a dict."""
    document = EVENT.to_json()

    assert request_from_json(MappingProxyType(document | {"input": MappingProxyType(document["input"])})) == EVENT


@pytest.mark.parametrize("kind", [*PROCEDURES.values(), ContactInput, Hints], ids=lambda kind: kind.__name__)
def test_annotations_of_a_request_can_be_read(kind: Any) -> None:
    """Programs that read annotations at run time find the types of a request's fields and arguments."""
    names = {field.name for field in attrs.fields(kind)}

    assert names <= set(get_type_hints(kind))
    assert names <= set(get_type_hints(kind.__init__))


def test_repr_of_a_call_shortens_addresses() -> None:
    """Error trackers show the calls among the variables of a frame: without complete addresses of customers."""
    call = Call("contacts.create", "mutation", {"email": "ann@acme.com", "metadata": {"by": ["bob@acme.com"]}})

    assert repr(call).count("...@acme.com") == 2
    assert "ann@" not in repr(call)
    assert call.input["email"] == "ann@acme.com"
