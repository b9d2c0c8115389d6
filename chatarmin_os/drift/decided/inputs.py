"""Decided: which inputs are refused, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os.drift._reading import objects, text
from chatarmin_os.drift.decided._rule import decided
from chatarmin_os.fake._router import ROUTES
from chatarmin_os.fake.rules import addresses

if TYPE_CHECKING:
    from chatarmin_os.drift.decided._rule import Situation

_BY_LINK = ("features.getAccessByExternalOrgId", "features.checkByExternalOrgId", "features.setAccess")
_OF_A_FEATURE = ("features.check", "features.checkByExternalOrgId", "features.setAccess", "billing.trackUsage")


@decided(*ROUTES)
def input_unknown_key(it: Situation) -> object:
    """An unknown key of an input is BAD_REQUEST."""
    return it.given.keys() - ROUTES[it.path].shape.keys()


@decided(*ROUTES)
def input_blank(it: Situation) -> object:
    """Blank text is BAD_REQUEST."""
    return any(isinstance(value, str) and not value.strip() for value in it.given.values())


@decided("companies.create", "companies.smartLink", "contacts.create", "contacts.bulkUpsert", "onboard")
def input_email(it: Situation) -> object:
    """A malformed e-mail address is BAD_REQUEST."""
    emails = it.hints.get("emails")
    given = [it.given.get("email"), it.given.get("contactEmail"), *(emails if isinstance(emails, list) else ())]
    given += [contact.get("email") for contact in objects(it.given.get("contacts"))]
    return any(text(email) and addresses.email(email) is None for email in given if isinstance(email, str))


@decided("companies.create", "companies.smartLink", "onboard")
def input_domain(it: Situation) -> object:
    """A domain without a dot, with a space or an empty label is BAD_REQUEST."""
    domains = [text(it.given.get("domain")), text(it.hints.get("domain"))]
    return any(domain and addresses.domain(domain) is None for domain in domains)


@decided(*(path for path in ROUTES if "companyId" in ROUTES[path].shape))
def input_company(it: Situation) -> object:
    """The id of no company, and a malformed one, is NOT_FOUND."""
    return text(it.given.get("companyId")) and not it.company and it.code == "NOT_FOUND"


@decided(*_OF_A_FEATURE)
def input_feature(it: Situation) -> object:
    """A feature outside the catalogue is NOT_FOUND."""
    return text(it.given.get("featureCode")) and not it.feature and it.company and it.code == "NOT_FOUND"


@decided(*_BY_LINK)
def input_unlinked(it: Situation) -> object:
    """An organisation that is not linked is NOT_FOUND."""
    return it.org and not it.linked and it.code == "NOT_FOUND"
