"""An event is with one sender at a time, and not for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from outbox_world import HOUR, Batches, refuse

from chatarmin_os import ChatarminOS
from chatarmin_os.outbox.changes import Bury, Delay, Keep, Remove, Try

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from outbox_world import World

    from chatarmin_os.outbox.changes import Change
    from chatarmin_os.outbox.stored import Claimed
    from chatarmin_os.transports import Call

LEASE = 30.0
CHANGES: list[Callable[[Claimed], Change]] = [
    Remove,
    Keep,
    lambda claimed: Try(claimed, "comp_1", 0.0),
    lambda claimed: Bury(claimed, 1, "CONFLICT", ""),
    lambda claimed: Delay(claimed, 1.0),
]


def _claim(world: World, owner: str, count: int = 100) -> list[Claimed]:
    return world.outbox._claim(owner, count, [], lease=LEASE, now=world.now)[1]


def _apply(world: World, owner: str, *changes: Change) -> list[Change]:
    return world.outbox._apply(owner, changes, lease=LEASE, now=world.now)


def test_event_is_with_one_sender(world: World) -> None:
    """Events that one sender has are not given to another, and are counted as leased."""
    keys = world.put(10)

    one, other = _claim(world, "one", 4), _claim(world, "other")

    assert (len(one), len(other)) == (4, 6)
    assert sorted(claimed.event.key for claimed in one + other) == sorted(keys)
    assert (world.outbox.stats().leased, world.outbox.stats().ready) == (10, 0)
    assert _claim(world, "third") == []


def test_lease_ends(world: World) -> None:
    """After its time an event is given to another sender, and is ready until then."""
    world.put()
    _claim(world, "one")
    world.at += LEASE - 0.01
    assert _claim(world, "other") == []
    world.at += 0.01
    assert world.outbox.stats().ready == 1

    assert len(_claim(world, "other")) == 1


@pytest.mark.parametrize("change", CHANGES)
def test_owner_whose_lease_ended_changes_nothing(world: World, change: Callable[[Claimed], Change]) -> None:
    """A sender that was away for longer than its lease changes nothing, whether another has the event or not."""
    world.put()
    [claimed] = _claim(world, "one")
    world.at += LEASE
    assert _apply(world, "one", change(claimed)) == []
    [again] = _claim(world, "other")

    assert _apply(world, "one", change(claimed)) == []
    assert len(_apply(world, "other", Remove(again))) == 1


@pytest.mark.parametrize("change", CHANGES)
def test_other_owner_changes_nothing(world: World, change: Callable[[Claimed], Change]) -> None:
    """A sender changes nothing that another has."""
    world.put()
    [claimed] = _claim(world, "one")

    assert _apply(world, "other", change(claimed)) == []


def test_changes_of_lost_events_stop_no_others(world: World) -> None:
    """Of several changes of a kind those of lost events are left out, and the others are made."""
    world.put(3)
    first = _claim(world, "one", 1)
    world.at += LEASE - 1
    rest = _claim(world, "one", 2)
    world.at += 1

    done = _apply(world, "one", *(Remove(claimed) for claimed in first + rest))

    assert [change.claimed for change in done] == rest
    assert world.outbox.stats().ready == 1


@pytest.mark.parametrize("renew", [Keep, lambda claimed: Try(claimed, "comp_1", 0.0)])
def test_lease_can_be_renewed(world: World, renew: Callable[[Claimed], Change]) -> None:
    """A lease that is renewed lasts as long as a new one."""
    world.put()
    [claimed] = _claim(world, "one")
    world.at += LEASE - 1
    assert _apply(world, "one", renew(claimed))
    world.at += LEASE - 1

    assert _claim(world, "other") == []
    assert _apply(world, "one", Remove(claimed))


def test_changes_go_with_a_new_lease(world: World) -> None:
    """A sender makes changes and leases more in one step."""
    world.put(2)
    [claimed] = _claim(world, "one", 1)

    done, more = world.outbox._claim("one", 1, [Remove(claimed)], lease=LEASE, now=world.now)

    assert [change.claimed for change in done] == [claimed]
    assert len(more) == 1
    assert world.outbox.stats().leased == 1


@pytest.mark.parametrize("wait", [10.0, 3600.0])
def test_wait_ends(world: World, wait: float) -> None:
    """An event that waits is ready, and given to a sender after that."""
    world.put()
    [claimed] = _claim(world, "one")
    _apply(world, "one", Delay(claimed, wait))
    assert (world.outbox.stats().ready, world.outbox.stats().leased) == (1, 0)
    world.at += wait - 0.01
    assert _claim(world, "other") == []
    world.at += 0.01

    assert len(_claim(world, "other")) == 1


@pytest.mark.parametrize("back", [0.01, 10.0, 24 * HOUR])
@pytest.mark.parametrize("is_waiting", [False, True])
def test_clock_that_is_set_back_ends_leases_and_waits(world: World, back: float, is_waiting: bool) -> None:  # noqa: FBT001
    """An end further ahead than is possible counts as now; its owner changes nothing any more."""
    world.put()
    [claimed] = _claim(world, "one")
    if is_waiting:
        _apply(world, "one", Delay(claimed, 300.0))
    world.at -= back

    assert world.outbox.stats().ready == 1
    assert _apply(world, "one", Remove(claimed)) == []
    assert len(_claim(world, "other")) == 1


def test_slow_service_renews_leases(world: World) -> None:
    """A sender whose requests take long keeps its events, and sends each once."""
    other = world.sender()
    reports = []

    def wait(_: Sequence[Call]) -> None:
        world.at += 20
        reports.append(other.drain(limit=10))

    world.put(400)
    transport = Batches(world.fake, wait)

    report = world.sender(ChatarminOS(transport=transport), lease=LEASE).drain()

    sent = [given["idempotencyKey"] for inputs in transport.rounds for given in inputs]
    assert len(sent) == len({*sent})
    assert report.counted + sum(report.counted for report in reports) == 400
    assert world.usage() == 400
    assert report.counted > 100


def test_sender_that_was_away_leaves_its_events(world: World) -> None:
    """A sender that comes back after its lease sends none of the events that it had leased before."""
    world.put(100)
    transport = Batches(world.fake, lambda _: None)
    sender = world.sender(ChatarminOS(transport=transport), batch=25, lease=LEASE)

    def leave(_: Sequence[Call]) -> None:
        if len(transport.rounds) == 2:
            world.at += LEASE
            assert world.sender().drain().counted == 100

    transport._answer = leave  # the second request takes longer than the lease
    report = sender.drain()

    assert [len(inputs) for inputs in transport.rounds] == [25, 25]
    assert (report.counted, report.left) == (0, 0)
    assert world.usage() == 100


def test_halving_renews_the_lease(world: World) -> None:
    """A request that was refused as a whole is halved for as long as it takes; other senders get none of its events."""
    world.put(16)
    reports = []
    other = world.sender()

    def refuse_several(calls: Sequence[Call]) -> Any:
        world.at += LEASE / 2
        reports.append(other.drain())
        return refuse("BAD_REQUEST")(calls) if len(calls) > 1 else None

    report = world.sender(ChatarminOS(transport=Batches(world.fake, refuse_several)), lease=LEASE).drain()

    assert (report.counted, report.requests) == (16, 31)
    assert {report.counted for report in reports} == {0}
