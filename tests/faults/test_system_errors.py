"""Errors of the operating system keep their reason, and exceptions of the caller's own timers pass through."""

from __future__ import annotations

import errno
import gc
import os
import signal
import socket
import ssl
import time
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
import requests
import trustme
from fault_server import Backlog, FaultServer, client_of, stall_at_accept, stalled
from samples import request_of

from chatarmin_os import ConnectionFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chatarmin_os import ChatarminOS

CODES = ["ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH", "ENETDOWN", "EPIPE", "ECONNRESET", "ECONNABORTED", "EHOSTDOWN"]
CODES += ["ENOTCONN", "ENOBUFS", "EIO", "EPROTO", "EACCES"]
codes = pytest.mark.parametrize("code", CODES)
whose_session = pytest.mark.parametrize("whose", ["own", "given"])


@contextmanager
def _client(url: str, whose: str, **settings: Any) -> Iterator[ChatarminOS]:
    with requests.Session() as session:
        given = {"session": session} if whose == "given" else {}
        with client_of(url, **{"max_retries": 0, **given, **settings}) as client:
            yield client


def _failing(name: str, number: int, when: Callable[[], bool]) -> Any:
    """Return a method of sockets that fails as the system lets it."""
    plain = getattr(socket.socket, name)

    def method(self: Any, *arguments: Any, **settings: Any) -> Any:
        if when():
            raise OSError(number, os.strerror(number))
        return plain(self, *arguments, **settings)

    return method


@codes
@whose_session
@pytest.mark.parametrize("moment", ["recv", "send", "connect"])
def test_system_error_is_a_lost_connection(moment: str, whose: str, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is of the package and no timeout; it has the outcome and the system's reason."""
    if not hasattr(errno, code):
        pytest.skip("another system")
    number, is_armed = getattr(errno, code), False
    names = {"recv": ["recv_into"], "send": ["send", "sendall", "recv_into"], "connect": ["connect"]}[moment]
    methods = {name: _failing(name, number, lambda: is_armed) for name in names}
    monkeypatch.setattr(socket, "socket", type("Socket", (socket.socket,), methods))

    with FaultServer() as server, _client(server.url, whose) as client:
        if moment != "connect":
            client.tiers.list()  # the connection is warm
        is_armed = True
        with pytest.raises(ConnectionFailed) as failed:
            client.send(request_of("features.setAccess"))
        is_armed = False
        client.tiers.list()

    assert os.strerror(number) in str(failed.value) or code in {"EPIPE", "ECONNRESET"}
    assert "time" not in str(failed.value).replace(os.strerror(number), "")
    is_unsent = moment == "connect" or (moment == "send" and whose == "own")
    assert failed.value.outcome == ("not_sent" if is_unsent else "unknown")


@codes
@whose_session
@pytest.mark.parametrize("moment", ["do_handshake", "recv_into", "send"])
def test_system_error_under_tls_is_a_lost_connection(
    moment: str, whose: str, code: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """The same for errors during the handshake and after it."""
    if not hasattr(errno, code):
        pytest.skip("another system")
    number = getattr(errno, code)
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority.pem"))

    def fail(sock: ssl.SSLSocket, *arguments: Any, **settings: Any) -> Any:
        if sock.server_side:
            return plain(sock, *arguments, **settings)
        raise OSError(number, os.strerror(number))

    with FaultServer(tls=context) as server, _client(server.url, whose) as client:
        names = ["send", "recv_into"] if moment == "send" else [moment]
        for name in names:
            plain = getattr(ssl.SSLSocket, name)
            monkeypatch.setattr(ssl.SSLSocket, name, fail)
        with pytest.raises(ConnectionFailed) as failed:
            client.send(request_of("features.setAccess"))
        while moment == "recv_into" and not server.executed:
            time.sleep(0.01)  # a server that is closed while it reads over TLS would read encrypted bytes
        monkeypatch.undo()

    assert "the time was up" not in str(failed.value)
    assert failed.value.outcome == ("not_sent" if whose == "own" and moment != "recv_into" else "unknown")


# The caller's own


class OwnTimeoutError(TimeoutError):
    """A timeout of the caller's own class."""


class OwnError(OSError):
    """An error of the caller's that looks as one of the system."""


class SoftLimit(Exception):  # noqa: N818 - as Celery's
    """The exception of a task queue for a task that takes too long."""


EXCEPTIONS: dict[str, Callable[[], BaseException]] = {
    "TimeoutError": TimeoutError,
    "TimeoutError of a message": lambda: TimeoutError("timed out"),
    "TimeoutError of its own class": OwnTimeoutError,
    "OSError of its own class": OwnError,
    "ConnectionError": ConnectionResetError,
    "soft limit": SoftLimit,
}


_numbers = count()


@contextmanager
def _receiving() -> Iterator[str]:
    with FaultServer() as server:
        server.behaviour = stalled
        yield server.url


@contextmanager
def _connecting() -> Iterator[str]:
    with Backlog() as backlog:
        yield f"http://127.0.0.1:{backlog.port}/api/v1"


@contextmanager
def _looking_up() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(5))
        yield f"https://service{next(_numbers)}.test/api/v1"  # calls at the same time share a look-up


@contextmanager
def _shaking_hands() -> Iterator[str]:
    with FaultServer() as server:
        server.accepting = stall_at_accept
        yield server.url.replace("http:", "https:")


@contextmanager
def _loading_authorities() -> Iterator[str]:
    with FaultServer() as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl.SSLContext, "load_verify_locations", lambda *_, **__: time.sleep(5))
        yield server.url.replace("http:", "https:")


MOMENTS = {
    "recv": _receiving,
    "connect": _connecting,
    "look-up": _looking_up,
    "authorities": _loading_authorities,
    "handshake": _shaking_hands,
}


@pytest.fixture
def _collected() -> Iterator[None]:
    """Collect the socket that urllib3 leaves open if an exception other than a system error interrupts connecting."""
    yield
    gc.collect()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no such timer")
@pytest.mark.usefixtures("_collected")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@whose_session
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("kind", EXCEPTIONS)
def test_exception_of_a_signal_is_not_changed(kind: str, moment: str, whose: str) -> None:
    """The caller gets the same exception object, whatever it is and whenever it strikes, and nothing is retried."""
    own = EXCEPTIONS[kind]()

    def interrupt(_: int, __: object) -> None:
        raise own

    before = signal.signal(signal.SIGALRM, interrupt)
    with MOMENTS[moment]() as url, _client(url, whose, max_retries=2) as client:
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with pytest.raises(type(own)) as raised:
                client.tiers.list()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    assert raised.value is own


def test_handler_may_be_a_method_of_any_signature() -> None:
    """A handler is recognised by its argument, the interrupted frame."""

    class Guard:
        def __call__(self, *received: object) -> None:
            self._fail("late", *received)

        @staticmethod
        def _fail(reason: str, *_: object) -> None:
            raise TimeoutError(reason)

    before = signal.signal(signal.SIGALRM, Guard())
    with _receiving() as url, _client(url, "given") as client:
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with pytest.raises(TimeoutError, match="late"):
                client.tiers.list()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
