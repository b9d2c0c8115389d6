"""Timing side by side, and tables; shared by all parts.

A figure of one machine says little, and on a busy machine nothing; a ratio of two figures that are measured in turns,
in rounds of shuffled order, holds elsewhere too. It is the median of the ratios of the rounds, so that a slow moment
spoils one round.
"""

from __future__ import annotations

import gc
from random import Random
from statistics import median
from time import process_time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


class Row(NamedTuple):
    """A line of a table; `met` says whether the figure or ratio meets the bar; None if it has no bar."""

    what: str
    figure: str
    ratio: str = ""
    bar: str = ""
    met: bool | None = None


class Part(NamedTuple):
    """The table of one part, and the meaning of its columns."""

    title: str
    note: str
    rows: list[Row]


class Samples:
    """The figures of each subject, round by round."""

    def __init__(self, by_subject: Mapping[str, list[float]]) -> None:
        self._by_subject = by_subject

    def median(self, subject: str) -> float:
        """Return the median of a subject."""
        return median(self._by_subject[subject])

    def ratio(self, subject: str, to: str, *, without: str | None = None) -> float:
        """Return the median of subject / to, each minus the figure of *without* in the same round."""
        ours, other = self._by_subject[subject], self._by_subject[to]
        less = [0.0] * len(ours) if without is None else self._by_subject[without]
        return median((a - c) / (b - c) for a, b, c in zip(ours, other, less, strict=True))


def seeded(purpose: str) -> Random:
    """Return random numbers that are the same in every run, and differ between purposes."""
    return Random(purpose)  # noqa: S311 - nothing here is secret


def interleaved(subjects: Mapping[str, Callable[[], float]], *, rounds: int) -> Samples:
    """Measure the subjects in turns, in a new order each round; the first round only warms up.

    The collector runs between turns, so that no turn pays for an earlier one. The collector stays on: users have it on.
    """
    random, order = seeded("rounds"), list(subjects)
    figures: dict[str, list[float]] = {subject: [] for subject in subjects}
    for turn in range(rounds + 1):
        random.shuffle(order)
        for subject in order:
            gc.collect()
            figure = subjects[subject]()
            if turn:
                figures[subject].append(figure)
    return Samples(figures)


def cpu_seconds(action: Callable[[], object]) -> float:
    """Return the process time of one action, without that of freeing its result."""
    start = process_time()
    result = action()
    taken = process_time() - start
    del result
    return taken


def within_limit(limit: float, ratio: float, *, what: str, figure: str) -> Row:
    """Return the row of a ratio that must not exceed *limit*."""
    return Row(what, figure, number(ratio), f"≤ {limit:g}", ratio <= limit)


def number(value: float) -> str:
    """Return three significant digits, or all digits before the point.

    Example:
        >>> number(0.1234), number(12.345), number(99.99), number(71234.5)
        ('0.123', '12.3', '100', '71,234')
    """
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}".rstrip(".")


def micro(seconds: float) -> str:
    """Return seconds as microseconds."""
    return f"{number(seconds * 1e6)} µs"


def table(rows: Iterable[Row]) -> str:
    """Return rows as a Markdown table."""
    met = {True: "yes", False: "**no**", None: ""}
    lines = ["| what | figure | ratio | bar | met? |", "|---|---:|---:|---:|---|"]
    lines += [f"| {row.what} | {row.figure} | {row.ratio} | {row.bar} | {met[row.met]} |" for row in rows]
    return "\n".join(lines)
