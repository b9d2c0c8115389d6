"""One durable file on sqlite3: for its owner only, migrated, and reopened after a fork."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from chatarmin_os._clock import monotonic
from chatarmin_os._sqlite_errors import (
    DAMAGED,
    FOREIGN,
    NO_DATABASE,
    NO_LOG,
    READ_ONLY,
    CorruptFileError,
    ForeignFileError,
    NewerFormatError,
    NoDatabaseError,
    SQLiteFileError,
    translate_errors,
    translated,
)
from chatarmin_os._turns import Turns, pause_at_forks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_OPEN_SECONDS = 5.0  # to wait for the lock of the file
_FINAL_SECONDS = 0.1  # the same for a file that nobody refers to any more
_SWITCH_PAUSE_SECONDS = 0.005
_MAX_WAIT_MILLISECONDS = 2**31 - 1
_UNCHANGED = 0.9  # of a wait: if so much is left, SQLite may wait as long as usual

abandoned: list[sqlite3.Connection | None] = []
"""Connections that are kept, since the garbage collector would close them."""


class SQLiteFile:
    """A SQLite database of one application, which is created if it is missing.

    Threads take turns. Processes do so too, unless *is_exclusive* is set: then a second one is refused.

    Policies:
        - **Identity**: a file of another application or of a later version is refused unchanged. An empty file is new.
        - **Journal**: a write-ahead log next to the file; a killed process leaves a complete file.
        - **Permissions**: a new file is for its owner only (0600). A symbolic link is refused.
        - **Forks**: connections are closed before a fork and opened again at the next use, in parent and child. Do not
          fork inside a transaction.

    Args:
        path: The file.
        application_id: Distinguishes the file from those of other applications; an integer of 32 bits that is not 0.
        migrations: The statements that lead from one format to the next one, oldest first. Their number is the format.
        synchronous: `"full"`: a transaction survives a power failure. `"normal"`: it survives the end of the process.
        is_exclusive: Whether to hold the lock for as long as the file is open.
        busy_seconds: How long to wait for a lock.

    Raises:
        SQLiteFileError: The file cannot be used; see the subclasses.
    """

    close_seconds = _OPEN_SECONDS
    """How long `close` waits for a lock of its own."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        application_id: int,
        migrations: Sequence[Sequence[str]],
        synchronous: Literal["normal", "full"] = "full",
        is_exclusive: bool = False,
        busy_seconds: float = 5.0,
    ) -> None:
        self._connection: sqlite3.Connection | None = None
        self._path = os.path.abspath(path)  # noqa: PTH100 - links are not followed
        self._application_id, self._migrations = application_id, migrations
        self._synchronous, self._is_exclusive, self._busy_seconds = synchronous, is_exclusive, busy_seconds
        self._identity: tuple[int, int] | None = None
        self._content: tuple[int, int] | None = None  # of an exclusive file: size and time when it was complete
        self._turns, self._waits = Turns(), busy_seconds
        self._look()
        pause_at_forks(self)
        with self.turn(max(busy_seconds, _OPEN_SECONDS)):
            self._connect()

    def _look(self) -> None:
        """Refuse a file before anything is written next to it."""

    @contextmanager
    def turn(self, seconds: float) -> Iterator[float]:
        """Keep other threads and forks out of the file. Turns are not nested.

        Args:
            seconds: How long SQLite may wait for a lock. What is left of it is the value of the block.

        Raises:
            FileInUseError: This thread has the turn already: a signal handler interrupted it.
        """
        left = self._enter(seconds)
        try:
            yield left
        finally:
            self._leave()

    @contextmanager
    def transaction(self, seconds: float | None = None) -> Iterator[sqlite3.Connection]:
        """Store the changes that are made in the block, or none of them if it raises.

        Args:
            seconds: How long to wait for a lock; default: *busy_seconds*.

        Raises:
            SQLiteFileError: A statement failed, or the file could not be opened again.
        """
        with self.turn(self._busy_seconds if seconds is None else seconds) as left, self._changing(left) as connection:
            yield connection

    @contextmanager
    def _changing(self, seconds: float) -> Iterator[sqlite3.Connection]:
        """Begin a transaction inside of a turn."""
        connection = self._connect()
        if not _UNCHANGED * self._waits <= seconds <= self._waits:
            self._set_wait(connection, seconds)
        with translate_errors(), transaction(connection, "BEGIN IMMEDIATE"):
            yield connection

    def execute(self, statement: str, parameters: Sequence[Any]) -> int:
        """Run one statement as a transaction of its own, as fast as possible; return how many rows it changed.

        Raises:
            SQLiteFileError: It failed, or the file could not be opened again.
        """
        left = self._enter(self._busy_seconds)
        try:
            connection = self._connect()
            if not _UNCHANGED * self._waits <= left <= self._waits:
                self._set_wait(connection, left)
            return connection.execute(statement, parameters).rowcount
        except sqlite3.DatabaseError as error:
            raise translated(error) from error
        finally:
            self._leave()

    def _enter(self, seconds: float) -> float:
        self._turns.take(threading.TIMEOUT_MAX)
        return seconds

    def _leave(self) -> None:
        self._turns.end()

    def _set_wait(self, connection: sqlite3.Connection, seconds: float) -> None:
        connection.execute(f"PRAGMA busy_timeout = {min(int(seconds * 1000), _MAX_WAIT_MILLISECONDS):d}")
        self._waits = seconds

    def check(self) -> None:
        """Read the whole file, and compare its indexes with its rows.

        Raises:
            CorruptFileError: It is damaged: part of it may be missing.
        """
        with self.transaction() as connection:
            ((result,),) = connection.execute("PRAGMA integrity_check(1)")
        if result != "ok":
            raise CorruptFileError(DAMAGED)

    def checkpoint(self) -> None:
        """Move the write-ahead log into the file, which is then complete without it.

        Raises:
            SQLiteFileError: It could not be written.
        """
        with self.turn(self._busy_seconds):
            self._checkpoint()

    def _checkpoint(self) -> None:
        connection = self._connect()
        try:
            with translate_errors():
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            self._note_content()

    def is_in_place(self) -> bool:
        """Return whether the path leads to the file that was opened: it may have been removed or replaced.

        An exclusive file counts as replaced, too, if somebody has written to it since it was opened or since the last
        checkpoint. Call `checkpoint` after each of your own changes.
        """
        try:
            found = os.lstat(self._path)
        except OSError:
            return False
        is_unchanged = not self._is_exclusive or self._content == (found.st_size, found.st_mtime_ns)
        return is_unchanged and self._identity == (found.st_dev, found.st_ino)

    def _note_content(self) -> None:
        with suppress(OSError):  # it was removed
            found = os.lstat(self._path)
            self._content = found.st_size, found.st_mtime_ns

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        self._close(self.close_seconds)

    def _close(self, seconds: float) -> None:
        if self._connection is not None:
            with self.turn(seconds):  # the last one to close it moves the log into it
                self.drop_connection()

    def drop_connection(self) -> None:
        """Close the connection, inside of a turn."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def abandon(self) -> None:
        """Forget the connection without closing it, which would write to the file."""
        abandoned.append(self._connection)
        self._connection = None

    def _close_or_abandon(self, seconds: float) -> None:
        try:
            self._close(seconds)
        except SQLiteFileError:  # another process holds its lock
            self.abandon()

    def __del__(self) -> None:
        if self._connection is not None:
            self._close_or_abandon(_FINAL_SECONDS)

    def pause(self) -> None:
        """Keep all threads out before a fork, and close the connection, which parent and child must not share."""
        if self._turns.pause():
            self._close_or_abandon(self.close_seconds)

    def go_on(self, *, is_child: bool) -> None:
        """Let threads in again."""
        if is_child:  # only a signal handler that forks inside of a turn leaves something
            self.abandon()
        self._turns.go_on()

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._open()
            self._note_content()
        return self._connection

    def _open(self) -> sqlite3.Connection:
        found = self._create_or_stat()
        self._check_kind(found)
        self._identity = found.st_dev, found.st_ino
        with translate_errors():
            connection = sqlite3.connect(
                self._address("mode=rw"),
                uri=True,
                isolation_level=None,  # transactions begin and end where the code says so
                check_same_thread=False,  # turns let one thread in at a time
            )
            try:
                self._set_wait(connection, self._busy_seconds)
                self._prepare(connection)
            except BaseException:
                self._give_up(connection)
                raise
        return connection

    def _give_up(self, connection: sqlite3.Connection) -> None:
        """Close a connection to a file that cannot be used."""
        connection.close()

    def _address(self, mode: str) -> str:
        return f"file:{quote(self._path)}?{mode}"

    def _create_or_stat(self) -> os.stat_result:
        try:
            with suppress(FileExistsError):
                os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            # No descriptor of a file that exists is opened here: closing it would release the locks of SQLite.
            return os.lstat(self._path)
        except OSError as error:
            raise SQLiteFileError(error.strerror or str(error)) from error

    def _check_kind(self, found: os.stat_result) -> None:
        """Refuse a file that cannot be a database, or not be written."""
        if not stat.S_ISREG(found.st_mode):
            kind = "a symbolic link" if stat.S_ISLNK(found.st_mode) else "not a regular file"
            raise SQLiteFileError(f"it is {kind}")
        if found.st_size == 1:  # SQLite takes a file of one byte for an empty one
            raise NoDatabaseError(NO_DATABASE)
        if not os.access(self._path, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
            raise SQLiteFileError(READ_ONLY)  # SQLite would open it, and fail at the first change

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Check that the file is this application's before writing to it, then migrate it to the current format."""
        begin = "BEGIN IMMEDIATE"
        if self._is_exclusive:
            begin = "BEGIN EXCLUSIVE"
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        with transaction(connection, begin):
            version = self._checked_version(connection)
            for statements in self._migrations[version:]:
                for statement in statements:
                    connection.execute(statement)
            if version < len(self._migrations):
                connection.execute(f"PRAGMA application_id = {self._application_id:d}")
                connection.execute(f"PRAGMA user_version = {len(self._migrations):d}")
        use_log(connection, self._busy_seconds)
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")

    def _checked_version(self, connection: sqlite3.Connection) -> int:
        application_id, version, tables = (
            connection.execute(statement).fetchone()[0]
            for statement in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
        )
        if application_id != self._application_id and (application_id or version or tables):
            raise ForeignFileError(FOREIGN)
        if version > len(self._migrations):
            raise NewerFormatError(
                f"it has format {version}, and this version of chatarmin_os reads formats up to {len(self._migrations)}"
            )
        return int(version)


@contextmanager
def transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    """Run the block in a transaction that *begin* begins."""
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite ends some by itself
            connection.execute("ROLLBACK")
        raise


def use_log(connection: sqlite3.Connection, seconds: float) -> None:
    """Let a file have a write-ahead log.

    Two processes that switch to it at once would wait for each other, so SQLite refuses one, which tries again.

    Raises:
        SQLiteFileError: The file system cannot have one.
        sqlite3.OperationalError: The file is locked for all the seconds.
    """
    end = monotonic() + seconds
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:  # SQLite does not wait where both would wait for each other
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or monotonic() >= end:
                raise
            time.sleep(_SWITCH_PAUSE_SECONDS)
            continue
        if mode != ("wal",):
            raise SQLiteFileError(NO_LOG)
        return
