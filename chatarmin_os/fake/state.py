"""The fake's tables, of JSON rows by id, and the indexes over them."""

from __future__ import annotations

from bisect import bisect_left, insort
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from chatarmin_os.fake.name_index import NameIndex
from chatarmin_os.fake.rules.addresses import business_domain, email_domain
from chatarmin_os.fake.rules.names import normalised, slug

if TYPE_CHECKING:
    from chatarmin_os.fake.catalogue import Catalogue
    from chatarmin_os.fake.rows import (
        Access,
        Amount,
        Claim,
        Company,
        Contact,
        Event,
        Link,
        Session,
        StripeSubscription,
    )


class State:
    """The tables, and the indexes that are derived from them.

    The methods here and the module of each noun add and replace rows; nothing here decides or refuses.

    A row is replaced, never changed, and so are a company's accesses and usage: a copy of a table is its state of that
    moment.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.clock_offset = timedelta()
        self.now = datetime.min.replace(tzinfo=UTC)  # the time of the call that is being answered
        self.companies: dict[str, Company] = {}
        self.links: dict[str, Link] = {}  # by external org id
        self.contacts: dict[str, dict[str, Contact]] = {}  # by company and lower-case address
        self.access: dict[str, dict[str, Access]] = {}  # by company and feature
        self.tiers: dict[str, str] = {}  # by company, the tier applied last
        self.usage: dict[str, dict[str, Amount]] = {}  # by company and feature, in this billing period
        self.events: dict[str, Event] = {}  # by idempotency key
        self.subscriptions: dict[str, StripeSubscription] = {}
        self.sessions: dict[str, Session] = {}
        self.claims: dict[str, Claim] = {}  # by Stripe's subscription id
        self.mrr: dict[str, int] = {}  # by company, minor units
        # Derived:
        self.names = NameIndex()
        self.order: list[str] = []  # companies in order of creation: candidates for matching are places in it
        self._place: dict[str, int] = {}
        self._domains: dict[str, list[int]] = {}
        self._contact_domains: dict[str, list[int]] = {}
        self._primaries: dict[str, list[str]] = {}  # addresses by company; a snapshot may have several
        self._short_ids: set[str] = set()
        self._next_suffix: dict[str, int] = {}
        self._claims_of: dict[str, list[str]] = {}  # subscription ids by company

    def add_company(self, name: str, domain: str | None, created_at: str | None) -> Company:
        """Add a company with a new id; *domain* is normalised already."""
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
        short_id = slug(name)
        if short_id not in self._short_ids:
            return short_id
        # Companies are never removed, so a suffix that is in use stays so.
        suffix = self._next_suffix.get(short_id, 2)
        while f"{short_id}-{suffix}" in self._short_ids:
            suffix += 1
        self._next_suffix[short_id] = suffix + 1
        return f"{short_id}-{suffix}"

    def index_company(self, company: Company) -> None:
        """Add a company of the table to the indexes; call it in order of creation."""
        place = self._place[company["id"]] = len(self.order)
        self.order.append(company["id"])
        self._short_ids.add(company["shortId"])
        if name := normalised(company["name"]):
            self.names.add(name, place)
        if domain := business_domain(company["domain"]):
            self._domains.setdefault(domain, []).append(place)

    def add_contact(self, company_id: str, contact: Contact) -> None:
        """Add a contact."""
        address = contact["email"].lower()
        self.contacts.setdefault(company_id, {})[address] = contact
        self._index_contact(company_id, contact)
        if contact["isPrimary"]:
            self._primaries.setdefault(company_id, []).append(address)

    def has_primary(self, company_id: str) -> bool:
        """Return whether a company has a primary contact."""
        return bool(self._primaries.get(company_id))

    def set_primary(self, company_id: str, address: str, *, is_primary: bool) -> None:
        """Make a contact, named by its lower-case address, the only primary one of its company, or an ordinary one."""
        contacts = self.contacts[company_id]
        others = [known for known in self._primaries.get(company_id, ()) if known != address]
        if is_primary:
            for other in others:
                contacts[other] = {**contacts[other], "isPrimary": False}
        self._primaries[company_id] = [address] if is_primary else others
        contacts[address] = {**contacts[address], "isPrimary": is_primary}

    def _index_contact(self, company_id: str, contact: Contact) -> None:
        if domain := email_domain(contact["email"]):
            places, place = self._contact_domains.setdefault(domain, []), self._place[company_id]
            if place not in places[bisect_left(places, place) :][:1]:
                insort(places, place)

    def delete_contacts(self) -> int:
        """Delete all contacts and return their number."""
        count = sum(map(len, self.contacts.values()))
        self.contacts.clear()
        self._contact_domains.clear()
        self._primaries.clear()
        return count

    def places_with_domain(self, domain: str | None, count: int) -> list[int]:
        """Return the places of the first *count* companies that have a business domain."""
        return self._domains.get(domain or "", [])[:count]

    def places_with_contact_at(self, domain: str, count: int) -> list[int]:
        """Return the places of the first *count* companies that have a contact with an address at a domain."""
        return self._contact_domains.get(domain, [])[:count]

    def add_claim(self, claim: Claim) -> None:
        """Give a company a subscription, and raise its monthly recurring revenue."""
        company_id = claim["companyId"]
        self.claims[claim["stripeSubscriptionId"]] = claim
        self._claims_of.setdefault(company_id, []).append(claim["stripeSubscriptionId"])
        self.mrr[company_id] = self.mrr.get(company_id, 0) + claim["monthlyFee"]

    def delete_claims(self, company_id: str) -> None:
        """Delete a company's claims; its monthly recurring revenue stays."""
        for subscription_id in self._claims_of.pop(company_id, ()):
            del self.claims[subscription_id]

    def claims_of(self, company_id: str) -> list[Claim]:
        """Return a company's claims in order, including those of cancelled subscriptions."""
        return [self.claims[subscription_id] for subscription_id in self._claims_of.get(company_id, ())]
