"""Takes the answers that other processes share, and shares those of this one."""

from __future__ import annotations

from datetime import datetime

from attrs import evolve

from chatarmin_os.gate.answers import Fetched, Unlinked
from chatarmin_os.gate.flight import Flight
from chatarmin_os.gate.record import Record, on_clock
from chatarmin_os.gate.shared_records import SharedRecords
from chatarmin_os.gate.state import State


class Sharing:
    """Shares answers with other processes, unless a mutation of this one has outdated them.

    Args:
        state: The state that the threads share.
        records: The records in the shared cache.
    """

    def __init__(self, state: State, records: SharedRecords) -> None:
        self._state, self._records = state, records

    def generation(self) -> str | None:
        """Return the present generation of records; None if nothing can be shared now."""
        return self._records.generation()

    def look(self, flight: Flight, generation: str) -> None:
        """Take the answers of other processes, and end the refresh if they are fresh."""
        state = self._state
        record = self._records.read(flight.key, generation)
        if record is None:
            return
        now, wall = state.clock.seconds(), state.clock.wall()
        with state.lock:
            keys = state.keys_of(flight, record.listing)
            if not state.fences.is_newer(keys, record.listing.fetched.at):
                return
            self._adopt(flight, record, now, wall)
            if self._is_fresh(flight, now):
                state.adopted += 1
                state.is_first = state.is_first or flight.is_first
                state.end(flight)

    def _is_fresh(self, flight: Flight, now: float) -> bool:
        """Return whether the known answers end a refresh; a listing that lacks its feature does too."""
        evaluator, entry = self._state.evaluator, self._state.entry(flight.key)
        if flight.wanted is None:
            return evaluator.states(entry, now) == {"fresh"}
        found = entry.known(flight.wanted)
        if found is None:
            return flight.feature is None and not flight.is_doubted and "fresh" in evaluator.states(entry, now)
        return evaluator.freshness(found, flight.wanted, now) == "fresh"

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

    def publish(self, flight: Flight, generation: str) -> None:
        """Share the present answers; a mutation that ends while it is written has the last word."""
        state = self._state
        with state.lock:
            entry = state.store.get(flight.key)
            listing = None if entry is None else entry.listing
            if entry is None or listing is None or listing.is_invalidated:
                return
            keys, record = entry.keys(), Record(listing, dict(entry.answers))
        is_unlinked = isinstance(listing, Unlinked)
        seconds = state.settings.unlinked_max_age if is_unlinked else state.settings.max_stale
        self._records.write(flight.key, record, generation, seconds)
        with state.lock:
            is_clear = state.fences.is_clear(keys, flight.number)
        if not is_clear:
            self._records.drop([flight.key])
