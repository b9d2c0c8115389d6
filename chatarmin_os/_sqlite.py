"""One durable file on sqlite3: for its owner only, locked, migrated, and reopened after a fork."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import time
import weakref
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from chatarmin_os._clock import monotonic
from chatarmin_os._file_lock import FileLock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class SQLiteFileError(Exception):
    """The file cannot be opened, read or written; the text says why, without the path."""


class ForeignFileError(SQLiteFileError):
    """The file belongs to another program, and was left unchanged."""


class NoDatabaseError(ForeignFileError):
    """The file is not a SQLite database."""


class NewerFormatError(SQLiteFileError):
    """A later version of this package wrote the file, which was left unchanged."""


class FileInUseError(SQLiteFileError):
    """Another connection holds the lock, and did not release it in time."""


class DiskFullError(SQLiteFileError):
    """There is no space left for the change, which was not stored."""


class CorruptFileError(SQLiteFileError):
    """SQLite found the content damaged."""


_DAMAGED = "it is damaged"
_IN_USE = "it is in use by another process"
_READ_ONLY = "the file or its folder is read-only"
_NO_DATABASE = "it is not a SQLite database"
_NO_LOCKS = "its file system does not lock files; use one on a local disk"
_NO_LOG = "its file system does not support a write-ahead log; use one on a local disk"
_ERRORS: dict[int, tuple[type[SQLiteFileError], str]] = {
    sqlite3.SQLITE_BUSY: (FileInUseError, _IN_USE),
    sqlite3.SQLITE_READONLY: (SQLiteFileError, _READ_ONLY),
    sqlite3.SQLITE_CORRUPT: (CorruptFileError, _DAMAGED),
    sqlite3.SQLITE_FULL: (DiskFullError, "the disk is full"),
    sqlite3.SQLITE_CANTOPEN: (SQLiteFileError, "the file or its folder cannot be opened"),
    sqlite3.SQLITE_NOTADB: (NoDatabaseError, _NO_DATABASE),
    sqlite3.SQLITE_PROTOCOL: (SQLiteFileError, _NO_LOCKS),
    sqlite3.SQLITE_IOERR_LOCK: (SQLiteFileError, _NO_LOCKS),
    sqlite3.SQLITE_IOERR_RDLOCK: (SQLiteFileError, _NO_LOCKS),
}
_PRIMARY_CODE = 0xFF  # the rest of a code is detail
_OWN_RIGHTS = 0o600
_OPEN_SECONDS = 5.0  # to wait for a lock of its own
_SWITCH_PAUSE_SECONDS = 0.005
_UNCHANGED = 0.9  # of a wait; if so much is left, SQLite may wait as long as usual

_lock = threading.RLock()  # held while a thread is inside SQLite, so that no fork happens at that time
_open_files: weakref.WeakSet[SQLiteFile] = weakref.WeakSet()
_abandoned: list[sqlite3.Connection | None] = []


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
        has_lock: Whether every access is made under a lock of its own, in the file `PATH.lock`. Then the path is looked
            up at each access, so that a file that another process put in its place is opened; and the log is moved
            into the file by `checkpoint` only, while no commit runs: before 3.51.3, 3.50.7 and 3.44.6 SQLite
            can lose transactions otherwise. A file with rights for others loses them.

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
        has_lock: bool = False,
    ) -> None:
        self._connection: sqlite3.Connection | None = None
        self._path = os.path.abspath(path)  # noqa: PTH100 - links are not followed
        self._application_id, self._migrations = application_id, migrations
        self._synchronous, self._is_exclusive, self._busy_seconds = synchronous, is_exclusive, busy_seconds
        self._identity: tuple[int, int] | None = None
        self._content: tuple[int, int] | None = None  # of an exclusive file: size and time when it was complete
        self.lock = FileLock(f"{self._path}.lock") if has_lock else None
        self._waits = busy_seconds
        with self.turn(max(busy_seconds, _OPEN_SECONDS)):
            self._connect()

    @contextmanager
    def turn(self, seconds: float) -> Iterator[float]:
        """Keep other threads and forks out of SQLite, and other processes out of a file with a lock.

        Args:
            seconds: How long to wait for those who are in a file with a lock. What is left is the value of the block.

        Raises:
            FileInUseError: Others were in it for so long.
            SQLiteFileError: The lock cannot be opened.
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
        with self.turn(self._busy_seconds if seconds is None else seconds) as left:
            connection = self._connect()
            if left != self._waits:
                self._set_wait(connection, left)
            with translate_errors(), _transaction(connection, "BEGIN IMMEDIATE"):
                yield connection

    def execute(self, statement: str, parameters: Sequence[Any]) -> int:
        """Run one statement as a transaction of its own, as fast as possible; return how many rows it changed.

        Raises:
            SQLiteFileError: It failed, or the file could not be opened again.
        """
        left = self._enter(self._busy_seconds)
        try:
            connection = self._connect()
            if left != self._waits:
                self._set_wait(connection, left)
            return connection.execute(statement, parameters).rowcount
        except sqlite3.DatabaseError as error:
            raise _translated(error) from error
        finally:
            self._leave()

    def _enter(self, seconds: float) -> float:
        if self.lock is None:
            _lock.acquire()
            return seconds
        end = monotonic() + seconds
        if not _lock.acquire(timeout=seconds):
            raise FileInUseError(_IN_USE)
        try:
            if not self.lock.acquire(end - monotonic()):
                raise FileInUseError(_IN_USE)  # noqa: TRY301 - the lock is given back below
        except BaseException as error:
            _lock.release()
            if isinstance(error, OSError):
                raise SQLiteFileError(error.strerror or str(error)) from error
            raise
        left = end - monotonic()
        return seconds if left > _UNCHANGED * seconds else max(0.0, left)

    def _leave(self) -> None:
        try:
            if self.lock is not None:
                self.lock.release()
        finally:
            _lock.release()

    def _set_wait(self, connection: sqlite3.Connection, seconds: float) -> None:
        connection.execute(f"PRAGMA busy_timeout = {int(seconds * 1000):d}")
        self._waits = seconds

    def check(self) -> None:
        """Read the whole file, and compare its indexes with its rows.

        Raises:
            CorruptFileError: It is damaged: part of it may be missing.
        """
        with self.transaction() as connection:
            ((result,),) = connection.execute("PRAGMA integrity_check(1)")
        if result != "ok":
            raise CorruptFileError(_DAMAGED)

    def checkpoint(self) -> None:
        """Move the write-ahead log into the file, which is then complete without it.

        Raises:
            SQLiteFileError: It could not be written.
        """
        with self.turn(self._busy_seconds):
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
        with suppress(OSError):
            found = os.lstat(self._path)
            is_unchanged = not self._is_exclusive or self._content == (found.st_size, found.st_mtime_ns)
            return is_unchanged and self._identity == (found.st_dev, found.st_ino)
        return False

    def _note_content(self) -> None:
        with suppress(OSError):  # it was removed
            found = os.lstat(self._path)
            self._content = found.st_size, found.st_mtime_ns

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        if self._connection is not None:
            with self.turn(self.close_seconds):  # the last one to close it moves the log into it
                self.drop_connection()
        if self.lock is not None:
            with _lock:
                self.lock.close()

    def drop_connection(self) -> None:
        """Close the connection, inside of a turn."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def abandon(self) -> None:
        """Forget the connection without closing it, which would write to the file."""
        _abandoned.append(self._connection)
        self._connection = None
        if self.lock is not None:
            self.lock.close()

    def __del__(self) -> None:
        if self._connection is not None:
            with suppress(SQLiteFileError):
                self.close()

    def _connect(self) -> sqlite3.Connection:
        if self.lock is not None and self._connection is not None and not self.is_in_place():
            self.drop_connection()
        if self._connection is None:
            self._connection = self._open()
            self._note_content()
            _open_files.add(self)
        return self._connection

    def _open(self) -> sqlite3.Connection:
        try:
            found = self._create_or_stat()
            if self.lock is not None and stat.S_ISREG(found.st_mode) and stat.S_IMODE(found.st_mode) & ~_OWN_RIGHTS:
                os.chmod(self._path, _OWN_RIGHTS)  # noqa: PTH101 - of the path that was looked up
        except OSError as error:
            raise SQLiteFileError(error.strerror or str(error)) from error
        if not stat.S_ISREG(found.st_mode):
            kind = "a symbolic link" if stat.S_ISLNK(found.st_mode) else "not a regular file"
            raise SQLiteFileError(f"it is {kind}")
        if found.st_size == 1:  # SQLite takes a file of one byte for an empty one
            raise NoDatabaseError(_NO_DATABASE)
        if not os.access(self._path, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
            raise SQLiteFileError(_READ_ONLY)  # SQLite would open it, and fail at the first change
        self._identity = found.st_dev, found.st_ino
        with translate_errors():
            connection = sqlite3.connect(
                f"file:{quote(self._path)}?mode=rw",
                uri=True,
                timeout=self._busy_seconds,
                isolation_level=None,  # transactions begin and end where the code says so
                check_same_thread=False,  # _lock lets one thread in at a time
            )
            try:
                self._prepare(connection)
            except BaseException:
                self._give_up(connection)
                raise
        return connection

    def _give_up(self, connection: sqlite3.Connection) -> None:
        """Close a connection to a file that cannot be used."""
        connection.close()

    def _create_or_stat(self) -> os.stat_result:
        with suppress(FileExistsError):
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        # No descriptor of a file that exists is opened here: closing it would release the locks of SQLite.
        return os.lstat(self._path)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Check that the file is this application's before writing to it, then migrate it to the current format."""
        begin = "BEGIN IMMEDIATE"
        if self._is_exclusive:
            begin = "BEGIN EXCLUSIVE"
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        with _transaction(connection, begin):
            version = self._checked_version(connection)
            for statements in self._migrations[version:]:
                for statement in statements:
                    connection.execute(statement)
            if version < len(self._migrations):
                connection.execute(f"PRAGMA application_id = {self._application_id:d}")
                connection.execute(f"PRAGMA user_version = {len(self._migrations):d}")
        use_log(connection, self._busy_seconds)
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        if self.lock is not None:
            connection.execute("PRAGMA wal_autocheckpoint = 0")
        self._waits = self._busy_seconds

    def _checked_version(self, connection: sqlite3.Connection) -> int:
        application_id, version, tables = (
            connection.execute(statement).fetchone()[0]
            for statement in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
        )
        if application_id != self._application_id and (application_id or version or tables):
            raise ForeignFileError("it is the database of another application")
        if version > len(self._migrations):
            raise NewerFormatError(
                f"it has format {version}, and this version of chatarmin_os reads formats up to {len(self._migrations)}"
            )
        return int(version)


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
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
            raise SQLiteFileError(_NO_LOG)
        return


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise the errors of sqlite3 in the block as those of this module.

    Raises:
        SQLiteFileError: sqlite3 raised an error.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise _translated(error) from error


def _translated(error: sqlite3.DatabaseError) -> SQLiteFileError:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    other = _ERRORS.get(code & _PRIMARY_CODE, (SQLiteFileError, str(error)))
    kind, reason = _ERRORS.get(code, other)
    return kind(reason)


def _before_fork() -> None:
    _lock.acquire()
    for file in list(_open_files):
        try:
            file.close()
        except SQLiteFileError:  # another process holds its lock: neither of the two uses this connection any more
            file.abandon()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no forks
    os.register_at_fork(before=_before_fork, after_in_parent=_lock.release, after_in_child=_lock.release)
