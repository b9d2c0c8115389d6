"""What becomes of an event: counted, dead, sent again later, or kept."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from outbox_world import DAY, HOUR, USAGE, lose, nobody, refuse, unsent

from chatarmin_os import ApiError, ChatarminOS, InvalidResponse, TimedOut, TrackUsageInput
from chatarmin_os.errors import CODES
from chatarmin_os.gate import Gate
from chatarmin_os.outbox import OutboxUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from outbox_world import World

    from chatarmin_os.transports import Call


def test_events_go_in_batches(world: World) -> None:
    """A drain sends batches of at most 50, and each event once."""
    world.put(130)
    client, transport = world.through()

    report = world.sender(client).drain()

    assert (report.counted, report.requests, report.left, report.stopped) == (130, 3, 0, "empty")
    assert sorted(len(inputs) for inputs in transport.rounds) == [30, 50, 50]
    assert world.usage() == 130
    assert world.sender(client).drain().requests == 0


@pytest.mark.parametrize(("batch", "sizes"), [(1, [1] * 3), (2, [2, 1]), (99, [3])])
def test_batch_bounds_a_request(world: World, batch: int, sizes: list[int]) -> None:
    """`batch` bounds the events of a request; a request never has more than 50."""
    world.put(3)
    client, transport = world.through()

    world.sender(client, batch=batch).drain()

    assert [len(inputs) for inputs in transport.rounds] == sizes


@pytest.mark.parametrize(
    "code",
    ["CONFLICT", "BAD_REQUEST", "NOT_FOUND", "FORBIDDEN", "PRECONDITION_FAILED", "UNPROCESSABLE_CONTENT"],
)
def test_refusal_is_final(world: World, code: str, caplog: pytest.LogCaptureFixture) -> None:
    """An event that the service refuses is dead at once, with the code as its reason; its message is not logged."""
    [key] = world.put(quantity=2.5, metadata={"a": "private"})

    report = world.drain(refuse(code, "the secret message"))

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
    client, transport = world.through(answer)

    report = world.sender(client).drain()

    assert (report.retried, report.refused, report.left, report.requests) == (1, 0, 1, 1)
    world.advance(0.9)
    assert world.sender(client).drain().requests == 0
    world.advance(0.2)
    assert world.sender(world.through(refuse("CONFLICT"))[0]).drain().requests == 1
    assert [event.attempts for event in world.outbox.dead()] == [attempts + 1]
    assert len(transport.rounds) == 1


@pytest.mark.parametrize(
    ("fraction", "waits"), [(0.0, [0.5, 1, 2, 4]), (1.0, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300])]
)
def test_waits_double_up_to_five_minutes(world: World, fraction: float, waits: list[float]) -> None:
    """An event waits a random 0.5 to 1 second, twice as long after each failure, and at most 5 minutes."""
    world.put()
    world.waits = fraction
    sender = world.sender(world.through(lose)[0])

    for wait in waits:
        assert sender.drain().requests == 1
        world.at += wait - 0.01
        assert sender.drain().requests == 0
        world.at += 0.011


@pytest.mark.parametrize("code", ["TOO_MANY_REQUESTS", "SERVICE_UNAVAILABLE"])
def test_retry_after_bounds_the_wait(world: World, code: str) -> None:
    """An event is not sent again before Retry-After."""
    world.put()
    world.drain(refuse(code, retry_after=3600))

    world.advance(3599)
    assert world.sender().drain().requests == 0
    world.advance(1)
    assert world.sender().drain().counted == 1


def test_retry_after_of_years_is_a_day(world: World) -> None:
    """No event waits for ever."""
    world.put()
    world.drain(refuse("TOO_MANY_REQUESTS", retry_after=1e300))

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

    report = world.drain(answer)

    assert (report.counted, report.refused, report.retried, report.left) == (2, 1, 1, 1)
    assert report.stopped == "empty"


@pytest.mark.parametrize(
    "answer",
    [
        refuse("UNAUTHORIZED"),
        refuse("NEW_CODE", http_status=401),
        lambda calls: [InvalidResponse("a page", http_status=401) for _ in calls],
        refuse("NOT_FOUND", f'No procedure found on path "{USAGE}"'),
    ],
)
def test_wrong_key_keeps_everything(world: World, answer: Callable[[Sequence[Call]], Any]) -> None:
    """A refused key or a missing procedure stops the drain at its first request; no event is dead, none was tried."""
    world.put(120)

    report = world.drain(answer)

    assert (report.stopped, report.requests, report.left, report.refused) == ("unauthorized", 1, 120, 0)
    assert (report.retried, world.outbox.stats().leased) == (0, 0)
    world.advance(30 * DAY)
    assert world.sender().drain().counted == 120


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


@pytest.mark.parametrize(("answer", "kept"), [(unsent, 5), (lose, 5), (refuse("CONFLICT"), 0)])
def test_expected_usage_is_subtracted_until_its_answer(
    world: World, answer: Callable[[Sequence[Call]], Any], kept: int
) -> None:
    """A failure is no answer; a minute later the service is asked, whatever waits."""
    gate = Gate(ChatarminOS(transport=world.fake))
    usage: dict[str, Any] = {"company_id": world.company, "feature_code": "ai_credit"}
    world.client.features.set_access(**usage, is_enabled=True, quantity_limit=100)
    [key] = world.put(quantity=5)
    before = _remaining(gate, usage)
    gate.expect_usage(**usage, quantity=5, idempotency_key=key)
    assert _remaining(gate, usage) == before - 5

    world.drain(answer, gate=gate)

    assert _remaining(gate, usage) == before - kept
    world.advance(60)
    assert _remaining(gate, usage) == before


def _remaining(gate: Gate, usage: dict[str, Any]) -> float:
    access = gate.check(**usage).access
    assert access is not None
    assert access.remaining is not None
    return access.remaining


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


@pytest.mark.parametrize("method", ["_claim", "_apply"])
def test_outbox_that_fails_after_a_request_gets_the_outcomes_again(
    world: World, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy outbox ends a drain with its error; nothing is sent again in it, and what was counted is written down."""
    world.put(3)
    client, transport = world.through()
    plain = getattr(world.outbox, method)

    def fail_once(*arguments: Any, **named: Any) -> Any:
        if transport.rounds:
            monkeypatch.undo()
            raise OutboxUnavailable("busy")
        return plain(*arguments, **named)

    monkeypatch.setattr(world.outbox, method, fail_once)
    limit = 1 if method == "_apply" else None  # then no other lease makes the changes
    with pytest.raises(OutboxUnavailable):
        world.sender(client).drain(limit=limit)

    assert len(transport.rounds) == 1
    world.advance(DAY)
    assert world.sender(client).drain().refused == (1 if method == "_apply" else 0)
    assert world.usage() == 3


def test_each_code_has_an_outcome(world: World) -> None:
    """All codes of tRPC, and codes that nobody knows: each is final, retried, or stops the sender."""
    codes: dict[str, tuple[int | None, str]] = {code: (known.http_status, "") for code, known in CODES.items()}
    codes |= {"TEAPOT": (418, "dead"), "ODD": (None, "retry"), "FULL": (507, "retry"), "-32099": (None, "retry")}
    for code, (status, expected) in codes.items():
        [key] = world.put()
        kind = expected or ("retry" if status in {408, 429, 499} or (status or 0) >= 500 else "dead")

        report = world.drain(refuse(code, http_status=status))

        if status == 401:
            assert (report.stopped, report.left) == ("unauthorized", 1), code
        elif kind == "dead":
            assert (report.refused, report.left, report.stopped) == (1, 0, "empty"), code
            assert [(event.key, event.reason) for event in world.outbox.dead()] == [(key, code)]
            world.outbox.discard([key])
        else:
            assert (report.retried, report.left, report.stopped) == (1, 1, "outage"), code
        world.advance(2)
        if report.left:
            assert world.sender().drain().counted == 1


def test_repeated_request_has_the_same_bytes(world: World) -> None:
    """An event is sent with the same JSON text each time: keys in the same order, numbers as they were written."""
    metadata = {"z": 1.0, "a": [1, 1e22, -0.0, True, None], "é": "\u2028😀", "10": {"b": 1, "a": 2}, "9": 0}
    world.put(quantity=2.0, idempotency_key="job_1", metadata=metadata)
    world.put(quantity=3, idempotency_key="job_2", external_org_id="org_1")
    texts: list[list[str]] = []
    turns: list[Callable[[Sequence[Call]], Any]] = [lose, refuse("INTERNAL_SERVER_ERROR"), lambda _: None]

    def take_turns(calls: Sequence[Call]) -> Any:
        return turns[0](calls) if calls[0].path == USAGE else None

    while turns:
        client, transport = world.through(take_turns)
        world.sender(client).drain()
        del turns[0]
        texts.append(sorted(json.dumps(given) for inputs in transport.rounds for given in inputs))
        world.advance(5)
    direct = TrackUsageInput(
        company_id=world.company, feature_code="ai_credit", quantity=2.0, idempotency_key="job_1", metadata=metadata
    )
    client, transport = world.through()
    client.batch([direct])

    assert texts[0] == texts[1] == texts[2]
    assert len(texts[0]) == 2
    assert json.dumps(transport.rounds[0][0]) in texts[0]


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

    assert world.drain(lambda calls: [ApiError("odd", code="ODD") for _ in calls]).retried == 1
