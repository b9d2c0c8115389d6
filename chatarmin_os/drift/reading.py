"""Values of recorded calls, read without trust: a service may send other answers than this version expects."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from chatarmin_os._values import number_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chatarmin_os._json import JSON
    from chatarmin_os.recording.line import RecordedCall


class ObservedAccess(NamedTuple):
    """An access that an answer shows; either company or organisation may be unknown."""

    company: str | None
    org: str | None
    feature: str
    access: dict[str, Any]


def observed_accesses(recorded: RecordedCall) -> Iterator[ObservedAccess]:
    """Yield the accesses that the answer to a call shows."""
    if not recorded.path.startswith("features."):
        return
    given, answer = mapping(recorded.input), recorded.outcome.get("answer")
    company, org = text(given.get("companyId")), text(given.get("externalOrgId"))
    if isinstance(answer, dict) and "features" in answer:
        company, answer = text(answer.get("companyId")), answer["features"]
    for access in objects(answer if isinstance(answer, list) else [answer]):
        if code := text(access.get("featureCode")) or text(given.get("featureCode")):
            yield ObservedAccess(company, org, code, access)


def refusal(recorded: RecordedCall) -> str | None:
    """Return the code of a refusal."""
    return mapping(recorded.outcome.get("error")).get("code")


def mapping(value: JSON) -> dict[str, Any]:
    """Return *value* if it is an object, else an empty object."""
    return value if isinstance(value, dict) else {}


def objects(value: JSON) -> list[dict[str, Any]]:
    """Return the objects of a list; an empty list for any other value."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(value: JSON) -> str | None:
    """Return *value* if it is text that is not blank, else None."""
    return value if isinstance(value, str) and value.strip() else None


def number(value: JSON) -> int | float | None:
    """Return *value* if it is a number of at least 0, or the text of one, as the client reads it; else None."""
    if isinstance(value, str):
        value = number_of(value)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number and 0 <= value <= sys.float_info.max else None
