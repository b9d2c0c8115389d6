"""Links between external org ids and companies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os._json import short_repr
from chatarmin_os.errors import ApiError
from chatarmin_os.fake import lookup
from chatarmin_os.fake.router import FLAG, TEXT, Given, optional, procedure

if TYPE_CHECKING:
    from chatarmin_os._json import JSON
    from chatarmin_os.fake.state import Link, State


def refuse_taken(state: State, external_org_id: str, company_id: str | None = None) -> None:
    """Refuse an external org id that is linked, unless to *company_id*."""
    link = state.links.get(external_org_id)
    if link and link["companyId"] != company_id:
        known = f"External org id {short_repr(external_org_id)} is linked already, to company {link['companyId']}"
        raise ApiError.from_code("CONFLICT", known)


def link(state: State, company_id: str, external_org_id: str) -> Link:
    """Return the link of an external org id, made where there was none."""
    made: Link = {"companyId": company_id, "externalOrgId": external_org_id, "label": None, "externalUserId": None}
    return state.links.setdefault(external_org_id, made)


@procedure(
    "links.create",
    "mutation",
    companyId=TEXT,
    externalOrgId=TEXT,
    label=optional(TEXT),
    externalUserId=optional(TEXT),
)
def create(state: State, given: Given) -> JSON:
    """Link by hand; the same link again updates its label and user."""
    company = lookup.company(state, given["companyId"])
    refuse_taken(state, given["externalOrgId"], company["id"])
    row = link(state, company["id"], given["externalOrgId"])
    row["label"] = given.get("label", row["label"])
    row["externalUserId"] = given.get("externalUserId", row["externalUserId"])
    return row


@procedure("links.reset", "mutation", deleteContacts=optional(FLAG), resetMrr=optional(FLAG))
def reset(state: State, given: Given) -> JSON:
    """Delete all links; companies, accesses and usage stay."""
    answer = {"linksDeleted": len(state.links), "contactsDeleted": 0}
    state.links.clear()
    if given.get("deleteContacts"):
        answer["contactsDeleted"] = state.delete_contacts()
    if given.get("resetMrr"):
        state.mrr.clear()
    return answer
