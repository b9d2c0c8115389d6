"""Fills the fake's tables with the state that recorded answers show, where it was unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from chatarmin_os._json import timestamp_text
from chatarmin_os.drift.compare import timestamp
from chatarmin_os.drift.reading import mapping, number, objects, observed_accesses, refusal, text
from chatarmin_os.fake.rules.tiers import price_ids_of
from chatarmin_os.fake.rules.usage import exact

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from chatarmin_os._json import JSON
    from chatarmin_os.drift.knowledge import Knowledge
    from chatarmin_os.fake.rows import Company, Event, StripeSubscription
    from chatarmin_os.fake.state import State
    from chatarmin_os.recording.line import RecordedCall

_UNKNOWN_NAME = "?"  # it matches no other name
_LIMITS = ("quantityLimit", "includedQuantity")


class Observer:
    """Fills the tables of a fake.

    Args:
        state: The tables.
        knowledge: The facts that are known; observed ones are added.
        paid: Subscription -> code of its tier.
        created: Ids of companies that are not in the tables yet, because later calls create them.
    """

    def __init__(
        self, state: State, knowledge: Knowledge, paid: dict[str, str | None], created: Collection[str] = ()
    ) -> None:
        self._state, self._knowledge, self._paid, self._created = state, knowledge, paid, created

    def observe(self, recorded: RecordedCall) -> None:
        """Learn from the outcome of a query, or of a mutation that shows a link."""
        given, answer = mapping(recorded.input), recorded.outcome.get("answer")
        org, company = text(given.get("externalOrgId")), text(given.get("companyId"))
        if company in self._created:
            return
        if company:
            self._observe_company(company, recorded)
        if org and "answer" in recorded.outcome:
            self._observe_link(org, recorded.path, mapping(answer))
            company = self._state.links[org]["companyId"] if org in self._state.links else company
        if company not in self._state.companies or "answer" not in recorded.outcome or recorded.kind != "query":
            return
        for _, _, code, access in observed_accesses(recorded):
            if self._learn("access", company, code):
                self._set_access(company, code, access)
        if recorded.path == "contacts.list" and not given.get("primaryOnly") and self._learn("contacts", company):
            self._set_contacts(company, objects(answer))
        if recorded.path == "billing.getStatus" and self._learn("billing", company):
            self._set_billing(company, mapping(answer))

    def _learn(self, *fact: str) -> bool:
        """Note that a fact is known; return whether it was unknown before."""
        is_new = not self._knowledge.has(fact)
        self._knowledge.learn(fact)
        return is_new

    def _observe_company(self, company: str, recorded: RecordedCall) -> None:
        if "failure" in recorded.outcome or company in self._state.companies:
            return
        if recorded.is_prologue and refusal(recorded) in {"NOT_FOUND", "BAD_REQUEST"}:
            self._knowledge.learn(("company", company))
        else:
            self.add_company(company)

    def add_company(self, company: str, shown: dict[str, Any] | None = None) -> Company:
        """Return the row of a company that existed before the calls; set its unknown fields to those of *shown*."""
        row = self._state.companies.get(company)
        is_added = row is None
        if row is None:
            self._knowledge.companies.add(company)
            new: Company = {
                "id": company,
                "shortId": _UNKNOWN_NAME,
                "name": _UNKNOWN_NAME,
                "domain": None,
                "createdAt": None,
            }
            row = self._state.companies[company] = new
        is_named = shown is not None and self._learn("name", company)
        if shown is not None and is_named:
            row["name"], row["domain"] = text(shown.get("name")) or _UNKNOWN_NAME, text(shown.get("domain"))
        if is_added or is_named:
            self._state.index_company(row)
        if shown is not None and "shortId" in shown and self._learn("row", company):
            row["shortId"] = text(shown.get("shortId")) or _UNKNOWN_NAME
            row["createdAt"] = _timestamp_text(shown.get("createdAt"))
        return row

    def _observe_link(self, org: str, path: str, answer: dict[str, Any]) -> None:
        """Learn to which company an organisation was linked before a call that was answered."""
        status = answer.get("status", answer.get("linkStatus"))
        company = text(answer.get("id" if path == "companies.getByProductLink" else "companyId"))
        if path == "companies.create" or status not in (None, "already_linked"):
            company = None
        elif path in {"features.checkByExternalOrgId", "features.setAccess"}:
            return  # these show no company
        if company in self._created:
            company = None
        if company:
            self.add_company(company, answer if path == "companies.getByProductLink" else None)
        if self._learn("link", org):
            self._state.links.pop(org, None)
            if company:
                texts = {key: text(answer.get(key)) for key in ("label", "externalUserId")}
                self._knowledge.forget([("label", org)])
                self._state.links[org] = {"companyId": company, "externalOrgId": org, **texts}  # type: ignore[typeddict-item]

    def _set_access(self, company: str, code: str, shown: dict[str, Any]) -> None:
        accesses, feature = self._state.access.setdefault(company, {}), self._state.catalogue.features[code]
        accesses.pop(code, None)
        if shown.get("source") is not None or shown.get("isEnabled") is True:
            limits = {key: number(shown.get(key)) if feature["hasQuantity"] else None for key in _LIMITS}
            accesses[code] = {
                "isEnabled": shown.get("isEnabled") is True
                or _is_past(timestamp(shown.get("validUntil")), self._state.now),
                "quantityLimit": limits["quantityLimit"],
                "includedQuantity": limits["includedQuantity"],
                "configValues": mapping(shown.get("configValues")),
                "source": text(shown.get("source")),
                "validUntil": _timestamp_text(shown.get("validUntil")),
            }
        self._state.usage.setdefault(company, {})[code] = exact(number(shown.get("currentUsage")) or 0)

    def _set_contacts(self, company: str, rows: list[dict[str, Any]]) -> None:
        contacts = self._state.contacts.setdefault(company, {})
        for address in contacts:
            self._state.set_primary(company, address, is_primary=False)
        contacts.clear()
        for place, shown in enumerate(rows):
            if email := text(shown.get("email")):
                self._state.add_contact(
                    company,
                    {
                        "id": text(shown.get("id")) or f"contact {place} of {company}",
                        "email": email,
                        "name": text(shown.get("name")),
                        "role": text(shown.get("role")),
                        "isPrimary": shown.get("isPrimary") is True,
                        "avatarUrl": text(shown.get("avatarUrl")),
                        "metadata": mapping(shown.get("metadata")),
                    },
                )

    def _set_billing(self, company: str, status: dict[str, Any]) -> None:
        self._state.delete_claims(company)
        shown = objects(status.get("activeSubscriptions"))
        for row in shown:
            if subscription := text(row.get("stripeSubscriptionId")):
                self.add_claim(company, subscription, row)
        if status.get("hasBillingProfile") is True and not shown:
            self.add_claim(company, f"subscription of {company}")["isActive"] = False

    def add_claim(self, company: str, subscription: str, shown: JSON = None) -> StripeSubscription:
        """Give a subscription to a company, and return its row."""
        row, tier = mapping(shown), self._paid.get(subscription)
        if subscription not in self._state.claims:
            self._state.add_claim(
                {
                    "id": text(row.get("id")) or f"claim of {subscription}",
                    "companyId": company,
                    "stripeSubscriptionId": subscription,
                    "displayName": text(row.get("displayName")),
                    "tierCode": tier,
                    "monthlyFee": 0,
                }
            )
        if tier:
            self._state.tiers[company] = tier
        return self.add_subscription(subscription)

    def add_subscription(self, subscription: str, customer: str | None = None) -> StripeSubscription:
        """Return the row of a subscription at Stripe; add it if it is new."""
        tier = self._state.catalogue.tiers.get(self._paid.get(subscription) or "")
        return self._state.subscriptions.setdefault(
            subscription,
            {
                "id": subscription,
                "customerId": customer or f"customer of {subscription}",
                "priceIds": price_ids_of(tier) if tier else [],
                "isActive": True,
            },
        )

    def observe_usage(self, recorded: RecordedCall) -> bool:
        """Learn that a usage key was used before the calls; return whether that explains a refusal."""
        given, answer = mapping(recorded.input), mapping(recorded.outcome.get("answer"))
        key, company, code = (text(given.get(name)) for name in ("idempotencyKey", "companyId", "featureCode"))
        if key is None or key in self._state.events or company is None or code is None:
            return False
        used, usage = number(answer.get("currentUsage")), self._state.usage.get(company, {}).get(code, 0)
        is_refused = refusal(recorded) == "CONFLICT"
        if is_refused or (used is not None and used <= usage):  # counting the event would have raised it
            event = {"companyId": company, "featureCode": code, "quantity": given.get("quantity"), "answer": answer}
            self._state.events[key] = cast("Event", {**event, "quantity": None} if is_refused else event)
        return is_refused


def _is_past(valid_until: datetime | None, now: datetime) -> bool:
    """Return whether an access has expired: a disabled one was then probably enabled before."""
    return valid_until is not None and valid_until <= now


def _timestamp_text(value: JSON) -> str | None:
    """Return a timestamp as the fake keeps it, None for any other value."""
    moment = timestamp(value)
    return None if moment is None else timestamp_text(moment)
