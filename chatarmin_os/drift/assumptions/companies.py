"""Decided: companies, and linking them by hints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chatarmin_os.drift._reading import number, objects, text
from chatarmin_os.drift.assumptions.rule import SEEN, decided
from chatarmin_os.fake.rules.addresses import domain, is_free_mail
from chatarmin_os.fake.rules.matching import EMAIL_DOMAIN, EQUAL_NAME

if TYPE_CHECKING:
    from chatarmin_os.drift.assumptions.rule import Situation


@decided(
    "A company has domain and createdAt, null where they are unknown.",
    "companies.create",
    "companies.getByProductLink",
    "companies.update",
    shows="domain createdAt",
)
def _company_fields(it: Situation) -> object:
    return it.answer


@decided(
    "The shortId is the name in ASCII letters and digits, with one `-` for all between.",
    "companies.create",
    shows="shortId",
)
def _company_short_id(it: Situation) -> object:
    return it.answer


@decided(
    "Domains are kept in one form: lower case, ASCII, without scheme, www and path.", "companies.create", shows="domain"
)
def _company_domain(it: Situation) -> object:
    domain = text(it.answer.get("domain"))
    return domain and domain != it.given.get("domain")


@decided(
    "The createdAt that is given is kept, as an instant in UTC.",
    "companies.create",
    "companies.update",
    shows="createdAt",
)
def _company_created_at(it: Situation) -> object:
    return it.answer and "createdAt" in it.given


@decided("To create a company for a linked organisation is CONFLICT.", "companies.create")
def _company_linked_already(it: Situation) -> object:
    return it.linked and it.code == "CONFLICT"


@decided(
    "A contactEmail of companies.create becomes the primary contact.", "contacts.list", shows="$ email name isPrimary"
)
def _company_contact(it: Situation) -> object:
    return it.last("companies.create") > it.last("contacts.create", "contacts.bulkUpsert") and it.came.get("answer")


@decided(
    "The answer to companies.update is the company.", "companies.update", shows="$ id shortId name domain createdAt"
)
def _company_update(it: Situation) -> object:
    return it.answer


def _suggested(it: Situation) -> list[dict[str, Any]]:
    return objects(it.answer.get("suggestions"))


@decided(
    "A linked organisation is already_linked at 100, whatever the hints say.",
    "companies.smartLink",
    shows="status companyId customerName confidence",
)
def _link_already(it: Situation) -> object:
    return it.linked and it.answer


@decided("Domains of free mail providers are no evidence.", "companies.smartLink", shows="status companyId suggestions")
def _link_free_mail(it: Situation) -> object:
    emails = it.hints.get("emails")
    given = [
        it.hints.get("domain"),
        *(str(one).rpartition("@")[2] for one in (emails if isinstance(emails, list) else ())),
    ]
    return it.answer and not it.linked and any(is_free_mail(domain(text(one) or "") or "") for one in given)


@decided("Without a hint there is no_match.", "companies.smartLink", shows="status")
def _link_no_hint(it: Situation) -> object:
    return it.answer and not it.linked and not it.hints


@decided(
    "Equal names, but for legal forms, give 80 and may link.",
    "companies.smartLink",
    shows="status companyId confidence",
)
def _link_equal_name(it: Situation) -> object:
    return it.answer.get("status") == "linked" and number(it.answer.get("confidence")) == EQUAL_NAME


@decided(
    "Similar names, by shared trigrams, give up to 79 and are suggested only.",
    "companies.smartLink",
    shows="status suggestions companyId confidence reason",
)
def _link_similar_name(it: Situation) -> object:
    return any(row.get("reason") == "name" and number(row.get("confidence")) != EQUAL_NAME for row in _suggested(it))


@decided(
    "An e-mail hint links the company with its domain, and suggests one with a contact there.",
    "companies.smartLink",
    shows="status suggestions companyId confidence reason",
)
def _link_email_domain(it: Situation) -> object:
    return EMAIL_DOMAIN in [number(row.get("confidence")) for row in [it.answer, *_suggested(it)]]


@decided(
    "What does not lead by 10 points, or has another domain, is suggested: best first, 5 at most.",
    "companies.smartLink",
    shows="status suggestions companyId confidence reason",
)
def _link_suggestions(it: Situation) -> object:
    return it.answer.get("status") == "suggestions"


@decided(
    "The fields that do not belong to a status are null, and suggestions empty.",
    "companies.smartLink",
    shows="suggestions companyId customerName confidence",
)
def _link_result(it: Situation) -> object:
    return it.answer


@decided("A minConfidence outside of 0 to 1 is BAD_REQUEST.", "companies.smartLink")
def _link_min_confidence(it: Situation) -> object:
    least = it.given.get("minConfidence")
    return isinstance(least, (int, float)) and not 0 <= least <= 1


@decided(
    "The same link again is harmless, and updates its label and user.",
    "links.create",
    shows="outcome $ companyId externalOrgId label externalUserId",
)
def _link_again(it: Situation) -> object:
    return it.answer and it.linked


@decided("To link an organisation that is linked to another company is CONFLICT.", "links.create")
def _link_foreign(it: Situation) -> object:
    return it.linked and it.code == "CONFLICT"


@decided(
    "A reset of links leaves companies, accesses, usage and subscriptions as they are.",
    *SEEN,
    "billing.getStatus",
    "contacts.list",
    shows="outcome currentUsage isEnabled activeSubscriptions",
)
def _link_reset(it: Situation) -> object:
    was_there = it.last("companies.create", "onboard", "tiers.apply", "billing.trackUsage")
    return it.company and 0 < was_there < it.last_reset
