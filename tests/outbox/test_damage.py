"""Damaged files: they are set aside, and nothing that can be read is lost."""

from __future__ import annotations

import logging
import os
import resource
import shutil
import signal
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from outbox_world import World

from chatarmin_os import InvalidInput
from chatarmin_os.outbox import Outbox, OutboxUnavailable, SQLiteOutbox, UsageEvent, salvage

if TYPE_CHECKING:
    from pathlib import Path

PAGE = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a file that does not exist yet."""
    return tmp_path / "usage.db"


def _put(outbox: Outbox, count: int = 1, **values: Any) -> list[str]:
    given = {"company_id": "comp_1", "feature_code": "ai_credit", "quantity": 1, **values}
    return [outbox.put(**given) for _ in range(count)]


def _filled(path: Path, count: int = 300) -> list[str]:
    """Make a closed file with events, and return their keys."""
    with SQLiteOutbox(path, synchronous="normal") as outbox:
        return _put(outbox, count)


def _keys(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [key for (key,) in connection.execute("SELECT key FROM events ORDER BY id")]


def _aside(path: Path) -> list[str]:
    return sorted(found.name for found in path.parent.iterdir() if ".corrupt-" in found.name)


def _overwrite(path: Path, page: int, content: bytes = b"\xff" * PAGE) -> None:
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(content)


def _forget_pages(path: Path) -> None:
    """Let other connections read the file again, by a change of another program."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE events SET failures = 1 WHERE id = 1")
        connection.commit()


def _page_of(path: Path, name: str, number: int = 0) -> int:
    """Return the page of a table or index, or one of the leaves of a table."""
    with closing(sqlite3.connect(path)) as connection:
        if not number:
            [(page,)] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,))
            return int(page)
    content = path.read_bytes()
    leaves = [place for place in range(2, len(content) // PAGE + 1) if content[(place - 1) * PAGE] == 13]
    return leaves[number - 1]


@pytest.mark.parametrize("pages", [1, 2, 5, 12])
def test_file_of_a_process_killed_amid_a_checkpoint_is_whole(path: Path, pages: int) -> None:
    """A checkpoint writes the first pages first: without its log, the file then has fewer pages than it says."""
    _filled(path, 20)
    outbox = SQLiteOutbox(path, synchronous="normal")
    _put(outbox, 200)
    copy = path.with_name("copy.db")
    for part in ("", "-wal"):
        shutil.copyfile(f"{path}{part}", f"{copy}{part}")
    outbox.close()  # moves the log into the file
    first = path.read_bytes()[: pages * PAGE]
    assert len(first) < path.stat().st_size
    with copy.open("r+b") as file:
        file.write(first)
    with SQLiteOutbox(copy) as found:
        assert found.stats().ready == 220
    assert _aside(copy) == []


def test_file_that_is_no_database_is_set_aside(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Something else in the place of the file stays as evidence, and a new file is begun; an ERROR says so."""
    SQLiteOutbox(path).close()
    path.write_bytes(b"not a database" * 999)

    outbox = SQLiteOutbox(path)

    assert _put(outbox) == _keys(path)
    [name] = _aside(path)
    assert path.with_name(name).read_bytes() == b"not a database" * 999
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "0 events could be read" in caplog.messages[0]
    assert name in caplog.messages[0]


def test_schema_that_is_damaged_is_set_aside(path: Path) -> None:
    """A file of the right kind without its table is damaged."""
    _filled(path, 3)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE events")

    _put(SQLiteOutbox(path))

    assert _aside(path)


def test_small_file_is_read_whole(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A damaged page in the middle is found at the opening; all rows of other pages are copied."""
    keys = _filled(path)
    _overwrite(path, _page_of(path, "events", number=2))

    with SQLiteOutbox(path) as outbox:
        found = _keys(path)
        assert 200 < len(found) < 300
        assert found == [key for key in keys if key in found]
        assert outbox.stats().ready == len(found)
    assert f"{len(found)} events could be read" in caplog.messages[0]
    assert len(caplog.messages) == 1
    assert SQLiteOutbox(path).stats().ready == len(found)


def test_damaged_index_loses_nothing(path: Path) -> None:
    """Rows are read without the index of keys."""
    keys = _filled(path)
    _overwrite(path, _page_of(path, "sqlite_autoindex_events_1"))

    SQLiteOutbox(path)

    assert _keys(path) == keys


@pytest.mark.parametrize("synchronous", ["full", "normal"])
def test_damage_found_later_loses_nothing(path: Path, synchronous: Any) -> None:
    """What SQLite finds while the file is in use is handled in the same way: `put` succeeds."""
    keys = _filled(path)
    outbox = SQLiteOutbox(path, synchronous=synchronous)
    _forget_pages(path)
    _overwrite(path, _page_of(path, "sqlite_autoindex_events_1"))

    key = _put(outbox)

    assert sorted(_keys(path)) == sorted([*keys, *key])
    assert [name for name in _aside(path) if name.endswith("-wal")]


def test_damage_found_by_a_sender_loses_nothing(path: Path) -> None:
    """A step of a sender that finds damage is repeated on the new file."""
    keys = _filled(path)
    outbox = SQLiteOutbox(path)
    _forget_pages(path)
    _overwrite(path, _page_of(path, "sqlite_autoindex_events_1"))
    outbox.put_many([UsageEvent(company_id="c", feature_code="f", quantity=1) for _ in range(2)])

    claimed = outbox._claim("one", 500, [], lease=30, now=lambda: 1e9)[1]
    outbox._apply("one", [], lease=30, now=lambda: 1e9)
    assert outbox.stats().leased + outbox.stats().ready == len(claimed) == len(keys) + 2
    assert [name for name in _aside(path) if name.endswith("-wal")]


def test_damage_found_by_a_reader_loses_nothing(path: Path) -> None:
    """A reader goes on with the new file, too."""
    _filled(path)
    outbox = SQLiteOutbox(path)
    _overwrite(path, _page_of(path, "events", number=2))

    ready = outbox.stats().ready

    assert ready == len(_keys(path)) > 200
    assert _aside(path)


def test_log_goes_with_the_file(path: Path) -> None:
    """Rows that are in the log only are copied, and the log is evidence next to its file."""
    outbox = SQLiteOutbox(path, synchronous="normal")
    keys = _put(outbox, 20)
    folder = path.parent / "killed"
    folder.mkdir()
    for name in ("usage.db", "usage.db-wal"):  # as a process leaves them that was killed
        shutil.copy(path.with_name(name), folder / name)
    outbox.close()
    copy = folder / "usage.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("SELECT 1")
    log = (folder / "usage.db-wal").read_bytes()
    _overwrite(copy, 1, b"SQLite format 3\0" + b"\xff" * 84)

    SQLiteOutbox(copy, synchronous="normal").close()

    assert _keys(copy) == keys
    [name] = [name for name in _aside(copy) if name.endswith("-wal")]
    assert (folder / name).read_bytes() == log


def test_all_files_of_the_old_one_go_with_it(path: Path) -> None:
    """The journal and the log are evidence too, and the new file has neither."""
    for part in ("", "-journal", "-wal", "-shm"):
        path.with_name(f"usage.db{part}").write_text(f"content{part}")

    _, aside = salvage.replace(str(path))

    parts = {part: path.parent / f"{aside}{part}" for part in ("", "-journal", "-wal")}
    assert {part: file.read_text() for part, file in parts.items()} == {part: f"content{part}" for part in parts}
    assert _keys(path) == []


def test_other_processes_go_on_with_the_new_file(path: Path) -> None:
    """One that has the old file open notices before its next put."""
    keys = _filled(path)
    other = SQLiteOutbox(path, synchronous="normal")
    first = _put(other)
    _overwrite(path, _page_of(path, "sqlite_autoindex_events_1"))
    one = SQLiteOutbox(path, synchronous="normal")
    second = _put(one)

    third = _put(other)

    assert sorted(_keys(path)) == sorted([*keys, *first, *second, *third])


def test_file_is_replaced_once(path: Path) -> None:
    """Of two that find the damage, the second goes on with the file of the first."""
    keys = _filled(path)
    one, other = (SQLiteOutbox(path, synchronous="normal") for _ in range(2))
    _overwrite(path, _page_of(path, "sqlite_autoindex_events_1"))
    one._file._replace()
    before = _aside(path)

    other._file._replace()

    assert _aside(path) == before
    assert _keys(path) == keys
    assert _put(other)


def test_names_of_the_same_second_differ(path: Path) -> None:
    """Files that are set aside within a second get names of their own."""
    SQLiteOutbox(path).close()
    for content in (b"one" * 99, b"two" * 99, b"three" * 99):
        path.write_bytes(content)
        SQLiteOutbox(path).close()
        path.unlink()

    assert len(_aside(path)) == 3
    assert {path.with_name(name).read_bytes()[:3] for name in _aside(path)} == {b"one", b"two", b"thr"}


@pytest.mark.parametrize("size", [0, 1, 99, PAGE])
@pytest.mark.parametrize("is_open", [True, False], ids=["open", "killed"])
def test_truncated_file_keeps_the_rows_of_its_log(path: Path, size: int, *, is_open: bool) -> None:
    """SQLite would remove the log of an empty file, and go on with the log of an open one."""
    outbox = SQLiteOutbox(path, synchronous="normal")
    keys = _put(outbox, 20)
    if not is_open:
        log = path.with_name("usage.db-wal")
        content = log.read_bytes()
        outbox.close()
        log.write_bytes(content)
    os.truncate(path, size)

    if not is_open:
        outbox = SQLiteOutbox(path, synchronous="normal")
    key = _put(outbox)

    assert set(_keys(path)) == {*keys, *key}
    assert outbox.stats().ready == 21


def test_log_whose_file_is_missing_is_read(path: Path) -> None:
    """A file that was removed or moved away by hand while it was open leaves its log, with events that only it has."""
    outbox = SQLiteOutbox(path, synchronous="normal")
    keys = _put(outbox, 20)
    path.rename(path.with_name("moved.db"))

    key = _put(outbox)

    assert set(_keys(path)) == {*keys, *key}
    assert [name for name in _aside(path) if name.endswith("-wal")]


@pytest.mark.parametrize("log", [b"", b"not a log", b"\0" * 99])
def test_empty_file_with_a_damaged_log_is_set_aside(path: Path, log: bytes) -> None:
    """Whatever the log has, it stays as evidence."""
    SQLiteOutbox(path).close()
    path.write_bytes(b"")
    path.with_name("usage.db-wal").write_bytes(log)

    assert _put(SQLiteOutbox(path)) == _keys(path)
    found = [path.with_name(name) for name in _aside(path) if name.endswith("-wal")]
    assert [file.read_bytes() for file in found] == ([log] if log else [])


@pytest.mark.parametrize("damaged", [slice(0, 100), slice(0, PAGE)])
def test_damaged_file_without_its_lock_is_recognised(path: Path, damaged: slice) -> None:
    """A copy of a damaged outbox is repaired, too: it has traces of one."""
    keys = _filled(path, 30)
    path.with_name("usage.db.lock").unlink()
    content = bytearray(path.read_bytes())
    content[damaged] = b"\xff" * damaged.stop
    path.write_bytes(content)

    outbox = SQLiteOutbox(path)

    assert _keys(path) == keys
    assert outbox.stats().ready == 30
    assert [path.with_name(name).read_bytes() for name in _aside(path)] == [content]


# Rows that are damaged in a file that is not


@pytest.mark.parametrize(
    "change",
    [
        "input = substr(input, 1, 30)",
        "input = '[]'",
        'input = replace(input, \'"quantity": 1\', \'"quantity": "1"\')',
        "input = replace(input, 'ai_credit', 'ai_cr' || CAST(x'ff' AS TEXT))",
        "input = CAST(input AS BLOB)",
        "key = key || 'x'",
        "key = key || CAST(x'ff' AS TEXT)",
        "company = CAST(x'ff' AS TEXT)",
        "company = x'ff'",
        "created = 'long ago'",
        "created = 1e300",
    ],
)
def test_damaged_row_is_dead(path: Path, change: str, caplog: pytest.LogCaptureFixture) -> None:
    """A row of which SQLite finds no fault is not sent, and keeps no other from being sent; it stays as evidence."""
    world = World()
    world.outbox = outbox = SQLiteOutbox(path, synchronous="normal", now=world.now)
    world.put(3)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"UPDATE events SET {change} WHERE id = 2")  # noqa: S608 - our own text
        connection.commit()
        before = connection.execute("SELECT CAST(input AS BLOB) FROM events WHERE id = 2").fetchall()
    assert outbox.stats().ready == 3

    assert world.sender().drain().counted == 2

    assert outbox.stats().dead_quantity == {"damaged": pytest.approx(0, abs=1)}
    [event] = outbox.dead()
    assert (event.feature_code, event.quantity, event.reason, event.attempts) == ("", 0, "damaged", 0)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT CAST(input AS BLOB) FROM events").fetchall() == before
    assert outbox.revive() == 1
    assert world.sender().drain().counted == 0
    assert outbox.stats().dead == 1


def test_key_of_a_damaged_row_is_refused(path: Path) -> None:
    """It cannot be known whether the event is the same."""
    outbox = SQLiteOutbox(path)
    _put(outbox, idempotency_key="k")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE events SET input = '{'")
        connection.commit()

    with pytest.raises(InvalidInput, match="the event 'k' waits with other values"):
        _put(outbox, idempotency_key="k")


# The end of a process on the way


@pytest.mark.parametrize("step", ["written", "moved"])
def test_end_of_the_process_loses_nothing(path: Path, step: str) -> None:
    """A process that ends while it replaces the file leaves it to the next one."""
    keys = _filled(path)
    _overwrite(path, _page_of(path, "sqlite_autoindex_events_1"))
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    salvage.replace(str(path))  # the new file is complete
    path.rename(f"{path}.salvaged")
    if step == "written":
        shutil.copy(copy, path)
    else:
        path.with_name("usage.db-wal").write_bytes(b"the log of the old file")

    outbox = SQLiteOutbox(path)

    assert _keys(path) == keys
    assert _put(outbox)
    assert not path.with_name("usage.db.salvaged").exists()
    if step == "moved":
        assert any(name.endswith("-wal") for name in _aside(path))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_kill_at_each_step_loses_nothing(path: Path) -> None:
    """SIGKILL before each change of a name: the next opening has every event, and the log is next to its old file."""
    keys = _filled(path, 200)
    _overwrite(path, _page_of(path, "sqlite_autoindex_events_1"))
    path.with_name("usage.db-journal").write_bytes(bytes(99))
    content, steps = path.read_bytes(), 0
    for kill_at in range(9):
        child = os.fork()
        if not child:
            _kill_at_rename(kill_at)
            salvage.replace(str(path))
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            break
        steps += 1
        with SQLiteOutbox(path) as outbox:
            assert outbox.stats().ready == 200
        assert set(_keys(path)) == set(keys)
        assert not path.with_name("usage.db.salvaged").exists()
        old = [name for name in _aside(path) if not name.endswith(("-wal", "-shm", "-journal"))]
        assert [path.with_name(name).read_bytes() for name in old] == [content]
        assert f"{old[0]}-journal" in _aside(path)
        for name in _aside(path):
            path.with_name(name).unlink()
        path.write_bytes(content)
        path.with_name("usage.db-journal").write_bytes(bytes(99))
    assert steps == 5


def _kill_at_rename(count: int) -> None:
    rename, calls = os.rename, iter(range(99))

    def rename_or_die(*names: str) -> None:
        if next(calls) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        rename(*names)

    os.rename = rename_or_die  # type: ignore[assignment]


def test_incomplete_file_is_not_used(path: Path) -> None:
    """A new file that was not complete is begun again."""
    keys = _filled(path)
    _overwrite(path, _page_of(path, "sqlite_autoindex_events_1"))
    path.with_name("usage.db.salvaged").write_bytes(b"half of it")

    SQLiteOutbox(path)

    assert _keys(path) == keys


def test_damaged_values_stay_in_the_old_file(path: Path) -> None:
    """A row whose text is no event any more stays in the old file."""
    keys = _filled(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE events SET input = '{\"featureCode' WHERE id = 7")
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("UPDATE events SET company = NULL WHERE id = 9")
        connection.commit()
    _overwrite(path, _page_of(path, "sqlite_autoindex_events_1"))

    SQLiteOutbox(path)

    assert _keys(path) == [key for place, key in enumerate(keys) if place not in {6, 8}]


def test_new_file_that_cannot_be_written_changes_nothing(path: Path) -> None:
    """If the events cannot be copied, the damaged file stays where it is, and the outbox is unavailable."""
    _filled(path)
    _overwrite(path, _page_of(path, "sqlite_autoindex_events_1"))
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(OutboxUnavailable, match="disk"):
            SQLiteOutbox(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before
    assert _aside(path) == []

    assert SQLiteOutbox(path).stats().ready == 300


def test_folder_that_takes_no_new_file_is_unavailable(path: Path) -> None:
    """If the new file cannot be created, the error says why."""
    _filled(path, 3)
    path.write_bytes(b"not a database" * 99)
    path.with_name("usage.db.salvaged").mkdir()

    with pytest.raises(OutboxUnavailable, match="the outbox cannot be opened: Is a directory"):
        SQLiteOutbox(path)


def test_file_that_stays_damaged_is_unavailable(path: Path) -> None:
    """A put that meets damage a second time raises, and the error has the event."""
    outbox = SQLiteOutbox(path)
    _put(outbox)
    outbox._file._replace = lambda: None  # type: ignore[method-assign]
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    _overwrite(path, _page_of(path, "sqlite_autoindex_events_1"))

    with pytest.raises(OutboxUnavailable, match="it is damaged") as caught:
        _put(outbox, idempotency_key="k")

    assert caught.value.event is not None
    assert caught.value.event.idempotency_key == "k"


def _flip(path: Path, after: bytes, offset: int, bits: int) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(after) + offset] ^= bits
    path.write_bytes(content)


def test_damaged_count_of_an_event_does_not_stop_others(path: Path) -> None:
    """SQLite does not notice a flipped type of a value: the event is dead, and the others are delivered."""
    with SQLiteOutbox(path) as outbox:
        outbox.put(company_id="comp_1", feature_code="seats", quantity=1, idempotency_key="key_1")
        _put(outbox, 2)
    _flip(path, b"key_1", -6, 4)  # the type of `attempts`: bytes instead of 0
    world = World()
    world.outbox = SQLiteOutbox(path)

    with world.outbox:
        assert world.drain(lambda calls: [{"currentUsage": 1} for _ in calls]).counted == 2
        [event] = world.outbox.dead()
        assert (event.key, event.reason, event.attempts) == ("key_1", "damaged", 0)


def test_text_of_a_dead_event_that_is_damaged_does_not_stop_the_copy(path: Path) -> None:
    """A damaged file is copied, too, if the reason of an event cannot be encoded any more."""
    world = World()
    world.outbox = SQLiteOutbox(path)
    with world.outbox as outbox:
        keys = _put(outbox, 3, company_id="comp_1", feature_code="no-such")
        assert world.sender().drain().refused == 3
    _flip(path, b"NOT_FOUND", 0, 0x80)
    _overwrite(path, _page_of(path, "due"))

    with SQLiteOutbox(path) as outbox:
        assert {event.key for event in outbox.dead()} == set(keys)
        assert outbox.stats().dead_quantity == {"NOT_FOUND": 2, "damaged": 1}


@pytest.mark.parametrize(("offset", "bits"), [(68, 1), (63, 1), (47, 8)])
def test_damaged_identity_of_a_file_is_repaired(path: Path, offset: int, bits: int) -> None:
    """A header with another application, format or version of SQLite before the table of an outbox is damaged."""
    keys = _filled(path, 5)
    _flip(path, b"SQLite format 3", offset, bits)

    with SQLiteOutbox(path):
        assert len(_aside(path)) > 0
    assert _keys(path) == keys


def test_damaged_number_of_a_row_does_not_make_the_copy_endless(path: Path) -> None:
    """Not every number below the largest one is looked for: a damaged one may be anything."""
    keys = _filled(path, 5)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE events SET id = ? WHERE id = 3", (2**62,))
        connection.commit()
    _overwrite(path, _page_of(path, "due"))

    with SQLiteOutbox(path) as outbox:
        assert outbox.stats().ready == 5
    assert sorted(_keys(path)) == sorted(keys)


def test_event_of_which_only_the_state_is_damaged_is_dead(path: Path) -> None:
    """An event whose row cannot be read to its end is kept: nobody knows whether the service has counted it."""
    with SQLiteOutbox(path) as outbox:
        outbox.put(company_id="comp_1", feature_code="seats", quantity=1, idempotency_key="key_1")
        _put(outbox, 2)
    _flip(path, b"key_1", -1, 0x7F)  # the type of `error`: a text longer than the row

    with SQLiteOutbox(path) as outbox:
        outbox.stats()
        _overwrite(path, _page_of(path, "due"))
    with SQLiteOutbox(path) as outbox:
        assert outbox.stats().ready == 2
        [event] = outbox.dead()
        assert (event.key, event.reason) == ("key_1", "damaged")
