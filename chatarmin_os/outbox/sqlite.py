"""The outbox in a file of its own, by sqlite3."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from sqlite3 import Connection
from typing import Any, Literal, NoReturn, TypeVar

from chatarmin_os import _clock
from chatarmin_os._input import Number, at_field, seconds
from chatarmin_os._json import describe
from chatarmin_os._sqlite_errors import (
    FileInUseError,
    ForeignFileError,
    NewerFormatError,
    SQLiteFileError,
)
from chatarmin_os.errors import InvalidInput
from chatarmin_os.outbox import rows
from chatarmin_os.outbox.base import Outbox, positive
from chatarmin_os.outbox.changes import Change
from chatarmin_os.outbox.errors import OutboxFull, OutboxUnavailable
from chatarmin_os.outbox.records import DeadEvent, OutboxStats
from chatarmin_os.outbox.sqlite_file import FileFullError, OutboxFile
from chatarmin_os.outbox.stored import Claimed, Stored, age_of, is_same, other_values

T = TypeVar("T")

_MIN_BYTES = 64 * 2**10


class SQLiteOutbox(Outbox):
    """An outbox in a file, for any number of threads and processes of one machine.

    Policies:
        - **Durable**: with `"full"` an event survives a power failure, with `"normal"` the end of the process.
        - **Files**: PATH for its owner only (0600), PATH-wal, PATH-shm and PATH.lock next to it, on a local disk. A
          symbolic link is refused.
        - **Full**: at *max_bytes* `put` raises `OutboxFull`; senders go on.
        - **Damaged**: a file that SQLite finds corrupt is renamed to `PATH.corrupt-TIME`; the events that can still be
          read are copied into a new file, and an ERROR is logged. A single event that is damaged is dead (`damaged`).
        - **Refused**: a file of another application or of a later version stays as it is, with nothing new next to it.
        - **Locks**: `put` and senders take turns; `stats` and `dead` wait for nobody, and nobody for them. A `put` in a
          signal handler that interrupted another one is refused.
        - **Forks**: connections are closed before a fork and opened again at the next use, in parent and child.

    Args:
        path: The file, which is created if it is missing.
        max_bytes: The maximum size of the file, at least 64 KiB.
        synchronous: `"full"` or `"normal"`.
        put_wait: Seconds for which `put` waits for other writers.
        now: Returns the seconds since 1970; default: the clock of the machine.

    Raises:
        InvalidInput: An invalid argument, which the error names.
        OutboxUnavailable: The file cannot be used.

    Example:
        >>> from chatarmin_os.outbox import Sender, SQLiteOutbox
        >>> company = client.onboard(external_org_id="org_1", tier_code="free").company_id
        >>> outbox = SQLiteOutbox(tmp_path / "usage.db")
        >>> key = outbox.put(external_org_id="org_1", feature_code="ai_credit", quantity=5)
        >>> Sender(client, outbox).drain().counted
        1
        >>> client.features.check(company_id=company, feature_code="ai_credit").current_usage
        5
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_bytes: int = 256 * 2**20,
        synchronous: Literal["full", "normal"] = "full",
        put_wait: Number = 0.25,
        now: Callable[[], float] | None = None,
    ) -> None:
        self._clock = _clock.wall if now is None else now
        try:
            self._file = OutboxFile(
                at_field("path", _path)(path),
                max_bytes=at_field("max_bytes", _max_bytes)(max_bytes),
                synchronous=at_field("synchronous", _synchronous)(synchronous),
                put_wait=at_field("put_wait", seconds)(put_wait),
            )
        except SQLiteFileError as error:
            raise OutboxUnavailable(f"the outbox cannot be opened: {error}{_advice(error, path)}") from error

    def __repr__(self) -> str:
        return f"<{type(self).__name__} in {self._file.path!r}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an outbox cannot be copied or pickled; open the same path in the other process")

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        self._doing(self._file.close)

    def stats(self) -> OutboxStats:
        """Return the content of the outbox."""
        now = self._now()

        def read(connection: Connection) -> OutboxStats:
            return rows.stats(connection, now, self._file.size(connection))

        return self._doing(lambda: self._file.read(read))

    def _now(self) -> float:
        return self._clock()

    def _store(self, events: Sequence[Stored]) -> None:
        if len(events) == 1 and not events[0].is_tried:
            try:
                if self._file.insert(rows.PUT, rows.parameters(events[0])):
                    return
            except SQLiteFileError as error:
                raise _error_of(error) from error
        self._store_many(events)

    def _store_many(self, events: Sequence[Stored]) -> None:
        def store(connection: Connection) -> None:
            for event in events:
                if not connection.execute(rows.PUT, rows.parameters(event)).rowcount:
                    found = connection.execute(rows.FIND, (event.key,)).fetchone()
                    if not is_same(rows.as_put(found), event):
                        raise other_values(event.key)
                if event.is_tried:
                    connection.execute(rows.SET_TRIED, (event.created, event.key))

        self._doing(lambda: self._file.put(store))

    def _dead(self, limit: int) -> list[DeadEvent]:
        def read(connection: Connection) -> list[Any]:
            return connection.execute(rows.DEAD, (limit,)).fetchall()

        return [rows.dead_event(row) for row in self._doing(lambda: self._file.read(read))]

    def _revive(self, keys: list[str] | None) -> int:
        return self._of_dead(rows.REVIVE, keys)

    def _discard(self, keys: list[str]) -> int:
        return self._of_dead(rows.DISCARD, keys)

    def _of_dead(self, statement: str, keys: list[str] | None) -> int:
        def change(connection: Connection) -> int:
            if keys is None:
                return connection.execute(statement).rowcount
            return sum(connection.execute(f"{statement} AND key = ?", (key,)).rowcount for key in keys)

        return self._doing(lambda: self._file.change(change))

    def _waiting(self) -> tuple[int, float | None]:
        """Return how many events are ready or leased, and the age of the one that was put first, in seconds."""
        now = self._now()

        def read(connection: Connection) -> tuple[int, float | None]:
            [(count,)] = connection.execute(rows.COUNT)
            first = connection.execute(rows.FIRST).fetchone()
            return count, age_of(first and first[0], now)

        return self._doing(lambda: self._file.read(read))

    def _claim(
        self, owner: str, count: int, changes: Sequence[Change], *, lease: float, now: Callable[[], float]
    ) -> tuple[list[Change], list[Claimed]]:
        """Make changes, and lease events to *owner*."""

        def make(connection: Connection) -> tuple[list[Change], list[Claimed]]:
            at = now()
            done = rows.apply(connection, owner, changes, lease, at)
            return done, rows.claim(connection, owner, count, lease, at)

        return self._doing(lambda: self._file.change(make))

    def _apply(self, owner: str, changes: Sequence[Change], *, lease: float, now: Callable[[], float]) -> list[Change]:
        """Make changes to events that *owner* has."""
        return self._doing(
            lambda: self._file.change(lambda connection: rows.apply(connection, owner, changes, lease, now()))
        )

    def _doing(self, action: Callable[[], T]) -> T:
        try:
            return action()
        except SQLiteFileError as error:
            raise _error_of(error) from error


def _error_of(error: SQLiteFileError) -> OutboxFull | OutboxUnavailable:
    if isinstance(error, FileFullError):
        return OutboxFull(f"the outbox is full: {error}; drain it, or pass max_bytes=")
    return OutboxUnavailable(f"the outbox is not available: {error}")


def _advice(error: SQLiteFileError, path: str | os.PathLike[str]) -> str:
    if isinstance(error, FileInUseError):
        return ""
    if isinstance(error, NewerFormatError):
        return f"; upgrade chatarmin-os; {os.fspath(path)!r} was left unchanged"
    if isinstance(error, ForeignFileError):
        return f"; pass the path of an outbox or of a new file; {os.fspath(path)!r} was left unchanged"
    return f"; pass the path of a file in a folder that exists and can be written, instead of {os.fspath(path)!r}"


def _path(value: str | os.PathLike[str]) -> str:
    if not isinstance(value, (str, os.PathLike)) or not os.fspath(value):
        raise InvalidInput(f"expected a path, got {describe(value)}")
    if value == ":memory:":
        raise InvalidInput(
            "an outbox is a file, and not in memory", "pass the path of a file, in a test below tmp_path"
        )
    path = os.fsdecode(value)
    if "://" in path:  # which may have a password
        raise InvalidInput("expected the path of a file, got a URL", "a RedisOutbox takes the client of a Redis")
    return path


def _max_bytes(value: int) -> int:
    if positive(value) < _MIN_BYTES:
        raise InvalidInput(f"expected at least {_MIN_BYTES} bytes, got {describe(value)}")
    return value


def _synchronous(value: str) -> Literal["full", "normal"]:
    if value == "full":
        return "full"
    if value == "normal":
        return "normal"
    raise InvalidInput(f"expected 'full' or 'normal', got {describe(value)}")
