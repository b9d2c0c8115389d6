"""What the page shows of a product."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from chatarmin_os._json import timestamp_text
from chatarmin_os.fake.features import list_access

if TYPE_CHECKING:
    from chatarmin_os._json import JSON
    from chatarmin_os.fake.state import Company, State
    from chatarmin_os.server.products import Product

_ROWS = 50
_CALLS = 100


def view(product: Product, *, since: int | None = None, search: str = "", limit: int = _ROWS) -> JSON:
    """Return what has come of a product so far, newest first; nothing more if its version is still *since*.

    A company is found by its name, domain, ids and external org ids.
    """
    product.notice_expiry()
    version = product.version  # read first: what changes meanwhile is told next time
    if version == since and not product.may_change_unseen:
        return {"version": version, "unchanged": True}
    fake = product.fake
    with fake.service.read() as state:
        product.next_expiry = _next_expiry(state)
        links: dict[str, list[dict[str, Any]]] = {}
        for link in state.links.values():
            row = {"externalOrgId": link["externalOrgId"], "label": link["label"]}
            links.setdefault(link["companyId"], []).append(row)
        found = _found(state, links, search.casefold())
        return {
            "version": version,
            "unchanged": False,
            "now": timestamp_text(state.now),
            "moved_by_seconds": state.clock_offset.total_seconds(),
            "catalogue": {
                "features": [_only(row, "code", "name", "hasQuantity") for row in state.catalogue.features.values()],
                "tiers": [_only(row, "code", "name", "baseFee", "currency") for row in state.catalogue.tiers.values()],
            },
            "companies_total": len(state.companies),
            "companies_found": len(found),
            "companies": [_company(state, company, links) for company in found[:limit]],
            "subscriptions": [
                _subscription(state, row) for row in islice(reversed(state.subscriptions.values()), _ROWS)
            ],
            "sessions": [_session(state, row) for row in islice(reversed(state.sessions.values()), _ROWS)],
            "faults": [
                {
                    "path": fault.path,
                    "error": getattr(fault.error, "code", "lost"),
                    "times": fault.times,
                    "after": fault.after,
                }
                for fault in fake.injected_failures
            ],
            "calls": product.calls(last=_CALLS)[::-1],
        }


def _next_expiry(state: State) -> datetime | None:
    accesses = (access for accesses in state.access.values() for access in accesses.values())
    moments = (datetime.fromisoformat(access["validUntil"]) for access in accesses if access["validUntil"])
    return min((moment for moment in moments if moment > state.now), default=None)


def _found(state: State, links: dict[str, list[dict[str, Any]]], search: str) -> list[Company]:
    companies = list(reversed(state.companies.values()))
    if not search:
        return companies
    return [
        company
        for company in companies
        if any(
            search in text.casefold()
            for text in (
                company["name"],
                company["domain"] or "",
                company["id"],
                company["shortId"],
                *(link["externalOrgId"] for link in links.get(company["id"], ())),
            )
        )
    ]


def _company(state: State, company: Company, links: dict[str, list[dict[str, Any]]]) -> JSON:
    company_id = company["id"]
    tier = state.catalogue.tiers.get(state.tiers.get(company_id, ""))
    return {
        **company,
        "tier": tier and {"code": tier["code"], "name": tier["name"]},
        "mrr": state.mrr.get(company_id, 0),
        "currency": tier and tier["currency"],
        "links": links.get(company_id, []),
        "contacts": [
            _only(row, "email", "name", "role", "isPrimary") for row in state.contacts.get(company_id, {}).values()
        ],
        "access": list_access(state, {"companyId": company_id}),
    }


def _subscription(state: State, row: Any) -> JSON:
    claim = state.claims.get(row["id"])
    return {
        **row,
        "company": claim and _only(state.companies[claim["companyId"]], "id", "name"),
        "tierCode": claim and claim["tierCode"],
        "monthlyFee": claim and claim["monthlyFee"],
    }


def _session(state: State, row: Any) -> JSON:
    claim = state.claims.get(row["subscriptionId"] or "")
    return {
        **_only(row, "id", "priceIds", "customerName", "subscriptionId"),
        "isComplete": row["subscriptionId"] is not None,
        "company": claim and _only(state.companies[claim["companyId"]], "id", "name"),
    }


def _only(row: Any, *names: str) -> dict[str, Any]:
    return {name: row[name] for name in names}
