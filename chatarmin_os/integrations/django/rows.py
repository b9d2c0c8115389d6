"""The queries of the outbox in a project's database."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import groupby

from django.db import connections
from django.db.models import Case, Count, F, Min, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce

from chatarmin_os.integrations.django.models import OutboxEvent
from chatarmin_os.outbox.changes import Bury, Change, Delay, Keep, Remove, Try
from chatarmin_os.outbox.records import DeadEvent
from chatarmin_os.outbox.stored import Claimed, Stored, to_dead_event

_DEAD = Q(next_at=None)
_ROWS_PER_STATEMENT = 200
_KEYS_PER_STATEMENT = 500


class Rows:
    """The rows of one database; every method runs inside a transaction."""

    def __init__(self, using: str) -> None:
        self._events: QuerySet[OutboxEvent] = OutboxEvent.objects.using(using)
        self._connection = connections[using]

    # For put

    def insert(self, events: Sequence[Stored]) -> None:
        """Add rows, except for keys that are there."""
        self._events.bulk_create([_row(event) for event in events], _ROWS_PER_STATEMENT, ignore_conflicts=True)

    def find(self, keys: Sequence[str], *, is_locking: bool) -> dict[str, Stored]:
        """Return the events with these keys as they were put: the company of an organisation was found later."""
        events = self._events.select_for_update() if is_locking else self._events
        return {
            row.key: Stored(row.key, row.input, None if row.organisation else row.company, row.organisation, 0.0)
            for part in _parts(keys)
            for row in events.filter(key_hash__in=part)
        }

    # For people

    def waiting(self) -> tuple[int, float | None]:
        """Return how many events are not dead, and the first instant of their creation."""
        found = self._events.exclude(_DEAD).aggregate(count=Count("id"), oldest=Min("created"))
        return found["count"], found["oldest"]

    def count(self) -> tuple[int, float | None]:
        """Return how many events are not dead, and the instant of the creation of the one that was put first."""
        events = self._events.exclude(_DEAD)
        return events.count(), events.order_by("id").values_list("created", flat=True).first()

    def leased(self, now: float) -> int:
        """Return how many events senders have."""
        return self._events.filter(next_at__gt=now, since__lte=now).exclude(owner="").count()

    def dead_quantities(self) -> Iterator[tuple[str, float]]:
        """Yield the reason and the quantity of each dead event."""
        for reason, given in self._events.filter(_DEAD).values_list("reason", "input").iterator():
            yield reason, json.loads(given)["quantity"]

    def dead(self, limit: int) -> list[DeadEvent]:
        """Return dead events."""
        return [
            to_dead_event(_stored(row), attempts=row.attempts, reason=row.reason, error=row.error)
            for row in self._events.filter(_DEAD).order_by("id")[:limit]
        ]

    def revive(self, keys: list[str] | None) -> int:
        """Make dead events ready again."""
        return sum(
            events.update(
                next_at=0.0, since=0.0, attempts=0, failures=0, first_tried=None, looked_up=None, reason="", error=""
            )
            for events in self._dead_with(keys)
        )

    def discard(self, keys: list[str]) -> int:
        """Remove dead events."""
        return sum(events.delete()[0] for events in self._dead_with(keys))

    def _dead_with(self, keys: list[str] | None) -> list[QuerySet[OutboxEvent]]:
        dead = self._events.filter(_DEAD)
        return [dead] if keys is None else [dead.filter(key_hash__in=part) for part in _parts(keys)]

    # For senders

    def lock_out_others(self) -> None:
        """Take the lock of a database that cannot lock rows: it refuses a transaction that reads before it writes."""
        if not self._connection.features.has_select_for_update:
            self._events.filter(pk=0).update(owner="")

    def claim(self, owner: str, count: int, lease: float, now: float) -> list[Claimed]:
        """Lease events to *owner*: those that wait no longer and fresh ones, then those from before a clock was set."""
        skip = self._connection.features.has_select_for_update_skip_locked
        free = self._events.select_for_update(skip_locked=skip)
        found = list(free.filter(next_at__lte=now).order_by("next_at", "id")[:count])
        if len(found) < count:
            found += free.filter(next_at__gt=now, since__gt=now).order_by("id")[: count - len(found)]
        has_company = Q(company__isnull=False)
        self._events.filter(pk__in=[row.pk for row in found]).update(
            next_at=now + lease,
            since=now,
            owner=owner,
            attempts=Case(When(has_company, then=F("attempts") + 1), default=F("attempts")),
            first_tried=Case(When(has_company, then=Coalesce("first_tried", Value(now))), default=F("first_tried")),
        )
        return [
            Claimed(row.pk, _stored(row), row.attempts, row.failures, row.first_tried, row.looked_up) for row in found
        ]

    def apply(self, owner: str, changes: Sequence[Change], lease: float, now: float) -> list[Change]:
        """Make changes to rows that *owner* has, and return those that were made."""
        if not changes:
            return []
        places = [change.claimed.place for change in changes]
        ours = self._events.filter(pk__in=places, owner=owner, next_at__gt=now, since__lte=now)
        held = set(ours.select_for_update().order_by("id").values_list("pk", flat=True))
        done = [change for change in changes if change.claimed.place in held]
        for kind, group in groupby(done, key=type):
            self._make(kind, list(group), lease, now)
        return done

    def _make(self, kind: type, changes: list[Change], lease: float, now: float) -> None:
        if kind is Remove:
            self._events.filter(pk__in=[change.claimed.place for change in changes]).delete()
            return
        rows = [_changed(change, lease, now) for change in changes]
        self._events.bulk_update(rows, _FIELDS[kind], _ROWS_PER_STATEMENT)


_FIELDS: dict[type, tuple[str, ...]] = {
    Try: ("next_at", "since", "company", "first_tried", "attempts"),
    Keep: ("next_at", "since"),
    Bury: ("next_at", "owner", "attempts", "reason", "error"),
    Delay: ("next_at", "since", "owner", "attempts", "failures", "first_tried", "looked_up"),
}


def _changed(change: Change, lease: float, now: float) -> OutboxEvent:
    """Return a row with the fields that a change sets."""
    claimed = change.claimed
    row = OutboxEvent(pk=claimed.place, next_at=now + lease, since=now, owner="", attempts=claimed.attempts)
    row.first_tried, row.failures, row.looked_up = claimed.first_tried, claimed.failures, claimed.looked_up
    if isinstance(change, Try):
        row.company, row.attempts = change.company, claimed.attempts + 1
        row.first_tried = change.tried_at if claimed.first_tried is None else claimed.first_tried
    elif isinstance(change, Bury):
        row.next_at, row.attempts = None, change.attempts
        row.reason, row.error = _storable(change.reason), _storable(change.error)
    elif isinstance(change, Delay):
        row.next_at = now + change.wait
    return row


def _row(event: Stored) -> OutboxEvent:
    return OutboxEvent(
        key_hash=_hash(event.key),
        key=event.key,
        input=event.input,
        company=event.company,
        organisation=event.organisation,
        created=event.created,
    )


def _stored(row: OutboxEvent) -> Stored:
    return Stored(row.key, row.input, row.company, row.organisation, row.created)


def _hash(key: str) -> str:
    return sha256(key.encode()).hexdigest()


def _parts(keys: Sequence[str]) -> Iterator[list[str]]:
    """Yield the hashes of keys, in parts that one statement can hold."""
    for start in range(0, len(keys), _KEYS_PER_STATEMENT):
        yield [_hash(key) for key in keys[start : start + _KEYS_PER_STATEMENT]]


def _storable(message: str) -> str:
    """Return a text of the service without characters that a database refuses."""
    return message.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
