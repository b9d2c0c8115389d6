"""Asks the shared cache and the service, and keeps their answers unless a mutation has outdated these."""

from __future__ import annotations

from collections.abc import Sequence

from chatarmin_os import _clock
from chatarmin_os.errors import ChatarminError
from chatarmin_os.gate.answers import Answer, Failed, Fetched, Missing, Outcome
from chatarmin_os.gate.flight import Flight
from chatarmin_os.gate.service import ask, late, outcome_of
from chatarmin_os.gate.sharing import Sharing
from chatarmin_os.gate.state import State


class Refresher:
    """Runs refreshes in the thread that began them.

    Args:
        state: The state that the threads share.
        shared: Shares answers with other processes; None: there is no shared cache.
    """

    def __init__(self, state: State, shared: Sharing | None) -> None:
        self._state, self._shared = state, shared

    def run(self, flights: Sequence[Flight], deadline: float) -> None:
        """Run refreshes until the deadline, an instant on the real clock.

        Their owner abandons those that an exception leaves under way.
        """
        shared = self._shared
        generation = None if shared is None else shared.generation()
        if shared is not None and generation is not None:
            for flight in flights:
                shared.look(flight, generation)
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
        if shared is not None and generation is not None:
            for flight in kept:
                shared.publish(flight, generation)

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
        kept = [flight for flight, outcome in zip(flights, outcomes, strict=True) if self._land(flight, outcome, after)]
        for listener in self._state.listeners:
            listener.refreshed()
        return kept

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
                state.succeed(flight, now)
                keys = state.keys_of(flight, outcome)
                outcome = state.apply_usage_during(flight, keys, outcome)
                flight.is_current = state.fences.is_clear(keys, flight.number)
                # Without the listing, later changes of its company would not concern an answer about one feature.
                is_alone = isinstance(outcome, Answer) and state.entry(flight.key).company_id is None
                if flight.is_current and not is_alone and not isinstance(outcome, (Missing, Failed)):
                    state.keep(flight.key, flight.feature, outcome)
                    is_kept = True
            flight.outcome = outcome
            state.end(flight)
        return is_kept
