"""What becomes of an event: counted, dead, sent again later, or kept."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from outbox_world import DAY, HOUR, USAGE, Batches, lose, nobody, refuse, unsent

from chatarmin_os import ApiError, ChatarminOS, InvalidResponse, TimedOut
from chatarmin_os.gate import Gate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from outbox_world import World

    from chatarmin_os.outbox import DrainReport
    from chatarmin_os.transports import Call


def _through(world: World, answer: Callable[[Sequence[Call]], Any] = lambda _: None) -> tuple[ChatarminOS, Batches]:
    transport = Batches(world.fake, answer)
    return ChatarminOS(transport=transport), transport


def _drain(world: World, answer: Callable[[Sequence[Call]], Any], **settings: Any) -> DrainReport:
    return world.sender(_through(world, answer)[0], **settings).drain()


def test_events_go_in_batches(world: World) -> None:
    """A drain sends batches of at most 50, and each event once."""
    world.put(130)
    client, transport = _through(world)

    report = world.sender(client).drain()

    assert (report.counted, report.requests, report.left, report.stopped) == (130, 3, 0, "empty")
    assert sorted(len(inputs) for inputs in transport.rounds) == [30, 50, 50]
    assert world.usage() == 130
    assert world.sender(client).drain().requests == 0


@pytest.mark.parametrize(("batch", "sizes"), [(1, [1] * 3), (2, [2, 1]), (99, [3])])
def test_batch_bounds_a_request(world: World, batch: int, sizes: list[int]) -> None:
    """`batch` bounds the events of a request; a request never has more than 50."""
    world.put(3)
    client, transport = _through(world)

    world.sender(client, batch=batch).drain()

    assert [len(inputs) for inputs in transport.rounds] == sizes


@pytest.mark.parametrize(
    "code",
    ["CONFLICT", "BAD_REQUEST", "NOT_FOUND", "FORBIDDEN", "PRECONDITION_FAILED", "UNPROCESSABLE_CONTENT"],
)
def test_refusal_is_final(world: World, code: str, caplog: pytest.LogCaptureFixture) -> None:
    """An event that the service refuses is dead at once, with the code as its reason; its message is not logged."""
    [key] = world.put(quantity=2.5, metadata={"a": "private"})

    report = _drain(world, refuse(code, "the secret message"))

    assert (report.refused, report.counted, report.left) == (1, 0, 0)
    [event] = world.outbox.dead()
    assert (event.key, event.reason, event.error, event.attempts) == (key, code, "the secret message", 1)
    assert (event.company_id, event.external_org_id, event.feature_code) == (world.company, None, "ai_credit")
    assert (event.quantity, event.metadata) == (2.5, {"a": "private"})
    assert world.outbox.stats().dead_quantity == {code: 2.5}
    assert caplog.messages == [f"usage {key} of ai_credit is dead: {code}"]
    world.advance(10 * DAY)
    assert world.sender().drain().requests == 0


@pytest.mark.parametrize(
    ("answer", "attempts"),
    [
        (lose, 1),
        (unsent, 0),
        (refuse("INTERNAL_SERVER_ERROR"), 1),
        (refuse("SERVICE_UNAVAILABLE"), 1),
        (refuse("TIMEOUT"), 1),
        (refuse("CLIENT_CLOSED_REQUEST"), 1),
        (refuse("TOO_MANY_REQUESTS"), 0),
        (refuse("NEW_CODE"), 1),
        (lambda calls: [InvalidResponse("a page", http_status=502) for _ in calls], 1),
        (lambda calls: [InvalidResponse("a page", http_status=404) for _ in calls], 1),
        (lambda calls: [InvalidResponse("a page", http_status=429) for _ in calls], 0),
        (lambda calls: [TimedOut("slow") for _ in calls], 1),
        (lambda calls: [{"currentUsage": "a text"} for _ in calls], 1),
    ],
)
def test_failure_is_retried(world: World, answer: Callable[[Sequence[Call]], Any], attempts: int) -> None:
    """After no answer, 5xx, 408, 429 and 499 an event waits, and is sent again with the same input."""
    world.put()
    client, transport = _through(world, answer)

    report = world.sender(client).drain()

    assert (report.retried, report.refused, report.left, report.requests) == (1, 0, 1, 1)
    world.advance(0.9)
    assert world.sender(client).drain().requests == 0
    world.advance(0.2)
    assert world.sender(_through(world, refuse("CONFLICT"))[0]).drain().requests == 1
    assert [event.attempts for event in world.outbox.dead()] == [attempts + 1]
    assert len(transport.rounds) == 1


@pytest.mark.parametrize(
    ("fraction", "waits"), [(0.0, [0.5, 1, 2, 4]), (1.0, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300])]
)
def test_waits_double_up_to_five_minutes(world: World, fraction: float, waits: list[float]) -> None:
    """An event waits a random 0.5 to 1 second, twice as long after each failure, and at most 5 minutes."""
    world.put()
    world.waits = fraction
    sender = world.sender(_through(world, lose)[0])

    for wait in waits:
        assert sender.drain().requests == 1
        world.at += wait - 0.01
        assert sender.drain().requests == 0
        world.at += 0.011


@pytest.mark.parametrize("code", ["TOO_MANY_REQUESTS", "SERVICE_UNAVAILABLE"])
def test_retry_after_bounds_the_wait(world: World, code: str) -> None:
    """An event is not sent again before Retry-After."""
    world.put()
    _drain(world, refuse(code, retry_after=3600))

    world.advance(3599)
    assert world.sender().drain().requests == 0
    world.advance(1)
    assert world.sender().drain().counted == 1


def test_retry_after_of_years_is_a_day(world: World) -> None:
    """No event waits for ever."""
    world.put()
    _drain(world, refuse("TOO_MANY_REQUESTS", retry_after=1e300))

    world.advance(DAY)
    assert world.sender().drain().counted == 1


def test_one_refusal_hides_no_other_answer(world: World) -> None:
    """In a batch each event has its own outcome."""
    world.put(2)
    world.put(company_id="comp_unknown")
    [flaky] = world.put(quantity=9)

    def answer(calls: Sequence[Call]) -> list[Any]:
        answers = world.fake.send_many(calls)
        keys = [call.input["idempotencyKey"] for call in calls]
        return [TimedOut("slow") if key == flaky else found for key, found in zip(keys, answers, strict=True)]

    report = _drain(world, answer)

    assert (report.counted, report.refused, report.retried, report.left) == (2, 1, 1, 1)
    assert report.stopped == "empty"


@pytest.mark.parametrize(
    "answer",
    [
        refuse("UNAUTHORIZED"),
        refuse("NEW_CODE", http_status=401),
        refuse("NOT_FOUND", f'No procedure found on path "{USAGE}"'),
    ],
)
def test_wrong_key_keeps_everything(world: World, answer: Callable[[Sequence[Call]], Any]) -> None:
    """A refused key or a missing procedure stops the drain at its first request; no event is dead, none was tried."""
    world.put(120)

    report = _drain(world, answer)

    assert (report.stopped, report.requests, report.left, report.refused) == ("unauthorized", 1, 120, 0)
    assert (report.retried, world.outbox.stats().leased) == (0, 0)
    world.advance(30 * DAY)
    assert world.sender().drain().counted == 120


@pytest.mark.parametrize(("count", "requests"), [(1, 1), (50, 1), (500, 2)])
def test_outage_stops_a_drain(world: World, count: int, requests: int) -> None:
    """Without an answer a drain ends after one or two requests; what it has not sent stays as it was."""
    world.put(count)

    report = _drain(world, unsent)

    assert (report.stopped, report.requests, report.left) == ("outage", requests, count)
    assert (world.outbox.stats().ready, world.outbox.stats().leased) == (count, 0)


def test_single_failures_are_no_outage(world: World) -> None:
    """A request that is lost among others does not stop a drain."""
    world.put(200)
    turns = iter([False, True] * 9)

    report = _drain(world, lambda calls: lose(calls) if next(turns) else None)

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

    report = _drain(world, refuse_cause)

    assert (report.counted, report.refused, report.requests) == (15, 1, 9)
    [event] = world.outbox.dead()
    assert (event.key, event.reason, event.attempts) == (cause, reason, 1)


def test_refused_size_is_remembered(world: World) -> None:
    """After a request that was too large a sender sends smaller ones, also in its next drain."""
    client, transport = _through(world, lambda calls: refuse("PAYLOAD_TOO_LARGE")(calls) if len(calls) > 20 else None)
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
    client, transport = _through(world, lambda calls: too_many(calls) if len(calls) > 20 else None)
    world.put(200)

    assert world.sender(client).drain().counted == 200
    assert len([inputs for inputs in transport.rounds if len(inputs) > 20]) == 3


def test_other_sizes_stay_after_a_bad_event(world: World) -> None:
    """An event that the service cannot read makes no smaller requests afterwards."""
    client, transport = _through(
        world, lambda calls: refuse("BAD_REQUEST")(calls) if len(transport.rounds) == 1 else None
    )
    world.put(100)
    world.sender(client).drain()

    assert [len(inputs) for inputs in transport.rounds] == [50, 25, 25, 50]


def test_deadline_ends_a_drain(world: World) -> None:
    """After its deadline a drain sends nothing more, and its events are ready."""
    world.put(3)

    report = world.sender().drain(deadline=0)

    assert (report.stopped, report.requests, report.left, world.outbox.stats().ready) == ("deadline", 0, 3, 3)
    assert world.sender().drain(deadline=60).counted == 3


def test_limit_ends_a_drain(world: World) -> None:
    """A drain takes at most so many events."""
    world.put(60)

    report = world.sender().drain(limit=55)

    assert (report.counted, report.left, report.stopped) == (55, 5, "limit")
    assert world.sender().drain(limit=5).stopped == "limit"


def test_gate_of_another_client_learns_the_answers(world: World) -> None:
    """A gate with a client of its own subtracts expected usage until the sender has reported it."""
    gate = Gate(ChatarminOS(transport=world.fake))
    usage: dict[str, Any] = {"company_id": world.company, "feature_code": "ai_credit"}
    before = gate.require(**usage).access
    [key] = world.put(quantity=5)
    gate.expect_usage(**usage, quantity=5, idempotency_key=key)

    world.sender(gate=gate).drain()

    after = gate.check(**usage)
    assert before is not None
    assert after.access is not None
    assert (after.source, after.access.current_usage) == ("cache", 5)
    assert before.current_usage == 0


def test_gate_of_the_same_client_learns_the_answers(world: World) -> None:
    """Usage that `metered` gave to the outbox is counted by a sender, through the same client, and known then."""
    gate = Gate(world.client, outbox=world.outbox)
    usage: dict[str, Any] = {"company_id": world.company, "feature_code": "ai_credit"}
    gate.require(**usage)
    world.fake.fail(USAGE, error="lost")
    with gate.metered(**usage, quantity=5) as use:
        pass
    assert use.result is None
    assert world.outbox.stats().ready == 1

    assert world.sender().drain().counted == 1

    after = gate.check(**usage)
    assert after.access is not None
    assert after.access.current_usage == 5


# Twice


def test_key_outlives_an_answer_that_was_lost(world: World) -> None:
    """An event that was counted, and whose answer was lost, is sent again with its key and counts once."""
    world.put(3)

    def lose_answer(calls: Sequence[Call]) -> Any:
        world.fake.send_many(calls)
        return lose(calls)

    _drain(world, lose_answer)
    world.advance(60)

    assert world.sender().drain().counted == 3
    assert world.usage() == 3


@pytest.mark.parametrize(("age", "is_dead"), [(23 * HOUR, False), (23 * HOUR + 1, True), (30 * DAY, True)])
def test_tried_event_dies_at_the_end_of_the_window(world: World, age: float, is_dead: bool) -> None:  # noqa: FBT001
    """An event whose first attempt is older than the window less an hour might count twice: it is dead instead."""
    world.put()
    _drain(world, lose)
    first = world.at
    for at in (first + 10, first + HOUR):
        world.at = at
        _drain(world, lose)
    world.at = first + age

    report = world.sender().drain()

    assert (report.refused, report.counted) == ((1, 0) if is_dead else (0, 1))
    assert world.reasons() == (["window_expired"] if is_dead else [])


@pytest.mark.parametrize("answer", [unsent, refuse("TOO_MANY_REQUESTS"), refuse("UNAUTHORIZED")])
def test_event_that_was_never_tried_has_no_age(world: World, answer: Callable[[Sequence[Call]], Any]) -> None:
    """An event that certainly did not reach the service is sent at any age."""
    world.put()
    _drain(world, answer)
    world.advance(400 * DAY)

    assert world.sender().drain().counted == 1


def test_window_is_the_senders(world: World) -> None:
    """A service with a longer memory of keys gets a longer window."""
    world.put()
    _drain(world, lose)
    world.at += 40 * HOUR

    assert world.sender(window=timedelta(hours=48)).drain().counted == 1


@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_jumping_clock_loses_nothing(world: World, jump: float) -> None:
    """A clock that jumps makes tried events dead, and never missing; those that were not tried are sent."""
    [tried] = world.put()
    _drain(world, lose)
    world.put()
    world.at += jump

    report = world.sender().drain()

    assert (report.counted, report.refused, report.left) == (1, 1, 0)
    assert [(event.key, event.reason) for event in world.outbox.dead()] == [(tried, "window_expired")]


def test_attempt_is_written_down_before_the_request(world: World) -> None:
    """A sender that ends during a request leaves an event that was tried."""
    world.put()

    def die(_: Sequence[Call]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _drain(world, die)
    assert world.outbox.stats().leased == 1
    world.at += DAY

    assert world.sender().drain().refused == 1
    assert world.reasons() == ["window_expired"]


def test_interrupt_gives_back_the_other_events(world: World) -> None:
    """A sender that ends during a request gives back the events that it had not sent, and they were not tried."""
    world.put(200)
    turns = iter(range(9))

    def die(_: Sequence[Call]) -> None:
        if next(turns):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _drain(world, die)
    assert (world.outbox.stats().leased, world.outbox.stats().ready) == (50, 100)
    world.at += DAY

    report = world.sender().drain()
    assert (report.counted, report.refused) == (100, 50)


# Age


def test_old_usage_is_reported_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A WARNING says when the oldest event passes an hour, once until it is younger again."""
    caplog.set_level(logging.WARNING, logger="chatarmin_os")
    sender = world.sender(nobody())
    world.put(external_org_id="org_1")
    world.at += HOUR
    sender.drain()
    assert caplog.messages == []
    world.at += 1
    sender.drain()
    sender.drain()
    assert [message[:55] for message in caplog.messages] == ["usage waits in the outbox for more than an hour; if its"]


def test_api_error_without_a_status_is_retried(world: World) -> None:
    """A code that only the service knows, without a status, ends nothing."""
    world.put()

    assert _drain(world, lambda calls: [ApiError("odd", code="ODD") for _ in calls]).retried == 1
