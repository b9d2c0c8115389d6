"""What the fake knows, as tables of JSON rows by id."""

from __future__ import annotations

from bisect import bisect_left, insort
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypedDict
from uuid import uuid4

from chatarmin_os.fake.name_index import NameIndex
from chatarmin_os.fake.rules.addresses import email_domain, telling
from chatarmin_os.fake.rules.names import normalised, slug
from chatarmin_os.fake.rules.usage import Number

if TYPE_CHECKING:
    from chatarmin_os.fake.catalogue import Catalogue
    from chatarmin_os.fake.rules.usage import Amount


class Company(TypedDict):
    """A company, as it is answered."""

    id: str
    shortId: str
    name: str
    domain: str | None
    createdAt: str | None


class Link(TypedDict):
    """A link, as it is answered."""

    companyId: str
    externalOrgId: str
    label: str | None
    externalUserId: str | None


class Contact(TypedDict):
    """A contact, as it is answered."""

    id: str
    email: str
    name: str | None
    role: str | None
    isPrimary: bool
    avatarUrl: str | None
    metadata: dict[str, Any]


class Access(TypedDict):
    """What a company was given of a feature; whether it can use it now follows from the rules."""

    isEnabled: bool
    quantityLimit: Number | None
    includedQuantity: Number | None
    configValues: dict[str, Any]
    source: str | None
    validUntil: str | None


class UsageAnswer(TypedDict):
    """What `billing.trackUsage` answers."""

    currentUsage: Number
    remaining: Number | None
    billableQuantity: Number
    isAtLimit: bool


class Event(TypedDict):
    """A usage event that was counted, and what was answered."""

    companyId: str
    featureCode: str
    quantity: Number
    answer: UsageAnswer


class StripeSubscription(TypedDict):
    """A subscription at Stripe."""

    id: str
    customerId: str
    priceIds: list[str]
    isActive: bool


class Session(TypedDict):
    """A checkout session at Stripe; it has a subscription once it is complete."""

    id: str
    priceIds: list[str]
    customerName: str | None
    subscriptionId: str | None


class Claim(TypedDict):
    """A Stripe subscription that belongs to a company."""

    id: str
    companyId: str
    stripeSubscriptionId: str
    displayName: str | None
    tierCode: str | None
    monthlyFee: int


class State:
    """The tables, and what is derived from them (indexes).

    Rows are added and changed by the methods here or by the module of their noun; nothing here decides or refuses.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.clock_offset = timedelta()
        self.now = datetime.min.replace(tzinfo=UTC)  # the instant of the call that is being answered
        self.companies: dict[str, Company] = {}
        self.links: dict[str, Link] = {}  # by external org id
        self.contacts: dict[str, dict[str, Contact]] = {}  # by company and lower-case address
        self.access: dict[str, dict[str, Access]] = {}  # by company and feature
        self.tiers: dict[str, str] = {}  # by company, the tier applied last
        self.usage: dict[str, dict[str, Amount]] = {}  # by company and feature, of this billing period
        self.events: dict[str, Event] = {}  # by idempotency key
        self.subscriptions: dict[str, StripeSubscription] = {}
        self.sessions: dict[str, Session] = {}
        self.claims: dict[str, Claim] = {}  # by Stripe's subscription id
        self.mrr: dict[str, int] = {}  # by company, minor units
        # Derived:
        self.names = NameIndex()
        self.order: list[str] = []  # companies in order of creation: evidence for matching speaks in places of it
        self._place: dict[str, int] = {}
        self._domains: dict[str, list[int]] = {}
        self._contact_domains: dict[str, list[int]] = {}
        self._primaries: dict[str, list[Contact]] = {}  # by company; a snapshot may have several
        self._short_ids: set[str] = set()
        self._next_suffix: dict[str, int] = {}
        self._claims_of: dict[str, list[Claim]] = {}

    def add_company(self, name: str, domain: str | None, created_at: str | None) -> Company:
        """Add a company with an id of its own; the domain is normalised."""
        company: Company = {
            "id": str(uuid4()),
            "shortId": self._free_short_id(name),
            "name": name,
            "domain": domain,
            "createdAt": created_at,
        }
        self.companies[company["id"]] = company
        self.index_company(company)
        return company

    def _free_short_id(self, name: str) -> str:
        wanted = slug(name)
        if wanted not in self._short_ids:
            return wanted
        # Short ids are never given back, so a suffix once taken stays taken.
        suffix = self._next_suffix.get(wanted, 2)
        while f"{wanted}-{suffix}" in self._short_ids:
            suffix += 1
        self._next_suffix[wanted] = suffix + 1
        return f"{wanted}-{suffix}"

    def index_company(self, company: Company) -> None:
        """Let a company of the table be found; in order of creation."""
        place = self._place[company["id"]] = len(self.order)
        self.order.append(company["id"])
        self._short_ids.add(company["shortId"])
        if name := normalised(company["name"]):
            self.names.add(name, place)
        if domain := telling(company["domain"]):
            self._domains.setdefault(domain, []).append(place)

    def add_contact(self, company_id: str, contact: Contact) -> None:
        """Add a contact."""
        self.contacts.setdefault(company_id, {})[contact["email"].lower()] = contact
        self._index_contact(company_id, contact)
        if contact["isPrimary"]:
            self._primaries.setdefault(company_id, []).append(contact)

    def has_primary(self, company_id: str) -> bool:
        """Return whether a company has a primary contact."""
        return bool(self._primaries.get(company_id))

    def set_primary(self, company_id: str, contact: Contact, *, is_primary: bool) -> None:
        """Make a contact its company's only primary one, or an ordinary one."""
        others = [known for known in self._primaries.get(company_id, ()) if known is not contact]
        if is_primary:
            for other in others:
                other["isPrimary"] = False
        self._primaries[company_id] = [contact] if is_primary else others
        contact["isPrimary"] = is_primary

    def _index_contact(self, company_id: str, contact: Contact) -> None:
        if domain := email_domain(contact["email"]):
            places, place = self._contact_domains.setdefault(domain, []), self._place[company_id]
            if place not in places[bisect_left(places, place) :][:1]:
                insort(places, place)

    def delete_contacts(self) -> int:
        """Delete all contacts and return how many there were."""
        count = sum(map(len, self.contacts.values()))
        self.contacts.clear()
        self._contact_domains.clear()
        self._primaries.clear()
        return count

    def with_domain(self, domain: str | None, most: int) -> list[int]:
        """Return the places of the first companies with a domain that tells something."""
        return self._domains.get(domain or "", [])[:most]

    def with_contact_at(self, domain: str, most: int) -> list[int]:
        """Return the places of the first companies that have a contact with an address at a domain."""
        return self._contact_domains.get(domain, [])[:most]

    def add_claim(self, claim: Claim) -> None:
        """Give a company a subscription, and raise its monthly recurring revenue."""
        company_id = claim["companyId"]
        self.claims[claim["stripeSubscriptionId"]] = claim
        self._claims_of.setdefault(company_id, []).append(claim)
        self.mrr[company_id] = self.mrr.get(company_id, 0) + claim["monthlyFee"]

    def claims_of(self, company_id: str) -> list[Claim]:
        """Return a company's claims in order, those of cancelled subscriptions too."""
        return self._claims_of.get(company_id, [])
