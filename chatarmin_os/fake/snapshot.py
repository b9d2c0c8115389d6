"""The whole of what the fake knows as JSON, and back; what is broken is refused when it is loaded."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, TypedDict, cast

from chatarmin_os._converter import mismatch
from chatarmin_os._input import optional_instant, within
from chatarmin_os._json import finite, shortened, unshared
from chatarmin_os.errors import InvalidInput
from chatarmin_os.fake.catalogue import Catalogue, Feature, Tier
from chatarmin_os.fake.state import Access, Claim, Company, Contact, Event, Link, Session, State, StripeSubscription

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from chatarmin_os._json import JSON

_FORMAT = "chatarmin_os fake 1"
_MICROSECOND = timedelta(microseconds=1)


class _CatalogueTables(TypedDict):
    features: list[Feature]
    tiers: list[Tier]


class _StripeTables(TypedDict):
    subscriptions: list[StripeSubscription]
    sessions: list[Session]


class Snapshot(TypedDict):
    """The tables as JSON; amounts of usage are decimal text."""

    format: str
    clock_offset_microseconds: int
    catalogue: _CatalogueTables
    companies: list[Company]
    links: list[Link]
    contacts: dict[str, list[Contact]]
    access: dict[str, dict[str, Access]]
    tiers: dict[str, str]
    usage: dict[str, dict[str, str]]
    events: dict[str, Event]
    stripe: _StripeTables
    claims: list[Claim]
    mrr: dict[str, int]


def tables(state: State) -> Snapshot:
    """Return everything, not copied."""
    return {
        "format": _FORMAT,
        "clock_offset_microseconds": state.clock_offset // _MICROSECOND,
        "catalogue": {
            "features": list(state.catalogue.features.values()),
            "tiers": list(state.catalogue.tiers.values()),
        },
        "companies": list(state.companies.values()),
        "links": list(state.links.values()),
        "contacts": {company: list(contacts.values()) for company, contacts in state.contacts.items()},
        "access": state.access,
        "tiers": state.tiers,
        "usage": {
            company: {code: str(amount) for code, amount in usage.items()} for company, usage in state.usage.items()
        },
        "events": state.events,
        "stripe": {
            "subscriptions": list(state.subscriptions.values()),
            "sessions": list(state.sessions.values()),
        },
        "claims": list(state.claims.values()),
        "mrr": state.mrr,
    }


def taken(state: State) -> JSON:
    """Return everything as JSON."""
    return unshared(tables(state))


def loaded(snapshot: JSON) -> State:
    """Return the state that a snapshot holds.

    Raises:
        ValueError: It is no snapshot of this format, or one whose tables are broken; the place is named.
    """
    if not isinstance(snapshot, dict) or snapshot.get("format") != _FORMAT:
        raise ValueError(f"not a snapshot of this version of the fake: expected the format {_FORMAT!r}")
    try:
        content = cast("Snapshot", unshared(snapshot))
        _refuse_numbers_of_no_json(content)
        problem = mismatch(content, Snapshot) or next(_contradictions(content), None)
        if problem is None:
            return _loaded(content)
    except (ArithmeticError, ValueError) as error:
        problem = str(error)
    except RecursionError:
        problem = "it is nested too deep"
    raise ValueError(f"the snapshot is broken: {problem}")


def _loaded(content: Snapshot) -> State:
    catalogue = Catalogue()
    catalogue.features = {feature["code"]: feature for feature in content["catalogue"]["features"]}
    catalogue.tiers = {tier["code"]: tier for tier in content["catalogue"]["tiers"]}
    state = State(catalogue)
    state.clock_offset = content["clock_offset_microseconds"] * _MICROSECOND
    for company in content["companies"]:
        state.companies[company["id"]] = company
        state.index_company(company)
    state.links = {link["externalOrgId"]: link for link in content["links"]}
    for company_id, contacts in content["contacts"].items():
        for contact in contacts:
            state.add_contact(company_id, contact)
    for accesses in content["access"].values():
        for access in accesses.values():
            within("validUntil", optional_instant)(access["validUntil"])
    state.access = content["access"]
    state.tiers = content["tiers"]
    state.usage = {
        company: {code: within(f"usage.{company}.{code}", _amount)(amount) for code, amount in usage.items()}
        for company, usage in content["usage"].items()
    }
    state.events = content["events"]
    state.subscriptions = {row["id"]: row for row in content["stripe"]["subscriptions"]}
    state.sessions = {row["id"]: row for row in content["stripe"]["sessions"]}
    for claim in content["claims"]:
        state.add_claim(claim)
    state.mrr = content["mrr"]
    return state


def _refuse_numbers_of_no_json(value: JSON) -> None:
    """Refuse infinity and its like wherever they are: Python reads them, and could not write them in an answer."""
    if isinstance(value, float):
        finite(value)
    elif isinstance(value, (dict, list)):
        for place, inner in value.items() if isinstance(value, dict) else enumerate(value):
            try:
                _refuse_numbers_of_no_json(inner)
            except InvalidInput as refusal:
                raise refusal.inside(f"[{place}]" if isinstance(value, list) else str(place)) from None


def _amount(text: str) -> Decimal:
    amount = Decimal(text) if re.fullmatch(r"[0-9.]+(E[+-]?[0-9]{1,3})?", text) else None
    if amount is None:
        raise InvalidInput(f"expected an amount of usage, got {shortened(text)}")
    return amount


def _contradictions(content: Snapshot) -> Iterator[str]:
    """Yield what stands twice in a snapshot, and what it speaks of and does not hold."""
    catalogue, stripe = content["catalogue"], content["stripe"]
    features = {row["code"] for row in catalogue["features"]}
    tiers = {row["code"] for row in catalogue["tiers"]}
    companies = {row["id"] for row in content["companies"]}
    subscriptions = {row["id"] for row in stripe["subscriptions"]}
    spoken_of: list[tuple[str, set[str], Iterable[str | None]]] = [
        ("feature", features, (code for tier in catalogue["tiers"] for code in tier["features"])),
        ("feature", features, (code for accesses in content["access"].values() for code in accesses)),
        ("feature", features, (code for usage in content["usage"].values() for code in usage)),
        ("tier", tiers, content["tiers"].values()),
        ("tier", tiers, (claim["tierCode"] for claim in content["claims"])),
        ("company", companies, content["contacts"]),
        ("company", companies, content["access"]),
        ("company", companies, content["usage"]),
        ("company", companies, content["tiers"]),
        ("company", companies, content["mrr"]),
        ("company", companies, (link["companyId"] for link in content["links"])),
        ("company", companies, (claim["companyId"] for claim in content["claims"])),
        ("company", companies, (event["companyId"] for event in content["events"].values())),
        ("Stripe subscription", subscriptions, (session["subscriptionId"] for session in stripe["sessions"])),
        ("Stripe subscription", subscriptions, (claim["stripeSubscriptionId"] for claim in content["claims"])),
    ]
    once: dict[str, list[str]] = {
        "feature": [row["code"] for row in catalogue["features"]],
        "tier": [row["code"] for row in catalogue["tiers"]],
        "company": [row["id"] for row in content["companies"]],
        "short id": [row["shortId"] for row in content["companies"]],
        "link": [row["externalOrgId"] for row in content["links"]],
        "Stripe subscription": [row["id"] for row in stripe["subscriptions"]],
        "checkout session": [row["id"] for row in stripe["sessions"]],
        "claim": [row["stripeSubscriptionId"] for row in content["claims"]],
    }
    for what, ids in once.items():
        if len(set(ids)) < len(ids):
            yield f"a {what} stands twice in it"
    for what, known, named in spoken_of:
        for one in named:
            if one is not None and one not in known:
                yield f"there is no {what} {one!r} in it"
