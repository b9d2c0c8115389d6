"""Connections, where no server brings it about: sockets that cannot be had, and what is closed twice or by another."""

from __future__ import annotations

import io
import socket
import threading
from typing import TYPE_CHECKING, Any, Literal, cast

import pytest

from chatarmin_os import ChatarminOS, ConnectionFailed
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.server import serve_fake
from chatarmin_os.transports import Call, HTTPTransport
from chatarmin_os.transports.http import connections
from chatarmin_os.transports.http.connections import Exchange
from chatarmin_os.transports.http.retry import Deadline

if TYPE_CHECKING:
    from requests import PreparedRequest

CALL = Call("tiers.list", "query")


class Interrupted(BaseException):
    """What a signal raises."""


class Broken:
    """A socket whose connecting is interrupted."""

    closed = 0

    def __init__(self, *_: Any) -> None:
        """Be made as any."""

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


def test_no_time_is_left_when_the_deadline_has_passed() -> None:
    """What would wait then is told that the time is up, not to wait for nothing."""
    assert 0 < connections._time_left(_exchange(1000)) <= 1000
    with pytest.raises(TimeoutError):
        connections._time_left(_exchange(0))


def test_a_socket_that_cannot_be_had_is_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address whose kind the system has no sockets for counts as one that does not answer."""

    def none(*_: Any) -> Any:
        raise OSError("no such sockets here")

    monkeypatch.setattr(socket, "socket", none)

    with pytest.raises(ConnectionFailed, match="no such sockets here") as failed:
        HTTPTransport("os_sk_9f8e7d6c5b4a", "http://127.0.0.1:9/api/v1", max_retries=0).send(CALL)

    assert failed.value.outcome == "not_sent"


def test_an_interrupted_connect_closes_its_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a signal raises comes out as it is, and no socket is left open."""
    monkeypatch.setattr(socket, "socket", Broken)

    with pytest.raises(Interrupted):
        HTTPTransport("os_sk_9f8e7d6c5b4a", "http://127.0.0.1:9/api/v1").send(CALL)

    assert Broken.closed == 1


def test_a_connection_is_closed_by_the_call_that_has_it() -> None:
    """Another call, which an exception has interrupted and which thinks that it has it still, does not close it."""
    connection = connections._Connection("127.0.0.1", 9)
    ours, theirs = socket.socketpair()
    connection.sock, connection.exchange = ours, _exchange(1)

    connection.close()
    assert connection.sock is ours

    connection.exchange = None
    connection.close()
    assert connection.sock is None
    theirs.close()


def test_an_answer_may_be_closed_again() -> None:
    """What was left in it is looked at once."""
    exchange, raw = _exchange(1), io.BytesIO(b"more than the answer")
    near, far = socket.socketpair()
    reader = connections._Reader(connections._TimedIO(cast("io.RawIOBase", raw), near, exchange), exchange)

    assert reader.read(4) == b"more"
    reader.close()
    reader.close()

    assert exchange.is_spoiled
    near.close()
    far.close()


def test_a_name_that_no_thread_can_look_up_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no more threads the call fails as one that was not sent."""

    def none(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none)

    with pytest.raises(ConnectionFailed, match="can't start new thread") as failed:
        HTTPTransport("os_sk_9f8e7d6c5b4a", "https://nowhere.invalid/api/v1", max_retries=0).send(CALL)

    assert failed.value.outcome == "not_sent"


@pytest.mark.parametrize("error", [RuntimeError("blocked"), Interrupted()], ids=["RuntimeError", "BaseException"])
def test_what_a_look_up_raises_that_is_none_of_its_own_comes_out(
    monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """A block of the network says so by an error of its own: the very one, from whatever thread it was raised in."""

    def blocked(*_: object) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", blocked)
    for host in ("nowhere.invalid", "127.0.0.1"):
        with pytest.raises(type(error)) as raised:
            HTTPTransport("os_sk_9f8e7d6c5b4a", f"https://{host}/api/v1", max_retries=0).send(CALL)
        assert raised.value is error


def test_a_name_that_cannot_be_encoded_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python refuses some names with an error of text."""

    def refused(*_: object) -> None:
        raise UnicodeError("label too long")

    monkeypatch.setattr(socket, "getaddrinfo", refused)

    with pytest.raises(ConnectionFailed, match="label too long") as failed:
        HTTPTransport("os_sk_9f8e7d6c5b4a", "https://nowhere.invalid/api/v1", max_retries=0).send(CALL)

    assert failed.value.outcome == "not_sent"


@pytest.mark.parametrize("transformer", ["json", "superjson"])
def test_a_body_goes_out_under_an_auth_of_ones_own(transformer: Literal["json", "superjson"]) -> None:
    """Inputs of queries and mutations arrive whole, also where no key of ours has to be filled in."""

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
