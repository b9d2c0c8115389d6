"""The state from which the calls of a recording start, as its prologue shows it.

No query shows checkouts, or companies that were only suggested: these are taken from the calls about them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from chatarmin_os.drift._catalogue import ObservedCatalogue
from chatarmin_os.drift._knowledge import Knowledge
from chatarmin_os.drift._observer import Observer
from chatarmin_os.drift._reading import mapping, number, objects, refusal, text
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

_SOMEBODY = "company that has it"


class Start(NamedTuple):
    """A fake in the state from which the calls start.

    Attributes:
        explained: Lines of refusals whose reason was invented, because nothing shows it: they confirm nothing.
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
        prologue = [line for line in lines if line.is_prologue]
        for line in sorted(prologue, key=lambda line: line.path != "companies.getByProductLink"):  # they show names
            observer.observe(line)
        for line in calls:
            for suggestion in objects(mapping(line.outcome.get("answer")).get("suggestions")):
                _observe_suggestion(observer, state, mapping(mapping(line.input).get("hints")), suggestion)
        _reorder(state, calls)
        explained = _observe_stripe(observer, state, calls, set(catalogue.paid))
    return Start(fake, catalogue, knowledge, explained)


def _observe_suggestion(observer: Observer, state: State, hints: dict[str, Any], suggestion: dict[str, Any]) -> None:
    """Learn name and domain of a company from the reason for which it was suggested."""
    company = text(suggestion.get("companyId"))
    if company is None or observer.is_created(company):
        return
    emails = hints["emails"] if isinstance(hints.get("emails"), list) else []
    domains = {domain for email in emails if (domain := addresses.email_domain(str(email)))}
    hinted, name = addresses.telling(addresses.domain(text(hints.get("domain")) or "")), suggestion.get("customerName")
    domain = None
    if suggestion.get("reason") == "domain":
        domain = hinted
    elif suggestion.get("reason") == "email_domain":
        contacts = {addresses.email_domain(email) for email in state.contacts.get(company, ())}
        domain = None if contacts & domains else next(iter(domains), None)
    elif hinted and normalised(text(hints.get("companyName")) or "") == normalised(str(name)):
        domain = "another.invalid"  # or it would have been linked
    observer.add_company(company, {"name": name, "domain": domain})


def _reorder(state: State, calls: Sequence[RecordedCall]) -> None:
    """Put companies in the order in which they were created, as far as suggestions show it: of equal ones the first."""
    order, place_of = state.order, {company: place for place, company in enumerate(state.order)}
    for call in calls:
        alike: dict[int | float | None, list[str]] = {}
        for suggestion in objects(mapping(call.outcome.get("answer")).get("suggestions")):
            if (company := text(suggestion.get("companyId"))) in place_of:
                alike.setdefault(number(suggestion.get("confidence")), []).append(company)
        for group in alike.values():
            for place, company in zip(sorted(place_of[company] for company in group), group, strict=True):
                order[place], place_of[company] = company, place


def _observe_stripe(observer: Observer, state: State, calls: Sequence[RecordedCall], claimed: set[str]) -> set[int]:
    """Add the checkouts and subscriptions that calls name; return the lines whose refusals they only explain."""
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
        bought = f"subscription of {session}" if code == "CONFLICT" else None
        state.sessions[session] = {"id": session, "priceIds": [], "customerName": None, "subscriptionId": bought}
        subscription = bought
    elif session:
        subscription = state.sessions[session]["subscriptionId"]
    elif subscription in state.subscriptions and code == "BAD_REQUEST":
        return False  # cancelled later, or another customer's
    elif code == "BAD_REQUEST":  # cancelled, or another customer's
        observer.add_subscription(str(subscription))["isActive"] = "stripeCustomerId" in given
        return True
    if subscription and code == "CONFLICT" and subscription not in state.claims and subscription not in claimed:
        observer.add_company(_SOMEBODY)
        observer.add_claim(_SOMEBODY, subscription)
        return True
    return subscription is None


def _is_well_formed(call: RecordedCall) -> bool:
    """Return whether the fake accepts the input of a call; if not, that is why the service refused it."""
    route = ROUTES.get(call.path)
    try:
        return route is not None and bool(read_input(route, call.input))
    except ApiError:
        return False
