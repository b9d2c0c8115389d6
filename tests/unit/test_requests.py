"""Requests: what each class of the table is, and that one object is one call however it is kept."""

from __future__ import annotations

import copy
import pickle
import uuid
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import attrs
import pytest

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
)
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
    """A procedure: its request with every argument, and what all of it means."""

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
def test_a_request_knows_its_procedure(row: Row) -> None:
    """Path, kind, result and whether repeating is harmless are attributes of the class."""
    kind = type(row.request)

    assert (row.path, row.kind, row.result) == (kind.path, kind.kind, kind.result)
    assert row.safe_to_repeat is kind.safe_to_repeat


def test_three_mutations_are_not_repeated() -> None:
    """Repeating is harmless for every query, and for every mutation but three."""
    unsafe = {path for path, request in PROCEDURES.items() if not request.safe_to_repeat}

    assert unsafe == {"companies.create", "links.create", "links.reset"}
    assert {PROCEDURES[path].kind for path in unsafe} == {"mutation"}


def test_the_table_of_procedures_is_complete() -> None:
    """`PROCEDURES` leads from each path to its class, and every request that is exported is in it."""
    exported = [getattr(chatarmin_os, name) for name in chatarmin_os.__all__ if name.endswith("Input")]
    requests = {one for one in exported if hasattr(one, "path")}

    assert dict(PROCEDURES) == {row.path: type(row.request) for row in TABLE}
    assert requests == set(PROCEDURES.values())
    assert set(exported) - requests == {ContactInput, InvalidInput}


def test_the_table_of_procedures_is_read_only() -> None:
    """Nobody changes a path by accident."""
    table = cast("Any", PROCEDURES)

    assert isinstance(PROCEDURES, Mapping)
    with pytest.raises(TypeError):
        table["tiers.list"] = GetTierInput
    with pytest.raises(TypeError):
        del table["tiers.list"]
    with pytest.raises(AttributeError):
        table.clear()


@rows
def test_sending_a_request_makes_its_call_and_its_result(row: Row) -> None:
    """A request is sent as the one call that it describes, and its answer becomes the result it names."""
    transport = Echo(row.answer)

    result = ChatarminOS(transport=transport).send(row.request)

    assert [Call(row.path, row.kind, row.input, row.safe_to_repeat)] == transport.calls
    assert row.decoded == result
    assert type(row.decoded) is type(result)


@rows
def test_a_request_is_frozen(row: Row) -> None:
    """Nothing of a request can be set, neither a field nor what its class says."""
    for name in [*(field.name for field in attrs.fields(type(row.request))), "path", "something_else"]:
        with pytest.raises(AttributeError):
            setattr(row.request, name, "x")


@rows
def test_a_request_takes_keywords_only(row: Row) -> None:
    """No argument of a request is given by its place."""
    with pytest.raises(TypeError):
        type(row.request)("c")


@pytest.mark.parametrize("row", [row for row in TABLE if row.path != "tiers.list"], ids=lambda row: row.path)
def test_a_request_takes_only_what_it_knows(row: Row) -> None:
    """An argument that a request does not have, or does not have in that spelling, is a TypeError."""
    given = attrs.asdict(row.request, recurse=False)

    assert row.request == type(row.request)(**given)
    for name in ("more", "companyId", "path"):
        with pytest.raises(TypeError):
            type(row.request)(**given, **{name: "x"})


@rows
def test_a_request_copies_and_pickles(row: Row) -> None:
    """A copy of a request is the same call, idempotency key included."""
    for twin in _copies(row.request):
        transport = Echo(row.answer)
        ChatarminOS(transport=transport).send(twin)

        assert row.request == twin
        assert type(row.request) is type(twin)
        assert transport.calls[0].input == row.input


@rows
def test_an_evolved_request_is_the_same_but_for_what_was_given(row: Row) -> None:
    """Without changes an evolved request is equal; a changed field is checked as at first."""
    assert row.request == attrs.evolve(row.request)
    for field in attrs.fields(type(row.request)):
        if field.converter is not None and field.default is attrs.NOTHING:
            with pytest.raises(InvalidInput) as refused:
                attrs.evolve(row.request, **{field.name: object()})
            assert refused.value.field == field.name


def test_evolving_changes_one_field() -> None:
    """The original stays as it was."""
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
    ids=["track_usage", "contact", "set_access", "tier", "contact input"],
)
def test_a_request_keeps_what_it_was_told(build: Callable[[Any], Any], mine: dict[str, Any]) -> None:
    """Changing a mapping after it was handed in does not change the request."""
    request, same = build(mine), build(copy.deepcopy(mine))

    mine.popitem()[1].clear()
    mine["more"] = {}

    assert request == same


def test_what_a_transport_does_with_a_call_does_not_change_the_request() -> None:
    """A call's input is its own: a request can be sent again whatever became of it."""

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


def test_unset_stays_unset_in_a_pickled_request() -> None:
    """What nobody gave is still left out after a request was stored and loaded."""
    request = FeatureSetAccessInput(company_id="c", feature_code="f", included_quantity=None)

    for twin in _copies(request):
        assert twin.quantity_limit is UNSET
        assert twin.valid_until is UNSET
        assert twin.included_quantity is None


@pytest.mark.parametrize("override", [5, None, True, "max_quantity", ["max_quantity"], [("max_quantity", 5)]], ids=repr)
def test_an_override_of_a_tier_is_a_mapping(override: Any) -> None:
    """Limits that differ from a tier's are a mapping per feature; anything else is refused at its feature."""
    with pytest.raises(InvalidInput) as refused:
        ApplyTierInput(tier_code="pro", company_id="c", features={"ai_credit": {}, "seats": override})

    assert refused.value.field == "features.seats"


# Usage events


def test_an_event_has_its_key_from_the_beginning() -> None:
    """An event without a key makes a random UUID when it is built, each its own."""
    keys = {TrackUsageInput(company_id="c", feature_code="f", quantity=1).idempotency_key for _ in range(100)}

    assert len(keys) == 100
    assert {uuid.UUID(key).version for key in keys} == {4}
    assert {str(uuid.UUID(key)) for key in keys} == keys


def test_an_event_keeps_its_key() -> None:
    """However often an event is sent, alone or in a batch, its key is the same."""
    transport = Echo({"currentUsage": 1})
    client = ChatarminOS(transport=transport)

    client.send(EVENT)
    client.send(EVENT)
    client.batch([EVENT, EVENT])

    assert [EVENT.idempotency_key] * 4 == [call.input["idempotencyKey"] for call in transport.calls]


def test_an_events_key_is_kept_when_it_travels() -> None:
    """A copied or stored event is the same event."""
    keys = {twin.idempotency_key for twin in _copies(EVENT)}

    assert keys == {EVENT.idempotency_key}


def test_an_evolved_event_is_the_same_event_unless_told() -> None:
    """Evolving keeps the key; without a key it makes another event."""
    same = attrs.evolve(EVENT, metadata={"a": 1})
    other = attrs.evolve(EVENT, idempotency_key=None)
    named = attrs.evolve(EVENT, idempotency_key=uuid.UUID(int=1))

    assert EVENT.idempotency_key == same.idempotency_key
    assert other.idempotency_key not in {EVENT.idempotency_key, None}
    assert uuid.UUID(other.idempotency_key).version == 4
    assert named.idempotency_key == "00000000-0000-0000-0000-000000000001"
    assert attrs.evolve(other, idempotency_key=EVENT.idempotency_key) == EVENT
