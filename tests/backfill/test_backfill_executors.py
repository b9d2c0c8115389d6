"""The workers of a backfill are of any executor: threads, processes, or a cluster."""

from __future__ import annotations

import gc
import json
import logging
import pickle
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, simplefilter

import pytest
from backfill_clients import (
    Unloadable,
    Unpicklable,
    all_of,
    client_as_given,
    clients_by_process,
    factory,
    failing_factory,
    found_in,
    give,
    rows,
    something_else,
    write_settings,
)
from dask_cluster import DaskCluster

from chatarmin_os import ChatarminError, ChatarminOS, InvalidInput
from chatarmin_os.backfill.backfill import Backfill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from serving import FakeServer

    from chatarmin_os.fake import FakeTransport

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # of Dask

ROWS = 430  # nine chunks
START_SECONDS = 60.0


# Executors


@contextmanager
def threads(folder: Path) -> Iterator[Executor]:  # noqa: ARG001
    with ThreadPoolExecutor(2) as executor:
        yield executor


@contextmanager
def spawned(folder: Path) -> Iterator[Executor]:  # noqa: ARG001
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        yield executor


@contextmanager
def forked_by_a_server(folder: Path) -> Iterator[Executor]:  # noqa: ARG001
    with ProcessPoolExecutor(2, mp_context=get_context("forkserver")) as executor:
        yield executor


@contextmanager
def local_cluster(folder: Path) -> Iterator[Executor]:
    with dask_at(None, folder) as executor:
        yield executor


@contextmanager
def cluster_of_processes(folder: Path) -> Iterator[Executor]:
    """Start a scheduler and two workers, as one does on several machines."""
    with DaskCluster(folder) as cluster:
        cluster.add_worker(count=2)
        with dask_at(cluster.address, folder) as executor:
            yield executor


@contextmanager
def dask_at(address: str | None, folder: Path, **settings: Any) -> Iterator[Executor]:
    """Return the executor of a cluster, of a new one of two processes if it has no address."""
    import dask
    from distributed import Client, LocalCluster

    quiet = {"temporary-directory": str(folder), "distributed.admin.log-length": 0, **settings}
    with dask.config.set(quiet), ExitStack() as stack:
        if address is None:
            cluster = stack.enter_context(
                LocalCluster(
                    n_workers=2, threads_per_worker=2, dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL
                )
            )
            address = cluster.scheduler_address
        client = stack.enter_context(Client(address, timeout=START_SECONDS))
        client.wait_for_workers(2, timeout=START_SECONDS)
        yield client.get_executor()
    with catch_warnings():
        simplefilter("ignore", ResourceWarning)  # Dask leaves sockets open that did not connect
        gc.collect()


EXECUTORS = [
    threads,
    pytest.param(spawned, marks=pytest.mark.slow),
    pytest.param(forked_by_a_server, marks=pytest.mark.slow),
    pytest.param(local_cluster, marks=[pytest.mark.slow, pytest.mark.needs("dask")]),
    pytest.param(cluster_of_processes, marks=[pytest.mark.slow, pytest.mark.needs("dask")]),
]
IDS = ["threads", "spawn", "forkserver", "dask-local-cluster", "dask-processes"]


@pytest.fixture(scope="module", params=EXECUTORS, ids=IDS)
def executor(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
    """Return an executor of each kind, which the tests share: a cluster takes seconds to start."""
    with request.param(tmp_path_factory.mktemp("executor")) as shared:
        yield shared


class Spy(Executor):
    """An executor that keeps the calls that it passes on, pickled, and their futures."""

    def __init__(self, inner: Executor) -> None:
        self._inner = inner
        self.sent: list[bytes] = []
        self.returned: list[Future[Any]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Pass a call on."""
        self.sent.append(pickle.dumps((fn, args, kwargs)))
        future = self._inner.submit(fn, *args, **kwargs)
        self.returned.append(future)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002, ARG002
        """Fail: the executor belongs to its user."""
        raise AssertionError("an executor that was given is not shut down")


@pytest.fixture
def settings(fake_server: FakeServer, service: FakeTransport, tmp_path: Path) -> Path:
    """Return the file of settings of workers."""
    return write_settings(tmp_path, fake_server.add(service), fake_server.url)


# The tests


def test_every_row_is_applied_once(
    executor: Executor, settings: Path, service: FakeTransport, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each row is there once, each process has one client, no two submissions are equal, and nothing has the key."""
    spy = Spy(executor)
    with caplog.at_level(logging.DEBUG):
        report = Backfill(factory(settings), checkpoint=tmp_path / "state", executor=spy).run(rows(ROWS))
    answers = [pickle.dumps(future.result()) for future in spy.returned]

    assert (report.total, report.done, report.failed) == (ROWS, ROWS, 0)
    assert found_in(service.snapshot()) == all_of(ROWS)
    assert {*clients_by_process(settings).values()} == {1}
    assert len({*spy.sent}) == len(spy.sent) >= ROWS / 50 + 1
    assert executor.submit(sum, (1, 2)).result() == 3  # it was not shut down
    key = json.loads(settings.read_text())["key"]
    kept = [path.read_bytes() for path in tmp_path.glob("state*")]
    assert key.startswith("os_sk_")
    assert not any(key.encode() in data for data in [*spy.sent, *answers, *kept, caplog.text.encode()])


def test_second_run_goes_on(executor: Executor, settings: Path, service: FakeTransport, tmp_path: Path) -> None:
    """A second run on the same executor applies the rows that are new; its chunks are no old ones."""
    backfill = Backfill(factory(settings), checkpoint=tmp_path / "state", executor=executor)
    backfill.run(rows(60))
    report = backfill.run(rows(120))

    assert (report.done, report.skipped, report.failed) == (60, 60, 0)
    assert found_in(service.snapshot()) == all_of(120)


@pytest.mark.parametrize(
    ("make_client", "words"),
    [(failing_factory, ["KeyError", "OS_API_KEY"]), (something_else, ["dict", "ChatarminOS"])],
    ids=["fails", "something-else"],
)
def test_factory_that_fails_on_a_worker_ends_the_run(
    executor: Executor, make_client: Any, words: list[str], settings: Path, tmp_path: Path
) -> None:
    """The error is one line about `make_client`, and the checkpoint is good for another factory."""
    with pytest.raises(InvalidInput, match="make_client") as caught:
        Backfill(make_client, checkpoint=tmp_path / "state", executor=executor).run(rows(60))
    report = Backfill(factory(settings), checkpoint=tmp_path / "state", executor=executor).run(rows(60))

    _check_line(caught.value, words)
    assert (report.done, report.skipped) == (60, 0)


@pytest.mark.slow
@pytest.mark.parametrize("make_executor", EXECUTORS[1:], ids=IDS[1:])
@pytest.mark.parametrize("make_client", [Unpicklable(), Unloadable()], ids=["here", "there"])
def test_factory_that_cannot_be_pickled_ends_the_run(
    make_executor: Any, make_client: Any, settings: Path, service: FakeTransport, tmp_path: Path
) -> None:
    """The error is one line about `make_client`, whether it cannot be sent or the worker cannot load it."""
    with make_executor(tmp_path) as workers, pytest.raises(InvalidInput, match="make_client") as caught:
        Backfill(make_client, checkpoint=tmp_path / "state", executor=workers).run(rows(ROWS))
    _check_line(caught.value, [])

    report = Backfill(factory(settings), checkpoint=tmp_path / "state").run(rows(60))

    assert report.done == 60
    assert found_in(service.snapshot()) == all_of(60)


def _check_line(error: ChatarminError, words: list[str]) -> None:
    assert "\n" not in str(error)
    assert [word for word in words if word not in str(error)] == [], str(error)


class InTurns(Executor):
    """An executor whose calls go to two others in turns."""

    def __init__(self, *inner: Executor) -> None:
        self._inner = inner
        self._submitted = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Pass a call on."""
        self._submitted += 1
        return self._inner[self._submitted % len(self._inner)].submit(fn, *args, **kwargs)


@pytest.mark.slow
def test_worker_with_another_key_ends_the_run(
    settings: Path, fake_server: FakeServer, service: FakeTransport, tmp_path: Path
) -> None:
    """Rows do not go to two products: the worker that differs refuses, and rows of the others are noted."""
    other_service = type(service)()
    other = write_settings(tmp_path, fake_server.add(other_service), fake_server.url, name="other")
    spawn = get_context("spawn")
    with (
        ProcessPoolExecutor(1, mp_context=spawn, initializer=give, initargs=(other,)) as second,
        ProcessPoolExecutor(1, mp_context=spawn, initializer=give, initargs=(settings,)) as first,
    ):
        executor = InTurns(second, first)
        with pytest.raises(InvalidInput, match="make_client: a worker has another API key or base URL"):
            Backfill(client_as_given, checkpoint=tmp_path / "state", executor=executor).run(rows(ROWS))
        assert found_in(other_service.snapshot()) == all_of(0)
        report = Backfill(client_as_given, checkpoint=tmp_path / "state", executor=first).run(rows(ROWS))

    assert (report.done + report.skipped, report.failed) == (ROWS, 0)
    assert found_in(service.snapshot()) == all_of(ROWS)


@pytest.mark.slow
@pytest.mark.parametrize("make_executor", [spawned, forked_by_a_server], ids=["spawn", "forkserver"])
def test_killed_process_ends_the_run_and_the_next_goes_on(
    make_executor: Any, fake_server: FakeServer, service: FakeTransport, tmp_path: Path
) -> None:
    """A pool of processes is broken then; the error says so, and a run with a new one goes on."""
    settings = write_settings(tmp_path, fake_server.add(service), fake_server.url, requests=6)
    with make_executor(tmp_path) as executor, pytest.raises(ChatarminError, match="run the same again") as caught:
        Backfill(factory(settings), checkpoint=tmp_path / "state", executor=executor).run(rows(ROWS))
    _check_line(caught.value, ["BrokenProcessPool"])

    with make_executor(tmp_path) as executor:
        report = Backfill(factory(settings), checkpoint=tmp_path / "state", executor=executor).run(rows(ROWS))

    assert (report.done + report.skipped, report.failed) == (ROWS, 0)
    assert found_in(service.snapshot()) == all_of(ROWS)


@pytest.mark.slow
@pytest.mark.needs("dask")
@pytest.mark.parametrize("make_executor", [local_cluster, cluster_of_processes], ids=["local", "processes"])
def test_cluster_gives_the_rows_of_a_killed_worker_to_another(
    make_executor: Any, fake_server: FakeServer, service: FakeTransport, tmp_path: Path
) -> None:
    """A worker of Dask that is killed costs nothing: its chunks run on another one, which looks its rows up first."""
    settings = write_settings(tmp_path, fake_server.add(service), fake_server.url, requests=6)
    with make_executor(tmp_path) as executor:
        report = Backfill(factory(settings), checkpoint=tmp_path / "state", executor=executor).run(rows(ROWS))

    assert (report.done, report.failed) == (ROWS, 0)
    assert Path(f"{settings}.died").exists()
    assert found_in(service.snapshot()) == all_of(ROWS)


@pytest.mark.slow
@pytest.mark.needs("dask")
def test_cluster_that_gives_up_ends_the_run_and_the_next_goes_on(
    fake_server: FakeServer, service: FakeTransport, tmp_path: Path
) -> None:
    """Dask's KilledWorker is in the error, rows that are done are noted, and the next run goes on."""
    settings = write_settings(tmp_path, fake_server.add(service), fake_server.url, requests=6)
    with dask_at(None, tmp_path, **{"distributed.scheduler.allowed-failures": 0}) as executor:
        backfill = Backfill(factory(settings), checkpoint=tmp_path / "state", executor=executor)
        with pytest.raises(ChatarminError, match="run the same again") as caught:
            backfill.run(rows(ROWS))
        report = backfill.run(rows(ROWS))

    _check_line(caught.value, ["KilledWorker"])
    assert (report.done + report.skipped, report.failed) == (ROWS, 0)
    assert found_in(service.snapshot()) == all_of(ROWS)


def test_own_threads_share_one_client(service: FakeTransport, tmp_path: Path) -> None:
    """Without an executor, threads of this process work with one client, which is closed at the end."""
    clients: list[ChatarminOS] = []

    def make_client() -> ChatarminOS:
        clients.append(ChatarminOS(transport=service))
        return clients[-1]

    report = Backfill(make_client, checkpoint=tmp_path / "state", workers=3).run(rows(120))

    assert (report.done, len(clients)) == (120, 1)
    assert found_in(service.snapshot()) == all_of(120)
