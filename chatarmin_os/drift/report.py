"""What a check has found, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from textwrap import wrap
from typing import Any, NamedTuple

from chatarmin_os._json import JSON, timestamp_text
from chatarmin_os._messages import printable
from chatarmin_os._table import table
from chatarmin_os.drift.assumptions import RULES
from chatarmin_os.drift.check import Checked
from chatarmin_os.drift.compare import Difference, told
from chatarmin_os.recording.file import FIRST_CALL

_MOST_LINES = 6
_WIDTH = 100


class RuleReport(NamedTuple):
    """A decided rule, and where the recording confirms and contradicts it: (file, line) pairs."""

    name: str
    text: str
    confirmed: list[tuple[str, int]]
    contradicted: list[tuple[str, int]]

    @property
    def verdict(self) -> str:
        """Either of contradicted, confirmed and untouched; one contradiction is enough."""
        return "contradicted" if self.contradicted else "confirmed" if self.confirmed else "untouched"


class Report(NamedTuple):
    """What a check of a recording has found; as text it is the table of what differs.

    Attributes:
        path: The recording.
        source: From where it was recorded.
        recorded_at: When.
        against: What the calls were made against now.
        calls: Each recorded call, with what came of it now and where that differs.
        judged: The calls whose verdicts about the decided rules count.
    """

    path: str
    source: str | None
    recorded_at: datetime | None
    against: str
    calls: list[Checked]
    judged: list[Checked]

    @property
    def drifted(self) -> list[tuple[int, Checked]]:
        """The calls that came to something else, each with its line in the file."""
        return [(line, call) for line, call in enumerate(self.calls, start=FIRST_CALL) if call.differences]

    @property
    def is_drift(self) -> bool:
        """Whether anything differs."""
        return bool(self.drifted)

    @property
    def rules(self) -> list[RuleReport]:
        """Every decided rule, with the calls that confirm and contradict it."""
        return rules_of([self])

    def __str__(self) -> str:
        drifted, count = self.drifted, len(self.calls)
        when = f"recorded {self.recorded_at:%Y-%m-%d %H:%M} UTC" if self.recorded_at else "recorded"
        lines = [
            printable(f"{self.path}: {_counted(count, 'call')}, {when} from {self.source}; now from {self.against}")
        ]
        lines += table(list(_rows(drifted)), indent="  ") if drifted else []
        unanswered = sum(call.now is None for call in self.calls)
        skipped = f"; {_counted(unanswered, 'call')} that the service did not answer not compared" if unanswered else ""
        lines.append(f"{len(drifted)} of {_counted(count, 'call')} drifted{skipped}.")
        return "\n".join(lines)

    def as_json(self) -> dict[str, JSON]:
        """Return it for programs."""
        return {
            "path": self.path,
            "source": self.source,
            "recorded_at": self.recorded_at and timestamp_text(self.recorded_at),
            "against": self.against,
            "is_drift": self.is_drift,
            "calls": [
                {
                    "line": line,
                    "path": call.recorded.path,
                    "recorded": told(call.recorded.came),
                    "now": call.now and told(call.now.came),
                    "differences": [difference._asdict() for difference in call.differences],
                }
                for line, call in enumerate(self.calls, start=FIRST_CALL)
            ],
        }


def rules_as_json(reports: Iterable[Report]) -> list[dict[str, JSON]]:
    """Return what recordings say of the decided rules, for programs."""
    return [
        {
            "name": rule.name,
            "text": rule.text,
            "verdict": rule.verdict,
            "confirmed": [{"path": path, "line": line} for path, line in rule.confirmed],
            "contradicted": [{"path": path, "line": line} for path, line in rule.contradicted],
        }
        for rule in rules_of(reports)
    ]


def rules_of(reports: Iterable[Report]) -> list[RuleReport]:
    """Return every decided rule, with what some recordings say of it."""
    found = {rule.name: RuleReport(rule.name, rule.text, [], []) for rule in RULES}
    for report in reports:
        for line, call in enumerate(report.judged, start=FIRST_CALL):
            for rule, is_so in call.verdicts.items():
                lines = found[rule.name].confirmed if is_so else found[rule.name].contradicted
                lines.append((report.path, line))
    return list(found.values())


def rules_text(reports: Iterable[Report]) -> str:
    """Return what recordings say of the decided rules, the contradicted ones first."""
    rules: dict[str, list[RuleReport]] = {"contradicted": [], "confirmed": [], "untouched": []}
    for rule in rules_of(reports):
        rules[rule.verdict].append(rule)
    lines = []
    for verdict, of_it in rules.items():
        lines.append(f"Decided rules {verdict}: {len(of_it)}")
        if verdict == "untouched":
            names = ", ".join(rule.name for rule in of_it)
            lines += wrap(names, _WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
        elif of_it:
            rows = [{"rule": rule.name, "what_it_says": rule.text, "seen": _where(rule)} for rule in of_it]
            lines += table(rows, indent="  ")
    return "\n".join(lines)


def _where(rule: RuleReport) -> str:
    (path, line), *others = rule.contradicted or rule.confirmed
    return f"{path}:{line}{f' and {len(others)} more' if others else ''}"


def _rows(drifted: list[tuple[int, Checked]]) -> Iterable[dict[str, Any]]:
    """Yield a row for each difference; the same one of many calls has one row, and shows the first."""
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
    more = f" and {len(lines) - _MOST_LINES} more" if len(lines) > _MOST_LINES else ""
    return ", ".join(map(str, lines[:_MOST_LINES])) + more


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
