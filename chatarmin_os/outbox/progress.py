"""The drains of a command, one or many, with a progress bar on a terminal."""

from __future__ import annotations

import logging
import threading
from functools import partial
from typing import TextIO

from attrs import evolve

from chatarmin_os._clock import monotonic
from chatarmin_os.errors import ChatarminError
from chatarmin_os.outbox.base import Outbox
from chatarmin_os.outbox.records import DrainReport
from chatarmin_os.outbox.sender import Sender
from chatarmin_os.outbox.signals import Stop

_log = logging.getLogger("chatarmin_os")

_EVENTS_PER_STEP = 500  # between two drawings of the bar
_WIDTH = 30
_ERASE_LINE = "\x1b[K"


def deliver(
    sender: Sender,
    outbox: Outbox,
    stop: threading.Event | Stop,
    *,
    follow: bool = False,
    deadline: float | None = None,
    poll: float = 1.0,
    terminal: TextIO | None = None,
) -> tuple[DrainReport, ChatarminError | None]:
    """Drain, or with *follow* again and again, until *stop* is set or the deadline has passed.

    Args:
        sender: The sender.
        outbox: Its outbox.
        stop: Ends it, after the request under way; as the deadline does.
        follow: Whether to go on once nothing more can be sent; only a refused key ends it then.
        deadline: Seconds from now after which nothing more is sent.
        poll: Seconds to wait when nothing can be sent.
        terminal: Where to draw a bar.

    Returns:
        The sum of all drains, and the error with which the service refused the key.

    Raises:
        OutboxUnavailable: The outbox cannot be read or written; with *follow* it is logged.
    """
    end = None if deadline is None else monotonic() + deadline
    report, is_outage = DrainReport(left=outbox._waiting()[0]), False
    limit = None if terminal is None else _EVENTS_PER_STEP
    draw = partial(_draw, terminal)
    draw(report)
    try:
        while True:
            left = None if end is None else max(0.0, end - monotonic())
            drain = sender._drain_or_log if follow else sender._drain
            done = drain(stop.is_set, deadline=left, limit=limit)
            if done is None:
                is_over = stop.is_set() or left == 0
                done = DrainReport(left=report.left, stopped="deadline" if is_over else "empty"), None
            step, refusal = done
            report = _sum(report, step)
            if step.stopped == "outage" and follow and not is_outage:
                _log.warning("the service does not answer; the outbox keeps all events, and the sender goes on")
            # A drain that finds nothing to send yet asks nothing: only an answer ends an outage.
            is_outage = step.stopped == "outage" or (is_outage and not step.counted + step.refused)
            draw(report, is_outage=is_outage)
            if step.stopped == "limit":
                continue
            if not follow or step.stopped in {"deadline", "unauthorized"}:
                return report, refusal
            stop.wait(poll if end is None else max(0.0, min(poll, end - monotonic())))
    finally:
        draw(report, is_outage=is_outage, end="\n")


def _sum(one: DrainReport, next_one: DrainReport) -> DrainReport:
    return evolve(
        next_one,
        counted=one.counted + next_one.counted,
        refused=one.refused + next_one.refused,
        retried=one.retried + next_one.retried,
        requests=one.requests + next_one.requests,
    )


def _draw(terminal: TextIO | None, report: DrainReport, *, is_outage: bool = False, end: str = "\r") -> None:
    """Draw the bar, and leave the cursor at its start: a line of the log replaces it."""
    if terminal is not None:
        terminal.write(f"{_ERASE_LINE}{bar(report, is_outage=is_outage)}{end}")
        terminal.flush()


def bar(report: DrainReport, *, is_outage: bool = False) -> str:
    """Return a progress bar.

    Example:
        >>> bar(DrainReport(counted=240, refused=10, left=750))
        '[#######                       ] 250 of 1,000'
        >>> bar(DrainReport())
        '[##############################] 0 of 0'
        >>> bar(DrainReport(left=3), is_outage=True)
        '[                              ] 0 of 3, the service does not answer'
    """
    done = report.counted + report.refused
    total = done + report.left
    filled = _WIDTH * done // total if total else _WIDTH
    state = ", the service does not answer" if is_outage else ""
    return f"[{'#' * filled}{' ' * (_WIDTH - filled)}] {done:,} of {total:,}{state}"
