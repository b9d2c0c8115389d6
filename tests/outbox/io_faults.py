"""Errors of a disk, by a small library that is preloaded: `io_faults.c` says what it can do."""

from __future__ import annotations

import ctypes
import errno
import os
import random
import shutil
import sqlite3
import subprocess
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from chatarmin_os.outbox import OutboxError, SQLiteOutbox, UsageEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatarmin_os.outbox import Outbox, Sender

PAGE = 4096


def compiler() -> str | None:
    """Return the C compiler of this machine, or None if it is missing."""
    return shutil.which("cc") or shutil.which("gcc")


def compile_library(folder: Path) -> str:
    """Return the path of the library to preload."""
    library = str(folder / "io_faults.so")
    source = str(Path(__file__).with_suffix(".c"))
    subprocess.run([compiler() or "cc", "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)  # noqa: S603
    return library


class Mode(NamedTuple):
    """How a call fails: with this error, or the process is killed there if it is 0."""

    name: str
    error: int
    is_lasting: bool = False
    is_torn: bool = False  # half of the bytes are written


MODES = (
    Mode("EIO", errno.EIO),
    Mode("ENOSPC", errno.ENOSPC),
    Mode("lasting EIO", errno.EIO, is_lasting=True),
    Mode("lasting ENOSPC", errno.ENOSPC, is_lasting=True, is_torn=True),
    Mode("torn EIO", errno.EIO, is_torn=True),
    Mode("kill", 0),
    Mode("torn kill", 0, is_torn=True),
)


class Faults:
    """The library in this process, for the files below a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder).encode()
        self._library = ctypes.CDLL(os.environ["LD_PRELOAD"])
        self._library.faults_disarm.restype = ctypes.c_long

    def arm(self, mode: Mode, place: int) -> None:
        """Let the call at this place fail."""
        flags = int(mode.is_lasting), int(mode.is_torn)
        self._library.faults_arm(self._folder, ctypes.c_long(place), 1, mode.error, *flags)

    def arm_at_random(self, one_in: int) -> None:
        """Let one of so many calls fail."""
        error = random.choice([errno.EIO, errno.ENOSPC])  # noqa: S311 - a test
        self._library.faults_arm(self._folder, ctypes.c_long(0), one_in, error, 0, random.randrange(2))  # noqa: S311

    def disarm(self) -> int:
        """Let no more calls fail; return how many have."""
        return int(self._library.faults_disarm())


class Steps:
    """What an outbox does, at each of whose calls the disk fails once.

    Args:
        path: The file.
        open_outbox: Returns the outbox in it.
        make_sender: Returns a sender of an outbox.
        acknowledge: Is given each key that `put` returned.
    """

    def __init__(
        self,
        path: Path,
        open_outbox: Callable[[], Outbox],
        make_sender: Callable[[Outbox], Sender],
        acknowledge: Callable[[str], None],
    ) -> None:
        self._path, self._open_outbox = path, open_outbox
        self._make_sender, self._acknowledge = make_sender, acknowledge

    def prepare(self) -> None:
        """Make a file with events, some of which are in the log only, as a killed process leaves it."""
        outbox = self._open()
        for _ in range(15):
            self._put(outbox)
        outbox._file.checkpoint()
        for _ in range(5):
            self._put(outbox)

    def run(self, step: str, arm: Callable[[], None], disarm: Callable[[], int]) -> int:
        """Run a step while calls fail, then put an event; return how many calls failed."""
        outbox = None
        if step in {"open", "salvage"}:
            if step == "salvage":
                self._damage()
        else:
            outbox = self._open()
            if step == "salvage later":
                outbox._file.checkpoint()
                self._damage()
        arm()
        with suppress(OutboxError):
            if outbox is None:
                outbox = self._open()
            elif step in {"put", "salvage later"}:
                self._put(outbox)
            elif step == "put many":
                events = [UsageEvent(company_id="comp_1", feature_code="seats", quantity=1) for _ in range(9)]
                for key in outbox.put_many(events):
                    self._acknowledge(key)
            elif step == "drain":
                self._make_sender(outbox).drain(limit=10)
            elif step == "checkpoint":
                outbox._doing(outbox._file.checkpoint)
            else:
                outbox.close()
        hits = disarm()
        self._put(outbox or self._open())
        return hits

    def _open(self) -> SQLiteOutbox:
        outbox = self._open_outbox()
        assert isinstance(outbox, SQLiteOutbox)
        return outbox

    def _put(self, outbox: SQLiteOutbox) -> None:
        self._acknowledge(outbox.put(external_org_id="org_1", feature_code="ai_credit", quantity=1))

    def _damage(self) -> None:
        """Overwrite the index of the keys, in the file itself."""
        with closing(sqlite3.connect(self._path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            query = "SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_events_1'"
            [(page,)] = connection.execute(query)
        with self._path.open("r+b") as file:
            file.seek((page - 1) * PAGE)
            file.write(b"\xff" * PAGE)


STEPS = ("open", "put", "put many", "drain", "checkpoint", "close", "salvage", "salvage later")
