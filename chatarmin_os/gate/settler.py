"""Gives lookups their results, counts these, and logs failures."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from attrs import evolve

from chatarmin_os.errors import ChatarminError
from chatarmin_os.gate.answers import Answer, Listing, Unlinked
from chatarmin_os.gate.decision import Decision
from chatarmin_os.gate.entry import Entry
from chatarmin_os.gate.failures import class_and_code, is_outage, without_traceback
from chatarmin_os.gate.lookup import Lookup
from chatarmin_os.gate.state import MAX_FEATURES, State

_log = logging.getLogger("chatarmin_os")
_QUIET_SECONDS = 60.0


class Settler:
    """Settles lookups by an answer that is known, or without one. Its owner has the lock.

    Args:
        state: The state that the threads share.
    """

    def __init__(self, state: State) -> None:
        self._state = state

    def by_outcome(self, lookup: Lookup, outcome: Listing | Unlinked | Answer, now: float) -> None:
        """Settle a lookup by the outcome of a refresh, if that is about it."""
        entry, feature = self._state.entry(lookup.key), lookup.feature
        if not isinstance(outcome, Answer) and feature is None:
            self._all(lookup, entry, outcome, now, is_live=True)
            return
        found: Answer | Unlinked | None
        if isinstance(outcome, Listing):
            lookup.listed = outcome
            found = outcome.about(feature or "")
        else:
            found = outcome
        if found is not None:
            self._decided(lookup, entry, self._state.evaluator.decide(entry, feature or "", found, "live", now)[1])

    def by_fresh_answer(self, lookup: Lookup, entry: Entry, now: float) -> bool:
        """Settle a lookup by a fresh answer; return whether there is one."""
        evaluator, feature = self._state.evaluator, lookup.feature
        if feature is None:
            if evaluator.states(entry, now) != {"fresh"}:
                return False
            self._all(lookup, entry, entry.listing, now)
            return True
        found = entry.known(feature)
        if found is None or evaluator.freshness(found, feature, now) != "fresh":
            return False
        ready = evaluator.decide(entry, feature, found, "cache", now)
        if len(entry.ready) >= MAX_FEATURES:  # codes may come from anywhere, and all are denied if nothing is linked
            entry.discard_ready()
        entry.ready[feature] = ready
        self._decided(lookup, entry, ready[1])
        return True

    def without_service(self, lookup: Lookup, error: ChatarminError, now: float) -> None:
        """Decide without the service: by an old answer, by the policy, or not at all."""
        entry, feature = self._state.entry(lookup.key), lookup.feature
        lookup.flight = None
        has_old_answer = self.by_old_answer(lookup, entry, error, now)
        if not has_old_answer and feature is None:
            self._all_by_policy(lookup, entry, error)
        elif not has_old_answer:
            lookup.result = decision = self._state.evaluator.by_policy(entry, feature or "", error)
            if isinstance(decision, Decision):
                self._decided(lookup, entry, decision)
        if not has_old_answer or not is_outage(error):
            self._note(lookup, entry, error, now)

    def by_old_answer(self, lookup: Lookup, entry: Entry, error: ChatarminError | None, now: float) -> bool:
        """Settle a lookup by an answer that is not gone yet; return whether there is one.

        Args:
            lookup: The lookup.
            entry: Its entry.
            error: The error of the refresh; None: one is under way.
            now: The instant.
        """
        evaluator, feature = self._state.evaluator, lookup.feature
        if feature is None:
            states = evaluator.states(entry, now)
            if states == {"gone"} or (error is None and "gone" in states):
                return False
            self._all(lookup, entry, entry.listing, now, error=error)
            return True
        found = entry.known(feature)
        state = evaluator.freshness(found, feature, now)
        if found is None or state == "gone":
            return False
        decision = evaluator.decide(entry, feature, found, "cache" if state == "fresh" else "stale", now)[1]
        self._decided(lookup, entry, decision if error is None else evolve(decision, error=without_traceback(error)))
        return True

    def _all(
        self,
        lookup: Lookup,
        entry: Entry,
        listing: Listing | Unlinked | None,
        now: float,
        *,
        is_live: bool = False,
        error: ChatarminError | None = None,
    ) -> None:
        """Settle a lookup about all features, of which a few may be gone."""
        evaluator = self._state.evaluator
        decisions: dict[str, Decision] = {}
        until, is_ready = float("inf"), False
        for feature in evaluator.features(entry, listing):
            found = entry.known(feature, listing)
            state = evaluator.freshness(found, feature, now)
            is_listed = listing is not None and listing.about(feature) is not None
            is_ready = is_ready or is_listed  # only these say how long the listing is fresh
            if is_listed and is_live:
                source = "live"
            elif found is not None and state != "gone":
                source = "cache" if state == "fresh" else "stale"
            elif is_listed and error is not None:
                decision = evaluator.by_policy(entry, feature, error)
                if isinstance(decision, ChatarminError):
                    lookup.result = decision
                    return
                decisions[feature] = decision
                continue
            else:
                continue
            end, decision = evaluator.decide(entry, feature, found, source, now)  # type: ignore[arg-type]
            until = min(until, end)
            decisions[feature] = decision if error is None else evolve(decision, error=without_traceback(error))
        if is_ready and all(decision.source == "cache" for decision in decisions.values()):
            entry.ready_listing = until, decisions
        self._decided(lookup, entry, *decisions.values())
        lookup.result = decisions

    def _all_by_policy(self, lookup: Lookup, entry: Entry, error: ChatarminError) -> None:
        """Settle a lookup about all features of which none is known: one decision for each policy."""
        decisions: dict[str, Decision] = {}
        for feature in self._state.settings.policies:
            decision = self._state.evaluator.by_policy(entry, feature, error)
            if isinstance(decision, ChatarminError):
                lookup.result = decision
                return
            decisions[feature] = decision
        self._decided(lookup, entry, *decisions.values())
        lookup.result = decisions if is_outage(error) else without_traceback(error)

    def _decided(self, lookup: Lookup, entry: Entry, *decisions: Decision) -> None:
        """Count decisions; a single one is the result."""
        uses = self._state.store.uses
        for decision in decisions:
            entry.used = next(uses)
            self._state.stale += decision.source == "stale"
            self._state.by_policy += decision.source == "policy"
            lookup.result = decision

    def _note(self, lookup: Lookup, entry: Entry, error: ChatarminError, now: float) -> None:
        """Log a failure once a minute and organisation, without ids of the service or its messages."""
        level = logging.WARNING if is_outage(error) else logging.ERROR
        if now < entry.quiet_until.get(level, float("-inf")):
            return
        entry.quiet_until[level] = now + _QUIET_SECONDS
        who = f"organisation {entry.key[1]!r}" if entry.key[0] == "organisation" else "a company"
        what = "all features" if lookup.feature is None else f"feature {lookup.feature!r}"
        lookup.logs.append((level, "the gate has no new answer about %s of %s: %s", (what, who, class_and_code(error))))


def write_logs(lookups: Sequence[Lookup]) -> None:
    """Log, without the lock, for handlers are code of the user."""
    for lookup in lookups:
        logs, lookup.logs = lookup.logs, []
        for level, message, arguments in logs:
            _log.log(level, message, *arguments)
