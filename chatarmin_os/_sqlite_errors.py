"""The errors of a SQLite file, and those of sqlite3 translated into them."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


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


DAMAGED = "it is damaged"
IN_USE = "it is in use by another process"
READ_ONLY = "the file or its folder is read-only"
NO_DATABASE = "it is not a SQLite database"
FOREIGN = "it is the database of another application"
NO_LOCKS = "its file system does not lock files; use one on a local disk"
NO_LOG = "its file system does not support a write-ahead log; use one on a local disk"
_ERRORS: dict[int, tuple[type[SQLiteFileError], str]] = {
    sqlite3.SQLITE_BUSY: (FileInUseError, IN_USE),
    sqlite3.SQLITE_READONLY: (SQLiteFileError, READ_ONLY),
    sqlite3.SQLITE_CORRUPT: (CorruptFileError, DAMAGED),
    sqlite3.SQLITE_FULL: (DiskFullError, "the disk is full"),
    sqlite3.SQLITE_CANTOPEN: (SQLiteFileError, "the file or its folder cannot be opened"),
    sqlite3.SQLITE_NOTADB: (NoDatabaseError, NO_DATABASE),
    sqlite3.SQLITE_PROTOCOL: (SQLiteFileError, NO_LOCKS),
    sqlite3.SQLITE_IOERR_LOCK: (SQLiteFileError, NO_LOCKS),
    sqlite3.SQLITE_IOERR_RDLOCK: (SQLiteFileError, NO_LOCKS),
}
_UNKNOWN_FORMAT = "unsupported file format"
_PRIMARY_CODE = 0xFF  # the rest of a code is detail


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise the errors of sqlite3 in the block as those of this module.

    Raises:
        SQLiteFileError: sqlite3 raised an error.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise translated(error) from error


def translated(error: sqlite3.DatabaseError) -> SQLiteFileError:
    """Return the error of this module for one of sqlite3."""
    if str(error) == _UNKNOWN_FORMAT:  # a damaged header; SQLite has no code for it
        return CorruptFileError(DAMAGED)
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    other = _ERRORS.get(code & _PRIMARY_CODE, (SQLiteFileError, str(error)))
    kind, reason = _ERRORS.get(code, other)
    return kind(reason)
