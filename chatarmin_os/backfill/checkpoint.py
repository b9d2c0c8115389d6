"""The file in which a run notes its rows, so that the next run goes on where it ended."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from sqlite3 import Connection
from typing import Any, NamedTuple
from urllib.parse import quote

from attrs import frozen

from chatarmin_os._sqlite import SQLiteFile
from chatarmin_os._sqlite_errors import (
    CorruptFileError,
    FileInUseError,
    ForeignFileError,
    NewerFormatError,
    SQLiteFileError,
    translate_errors,
)
from chatarmin_os.errors import ChatarminError, InvalidInput

_APPLICATION_ID = 0x63614246
_MIGRATIONS = (
    (
        "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID",
        # given: the digest of the row as it came.  content: that of its values.
        # is_created: whether the company was created for the row.  tier: the one that was applied.  Both only while the
        # row is not done.
        """CREATE TABLE rows (id INTEGER PRIMARY KEY, organisation TEXT UNIQUE, given BLOB, content BLOB, line INTEGER,
        is_done INTEGER, is_created INTEGER, tier TEXT)""",
        """CREATE TABLE failures (id INTEGER PRIMARY KEY, run INTEGER, line INTEGER, organisation TEXT, step TEXT,
        code TEXT, message TEXT, given TEXT)""",
        "CREATE INDEX failures_by_line ON failures (run, line, id)",
    ),
)
_PAGE = 500  # failures that are read at once


class Stored(NamedTuple):
    """A row that the checkpoint has."""

    id: int
    given: bytes | None
    content: bytes
    line: int
    is_done: int
    is_created: int
    tier: str | None


@frozen
class Noted:
    """A row whose attempt has ended."""

    id: int
    is_done: bool
    is_created: bool
    tier: str | None


@frozen
class Failure:
    """A row that failed, as it is kept.

    Attributes:
        given: The row as it came, as JSON.
    """

    line: int
    organisation: str | None
    step: str
    code: str
    message: str
    given: str


class Checkpoint:
    """The checkpoint of one run at a time.

    Args:
        path: The file, which is made for its owner only (0600) if it is missing: it has failed rows as they came.
        name: The path to show in errors; default: *path*.

    Attributes:
        name: That path.

    Raises:
        InvalidInput: The file is not a checkpoint, or another run has it.
    """

    def __init__(self, path: str, *, name: str | None = None) -> None:
        self.name, self._real_path = name or path, os.path.abspath(path)  # noqa: PTH100 - any path
        with _naming(self.name, InvalidInput):
            self._file = SQLiteFile(
                path,
                application_id=_APPLICATION_ID,
                migrations=_MIGRATIONS,
                synchronous="normal",  # after a power failure some rows are asked for again
                is_exclusive=True,
                busy_seconds=0.0,
            )
        with self._transaction() as connection:
            self.run = int(_fact(connection, "run") or 0) + 1
            _set_fact(connection, "run", str(self.run))

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with _naming(self.name, ChatarminError), self._file.transaction() as connection:
            yield connection

    def claim(self, name: str, value: str | None, problem: str) -> None:
        """Note a fact that all runs of this checkpoint have in common; None: not known.

        Raises:
            InvalidInput: Earlier runs noted another one; *problem* is the text.
        """
        if value is None:
            return
        with self._transaction() as connection:
            found = _fact(connection, name)
            if found is None:
                _set_fact(connection, name, value)
        if found is not None and found != value:
            raise InvalidInput(f"{self.name}: {problem.format(found=found, given=value)}", field="checkpoint")

    def find_done(self, organisations: Iterable[str]) -> dict[str, tuple[int, bytes | None, int]]:
        """Return of those of these organisations that are done: id, digest of the row as it came, and line."""
        names = list(organisations)
        places = ", ".join("?" * len(names))
        statement = f"SELECT organisation, id, given, line FROM rows WHERE organisation IN ({places}) AND is_done"  # noqa: S608 - constants
        with self._transaction() as connection:
            return {name: (row, given, line) for name, row, given, line in connection.execute(statement, names)}

    def move(self, lines: Sequence[tuple[int, int]]) -> None:
        """Store the lines of rows, given as line and id."""
        with self._transaction() as connection:
            connection.executemany("UPDATE rows SET line = ? WHERE id = ?", lines)

    def find(self, organisations: Iterable[str]) -> dict[str, Stored]:
        """Return what is stored of these organisations."""
        names = list(organisations)
        places = ", ".join("?" * len(names))
        columns = "organisation, id, given, content, line, is_done, is_created, tier"
        statement = f"SELECT {columns} FROM rows WHERE organisation IN ({places})"  # noqa: S608 - constants
        with self._transaction() as connection:
            return {row[0]: Stored._make(row[1:]) for row in connection.execute(statement, names)}

    def store(self, rows: Sequence[tuple[str, Stored]]) -> dict[str, Stored]:
        """Store rows by their organisation, and return them with their new ids."""
        with self._transaction() as connection:
            connection.executemany(
                "INSERT INTO rows (organisation, given, content, line, is_done, is_created, tier)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (organisation) DO UPDATE SET given = excluded.given, content = excluded.content,"
                " line = excluded.line, is_done = excluded.is_done, is_created = excluded.is_created,"
                " tier = excluded.tier",
                [(organisation, *row[1:]) for organisation, row in rows],
            )
        return self.find(organisation for organisation, _ in rows)

    def note(self, rows: Sequence[Noted], failures: Sequence[Failure]) -> None:
        """Note what became of rows."""
        with self._transaction() as connection:
            connection.executemany(
                "UPDATE rows SET is_done = ?, is_created = ?, tier = ? WHERE id = ?",
                [(1, 0, None, row.id) if row.is_done else (0, int(row.is_created), row.tier, row.id) for row in rows],
            )
            connection.executemany(
                "INSERT INTO failures (run, line, organisation, step, code, message, given)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (self.run, one.line, one.organisation, one.step, one.code, one.message, one.given)
                    for one in failures
                ],
            )

    def end(self) -> None:
        """Forget the failures of earlier runs, whose rows were tried again, and close the file."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM failures WHERE run < ?", (self.run,))
            _set_fact(connection, "oldest", str(self.run))  # whose failures are kept
        self.close()

    def close(self) -> None:
        """Close the file, so that another run may have it."""
        with _naming(self.name, ChatarminError):
            self._file.close()

    def failures(self) -> Iterator[Failure]:
        """Return the failures of this run, in the order of their lines, after it has ended.

        Raises:
            ChatarminError: They are gone.
        """
        last = (-1, -1)
        while True:
            if not os.path.lexists(self._real_path):  # it would be made again
                raise ChatarminError(f"{self.name}: it was removed, and with it the rows that failed")
            try:
                found = self._failures_behind(*last)
            finally:
                self.close()
            for *values, number in found:
                last = values[0], number
                yield Failure(*values)
            if len(found) < _PAGE:
                return

    def _failures_behind(self, line: int, number: int) -> list[tuple[Any, ...]]:
        with self._transaction() as connection:
            if int(_fact(connection, "oldest") or self.run + 1) > self.run:
                raise ChatarminError(f"{self.name}: a later run has ended; its report has the rows that failed")
            return connection.execute(
                "SELECT line, organisation, step, code, message, given, id FROM failures"
                " WHERE run = ? AND (line, id) > (?, ?) ORDER BY line, id LIMIT ?",
                (self.run, line, number, _PAGE),
            ).fetchall()


def copy_checkpoint(path: str, copy: str) -> None:
    """Copy a checkpoint, which stays as it is; do nothing if it is missing.

    Raises:
        InvalidInput: It is no database, or another run has it.
    """
    if not os.path.lexists(path):
        return
    # Without a log, nobody uses the file: SQLite need not make a log only to read it.
    is_closed = not os.path.lexists(f"{path}-wal")
    address = f"file:{quote(os.path.abspath(path))}?mode=ro{'&immutable=1' if is_closed else ''}"  # noqa: PTH100
    with (
        _naming(path, InvalidInput),
        translate_errors(),
        closing(sqlite3.connect(address, uri=True, timeout=0.0)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.execute("SELECT * FROM sqlite_master").fetchall()  # fails if it is locked; `backup` would wait
        source.backup(target)


def _fact(connection: Connection, name: str) -> str | None:
    found = connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
    return None if found is None else str(found[0])


def _set_fact(connection: Connection, name: str, value: str) -> None:
    connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))


@contextmanager
def _naming(path: str, kind: type[ChatarminError]) -> Iterator[None]:
    """Raise the errors of the file in the block as errors of this *kind*, which name its path."""
    try:
        yield
    except SQLiteFileError as error:
        problem = f"{path}: {_advice(error)}"
        raise InvalidInput(problem, field="checkpoint") if kind is InvalidInput else kind(problem) from error


def _advice(error: SQLiteFileError) -> str:
    if isinstance(error, FileInUseError):
        return "another run uses this checkpoint; wait until it has ended, or pass another file"
    if isinstance(error, NewerFormatError):
        return f"{error}; upgrade chatarmin_os, or pass another file"
    return f"{error}; pass a new file" if isinstance(error, (CorruptFileError, ForeignFileError)) else str(error)
