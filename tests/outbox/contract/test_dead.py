"""Dead events, and the figures of an outbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from outbox_world import Batches, lose, refuse

from chatarmin_os import ChatarminOS, InvalidInput
from chatarmin_os.outbox import OutboxStats

if TYPE_CHECKING:
    from outbox_world import World


def _kill(world: World, code: str, count: int = 1, **values: Any) -> list[str]:
    keys = world.put(count, **values)
    world.sender(ChatarminOS(transport=Batches(world.fake, refuse(code, "no")))).drain()
    return keys


def test_stats_of_an_empty_outbox(world: World) -> None:
    """Nothing is there, and nothing has an age."""
    stats = world.outbox.stats()

    assert stats == OutboxStats(ready=0, leased=0, dead=0, dead_quantity={}, oldest_age=None, bytes=stats.bytes)


def test_quantities_of_dead_events_are_summed(world: World) -> None:
    """The quantities are summed by reason, as decimal numbers."""
    _kill(world, "CONFLICT", quantity=0.1)
    _kill(world, "CONFLICT", quantity=0.2)
    _kill(world, "FORBIDDEN", 2, quantity=3)

    stats = world.outbox.stats()

    assert (stats.dead, stats.dead_quantity) == (4, {"CONFLICT": 0.3, "FORBIDDEN": 6})
    assert (stats.ready, stats.oldest_age) == (0, None)


def test_oldest_age_is_that_of_the_oldest_event(world: World) -> None:
    """It is counted from the creation, and is never negative."""
    world.put()
    world.at += 100
    world.put()
    assert world.outbox.stats().oldest_age == pytest.approx(100)
    world.at -= 500
    assert world.outbox.stats().oldest_age == 0


def test_dead_events_have_a_limit(world: World) -> None:
    """The oldest come first, at most so many."""
    keys = _kill(world, "CONFLICT", 3)

    assert [event.key for event in world.outbox.dead(limit=2)] == keys[:2]
    with pytest.raises(InvalidInput, match="limit: expected an integer above 0"):
        world.outbox.dead(limit=0)


@pytest.mark.parametrize("chosen", [None, [0, 2], [1], []])
def test_revived_events_are_sent_again(world: World, chosen: list[int] | None) -> None:
    """All dead events, or those with the keys, are ready again; their attempts are forgotten."""
    keys = _kill(world, "CONFLICT", 3)
    given = None if chosen is None else [keys[place] for place in chosen]

    count = world.outbox.revive(given)

    assert count == (3 if given is None else len(given))
    assert (world.outbox.stats().ready, world.outbox.stats().dead) == (count, 3 - count)
    assert world.sender().drain().counted == count


def test_revived_event_has_no_past(world: World) -> None:
    """An event that was too old to be sent safely is sent after it was revived, with one attempt."""
    world.put()
    world.sender(ChatarminOS(transport=Batches(world.fake, lose))).drain()
    world.at += 90_000
    assert world.sender().drain().refused == 1
    assert world.outbox.revive() == 1

    world.sender(ChatarminOS(transport=Batches(world.fake, refuse("CONFLICT")))).drain()

    assert [(event.reason, event.attempts) for event in world.outbox.dead()] == [("CONFLICT", 1)]


def test_discarded_events_are_gone(world: World) -> None:
    """Dead events with the keys are removed; events that wait stay."""
    keys = _kill(world, "CONFLICT", 3)
    waiting = world.put()

    assert world.outbox.discard([*keys[:2], *waiting, "unknown"]) == 2
    assert (world.outbox.stats().ready, world.outbox.stats().dead) == (1, 1)
    assert world.outbox.revive([*waiting, "unknown"]) == 0


def test_keys_are_a_list_of_texts(world: World) -> None:
    """A single key is not a list of keys."""
    with pytest.raises(InvalidInput, match="keys: expected a list of keys, got one"):
        world.outbox.discard("job_1")
    with pytest.raises(InvalidInput) as caught:
        world.outbox.revive(["job_1", ""])
    assert caught.value.field == "keys[1]"
