"""Takes questions to their decisions: from what is known, by waiting for a refresh, or by running one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from attrs import evolve

from chatarmin_os import _clock
from chatarmin_os.errors import ChatarminError
from chatarmin_os.gate.decision import Decision
from chatarmin_os.gate.entry import Entry
from chatarmin_os.gate.failures import bare, is_outage, name_of
from chatarmin_os.gate.fences import Key
from chatarmin_os.gate.flight import Flight
from chatarmin_os.gate.judge import known, listed
from chatarmin_os.gate.known import Answer, Failed, Listing, Missing, Unlinked
from chatarmin_os.gate.refresh import Refresher, keys_of
from chatarmin_os.gate.service import late
from chatarmin_os.gate.state import MAX_FEATURES, State

_log = logging.getLogger("chatarmin_os")
_QUIET_SECONDS = 60.0

Result = Decision | dict[str, Decision] | ChatarminError


class Question:
    """A question on its way to its result.

    Attributes:
        key: The organisation or the company.
        feature: The feature; None: all.
        deadline: The instant on the real clock at which it gives up.
        result: The decision, the decisions by feature, or the error to raise; None: not yet.
        flight: The refresh that it waits for.
        joined: If another question began that: the keys whose changes it was known to concern.
        listed: The listing that was asked for on its behalf.
        missing: That the service did not know the feature, which an older listing does not explain.
        has_first: Whether it has the time of the first refresh of a process.
        logs: What to log once the lock is free.
    """

    __slots__ = ("deadline", "feature", "flight", "has_first", "joined", "key", "listed", "logs", "missing", "result")

    def __init__(self, key: Key, feature: str | None, deadline: float) -> None:
        self.key, self.feature, self.deadline = key, feature, deadline
        self.result: Result | None = None
        self.flight: Flight | None = None
        self.joined: list[Key] | None = None
        self.listed: Listing | None = None
        self.missing: Missing | None = None
        self.has_first = False
        self.logs: list[tuple[int, str, tuple[object, ...]]] = []


class Desk:
    """Answers the questions of any number of threads.

    Args:
        state: What the threads share.
        refresher: Runs refreshes.
        has_shared: Whether there is a shared cache.
    """

    def __init__(self, state: State, refresher: Refresher, *, has_shared: bool) -> None:
        self._state, self._refresher, self._has_shared = state, refresher, has_shared

    def answer(self, questions: Sequence[Question]) -> None:
        """Give each question its result."""
        state = self._state
        while questions:
            own: list[Flight] = []
            try:
                now = state.clock.seconds()
                with state.lock:
                    for question in questions:
                        self._step(question, own, now)
                _write(questions)
                if own:
                    self._refresher.run(own, max(question.deadline for question in questions))
            finally:
                for flight in own:
                    if not flight.is_over:
                        self._refresher.abandon(flight)
            questions = [question for question in questions if question.result is None]
            self._wait(questions)
            questions = [question for question in questions if question.result is None]

    def _wait(self, questions: Sequence[Question]) -> None:
        """Wait for the refreshes of questions, and give up those whose time has run out."""
        for question in questions:
            flight = question.flight
            seconds = question.deadline - _clock.monotonic()
            if flight is None or not flight.wait(seconds):
                now = self._state.clock.seconds()
                with self._state.lock:
                    self._without(question, late(), now)
        _write(questions)

    # With the lock

    def _step(self, question: Question, own: list[Flight], now: float) -> None:
        """Give a question its result, or a refresh to wait for: one of *own* is still to be run."""
        flight, question.flight = question.flight, None
        if flight is not None and self._take(question, flight, now):
            return
        entry = self._state.entry(question.key)
        if self._from_fresh(question, entry, now):
            return
        target = self._target(question, entry, now)
        if question.missing is not None and target is not None:  # a listing that is newer lacks the feature too
            self._without(question, self._unknown(question.missing, entry, now), now)
            return
        flight = entry.flights.get(target)
        if flight is not None and not self._state.fences.has_ended(entry.keys(), flight.number):
            self._join(question, entry, flight, own, now)
            return
        refusal = self._refusal(entry, target, now)
        if refusal is not None and not self._may_look(entry, now):
            self._without(question, refusal, now)
            return
        flight = Flight(question.key, target, question.feature, self._state.fences.tick())
        flight.has_listing, flight.refusal = question.listed is not None, refusal
        flight.is_doubted = question.missing is not None
        own.append(flight)
        self._state.begin(flight)
        self._expect(question, flight, None)

    def _take(self, question: Question, flight: Flight, now: float) -> bool:
        """Take the outcome of the refresh that a question waited for; return whether that is its result."""
        outcome = flight.outcome
        if outcome is None:
            return False
        if isinstance(outcome, Failed):
            self._without(question, outcome.error, now)
        elif isinstance(outcome, Missing):
            question.missing = outcome
        elif self._is_late_enough(question, flight, outcome):
            self._take_answer(question, outcome, now)
        return question.result is not None

    def _is_late_enough(self, question: Question, flight: Flight, outcome: Listing | Unlinked | Answer) -> bool:
        """Return whether no change that ended before a question joined a refresh may be missing from its outcome."""
        if question.joined is None or flight.is_current:
            return True
        # Its company was not known when the question joined.
        keys = [key for key in keys_of(self._state, flight.key, outcome) if key not in question.joined]
        return not self._state.fences.has_ended(keys, flight.number)

    def _take_answer(self, question: Question, outcome: Listing | Unlinked | Answer, now: float) -> None:
        """Answer a question from what a refresh fetched, if that is about it."""
        entry, feature = self._state.entry(question.key), question.feature
        if not isinstance(outcome, Answer) and feature is None:
            self._all(question, entry, outcome, now, is_live=True)
            return
        found: Answer | Unlinked | None
        if isinstance(outcome, Listing):
            question.listed = outcome
            found = listed(outcome, feature or "")
        else:
            found = outcome
        if found is not None:
            self._decided(question, entry, self._state.judge.decide(entry, feature or "", found, "live", now)[1])

    def _from_fresh(self, question: Question, entry: Entry, now: float) -> bool:
        """Answer a question from what is fresh; return whether it was."""
        judge, feature = self._state.judge, question.feature
        if feature is None:
            if judge.states(entry, now) != {"fresh"}:
                return False
            self._all(question, entry, entry.listing, now)
            return True
        found = known(entry, feature)
        if found is None or judge.freshness(found, feature, now) != "fresh":
            return False
        ready = judge.decide(entry, feature, found, "cache", now)
        if len(entry.ready) >= MAX_FEATURES:  # codes may come from anywhere, and all are denied if nothing is linked
            entry.unready()
        entry.ready[feature] = ready
        self._decided(question, entry, ready[1])
        return True

    def _target(self, question: Question, entry: Entry, now: float) -> str | None:
        """Return the feature to ask for alone; None: the listing."""
        listing, feature = entry.listing, question.feature
        if feature is None or question.listed is not None:
            return feature
        if not isinstance(listing, Listing) or listing.is_old or listed(listing, feature) is not None:
            return None
        if question.missing is not None:
            return feature if listing.fetched.number > question.missing.number else None
        is_gone = now - listing.fetched.seconds >= self._state.settings.policy(feature).max_stale
        return None if is_gone else feature

    def _join(self, question: Question, entry: Entry, flight: Flight, own: list[Flight], now: float) -> None:
        """Wait for a refresh that is under way, unless an old answer is good enough."""
        if flight not in own:
            if not entry.is_suspect and self._from_old(question, entry, None, now):
                return
            if flight.owner == threading.get_ident():  # a transport that asks the gate would wait for itself
                self._without(question, late(), now)
                return
        self._expect(question, flight, entry.keys())

    def _expect(self, question: Question, flight: Flight, joined: list[Key] | None) -> None:
        """Let a question wait for a refresh; the first one of a process has more time."""
        question.flight, question.joined = flight, joined
        if flight.is_first and not question.has_first:
            settings, question.has_first = self._state.settings, True
            question.deadline += max(0.0, settings.first_timeout - settings.timeout)

    def _refusal(self, entry: Entry, target: str | None, now: float) -> ChatarminError | None:
        """Return the error because of which the service is not asked now; None if it is."""
        for one in dict.fromkeys((target, None)):
            wait = entry.waits.get(one)
            if wait is not None and wait.error_at(now) is not None:
                return wait.error
        return self._state.breaker.refusal(now)

    def _may_look(self, entry: Entry, now: float) -> bool:
        """Return whether the shared cache may know what the service is not asked now; once for each wait."""
        if not self._has_shared or now < entry.shared_until:
            return False
        entry.shared_until = max(self._state.breaker.until, *(wait.until for wait in entry.waits.values()), now)
        return True

    def _unknown(self, missing: Missing, entry: Entry, now: float) -> ChatarminError:
        """Take note that the service does not know a feature of an organisation that it knows."""
        wait = entry.waits.get(missing.feature)
        if wait is None or wait.error_at(now) is None:
            self._state.fail(entry.key, missing.feature, missing.error, now)
        return missing.error

    # Results

    def _without(self, question: Question, error: ChatarminError, now: float) -> None:
        """Decide without the service: by an old answer, by the policy, or not at all."""
        entry, feature = self._state.entry(question.key), question.feature
        question.flight = None
        is_mistake = not is_outage(error)
        if self._from_old(question, entry, error, now):
            is_logged = is_mistake
        else:
            is_logged = True
            if feature is not None:
                decision = self._by_policy(entry, feature, error)
                if isinstance(decision, Decision):
                    self._decided(question, entry, decision)
                else:
                    question.result = decision
            else:
                self._all_by_policy(question, entry, error)
        if is_logged:
            self._note(question, entry, error, now)

    def _by_policy(self, entry: Entry, feature: str, error: ChatarminError) -> Decision | ChatarminError:
        """Return the decision if nothing is known, or the error to raise."""
        decision = self._state.judge.by_policy(entry, feature, error) if is_outage(error) else None
        return bare(error) if decision is None else decision

    def _from_old(self, question: Question, entry: Entry, error: ChatarminError | None, now: float) -> bool:
        """Answer a question from what is not gone yet; return whether it was.

        Args:
            question: The question.
            entry: Its entry.
            error: What went wrong; None: nothing, a refresh is under way.
            now: The instant.
        """
        judge, feature = self._state.judge, question.feature
        if feature is None:
            states = judge.states(entry, now)
            if states == {"gone"} or (error is None and "gone" in states):
                return False
            self._all(question, entry, entry.listing, now, error=error)
            return True
        found = known(entry, feature)
        state = judge.freshness(found, feature, now)
        if found is None or state == "gone":
            return False
        decision = judge.decide(entry, feature, found, "cache" if state == "fresh" else "stale", now)[1]
        self._decided(question, entry, decision if error is None else evolve(decision, error=bare(error)))
        return True

    def _all(
        self,
        question: Question,
        entry: Entry,
        listing: Listing | Unlinked | None,
        now: float,
        *,
        is_live: bool = False,
        error: ChatarminError | None = None,
    ) -> None:
        """Answer a question about all features, of which a few may be gone."""
        judge = self._state.judge
        decisions: dict[str, Decision] = {}
        until, is_ready = float("inf"), False
        for feature in judge.features(entry, listing):
            found = known(entry, feature, listing)
            state = judge.freshness(found, feature, now)
            is_listed = isinstance(listing, Unlinked) or listed(listing, feature) is not None
            is_ready = is_ready or is_listed  # only these say how long the listing is fresh
            if is_listed and is_live:
                source = "live"
            elif found is not None and state != "gone":
                source = "cache" if state == "fresh" else "stale"
            elif is_listed and error is not None:
                decision = self._by_policy(entry, feature, error)
                if isinstance(decision, ChatarminError):
                    question.result = decision
                    return
                decisions[feature] = decision
                continue
            else:
                continue
            end, decision = judge.decide(entry, feature, found, source, now)  # type: ignore[arg-type]
            until = min(until, end)
            decisions[feature] = decision if error is None else evolve(decision, error=bare(error))
        if is_ready and all(decision.source == "cache" for decision in decisions.values()):
            entry.ready_listing = until, decisions
        self._decided(question, entry, *decisions.values())
        question.result = decisions

    def _all_by_policy(self, question: Question, entry: Entry, error: ChatarminError) -> None:
        """Answer a question about all features of which none is known: one decision for each policy."""
        decisions: dict[str, Decision] = {}
        for feature in self._state.settings.policies:
            decision = self._by_policy(entry, feature, error)
            if isinstance(decision, ChatarminError):
                question.result = decision
                return
            decisions[feature] = decision
        self._decided(question, entry, *decisions.values())
        question.result = decisions if is_outage(error) else bare(error)

    def _decided(self, question: Question, entry: Entry, *decisions: Decision) -> None:
        """Count decisions; a single one is the result."""
        uses = self._state.store.uses
        for decision in decisions:
            entry.used = next(uses)
            self._state.stale += decision.source == "stale"
            self._state.by_policy += decision.source == "policy"
            question.result = decision

    def _note(self, question: Question, entry: Entry, error: ChatarminError, now: float) -> None:
        """Log a failure once a minute and organisation, without ids of the service or its messages."""
        level = logging.WARNING if is_outage(error) else logging.ERROR
        if now < entry.quiet_until.get(level, float("-inf")):
            return
        entry.quiet_until[level] = now + _QUIET_SECONDS
        who = f"organisation {entry.key[1]!r}" if entry.key[0] == "organisation" else "a company"
        what = "all features" if question.feature is None else f"feature {question.feature!r}"
        question.logs.append((level, "the gate has no new answer about %s of %s: %s", (what, who, name_of(error))))


def _write(questions: Sequence[Question]) -> None:
    for question in questions:
        logs, question.logs = question.logs, []
        for level, message, arguments in logs:
            _log.log(level, message, *arguments)
