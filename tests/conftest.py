"""Fixtures of all tests, a client on each transport foremost, and the choice of the tests that a run collects.

The contract runs on all `TRANSPORTS`. Outside of `DEFAULT_TRANSPORTS` it is slow, because the default run exercises
their wire elsewhere: the server of the fake in `tests/service`, each version and transformer of tRPC in `tests/wire`,
and recordings on the one transport of tRPC that is left, or on the fake without Node.

A parametrized test has all its cases on the fake, on its recordings and server, and with both transformers on tRPC 11,
where all but the first are slow. Versions of tRPC differ by test, in errors and batches, and transformers by value; so
each test runs its first case alone on tRPC 10.
"""

from __future__ import annotations

import gc
import os
import sys
from collections import Counter
from typing import TYPE_CHECKING, Literal

import pytest
from hypothesis import HealthCheck, settings
from ids import words
from programs import missing
from serving import FakeServer, TrpcServer

from chatarmin_os import ChatarminError, ChatarminOS
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.integrations.pytest import assert_no_drift
from chatarmin_os.recording import file
from chatarmin_os.recording.line import answer_of
from chatarmin_os.transports import Call, HTTPTransport, RecordingTransport, ReplayTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

    from chatarmin_os.transports import Transport

pytest_plugins = ["chatarmin_os.pytest", "flag_suite", "flag_world", "outbox_world", "telemetry_world"]

TRPC = ("http-trpc-11-plain", "http-trpc-11-superjson", "http-trpc-10-plain", "http-trpc-10-superjson")
EACH_CASE_ON_TRPC = ("http-trpc-11-superjson", "http-trpc-11-plain")
TRANSPORTS = ("fake", "recorded", "http-fake", *TRPC)
DEFAULT_TRANSPORTS = ("fake", "recorded" if missing("trpc_server") else EACH_CASE_ON_TRPC[0])

FOREIGN_SETTINGS = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
"""Environment variables that the HTTP transport reads; a test that needs one sets it."""


_left_out: pytest.StashKey[Counter[str]] = pytest.StashKey()

# Workers and the many interpreters that tests start would otherwise compile the same modules again and again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_configure(config: pytest.Config) -> None:
    """Make the tests independent of the network settings of the machine, and of its speed."""
    config.stash[_left_out] = Counter()
    for name in FOREIGN_SETTINGS:
        os.environ.pop(name, None)
        os.environ.pop(name.lower(), None)
    # A machine that is busy with other things is no failure.
    settings.register_profile("patient", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("patient")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the contract on each transport; elsewhere a client is one of the fake."""
    if "client" in metafunc.fixturenames and metafunc.definition.path.parent.name == "contract":
        # Without the slow ones if none is to run: making those tests takes longer than choosing among them.
        names = DEFAULT_TRANSPORTS if metafunc.config.getoption("-m") == "not slow" else TRANSPORTS
        metafunc.parametrize("client", [pytest.param(name, marks=_marks(name)) for name in names], indirect=True)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Write texts and numbers in ids as words with hyphens, and name a lambda by its argument."""
    if isinstance(val, (str, bytes, int, float)):
        return words(val)
    return argname.replace("_", "-") if getattr(val, "__name__", None) == "<lambda>" else None


def _marks(transport: str) -> list[pytest.MarkDecorator]:
    slow = [] if transport in DEFAULT_TRANSPORTS else [pytest.mark.slow]
    return [*slow, pytest.mark.needs("trpc_server")] if transport in TRPC else slow


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Choose the cases on tRPC; drop tests whose program is missing, and skip the known differences of transports."""
    items[:] = _with_cases_on_trpc(items)
    yield  # `-m` and `-k`, whose choice is the one to count
    for item in items:
        _skip_known_difference(item)
    items[:] = [item for item in items if not _lacks_program(item)]


def _with_cases_on_trpc(items: list[pytest.Item]) -> Iterator[pytest.Item]:
    """Yield the tests, without further cases on tRPC 10; on tRPC 11 these are slow."""
    begun = set()
    for item in items:
        transport = _transport_of(item)
        test = item.path, getattr(item, "originalname", None), transport
        if transport in TRPC and test in begun:
            if transport not in EACH_CASE_ON_TRPC:
                continue
            item.add_marker("slow")
        begun.add(test)
        yield item


def _transport_of(item: pytest.Item) -> str | None:
    callspec = getattr(item, "callspec", None)
    transport: str | None = callspec and callspec.params.get("client")
    return transport


def _skip_known_difference(item: pytest.Item) -> None:
    transport = _transport_of(item)
    for marker in item.iter_markers("known_difference"):
        if transport and transport.startswith(marker.args[0]):
            item.add_marker(pytest.mark.skip(reason=marker.kwargs["reason"]))


def _lacks_program(item: pytest.Item) -> bool:
    """Return whether the program that a test needs is missing, and count the test if so."""
    marker = item.get_closest_marker("needs")
    if marker is None or missing(marker.args[0]) is None:
        return False
    item.config.stash[_left_out][marker.args[0]] += 1
    return True


def pytest_collection() -> None:
    """Let no garbage collection visit the tests again and again while they are collected."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Exempt the collected tests from garbage collection."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send the controller of pytest-xdist the number of tests that a worker left out."""
    left_out = session.config.stash[_left_out]
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = dict(left_out)


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_testnodedown(node: Any) -> None:
    """Receive that number; it is the same from each worker."""
    output = getattr(node, "workeroutput", {})  # a worker that crashed has none
    for program, count in output.get("left_out", {}).items():
        node.config.stash[_left_out][program] = count


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name each missing program in one line."""
    for program, count in config.stash[_left_out].items():
        terminalreporter.line(f"{program} is missing: {count} tests were not collected; {missing(program)}")


@pytest.fixture(scope="session")
def fake_server() -> Iterator[FakeServer]:
    """Serve fakes on a socket; each test adds its own."""
    server = FakeServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def trpc_server(fake_server: FakeServer) -> Iterator[TrpcServer]:
    """Run tRPC itself in front of the same fakes."""
    server = TrpcServer(fake_server.url)
    yield server
    server.close()


@pytest.fixture
def service() -> FakeTransport:
    """Return the service itself, with the demo catalogue: its test controls do what no client can."""
    return FakeTransport(demo_catalogue())


@pytest.fixture
def client(request: pytest.FixtureRequest, service: FakeTransport) -> Iterator[ChatarminOS]:
    """Return a client of `service`, on the fake itself or on the transport of the parameter.

    The transformer is given: detecting it makes further calls, and some tests count calls.
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
    """Yield a client that records its calls; afterwards replay them strictly and check them for drift."""
    path = request.getfixturevalue("tmp_path") / "recording.jsonl"
    is_checked = request.node.get_closest_marker("outside_changes") is None
    with ChatarminOS(transport=RecordingTransport(service, path, prologue=is_checked)) as client:
        yield client
    _replay(path)
    if is_checked:
        assert_no_drift(path)


def _replay(path: Path) -> None:
    """Replay a recording in its order, and check that each call has the recorded outcome and no call is left."""

    def outcome(act: Callable[[], Any]) -> Any:
        try:
            return act()
        except ChatarminError as error:
            return type(error), str(error), vars(error)

    replay = ReplayTransport(path, in_order=True)
    for recorded in file.load(path).calls:
        call = Call(recorded.path, "mutation" if recorded.kind == "mutation" else "query", recorded.input)
        assert outcome(lambda: replay.send(call)) == outcome(lambda: answer_of(recorded))  # noqa: B023 - at once
    replay.close()
