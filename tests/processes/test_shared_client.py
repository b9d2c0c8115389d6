"""One client and many threads: every answer is its caller's, connections are few, and closing closes all of them."""

from __future__ import annotations

import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
import requests
from echoing import KEY, Certificate, Echo, asked, eventually
from requests.adapters import HTTPAdapter

from chatarmin_os import ChatarminOS, ConnectionFailed, FeatureAccess, FeatureCheckInput
from chatarmin_os.transports import HTTPTransport

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

THREADS, CALLS = 64, 50


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Return a certificate for loopback."""
    return Certificate.issue(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def echo() -> Iterator[Echo]:
    """Run an echo that nobody has connected to."""
    with Echo() as echo:
        yield echo


@pytest.fixture
def client(echo: Echo) -> Iterator[ChatarminOS]:
    """Return the client that all threads of a test share."""
    with ChatarminOS(KEY, base_url=echo.url, timeout=120) as client:
        yield client


@pytest.fixture(autouse=True)
def _restless() -> Iterator[None]:
    """Let threads be interrupted as often as can be."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


def at_once(client: ChatarminOS, threads: int, company_id: str | None = None, calls: int = 1) -> list[int]:
    """Let threads ask at the same time and return the numbers of the connections that answered.

    By default the echo answers when all have asked, so that each thread needs a connection to itself.
    """
    company_id = company_id or f"gather:{threads}"

    def ask(thread: int) -> list[int]:
        return [asked(client, f"code_{thread}_{call}", company_id) for call in range(calls)]

    with ThreadPoolExecutor(threads) as pool:
        return [number for numbers in pool.map(ask, range(threads)) for number in numbers]


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the logged warnings and errors."""
    return [record.getMessage() for record in caplog.records if record.levelname not in {"DEBUG", "INFO"}]


# Answers


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_threads_get_their_own_responses(
    secure: bool,  # noqa: FBT001 - pytest's
    certificate: Certificate,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """64 threads with 50 calls each get their own responses, on at most as many connections as threads."""
    with Echo(certificate if secure else None) as echo:
        for name, value in echo.environment.items():
            monkeypatch.setenv(name, value)
        with ChatarminOS(KEY, base_url=echo.url, timeout=120) as client:
            numbers = at_once(client, THREADS, "c", CALLS)

            assert len(numbers) == THREADS * CALLS
            assert echo.opened <= THREADS

        eventually(lambda: echo.open, 0)
    assert complaints(caplog) == []


def test_queries_mutations_and_batches_of_threads_do_not_mix(client: ChatarminOS, echo: Echo) -> None:
    """Whatever threads send at once, each gets its own: queries, mutations, batches."""

    def act(thread: int) -> None:
        for turn in range(10):
            asked(client, f"code_{thread}_{turn}")
            quantity = thread * 1000 + turn + 1
            used = client.billing.track_usage(company_id="c", feature_code="seats", quantity=quantity)
            assert used.current_usage == quantity
            codes = [f"{part}_{thread}_{turn}" for part in range(3)]
            answers = client.batch(FeatureCheckInput(company_id="c", feature_code=code) for code in codes)
            assert [answer.feature_name for answer in answers if isinstance(answer, FeatureAccess)] == codes

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(act, range(16)))

    assert echo.opened <= 16


def test_connections_outlive_the_threads_that_opened_them(client: ChatarminOS, echo: Echo) -> None:
    """Threads that come later, as in a server with a thread for each request, use the connections that there are."""
    for _ in range(5):
        at_once(client, 8)

    assert echo.opened == 8


def test_each_of_200_threads_keeps_a_connection(
    client: ChatarminOS, echo: Echo, caplog: pytest.LogCaptureFixture
) -> None:
    """200 calls that are under way at the same time need no waiting, no connection twice, and no warning of a pool."""
    assert len(set(at_once(client, 200))) == 200
    assert len(set(at_once(client, 200))) == 200

    assert echo.opened == 200
    assert complaints(caplog) == []


def test_threads_that_share_a_look_up_are_all_answered(echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads whose first calls begin at once share the look-up of the service's name, and none is let down by it."""
    look_up = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, *rest, **named: look_up("127.0.0.1", *rest, **named))
    url = echo.url.replace("127.0.0.1", "service.test")

    for _ in range(20):
        with ChatarminOS(transport=HTTPTransport(KEY, url, timeout=120, allow_http=True)) as client:
            assert len(set(at_once(client, 16))) == 16


# Closing


def test_closing_ends_every_connection(client: ChatarminOS, echo: Echo) -> None:
    """After use by many threads the service sees the end of all connections."""
    at_once(client, THREADS)
    assert echo.open == THREADS

    client.close()

    eventually(lambda: echo.open, 0)


def test_closed_client_is_usable_again(client: ChatarminOS, echo: Echo) -> None:
    """A call after closing opens a connection, which closing ends again; closing twice is nothing."""
    for turn in range(3):
        client.close()
        client.close()
        assert asked(client, "seats") == turn + 1
        assert echo.open == 1

    client.close()

    eventually(lambda: echo.open, 0)


def test_closing_a_client_that_never_called_does_nothing(client: ChatarminOS, echo: Echo) -> None:
    """A client that is closed before its first call has opened nothing, and works."""
    client.close()

    assert echo.opened == 0
    assert asked(client, "seats") == 1


def test_running_calls_complete_if_the_client_is_closed(client: ChatarminOS, echo: Echo) -> None:
    """Closing cuts nobody short: who was waiting is answered, and then those connections end too."""
    with ThreadPoolExecutor(1) as pool:
        numbers = pool.submit(at_once, client, 8, "gather:9")
        eventually(lambda: echo.waiting, 8)

        client.close()
        asked(client, "seats", "gather:9")

        assert len(numbers.result()) == 8
    client.close()
    eventually(lambda: echo.open, 0)


def test_repeated_close_does_not_break_running_calls(client: ChatarminOS, echo: Echo) -> None:
    """Calls at the moment of closing are answered, or say that nothing was sent; afterwards the client works."""
    over, refusals = Event(), []

    def ask(thread: int) -> None:
        for call in range(CALLS):
            try:
                asked(client, f"code_{thread}_{call}")
            except ConnectionFailed as refusal:
                refusals.append(refusal)

    def close() -> None:
        while not over.is_set():
            client.close()

    with ThreadPoolExecutor(9) as pool:
        closing = pool.submit(close)
        asking = [pool.submit(ask, thread) for thread in range(8)]
        for one in asking:
            one.result()
        over.set()
        closing.result()

    assert {refusal.outcome for refusal in refusals} <= {"not_sent"}
    assert asked(client, "seats")
    client.close()
    eventually(lambda: echo.open, 0)


def test_close_does_not_break_a_starting_call(client: ChatarminOS, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that was closed just when a first call had found its connections works on."""
    find = HTTPAdapter.get_connection_with_tls_context

    def find_and_close(*args: Any, **kwargs: Any) -> Any:
        found = find(*args, **kwargs)
        client.close()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(HTTPAdapter, "get_connection_with_tls_context", find_and_close)
        try:
            asked(client, "seats")
        except ConnectionFailed as refusal:
            assert refusal.outcome == "not_sent"  # noqa: PT017 - either is right

    assert asked(client, "seats")


# A session of the user's own


def test_users_session_is_not_closed(echo: Echo) -> None:
    """Closing a client leaves the session and its connections as they are, for others use them."""
    with requests.Session() as session:
        session.trust_env = False
        client = ChatarminOS(transport=HTTPTransport(KEY, echo.url, session=session))
        assert asked(client, "seats") == 1

        client.close()

        assert echo.open == 1
        assert session.get(f"{echo.url}/tiers.list", timeout=120).json() == {"result": {"data": []}}
        assert asked(client, "seats") == 1
        assert echo.opened == 1
    eventually(lambda: echo.open, 0)


def test_threads_share_a_users_session(echo: Echo) -> None:
    """Threads on one session get their own answers, on at most as many connections as its pool has or threads are."""
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(pool_maxsize=32))
        client = ChatarminOS(transport=HTTPTransport(KEY, echo.url, session=session, timeout=120))

        assert len(at_once(client, 32, "c", 20)) == 640

        assert echo.opened <= 32
    eventually(lambda: echo.open, 0)
