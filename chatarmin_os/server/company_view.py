"""One company as the page shows it: its rows, why it may use each feature, its timeline, its usage over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chatarmin_os._json import timestamp_text
from chatarmin_os.server.changes import access_bounds
from chatarmin_os.server.reasons import reasons
from chatarmin_os.server.view import MAX_ROWS, company_row, head, index_of
from chatarmin_os.server.words import level

if TYPE_CHECKING:
    from chatarmin_os._json import JSON
    from chatarmin_os.fake.rows import Company
    from chatarmin_os.fake.state import State
    from chatarmin_os.server.product import Product
    from chatarmin_os.server.timeline import Timeline

MAX_POINTS = 200
"""The most moments of one feature's usage that are shown; changes of limits and resets stay."""


def find(state: State, company: str) -> Company | None:
    """Return a company by its id, or by an external org id that is linked to it; None for any other text."""
    link = state.links.get(company)
    return state.companies.get(link["companyId"] if link else company)


def company_view(
    product: Product, company: str, *, since: int | None = None, before: int | None = None, limit: int = MAX_ROWS
) -> JSON:
    """Return a company with its timeline, newest first; or only the version of the product if that is still *since*.

    For an unknown id the company is None.

    Args:
        product: The product.
        company: The id of the company, or an external org id that is linked to it.
        since: The version of an earlier view.
        before: Only events with a lower id; None: all.
        limit: The highest number of events.
    """
    start = head(product, since)
    if start["unchanged"]:
        return start
    with product.fake.service.read() as state:
        row = find(state, company)
        if row is None:
            return {**start, "company": None}
        index = index_of(product, state)
        links = index.links.get(row["id"])
        timeline = product.timeline_of(state)
        events, has_more = timeline.page(row["id"], state.catalogue, before=before, limit=limit)
        return {
            **start,
            "company": company_row(state, row, index),
            "reasons": reasons(product, state, row["id"], links[0]["externalOrgId"] if links else None),
            "events": events,
            "has_more": has_more,
            "usage": _usage(timeline, state, row["id"]),
        }


def _usage(timeline: Timeline, state: State, company_id: str) -> list[JSON]:
    """Return the usage of each feature that has a quantity, from its first change until now."""
    levels, now = timeline.levels(company_id, state.catalogue), timestamp_text(state.now)
    accesses, used = state.access.get(company_id, {}), state.usage.get(company_id, {})
    found: list[JSON] = []
    for code, feature in state.catalogue.features.items():
        access = accesses.get(code)
        present = level(used.get(code, 0), access and access_bounds(access))
        if not feature["hasQuantity"] or not (code in levels or present[0] or access):
            continue
        points = [*_thinned(levels.get(code, [])), [now, present[0], *present]]
        names = ("at", "before", "usage", "limit", "included", "billable")
        rows = [dict(zip(names, point, strict=True)) for point in points]
        found.append({"code": code, "name": feature["name"], "points": rows})
    return found


def _thinned(points: list[list[Any]]) -> list[list[Any]]:
    """Return at most about `MAX_POINTS` points; those at which a limit changes or usage falls stay.

    Example:
        >>> points = [["", n, n + 1, 1000, None, 0] for n in range(1000)]
        >>> thin = _thinned(points)
        >>> len(thin), thin[-1] == points[-1]
        (200, True)
    """
    step = -(-len(points) // MAX_POINTS)
    return [
        point
        for place, point in enumerate(points)
        if (len(points) - 1 - place) % max(step, 1) == 0
        or point[2] < point[1]
        or (place and point[3:5] != points[place - 1][3:5])
    ]
