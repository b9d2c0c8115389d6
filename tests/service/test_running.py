"""The service on a socket: it listens when it is created, ends without a trace, and says in one line why it fails."""

from __future__ import annotations

import gc
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection, HTTPResponse, RemoteDisconnected
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from requesting import KEY, mutate, query, send_over_socket
from waiting import until

from chatarmin_os import ChatarminOS, NotFoundError
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.server import FakeService, Server, StartupError, connections, serve_fake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_WAIT_SECONDS = 30


@pytest.fixture(autouse=True)
def _leave_nothing(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Check that a test leaves no thread, no open file and no warning in the log."""
    gc.collect()  # of what earlier tests have left
    gc.freeze()  # the rest, which the second collection need not visit
    threads, files = set(threading.enumerate()), _open_files()
    yield
    gc.collect()
    assert set(threading.enumerate()) <= threads  # a thread of an earlier test may have ended, and closed its files
    assert _open_files() <= files
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.WARNING] == []


def _open_files() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


@contextmanager
def _running(server: Server) -> Iterator[None]:
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield
    finally:
        server.stop()
        thread.join()


def _raw(url: str, request: bytes) -> tuple[int, bytes]:
    """Send bytes, and return status and body of the response."""
    host, port = urlsplit(url).netloc.split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(request)
        answer = HTTPResponse(connection)
        answer.begin()
        response = answer.status, answer.read()
        answer.close()
        return response


def test_fakes_of_a_test_are_served() -> None:
    """A test arranges them in Python while clients call them; other keys have their own products."""
    fake = FakeTransport(demo_catalogue())
    with serve_fake({KEY: fake}) as url, ChatarminOS(KEY, base_url=url) as client:
        company = fake.add_company("Acme", domain="acme.example")
        linked = client.companies.smart_link(external_org_id="org_1", hints={"domain": "acme.example"})
        fake.fail("tiers.list", error="CONFLICT")
        assert query(lambda *given: send_over_socket(url, *given), "tiers.list").code == "CONFLICT"
        assert query(lambda *given: send_over_socket(url, *given), "tiers.list", x_api_key="os_sk_2").status == 200

    assert linked.company_id == company
    assert [call.path for call in fake.calls][-2:] == ["companies.smartLink", "tiers.list"]


def test_base_url_without_its_path_is_a_missing_procedure() -> None:
    """The client's error says where the service is, and how base_url ends."""
    with serve_fake() as url, ChatarminOS(KEY, base_url=url.removesuffix("/api/v1")) as client:
        with pytest.raises(NotFoundError) as caught:
            client.tiers.list()
        with pytest.raises(NotFoundError) as of_mutation:
            client.links.reset()

    assert caught.value.is_missing_procedure
    assert "check base_url, which ends in /api/v1" in str(caught.value)
    assert of_mutation.value.is_missing_procedure


def test_two_services_have_different_ports_and_products() -> None:
    """One shows nothing of the other."""
    with serve_fake() as first, serve_fake() as second:
        assert first != second
        mutate(lambda *given: send_over_socket(first, *given), "companies.create", {"name": "a", "externalOrgId": "b"})
        given = {"externalOrgId": "b"}
        assert query(lambda *asked: send_over_socket(second, *asked), "companies.getByProductLink", given).data is None


def test_chosen_port_is_free_again_at_once() -> None:
    """The next test may use the same one."""
    with serve_fake() as url:
        query(lambda *given: send_over_socket(url, *given), "tiers.list")
    port = urlsplit(url).port or 0
    for _ in range(3):
        with serve_fake(port=port) as again:
            assert again == f"http://127.0.0.1:{port}/api/v1"
            assert query(lambda *given: send_over_socket(again, *given), "tiers.list").status == 200


def test_open_connections_do_not_delay_the_end() -> None:
    """Neither idle ones, nor those in the middle of a request."""
    with ExitStack() as stack:
        with serve_fake() as url:
            connections = [HTTPConnection(urlsplit(url).netloc) for _ in range(20)]
            for connection in connections:
                stack.callback(connection.close)
                connection.request("GET", "/api/v1/tiers.list", headers={"x-api-key": KEY})
                assert connection.getresponse().read()
            for connection in connections[::2]:
                assert connection.sock
                connection.sock.sendall(b"POST /api/v1/onboard HTTP/1.1\r\ncontent-length: 10\r\n\r\n1234")
        for connection in connections:
            with pytest.raises((RemoteDisconnected, ConnectionError)):  # noqa: PT012 - either of the two fails
                connection.request("GET", "/api/v1/tiers.list")
                connection.getresponse()


def test_waiting_requests_do_not_delay_the_end() -> None:
    """They get no response."""
    waiting, ended = threading.Event(), threading.Event()

    def sleep(_: float) -> None:
        waiting.set()
        ended.wait()

    server = Server(FakeService(latency=1, sleep=sleep))
    connection = HTTPConnection("127.0.0.1", server.port)
    with _running(server):
        connection.request("GET", "/api/v1/tiers.list", headers={"x-api-key": KEY})
        waiting.wait()
        server.stop()
        with pytest.raises((RemoteDisconnected, ConnectionError)):
            connection.getresponse()
        ended.set()
    connection.close()


def test_failing_test_ends_the_service() -> None:
    """Its error is raised."""
    with pytest.raises(ZeroDivisionError), serve_fake() as url:  # noqa: PT012 - which is the point
        query(lambda *given: send_over_socket(url, *given), "tiers.list")
        raise ZeroDivisionError
    with pytest.raises(ConnectionRefusedError):
        send_over_socket(url, "GET", "/")


def test_stop_works_at_any_time() -> None:
    """Before the server runs, twice, and after it has ended."""
    server = Server(FakeService())
    server.stop()
    server.run()
    server.stop()
    server = Server(FakeService())
    with _running(server):
        server.stop()
        server.stop()


def test_close_ends_a_running_server() -> None:
    """From several threads at once: each returns when all is closed."""
    server = Server(FakeService())
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    connection = HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", "/api/v1/tiers.list", headers={"x-api-key": KEY})
    assert connection.getresponse().read()
    closers = [threading.Thread(target=server.close) for _ in range(3)]
    for closer in closers:
        closer.start()
    server.close()
    with pytest.raises(ConnectionRefusedError):
        send_over_socket(server.url, "GET", "/")
    for one in (thread, *closers):
        one.join(MAX_WAIT_SECONDS)
        assert not one.is_alive()
    connection.close()


def test_server_runs_in_one_thread() -> None:
    """In another one, `run` returns at once, and the first goes on."""
    server = Server(FakeService())
    with _running(server):
        assert query(lambda *given: send_over_socket(server.url, *given), "tiers.list").status == 200
        other = threading.Thread(target=server.run, daemon=True)
        other.start()
        other.join(MAX_WAIT_SECONDS)
        assert not other.is_alive()
        assert query(lambda *given: send_over_socket(server.url, *given), "tiers.list").status == 200


def test_closed_server_does_not_run() -> None:
    """`run` returns at once, and leaves no thread."""
    server = Server(FakeService())
    server.close()
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    thread.join(MAX_WAIT_SECONDS)

    assert not thread.is_alive()
    server.close()


def _run_until_signalled(server: Server, handler: Callable[..., None]) -> None:
    """Run a server in this thread; once it has answered, a signal comes.

    It comes again if the server goes on: waitress logs the exception of a handler that interrupts it in a connection.
    """
    before = signal.signal(signal.SIGUSR1, handler)
    main = threading.main_thread().ident
    assert main
    has_ended = threading.Event()

    def ask_and_signal() -> None:
        send_over_socket(server.url, "GET", "/x")
        signal.pthread_kill(main, signal.SIGUSR1)
        while not has_ended.wait(2):
            signal.pthread_kill(main, signal.SIGUSR1)

    caller = threading.Thread(target=ask_and_signal)
    caller.start()
    try:
        server.run()
    finally:
        has_ended.set()
        caller.join()
        signal.signal(signal.SIGUSR1, before)


def test_signal_handler_may_close_the_server() -> None:
    """`run` returns after the handler."""
    server = Server(FakeService())
    _run_until_signalled(server, lambda *_: server.close())
    with pytest.raises(ConnectionRefusedError):
        send_over_socket(server.url, "GET", "/")


@pytest.mark.parametrize("stops", [KeyboardInterrupt, SystemExit])
def test_interrupt_ends_the_server(stops: type[BaseException]) -> None:
    """In the thread in which it runs; nothing stays open."""
    server = Server(FakeService())

    def interrupt(*_: Any) -> None:
        raise stops

    _run_until_signalled(server, interrupt)
    with pytest.raises(ConnectionRefusedError):
        send_over_socket(server.url, "GET", "/")


def test_other_exception_ends_the_server_and_is_raised(caplog: pytest.LogCaptureFixture) -> None:
    """It leaves neither a thread nor a port in use."""
    server = Server(FakeService())

    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        _run_until_signalled(server, fail)
    with pytest.raises(ConnectionRefusedError):
        send_over_socket(server.url, "GET", "/")
    caplog.clear()


def test_port_in_use_is_reported() -> None:
    """In one line, with advice."""
    with serve_fake() as url:
        port = urlsplit(url).port or 0
        with pytest.raises(StartupError) as caught, serve_fake(port=port):
            pass

    message = f"cannot listen at 127.0.0.1, port {port}: Address already in use; try another host or port"
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("host", "port"),
    [("192.0.2.1", 0), ("no such host", 0), ("127.0.0.1", 70_000), ("127.0.0.1", -1), ("::x", 1), ("x" * 70, 0)],
)
def test_invalid_address_is_reported(host: str, port: int) -> None:
    """In one line, for any fault of it."""
    with pytest.raises(StartupError) as caught:
        Server(FakeService(), host=host, port=port)

    assert str(caught.value).startswith(f"cannot listen at {host}, port {port}: ")
    assert "\n" not in str(caught.value)


def test_server_listens_at_all_addresses_of_a_name() -> None:
    """At the same port; the URL has the name."""
    server = Server(FakeService(), host="localhost")
    with _running(server):
        assert server.url == f"http://localhost:{server.port}/api/v1"
        assert query(lambda *given: send_over_socket(server.url, *given), "tiers.list").status == 200


def test_server_listens_at_an_ipv6_address() -> None:
    """Its URL has brackets."""
    try:
        server = Server(FakeService(), host="::1")
    except StartupError as error:
        pytest.skip(str(error))
    with _running(server):
        assert server.url == f"http://[::1]:{server.port}/api/v1"
        with ChatarminOS(KEY, base_url=server.url) as client:
            assert client.tiers.list()


def test_missing_waitress_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the extra that installs it."""
    monkeypatch.setitem(sys.modules, "waitress", None)
    message = r"^waitress is not installed: pip install 'chatarmin-os\[server\]'$"
    with pytest.raises(StartupError, match=message), serve_fake():
        pass


@pytest.mark.parametrize(
    ("request_", "status", "reason"),
    [
        (b"hello\r\n\r\n", 400, "Start line is invalid"),
        (b"GET /\r\nx\r\n\r\n", 400, "Invalid header"),
        (b"GET / HTTP/1.1\r\n no: folding\r\n\r\n", 400, "Malformed header line"),
        (b"get / HTTP/1.1\r\n\r\n", 400, "Malformed HTTP method"),
        (b"GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n", 400, "Content-Length is invalid"),
        (b"GET / HTTP/1.1\r\nx: " + b"x" * 300_000 + b"\r\n\r\n", 431, "exceeds max_header"),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n", 501, "Transfer-Encoding"),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nx\r\n", 400, "Invalid chunk"),
        (b"POST / HTTP/1.1\r\ncontent-length: 999999999\r\n\r\n", 413, "exceeds max_body"),
    ],
    ids=["start-line", "header", "folding", "method", "length", "large-head", "encoding", "chunk", "large-body"],
)
def test_malformed_http_is_refused(request_: bytes, status: int, reason: str) -> None:
    """By waitress, as plain text: it never reaches the service."""
    with serve_fake() as url:
        answered, body = _raw(url, request_)

    assert answered == status
    assert reason in body.decode()
    assert b"Traceback" not in body


def test_client_that_leaves_after_malformed_http_is_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    """The next client gets its response."""
    with serve_fake() as url:
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", urlsplit(url).port or 0)) as connection:
                connection.sendall(b"hello\r\n\r\n" * 50)
        assert query(lambda *given: send_over_socket(url, *given), "tiers.list").status == 200
    caplog.clear()  # waitress 3.0.2 may log an error of its own for a client that leaves before it is refused


def test_queue_warnings_of_waitress_are_silent(caplog: pytest.LogCaptureFixture) -> None:
    """Waitress warns of requests that wait for a thread, as the first one does; its errors are logged."""
    queue = logging.getLogger("waitress.queue")
    with serve_fake() as url, ChatarminOS(KEY, base_url=url) as client:
        client.tiers.list()
        queue.warning("Task queue depth is %d", 1)
        queue.error("a thread failed")

    assert [record.getMessage() for record in caplog.records if record.name == "waitress.queue"] == ["a thread failed"]
    caplog.clear()


def test_defect_of_the_service_is_an_internal_server_error(caplog: pytest.LogCaptureFixture) -> None:
    """The log has the traceback, the response has not."""

    class Broken(FakeService):
        def __call__(self, *_: Any) -> Any:
            raise ZeroDivisionError("on line 7")

    server = Server(Broken())
    with _running(server):
        reply = send_over_socket(server.url, "GET", "/")

    assert reply.code == "INTERNAL_SERVER_ERROR"
    assert b"line 7" not in reply.body
    assert "ZeroDivisionError: on line 7" in caplog.text
    caplog.clear()


@pytest.mark.slow
def test_large_responses_arrive_whole() -> None:
    """They are sent in many pieces."""
    fake = FakeTransport()
    fake.add_feature("x", name="X", config={"text": "x" * 20_000_000})
    with serve_fake({KEY: fake}) as url:
        snapshot = query(lambda *given: send_over_socket(url, *given), "snapshot", base="/__fake__").data

    assert snapshot == fake.snapshot()


# Many connections, and slow ones


def _opened(url: str, count: int, first: bytes, stack: ExitStack) -> list[socket.socket]:
    """Open connections, and send the first bytes of a request on each."""
    host, port = urlsplit(url).netloc.split(":")
    connections = [stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(count)]
    for connection in connections:
        connection.sendall(first)
    return connections


SLOW = {
    "nothing": b"",
    "half-a-header": b"POST /api/v1/onboard HTTP/1.1\r\nhost: localhost\r\nx-a",
    "half-a-body": b"POST /api/v1/onboard HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{",
    "half-a-chunk": b"POST /api/v1/onboard HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nff\r\n{",
}


@pytest.mark.slow
@pytest.mark.parametrize("is_dripping", [False, True], ids=["silent", "dripping"])
@pytest.mark.parametrize("first", SLOW.values(), ids=SLOW)
def test_slow_clients_do_not_keep_others_out(
    caplog: pytest.LogCaptureFixture, first: bytes, *, is_dripping: bool
) -> None:
    """They hold all connections that may be open; the log warns once, however often it happens."""
    server = Server(FakeService(), max_connections=12)
    with _running(server), ExitStack() as stack:
        for _ in range(2):
            slow = _opened(server.url, 15, first, stack)
            if is_dripping:
                for connection in slow[-10:]:
                    connection.sendall(first[-1:])
            assert query(lambda *given: send_over_socket(server.url, *given), "tiers.list").status == 200
            for connection in slow[:4]:
                connection.settimeout(MAX_WAIT_SECONDS)
                with suppress(ConnectionError):
                    assert connection.recv(1) == b""

    (warning,) = caplog.records
    assert "each further one closes the one that has been idle longest" in warning.getMessage()
    caplog.clear()


@pytest.mark.slow
def test_client_that_does_not_read_does_not_keep_others_out(caplog: pytest.LogCaptureFixture) -> None:
    """Its response is dropped when the connection is needed."""
    fake = FakeTransport()
    fake.add_feature("x", name="X", config={"text": "x" * 20_000_000})
    server = Server(FakeService({KEY: fake}), max_connections=4)
    with _running(server), ExitStack() as stack:
        request = f"GET /__fake__/snapshot HTTP/1.1\r\nhost: localhost\r\nx-api-key: {KEY}\r\n\r\n".encode()
        (slow,) = _opened(server.url, 1, request, stack)
        slow.settimeout(MAX_WAIT_SECONDS)
        received = len(slow.recv(1_000))
        _opened(server.url, 5, b"", stack)
        until(lambda: bool(caplog.records))  # the warning of a connection that was ended
        with suppress(ConnectionError):
            while content := slow.recv(1_000_000):
                received += len(content)

    assert received < 20_000_000
    caplog.clear()


def test_waiting_requests_are_not_idle(caplog: pytest.LogCaptureFixture) -> None:
    """However many connections are open."""
    waiting, ended = threading.Event(), threading.Event()

    def sleep(_: float) -> None:
        waiting.set()
        ended.wait()

    server = Server(FakeService(latency=1, sleep=sleep), max_connections=4)
    connection = HTTPConnection("127.0.0.1", server.port)
    with _running(server), ExitStack() as stack:
        connection.request("GET", "/api/v1/tiers.list", headers={"x-api-key": KEY})
        waiting.wait()
        for idle in _opened(server.url, 10, b"", stack)[:5]:
            idle.settimeout(MAX_WAIT_SECONDS)
            assert idle.recv(1) == b""
        ended.set()
        assert connection.getresponse().status == 200
    connection.close()
    caplog.clear()


def test_accept_without_a_connection_raises() -> None:
    """As of any socket that does not block."""
    (listening,) = connections.listen("127.0.0.1", 0, connections.Connections(1))
    with listening:
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.accept()


def test_connections_may_be_busy_all_at_once() -> None:
    """Then a further one is still accepted."""
    pool = connections.Connections(1)
    pairs = [socket.socketpair() for _ in range(2)]
    pool.add(pairs[0][0], ("127.0.0.1", 1))
    with pool.busy({"REMOTE_ADDR": "127.0.0.1", "REMOTE_PORT": "1"}):
        pool.add(pairs[1][0], ("127.0.0.1", 2))
        pairs[0][0].sendall(b"x")
        assert pairs[0][1].recv(1) == b"x"
    for pair in pairs:
        for one in pair:
            one.close()
    with pool.busy({"REMOTE_ADDR": "127.0.0.1", "REMOTE_PORT": "3"}) as unknown:
        unknown.end()
        assert not unknown.is_open


def _cpu_seconds(process: int) -> float:
    user, system = Path(f"/proc/{process}/stat").read_text(encoding="ascii").split()[13:15]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@pytest.mark.slow
def test_limit_of_open_files_is_respected(tmp_path: Path) -> None:
    """260 idle connections at 256 open files: nearly as many stay open, and the log has one line.

    The server does not spin, and it still answers.
    """
    code = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))\n"
        "from chatarmin_os.cli import main\n"
        "sys.exit(main())"
    )
    log = tmp_path / "log"
    command = [sys.executable, "-W", "error", "-c", code, "serve", "--port", "0"]
    with (
        log.open("w") as err,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err, text=True) as process,  # noqa: S603
        ExitStack() as stack,
    ):
        assert process.stdout
        url = process.stdout.readline().strip()
        _opened(url, 260, b"", stack)
        until(lambda: "limit of open files" in log.read_text(encoding="utf-8"))
        files = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
        started, used = time.monotonic(), _cpu_seconds(process.pid)
        time.sleep(0.5)  # a server that spins uses most of it
        assert query(lambda *given: send_over_socket(url, *given), "tiers.list").status == 200
        waited, used = time.monotonic() - started, _cpu_seconds(process.pid) - used
        process.send_signal(signal.SIGTERM)

    assert process.returncode == 0
    assert 200 < files < 256
    assert used < waited / 2
    *ready, full = log.read_text().splitlines()
    assert len(ready) == 2
    assert "all that the limit of open files allows" in full


@contextmanager
def _no_file_left() -> Iterator[None]:
    """Let this process open no further file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open(os.devnull, "rb") as lowest_free:  # noqa: PTH123
        number = lowest_free.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.slow
def test_connection_waits_for_a_file_descriptor() -> None:
    """Other parts of the process have taken all of them; it gets its response when one is free."""
    with serve_fake() as url, socket.socket() as connection:
        with _no_file_left():
            connection.connect(("127.0.0.1", urlsplit(url).port))
            time.sleep(5 * connections.PAUSE_SECONDS)
        connection.sendall(f"GET /api/v1/tiers.list HTTP/1.0\r\nx-api-key: {KEY}\r\n\r\n".encode())
        connection.settimeout(MAX_WAIT_SECONDS)
        assert connection.recv(100).startswith(b"HTTP/1.0 200 OK")


def test_large_body_needs_no_file() -> None:
    """It is kept in memory, where file descriptors are scarce."""
    with serve_fake() as url, ExitStack() as stack:
        head = f"POST /api/v1/onboard HTTP/1.1\r\nhost: localhost\r\ncontent-length: {2**22}\r\n\r\n".encode()
        (large,) = _opened(url, 1, head, stack)
        other = HTTPConnection(urlsplit(url).netloc)
        stack.callback(other.close)
        other.request("GET", "/api/v1/tiers.list", headers={"x-api-key": KEY})
        assert other.getresponse().read()
        with _no_file_left():
            large.sendall(b" " * 2**22)
            large.settimeout(MAX_WAIT_SECONDS)
            assert large.recv(12) == b"HTTP/1.1 415"
        other.request("GET", "/api/v1/tiers.list", headers={"x-api-key": KEY})
        assert other.getresponse().status == 200
