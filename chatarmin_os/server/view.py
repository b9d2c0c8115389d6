"""The product as the page shows it."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from chatarmin_os._json import timestamp_text
from chatarmin_os.fake.features import list_access

if TYPE_CHECKING:
    from chatarmin_os._json import JSON
    from chatarmin_os.fake.rows import Company
    from chatarmin_os.fake.state import State
    from chatarmin_os.server.products import Product

MAX_ROWS = 50
MAX_CALLS = 100


def view(product: Product, *, since: int | None = None, search: str = "", limit: int = MAX_ROWS) -> JSON:
    """Return a product's rows and calls, newest first; or only its version if that is still *since*.

    Args:
        product: The product.
        since: The version of an earlier view.
        search: Text that a company's name, domain, ids or external org ids must contain, in any case.
        limit: The highest number of companies.
    """
    product.notice_expiry()
    version = product.version  # read first, so that a later change makes the next view differ
    if version == since and not product.is_given:
        return {"version": version, "unchanged": True}
    with product.fake.service.read() as state:
        product.next_expiry = _next_expiry(state)
        links: dict[str, list[dict[str, Any]]] = {}
        for link in state.links.values():
            row = {"externalOrgId": link["externalOrgId"], "label": link["label"]}
            links.setdefault(link["companyId"], []).append(row)
        found = _find(state, links, search.casefold())
        return {
            "version": version,
            "unchanged": False,
            "now": timestamp_text(state.now),
            "moved_by_seconds": state.clock_offset.total_seconds(),
            "catalogue": {
                "features": [_pick(row, "code", "name", "hasQuantity") for row in state.catalogue.features.values()],
                "tiers": [_pick(row, "code", "name", "baseFee", "currency") for row in state.catalogue.tiers.values()],
            },
            "companies_total": len(state.companies),
            "companies_found": len(found),
            "companies": [_company(state, company, links) for company in found[:limit]],
            "subscriptions": [
                _subscription(state, row) for row in islice(reversed(state.subscriptions.values()), MAX_ROWS)
            ],
            "sessions": [_session(state, row) for row in islice(reversed(state.sessions.values()), MAX_ROWS)],
            "faults": [
                {
                    "path": failure.path,
                    "error": getattr(failure.error, "code", "lost"),
                    "times": failure.times,
                    "after": failure.after,
                }
                for failure in product.fake.injected_failures
            ],
            "calls": product.calls(last=MAX_CALLS)[::-1],
        }


def _next_expiry(state: State) -> datetime | None:
    accesses = (access for accesses in state.access.values() for access in accesses.values())
    expiries = (datetime.fromisoformat(access["validUntil"]) for access in accesses if access["validUntil"])
    return min((expiry for expiry in expiries if expiry > state.now), default=None)


def _find(state: State, links: dict[str, list[dict[str, Any]]], search: str) -> list[Company]:
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
            _pick(row, "email", "name", "role", "isPrimary") for row in state.contacts.get(company_id, {}).values()
        ],
        "access": list_access(state, {"companyId": company_id}),
    }


def _subscription(state: State, row: Any) -> JSON:
    claim = state.claims.get(row["id"])
    return {
        **row,
        "company": claim and _pick(state.companies[claim["companyId"]], "id", "name"),
        "tierCode": claim and claim["tierCode"],
        "monthlyFee": claim and claim["monthlyFee"],
    }


def _session(state: State, row: Any) -> JSON:
    claim = state.claims.get(row["subscriptionId"] or "")
    return {
        **_pick(row, "id", "priceIds", "customerName", "subscriptionId"),
        "isComplete": row["subscriptionId"] is not None,
        "company": claim and _pick(state.companies[claim["companyId"]], "id", "name"),
    }


def _pick(row: Any, *names: str) -> dict[str, Any]:
    return {name: row[name] for name in names}
