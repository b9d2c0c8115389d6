"""The state that the threads of a gate share, and its lock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from random import uniform
from typing import TYPE_CHECKING, Any

from chatarmin_os import _clock
from chatarmin_os.errors import ChatarminError, ForbiddenError, UnauthorizedError
from chatarmin_os.gate.answers import Answer, Listing, Outcome, Unlinked
from chatarmin_os.gate.backoff import Backoff, Jitter
from chatarmin_os.gate.breaker import CircuitBreaker
from chatarmin_os.gate.clock import Clock
from chatarmin_os.gate.entry import Entry
from chatarmin_os.gate.evaluator import Evaluator
from chatarmin_os.gate.expected_usage import ExpectedUsage
from chatarmin_os.gate.fences import EVERYTHING, Fences, Key
from chatarmin_os.gate.flight import Flight
from chatarmin_os.gate.listener import Listener, Trouble
from chatarmin_os.gate.settings import Settings
from chatarmin_os.gate.stats import GateStats
from chatarmin_os.gate.store import Store
from chatarmin_os.models.billing import UsageResult

if TYPE_CHECKING:
    from chatarmin_os.client import ChatarminOS

MAX_FEATURES = 1_000
"""Features that are kept of one organisation besides its listing: codes may come from anywhere."""


class State:
    """The state that the threads of a gate share; all methods but `stats` and `listen` need the lock.

    The lock is held neither during I/O nor while code of the user runs: clocks are read before it is taken.

    Args:
        client: The client, whose transport has the clocks.
        settings: The settings.
        jitter: Returns a random number between two.

    Attributes:
        is_first: Whether the next refresh is the first one of the process, which has more time.
        refreshed: Answers of the service.
        adopted: Answers of the shared cache that were fresh.
        failed: Refreshes that failed.
        stale: Decisions on an answer that was not fresh.
        by_policy: Decisions without an answer.
        listeners: The integrations that hear of refreshes and changes.
        not_decisions: Numbers that were taken from the store's counter of uses for anything but a decision.
    """

    def __init__(self, client: ChatarminOS, settings: Settings, jitter: Jitter = uniform) -> None:
        self.client, self.settings, self.jitter = client, settings, jitter
        self.renew_lock()
        self.store = Store(settings.max_organisations)
        self.fences = Fences(settings.max_organisations)
        self.expected = ExpectedUsage()
        self.clock = Clock(client, settings.now)
        self.evaluator = Evaluator(settings, self.store, self.expected, self.clock)
        self.breaker = CircuitBreaker(jitter)
        self.is_first = True
        self.refreshed = self.adopted = self.failed = 0
        self.stale = self.by_policy = self.not_decisions = 0
        self.listeners: tuple[Listener, ...] = ()
        self._answered_at = float("-inf")
        self._refused: ChatarminError | None = None  # the service refuses the key, so all that is asked
        self._flights = 0
        self._usages: list[tuple[int, str, str, UsageResult | None]] = []

    def renew_lock(self) -> None:
        """Make a new lock: one that another thread held at a fork stays locked in the child.

        A signal's handler or a finalizer may ask within its own thread, so that it can be taken twice.
        """
        self.lock = threading.RLock()

    def become_child(self) -> None:
        """Forget what only threads of the parent do: refreshes and mutations."""
        for entry in self.store:
            entry.flights = {}
            entry.discard_ready()
        self._flights, self._usages = 0, []
        self.breaker.release()
        self.is_first = True
        for entry in self.entries(self.fences.forget_threads(_clock.now())):
            entry.invalidate()

    def entry(self, key: Key) -> Entry:
        """Return the entry of a key, which is the most recently used now."""
        entry = self.store.get(key)
        if entry is None:
            self.not_decisions += 1
            entry = self.store.add(key, next(self.store.uses))
        return entry

    def entries(self, keys: Collection[Key]) -> list[Entry]:
        """Return the entries that changes of *keys* concern."""
        return list(self.store) if EVERYTHING in keys else self.store.concerned(keys)

    def keys_of(self, flight: Flight, outcome: Outcome) -> list[Key]:
        """Return the keys under which changes of an outcome are filed: its own, and its company."""
        key, entry = flight.key, self.store.get(flight.key)
        known_company = flight.company_id if entry is None or entry.company_id is None else entry.company_id
        company = outcome.company_id if isinstance(outcome, Listing) else known_company
        return [key] if company is None or key == ("company", company) else [key, ("company", company)]

    def stats(self) -> GateStats:
        """Return the counters. Reading the one of uses is a use too."""
        with self.lock:
            self.not_decisions += 1
            fresh = next(self.store.uses) - self.not_decisions - self.stale - self.by_policy
            return GateStats(fresh, self.stale, self.by_policy, self.refreshed, self.adopted, self.failed)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call *listener* after refreshes and changes; return the function that ends it."""

        def end() -> None:
            with self.lock:
                self.listeners = tuple(one for one in self.listeners if one is not listener)

        with self.lock:
            self.listeners = (*self.listeners, listener)
        return end

    # Refreshes

    def begin(self, flight: Flight) -> None:
        """Take note of a refresh that begins."""
        if flight.refusal is None:
            flight.is_probe = self.breaker.begin()
            flight.is_first, self.is_first = self.is_first, False
        self.entry(flight.key).flights[flight.feature] = flight
        self._flights += 1

    def end(self, flight: Flight) -> None:
        """Take note of its end, whatever it was, and wake the threads that wait for it."""
        entry = self.store.get(flight.key)
        if entry is not None and entry.flights.get(flight.feature) is flight:
            del entry.flights[flight.feature]
        if flight.is_probe:
            self.breaker.release()
        self._flights -= 1
        if self._flights <= 0:
            self._flights, self._usages = 0, []
        flight.end()

    def fail(self, key: Key, feature: str | None, error: ChatarminError, now: float) -> None:
        """Leave a key alone for a while."""
        entry = self.entry(key)
        backoff = entry.backoffs.get(feature)
        if backoff is None:
            backoff = entry.backoffs[feature] = Backoff()
            _trim(entry.backoffs)
        backoff.fail(error, now, self.jitter)
        entry.shared_until = backoff.until
        self.breaker.fail(error, now)
        if isinstance(error, (UnauthorizedError, ForbiddenError)):
            self._refused = error
        self.failed += 1
        entry.discard_ready()

    def succeed(self, flight: Flight, now: float) -> None:
        """Take note that the service answered."""
        self.breaker.succeed(is_probe=flight.is_probe)
        self._answered_at, self._refused = now, None
        self.refreshed += 1
        entry = self.entry(flight.key)
        for target in (flight.feature, None):
            entry.backoffs.pop(target, None)
        entry.discard_ready()

    def trouble(self, now: float) -> Trouble | None:
        """Return why the gate gets no new answers; None if it does."""
        error = self._refused or self.breaker.error
        if error is None:
            return None
        return Trouble(error, has_answers=now - self._answered_at < self.settings.default.max_stale)

    def keep(self, key: Key, feature: str | None, outcome: Listing | Unlinked | Answer) -> Entry:
        """Keep an answer."""
        entry = self.entry(key)
        before = entry.company_id
        if isinstance(outcome, Answer):
            entry.answers[feature or ""] = outcome
            _trim(entry.answers)
        else:
            entry.listing = outcome
            entry.is_suspect = False
            if entry.company_id != before or isinstance(outcome, Unlinked):
                entry.answers = {}
            self.store.set_company(entry, before)
        entry.discard_ready()
        return entry

    # Usage

    def note_usage(self, company: str, feature: str, result: UsageResult | None) -> None:
        """Write the answer to usage into the known ones; without it, or if it is below these, they are not fresh."""
        if self._flights:
            self._usages.append((self.fences.tick(), company, feature, result))
        for entry in self.store.concerned([("company", company)]):
            if isinstance(entry.listing, Listing):
                entry.listing = entry.listing.after(feature, result)
            answer = entry.answers.get(feature)
            if answer is not None:
                entry.answers[feature] = answer.after(result)
            entry.discard_ready()

    def apply_usage_during(self, flight: Flight, keys: Collection[Key], outcome: Outcome) -> Outcome:
        """Return the outcome of a refresh with the usage that was counted during it.

        An answer to usage that is below it was counted before, and needs no second refresh.
        """
        for number, company, feature, result in self._usages:
            if number <= flight.number or ("company", company) not in keys:
                continue
            if isinstance(outcome, Listing):
                after: Listing | Answer = outcome.after(feature, result)
            elif isinstance(outcome, Answer) and feature == flight.feature:
                after = outcome.after(result)
            else:
                continue
            is_below = after.is_invalidated and not outcome.is_invalidated and result is not None
            outcome = outcome if is_below else after
        return outcome


def _trim(mapping: dict[Any, Any]) -> None:
    """Forget the oldest features, and never the listing."""
    if len(mapping) > MAX_FEATURES:
        del mapping[next(feature for feature in mapping if feature is not None)]
