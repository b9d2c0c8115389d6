"""Takes lookups to their results: by a kept answer, by waiting for a refresh, or by running one."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from chatarmin_os import _clock
from chatarmin_os.errors import ChatarminError
from chatarmin_os.gate.answers import Answer, Failed, Listing, Missing, Unlinked
from chatarmin_os.gate.entry import Entry
from chatarmin_os.gate.fences import Key
from chatarmin_os.gate.flight import Flight
from chatarmin_os.gate.lookup import Lookup
from chatarmin_os.gate.refresh import Refresher
from chatarmin_os.gate.service import late
from chatarmin_os.gate.settler import Settler, write_logs
from chatarmin_os.gate.sharing import Sharing
from chatarmin_os.gate.state import State


class Resolver:
    """Resolves the lookups of any number of threads.

    Args:
        state: The state that the threads share.
        shared: Shares answers with other processes; None: there is no shared cache.
    """

    def __init__(self, state: State, shared: Sharing | None) -> None:
        self._state, self._refresher, self._has_shared = state, Refresher(state, shared), shared is not None
        self._settler = Settler(state)

    def resolve(self, lookups: Sequence[Lookup]) -> None:
        """Give each lookup its result."""
        state = self._state
        while lookups:
            own: dict[Flight, None] = {}  # in order, and quick to look one up among thousands
            try:
                now = state.clock.seconds()
                with state.lock:
                    for lookup in lookups:
                        self._step(lookup, own, now)
                write_logs(lookups)
                if own:
                    self._refresher.run(list(own), max(lookup.deadline for lookup in lookups))
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
                    self._settler.without_service(lookup, late(), now)
        write_logs(lookups)

    # With the lock

    def _step(self, lookup: Lookup, own: dict[Flight, None], now: float) -> None:
        """Give a lookup its result, or a refresh to wait for: one of *own* is still to be run."""
        flight, lookup.flight = lookup.flight, None
        if flight is not None and self._take_outcome(lookup, flight, now):
            return
        entry = self._state.entry(lookup.key)
        if self._settler.by_fresh_answer(lookup, entry, now):
            return
        target = self._target(lookup, entry, now)
        if lookup.missing is not None and target is not None:  # a listing that is newer lacks the feature too
            self._settler.without_service(lookup, self._unknown(lookup.missing, entry, now), now)
            return
        flight = entry.flights.get(target)
        if flight is not None and not self._state.fences.has_ended(entry.keys(), flight.number):
            self._join(lookup, entry, flight, own, now)
            return
        refusal = self._refusal(entry, target, now)
        if refusal is not None and not self._may_ask_shared_cache(entry, now):
            self._settler.without_service(lookup, refusal, now)
            return
        flight = Flight(lookup.key, target, lookup.feature, self._state.fences.tick())
        flight.refusal = refusal
        if lookup.listed is not None:
            flight.has_listing, flight.company_id = True, lookup.listed.company_id
        flight.is_doubted = lookup.missing is not None
        own[flight] = None
        self._state.begin(flight)
        self._attach(lookup, flight, None)

    def _take_outcome(self, lookup: Lookup, flight: Flight, now: float) -> bool:
        """Take the outcome of the refresh that a lookup waited for; return whether that is its result."""
        outcome = flight.outcome
        if outcome is None:
            return False
        if isinstance(outcome, Failed):
            self._settler.without_service(lookup, outcome.error, now)
        elif isinstance(outcome, Missing):
            lookup.missing = outcome
        elif self._is_late_enough(lookup, flight, outcome):
            self._settler.by_outcome(lookup, outcome, now)
        return lookup.result is not None

    def _is_late_enough(self, lookup: Lookup, flight: Flight, outcome: Listing | Unlinked | Answer) -> bool:
        """Return whether no change that ended before a lookup joined a refresh may be missing from its outcome."""
        if lookup.joined is None or flight.is_current:
            return True
        # Its company was not known when the lookup joined.
        keys = [key for key in self._state.keys_of(flight, outcome) if key not in lookup.joined]
        return not self._state.fences.has_ended(keys, flight.number)

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

    def _join(self, lookup: Lookup, entry: Entry, flight: Flight, own: dict[Flight, None], now: float) -> None:
        """Wait for a refresh that is under way, unless an old answer is good enough."""
        if flight not in own:
            if not entry.is_suspect and self._settler.by_old_answer(lookup, entry, None, now):
                return
            if flight.owner == threading.get_ident():  # a transport that asks the gate would wait for itself
                self._settler.without_service(lookup, late(), now)
                return
        self._attach(lookup, flight, entry.keys())

    def _attach(self, lookup: Lookup, flight: Flight, joined: list[Key] | None) -> None:
        """Let a lookup wait for a refresh; the first one of a process has more time."""
        lookup.flight, lookup.joined = flight, joined
        if flight.is_first and not lookup.has_first:
            settings, lookup.has_first = self._state.settings, True
            lookup.deadline += max(0.0, settings.first_timeout - settings.timeout)

    def _refusal(self, entry: Entry, target: str | None, now: float) -> ChatarminError | None:
        """Return the error because of which the service is not asked now; None if it is."""
        for backoff in entry.backoffs_of(target):
            error = backoff.error_at(now)
            if error is not None:
                return error
        return self._state.breaker.refusal(now)

    def _may_ask_shared_cache(self, entry: Entry, now: float) -> bool:
        """Return whether to ask the shared cache while the service is not asked; once for each wait."""
        if not self._has_shared or now < entry.shared_until:
            return False
        waits = [backoff.until for backoff in entry.backoffs.values()]
        entry.shared_until = max(now, self._state.breaker.until, *waits)
        return True

    def _unknown(self, missing: Missing, entry: Entry, now: float) -> ChatarminError:
        """Take note that the service does not know a feature of an organisation that it knows."""
        backoff = entry.backoffs.get(missing.feature)
        if backoff is None or backoff.error_at(now) is None:
            self._state.fail(entry.key, missing.feature, missing.error, now)
        return missing.error
