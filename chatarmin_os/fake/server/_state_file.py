"""Keeping the state of products in a file."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import threading
import time
from contextlib import suppress
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Self

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows, where a file that is open cannot be replaced either
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from chatarmin_os.fake.server._products import Products

_PAUSE = 0.5  # seconds from the beginning of a writing to that of the next


class CannotServe(Exception):  # noqa: N818 - it says what it is
    """The fake cannot be served, and why: a library that is missing, a port in use, a file that is no state."""


class StateFile:
    """Keeps products in a file: loaded when it is made, saved while it is open, whenever they have changed.

    The file is written beside itself and then put in place, so that whoever is killed leaves the last good one. It is
    locked as long as this object lives, for of two servers each would overwrite what the other keeps (not on Windows).
    A new one is for its owner only, for people's addresses are in it; one that is there keeps its permissions, and a
    link stays a link to it.

    Args:
        path: The file.
        products: What is kept, and what is loaded into; to be made before they are handed out.
        tell: Called with a line when the file cannot be written any more, and when it can again.

    Attributes:
        problem: Why it could not be saved the last time.

    Raises:
        CannotServe: The file is no state, is kept by another server, or cannot be written.
    """

    def __init__(
        self, path: str | os.PathLike[str], products: Products, *, tell: Callable[[str], None] | None = None
    ) -> None:
        self._shown, self._path = os.fspath(path), Path(os.path.realpath(path))
        self._products, self._tell = products, tell
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._saved: object = None
        self.problem: str | None = None
        self._lock = _Lock()
        try:
            self._begin()
        except BaseException:
            self._lock.release()
            raise

    def _begin(self) -> None:
        while not self._load():
            self._save(self._create)
            # It is made; or another server was quicker, and keeps it.
        for left in self._path.parent.glob(escape(f".{self._path.name}.") + "[0-9]*.tmp"):  # by those who were killed
            with suppress(OSError):
                left.unlink()
        self.save()

    def _load(self) -> bool:
        """Load the file that is there, locked; return whether there is one, or it was made just now."""
        if self._saved is not None:
            return True
        try:
            if not self._lock.take(self._path):
                raise CannotServe(f"{self._shown} is kept by another server; --state names another file")
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return False
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise CannotServe(f"cannot read {self._shown}: {reason}; --state names another file") from error
        try:
            self._products.load(json.loads(text))
        except (ValueError, RecursionError) as error:
            told = f"{self._shown} is no state of the fake, and stays as it is: {error}; --state names another file"
            raise CannotServe(told) from error
        return True

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._keep, name="state file", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopped.set()
        if self._thread:
            self._thread.join()
        try:
            self.save()
        finally:
            self._lock.release()

    def _keep(self) -> None:
        rest = _PAUSE
        while not self._stopped.wait(rest):
            started, problem = time.monotonic(), self.problem
            with suppress(CannotServe):  # it is tried again
                self.save()
            if self._tell and (problem is None) != (self.problem is None):
                self._tell(self.problem or f"{self._shown} is written again")
            taken = time.monotonic() - started
            rest = 10 * _PAUSE if self.problem else max(_PAUSE / 5, _PAUSE - taken)

    def save(self) -> None:
        """Write the file, if anything has changed since.

        Raises:
            CannotServe: It cannot be written; what was there is there still.
        """
        self._save(Path.replace)

    def _save(self, put_in_place: Callable[[Path, Path], object]) -> None:
        edition = self._products.edition()
        if edition == self._saved:
            return
        try:
            if self._write(put_in_place):
                self._saved, self.problem = edition, None
        except OSError as error:
            self.problem = f"cannot write {self._shown}: {error.strerror or error}; --state names another file"
            raise CannotServe(self.problem) from error

    def _write(self, put_in_place: Callable[[Path, Path], object]) -> bool:
        """Write beside the file, and put it in place; return whether it is."""
        beside = self._path.with_name(f".{self._path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
        lock = _Lock()
        try:
            beside.touch(0o600, exist_ok=False)
            with beside.open("w", encoding="utf-8") as file:
                file.writelines(self._products.state_text())
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileNotFoundError):
                shutil.copymode(self._path, beside)
            lock.take(beside)
            if put_in_place(beside, self._path) is False:
                return False
            self._lock, lock = lock, self._lock
            return True
        finally:
            lock.release()
            beside.unlink(missing_ok=True)

    @staticmethod
    def _create(beside: Path, path: Path) -> bool:
        """Put a first file in place, unless there is one by now."""
        try:
            os.link(beside, path)
        except (FileExistsError, FileNotFoundError):  # the other one has cleared ours away
            return False
        except OSError:  # a file system without such links
            beside.replace(path)
        return True


class _Lock:
    """A lock on a file; it ends with this object, at the latest."""

    def __init__(self) -> None:
        self._descriptor: int | None = None

    def take(self, path: Path) -> bool:
        """Lock the file; return False where somebody else has.

        Raises:
            OSError: It cannot be opened.
        """
        if fcntl is None:  # pragma: no cover - Windows
            return True
        while True:
            self.release()
            self._descriptor = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.release()
                return False
            except OSError:  # a file system without locks
                return True
            if os.path.samestat(os.fstat(self._descriptor), path.stat()):  # and not one that was replaced meanwhile
                return True

    def release(self) -> None:
        """Unlock it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __del__(self) -> None:
        self.release()
