"""Asks the shared cache and the service, and keeps what they answer unless a mutation has outdated it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from attrs import evolve

from chatarmin_os import _clock
from chatarmin_os.errors import ChatarminError
from chatarmin_os.gate.answers import Failed, Fetched, Listing, Missing, Outcome, Unlinked
from chatarmin_os.gate.fences import Key
from chatarmin_os.gate.flight import Flight
from chatarmin_os.gate.record import Record, on_clock
from chatarmin_os.gate.service import ask, late, outcome_of
from chatarmin_os.gate.shared_records import SharedRecords
from chatarmin_os.gate.state import State


class Refresher:
    """Runs refreshes in the thread that began them.

    Args:
        state: What the threads share.
        shared: The shared cache; None: there is none.
    """

    def __init__(self, state: State, shared: SharedRecords | None) -> None:
        self._state, self._shared = state, shared

    def run(self, flights: Sequence[Flight], deadline: float) -> None:
        """Run refreshes until the deadline, an instant on the real clock.

        Their owner abandons those that an exception leaves under way.
        """
        generation = None if self._shared is None else self._shared.generation()
        if self._shared is not None and generation is not None:
            for flight in flights:
                self._look(flight, self._shared, generation)
        asked = [flight for flight in flights if not flight.is_over and flight.refusal is None]
        seconds = deadline - _clock.monotonic()
        for flight in flights:
            if flight.refusal is not None and not flight.is_over:
                self._give_up(flight, flight.refusal)
            elif seconds <= 0 and not flight.is_over:  # the shared cache took all the time
                self._give_up(flight, late())
        if not asked or seconds <= 0:
            return
        kept = self._ask(asked, seconds)
        if self._shared is not None and generation is not None:
            for flight in kept:
                self._publish(flight, self._shared, generation)

    def _ask(self, flights: Sequence[Flight], seconds: float) -> list[Flight]:
        """Ask the service, and return the refreshes whose answers others may have."""
        clock = self._state.clock
        now, wall = clock.seconds(), clock.wall()
        results = ask(self._state.client, flights, seconds)
        after = clock.seconds()
        outcomes = [
            outcome_of(flight, result, Fetched(flight.number, now, wall))
            for flight, result in zip(flights, results, strict=True)
        ]
        return [flight for flight, outcome in zip(flights, outcomes, strict=True) if self._land(flight, outcome, after)]

    def abandon(self, flight: Flight) -> None:
        """End a refresh without an outcome: an exception that is not ours passes."""
        with self._state.lock:
            self._state.end(flight)

    def _give_up(self, flight: Flight, error: ChatarminError) -> None:
        with self._state.lock:
            flight.outcome = Failed(error)
            self._state.end(flight)

    def _land(self, flight: Flight, outcome: Outcome, now: float) -> bool:
        """Keep an outcome and end its refresh; return whether others may have it."""
        state = self._state
        is_kept = False
        with state.lock:
            if isinstance(outcome, Failed):
                # An outage concerns the organisation, a mistake about a feature only that.
                target = flight.feature if outcome.is_mistake else None
                state.fail(flight.key, target, outcome.error, now)
            else:
                state.succeed(flight)
                keys = keys_of(state, flight.key, outcome)
                outcome = state.apply_usage_during(flight, company_of(keys), outcome)
                flight.is_current = state.fences.is_clear(keys, flight.number)
                if flight.is_current and not isinstance(outcome, (Missing, Failed)):
                    state.keep(flight.key, flight.feature, outcome)
                    is_kept = True
            flight.outcome = outcome
            state.end(flight)
        return is_kept

    # The shared cache

    def _look(self, flight: Flight, shared: SharedRecords, generation: str) -> None:
        """Take what other processes fetched, and end the refresh if that is fresh."""
        state = self._state
        record = shared.read(flight.key, generation)
        if record is None:
            return
        now, wall = state.clock.seconds(), state.clock.wall()
        with state.lock:
            keys = keys_of(state, flight.key, record.listing)
            if not state.fences.is_newer(keys, record.listing.fetched.at):
                return
            self._adopt(flight, record, now, wall)
            entry = state.entry(flight.key)
            if flight.wanted is None:
                is_fresh = state.evaluator.states(entry, now) == {"fresh"}
            else:
                is_fresh = state.evaluator.freshness(entry.known(flight.wanted), flight.wanted, now) == "fresh"
                lacks = flight.feature is None and not flight.is_doubted and entry.known(flight.wanted) is None
                is_fresh = is_fresh or (lacks and "fresh" in state.evaluator.states(entry, now))
            if is_fresh:
                state.adopted += 1
                state.is_first = state.is_first or flight.is_first
                state.end(flight)

    def _adopt(self, flight: Flight, record: Record, now: float, wall: datetime) -> None:
        state = self._state
        entry = state.entry(flight.key)

        def on_our_clock(fetched: Fetched) -> tuple[Fetched, bool]:
            return on_clock(fetched, flight.number, now, wall)

        fetched, is_future = on_our_clock(record.listing.fetched)
        if entry.listing is None or entry.listing.fetched.at < fetched.at:
            entry = state.keep(flight.key, None, evolve(record.listing, fetched=fetched, is_invalidated=is_future))
        for feature, answer in record.answers.items():
            ours = entry.answers.get(feature)
            fetched, is_future = on_our_clock(answer.fetched)
            is_newer = state.fences.is_newer(entry.keys(), fetched.at)
            if is_newer and (ours is None or ours.fetched.at < fetched.at):
                state.keep(flight.key, feature, evolve(answer, fetched=fetched, is_invalidated=is_future))

    def _publish(self, flight: Flight, shared: SharedRecords, generation: str) -> None:
        """Share what is known now; a mutation that ends while it is written has the last word."""
        state = self._state
        with state.lock:
            entry = state.store.get(flight.key)
            listing = None if entry is None else entry.listing
            if entry is None or listing is None or listing.is_invalidated:
                return
            keys, record = entry.keys(), Record(listing, dict(entry.answers))
        is_unlinked = isinstance(listing, Unlinked)
        seconds = state.settings.unlinked_max_age if is_unlinked else state.settings.max_stale
        shared.write(flight.key, record, generation, seconds)
        with state.lock:
            is_clear = state.fences.is_clear(keys, flight.number)
        if not is_clear:
            shared.drop([flight.key])


def keys_of(state: State, key: Key, outcome: Outcome) -> list[Key]:
    """Return what changes of an outcome are filed under: its own key, and its company."""
    entry = state.store.get(key)
    known_company = None if entry is None else entry.company_id
    company = outcome.company_id if isinstance(outcome, Listing) else known_company
    return [key] if company is None or key == ("company", company) else [key, ("company", company)]


def company_of(keys: Sequence[Key]) -> str | None:
    """Return the company among keys."""
    return next((name for kind, name in keys if kind == "company"), None)
