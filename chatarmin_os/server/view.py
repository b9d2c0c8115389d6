"""The product as the page shows it: a page of companies, a page of calls, the catalogue, Stripe."""

from __future__ import annotations

from bisect import bisect_right
from datetime import datetime
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from chatarmin_os import _clock
from chatarmin_os._json import timestamp_text
from chatarmin_os.fake.features import list_access
from chatarmin_os.fake.rules.tiers import base_price, feature_price

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from chatarmin_os._json import JSON
    from chatarmin_os.fake.rows import Company, Tier
    from chatarmin_os.fake.state import State
    from chatarmin_os.server.product import Product

MAX_ROWS = 50
MAX_CALLS = 100


class Index:
    """What a view looks up in all companies, sorted once for each revision of the tables."""

    def __init__(self, state: State, revision: int) -> None:
        self.revision = revision
        self._state = state
        self.links: dict[str, list[dict[str, Any]]] = {}  # by company
        for link in state.links.values():
            row = {"externalOrgId": link["externalOrgId"], "label": link["label"]}
            self.links.setdefault(link["companyId"], []).append(row)
        accesses = (access for accesses in state.access.values() for access in accesses.values())
        self._expiries = sorted(
            datetime.fromisoformat(access["validUntil"]) for access in accesses if access["validUntil"]
        )

    def next_expiry(self, now: datetime) -> datetime | None:
        """Return when the next access expires."""
        place = bisect_right(self._expiries, now)
        return self._expiries[place] if place < len(self._expiries) else None

    def find(self, search: str) -> list[Company]:
        """Return the companies with a text in their name, domain or ids, in any case, newest first."""
        wanted = search.casefold()
        return [company for text, company in self._texts if wanted in text]

    @cached_property
    def _texts(self) -> list[tuple[str, Company]]:
        return [
            ("\n".join(self._texts_of(company)).casefold(), company)
            for company in reversed(self._state.companies.values())
        ]

    def _texts_of(self, company: Company) -> Iterator[str]:
        yield from (company["name"], company["domain"] or "", company["id"], company["shortId"])
        yield from (link["externalOrgId"] for link in self.links.get(company["id"], ()))


def index_of(product: Product, state: State) -> Index:
    """Return the index of a product's present tables; the caller holds the lock."""
    if product.index is None or product.index.revision != product.revision:
        product.index = Index(state, product.revision)
    index: Index = product.index
    return index


def head(product: Product, since: int | None) -> dict[str, JSON]:
    """Return the beginning of each view: the version, whether it is still *since*, and the clocks.

    Call it before the data is read, so that a later change makes the next view differ.
    """
    product.notice()
    version, service = product.version, product.fake.service
    return {
        "version": version,
        "unchanged": version == since,
        "now": timestamp_text(service.now()),
        "real_now": timestamp_text(_clock.now()),
        "moved_by_seconds": service.state.clock_offset.total_seconds(),
    }


def view(
    product: Product,
    *,
    since: int | None = None,
    search: str = "",
    skip: int = 0,
    limit: int = MAX_ROWS,
    call_search: str = "",
    calls_before: int | None = None,
    call_limit: int = MAX_CALLS,
    stripe_limit: int = MAX_ROWS,
    with_access: bool = True,
) -> JSON:
    """Return a page of a product's rows and calls, newest first; or only its version if that is still *since*.

    Args:
        product: The product.
        since: The version of an earlier view.
        search: Text that a company's name, domain, ids or external org ids must contain, in any case.
        skip: The number of companies to leave out, from the newest on.
        limit: The highest number of companies.
        call_search: Text that a call or its company must contain, in any case, or an id of the company.
        calls_before: Only calls with a lower number; None: all.
        call_limit: The highest number of calls.
        stripe_limit: The highest number of Stripe subscriptions, and of checkout sessions.
        with_access: Whether companies have their contacts and their access, which are most of the view.
    """
    start = head(product, since)
    if start["unchanged"]:
        return start
    row_of = company_row if with_access else _brief_row
    with product.fake.service.read() as state:
        index = index_of(product, state)
        product.next_expiry = index.next_expiry(state.now)
        found: Iterable[Company] = index.find(search) if search else reversed(state.companies.values())
        content = {
            **start,
            "catalogue": _catalogue(state),
            "companies_total": len(state.companies),
            "companies_found": len(found) if isinstance(found, list) else len(state.companies),
            "companies": [row_of(state, company, index) for company in islice(found, skip, skip + limit)],
            "subscriptions": [
                _subscription(state, row) for row in islice(reversed(state.subscriptions.values()), stripe_limit)
            ],
            "sessions": [_session(state, row) for row in islice(reversed(state.sessions.values()), stripe_limit)],
            "faults": _faults(product),
        }
        linked = state.links.get(call_search)
    calls, has_more = product.page_of_calls(
        search=call_search,
        company_id=linked["companyId"] if linked else None,
        before=calls_before,
        limit=call_limit,
    )
    return {**content, "calls": calls, "has_more_calls": has_more}


def _catalogue(state: State) -> JSON:
    return {
        "features": [_pick(row, "code", "name", "hasQuantity") for row in state.catalogue.features.values()],
        "tiers": [
            {**_pick(row, "code", "name", "baseFee", "currency"), "basePriceId": (base_price(row) or {}).get("priceId")}
            | {"features": _grants(state, row)}
            for row in state.catalogue.tiers.values()
        ],
    }


def _grants(state: State, tier: Tier) -> list[JSON]:
    """Return what a tier grants of each of its features, and the price beyond the included quantity."""
    return [
        {
            "code": code,
            "hasQuantity": state.catalogue.features[code]["hasQuantity"],
            "quantityLimit": granted.get("quantityLimit", 0),
            "includedQuantity": granted["includedQuantity"],
            "unitAmount": granted["unitAmount"],
            "priceId": (feature_price(tier, code) or {}).get("priceId"),
        }
        for code, granted in tier["features"].items()
    ]


def _faults(product: Product) -> list[JSON]:
    return [
        {
            "path": failure.path,
            "error": getattr(failure.error, "code", "lost"),
            "times": failure.times,
            "after": failure.after,
        }
        for failure in product.fake.injected_failures
    ]


def company_row(state: State, company: Company, index: Index) -> dict[str, Any]:
    """Return a company with its tier, revenue, links, contacts and access."""
    contacts = state.contacts.get(company["id"], {}).values()
    return {
        **_brief_row(state, company, index),
        "contacts": [_pick(row, "email", "name", "role", "isPrimary") for row in contacts],
        "access": list_access(state, {"companyId": company["id"]}),
    }


def _brief_row(state: State, company: Company, index: Index) -> dict[str, Any]:
    """Return a company with its tier, revenue and links."""
    company_id = company["id"]
    tier = state.catalogue.tiers.get(state.tiers.get(company_id, ""))
    return {
        **company,
        "tier": tier and {"code": tier["code"], "name": tier["name"]},
        "mrr": state.mrr.get(company_id, 0),
        "currency": tier and tier["currency"],
        "links": index.links.get(company_id, []),
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
