"""Requests without an answer, and requests that are refused as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from outbox_world import lose, refuse, unsent

from chatarmin_os import ApiError, InvalidResponse, TimedOut

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from outbox_world import World

    from chatarmin_os.transports import Call


@pytest.mark.parametrize(("count", "requests"), [(1, 1), (50, 1), (500, 2)])
def test_outage_stops_a_drain(world: World, count: int, requests: int) -> None:
    """Without an answer a drain ends after one or two requests; what it has not sent stays as it was."""
    world.put(count)

    report = world.drain(unsent)

    assert (report.stopped, report.requests, report.left) == ("outage", requests, count)
    assert (world.outbox.stats().ready, world.outbox.stats().leased) == (count, 0)


@pytest.mark.parametrize("answer", [unsent, lose, refuse("SERVICE_UNAVAILABLE"), refuse("TOO_MANY_REQUESTS")])
@pytest.mark.parametrize("limit", [None, 1, 3])
def test_failures_only_are_an_outage(world: World, answer: Callable[[Sequence[Call]], Any], limit: int | None) -> None:
    """A drain without an answer of the service itself is an outage, however few events it took."""
    world.put(3)

    report = world.sender(world.through(answer)[0]).drain(limit=limit)

    assert (report.stopped, report.requests, report.left) == ("outage", 1, 3)


def _raise(error: Exception) -> Callable[[Sequence[Call]], Any]:
    def answer(_: Sequence[Call]) -> Any:
        raise error

    return answer


def test_error_that_a_transport_raises_answers_each_call(world: World) -> None:
    """A transport may raise instead of answering call by call: the sender goes on, as after the same answers."""
    world.put(3)

    report = world.drain(_raise(TimedOut("lost")))

    assert (report.stopped, report.retried, report.left) == ("outage", 3, 3)
    world.advance(5)
    assert world.drain(_raise(ApiError.from_code("UNAUTHORIZED"))).stopped == "unauthorized"
    assert world.drain(_raise(ApiError.from_code("CONFLICT"))).refused == 3


def test_error_that_a_transport_raises_answers_each_look_up(world: World) -> None:
    """A look-up that raises is one without an answer."""
    world.put(external_org_id="org_1")

    report = world.drain(_raise(TimedOut("lost")))

    assert (report.stopped, report.retried, report.requests) == ("outage", 1, 0)


def test_one_answer_is_no_outage(world: World) -> None:
    """A refusal is an answer, and so is a request that was refused as a whole."""
    world.put(2)
    turns: list[Callable[[Sequence[Call]], Any]] = [refuse("PAYLOAD_TOO_LARGE"), lose, lose, refuse("CONFLICT"), lose]

    def take_turns(calls: Sequence[Call]) -> Any:
        return turns.pop(0)(calls)

    assert world.drain(take_turns).stopped == "outage"  # two in a row
    world.advance(5)
    assert world.drain(take_turns, batch=1).stopped == "empty"


def test_single_failures_are_no_outage(world: World) -> None:
    """A request that is lost among others does not stop a drain."""
    world.put(200)
    turns = iter([False, True] * 9)

    report = world.drain(lambda calls: lose(calls) if next(turns) else None)

    assert (report.counted, report.retried, report.requests, report.stopped) == (100, 100, 4, "empty")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (refuse("PAYLOAD_TOO_LARGE", "too large"), "PAYLOAD_TOO_LARGE"),
        (refuse("BAD_REQUEST", "unreadable"), "BAD_REQUEST"),
        (lambda calls: [InvalidResponse("a page", http_status=413) for _ in calls], "PAYLOAD_TOO_LARGE"),
    ],
)
def test_whole_refusal_is_halved(world: World, answer: Callable[[Sequence[Call]], Any], reason: str) -> None:
    """A request that is refused as a whole is halved until the event that is the cause is alone: only that one dies."""
    [cause] = world.put(metadata={"text": "x" * 500})
    world.put(15)

    def refuse_cause(calls: Sequence[Call]) -> Any:
        keys = {call.input["idempotencyKey"] for call in calls}
        return answer(calls) if cause in keys else None

    report = world.drain(refuse_cause)

    assert (report.counted, report.refused, report.requests) == (15, 1, 9)
    [event] = world.outbox.dead()
    assert (event.key, event.reason, event.attempts) == (cause, reason, 1)


def test_refused_size_is_remembered(world: World) -> None:
    """After a request that was too large a sender sends smaller ones, also in its next drain."""
    client, transport = world.through(lambda calls: refuse("PAYLOAD_TOO_LARGE")(calls) if len(calls) > 20 else None)
    sender = world.sender(client)
    world.put(100)
    assert sender.drain().counted == 100
    assert len([inputs for inputs in transport.rounds if len(inputs) > 20]) <= 4
    transport.rounds.clear()
    world.put(100)

    assert sender.drain().counted == 100
    assert max(len(inputs) for inputs in transport.rounds) <= 20


def test_number_of_calls_is_remembered(world: World) -> None:
    """A service that names its maximum number of calls gets no more than half of a request that was refused."""
    too_many = refuse("BAD_REQUEST", "Batch call exceeds maximum size")
    client, transport = world.through(lambda calls: too_many(calls) if len(calls) > 20 else None)
    world.put(200)

    assert world.sender(client).drain().counted == 200
    assert len([inputs for inputs in transport.rounds if len(inputs) > 20]) == 3


def test_other_sizes_stay_after_a_bad_event(world: World) -> None:
    """An event that the service cannot read makes no smaller requests afterwards."""
    client, transport = world.through(
        lambda calls: refuse("BAD_REQUEST")(calls) if len(transport.rounds) == 1 else None
    )
    world.put(100)
    world.sender(client).drain()

    assert [len(inputs) for inputs in transport.rounds] == [50, 25, 25, 50]
