"""A second implementation of the service's rules, small and slow, to compare the fake with."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from string import ascii_letters, digits
from typing import TYPE_CHECKING, Any, NamedTuple

from chatarmin_os import (
    ApiError,
    ApplyTierResult,
    BadRequestError,
    ConflictError,
    FeatureAccess,
    ForbiddenError,
    Hints,
    NotFoundError,
    UsageLimitError,
    UsageResult,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


BAD_REQUEST, NOT_FOUND, CONFLICT = "BAD_REQUEST", "NOT_FOUND", "CONFLICT"
ERRORS: dict[str, type[ApiError]] = {
    BAD_REQUEST: BadRequestError,
    NOT_FOUND: NotFoundError,
    CONFLICT: ConflictError,
    "FORBIDDEN": ForbiddenError,
    "PRECONDITION_FAILED": UsageLimitError,
}
NOBODY = "00000000-0000-4000-8000-000000000000"
EPOCH = datetime(2024, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class FeatureSpec(NamedTuple):
    """A feature of the catalogue."""

    name: str
    has_quantity: bool
    config: dict[str, Any]


class Grant(NamedTuple):
    """The limits of one feature in a tier."""

    limit: int | None = None
    included: int | None = None
    config: dict[str, Any] | None = None


class TierSpec(NamedTuple):
    """A tier of the catalogue, with its prices at Stripe."""

    name: str
    fee: int
    grants: dict[str, Grant]
    prices: tuple[str, ...] = ()


FEATURES = {
    "ai_credit": FeatureSpec("AI credits", has_quantity=True, config={}),
    "seats": FeatureSpec("Seats", has_quantity=True, config={}),
    "team_seats": FeatureSpec("Team seats", has_quantity=True, config={}),
    "api_access": FeatureSpec("API access", has_quantity=False, config={}),
    "sso": FeatureSpec("Single sign-on", has_quantity=False, config={}),
    "storage": FeatureSpec("Storage", has_quantity=True, config={"unit": "GB", "region": {"code": "eu"}}),
    "reports": FeatureSpec("Reports", has_quantity=False, config={"depth": 1}),
}
TIERS = {
    "free": TierSpec("Free", 0, {"ai_credit": Grant(100, 100), "seats": Grant(3, 3)}),
    "trial": TierSpec("Trial", 0, {"ai_credit": Grant(500, 500), "seats": Grant(5, 5), "api_access": Grant()}),
    "pro": TierSpec(
        "Pro",
        4900,
        {
            "ai_credit": Grant(10000, 1000),
            "seats": Grant(25, 10),
            "team_seats": Grant(10, 5),
            "api_access": Grant(),
        },
        ("price_pro_base", "price_pro_ai_credit", "price_pro_seats"),
    ),
    "enterprise": TierSpec(
        "Enterprise",
        49900,
        {
            "ai_credit": Grant(None, 10000),
            "seats": Grant(None, 100),
            "team_seats": Grant(None, 50),
            "api_access": Grant(),
            "sso": Grant(),
        },
        ("price_enterprise_base", "price_enterprise_ai_credit", "price_enterprise_seats"),
    ),
    "gold": TierSpec(
        "Gold",
        1000,
        {"storage": Grant(50, 5, {"unit": "TB", "copies": 2}), "reports": Grant(config={"depth": 3})},
        ("price_gold_base", "price_gold_storage"),
    ),
}
PRICE_SETS = (
    TIERS["pro"].prices,
    TIERS["enterprise"].prices,
    TIERS["gold"].prices,
    TIERS["gold"].prices + TIERS["pro"].prices,
    TIERS["pro"].prices[:2],
    ("price_of_something_else",),
)
ORG_IDS = ("org_1", "org_2", "org_3", "org_4", "org_5", "org_6")
NAMES = (
    "Acme",
    "ACME GmbH & Co. KG",
    "Café Étoile S.A.S.",
    "Cafe Etoile",
    "Northwind Traders International",
    "International Northwind Traders",
    "Northwind Trading International",
    "Globex Europe",
    "Globex Europa Ltd.",
    "GmbH",
)
# Given spellings, and their stored form.
DOMAINS = {
    None: None,
    "acme.com": "acme.com",
    "https://www.Acme.com/about": "acme.com",
    "Globex.io.": "globex.io",
    "gmail.com": "gmail.com",
    "acme-labs.com": "acme-labs.com",
}
FREE_MAIL = {"gmail.com"}
EMAILS = (
    "ann@acme.com",
    "ANN@Acme.com",
    " bob@globex.io ",
    "bob@globex.io",
    "o'neill+x@globex.io",
    "eve@gmail.com",
    "zoe@acme-labs.com",
)
BAD_EMAILS = (
    "ann",
    "a@b",
    "a b@acme.com",
    "@acme.com",
    "a@@acme.com",
    "a@b.c",
    ".a@acme.com",
    "a..b@acme.com",
    "o'@acme.com",
    "r&d@acme.com",
    "ann@-acme.com",
    "ann@acme.c0m",
    "ann@müller.de",
    "ann@acme.com#.globex.io",
)
LEGAL_FORMS = re.compile(
    "inc|incorporated|corp|corporation|co|company|llc|ltd|limited|plc|gmbh|mbh|ag|kg|ohg|ug|se|eu|sa|sas|sarl|srl|spa|"
    "bv|nv|ab|as|oy|aps|kft|doo|sro|pty"
)


class RefusedError(Exception):
    """The model's way to refuse a call."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Refusal(NamedTuple):
    """A refused call, for comparison."""

    code: str
    error: type[ApiError]


@dataclass
class Access:
    """A company's access to one feature."""

    enabled: bool
    limit: Fraction | None
    included: Fraction | None
    config: dict[str, Any]
    source: str
    valid_until: datetime | None = None


@dataclass
class Person:
    """A contact; the model learns its id when it first sees it."""

    email: str
    name: str | None = None
    role: str | None = None
    primary: bool = False
    avatar_url: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    id: str | None = None

    def shown(self, is_new: bool | None) -> tuple[object, ...]:  # noqa: FBT001
        """Return the fields that a client sees, except the id."""
        return (self.email, self.name, self.role, self.primary, self.avatar_url, dict(self.metadata), is_new)


@dataclass
class Firm:
    """A company."""

    name: str
    slug: str
    domain: str | None
    created_at: datetime | None
    people: list[Person] = field(default_factory=list)
    accesses: dict[str, Access] = field(default_factory=dict)
    usage: dict[str, Fraction] = field(default_factory=dict)
    has_profile: bool = False
    mrr: int = 0
    subscriptions: list[int] = field(default_factory=list)


@dataclass
class Subscription:
    """A Stripe subscription; that of a checkout session shows its id when it is claimed."""

    prices: tuple[str, ...]
    id: str | None = None
    customer: str | None = None
    firm: int | None = None
    tier: str | None = None
    fee: int = 0
    display_name: str | None = None
    display_name_known: bool = False
    cancelled: bool = False


@dataclass
class Session:
    """A Stripe checkout session and the subscription it leads to."""

    id: str
    subscription: int
    customer_name: str | None
    complete: bool


class Event(NamedTuple):
    """A usage event that was counted."""

    firm: int
    feature: str
    quantity: Fraction
    answer: UsageResult


class Evidence(NamedTuple):
    """One reason to match a company."""

    confidence: int
    reason: str
    may_link: bool


class Wrong(NamedTuple):
    """A call that the service refuses."""

    path: str
    received: dict[str, Any] | None
    code: str = BAD_REQUEST
    kind: str | None = None


class Onboarded(NamedTuple):
    """The result of onboarding; `tier_applied` is None if the model does not predict it."""

    firm: int
    status: str
    billing: tuple[bool, bool, int | None] | None
    tier_applied: bool | None


def exact(number: float) -> Fraction:
    """Return the decimal number of a number's shortest text."""
    return Fraction(repr(number))


def plain(number: Fraction) -> float:
    """Return a number as the client shows it: an int if it is whole, else a float."""
    return number.numerator if number.denominator == 1 else float(number)


def shown(number: Fraction | None) -> float | None:
    """Return a number as the client shows it, and None as itself."""
    return None if number is None else plain(number)


def is_email(text: str) -> bool:
    """Return whether the service takes a text as an e-mail address, once the client has trimmed it."""
    user, at, host = text.strip().partition("@")
    labels = host.split(".")
    return bool(
        at
        and set(user) <= {*ascii_letters, *digits, *"_'+-."}
        and all(part for part in user.split("."))
        and not user.endswith("'")
        and len(labels) > 1
        and all(label and set(label) <= {*ascii_letters, *digits, "-"} and label[0] != "-" for label in labels)
        and set(labels[-1]) <= {*ascii_letters}
        and len(labels[-1]) > 1
    )


def slug_of(name: str) -> str:
    """Return the short id of a name, before it is made unique."""
    text = unicodedata.normalize("NFKD", name)
    text = "".join(char for char in text if not unicodedata.combining(char)).lower()
    return re.sub(r"[^a-z0-9]+", "-", text).strip("-")[:50].strip("-") or "company"


def words_of(name: str) -> list[str]:
    """Return the words of a name that are compared."""
    text = unicodedata.normalize("NFKD", name)
    text = "".join(char for char in text if not unicodedata.combining(char)).casefold()
    text = text.replace(".", "").replace("'", "")
    words = "".join(char if char.isalnum() else " " for char in text).split()
    while len(words) > 1 and LEGAL_FORMS.fullmatch(words[-1]):
        words.pop()
    return words


def name_evidence(left: str, right: str) -> Evidence:
    """Return the confidence that two names give."""
    if words_of(left) == words_of(right):
        return Evidence(80, "name", may_link=True)
    first, second = (
        {f"  {word} "[start : start + 3] for word in words_of(name) for start in range(len(word) + 1)}
        for name in (left, right)
    )
    similarity = Fraction(len(first & second), len(first | second))
    return Evidence(min(79, int(80 * similarity)), "name", may_link=False)


class World:
    """The rules as this test understands them; a refused call may leave it half changed, so work on a copy."""

    def __init__(self) -> None:
        self.now = EPOCH
        self.firms: list[Firm] = []
        self.links: dict[str, int] = {}
        self.events: dict[str, Event] = {}
        self.subscriptions: list[Subscription] = []
        self.sessions: list[Session] = []

    def firm(self, place: int | None) -> Firm:
        """Return a company; None means an unknown one."""
        if place is None:
            raise RefusedError(NOT_FOUND)
        return self.firms[place]

    def linked(self, org_id: str) -> int:
        """Return the company that an external org id leads to."""
        if org_id not in self.links:
            raise RefusedError(NOT_FOUND)
        return self.links[org_id]

    def add_firm(self, name: str, domain: str | None, created_at: datetime | None) -> int:
        """Add a company and return it."""
        taken = {firm.slug for firm in self.firms}
        slug, number = slug_of(name), 1
        candidate = slug
        while candidate in taken:
            number += 1
            candidate = f"{slug}-{number}"
        self.firms.append(Firm(name, candidate, DOMAINS[domain], created_at))
        return len(self.firms) - 1

    def create_company(  # noqa: PLR0917
        self,
        org_id: str,
        name: str,
        domain: str | None,
        email: str | None,
        contact_name: str | None,
        created_at: datetime | None,
    ) -> int:
        """Create a company with its link and its first contact."""
        if email is not None and not is_email(email):
            raise RefusedError(BAD_REQUEST)
        if org_id in self.links:
            raise RefusedError(CONFLICT)
        place = self.add_firm(name, domain, created_at)
        self.links[org_id] = place
        if email is not None:
            self.upsert(place, {"email": email, "name": contact_name, "is_primary": True})
        return place

    def create_link(self, place: int | None, org_id: str) -> None:
        """Link a company by hand."""
        self.firm(place)
        if self.links.get(org_id, place) != place:
            raise RefusedError(CONFLICT)
        assert place is not None
        self.links[org_id] = place

    # Matching

    def evidence(self, firm: Firm, hints: Hints) -> list[Evidence]:
        """Return the evidence for one company, in the order in which it is named as the reason."""
        found = []
        own = None if firm.domain in FREE_MAIL else firm.domain
        domain = None if hints.domain in FREE_MAIL else DOMAINS[hints.domain]
        if own is not None and own == domain:
            found.append(Evidence(95, "domain", may_link=True))
        if hints.company_name is not None:
            found.append(name_evidence(firm.name, hints.company_name))
        theirs = {person.email.rpartition("@")[2].lower() for person in firm.people}
        for host in {email.strip().rpartition("@")[2].lower() for email in hints.emails} - FREE_MAIL:
            if host == own:
                found.append(Evidence(70, "email_domain", may_link=True))
            elif host in theirs:
                found.append(Evidence(70, "email_domain", may_link=False))
        if own is not None and domain is not None and own != domain:
            found = [item._replace(may_link=False) for item in found]
        return found

    def smart_link(
        self, org_id: str, hints: Hints, min_confidence: float = 0.6
    ) -> tuple[str, int | None, int | None, list[tuple[int, int, str]]]:
        """Return status, company, confidence and suggestions, and add the link if it may be linked."""
        if not all(is_email(email) for email in hints.emails):
            raise RefusedError(BAD_REQUEST)
        if org_id in self.links:
            return "already_linked", self.links[org_id], 100, []
        candidates = []
        for place, firm in enumerate(self.firms):
            evidence = self.evidence(firm, hints)
            confidence = max((item.confidence for item in evidence), default=0)
            if confidence > 0 and confidence >= 100 * exact(min_confidence):
                reason = next(item.reason for item in evidence if item.confidence == confidence)
                candidates.append((place, confidence, reason, any(item.may_link for item in evidence)))
        candidates.sort(key=lambda candidate: -candidate[1])
        if not candidates:
            return "no_match", None, None, []
        best = candidates[0]
        if best[3] and (len(candidates) == 1 or best[1] - candidates[1][1] >= 10):
            self.links[org_id] = best[0]
            return "linked", best[0], best[1], []
        return "suggestions", None, None, [candidate[:3] for candidate in candidates[:5]]

    # Contacts

    def upsert(self, place: int | None, given: Mapping[str, Any]) -> tuple[Person, bool]:
        """Create or update one contact; return it and whether it is new."""
        if not is_email(given["email"]):
            raise RefusedError(BAD_REQUEST)
        firm = self.firm(place)
        email = given["email"].strip()
        person = next((person for person in firm.people if person.email.lower() == email.lower()), None)
        is_new = person is None
        if person is None:
            person = Person(email)
            firm.people.append(person)
        for key in ("name", "role", "avatar_url"):
            if given.get(key) is not None:
                setattr(person, key, given[key])
        person.metadata.update(given.get("metadata") or {})
        if given.get("is_primary") is not None:
            if given["is_primary"]:
                for other in firm.people:
                    other.primary = False
            person.primary = given["is_primary"]
        return person, is_new

    # Access and usage

    def check(self, place: int | None, code: str) -> FeatureAccess:
        """Return the response of a check."""
        firm = self.firm(place)
        if code not in FEATURES:
            raise RefusedError(NOT_FOUND)
        spec, access = FEATURES[code], firm.accesses.get(code)
        usage = firm.usage.get(code, Fraction(0))
        limit = Fraction(0) if access is None else access.limit
        enabled = access is not None and access.enabled
        if access is not None and access.valid_until is not None and self.now >= access.valid_until:
            enabled = False
        if not spec.has_quantity:
            limit = None
        return FeatureAccess(
            feature_code=code,
            feature_name=spec.name,
            is_enabled=enabled,
            can_use=enabled and (limit is None or usage < limit),
            has_quantity=spec.has_quantity,
            current_usage=plain(usage),
            quantity_limit=shown(limit),
            included_quantity=shown(access.included) if access is not None and spec.has_quantity else None,
            remaining=None if limit is None else shown(max(Fraction(0), limit - usage)),
            config_values=dict(spec.config if access is None else access.config),
            source=None if access is None else access.source,
            valid_until=None if access is None else access.valid_until,
        )

    def set_access(self, place: int | None, code: str, given: Mapping[str, Any]) -> FeatureAccess:
        """Change the given fields of an access, and return the response of a check."""
        firm = self.firm(place)
        if code not in FEATURES:
            raise RefusedError(NOT_FOUND)
        spec = FEATURES[code]
        limits = {key: given[key] for key in ("quantity_limit", "included_quantity") if key in given}
        if not spec.has_quantity and any(value is not None for value in limits.values()):
            raise RefusedError(BAD_REQUEST)
        start = Access(
            enabled=False,
            limit=Fraction(0) if spec.has_quantity else None,
            included=None,
            config=dict(spec.config),
            source="api",
        )
        access = firm.accesses.setdefault(code, start)
        if "quantity_limit" in limits:
            access.limit = None if limits["quantity_limit"] is None else exact(limits["quantity_limit"])
        if "included_quantity" in limits:
            access.included = None if limits["included_quantity"] is None else exact(limits["included_quantity"])
        access.enabled = given.get("is_enabled", access.enabled)
        access.config = {**access.config, **given.get("config", {})}
        access.source = given.get("source", access.source)
        access.valid_until = given.get("valid_until", access.valid_until)
        return self.check(place, code)

    def track(self, place: int | None, code: str, quantity: float, key: str | None) -> UsageResult:
        """Count one event."""
        firm, amount = self.firm(place), exact(quantity)
        if code not in FEATURES:
            raise RefusedError(NOT_FOUND)
        if not FEATURES[code].has_quantity:
            raise RefusedError(BAD_REQUEST)
        if key in self.events:
            event = self.events[key]
            if (place, code, amount) != event[:3]:
                raise RefusedError(CONFLICT)
            return event.answer
        if not self.check(place, code).is_enabled:
            raise RefusedError("FORBIDDEN")
        access, usage = firm.accesses[code], firm.usage.get(code, Fraction(0)) + amount
        if access.limit is not None and usage > access.limit:
            raise RefusedError("PRECONDITION_FAILED")
        firm.usage[code] = usage
        billable = Fraction(0) if access.included is None else max(Fraction(0), usage - access.included)
        answer = UsageResult(
            current_usage=plain(usage),
            remaining=None if access.limit is None else shown(access.limit - usage),
            billable_quantity=plain(billable),
            is_at_limit=access.limit is not None and usage >= access.limit,
        )
        if key is not None:
            assert place is not None
            self.events[key] = Event(place, code, amount, answer)
        return answer

    # Tiers and Stripe

    def apply_tier(self, place: int | None, code: str, overrides: Mapping[str, Mapping[str, Any]]) -> ApplyTierResult:
        """Rewrite the accesses of a tier."""
        firm = self.firm(place)
        if code not in TIERS:
            raise RefusedError(NOT_FOUND)
        grants = TIERS[code].grants
        for feature, override in overrides.items():
            numbers = any(value is not None for value in override.values())
            if feature not in grants or (numbers and not FEATURES[feature].has_quantity):
                raise RefusedError(BAD_REQUEST)
        for feature, access in firm.accesses.items():
            if feature not in grants and access.source == "subscription":
                access.enabled = False
        for feature, grant in grants.items():
            override = overrides.get(feature, {})
            limit = override.get("max_quantity", grant.limit)
            included = override.get("included_quantity", grant.included)
            firm.accesses[feature] = Access(
                enabled=True,
                limit=None if limit is None else exact(limit),
                included=None if included is None else exact(included),
                config={**FEATURES[feature].config, **(grant.config or {})},
                source="subscription",
            )
        return ApplyTierResult(tier_code=code, features_applied=len(grants))

    def tier_of(self, prices: Sequence[str]) -> str | None:
        """Return the tier of a subscription's prices."""
        paid = [code for code, tier in TIERS.items() if tier.prices and set(tier.prices) <= set(prices)]
        return max(paid, key=lambda code: len(TIERS[code].prices), default=None)

    def activate(self, place: int, number: int, tier: str | None) -> None:
        """Make a subscription a company's own."""
        firm, subscription = self.firms[place], self.subscriptions[number]
        subscription.firm, subscription.tier = place, tier
        subscription.fee = 0 if tier is None else TIERS[tier].fee
        firm.mrr += subscription.fee
        firm.has_profile = True
        firm.subscriptions.append(number)

    def claimable(self, number: int | None) -> Session:
        """Return a session that can be claimed; None means an unknown one."""
        if number is None:
            raise RefusedError(NOT_FOUND)
        session = self.sessions[number]
        if not session.complete or self.subscriptions[session.subscription].cancelled:
            raise RefusedError(BAD_REQUEST)
        return session

    def claim(self, place: int | None, number: int | None) -> tuple[bool, int]:
        """Claim a checkout; return whether it was claimed already, and its subscription."""
        self.firm(place)
        session = self.claimable(number)
        subscription = self.subscriptions[session.subscription]
        if subscription.firm not in (None, place):
            raise RefusedError(CONFLICT)
        assert place is not None
        if subscription.firm is None:
            tier = self.tier_of(subscription.prices)
            self.activate(place, session.subscription, tier)
            if tier is not None:
                self.apply_tier(place, tier, {})
            return False, session.subscription
        return True, session.subscription

    def linkable(self, number: int | None, customer: str | None, tier: str | None) -> Subscription:
        """Return a subscription that can be linked; None means an unknown one."""
        if number is None or (tier is not None and tier not in TIERS):
            raise RefusedError(NOT_FOUND)
        subscription = self.subscriptions[number]
        if subscription.cancelled or (customer is not None and customer != subscription.customer):
            raise RefusedError(BAD_REQUEST)
        return subscription

    def link_subscription(
        self, place: int | None, number: int | None, customer: str | None, tier: str | None, display_name: str | None
    ) -> tuple[bool, int]:
        """Link a subscription; return whether it was linked already, and how many features were applied."""
        self.firm(place)
        subscription = self.linkable(number, customer, tier)
        if subscription.firm not in (None, place):
            raise RefusedError(CONFLICT)
        assert place is not None
        assert number is not None
        already = subscription.firm is not None
        if not already:
            self.activate(place, number, self.tier_of(subscription.prices) if tier is None else tier)
        subscription.display_name, subscription.display_name_known = display_name, display_name is not None
        if tier is None:
            return already, 0
        subscription.tier = tier
        return already, self.apply_tier(place, tier, {}).features_applied or 0

    def cancel(self, number: int) -> None:
        """End a subscription; accesses stay."""
        subscription = self.subscriptions[number]
        subscription.cancelled = True
        if subscription.firm is not None:
            firm = self.firms[subscription.firm]
            firm.mrr = max(0, firm.mrr - subscription.fee)

    # Onboarding

    def onboard(
        self,
        org_id: str,
        hints: Hints,
        *,
        tier: str | None,
        email: str | None,
        contact_name: str | None,
        created_at: datetime | None,
        session: int | None,
        subscription: int | None,
        wanted: str | None,
        customer: str | None,
    ) -> Onboarded:
        """Match or create, link, claim or link the subscription, apply the tier."""
        if not all(is_email(text) for text in (*hints.emails, *([] if email is None else [email]))):
            raise RefusedError(BAD_REQUEST)
        if tier is not None and tier not in TIERS:
            raise RefusedError(NOT_FOUND)
        claimed = self.claimable(session) if wanted == "checkout" else None
        if wanted == "subscription":
            self.linkable(subscription, customer, tier)
        status, place, _, _ = self.smart_link(org_id, hints)
        if place is None:
            status = "created"
            name = hints.company_name or (claimed and claimed.customer_name) or DOMAINS[hints.domain] or org_id
            place = self.add_firm(name, hints.domain, created_at)
            self.links[org_id] = place
        if email is not None:
            primary = True if not any(person.primary for person in self.firms[place].people) else None
            self.upsert(place, {"email": email, "name": contact_name, "is_primary": primary})
        if wanted == "checkout":
            again, number = self.claim(place, session)
            if tier is not None:
                self.apply_tier(place, tier, {})
            brought = self.subscriptions[number].tier is not None
            tier_applied = True if tier is not None else (None if again else brought)
            return Onboarded(place, status, (True, False, number), tier_applied)
        if wanted == "subscription":
            again, _ = self.link_subscription(place, subscription, customer, tier, None)
            tier_applied = True if tier is not None else (None if again else False)
            return Onboarded(place, status, (False, True, subscription), tier_applied)
        if tier is not None:
            self.apply_tier(place, tier, {})
            return Onboarded(place, status, (False, False, None), tier_applied=True)
        return Onboarded(place, status, None, tier_applied=None)
