"""Errors report the outcome truly if a session of the user's own sent the call, whatever that session does."""

from __future__ import annotations

import socket
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
import requests
from fault_server import KEY, FaultServer, answered, closed, cut, envelope, in_chunks, raw
from ports import dead_port
from requests.adapters import HTTPAdapter
from samples import request_of
from urllib3.util import Retry

from chatarmin_os import ChatarminOS, ConnectionFailed, InvalidInput, InvalidResponse, NotFoundError
from chatarmin_os.transports import HTTPTransport
from chatarmin_os.trpc.superjson import MAX_RESPONSE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fault_server import Behaviour

MUTATION = "companies.create"


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """Run a service that fails on request."""
    with FaultServer() as server:
        yield server


def _client(url: str, session: requests.Session, max_retries: int = 2) -> ChatarminOS:
    transport = HTTPTransport(KEY, url, timeout=20, max_retries=max_retries, transformer="json", session=session)
    return ChatarminOS(transport=transport)


@pytest.mark.parametrize("behaviour", [closed, cut])
def test_lost_connection_is_retried_for_safe_calls(server: FaultServer, behaviour: Behaviour) -> None:
    """A connection that the service closes is a lost one, as on connections of this package."""
    server.will(behaviour)

    with requests.Session() as session, _client(server.url, session) as client:
        assert client.send(request_of("tiers.list")) is not None

    assert server.executed["tiers.list"] == 2


@pytest.mark.parametrize("behaviour", [closed, cut])
def test_lost_connection_fails_calls_that_must_not_run_twice(server: FaultServer, behaviour: Behaviour) -> None:
    """Whether it ran is not known, and it is not sent again."""
    server.will(behaviour)

    with (
        requests.Session() as session,
        _client(server.url, session) as client,
        pytest.raises(ConnectionFailed) as failed,
    ):
        client.send(request_of(MUTATION))

    assert (failed.value.outcome, failed.value.attempts, server.executed[MUTATION]) == ("unknown", 1, 1)


class _Failover(HTTPAdapter):
    """An adapter that sends to another address if the first refuses."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__()
        self._first, self._second = first, second

    def send(self, request: requests.PreparedRequest, *args: Any, **settings: Any) -> requests.Response:
        """Send a request."""
        try:
            return super().send(request, *args, **settings)
        except requests.ConnectionError:
            again = request.copy()
            again.url = (request.url or "").replace(self._first, self._second)
            return super().send(again, *args, **settings)


def test_foreign_adapter_leaves_the_outcome_unknown(server: FaultServer) -> None:
    """That the first address could not be reached says nothing of the second."""
    nowhere = f"127.0.0.1:{dead_port()}"
    server.will(closed)
    there = server.url.split("/")[2]

    with requests.Session() as session, _client(server.url.replace(there, nowhere), session) as client:
        session.mount("http://", _Failover(nowhere, there))
        with pytest.raises(ConnectionFailed) as failed:
            client.send(request_of(MUTATION))

    assert (failed.value.outcome, server.executed[MUTATION]) == ("unknown", 1)


def test_adapter_with_retries_leaves_the_outcome_unknown() -> None:
    """A refused connection may be that of a repetition."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer_and_go() -> None:
        line, _ = listener.accept()
        listener.close()
        with line:
            line.recv(65536)
            line.sendall(b"HTTP/1.1 503 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            line.recv(65536)

    retry = Retry(1, status_forcelist=[503], allowed_methods=None, backoff_factor=0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/api/v1"
    service = Thread(target=answer_and_go)
    service.start()

    with requests.Session() as session, _client(url, session) as client:
        session.mount("http://", HTTPAdapter(max_retries=retry))
        with pytest.raises(ConnectionFailed) as failed:
            client.send(request_of(MUTATION))

    service.join()
    assert (failed.value.outcome, failed.value.attempts) == ("unknown", 1)


def test_hook_may_read_the_response(server: FaultServer) -> None:
    """A hook that writes answers down takes nothing away."""
    seen: list[str] = []

    with requests.Session() as session, _client(server.url, session) as client:
        session.hooks["response"].append(lambda response, **_: seen.append(response.text))
        client.send(request_of("tiers.list"))

    assert "result" in seen[0]


def test_body_that_a_hook_has_read_is_bounded_too(server: FaultServer) -> None:
    """An answer above the maximum size is invalid, even if a foreign session has read it."""
    seen: list[int] = []
    server.will(raw(in_chunks(b" " * (MAX_RESPONSE_BYTES + 1), size=2**20)))

    with requests.Session() as session, _client(server.url, session) as client:
        session.hooks["response"].append(lambda response, **_: seen.append(len(response.content)))
        with pytest.raises(InvalidResponse, match="more than 67,108,864 bytes"):
            client.send(request_of("tiers.list"))


def test_hook_that_raises_for_the_status_is_ignored(server: FaultServer) -> None:
    """The body decides whether a response is valid, not the status."""
    server.will(answered(envelope("NOT_FOUND", 404, -32004), "404 Not Found"))

    with requests.Session() as session, _client(server.url, session) as client:
        session.hooks["response"].append(lambda response, **_: response.raise_for_status())
        with pytest.raises(NotFoundError):
            client.send(request_of("tiers.list"))

    assert len(server.requests) == 1


def test_failing_hook_leaves_the_outcome_unknown(server: FaultServer) -> None:
    """An error of HTTP without an answer is none of the service's."""

    def fail(_: requests.Response, **__: Any) -> None:
        raise requests.HTTPError("of the hook")

    with requests.Session() as session, _client(server.url, session, max_retries=0) as client:
        session.hooks["response"].append(fail)
        with pytest.raises(ConnectionFailed, match="of the hook") as failed:
            client.send(request_of(MUTATION))

    assert failed.value.outcome == "unknown"


@pytest.mark.parametrize(
    "proxy", ["http://a..b:3128", f"http://{'x' * 64}.test", "http://:3128", "proxy:port", "http://[::1:1", "ftp://x"]
)
def test_session_with_an_invalid_proxy_sends_nothing(proxy: str) -> None:
    """Whatever is wrong with the proxy of a session, no call has been sent, and the error is of the tree."""
    with requests.Session() as session, _client("https://os.example.com/api/v1", session, max_retries=0) as client:
        session.proxies = {"https": proxy}
        with pytest.raises(ConnectionFailed) as failed:
            client.send(request_of(MUTATION))

    assert failed.value.outcome == "not_sent"


@pytest.mark.parametrize("name", ["ALL_PROXY", "HTTPS_PROXY"])
def test_socks_proxy_of_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """No deadline would hold through it; a session of one's own may use it."""
    monkeypatch.setenv(name, "socks5h://127.0.0.1:9")

    with pytest.raises(InvalidInput, match="session=requests"):
        HTTPTransport(KEY, "https://os.example.com/api/v1")

    HTTPTransport(KEY, "https://os.example.com/api/v1", session=requests.Session())
    HTTPTransport(KEY, "http://127.0.0.1:1/api/v1")  # loopback is reached without a proxy
