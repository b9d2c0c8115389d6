"""The file of an outbox: its maximum size, its checkpoints, and its replacement when it is damaged."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from sqlite3 import Connection, DatabaseError
from typing import Any, Literal, TypeVar

from chatarmin_os._locked_sqlite import LockedFile
from chatarmin_os._sqlite_errors import (
    CorruptFileError,
    DiskFullError,
    FileInUseError,
    ForeignFileError,
    NoDatabaseError,
    SQLiteFileError,
    translate_errors,
)
from chatarmin_os.outbox import rows, salvage

T = TypeVar("T")

_log = logging.getLogger("chatarmin_os")

_WAIT_SECONDS = 5.0  # of senders and people, for a lock
_CHANGES_PER_CHECKPOINT = 1_000  # each lets the others wait for the disk
_SMALL = 2**20  # bytes of a file that is read whole when it is opened
_MAX_PAGES = 2**32 - 2
_MIN_RESERVE, _MAX_RESERVE = 2**18, 2**23
_SCARCE = 2**25  # free bytes of a disk that is looked at after each change
_CHANGES_PER_LOOK = 16  # at another disk


class FileFullError(DiskFullError):
    """The file has its maximum size."""


class OutboxFile(LockedFile):
    """A file with a maximum size for puts, which is replaced when it is damaged.

    Args:
        path: The file.
        max_bytes: Its maximum size.
        synchronous: As of `SQLiteFile`.
        put_wait: Seconds for which a put waits for a lock.

    Raises:
        SQLiteFileError: It cannot be used.
    """

    def __init__(self, path: str, *, max_bytes: int, synchronous: Literal["full", "normal"], put_wait: float) -> None:
        self.path, self.max_bytes = os.path.abspath(path), max_bytes  # noqa: PTH100 - links are not followed
        self._put_wait, self._changes, self._page_size = put_wait, 0, 4096
        self._next_look, self._is_disk_full = 0, False
        self._damaged: list[Connection] = []
        super().__init__(
            path,
            application_id=rows.APPLICATION_ID,
            migrations=rows.MIGRATIONS,
            synchronous=synchronous,
            busy_seconds=put_wait,
        )

    def insert(self, statement: str, parameters: Sequence[Any]) -> bool:
        """Run one statement that adds a row, as fast as possible; return whether it did."""
        try:
            if self._is_disk_full or self._changes >= self._next_look:
                self._look_if_due(is_put=True)
            count = self.execute(statement, parameters)
        except (CorruptFileError, DiskFullError, NoDatabaseError):
            return self.put(lambda connection: connection.execute(statement, parameters).rowcount) > 0
        self._changes += 1
        return count > 0

    def put(self, work: Callable[[Connection], T]) -> T:
        """Run *work* in a transaction that observes the maximum size, and return its result."""

        def put() -> T:
            with self.transaction() as connection:
                return work(connection)

        def put_measured() -> T:
            return self._change(partial(self._fitting, work), self._put_wait)

        return self._repeated(put, put_measured, is_put=True)

    def change(self, work: Callable[[Connection], T]) -> T:
        """Run *work* in a transaction, and return its result.

        A transaction that fails since the file is damaged or the disk is full is repeated once.
        """

        def change() -> T:
            return self._change(work, _WAIT_SECONDS)

        return self._repeated(change, change, is_put=False)

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run *work*, which only reads, and return its result; writers need not wait for it."""
        try:
            return self._read(work)
        except (CorruptFileError, NoDatabaseError):
            self._replace()
            return self._read(work)

    def _read(self, work: Callable[[Connection], T]) -> T:
        with self.reading(_WAIT_SECONDS) as connection:
            return work(connection)

    def _repeated(self, change: Callable[[], T], change_without_space: Callable[[], T], *, is_put: bool) -> T:
        """Make a change, and once more after something was done about a failure."""
        try:
            self._look_if_due(is_put=is_put)
            result = change()
        except (CorruptFileError, NoDatabaseError):
            self._replace()
            self._look_if_due(is_put=is_put)
            result = change()
        except DiskFullError:
            self.checkpoint()  # the log may take the space that the file needs
            self._look_if_due(is_put=is_put)
            result = change_without_space()
        self._changes += 1
        return result

    def _look_if_due(self, *, is_put: bool) -> None:
        """Look at the disk before the first change and before some others: a process may be killed after each one.

        Raises:
            DiskFullError: A put would take what is left to senders.
        """
        if is_put and self._is_disk_full:
            self._look_at_disk(self._put_wait)
        elif self._changes >= self._next_look:
            with suppress(FileInUseError):  # the next change looks
                self._look_at_disk(0.0)
        if is_put and self._is_disk_full:
            raise DiskFullError("the disk is full")

    def size(self, connection: Connection) -> int:
        """Return the bytes of the pages in use."""
        [(count,)] = connection.execute("PRAGMA page_count")
        [(free,)] = connection.execute("PRAGMA freelist_count")
        return int(count - free) * self._page_size

    def _change(self, work: Callable[[Connection], T], seconds: float) -> T:
        with self.turn(seconds) as left:
            connection = self._connect()
            self._limit(connection, _MAX_PAGES)
            try:
                with self._changing(left):
                    return work(connection)
            finally:
                self._limit(connection, self.max_bytes // self._page_size)

    def _fitting(self, put: Callable[[Connection], T], connection: Connection) -> T:
        """Do the work of a put: SQLite has one error for the maximum size and a full disk, so measure."""
        result = put(connection)
        if self.size(connection) > self.max_bytes:
            raise FileFullError(f"it has its maximum size of {self.max_bytes:,} bytes")
        return result

    def _limit(self, connection: Connection, pages: int) -> None:
        with suppress(DatabaseError):  # the file is damaged, which is found out elsewhere
            connection.execute(f"PRAGMA max_page_count = {pages:d}")

    # The log, and the disk

    def free_bytes(self) -> int:
        """Return the free bytes of the disk."""
        return shutil.disk_usage(os.path.dirname(self.path)).free  # noqa: PTH120

    def _look_at_disk(self, seconds: float) -> None:
        """Move the log into the file from time to time, and before the disk is too full for that."""
        if self._changes < _CHANGES_PER_CHECKPOINT and self._has_space():
            self._is_disk_full = False
            self._next_look = self._changes + _CHANGES_PER_LOOK
        else:
            with self.turn(seconds), suppress(SQLiteFileError, OSError), translate_errors():
                self._move_log()

    def _has_space(self) -> bool:
        """Return whether the disk has certainly enough space for the log, and for senders."""
        try:
            return self.free_bytes() >= max(2 * self._log_bytes() + _MAX_RESERVE, _SCARCE)
        except OSError:
            return False

    def _log_bytes(self) -> int:
        return os.stat(f"{self.path}-wal").st_size  # noqa: PTH116

    def _move_log(self) -> None:
        free, log = self.free_bytes(), self._log_bytes()
        reserve = self._reserve() if free < 2 * log + _MAX_RESERVE else 0
        if self._changes >= _CHANGES_PER_CHECKPOINT:
            self._connect().execute("PRAGMA wal_checkpoint(PASSIVE)")
            self._changes = 0
        elif free < 2 * log + reserve:
            self._checkpoint()
            free += log
        self._is_disk_full = free < reserve
        self._next_look = self._changes + (1 if free < _SCARCE else _CHANGES_PER_LOOK)

    def _reserve(self) -> int:
        """Return how many bytes of the disk are left to senders, which write before they remove anything.

        A transaction of theirs writes each page in use at most once, and not more than a few thousand. An eighth is
        for the heads of these pages in the log, and for the puts of others that began before the reserve was touched.
        """
        return min(max(self.size(self._connect()) * 9 // 8, _MIN_RESERVE), _MAX_RESERVE)

    # Damaged

    def _replace(self) -> None:
        """Put a new file in the place of the damaged one, unless another process did."""
        with self.turn(_WAIT_SECONDS):
            if self.is_in_place():
                self._set_aside()
            self._connect()

    def _set_aside(self) -> None:
        with _translate_system_errors(), translate_errors():
            count, aside = salvage.replace(self.path)
        self.drop_connection()
        _log.error(
            "the outbox is damaged: %d events could be read and are in a new file; the old one is %r", count, aside
        )

    def _look(self) -> None:
        try:
            super()._look()
        except (CorruptFileError, NoDatabaseError) as error:
            if not salvage.was_outbox(self.path):
                raise NoDatabaseError("it is not an outbox") from error

    def _open(self) -> Connection:
        with _translate_system_errors():
            salvage.complete(self.path)
        try:
            return super()._open()
        except (CorruptFileError, NoDatabaseError):
            self._set_aside()
            return super()._open()
        finally:
            while self._damaged:
                self._damaged.pop().close()

    def _checked_version(self, connection: Connection) -> int:
        try:
            version = super()._checked_version(connection)
        except ForeignFileError as error:
            if not rows.is_schema_of(connection):
                raise
            raise CorruptFileError("its header is damaged") from error
        if version < len(rows.MIGRATIONS) and rows.is_schema_of(connection):
            raise CorruptFileError("its header is damaged")
        return version

    def _give_up(self, connection: Connection) -> None:
        self._damaged.append(connection)  # it is closed after its file was moved, or it would write to it

    def _prepare(self, connection: Connection) -> None:
        super()._prepare(connection)
        [(self._page_size,)] = connection.execute("PRAGMA page_size")
        self._limit(connection, self.max_bytes // self._page_size)
        [(columns,)] = connection.execute("SELECT group_concat(name, ', ') FROM pragma_table_info('events')")
        if columns != rows.COLUMNS:
            raise CorruptFileError("its table is damaged")
        if self._identity != self._checked and os.stat(self.path).st_size <= _SMALL:  # noqa: PTH116
            [(result,)] = connection.execute("PRAGMA integrity_check(1)")
            if result != "ok":
                raise CorruptFileError("it is damaged")
        self._checked = self._identity

    _checked: tuple[int, int] | None = None


@contextmanager
def _translate_system_errors() -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise SQLiteFileError(error.strerror or str(error)) from error
