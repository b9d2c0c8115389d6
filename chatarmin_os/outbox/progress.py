"""A drain with a progress bar."""

from __future__ import annotations

from typing import TextIO

from attrs import evolve

from chatarmin_os._clock import monotonic
from chatarmin_os.outbox.base import Outbox
from chatarmin_os.outbox.records import DrainReport
from chatarmin_os.outbox.sender import Sender

_EVENTS_PER_STEP = 500
_WIDTH = 30


def drain_with_progress(
    sender: Sender, outbox: Outbox, deadline: float | None = None, terminal: TextIO | None = None
) -> DrainReport:
    """Deliver what can be sent now, as `Sender.drain` does, and draw a bar on a terminal."""
    if terminal is None:
        return sender.drain(deadline=deadline)
    stats = outbox.stats()
    total = stats.ready + stats.leased
    start, report = monotonic(), DrainReport(left=total)
    try:
        while True:
            _draw(terminal, report, total)
            left = None if deadline is None else max(0.0, deadline - (monotonic() - start))
            step = sender.drain(deadline=left, limit=_EVENTS_PER_STEP)
            report = _sum(report, step)
            if step.stopped != "limit":
                return report
    finally:
        _draw(terminal, report, total)
        terminal.write("\n")


def _sum(one: DrainReport, next_one: DrainReport) -> DrainReport:
    return evolve(
        next_one,
        counted=one.counted + next_one.counted,
        refused=one.refused + next_one.refused,
        retried=one.retried + next_one.retried,
        requests=one.requests + next_one.requests,
    )


def _draw(terminal: TextIO, report: DrainReport, total: int) -> None:
    terminal.write(f"\r{bar(report.counted + report.refused, report.counted + report.refused + report.left or total)}")
    terminal.flush()


def bar(done: int, total: int) -> str:
    """Return a progress bar.

    Example:
        >>> bar(250, 1_000)
        '[#######                       ] 250 of 1,000'
        >>> bar(0, 0)
        '[##############################] 0 of 0'
    """
    filled = _WIDTH * done // total if total else _WIDTH
    return f"[{'#' * filled}{' ' * (_WIDTH - filled)}] {done:,} of {total:,}"
