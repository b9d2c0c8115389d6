"""The output of the commands about an outbox, for people and for programs."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import attrs

from chatarmin_os._table import table
from chatarmin_os.errors import ApiError, ChatarminError
from chatarmin_os.outbox.records import OLD_SECONDS, DeadEvent, DrainReport, OutboxStats

_REFUSED, _OUTAGE, _DEAD, _INTERRUPTED = 1, 3, 4, 130
_UNITS = (("d", 86_400), ("h", 3600), ("min", 60))
_STOPPED = {
    "empty": "nothing more can be sent now",
    "deadline": "the deadline has passed",
    "limit": "the limit is reached",
    "unauthorized": "all events are kept, because the service refused the key or has no such procedure",
    "outage": "the service does not answer; all events are kept, drain again later",
}


_LATER = "after a failure, until the organisation is linked, or while another sender has them"


class Answer(NamedTuple):
    """The answer of a command.

    Attributes:
        lines: The output for people.
        document: The output for programs.
        code: The exit code.
        refusal: The error that ended a drain, about which a command line may have advice.
    """

    lines: list[str]
    document: dict[str, Any]
    code: int
    refusal: ChatarminError | None = None


def of_stats(stats: OutboxStats) -> Answer:
    r"""Return the content of an outbox; the code is 4 if events are dead.

    Example:
        >>> stats = OutboxStats(ready=3, leased=0, dead=1, dead_quantity={"CONFLICT": 5}, oldest_age=90, bytes=40_960)
        >>> print("\n".join(of_stats(stats).lines))
        ready  leased  dead  oldest  size
        -----  ------  ----  ------  ------
            3       0     1  1 min   40 KiB
        <BLANKLINE>
        reason of death  quantity
        ---------------  --------
        CONFLICT                5
        <BLANKLINE>
        `dead` lists the dead events; `revive` sends them again, `discard` removes them.
        >>> of_stats(stats).code
        4
    """
    counts = {"ready": stats.ready, "leased": stats.leased, "dead": stats.dead}
    lines = table([{**counts, "oldest": age(stats.oldest_age), "size": _size(stats.bytes)}])
    if stats.dead_quantity:
        reasons = [{"reason of death": reason, "quantity": count} for reason, count in stats.dead_quantity.items()]
        lines += ["", *table(reasons)]
        lines += ["", "`dead` lists the dead events; `revive` sends them again, `discard` removes them."]
    if stats.oldest_age is not None and stats.oldest_age > OLD_SECONDS:
        lines += ["", "Usage waits for more than an hour: check that a sender runs, and that the service answers."]
    return Answer(lines, _document(stats), exit_code(stats))


def of_dead(events: Sequence[DeadEvent], stats: OutboxStats) -> Answer:
    """Return dead events; *stats* says how many there are."""
    lines = table([_row(event) for event in events]) if events else ["No events are dead."]
    if len(events) < stats.dead:
        lines.append(f"{stats.dead - len(events):,} more; pass --limit {stats.dead}.")
    return Answer(lines, {"dead": [_document(event) for event in events]}, exit_code(stats))


def of_drain(
    report: DrainReport, stats: OutboxStats, refusal: ChatarminError | None = None, received: int | None = None
) -> Answer:
    r"""Return the result of a drain; the code is 1 if the key was refused, 3 in an outage, 4 if events are dead.

    Args:
        report: The result.
        stats: The content of the outbox.
        refusal: The error with which the service refused the key.
        received: The signal that ended it; after Ctrl-C the code is 130.

    Example:
        >>> stats = OutboxStats(ready=0, leased=0, dead=0, dead_quantity={}, oldest_age=None, bytes=None)
        >>> print("\n".join(of_drain(DrainReport(counted=120, requests=3), stats).lines))
        counted  refused  retried  left  requests
        -------  -------  -------  ----  --------
            120        0        0     0         3
        Stopped: nothing more can be sent now.
    """
    document = _document(report)
    row = {name: value for name, value in document.items() if name != "stopped"}
    reason = _STOPPED[report.stopped]
    if received is not None and report.stopped == "deadline":
        reason = f"by {signal.Signals(received).name}"
    lines = [*table([row]), f"Stopped: {reason}{f': {_without_advice(refusal)}' if refusal else '.'}"]
    if report.refused:
        lines.append("`dead` lists the refused events.")
    if report.left and report.stopped == "empty":
        lines.append(f"{_events(report.left)} left for later, {_LATER}.")
    code = _INTERRUPTED if received == signal.SIGINT else exit_code(stats, report.stopped)
    return Answer(lines, document, code, refusal)


def _without_advice(error: ChatarminError) -> str:
    """Return the text of an error without the names of Python's arguments: a command line has its own.

    Example:
        >>> _without_advice(ApiError.from_code("NOT_FOUND", 'No procedure found on path "a.b"'))
        "NOT_FOUND: the service has no procedure 'a.b'"
        >>> _without_advice(ChatarminError("the key was refused"))
        'the key was refused'
    """
    return error._text(error._reason()) if isinstance(error, ApiError) else str(error)  # noqa: SLF001 - our error


def of_revived(count: int, keys: Sequence[str], stats: OutboxStats) -> Answer:
    """Return how many events were revived."""
    lines = [f"{_events(count)} will be sent again.", *_missing(count, keys)]
    return Answer(lines, {"revived": count}, exit_code(stats))


def of_discarded(count: int, keys: Sequence[str], stats: OutboxStats) -> Answer:
    """Return how many events were discarded."""
    return Answer([f"{_events(count)} discarded.", *_missing(count, keys)], {"discarded": count}, exit_code(stats))


def exit_code(stats: OutboxStats, stopped: str = "") -> int:
    """Return the first exit code that applies: 1 unauthorized, 3 outage, 4 events are dead, 0."""
    return {"unauthorized": _REFUSED, "outage": _OUTAGE}.get(stopped, _DEAD if stats.dead else 0)


def _missing(count: int, keys: Sequence[str]) -> list[str]:
    missing = len(set(keys)) - count
    return [f"{_events(missing)} not found among the dead ones; `dead` lists these."] if missing > 0 else []


def _events(count: int) -> str:
    return f"{count:,} event{'' if count == 1 else 's'}"


def _row(event: DeadEvent) -> dict[str, Any]:
    return {
        "key": event.key,
        "organisation": event.external_org_id,
        "company": event.company_id,
        "feature": event.feature_code,
        "quantity": event.quantity,
        "created_at": event.created_at,
        "attempts": event.attempts,
        "reason": event.reason,
        "error": event.error,
    }


def _document(record: Any) -> dict[str, Any]:
    values = {field.name: getattr(record, field.name) for field in attrs.fields(type(record))}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}


def age(seconds: float | None) -> str | None:
    """Return seconds as text in one unit.

    Example:
        >>> age(5.2), age(3599), age(7300), age(172_800), age(None)
        ('5 s', '59 min', '2 h', '2 d', None)
    """
    if seconds is None:
        return None
    for unit, length in _UNITS:
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _size(count: int | None) -> str | None:
    """Return bytes as text.

    Example:
        >>> _size(40_960), _size(268_435_456), _size(None)
        ('40 KiB', '256.0 MiB', None)
    """
    if count is None:
        return None
    return f"{count / 2**10:.0f} KiB" if count < 2**20 else f"{count / 2**20:.1f} MiB"
