"""Which calls are retried after which failure, as the service counts them: every procedure at every stage."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import trustme
from fault_server import (
    BASE,
    Accepting,
    Behaviour,
    FaultServer,
    age,
    answered,
    client_of,
    closed,
    closed_before_executing,
    cut,
    fine,
    refused,
    reset_after,
    reset_after_executing,
    reset_after_head,
    reset_at_accept,
    reset_before_executing,
    stall_at_accept,
)
from ports import dead_port
from samples import ANSWERS, is_right, request_of

from chatarmin_os import (
    PROCEDURES,
    ApiError,
    ChatarminError,
    ChatarminOS,
    ConnectionFailed,
    InvalidResponse,
    RateLimitError,
    ServerError,
    TransportError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chatarmin_os._request import Request

RETRIES = 2
PATHS = [*PROCEDURES, "made.up"]  # the last is a mutation that the SDK does not know
KINDS: dict[str, Any] = {"query": "features.check", "repeatable": "contacts.create", "once": "links.create"}


class Stage(NamedTuple):
    """Where a call fails.

    Attributes:
        fail: The behaviour of the service.
        repeats: Which calls are retried: "any", "safe" or "never".
        executes: Whether the service carries the call out each time it fails.
        error: The final error.
        outcome: The outcome that the error reports; None if it has none.
    """

    fail: Behaviour | Accepting
    repeats: str
    executes: bool
    error: type[ChatarminError]
    outcome: str | None = None


HTML = {"Content-Type": "text/html"}

# While the connection is made.
AT_ACCEPT = {"in the handshake": Stage(reset_after(50), "any", False, ConnectionFailed, "not_sent")}
# While the request is sent: the kernel of the service has taken it, or a part of it.
IN_PARTS = {"sent in part": Stage(reset_after(40), "safe", False, ConnectionFailed, "unknown")}
# When it has been sent.
ON_REQUEST = {
    "after the head": Stage(reset_after_head, "safe", False, ConnectionFailed, "unknown"),
    "reset before executing": Stage(reset_before_executing, "safe", False, ConnectionFailed, "unknown"),
    "closed before executing": Stage(closed_before_executing, "safe", False, ConnectionFailed, "unknown"),
    "reset after executing": Stage(reset_after_executing, "safe", True, ConnectionFailed, "unknown"),
    "closed after executing": Stage(closed, "safe", True, ConnectionFailed, "unknown"),
    "closed in the answer": Stage(cut, "safe", True, ConnectionFailed, "unknown"),
    "429": Stage(refused("TOO_MANY_REQUESTS", 429, -32029), "any", False, RateLimitError),
    "429 as a page": Stage(
        answered(b"slow down", "429 Too Many Requests", HTML, executes=False), "any", False, InvalidResponse, "unknown"
    ),
    "502 as a page": Stage(answered(b"<html>", "502 Bad Gateway", HTML), "safe", True, InvalidResponse, "unknown"),
    "503 as a page": Stage(answered(b"<html>", "503 Unavailable", HTML), "safe", True, InvalidResponse, "unknown"),
    "504 as a page": Stage(answered(b"<html>", "504 Gateway Timeout", HTML), "safe", True, InvalidResponse, "unknown"),
    "502": Stage(refused("BAD_GATEWAY", 502, executes=True), "safe", True, ServerError),
    "503": Stage(refused("SERVICE_UNAVAILABLE", 503, executes=True), "safe", True, ServerError),
    "504": Stage(refused("GATEWAY_TIMEOUT", 504, executes=True), "safe", True, ServerError),
    # The service's own failure would most likely be one again, and the network has no part in it.
    "500": Stage(refused("INTERNAL_SERVER_ERROR", 500, executes=True), "never", True, ServerError),
    "500 as a page": Stage(answered(b"<html>", "500 Oh", HTML), "never", True, InvalidResponse, "unknown"),
    "501": Stage(refused("NOT_IMPLEMENTED", 501), "never", False, ServerError),
    "400": Stage(refused("BAD_REQUEST", 400), "never", False, ApiError),
    "401": Stage(refused("UNAUTHORIZED", 401), "never", False, ApiError),
    "408": Stage(refused("TIMEOUT", 408), "never", False, ApiError),
    "409": Stage(refused("CONFLICT", 409), "never", False, ApiError),
    "307": Stage(
        answered(b"", "307 Moved", {"Location": "/"}, executes=False), "never", False, InvalidResponse, "unknown"
    ),
    "complete and wrong": Stage(answered(b'{"data": {}}'), "never", True, InvalidResponse, "unknown"),
    "complete and no JSON": Stage(answered(b"<html>", headers=HTML), "never", True, InvalidResponse, "unknown"),
    "complete and nothing": Stage(answered(b""), "never", True, InvalidResponse, "unknown"),
}
STAGES = {**AT_ACCEPT, **IN_PARTS, **ON_REQUEST}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the file of an authority; all those of the world take long to read."""
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch, bundle: str) -> None:
    """Trust one authority."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """Return a service that works unless a test says otherwise."""
    with FaultServer() as one:
        yield one


def _asked(path: str) -> Request[Any] | None:
    return request_of(path) if path in PROCEDURES else None


def _send(client: ChatarminOS, path: str, request: Request[Any] | None) -> Any:
    return client.send(request) if request else client.call(path, {"a": 1}, kind="mutation")


def _is_repeated(path: str, stage: Stage) -> bool:
    safe = path in PROCEDURES and PROCEDURES[path].safe_to_repeat
    return stage.repeats == "any" or (stage.repeats == "safe" and safe)


def _is_answer(path: str, answer: Any) -> bool:
    if path not in PROCEDURES:
        return bool(answer == {"path": path, "input": {"a": 1}})
    return is_right(answer, PROCEDURES[path].result, lenient=PROCEDURES[path].may_be_empty)


def test_table_is_complete() -> None:
    """Every procedure has a request and an answer here, and the three that are not to be repeated are known."""
    once = {path for path, request in PROCEDURES.items() if not request.safe_to_repeat}

    assert set(ANSWERS) == set(PROCEDURES)
    assert once == {"companies.create", "links.create", "links.reset"}


class Found(NamedTuple):
    """The fate of a call, as the service counted it and as the error reports it."""

    error: type[BaseException]
    tried: int
    executed: int
    keys: int
    reported: tuple[str, int] | None


@pytest.mark.parametrize("name", STAGES)
def test_call_is_retried_as_the_policy_says(name: str) -> None:
    """A call that always fails is attempted as often as the policy says; the service counts each time that it ran."""
    stage = STAGES[name]
    expected, found = {}, {}
    for path in PATHS:
        tries = RETRIES + 1 if _is_repeated(path, stage) else 1
        expected[path] = Found(
            stage.error,
            tries,
            executed=tries if stage.executes else 0,
            keys=int(path == "billing.trackUsage" and stage.executes),
            reported=(stage.outcome, tries) if stage.outcome else None,
        )
        found[path] = _failing(path, name)

    assert found == expected


def _failing(path: str, name: str) -> Found:
    """Return the fate of a call that always fails at one stage."""
    stage, request = STAGES[name], _asked(path)
    with FaultServer() as server:
        url = server.url.replace("http:", "https:") if name in AT_ACCEPT else server.url
        if name in ON_REQUEST:
            server.behaviour = stage.fail  # type: ignore[assignment]  # the table has both kinds
        else:
            server.accepting = stage.fail  # type: ignore[assignment]  # the same
        with client_of(url, max_retries=RETRIES) as client, pytest.raises(stage.error) as raised:
            _send(client, path, request)
        error = raised.value
        assert error.request is request
        return Found(
            stage.error,
            len(server.requests) if name in ON_REQUEST else server.connections,
            server.executed[path],
            len(server.keys),
            (error.outcome, error.attempts) if isinstance(error, TransportError) else None,
        )


@pytest.mark.parametrize("name", [name for name in STAGES if name not in AT_ACCEPT])
def test_call_that_fails_once_is_answered_as_the_policy_says(name: str) -> None:
    """After one failure a call that may be repeated has its answer; else sending the error's request has it.

    Either way the service has one event, under one key.
    """
    stage = STAGES[name]
    expected, found = {}, {}
    for path in PATHS:
        expected[path] = not _is_repeated(path, stage), 1 + stage.executes, int(path == "billing.trackUsage")
        found[path] = _failing_once(path, name)

    assert found == expected


def _failing_once(path: str, name: str) -> tuple[bool, int, int]:
    """Return whether a call that fails once is an error, how often it ran in all, and with how many keys."""
    stage, request = STAGES[name], _asked(path)
    with FaultServer() as server, client_of(server, max_retries=RETRIES) as client:
        if name in ON_REQUEST:
            server.will(stage.fail)  # type: ignore[arg-type]  # the table has both kinds
        else:
            server.will_accept(stage.fail)  # type: ignore[arg-type]  # the same
        failed = False
        try:
            answer = _send(client, path, request)
        except stage.error as error:
            failed = True
            answer = _send(client, path, error.request)
        assert _is_answer(path, answer)
        return failed, server.executed[path], len(server.keys)


@pytest.mark.parametrize("retries", [0, 1, 2, 5])
def test_call_that_was_not_sent_is_retried(retries: int) -> None:
    """Where nobody listens any call is tried as often as it may be; nothing is sent."""
    dead = f"http://127.0.0.1:{dead_port()}{BASE}"
    for path in PATHS:
        request = _asked(path)
        with client_of(dead, max_retries=retries) as client, pytest.raises(ConnectionFailed) as raised:
            _send(client, path, request)

        assert (raised.value.outcome, raised.value.attempts) == ("not_sent", retries + 1)
        assert raised.value.request is request


def test_outcome_stays_unknown_after_one_attempt_that_may_have_run(server: FaultServer) -> None:
    """A call that was lost after sending and then never left is unknown: it may have run the first time."""

    def last(visit: Any) -> None:
        visit.execute()
        server.accepting = reset_at_accept
        visit.line.close()

    server.will(last)
    with client_of(server) as client, pytest.raises(ConnectionFailed) as raised:
        client.send(request_of("contacts.create"))

    assert (raised.value.outcome, raised.value.attempts) == ("unknown", 3)
    assert server.executed["contacts.create"] == 1


# Batches


@pytest.mark.parametrize(
    "name", ["closed after executing", "closed in the answer", "502 as a page", "503", "429", "500"]
)
def test_only_safe_calls_of_a_batch_are_retried(server: FaultServer, name: str) -> None:
    """A batch that is lost is sent again without the calls that may not be repeated; these fail."""
    stage = ON_REQUEST[name]
    asked = [request_of(path) for path in ("companies.update", "companies.create", "contacts.create", "links.reset")]
    server.will(stage.fail)  # type: ignore[arg-type]  # the table has both kinds
    with client_of(server) as client:
        answers: list[Any] = client.batch(asked)

    for request, answer in zip(asked, answers, strict=True):
        repeated = _is_repeated(request.path, stage)
        assert _is_answer(request.path, answer) if repeated else isinstance(answer, stage.error)
        assert server.executed[request.path] == stage.executes + repeated
        if isinstance(answer, ChatarminError):
            assert answer.request is request
        if isinstance(answer, TransportError):
            assert (answer.outcome, answer.attempts) == ("unknown", 1)


# Idle connections


@pytest.mark.parametrize("path", KINDS.values(), ids=list(KINDS))
def test_closed_idle_connection_costs_no_retry(path: str) -> None:
    """A call after the service closed an idle connection is sent once, on a new one, though none may be repeated."""
    with FaultServer(idle=0.02) as server, client_of(server, max_retries=0) as client:
        for turn in range(5):
            assert _is_answer(path, client.send(request_of(path)))
            while server.idle_closed <= turn:
                time.sleep(0.002)

    assert server.executed[path] == server.connections == 5


@pytest.mark.parametrize("path", KINDS.values(), ids=list(KINDS))
def test_call_that_may_not_be_repeated_avoids_a_stale_connection(server: FaultServer, path: str) -> None:
    """A call that may not be made twice opens a connection of its own where the other was idle; others do not."""
    with client_of(server) as client:
        client.send(request_of(path))
        client.send(request_of(path))
        assert server.connections == 1

        age(client, 2)
        client.send(request_of(path))

    assert server.connections == (2 if path == KINDS["once"] else 1)


def test_batch_with_a_call_that_may_not_be_repeated_is_not_sent_on_a_stale_connection(
    server: FaultServer,
) -> None:
    """One call of a batch that may not be made twice is enough for a connection of its own."""
    with client_of(server) as client:
        client.send(request_of("contacts.create"))
        age(client, 2)
        client.batch([request_of("contacts.create"), request_of("onboard")])
        assert server.connections == 1
        age(client, 2)
        client.batch([request_of("contacts.create"), request_of("links.create")])

    assert server.connections == 2


def test_nothing_is_sent_on_a_connection_that_was_idle_for_long(server: FaultServer) -> None:
    """A connection that nobody used for long is not used again, whatever the call."""
    with client_of(server) as client:
        client.tiers.list()
        age(client, 56)
        client.tiers.list()

    assert server.connections == 2


@pytest.mark.slow
@pytest.mark.parametrize("path", [KINDS["query"], KINDS["once"]])
def test_connection_closed_during_a_safe_call_is_retried(path: str) -> None:
    """Where the service closes connections around the moment a call is sent, no call that can be saved fails.

    One that may not be repeated keeps off connections of that age.
    """
    with FaultServer(idle=0.03) as server, client_of(server) as client:
        for turn in range(25):
            assert _is_answer(path, client.send(request_of(path)))
            time.sleep(0.029 + turn % 5 * 0.0005)
            age(client, 2)


# Storms


def test_service_that_is_down_is_not_flooded() -> None:
    """Repeats have a budget: of many calls at a port where nobody listens few are repeated."""
    attempts = []
    with client_of(f"http://127.0.0.1:{dead_port()}{BASE}") as client:
        for _ in range(100):
            with pytest.raises(ConnectionFailed) as raised:
                client.tiers.list()
            attempts.append(raised.value.attempts)

    assert attempts[0] == 3
    assert attempts[-50:] == [1] * 50
    assert 100 < sum(attempts) <= 150


@pytest.mark.parametrize("name", ["closed after executing", "502 as a page", "503", "429"])
def test_failing_service_is_not_flooded(server: FaultServer, name: str) -> None:
    """Of many calls that a service fails few are repeated; when it is well again, repeats come back."""
    server.behaviour = ON_REQUEST[name].fail  # type: ignore[assignment]  # the table has both kinds
    with client_of(server) as client:
        for _ in range(100):
            with pytest.raises(ChatarminError):
                client.tiers.list()
        stormed = len(server.requests)
        server.behaviour = fine
        for _ in range(50):
            client.tiers.list()
        server.will(ON_REQUEST[name].fail)  # type: ignore[arg-type]  # the same
        client.tiers.list()

    assert 100 < stormed <= 150


def test_batch_takes_one_retry_from_the_budget(server: FaultServer) -> None:
    """A batch counts as the request that it is: its calls do not use the budget up."""
    asked = [request_of("features.check", feature_code=f"f{number}") for number in range(50)]
    with client_of(server) as client:
        for _ in range(10):
            server.will(closed)
            answers: list[Any] = client.batch(asked)
            assert [answer.feature_code for answer in answers] == [f"f{number}" for number in range(50)]


# Usage


def test_usage_keeps_its_key_over_attempts_and_errors(server: FaultServer) -> None:
    """One event has one key over all attempts, and sending the error's request counts it once."""
    server.will(*[closed] * 3, *[reset_before_executing] * 3)
    with client_of(server) as client:
        with pytest.raises(ConnectionFailed) as first:
            client.billing.track_usage(company_id="c1", feature_code="seats", quantity=7)
        assert first.value.request
        with pytest.raises(ConnectionFailed) as second:
            client.send(first.value.request)
        assert second.value.request is first.value.request
        assert client.send(first.value.request).current_usage == 7

    assert list(server.keys.values()) == [4]
    assert list(server.ledger.values()) == [7]


def test_timed_out_handshake_leaves_a_clean_client(server: FaultServer) -> None:
    """After a handshake that never comes about the same client works as soon as the service does."""
    server.accepting = stall_at_accept
    with client_of(server, timeout=0.1) as client:
        with pytest.raises(TransportError):
            client.tiers.list()
        server.accepting = None
        client.transport._timeout = 30.0  # type: ignore[attr-defined]
        assert [tier.code for tier in client.tiers.list()] == ["free", "pro"]
