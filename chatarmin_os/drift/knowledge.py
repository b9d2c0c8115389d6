"""The known facts about a service's state; the check skips calls that depend on other facts."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from chatarmin_os._call import Call
    from chatarmin_os.fake.state import State

Fact: TypeAlias = tuple[str, ...]
"""A kind, and the ids of its subject, such as `("access", company, feature)`."""

_NEEDS = {
    "features.check": "access",
    "features.checkByExternalOrgId": "access",
    "features.listAccess": "access",
    "features.getAccessByExternalOrgId": "access",
    "features.setAccess": "access",
    "billing.trackUsage": "access",
    "billing.getStatus": "billing",
    "billing.claimCheckout": "billing",
    "billing.linkSubscription": "billing",
    "contacts.list": "contacts",
    "contacts.create": "contacts",
    "contacts.bulkUpsert": "contacts",
    "companies.getByProductLink": "row",
    "companies.update": "row",
}
_CHANGES = {
    "tiers.apply": ("access",),
    "billing.claimCheckout": ("access", "billing"),
    "billing.linkSubscription": ("access", "billing"),
    "onboard": ("access", "billing", "contacts"),
}
_DEFAULTS = frozenset({"access", "billing", "contacts", "name", "row", "label"})
"""Kinds of facts that are known about every record that the calls create."""

_NAMES = {
    "access": "the access to {2} of company {1}",
    "billing": "the subscriptions of company {1}",
    "contacts": "the contacts of company {1}",
    "name": "name and domain of company {1}",
    "row": "company {1}",
    "company": "company {1}",
    "label": "the label of organisation {1}",
    "link": "the link of organisation {1}",
    "tier": "tier {1}",
    "feature": "feature {1}",
    "owner": "the company of subscription {1}",
    "subscription": "the tier of subscription {1}",
}


class Knowledge:
    """The facts that lines have shown, and all facts about companies that the calls create."""

    def __init__(self) -> None:
        self.companies: set[str] = set()
        """Companies that existed before the calls."""
        self._known: set[Fact] = set()
        self._forgotten: set[Fact] = set()
        self._has_all_links = False

    def has(self, fact: Fact) -> bool:
        """Return whether a fact is known."""
        if fact in self._known:
            return True
        is_new = self._has_all_links if fact[0] == "link" else fact[0] in _DEFAULTS and fact[1] not in self.companies
        return is_new and fact not in self._forgotten

    def learn_all_links(self) -> None:
        """Note that no organisation is linked."""
        self._has_all_links = True
        self._forgotten = {fact for fact in self._forgotten if fact[0] not in {"link", "label"}}

    def learn(self, *facts: Fact) -> None:
        """Note that facts are known."""
        self._known.update(facts)

    def forget(self, facts: Iterable[Fact]) -> None:
        """Note that facts are unknown from now on."""
        for fact in facts:
            self._known.discard(fact)
            self._forgotten.add(fact)


def needs(call: Call, company: str | None, state: State) -> Iterator[Fact]:
    """Yield the facts about a company that the answer to a call depends on."""
    if company and call.path in _NEEDS:
        yield from _facts(_NEEDS[call.path], company, call, state)


def changes(call: Call, company: str | None, state: State) -> Iterator[Fact]:
    """Yield the facts about a company that a call depends on or changes."""
    if company:
        for kind in _CHANGES.get(call.path, (_NEEDS[call.path],) if call.path in _NEEDS else ()):
            yield from _facts(kind, company, call, state)


def _facts(kind: str, company: str, call: Call, state: State) -> Iterator[Fact]:
    if kind != "access":
        yield kind, company
        return
    code = call.input.get("featureCode")
    for feature in [code] if isinstance(code, str) else state.catalogue.features:
        yield kind, company, feature


def describe(fact: Fact) -> str:
    """Return a fact as the report names it."""
    return _NAMES[fact[0]].format(*fact)
