"""The queries of the outbox in a project's database."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import groupby

from django.db import connections
from django.db.models import Case, Count, F, Min, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce

from chatarmin_os.integrations.django.models import DEAD, OutboxEvent, leased
from chatarmin_os.outbox.changes import Bury, Change, Delay, Keep, Remove, Try
from chatarmin_os.outbox.errors import OutboxUnavailable
from chatarmin_os.outbox.records import DeadEvent
from chatarmin_os.outbox.stored import Claimed, Stored, is_same, other_values, to_dead_event

_MAX_TRIES = 3
_ROWS_PER_STATEMENT = 200
_KEYS_PER_STATEMENT = 500


class Rows:
    """The rows of one database; every method runs inside a transaction."""

    def __init__(self, using: str) -> None:
        self._events: QuerySet[OutboxEvent] = OutboxEvent.objects.using(using)
        self._connection = connections[using]

    # For put

    def put(self, events: Sequence[Stored]) -> None:
        """Add rows, except for keys that are there.

        Raises:
            InvalidInput: A key is there with other values.
            OutboxUnavailable: Others deliver the same keys again and again.
        """
        missing = list(events)
        for attempt in range(_MAX_TRIES):
            rows = [_row(event) for event in missing]
            self._events.bulk_create(rows, _ROWS_PER_STATEMENT, ignore_conflicts=True)
            # A snapshot of the transaction may hide a row that another one has inserted, unless it is locked.
            found = self._find([event.key for event in missing], is_locking=attempt > 0)
            for event in missing:
                if event.key in found and not is_same(found[event.key], event):
                    raise other_values(event.key)
            missing = [event for event in missing if event.key not in found]  # delivered in between
            if not missing:
                self._set_tried(event for event in events if event.is_tried)
                return
        raise OutboxUnavailable("the outbox is busy: other senders delivered the same keys; put the event again")

    def _set_tried(self, events: Iterable[Stored]) -> None:
        for event in events:
            self._events.filter(key_hash=_hash(event.key)).exclude(DEAD).update(
                owner="", attempts=F("attempts") + 1, first_tried=Coalesce("first_tried", Value(event.created))
            )

    def hold(self, event: Stored, owner: str, lease: float, now: float) -> Claimed | None:
        """Lease an event that was put just now, as one that is tried; return None if it was there before."""
        fresh = self._events.filter(key_hash=_hash(event.key), next_at=0.0, since=0.0, owner="")
        place = fresh.values_list("pk", flat=True).first()
        lease_of = {"next_at": now + lease, "since": now, "owner": owner, "attempts": 1, "first_tried": now}
        is_held = place is not None and fresh.filter(pk=place).update(**lease_of)
        return Claimed(place, event) if is_held else None

    def _find(self, keys: Sequence[str], *, is_locking: bool) -> dict[str, Stored]:
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
        found = self._events.exclude(DEAD).aggregate(count=Count("id"), oldest=Min("created"))
        return found["count"], found["oldest"]

    def count(self) -> tuple[int, float | None]:
        """Return how many events are not dead, and the instant of the creation of the one that was put first."""
        events = self._events.exclude(DEAD)
        return events.count(), events.order_by("id").values_list("created", flat=True).first()

    def leased(self, now: float) -> int:
        """Return how many events senders have."""
        return self._events.filter(leased(now)).count()

    def dead_inputs(self) -> Iterator[tuple[str, str]]:
        """Yield the reason and the input of each dead event."""
        yield from self._events.filter(DEAD).values_list("reason", "input").iterator()

    def dead(self, limit: int) -> list[DeadEvent]:
        """Return dead events."""
        return [
            to_dead_event(_stored(row), attempts=row.attempts, reason=row.reason, error=row.message)
            for row in self._events.filter(DEAD).order_by("id")[:limit]
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
        dead = self._events.filter(DEAD)
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
        row.company, row.attempts, row.first_tried = change.company, change.attempts, change.first_tried
    elif isinstance(change, Bury):
        row.next_at, row.attempts = None, change.attempts
        row.reason, row.error = _ascii(change.reason), json.dumps(change.error)
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


def _ascii(code: str) -> str:
    r"""Return a code of the service as text that each database takes.

    Example:
        >>> _ascii("CONFLICT"), _ascii("\0\ud800")
        ('CONFLICT', '\\x00\\ud800')
    """
    return code.encode("ascii", "backslashreplace").decode().replace("\0", r"\x00")
