"""The input of a criterion: a call, the state of the fake before it, and the earlier calls."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, Self

from chatarmin_os.drift.reading import mapping, objects, text
from chatarmin_os.fake.rules import addresses
from chatarmin_os.fake.rules.access import is_enabled

if TYPE_CHECKING:
    from chatarmin_os._call import Call
    from chatarmin_os.fake.rows import Access
    from chatarmin_os.fake.state import State


class History:
    """The calls of a recording so far."""

    def __init__(self) -> None:
        self.last: dict[tuple[str | None, str, str | None, bool], int] = {}
        """The number of the last call by company, path, feature, and whether it was refused."""
        self.refused_orgs: set[str] = set()
        self.refused_keys: set[str] = set()
        self.onboarded_with: dict[str | None, set[str]] = {}
        """By company, the keys of the input of its last onboarding."""
        self.last_reset = 0
        self._count = 0

    def add(self, call: Context) -> None:
        """Add a call that the fake has answered."""
        self._count += 1
        company = call.company or text(call.answer.get("companyId")) or text(call.answer.get("id"))
        feature = call.feature["code"] if call.feature else None
        is_refused = call.code is not None
        self.last[company, call.path, feature, is_refused] = self._count
        if call.path == "links.reset" and not is_refused:
            self.last_reset = self._count
        if call.path == "onboard" and is_refused:
            self.refused_orgs.add(call.org)
        elif call.path == "onboard":
            self.onboarded_with[company] = set(call.given)
        if is_refused and call.key:
            self.refused_keys.add(call.key)


class Context:
    """A call, the state of the fake before it, and its outcome."""

    def __init__(self, state: State, call: Call, history: History) -> None:
        given = self.given = mapping(call.input)
        self.path = call.path
        self.hints = mapping(given.get("hints"))
        self.org = text(given.get("externalOrgId")) or ""
        link = state.links.get(self.org)
        self.linked = link["companyId"] if link else None
        company = text(given.get("companyId")) or self.linked or ""
        self.company = company if company in state.companies else None
        self.knows_domain = bool(state.places_with_domain(addresses.domain(text(given.get("domain")) or ""), 1))
        self.knows_contact_domain = bool(
            state.places_with_domain(addresses.email_domain(text(given.get("contactEmail")) or ""), 1)
        )
        self.key = text(given.get("idempotencyKey")) or ""
        self.was_refused = self.org in history.refused_orgs or self.key in history.refused_keys
        self.onboarded_with = frozenset(history.onboarded_with.get(self.company, ()))
        self._last = history.last
        self.last_reset = history.last_reset
        self.features = state.catalogue.features
        self.feature = self.features.get(text(given.get("featureCode")) or "")
        accesses = state.access.get(company, {})
        self.sources = {code: row["source"] for code, row in accesses.items()}
        self.enabled = {code for code, row in accesses.items() if is_enabled(row, state.now)}
        self.expired = {code for code, row in accesses.items() if row["isEnabled"]} - self.enabled
        access = accesses.get(self.feature["code"]) if self.feature else None
        self.access: Access | None = access.copy() if access else None
        self.usage = dict(state.usage.get(company, {}))
        self.tier = state.catalogue.tiers.get(text(given.get("tierCode")) or "")
        self.event = state.events.get(self.key)
        self.session = state.sessions.get(text(given.get("checkoutSessionId")) or "")
        paid = text(given.get("stripeSubscriptionId")) or (self.session["subscriptionId"] if self.session else None)
        self.subscription = state.subscriptions.get(paid or "")
        claim = state.claims.get(paid or "")
        self.claimed_by = claim["companyId"] if claim else None
        contacts = state.contacts.get(company, {})
        self.is_known_contact = (text(given.get("email")) or "").strip().lower() in contacts
        self.has_primary = any(contact["isPrimary"] for contact in contacts.values())
        self.outcome: dict[str, Any] = {}

    def with_outcome(self, outcome: dict[str, Any]) -> Self:
        """Return the same context with the outcome of another service."""
        other = copy(self)
        other.outcome = outcome
        return other

    @property
    def answer(self) -> dict[str, Any]:
        """The answer; an empty object if it is not an object."""
        return mapping(self.outcome.get("answer"))

    @property
    def code(self) -> str | None:
        """The code of the refusal, None for an answer."""
        return mapping(self.outcome.get("error")).get("code")

    @property
    def accesses(self) -> list[dict[str, Any]]:
        """The accesses that the answer shows."""
        answer = self.outcome.get("answer")
        return objects(answer if isinstance(answer, list) else self.answer.get("features", [self.answer or None]))

    def last(self, *paths: str, feature: str | None = None, refused: bool = False) -> int:
        """Return the number of the last call of some procedures for this company, 0 before the first.

        Args:
            paths: The procedures.
            feature: Count only calls for this feature, and calls that name no feature.
            refused: Count refused calls instead of answered ones.
        """
        features = {None, feature}
        return max(
            (self._last.get((self.company, path, code, refused), 0) for path in paths for code in features), default=0
        )

    def is_granted_by(self, row: dict[str, Any], *paths: str) -> bool:
        """Return whether one of some procedures granted an access, and no later features.setAccess changed it."""
        code = text(row.get("featureCode"))
        return self.last(*paths) > self.last("features.setAccess", feature=code)
