"""Which fields of an answer a check cannot know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os.drift._reading import company_of, mapping, number, objects, text, tier_applied
from chatarmin_os.fake.rules.matching import EQUAL_NAME

if TYPE_CHECKING:
    from chatarmin_os.drift._facts import Facts
    from chatarmin_os.recording.file import Recorded


def unknown_fields(facts: Facts, recorded: Recorded, *, is_redacted: bool) -> frozenset[str]:
    """Return the fields of an answer that hang on what no call has shown, or on what was redacted."""
    tier, company = tier_applied(recorded), company_of(recorded)
    fields = _redacted(recorded) if is_redacted else frozenset()
    if recorded.path == "billing.getStatus" and company and not facts.knows_every_access(company):
        fields |= {"enabledFeaturesCount"}
    if recorded.path == "links.reset" and mapping(recorded.input).get("deleteContacts"):
        fields |= {"contactsDeleted"}
    return fields | {"featuresApplied"} if tier and tier not in facts.catalogue.complete else fields


def _redacted(recorded: Recorded) -> frozenset[str]:
    """Return the fields of an answer that do not follow any more once names and metadata are redacted."""
    if recorded.path.startswith("contacts."):
        return frozenset({"metadata"})  # as a whole it shows nothing of what was merged
    if recorded.path == "onboard" and not text(mapping(mapping(recorded.input).get("hints")).get("companyName")):
        return frozenset({"companyName"})  # it may be another text, redacted as a name
    if recorded.path == "companies.smartLink" and _is_by_similar_names(recorded):
        return frozenset(mapping(recorded.came["answer"]))
    return frozenset()


def _is_by_similar_names(recorded: Recorded) -> bool:
    suggestions = objects(mapping(recorded.came.get("answer")).get("suggestions"))
    return any(row.get("reason") == "name" and number(row.get("confidence")) != EQUAL_NAME for row in suggestions)
