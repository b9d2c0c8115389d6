"""People at companies: one contact per company and e-mail address."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from chatarmin_os._json import short_repr
from chatarmin_os.fake import lookup
from chatarmin_os.fake.router import procedure
from chatarmin_os.fake.schema import (
    BOOLEAN,
    EMAIL,
    MAPPING,
    TEXT,
    URL,
    Field,
    Input,
    bad_request,
    list_of,
    object_of,
    optional,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from chatarmin_os._json import JSON
    from chatarmin_os.fake.rows import Contact
    from chatarmin_os.fake.state import State

MAX_REPEATED_CHARACTERS = 4 * 2**20
"""Characters of a response that only repeat the fields of earlier entries for the same contact."""

_CONTACT = {
    "email": EMAIL,
    "name": optional(TEXT),
    "role": optional(TEXT),
    "isPrimary": optional(BOOLEAN),
    "avatarUrl": optional(URL),
    "metadata": optional(MAPPING),
}


@procedure("contacts.create", "mutation", companyId=TEXT, **_CONTACT)
def create(state: State, input: Input) -> JSON:
    """Create a contact, or update the one with this address."""
    return upsert(state, lookup.company(state, input["companyId"])["id"], input)


@procedure("contacts.bulkUpsert", "mutation", companyId=TEXT, contacts=Field(list_of(object_of(**_CONTACT))))
def bulk_upsert(state: State, input: Input) -> JSON:
    """Create or update contacts in order; all entries were validated before the first is stored."""
    company = lookup.company(state, input["companyId"])
    _limit_repetition(state.contacts.get(company["id"], {}), input["contacts"])
    rows = [upsert(state, company["id"], contact) for contact in input["contacts"]]
    created = sum(row["isNew"] for row in rows)
    return {"created": created, "updated": len(rows) - created, "contacts": rows}


def _limit_repetition(known: dict[str, Contact], entries: list[Input]) -> None:
    """Refuse many entries for a contact that grows: the response would grow with the square of the input."""
    if len({entry["email"].lower() for entry in entries}) == len(entries):
        return
    sizes: dict[tuple[str, str], int] = {}  # by address and field
    totals: dict[str, int] = {}
    repeated = 0
    for index, entry in enumerate(entries):
        address = entry["email"].lower()
        repeated += totals.get(address, 0)
        if repeated > MAX_REPEATED_CHARACTERS:
            raise bad_request(
                f"contacts[{index}]",
                f"too many entries for {short_repr(entry['email'])}, each repeats the fields of those before it; "
                f"merge them into one",
            )
        rows: list[Mapping[str, Any]] = [entry] if address in totals else [known.get(address, {}), entry]
        for field, value in (pair for row in rows for pair in _fields(row)):
            size = len(field) + len(json.dumps(value))
            totals[address] = totals.get(address, 0) + size - sizes.get((address, field), 0)
            sizes[address, field] = size


def _fields(contact: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the values that a later entry can replace: the fields of a contact, and those of its metadata."""
    for field, value in contact.items():
        if field == "metadata":
            yield from ((f"metadata.{key}", inner) for key, inner in value.items())
        else:
            yield field, value


@procedure("contacts.list", "query", companyId=TEXT, primaryOnly=optional(BOOLEAN))
def list_contacts(state: State, input: Input) -> JSON:
    """Return a company's contacts in order of creation."""
    company = lookup.company(state, input["companyId"])
    contacts = state.contacts.get(company["id"], {}).values()
    return [contact for contact in contacts if contact["isPrimary"] or not input.get("primaryOnly")]


def upsert(state: State, company_id: str, input: Input) -> dict[str, Any]:
    """Create or update a contact, and return it with `isNew`; fields that are absent stay."""
    address = input["email"].lower()
    is_new = address not in state.contacts.get(company_id, ())
    if is_new:
        state.add_contact(company_id, _new_contact(input["email"]))
    if "isPrimary" in input:
        state.set_primary(company_id, address, is_primary=input["isPrimary"])
    contact = state.contacts[company_id][address]
    changed: Contact = {
        **contact,
        "name": input.get("name", contact["name"]),
        "role": input.get("role", contact["role"]),
        "avatarUrl": input.get("avatarUrl", contact["avatarUrl"]),
        "metadata": {**contact["metadata"], **input.get("metadata", {})},
    }
    state.contacts[company_id][address] = changed
    return {**changed, "isNew": is_new}


def _new_contact(email: str) -> Contact:
    return {
        "id": str(uuid4()),
        "email": email,
        "name": None,
        "role": None,
        "isPrimary": False,
        "avatarUrl": None,
        "metadata": {},
    }


def upsert_from_input(state: State, company_id: str, input: Input) -> None:
    """Upsert the contact of `contactEmail` and `contactName`; it becomes primary if the company has no primary one."""
    if "contactEmail" not in input:
        return
    contact: Input = {"email": input["contactEmail"]}
    if "contactName" in input:
        contact["name"] = input["contactName"]
    if not state.has_primary(company_id):
        contact["isPrimary"] = True
    upsert(state, company_id, contact)
