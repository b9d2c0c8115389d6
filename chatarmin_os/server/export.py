"""The snapshot of one company, for a test that begins where a customer is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chatarmin_os._json import copy_json, short_repr
from chatarmin_os.server.company_view import find

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from chatarmin_os._json import JSON
    from chatarmin_os.server.product import Product

_BY_COMPANY = ("contacts", "access", "tiers", "usage", "mrr")  # tables by company


def company_snapshot(product: Product, company: str) -> JSON:
    """Return a snapshot of the whole catalogue and of one company, as `FakeTransport.from_snapshot` reads it.

    It has the clock, and of other companies nothing: no link, event, subscription or checkout.

    Args:
        product: The product.
        company: The id of the company, or an external org id that is linked to it.

    Raises:
        ValueError: There is no such company.
    """
    from chatarmin_os.fake import snapshot as snapshots  # late: it imports cattrs, which the service avoids

    with product.fake.service.read() as state:
        row = find(state, company)
        if row is None:
            raise ValueError(f"company: no company has the id or the external org id {short_repr(company)}")
        company_id = row["id"]
        tables: Any = snapshots.tables(state)
    subscriptions = {row["stripeSubscriptionId"] for row in _of(tables["claims"], "companyId", {company_id})}
    parts: dict[str, Any] = {name: _only(tables[name], company_id) for name in _BY_COMPANY}
    parts |= {name: _of(tables[name], "companyId", {company_id}) for name in ("links", "claims")}
    return copy_json(
        {
            **tables,
            **parts,
            "companies": _of(tables["companies"], "id", {company_id}),
            "events": {key: event for key, event in tables["events"].items() if event["companyId"] == company_id},
            "stripe": {
                "subscriptions": _of(tables["stripe"]["subscriptions"], "id", subscriptions),
                "sessions": _of(tables["stripe"]["sessions"], "subscriptionId", subscriptions),
            },
        }
    )


def _only(table: Mapping[str, Any], company_id: str) -> dict[str, Any]:
    return {company_id: table[company_id]} if company_id in table else {}


def _of(rows: list[Any], name: str, wanted: Container[str]) -> list[Any]:
    return [row for row in rows if row[name] in wanted]
