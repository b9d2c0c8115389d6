"""The report of a check, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from textwrap import wrap
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from chatarmin_os._json import JSON, timestamp_text
from chatarmin_os._messages import printable
from chatarmin_os._table import table
from chatarmin_os.drift.check import Checked
from chatarmin_os.drift.compare import Difference, summary
from chatarmin_os.fake import FakeTransport
from chatarmin_os.fake.rules.assumptions import ASSUMPTIONS

_MAX_LINES = 6
_MAX_FACTS = 3
_WIDTH = 100
_NOT_EXERCISED = "untouched"  # the word of JSON documents since 0.1.0; texts say "not exercised"


class AssumptionReport(NamedTuple):
    """An assumption, and the calls that confirm and contradict it, as pairs of file and line.

    Attributes:
        name: Its name.
        text: The assumption as a sentence.
        confirmed: The calls that confirm it.
        contradicted: The calls that contradict it.

    Example:
        >>> AssumptionReport("a-name", "A sentence.", [("calls.jsonl", 2)], [("calls.jsonl", 7)]).verdict
        'contradicted'
    """

    name: str
    text: str
    confirmed: list[tuple[str, int]]
    contradicted: list[tuple[str, int]]

    @property
    def verdict(self) -> str:
        """One of contradicted, confirmed and untouched (not exercised); one contradiction is enough."""
        return "contradicted" if self.contradicted else "confirmed" if self.confirmed else _NOT_EXERCISED


class Report(NamedTuple):
    """The result of checking a recording; `str()` is a table of the differences.

    Attributes:
        path: The recording.
        source: The service that it was recorded from.
        recorded_at: The time of the recording.
        against: The service, or the fake, that answered the repeated calls.
        calls: Each recorded call, with its current outcome and the differences.
        judged: The calls whose verdicts on the assumptions count.

    Example:
        >>> report = Report("calls.jsonl", "https://os.example.com", None, "the fake", [], [])
        >>> print(report)
        calls.jsonl: 0 calls, recorded from https://os.example.com; now from the fake
        0 of 0 calls drifted.
        >>> report.is_drift, report.as_json()["against"]
        (False, 'the fake')
    """

    path: str
    source: str | None
    recorded_at: datetime | None
    against: str
    calls: list[Checked]
    judged: list[Checked]

    @property
    def drifted(self) -> list[tuple[int, Checked]]:
        """The calls with a difference, each with its line in the file."""
        return [(call.recorded.line, call) for call in self.calls if call.differences]

    @property
    def is_drift(self) -> bool:
        """Whether any call differs."""
        return bool(self.drifted)

    @property
    def assumptions(self) -> list[AssumptionReport]:
        """Every observable assumption, with the calls that confirm and contradict it."""
        return assumptions_of([self])

    @property
    def rules(self) -> list[AssumptionReport]:
        """The assumptions, by the name of version 0.1.0."""
        return self.assumptions

    def __str__(self) -> str:
        drifted, count = self.drifted, len(self.calls)
        when = f"recorded {self.recorded_at:%Y-%m-%d %H:%M} UTC" if self.recorded_at else "recorded"
        lines = [
            printable(f"{self.path}: {_counted(count, 'call')}, {when} from {self.source}; now from {self.against}")
        ]
        lines += table(list(_rows(drifted)), indent="  ") if drifted else []
        unanswered = sum(call.now is None and call.unknown is None for call in self.calls)
        skipped = f"; {_counted(unanswered, 'call')} without an answer not compared" if unanswered else ""
        lines.append(f"{len(drifted)} of {_counted(count, 'call')} drifted{skipped}.")
        lines += self._unknown()
        if _is_the_fake(self.source):
            lines.append("Recorded from the fake: it confirms nothing about the service.")
        return "\n".join(lines)

    def _unknown(self) -> list[str]:
        """Return a line about the calls that were not checked, with the reason; an empty list if all were."""
        unknown = [call for call in self.calls if call.unknown]
        if not unknown:
            return []
        lines, facts = _lines([call.recorded.line for call in unknown]), dict.fromkeys(call.unknown for call in unknown)
        missing = ", ".join(list(map(str, facts))[:_MAX_FACTS]) + (", ..." if len(facts) > _MAX_FACTS else "")
        count = _counted(len(unknown), "call")
        return [printable(f"{count} not checked (line {lines}), because the recording does not show {missing}.")]

    def as_json(self) -> dict[str, JSON]:
        """Return the report as a JSON document.

        Example:
            >>> report = Report("calls.jsonl", None, None, "the fake", [], [])
            >>> report.as_json()["is_drift"]
            False
        """
        return {
            "path": self.path,
            "source": self.source,
            "recorded_at": self.recorded_at and timestamp_text(self.recorded_at),
            "against": self.against,
            "is_drift": self.is_drift,
            "calls": [
                {
                    "line": call.recorded.line,
                    "path": call.recorded.path,
                    "recorded": summary(call.recorded.outcome),
                    "now": call.now and summary(call.now.outcome),
                    "unknown": call.unknown,
                    "differences": [difference._asdict() for difference in call.differences],
                }
                for call in self.calls
            ],
        }


def assumptions_of(reports: Iterable[Report]) -> list[AssumptionReport]:
    """Return every observable assumption, with the calls of some recordings that confirm and contradict it.

    Args:
        reports: The results of `check_recording`.

    Example:
        >>> {one.verdict for one in assumptions_of([])}
        {'untouched'}
    """
    found = {one.name: AssumptionReport(one.name, one.text, [], []) for one in ASSUMPTIONS if not one.unobservable}
    for report in reports:
        for call in report.judged:
            for name, is_confirmed in call.verdicts.items():
                places = found[name].confirmed if is_confirmed else found[name].contradicted
                places.append((report.path, call.recorded.line))
    return list(found.values())


def assumptions_as_json(reports: Iterable[Report]) -> list[dict[str, JSON]]:
    """Return the verdicts of some recordings on the assumptions, for a JSON document.

    Args:
        reports: The results of `check_recording`.

    Example:
        >>> sorted(assumptions_as_json([])[0])
        ['confirmed', 'contradicted', 'name', 'text', 'verdict']
    """
    return [
        {
            "name": one.name,
            "text": one.text,
            "verdict": one.verdict,
            "confirmed": [{"path": path, "line": line} for path, line in one.confirmed],
            "contradicted": [{"path": path, "line": line} for path, line in one.contradicted],
        }
        for one in assumptions_of(reports)
    ]


def assumptions_text(reports: Iterable[Report], *, is_verbose: bool = True) -> str:
    """Return the verdicts of some recordings on the assumptions, the contradicted ones first.

    Args:
        reports: The reports of the recordings.
        is_verbose: Whether to name the assumptions that no call exercises, rather than to count them.

    Example:
        >>> print(assumptions_text([], is_verbose=False))
        Assumptions contradicted: 0
        Assumptions confirmed: 0
        Assumptions not exercised: ...
        >>> "usage-at-limit" in assumptions_text([])
        True
    """
    by_verdict: dict[str, list[AssumptionReport]] = {"contradicted": [], "confirmed": [], _NOT_EXERCISED: []}
    for one in assumptions_of(reports):
        by_verdict[one.verdict].append(one)
    not_exercised = by_verdict.pop(_NOT_EXERCISED)
    lines = []
    for verdict, found in by_verdict.items():
        lines.append(f"Assumptions {verdict}: {len(found)}")
        width = max((len(one.name) for one in found), default=0)
        for one in found:
            lines += _wrapped(f"{one.text} ({_first_place(one)})", f"  {one.name:<{width}}  ")
    is_counted = not_exercised and not is_verbose
    lines.append(f"Assumptions not exercised: {len(not_exercised)}{' (--verbose names them)' if is_counted else ''}")
    if is_verbose:
        names = ", ".join(one.name for one in not_exercised)
        lines += wrap(names, _WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
    return "\n".join(lines)


def _wrapped(text: str, indent: str) -> list[str]:
    """Return the lines of a text next to a first column."""
    return wrap(
        printable(text),
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=" " * len(indent),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _is_the_fake(source: str | None) -> bool:
    """Return whether a recording is of the fake in this process, or of a service on this machine."""
    from chatarmin_os.transports.http.settings import is_loopback

    try:
        host = urlsplit(source or "").hostname
    except ValueError:
        host = None
    return source == FakeTransport.__name__ or is_loopback(host or "")


def _first_place(assumption: AssumptionReport) -> str:
    """Return the first call that gives the verdict, and how many others there are."""
    (path, line), *others = assumption.contradicted or assumption.confirmed
    return f"{path}:{line}{f' and {len(others)} more' if others else ''}"


def _rows(drifted: list[tuple[int, Checked]]) -> Iterable[dict[str, Any]]:
    """Yield a row for each difference; the same difference of several calls has one row, with the first values."""
    grouped: dict[tuple[str, str, str], list[tuple[int, Difference]]] = {}
    for line, call in drifted:
        for difference in call.differences:
            names = "".join(part.partition("[")[0] + "." for part in difference.place.split("."))
            grouped.setdefault((call.recorded.path, names, difference.kind), []).append((line, difference))
    for (path, _, kind), found in grouped.items():
        first = found[0][1]
        yield {
            "line": _lines(sorted({line for line, _ in found})),
            "call": path,
            "place": first.place or None,
            "differs_in": kind,
            "recorded": first.recorded,
            "now": first.now,
        }


def _lines(lines: list[int]) -> str:
    more = f" and {len(lines) - _MAX_LINES} more" if len(lines) > _MAX_LINES else ""
    return ", ".join(map(str, lines[:_MAX_LINES])) + more


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
