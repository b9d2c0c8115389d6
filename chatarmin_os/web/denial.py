"""A denial over HTTP: its status, its headers, and whether its body is JSON or a page.

Each framework renders the page with its own template engine, so that a project can override it; `TEMPLATES` is the
folder of the default.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from attrs import frozen

from chatarmin_os.gate import Decision

TEMPLATE = "chatarmin_os/denied.html"
"""The name of the page, which a project overrides."""

TEMPLATES = Path(__file__).parents[1] / "integrations" / "django" / "templates"
"""The folder with the default page, in the syntax that Django and Jinja have in common.

Django finds the templates of an app in the app's own folder only; any other framework takes any folder.
"""

_STATUSES = {"limit_reached": 402, "outage": 503}
_OTHER_STATUS = 403
_WAIT_SECONDS, _MAX_WAIT_SECONDS = 30, 300


@frozen
class Denial:
    """The response to a request whose feature was denied.

    Attributes:
        status: 402, 403 or 503.
        headers: `Vary`, and `Retry-After` in an outage.
        body: The JSON body; it contains no id of the service, no key and no text of an error.
        is_page: Whether the page is the better response to the request.
        context: The variables of the page: `decision`, `feature`, `reason`.
    """

    status: int
    headers: dict[str, str]
    body: dict[str, Any]
    is_page: bool
    context: dict[str, Any]


def denial_of(decision: Decision, accept: str | None) -> Denial:
    """Return the response to a request with this `Accept` header (None: no header)."""
    access = decision.access
    headers = {"Vary": "Accept"}
    if decision.reason == "outage":
        headers["Retry-After"] = str(_wait_seconds(decision.error))
    return Denial(
        status=_STATUSES.get(decision.reason, _OTHER_STATUS),
        headers=headers,
        body={
            "error": "feature_denied",
            "feature": decision.feature_code,
            "reason": decision.reason,
            "limit": None if access is None else access.quantity_limit,
            "current_usage": None if access is None else access.current_usage,
        },
        is_page=prefers_page(accept),
        context={"decision": decision, "feature": decision.feature_code, "reason": decision.reason},
    )


def _wait_seconds(error: object) -> int:
    """Return whole seconds after which a request may succeed: those that the service named, if it did."""
    seconds = getattr(error, "retry_after", None)
    return _WAIT_SECONDS if seconds is None else math.ceil(min(max(1, seconds), _MAX_WAIT_SECONDS))


def prefers_page(accept: str | None) -> bool:
    """Return whether a request prefers a page to JSON.

    JSON needs the higher rank; of equal ranks the more specific one wins. `*/*` alone, or no header, means JSON.

    Example:
        >>> prefers_page("text/html,application/xml;q=0.9,*/*;q=0.8"), prefers_page("application/json, */*")
        (True, False)
        >>> prefers_page("*/*"), prefers_page(None), prefers_page("text/html;q=0.1, application/json;q=0")
        (False, False, True)
    """
    ranges = list(_ranges(accept or ""))
    if all(one.type == "*/*" for one in ranges):
        return False
    return _rank(ranges, "application/json") <= _rank(ranges, "text/html")


class _Range(NamedTuple):
    """A media range of an `Accept` header."""

    type: str
    has_parameters: bool
    quality: float


_QUOTED = r'"(?:[^"\\]|\\.)*"'
_ELEMENT = re.compile(rf"(?:[^,\"]|{_QUOTED}|\")+")
_PARAMETER = re.compile(rf";\s*([^\s;=\"]+)\s*=\s*((?:[^;\"]|{_QUOTED}|\")*)")
_MAX_ACCEPT_LENGTH = 2_000
_QUALITY = re.compile(r"[0-9]{0,9}(?:\.[0-9]{0,9})?")


def _ranges(accept: str) -> Iterator[_Range]:
    """Yield the media ranges of a header; skip those that are invalid."""
    for element in _ELEMENT.findall(accept[:_MAX_ACCEPT_LENGTH]):
        name, _, _ = element.partition(";")
        kind = name.strip().lower()
        parameters = {key.lower(): value.strip() for key, value in _PARAMETER.findall(element)}
        quality = parameters.pop("q", "1")
        if _QUALITY.fullmatch(quality) and quality.strip("."):
            # Java writes "*" for "*/*".
            yield _Range("*/*" if kind == "*" else kind, bool(parameters), min(float(quality), 1.0))


def _rank(ranges: list[_Range], kind: str) -> tuple[float, int]:
    """Return the quality of a media type, and how specific the range is that names it.

    A type that no range names ranks above one that is refused, `q=0`. Parameters are not compared.
    """
    specificity = {"*/*": 1, f"{kind.partition('/')[0]}/*": 2, kind: 3}
    found = [
        (specificity[one.type] + one.has_parameters * (one.type == kind), one.quality)
        for one in ranges
        if one.type in specificity
    ]
    if not found:
        return 0.0, 0
    specific, quality = max(found)
    return (quality, specific) if quality else (-1.0, 0)
