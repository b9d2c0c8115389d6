"""The outbox in a table of the project's database."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from attrs import evolve, frozen
from django.db import DEFAULT_DB_ALIAS, Error, OperationalError, connections, transaction
from django.utils.connection import ConnectionDoesNotExist

from chatarmin_os import _clock
from chatarmin_os._input import at_field, text
from chatarmin_os._usage_event import UsageEvent
from chatarmin_os.errors import ChatarminError, InvalidInput
from chatarmin_os.outbox.base import Outbox
from chatarmin_os.outbox.changes import Bury, Change, Delay, Remove
from chatarmin_os.outbox.delivery import outcome_of
from chatarmin_os.outbox.errors import OutboxUnavailable
from chatarmin_os.outbox.records import DeadEvent, OutboxStats
from chatarmin_os.outbox.stored import Claimed, Stored, age_of, from_events, stats_of, sum_by_reason

if TYPE_CHECKING:
    from chatarmin_os.integrations.django.rows import Rows

T = TypeVar("T")

_log = logging.getLogger("chatarmin_os")

_MAX_TRIES = 5
_LEASE_SECONDS = 30.0
_MYSQL_DEADLOCK = 1213
_CONFLICTS = frozenset({"40001", "40P01"})  # of PostgreSQL: a failure to serialize, and a deadlock


_used: set[str] = set()
_abandoned: list[Any] = []  # never closed: that would end the session of the parent


def _after_in_child() -> None:
    """Let a child connect to the databases itself: on a connection of its parent it reads the answers of that one."""
    for alias in _used:
        connection = connections[alias]
        is_in_memory = getattr(connection, "is_in_memory_db", lambda: False)()
        if connection.connection is not None and not connection.in_atomic_block and not is_in_memory:
            _abandoned.append(connection.connection)
            connection.connection = None


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no forks
    os.register_at_fork(after_in_child=_after_in_child)


class DjangoOutbox(Outbox):
    """An outbox in a table of the project's database: `put` is part of the caller's transaction.

    Policies:
        - **Transactions**: inside `atomic` an event is stored when the transaction commits, and not at all when it
          rolls back. A `put` that fails does not break the transaction.
        - **Senders** lease events in transactions of their own, by `SELECT ... FOR UPDATE SKIP LOCKED` on databases
          that have it. They must not run inside `atomic`.
        - **Databases**: PostgreSQL, MySQL 8 and SQLite. Run `manage.py migrate`, with `--database` for another one
          than the default.
        - **Forks**: a forked child opens a connection of its own, unless it was forked inside `atomic`.
        - **Size**: it has no maximum, so it never raises `OutboxFull`.

    Args:
        using: The alias of the database.
        now: Returns the seconds since 1970; default: the clock of the machine.

    Raises:
        InvalidInput: *using* is not text.

    Example:
        >>> from chatarmin_os.django import DjangoOutbox
        >>> from chatarmin_os.outbox import Sender
        >>> from django.db import transaction
        >>> company = client.onboard(external_org_id="org_1", tier_code="free").company_id
        >>> outbox = DjangoOutbox()
        >>> with transaction.atomic():
        ...     key = outbox.put(external_org_id="org_1", feature_code="ai_credit", quantity=5)
        >>> Sender(client, outbox).drain().counted
        1
    """

    def __init__(self, using: str = DEFAULT_DB_ALIAS, *, now: Callable[[], float] | None = None) -> None:
        self._using = at_field("using", text)(using)
        self._clock = _clock.wall if now is None else now

    def __repr__(self) -> str:
        return f"<{type(self).__name__} in {self._using!r}>"

    @property
    def using(self) -> str:
        """The alias of the database.

        Example:
            >>> from chatarmin_os.django import DjangoOutbox
            >>> DjangoOutbox().using
            'default'
        """
        return self._using

    def close(self) -> None:
        """Do nothing: Django opens and closes the connections.

        Example:
            >>> from chatarmin_os.django import DjangoOutbox
            >>> DjangoOutbox().close()
        """

    def stats(self) -> OutboxStats:
        """Return the content of the outbox; the size is None.

        Raises:
            OutboxUnavailable: It cannot be read.

        Example:
            >>> from chatarmin_os.django import DjangoOutbox
            >>> print(DjangoOutbox().stats().bytes)
            None
        """
        now = self._now()

        def read(rows: Rows) -> OutboxStats:
            waiting, oldest = rows.waiting()
            leased = rows.leased(now)
            dead = sum_by_reason(rows.dead_inputs())
            return stats_of(waiting, leased, dead, age=age_of(oldest, now), size=None)

        return self._transact(read)

    def _now(self) -> float:
        return self._clock()

    def _store(self, events: Sequence[Stored]) -> None:
        self._transact(lambda rows: rows.put(events))

    def _dead(self, limit: int) -> list[DeadEvent]:
        return self._transact(lambda rows: rows.dead(limit))

    def _revive(self, keys: list[str] | None) -> int:
        return self._transact(lambda rows: rows.revive(keys))

    def _discard(self, keys: list[str]) -> int:
        return self._transact(lambda rows: rows.discard(keys))

    def _waiting(self) -> tuple[int, float | None]:
        now = self._now()
        count, first = self._transact(lambda rows: rows.count())
        return count, age_of(first, now)

    def _claim(
        self, owner: str, count: int, changes: Sequence[Change], *, lease: float, now: Callable[[], float]
    ) -> tuple[list[Change], list[Claimed]]:
        def claim(rows: Rows) -> tuple[list[Change], list[Claimed]]:
            at = now()
            done = rows.apply(owner, changes, lease, at)
            return done, rows.claim(owner, count, lease, at)

        return self._transact(claim, is_sender=True)

    def _apply(self, owner: str, changes: Sequence[Change], *, lease: float, now: Callable[[], float]) -> list[Change]:
        return self._transact(lambda rows: rows.apply(owner, changes, lease, now()), is_sender=True)

    def _end_thread(self) -> None:
        connections[self._using].close()  # Django does so in the threads of requests

    def _hold(self, event: UsageEvent) -> Held | None:
        """Put an event into the caller's transaction, who sends it himself when that commits.

        It is leased, and counts as tried: if the process ends, a sender sends it when the lease has ended. Return None
        if only a sender shall send it: it was there already, or its company is not known.
        """
        [stored] = from_events(self._now(), [event])
        owner, at = str(uuid4()), self._now()

        def hold(rows: Rows) -> Claimed | None:
            rows.put([stored])
            return None if stored.company is None else rows.hold(stored, owner, _LEASE_SECONDS, at)

        claimed = self._transact(hold)
        return None if claimed is None else Held(self, owner, claimed, at)

    def _transact(self, action: Callable[[Rows], T], *, is_sender: bool = False) -> T:
        """Return the result of an action in a transaction; a savepoint inside of that of the caller, who is no sender.

        Outside of one it is done again after a deadlock, or with a new connection if the database has ended this one.
        """
        from chatarmin_os.integrations.django.rows import Rows  # models need the applications to be ready

        try:
            connection = connections[self._using]
        except ConnectionDoesNotExist as error:
            raise InvalidInput(f"the project has no database {self._using!r}").at("using") from error
        _used.add(self._using)
        tries = 1 if connection.in_atomic_block else _MAX_TRIES
        while True:
            tries -= 1
            before = connection.connection
            try:
                if is_sender:
                    _ensure_commits(connection)
                with transaction.atomic(using=self._using, durable=is_sender):
                    rows = Rows(self._using)
                    if is_sender:
                        rows.lock_out_others()
                    return action(rows)
            except Error as error:
                _close_if_broken(connection)
                is_replaced = before is not None and connection.connection is not before  # `atomic` may have done so
                if not tries or not (is_replaced or _is_conflict(error)):
                    raise self._unavailable(error) from error

    def _unavailable(self, error: Error) -> OutboxUnavailable:
        option = "" if self._using == DEFAULT_DB_ALIAS else f" --database {self._using}"
        return OutboxUnavailable(
            f"the outbox in the database {self._using!r} is not available ({type(error).__name__}); "
            f"does the database answer, and was `manage.py migrate{option}` run?"
        )


@frozen
class Held:
    """An event that was put by a process that sends it itself.

    Attributes:
        outbox: Where it is.
        owner: Who leased it.
        claimed: The event.
        at: The instant at which it was leased, in seconds.
    """

    outbox: DjangoOutbox
    owner: str
    claimed: Claimed
    at: float

    def settle(self, failure: ChatarminError | None) -> bool:
        """Remove the event, or keep it with its failure; return whether it still waits for a sender."""
        outcome, claimed = outcome_of(failure), self.claimed
        change: Change = Remove(claimed)
        if outcome.kind == "dead":
            change = Bury(claimed, 1, outcome.reason, outcome.error)
            _log.warning("usage %s of %s is dead: %s", *claimed.event.names(), outcome.reason)
        elif outcome.kind != "counted":
            tried = evolve(claimed, attempts=1, first_tried=self.at)
            change = Delay(tried if outcome.is_attempt else claimed, outcome.wait)
        with suppress(OutboxUnavailable):  # its lease will end, and a sender will send it
            self.outbox._apply(self.owner, [change], lease=_LEASE_SECONDS, now=self.outbox._now)
        return isinstance(change, Delay)


def _ensure_commits(connection: Any) -> None:
    """Refuse a sender whose leases would not be committed before its requests; `atomic` refuses to be nested itself."""
    if not connection.in_atomic_block and not connection.get_autocommit():
        raise RuntimeError("a sender needs autocommit: its leases must be committed before it sends")


def _close_if_broken(connection: Any) -> None:
    """Close a connection that the database has ended: Django does so after each request only."""
    if connection.connection is not None and not connection.in_atomic_block and not connection.is_usable():
        connection.close()


def _is_conflict(error: Error) -> bool:
    """Return whether the database ended a transaction in favour of another one, so that it can be done again.

    Example:
        >>> from django.db import OperationalError
        >>> error = OperationalError()
        >>> _is_conflict(error)
        False
        >>> error.__cause__ = Exception(1213, "Deadlock found")  # of MySQL
        >>> _is_conflict(error)
        True
    """
    cause = error.__cause__
    states = getattr(cause, "sqlstate", None), getattr(cause, "pgcode", None)  # of psycopg and psycopg2
    number = cause.args[0] if cause is not None and cause.args else None
    return isinstance(error, OperationalError) and (number == _MYSQL_DEADLOCK or not _CONFLICTS.isdisjoint(states))
