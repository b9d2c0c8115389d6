"""The state file: all that the products of a local service know, in SQLite."""

from __future__ import annotations

import json
import os
import shutil
import threading
from contextlib import contextmanager, suppress
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Self

from chatarmin_os._bounded_file import read_bounded
from chatarmin_os._clock import monotonic
from chatarmin_os._sqlite import SQLiteFile
from chatarmin_os._sqlite_errors import FileInUseError, ForeignFileError, NoDatabaseError, SQLiteFileError
from chatarmin_os.server import state_rows
from chatarmin_os.server.products import Products
from chatarmin_os.server.startup import StartupError

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    from chatarmin_os._json import JSON
    from chatarmin_os.server.product import Product

SAVE_INTERVAL_SECONDS = 0.5
MAX_JSON_BYTES = 2**30
"""A state file of version 0.1.0 is JSON; a larger one is refused."""

_APPLICATION_ID = int.from_bytes(b"cOSs", "big")
_JSON_FORMAT = "chatarmin_os serve 1"


class StateFile:
    """Saves products to a file: loads them when it is created, and saves their changes while it is open.

    Policies:
        - **Saving**: twice a second and at the end, and only the changes. A process that is killed leaves the
          last saved state.
        - **One server**: a second server is refused the file.
        - **Removed or replaced files**: a file that is removed is created again. If somebody replaces it or writes to
          it, the service does not load it: at the next change it is renamed to `<path>.replaced`, and a new file takes
          its place. It stays, and nothing is saved, if another server uses it or it is no state file. *notify* is
          called in each case.
        - **Privacy**: a new file is for its owner only, as it has names and addresses; API keys are not in it. An
          existing file keeps its permissions, and a symbolic link stays one.
        - **Older files**: a state file of version 0.1.0, which is JSON, is converted when it is opened.

    Fakes that were passed in are saved too, with the changes that are made to them in Python. If the file has a product
    with the same key, its saved state replaces that of the fake.

    Args:
        path: The file.
        products: The products to load into and to save; load them before they are used.
        notify: Called with one line when the file cannot be written any more, when it can again, and when it was
            removed or replaced. Version 0.1.0 named it `tell`, which is accepted too.
        interval_seconds: The time from one saving to the next.

    Attributes:
        problem: Why the last saving failed; None if it did not.

    Raises:
        StartupError: The file is not a state file, is in use by another server, or cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        products: Products,
        *,
        notify: Callable[[str], None] | None = None,
        interval_seconds: float = SAVE_INTERVAL_SECONDS,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self._shown, self._path = os.fspath(path), os.path.realpath(path)
        self._products, self._interval_seconds = products, interval_seconds
        self._notify: Callable[[str], object] = notify or tell or _ignore
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()  # one saving at a time
        self._saved: dict[str, state_rows.Tables] = {}  # by product id: the rows in the file
        self._revisions: dict[Product, int] = {}
        self._is_lost = False  # to another server
        self._is_replaced = False  # by a file that was not loaded
        self.problem: str | None = None
        self._file = self._open()
        try:
            self._load()
            self.save()
        except BaseException:
            self._file.close()
            raise

    def _open(self) -> SQLiteFile:
        with self._startup_errors("open"):
            try:
                return _open(self._path)
            except NoDatabaseError:
                self._convert_json()
                return _open(self._path)

    def _convert_json(self) -> None:
        """Replace a file of version 0.1.0 by a database that has the same products."""
        with open(self._path, "rb") as file:  # noqa: PTH123 - its descriptor is locked
            _lock_as_version_0_1(file.fileno())
            if not os.path.samestat(os.fstat(file.fileno()), os.stat(self._path)):  # noqa: PTH116 - as fstat
                return  # another server has converted it
            products = Products()
            with _foreign_if_invalid():
                products.load(_rows_of_json(read_bounded(self._path, MAX_JSON_BYTES)))
            beside = Path(self._path).with_name(f".{Path(self._path).name}.converted")
            beside.unlink(missing_ok=True)  # a process that was killed may have left one
            StateFile(beside, products).close()
            shutil.copymode(self._path, beside)
            beside.replace(self._path)

    def _load(self) -> None:
        with self._startup_errors("read"):
            self._file.check()
        with self._startup_errors("read"), self._file.transaction() as connection, _foreign_if_invalid():
            names, tables = state_rows.load(connection)
            self._products.load(
                [{"id": key, "name": name, "snapshot": state_rows.join(tables[key])} for key, name in names.items()]
            )
            self._saved = tables

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._save_repeatedly, name="state file", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Save for the last time, and release the file.

        Raises:
            StartupError: It cannot be written.
        """
        self._stopped.set()
        if self._thread:
            self._thread.join()
        try:
            self.save()
        finally:
            self._file.close()

    def _save_repeatedly(self) -> None:
        pause = self._interval_seconds
        while not self._stopped.wait(pause):
            started, problem = monotonic(), self.problem
            with suppress(StartupError):  # retried
                self.save()
            if problem != self.problem:
                self._notify(self.problem or f"{self._shown} is written again")
            pause = max(self._interval_seconds / 5, self._interval_seconds - (monotonic() - started))
            if self.problem:
                pause = 10 * self._interval_seconds

    def save(self) -> None:
        """Save the changes, if there are any or the file was removed.

        Raises:
            StartupError: It cannot be written, or another server uses it. Its content stays.
        """
        with self._lock, self._startup_errors("write"):
            was_missing = not self._is_in_place() and self._reopen()
            if was_missing:
                self._notify(f"{self._shown} was removed, and is created again")
            products = {product.id: product for product in self._products if not product.is_fresh}
            if was_missing or self._revisions != {product: product.revision for product in products.values()}:
                if self._is_replaced:
                    self._set_aside()
                self._write(products)

    def _is_in_place(self) -> bool:
        return not self._is_lost and self._file.is_in_place()

    def _reopen(self) -> bool:
        """Open the file that is in place now; return whether it was missing."""
        self._file.close()
        was_missing = not os.path.lexists(self._path)
        if self._is_lost and not was_missing:  # the other server may have ended; its products stay
            raise FileInUseError
        try:
            self._file = _open(self._path)
        except FileInUseError:
            self._is_lost = True
            raise
        self._saved = {}
        self._is_lost, self._is_replaced = False, not was_missing
        return was_missing

    def _set_aside(self) -> None:
        """Rename a file that has replaced ours, and create a new one."""
        numbers = chain([""], map("-{}".format, count(2)))
        aside = next(path for number in numbers if not (path := Path(f"{self._path}.replaced{number}")).exists())
        self._file.close()
        Path(self._path).replace(aside)
        self._reopen()
        self._notify(f"{self._shown} was replaced or changed while the service ran; that file is kept as {aside}")

    def _write(self, products: Mapping[str, Product]) -> None:
        revisions: dict[Product, int] = {}
        changes: dict[str, list[state_rows.Change]] = {}
        for product_id, product in products.items():
            if product_id in self._saved and self._revisions.get(product) == product.revision:
                revisions[product], changes[product_id] = product.revision, []
            else:
                known = self._saved.get(product_id, {})
                revisions[product], changes[product_id] = _revision_and_changes(product, known)
        gone = self._saved.keys() - products.keys()
        with self._file.transaction() as connection:
            for product_id in gone:
                state_rows.delete(connection, product_id)
            for product_id, product in products.items():
                state_rows.store(connection, product_id, product.name, changes[product_id])
        self._file.checkpoint()
        for product_id in gone:
            del self._saved[product_id]
        for product_id in products:
            state_rows.apply(changes[product_id], self._saved.setdefault(product_id, {}))
        self._revisions = revisions

    @contextmanager
    def _startup_errors(self, verb: str) -> Iterator[None]:
        """Turn errors of the file into one line with the remedy, and note it as the problem."""
        try:
            yield
            self.problem = None
        except (SQLiteFileError, OSError) as error:
            if isinstance(error, FileInUseError):
                problem = f"{self._shown} is in use by another server"
            elif isinstance(error, ForeignFileError):
                problem = f"{self._shown} is not a state file of `chatarmin-os serve` and was left unchanged: {error}"
            else:
                problem = f"cannot {verb} {self._shown}: {getattr(error, 'strerror', None) or error}"
            self.problem = f"{problem}; --state names another file"
            raise StartupError(self.problem) from error


def _ignore(_: str) -> None:
    pass


def _open(path: str | os.PathLike[str]) -> SQLiteFile:
    file = SQLiteFile(
        path,
        application_id=_APPLICATION_ID,
        migrations=state_rows.MIGRATIONS,
        synchronous="normal",  # each saving ends with a checkpoint, which is durable
        is_exclusive=True,
        busy_seconds=0.0,
    )
    with file.transaction() as connection:
        connection.execute("PRAGMA secure_delete = ON")  # a product that is forgotten leaves no addresses behind
    return file


def _revision_and_changes(product: Product, known: state_rows.Tables) -> tuple[int, list[state_rows.Change]]:
    """Return the present revision of a product, and how its rows differ from *known*."""
    from chatarmin_os.fake import snapshot as snapshots  # late: it imports cattrs, which a service without state avoids

    with product.fake.service.read() as state:
        revision, tables = product.revision, snapshots.tables(state)
    return revision, state_rows.find_changes(known, state_rows.split(tables))  # other threads need not wait for it


def _rows_of_json(content: bytes) -> JSON:
    """Return the products in a state file of version 0.1.0.

    Raises:
        ValueError: It is something else.
    """
    state = json.loads(content.decode())
    if not isinstance(state, dict) or state.get("format") != _JSON_FORMAT:
        raise ValueError(f"expected the format {_JSON_FORMAT!r}")
    return state.get("products")


def _lock_as_version_0_1(descriptor: int) -> None:
    """Lock a file as servers of version 0.1.0 do, one of which may be using it.

    Raises:
        FileInUseError: Another server uses it.
    """
    if fcntl is not None:  # pragma: no branch - Windows
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FileInUseError from None


@contextmanager
def _foreign_if_invalid() -> Iterator[None]:
    """Turn each way in which content can be invalid into one error."""
    try:
        yield
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise ForeignFileError(str(error)) from error
    except (LookupError, TypeError) as error:
        raise ForeignFileError("its rows contradict each other") from error
