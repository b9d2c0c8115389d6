"""The state from which the calls of a recording start, from its prologue.

No query shows checkouts, or companies that were only suggested: the calls about them do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from chatarmin_os.drift.catalogue import ObservedCatalogue
from chatarmin_os.drift.knowledge import Knowledge
from chatarmin_os.drift.observer import Observer
from chatarmin_os.drift.reading import mapping, number, objects, refusal, text
from chatarmin_os.errors import ApiError
from chatarmin_os.fake import FakeTransport
from chatarmin_os.fake.router import ROUTES, read_input
from chatarmin_os.fake.rules import addresses
from chatarmin_os.fake.rules.names import normalised
from chatarmin_os.recording.prologue import created_by, subscription_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from chatarmin_os.fake.state import State
    from chatarmin_os.recording.line import RecordedCall

_OTHER_OWNER = "owner of the subscription"


class Start(NamedTuple):
    """A fake in the state from which the calls start.

    Attributes:
        explained: Lines of refusals that were given an invented reason, because no line shows it: they confirm nothing.
    """

    fake: FakeTransport
    catalogue: ObservedCatalogue
    knowledge: Knowledge
    explained: set[int]


def infer_start(lines: Sequence[RecordedCall], now: datetime) -> Start:
    """Return the state from which the calls among *lines* start."""
    catalogue, knowledge = ObservedCatalogue(lines), Knowledge()
    fake = FakeTransport(catalogue.catalogue, now=lambda: now)
    created = {created_by(line.path, line.outcome.get("answer")) or "" for line in lines}
    calls = [line for line in lines if not line.is_prologue]
    with fake.service.read() as state:
        observer = Observer(state, knowledge, catalogue.paid, created)
        rows = {company: row for company, row in _rows(lines).items() if company not in created}
        for company in _in_order(list(rows), calls):
            observer.add_company(company, rows[company])
        for line in lines:
            if line.is_prologue:
                observer.observe(line)
        explained = _observe_stripe(observer, state, calls, set(catalogue.paid))
    return Start(fake, catalogue, knowledge, explained)


def _rows(lines: Sequence[RecordedCall]) -> dict[str, dict[str, Any]]:
    """Return companies with their names and domains, as prologue lines and suggestions show them."""
    rows: dict[str, dict[str, Any]] = {}
    contacts = _contact_domains(lines)
    for line in lines:
        answer = mapping(line.outcome.get("answer"))
        if line.is_prologue and line.path == "companies.getByProductLink" and (company := text(answer.get("id"))):
            rows[company] = answer
        for suggestion in objects(answer.get("suggestions")):
            if company := text(suggestion.get("companyId")):
                hints = mapping(mapping(line.input).get("hints"))
                rows.setdefault(company, _suggested_row(company, suggestion, hints, contacts))
    return rows


def _contact_domains(lines: Sequence[RecordedCall]) -> set[tuple[str | None, str | None]]:
    """Return pairs of a company and the domain of one of its contacts, as any line shows them."""
    found = set()
    for line in lines:
        given, answer = mapping(line.input), line.outcome.get("answer")
        company = text(given.get("companyId")) or text(mapping(answer).get("companyId"))
        for row in [given, *objects(given.get("contacts")), *objects(answer)]:
            for key in ("email", "contactEmail"):
                found.add((company, addresses.email_domain(text(row.get(key)) or "")))
    return found


def _suggested_row(
    company: str, suggestion: dict[str, Any], hints: dict[str, Any], contacts: set[tuple[str | None, str | None]]
) -> dict[str, Any]:
    """Return the name of a suggested company, and a domain that explains why it was suggested."""
    emails = hints["emails"] if isinstance(hints.get("emails"), list) else []
    domains = [domain for email in emails if (domain := addresses.email_domain(str(email)))]
    hint, name = (
        addresses.business_domain(addresses.domain(text(hints.get("domain")) or "")),
        suggestion.get("customerName"),
    )
    domain = None
    if suggestion.get("reason") == "domain":
        domain = hint
    elif suggestion.get("reason") == "email_domain":
        domain = None if any((company, one) in contacts for one in domains) else next(iter(domains), None)
    elif hint and normalised(text(hints.get("companyName")) or "") == normalised(str(name)):
        domain = "another.invalid"  # or it would have been linked
    return {"name": name, "domain": domain}


def _in_order(companies: list[str], calls: Sequence[RecordedCall]) -> list[str]:
    """Return companies in the order of their creation, which suggestions with equal confidence show."""
    order, place_of = [*companies], {company: place for place, company in enumerate(companies)}
    for call in calls:
        alike: dict[int | float | None, list[str]] = {}
        for suggestion in objects(mapping(call.outcome.get("answer")).get("suggestions")):
            if (company := text(suggestion.get("companyId"))) in place_of:
                alike.setdefault(number(suggestion.get("confidence")), []).append(str(company))
        for group in alike.values():
            for place, company in zip(sorted(place_of[company] for company in group), group, strict=True):
                order[place], place_of[company] = company, place
    return order


def _observe_stripe(observer: Observer, state: State, calls: Sequence[RecordedCall], claimed: set[str]) -> set[int]:
    """Add the checkouts and subscriptions that calls name; return the lines whose refusals have an invented reason."""
    for call in calls:
        given, answer = mapping(call.input), mapping(call.outcome.get("answer"))
        session, named = text(given.get("checkoutSessionId")), text(given.get("stripeSubscriptionId"))
        if (session or named) and (subscription := subscription_of(answer)):
            row = observer.add_subscription(subscription, text(given.get("stripeCustomerId")))
            claimed.add(subscription)
            if session:
                is_name = answer.get("linkStatus") == "created" and not mapping(given.get("hints")).get("companyName")
                state.sessions[session] = {
                    "id": session,
                    "priceIds": row["priceIds"],
                    "customerName": text(answer.get("companyName")) if is_name else None,
                    "subscriptionId": subscription,
                }
    return {call.line for call in calls if _explain_refusal(observer, state, call, claimed)}


def _explain_refusal(observer: Observer, state: State, call: RecordedCall, claimed: set[str]) -> bool:
    """Add a checkout or subscription that the service refuses for a reason that no line shows."""
    code, given = refusal(call), mapping(call.input)
    session, subscription = text(given.get("checkoutSessionId")), text(given.get("stripeSubscriptionId"))
    if code not in {"BAD_REQUEST", "CONFLICT"} or bool(session) == bool(subscription) or not _is_well_formed(call):
        return False
    if session and session not in state.sessions:
        completed = f"subscription of {session}" if code == "CONFLICT" else None
        state.sessions[session] = {"id": session, "priceIds": [], "customerName": None, "subscriptionId": completed}
        subscription = completed
    elif session:
        subscription = state.sessions[session]["subscriptionId"]
    elif subscription in state.subscriptions and code == "BAD_REQUEST":
        return False  # cancelled later, or another customer's
    elif code == "BAD_REQUEST":  # cancelled, or another customer's
        observer.add_subscription(str(subscription))["isActive"] = "stripeCustomerId" in given
        return True
    if subscription and code == "CONFLICT" and subscription not in state.claims and subscription not in claimed:
        observer.add_company(_OTHER_OWNER)
        observer.add_claim(_OTHER_OWNER, subscription)
        return True
    return subscription is None


def _is_well_formed(call: RecordedCall) -> bool:
    """Return whether the fake accepts the input of a call; an invalid input explains a refusal."""
    route = ROUTES.get(call.path)
    try:
        return route is not None and bool(read_input(route, call.input))
    except ApiError:
        return False
