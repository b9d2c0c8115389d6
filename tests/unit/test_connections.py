"""Connections in states that no server causes: no sockets, interrupts, and calls that close a connection twice."""

from __future__ import annotations

import io
import re
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import pytest

from chatarmin_os import ChatarminOS, ConnectionFailed, TimedOut
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.server import serve_fake
from chatarmin_os.transports import Call, HTTPTransport
from chatarmin_os.transports.http.connections import Connection
from chatarmin_os.transports.http.dns import DeadlineError, resolve
from chatarmin_os.transports.http.exchange import Exchange
from chatarmin_os.transports.http.reading import Reader, TimedIO
from chatarmin_os.transports.http.retry import Deadline

if TYPE_CHECKING:
    from requests import PreparedRequest

CALL = Call("tiers.list", "query")


class Interrupted(BaseException):
    """The exception of a signal's handler."""


class Broken:
    """A socket that an exception interrupts while it connects."""

    closed = 0

    def __init__(self, *_: Any) -> None:
        """Accept the arguments of a socket."""

    def setsockopt(self, *_: Any) -> None:
        """Take an option."""

    def settimeout(self, _: float) -> None:
        """Take a timeout."""

    def connect(self, _: Any) -> None:
        """Be interrupted."""
        raise Interrupted

    def close(self) -> None:
        """Count."""
        Broken.closed += 1


def _exchange(seconds: float) -> Exchange:
    return Exchange(Deadline(seconds), may_repeat=True)


def test_no_time_is_left_after_the_deadline() -> None:
    """A wait would last for ever with a timeout of 0."""
    assert 0 < _exchange(1000).time_left() <= 1000
    with pytest.raises(TimeoutError):
        _exchange(0).time_left()


def test_failure_to_make_a_socket_is_a_failed_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address of a family without sockets on this system counts as one that does not answer."""

    def none(*_: Any) -> Any:
        raise OSError("no such sockets here")

    monkeypatch.setattr(socket, "socket", none)

    with pytest.raises(ConnectionFailed, match="no such sockets here") as failed:
        HTTPTransport("os_sk_9f8e7d6c5b4a", "http://127.0.0.1:9/api/v1", max_retries=0).send(CALL)

    assert failed.value.outcome == "not_sent"


def test_interrupted_connect_closes_its_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exception of a signal is not changed, and no socket stays open."""
    monkeypatch.setattr(socket, "socket", Broken)

    with pytest.raises(Interrupted):
        HTTPTransport("os_sk_9f8e7d6c5b4a", "http://127.0.0.1:9/api/v1").send(CALL)

    assert Broken.closed == 1


def test_socket_that_connects_after_the_deadline_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the deadline passes while the system connects, no socket stays open."""

    class Late(socket.socket):
        """A socket that connects when the deadline has passed."""

        instances: ClassVar[list[Late]] = []

        def connect(self, address: Any) -> None:
            """Connect at once, and late."""
            Late.instances.append(self)
            self.settimeout(None)
            super().connect(address)
            time.sleep(0.06)

    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(socket, "socket", Late)
        transport = HTTPTransport("os_sk_9f8e7d6c5b4a", f"http://127.0.0.1:{server.getsockname()[1]}", timeout=0.05)
        with pytest.raises(TimedOut) as failed:
            transport.send(CALL)

    assert failed.value.outcome == "not_sent"
    assert [sock.fileno() for sock in Late.instances] == [-1]


def test_connection_that_was_given_back_does_not_touch_its_successor() -> None:
    """A call that an exception has interrupted may close the connection again, after another call has its socket."""
    connection = Connection("127.0.0.1", 9)
    near, far = socket.socketpair()
    connection.sock = near

    successor = connection.succeed()
    connection.close()

    assert (connection.sock, successor.sock) == (None, near)
    assert near.fileno() >= 0
    successor.close()
    assert near.fileno() == -1
    far.close()


def test_exchange_shows_its_step_and_the_time_left() -> None:
    """Error trackers write down the representation of a timeout."""
    exchange = _exchange(1000)

    assert re.fullmatch(r"<Exchange: sending the request, (1000|999)\.[0-9]{3} s left>", repr(exchange))
    assert str(exchange).startswith("<Exchange: ")


def test_response_can_be_closed_twice() -> None:
    """Only the first close looks for bytes that are left."""
    exchange, raw = _exchange(1), io.BytesIO(b"more than the answer")
    near, far = socket.socketpair()
    reader = Reader(TimedIO(cast("io.RawIOBase", raw), near, exchange), exchange)

    assert reader.read(4) == b"more"
    reader.close()
    reader.close()

    assert exchange.has_trailing_data
    near.close()
    far.close()


def test_name_without_a_thread_to_look_it_up_is_a_failed_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the system has no more threads, the call fails as not sent."""

    def none(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none)

    with pytest.raises(ConnectionFailed, match="can't start new thread") as failed:
        HTTPTransport("os_sk_9f8e7d6c5b4a", "https://nowhere.invalid/api/v1", max_retries=0).send(CALL)

    assert failed.value.outcome == "not_sent"


def test_calls_share_a_pending_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent name server holds one thread for each name, and not one for each call that waits for it."""
    answered, names = threading.Event(), []

    def silent(host: str, *_: object) -> Any:
        names.append(host)
        answered.wait(30)
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    try:
        for _ in range(3):
            with pytest.raises(DeadlineError, match="did not answer in time"):
                resolve("silent.invalid", 443, 0.05)
        assert names == ["silent.invalid"]
    finally:
        answered.set()
        for thread in threading.enumerate():
            if thread.name == "look up silent.invalid":
                thread.join()


@pytest.mark.parametrize("error", [RuntimeError("blocked"), Interrupted()], ids=["runtime-error", "base-exception"])
def test_foreign_exception_of_a_look_up_is_not_changed(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Network blocks have their own exceptions: the same object is raised, whatever thread it came from."""

    def blocked(*_: object) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", blocked)
    for host in ("nowhere.invalid", "127.0.0.1"):
        with pytest.raises(type(error)) as raised:
            HTTPTransport("os_sk_9f8e7d6c5b4a", f"https://{host}/api/v1", max_retries=0).send(CALL)
        assert raised.value is error


def test_name_that_python_cannot_encode_is_a_failed_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python refuses some names with a UnicodeError."""

    def refused(*_: object) -> None:
        raise UnicodeError("label too long")

    monkeypatch.setattr(socket, "getaddrinfo", refused)

    with pytest.raises(ConnectionFailed, match="label too long") as failed:
        HTTPTransport("os_sk_9f8e7d6c5b4a", "https://nowhere.invalid/api/v1", max_retries=0).send(CALL)

    assert failed.value.outcome == "not_sent"


@pytest.mark.parametrize("transformer", ["json", "superjson"])
def test_body_is_sent_with_an_auth_of_the_user(transformer: Literal["json", "superjson"]) -> None:
    """Inputs of queries and mutations arrive complete, also if the headers have no masked key."""

    def authorise(request: PreparedRequest) -> PreparedRequest:
        request.headers["x-api-key"] = "os_sk_test"
        return request

    fake = FakeTransport(demo_catalogue())
    with serve_fake({"os_sk_test": fake}) as url:
        transport = HTTPTransport(base_url=url, auth=authorise, transformer=transformer)
        with ChatarminOS(transport=transport) as client:
            result = client.sign_up(external_org_id="org_1", name="Acme 日本", starting_tier="free")
            assert client.companies.get_by_product_link(external_org_id="org_1").name == "Acme 日本"  # type: ignore[union-attr]

    assert result.tier_applied
