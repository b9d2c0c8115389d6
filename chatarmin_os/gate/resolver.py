"""Takes lookups to their decisions: from what is known, by waiting for a refresh, or by running one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from attrs import evolve

from chatarmin_os import _clock
from chatarmin_os.errors import ChatarminError
from chatarmin_os.gate.answers import Answer, Failed, Listing, Missing, Unlinked
from chatarmin_os.gate.decision import Decision
from chatarmin_os.gate.entry import Entry
from chatarmin_os.gate.failures import class_and_code, is_outage, without_traceback
from chatarmin_os.gate.fences import Key
from chatarmin_os.gate.flight import Flight
from chatarmin_os.gate.lookup import Lookup
from chatarmin_os.gate.refresh import Refresher, keys_of
from chatarmin_os.gate.service import late
from chatarmin_os.gate.state import MAX_FEATURES, State

_log = logging.getLogger("chatarmin_os")
_QUIET_SECONDS = 60.0


class Resolver:
    """Answers the lookups of any number of threads.

    Args:
        state: What the threads share.
        refresher: Runs refreshes.
        has_shared: Whether there is a shared cache.
    """

    def __init__(self, state: State, refresher: Refresher, *, has_shared: bool) -> None:
        self._state, self._refresher, self._has_shared = state, refresher, has_shared

    def answer(self, lookups: Sequence[Lookup]) -> None:
        """Give each lookup its result."""
        state = self._state
        while lookups:
            own: list[Flight] = []
            try:
                now = state.clock.seconds()
                with state.lock:
                    for lookup in lookups:
                        self._step(lookup, own, now)
                _write(lookups)
                if own:
                    self._refresher.run(own, max(lookup.deadline for lookup in lookups))
            finally:
                for flight in own:
                    if not flight.is_over:
                        self._refresher.abandon(flight)
            lookups = [lookup for lookup in lookups if lookup.result is None]
            self._wait(lookups)
            lookups = [lookup for lookup in lookups if lookup.result is None]

    def _wait(self, lookups: Sequence[Lookup]) -> None:
        """Wait for the refreshes of lookups, and give up those whose time has run out."""
        for lookup in lookups:
            flight = lookup.flight
            seconds = lookup.deadline - _clock.monotonic()
            if flight is None or not flight.wait(seconds):
                now = self._state.clock.seconds()
                with self._state.lock:
                    self._without(lookup, late(), now)
        _write(lookups)

    # With the lock

    def _step(self, lookup: Lookup, own: list[Flight], now: float) -> None:
        """Give a lookup its result, or a refresh to wait for: one of *own* is still to be run."""
        flight, lookup.flight = lookup.flight, None
        if flight is not None and self._take(lookup, flight, now):
            return
        entry = self._state.entry(lookup.key)
        if self._from_fresh(lookup, entry, now):
            return
        target = self._target(lookup, entry, now)
        if lookup.missing is not None and target is not None:  # a listing that is newer lacks the feature too
            self._without(lookup, self._unknown(lookup.missing, entry, now), now)
            return
        flight = entry.flights.get(target)
        if flight is not None and not self._state.fences.has_ended(entry.keys(), flight.number):
            self._join(lookup, entry, flight, own, now)
            return
        refusal = self._refusal(entry, target, now)
        if refusal is not None and not self._may_look(entry, now):
            self._without(lookup, refusal, now)
            return
        flight = Flight(lookup.key, target, lookup.feature, self._state.fences.tick())
        flight.has_listing, flight.refusal = lookup.listed is not None, refusal
        own.append(flight)
        self._state.begin(flight)
        self._expect(lookup, flight, None)

    def _take(self, lookup: Lookup, flight: Flight, now: float) -> bool:
        """Take the outcome of the refresh that a lookup waited for; return whether that is its result."""
        outcome = flight.outcome
        if outcome is None:
            return False
        if isinstance(outcome, Failed):
            self._without(lookup, outcome.error, now)
        elif isinstance(outcome, Missing):
            lookup.missing = outcome
        elif self._is_late_enough(lookup, flight, outcome):
            self._take_answer(lookup, outcome, now)
        return lookup.result is not None

    def _is_late_enough(self, lookup: Lookup, flight: Flight, outcome: Listing | Unlinked | Answer) -> bool:
        """Return whether no change that ended before a lookup joined a refresh may be missing from its outcome."""
        if lookup.joined is None or flight.is_current:
            return True
        # Its company was not known when the lookup joined.
        keys = [key for key in keys_of(self._state, flight.key, outcome) if key not in lookup.joined]
        return not self._state.fences.has_ended(keys, flight.number)

    def _take_answer(self, lookup: Lookup, outcome: Listing | Unlinked | Answer, now: float) -> None:
        """Answer a lookup from what a refresh fetched, if that is about it."""
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

    def _from_fresh(self, lookup: Lookup, entry: Entry, now: float) -> bool:
        """Answer a lookup from what is fresh; return whether it was."""
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

    def _target(self, lookup: Lookup, entry: Entry, now: float) -> str | None:
        """Return the feature to ask for alone; None: the listing."""
        listing, feature = entry.listing, lookup.feature
        if feature is None or lookup.listed is not None:
            return feature
        if not isinstance(listing, Listing) or listing.is_invalidated or listing.about(feature) is not None:
            return None
        if lookup.missing is not None:
            return feature if listing.fetched.number > lookup.missing.number else None
        is_gone = now - listing.fetched.seconds >= self._state.settings.policy(feature).max_stale
        return None if is_gone else feature

    def _join(self, lookup: Lookup, entry: Entry, flight: Flight, own: list[Flight], now: float) -> None:
        """Wait for a refresh that is under way, unless an old answer is good enough."""
        if flight not in own:
            if not entry.is_suspect and self._from_old(lookup, entry, None, now):
                return
            if flight.owner == threading.get_ident():  # a transport that asks the gate would wait for itself
                self._without(lookup, late(), now)
                return
        self._expect(lookup, flight, entry.keys())

    def _expect(self, lookup: Lookup, flight: Flight, joined: list[Key] | None) -> None:
        """Let a lookup wait for a refresh; the first one of a process has more time."""
        lookup.flight, lookup.joined = flight, joined
        if flight.is_first and not lookup.has_first:
            settings, lookup.has_first = self._state.settings, True
            lookup.deadline += max(0.0, settings.first_timeout - settings.timeout)

    def _refusal(self, entry: Entry, target: str | None, now: float) -> ChatarminError | None:
        """Return the error because of which the service is not asked now; None if it is."""
        for one in dict.fromkeys((target, None)):
            wait = entry.backoffs.get(one)
            if wait is not None and wait.error_at(now) is not None:
                return wait.error
        return self._state.breaker.refusal(now)

    def _may_look(self, entry: Entry, now: float) -> bool:
        """Return whether the shared cache may know what the service is not asked now; once for each wait."""
        if not self._has_shared or now < entry.shared_until:
            return False
        entry.shared_until = max(self._state.breaker.until, *(wait.until for wait in entry.backoffs.values()), now)
        return True

    def _unknown(self, missing: Missing, entry: Entry, now: float) -> ChatarminError:
        """Take note that the service does not know a feature of an organisation that it knows."""
        wait = entry.backoffs.get(missing.feature)
        if wait is None or wait.error_at(now) is None:
            self._state.fail(entry.key, missing.feature, missing.error, now)
        return missing.error

    # Results

    def _without(self, lookup: Lookup, error: ChatarminError, now: float) -> None:
        """Decide without the service: by an old answer, by the policy, or not at all."""
        entry, feature = self._state.entry(lookup.key), lookup.feature
        lookup.flight = None
        is_mistake = not is_outage(error)
        if self._from_old(lookup, entry, error, now):
            is_logged = is_mistake
        else:
            is_logged = True
            if feature is not None:
                decision = self._by_policy(entry, feature, error)
                if isinstance(decision, Decision):
                    self._decided(lookup, entry, decision)
                else:
                    lookup.result = decision
            else:
                self._all_by_policy(lookup, entry, error)
        if is_logged:
            self._note(lookup, entry, error, now)

    def _by_policy(self, entry: Entry, feature: str, error: ChatarminError) -> Decision | ChatarminError:
        """Return the decision if nothing is known, or the error to raise."""
        decision = self._state.evaluator.by_policy(entry, feature, error) if is_outage(error) else None
        return without_traceback(error) if decision is None else decision

    def _from_old(self, lookup: Lookup, entry: Entry, error: ChatarminError | None, now: float) -> bool:
        """Answer a lookup from what is not gone yet; return whether it was.

        Args:
            lookup: The lookup.
            entry: Its entry.
            error: What went wrong; None: nothing, a refresh is under way.
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
        """Answer a lookup about all features, of which a few may be gone."""
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
                decision = self._by_policy(entry, feature, error)
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
        """Answer a lookup about all features of which none is known: one decision for each policy."""
        decisions: dict[str, Decision] = {}
        for feature in self._state.settings.policies:
            decision = self._by_policy(entry, feature, error)
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
        lookup.logs.append(
            (level, "the gate decided without the service about %s of %s: %s", (what, who, class_and_code(error)))
        )


def _write(lookups: Sequence[Lookup]) -> None:
    for lookup in lookups:
        logs, lookup.logs = lookup.logs, []
        for level, message, arguments in logs:
            _log.log(level, message, *arguments)
