"""Keeping the state of products in a file."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import stat
import threading
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Self

from chatarmin_os._bounded_file import read_bounded
from chatarmin_os._clock import monotonic

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows, where a file that is open cannot be replaced either
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from chatarmin_os.server.products import Products

MAX_STATE_BYTES = 2**30
_PAUSE = 0.5  # seconds from the beginning of a writing to that of the next


class CannotServe(Exception):  # noqa: N818 - it says what it is
    """The fake cannot be served, and why: a library that is missing, a port in use, a file that is no state."""


class StateFile:
    """Keeps products in a file: loaded when it is made, saved while it is open, whenever they have changed.

    The file is written beside itself and then put in place, so that whoever is killed leaves the last good one. It is
    locked as long as this object lives, for of two servers each would overwrite what the other keeps (not on Windows).
    If somebody removes it meanwhile it is written again, and if somebody puts another one there, at the next change;
    but what another server keeps there by then is not overwritten. A new file is for its owner only, for people's
    addresses are in it; one that is there keeps its permissions, and a link stays a link to it.

    Fakes that were given are kept as well, and what is changed in Python; what the file has of one is loaded into it.

    Args:
        path: The file.
        products: What is kept, and what is loaded into; to be made before they are handed out.
        tell: Called with a line when the file cannot be written any more, and why, and when it can again.

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
        self._is_lost = False  # to another server
        self.problem: str | None = None
        self._lock = _Lock()
        try:
            self._begin()
        except BaseException:
            self._lock.release()
            raise

    def _begin(self) -> None:
        with self._noting_trouble():
            while not self._load() and not self._write(self._products.edition()):
                pass  # another server was quicker, and keeps it
        self._sweep()
        self.save()

    def _sweep(self) -> None:
        """Clear away what was left by those who were killed amid writing; what is locked is being written."""
        for left in self._path.parent.glob(escape(f".{self._path.name}.") + "[0-9]*.tmp"):
            lock = _Lock()
            with suppress(OSError):
                if lock.take(left):
                    left.unlink()
            lock.release()

    def _load(self) -> bool:
        """Load the file that is there, locked; return whether there is one."""
        try:
            if not self._lock.take(self._path):
                raise self._kept_by_another()
            text = read_bounded(str(self._path), MAX_STATE_BYTES).decode()
        except FileNotFoundError:
            return False
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise CannotServe(f"cannot read {self._shown}: {reason}; --state names another file") from error
        try:
            self._products.load(json.loads(text))
        except (ValueError, ArithmeticError, RecursionError) as error:
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
            started, problem = monotonic(), self.problem
            with suppress(CannotServe):  # it is tried again
                self.save()
            if self._tell and problem != self.problem:
                self._tell(self.problem or f"{self._shown} is written again")
            taken = monotonic() - started
            rest = 10 * _PAUSE if self.problem else max(_PAUSE / 5, _PAUSE - taken)

    def save(self) -> None:
        """Write the file, if anything has changed since, or it is not there any more.

        Raises:
            CannotServe: It cannot be written, or another server keeps it by now; what was there is there still.
        """
        with self._noting_trouble():
            edition = self._products.edition()
            while not self._is_kept() or edition != self._saved:
                self._write(edition)
            self.problem = None

    @contextmanager
    def _noting_trouble(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.problem = f"cannot write {self._shown}: {error.strerror or error}; --state names another file"
            raise CannotServe(self.problem) from error
        except CannotServe as error:
            self.problem = str(error)
            raise

    def _kept_by_another(self) -> CannotServe:
        return CannotServe(f"{self._shown} is kept by another server; --state names another file")

    def _is_kept(self) -> bool:
        """Return whether the file is there, and locked, also if it is another one than was; False: it was removed.

        Raises:
            CannotServe: Another server keeps it, or did: what it has left there is not ours to overwrite.
        """
        try:
            if not self._lock.is_on(self._path) and (not self._lock.take(self._path) or self._is_lost):
                self._lock.release()
                self._is_lost = True
                raise self._kept_by_another()
        except FileNotFoundError:
            self._is_lost = False
            return False
        return True

    def _write(self, edition: object) -> bool:
        """Write beside the file, and put it in place; return False where another server came in between."""
        beside = self._path.with_name(f".{self._path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
        beside.touch(0o600, exist_ok=False)
        lock = _Lock()
        try:
            if not lock.take(beside):
                return False
            self._fill(beside)
            if not self._put(beside):
                return False
            self._lock, lock, self._saved = lock, self._lock, edition
        except FileNotFoundError:  # one that starts took it for what somebody had left, and cleared it away
            return False
        finally:
            lock.release()
            beside.unlink(missing_ok=True)
        return True

    def _fill(self, beside: Path) -> None:
        with beside.open("r+", encoding="utf-8") as file:
            file.writelines(self._products.state_text())
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            shutil.copymode(self._path, beside)

    def _put(self, beside: Path) -> bool:
        """Put a file in the place of the one that is kept, or where none is; return False where there is another."""
        if not self._lock.is_on(self._path):
            try:
                os.link(beside, self._path)
            except OSError:  # there is one by now, or the file system has no such links
                if self._path.exists():
                    return False
            else:
                return True
        beside.replace(self._path)
        return True


class _Lock:
    """A lock on a file; it ends with this object, at the latest."""

    def __init__(self) -> None:
        self._descriptor: int | None = None

    def take(self, path: Path) -> bool:
        """Lock the file; return False where somebody else has.

        Raises:
            OSError: It cannot be opened, or is something else, such as a pipe, which would be waited for.
        """
        if fcntl is None:  # pragma: no cover - Windows
            return True
        while True:
            self.release()
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                self.release()
                raise OSError(errno.EINVAL, "it is no regular file")
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.release()
                return False
            except OSError:  # a file system without locks
                return True
            if self.is_on(path):  # and not on one that was replaced meanwhile
                return True

    def is_on(self, path: Path) -> bool:
        """Return whether the file that is there is the one that was locked."""
        with suppress(FileNotFoundError):
            there = path.stat()
            return fcntl is None or (
                self._descriptor is not None and os.path.samestat(os.fstat(self._descriptor), there)
            )
        return False

    def release(self) -> None:
        """Unlock it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __del__(self) -> None:
        self.release()
