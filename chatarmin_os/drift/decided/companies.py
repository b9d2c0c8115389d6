"""Decided: companies, and linking them by hints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chatarmin_os.drift._reading import objects, text
from chatarmin_os.drift.decided._rule import SEEN, decided
from chatarmin_os.fake.rules.addresses import domain, is_free_mail
from chatarmin_os.fake.rules.matching import EMAIL_DOMAIN, EQUAL_NAME

if TYPE_CHECKING:
    from chatarmin_os.drift.decided._rule import Situation


@decided("companies.create", "companies.getByProductLink", "companies.update", shows="domain createdAt")
def company_fields(it: Situation) -> object:
    """A company has domain and createdAt, null where they are unknown."""
    return it.answer


@decided("companies.create", shows="shortId")
def company_short_id(it: Situation) -> object:
    """The shortId is the name in ASCII letters and digits, with one `-` for all between."""
    return it.answer


@decided("companies.create", shows="domain")
def company_domain(it: Situation) -> object:
    """Domains are kept in one form: lower case, ASCII, without scheme, www and path."""
    domain = text(it.answer.get("domain"))
    return domain and domain != it.given.get("domain")


@decided("companies.create", "companies.update", shows="createdAt")
def company_created_at(it: Situation) -> object:
    """The createdAt that is given is kept, as an instant in UTC."""
    return it.answer and "createdAt" in it.given


@decided("companies.create")
def company_linked_already(it: Situation) -> object:
    """To create a company for a linked organisation is CONFLICT."""
    return it.linked and it.code == "CONFLICT"


@decided("contacts.list", shows="$ email name isPrimary")
def company_contact(it: Situation) -> object:
    """A contactEmail of companies.create becomes the primary contact."""
    return it.last("companies.create") > it.last("contacts.create", "contacts.bulkUpsert") and it.came.get("answer")


@decided("companies.update", shows="$ id shortId name domain createdAt")
def company_update(it: Situation) -> object:
    """The answer to companies.update is the company."""
    return it.answer


def _suggested(it: Situation) -> list[dict[str, Any]]:
    return objects(it.answer.get("suggestions"))


@decided("companies.smartLink", shows="status companyId customerName confidence")
def link_already(it: Situation) -> object:
    """A linked organisation is already_linked at 100, whatever the hints say."""
    return it.linked and it.answer


@decided("companies.smartLink", shows="status companyId suggestions")
def link_free_mail(it: Situation) -> object:
    """Domains of free mail providers are no evidence."""
    emails = it.hints.get("emails")
    given = [
        it.hints.get("domain"),
        *(str(one).rpartition("@")[2] for one in (emails if isinstance(emails, list) else ())),
    ]
    return it.answer and not it.linked and any(is_free_mail(domain(text(one) or "") or "") for one in given)


@decided("companies.smartLink", shows="status")
def link_no_hint(it: Situation) -> object:
    """Without a hint there is no_match."""
    return it.answer and not it.linked and not it.hints


@decided("companies.smartLink", shows="status companyId confidence")
def link_equal_name(it: Situation) -> object:
    """Equal names, but for legal forms, give 80 and may link."""
    return it.answer.get("status") == "linked" and it.answer.get("confidence") == EQUAL_NAME


@decided("companies.smartLink", shows="status suggestions companyId confidence reason")
def link_similar_name(it: Situation) -> object:
    """Similar names, by shared trigrams, give up to 79 and are suggested only."""
    return any(row.get("reason") == "name" and row.get("confidence") != EQUAL_NAME for row in _suggested(it))


@decided("companies.smartLink", shows="status suggestions companyId confidence reason")
def link_email_domain(it: Situation) -> object:
    """An e-mail hint links the company with its domain, and suggests one with a contact there."""
    return EMAIL_DOMAIN in [it.answer.get("confidence"), *(row.get("confidence") for row in _suggested(it))]


@decided("companies.smartLink", shows="status suggestions companyId confidence reason")
def link_suggestions(it: Situation) -> object:
    """What does not lead by 10 points, or has another domain, is suggested: best first, 5 at most."""
    return it.answer.get("status") == "suggestions"


@decided("companies.smartLink", shows="suggestions companyId customerName confidence")
def link_result(it: Situation) -> object:
    """The fields that do not belong to a status are null, and suggestions empty."""
    return it.answer


@decided("companies.smartLink")
def link_min_confidence(it: Situation) -> object:
    """A minConfidence outside of 0 to 1 is BAD_REQUEST."""
    least = it.given.get("minConfidence")
    return isinstance(least, (int, float)) and not 0 <= least <= 1


@decided("links.create", shows="outcome $ companyId externalOrgId label externalUserId")
def link_again(it: Situation) -> object:
    """The same link again is harmless, and updates its label and user."""
    return it.answer and it.linked


@decided("links.create")
def link_foreign(it: Situation) -> object:
    """To link an organisation that is linked to another company is CONFLICT."""
    return it.linked and it.code == "CONFLICT"


@decided(*SEEN, "billing.getStatus", "contacts.list", shows="outcome currentUsage isEnabled activeSubscriptions")
def link_reset(it: Situation) -> object:
    """A reset of links leaves companies, accesses, usage and subscriptions as they are."""
    was_there = it.last("companies.create", "onboard", "tiers.apply", "billing.trackUsage")
    return it.company and 0 < was_there < it.last_reset
