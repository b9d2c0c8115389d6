"""No local variable of any frame holds the API key, at any moment of a call: error trackers write all of them down."""

from __future__ import annotations

import gc
import signal
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import requests
from echoing import Certificate
from rude_service import RudeService, answer

from chatarmin_os import ChatarminOS
from chatarmin_os.transports import HTTPTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

# Objects live longer after a tracer has looked at them, sockets included.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

CANARY = "canary4f1c9d7e"
KEY = f"os_sk_live_{CANARY}"
FINE = answer('{"result":{"data":{"featureName":"Seats","isEnabled":true}}}')
FINE_BATCH = answer('[{"result":{"data":{"featureName":"Seats"}}},{"result":{"data":{"featureName":"Seats"}}}]')
REFUSED = answer('{"error":{"message":"No","code":-32001,"data":{"code":"UNAUTHORIZED","httpStatus":401}}}', "401 No")
CALLS: dict[str, tuple[bytes | None, Callable[[ChatarminOS], object]]] = {
    "query": (FINE, lambda client: client.features.check(company_id="c", feature_code="seats")),
    "mutation": (FINE, lambda client: client.links.create(company_id="c", external_org_id="o")),
    "batch": (FINE_BATCH, lambda client: client.transport.send_many([_call(), _call()])),
    "refusal": (REFUSED, lambda client: client.transport.send_many([_call()])),
    "lost": (None, lambda client: client.transport.send_many([_call()])),
}


def _call() -> Any:
    from chatarmin_os.transports import Call

    return Call("features.check", "query", {"companyId": "c", "featureCode": "seats"})


class Interrupted(BaseException):
    """The exception of a signal's handler."""


class Watch:
    """Looks at the locals of each frame of Python after each of its instructions, as an error tracker would.

    Attributes:
        looks: How often it looked.
        found: The functions and the variables that showed the key.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.looks = 0
        self.found: set[str] = set()
        self._shown: dict[int, tuple[Any, bool]] = {}

    def __call__(self, frame: FrameType, _: str, __: object) -> Any:
        """Look at a frame, and go on doing so."""
        frame.f_trace_opcodes = True
        self._look(frame)
        return self._step

    def _step(self, frame: FrameType, _: str, __: object) -> Any:
        self._look(frame)
        return self._step

    def _look(self, frame: FrameType) -> None:
        self.looks += 1
        for name, value in list(frame.f_locals.items()):
            if self._shows(value):
                self.found.add(f"{frame.f_code.co_qualname}: {name}")

    @staticmethod
    def _shows(value: object) -> bool:
        try:
            return CANARY in repr(value)
        except Exception:  # noqa: BLE001 - it is not made yet
            return False


def watched(act: Callable[[], object]) -> Watch:
    """Return the findings while a function runs, whatever it raises."""
    watch, before = Watch(), sys.gettrace()
    sys.settrace(watch)
    try:
        with suppress(Exception):
            act()
    finally:
        sys.settrace(before)
    return watch


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Return a certificate for loopback."""
    return Certificate.issue(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    yield
    gc.collect()


def _transport(url: str, **settings: Any) -> HTTPTransport:
    return HTTPTransport(KEY, url, timeout=60, max_retries=0, transformer="json", **settings)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("kind", CALLS)
def test_key_is_in_no_local_variable(
    kind: str, scheme: str, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in the package, requests, urllib3, http.client or ssl, on a new connection and on one that is used again."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.authority))
    received, call = CALLS[kind]
    chain = certificate.chain if scheme == "https" else None
    with (
        RudeService(received, certificate=chain) as service,
        ChatarminOS(transport=_transport(service.url)) as client,
    ):
        watches = [watched(lambda: call(client)) for _ in range(2)]
        assert [f"Authorization: Bearer {KEY}" in head for head in service.heads] == [True, True]

    assert [watch.found for watch in watches] == [set(), set()]
    assert min(watch.looks for watch in watches) > 1000


@pytest.mark.slow
def test_users_session_holds_the_key_only_while_http_client_writes_it() -> None:
    """The connections of such a session are not the package's: they have the bytes that they send, and nothing more."""
    received, call = CALLS["query"]
    with (
        RudeService(received) as service,
        requests.Session() as session,
        ChatarminOS(transport=_transport(service.url, session=session)) as client,
    ):
        watch = watched(lambda: call(client))

    of_writing = {"HTTPConnection.putheader", "HTTPConnection._output", "HTTPConnection._send_output"}
    assert {place.partition(":")[0] for place in watch.found} <= {*of_writing, "HTTPConnection.send"}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no such timer")
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("whose", ["own", "given"])
def test_timer_that_ends_a_waiting_call_does_not_show_the_key(
    whose: str, scheme: str, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The traceback with all locals is without it, on a session of the user's own too."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.authority))
    chain = certificate.chain if scheme == "https" else None

    def interrupt(*_: object) -> None:
        raise Interrupted

    with (
        RudeService(None, certificate=chain, is_silent=True) as service,
        requests.Session() as session,
        ChatarminOS(transport=_transport(service.url, session=session if whose == "given" else None)) as client,
    ):
        before = signal.signal(signal.SIGALRM, interrupt)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.5)
            with pytest.raises(Interrupted) as raised:
                client.features.check(company_id="c", feature_code="seats")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    frames = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
    assert any(frame.name == "recv_into" or "read" in frame.name for frame in frames.stack)
    here = __file__
    assert [
        f"{frame.name}: {name}"
        for frame in frames.stack
        if frame.filename != here
        for name, text in (frame.locals or {}).items()
        if CANARY in text
    ] == []
