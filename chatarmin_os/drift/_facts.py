"""What was there before the first of some recorded calls: tables that fill up as the calls are read.

A fact is *settled* once a call has shown it or set it; what an answer shows of a fact that is not settled yet was so
from the beginning. What was there before keeps its recorded ids. Of companies that the calls create nothing was there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chatarmin_os._json import timestamp_text
from chatarmin_os.drift._reading import company_of, mapping, number, objects, subscription_claimed, text
from chatarmin_os.drift.compare import instant
from chatarmin_os.fake import FakeTransport
from chatarmin_os.fake.rules import addresses
from chatarmin_os.fake.rules.tiers import price_ids_of

if TYPE_CHECKING:
    from datetime import datetime

    from chatarmin_os._json import JSON
    from chatarmin_os.drift._catalogue import ShownCatalogue
    from chatarmin_os.recording.file import Recorded

Row = dict[str, Any]
Number = int | float

_NAMELESS = "?"  # a name that matches nothing


class Facts:
    """The tables of a snapshot of the fake, and what is settled of them."""

    def __init__(self, catalogue: ShownCatalogue, of_org: dict[str, str], now: datetime) -> None:
        self.catalogue = catalogue
        self._of_org, self._now = of_org, now
        self.companies: dict[str, Row] = {}
        self.created: set[str] = set()  # companies that the calls create
        self.links: dict[str, Row] = {}
        self.linked: dict[str, str] = {}  # company by organisation, as the calls have it so far
        self.sessions: dict[str, Row] = {}
        self.subscriptions: dict[str, Row] = {}
        self._shown: dict[str, dict[str, str | None]] = {}  # of companies, what any answer shows and no call changes
        self._short_ids: set[str] = set()
        self._contacts: dict[str, dict[str, Row]] = {}
        self._contact_domains: dict[str, str] = {}
        self._with_all_contacts: set[str] = set()  # companies whose contacts are all shown
        self._in_order: list[list[str]] = []  # companies that were created one after the other
        self._owners: dict[str, str] = {}  # by subscription, the company that had it, as any answer shows it
        self._of_session: dict[str, str] = {}  # by checkout, its subscription
        self._access: dict[tuple[str, str], Row] = {}
        self._usage: dict[tuple[str, str], Number] = {}
        self._counted: dict[tuple[str, str], Number] = {}
        self._events: dict[str, Row] = {}
        self._claims: dict[str, Row] = {}
        self._tiers: dict[str, set[str]] = {}  # by company, those that the calls apply
        self._listed: set[str] = set()  # companies whose accesses are all shown
        self._settled: set[tuple[str, ...]] = set()
        self._are_links_settled = False

    def settle(self, *fact: str) -> bool:
        """Return whether a fact was open; it is settled now."""
        was_open = fact not in self._settled
        self._settled.add(fact)
        return was_open

    def is_settled(self, *fact: str) -> bool:
        """Return whether a call has shown or set a fact."""
        return fact in self._settled

    # Companies and links

    def note(self, recorded: Recorded) -> None:
        """Keep what a call tells of companies, whenever it comes."""
        answer = mapping(recorded.came.get("answer"))
        rows = [
            {"id": row.get("companyId"), "name": row.get("customerName") or row.get("companyName")}
            for row in [answer, *objects(answer.get("suggestions"))]
        ]
        for row in [*rows, answer] if recorded.path.startswith("companies.") else rows:
            if company := text(row.get("id")):
                known = self._shown.setdefault(company, {})
                for key in ("name", "shortId", "domain"):
                    if key in row and (key == "domain" or text(row[key])):
                        known.setdefault(key, text(row[key]))
        self._note_owner(recorded, answer)

    def _note_owner(self, recorded: Recorded, answer: Row) -> None:
        company, given = company_of(recorded) or "", mapping(recorded.input)
        claim, session = subscription_claimed(recorded), text(given.get("checkoutSessionId"))
        if claim and session:
            self._of_session[session] = claim
        owned = [text(row.get("stripeSubscriptionId")) for row in objects(answer.get("activeSubscriptions"))]
        owned += [claim] if answer.get("alreadyClaimed") is True else []
        owned += [text(given.get("stripeSubscriptionId"))] if answer.get("alreadyLinked") is True else []
        for subscription in owned:
            if subscription:
                self._owners.setdefault(subscription, company)

    def owner_of(self, subscription: str) -> str | None:
        """Return the company that had a subscription, as far as any call shows it."""
        return self._owners.get(subscription)

    def subscription_of(self, session: str) -> str:
        """Return the subscription of a checkout, which is made up where no call shows it."""
        return self._of_session.get(session, f"subscription of {session}")

    def knows_domain(self, company: str) -> bool:
        """Return whether an answer shows a company's domain, or that it has none."""
        return "domain" in self._shown.get(company, {})

    def were_created_in_order(self, companies: list[str]) -> None:
        """Learn that some companies were created one after the other."""
        self._in_order.append([company for company in companies if self.company(company)])

    def company(self, company: str | None = None) -> Row:
        """Return the row of a company that was there, known or not; an empty one if the calls create it."""
        company = company or f"company {len(self.companies)}"
        if company in self.created:
            return {}
        if company in self.companies:
            return self.companies[company]
        shown = self._shown.get(company, {})
        short_id = shown.get("shortId") or _NAMELESS
        if short_id in self._short_ids:  # of names that are redacted, or unknown
            short_id = f"{short_id}-{len(self.companies)}"
        self._short_ids.add(short_id)
        row = self.companies[company] = {
            "id": company,
            "shortId": short_id,
            "name": shown.get("name", _NAMELESS),
            "domain": shown.get("domain"),
            "createdAt": None,
        }
        return row

    def name_by(self, company: str, name: JSON) -> None:
        """Give a company the name it was found by, where no answer shows one."""
        row = self.company(company)
        if row and row["name"] == _NAMELESS:
            row["name"] = text(name) or _NAMELESS

    def was_linked(self, org: str, company: str | None, **row: JSON) -> str | None:
        """Learn that an organisation was linked when it was first met; return its company."""
        known, company = self.linked.get(org), company or self._of_org.get(org)
        if known is not None or company in self.created:
            return known or company
        if self.settle("link", org) and not self._are_links_settled:
            known = self.company(company)["id"]
            self.links[org] = {"companyId": known, "externalOrgId": org, "label": None, "externalUserId": None, **row}
            self.linked[org] = known
        return known or company

    def becomes_linked(self, org: str, company: str) -> None:
        """Note that an organisation is linked from now on."""
        self.settle("link", org)
        self.linked[org] = company

    def all_become_unlinked(self) -> None:
        """Note that no organisation is linked from now on."""
        self.linked.clear()
        self._are_links_settled = True

    # Contacts

    def had_contact(self, company: str, shown: Row) -> None:
        """Learn that a company had a contact, unless it is known already."""
        email = text(shown.get("email"))
        if email is None or not self.settle("contact", company, email.lower()) or not self.company(company):
            return
        contacts = self._contacts.setdefault(company, {})
        contacts[email.lower()] = {
            "id": text(shown.get("id")) or f"contact of {company} {len(contacts)}",
            "email": email,
            **{key: text(shown.get(key)) for key in ("name", "role", "avatarUrl")},
            "isPrimary": shown.get("isPrimary") is True,
            "metadata": mapping(shown.get("metadata")),
        }

    def are_in_order(self, company: str, emails: list[str]) -> None:
        """Learn in which order a company's contacts were created."""
        contacts = self._contacts.get(company, {})
        listed = {email: contacts[email] for email in emails if email in contacts}
        self._contacts[company] = {**listed, **contacts}
        self._with_all_contacts.add(company)

    def had_contact_at(self, company: str, domain: str) -> None:
        """Learn that a company had some contact with an address at a domain."""
        self._contact_domains[company] = domain

    # Access and usage

    def had_access(self, company: str, code: str, shown: Row, *, is_whole: bool = True) -> None:
        """Learn what access a company had; what is not the whole gives way to a later sight of the whole."""
        feature = self.catalogue.features.get(code)
        if feature is None or ("access", company, code) in self._settled or not self.company(company):
            return
        if is_whole:
            self.settle("access", company, code)
        elif (company, code) in self._access:
            return
        was_usable = (company, code) in self._access  # usage has shown that
        if not shown.get("isEnabled") and shown.get("source") is None and not was_usable:
            return  # it had none
        limits = {key: number(shown.get(key)) for key in ("quantityLimit", "includedQuantity")}
        valid_until = instant(shown.get("validUntil"))
        self._access[company, code] = {
            "isEnabled": shown.get("isEnabled") is True or was_usable or self.is_past(shown.get("validUntil")),
            **(limits if feature["hasQuantity"] else dict.fromkeys(limits)),
            "configValues": mapping(shown.get("configValues")),
            "source": text(shown.get("source")),
            "validUntil": valid_until and timestamp_text(valid_until),
        }

    def is_listed(self, company: str) -> None:
        """Note that all accesses of a company are shown, as they were before a tier changed them."""
        if company not in self._tiers:
            self._listed.add(company)

    def is_given(self, company: str, tier: str) -> None:
        """Note that a tier is applied to a company."""
        self._tiers.setdefault(company, set()).add(tier)

    def knows_every_access(self, company: str) -> bool:
        """Return whether it is known which features a company has enabled, at all times."""
        is_known = company in self._listed or company in self.created
        return is_known and self._tiers.get(company, set()) <= self.catalogue.complete

    def is_past(self, valid_until: JSON) -> bool:
        """Return whether an access has expired: it is shown as disabled, and was probably enabled before."""
        moment = instant(valid_until)
        return moment is not None and moment <= self._now

    def usage(self, company: str, code: str) -> Number:
        """Return what a company is known to have used, with what these calls have added to it."""
        return self._usage.get((company, code), 0) + self._counted.get((company, code), 0)

    def used(self, company: str, code: str, usage: Number) -> None:
        """Learn a company's usage, with what these calls have added to it."""
        before = usage - self._counted.get((company, code), 0)
        if self.settle("usage", company, code) and before > 0 and self.company(company):
            self._usage[company, code] = before

    def count(self, company: str, code: str, quantity: Number) -> None:
        """Add to a company's usage."""
        self._counted[company, code] = self._counted.get((company, code), 0) + quantity

    def had_event(self, key: str, company: str, code: str, quantity: JSON, answer: Row) -> None:
        """Learn that a usage key was used before."""
        if self.settle("key", key):
            row = {"companyId": self.company(company).get("id") or company, "featureCode": code}
            self._events[key] = {**row, "quantity": number(quantity) or 0, "answer": answer}

    # Stripe

    def had_session(self, session: str, subscription: str | None) -> None:
        """Learn that there was a checkout session, which is complete if it has a subscription."""
        prices = self.subscriptions[subscription]["priceIds"] if subscription else []
        row = {"id": session, "priceIds": prices, "customerName": None, "subscriptionId": subscription}
        self.sessions.setdefault(session, row)

    def had_subscription(self, subscription: str, customer: JSON = None) -> Row:
        """Learn that Stripe had a subscription."""
        tier = self.catalogue.paid.get(subscription)
        prices = price_ids_of(tier) if tier else []
        customer_id = text(customer) or f"customer of {subscription}"
        row = {"id": subscription, "customerId": customer_id, "priceIds": prices, "isActive": True}
        return self.subscriptions.setdefault(subscription, row)

    def was_claimed(self, subscription: str, company: str | None, shown: Row | None = None) -> None:
        """Learn that a subscription belonged to a company when it was first met."""
        if company in self.created or not self.settle("claim", subscription):
            return
        self.had_subscription(subscription)
        tier, shown = self.catalogue.paid.get(subscription), shown or {}
        self._claims[subscription] = {
            "id": text(shown.get("id")) or f"claim of {subscription}",
            "companyId": self.company(company)["id"],
            "stripeSubscriptionId": subscription,
            "displayName": text(shown.get("displayName")),
            "tierCode": tier and tier["code"],
            "monthlyFee": 0,
        }

    def had_billing_profile(self, company: str) -> None:
        """Learn that a company had a billing profile: there was a subscription, which ended if none is shown."""
        if company in self.created or any(row["companyId"] == company for row in self._claims.values()):
            return  # it is one that these calls show, and that has ended since
        ended = f"subscription of {company}"
        self.was_claimed(ended, company)
        self.subscriptions[ended]["isActive"] = False

    @property
    def size(self) -> int:
        """How many rows there are of what may be made up to explain a refusal."""
        return sum(map(len, (self.links, self._events, self._claims, self.sessions, self.subscriptions)))

    # All of it

    def _companies_in_order(self) -> list[Row]:
        """Return the companies in the order in which they were created, as far as it is known."""
        order = list(self.companies)
        place_of = {company: place for place, company in enumerate(order)}
        for group in self._in_order:
            for place, company in zip(sorted(map(place_of.__getitem__, group)), group, strict=True):
                order[place] = company
                place_of[company] = place
        return [self.companies[company] for company in order]

    def snapshot(self) -> JSON:
        """Return everything as the fake's snapshots have it."""
        for company, domain in self._contact_domains.items():
            is_shown = any(addresses.email_domain(email) == domain for email in self._contacts.get(company, ()))
            if not is_shown and company not in self._with_all_contacts:
                self.had_contact(company, {"email": f"somebody@{domain}"})
        tables: dict[str, dict[str, Row]] = {"access": {}, "usage": {}}
        for (company, code), row in self._access.items():
            tables["access"].setdefault(company, {})[code] = row
        for (company, code), amount in self._usage.items():
            tables["usage"].setdefault(company, {})[code] = repr(amount)
        claims = list(self._claims.values())
        return {
            **FakeTransport().snapshot(),
            **tables,
            "catalogue": {
                "features": list(self.catalogue.features.values()),
                "tiers": list(self.catalogue.tiers.values()),
            },
            "companies": self._companies_in_order(),
            "links": list(self.links.values()),
            "contacts": {company: [*contacts.values()] for company, contacts in self._contacts.items() if contacts},
            "tiers": {claim["companyId"]: claim["tierCode"] for claim in claims if claim["tierCode"]},
            "events": {key: row for key, row in self._events.items() if row["companyId"] in self.companies},
            "stripe": {"subscriptions": list(self.subscriptions.values()), "sessions": list(self.sessions.values())},
            "claims": claims,
        }
