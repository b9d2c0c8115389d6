"""What every test may ask for: a client on each transport, and the service's own side of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest
from serving import FakeServer, TrpcServer, node_missing

from chatarmin_os import ChatarminError, ChatarminOS
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.integrations.pytest import assert_no_drift
from chatarmin_os.recording import file
from chatarmin_os.transports import Call, HTTPTransport, RecordingTransport, ReplayTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

    from chatarmin_os.transports import Transport

pytest_plugins = ["chatarmin_os.pytest"]

TRPC = ("http-trpc-11-plain", "http-trpc-11-superjson", "http-trpc-10-plain", "http-trpc-10-superjson")
TRANSPORTS = ("fake", "recorded", "http-fake", *TRPC)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let the contract hold on every transport; what else asks for a client is about the fake."""
    if "client" in metafunc.fixturenames and metafunc.definition.path.parent.name == "contract":
        metafunc.parametrize("client", TRANSPORTS, indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what a transport is marked to do otherwise; the markers are the list of known differences."""
    for item in items:
        transport = getattr(item, "callspec", None) and item.callspec.params.get("client")  # type: ignore[attr-defined]
        for marker in item.iter_markers("known_difference"):
            if transport and transport.startswith(marker.args[0]):
                item.add_marker(pytest.mark.skip(reason=marker.kwargs["reason"]))


@pytest.fixture(scope="session")
def fake_server() -> Iterator[FakeServer]:
    """Fakes behind a socket; each test adds its own."""
    server = FakeServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def trpc_server(fake_server: FakeServer) -> Iterator[TrpcServer]:
    """Run tRPC itself in front of the same fakes; without Node its tests are skipped, but not in CI."""
    reason = node_missing()
    if reason:
        pytest.skip(reason)
    server = TrpcServer(fake_server.url)
    yield server
    server.close()


@pytest.fixture
def service() -> FakeTransport:
    """The service's own side: the handles with which a test arranges what no client could (demo catalogue)."""
    return FakeTransport(demo_catalogue())


@pytest.fixture
def client(request: pytest.FixtureRequest, service: FakeTransport) -> Iterator[ChatarminOS]:
    """A client of the service behind `service`: on the fake itself, or on the transport that is asked for.

    The transformer is told: finding it out makes calls of its own, which tests of the calls made would see.
    """
    transport = getattr(request, "param", "fake")
    if transport == "fake":
        yield ChatarminOS(transport=service)
        return
    if transport == "recorded":
        yield from _recorded(request, service)
        return
    server: FakeServer = request.getfixturevalue("fake_server")
    url = server.url
    if transport in TRPC:
        trpc: TrpcServer = request.getfixturevalue("trpc_server")
        url = trpc.urls[transport.replace("http-trpc-", "v")]
    transformer: Literal["json", "superjson"] = "superjson" if transport.endswith("superjson") else "json"
    api_key = server.add(service)
    http = HTTPTransport(api_key, url, transformer=transformer)
    if transport == "http-trpc-11-superjson":
        yield from _recorded(request, http)
    else:
        with ChatarminOS(transport=http) as client:
            yield client
    server.forget(api_key)


def _recorded(request: pytest.FixtureRequest, service: Transport) -> Iterator[ChatarminOS]:
    """Yield a client whose calls are recorded; then the recording replays strictly, and the fake does as it says."""
    path = request.getfixturevalue("tmp_path") / "recording.jsonl"
    with ChatarminOS(transport=RecordingTransport(service, path)) as client:
        yield client
    _replay(path)
    if request.node.get_closest_marker("outside_changes") is None:
        assert_no_drift(path)


def _replay(path: Path) -> None:
    """Replay a recording in its order, and check that each call comes to what was recorded, and none is left."""

    def outcome(act: Callable[[], Any]) -> Any:
        try:
            return act()
        except ChatarminError as error:
            return type(error), str(error), vars(error)

    replay = ReplayTransport(path, in_order=True)
    for recorded in file.loaded(path)[1]:
        call = Call(recorded.path, "mutation" if recorded.kind == "mutation" else "query", recorded.input)
        assert outcome(lambda: replay.send(call)) == outcome(lambda: file.answer_of(recorded))  # noqa: B023 - at once
    replay.close()
