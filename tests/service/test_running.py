"""The service on a socket: it begins when it says so, ends without a trace, and says in a line why it cannot begin."""

from __future__ import annotations

import gc
import json
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
from asking import KEY, is_envelope, mutate, query, sent

from chatarmin_os import ChatarminOS
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.server import CannotServe, FakeService, Server, serve_fake
from chatarmin_os.server import waitress as _listener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 30  # seconds: what is waited for comes, or the test fails


@pytest.fixture(autouse=True)
def _nothing_is_left(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Check that a test leaves no thread, no open file and no word in the log."""
    threads, files = set(threading.enumerate()), _open_files()
    yield
    gc.collect()
    assert set(threading.enumerate()) == threads
    assert _open_files() == files
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
    """Send bytes, and return status and body of what comes back."""
    host, port = urlsplit(url).netloc.split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(request)
        answer = HTTPResponse(connection)
        answer.begin()
        told = answer.status, answer.read()
        answer.close()
        return told


def test_fakes_of_a_test_are_served_and_stay_its_own() -> None:
    """They are arranged in Python while clients call them; other keys have products of their own."""
    fake = FakeTransport(demo_catalogue())
    with serve_fake({KEY: fake}) as url, ChatarminOS(KEY, base_url=url) as client:
        company = fake.add_company("Acme", domain="acme.example")
        linked = client.companies.smart_link(external_org_id="org_1", hints={"domain": "acme.example"})
        fake.fail("tiers.list", error="CONFLICT")
        assert query(lambda *given: sent(url, *given), "tiers.list").code == "CONFLICT"
        assert query(lambda *given: sent(url, *given), "tiers.list", x_api_key="os_sk_2").status == 200

    assert linked.company_id == company
    assert [call.path for call in fake.calls][-2:] == ["companies.smartLink", "tiers.list"]


def test_two_services_have_ports_of_their_own() -> None:
    """And know nothing of each other."""
    with serve_fake() as first, serve_fake() as second:
        assert first != second
        mutate(lambda *given: sent(first, *given), "companies.create", {"name": "a", "externalOrgId": "b"})
        given = {"externalOrgId": "b"}
        assert query(lambda *asked: sent(second, *asked), "companies.getByProductLink", given).data is None


def test_a_port_may_be_chosen_and_is_free_again_at_once() -> None:
    """So a test may begin where the last one ended."""
    with serve_fake() as url:
        query(lambda *given: sent(url, *given), "tiers.list")
    port = urlsplit(url).port or 0
    for _ in range(3):
        with serve_fake(port=port) as again:
            assert again == f"http://127.0.0.1:{port}/api/v1"
            assert query(lambda *given: sent(again, *given), "tiers.list").status == 200


def test_connections_that_stay_open_do_not_keep_it() -> None:
    """Neither those that wait between two requests, nor those amid one."""
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


def test_requests_that_wait_do_not_keep_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for an answer when it ends gets none."""
    waiting, ended = threading.Event(), threading.Event()

    def wait(_: float) -> None:
        waiting.set()
        ended.wait()

    monkeypatch.setattr("chatarmin_os.server.app.time.sleep", wait)
    server = Server(FakeService(latency=1))
    connection = HTTPConnection("127.0.0.1", server.port)
    with _running(server):
        connection.request("GET", "/api/v1/tiers.list", headers={"x-api-key": KEY})
        waiting.wait()
        server.stop()
        with pytest.raises((RemoteDisconnected, ConnectionError)):
            connection.getresponse()
        ended.set()
    connection.close()


def test_a_failing_test_ends_it_too() -> None:
    """Its error comes through."""
    with pytest.raises(ZeroDivisionError), serve_fake() as url:  # noqa: PT012 - which is the point
        query(lambda *given: sent(url, *given), "tiers.list")
        raise ZeroDivisionError
    with pytest.raises(ConnectionRefusedError):
        sent(url, "GET", "/")


def test_stopping_is_possible_at_any_time() -> None:
    """Before it runs, twice, and when it has ended; nothing is written to what was closed."""
    server = Server(FakeService())
    server.stop()
    server.run()
    server.stop()
    server = Server(FakeService())
    with _running(server):
        server.stop()
        server.stop()


def test_closing_ends_what_runs() -> None:
    """From several threads at once: all is closed when they come back from it, and what ran has ended."""
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
        sent(server.url, "GET", "/")
    for one in (thread, *closers):
        one.join(PATIENCE)
        assert not one.is_alive()
    connection.close()


def test_it_runs_in_one_thread() -> None:
    """Another one that would run it too returns at once, and the first goes on."""
    server = Server(FakeService())
    with _running(server):
        assert query(lambda *given: sent(server.url, *given), "tiers.list").status == 200
        other = threading.Thread(target=server.run, daemon=True)
        other.start()
        other.join(PATIENCE)
        assert not other.is_alive()
        assert query(lambda *given: sent(server.url, *given), "tiers.list").status == 200


def test_what_is_closed_does_not_run() -> None:
    """There is nothing to run, and no thread is left."""
    server = Server(FakeService())
    server.close()
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    thread.join(PATIENCE)

    assert not thread.is_alive()
    server.close()


def _run_until_signalled(server: Server, handler: Callable[..., None]) -> None:
    """Run a server in this thread; once it has answered, a signal comes."""
    before = signal.signal(signal.SIGUSR1, handler)
    main = threading.main_thread().ident
    assert main

    def ask_and_signal() -> None:
        sent(server.url, "GET", "/x")
        signal.pthread_kill(main, signal.SIGUSR1)

    caller = threading.Thread(target=ask_and_signal)
    caller.start()
    server.run()
    caller.join()
    signal.signal(signal.SIGUSR1, before)


def test_a_handler_of_a_signal_may_close_it() -> None:
    """Whatever it interrupts: `run` ends when the handler has."""
    server = Server(FakeService())
    _run_until_signalled(server, lambda *_: server.close())
    with pytest.raises(ConnectionRefusedError):
        sent(server.url, "GET", "/")


@pytest.mark.parametrize("stops", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_ends_it(stops: type[BaseException]) -> None:
    """In the thread in which it runs; nothing is left open."""
    server = Server(FakeService())

    def interrupt(*_: Any) -> None:
        raise stops

    _run_until_signalled(server, interrupt)
    with pytest.raises(ConnectionRefusedError):
        sent(server.url, "GET", "/")


def test_another_error_of_the_loop_ends_it_and_comes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no reason to leave a port in use."""
    server = Server(FakeService())

    def broken(**_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(server, "_loop", broken)
    with pytest.raises(ZeroDivisionError):
        server.run()
    with pytest.raises(ConnectionRefusedError):
        sent(server.url, "GET", "/")


def test_a_port_in_use_is_told_in_a_line() -> None:
    """With what to do about it."""
    with serve_fake() as url:
        port = urlsplit(url).port or 0
        with pytest.raises(CannotServe) as caught, serve_fake(port=port):
            pass

    told = f"cannot listen at 127.0.0.1, port {port}: Address already in use; try another host or port"
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("host", "port"), [("192.0.2.1", 0), ("no such host", 0), ("127.0.0.1", 70_000), ("127.0.0.1", -1), ("::x", 1)]
)
def test_an_address_that_cannot_be_is_told_in_a_line(host: str, port: int) -> None:
    """Whatever is wrong with it."""
    with pytest.raises(CannotServe) as caught:
        Server(FakeService(), host=host, port=port)

    assert str(caught.value).startswith(f"cannot listen at {host}, port {port}: ")
    assert "\n" not in str(caught.value)


def test_all_addresses_of_a_name_are_listened_at() -> None:
    """And the URL has the name."""
    server = Server(FakeService(), host="localhost")
    with _running(server):
        assert server.url == f"http://localhost:{server.port}/api/v1"
        assert query(lambda *given: sent(server.url, *given), "tiers.list").status == 200


def test_it_may_listen_at_an_address_of_ip_6() -> None:
    """Whose URL has brackets."""
    try:
        server = Server(FakeService(), host="::1")
    except CannotServe as error:
        pytest.skip(str(error))
    with _running(server):
        assert server.url == f"http://[::1]:{server.port}/api/v1"
        with ChatarminOS(KEY, base_url=server.url) as client:
            assert client.tiers.list()


def test_a_missing_server_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the extra that brings it."""
    monkeypatch.setitem(sys.modules, "waitress.channel", None)
    told = r"^the server is not installed: pip install 'chatarmin-os\[server\]' brings waitress$"
    with pytest.raises(CannotServe, match=told), serve_fake():
        pass


@pytest.mark.parametrize(
    ("request_", "status", "told"),
    [
        (b"hello\r\n\r\n", 400, "Bad Request: Start line is invalid"),
        (b"GET /\r\nx\r\n\r\n", 400, "Bad Request: Invalid header"),
        (b"GET / HTTP/1.1\r\n no: folding\r\n\r\n", 400, "Bad Request: Malformed header line"),
        (b"get / HTTP/1.1\r\n\r\n", 400, "Bad Request: Malformed HTTP method"),
        (b"GET http://[x/ HTTP/1.1\r\n\r\n", 400, "Bad Request: Invalid IPv6 URL"),
        (b"GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n", 400, "Bad Request: Content-Length is invalid"),
        (b"GET / HTTP/1.1\r\ncontent-length: " + b"9" * 5000 + b"\r\n\r\n", 400, "Bad Request: Exceeds the limit"),
        (b"GET / HTTP/1.1\r\nx: " + b"x" * 300_000 + b"\r\n\r\n", 400, "Request Header Fields Too Large: "),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n", 501, "Not Implemented: "),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nx\r\n", 400, "Bad Request: "),
        (b"POST / HTTP/1.1\r\ncontent-length: 999999999\r\n\r\n", 413, "Request Entity Too Large: "),
    ],
)  # fmt: skip
def test_what_is_no_http_is_answered_by_an_envelope(request_: bytes, status: int, told: str) -> None:
    """As everything else is; the status is that of the envelope."""
    with serve_fake() as url:
        answered, body = _raw(url, request_)

    content = json.loads(body)
    assert (answered, content["error"]["data"]["httpStatus"]) == (status, status)
    assert is_envelope(content)
    assert content["error"]["message"].startswith(told)


def test_whoever_leaves_after_no_http_is_let_go() -> None:
    """Without a word in the log, and the next is answered."""
    with serve_fake() as url:
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", urlsplit(url).port or 0)) as connection:
                connection.sendall(b"hello\r\n\r\n" * 50)
        assert query(lambda *given: sent(url, *given), "tiers.list").status == 200


def test_a_defect_of_the_service_is_answered_by_an_envelope(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without where it was raised, which is in the log."""

    def broken(*_: Any) -> None:
        raise ZeroDivisionError("on line 7")

    monkeypatch.setattr(FakeService, "_answer", broken)
    with serve_fake() as url:
        reply = sent(url, "GET", "/")

    assert reply.code == "INTERNAL_SERVER_ERROR"
    assert b"line 7" not in reply.body
    assert "ZeroDivisionError: on line 7" in caplog.text
    caplog.clear()


@pytest.mark.slow
def test_large_answers_arrive_whole() -> None:
    """Also those that take many pieces to send."""
    fake = FakeTransport()
    fake.add_feature("x", name="X", config={"text": "x" * 20_000_000})
    with serve_fake({KEY: fake}) as url:
        snapshot = query(lambda *given: sent(url, *given), "snapshot", base="/__fake__").data

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
@pytest.mark.parametrize("first", SLOW.values(), ids=SLOW)
def test_slow_senders_do_not_shut_others_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, first: bytes
) -> None:
    """All connections that there may be are taken by those who send no request: others are answered soon, all the same.

    It is said once, however often it happens.
    """
    monkeypatch.setattr(_listener, "_MAX_CONNECTIONS", 12)
    monkeypatch.setattr(_listener, "MAX_FULL_SECONDS", 0.0)
    with serve_fake() as url, ExitStack() as stack:
        for _ in range(2):
            slow = _opened(url, 15, first, stack)
            assert query(lambda *given: sent(url, *given), "tiers.list").status == 200
            for connection in slow[:5]:
                connection.settimeout(PATIENCE)
                assert connection.recv(1) == b""

    (warning,) = caplog.records
    assert "further ones wait" in warning.getMessage()
    caplog.clear()


@pytest.mark.slow
@pytest.mark.parametrize("is_dripping", [False, True])
@pytest.mark.parametrize("first", list(SLOW.values())[1:], ids=list(SLOW)[1:])
def test_a_request_arrives_in_time_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch, first: bytes, *, is_dripping: bool
) -> None:
    """Also one whose bytes trickle in; an idle connection stays meanwhile."""
    monkeypatch.setattr(_listener, "_MAX_TRANSFER_SECONDS", 0.0)
    with serve_fake() as url, ExitStack() as stack:
        idle = HTTPConnection(urlsplit(url).netloc)
        stack.callback(idle.close)
        idle.request("GET", "/api/v1/tiers.list", headers={"x-api-key": KEY})
        assert idle.getresponse().read()
        (slow,) = _opened(url, 1, first, stack)
        slow.settimeout(0.01)
        with suppress(ConnectionError):
            while True:
                with suppress(TimeoutError):
                    if slow.recv(1) == b"":
                        break
                slow.sendall(b"x" if is_dripping else b"")
        idle.request("GET", "/api/v1/tiers.list", headers={"x-api-key": KEY})
        assert idle.getresponse().status == 200


@pytest.mark.slow
def test_an_answer_that_is_not_taken_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads nothing does not hold what was written for it."""
    monkeypatch.setattr(_listener, "_MAX_TRANSFER_SECONDS", 0.0)
    fake = FakeTransport()
    fake.add_feature("x", name="X", config={"text": "x" * 20_000_000})
    with serve_fake({KEY: fake}) as url, ExitStack() as stack:
        request = f"GET /__fake__/snapshot HTTP/1.1\r\nhost: localhost\r\nx-api-key: {KEY}\r\n\r\n".encode()
        (slow,) = _opened(url, 1, request, stack)
        slow.settimeout(PATIENCE)
        taken = 0
        with suppress(ConnectionError):
            while content := slow.recv(1_000):
                taken += len(content)
                time.sleep(0.001)

    assert taken < 20_000_000


def test_requests_that_wait_are_not_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A latency that was asked for is the service's own, however full it is."""
    for name in ("_MAX_TRANSFER_SECONDS", "_MAX_IDLE_SECONDS", "MAX_FULL_SECONDS"):
        monkeypatch.setattr(_listener, name, 0.0)
    with serve_fake(latency=1.5) as url:
        assert query(lambda *given: sent(url, *given), "tiers.list").status == 200


def _cpu_seconds(process: int) -> float:
    user, system = Path(f"/proc/{process}/stat").read_text(encoding="ascii").split()[13:15]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@pytest.mark.slow
def test_a_limit_of_open_files_is_kept_to(tmp_path: Path) -> None:
    """260 idle connections at 256 open files: nearly as many as that are taken, in silence but for one line.

    It does not spin: it hardly uses the processor while it waits, and it still answers.
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
        while log.read_text(encoding="utf-8").count("\n") < 2:
            time.sleep(0.01)
        files = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
        started, used = time.monotonic(), _cpu_seconds(process.pid)
        assert query(lambda *given: sent(url, *given), "tiers.list").status == 200
        waited, used = time.monotonic() - started, _cpu_seconds(process.pid) - used
        process.send_signal(signal.SIGTERM)

    assert process.returncode == 0
    assert 200 < files < 256
    assert used < waited / 2
    ready, full = log.read_text().splitlines()
    assert "Fake service running" in ready
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
def test_a_connection_waits_for_a_file_descriptor(caplog: pytest.LogCaptureFixture) -> None:
    """Where others in the process have taken all of them: it is said once, and answered when there is one again."""
    with serve_fake() as url, socket.socket() as connection:
        with _no_file_left():
            connection.connect(("127.0.0.1", urlsplit(url).port))
            while not caplog.records:
                time.sleep(0.01)
            time.sleep(3 * _listener.REST_SECONDS)
        connection.sendall(f"GET /api/v1/tiers.list HTTP/1.0\r\nx-api-key: {KEY}\r\n\r\n".encode())
        connection.settimeout(PATIENCE)
        assert connection.recv(100).startswith(b"HTTP/1.0 200 OK")

    (warning,) = caplog.records
    assert "further ones wait" in warning.getMessage()
    caplog.clear()


def test_a_large_body_without_a_file_ends_its_connection() -> None:
    """In silence, and no other connection."""
    with serve_fake() as url, ExitStack() as stack:
        head = f"POST /api/v1/onboard HTTP/1.1\r\nhost: localhost\r\ncontent-length: {2**22}\r\n\r\n".encode()
        (large,) = _opened(url, 1, head, stack)
        other = HTTPConnection(urlsplit(url).netloc)
        stack.callback(other.close)
        other.request("GET", "/api/v1/tiers.list", headers={"x-api-key": KEY})
        assert other.getresponse().read()
        with _no_file_left(), suppress(ConnectionError):
            large.sendall(b"x" * 2**22)
            large.settimeout(PATIENCE)
            assert large.recv(1) == b""
        other.request("GET", "/api/v1/tiers.list", headers={"x-api-key": KEY})
        assert other.getresponse().status == 200


def test_a_defect_of_the_server_below_is_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And ends the connection alone."""
    from waitress.parser import HTTPRequestParser  # type: ignore[import-untyped]

    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    with serve_fake() as url:
        with monkeypatch.context() as patched:
            patched.setattr(HTTPRequestParser, "received", broken)
            with pytest.raises((RemoteDisconnected, ConnectionError)):
                sent(url, "GET", "/")
        assert query(lambda *given: sent(url, *given), "tiers.list").status == 200

    assert "ZeroDivisionError" in caplog.text
    caplog.clear()
