"""No event is counted twice: its key, and the service's memory of keys."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from outbox_world import DAY, HOUR, USAGE, lose, refuse, unsent

from chatarmin_os import ApiError, ConnectionFailed, InvalidResponse
from chatarmin_os._usage_event import TriedEvent, UsageEvent
from chatarmin_os.gate import Gate, Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from outbox_world import World

    from chatarmin_os.outbox import DrainReport
    from chatarmin_os.transports import Call


def test_key_outlives_an_answer_that_was_lost(world: World) -> None:
    """An event that was counted, and whose answer was lost, is sent again with its key and counts once."""
    world.put(3)

    def lose_answer(calls: Sequence[Call]) -> Any:
        world.fake.send_many(calls)
        return lose(calls)

    world.drain(lose_answer)
    world.advance(60)

    assert world.sender().drain().counted == 3
    assert world.usage() == 3


@pytest.mark.parametrize(("age", "is_dead"), [(23 * HOUR, False), (23 * HOUR + 1, True), (30 * DAY, True)])
def test_tried_event_dies_at_the_end_of_the_window(world: World, age: float, is_dead: bool) -> None:  # noqa: FBT001
    """An event whose first attempt is older than the window less an hour might count twice: it is dead instead."""
    world.put()
    world.drain(lose)
    first = world.at
    for at in (first + 10, first + HOUR):
        world.at = at
        world.drain(lose)
    world.at = first + age

    report = world.sender().drain()

    assert (report.refused, report.counted) == ((1, 0) if is_dead else (0, 1))
    assert world.reasons() == (["window_expired"] if is_dead else [])


@pytest.mark.parametrize("answer", [unsent, refuse("TOO_MANY_REQUESTS"), refuse("UNAUTHORIZED")])
def test_event_that_was_never_tried_has_no_age(world: World, answer: Callable[[Sequence[Call]], Any]) -> None:
    """An event that certainly did not reach the service is sent at any age."""
    world.put()
    world.drain(answer)
    world.advance(400 * DAY)

    assert world.sender().drain().counted == 1


def test_attempt_is_written_down_before_its_request(world: World) -> None:
    """An event whose sender ends during the request counts as tried, whether its company was known or looked up."""

    def end(calls: Sequence[Call]) -> Any:
        if calls[0].path == USAGE:
            raise KeyboardInterrupt

    world.put()
    world.put(external_org_id="org_1")
    with pytest.raises(KeyboardInterrupt):
        world.drain(end)
    world.advance(DAY)

    assert world.sender().drain().refused == 2
    assert [(event.reason, event.attempts) for event in world.outbox.dead()] == [("window_expired", 1)] * 2


def test_attempts_have_no_maximum(world: World) -> None:
    """Within the window an event is sent again and again, until it is counted."""
    world.put()
    for _ in range(60):
        assert world.drain(lose).retried == 1
        world.advance(301)

    assert world.sender().drain().counted == 1


def test_window_is_the_senders(world: World) -> None:
    """A service with a longer memory of keys gets a longer window."""
    world.put()
    world.drain(lose)
    world.at += 40 * HOUR

    assert world.sender(window=timedelta(hours=48)).drain().counted == 1


@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_jumping_clock_loses_nothing(world: World, jump: float) -> None:
    """A clock that jumps makes tried events dead, and never missing; those that were not tried are sent."""
    [tried] = world.put()
    world.drain(lose)
    world.put()
    world.at += jump

    report = world.sender().drain()

    assert (report.counted, report.refused, report.left) == (1, 1, 0)
    assert [(event.key, event.reason) for event in world.outbox.dead()] == [(tried, "window_expired")]


@pytest.mark.parametrize("jump", [DAY, -DAY, HOUR / 2, -HOUR / 2])
def test_clock_that_jumps_during_a_request_loses_nothing(world: World, jump: float) -> None:
    """A clock that is set during a request makes its events dead at most: none is missing, none is counted twice."""
    world.put(200)
    turns = iter([True])

    def set_clock(calls: Sequence[Call]) -> Any:
        if next(turns, False):
            world.fake.send_many(calls)
            world.at += jump
            return lose(calls)
        return None

    counted = world.drain(set_clock).counted
    for _ in range(3):
        world.at += 60
        counted += world.sender().drain().counted

    assert world.outbox.stats().ready == world.outbox.stats().leased == 0
    dead = len(world.outbox.dead(limit=999))
    assert counted + dead == 200
    assert 200 - dead <= world.usage() <= 200


@pytest.mark.parametrize("ahead", [DAY, -DAY])
def test_senders_whose_clocks_differ_count_nothing_twice(world: World, ahead: float) -> None:
    """A sender whose clock is a day off makes events of another dead at most."""
    world.put(100)
    reports: list[DrainReport] = []

    def drain_elsewhere(_: Sequence[Call]) -> None:
        if not reports:
            reports.append(world.sender(now=lambda: world.at + ahead).drain())

    report = world.drain(drain_elsewhere)

    assert report.left == 0
    assert world.usage() <= 100
    assert world.usage() + len(world.outbox.dead(limit=999)) >= 100


def test_window_of_an_hour_allows_one_attempt(world: World) -> None:
    """A window that is no longer than the hour left for clocks makes each event dead that was tried."""
    world.put()
    assert world.drain(unsent, window=timedelta(minutes=30)).retried == 1
    world.advance(5)
    assert world.drain(lose, window=timedelta(minutes=30)).retried == 1
    world.advance(5)

    assert world.sender(window=timedelta(minutes=30)).drain().refused == 1
    assert world.reasons() == ["window_expired"]


def test_attempt_is_written_down_before_the_request(world: World) -> None:
    """A sender that ends during a request leaves an event that was tried."""
    world.put()

    def die(_: Sequence[Call]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        world.drain(die)
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
        world.drain(die)
    assert (world.outbox.stats().leased, world.outbox.stats().ready) == (50, 100)
    world.at += DAY

    report = world.sender().drain()
    assert (report.counted, report.refused) == (100, 50)


# Usage that was sent before it was put


def tried(world: World, key: str) -> UsageEvent:
    """Return an event that was sent just now, and whose answer was lost."""
    created_at = datetime.fromtimestamp(world.at, UTC)
    usage: dict[str, Any] = {
        "company_id": world.company,
        "feature_code": "ai_credit",
        "quantity": 1,
        "idempotency_key": key,
    }
    return TriedEvent(**usage, created_at=created_at)


def test_event_that_was_sent_before_it_was_put_is_tried(world: World) -> None:
    """It dies at the end of the window as any that was tried, and one that was put with it does not."""
    [fresh] = world.put()
    [late] = world.put()
    world.outbox.put_many([tried(world, "one"), tried(world, "other")])
    assert world.outbox.stats().ready == 4
    world.at += 23 * HOUR + 1

    report = world.sender().drain()

    assert (report.counted, report.refused) == (2, 2)
    assert [(event.key, event.reason, event.attempts) for event in world.outbox.dead()] == [
        ("one", "window_expired", 1),
        ("other", "window_expired", 1),
    ]
    assert fresh != late


def test_event_that_was_sent_before_it_was_put_is_sent_within_the_window(world: World) -> None:
    """Its key lets it count once."""
    world.put(idempotency_key="one")
    world.sender().drain()
    world.outbox.put_many([tried(world, "one")])
    world.at += 23 * HOUR

    assert world.sender().drain().counted == 1
    assert world.usage() == 1


@pytest.mark.parametrize("before", [None, unsent, lose])
def test_event_that_waits_counts_as_tried_after_it_was_sent(world: World, before: Any) -> None:
    """An event that waits, and is sent by somebody else whose answer is lost, has an attempt more."""
    world.put(idempotency_key="one")
    if before is not None:
        world.drain(before)
    world.outbox.put_many([tried(world, "one")])
    world.put(idempotency_key="two")
    world.at += DAY

    report = world.sender().drain()

    assert (report.counted, report.refused) == (1, 1)
    [dead] = world.outbox.dead()
    assert (dead.key, dead.reason, dead.attempts) == ("one", "window_expired", 2 if before is lose else 1)


@pytest.mark.parametrize("is_counted", [True, False])
def test_event_that_is_sent_while_a_sender_has_it_stays_tried(world: World, is_counted: bool) -> None:  # noqa: FBT001
    """The sender's outcome does not hide the other attempt: the event waits until its lease has ended."""

    def answer(calls: Sequence[Call]) -> Any:
        world.outbox.put_many([tried(world, "one")])
        assert (world.outbox.stats().ready, world.outbox.stats().leased) == (1, 0)
        assert world.sender().drain().requests == 0
        return None if is_counted else unsent(calls)

    world.put(idempotency_key="one")
    assert world.drain(answer).left == 1

    world.advance(31)
    if is_counted:
        assert world.sender().drain().counted == 1
        assert world.usage() == 1
    else:
        world.advance(DAY)
        assert world.sender().drain().refused == 1
        assert world.reasons() == ["window_expired"]


def test_tried_event_stays_dead(world: World) -> None:
    """A dead event whose usage is sent once more by somebody else is left as it is."""
    world.put(idempotency_key="one")
    world.drain(refuse("CONFLICT"))

    world.outbox.put_many([tried(world, "one")])

    assert [(event.reason, event.attempts) for event in world.outbox.dead()] == [("CONFLICT", 1)]
    assert world.outbox.stats().ready == 0


@pytest.mark.parametrize(
    ("failure", "is_tried"),
    [
        (ConnectionFailed("lost"), True),
        (ConnectionFailed("refused", outcome="not_sent"), False),
        (InvalidResponse("a page", http_status=502), True),
        (InvalidResponse("a page", http_status=429), False),
        (ApiError.from_code("INTERNAL_SERVER_ERROR"), True),
        (ApiError.from_code("TOO_MANY_REQUESTS"), False),
    ],
    ids=["lost", "not-sent", "502", "429", "server-error", "rate-limit"],
)
def test_usage_of_a_block_is_tried_if_it_may_be_counted(world: World, failure: Any, is_tried: bool) -> None:  # noqa: FBT001
    """Usage of `gate.metered` that the outbox takes was sent before, so that it might count twice after the window."""
    world.at = time.time()
    world.fake.fail(USAGE, error=failure)
    with Gate(world.client, outbox=world.outbox).metered(
        external_org_id="org_1", feature_code="ai_credit", idempotency_key="job_1"
    ):
        pass
    assert world.outbox.stats().ready == 1
    world.at += DAY

    report = world.sender().drain()

    assert (report.refused, report.counted) == ((1, 0) if is_tried else (0, 1))
    assert world.reasons() == (["window_expired"] if is_tried else [])


def test_usage_of_a_block_without_a_company_is_not_tried(world: World) -> None:
    """If the look-up of the company failed, usage was not sent."""
    world.at = time.time()
    gate = Gate(world.client, outbox=world.outbox, default=Policy(on_outage="allow"))
    world.fake.fail(error="lost")
    with gate.metered(external_org_id="org_1", feature_code="ai_credit"):
        world.fake.fail("companies.getByProductLink", error="lost")
    world.at += DAY

    assert world.sender().drain().counted == 1
