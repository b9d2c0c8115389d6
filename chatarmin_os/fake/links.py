"""Links between external org ids and companies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os._json import short_repr
from chatarmin_os.errors import ApiError
from chatarmin_os.fake import lookup
from chatarmin_os.fake.router import procedure
from chatarmin_os.fake.schema import BOOLEAN, TEXT, Input, optional

if TYPE_CHECKING:
    from chatarmin_os._json import JSON
    from chatarmin_os.fake.rows import Link
    from chatarmin_os.fake.state import State


def ensure_unlinked(state: State, external_org_id: str, company_id: str | None = None) -> None:
    """Refuse an external org id that is linked to a company other than *company_id*."""
    link = state.links.get(external_org_id)
    if link and link["companyId"] != company_id:
        problem = f"External org id {short_repr(external_org_id)} is linked already, to company {link['companyId']}"
        raise ApiError.from_code("CONFLICT", problem)


def link(state: State, company_id: str, external_org_id: str) -> Link:
    """Return the link of an external org id; add it if it is missing."""
    row: Link = {"companyId": company_id, "externalOrgId": external_org_id, "label": None, "externalUserId": None}
    return state.links.setdefault(external_org_id, row)


@procedure(
    "links.create",
    "mutation",
    companyId=TEXT,
    externalOrgId=TEXT,
    label=optional(TEXT),
    externalUserId=optional(TEXT),
)
def create(state: State, input: Input) -> JSON:
    """Link by hand; the same link again updates its label and user."""
    company = lookup.company(state, input["companyId"])
    ensure_unlinked(state, input["externalOrgId"], company["id"])
    row = link(state, company["id"], input["externalOrgId"])
    changed: Link = {
        **row,
        "label": input.get("label", row["label"]),
        "externalUserId": input.get("externalUserId", row["externalUserId"]),
    }
    state.links[input["externalOrgId"]] = changed
    return changed


@procedure("links.reset", "mutation", deleteContacts=optional(BOOLEAN), resetMrr=optional(BOOLEAN))
def reset(state: State, input: Input) -> JSON:
    """Delete all links; companies, accesses and usage stay."""
    response = {"linksDeleted": len(state.links), "contactsDeleted": 0}
    state.links.clear()
    if input.get("deleteContacts"):
        response["contactsDeleted"] = state.delete_contacts()
    if input.get("resetMrr"):
        state.mrr.clear()
    return response
