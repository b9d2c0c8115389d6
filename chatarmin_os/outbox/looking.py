"""Looks into the file of an outbox without changing anything: for a diagnosis, also by another user.

An outbox that is opened takes the rights of others away, makes its lock, brings its file to the present format, and
sets a damaged one aside. All of this is the application's to do.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from urllib.parse import quote

from chatarmin_os._clock import wall
from chatarmin_os._locked_sqlite import decode
from chatarmin_os._sqlite_errors import translate_errors
from chatarmin_os.outbox import opening, rows
from chatarmin_os.outbox.records import OutboxStats


def look_at(url: str, seconds: float) -> OutboxStats | None:
    """Return the content of the outbox that a text names, as of `open_outbox`; None if its table was not made yet.

    Args:
        url: The path of a file, or the URL of a Redis.
        seconds: How long to wait for a lock.

    Raises:
        InvalidInput: There is no outbox, or this user cannot write to it; the error says what to do.
        OutboxUnavailable: A Redis does not answer.
        SQLiteFileError: The file cannot be read, or is damaged.
    """
    if not opening.is_path(url):
        with opening.open_outbox(url) as outbox:
            return outbox.stats()
    opening.check_file(url)
    opening.check_rights(url)
    return _look_into(url, seconds)


def _look_into(path: str, seconds: float) -> OutboxStats | None:
    """Return the content of the outbox in a file of SQLite; None if its table was not made yet.

    Raises:
        SQLiteFileError: It cannot be read, or is damaged.
    """
    whole = os.path.abspath(path)  # noqa: PTH100 - links are not followed
    # Without a log nobody has the file open, and SQLite would make one: an immutable file gets none.
    mode = "mode=ro" if _has_log(whole) else "mode=ro&immutable=1"
    with (
        translate_errors(),
        closing(sqlite3.connect(f"file:{quote(whole)}?{mode}", uri=True, timeout=seconds)) as connection,
    ):
        connection.text_factory = decode
        connection.execute("BEGIN")
        [(version,)] = connection.execute("PRAGMA user_version")
        return rows.stats(connection, wall(), None) if version else None


def _has_log(path: str) -> bool:
    return any(os.path.lexists(path + part) for part in ("-wal", "-shm"))
