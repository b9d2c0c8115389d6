"""Refused inputs, and the codes of the refusals."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from chatarmin_os.drift.assumptions.criterion import exercised_by
from chatarmin_os.drift.reading import objects, text
from chatarmin_os.fake.router import ROUTES
from chatarmin_os.fake.rules import addresses, urls

if TYPE_CHECKING:
    from chatarmin_os.drift.assumptions.context import Context

_BY_LINK = ("features.getAccessByExternalOrgId", "features.checkByExternalOrgId", "features.setAccess")
_NULLABLE = frozenset({"quantityLimit", "includedQuantity", "validUntil"})
_OF_A_FEATURE = ("features.check", "features.checkByExternalOrgId", "features.setAccess", "billing.trackUsage")


@exercised_by("input-unknown-key", *ROUTES)
def _input_unknown_key(call: Context) -> object:
    return call.given.keys() - ROUTES[call.path].schema.keys()


@exercised_by("input-blank", *ROUTES)
def _input_blank(call: Context) -> object:
    return any(isinstance(value, str) and not value.strip() for value in call.given.values())


@exercised_by("input-null", *ROUTES)
def _input_null(call: Context) -> object:
    optional = {key for key, field in ROUTES[call.path].schema.items() if not field.is_required} - _NULLABLE
    return any(call.given[key] is None for key in optional & call.given.keys())


@exercised_by("input-date", "companies.create", "companies.update", "features.setAccess", "onboard")
def _input_date(call: Context) -> object:
    dates = [text(call.given.get(key)) for key in ("createdAt", "validUntil")]
    return any(date and not _is_instant(date) for date in dates)


@exercised_by(
    "input-email", "companies.create", "companies.smartLink", "contacts.create", "contacts.bulkUpsert", "onboard"
)
def _input_email(call: Context) -> object:
    emails = call.hints.get("emails")
    given = [call.given.get("email"), call.given.get("contactEmail"), *(emails if isinstance(emails, list) else ())]
    given += [contact.get("email") for contact in objects(call.given.get("contacts"))]
    return any(text(email) and addresses.email(email) is None for email in given if isinstance(email, str))


@exercised_by("input-avatar", "contacts.create", "contacts.bulkUpsert")
def _input_avatar(call: Context) -> object:
    avatars = [text(contact.get("avatarUrl")) for contact in [call.given, *objects(call.given.get("contacts"))]]
    return any(avatar and not urls.is_url(avatar) for avatar in avatars)


@exercised_by("input-domain", "companies.create", "companies.smartLink", "onboard")
def _input_domain(call: Context) -> object:
    domains = [text(call.given.get("domain")), text(call.hints.get("domain"))]
    return any(domain and addresses.domain(domain) is None for domain in domains)


@exercised_by("input-company", *(path for path in ROUTES if "companyId" in ROUTES[path].schema))
def _input_company(call: Context) -> object:
    return text(call.given.get("companyId")) and not call.company and call.code == "NOT_FOUND"


@exercised_by("input-feature", *_OF_A_FEATURE)
def _input_feature(call: Context) -> object:
    return text(call.given.get("featureCode")) and not call.feature and call.company and call.code == "NOT_FOUND"


@exercised_by("input-unlinked", *_BY_LINK)
def _input_unlinked(call: Context) -> object:
    return call.org and not call.linked and call.code == "NOT_FOUND"


def _is_instant(date: str) -> bool:
    """Return whether a text is an ISO 8601 instant with its offset."""
    try:
        return datetime.fromisoformat(date).utcoffset() is not None
    except ValueError:
        return False
