"""Companies, and linking them by hints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chatarmin_os.drift.assumptions.criterion import exercised_by
from chatarmin_os.drift.reading import number, objects, text
from chatarmin_os.fake.rules.addresses import domain, is_free_mail
from chatarmin_os.fake.rules.matching import DEFAULT_MIN_CONFIDENCE, EMAIL_DOMAIN, EQUAL_NAME

if TYPE_CHECKING:
    from chatarmin_os.drift.assumptions.context import Context


@exercised_by(
    "company-fields", "companies.create", "companies.getByProductLink", "companies.update", shows="domain createdAt"
)
def _company_fields(call: Context) -> object:
    return call.answer


@exercised_by("company-short-id", "companies.create", shows="shortId")
def _company_short_id(call: Context) -> object:
    return call.answer


@exercised_by("company-domain", "companies.create", shows="domain")
def _company_domain(call: Context) -> object:
    domain = text(call.answer.get("domain"))
    return domain and domain != call.given.get("domain")


@exercised_by("company-created-at", "companies.create", "companies.update", shows="createdAt")
def _company_created_at(call: Context) -> object:
    return call.answer and "createdAt" in call.given


@exercised_by("company-linked-already", "companies.create")
def _company_linked_already(call: Context) -> object:
    return call.linked and call.code == "CONFLICT"


@exercised_by("company-duplicate", "companies.create")
def _company_duplicate(call: Context) -> object:
    return call.knows_domain and not call.linked


@exercised_by("company-contact", "contacts.list", shows="$ email name isPrimary")
def _company_contact(call: Context) -> object:
    return call.last("companies.create") > call.last("contacts.create", "contacts.bulkUpsert") and call.outcome.get(
        "answer"
    )


@exercised_by("company-update", "companies.update", shows="$ id shortId name domain createdAt")
def _company_update(call: Context) -> object:
    return call.answer


@exercised_by("link-already", "companies.smartLink", shows="status companyId customerName confidence")
def _link_already(call: Context) -> object:
    return call.linked and call.answer


@exercised_by("link-free-mail", "companies.smartLink", shows="status companyId suggestions")
def _link_free_mail(call: Context) -> object:
    emails = call.hints.get("emails")
    given = [
        call.hints.get("domain"),
        *(str(one).rpartition("@")[2] for one in (emails if isinstance(emails, list) else ())),
    ]
    return call.answer and not call.linked and any(is_free_mail(domain(text(one) or "") or "") for one in given)


@exercised_by("link-no-hint", "companies.smartLink", shows="status")
def _link_no_hint(call: Context) -> object:
    return call.answer and not call.linked and not call.hints


@exercised_by("link-equal-name", "companies.smartLink", shows="status companyId confidence")
def _link_equal_name(call: Context) -> object:
    return call.answer.get("status") == "linked" and number(call.answer.get("confidence")) == EQUAL_NAME


@exercised_by("link-similar-name", "companies.smartLink", shows="status suggestions companyId confidence reason")
def _link_similar_name(call: Context) -> object:
    return any(
        row.get("reason") == "name" and number(row.get("confidence")) != EQUAL_NAME
        for row in objects(call.answer.get("suggestions"))
    )


@exercised_by("link-email-domain", "companies.smartLink", shows="status suggestions companyId confidence reason")
def _link_email_domain(call: Context) -> object:
    return EMAIL_DOMAIN in [number(row.get("confidence")) for row in _matches(call)]


@exercised_by("link-exact-confidence", "companies.smartLink", shows="status companyId suggestions")
def _link_exact_confidence(call: Context) -> object:
    minimum = call.given.get("minConfidence", DEFAULT_MIN_CONFIDENCE)
    confidences = (number(row.get("confidence")) for row in _matches(call))
    return any(confidence is not None and confidence / 100 == minimum for confidence in confidences)


@exercised_by("link-suggestions", "companies.smartLink", shows="status suggestions companyId confidence reason")
def _link_suggestions(call: Context) -> object:
    return call.answer.get("status") == "suggestions"


@exercised_by("link-result", "companies.smartLink", shows="suggestions companyId customerName confidence")
def _link_result(call: Context) -> object:
    return call.answer


@exercised_by("link-min-confidence", "companies.smartLink")
def _link_min_confidence(call: Context) -> object:
    minimum = call.given.get("minConfidence")
    return isinstance(minimum, (int, float)) and not 0 <= minimum <= 1


def _matches(call: Context) -> list[dict[str, Any]]:
    """Return the company that is linked, and those that are suggested."""
    return [call.answer, *objects(call.answer.get("suggestions"))]
