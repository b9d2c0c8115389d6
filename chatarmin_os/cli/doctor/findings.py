"""The findings of the doctor: their text for people, their document for programs, and no secret in either."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import quote

from chatarmin_os._messages import printable, redact_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Status = Literal["ok", "warning", "failure", "not checked"]

_STATUSES: tuple[Status, ...] = ("failure", "warning", "ok", "not checked")
_MIN_SECRET_LENGTH = 8  # shorter ones are found in words, and are no key of the service
_PASSWORD = re.compile(r"(?<=:)\S+(?=@)")  # of an address: user:password@host; a password may have @


class Finding(NamedTuple):
    """The result of a check.

    Attributes:
        status: Whether something is wrong.
        text: What was found.
        advice: What to do; blank if nothing has to be done.
        values: Numbers and texts for programs.
    """

    status: Status
    text: str
    advice: str = ""
    values: dict[str, Any] = {}  # noqa: RUF012 - never changed


def ok(text: str, **values: Any) -> Finding:
    """Return a finding of something that is right."""
    return Finding("ok", text, values=values)


def warning(text: str, advice: str, **values: Any) -> Finding:
    """Return a finding of something that may do harm."""
    return Finding("warning", text, advice, values)


def failure(text: str, advice: str, **values: Any) -> Finding:
    """Return a finding of something that does not work."""
    return Finding("failure", text, advice, values)


def unchecked(reason: str) -> Finding:
    """Return the finding of a check that was not made."""
    return Finding("not checked", reason)


class Line(NamedTuple):
    """A finding, and the check that it is of."""

    section: str
    check: str
    finding: Finding


class Secrets:
    """Removes keys and passwords from all that is shown.

    Example:
        >>> secrets = Secrets()
        >>> secrets.add('Bearer "os_sk_live_1"')
        >>> secrets.hide('not os_sk_live_1, not redis://:pass@host')
        'not [key], not redis:[password]@host'
    """

    def __init__(self) -> None:
        self._forms: set[str] = set()

    def add(self, text: str) -> None:
        """Hide a text from now on: the whole, each of its words, and both as URLs and JSON write them."""
        for part in (text, text.strip(), *re.split(r"[\s\"'`]+", text)):
            self._forms |= {part, quote(part, safe=""), json.dumps(part)[1:-1]}
        self._forms = {form for form in self._forms if len(form) >= _MIN_SECRET_LENGTH}

    def hide(self, text: str) -> str:
        """Return a text without secrets, on one line."""
        for form in sorted(self._forms, key=len, reverse=True):
            text = text.replace(form, "[key]")
        return printable(_PASSWORD.sub("[password]", redact_keys(text)))

    def hide_in(self, value: Any) -> Any:
        """Return JSON without secrets in its texts."""
        if isinstance(value, dict):
            return {name: self.hide_in(part) for name, part in value.items()}
        if isinstance(value, list):
            return [self.hide_in(part) for part in value]
        return self.hide(value) if isinstance(value, str) else value


def text_of(lines: Iterable[Line], hide: Callable[[str], str]) -> list[str]:
    """Return the findings by section, and a last line that sums them up."""
    lines, section = list(lines), ""
    shown: list[str] = []
    width = max(len(line.check) for line in lines)
    for line in lines:
        if line.section != section:
            section = line.section
            shown += [*([""] if shown else []), section]
        shown.append(f"  {line.finding.status:<11}  {line.check:<{width}}  {hide(line.finding.text)}")
        if line.finding.advice:
            shown.append(f"  {'':<11}  {'':<{width}}  -> {hide(line.finding.advice)}")
    return [*shown, "", summary(lines)]


def summary(lines: Iterable[Line]) -> str:
    """Return how many findings have each status.

    Example:
        >>> summary([Line("Network", "proxy", ok("none")), Line("Network", "DNS", failure("no such host", "check it"))])
        '1 failure, 0 warnings, 1 ok, 0 not checked'
    """
    counts = Counter(line.finding.status for line in lines)
    plural = {"failure": "failures", "warning": "warnings"}
    return ", ".join(
        f"{counts[status]} {status if counts[status] == 1 else plural.get(status, status)}" for status in _STATUSES
    )


def document_of(lines: Iterable[Line], secrets: Secrets) -> dict[str, Any]:
    """Return the findings as JSON."""
    lines = list(lines)
    counts = Counter(line.finding.status for line in lines)
    found = [
        {
            "section": line.section,
            "check": line.check,
            "status": line.finding.status,
            "text": secrets.hide(line.finding.text),
            "advice": secrets.hide(line.finding.advice) or None,
            "values": secrets.hide_in(line.finding.values),
        }
        for line in lines
    ]
    return {"findings": found, "counts": {status.replace(" ", "_"): counts[status] for status in _STATUSES}}
