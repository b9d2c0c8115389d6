"""One drain: from the outbox to the service, until there is a reason to stop."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import uuid4

from attrs import define, evolve, frozen

from chatarmin_os._call import Call
from chatarmin_os._clock import monotonic
from chatarmin_os.client import ChatarminOS
from chatarmin_os.errors import ApiError, ChatarminError
from chatarmin_os.outbox.base import Outbox
from chatarmin_os.outbox.changes import Bury, Change, Delay, Keep, Remove, Try
from chatarmin_os.outbox.companies import Companies
from chatarmin_os.outbox.delivery import (
    Outcome,
    Sizes,
    answers_to,
    batch_size,
    halves,
    has_answer,
    is_too_old,
    is_unlinked_too_long,
    outcome_of,
    refused_whole,
    wait_after,
)
from chatarmin_os.outbox.records import DrainReport
from chatarmin_os.outbox.stored import Claimed, call_inputs
from chatarmin_os.procedures.billing import TrackUsageInput

_log = logging.getLogger("chatarmin_os")

_MAX_BATCHES_PER_LEASE = 16
_MAX_UNANSWERED = 2  # requests in a row
_USUAL_TIMEOUT_SECONDS, _MIN_TIMEOUT_SECONDS = 10.0, 0.001
_USAGE = TrackUsageInput(company_id="-", feature_code="-", quantity=1, idempotency_key="-")


@frozen
class Settings:
    """How a sender delivers."""

    client: ChatarminOS
    outbox: Outbox
    lease: float
    window: timedelta
    now: Callable[[], float]
    random: Callable[[], float]


@define
class Learned:
    """The knowledge that a sender keeps from one drain to the next."""

    sizes: Sizes
    companies: Companies


class Drain:
    """One drain.

    Attributes:
        refusal: The error of the key, or of the missing procedure, that stopped it.
        oldest_age: Seconds since the first event that is left was created.
    """

    def __init__(
        self,
        settings: Settings,
        learned: Learned,
        *,
        deadline: float | None,
        limit: int | None,
        is_stopped: Callable[[], bool],
    ) -> None:
        self._settings, self._learned, self._is_stopped = settings, learned, is_stopped
        self._end = None if deadline is None else monotonic() + deadline
        self._left = limit
        self._owner = str(uuid4())
        self._parts: list[list[Claimed]] = []  # of a request that was refused as a whole
        self._waiting: list[Claimed] = []  # leased
        self._batches = 2  # of the next lease
        self._is_located = False  # whether all that waits has a company
        self._leased_at = 0.0
        self._changes: list[Change] = []  # to be made with the next ones
        self._counted, self._refused, self._retried, self._requests = 0, 0, 0, 0
        self._tried_at = 0.0
        self._unanswered, self._is_answered = 0, False
        self.refusal: ChatarminError | None = None
        self.oldest_age: float | None = None

    def run(self) -> DrainReport:
        """Deliver events until there is a reason to stop, and give back those that are left."""
        try:
            stopped = self._deliver()
        finally:  # after an interrupt only the events of the request under way keep their lease
            self._give_back()
        left, self.oldest_age = self._settings.outbox._waiting()
        return DrainReport(
            counted=self._counted,
            refused=self._refused,
            retried=self._retried,
            left=left,
            requests=self._requests,
            stopped=stopped,
        )

    def _deliver(self) -> str:
        while True:
            if self.refusal is not None:
                return "unauthorized"
            if self._unanswered >= _MAX_UNANSWERED:
                return "outage"
            if self._is_stopped() or (self._end is not None and monotonic() >= self._end):
                return "deadline"
            if not self._parts and not self._waiting:
                is_limit = self._left is not None and self._left <= 0
                if is_limit or not self._claim():
                    if self._unanswered and not self._is_answered:
                        return "outage"
                    return "limit" if is_limit else "empty"
            self._renew()
            if not self._parts and self._look_up():
                continue
            batch = self._without_expired(self._parts.pop() if self._parts else self._next_batch())
            if batch:
                self._send(batch)

    # Leases

    def _claim(self) -> bool:
        """Make the changes that wait, and lease more events; those with a company count as tried."""
        settings = self._settings
        count = self._batches * self._learned.sizes.calls
        self._batches = min(2 * self._batches, _MAX_BATCHES_PER_LEASE)
        if self._left is not None:
            count = min(count, self._left)
        self._leased_at = self._tried_at = settings.now()
        done, self._waiting = settings.outbox._claim(
            self._owner, count, self._changes, lease=settings.lease, now=settings.now
        )
        self._changes = []
        self._note_changes(done)
        self._is_located = False
        if self._left is not None:
            self._left -= len(self._waiting)
        return bool(self._waiting)

    def _renew(self) -> None:
        """Renew the leases of all events if half of their time has passed."""
        settings = self._settings
        if 0 <= settings.now() - self._leased_at < settings.lease / 2:
            return
        self._leased_at = settings.now()
        kept = {change.claimed.place for change in self._make([Keep(claimed) for claimed in self._held()])}
        self._waiting = [claimed for claimed in self._waiting if claimed.place in kept]
        parts = ([claimed for claimed in part if claimed.place in kept] for part in self._parts)
        self._parts = [part for part in parts if part]

    def _held(self) -> list[Claimed]:
        """Return the leased events that are not in a request."""
        return [*self._waiting, *(claimed for part in self._parts for claimed in part)]

    def _make(self, changes: Sequence[Change] = ()) -> list[Change]:
        """Make the changes that wait, and *changes*; return those of *changes* that were made."""
        settings = self._settings
        done = settings.outbox._apply(self._owner, [*self._changes, *changes], lease=settings.lease, now=settings.now)
        self._changes = []
        self._note_changes(done)
        return [change for change in done if isinstance(change, (Try, Keep))]

    def _note_changes(self, done: Sequence[Change]) -> None:
        for change in done:
            if isinstance(change, Remove):
                self._counted += 1
            elif isinstance(change, Delay):
                self._retried += change.wait > 0
            elif isinstance(change, Bury):
                self._refused += 1
                _log.warning("usage %s of %s is dead: %s", *change.claimed.event.names(), change.reason)

    def _give_back(self) -> None:
        self._changes += [Delay(claimed, 0.0) for claimed in self._held()]
        self._waiting, self._parts = [], []
        if self._changes:
            self._make()

    # Look-ups

    def _look_up(self) -> bool:
        """Find the companies of waiting events that lack one; return whether the service was asked."""
        if self._is_located:
            return False
        unknown, located = self._locate()
        self._is_located = not unknown
        if located:
            tries = [Try(claimed, claimed.event.company or "", self._tried_at) for claimed in located]
            lost = {claimed.place for claimed in located} - {change.claimed.place for change in self._make(tries)}
            self._waiting = [claimed for claimed in self._waiting if claimed.place not in lost]
        if not unknown:
            return bool(located)
        found = self._learned.companies.look_up(self._client(), unknown)
        errors = {name: answer for name, answer in found.items() if isinstance(answer, ChatarminError)}
        outcomes = {name: outcome_of(error) for name, error in errors.items()}
        self._note(not found or has_answer(found.values()))
        waiting, self._waiting = self._waiting, []
        for claimed in waiting:
            name = claimed.event.organisation
            if claimed.event.company is not None or name is None or name not in found:
                self._waiting.append(claimed)
            elif name in outcomes:
                self._conclude(claimed, errors[name], outcomes[name])
            elif found[name] is None:
                self._changes.append(self._not_linked(claimed))
            else:
                self._waiting.append(claimed)  # its company is known now
        return True

    def _locate(self) -> tuple[list[str], list[Claimed]]:
        """Return the organisations that have to be looked up, and the events whose company is known now."""
        unknown, located = [], []
        self._tried_at = self._settings.now()
        for place, claimed in enumerate(self._waiting):
            event = claimed.event
            if event.company is None and event.organisation is not None:
                company = self._learned.companies.known(event.organisation)
                if company is None:
                    unknown.append(event.organisation)
                else:
                    self._waiting[place] = evolve(claimed, event=evolve(event, company=company))
                    located.append(self._waiting[place])
        return unknown, located

    def _not_linked(self, claimed: Claimed) -> Change:
        now = self._settings.now()
        first = now if claimed.looked_up is None else min(claimed.looked_up, now)
        if is_unlinked_too_long(first, now):
            return Bury(claimed, claimed.attempts, "not_linked", "the organisation is not linked to a company")
        return self._later(evolve(claimed, looked_up=first))

    # Requests

    def _next_batch(self) -> list[Claimed]:
        count = batch_size(self._waiting, self._learned.sizes)
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        return batch

    def _without_expired(self, batch: list[Claimed]) -> list[Claimed]:
        """Return the events whose keys the service certainly remembers; the others are dead."""
        now, window = self._settings.now(), self._settings.window
        error = "the service may have forgotten its key: sent again, it might count twice"
        remembered = []
        for claimed in batch:
            if is_too_old(claimed.first_tried, now, window):
                self._changes.append(Bury(claimed, claimed.attempts, "window_expired", error))
            else:
                remembered.append(claimed)
        return remembered

    def _send(self, batch: list[Claimed]) -> None:
        calls = [Call(_USAGE.path, _USAGE.kind, given, safe_to_repeat=True) for given in call_inputs(batch)]
        self._requests += 1
        client = self._client()
        answers = answers_to(len(calls), lambda: client._exchange([_USAGE] * len(calls), calls))
        cause = refused_whole(answers)
        if cause is not None:
            self._learned.sizes = self._learned.sizes.after_refusal(batch, cause)
            self._parts += halves(batch)
        else:
            for claimed, answer in zip(batch, answers, strict=True):
                self._conclude(claimed, answer, outcome_of(answer), is_sent=True)
        self._note(cause is not None or has_answer(answers))

    def _note(self, is_answered: bool) -> None:  # noqa: FBT001
        """Take note of whether the service answered a request."""
        self._unanswered = 0 if is_answered else self._unanswered + 1
        self._is_answered = self._is_answered or is_answered

    def _conclude(self, claimed: Claimed, answer: object, outcome: Outcome, *, is_sent: bool = False) -> None:
        """Decide what becomes of an event."""
        is_attempt = is_sent and outcome.is_attempt
        attempts = claimed.attempts + is_attempt
        if outcome.kind == "counted":
            self._changes.append(Remove(claimed))
        elif outcome.kind == "dead":
            self._changes.append(Bury(claimed, attempts, outcome.reason, outcome.error))
        elif outcome.kind == "retry":
            first = self._tried_at if is_attempt and claimed.first_tried is None else claimed.first_tried
            self._changes.append(self._later(evolve(claimed, attempts=attempts, first_tried=first), outcome.wait))
        else:
            self.refusal = answer if isinstance(answer, ApiError) else ApiError.from_code("UNAUTHORIZED", str(answer))
            self.refusal.request = None  # the request of no event
            self._changes.append(Delay(claimed, 0.0))

    def _later(self, claimed: Claimed, min_wait: float = 0.0) -> Delay:
        wait = max(min_wait, wait_after(claimed.failures + 1, self._settings.random))
        return Delay(evolve(claimed, failures=claimed.failures + 1), wait)

    def _client(self) -> ChatarminOS:
        """Return the client; near the deadline, with a timeout that ends there."""
        client = self._settings.client
        usual = client.transport._max_seconds() or _USUAL_TIMEOUT_SECONDS
        if self._end is None or (left := self._end - monotonic()) >= usual:
            return client
        return client.with_options(timeout=max(_MIN_TIMEOUT_SECONDS, left))
