"""A client with other options: its own state, the state that it shares with the original client, and its name."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import requests
from django.utils.functional import SimpleLazyObject as LazyObject
from fault_server import KEY, FaultServer, answered, client_of, closed, envelope, fine, stalled
from samples import request_of

from chatarmin_os import ChatarminOS, ConnectionFailed, InvalidInput, TimedOut
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.transports import HTTPTransport, RecordingTransport, ReplayTransport, Transport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path
    from typing import Any

    from chatarmin_os.transports import Call

SimpleLazyObject: Any = LazyObject  # type checkers would refuse it for a number

URL = "https://os.example.com/api/v1"


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """Run a service that fails on request."""
    with FaultServer() as server:
        yield server


def attempts(client: ChatarminOS, server: FaultServer, failures: int = 10) -> int:
    """Return how often a client makes a call that fails again and again."""
    before = server.executed["tiers.list"]
    server.behaviour = closed
    with pytest.raises(ConnectionFailed) as failed:
        client.send(request_of("tiers.list"))
    server.behaviour = fine
    assert failed.value.attempts == server.executed["tiers.list"] - before < failures
    return failed.value.attempts


class Wrapper(Transport):
    """A wrapper as the documentation asks for one."""

    def __init__(self, inner: Transport) -> None:
        """Pass calls on to *inner*."""
        self.inner = inner
        self.name = inner.name

    def send(self, call: Call) -> Any:
        """Pass it on."""
        return self.inner.send(call)

    def with_options(self, **options: Any) -> Wrapper:
        """Wrap the inner transport with these options."""
        return Wrapper(self.inner.with_options(**options))

    def fingerprint(self) -> str | None:
        """Return the inner transport's."""
        return self.inner.fingerprint()

    def now(self) -> datetime:
        """Return the inner transport's."""
        return self.inner.now()

    def monotonic(self) -> float:
        """Return the inner transport's."""
        return self.inner.monotonic()


class Plain(Transport):
    """A transport with nothing but `send`."""

    def send(self, _: Call) -> Any:
        """Answer with nothing."""
        return []


# Its own state


def test_each_client_has_its_own_retries(server: FaultServer) -> None:
    """The derived client makes as many attempts as its option says, and the original as many as before."""
    with client_of(server) as client:
        assert attempts(client.with_options(max_retries=0), server) == 1
        assert attempts(client.with_options(max_retries=4), server) == 5
        assert attempts(client, server) == 3
        assert attempts(client.with_options(timeout=20), server) == 3
        assert attempts(client.with_options(max_retries=1).with_options(timeout=20), server) == 2


def test_each_client_has_its_own_deadline(server: FaultServer) -> None:
    """The derived client gives up when its own time is over, the original waits on."""
    server.behaviour = stalled

    with client_of(server) as client:
        with pytest.raises(TimedOut):
            client.with_options(timeout=0.1, max_retries=0).links.reset()
        server.behaviour = fine
        assert client.links.reset().links_deleted == 1


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), True, "1", (1, 1), 10**400])
def test_invalid_timeout_is_refused(timeout: Any) -> None:
    """A timeout is checked whatever the transport is, also where it has none."""
    for transport in (HTTPTransport(KEY, URL), FakeTransport(), Plain(), Wrapper(Plain())):
        for one in (transport, ChatarminOS(transport=transport), ChatarminOS.lazy()):
            with pytest.raises(InvalidInput, match=r"^timeout: ") as refused:
                one.with_options(timeout=timeout)
            assert refused.value.field == "timeout"


@pytest.mark.parametrize("max_retries", [-1, 1.0, True, "2"])
def test_invalid_number_of_retries_is_refused(max_retries: Any) -> None:
    """A number of retries is checked whatever the transport is."""
    for transport in (HTTPTransport(KEY, URL), FakeTransport(), Plain(), Wrapper(Plain())):
        for one in (transport, ChatarminOS(transport=transport), ChatarminOS.lazy()):
            with pytest.raises(InvalidInput, match=r"^max_retries: ") as refused:
                one.with_options(max_retries=max_retries)
            assert refused.value.field == "max_retries"


def test_lazy_options_are_resolved(server: FaultServer) -> None:
    """Settings read from a lazy object count as their values, in a constructor too, or are refused by name."""
    three, zero = SimpleLazyObject(lambda: 3), SimpleLazyObject(lambda: 0)
    with ChatarminOS(KEY, base_url=server.url, timeout=SimpleLazyObject(lambda: 20), max_retries=three) as client:
        assert attempts(client, server) == 4
        assert attempts(client.with_options(timeout=three, max_retries=zero), server) == 1
    for make in (client.with_options, lambda **options: ChatarminOS(KEY, **options)):
        for name in ("timeout", "max_retries"):
            with pytest.raises(InvalidInput, match=f"^{name}: "):
                make(**{name: SimpleLazyObject(lambda: "soon")})


def test_options_are_given_by_name() -> None:
    """Neither option may be given by place."""
    client = ChatarminOS.in_memory()
    those: list[Any] = [client, client.transport, HTTPTransport(KEY, URL)]

    for one in those:
        with pytest.raises(TypeError, match="positional"):
            one.with_options(1)


# Shared state


def test_connections_are_shared(server: FaultServer) -> None:
    """Both clients are answered on the same connection."""
    with client_of(server) as client:
        quick = client.with_options(timeout=5)
        for one in (client, quick, client, quick.with_options(max_retries=0)):
            one.send(request_of("tiers.list"))

    assert server.connections == 1


@pytest.mark.parametrize("first", ["original", "derived"])
def test_knowledge_of_the_service_is_shared(server: FaultServer, first: str) -> None:
    """Whichever finds the transformer out, or how long a batch may be, has found it out for both."""
    too_large = answered(envelope("BAD_REQUEST", 400, -32600, "Batch call exceeds maximum size"), "400 Bad Request")

    with client_of(server, transformer="auto") as client:
        one, other = client, client.with_options(timeout=20)
        if first == "derived":
            one, other = other, one
        one.links.reset()
        assert server.requests == [["tiers.list"], ["links.reset"]]
        other.links.reset()
        assert server.requests[2:] == [["links.reset"]]

        server.will(too_large)
        one.batch([request_of("tiers.list")] * 4)
        assert [len(paths) for paths in server.requests[3:]] == [4, 2, 2]
        other.batch([request_of("tiers.list")] * 4)
        assert [len(paths) for paths in server.requests[6:]] == [2, 2]


def test_retry_budget_is_shared(server: FaultServer) -> None:
    """The retries of one client are gone for the other, so that a service that is down is not flooded twice."""
    with client_of(server, max_retries=0) as client:
        assert attempts(client.with_options(max_retries=20), server, failures=100) == 21
        assert attempts(client.with_options(max_retries=1), server) == 1


def test_users_session_is_shared(server: FaultServer) -> None:
    """With a session of the user's own both clients use it."""
    with requests.Session() as session, client_of(server, session=session) as client:
        for one in (client, client.with_options(max_retries=0)):
            one.send(request_of("tiers.list"))

    assert server.connections == 1


@pytest.mark.parametrize("closes", ["original", "derived"])
def test_closing_either_closes_the_connections_of_both(server: FaultServer, closes: str) -> None:
    """Both can be used after that, on a new connection."""
    with client_of(server) as client:
        quick = client.with_options(timeout=5)
        quick.send(request_of("tiers.list"))
        (client if closes == "original" else quick).close()
        for one in (client, quick):
            one.send(request_of("tiers.list"))

    assert server.connections == 2


def test_options_keep_the_subclass() -> None:
    """A derived client, and its transport, are of the class that the original is, with all that it has."""

    class MyTransport(HTTPTransport):
        """A transport of my own."""

        def __init__(self, tag: str) -> None:
            """Be tagged."""
            super().__init__(KEY, URL)
            self.tag = tag

    class MyClient(ChatarminOS):
        """A client of my own."""

        def __init__(self, tag: str) -> None:
            """Be tagged."""
            super().__init__(transport=MyTransport(tag))
            self.tag = tag

    client = MyClient("a")
    derived = client.with_options(timeout=1)

    assert (type(derived), derived.tag) == (MyClient, "a")
    assert isinstance(derived.transport, MyTransport)
    assert derived.transport.tag == "a"
    derived.transport.tag = "b"
    assert vars(client.transport)["tag"] == "b"


def test_resources_use_the_derived_client(server: FaultServer) -> None:
    """A resource that the original has made already does not send through it for the derived client."""
    server.behaviour = closed

    with client_of(server) as client:
        for one, expected in ((client, 3), (client.with_options(max_retries=0), 1)):
            with pytest.raises(ConnectionFailed) as failed:
                one.tiers.list()
            assert failed.value.attempts == expected


def test_transport_without_options_stays_itself() -> None:
    """The fake, and any transport that does not say otherwise, has no deadline, and the client is on it as before."""
    for transport in (FakeTransport(demo_catalogue()), Plain()):
        client = ChatarminOS(transport=transport).with_options(timeout=1, max_retries=0)

        assert client.transport is transport
        assert isinstance(client.tiers.list(), list)


# Wrappers


def test_recording_continues_in_the_same_file(server: FaultServer, tmp_path: Path) -> None:
    """Calls through either client are in one recording, which is closed once, by either."""
    path = tmp_path / "calls.jsonl"
    http = HTTPTransport(KEY, server.url, transformer="json")
    client = ChatarminOS(transport=RecordingTransport(http, path))
    quick = client.with_options(max_retries=0)
    assert vars(quick.transport) is vars(client.transport)

    client.send(request_of("tiers.list"))
    assert attempts(quick, server) == 1
    quick.close()

    with ChatarminOS(transport=ReplayTransport(path)) as replayed:
        same = replayed.with_options(timeout=1)
        assert same.transport is replayed.transport
        assert same.send(request_of("tiers.list"))
        with pytest.raises(ConnectionFailed):
            replayed.send(request_of("tiers.list"))


def test_wrappers_pass_on_name_and_fingerprint(tmp_path: Path) -> None:
    """Name and fingerprint of a recording are those of the recorded transport."""
    http = HTTPTransport(KEY, URL)
    recording = RecordingTransport(Wrapper(http), tmp_path / "calls.jsonl")

    assert recording.name == http.name == URL
    assert recording.fingerprint() == http.fingerprint() is not None
    assert recording.with_options(timeout=1).fingerprint() == http.fingerprint()
    assert recording.with_options(timeout=1).name == URL
    recording.close()


# Names and fingerprints


def test_transport_has_a_name() -> None:
    """It is the class's, unless a subclass says otherwise in any of the ways that Python has."""

    class ByClass(Plain):
        name = "by class"

    class ByInstance(Plain):
        def __init__(self) -> None:
            self.name = "by instance"

    class ByProperty(Plain):
        @property
        def name(self) -> str:  # type: ignore[override]
            return "by property"

    class Inherited(ByClass):
        pass

    transports: list[Transport] = [Plain(), ByClass(), ByInstance(), ByProperty(), Inherited(), FakeTransport()]
    expected = ["Plain", "by class", "by instance", "by property", "by class", "FakeTransport"]
    assert [transport.name for transport in transports] == expected


def test_fingerprint_identifies_a_product_at_a_service() -> None:
    """It is the same for the same key at the same URL, and another for another key or another URL."""
    fingerprint = HTTPTransport(KEY, URL).fingerprint()

    assert fingerprint == HTTPTransport(f" {KEY}\n", f"{URL}/", timeout=1, transformer="json").fingerprint()
    assert fingerprint == HTTPTransport(KEY, URL).with_options(timeout=1).fingerprint()
    assert fingerprint == HTTPTransport(KEY, URL, session=requests.Session()).fingerprint()
    others = [
        HTTPTransport(f"{KEY}x", URL),
        HTTPTransport(KEY[:-1], URL),
        HTTPTransport(KEY * 10, URL),
        HTTPTransport(KEY, f"{URL}/v2"),
        HTTPTransport(KEY, "https://other.example.com/api/v1"),
    ]
    assert len({fingerprint, *(other.fingerprint() for other in others)}) == 6


def test_fingerprint_is_the_same_in_every_process() -> None:
    """Processes share the entries that they keep under it, those of later versions too."""
    code = f"from chatarmin_os.transports import HTTPTransport; print(HTTPTransport({KEY!r}, {URL!r}).fingerprint())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603

    assert done.stdout.strip() == HTTPTransport(KEY, URL).fingerprint() == "dd7bb7d964853aed3a0b2335b3ef0357"


@pytest.mark.parametrize("settings", [{"auth": ("user", "password")}, {"api_key": KEY, "auth": ("user", "password")}])
def test_auth_without_a_key_has_no_fingerprint(settings: dict[str, Any]) -> None:
    """Whose product it is then is not known."""
    assert HTTPTransport(base_url=URL, **settings).fingerprint() is None


def test_other_transports_have_no_fingerprint() -> None:
    """A transport without a service has nothing to share."""
    assert [transport.fingerprint() for transport in (Plain(), FakeTransport())] == [None, None]
