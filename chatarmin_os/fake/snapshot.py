"""All tables of the fake as JSON, and back; loading refuses a broken snapshot."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, TypedDict, cast

from chatarmin_os._converter import mismatch
from chatarmin_os._input import at_field, optional_timestamp
from chatarmin_os._json import MAX_DEPTH, copy_json, describe, finite, short_repr, to_json
from chatarmin_os.errors import InvalidInput
from chatarmin_os.fake.catalogue import Catalogue
from chatarmin_os.fake.rows import (
    Access,
    Claim,
    Company,
    Contact,
    Event,
    Feature,
    Link,
    Session,
    StripeSubscription,
    Tier,
)
from chatarmin_os.fake.state import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from chatarmin_os._json import JSON
    from chatarmin_os.fake.rows import Number

_FORMAT = "chatarmin_os fake 1"
_MICROSECOND = timedelta(microseconds=1)
_MAX_DEPTH = MAX_DEPTH + 20  # of an argument, and of the tables around it
_MAX_DIGITS = 1100  # more than any sum of floats has; Python refuses to write an integer of 4,300 digits
_MAX_BITS = 3654  # of a number with that many digits
_AMOUNT = re.compile(rf"(?=.{{1,{_MAX_DIGITS}}}$)[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{{1,3}})?")


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
    """Return copies of the tables, which share the rows: these do not change."""
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
        "access": state.access.copy(),
        "tiers": state.tiers.copy(),
        "usage": {
            company: {code: str(amount) for code, amount in usage.items()} for company, usage in state.usage.items()
        },
        "events": state.events.copy(),
        "stripe": {
            "subscriptions": list(state.subscriptions.values()),
            "sessions": list(state.sessions.values()),
        },
        "claims": list(state.claims.values()),
        "mrr": state.mrr.copy(),
    }


def load(snapshot: JSON) -> State:
    """Return the state that a snapshot holds.

    Raises:
        ValueError: It is not a snapshot of this format, or its tables are broken; the message names the place.
    """
    if not isinstance(snapshot, dict) or snapshot.get("format") != _FORMAT:
        raise ValueError(f"not a snapshot of this version of the fake: expected the format {_FORMAT!r}")
    try:
        content = cast("Snapshot", copy_json(snapshot))
        _refuse_unwritable(content)
        problem = mismatch(content, Snapshot) or next(_contradictions(content), None)
        if problem is None:
            return _load(content)
    except InvalidInput as refusal:
        problem = str(refusal)
    except RecursionError:
        problem = "it is nested too deep"
    raise ValueError(f"the snapshot is broken: {problem}")


def _load(content: Snapshot) -> State:
    catalogue = Catalogue()
    catalogue.features = {feature["code"]: feature for feature in content["catalogue"]["features"]}
    catalogue.tiers = {tier["code"]: tier for tier in content["catalogue"]["tiers"]}
    state = State(catalogue)
    state.clock_offset = at_field("clock_offset_microseconds", _offset)(content["clock_offset_microseconds"])
    for index, tier in enumerate(content["catalogue"]["tiers"]):
        at_field(f"catalogue.tiers[{index}]", _check_tier)(tier)
    for index, company in enumerate(content["companies"]):
        at_field(f"companies[{index}].createdAt", optional_timestamp)(company["createdAt"])
        state.companies[company["id"]] = company
        state.index_company(company)
    state.links = {link["externalOrgId"]: link for link in content["links"]}
    for company_id, contacts in content["contacts"].items():
        for contact in contacts:
            state.add_contact(company_id, contact)
    for company_id, accesses in content["access"].items():
        for code, access in accesses.items():
            at_field(f"access.{company_id}.{code}", _check_access)(access)
    state.access = content["access"]
    state.tiers = content["tiers"]
    state.usage = {
        company: {code: at_field(f"usage.{company}.{code}", _amount)(amount) for code, amount in usage.items()}
        for company, usage in content["usage"].items()
    }
    for key, event in content["events"].items():
        at_field(f"events.{key}", _check_event)(event)
    state.events = content["events"]
    state.subscriptions = {row["id"]: row for row in content["stripe"]["subscriptions"]}
    state.sessions = {row["id"]: row for row in content["stripe"]["sessions"]}
    for index, claim in enumerate(content["claims"]):
        at_field(f"claims[{index}].monthlyFee", _not_negative)(claim["monthlyFee"])
        state.add_claim(claim)
    for company_id, revenue in content["mrr"].items():
        at_field(f"mrr.{company_id}", _not_negative)(revenue)
    state.mrr = content["mrr"]
    return state


def _refuse_unwritable(value: JSON, depth: int = 0) -> None:
    """Refuse values that no response can hold: infinity, huge integers, half a surrogate pair."""
    if depth > _MAX_DEPTH:
        raise RecursionError  # at the same depth on every version of Python
    if isinstance(value, float):
        finite(value)
    elif isinstance(value, int):
        if value.bit_length() > _MAX_BITS:
            raise InvalidInput(f"expected a number of at most {_MAX_DIGITS} digits")
    elif isinstance(value, str):
        to_json(value)
    elif isinstance(value, (dict, list)):
        for place, inner in value.items() if isinstance(value, dict) else enumerate(value):
            name = (
                f"[{place}]" if isinstance(value, list) else to_json(place) if isinstance(place, str) else repr(place)
            )
            try:
                _refuse_unwritable(inner, depth + 1)
            except InvalidInput as refusal:
                raise refusal.at(name) from None


def _offset(microseconds: int) -> timedelta:
    if not isinstance(microseconds, int) or not 0 <= microseconds <= timedelta.max // _MICROSECOND:
        raise InvalidInput(
            f"expected the microseconds by which fake.advance moved the clock, got {describe(microseconds)}"
        )
    return microseconds * _MICROSECOND


def _check_tier(tier: Tier) -> None:
    at_field("baseFee", _not_negative)(tier["baseFee"])
    for code, granted in tier["features"].items():
        for key in ("quantityLimit", "includedQuantity", "unitAmount"):
            at_field(f"features.{code}.{key}", _not_negative)(granted.get(key))


def _check_access(access: Access) -> None:
    at_field("quantityLimit", _not_negative)(access["quantityLimit"])
    at_field("includedQuantity", _not_negative)(access["includedQuantity"])
    at_field("validUntil", optional_timestamp)(access["validUntil"])


def _check_event(event: Event) -> None:
    answer = event["answer"]
    at_field("quantity", _not_negative)(event["quantity"])
    at_field("answer.currentUsage", _not_negative)(answer["currentUsage"])
    at_field("answer.remaining", _not_negative)(answer["remaining"])
    at_field("answer.billableQuantity", _not_negative)(answer["billableQuantity"])


def _not_negative(value: Number | None) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if value is not None and not (is_number and value >= 0):
        raise InvalidInput(f"expected a number of at least 0, got {describe(value)}")


def _amount(text: str) -> Decimal:
    """Parse an amount of usage, with at most as many digits as sums of quantities can have."""
    amount = Decimal(text) if _AMOUNT.fullmatch(text) else None
    if amount is None:
        raise InvalidInput(f"expected an amount of usage, got {short_repr(text)}")
    return amount


def _contradictions(content: Snapshot) -> Iterator[str]:
    """Yield the duplicates in a snapshot, and the references to rows that it lacks."""
    catalogue, stripe = content["catalogue"], content["stripe"]
    features = {row["code"] for row in catalogue["features"]}
    tiers = {row["code"] for row in catalogue["tiers"]}
    companies = {row["id"] for row in content["companies"]}
    subscriptions = {row["id"] for row in stripe["subscriptions"]}
    references: list[tuple[str, set[str], Iterable[str | None]]] = [
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
    unique: dict[str, list[str]] = {
        "feature": [row["code"] for row in catalogue["features"]],
        "tier": [row["code"] for row in catalogue["tiers"]],
        "company": [row["id"] for row in content["companies"]],
        "short id": [row["shortId"] for row in content["companies"]],
        "link": [row["externalOrgId"] for row in content["links"]],
        "Stripe subscription": [row["id"] for row in stripe["subscriptions"]],
        "checkout session": [row["id"] for row in stripe["sessions"]],
        "claim": [row["stripeSubscriptionId"] for row in content["claims"]],
        "contact": [
            f"{company} {row['email'].lower()}" for company, rows in content["contacts"].items() for row in rows
        ],
    }
    for kind, keys in unique.items():
        if len(set(keys)) < len(keys):
            yield f"it has a duplicate {kind}"
    for kind, known, ids in references:
        for one in ids:
            if one is not None and one not in known:
                yield f"it lacks the {kind} {one!r}, which it refers to"
