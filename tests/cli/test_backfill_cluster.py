"""`chatarmin-os backfill --dask`: the cluster is checked first, does the work, and may be lost."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from dask_cluster import DaskCluster
from waiting import PATIENCE, until

from chatarmin_os import InvalidInput, __version__
from chatarmin_os.cli import _cluster, main
from chatarmin_os.cli._cluster import ClientOfWorker, ClusterError, cluster_at
from chatarmin_os.errors import ChatarminError
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.server import serve_fake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from chatarmin_os._json import JSON
    from chatarmin_os.transports import Call

KEY = "os_sk_cluster_secret"


def test_client_of_a_worker_takes_the_url_along_and_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pickle has the base URL; the worker reads the key in its environment."""
    monkeypatch.setenv("OS_API_KEY", KEY)
    monkeypatch.setenv("OS_BASE_URL", "http://127.0.0.1:1/other")
    for timeout in (5.0, None):
        sent = pickle.dumps(ClientOfWorker("http://fake:9/api/v1", timeout))
        assert KEY.encode() not in sent
        client = pickle.loads(sent)()  # noqa: S301 - our own
        assert "http://fake:9/api/v1" in repr(client.transport)
        client.close()


# As much of Dask as the command uses, without a cluster


class CommClosedError(OSError):
    """A result cannot be fetched."""


class Comm:
    """A connection that can be closed."""

    async def close(self) -> None:
        """Close it."""


class Cluster(ThreadPoolExecutor):
    """A client of Dask; tests set its answers."""

    status = "running"
    versions: ClassVar[dict[str, Any]] = {"tcp://a:1": __version__}
    of_scheduler: Any = __version__
    workers: ClassVar[list[Any]] = []

    def __init__(self, address: str, *, timeout: float) -> None:  # noqa: ARG002 - of Dask
        super().__init__(1)

    def get_executor(self, *, pure: bool) -> Cluster:
        """Return the executor."""
        assert not pure
        return self

    def run(self, function: Callable[[str], Any], name: str, *, on_error: str) -> dict[str, Any]:
        """Return the versions of the workers."""
        assert (function(name), on_error) == (__version__, "return")
        return self.versions

    def run_on_scheduler(self, function: Callable[[str], Any], name: str) -> Any:
        """Return that of the scheduler."""
        assert function(name) == __version__
        if isinstance(self.of_scheduler, Exception):
            raise self.of_scheduler
        return self.of_scheduler

    def nthreads(self) -> dict[str, int]:
        """Return the workers."""
        if not self.workers:
            raise OSError("the scheduler is lost")
        found: dict[str, int] = self.workers.pop(0)
        return found


@pytest.fixture
def dask(monkeypatch: pytest.MonkeyPatch) -> type[Cluster]:
    """Put a client of Dask in place, and return its class."""

    class Mine(Cluster):
        workers: ClassVar[list[Any]] = []

    async def connect(address: str, **_: object) -> Comm:
        if "nobody" in address:
            raise OSError("Timed out after 10 s")
        if "other" in address:
            raise TimeoutError
        if ":" not in address:
            raise ValueError(f"missing port number in address {address!r}")
        return Comm()

    security = SimpleNamespace(get_connection_args=lambda _: {})
    monkeypatch.setitem(sys.modules, "distributed", SimpleNamespace(Client=Mine, Security=lambda: security))
    monkeypatch.setitem(
        sys.modules, "distributed.comm", SimpleNamespace(connect=connect, CommClosedError=CommClosedError)
    )
    monkeypatch.setattr(_cluster, "WATCH_SECONDS", 0.001)
    return Mine


@pytest.mark.usefixtures("dask")
@pytest.mark.parametrize(
    ("address", "kind", "problem"),
    [
        ("tcp://nobody:1", ClusterError, "no scheduler of Dask answers at tcp://nobody:1: Timed out after 10 s"),
        ("tcp://other:1", ClusterError, "no scheduler of Dask answers at tcp://other:1: there is another server"),
        ("garbage", InvalidInput, "executor: garbage: missing port number in address 'garbage'; pass the address"),
    ],
)
def test_wrong_address_is_one_line(address: str, kind: type[ChatarminError], problem: str) -> None:
    """Nothing is asked of the service."""
    with pytest.raises(kind) as caught, cluster_at(address, print):
        raise AssertionError("it goes on")
    assert str(caught.value).startswith(problem)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("versions", {"tcp://a:1": "0.0.9"}, f"the worker tcp://a:1 has chatarmin_os 0.0.9, and this is {__version__}"),
        ("versions", {"tcp://a:1": ImportError("No module")}, "the worker tcp://a:1 cannot import chatarmin_os: No mo"),
        ("of_scheduler", ImportError("No module"), "the scheduler cannot import chatarmin_os: No module"),
    ],
    ids=["other-version", "missing", "missing-on-scheduler"],
)
def test_other_version_is_refused(
    name: str, value: object, problem: str, dask: type[Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker of Dask that cannot import the package would end; the error says where it is missing."""
    monkeypatch.setattr(dask, name, value)
    with pytest.raises(InvalidInput) as caught, cluster_at("tcp://a:1", print):
        raise AssertionError("it goes on")
    assert problem in str(caught.value)
    assert "install the same version on the scheduler and on all workers" in str(caught.value)


def test_lack_of_workers_is_reported_once(dask: type[Cluster]) -> None:
    """Each time there are none; Dask itself waits without a word."""
    dask.workers += [{}, {}, {"tcp://a:1": 2}, {}]
    reports: list[str] = []
    with cluster_at("tcp://a:1", reports.append):
        until(lambda: not dask.workers)
        until(lambda: len(reports) == 2)
    assert {*reports} == {"there is no worker at tcp://a:1; waiting for one: dask worker tcp://a:1"}


def test_nothing_is_reported_after_the_run(dask: type[Cluster]) -> None:
    """The question for workers may be answered late."""
    asked, has_ended = threading.Event(), threading.Event()

    class Slow(list[Any]):
        def pop(self, place: Any = -1) -> Any:  # noqa: ARG002 - as of a list
            asked.set()
            has_ended.wait(PATIENCE)
            return {}

    dask.workers = Slow([1])
    reports: list[str] = []
    threads = {*threading.enumerate()}
    with cluster_at("tcp://a:1", reports.append):
        asked.wait(PATIENCE)
        watcher = {*threading.enumerate()} - threads
    has_ended.set()
    for thread in watcher:
        thread.join(PATIENCE)
    assert reports == []


def test_lost_scheduler_is_reported(dask: type[Cluster], monkeypatch: pytest.MonkeyPatch) -> None:
    """The errors of Dask are about calls; while the connection is there, they stay."""
    with pytest.raises(ChatarminError, match="KilledWorker"), cluster_at("tcp://a:1", print):
        raise ChatarminError("the executor failed (KilledWorker)")

    problem = "the connection to the scheduler at tcp://a:1 was lost; rows that are done are noted: run the same again"
    with pytest.raises(ClusterError) as not_noticed, cluster_at("tcp://a:1", print):
        raise ChatarminError("the executor failed (CommClosedError)") from CommClosedError("Stream is closed")
    assert str(not_noticed.value) == problem

    monkeypatch.setattr(dask, "status", "closed")
    with pytest.raises(ClusterError) as caught, cluster_at("tcp://a:1", print):
        raise ChatarminError("the executor failed (CancelledError)")
    assert str(caught.value) == problem


@pytest.mark.parametrize("method", ["run", "run_on_scheduler"])
def test_scheduler_that_is_lost_before_the_run_is_reported(
    dask: type[Cluster], monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """It is no cluster without the package."""

    def lose(*_: object, **__: object) -> None:
        raise CommClosedError("ConnectionPool closing.")

    monkeypatch.setattr(dask, method, lose)

    with pytest.raises(ClusterError) as caught, cluster_at("tcp://a:1", print):
        raise AssertionError("nothing runs without a scheduler")
    assert str(caught.value) == "the connection to the scheduler at tcp://a:1 was lost: run the same again"


def test_worker_that_has_just_ended_is_left_out(dask: type[Cluster], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its address stands for an error of the connection, and another one does the work."""
    monkeypatch.setattr(dask, "versions", {"tcp://a:2": CommClosedError("Stream is closed"), "tcp://a:3": __version__})

    with cluster_at("tcp://a:1", print) as executor:
        assert executor.submit(str, 5).result() == "5"


@pytest.mark.usefixtures("dask")
def test_command_works_on_a_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its workers have the key; the base URL of the command goes along."""
    (tmp_path / "customers.csv").write_text("external_org_id,name\norg_1,Acme Inc\n")
    monkeypatch.setenv("OS_API_KEY", KEY)
    monkeypatch.setenv("OS_BASE_URL", "http://127.0.0.1:9/api/v1")
    monkeypatch.chdir(tmp_path)
    fake = FakeTransport(demo_catalogue())
    with serve_fake({KEY: fake}) as url:
        command = ["backfill", "customers.csv", "--checkpoint", "state", "--dask", "tcp://a:1", "--base-url", url]
        assert main(command) == 0
    assert "  1 done\n" in capsys.readouterr().out
    assert [company["name"] for company in fake.snapshot()["companies"]] == ["Acme Inc"]


# A scheduler and workers, which are processes of their own


ROWS = 1_500
HALFWAY = 100  # companies
PROGRAM = """
import distributed
from chatarmin_os.backfill import progress
from chatarmin_os.cli import _cluster, main

class Client(distributed.Client):
    def nthreads(self):
        found = super().nthreads()
        open("workers", "w").write(f"{len(found)} seen")
        return found

distributed.Client = Client
_cluster.CONNECT_SECONDS, _cluster.WATCH_SECONDS = 1.0, 0.05
progress._SECONDS = 3600.0  # no line of progress, however slow the machine is
raise SystemExit(main())
"""


class Halting(FakeTransport):
    """A service whose calls wait halfway, for as long as a test wants.

    Attributes:
        is_halfway: So many companies were created.
        goes_on: The calls after that wait for it.
    """

    def __init__(self) -> None:
        super().__init__(demo_catalogue())
        self._numbers = count(1)
        self.is_halfway, self.goes_on = threading.Event(), threading.Event()
        self.goes_on.set()

    def send(self, call: Call) -> JSON:
        """Send a call."""
        if call.path == "companies.create" and next(self._numbers) > HALFWAY:
            self.is_halfway.set()
            self.goes_on.wait(PATIENCE)
        return super().send(call)


class Running:
    """The command in a process, whose output goes to files."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process, self._folder = process, folder

    def read(self, name: str) -> str:
        """Return the content of a file of it."""
        path = self._folder / name
        return path.read_text() if path.exists() else ""

    def end(self) -> tuple[int, str, str]:
        """Wait for its end; return its code, output and errors."""
        return self.process.wait(3 * PATIENCE), self.read("output"), self.read("errors")


class Command:
    """The command on a file of customers and a cluster."""

    def __init__(self, folder: Path, fake: Halting, url: str) -> None:
        self.fake, self.folder, self.url = fake, folder, url
        rows = ({"external_org_id": f"org_{number}", "name": f"Company {number}"} for number in range(ROWS))
        (folder / "customers.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))

    def of_worker(self, **variables: str) -> dict[str, str]:
        """Return the environment of a worker, which has the key."""
        return {"OS_API_KEY": KEY, "DASK_LOGGING__DISTRIBUTED": "debug", **variables}

    @contextmanager
    def started(self, address: str) -> Iterator[Running]:
        """Start it for the block, without a key; kill it if it has not ended then."""
        with (self.folder / "output").open("wb") as output, (self.folder / "errors").open("wb") as errors:
            process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-c", PROGRAM, *arguments(address)],
                env={**os.environ, "OS_BASE_URL": self.url},
                stdout=output,
                stderr=errors,
                cwd=self.folder,
            )
        try:
            yield Running(process, self.folder)
        finally:
            self.fake.goes_on.set()
            process.kill()
            process.wait()

    @contextmanager
    def halfway(self, address: str) -> Iterator[Running]:
        """Start it; in the block it is halfway, until `goes_on` is set."""
        self.fake.goes_on.clear()
        with self.started(address) as running:
            until(lambda: self.fake.is_halfway.is_set() or running.process.poll() is not None)
            assert running.process.poll() is None, running.end()
            yield running

    def run(self, address: str) -> tuple[int, str, str]:
        """Run it; return its code, output and errors."""
        with self.started(address) as running:
            return running.end()

    def companies(self) -> int:
        """Return how many companies there are."""
        with self.fake.service.read() as state:
            return len(state.companies)

    def assert_done(self, end: tuple[int, str, str]) -> None:
        """All rows are done, and each company is there once."""
        code, output, errors = end
        assert (code, errors) == (0, "")
        report = json.loads(output)
        assert (report["done"] + report["skipped"], report["failed"]) == (ROWS, 0)
        assert self.companies() == ROWS


def arguments(address: str) -> list[str]:
    """Return the command."""
    return ["backfill", "customers.jsonl", "--checkpoint", "state", "--dask", address, "--json"]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """Return the command, with a service of its own."""
    for name in ("OS_API_KEY", "OS_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_cluster, "CONNECT_SECONDS", 0.5)
    fake = Halting()
    with serve_fake({KEY: fake, "os_sk_cluster_other": FakeTransport(demo_catalogue())}) as url:
        yield Command(tmp_path, fake, url)


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """Return a scheduler, which the tests share: its start takes a second."""
    with DaskCluster(tmp_path_factory.mktemp("dask")) as found:
        yield found


@pytest.fixture
def cluster(scheduler: DaskCluster) -> Iterator[DaskCluster]:
    """Return the scheduler without workers."""
    yield scheduler
    scheduler.remove_workers()


@pytest.mark.slow
@pytest.mark.needs("dask")
class TestOnProcesses:
    def test_cluster_does_the_work(self, command: Command, cluster: DaskCluster) -> None:
        """Every company is there once, and the key is in no output, log or file."""
        cluster.add_worker(command.of_worker(), count=2)
        command.assert_done(command.run(cluster.address))

        log = cluster.log()
        assert "look_around" in log
        written = [path.read_bytes() for path in command.folder.rglob("*") if path.is_file()]
        assert len(written) >= 4  # customers, checkpoint, output and errors
        assert not any(KEY.encode() in data for data in [*written, log.encode()])

    @pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # of Dask
    @pytest.mark.parametrize(
        ("address", "code", "problem"),
        [
            ("tcp://127.0.0.1:9", 3, "no scheduler of Dask answers at tcp://127.0.0.1:9: Timed out"),
            ("tcp://nobody.invalid:8786", 3, "no scheduler of Dask answers at tcp://nobody.invalid:8786: Timed out"),
            ("garbage", 2, "--dask: garbage: missing port number"),
            ("tls://127.0.0.1:9", 2, "--dask: tls://127.0.0.1:9: TLS expects a"),
            ("http://127.0.0.1:9", 2, "--dask: http://127.0.0.1:9: unknown address scheme"),
        ],
    )
    def test_wrong_address_is_one_line(
        self,
        address: str,
        code: int,
        problem: str,
        command: Command,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        """No checkpoint is made."""
        found = main(arguments(address))
        output, errors = capfd.readouterr()
        assert (found, output, errors.count("\n")) == (code, "", 1)
        assert errors.startswith(f"chatarmin-os: {problem}")
        assert not (command.folder / "state").exists()

    def test_other_server_is_one_line(self, command: Command) -> None:
        """A web server accepts the connection, and waits for the rest of a request."""
        address = command.url.split("/")[2]
        problem = f"chatarmin-os: no scheduler of Dask answers at {address}: there is another server\n"
        assert command.run(address) == (3, "", problem)

    @pytest.mark.parametrize(
        ("content", "problem"),
        [("__version__ = '0.0.9'", "has chatarmin_os 0.0.9"), ("raise ImportError('not here')", "not here")],
        ids=["other-version", "missing"],
    )
    def test_worker_without_the_package_is_one_line(
        self, content: str, problem: str, command: Command, cluster: DaskCluster
    ) -> None:
        """The worker goes on to work for others."""
        (command.folder / "path" / "chatarmin_os").mkdir(parents=True)
        for name, text in {"__init__": "", "_version": content}.items():
            (command.folder / "path" / "chatarmin_os" / f"{name}.py").write_text(text)
        cluster.add_worker(command.of_worker(PYTHONPATH=str(command.folder / "path")))
        code, output, errors = command.run(cluster.address)

        assert (code, output, errors.count("\n")) == (2, "", 1)
        assert problem in errors
        assert "install the same version on the scheduler and on all workers" in errors
        assert cluster.workers[0].poll() is None
        assert command.fake.calls == []

    @pytest.mark.parametrize(
        ("variables", "problem"),
        [
            ({"OS_API_KEY": ""}, "api_key: is missing"),
            ({"OS_API_KEY": f"'{KEY}'"}, "api_key: is in quotes"),
        ],
        ids=["missing", "in-quotes"],
    )
    def test_worker_without_a_key_is_one_line(
        self, variables: dict[str, str], problem: str, command: Command, cluster: DaskCluster
    ) -> None:
        """The error says that it is a worker's, and shows no key."""
        cluster.add_worker(command.of_worker(**variables))
        code, output, errors = command.run(cluster.address)

        assert (code, output, errors.count("\n")) == (2, "", 1)
        assert errors.startswith("chatarmin-os: --dask: a worker could not make a client: ")
        assert problem in errors
        assert KEY not in errors + cluster.log()

    def test_worker_with_another_key_ends_the_run(self, command: Command, cluster: DaskCluster) -> None:
        """Rows go to one product only."""
        cluster.add_worker(command.of_worker())
        cluster.add_worker(command.of_worker(OS_API_KEY="os_sk_cluster_other"))
        code, output, errors = command.run(cluster.address)

        assert (code, output) == (2, "")
        assert "a worker has another API key or base URL than the others" in errors
        assert "secret" not in errors + cluster.log()

    def test_killed_worker_costs_nothing(self, command: Command, cluster: DaskCluster) -> None:
        """Its rows go to the other one."""
        cluster.add_worker(command.of_worker(), count=2)
        with command.halfway(cluster.address) as running:
            cluster.workers[0].kill()
            command.fake.goes_on.set()
            command.assert_done(running.end())

    def test_command_waits_for_a_worker_and_says_so(self, command: Command, cluster: DaskCluster) -> None:
        """At its start, and when all workers were killed."""
        waiting = (
            f"chatarmin-os: there is no worker at {cluster.address}; waiting for one: dask worker {cluster.address}"
        )
        command.fake.goes_on.clear()
        with command.started(cluster.address) as running:
            until(lambda: running.read("errors") == f"{waiting}\n")
            cluster.add_worker(command.of_worker())
            until(lambda: command.fake.is_halfway.is_set() and running.read("workers") == "1 seen")
            cluster.workers[0].kill()
            until(lambda: running.read("errors") == f"{waiting}\n" * 2)
            command.fake.goes_on.set()
            cluster.add_worker(command.of_worker())
            code, output, errors = running.end()

        assert errors == f"{waiting}\n" * 2
        command.assert_done((code, output, ""))

    def test_lost_scheduler_ends_the_run_and_the_next_goes_on(
        self, command: Command, cluster: DaskCluster, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """The same command does the rest on another cluster."""
        with DaskCluster(tmp_path_factory.mktemp("lost")) as lost:
            lost.add_worker(command.of_worker())
            with command.halfway(lost.address) as running:
                lost.scheduler.kill()
                command.fake.goes_on.set()
                code, output, errors = running.end()

        assert (code, output) == (3, "")
        assert errors.splitlines() == [
            f"chatarmin-os: the connection to the scheduler at {lost.address} was lost; rows that are done are noted",
            "  run the same command again: rows that are done are skipped",
        ]
        cluster.add_worker(command.of_worker())
        command.assert_done(command.run(cluster.address))

    def test_ctrl_c_says_how_to_go_on(self, command: Command, cluster: DaskCluster) -> None:
        """The rows in flight end on the workers; the exit code is 130."""
        cluster.add_worker(command.of_worker())
        with command.halfway(cluster.address) as running:
            running.process.send_signal(signal.SIGINT)
            command.fake.goes_on.set()
            end = running.end()

        assert end[:2] == (130, "")
        assert end[2].splitlines() == [
            "chatarmin-os: interrupted; the rows in flight have ended",
            "  run the same command again: rows that are done are skipped",
        ]
        assert HALFWAY <= command.companies() < ROWS
        command.assert_done(command.run(cluster.address))
