"""A lock between processes, on a file of its own."""

from __future__ import annotations

import stat
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from chatarmin_os._file_lock import FileLock


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Return the path of a file that does not exist yet."""
    return str(tmp_path / "some.lock")


def test_one_at_a_time_has_the_lock(path: str) -> None:
    """A second one waits as long as it was asked to, and gets the lock once the first has given it back."""
    with closing(FileLock(path)) as one, closing(FileLock(path)) as other:
        assert one.acquire(0)
        assert not other.acquire(0)
        assert not other.acquire(0.005)
        one.release()
        assert other.acquire(0)
        assert not one.acquire(0)


def test_lock_ends_when_it_is_closed(path: str) -> None:
    """Closing the file gives the lock back; a second close does nothing, and the next use opens it again."""
    one = FileLock(path)
    assert one.acquire(0)
    one.close()
    one.close()
    one.release()
    with closing(FileLock(path)) as other:
        assert other.acquire(0)
        assert not one.acquire(0)
    assert one.acquire(0)
    one.close()


def test_lock_ends_with_its_process(path: str) -> None:
    """The lock of a process that was killed is free."""
    program = (
        "import os, sys; from chatarmin_os._file_lock import FileLock; "
        "FileLock(sys.argv[1]).acquire(0); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, path], check=False)  # noqa: S603 - our own program

    with closing(FileLock(path)) as lock:
        assert lock.acquire(0)


def test_file_is_the_owners(path: str) -> None:
    """It is created for its owner only, and no link is followed."""
    with closing(FileLock(path)) as lock:
        lock.acquire(0)
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
    Path(f"{path}.link").symlink_to(path)
    with closing(FileLock(f"{path}.link")) as link, pytest.raises(OSError, match="symbolic"):
        link.acquire(0)


def test_process_that_has_waited_for_long_is_let_in(path: str) -> None:
    """Who takes the lock again and again steps back once when another one has lost its patience."""
    with closing(FileLock(path)) as one, closing(FileLock(path, patience=0.0)) as other:
        assert one.acquire(0)
        got = []
        waiting = threading.Thread(target=lambda: got.append(other.acquire(60)))
        waiting.start()
        while not Path(path).stat().st_size:
            assert waiting.is_alive()
        for _ in range(1_000):
            one.release()
            if not one.acquire(0.01):
                break
        one.release()
        waiting.join(60)
        assert got == [True]
        assert Path(path).stat().st_size == 0


def test_request_of_a_process_that_was_killed_is_removed(path: str) -> None:
    """Its request lets another one step back once; who does not wait at all does not step back."""
    with closing(FileLock(path)) as one, closing(FileLock(path, patience=0.0)) as other:
        assert one.acquire(0)
        assert not other.acquire(0.005)
        assert Path(path).stat().st_size == 1
        one.release()
        assert one.acquire(0)
        assert Path(path).stat().st_size == 1
        one.release()
        assert one.acquire(60)
        assert Path(path).stat().st_size == 0
        assert not other.acquire(0)
