"""Opens the outbox that a text names: the path of a file, or the URL of a Redis."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from chatarmin_os._sqlite_errors import (
    READ_ONLY,
    CorruptFileError,
    DiskFullError,
    FileInUseError,
    NewerFormatError,
    SQLiteFileError,
)
from chatarmin_os.errors import InvalidInput
from chatarmin_os.outbox import rows, salvage
from chatarmin_os.outbox.base import Outbox
from chatarmin_os.outbox.errors import OutboxUnavailable
from chatarmin_os.outbox.sqlite import SQLiteOutbox

_REDIS = ("redis", "rediss", "unix")
_REDIS_FORM = "redis://HOST:PORT/DB"
_NO_FILE_YET = "check the path; the application makes the file at its first put"
_UNCHANGED = "check the path; the file was left unchanged"
_RIGHTS = "run as the user whose application writes it, who must be able to write in the folder"
_UPGRADE = "upgrade chatarmin-os; the file was left unchanged"

_MAGIC = b"SQLite format 3\0"
_FORMAT, _APPLICATION_ID = slice(60, 64), slice(68, 72)  # of the header of a SQLite file


def open_outbox(url: str) -> Outbox:
    """Open an outbox that exists, for a command; a file is never created.

    For a process that has no other connection to the file: reading its header would end the locks of that connection.

    Args:
        url: The path of a file, or `redis://HOST:PORT/DB`, with `#NAME` for a stream of another name.

    Raises:
        InvalidInput: There is no outbox; the error says what to do.
        OutboxUnavailable: It is busy, or does not answer.

    Example:
        >>> open_outbox("amqp://localhost")
        Traceback (most recent call last):
        ...
        chatarmin_os.errors.InvalidInput: url: no outbox has the scheme 'amqp'; pass the path of a file, or \
redis://HOST:PORT/DB
    """
    if is_path(url):
        return _open_file(url)
    scheme, _, rest = url.partition("://")
    if scheme.lower() in _REDIS:
        return _open_redis(f"{scheme.lower()}://{rest}")
    raise _refusal(f"no outbox has the scheme {scheme!r}", f"pass the path of a file, or {_REDIS_FORM}")


def is_path(url: str) -> bool:
    """Return whether a text names a file."""
    return "://" not in url


def _refusal(problem: str, hint: str) -> InvalidInput:
    return InvalidInput(problem, hint).at("url")


def _open_file(path: str) -> Outbox:
    check_file(path)
    try:
        return SQLiteOutbox(path)
    except OutboxUnavailable as error:
        cause = error.__cause__
        if not isinstance(cause, SQLiteFileError) or isinstance(
            cause, (CorruptFileError, DiskFullError, FileInUseError)
        ):
            raise
        raise _refusal(f"{path}: {cause}", _UPGRADE if isinstance(cause, NewerFormatError) else _RIGHTS) from None


def check_file(path: str) -> None:
    """Check that there is an outbox in a file, by its kind and its header; for a process as that of `open_outbox`.

    Raises:
        InvalidInput: There is no outbox; the error says what to do.
    """
    if not path:
        raise _refusal("it is empty", f"pass the path of a file, or {_REDIS_FORM}")
    if path == "django":
        hint = "use `python manage.py chatarmin_outbox`; for a file of that name pass ./django"
        raise _refusal("the outbox of a Django project is in its database", hint)
    _check_kind(path)
    try:
        header = _header(path)
    except OSError as error:
        raise _refusal(f"{path}: {error.strerror}", "run as the user whose application writes it") from None
    if not header.startswith(_MAGIC):
        raise _refusal(
            f"{path}: it is not an outbox, or damaged", f"{_UNCHANGED}; the application repairs a damaged one"
        )
    found = _problem_in(header)
    if found is not None:
        problem, hint = found
        raise _refusal(f"{path}: {problem}", hint)


def check_rights(path: str) -> None:
    """Check that this user can write to an outbox, as its senders do.

    Raises:
        InvalidInput: The user cannot.
    """
    is_effective = os.access in os.supports_effective_ids
    if not all(os.access(one, os.W_OK, effective_ids=is_effective) for one in (path, Path(path).absolute().parent)):
        raise _refusal(f"{path}: {READ_ONLY}", _RIGHTS)


def problem_of(path: str) -> str | None:
    """Return why no outbox can be in a file that is there and can be read; None if one is, or can be.

    A damaged outbox is one, which the application repairs. For a process as that of `open_outbox`.
    """
    header = _header(path)
    if header.startswith(_MAGIC):
        found = _problem_in(header)
        return None if found is None else "; ".join(found)
    return f"it is not an outbox; {_UNCHANGED}" if header and not salvage.was_outbox(path) else None


def _header(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(_APPLICATION_ID.stop)


def _problem_in(header: bytes) -> tuple[str, str] | None:
    """Return the problem of a SQLite file that is another one's, and a hint."""
    if int.from_bytes(header[_APPLICATION_ID]) != rows.APPLICATION_ID:
        return "it is the database of another application", _UNCHANGED
    if int.from_bytes(header[_FORMAT]) > len(rows.MIGRATIONS):
        return "a later version wrote it", _UPGRADE
    return None


def _check_kind(path: str) -> None:
    """Check that there is a regular file, before it is opened."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        if Path(path).parent.is_dir():
            raise _refusal(f"{path}: there is no such file", _NO_FILE_YET) from None
        raise _refusal(f"{path}: its folder does not exist", _NO_FILE_YET) from None
    except OSError as error:
        raise _refusal(f"{path!r}: {error.strerror}", "check the path") from None
    except ValueError:  # the text of Python's error differs between its versions
        raise _refusal(f"{path!r}: it has a null character", "check the path") from None
    if stat.S_ISLNK(mode):
        raise _refusal(f"{path}: it is a symbolic link", f"pass the file itself: {Path(path).resolve()}")
    if stat.S_ISDIR(mode):
        raise _refusal(f"{path}: it is a folder", "pass the file in it")
    if not stat.S_ISREG(mode):
        raise _refusal(f"{path}: it is not a regular file", "check the path")


def _open_redis(url: str) -> Outbox:
    try:
        from redis import AuthenticationError, Redis, ResponseError
    except ImportError:
        hint = 'install the extra: pip install "chatarmin-os[redis]"'
        raise _refusal("an outbox in Redis needs the library redis", hint) from None
    address, _, name = url.partition("#")
    try:
        redis = Redis.from_url(address)
    except ValueError:  # its text may have a part of a password
        raise _refusal("it is not the URL of a Redis", f"pass {_REDIS_FORM}; # in a password is %23") from None
    from chatarmin_os.outbox.redis_outbox import RedisOutbox

    outbox = RedisOutbox(redis, name=name) if name else RedisOutbox(redis)
    try:
        outbox.stats()
    except OutboxUnavailable as error:
        cause = error.__cause__
        if cause is None or isinstance(cause, (AuthenticationError, ResponseError)):  # it is too old, or it refuses
            raise _refusal(str(error), "pass the URL of a Redis 6.2 or later in which this user may write") from None
        raise
    return outbox
