"""What a crash test found: pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

HEADER = ("scenario", "acknowledged", "sent", "counted", "missing", "twice", "dead", "left", "failed", "kills")


class Verdict(NamedTuple):
    """What became of the events.

    Attributes:
        acknowledged: Events whose `put` returned.
        sent: Events that reached the service, each as often as it did.
        counted: Events that the service counted, also those whose `put` was killed before it returned.
        missing: Acknowledged events that were not counted, and are not dead either if that is allowed.
        twice: Events that the service counted more than once.
        dead: Events that will not be sent.
        left: Events that are still in the outbox.
        failed: Programs that ended with an error, or hung.
        kills: Processes that were killed.
        is_good: Whether nothing is missing, twice, left or failed, and nothing is dead that must not be.
    """

    acknowledged: int
    sent: int
    counted: int
    missing: int
    twice: int
    dead: int
    left: int
    failed: int
    kills: int
    is_good: bool


def judge(
    acknowledged: Iterable[str],
    counts: Mapping[str, int],
    dead: Collection[str] = (),
    *,
    sent: int = 0,
    left: int = 0,
    kills: int = 0,
    failed: int = 0,
    can_die: bool = False,
) -> Verdict:
    """Compare what was acknowledged with how often the service counted each key."""
    keys = set(acknowledged)
    missing = len(keys - counts.keys() - set(dead if can_die else ()))
    twice = sum(count > 1 for count in counts.values())
    is_good = bool(keys) and not (missing or twice or left or failed or (dead and not can_die))
    return Verdict(len(keys), sent, len(counts), missing, twice, len(dead), left, failed, kills, is_good)


def row(scenario: str, verdict: Verdict) -> str:
    """Return a line of the table, to go below `HEADER`."""
    return line([scenario, *(f"{number:,}" for number in verdict[:-1])]) + ("" if verdict.is_good else "  FAILED")


def line(cells: Iterable[str]) -> str:
    """Return a line of the table: the first column is text, the others are numbers."""
    first, *others = cells
    return f"{first:24}" + "".join(f"{cell:>13}" for cell in others)
