"""The fields of answers that the fake cannot reproduce once personal data is redacted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os.drift.reading import mapping, number, objects, text
from chatarmin_os.fake.rules.matching import EQUAL_NAME

if TYPE_CHECKING:
    from chatarmin_os.recording.line import RecordedCall


def redacted_fields(recorded: RecordedCall) -> frozenset[str]:
    """Return the fields of an answer that depend on redacted names and metadata."""
    if recorded.path.startswith("contacts."):
        return frozenset({"metadata"})  # redacted as one value, it does not show how it was merged
    if recorded.path == "onboard" and not text(mapping(mapping(recorded.input).get("hints")).get("companyName")):
        return frozenset({"companyName"})  # it may come from another text, which was not redacted as a name
    if recorded.path == "companies.smartLink" and _is_by_similar_names(recorded):
        return frozenset(mapping(recorded.outcome["answer"]))
    return frozenset()


def _is_by_similar_names(recorded: RecordedCall) -> bool:
    suggestions = objects(mapping(recorded.outcome.get("answer")).get("suggestions"))
    return any(row.get("reason") == "name" and number(row.get("confidence")) != EQUAL_NAME for row in suggestions)
