"""Libraries that answer, record or watch calls get every call, whenever they are installed."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import pytest_socket
import requests
import requests_cache
import urllib3
import vcr  # type: ignore[import-untyped]
import yaml
from echoing import HERE, environment
from intercepting import INTERCEPTORS, KEY, REAL, SESSIONS, answers
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from rude_service import RudeService, answer
from vcr.errors import CannotOverwriteExistingCassetteException  # type: ignore[import-untyped]

from chatarmin_os import ConnectionFailed, TimedOut
from chatarmin_os.transports import Call, HTTPTransport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# httpretty and mocket leave real sockets behind, and httpretty uses functions that are deprecated from Python 3.12 on.
pytestmark = [
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

each = pytest.mark.parametrize("name", INTERCEPTORS)


@pytest.fixture
def service() -> Iterator[RudeService]:
    """Return the real service."""
    with RudeService(answer(REAL)) as service:
        yield service


@each
@pytest.mark.parametrize(
    ("whose", "when"),
    [
        ("own", "before the client"),
        ("own", "after the client"),
        ("own", "after its first call"),
        ("given", "before the client"),
        ("given", "after the client"),
    ],
)
def test_interceptor_responds_to_every_call(service: RudeService, name: str, when: str, whose: str) -> None:
    """The service gets nothing while one is in place, also on connections that are open, and all calls afterwards."""
    with requests.Session() as session:
        settings = {"session": session} if whose == "given" else {}
        ask = answers(service.url, **settings) if when != "before the client" else None
        if ask and when == "after its first call":
            assert ask() == ["real", "real"]
        heads = len(service.heads)

        with INTERCEPTORS[name](service.url) as seen:
            ask = ask or answers(service.url, **settings)
            assert ask() == ["mocked", "mocked"]
            assert {*seen()} == {f"Bearer {KEY}"}
        assert len(service.heads) == heads

        assert ask() == ["real", "real"]
        assert len(service.heads) == heads + 2


@each
def test_interceptor_responds_for_a_service_over_tls(name: str) -> None:
    """No name is looked up and no connection is made."""
    url = "https://service.invalid/api/v1"
    with INTERCEPTORS[name](url) as seen:
        assert answers(url)() == ["mocked", "mocked"]
        assert {*seen()} == {f"Bearer {KEY}"}


@pytest.mark.slow
@each
def test_package_imports_under_an_interceptor(service: RudeService, name: str) -> None:
    """It takes the classes that requests and urllib3 define, and not their replacements."""
    assert _imported_late(name, service.url) == [["mocked", "mocked"], ["real", "real"]]
    assert len(service.heads) == 2


def _imported_late(name: str, url: str) -> Any:
    """Return the responses to a program that imports the package while a replacement is installed."""
    command = [sys.executable, "-W", "ignore", str(HERE / "intercepting.py"), name, url]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)  # noqa: S603
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.mark.parametrize("whose", ["own", "given"])
def test_cassette_holds_calls_as_text(service: RudeService, whose: str, tmp_path: Path) -> None:
    """A recording of vcrpy has the header as text, no class of the package, and is replayed."""
    path = str(tmp_path / "cassette.yaml")
    with requests.Session() as session:
        ask = answers(service.url, **({"session": session} if whose == "given" else {}))
        with vcr.use_cassette(path):
            assert ask() == ["real", "real"]
        assert len(service.heads) == 2
        with vcr.use_cassette(path, record_mode="none"):
            assert ask() == ["real", "real"]
        assert len(service.heads) == 2

    recorded = yaml.safe_load((tmp_path / "cassette.yaml").read_text(encoding="utf-8"))
    headers = [one["request"]["headers"]["Authorization"] for one in recorded["interactions"]]
    assert headers == [[f"Bearer {KEY}"]] * 2


def test_mutation_that_is_not_in_the_cassette_is_not_sent(service: RudeService, tmp_path: Path) -> None:
    """The refusal of vcrpy is raised unchanged."""
    transport = HTTPTransport(KEY, service.url, transformer="json")
    with (
        vcr.use_cassette(str(tmp_path / "empty.yaml"), record_mode="none"),
        pytest.raises(CannotOverwriteExistingCassetteException),
    ):
        transport.send(Call("links.reset", "mutation", {}))

    assert service.connections == 0


# Watchers


@pytest.mark.parametrize("when", ["before the client", "after its first call"])
def test_spans_of_urllib3_cover_every_call(service: RudeService, when: str) -> None:
    """OpenTelemetry's instrumentation of urllib3 makes a span for each call, and its header reaches the service."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    transport = HTTPTransport(KEY, service.url, transformer="json")
    if when == "after its first call":
        transport.send(Call("tiers.list", "query"))
    heads = len(service.heads)

    URLLib3Instrumentor().instrument(tracer_provider=provider)
    try:
        transport = transport if heads else HTTPTransport(KEY, service.url, transformer="json")
        transport.send(Call("tiers.list", "query"))
        transport.send(Call("links.reset", "mutation", {}))
    finally:
        URLLib3Instrumentor().uninstrument()

    assert [span.attributes and span.attributes["http.method"] for span in exporter.get_finished_spans()] == [
        "GET",
        "POST",
    ]
    assert all("traceparent: " in head and f"Authorization: Bearer {KEY}" in head for head in service.heads[heads:])


def test_deadline_holds_beside_instrumentation() -> None:
    """A watched call still uses the package's own connections."""
    URLLib3Instrumentor().instrument()
    try:
        with RudeService(None, is_silent=True) as service:
            transport = HTTPTransport(KEY, service.url, timeout=0.3, max_retries=0, transformer="json")
            with pytest.raises(TimedOut) as late:
                transport.send(Call("links.reset", "mutation", {}))
    finally:
        URLLib3Instrumentor().uninstrument()

    assert late.value.outcome == "unknown"


def test_audit_hooks_receive_new_connections(service: RudeService) -> None:
    """They get the event that http.client and urllib3 have for it."""
    seen: list[Any] = []
    is_on = True

    def hook(event: str, arguments: Any) -> None:
        if is_on and event == "http.client.connect":
            seen.append(arguments[1:])

    sys.addaudithook(hook)  # for the rest of the process
    HTTPTransport(KEY, service.url, transformer="json").send(Call("tiers.list", "query"))
    is_on = False

    assert seen == [("127.0.0.1", service.port)]


@pytest.mark.parametrize("name", ["create_connection", "_new_conn"])
def test_replaced_connect_function_is_used(service: RudeService, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that put in a function of their own, say to choose the address of a name, are asked for connections."""
    where = {"create_connection": urllib3.util.connection, "_new_conn": urllib3.connection.HTTPConnection}[name]
    monkeypatch.setattr(where, name, lambda *_, **__: socket.create_connection(("127.0.0.1", service.port)))

    HTTPTransport(KEY, "http://service.invalid/api/v1", allow_http=True).send(Call("tiers.list", "query"))

    assert "Host: service.invalid" in service.heads[0]


def test_allowed_address_family_is_respected(service: RudeService, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so to urllib3."""
    families: list[int] = []

    def addresses(_: str, __: int, family: int, *___: object) -> list[Any]:
        families.append(family)
        return []

    monkeypatch.setattr(urllib3.util.connection, "allowed_gai_family", lambda: socket.AF_INET)
    monkeypatch.setattr(socket, "getaddrinfo", addresses)

    for host in ("localhost", "service.invalid"):
        transport = HTTPTransport(KEY, f"http://{host}:{service.port}/api/v1", allow_http=True, max_retries=0)
        with pytest.raises(ConnectionFailed):
            transport.send(Call("tiers.list", "query"))

    assert families == [socket.AF_INET, socket.AF_INET]


def test_printing_of_http_client_does_not_show_the_key(
    service: RudeService, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`HTTPConnection.debuglevel` prints requests and responses."""
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)

    HTTPTransport(KEY, service.url).send(Call("tiers.list", "query"))

    printed = capsys.readouterr().out
    assert "reply:" in printed
    assert KEY not in printed


# Replaced sessions


@pytest.mark.parametrize("name", SESSIONS)
@pytest.mark.parametrize("when", ["before the client", "after the client"])
def test_sessions_of_another_class_do_not_answer_for_the_service(service: RudeService, name: str, when: str) -> None:
    """Whatever is put in place of `requests.Session`: no answer is kept, none is given to another key."""
    transports = [HTTPTransport(key, service.url, transformer="json") for key in ("os_sk_first", "os_sk_second")]
    with SESSIONS[name](service.url):
        if when == "before the client":
            transports = [
                HTTPTransport(key, service.url, transformer="json") for key in ("os_sk_first", "os_sk_second")
            ]
        for _ in range(2):
            for transport in transports:
                transport.send(Call("tiers.list", "query"))

    keys = [line for head in service.heads for line in head.splitlines() if line.startswith("Authorization")]
    assert keys == ["Authorization: Bearer os_sk_first", "Authorization: Bearer os_sk_second"] * 2


@pytest.mark.slow
@pytest.mark.parametrize("name", SESSIONS)
def test_package_imports_with_replaced_sessions(service: RudeService, name: str) -> None:
    """It takes the class that requests defines."""
    assert _imported_late(name, service.url) == [["real", "real"]] * 2
    assert len(service.heads) == 4


@pytest.mark.parametrize("name", SESSIONS)
def test_plain_session_is_accepted_under_an_interceptor(service: RudeService, name: str) -> None:
    """A session that was made before is taken."""
    with requests.Session() as session, SESSIONS[name](service.url):
        HTTPTransport(KEY, service.url, transformer="json", session=session).send(Call("tiers.list", "query"))

    assert len(service.heads) == 1


def test_caching_session_is_used_unchanged(service: RudeService) -> None:
    """It was asked for."""
    with requests_cache.CachedSession(backend="memory") as session:
        transport = HTTPTransport(KEY, service.url, transformer="json", session=session)
        for _ in range(2):
            transport.send(Call("tiers.list", "query"))

    assert len(service.heads) == 1


# Network blocks

warned = pytest.mark.filterwarnings("ignore:A test tried to use:UserWarning")


@warned
@pytest.mark.parametrize("when", ["before the first call", "after the first call"])
@pytest.mark.parametrize("whose", ["own", "given"])
def test_blocked_sockets_raise_the_blockers_error(service: RudeService, when: str, whose: str) -> None:
    """So it does for a name that would be looked up, and for a connection that is open already."""
    with requests.Session() as session:
        settings: Any = {"session": session} if whose == "given" else {}
        if when == "after the first call" and whose == "own":
            transport = HTTPTransport(KEY, service.url, transformer="json", **settings)
            transport.send(Call("tiers.list", "query"))
        else:
            transport = HTTPTransport(KEY, "https://service.invalid/api/v1", transformer="json", **settings)
        heads = len(service.heads)
        pytest_socket.disable_socket()
        try:
            with pytest.raises(pytest_socket.SocketBlockedError):
                transport.send(Call("tiers.list", "query"))
        finally:
            pytest_socket.enable_socket()

    assert len(service.heads) == heads


@warned
@pytest.mark.parametrize("when", ["before the first call", "after the first call"])
def test_blocked_hosts_raise_the_blockers_error(
    service: RudeService, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the host."""
    monkeypatch.setattr(socket.socket, "connect", socket.socket.connect)  # it is put back afterwards
    transport = HTTPTransport(KEY, service.url, transformer="json")
    if when == "after the first call":
        transport.send(Call("tiers.list", "query"))
    heads = len(service.heads)

    pytest_socket.socket_allow_hosts(["127.0.0.9"])
    with pytest.raises(pytest_socket.SocketConnectBlockedError, match=r"127\.0\.0\.1"):
        transport.send(Call("tiers.list", "query"))

    assert len(service.heads) == heads
