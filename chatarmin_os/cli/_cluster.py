"""The cluster of Dask that a backfill works on."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from attrs import frozen

from chatarmin_os._messages import printable
from chatarmin_os._version import __version__
from chatarmin_os.errors import ChatarminError, InvalidInput

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from chatarmin_os import ChatarminOS

CONNECT_SECONDS = 10.0
WATCH_SECONDS = 5.0

_VERSION = "chatarmin_os._version:__version__"


class ClusterError(ChatarminError):
    """The cluster cannot be reached, or was lost."""


@frozen
class ClientOfWorker:
    """Makes the client of a worker, whose key is in the worker's own environment.

    Attributes:
        base_url: A URL that was checked already: plain http is allowed, if it is.
        timeout: None: the default of clients.
    """

    base_url: str
    timeout: float | None

    def __call__(self) -> ChatarminOS:
        """Return a client."""
        from chatarmin_os import ChatarminOS

        more: dict[str, Any] = {} if self.timeout is None else {"timeout": self.timeout}
        return ChatarminOS(base_url=self.base_url, allow_http=True, **more)


@contextmanager
def cluster_at(address: str, say: Callable[[str], object]) -> Iterator[Executor]:
    """Return the executor of a cluster for the block.

    Args:
        address: That of the scheduler.
        say: Called with a sentence if the cluster has no worker.

    Raises:
        ClusterError: No scheduler answers, or the connection was lost.
        InvalidInput: Dask is missing, the address is invalid, or the cluster lacks this version of the package.
    """
    with _connect(address) as cluster:
        lost = f"the connection to the scheduler at {address} was lost"
        try:
            _check_versions(cluster)
        except OSError:
            raise ClusterError(f"{lost}: run the same again") from None
        with _watched(cluster, f"there is no worker at {address}; waiting for one: dask worker {address}", say):
            try:
                yield cluster.get_executor(pure=False)
            except ChatarminError as error:
                if cluster.status == "running" and not _is_of_connection(error.__cause__):
                    raise
                raise ClusterError(f"{lost}; rows that are done are noted: run the same again") from error


def _is_of_connection(error: BaseException | None) -> bool:
    """Whether a result could not be fetched: this may be noticed before the client of Dask notices that it is lost."""
    return isinstance(error, import_module("distributed.comm").CommClosedError)


def _connect(address: str) -> Any:
    try:
        dask: Any = import_module("distributed")  # it has no annotations
    except ImportError:
        raise InvalidInput("Dask is not installed", "pip install 'chatarmin-os[dask]'", field="executor") from None
    for name in ("distributed", "distributed.client"):  # one line says what happened
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        asyncio.run(_probe(dask, address))
        return dask.Client(address, timeout=CONNECT_SECONDS)
    except OSError as error:
        problem = printable(str(error)) or "there is another server"
        raise ClusterError(f"no scheduler of Dask answers at {address}: {problem}") from None
    except Exception as error:  # noqa: BLE001 - each kind of invalid address has its own
        hint = "pass the address that the scheduler prints, such as tcp://10.0.0.5:8786"
        raise InvalidInput(f"{address}: {printable(str(error))}", hint, field="executor") from None


async def _probe(dask: Any, address: str) -> None:
    """Connect once, for a client of Dask waits without end for a server that is no scheduler.

    Raises:
        OSError: Nothing answers as a scheduler does.
        Exception: The address is invalid.
    """
    settings = dask.Security().get_connection_args("client")
    connected = import_module("distributed.comm").connect(address, timeout=CONNECT_SECONDS, **settings)
    comm = await asyncio.wait_for(connected, CONNECT_SECONDS + 1)
    await comm.close()


def _check_versions(cluster: Any) -> None:
    """Refuse a cluster without this version of the package: a worker of Dask that cannot import it would end.

    Raises:
        InvalidInput: The scheduler or a worker lacks it.
        OSError: The connection was lost.
    """
    # A function of the standard library, which each of them has.
    found: Mapping[str, Any] = cluster.run(resolve_name, _VERSION, on_error="return")
    # Of a worker that has just ended nothing is known; Dask gives its rows to the others.
    places = {f"the worker {address}": one for address, one in found.items() if not isinstance(one, OSError)}
    try:
        places["the scheduler"] = cluster.run_on_scheduler(resolve_name, _VERSION)
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 - that of the scheduler
        places["the scheduler"] = error
    for place, version in places.items():
        if version == __version__:
            continue
        problem = f"{place} has chatarmin_os {version}, and this is {__version__}"
        if isinstance(version, Exception):
            problem = f"{place} cannot import chatarmin_os: {printable(str(version))}"
        raise InvalidInput(problem, "install the same version on the scheduler and on all workers", field="executor")


@contextmanager
def _watched(cluster: Any, problem: str, say: Callable[[str], object]) -> Iterator[None]:
    """Say in the block when the cluster has no worker: Dask waits for one without a word."""
    has_ended = threading.Event()

    def watch() -> None:
        had_workers = True
        while not has_ended.is_set():
            try:
                has_workers = bool(cluster.nthreads())
            except Exception:  # noqa: BLE001 - the run reports it
                return
            if had_workers and not has_workers and not has_ended.is_set():
                say(problem)
            had_workers = has_workers
            has_ended.wait(WATCH_SECONDS)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        has_ended.set()
