"""The outbox in a table of the project's database."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.db import DEFAULT_DB_ALIAS, Error, connections, transaction

from chatarmin_os import _clock
from chatarmin_os._input import at_field, text
from chatarmin_os.outbox.base import Outbox
from chatarmin_os.outbox.changes import Change
from chatarmin_os.outbox.errors import OutboxUnavailable
from chatarmin_os.outbox.records import DeadEvent, OutboxStats
from chatarmin_os.outbox.stored import Claimed, Stored, is_same, other_values

if TYPE_CHECKING:
    from chatarmin_os.integrations.django.rows import Rows

_MAX_TRIES = 3


class DjangoOutbox(Outbox):
    """An outbox in a table of the project's database: `put` is part of the caller's transaction.

    Policies:
        - **Transactions**: inside `atomic` an event is stored when the transaction commits, and not at all when it
          rolls back. A `put` that fails does not break the transaction.
        - **Senders** lease events in transactions of their own, by `SELECT ... FOR UPDATE SKIP LOCKED` on databases
          that have it. They must not run inside `atomic`.
        - **Databases**: PostgreSQL, MySQL 8 and SQLite. Run `manage.py migrate`, with `--database` for another one
          than the default.
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
        with self._rows() as rows:
            waiting, oldest = rows.waiting()
            leased = rows.leased(now)
            dead: dict[str, Decimal] = {}
            count = 0
            for reason, quantity in rows.dead_quantities():
                dead[reason] = dead.get(reason, Decimal(0)) + Decimal(repr(quantity))
                count += 1
        return OutboxStats(
            ready=waiting - leased,
            leased=leased,
            dead=count,
            dead_quantity={reason: _number(quantity) for reason, quantity in dead.items()},
            oldest_age=None if oldest is None else max(0.0, now - oldest),
            bytes=None,
        )

    def _now(self) -> float:
        return self._clock()

    def _store(self, events: Sequence[Stored]) -> None:
        with self._rows() as rows:
            missing = list(events)
            for attempt in range(_MAX_TRIES):
                rows.insert(missing)
                # A snapshot of the transaction may hide a row that another one has inserted, unless it is locked.
                found = rows.find([event.key for event in missing], is_locking=attempt > 0)
                for event in missing:
                    if event.key in found and not is_same(found[event.key], event):
                        raise other_values(event.key)
                missing = [event for event in missing if event.key not in found]  # delivered in between
                if not missing:
                    return
        raise OutboxUnavailable("the outbox is busy: other senders delivered the same keys; put the event again")

    def _dead(self, limit: int) -> list[DeadEvent]:
        with self._rows() as rows:
            return rows.dead(limit)

    def _revive(self, keys: list[str] | None) -> int:
        with self._rows() as rows:
            return rows.revive(keys)

    def _discard(self, keys: list[str]) -> int:
        with self._rows() as rows:
            return rows.discard(keys)

    def _waiting(self) -> tuple[int, float | None]:
        now = self._now()
        with self._rows() as rows:
            count, first = rows.count()
        return count, None if first is None else max(0.0, now - first)

    def _claim(
        self, owner: str, count: int, changes: Sequence[Change], *, lease: float, now: Callable[[], float]
    ) -> tuple[list[Change], list[Claimed]]:
        with self._rows(is_sender=True) as rows:
            at = now()
            done = rows.apply(owner, changes, lease, at)
            return done, rows.claim(owner, count, lease, at)

    def _apply(self, owner: str, changes: Sequence[Change], *, lease: float, now: Callable[[], float]) -> list[Change]:
        with self._rows(is_sender=True) as rows:
            return rows.apply(owner, changes, lease, now())

    @contextmanager
    def _rows(self, *, is_sender: bool = False) -> Generator[Rows]:
        """Yield the table, in a transaction; a savepoint inside of that of the caller, who is not a sender."""
        from chatarmin_os.integrations.django.rows import Rows  # models need the applications to be ready

        try:
            with transaction.atomic(using=self._using, durable=is_sender):
                rows = Rows(self._using)
                if is_sender:
                    rows.lock_out_others()
                yield rows
        except Error as error:
            _drop_if_broken(connections[self._using])
            problem = f"the outbox in the database {self._using!r} is not available ({type(error).__name__})"
            raise OutboxUnavailable(f"{problem}; does the database answer, and was `manage.py migrate` run?") from error


def _drop_if_broken(connection: Any) -> None:
    """Close a connection that the database has ended: Django does so after each request only."""
    if connection.connection is not None and not connection.in_atomic_block and not connection.is_usable():
        connection.close()


def _number(quantity: Decimal) -> int | float:
    return int(quantity) if quantity == quantity.to_integral_value() else float(quantity)
