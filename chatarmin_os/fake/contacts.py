"""People at companies: one contact per company and e-mail address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from chatarmin_os.fake import _lookup
from chatarmin_os.fake._router import (
    EMAIL,
    FLAG,
    MAPPING,
    TEXT,
    URL,
    Field,
    Given,
    list_of,
    object_of,
    optional,
    procedure,
)

if TYPE_CHECKING:
    from chatarmin_os._json import JSON
    from chatarmin_os.fake.state import Contact, State

_CONTACT = {
    "email": EMAIL,
    "name": optional(TEXT),
    "role": optional(TEXT),
    "isPrimary": optional(FLAG),
    "avatarUrl": optional(URL),
    "metadata": optional(MAPPING),
}


@procedure("contacts.create", "mutation", companyId=TEXT, **_CONTACT)
def create(state: State, given: Given) -> JSON:
    """Create a contact, or update the one with this address."""
    return upsert(state, _lookup.company(state, given["companyId"])["id"], given)


@procedure("contacts.bulkUpsert", "mutation", companyId=TEXT, contacts=Field(list_of(object_of(**_CONTACT))))
def bulk_upsert(state: State, given: Given) -> JSON:
    """Create or update contacts in order; the shape of all was checked before the first is touched."""
    company = _lookup.company(state, given["companyId"])
    answers = [upsert(state, company["id"], contact) for contact in given["contacts"]]
    created = sum(answer["isNew"] for answer in answers)
    return {"created": created, "updated": len(answers) - created, "contacts": answers}


@procedure("contacts.list", "query", companyId=TEXT, primaryOnly=optional(FLAG))
def list_contacts(state: State, given: Given) -> JSON:
    """Answer a company's contacts in order of creation."""
    company = _lookup.company(state, given["companyId"])
    contacts = state.contacts.get(company["id"], {}).values()
    return [contact for contact in contacts if contact["isPrimary"] or not given.get("primaryOnly")]


def upsert(state: State, company_id: str, given: Given) -> dict[str, Any]:
    """Create or update a contact, and return it as it is now, with `isNew`; what is not given stays."""
    contact = state.contacts.get(company_id, {}).get(given["email"].lower())
    is_new = contact is None
    if contact is None:
        contact = _blank(given["email"])
        state.add_contact(company_id, contact)
    if "isPrimary" in given:
        state.set_primary(company_id, contact, is_primary=given["isPrimary"])
    contact["name"] = given.get("name", contact["name"])
    contact["role"] = given.get("role", contact["role"])
    contact["avatarUrl"] = given.get("avatarUrl", contact["avatarUrl"])
    contact["metadata"] = {**contact["metadata"], **given.get("metadata", {})}
    return {**contact, "isNew": is_new}


def _blank(email: str) -> Contact:
    return {
        "id": str(uuid4()),
        "email": email,
        "name": None,
        "role": None,
        "isPrimary": False,
        "avatarUrl": None,
        "metadata": {},
    }


def upsert_from_input(state: State, company_id: str, given: Given) -> None:
    """Upsert the contact of `contactEmail` and `contactName`; it is primary where the company has no primary one."""
    if "contactEmail" not in given:
        return
    contact = {"email": given["contactEmail"]}
    if "contactName" in given:
        contact["name"] = given["contactName"]
    if not state.has_primary(company_id):
        contact["isPrimary"] = True
    upsert(state, company_id, contact)
