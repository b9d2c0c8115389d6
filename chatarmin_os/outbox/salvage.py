"""A damaged file is set aside, and its readable events are copied into a new one.

The new file is complete before the old one is moved, so that the end of the process at any time loses nothing:

    1. NAME.salvaged      is written, with all events that can be read
    2. NAME.corrupt-TIME  is the old file from now on, with its log
    3. NAME               is the new file from now on; done at the next opening if the process ended before

All of this happens under the lock of the file.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from glob import escape, glob
from typing import Any
from urllib.parse import quote

from chatarmin_os._clock import wall
from chatarmin_os._locked_sqlite import LOCK, decode
from chatarmin_os.outbox import rows

_PARTS = ("", "-wal", "-journal", "-shm")
_COPY = ".damaged"
_MAX_NUMBER, _FEW = 2**22, 2**12  # of rows that are looked for one by one
_CHUNK, _MIN_PAGE_SIZE = 2**20, 512
_VERSIONS, _CHANGES = slice(18, 20), slice(24, 28)  # of the header of a file


def was_outbox(path: str) -> bool:
    """Return whether a file that cannot be read was an outbox: its lock is next to it, or it has traces of one."""
    return os.path.lexists(path + LOCK) or _has_traces(path) or _has_traces(f"{path}-wal")


def _has_traces(path: str) -> bool:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - nobody has locked it, so closing it releases nothing
            parts = iter(lambda: file.read(_CHUNK), b"")
            return any(trace in part for part in parts for trace in rows.TRACES)
    except OSError:
        return False


def replace(path: str) -> tuple[int, str]:
    """Put a new file in the place of a damaged one; return how many events it has, and the name of the old file."""
    new = _new(path)
    with suppress(FileNotFoundError):
        os.unlink(new)  # noqa: PTH108 - of a process that ended
    os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    try:
        with closing(sqlite3.connect(new, isolation_level=None)) as target:
            count = _copy(path, target)
    except BaseException:
        os.unlink(new)  # noqa: PTH108 - the disk may be full
        raise
    aside = _aside(path)
    _move(path, aside)
    os.rename(new, path)  # noqa: PTH104
    _sync_folder(path)
    return count, aside


def complete(path: str) -> None:
    """Finish the work of a process that ended."""
    new = _new(path)
    if os.path.lexists(new):
        if os.path.lexists(path):
            os.unlink(new)  # noqa: PTH108 - it may be incomplete, and the old file is still there
        else:
            _move(path, _last_aside(path) or _aside(path))
            os.rename(new, path)  # noqa: PTH104


def _last_aside(path: str) -> str | None:
    """Return the name to which the old file was moved last."""
    names = glob(f"{escape(path)}.corrupt-*")  # noqa: PTH207 - names
    found = (name for name in names if not name.endswith(_PARTS[1:]))
    return max(found, key=os.path.getctime, default=None)


def _new(path: str) -> str:
    return f"{path}.salvaged"


def _aside(path: str) -> str:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(wall()))
    names = (f"{path}.corrupt-{stamp}{suffix}" for suffix in ("", *(f"-{number}" for number in range(2, 1000))))
    return next(name for name in names if not any(os.path.lexists(name + part) for part in _PARTS))


def _move(path: str, aside: str) -> None:
    for part in _PARTS:  # the file first: without its log it would look whole
        with suppress(FileNotFoundError):
            os.rename(path + part, aside + part)  # noqa: PTH104


def _sync_folder(path: str) -> None:
    if hasattr(os, "O_DIRECTORY"):  # pragma: no branch - Windows
        folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)  # noqa: PTH120
        os.fsync(folder)
        os.close(folder)


def _copy(path: str, target: sqlite3.Connection) -> int:
    target.execute("PRAGMA journal_mode = OFF")  # an incomplete file is not used
    target.execute("BEGIN")
    for statements in rows.MIGRATIONS:
        for statement in statements:
            target.execute(statement)
    count = 0
    for row in map(rows.with_valid_state, filter(rows.is_readable, _rows(path))):
        is_added = target.execute(rows.COPY, row).rowcount
        count += is_added or target.execute(rows.COPY, (None, *row[1:])).rowcount  # another event may have its number
    target.execute(f"PRAGMA application_id = {rows.APPLICATION_ID:d}")
    target.execute(f"PRAGMA user_version = {len(rows.MIGRATIONS):d}")
    target.execute("COMMIT")
    return count


def _rows(path: str) -> Iterator[Any]:
    """Yield the rows that can be read: in order as far as possible, from both ends, then one by one."""
    columns, seen, end = rows.COLUMNS, set[int](), 0
    with _source(path) as source:
        for direction in ("ASC", "DESC"):
            for row in _read(source, f"SELECT {columns} FROM events NOT INDEXED ORDER BY id {direction}"):
                end = max(end, row[0])
                if direction == "DESC" and row[0] in seen:
                    break
                seen.add(row[0])
                yield row
        numbers = {number for (number,) in _read(source, "SELECT id FROM events ORDER BY key")}
        end = max(end, max(numbers, default=0))
        end = end if end <= _MAX_NUMBER else _FEW  # a damaged number may be any
        for number in sorted(numbers.union(range(1, end + 1)) - seen):
            for some in (columns, rows.WITHOUT_STATE):  # the end of a row may be damaged
                yield from _read(source, f"SELECT {some} FROM events NOT INDEXED WHERE id = ?", number)


@contextmanager
def _source(path: str) -> Iterator[sqlite3.Connection]:
    """Open a damaged file for reading, or a copy of it whose first page is that of a new file: it has the schema."""
    if _has_schema(path):
        with closing(_open(path)) as source:
            yield source
        return
    copy = f"{path}{_COPY}"
    try:
        for part in ("", "-wal"):
            with suppress(FileNotFoundError):
                shutil.copyfile(path + part, copy + part)
        with open(copy, "r+b") as file:  # noqa: PTH123
            file.write(_first_page())
        with closing(_open(copy, "rw")) as source:
            yield source
    finally:
        for part in _PARTS:
            with suppress(FileNotFoundError):
                os.unlink(copy + part)  # noqa: PTH108


def _has_schema(path: str) -> bool:
    if os.stat(path).st_size < _MIN_PAGE_SIZE:  # noqa: PTH116 - SQLite would remove its log
        return False
    with closing(_open(path)) as source:
        try:
            source.execute(f"SELECT {rows.COLUMNS} FROM events LIMIT 0")
        except sqlite3.DatabaseError:
            return False
        return True


def _open(path: str, mode: str = "ro") -> sqlite3.Connection:
    connection = sqlite3.connect(f"file:{quote(path)}?mode={mode}", uri=True)
    connection.text_factory = decode
    return connection


def _first_page() -> bytes:
    with closing(sqlite3.connect(":memory:")) as connection:
        for statements in rows.MIGRATIONS:
            for statement in statements:
                connection.execute(statement)
        [(page_size,)] = connection.execute("PRAGMA page_size")
        page = bytearray(connection.serialize()[:page_size])
    page[_VERSIONS] = b"\2\2"  # it has a log
    # SQLite trusts the number of pages in the header only if it was written at this change, and else measures the file.
    page[_CHANGES] = b"\0\0\0\1"
    return bytes(page)


def _read(source: sqlite3.Connection, query: str, *values: int) -> Iterator[Any]:
    """Yield the rows of a query until one cannot be read."""
    try:
        cursor = source.execute(query, values)
    except sqlite3.DatabaseError:
        return
    while True:
        try:
            row = cursor.fetchone()
        except sqlite3.DatabaseError:
            return
        if row is None:
            return
        yield row
