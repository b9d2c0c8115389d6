"""Decided: which inputs are refused, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os.drift._reading import objects, text
from chatarmin_os.drift.assumptions.rule import decided
from chatarmin_os.fake.router import ROUTES
from chatarmin_os.fake.rules import addresses, urls

if TYPE_CHECKING:
    from chatarmin_os.drift.assumptions.rule import Situation

_BY_LINK = ("features.getAccessByExternalOrgId", "features.checkByExternalOrgId", "features.setAccess")
_OF_A_FEATURE = ("features.check", "features.checkByExternalOrgId", "features.setAccess", "billing.trackUsage")


@decided("An unknown key of an input is BAD_REQUEST.", *ROUTES)
def _input_unknown_key(it: Situation) -> object:
    return it.given.keys() - ROUTES[it.path].schema.keys()


@decided("Blank text is BAD_REQUEST.", *ROUTES)
def _input_blank(it: Situation) -> object:
    return any(isinstance(value, str) and not value.strip() for value in it.given.values())


@decided(
    "An e-mail address that zod does not take is BAD_REQUEST.",
    "companies.create",
    "companies.smartLink",
    "contacts.create",
    "contacts.bulkUpsert",
    "onboard",
)
def _input_email(it: Situation) -> object:
    emails = it.hints.get("emails")
    given = [it.given.get("email"), it.given.get("contactEmail"), *(emails if isinstance(emails, list) else ())]
    given += [contact.get("email") for contact in objects(it.given.get("contacts"))]
    return any(text(email) and addresses.email(email) is None for email in given if isinstance(email, str))


@decided("An avatar that `new URL()` does not parse is BAD_REQUEST.", "contacts.create", "contacts.bulkUpsert")
def _input_avatar(it: Situation) -> object:
    avatars = [text(contact.get("avatarUrl")) for contact in [it.given, *objects(it.given.get("contacts"))]]
    return any(avatar and not urls.is_url(avatar) for avatar in avatars)


@decided(
    "A domain without a dot, with a space or an empty label, or that could be two, is BAD_REQUEST.",
    "companies.create",
    "companies.smartLink",
    "onboard",
)
def _input_domain(it: Situation) -> object:
    domains = [text(it.given.get("domain")), text(it.hints.get("domain"))]
    return any(domain and addresses.domain(domain) is None for domain in domains)


@decided(
    "The id of no company, and a malformed one, is NOT_FOUND.",
    *(path for path in ROUTES if "companyId" in ROUTES[path].schema),
)
def _input_company(it: Situation) -> object:
    return text(it.given.get("companyId")) and not it.company and it.code == "NOT_FOUND"


@decided("A feature outside the catalogue is NOT_FOUND.", *_OF_A_FEATURE)
def _input_feature(it: Situation) -> object:
    return text(it.given.get("featureCode")) and not it.feature and it.company and it.code == "NOT_FOUND"


@decided("An organisation that is not linked is NOT_FOUND.", *_BY_LINK)
def _input_unlinked(it: Situation) -> object:
    return it.org and not it.linked and it.code == "NOT_FOUND"
