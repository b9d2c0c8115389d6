"""The table of an outbox in SQLite, and its statements.

A row is *fresh* while nobody has had it: then it is in no index but that of the keys, so that `put` costs little more
than a bare INSERT. `next_at` is the end of its lease or wait, and `since` the beginning: a beginning in the future
shows that the clock was set back, and counts as an end. A dead row has a reason.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from itertools import groupby
from sqlite3 import Connection
from typing import Any

from attrs import evolve

from chatarmin_os.outbox.changes import Bury, Change, Keep, Remove, Try
from chatarmin_os.outbox.records import DeadEvent, OutboxStats
from chatarmin_os.outbox.stored import DAMAGES, Claimed, Stored, age_of, stats_of, sum_by_reason, to_dead_event

_log = logging.getLogger("chatarmin_os")

_NOTHING = '{"featureCode": "", "quantity": 0}'
_MAX_INSTANT = 2**37  # of the year 6325

APPLICATION_ID = 0x436F5342

MIGRATIONS = (
    (
        """
        CREATE TABLE events (
            id INTEGER PRIMARY KEY,
            key TEXT NOT NULL UNIQUE,
            input TEXT NOT NULL,
            company TEXT,
            organisation TEXT,
            created REAL NOT NULL,
            next_at REAL,
            since REAL,
            owner TEXT,
            attempts INTEGER NOT NULL DEFAULT 0,
            failures INTEGER NOT NULL DEFAULT 0,
            first_tried REAL,
            looked_up REAL,
            reason TEXT,
            error TEXT,
            CHECK (company IS NOT NULL OR organisation IS NOT NULL)
        )
        """,
        "CREATE INDEX due ON events (next_at) WHERE next_at IS NOT NULL",
        "CREATE INDEX dead ON events (reason) WHERE reason IS NOT NULL",
    ),
)

TRACES = (MIGRATIONS[0][0].strip().encode()[:80], b'{"featureCode": "')
"""Bytes of every file, and of every row."""

COLUMNS = (
    "id, key, input, company, organisation, created, next_at, since, owner, attempts, failures, first_tried, "
    "looked_up, reason, error"
)
WITHOUT_STATE = "id, key, input, company, organisation, created, NULL, NULL, NULL, -1, -1, NULL, NULL, NULL, NULL"
_MAX_PLACES = 500  # SQLite may bind no more than 999 values
_CLAIMED = "id, key, input, company, organisation, created, attempts, failures, first_tried, looked_up"

PUT = (
    "INSERT INTO events (key, input, company, organisation, created) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT (key) DO NOTHING"
)
COPY = f"INSERT OR IGNORE INTO events ({COLUMNS}) VALUES ({', '.join('?' * 15)})"
SET_TRIED = (
    "UPDATE events SET owner = NULL, attempts = attempts + 1, first_tried = coalesce(first_tried, ?) "
    "WHERE key = ? AND reason IS NULL"
)
FIND = "SELECT key, input, company, organisation, created FROM events WHERE key = ?"
WAITING = "SELECT count(*), min(created) FROM events WHERE reason IS NULL"
COUNT = "SELECT (SELECT count(*) FROM events) - (SELECT count(*) FROM events WHERE reason IS NOT NULL)"
FIRST = "SELECT created FROM events WHERE reason IS NULL ORDER BY id LIMIT 1"
LEASED = "SELECT count(*) FROM events WHERE next_at > :now AND since <= :now AND owner IS NOT NULL"
DEAD_QUANTITIES = "SELECT reason, input FROM events WHERE reason IS NOT NULL"
DEAD = (
    "SELECT key, input, company, organisation, created, attempts, reason, error FROM events "
    "WHERE reason IS NOT NULL ORDER BY id LIMIT ?"
)
REVIVE = (
    "UPDATE events SET reason = NULL, error = NULL, attempts = 0, failures = 0, first_tried = NULL, looked_up = NULL "
    "WHERE reason IS NOT NULL"
)
DISCARD = "DELETE FROM events WHERE reason IS NOT NULL"

_DUE = f"SELECT {_CLAIMED} FROM events WHERE next_at <= ? LIMIT ?"
_SET_BACK = f"SELECT {_CLAIMED} FROM events WHERE next_at > ? AND since > ? LIMIT ?"
_FRESH = f"SELECT {_CLAIMED} FROM events WHERE next_at IS NULL AND reason IS NULL LIMIT ?"
_LEASE = (
    "UPDATE events SET next_at = ?, since = ?, owner = ?, attempts = attempts + (company IS NOT NULL), "
    "first_tried = CASE WHEN company IS NULL THEN first_tried ELSE coalesce(first_tried, ?) END"
)

_DIE_DAMAGED = (
    "UPDATE events SET next_at = NULL, since = NULL, owner = NULL, attempts = 0, failures = 0, reason = 'damaged', "
    "error = 'its row is damaged; its text is in the file' WHERE id = ?"
)

_IS_OURS = " WHERE id = ? AND owner = ? AND next_at > ? AND since <= ?"
_TRY = "UPDATE events SET next_at = ?, since = ?, company = ?, first_tried = ?, attempts = ?" + _IS_OURS
_KEEP = "UPDATE events SET next_at = ?, since = ?" + _IS_OURS
_REMOVE = "DELETE FROM events" + _IS_OURS
_REMOVE_SOME = "DELETE FROM events WHERE owner = ? AND next_at > ? AND since <= ?"
_BURY = "UPDATE events SET next_at = NULL, since = NULL, owner = NULL, attempts = ?, reason = ?, error = ?" + _IS_OURS
_DELAY = (
    "UPDATE events SET next_at = ?, since = ?, owner = NULL, attempts = ?, failures = ?, first_tried = ?, "
    "looked_up = ?" + _IS_OURS
)


def is_schema_of(connection: Connection) -> bool:
    """Return whether a file has the table of an outbox, whatever its header says."""
    sql = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'events'").fetchone()
    return sql is not None and sql[0] == MIGRATIONS[0][0].strip()


def parameters(event: Stored) -> tuple[str, str, str | None, str | None, float]:
    """Return the values of a new row."""
    return event.key, event.input, event.company, event.organisation, event.created


def stats(connection: Connection, now: float, size: int | None) -> OutboxStats:
    """Return the content of an outbox, whose file has so many bytes."""
    waiting, oldest = connection.execute(WAITING).fetchone()
    [(leased,)] = connection.execute(LEASED, {"now": now})
    dead = sum_by_reason(connection.execute(DEAD_QUANTITIES))
    return stats_of(waiting, leased, dead, age=age_of(oldest, now), size=size)


def as_put(row: Any) -> Stored:
    """Return a row of `FIND` as the event that was put: the company of an organisation was found later."""
    key, given, company, organisation, created = row
    return Stored(key, given, None if organisation is not None else company, organisation, created)


def dead_event(row: Any) -> DeadEvent:
    """Return a row of `DEAD`; one that is damaged has no feature and the quantity 0."""
    *stored, attempts, reason, error = row
    event = Stored(*stored)
    if not is_readable((0, *stored)):
        event = evolve(event, input=_NOTHING, created=0.0)
    return to_dead_event(event, attempts=attempts, reason=reason, error=error)


def claim(connection: Connection, owner: str, count: int, lease: float, now: float) -> list[Claimed]:
    """Lease rows to *owner*: those that wait no longer, then fresh ones. Damaged ones are dead."""
    claimed: list[Claimed] = []
    for statement, values in ((_DUE, (now,)), (_SET_BACK, (now, now)), (_FRESH, ())):
        while len(claimed) < count:
            found = connection.execute(statement, (*values, count - len(claimed))).fetchall()
            damaged = _damaged(found)
            good = [row for row in found if row not in damaged] if damaged else found
            _of_rows(connection, f"{_LEASE} WHERE", (now + lease, now, owner, now), [row[0] for row in good])
            claimed += [Claimed(row[0], Stored(*row[1:6]), *row[6:]) for row in good]
            if not damaged:
                break
            connection.executemany(_DIE_DAMAGED, [(row[0],) for row in damaged])
            for row in damaged:
                _log.error("usage %r is dead: its row is damaged", row[1])
    return claimed


def apply(connection: Connection, owner: str, changes: Sequence[Change], lease: float, now: float) -> list[Change]:
    """Make changes to rows that *owner* has, and return those that were made."""
    done: list[Change] = []
    for _, group in groupby(changes, key=type):
        same = list(group)
        found = [_statement(change, owner, lease, now) for change in same]
        connection.execute("SAVEPOINT one_kind")
        if isinstance(same[0], Remove):
            places = [change.claimed.place for change in same]
            count = _of_rows(connection, f"{_REMOVE_SOME} AND", (owner, now, now), places)
        else:
            count = connection.executemany(found[0][0], [values for _, values in found]).rowcount
        if count == len(same):
            done += same
        else:
            connection.execute("ROLLBACK TO one_kind")
            pairs = zip(same, found, strict=True)
            done += [change for change, (statement, values) in pairs if connection.execute(statement, values).rowcount]
        connection.execute("RELEASE one_kind")
    return done


def _of_rows(connection: Connection, statement: str, values: tuple[Any, ...], places: Sequence[int]) -> int:
    """Run a statement for rows with the same values, in half the time of one for each; return how many it changed."""
    count = 0
    for start in range(0, len(places), _MAX_PLACES):
        some = places[start : start + _MAX_PLACES]
        marks = ", ".join("?" * len(some))
        count += connection.execute(f"{statement} id IN ({marks})", (*values, *some)).rowcount
    return count


def _statement(change: Change, owner: str, lease: float, now: float) -> tuple[str, tuple[Any, ...]]:
    ours = (change.claimed.place, owner, now, now)
    if isinstance(change, Remove):
        return _REMOVE, ours
    if isinstance(change, Keep):
        return _KEEP, (now + lease, now, *ours)
    if isinstance(change, Bury):
        return _BURY, (change.attempts, change.reason, change.error, *ours)
    if isinstance(change, Try):
        return _TRY, (now + lease, now, change.company, change.first_tried, change.attempts, *ours)
    claimed = change.claimed
    past = claimed.attempts, claimed.failures, claimed.first_tried, claimed.looked_up
    return _DELAY, (now + change.wait, now, *past, *ours)


def with_valid_state(row: Any) -> Any:
    """Return a row of `COLUMNS` that can be stored; it is dead if the history of its event is damaged.

    Nobody knows then whether the service has counted the event.

    Example:
        >>> event = (1, "k", "{}", "comp_1", None, 0.5)
        >>> fresh = (*event, None, None, None, 0, 0, None, None, None, None)
        >>> with_valid_state(fresh) == fresh, with_valid_state((*fresh[:9], b"", *fresh[10:]))[13]
        (True, 'damaged')
    """
    next_at, since, owner, attempts, failures, first_tried, looked_up, reason, error = row[6:]
    is_valid = (
        _are_counts(attempts, failures)
        and _are_times(next_at, since, first_tried, looked_up)
        and (next_at is None) == (since is None)
        and all(text is None or (isinstance(text, str) and _is_storable(text)) for text in (owner, reason, error))
    )
    return row if is_valid else (*row[:6], None, None, None, 0, 0, None, None, "damaged", "its history is damaged")


def _are_counts(*values: object) -> bool:
    return all(isinstance(value, int) and value >= 0 for value in values)


def _are_times(*values: object) -> bool:
    return all(value is None or isinstance(value, float) for value in values)


def _is_storable(text: str) -> bool:
    return text == text.encode(errors="replace").decode()


def is_readable(row: Any) -> bool:
    """Return whether the first values of a row are those of an event; bits of a file may flip without SQLite noticing.

    Example:
        >>> text = '{"featureCode": "seats", "quantity": 1, "idempotencyKey": "k"}'
        >>> is_readable((1, "k", text, None, "org", 0.5)), is_readable((1, "other", text, None, "org", 0.5))
        (True, False)
        >>> is_readable((1, "k", text[:9], None, "org", 0.5)), is_readable((1, "k", text, None, b"org", 0.5))
        (False, False)
    """
    try:
        return _is_event(row, json.loads(row[2]))
    except DAMAGES:
        return False


def _damaged(found: Sequence[Any]) -> list[Any]:
    """Return the rows that are damaged."""
    try:
        inputs = json.loads(f"[{','.join(row[2] for row in found)}]")  # in a third of the time of one after another
        if len(inputs) == len(found) and all(map(_is_event, found, inputs)) and all(map(_is_state, found)):
            return []
    except DAMAGES:
        pass
    return [row for row in found if not (is_readable(row) and _is_state(row))]


def _is_state(row: Any) -> bool:
    return _are_counts(*row[6:8]) and _are_times(*row[8:])


def _is_event(row: Any, given: Any) -> bool:
    _, key, text, company, organisation, created, *_ = row
    for name in (company, organisation):
        if name is not None:
            name.encode("utf-8")
    metadata = given.get("metadata")
    return (
        isinstance(text, str)
        and text.isascii()
        and text[0] + text[-1] == "{}"
        and given["idempotencyKey"] == key
        and isinstance(given["featureCode"], str)
        and given["quantity"] > 0
        and (metadata is None or isinstance(metadata, dict))
        and isinstance(created, float)
        and abs(created) < _MAX_INSTANT
        and (company or organisation) is not None
    )
