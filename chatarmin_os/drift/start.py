"""How each procedure's recorded answer tells what was there before it was called."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from chatarmin_os._json import timestamp_text
from chatarmin_os.drift._catalogue import ShownCatalogue
from chatarmin_os.drift._facts import Facts
from chatarmin_os.drift._grants import learn_grants
from chatarmin_os.drift._reading import (
    LISTINGS,
    companies_of_orgs,
    company_of,
    mapping,
    number,
    objects,
    refusal,
    sights,
    text,
    tier_applied,
    usage_told,
)
from chatarmin_os.drift._unknown import unknown_fields
from chatarmin_os.drift.compare import instant
from chatarmin_os.errors import ApiError
from chatarmin_os.fake.router import ROUTES, read_input
from chatarmin_os.fake.rules import addresses
from chatarmin_os.fake.rules.matching import DOMAIN, EMAIL_DOMAIN
from chatarmin_os.fake.rules.names import normalised

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from chatarmin_os._json import JSON
    from chatarmin_os.drift._reading import Sight
    from chatarmin_os.recording.file import Recorded

Given: TypeAlias = dict[str, Any]
_Learn: TypeAlias = "Callable[[Facts, Given, JSON], None]"

_ANSWERED: dict[str, _Learn] = {}
_REASONS: dict[int | float | None, str] = {DOMAIN: "domain", EMAIL_DOMAIN: "email_domain"}
_START = {"isEnabled": False, "quantityLimit": 0, "includedQuantity": None, "source": None, "validUntil": None}
_KNOWS_THE_COMPANY = frozenset({None, "FORBIDDEN", "CONFLICT", "PRECONDITION_FAILED"})
_MOST_UNSEEN = 10_000
_UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")


class Seed(NamedTuple):
    """What calls start from, and the fields of their answers that cannot be known from it, by the call's place."""

    snapshot: JSON
    unknown: dict[int, frozenset[str]]
    explained: frozenset[int]
    """Places of refusals for which something was made up that explains them: they confirm nothing."""


def seeded(calls: Sequence[Recorded], now: datetime, past: Sequence[Recorded] = (), *, is_redacted: bool) -> Seed:
    """Return what *calls* start from; of *past* ones, made before, only what does not change counts."""
    every = [*past, *calls]
    catalogue, of_org = ShownCatalogue(every), companies_of_orgs(every)
    learn_grants(catalogue, every, of_org)
    facts = Facts(catalogue, of_org, now)
    for recorded in every:
        facts.note(recorded)
    explained = set()
    for place, recorded in enumerate(calls):
        size = facts.size
        if "failure" not in recorded.came:
            _learn(facts, recorded)
        if "error" in recorded.came and facts.size != size:
            explained.add(place)
    for recorded in past:
        _remember(facts, recorded)
    unknown = (
        (place, unknown_fields(facts, recorded, is_redacted=is_redacted)) for place, recorded in enumerate(calls)
    )
    return Seed(facts.snapshot(), {place: fields for place, fields in unknown if fields}, frozenset(explained))


def _learn(facts: Facts, recorded: Recorded) -> None:
    given = mapping(recorded.input)
    for sight in sights(recorded):
        _see(facts, sight, recorded)
    if usage := usage_told(recorded):
        company, code = text(given.get("companyId")), text(given.get("featureCode"))
        facts.had_access(company or "", code or "", usage, is_whole=False)
    if "answer" in recorded.came:
        learn = _ANSWERED.get(recorded.path)
        if learn:
            learn(facts, given, recorded.came["answer"])
    else:
        _learn_from_refusal(facts, recorded, given)
    company = company_of(recorded)
    if company and refusal(recorded) in _KNOWS_THE_COMPANY:
        facts.company(company)
        if applied := tier_applied(recorded):
            _set_by_tier(facts, company, applied)


def _answered(path: str) -> Callable[[_Learn], _Learn]:
    """Declare the decorated function as what learns from the answers of a procedure."""

    def declared(learn: _Learn) -> _Learn:
        _ANSWERED[path] = learn
        return learn

    return declared


# Companies and links


@_answered("companies.getByProductLink")
def _by_product_link(facts: Facts, given: Given, answer: JSON) -> None:
    org, row = str(given.get("externalOrgId")), mapping(answer)
    if company := text(row.get("id")):
        facts.was_linked(org, company)
        if facts.settle("createdAt", company) and (known := facts.company(company)):
            created_at = instant(row.get("createdAt"))
            known["createdAt"] = created_at and timestamp_text(created_at)
    else:
        facts.settle("link", org)


@_answered("companies.create")
def _company_created(facts: Facts, given: Given, answer: JSON) -> None:
    if company := text(mapping(answer).get("id")):
        facts.created.add(company)
        facts.becomes_linked(str(given.get("externalOrgId")), company)


@_answered("companies.update")
def _company_updated(facts: Facts, given: Given, _: JSON) -> None:
    facts.settle("createdAt", str(given.get("companyId")))


@_answered("companies.smartLink")
def _smart_linked(facts: Facts, given: Given, answer: JSON) -> None:
    org, hints, result = str(given.get("externalOrgId")), mapping(given.get("hints")), mapping(answer)
    company = text(result.get("companyId"))
    if company and result.get("status") == "already_linked":
        facts.was_linked(org, company)
    elif company:
        _matched(facts, company, hints, _REASONS.get(number(result.get("confidence")), "name"), is_linked=True)
        facts.becomes_linked(org, company)
    else:
        facts.settle("link", org)
        alike: dict[int | float | None, list[str]] = {}
        for item in objects(result.get("suggestions")):
            if suggested := text(item.get("companyId")):
                _matched(facts, suggested, hints, item.get("reason"), is_linked=False)
                alike.setdefault(number(item.get("confidence")), []).append(suggested)
        for companies in alike.values():  # equals come in the order of creation
            facts.were_created_in_order(list(dict.fromkeys(companies)))


def _matched(facts: Facts, company: str, hints: Given, reason: JSON, *, is_linked: bool) -> None:
    """Learn by what a company was found."""
    emails = hints["emails"] if isinstance(hints.get("emails"), list) else []
    by_email = next((domain for email in emails if (domain := addresses.email_domain(str(email)))), None)
    by_domain = addresses.business_domain(addresses.domain(text(hints.get("domain")) or ""))
    if reason == "name":
        facts.name_by(company, hints.get("companyName"))
    if reason == "email_domain" and by_email and not is_linked:
        facts.had_contact_at(company, by_email)
    row = facts.company(company)
    if not row or row["domain"] or facts.knows_domain(company):
        return
    if reason == "domain":
        row["domain"] = by_domain
    elif reason == "email_domain" and is_linked:
        row["domain"] = by_email
    elif by_domain and not is_linked and _is_named(row, hints):
        row["domain"] = "another.invalid"  # or it would have been linked


def _hinted_name(hints: Given) -> str | None:
    return text(hints.get("companyName"))


def _is_named(row: Given, hints: Given) -> bool:
    name = normalised(_hinted_name(hints) or "")
    return bool(name) and name == normalised(row["name"])


@_answered("onboard")
def _onboarded(facts: Facts, given: Given, answer: JSON) -> None:
    org, hints, result = str(given.get("externalOrgId")), mapping(given.get("hints")), mapping(answer)
    company, status = text(result.get("companyId")), result.get("linkStatus")
    if company is None:
        return
    if status == "already_linked":
        facts.was_linked(org, company)
    elif status == "linked":
        is_named = _is_named(facts.company(company) or {"name": ""}, hints)
        _matched(facts, company, hints, "name" if is_named else "domain" if "domain" in hints else "email_domain",
                 is_linked=True)  # fmt: skip
        facts.becomes_linked(org, company)
    else:
        facts.created.add(company)
        facts.becomes_linked(org, company)
    subscription = text(mapping(result.get("billingStatus")).get("subscriptionId"))
    if subscription and (session := text(given.get("checkoutSessionId"))):
        _claimed(facts, company, session, subscription)
        facts.sessions[session]["customerName"] = None if _hinted_name(hints) else text(result.get("companyName"))
    elif subscription:
        facts.settle("claim", subscription)
        facts.had_subscription(subscription, given.get("stripeCustomerId"))


@_answered("links.create")
def _link_created(facts: Facts, given: Given, answer: JSON) -> None:
    org, company = str(given.get("externalOrgId")), str(given.get("companyId"))
    before = {key: text(mapping(answer).get(key)) for key in ("label", "externalUserId") if key not in given}
    if any(before.values()):
        facts.was_linked(org, company, **before)
    facts.becomes_linked(org, company)


@_answered("links.reset")
def _links_reset(facts: Facts, _: Given, answer: JSON) -> None:
    unseen = int(number(mapping(answer).get("linksDeleted")) or 0) - len(facts.linked)
    for index in range(min(unseen, _MOST_UNSEEN)):
        facts.was_linked(f"organisation {index}", None)
    facts.all_become_unlinked()


# Contacts


@_answered("contacts.create")
def _contact_created(facts: Facts, given: Given, answer: JSON) -> None:
    _upserted(facts, str(given.get("companyId")), given, mapping(answer))


@_answered("contacts.bulkUpsert")
def _contacts_upserted(facts: Facts, given: Given, answer: JSON) -> None:
    shown = objects(mapping(answer).get("contacts"))
    for one, contact in zip(objects(given.get("contacts")), shown, strict=False):
        _upserted(facts, str(given.get("companyId")), one, contact)


def _upserted(facts: Facts, company: str, given: Given, shown: Given) -> None:
    """Learn from a contact as it is after it was created or changed."""
    email = text(shown.get("email")) or text(given.get("email")) or ""
    if shown.get("isNew") is not False:
        facts.settle("contact", company, email.lower())
        return
    settings = mapping(shown.get("metadata"))
    kept = {key: settings[key] for key in settings if key not in mapping(given.get("metadata"))}
    before = {key: value for key, value in shown.items() if key not in given}
    facts.had_contact(company, {**before, "email": email, "metadata": kept})


@_answered("contacts.list")
def _contacts_listed(facts: Facts, given: Given, answer: JSON) -> None:
    company = str(given.get("companyId"))
    for shown in objects(answer):
        facts.had_contact(company, shown)
    if given.get("primaryOnly") is not True:
        facts.are_in_order(company, [str(shown.get("email")).lower() for shown in objects(answer)])


# Access and usage


def _see(facts: Facts, sight: Sight, recorded: Recorded) -> None:
    company = facts.was_linked(sight.org, sight.company) if sight.org else sight.company
    if company is None:
        return
    if recorded.path in LISTINGS:
        facts.is_listed(company)
    facts.used(company, sight.feature, number(sight.access.get("currentUsage")) or 0)
    is_set = recorded.path == "features.setAccess"
    shown = _before(facts, sight.access, mapping(recorded.input)) if is_set else sight.access
    facts.had_access(company, sight.feature, shown)


def _before(facts: Facts, access: Given, given: Given) -> Given:
    """Return what an access may have been before it was changed: what was given is not what was there."""
    settings = mapping(access.get("configValues"))
    kept = {key: settings[key] for key in settings if key not in mapping(given.get("config"))}
    before = {**access, "configValues": kept, **{key: _START[key] for key in _START if key in given}}
    has_limits = bool(before.get("quantityLimit")) or before.get("includedQuantity") is not None
    if "source" in given and (kept or has_limits):
        before["source"] = "api"  # there was one, from wherever
    if "validUntil" in given and "isEnabled" not in given and facts.is_past(access.get("validUntil")):
        before["isEnabled"] = True
    return before


@_answered("billing.trackUsage")
def _tracked(facts: Facts, given: Given, answer: JSON) -> None:
    company, code = str(given.get("companyId")), str(given.get("featureCode"))
    key, quantity = text(given.get("idempotencyKey")), number(given.get("quantity"))
    used = number(mapping(answer).get("currentUsage"))
    if quantity is None or used is None or (key and facts.is_settled("key", key)):
        return
    if key and used <= facts.usage(company, code):  # it would be more, if this were not the answer of an earlier time
        facts.had_event(key, company, code, quantity, mapping(answer))
        return
    facts.settle("key", key or "")
    facts.count(company, code, quantity)
    facts.used(company, code, used)


def _remember(facts: Facts, recorded: Recorded) -> None:
    """Keep what a usage key was used for."""
    given, answer = mapping(recorded.input), mapping(recorded.came.get("answer"))
    key, company, code = (text(given.get(name)) for name in ("idempotencyKey", "companyId", "featureCode"))
    if recorded.path == "billing.trackUsage" and answer and key and company and code:
        facts.had_event(key, company, code, given.get("quantity"), answer)


# Tiers and subscriptions


def _set_by_tier(facts: Facts, company: str, code: str) -> None:
    facts.is_given(company, code)
    for feature in facts.catalogue.tiers[code]["features"]:
        facts.settle("access", company, feature)


def _claimed(facts: Facts, company: str, session: str, subscription: str) -> None:
    """Learn of a checkout that a company claims; the first claim applies its tier."""
    is_new = facts.settle("claim", subscription)
    facts.had_subscription(subscription)
    facts.had_session(session, subscription)
    tier = facts.catalogue.paid.get(subscription)
    if tier and is_new:
        _set_by_tier(facts, company, tier["code"])


@_answered("billing.claimCheckout")
def _checkout_claimed(facts: Facts, given: Given, answer: JSON) -> None:
    company, session = str(given.get("companyId")), str(given.get("checkoutSessionId"))
    if subscription := text(mapping(answer).get("subscriptionId")):
        if mapping(answer).get("alreadyClaimed") is True:
            facts.was_claimed(subscription, company)
        _claimed(facts, company, session, subscription)


@_answered("billing.linkSubscription")
def _subscription_linked(facts: Facts, given: Given, answer: JSON) -> None:
    company, subscription = str(given.get("companyId")), str(given.get("stripeSubscriptionId"))
    if mapping(answer).get("alreadyLinked") is True:
        facts.was_claimed(subscription, company)
    facts.settle("claim", subscription)
    facts.had_subscription(subscription, given.get("stripeCustomerId"))


@_answered("billing.getStatus")
def _status_told(facts: Facts, given: Given, answer: JSON) -> None:
    company = str(given.get("companyId"))
    shown = objects(mapping(answer).get("activeSubscriptions"))
    for one in shown:
        if subscription := text(one.get("stripeSubscriptionId")):
            facts.was_claimed(subscription, company, one)
    if mapping(answer).get("hasBillingProfile") is True and not shown and facts.settle("profile", company):
        facts.had_billing_profile(company)


# Refusals


def _is_well_formed(recorded: Recorded) -> bool:
    route = ROUTES.get(recorded.path)
    try:
        return route is not None and bool(read_input(route, recorded.input))
    except ApiError:
        return False


def _learn_from_refusal(facts: Facts, recorded: Recorded, given: Given) -> None:
    code, org = refusal(recorded), text(given.get("externalOrgId"))
    if code == "BAD_REQUEST" and not _is_well_formed(recorded):
        return  # that is why, and nothing was looked up
    session, subscription = text(given.get("checkoutSessionId")), text(given.get("stripeSubscriptionId"))
    key = text(given.get("idempotencyKey"))
    if recorded.path == "billing.trackUsage" and code == "CONFLICT" and key:
        facts.had_event(key, facts.company()["id"], str(given.get("featureCode")), given.get("quantity"), {})
    elif code == "CONFLICT" and recorded.path in {"companies.create", "links.create"} and org:
        facts.was_linked(org, None)
    elif code == "CONFLICT" and (session or subscription):
        subscription = subscription or facts.subscription_of(session or "")
        facts.was_claimed(subscription, facts.owner_of(subscription))
        if session and subscription in facts.subscriptions:
            facts.had_session(session, subscription)
    elif code == "BAD_REQUEST" and session and not subscription:
        facts.had_session(session, None)
    elif code == "BAD_REQUEST" and subscription and not session and subscription not in facts.subscriptions:
        # Cancelled, or another customer's.
        facts.had_subscription(subscription)["isActive"] = "stripeCustomerId" in given
    company = text(given.get("companyId")) or ""
    if code == "BAD_REQUEST" and _UUID.fullmatch(company):
        facts.company(company)  # existence is checked before what the thing is
