"""The outbox in a file: who waits for whom, how large it gets, and whose it is."""

from __future__ import annotations

import copy
import fcntl
import os
import pickle
import re
import signal
import sqlite3
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from outbox_world import World, nobody
from rights import without_rights_of_root

from chatarmin_os import ChatarminError, InvalidInput
from chatarmin_os._clock import monotonic
from chatarmin_os.outbox import (
    Outbox,
    OutboxError,
    OutboxFull,
    OutboxUnavailable,
    Sender,
    SQLiteOutbox,
    UsageEvent,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a file that does not exist yet."""
    return tmp_path / "usage.db"


@pytest.fixture
def busy(path: Path) -> Iterator[sqlite3.Connection]:
    """Hold the write lock of a file, as another program."""
    SQLiteOutbox(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection


def _put(outbox: Outbox, **values: Any) -> str:
    return outbox.put(**{"company_id": "comp_1", "feature_code": "ai_credit", "quantity": 1, **values})


def _keys(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {key for (key,) in connection.execute("SELECT key FROM events")}


@pytest.mark.parametrize("synchronous", ["full", "normal"])
def test_event_is_stored_when_put_returns(path: Path, synchronous: Any) -> None:
    """Another connection sees the event at once, and another object goes on with it."""
    with SQLiteOutbox(str(path), synchronous=synchronous) as outbox:
        key = _put(outbox)
        assert _keys(path) == {key}
        assert repr(outbox) == f"<SQLiteOutbox in {str(path)!r}>"

    assert SQLiteOutbox(path).stats().ready == 1


def test_closed_outbox_opens_again(path: Path) -> None:
    """A second close does nothing, and the next use opens the file again."""
    outbox = SQLiteOutbox(path)
    outbox.close()
    outbox.close()
    _put(outbox)
    outbox.close()

    assert outbox.stats().ready == 1


@pytest.mark.parametrize("synchronous", ["full", "normal"])
def test_journal_is_a_write_ahead_log(path: Path, synchronous: Any) -> None:
    """SQLite itself never moves the log into the file, and waits for the disk as it was asked to."""
    outbox = SQLiteOutbox(path, synchronous=synchronous)

    def settings(connection: sqlite3.Connection) -> list[Any]:
        return [
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "wal_autocheckpoint", "synchronous")
        ]

    assert outbox._file.change(settings) == ["wal", 0, {"full": 2, "normal": 1}[synchronous]]


def test_log_is_moved_into_the_file(path: Path) -> None:
    """After many changes the log begins from its start again."""
    outbox = SQLiteOutbox(path, synchronous="normal")
    log = path.with_name("usage.db-wal")
    sizes = []
    for _ in range(4):
        for _ in range(1_000):
            _put(outbox)
        sizes.append(log.stat().st_size)

    assert sizes[3] < 1.5 * sizes[0]


def test_log_stays_while_another_process_reads(path: Path) -> None:
    """A program that reads for long does not make a put fail."""
    outbox = SQLiteOutbox(path, synchronous="normal", put_wait=0)
    _put(outbox)
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM events").fetchall()
        for _ in range(1_100):
            _put(outbox)

    assert outbox.stats().ready == 1_101


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"path": b"usage.db"}, "path"),
        ({"path": ""}, "path"),
        ({"path": 7}, "path"),
        ({"path": ":memory:"}, "path"),
        ({"path": "redis://:secret@localhost/0"}, "path"),
        ({"max_bytes": 2**16 - 1}, "max_bytes"),
        ({"max_bytes": True}, "max_bytes"),
        ({"max_bytes": 1e9}, "max_bytes"),
        ({"synchronous": "off"}, "synchronous"),
        ({"put_wait": -1}, "put_wait"),
        ({"put_wait": "1"}, "put_wait"),
    ],
)
def test_settings_are_checked(path: Path, values: dict[str, Any], field: str) -> None:
    """The error names the argument."""
    given: dict[str, Any] = {"path": path, **values}

    with pytest.raises(InvalidInput) as caught:
        SQLiteOutbox(given.pop("path"), **given)

    assert caught.value.field == field
    assert not path.exists()


@pytest.mark.parametrize("convert", [str, Path])
def test_relative_path_stays_the_same(path: Path, convert: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path, or its text, is relative to the working directory at the construction, and not to a later one."""
    monkeypatch.chdir(path.parent)
    outbox = SQLiteOutbox(convert(path.name))
    outbox.close()
    monkeypatch.chdir("/")

    assert _keys(path) == set()
    assert {_put(outbox)} == _keys(path)


# Locks


def test_put_waits_for_a_lock(busy: sqlite3.Connection, path: Path) -> None:
    """While another program writes, `put` waits, and stores the event once the other has ended."""
    busy.execute("ROLLBACK")
    outbox = SQLiteOutbox(path, put_wait=60)
    busy.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor() as pool:
        key = pool.submit(_put, outbox)
        busy.execute("ROLLBACK")
        assert key.result() in _keys(path)


@pytest.mark.parametrize("many", [False, True])
def test_put_waits_no_longer_than_put_wait(path: Path, many: bool) -> None:  # noqa: FBT001
    """A lock that is held for longer makes the outbox unavailable: the error has the event, and nothing is stored."""
    outbox = SQLiteOutbox(path, put_wait=0.05)
    events = [UsageEvent(company_id="c", feature_code="f", quantity=1, idempotency_key=key) for key in ("a", "b")]
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        before = monotonic()

        with pytest.raises(OutboxUnavailable, match="in use by another process") as caught:
            outbox.put_many(events) if many else _put(outbox, idempotency_key="a", metadata={"a": 1})

        assert monotonic() - before >= 0.04
    event = caught.value.event
    assert event is not None
    assert (event.idempotency_key, event.quantity) == ("a", 1)
    assert isinstance(caught.value, OutboxError)
    assert isinstance(caught.value, ChatarminError)
    assert outbox.stats().ready == 0
    assert outbox.put_many([event]) == ["a"]


def test_put_waits_for_the_lock_file(path: Path) -> None:
    """All writes are made under a lock of their own, for which `put` waits as long."""
    outbox = SQLiteOutbox(path, put_wait=0.02)
    with (path.with_name("usage.db.lock")).open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(OutboxUnavailable, match="in use by another process"):
            _put(outbox)
        fcntl.flock(lock, fcntl.LOCK_UN)

    assert _put(outbox)


def test_put_takes_the_lock_file_when_it_is_free(path: Path) -> None:
    """A lock that another process gives back in time makes nothing fail."""
    outbox = SQLiteOutbox(path, put_wait=60)
    with (path.with_name("usage.db.lock")).open("r+b") as lock, ThreadPoolExecutor() as pool:
        fcntl.flock(lock, fcntl.LOCK_EX)
        key = pool.submit(_put, outbox)
        with pytest.raises(TimeoutError):
            key.result(0.02)
        fcntl.flock(lock, fcntl.LOCK_UN)
        assert key.result()


def test_put_waits_for_other_threads(path: Path) -> None:
    """A thread that is inside the file for longer makes it unavailable for the others."""
    outbox = SQLiteOutbox(path, put_wait=0.02)
    with ThreadPoolExecutor() as pool, outbox._file.turn(1.0):
        future = pool.submit(_put, outbox)
        with pytest.raises(OutboxUnavailable, match="in use"):
            future.result()

    assert _put(outbox)


def test_senders_wait_longer_than_puts(path: Path) -> None:
    """What senders and people do waits for writers, whatever `put_wait` is."""
    outbox = SQLiteOutbox(path, put_wait=0)
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.05, other.execute, ["ROLLBACK"])
        timer.start()
        assert outbox.stats().ready == 0
        timer.join()
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OutboxUnavailable):
            _put(outbox)


def test_reads_wait_for_nobody(path: Path) -> None:
    """Another process may hold the lock and a transaction; a put waits for no reader."""
    outbox = SQLiteOutbox(path, put_wait=0)
    key = _put(outbox)
    assert outbox.stats().ready == 1
    with path.with_name("usage.db.lock").open("r+b") as lock, closing(_database(path, "BEGIN IMMEDIATE")):
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert (outbox.stats().ready, outbox._waiting()[0], outbox.dead()) == (1, 1, [])
    with outbox._file.reading(0) as connection:
        assert connection.execute("SELECT key FROM events").fetchall() == [(key,)]
        assert _put(outbox)


def test_put_in_a_signal_handler_is_refused_during_a_put(path: Path) -> None:
    """It neither waits for its own thread nor takes part in the transaction that it interrupts."""
    outbox = SQLiteOutbox(path, put_wait=60)
    caught = []

    def handle(*_: object) -> None:
        for put in (
            lambda: _put(outbox),
            lambda: outbox.put_many([UsageEvent(company_id="c", feature_code="f", quantity=1)]),
        ):
            with pytest.raises(OutboxUnavailable, match="do not use it in a signal handler") as error:
                put()
            caught.append(error.value.event)

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        with pytest.raises(ZeroDivisionError), outbox._file.transaction():  # noqa: PT012 - the block is the subject
            signal.raise_signal(signal.SIGUSR1)
            raise ZeroDivisionError
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert [event is not None for event in caught] == [True, True]
    assert outbox.stats().ready == 0
    assert _put(outbox)


def test_wait_may_be_as_long_as_any(path: Path) -> None:
    """Neither a lock nor SQLite takes so large a number for none."""
    outbox = SQLiteOutbox(path, put_wait=1e15)
    assert _put(outbox)
    with outbox._file.turn(1e15), ThreadPoolExecutor() as pool:
        key = pool.submit(_put, outbox)
        with pytest.raises(TimeoutError):
            key.result(0.01)
        outbox._file._leave()
        assert key.result()
        outbox._file._enter(1)

    [(milliseconds,)] = outbox._file.change(lambda connection: connection.execute("PRAGMA busy_timeout").fetchall())
    assert milliseconds > 0


def test_threads_share_an_outbox(path: Path) -> None:
    """Eight threads that put at once lose nothing, and none is refused."""
    outbox = SQLiteOutbox(path, synchronous="normal", put_wait=30)  # a busy machine may stop one that has the lock
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: _put(outbox), range(400)))

    assert len(keys) == 400
    assert _keys(path) == keys


# Full


def test_full_outbox_refuses_puts_and_can_be_drained(tmp_path: Path) -> None:
    """At its maximum size `put` raises `OutboxFull` with the event; draining works, and makes space for puts."""
    world = World()
    world.outbox = outbox = SQLiteOutbox(tmp_path / "usage.db", max_bytes=2**16, synchronous="normal")
    count = 0
    with pytest.raises(OutboxFull, match="size of 65,536 bytes; drain it, or pass max_bytes=") as caught:  # noqa: PT012 - as below
        while count < 10_000:
            world.put(metadata={"text": "x" * 300})
            count += 1
    assert 50 < count < 200
    assert caught.value.event is not None
    assert caught.value.event.metadata == {"text": "x" * 300}
    event = UsageEvent(company_id="c", feature_code="f", quantity=1, metadata={"text": "x" * 30_000})
    with pytest.raises(OutboxFull):
        outbox.put_many([event, event])
    size = outbox.stats().bytes
    assert size is not None
    assert size <= 2**16
    assert (tmp_path / "usage.db").stat().st_size <= 2**16

    assert Sender(nobody(), outbox).drain().stopped == "outage"
    assert world.outbox.stats().ready == count
    world.outbox = outbox
    report = Sender(world.client, outbox).drain()
    assert report.counted + report.left == count
    assert world.put()


def test_refused_events_fit_into_a_full_outbox(tmp_path: Path) -> None:
    """Senders may exceed the maximum size: dead events need more bytes than they had."""
    world = World()
    world.outbox = SQLiteOutbox(tmp_path / "usage.db", max_bytes=2**16, synchronous="normal")
    count = 0
    with pytest.raises(OutboxFull):  # noqa: PT012 - the event that is refused comes late
        while count < 10_000:
            world.put(feature_code="unknown")
            count += 1

    assert world.sender().drain().refused == count
    with pytest.raises(OutboxFull):
        world.put(metadata={"text": "x" * 10_000})
    assert world.outbox.discard([event.key for event in world.outbox.dead(limit=count)]) == count
    assert world.put()


def test_events_that_fit_into_no_outbox_are_refused(path: Path) -> None:
    """More than the maximum size at once is a full outbox, and no full disk, also while it is empty."""
    outbox = SQLiteOutbox(path, max_bytes=2**16)
    event = UsageEvent(company_id="c", feature_code="f", quantity=1, metadata={"text": "x" * 70_000})

    with pytest.raises(OutboxFull, match="size of 65,536 bytes"):
        outbox.put_many([event])
    with pytest.raises(OutboxFull, match="size of 65,536 bytes"):
        _put(outbox, metadata=event.metadata)

    assert outbox.stats().ready == 0
    assert _put(outbox)


def test_space_that_is_found_is_used(path: Path) -> None:
    """Moving the log into the file makes space on a full disk: the put succeeds."""
    outbox = SQLiteOutbox(path)
    [(pages,)] = outbox._file.change(lambda connection: connection.execute("PRAGMA page_count").fetchall())
    outbox._file._connect().execute(f"PRAGMA max_page_count = {pages}")  # as SQLite reports a full disk

    assert _put(outbox, metadata={"text": "x" * 9_999})
    assert outbox.stats().ready == 1


def test_full_disk_is_unavailable(path: Path) -> None:
    """Without space on the disk the outbox is unavailable and not full; the log is moved into the file first."""
    outbox = SQLiteOutbox(path, synchronous="normal")
    _put(outbox)
    outbox._file._connect().execute("PRAGMA max_page_count = 1")  # SQLite reports it in the same way
    outbox._file._limit = lambda *_: None  # type: ignore[method-assign]

    with pytest.raises(OutboxUnavailable, match="the disk is full"):
        outbox.put_many(
            UsageEvent(company_id="c", feature_code="f", quantity=1, metadata={"text": "x" * 999}) for _ in range(99)
        )

    assert path.with_name("usage.db-wal").stat().st_size == 0
    assert outbox.stats().ready == 1
    assert _put(outbox)


def test_senders_have_a_reserve_of_the_disk(path: Path) -> None:
    """Before the disk is full puts are refused, so that senders can go on; the log takes no more than it needs."""
    outbox = SQLiteOutbox(path, synchronous="normal")
    log, free = path.with_name("usage.db-wal"), [2**30]
    outbox._file.free_bytes = lambda: free[0]  # type: ignore[method-assign]
    for _ in range(100):
        _put(outbox)
    assert log.stat().st_size > 2**18
    free[0] = 2**19
    for _ in range(16):
        _put(outbox)
    assert log.stat().st_size < 2**17
    free[0] = 2**17
    for put in (
        lambda: _put(outbox),
        lambda: outbox.put_many([UsageEvent(company_id="c", feature_code="f", quantity=1)]),
    ):
        with pytest.raises(OutboxUnavailable, match="the disk is full"):
            put()

    assert len(outbox._claim("one", 100, [], lease=30, now=lambda: 1e9)[1]) == 100
    free[0] = 2**18
    assert _put(outbox)
    free[0] = 2**30
    assert _put(outbox)


def test_processes_of_one_change_look_at_the_disk_too(path: Path) -> None:
    """A process that ends after its first put has moved the log before a scarce disk is full of it."""
    log, holder = path.with_name("usage.db-wal"), SQLiteOutbox(path, synchronous="normal")
    for _ in range(200):
        with SQLiteOutbox(path, synchronous="normal") as outbox:
            outbox._file.free_bytes = lambda: 2**19  # type: ignore[method-assign]
            _put(outbox)

    assert log.stat().st_size < 2**18
    with SQLiteOutbox(path, synchronous="normal") as outbox:
        outbox._file.free_bytes = lambda: 2**17  # type: ignore[method-assign]
        with pytest.raises(OutboxUnavailable, match="the disk is full"):
            _put(outbox)
    assert holder.stats().ready == 200


# Files


def test_file_is_the_owners(path: Path) -> None:
    """The file, its log and its lock are for their owner only; one with more rights loses them."""
    before = os.umask(0)
    try:
        path.touch(0o666)
        outbox = SQLiteOutbox(path)
        _put(outbox)
    finally:
        os.umask(before)

    for name in ("usage.db", "usage.db-wal", "usage.db-shm", "usage.db.lock"):
        assert stat.S_IMODE(path.with_name(name).stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["usage.db", "usage.db.lock"])
def test_symbolic_link_is_refused(path: Path, tmp_path: Path, name: str) -> None:
    """Neither the file nor its lock may be a link, whatever it leads to."""
    (tmp_path / "other").touch()
    path.with_name(name).symlink_to(tmp_path / "other")

    with pytest.raises(OutboxUnavailable, match=r"the outbox cannot be opened: "):
        SQLiteOutbox(path)

    assert (tmp_path / "other").read_bytes() == b""


def _database(path: Path, *statements: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    return connection


def _text(path: Path) -> None:
    path.write_text("a file of the user\n" * 99)


def _one_byte(path: Path) -> None:
    path.write_text("\n")


def _folder(path: Path) -> None:
    path.mkdir()


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _link(path: Path) -> None:
    _database(path.with_name("real"), "CREATE TABLE mine (id)").close()
    path.symlink_to("real")


def _dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def _log_alone(path: Path) -> None:
    path.with_name(f"{path.name}-wal").write_bytes(b"log of another application" * 99)


def _foreign(path: Path) -> None:
    _database(path, "CREATE TABLE mine (id)").close()


def _foreign_in_use(path: Path) -> sqlite3.Connection:
    return _database(path, "PRAGMA journal_mode = WAL", "CREATE TABLE mine (id)")


def _newer(path: Path) -> None:
    SQLiteOutbox(path).close()
    _database(path, "PRAGMA user_version = 99").close()
    path.with_name(f"{path.name}.lock").unlink()


def _content(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    found = {}
    for path in folder.iterdir():
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        found[path.name] = status.st_mode, status.st_mtime_ns, content
    return found


_OTHER = r"; pass the path of an outbox or of a new file; '.*/usage.db' was left unchanged"
_PLACE = r"; pass the path of a file in a folder that exists and can be written, instead of '.*/usage.db'"


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (_text, f"it is not an outbox{_OTHER}"),
        (_one_byte, f"it is not an outbox{_OTHER}"),
        (_folder, f"it is not a regular file{_PLACE}"),
        (_pipe, f"it is not a regular file{_PLACE}"),
        (_link, f"it is a symbolic link{_PLACE}"),
        (_dangling_link, f"it is a symbolic link{_PLACE}"),
        (_log_alone, f"it is not an outbox{_OTHER}"),
        (_foreign, f"it is the database of another application{_OTHER}"),
        (_foreign_in_use, f"it is the database of another application{_OTHER}"),
        (_newer, r"it has format 99, .* up to 1; upgrade chatarmin-os; '.*' was left unchanged"),
    ],
    ids=lambda value: value.__name__.strip("_").replace("_", "-") if callable(value) else "",
)
def test_file_that_cannot_be_used_stays_as_it_is(path: Path, make: Any, problem: str) -> None:
    """Nothing is changed in it, in its rights, or next to it; the error says what to do."""
    connection = make(path)
    if not path.is_symlink() and path.exists():
        path.chmod(0o664)
    before = _content(path.parent)

    with pytest.raises(OutboxUnavailable) as caught:
        SQLiteOutbox(path)

    assert re.fullmatch(f"the outbox cannot be opened: {problem}", str(caught.value))
    assert _content(path.parent) == before
    if connection is not None:
        connection.close()


@pytest.mark.parametrize("name", ["missing/usage.db", "usage.db/usage.db", "x" * 250, "null\0"])
def test_path_that_cannot_be_created_is_unavailable(path: Path, name: str) -> None:
    """Nothing is created: no folder, and no lock."""
    path.touch()
    with pytest.raises(OutboxUnavailable, match=r"cannot be opened: .*; pass the path of a file in a folder"):
        SQLiteOutbox(path.parent / name)

    assert [found.name for found in path.parent.iterdir()] == ["usage.db"]


def test_read_only_place_is_unavailable() -> None:
    """A folder in which nothing can be created, or a file that cannot be written, is one line with what to do."""
    with TemporaryDirectory() as name:  # in a folder that others may enter, unlike that of pytest
        folder = Path(name)
        folder.chmod(0o555)
        file = folder / "usage.db"
        with without_rights_of_root(), pytest.raises(OutboxUnavailable) as new:
            SQLiteOutbox(file)
        file.touch()
        file.chmod(0o444)
        with without_rights_of_root(), pytest.raises(OutboxUnavailable) as read_only:
            SQLiteOutbox(file)
        folder.chmod(0o755)

    for caught in (new, read_only):
        text = str(caught.value)
        assert text.startswith("the outbox cannot be opened: ")
        assert text.endswith(
            f"; pass the path of a file in a folder that exists and can be written, instead of '{file}'"
        )
        assert "\n" not in text


def test_outbox_refuses_copies() -> None:
    """Copies would share a connection; the error says what to do."""
    with TemporaryDirectory() as folder, SQLiteOutbox(f"{folder}/usage.db") as outbox:
        for act in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="cannot be copied or pickled; open the same path in the other process"):
                act(outbox)


def _keys_by_uri(path: Path) -> set[str]:
    with closing(sqlite3.connect(path.as_uri(), uri=True)) as connection:
        return {key for (key,) in connection.execute("SELECT key FROM events")}


def test_path_is_taken_literally(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Characters of URLs mean nothing in it, and a relative path is that of the folder at the start."""
    monkeypatch.chdir(tmp_path)
    outbox = SQLiteOutbox("ü ?mode=memory&x#y%20.db")
    outbox.close()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    key = _put(outbox)
    outbox.close()

    assert _keys_by_uri(tmp_path / "ü ?mode=memory&x#y%20.db") == {key}


def test_file_that_was_removed_is_created_again(path: Path) -> None:
    """A process goes on with a new file if somebody removed the one that it had open."""
    outbox = SQLiteOutbox(path)
    _put(outbox)
    for name in ("usage.db", "usage.db-wal", "usage.db-shm"):
        path.with_name(name).unlink()

    key = _put(outbox)

    assert _keys(path) == {key}


def test_file_holds_json_only(path: Path) -> None:
    """The input of an event can be read with any tool; nothing in the file is a pickle."""
    outbox = SQLiteOutbox(path)
    _put(outbox, idempotency_key="k", metadata={"a": [1]})
    outbox.close()

    with closing(sqlite3.connect(path)) as connection:
        [(text,)] = connection.execute("SELECT input FROM events")
    assert text == '{"featureCode": "ai_credit", "quantity": 1, "idempotencyKey": "k", "metadata": {"a": [1]}}'
