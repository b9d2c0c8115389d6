"""What `put` checks, stores and returns."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from outbox_world import Batches, nobody, refuse

from chatarmin_os import ChatarminOS, GetTierInput, InvalidInput, TrackUsageInput
from chatarmin_os.outbox import UsageEvent

if TYPE_CHECKING:
    from outbox_world import World

KEY = "job_1"


def _sent(world: World) -> list[Any]:
    """Return the inputs that a sender sends, as JSON text."""
    transport = Batches(world.fake, lambda _: None)
    world.sender(ChatarminOS(transport=transport)).drain()
    return [json.dumps(given) for inputs in transport.rounds for given in inputs]


def test_put_makes_a_key(world: World) -> None:
    """Without a key an event gets a new UUID4, which is returned and sent."""
    one, other = world.put(2)

    assert UUID(one).version == UUID(other).version == 4
    assert str(UUID(one)) == one != other
    assert {json.loads(text)["idempotencyKey"] for text in _sent(world)} == {one, other}


def test_input_is_sent_as_written(world: World) -> None:
    """The input that is sent is that of `TrackUsageInput`, its keys in the same order and its numbers as written."""
    world.put(quantity=1e2, idempotency_key=KEY, metadata={"z": 1.0, "a": [1, "ä", None, True]})

    start = '"featureCode": "ai_credit", "quantity": 100.0, "idempotencyKey": "job_1"'
    given = '{"z": 1.0, "a": [1, "\\u00e4", null, true]}'
    assert _sent(world) == [
        f'{{"companyId": "{world.company}", {start}, "metadata": {given}}}',
    ]


def test_put_needs_no_service(world: World) -> None:
    """Usage is stored while the service is down, and counted when it is back."""
    world.put(3, external_org_id="org_1")
    assert world.sender(nobody()).drain().counted == 0
    world.advance(2)

    assert world.sender().drain().counted == 3
    assert world.usage() == 3


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"company_id": None}, "external_org_id"),
        ({"external_org_id": "org_1", "company_id": "c"}, "external_org_id"),
        ({"company_id": ""}, "company_id"),
        ({"company_id": 7}, "company_id"),
        ({"company_id": None, "external_org_id": " "}, "external_org_id"),
        ({"feature_code": ""}, "feature_code"),
        ({"feature_code": None}, "feature_code"),
        ({"quantity": 0}, "quantity"),
        ({"quantity": -1}, "quantity"),
        ({"quantity": True}, "quantity"),
        ({"quantity": float("nan")}, "quantity"),
        ({"quantity": 2**53}, "quantity"),
        ({"idempotency_key": ""}, "idempotency_key"),
        ({"metadata": {"a": {1}}}, "metadata.a"),
        ({"metadata": []}, "metadata"),
    ],
)
def test_put_refuses_invalid_input(world: World, values: dict[str, Any], field: str) -> None:
    """The error names the argument, and nothing is stored."""
    given = {"company_id": world.company, "feature_code": "ai_credit", "quantity": 1, **values}

    with pytest.raises(InvalidInput) as caught:
        world.outbox.put(**given)

    assert caught.value.field == field
    assert world.outbox.stats().ready == 0


@pytest.mark.parametrize("name", ["company_id", "external_org_id", "idempotency_key"])
def test_put_takes_uuids(world: World, name: str) -> None:
    """An id may be a UUID, as in a `TrackUsageInput`."""
    number = UUID("12345678-1234-4234-8234-123456789abc")
    world.put(**{name: number})  # type: ignore[arg-type]
    world.sender(ChatarminOS(transport=Batches(world.fake, refuse("CONFLICT")))).drain()

    [event] = world.outbox.dead()
    found = {"company_id": event.company_id, "external_org_id": event.external_org_id, "idempotency_key": event.key}
    assert found[name] == str(number)


def test_same_event_is_stored_once(world: World) -> None:
    """The key of an event that waits, with the same values in whichever order, is the same event."""
    values: dict[str, Any] = {"idempotency_key": KEY, "quantity": 2}
    world.put(**values, metadata={"a": 1, "b": [2]})

    assert world.put(**{**values, "quantity": 2.0}, metadata={"b": [2.0], "a": 1}) == [KEY]
    assert world.outbox.stats().ready == 1


@pytest.mark.parametrize(
    "other",
    [
        {"quantity": 3},
        {"feature_code": "seats"},
        {"metadata": {"a": True}},
        {"metadata": {}},
        {"metadata": None},
        {"company_id": "comp_other"},
        {"external_org_id": "org_1"},
    ],
)
def test_key_with_other_values_is_refused(world: World, other: dict[str, Any]) -> None:
    """The key of an event that waits, with other values, is a mistake; the stored event stays as it was."""
    values: dict[str, Any] = {"idempotency_key": KEY, "quantity": 2, "metadata": {"a": 1}}
    world.put(**values)

    with pytest.raises(InvalidInput, match="idempotency_key: the event 'job_1' waits with other values"):
        world.put(**{**values, **other})

    assert json.loads(_sent(world)[0])["quantity"] == 2


def test_event_of_an_organisation_stays_the_same(world: World) -> None:
    """An event whose company was found is still the one of its organisation: its key can be put again."""
    usage: dict[str, Any] = {"external_org_id": "org_1", "idempotency_key": KEY}
    world.put(**usage)
    transport = Batches(world.fake, refuse("BAD_GATEWAY"))
    world.sender(ChatarminOS(transport=transport)).drain()

    assert world.put(**usage) == [KEY]
    with pytest.raises(InvalidInput, match="waits with other values"):
        world.put(company_id=world.company, idempotency_key=KEY)


def test_key_of_a_dead_event_stores_nothing(world: World) -> None:
    """The same event is not put a second time when it is dead: it can be revived."""
    world.put(company_id="comp_unknown", idempotency_key=KEY)
    world.sender().drain()

    assert world.put(company_id="comp_unknown", idempotency_key=KEY) == [KEY]
    assert (world.outbox.stats().ready, world.outbox.stats().dead) == (0, 1)


def test_put_many_takes_requests_and_events(world: World) -> None:
    """Requests and events are stored in one go, and their keys come back in order, also of one that is given twice."""
    request = TrackUsageInput(company_id=world.company, feature_code="ai_credit", quantity=1)
    event = UsageEvent(external_org_id="org_1", feature_code="ai_credit", quantity=2, idempotency_key=KEY)

    events: list[TrackUsageInput | UsageEvent] = [request, event, request]
    assert world.outbox.put_many(iter(events)) == [request.idempotency_key, KEY, request.idempotency_key]
    assert world.sender().drain().counted == 2
    assert world.usage() == 3


def test_put_many_of_nothing(world: World) -> None:
    """No events are no keys."""
    assert world.outbox.put_many([]) == []


def test_put_many_stores_all_or_none(world: World) -> None:
    """One event that is refused keeps all others out; the error names its place."""
    good = UsageEvent(company_id=world.company, feature_code="ai_credit", quantity=1)
    other = UsageEvent(company_id=world.company, feature_code="ai_credit", quantity=2, idempotency_key=KEY)
    world.put(idempotency_key=KEY)

    with pytest.raises(InvalidInput, match="waits with other values"):
        world.outbox.put_many([good, other])
    with pytest.raises(InvalidInput) as caught:
        world.outbox.put_many([good, GetTierInput(tier_code="pro")])  # type: ignore[list-item]
    assert caught.value.field == "events[1]"
    with pytest.raises(InvalidInput) as caught:
        world.outbox.put_many(
            [other, TrackUsageInput(company_id="c", feature_code="f", quantity=1, idempotency_key=KEY)]
        )
    assert caught.value.field == "events[1].idempotency_key"
    with pytest.raises(InvalidInput, match="events: expected a list of events"):
        world.outbox.put_many("events")  # type: ignore[arg-type]

    assert world.outbox.stats().ready == 1


def test_instant_of_an_event_is_kept(world: World) -> None:
    """An event's own instant counts for its age, and comes back with the dead event."""
    created = datetime.fromtimestamp(world.at, UTC) - timedelta(hours=2)
    new = UsageEvent(company_id="comp_unknown", feature_code="f", quantity=1, created_at=world.at_text(0))
    old = UsageEvent(company_id="comp_unknown", feature_code="f", quantity=1, created_at=created)
    world.outbox.put_many([new, old])
    assert world.outbox.stats().oldest_age == 7200

    world.sender().drain()

    assert {event.created_at for event in world.outbox.dead()} == {created, created + timedelta(hours=2)}
    assert world.outbox.stats().oldest_age is None
