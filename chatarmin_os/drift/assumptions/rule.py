"""What a decided rule is, and what it may look at."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias

from chatarmin_os.drift._reading import mapping, objects, text
from chatarmin_os.drift.compare import Notation, fields_of
from chatarmin_os.fake.rules.access import is_enabled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chatarmin_os._call import Call
    from chatarmin_os.drift.compare import Difference, Outcome
    from chatarmin_os.fake.rows import Access
    from chatarmin_os.fake.state import State


_OUTCOME = "outcome"
_USAGE = "currentUsage"


class Memory:
    """What was done in these calls so far, in its order."""

    def __init__(self) -> None:
        self.last: dict[tuple[str | None, str, str | None, bool], int] = {}
        """When something was done last: company, path, feature, and whether it was refused."""
        self.refused_orgs: set[str] = set()
        self.refused_keys: set[str] = set()
        self.last_reset = 0
        self._count = 0

    def keep(self, situation: Situation) -> None:
        """Remember a call, once the fake has answered it."""
        self._count += 1
        company = situation.company or text(situation.answer.get("companyId")) or text(situation.answer.get("id"))
        feature = situation.feature["code"] if situation.feature else None
        is_refused = situation.code is not None
        self.last[company, situation.path, feature, is_refused] = self._count
        if situation.path == "links.reset" and not is_refused:
            self.last_reset = self._count
        if is_refused and situation.path == "onboard":
            self.refused_orgs.add(situation.org)
        if is_refused and situation.key:
            self.refused_keys.add(situation.key)


class Situation:
    """What the fake knew before a call, and what it made of it."""

    def __init__(self, state: State, call: Call, memory: Memory) -> None:
        given = self.given = mapping(call.input)
        self.path = call.path
        self.hints = mapping(given.get("hints"))
        self.org = text(given.get("externalOrgId")) or ""
        link = state.links.get(self.org)
        self.linked = link["companyId"] if link else None
        company = text(given.get("companyId")) or self.linked or ""
        self.company = company if company in state.companies else None
        self.key = text(given.get("idempotencyKey")) or ""
        self.was_refused = self.org in memory.refused_orgs or self.key in memory.refused_keys
        self._last = memory.last
        self.last_reset = memory.last_reset
        self.feature = state.catalogue.features.get(text(given.get("featureCode")) or "")
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
        self.contact_is_known = (text(given.get("email")) or "").strip().lower() in contacts
        self.has_primary = any(contact["isPrimary"] for contact in contacts.values())
        self.came: Outcome = {}

    def seen_as(self, came: Outcome) -> Self:
        """Return the same situation with what somebody else made of the call."""
        other = copy(self)
        other.came = came
        return other

    @property
    def answer(self) -> dict[str, Any]:
        """The answer, empty where it is no object."""
        return mapping(self.came.get("answer"))

    @property
    def code(self) -> str | None:
        """The code of the refusal."""
        return mapping(self.came.get("error")).get("code")

    @property
    def accesses(self) -> list[dict[str, Any]]:
        """The accesses that the answer shows."""
        answer = self.came.get("answer")
        return objects(answer if isinstance(answer, list) else self.answer.get("features", [self.answer or None]))

    def last(self, *paths: str, feature: str | None = None, refused: bool = False) -> int:
        """Return when one of some procedures was last called for this company: the later the more, 0 for never.

        Args:
            paths: The procedures.
            feature: Only calls about this feature count, and those that are about no single one.
            refused: Whether calls count that were refused, or that were answered.
        """
        features = {None, feature}
        return max(
            (self._last.get((self.company, path, code, refused), 0) for path in paths for code in features), default=0
        )

    def was_given(self, row: dict[str, Any], *paths: str) -> bool:
        """Return whether a company was given an access by some procedures, and it was not changed by hand since."""
        code = text(row.get("featureCode"))
        return self.last(*paths) > self.last("features.setAccess", feature=code)


Touches: TypeAlias = Callable[[Situation], object]


class Rule(NamedTuple):
    """A decided rule; *shows* are the fields of the answer that it is about, or `outcome`.

    With *is_notation* it is about how they are written, and not about their values.
    """

    name: str
    text: str
    paths: frozenset[str]
    touches: Touches
    shows: frozenset[str]
    is_notation: bool

    def verdict(self, differences: Sequence[Difference], *, is_explained: bool = False) -> bool | None:
        """Return whether a call that touches this rule confirms it; None where it cannot tell.

        A refusal that something was made up to explain cannot confirm what it is explained by.
        """
        if is_explained and not differences and _OUTCOME in self.shows:
            return None
        if any(difference.kind in {"outcome", "code"} for difference in differences):
            return False if _OUTCOME in self.shows else None
        of_this_kind = [
            difference for difference in differences if isinstance(difference, Notation) is self.is_notation
        ]
        differing = set().union(*(fields_of(difference.place) for difference in of_this_kind))
        if differing & {_USAGE} - self.shows:
            return None  # what was used differs, and need not be the fault of what is made of it
        return not differing & self.shows


RULES: list[Rule] = []
SEEN = ("features.check", "features.checkByExternalOrgId", "features.listAccess", "features.getAccessByExternalOrgId")
"""The procedures that show accesses."""


def decided(text: str, *paths: str, shows: str = _OUTCOME, is_notation: bool = False) -> Callable[[Touches], Touches]:
    """Declare the decorated function as what picks the calls that touch a rule.

    Args:
        text: The rule, as a sentence; it is no docstring, since `python -OO` drops those.
        paths: The procedures it is about.
        shows: What shows it, with spaces between: fields of the answer, and `outcome`, which is whether there is one.
        is_notation: Whether it is about how these fields are written, and not about their values.
    """

    def declared(touches: Touches) -> Touches:
        name = touches.__name__.strip("_").replace("_", "-")
        sentence = text[0].lower() + text[1:].removesuffix(".")
        RULES.append(Rule(name, sentence, frozenset(paths), touches, frozenset(shows.split()), is_notation))
        return touches

    return declared
