"""One durable file on sqlite3: whose it is, who holds it, and that nothing in it is lost."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from rights import without_rights_of_root

from chatarmin_os import _turns
from chatarmin_os._file_lock import FileLock
from chatarmin_os._locked_sqlite import LockedFile
from chatarmin_os._sqlite import SQLiteFile, use_log
from chatarmin_os._sqlite_errors import (
    CorruptFileError,
    DiskFullError,
    FileInUseError,
    ForeignFileError,
    NewerFormatError,
    NoDatabaseError,
    SQLiteFileError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

APPLICATION_ID = 0x74657374
FIRST = ("CREATE TABLE notes (text TEXT NOT NULL)",)
SECOND = ("ALTER TABLE notes ADD COLUMN author TEXT NOT NULL DEFAULT 'unknown'",)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a file that does not exist yet."""
    return tmp_path / "notes.db"


def _open(path: Path | str, **settings: Any) -> SQLiteFile:
    given = {"application_id": APPLICATION_ID, "migrations": [FIRST], "busy_seconds": 0.0, **settings}
    return SQLiteFile(path, **given)


def _open_locked(path: Path | str, **settings: Any) -> LockedFile:
    given = {"application_id": APPLICATION_ID, "migrations": [FIRST], "busy_seconds": 0.0, **settings}
    return LockedFile(path, **given)


def _add(file: SQLiteFile, text: str) -> None:
    with file.transaction() as connection:
        connection.execute("INSERT INTO notes (text) VALUES (?)", (text,))


def _texts(file: SQLiteFile) -> list[str]:
    with file.transaction() as connection:
        return [text for (text,) in connection.execute("SELECT text FROM notes ORDER BY rowid")]


def test_file_keeps_rows_after_close(path: Path) -> None:
    """A closed file opens again at its next use, and so does another object for the same path."""
    file = _open(path)
    _add(file, "one")
    file.close()
    _add(file, "two")
    file.close()
    file.close()

    assert _texts(_open(str(path))) == ["one", "two"]


def test_transaction_stores_all_or_nothing(path: Path) -> None:
    """An exception in the block undoes its changes."""
    file = _open(path)
    with pytest.raises(ZeroDivisionError), file.transaction() as connection:  # noqa: PT012 - the block is the subject
        connection.execute("INSERT INTO notes VALUES ('lost')")
        raise ZeroDivisionError
    _add(file, "kept")

    assert _texts(file) == ["kept"]


def test_new_file_is_for_its_owner_only(path: Path) -> None:
    """The write-ahead log is, too; permissions that a user has set stay."""
    umask = os.umask(0)
    try:
        file = _open(path)
        _add(file, "one")
    finally:
        os.umask(umask)
    modes = {found.name: stat.S_IMODE(found.stat().st_mode) for found in path.parent.iterdir()}
    assert modes == {name: 0o600 for name in ("notes.db", "notes.db-wal", "notes.db-shm")}  # noqa: C420 - reads better
    file.close()
    path.chmod(0o640)
    _add(file, "two")

    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("synchronous", ["normal", "full"])
def test_file_uses_a_write_ahead_log(path: Path, synchronous: Any) -> None:
    """The durability is the one that was asked for."""
    with _open(path, synchronous=synchronous).transaction() as connection:
        mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
        level = connection.execute("PRAGMA synchronous").fetchone()[0]

    assert (mode, level) == ("wal", {"normal": 1, "full": 2}[synchronous])


def test_checkpoint_completes_the_file_itself(path: Path) -> None:
    """A copy of the file alone has every row."""
    file = _open(path, is_exclusive=True)
    _add(file, "one")
    copy = path.with_name("copy.db")
    file.checkpoint()
    copy.write_bytes(path.read_bytes())

    assert _texts(_open(copy)) == ["one"]


# Formats


def test_migrations_run_once_each(path: Path) -> None:
    """An older file is brought to the present format, with its rows."""
    _add(_open(path), "one")
    for _ in range(2):
        file = _open(path, migrations=[FIRST, SECOND])
        with file.transaction() as connection:
            assert connection.execute("SELECT text, author FROM notes").fetchall() == [("one", "unknown")]
            assert connection.execute("PRAGMA user_version").fetchone() == (2,)


def test_failed_migration_changes_nothing(path: Path) -> None:
    """The file keeps its format."""
    _add(_open(path), "one")
    with pytest.raises(SQLiteFileError, match="no such table: missing"):
        _open(path, migrations=[FIRST, (*SECOND, "DROP TABLE missing")])

    assert _texts(_open(path)) == ["one"]


def test_newer_format_is_refused_unchanged(path: Path) -> None:
    """The message has both formats."""
    _open(path, migrations=[FIRST, SECOND]).close()
    before = path.read_bytes()
    with pytest.raises(NewerFormatError, match="it has format 2, and this version of chatarmin_os reads formats up to"):
        _open(path)

    assert path.read_bytes() == before


def _foreign_database(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize(
    "statements",
    [
        ["PRAGMA application_id = 7"],
        ["PRAGMA user_version = 1"],
        ["CREATE TABLE theirs (x)"],
        ["PRAGMA journal_mode = WAL", "CREATE TABLE theirs (x)"],
    ],
    ids=["application-id", "user-version", "table", "write-ahead-log"],
)
def test_database_of_another_application_is_refused_unchanged(path: Path, statements: list[str]) -> None:
    """Each trace of another application is enough."""
    _foreign_database(path, *statements)
    before = path.read_bytes()
    for is_exclusive in (True, False):
        with pytest.raises(ForeignFileError, match="it is the database of another application"):
            _open(path, is_exclusive=is_exclusive)

    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]  # noqa: PTH208 - names


@pytest.mark.parametrize(
    "content", [b"\n", b"{}", b"notes of mine", b"x" * 10_000], ids=["line", "json", "text", "big"]
)
def test_file_that_is_no_database_is_refused_unchanged(path: Path, content: bytes) -> None:
    """Whatever it holds."""
    path.write_bytes(content)
    with pytest.raises(NoDatabaseError, match="it is not a SQLite database"):
        _open(path)

    assert path.read_bytes() == content


def test_empty_file_is_new(path: Path) -> None:
    """A process that is killed while it creates the file leaves an empty one."""
    path.touch()
    _add(_open(path), "one")

    assert _texts(_open(path)) == ["one"]


def test_damaged_file_is_reported_as_damaged(path: Path) -> None:
    """Pages that are overwritten no longer form a table."""
    file = _open(path)
    for number in range(100):
        _add(file, str(number) * 500)
    file.close()
    content = bytearray(path.read_bytes())
    content[4096 * 2 : 4096 * 6] = b"\xff" * 4096 * 4
    path.write_bytes(content)

    with pytest.raises(CorruptFileError, match="it is damaged"):
        _texts(_open(path))


def test_check_finds_a_missing_end(path: Path) -> None:
    """SQLite reads zeros where the last page was cut, and finds no fault with them."""
    file = _open(path, migrations=[(*FIRST, "CREATE INDEX by_text ON notes (text)")])
    for number in range(100):
        _add(file, str(number))
    file.check()
    file.close()
    path.write_bytes(path.read_bytes()[:-3_000])

    with pytest.raises(CorruptFileError, match="it is damaged"):
        file.check()


# Places


def test_place_without_a_file_is_refused(tmp_path: Path) -> None:
    """The reason is that of the operating system, or the kind of file that was found."""
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")
    reasons = {
        tmp_path: "it is not a regular file",
        tmp_path / "pipe": "it is not a regular file",
        tmp_path / "link": "it is a symbolic link",
        tmp_path / "dangling": "it is a symbolic link",
        tmp_path / "missing" / "notes.db": "No such file or directory",
        tmp_path / "file" / "notes.db": "Not a directory",
    }
    for path, reason in reasons.items():
        with pytest.raises(SQLiteFileError) as caught:
            _open(path)
        assert str(caught.value) == reason
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("is_folder", [True, False], ids=["folder", "file"])
def test_read_only_place_is_refused(*, is_folder: bool) -> None:
    """Neither a file nor a folder without the right to write is any use."""
    with TemporaryDirectory() as folder:  # another user may not enter that of pytest
        path = Path(folder) / "notes.db"
        _open(path).close()
        path.chmod(0o666 if is_folder else 0o444)
        path.parent.chmod(0o555 if is_folder else 0o777)
        with without_rights_of_root(), pytest.raises(SQLiteFileError) as caught:
            _open(path)
        path.parent.chmod(0o777)

    assert str(caught.value) == "the file or its folder is read-only"


def test_file_knows_whether_it_is_in_place(path: Path) -> None:
    """Removed and replaced files are noticed."""
    file = _open(path, is_exclusive=True)
    assert file.is_in_place()
    path.rename(path.with_name("moved.db"))
    assert not file.is_in_place()
    other = _open(path, is_exclusive=True)
    assert other.is_in_place()
    assert not file.is_in_place()


def test_file_knows_whether_somebody_has_written_to_it(path: Path) -> None:
    """Its own changes are none of these, once they are in the file."""
    file = _open(path, is_exclusive=True)
    _add(file, "one")
    file.checkpoint()
    assert file.is_in_place()
    path.write_bytes(path.read_bytes()[:-4096])
    assert not file.is_in_place()


def test_removed_file_is_not_in_place(path: Path) -> None:
    """A checkpoint does not change that."""
    file = _open(path, is_exclusive=True)
    path.unlink()
    file.checkpoint()
    assert not file.is_in_place()


def test_relative_path_belongs_to_the_folder_of_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process may change its folder."""
    monkeypatch.chdir(tmp_path)
    file = _open("a?b#c%20.db")
    file.close()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    _add(file, "one")

    assert _texts(_open(tmp_path / "a?b#c%20.db")) == ["one"]


# File systems


def test_file_system_without_a_write_ahead_log_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads and processes could not share the file there; one process alone can use it."""
    connect = sqlite3.connect
    without_shared_memory = "&vfs=unix-none"  # as of a file system that cannot map files
    monkeypatch.setattr(sqlite3, "connect", lambda name, **settings: connect(name + without_shared_memory, **settings))
    with pytest.raises(SQLiteFileError, match="its file system does not support a write-ahead log; use one on a local"):
        _open(path)
    _open(path, is_exclusive=True)


class _WithoutLocks(sqlite3.Connection):
    """A connection to a file on a file system that refuses to lock it."""

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        if not statement.startswith("BEGIN"):
            return super().execute(statement, *values)
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_LOCK
        raise error


def test_file_system_without_locks_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite itself says that reading or writing failed."""
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda name, **settings: connect(name, factory=_WithoutLocks, **settings))
    with pytest.raises(SQLiteFileError, match="its file system does not lock files; use one on a local disk"):
        _open(path)


# No space


def test_full_disk_loses_nothing(path: Path) -> None:
    """The change is refused, and earlier ones are kept."""
    file = _open(path)
    _add(file, "one")
    with file.transaction() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(DiskFullError, match="the disk is full"):
        _add(file, "x" * 100_000)
    _add(file, "two")

    assert _texts(file) == ["one", "two"]


def test_failing_writes_lose_nothing(path: Path) -> None:
    """The operating system refuses to write beyond a size."""
    file = _open(path)
    _add(file, "one")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(SQLiteFileError, match="disk I/O error"):
            _add(file, "x" * 1_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    _add(file, "two")

    assert _texts(file) == ["one", "two"]


def test_failed_checkpoint_leaves_the_file_in_place(path: Path) -> None:
    """A part of the changes is in the file, and the rest in the log; nobody else has written to it."""
    file = _open(path, is_exclusive=True)
    for number in range(100):
        _add(file, str(number) * 2_000)
    file.checkpoint()
    _add(file, "x" * 20_000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(SQLiteFileError, match="disk I/O error"):
            file.checkpoint()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert file.is_in_place()
    file.checkpoint()

    assert len(_texts(file)) == 101


# Several connections


def test_exclusive_file_is_held_until_it_is_closed(path: Path) -> None:
    """Another one is refused until then, whether it is new or has rows."""
    first = _open(path, is_exclusive=True)
    for is_exclusive in (True, False):
        with pytest.raises(FileInUseError, match="it is in use by another process"):
            _open(path, is_exclusive=is_exclusive)
    _add(first, "one")
    with pytest.raises(FileInUseError):
        _open(path, is_exclusive=True)
    first.close()

    second = _open(path, is_exclusive=True)
    assert _texts(second) == ["one"]
    with pytest.raises(FileInUseError):
        _add(first, "two")


SCRIPT = f"""
    import sys
    from itertools import count
    from chatarmin_os._sqlite import SQLiteFile
    path, is_exclusive, limit = sys.argv[1], sys.argv[2] == "exclusive", int(sys.argv[3])
    file = SQLiteFile(path, application_id={APPLICATION_ID}, migrations=[{FIRST!r}], is_exclusive=is_exclusive)
    for number in range(limit) if limit else count():
        with file.transaction() as connection:
            connection.execute("INSERT INTO notes VALUES (?)", (str(number),))
        print(number, flush=True)
"""  # noqa: S608 - our own script


@contextmanager
def _writing(path: Path, how: str, limit: int = 0) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(path), how, str(limit)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own script
        yield process
        process.kill()


@pytest.mark.parametrize("how", ["exclusive", "shared"])
def test_killed_process_loses_nothing_it_has_stored(path: Path, how: str) -> None:
    """SIGKILL comes in the middle of writing; the lock ends with the process."""
    stored = 0
    for _ in range(3):
        with _writing(path, how) as process:
            assert process.stdout
            for _ in range(50):
                process.stdout.readline()
            if how == "exclusive":
                with pytest.raises(FileInUseError):
                    _open(path, is_exclusive=True)
            process.send_signal(signal.SIGKILL)
            stored += 50 + len(process.stdout.read().splitlines())
        file = _open(path)
        assert len(_texts(file)) >= stored
        file.close()


def test_processes_take_turns(path: Path) -> None:
    """Several create the file at once, and each stores all its rows."""
    with (
        _writing(path, "shared", 20) as one,
        _writing(path, "shared", 20) as two,
        _writing(path, "shared", 20) as three,
    ):
        for process in (one, two, three):
            process.wait()

    assert sorted(_texts(_open(path))) == sorted(map(str, [*range(20)] * 3))


class _Switching:
    """A connection to a file that others switch to a write-ahead log at the same time."""

    def __init__(self, code: int, times: int) -> None:
        self.times = times
        self._error = sqlite3.OperationalError("database is locked")
        self._error.sqlite_errorcode = code

    def execute(self, statement: str) -> Any:
        assert statement == "PRAGMA journal_mode = WAL"
        self.times -= 1
        if self.times >= 0:
            raise self._error
        return self

    def fetchone(self) -> tuple[str]:
        return ("wal",)


def test_switch_to_the_log_is_tried_again() -> None:
    """SQLite refuses at once if two processes switch to it; other errors, and a lock that stays, are raised."""
    switching: Any = _Switching(sqlite3.SQLITE_BUSY, 2)
    use_log(switching, 30)
    assert switching.times == -1

    for stuck, seconds in [(_Switching(sqlite3.SQLITE_BUSY, 99), 0), (_Switching(sqlite3.SQLITE_IOERR, 99), 30)]:
        connection: Any = stuck
        with pytest.raises(sqlite3.OperationalError):
            use_log(connection, seconds)
        assert stuck.times == 98


def test_threads_take_turns(path: Path) -> None:
    """They share one connection, one transaction at a time."""
    file = _open(path)

    def write(name: str) -> None:
        for number in range(50):
            _add(file, f"{name}{number}")

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(_texts(file))) == 200


def _write_in_child(file: SQLiteFile, name: str) -> None:
    for number in range(20):
        _add(file, f"{name}{number}")
    file.close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_file_is_usable_after_a_fork(path: Path) -> None:
    """Children write while a thread of the parent does: none hangs, and no row is missing."""
    file = _open(path, synchronous="normal", busy_seconds=30.0)
    ended = threading.Event()
    written = [0]

    def write() -> None:
        while not ended.is_set():
            _add(file, f"parent{written[0]}")
            written[0] += 1

    writer = threading.Thread(target=write)
    writer.start()
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_write_in_child, args=(file, f"child{number}-")) for number in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    ended.set()
    writer.join()

    assert [child.exitcode for child in children] == [0] * 3
    assert len(set(_texts(file))) == 60 + written[0]


# Files with a lock of their own


def test_locked_file_goes_on_with_the_file_in_its_place(path: Path) -> None:
    """A file that was replaced is noticed at the next use."""
    file = _open_locked(path, busy_seconds=1.0)
    _add(file, "old")
    other = path.with_name("other.db")
    _add(_open(other), "new")
    os.rename(path, path.with_name("moved.db"))  # noqa: PTH104
    for name in ("notes.db-wal", "notes.db-shm"):
        path.with_name(name).unlink()
    os.rename(other, path)  # noqa: PTH104

    assert _texts(file) == ["new"]
    assert file.execute("INSERT INTO notes (text) VALUES (?)", ("more",)) == 1
    file.close()


def test_statement_that_fails_is_translated(path: Path) -> None:
    """A single statement has the errors of a transaction."""
    with closing(_open_locked(path)) as file, pytest.raises(SQLiteFileError, match="no such table: missing"):
        file.execute("DELETE FROM missing", ())


def test_single_statement_needs_no_lock_of_its_own(path: Path) -> None:
    """A file without one runs it in the same way."""
    with closing(_open(path)) as file:
        assert file.execute("INSERT INTO notes (text) VALUES (?)", ("one",)) == 1
        assert _texts(file) == ["one"]


def test_wait_is_shared_by_all_locks(path: Path) -> None:
    """The time that was spent waiting for the lock file is not spent again on that of SQLite."""
    file = _open_locked(path)
    other = FileLock(f"{path}.lock")
    assert other.acquire(0)
    wait = file.lock._wait

    def wait_for_long(seconds: float) -> bool:
        timer = threading.Timer(0.2, other.release)
        timer.start()
        got = wait(seconds)
        timer.join()
        return got

    file.lock._wait = wait_for_long  # type: ignore[method-assign]
    with file.turn(1.0) as left:
        assert left <= 0.8
    with file.turn(1.0) as left:
        assert left > 0.8
    other.close()
    file.close()


def test_connection_that_cannot_be_closed_is_not_used_after_a_fork(path: Path) -> None:
    """While another process holds the lock, a fork leaves the connection behind, unused in parent and child."""
    file = _open_locked(path)
    _add(file, "one")
    other = FileLock(f"{path}.lock")
    assert other.acquire(0)
    before = file._connection

    file.close_seconds = 0.0
    _turns._before_fork()
    _turns._after_fork(is_child=False)

    assert before is not None
    assert file._connection is None
    other.close()
    assert _texts(file) == ["one"]
    file.close()


def test_abandoned_connection_is_not_used_again(path: Path) -> None:
    """A file without a lock of its own opens another connection."""
    file = _open(path)
    _add(file, "one")
    file.abandon()

    assert _texts(file) == ["one"]
    file.close()


def test_locked_file_that_is_not_closed_is_closed_under_its_lock(path: Path) -> None:
    """A file that nobody refers to any more is closed; if another process holds the lock, it is left as it is."""
    for is_held in (False, True):
        file = _open_locked(path)
        _add(file, "one")
        other = FileLock(f"{path}.lock")
        if is_held:
            assert other.acquire(0)
            file.close_seconds = 0.0
        connection = file._connection
        assert connection is not None
        del file
        if is_held:
            assert connection.execute("SELECT count(*) FROM notes").fetchone() == (2,)
            connection.close()
        else:
            with pytest.raises(sqlite3.ProgrammingError):
                connection.execute("SELECT 1")
        other.close()


def _read(file: LockedFile) -> list[str]:
    with file.reading(0) as connection:
        return [text for (text,) in connection.execute("SELECT text FROM notes ORDER BY rowid")]


def test_reading_waits_for_no_writer(path: Path) -> None:
    """Neither the lock of the file nor a transaction under way keeps a reader waiting; it sees what is committed."""
    with closing(_open_locked(path)) as file:
        _add(file, "one")
        assert _read(file) == ["one"]
        with file.transaction() as connection:
            connection.execute("INSERT INTO notes (text) VALUES ('two')")
            assert _read(file) == ["one"]
        assert _read(file) == ["one", "two"]


def test_writing_waits_for_no_reader(path: Path) -> None:
    """A reader sees the same content until it ends, while others write."""
    with closing(_open_locked(path)) as file:
        with file.reading(0) as connection:
            connection.execute("SELECT * FROM notes").fetchall()
            _add(file, "one")
            assert connection.execute("SELECT * FROM notes").fetchall() == []
        assert _read(file) == ["one"]


def test_reader_goes_on_with_the_file_in_its_place(path: Path) -> None:
    """A reader notices, as a writer does, that its file was replaced."""
    file, other = _open_locked(path), path.with_name("other.db")
    _add(file, "old")
    assert _read(file) == ["old"]
    file.close()
    with closing(_open(other)) as new:
        _add(new, "new")
    other.replace(path)

    assert _read(file) == ["new"]
    file.close()


def test_one_thread_reads_at_a_time(path: Path) -> None:
    """Another one waits as long as it was asked to."""
    with (
        closing(_open_locked(path)) as file,
        ThreadPoolExecutor() as pool,
        file.reading(0),
        pytest.raises(FileInUseError),
    ):
        pool.submit(_read, file).result()


@pytest.mark.parametrize("where", ["writing", "reading"])
def test_fork_in_a_turn_leaves_the_connections_to_the_parent(path: Path, where: str) -> None:
    """A signal handler may fork while its thread is inside: the parent goes on, and the child opens others."""
    file = _open_locked(path)
    _add(file, "one")
    _read(file)
    with file.transaction() if where == "writing" else file.reading(0):
        before = file._connection, file._reader
        file.pause()
        file.go_on(is_child=False)
        if where == "writing":
            assert (file._connection, file._reader) == before
        file.pause()
        file.go_on(is_child=True)
        assert (file._connection, file._reader) == (None, None)
    file.close()


def test_lock_that_was_removed_with_the_file_is_created_again(path: Path) -> None:
    """All files may be removed while they are open; then the lock of others counts."""
    file = _open_locked(path)
    _add(file, "one")
    for found in path.parent.iterdir():
        found.unlink()
    other = FileLock(f"{path}.lock")
    assert other.acquire(0)
    with pytest.raises(FileInUseError):
        _add(file, "two")
    other.close()
    _add(file, "two")

    assert _texts(file) == ["two"]
    file.close()


@pytest.mark.parametrize("name", ["notes.db-wal", "notes.db-shm", "notes.db-journal", "notes.db.lock"])
def test_link_beside_the_file_is_refused(path: Path, name: str) -> None:
    """SQLite would write to what it leads to."""
    path.with_name(name).symlink_to(path.with_name("elsewhere"))

    with pytest.raises(SQLiteFileError, match=f"{name} is a symbolic link"):
        _open_locked(path)

    assert [found.name for found in path.parent.iterdir()] == [name]


def test_rights_of_others_are_taken_from_all_files(path: Path) -> None:
    """The log of a process that was killed, too."""
    file = _open_locked(path)
    _add(file, "one")
    names = ("notes.db", "notes.db-wal", "notes.db-shm", "notes.db.lock")
    for name in names:
        path.with_name(name).chmod(0o666)
    other = _open_locked(path)

    assert {stat.S_IMODE(path.with_name(name).stat().st_mode) for name in names} == {0o600}
    other.close()
    file.close()


def test_rights_that_cannot_be_taken_are_reported(path: Path) -> None:
    """A file of another user with rights for all stays as it is."""
    _open_locked(path).close()
    with TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o777)
        path = path.rename(place / "notes.db")
        path.chmod(0o666)
        if os.geteuid() != 0:  # pragma: no cover - not run by root
            pytest.skip("needs a file of another user")
        with without_rights_of_root(), pytest.raises(SQLiteFileError, match="Operation not permitted"):
            _open_locked(path)


def test_interrupted_creation_is_undone(path: Path) -> None:
    """A process that ends while it creates the file leaves a part of it and a journal, which SQLite rolls back."""
    journal = path.with_name("notes.db-journal")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE more AS SELECT randomblob(100000) AS content")
        left = path.read_bytes(), journal.read_bytes()
        connection.execute("ROLLBACK")
    assert left[0]
    path.write_bytes(left[0])
    journal.write_bytes(left[1])

    with closing(_open_locked(path)) as file:
        assert _texts(file) == []
