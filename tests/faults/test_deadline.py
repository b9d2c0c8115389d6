"""The deadline: no kind of slowness makes a call take longer, alone or in a batch."""

from __future__ import annotations

import socket
import ssl
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import trustme
from fault_server import (
    BASE,
    LONG,
    Backlog,
    Behaviour,
    FaultServer,
    Proxy,
    answered,
    client_of,
    dripped,
    refused,
    slow_reading,
    stall_at_accept,
    stalled,
    stalled_after_head,
    stalled_before_reading,
    stalled_in_body,
)
from samples import is_right, request_of
from waiting import PATIENCE, waiting

from chatarmin_os import PROCEDURES, ChatarminError, ChatarminOS, RateLimitError, ServerError, TimedOut, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from chatarmin_os._request import Request

DEADLINE = 0.6
MANY = 20
"""How many deadlines a call must not take: a call without a deadline of its own takes more of them, or does not end."""


class Surroundings(NamedTuple):
    """The environment that a kind of slowness may change."""

    patch: pytest.MonkeyPatch
    authority: trustme.CA
    bundle: str


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return an authority of certificates."""
    return trustme.CA()


@pytest.fixture
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, authority: trustme.CA) -> Surroundings:
    """Return the environment, without proxies."""
    bundle = str(tmp_path / "ca.pem")
    authority.cert_pem.write_to_path(bundle)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "curl_ca_bundle"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
    return Surroundings(monkeypatch, authority, bundle)


def _tls(around: Surroundings, host: str = "127.0.0.1") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    around.authority.issue_cert(host).configure_cert(context)
    return context


# Kinds of slowness, each the base URL of a service that has it


def _serving(behaviour: Behaviour, *, tls: bool = False) -> Callable[[Surroundings], AbstractContextManager[str]]:
    @contextmanager
    def slow(around: Surroundings) -> Iterator[str]:
        with FaultServer(tls=_tls(around) if tls else None) as server:
            server.behaviour = behaviour
            yield server.url

    return slow


@contextmanager
def _name(around: Surroundings) -> Iterator[str]:
    """Look names up for ever."""
    over = threading.Event()

    def look_up(*_: Any, **__: Any) -> Any:
        over.wait(LONG)
        raise socket.gaierror("at last")

    around.patch.setattr(socket, "getaddrinfo", look_up)
    yield f"https://service.test{BASE}"
    over.set()


@contextmanager
def _backlog(_: Surroundings) -> Iterator[str]:
    with Backlog() as full:
        if not full.is_full:
            pytest.skip("this system takes more connections than it was asked to")
        yield f"http://127.0.0.1:{full.port}{BASE}"


@contextmanager
def _holes(around: Surroundings) -> Iterator[str]:
    """Have many addresses, none of which answers: if each had a deadline of its own, it would be seen."""
    with _backlog(around) as url:
        port = int(url.split(":")[2].partition("/")[0])
        addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))] * 2 * MANY
        around.patch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
        yield f"https://service.test{BASE}"


@contextmanager
def _handshake(around: Surroundings) -> Iterator[str]:
    with FaultServer(tls=_tls(around)) as server:
        server.accepting = stall_at_accept
        yield server.url


@contextmanager
def _dripped_handshake(around: Surroundings) -> Iterator[str]:
    """Begin a handshake, and never come to its end."""
    with FaultServer(tls=_tls(around)) as server:
        server.accepting = lambda line: line.drip(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc" + bytes(16380), 0.02)
        yield server.url


@contextmanager
def _proxy(around: Surroundings) -> Iterator[str]:
    """Go through a proxy that says nothing."""
    with Proxy(0, answer=None) as proxy:
        around.patch.setenv("HTTPS_PROXY", proxy.url)
        yield f"https://service.test{BASE}"


@contextmanager
def _handshake_behind_proxy(around: Surroundings) -> Iterator[str]:
    with _handshake(around) as url, Proxy(int(url.split(":")[2].partition("/")[0])) as proxy:
        around.patch.setenv("HTTPS_PROXY", proxy.url)
        yield f"https://service.test{BASE}"


LARGE = {"company_id": "c1", "contacts": [{"email": "ann@acme.com", "metadata": {"note": "x" * 6_000_000}}]}
SMALL = "features.check"

KINDS: dict[str, Callable[[Surroundings], AbstractContextManager[str]]] = {
    "the name is not looked up": _name,
    "the connection is not accepted": _backlog,
    "no address answers": _holes,
    "the handshake stalls": _handshake,
    "the handshake drips": _dripped_handshake,
    "the proxy stalls": _proxy,
    "the handshake behind a proxy stalls": _handshake_behind_proxy,
    "no answer": _serving(stalled),
    "no answer over TLS": _serving(stalled, tls=True),
    "the status line drips": _serving(dripped("status")),
    "the headers drip": _serving(dripped("headers")),
    "the body drips": _serving(dripped("body", 0.02)),
    "the body drips over TLS": _serving(dripped("body", 0.02), tls=True),
    "a body in chunks drips": _serving(dripped("chunks", 0.01)),
    "a body in chunks drips over TLS": _serving(dripped("chunks", 0.01), tls=True),
    "the body stalls before it begins": _serving(stalled_after_head),
    "the body stalls": _serving(stalled_in_body),
    "a compressed body stalls": _serving(answered(b"\x1f\x8b\x08", headers={"Content-Encoding": "gzip"}, length=99)),
}


def _result(act: Callable[[], Any]) -> Any:
    """Return an answer, or the error."""
    try:
        return act()
    except ChatarminError as error:
        return error


def _in_time(client: ChatarminOS, request: Request[Any], others: int = 2, deadline: float = DEADLINE) -> list[Any]:
    """Return the result of a call, alone and in a batch at the same time, after a check that both had one deadline."""
    with waiting(MANY, deadline) as is_over, ThreadPoolExecutor(2) as threads:
        alone = threads.submit(_result, lambda: client.send(request))
        batch = threads.submit(_result, lambda: client.batch([request] * others))
        results = [alone.result(), *batch.result()]
        assert not is_over(), f"a deadline of {deadline} seconds, and it took more than {MANY} of them"
    return results


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_slow_service_does_not_outlast_the_deadline(surroundings: Surroundings, kind: str) -> None:
    """However a service is slow, the call is `TimedOut` when its time is up."""
    with KINDS[kind](surroundings) as url, client_of(url, timeout=DEADLINE) as client:
        results = _in_time(client, request_of(SMALL))

    assert {type(result) for result in results} == {TimedOut}
    assert len({result.outcome for result in results}) == 1


@pytest.mark.slow
@pytest.mark.parametrize("behaviour", [stalled_before_reading, slow_reading], ids=["not-at-all", "slowly"])
def test_unread_request_does_not_outlast_the_deadline(surroundings: Surroundings, behaviour: Behaviour) -> None:
    """A large request that the service does not take in time is `TimedOut`, and may have been sent."""
    deadline = 5 * DEADLINE  # writing it as JSON takes long on a busy machine
    with _serving(behaviour)(surroundings) as url, client_of(url, timeout=deadline) as client:
        results = _in_time(client, request_of("contacts.bulkUpsert", **LARGE), others=1, deadline=deadline)

    assert {(type(result), result.outcome) for result in results} == {(TimedOut, "unknown")}


def test_dead_address_leaves_time_for_the_next(surroundings: Surroundings) -> None:
    """Of two addresses the second has its share of the time where the first swallows everything."""
    with Backlog() as hole, FaultServer() as server:
        if not hole.is_full:
            pytest.skip("this system takes more connections than it was asked to")
        addresses = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in (hole.port, server.port)
        ]
        surroundings.patch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
        with client_of(f"http://service.test{BASE}", timeout=PATIENCE, allow_http=True) as client:
            result = _result(lambda: client.send(request_of(SMALL)))

    assert is_right(result, PROCEDURES[SMALL].result)


@pytest.mark.parametrize("retries", [1, 1000])
def test_retries_do_not_outlast_the_deadline(retries: int) -> None:
    """A service that fails at once, again and again, is left when the time is up at the latest."""
    with FaultServer() as server, client_of(server, timeout=DEADLINE, max_retries=retries) as client:
        server.behaviour = refused("SERVICE_UNAVAILABLE", 503)
        results = _in_time(client, request_of(SMALL))

    assert {type(result) for result in results} <= {ServerError, TimedOut}  # the time may be up in a last request


@pytest.mark.parametrize("wait", ["30", "0.7", "Wed, 01 Jan 2200 00:00:00 GMT"])
def test_wait_beyond_the_deadline_fails_at_once(wait: str) -> None:
    """A `Retry-After` beyond the deadline raises its error at once, without a further attempt."""
    with FaultServer() as server, client_of(server, timeout=DEADLINE) as client:
        server.behaviour = refused("TOO_MANY_REQUESTS", 429, -32029, wait=wait)
        results = _in_time(client, request_of(SMALL))
        tries = len(server.requests)

    assert {type(result) for result in results} == {RateLimitError}
    assert all(result.retry_after >= 0.7 for result in results)
    assert tries == 2


def test_wait_within_the_deadline_is_waited() -> None:
    """A `Retry-After` within the deadline is waited for, and then the call is made again."""
    with FaultServer() as server, client_of(server) as client:
        server.will(refused("TOO_MANY_REQUESTS", 429, -32029, wait="0.3"))
        started = time.perf_counter()
        answer = _result(lambda: client.send(request_of("links.reset")))
        seconds = time.perf_counter() - started

    assert is_right(answer, PROCEDURES["links.reset"].result)
    assert seconds >= 0.3


def test_batch_of_many_requests_has_one_deadline() -> None:
    """All round trips of a batch share its time; those that it does not reach are not sent."""
    asked = [request_of(path) for path in [SMALL] * 120 + ["contacts.create"] * 60]
    with FaultServer() as server, client_of(server, timeout=DEADLINE) as client:
        server.behaviour = stalled
        errors: list[Any] = client.batch(asked)
        sizes = [len(paths) for paths in server.requests]

    assert sizes == [50]  # a second deadline would send the next 50
    assert [type(error) for error in errors] == [TimedOut] * 180
    assert [error.request for error in errors] == asked
    assert [error.outcome for error in errors] == ["unknown"] * 50 + ["not_sent"] * 130


@pytest.mark.slow
@pytest.mark.parametrize("behaviour", [stalled, refused("SERVICE_UNAVAILABLE", 503)], ids=["stalls", "fails"])
def test_probe_shares_the_deadline_of_its_mutation(surroundings: Surroundings, behaviour: Behaviour) -> None:
    """A mutation before which the transformer must be found out has one deadline with that; it is not sent."""
    addresses: dict[str, Any] = {"timeout": DEADLINE, "transformer": "auto", "max_retries": 1000}
    with _serving(behaviour)(surroundings) as url, client_of(url, **addresses) as client:
        results = _in_time(client, request_of("contacts.create"))

    assert all(isinstance(result, (TransportError, ServerError)) for result in results)
    assert {result.outcome for result in results if isinstance(result, TransportError)} <= {"not_sent"}


def test_concurrent_look_ups_of_a_name_succeed(surroundings: Surroundings) -> None:
    """Threads whose first calls look the same name up at once are all answered."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with FaultServer() as server:
            addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))]
            surroundings.patch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
            for turn in range(40):
                with (
                    client_of(f"http://turn{turn}.test{BASE}", allow_http=True) as client,
                    ThreadPoolExecutor(8) as threads,
                ):
                    answers = list(threads.map(lambda _: _result(client.tiers.list), range(8)))
                assert [type(answer) for answer in answers] == [list] * 8
    finally:
        sys.setswitchinterval(interval)


def test_deadline_belongs_to_each_call() -> None:
    """A client whose calls are answered late but in time goes on and on."""
    with FaultServer() as server, ExitStack() as stack:
        client = stack.enter_context(client_of(server, timeout=30.0))
        server.behaviour = dripped("body", 0.0002)
        for number in range(5):
            assert client.features.check(company_id="c1", feature_code=f"f{number}").feature_code == f"f{number}"
        assert server.connections == 1
