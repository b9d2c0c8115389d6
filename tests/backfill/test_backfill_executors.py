"""The workers of a backfill are of any executor: threads, processes, or a cluster."""

from __future__ import annotations

import gc
import json
import logging
import pickle
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from traceback import format_exception
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, simplefilter

import pytest
from backfill_clients import (
    KEY,
    Unloadable,
    Unpicklable,
    UnpicklableWithKey,
    all_of,
    chained_with_key,
    client_as_given,
    clients_by_process,
    exiting_with_key,
    factory,
    failing_factory,
    found_in,
    give,
    rows,
    something_else,
    unreadable_with_key,
    write_settings,
)
from dask_cluster import DaskCluster

from chatarmin_os import ApiError, ChatarminError, ChatarminOS, InvalidInput
from chatarmin_os.backfill.backfill import Backfill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from serving import FakeServer

    from chatarmin_os.fake import FakeTransport

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # of Dask

ROWS = 430  # nine chunks
START_SECONDS = 60.0


# Executors


class Shared:
    """Executors by the function that makes them: each is started when a test needs it first, and lives for all tests.

    Args:
        folder: Where a cluster writes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.stack = folder, ExitStack()
        self._executors: dict[Callable[[Shared], Executor], Executor] = {}

    def get(self, make: Callable[[Shared], Executor]) -> Executor:
        """Return the executor; a new one if its pool is broken."""
        try:
            self._executors[make].submit(int).result()
        except (KeyError, BrokenExecutor):
            self._executors[make] = make(self)
        return self._executors[make]


def threads(shared: Shared) -> Executor:
    return shared.stack.enter_context(ThreadPoolExecutor(2))


def pool(shared: Shared, method: str) -> Executor:
    return shared.stack.enter_context(ProcessPoolExecutor(2, mp_context=get_context(method)))


def spawned(shared: Shared) -> Executor:
    return pool(shared, "spawn")


def forked(shared: Shared) -> Executor:
    return pool(shared, "fork")


def forked_by_a_server(shared: Shared) -> Executor:
    return pool(shared, "forkserver")


def local_cluster(shared: Shared) -> Executor:
    return local(shared, processes=True)


def local_threads(shared: Shared) -> Executor:
    return local(shared, processes=False)


def local(shared: Shared, *, processes: bool) -> Executor:
    from distributed import LocalCluster

    cluster = shared.stack.enter_context(
        LocalCluster(
            n_workers=2,
            threads_per_worker=2,
            processes=processes,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
            local_directory=str(shared.folder),
        )
    )
    return executor_of(client_at(cluster.scheduler_address, shared))


def cluster_of_processes(shared: Shared) -> Executor:
    """Start a scheduler and two workers, as one does on several machines."""
    cluster = shared.stack.enter_context(DaskCluster(shared.folder))
    cluster.add_worker(count=2)
    return executor_of(client_at(cluster.address, shared))


def one_worker(shared: Shared) -> Executor:
    """Return an executor that chooses among the workers."""
    client = client_of_dask(shared)
    return executor_of(client, workers=[next(iter(client.nthreads()))])


def pure(shared: Shared) -> Executor:
    """Return an executor that runs equal calls once."""
    return executor_of(client_of_dask(shared), pure=True)


def executor_of(client: Any, **options: Any) -> Executor:
    executor: Executor = client.get_executor(**options)
    return executor


def client_at(address: str, shared: Shared) -> Any:
    from distributed import Client

    client = shared.stack.enter_context(Client(address, timeout=START_SECONDS))
    client.wait_for_workers(2, timeout=START_SECONDS)
    return client


def client_of_dask(shared: Shared) -> Any:
    """Return the client of the local cluster."""
    executor: Any = shared.get(local_cluster)
    return executor._client


DASK = [pytest.mark.slow, pytest.mark.needs("dask")]
EXECUTORS = {
    "threads": pytest.param(threads),
    "spawn": pytest.param(spawned, marks=pytest.mark.slow),
    "fork": pytest.param(forked, marks=pytest.mark.slow),
    "forkserver": pytest.param(forked_by_a_server, marks=pytest.mark.slow),
    "dask-local-cluster": pytest.param(local_cluster, marks=DASK),
    "dask-local-threads": pytest.param(local_threads, marks=DASK),
    "dask-one-worker": pytest.param(one_worker, marks=DASK),
    "dask-pure": pytest.param(pure, marks=DASK),
    "dask-processes": pytest.param(cluster_of_processes, marks=DASK),
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """Return the executors: a cluster takes seconds to start."""
    executors = Shared(tmp_path_factory.mktemp("executors"))
    with executors.stack:
        yield executors
    with catch_warnings():
        simplefilter("ignore", ResourceWarning)  # Dask leaves sockets open that did not connect
        gc.collect()


@pytest.fixture(params=EXECUTORS.values(), ids=[*EXECUTORS])
def executor(request: pytest.FixtureRequest, shared: Shared) -> Executor:
    """Return an executor of each kind."""
    return shared.get(request.param)


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


@pytest.mark.parametrize("make_client", [Unpicklable(), Unloadable()], ids=["here", "there"])
def test_factory_that_cannot_be_pickled_ends_the_run(
    executor: Executor, make_client: Any, settings: Path, service: FakeTransport, tmp_path: Path
) -> None:
    """The error is one line about `make_client`, whether it cannot be sent or the worker cannot load it."""
    with pytest.raises(InvalidInput, match="make_client") as caught:
        Backfill(make_client, checkpoint=tmp_path / "state", executor=executor).run(rows(ROWS))
    _check_line(caught.value, [])

    report = Backfill(factory(settings), checkpoint=tmp_path / "state").run(rows(60))

    assert report.done == 60
    assert found_in(service.snapshot()) == all_of(60)


@pytest.mark.parametrize(
    "make_client",
    [chained_with_key, exiting_with_key, unreadable_with_key, UnpicklableWithKey()],
    ids=["cause", "exit", "text-fails", "pickle-fails"],
)
def test_key_in_the_error_of_a_factory_is_not_shown(
    executor: Executor,
    make_client: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """It is not in the error, its causes, contexts and traceback, the logs, or what the processes write.

    Dask itself logs what a factory says that cannot be sent.
    """
    with caplog.at_level(logging.DEBUG), pytest.raises(InvalidInput, match="make_client") as caught:
        Backfill(make_client, checkpoint=tmp_path / "state", executor=executor).run(rows(60))
    shown = [*format_exception(caught.value), *_texts(caught.value)]
    if not isinstance(make_client, Unpicklable) or isinstance(executor, (ThreadPoolExecutor, ProcessPoolExecutor)):
        shown += [caplog.text, *capfd.readouterr()]
    shown += [path.read_text(errors="replace") for path in tmp_path.iterdir()]

    assert [text for text in shown if KEY in text] == []


class Failing(Executor):
    """An executor whose calls fail with a text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ARG002
        """Fail."""
        raise RuntimeError("it is broken") from OSError(self._text)


@pytest.mark.parametrize(("text", "cause"), [("closed", RuntimeError), (f"closed: {KEY}", type(None))])
def test_error_of_an_executor_is_the_cause_unless_it_has_a_key(text: str, cause: type, tmp_path: Path) -> None:
    """A traceback shows all causes."""
    with pytest.raises(InvalidInput, match="RuntimeError: it is broken") as caught:
        Backfill(chained_with_key, checkpoint=tmp_path / "state", executor=Failing(text)).run(rows(1))
    assert type(caught.value.__cause__) is cause


def test_key_in_a_refusal_is_not_kept(service: FakeTransport, tmp_path: Path) -> None:
    """A proxy may show the headers of the request that it refuses."""
    service.fail("companies.create", error=ApiError.from_code("FORBIDDEN", f"x-api-key: {KEY}"), times=1)
    client = ChatarminOS(transport=service)
    report = Backfill(lambda: client, checkpoint=tmp_path / "state").run(rows(1))

    assert [failure.message for failure in report.failures] == ["x-api-key: [key]"]
    assert KEY.encode() not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


def _texts(error: BaseException | None) -> Iterator[str]:
    """Yield the text of an error, and those of all errors that it refers to."""
    if error is not None:
        yield repr(error)
        yield from _texts(error.__cause__)
        yield from _texts(error.__context__)


def _check_line(error: ChatarminError, words: list[str]) -> None:
    assert "\n" not in str(error)
    assert [word for word in words if word not in str(error)] == [], str(error)


def allow_failures(count: int, dask_scheduler: Any = None) -> int:
    """Set how many workers may end with the same call before Dask gives it up; return the number before."""
    allowed: int = dask_scheduler.allowed_failures
    dask_scheduler.allowed_failures = count
    return allowed


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
@pytest.mark.parametrize("make", [spawned, forked, forked_by_a_server], ids=["spawn", "fork", "forkserver"])
def test_killed_process_ends_the_run_and_the_next_goes_on(
    make: Any, shared: Shared, fake_server: FakeServer, service: FakeTransport, tmp_path: Path
) -> None:
    """A pool of processes is broken then; the error says so, and a run with a new one goes on."""
    settings = write_settings(tmp_path, fake_server.add(service), fake_server.url, requests=6)
    with pytest.raises(ChatarminError, match="run the same again") as caught:
        Backfill(factory(settings), checkpoint=tmp_path / "state", executor=shared.get(make)).run(rows(ROWS))
    _check_line(caught.value, ["BrokenProcessPool"])

    report = Backfill(factory(settings), checkpoint=tmp_path / "state", executor=shared.get(make)).run(rows(ROWS))

    assert (report.done + report.skipped, report.failed) == (ROWS, 0)
    assert found_in(service.snapshot()) == all_of(ROWS)


@pytest.mark.slow
@pytest.mark.needs("dask")
@pytest.mark.parametrize("make", [local_cluster, cluster_of_processes], ids=["local", "processes"])
def test_cluster_gives_the_rows_of_a_killed_worker_to_another(
    make: Any, shared: Shared, fake_server: FakeServer, service: FakeTransport, tmp_path: Path
) -> None:
    """A worker of Dask that is killed costs nothing: its chunks run on another one, which looks its rows up first."""
    settings = write_settings(tmp_path, fake_server.add(service), fake_server.url, requests=6)
    report = Backfill(factory(settings), checkpoint=tmp_path / "state", executor=shared.get(make)).run(rows(ROWS))

    assert (report.done, report.failed) == (ROWS, 0)
    assert Path(f"{settings}.died").exists()
    assert found_in(service.snapshot()) == all_of(ROWS)


@pytest.mark.slow
@pytest.mark.needs("dask")
def test_cluster_that_gives_up_ends_the_run_and_the_next_goes_on(
    shared: Shared, fake_server: FakeServer, service: FakeTransport, tmp_path: Path
) -> None:
    """Dask's KilledWorker is in the error, rows that are done are noted, and the next run goes on."""
    settings = write_settings(tmp_path, fake_server.add(service), fake_server.url, requests=6)
    backfill = Backfill(factory(settings), checkpoint=tmp_path / "state", executor=shared.get(local_cluster))
    allowed = client_of_dask(shared).run_on_scheduler(allow_failures, 0)
    with pytest.raises(ChatarminError, match="run the same again") as caught:
        backfill.run(rows(ROWS))
    client_of_dask(shared).run_on_scheduler(allow_failures, allowed)
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
