"""A SQLite file with a lock between processes of its own, and a connection that reads without it."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from chatarmin_os._clock import monotonic
from chatarmin_os._file_lock import FileLock
from chatarmin_os._sqlite import SQLiteFile, abandoned, transaction
from chatarmin_os._sqlite_errors import (
    DAMAGED,
    FOREIGN,
    IN_USE,
    CorruptFileError,
    FileInUseError,
    ForeignFileError,
    NoDatabaseError,
    SQLiteFileError,
    translate_errors,
)
from chatarmin_os._turns import Turns

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCK = ".lock"
_PARTS = ("", "-wal", "-shm", "-journal", LOCK)
_OWN_RIGHTS = 0o600


class LockedFile(SQLiteFile):
    """A SQLite file of which every write is made under a lock, in the file `PATH.lock`.

    The log is moved into the file by `checkpoint` only, while no commit runs: before 3.51.3, 3.50.7 and 3.44.6 SQLite
    can lose transactions otherwise. Reads have a connection of their own and need no lock, so that a long one keeps
    nobody waiting.

    One connection writes for all threads of a process, and one reads: since writers take turns anyway, a connection for
    each thread is no faster.

    Policies:
        - **Refused files**: a file of another application or a later version stays as it is, also its permissions, and
          nothing is created next to it.
        - **Permissions**: a file with rights for others loses them.
        - **Replaced files**: the path is looked up at each access, so that a file that another process put in its place
          is opened.

    Args:
        path: The file.
        settings: As of `SQLiteFile`.

    Raises:
        SQLiteFileError: The file cannot be used; see the subclasses.
    """

    def __init__(self, path: str | os.PathLike[str], **settings: Any) -> None:
        self._connection = self._reader = None
        self._reader_turns, self._reader_identity = Turns(), (0, 0)
        self.lock = FileLock(f"{os.path.abspath(path)}{LOCK}")  # noqa: PTH100 - links are not followed
        super().__init__(path, **settings)

    _reader: sqlite3.Connection | None
    _size = 0  # of the file, which never shrinks

    # Whose the file is

    def _look(self) -> None:
        self._inspect()

    def _inspect(self) -> None:
        """Refuse a file that cannot be used, without writing anything.

        Raises:
            SQLiteFileError: The reason.
        """
        size = 0
        for part in _PARTS:
            try:
                found = os.lstat(self._path + part)
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:  # such as a name that is too long, or a null character
                raise SQLiteFileError(getattr(error, "strerror", None) or str(error)) from error
            if not part:
                self._check_kind(found)
                size = found.st_size
            elif stat.S_ISLNK(found.st_mode):
                raise SQLiteFileError(f"{os.path.basename(self._path)}{part} is a symbolic link")  # noqa: PTH119
        if size:
            self._inspect_content()
        elif _size(f"{self._path}-wal"):  # SQLite would remove it
            raise CorruptFileError("it is empty, and its log is not")

    def _inspect_content(self) -> None:
        # SQLite takes no locks on an immutable file, so closing it releases none of ours.
        try:
            with (
                translate_errors(),
                closing(sqlite3.connect(self._address("mode=ro&immutable=1"), uri=True)) as connection,
            ):
                # A process that was killed while it moved the log left fewer pages than the first one says.
                connection.execute("PRAGMA writable_schema = ON")
                if not self._checked_version(connection) and _size(f"{self._path}-wal"):
                    raise ForeignFileError(FOREIGN)  # all that it has is in its log
        except (CorruptFileError, NoDatabaseError):
            if not _size(f"{self._path}-journal"):  # with one, SQLite undoes what a process began that ended since
                raise

    def _open(self) -> sqlite3.Connection:
        self._create_or_stat()
        self._inspect()
        for part in _PARTS:
            self._take_rights(self._path + part)
        self._size = 0
        return super()._open()

    def _take_rights(self, path: str) -> None:
        try:
            if stat.S_IMODE(os.lstat(path).st_mode) & ~_OWN_RIGHTS:
                os.chmod(path, _OWN_RIGHTS)  # noqa: PTH101
        except FileNotFoundError:
            pass
        except OSError as error:
            raise SQLiteFileError(error.strerror or str(error)) from error

    def _prepare(self, connection: sqlite3.Connection) -> None:
        super()._prepare(connection)
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.text_factory = decode

    # Turns

    def _enter(self, seconds: float) -> float:
        left = self._turns.take(seconds)
        end = monotonic() + left
        try:
            if not self.lock.acquire(left):
                raise FileInUseError(IN_USE)  # noqa: TRY301 - the turn ends below
        except BaseException as error:
            self._leave()
            if isinstance(error, OSError):
                raise SQLiteFileError(error.strerror or str(error)) from error
            raise
        return max(0.0, end - monotonic())

    def _leave(self) -> None:
        try:
            self.lock.release()
        finally:
            self._turns.end()

    def _connect(self) -> sqlite3.Connection:
        connection = self._connection
        if connection is None:
            return super()._connect()
        try:
            found = os.lstat(self._path)
        except OSError:
            found = None
        if found is None or self._identity != (found.st_dev, found.st_ino):
            self._leave_replaced_file()
            return super()._connect()
        if found.st_size < self._size:  # truncated; SQLite would go on with its cache and its log
            raise CorruptFileError(DAMAGED)
        self._size = found.st_size
        return connection

    def _leave_replaced_file(self) -> None:
        self.drop_connection()
        self.lock.close()  # its file may have been removed, too
        if not self.lock.acquire(self._busy_seconds):
            raise FileInUseError(IN_USE)

    # Reading

    @contextmanager
    def reading(self, seconds: float) -> Iterator[sqlite3.Connection]:
        """Read in a transaction, while others write.

        Args:
            seconds: How long to wait for another thread that reads, or to open the file.

        Raises:
            SQLiteFileError: It cannot be read.
        """
        self._reader_turns.take(seconds)
        try:
            connection = self._connect_reader(seconds)
            with translate_errors(), transaction(connection, "BEGIN"):
                yield connection
        finally:
            self._reader_turns.end()

    def _connect_reader(self, seconds: float) -> sqlite3.Connection:
        if self._reader is not None and self.is_in_place() and self._reader_identity == self._identity:
            return self._reader
        self._drop_reader()
        with self.turn(seconds):
            self._connect()
            with translate_errors():
                self._reader = sqlite3.connect(
                    self._address("mode=ro"),
                    uri=True,
                    timeout=seconds,
                    isolation_level=None,
                    check_same_thread=False,
                )
                self._reader.text_factory = decode
                self._reader.execute("SELECT count(*) FROM sqlite_master")  # opens the log
            self._reader_identity = self._identity or (0, 0)
        return self._reader

    def _drop_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    # The end, and forks

    def _close(self, seconds: float) -> None:
        self._reader_turns.take(seconds)
        self._drop_reader()  # before the other connection, whose end moves the log into the file
        self._reader_turns.end()
        super()._close(seconds)
        self._turns.take(seconds)
        self.lock.close()
        self._turns.end()

    def abandon(self) -> None:
        """Forget the connections without closing them, and give the lock back."""
        super().abandon()
        abandoned.append(self._reader)
        self._reader = None
        self.lock.close()

    def pause(self) -> None:
        """Keep all threads out before a fork, also those that read."""
        self._reader_turns.pause()
        super().pause()

    def go_on(self, *, is_child: bool) -> None:
        """Let threads in again."""
        super().go_on(is_child=is_child)
        self._reader_turns.go_on()


def decode(text: bytes) -> str:
    """Return a text of the file, also a damaged one: that cannot be encoded again."""
    return text.decode(errors="surrogateescape")


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0
