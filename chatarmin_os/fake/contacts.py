"""People at companies: one contact per company and e-mail address."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from chatarmin_os._json import short_repr
from chatarmin_os.fake import lookup
from chatarmin_os.fake.router import (
    EMAIL,
    FLAG,
    MAPPING,
    TEXT,
    URL,
    Field,
    Given,
    bad_request,
    list_of,
    object_of,
    optional,
    procedure,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from chatarmin_os._json import JSON
    from chatarmin_os.fake.state import Contact, State

MAX_REPEATED = 4 * 2**20  # characters of an answer that only repeat what entries before have said
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
    return upsert(state, lookup.company(state, given["companyId"])["id"], given)


@procedure("contacts.bulkUpsert", "mutation", companyId=TEXT, contacts=Field(list_of(object_of(**_CONTACT))))
def bulk_upsert(state: State, given: Given) -> JSON:
    """Create or update contacts in order; the shape of all was checked before the first is touched."""
    company = lookup.company(state, given["companyId"])
    _refuse_endless_answer(state.contacts.get(company["id"], {}), given["contacts"])
    answers = [upsert(state, company["id"], contact) for contact in given["contacts"]]
    created = sum(answer["isNew"] for answer in answers)
    return {"created": created, "updated": len(answers) - created, "contacts": answers}


def _refuse_endless_answer(known: dict[str, Contact], entries: list[Given]) -> None:
    """Refuse to answer a contact that grows again and again: the answer would grow as the square of the input."""
    sizes: dict[tuple[str, str], int] = {}  # by address and field
    totals: dict[str, int] = {}
    repeated = 0
    for index, entry in enumerate(entries):
        address = entry["email"].lower()
        repeated += totals.get(address, 0)
        if repeated > MAX_REPEATED:
            raise bad_request(
                f"contacts[{index}]",
                f"too many entries for {short_repr(entry['email'])}: each answers what those before it have given; "
                f"merge them into one",
            )
        rows: list[Mapping[str, Any]] = [entry] if address in totals else [known.get(address, {}), entry]
        for field, value in (pair for row in rows for pair in _fields(row)):
            size = len(field) + len(json.dumps(value))
            totals[address] = totals.get(address, 0) + size - sizes.get((address, field), 0)
            sizes[address, field] = size


def _fields(contact: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what a later entry can replace: the fields of a contact, and those of its metadata."""
    for field, value in contact.items():
        if field == "metadata":
            yield from ((f"metadata.{key}", inner) for key, inner in value.items())
        else:
            yield field, value


@procedure("contacts.list", "query", companyId=TEXT, primaryOnly=optional(FLAG))
def list_contacts(state: State, given: Given) -> JSON:
    """Answer a company's contacts in order of creation."""
    company = lookup.company(state, given["companyId"])
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
