"""Events that name an organisation: the sender looks the company up."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from outbox_world import DAY, Batches, lose, refuse, unsent

from chatarmin_os import ApiError, ChatarminOS, InvalidResponse
from chatarmin_os.outbox import UsageEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from outbox_world import World

    from chatarmin_os._json import JSON
    from chatarmin_os.outbox import DrainReport
    from chatarmin_os.transports import Call

LOOK_UP = "companies.getByProductLink"


def _client(world: World, look_up: Callable[[Sequence[Call]], Any] = lambda _: None) -> tuple[ChatarminOS, Batches]:
    def answer(calls: Sequence[Call]) -> Any:
        return look_up(calls) if calls[0].path == LOOK_UP else None

    transport = Batches(world.fake, answer)
    return ChatarminOS(transport=transport), transport


def test_companies_are_looked_up_in_batches(world: World) -> None:
    """Each organisation is looked up once for all of its events, fifty in a request."""
    for number in range(60):
        world.client.onboard(external_org_id=f"customer_{number}", tier_code="enterprise")
    world.outbox.put_many(
        UsageEvent(external_org_id=f"customer_{number % 60}", feature_code="ai_credit", quantity=1)
        for number in range(120)
    )
    client, transport = _client(world)
    sender = world.sender(client)

    assert sender.drain().counted == 120
    assert len(transport.others) == 60
    assert len(transport.rounds) == 3


def test_found_company_is_remembered_for_a_minute(world: World) -> None:
    """A company that was found is asked again after a minute, or when the clock was set back."""
    client, transport = _client(world)
    sender = world.sender(client)
    for seconds, asked in ((0.0, 1), (59.9, 1), (0.1, 2), (-10, 3), (59, 3)):
        world.at += seconds
        world.put(external_org_id="org_1")
        assert sender.drain().counted == 1
        assert len(transport.others) == asked


def test_company_is_written_down_before_the_first_attempt(world: World) -> None:
    """An event stays with the company to which it was sent, whatever its organisation is linked to later."""
    world.put(external_org_id="org_1")
    transport = Batches(world.fake, lambda calls: lose(calls) if calls[0].path != LOOK_UP else None)
    world.sender(ChatarminOS(transport=transport)).drain()
    client, later = _client(world, refuse("NOT_FOUND"))
    world.advance(5)

    assert world.sender(client).drain().counted == 1
    assert later.others == []
    assert later.rounds[0][0]["companyId"] == world.company


@pytest.mark.parametrize("look_up", [lambda calls: [None for _ in calls], refuse("NOT_FOUND", "no such link")])
def test_unlinked_organisation_is_looked_up_again(world: World, look_up: Callable[[Sequence[Call]], Any]) -> None:
    """An event whose organisation is not linked yet waits, and is counted once it is linked."""
    world.put(external_org_id="org_1")
    client, transport = _client(world, look_up)
    sender = world.sender(client)

    report = sender.drain()
    assert (report.retried, report.requests, report.left, report.stopped) == (1, 0, 1, "empty")
    world.at += 1
    assert sender.drain().retried == 1
    assert len(transport.others) == 2
    world.advance(DAY - 2)

    assert world.sender().drain().counted == 1


def test_unlinked_organisation_is_dead_after_a_day(world: World) -> None:
    """A day after the first look-up the event is dead; the time before that look-up does not count."""
    world.put(external_org_id="org_2")
    world.at += 5 * DAY
    sender = world.sender()
    sender.drain()
    world.at += DAY - 1
    assert sender.drain().refused == 0
    world.at += 300

    assert sender.drain().refused == 1
    [event] = world.outbox.dead()
    assert (event.reason, event.company_id, event.external_org_id, event.attempts) == ("not_linked", None, "org_2", 0)


def test_clock_set_back_prolongs_the_day(world: World) -> None:
    """A first look-up in the future counts as now."""
    world.put(external_org_id="org_2")
    sender = world.sender()
    sender.drain()
    world.at -= 10 * DAY
    sender.drain()
    world.at += DAY - 1
    assert sender.drain().refused == 0
    world.at += 300

    assert sender.drain().refused == 1


@pytest.mark.parametrize("answer", [lose, unsent, refuse("INTERNAL_SERVER_ERROR"), refuse("TOO_MANY_REQUESTS")])
def test_failed_look_up_is_repeated(world: World, answer: Callable[[Sequence[Call]], Any]) -> None:
    """After a look-up that failed the event waits; it was not tried."""
    world.put(external_org_id="org_1")
    client, _ = _client(world, answer)
    report = world.sender(client).drain()
    assert (report.retried, report.requests, report.left) == (1, 0, 1)
    world.advance(40 * DAY)

    assert world.sender().drain().counted == 1


def test_look_ups_without_an_answer_are_an_outage(world: World) -> None:
    """A service that does not answer look-ups stops the drain."""
    world.put(130, external_org_id="org_1")
    report = world.sender(_client(world, unsent)[0]).drain()
    assert (report.stopped, report.requests, report.left) == ("outage", 0, 130)

    assert world.sender(_client(world, lambda calls: [None for _ in calls])[0]).drain().stopped == "empty"


@pytest.mark.parametrize(
    "code", ["SERVICE_UNAVAILABLE", "TIMEOUT", "TOO_MANY_REQUESTS", "CLIENT_CLOSED_REQUEST", "NEW_CODE"]
)
def test_look_ups_with_failures_only_are_an_outage(world: World, code: str) -> None:
    """A failure of the service is no answer, in a look-up as in usage."""
    world.put(external_org_id="org_1")

    report = world.sender(_client(world, refuse(code))[0]).drain()

    assert (report.stopped, report.requests, report.retried, report.left) == ("outage", 0, 1, 1)


def _drain_with_one_error(world: World, code: str) -> DrainReport:
    """Put usage of two organisations, and drain while the look-up of one of them is an error."""
    world.put(external_org_id="org_1")
    world.put(external_org_id="org_odd")

    def fail_odd(calls: Sequence[Call]) -> list[JSON | ApiError]:
        answers = world.fake.send_many(calls)
        return [
            ApiError.from_code(code) if call.input == {"externalOrgId": "org_odd"} else found
            for call, found in zip(calls, answers, strict=True)
        ]

    return world.sender(_client(world, fail_odd)[0]).drain()


def test_look_up_that_is_answered_is_no_outage(world: World) -> None:
    """One organisation that was found is an answer, whatever becomes of the others."""
    report = _drain_with_one_error(world, "BAD_GATEWAY")

    assert (report.counted, report.retried, report.stopped) == (1, 1, "empty")


@pytest.mark.parametrize(
    ("answer", "max_size", "again"),
    [
        (refuse("BAD_REQUEST", "Batching is not enabled on the server"), 1, 40),
        (refuse("BAD_REQUEST", "Batch call exceeds maximum size"), 7, 7),
        (lambda calls: [InvalidResponse("a page", http_status=413) for _ in calls], 7, 7),
    ],
)
def test_look_up_that_is_refused_whole_is_halved(
    world: World, answer: Callable[[Sequence[Call]], Any], max_size: int, again: int
) -> None:
    """A look-up that is too large for the service kills no event; its size is remembered."""
    sizes: list[int] = []

    def look_up(calls: Sequence[Call]) -> Any:
        sizes.append(len(calls))
        return answer(calls) if len(calls) > max_size else None

    for number in range(40):
        world.client.onboard(external_org_id=f"customer_{number}", tier_code="enterprise")
        world.put(external_org_id=f"customer_{number}")
    sender = world.sender(_client(world, look_up)[0])

    assert (sender.drain().counted, world.reasons()) == (40, [])
    sizes.clear()
    world.at += 60
    for number in range(40):
        world.put(external_org_id=f"customer_{number}")
    assert sender.drain().counted == 40
    assert max(sizes) <= max_size
    assert len(sizes) <= max(again, 40)


def test_organisation_that_the_service_cannot_read_is_alone_refused(world: World) -> None:
    """A look-up is halved until the organisation that is the cause is alone; later ones are large again."""
    sizes: list[int] = []

    def look_up(calls: Sequence[Call]) -> Any:
        sizes.append(len(calls))
        return (
            refuse("BAD_REQUEST", "unreadable")(calls)
            if {"externalOrgId": "customer_5"} in map(_input, calls)
            else None
        )

    for number in range(80):
        world.client.onboard(external_org_id=f"customer_{number}", tier_code="enterprise")
        world.put(external_org_id=f"customer_{number}")

    report = world.sender(_client(world, look_up)[0]).drain()

    assert (report.counted, report.refused, report.stopped) == (79, 1, "empty")
    [event] = world.outbox.dead()
    assert (event.external_org_id, event.reason, event.attempts) == ("customer_5", "BAD_REQUEST", 0)
    assert len(sizes) < 20


def _input(call: Call) -> JSON:
    return call.input


def test_stop_during_a_look_up_sends_nothing(world: World) -> None:
    """A sender that is stopped during a look-up gives its events back; none was tried."""
    stop = threading.Event()
    world.put(external_org_id="org_1")
    client, transport = _client(world, lambda _: stop.set())

    world.sender(client).run(stop=stop)

    assert (transport.rounds, world.outbox.stats().ready, world.outbox.stats().leased) == ([], 1, 0)
    world.advance(400 * DAY)
    assert world.sender().drain().counted == 1


def test_hundred_organisations_have_outcomes_of_their_own(world: World) -> None:
    """Organisations that are not linked, are refused or fail hold no other one up, and are counted when they can be."""
    for number in range(0, 100, 2):
        world.client.onboard(external_org_id=f"customer_{number}", tier_code="enterprise")
    for number in range(100):
        world.put(external_org_id=f"customer_{number}")

    def look_up(calls: Sequence[Call]) -> Any:
        answers = world.fake.send_many(calls)
        codes = {"customer_4": "CONFLICT", "customer_8": "INTERNAL_SERVER_ERROR"}
        names = [call.input["externalOrgId"] for call in calls]
        return [
            ApiError.from_code(codes[name]) if name in codes else found
            for name, found in zip(names, answers, strict=True)
        ]

    report = world.sender(_client(world, look_up)[0]).drain()
    assert (report.counted, report.refused, report.retried, report.left) == (48, 1, 51, 51)
    assert world.reasons() == ["CONFLICT"]
    for number in range(1, 100, 2):
        world.client.onboard(external_org_id=f"customer_{number}", tier_code="enterprise")
    world.advance(1)

    report = world.sender().drain()
    assert (report.counted, report.left) == (51, 0)


def test_refused_key_of_a_look_up_keeps_everything(world: World) -> None:
    """A key that is refused for a look-up stops the drain."""
    world.put(3, external_org_id="org_1")

    report = world.sender(_client(world, refuse("UNAUTHORIZED"))[0]).drain()

    assert (report.stopped, report.left, report.retried, report.requests) == ("unauthorized", 3, 0, 0)
    assert world.sender().drain().counted == 3


def test_refused_look_up_is_final(world: World) -> None:
    """An organisation that the service refuses makes its events dead, with the code; others are delivered."""
    report = _drain_with_one_error(world, "BAD_REQUEST")

    assert (report.counted, report.refused, world.reasons()) == (1, 1, ["BAD_REQUEST"])


def test_event_that_is_lost_during_a_look_up_is_not_sent(world: World) -> None:
    """A look-up that takes longer than the lease leaves the event to others."""
    world.put(external_org_id="org_1")
    reports = []

    def wait(_: Sequence[Call]) -> None:
        world.at += 31
        reports.append(world.sender().drain())

    client, transport = _client(world, wait)

    report = world.sender(client, lease=30).drain()

    assert (report.counted, transport.rounds) == (0, [])
    assert [report.counted for report in reports] == [1]
