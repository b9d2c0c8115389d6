"""Each failure of the network raises the right error, and no call gets the response to another one."""

from __future__ import annotations

import gc
import json
import pickle
import socket
import ssl
import tracemalloc
import warnings
import zlib
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import requests
import trustme
from fault_server import (
    BASE,
    KEY,
    Accepting,
    Backlog,
    Behaviour,
    FaultServer,
    Line,
    Proxy,
    Visit,
    answered,
    chunked,
    chunked_and_cut,
    client_of,
    close_at_accept,
    closed,
    closed_before_executing,
    cut,
    dripped,
    endless,
    envelope,
    fine,
    in_chunks,
    message,
    raw,
    refused,
    reset_after,
    reset_after_executing,
    reset_after_head,
    reset_at_accept,
    reset_before_executing,
    reset_in_body,
    stall_at_accept,
    stalled,
    stalled_after_head,
    stalled_before_reading,
    stalled_in_body,
)
from ports import dead_port
from samples import request_of

from chatarmin_os import (
    ApiError,
    BadRequestError,
    ChatarminError,
    ChatarminOS,
    ConflictError,
    ConnectionFailed,
    ForbiddenError,
    InvalidInput,
    InvalidResponse,
    NotFoundError,
    RateLimitError,
    ServerError,
    TimedOut,
    TransportError,
    UnauthorizedError,
    UsageLimitError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIB = 2**20


class Authority(NamedTuple):
    """An authority of certificates, and where its own is."""

    ca: trustme.CA
    bundle: str


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return an authority that nobody trusts yet."""
    return _new_authority(tmp_path_factory.mktemp("authority"))


def _new_authority(where: Path) -> Authority:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(where / "ca.pem"))
    return Authority(ca, str(where / "ca.pem"))


def _context(authority: Authority, host: str = "127.0.0.1", **certificate: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.ca.issue_cert(host, **certificate).configure_cert(context)
    return context


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeat without a wait, and let the environment say nothing of proxies and authorities."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "requests_ca_bundle", "curl_ca_bundle"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def context(authority: Authority) -> ssl.SSLContext:
    """Return the TLS context of the service."""
    return _context(authority)


@pytest.fixture(params=["plain", "tls"])
def server(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, authority: Authority, context: ssl.SSLContext
) -> Iterator[FaultServer]:
    """Return a service, over TLS too."""
    is_tls = request.param == "tls"
    if is_tls:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", authority.bundle)
    with FaultServer(tls=context if is_tls else None) as one:
        yield one


@pytest.fixture
def plain() -> Iterator[FaultServer]:
    """Return a service without TLS."""
    with FaultServer() as one:
        yield one


def _checked(client: ChatarminOS, code: str) -> str | None:
    return client.features.check(company_id="c1", feature_code=code).feature_code


def _error(client: ChatarminOS, code: str = "first") -> ChatarminError:
    with pytest.raises(ChatarminError) as raised:
        _checked(client, code)
    return raised.value


def _transport(client: ChatarminOS) -> Any:
    return client.transport


def _presentable(error: ChatarminError) -> None:
    """Check that the text of an error is short and clean, that it has its request, and that it pickles."""
    text = str(error)
    assert len(text) < 1000
    assert text.isprintable()
    assert KEY not in text
    assert error.request == request_of("features.check", feature_code="first")
    assert type(pickle.loads(pickle.dumps(error))) is type(error)  # noqa: S301 - our own


# Lost connections and invalid responses


class Case(NamedTuple):
    """A failure, the error that the caller gets, and the attempts of a query that may have three."""

    behaviour: Behaviour
    error: type[TransportError] | None  # None: either class would do
    attempts: int | None  # None: either number would do


def _gzipped(body: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(body) + packer.flush()


def _body(text: str | bytes) -> Behaviour:
    return answered(text.encode() if isinstance(text, str) else text)


def _data(text: str) -> Behaviour:
    return _body(f'{{"result":{{"data":{text}}}}}')


def _html(status: str) -> Behaviour:
    page = f"<html><title>{status}</title>{'x' * 5000}\x1b[2J</html>".encode()
    return answered(page, status, {"Content-Type": "text/html"})


RIGHT = b'{"result":{"data":{"isEnabled":true,"featureCode":"forged"}}}'

LOST = {
    "reset-after-the-head": Case(reset_after_head, ConnectionFailed, 3),
    "reset-before-executing": Case(reset_before_executing, ConnectionFailed, 3),
    "reset-after-executing": Case(reset_after_executing, ConnectionFailed, 3),
    "closed-before-executing": Case(closed_before_executing, ConnectionFailed, 3),
    "closed-without-a-response": Case(closed, ConnectionFailed, 3),
    "closed-in-the-status-line": Case(raw(b"HTTP/1.", closes=True), None, 3),
    "closed-in-the-headers": Case(raw(b"HTTP/1.1 200 OK\r\nContent-Type: te", closes=True), None, 3),
    "closed-after-a-header": Case(raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n", closes=True), None, 3),
    "closed-in-the-body": Case(cut, ConnectionFailed, 3),
    "reset-in-the-body": Case(reset_in_body, ConnectionFailed, 3),
    "closed-in-a-body-without-a-length": Case(
        raw(message(b'{"result":{"da', headers={"Content-Length": ""}), closes=True), InvalidResponse, 1
    ),
    "closed-between-chunks": Case(chunked_and_cut, ConnectionFailed, 3),
    "closed-in-a-chunk": Case(raw(in_chunks(RIGHT, 50, b"")[:-20], closes=True), ConnectionFailed, 3),
    "length-too-long-and-closed": Case(raw(message(RIGHT, length=5000), closes=True), ConnectionFailed, 3),
}

GARBLED = {
    "length-too-short": Case(answered(RIGHT, length=20), InvalidResponse, 1),
    "garbled-status-line": Case(raw(b"220 mail.example.com ESMTP\r\n\r\n"), InvalidResponse, None),
    "status-is-not-a-number": Case(raw(b"HTTP/1.1 abc OK\r\n\r\n"), InvalidResponse, None),
    "unknown-HTTP-version": Case(raw(b"HTTP/3.7 200 OK\r\nContent-Length: 0\r\n\r\n"), InvalidResponse, None),
    "binary": Case(raw(bytes(range(256)) * 8 + b"\r\n\r\n"), InvalidResponse, None),
    "header-of-70-kB": Case(answered(headers={"X-Long": "x" * 70_000}), InvalidResponse, None),
    "150-headers": Case(answered(headers={f"X-{number}": "x" for number in range(150)}), InvalidResponse, None),
    "two-lengths": Case(
        raw(message(RIGHT, headers={"X": "y\r\nContent-Length: 3"}), closes=True), InvalidResponse, None
    ),
    "chunks-without-a-size": Case(raw(in_chunks(RIGHT).replace(b"\r\n32\r\n", b"\r\nzz\r\n")), InvalidResponse, None),
    "bad-gzip": Case(answered(b"not gzip at all", headers={"Content-Encoding": "gzip"}), InvalidResponse, None),
    "bad-gzip-without-a-length": Case(
        raw(message(b"not gzip", headers={"Content-Encoding": "gzip", "Content-Length": ""}), closes=True),
        InvalidResponse,
        None,
    ),
    "broken-gzip": Case(
        answered(_gzipped(RIGHT * 99)[:100] + b"\0" * 50, headers={"Content-Encoding": "gzip"}), InvalidResponse, None
    ),
    "gzip-that-ends-early": Case(
        answered(_gzipped(RIGHT)[:-30], headers={"Content-Encoding": "gzip"}), InvalidResponse, None
    ),
    "invalid-UTF-8": Case(_body(b'{"result":{"data":{"isEnabled":true,"featureCode":"\xff"}}}'), InvalidResponse, 1),
    "NaN": Case(_data('{"isEnabled":true,"currentUsage":NaN}'), InvalidResponse, 1),
    "infinity": Case(_data('{"isEnabled":true,"currentUsage":-Infinity}'), InvalidResponse, 1),
    "number-too-large": Case(_data('{"isEnabled":true,"currentUsage":1e999}'), InvalidResponse, 1),
    "int-of-5000-digits": Case(_data(f'{{"isEnabled":true,"currentUsage":{"7" * 5000}}}'), InvalidResponse, 1),
    "100000-lists": Case(_data("[" * 100_000 + "]" * 100_000), InvalidResponse, 1),
    "100000-objects": Case(_data('{"a":' * 100_000 + "1" + "}" * 100_000), InvalidResponse, 1),
    "100000-lists-that-do-not-end": Case(_body("[" * 100_000), InvalidResponse, 1),
    "page": Case(_html("200 OK"), InvalidResponse, 1),
    "status-204": Case(raw(b"HTTP/1.1 204 No Content\r\n\r\n"), InvalidResponse, 1),
    "status-200-and-nothing": Case(answered(b""), InvalidResponse, 1),
    "null": Case(_body("null"), InvalidResponse, 1),
    "text": Case(_body('"yes"'), InvalidResponse, 1),
    "list": Case(_body("[1]"), InvalidResponse, 1),
    "list-of-the-right-response": Case(_body(b"[" + RIGHT + b"]"), InvalidResponse, 1),
    "foreign-JSON": Case(_body('{"success":true,"data":{"isEnabled":true}}'), InvalidResponse, 1),
    "JSON-and-more": Case(_body(RIGHT + b"{}"), InvalidResponse, 1),
    "broken-JSON": Case(_body(RIGHT[:-3]), InvalidResponse, 1),
    "wrong-type": Case(_data('{"isEnabled":"yes"}'), InvalidResponse, 1),
    "null-for-an-object": Case(_data("null"), InvalidResponse, 1),
    "missing-field": Case(_data("{}"), InvalidResponse, 1),
    "page-and-status-404": Case(_html("404 Not Found"), InvalidResponse, 1),
    "page-and-status-500": Case(_html("500 Internal Server Error"), InvalidResponse, 1),
    "page-and-status-429": Case(_html("429 Too Many Requests"), InvalidResponse, 3),
    "page-and-status-502": Case(_html("502 Bad Gateway"), InvalidResponse, 3),
    "page-and-status-503": Case(_html("503 Service Unavailable"), InvalidResponse, 3),
    "page-and-status-504": Case(_html("504 Gateway Timeout"), InvalidResponse, 3),
    "nothing-and-status-502": Case(answered(b"", "502 Bad Gateway"), InvalidResponse, 3),
    "nothing-and-status-304": Case(raw(b"HTTP/1.1 304 Not Modified\r\n\r\n"), InvalidResponse, 1),
    "redirect-without-a-location": Case(answered(b"", "302 Found"), InvalidResponse, 1),
}

STALLED = {
    "before-the-body-is-read": stalled_before_reading,
    "before-the-response": stalled,
    "after-the-head": stalled_after_head,
    "in-the-body": stalled_in_body,
    "with-a-length-too-long": answered(RIGHT, length=5000),
    "dripping": dripped("status"),
}


@pytest.mark.parametrize("case", [*LOST.values(), *GARBLED.values()], ids=[*LOST, *GARBLED])
def test_failure_raises_its_error(server: FaultServer, case: Case) -> None:
    """A lost connection is `ConnectionFailed`, an invalid response `InvalidResponse`; the outcome is unknown.

    It is tried as often as may help, and the call after it gets its own answer.
    """
    server.behaviour = case.behaviour
    with client_of(server) as client:
        error = _error(client)
        seen = len(server.requests)
        server.behaviour = answered()
        following = [_checked(client, f"next {number}") for number in range(3)]

    _presentable(error)
    assert isinstance(error, TransportError)
    assert type(error) in ({case.error} if case.error else {ConnectionFailed, InvalidResponse})
    assert error.outcome == "unknown"
    assert following == ["next 0", "next 1", "next 2"]
    if case.attempts is not None:
        assert seen == case.attempts
        if "expected" not in str(error):  # the client, not the transport, rejects an answer that fits no model
            assert error.attempts == seen
    assert 1 <= seen <= 3


@pytest.mark.slow
@pytest.mark.parametrize("behaviour", STALLED.values(), ids=list(STALLED))
def test_stalled_response_times_out(server: FaultServer, behaviour: Behaviour) -> None:
    """A call that is not answered in time is `TimedOut`, its outcome unknown, and its connection is not used again."""
    server.will(fine, behaviour)
    with client_of(server) as client:
        assert _checked(client, "before") == "before"
        _transport(client)._timeout = 0.15
        error = _error(client)
        _transport(client)._timeout = 30.0  # its next calls have more time
        following = [_checked(client, f"next {number}") for number in range(2)]

    _presentable(error)
    assert isinstance(error, TimedOut)
    assert (error.outcome, error.attempts) == ("unknown", 1)
    assert following == ["next 0", "next 1"]
    assert (len(server.requests), server.connections) == (4, 2)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    "name", ["closed-without-a-response", "closed-in-the-body", "broken-JSON", "page-and-status-502", "two-lengths"]
)
def test_batch_fails_as_a_whole(plain: FaultServer, name: str, batch: int) -> None:
    """If no answer is received, each call of a batch has its own error in its place."""
    case = {**LOST, **GARBLED}[name]
    asked = [request_of("features.check", feature_code=f"f{number}") for number in range(batch)]
    plain.behaviour = case.behaviour
    with client_of(plain) as client:
        errors = client.batch(asked)
        plain.behaviour = answered()
        answers = client.batch(asked)

    assert [type(error) for error in errors] == [case.error] * batch
    assert [error.request for error in errors if isinstance(error, ChatarminError)] == asked
    assert len({id(error) for error in errors}) == batch
    assert [getattr(answer, "feature_code", answer) for answer in answers] == [f"f{number}" for number in range(batch)]


@pytest.mark.parametrize(
    "extra",
    [message(RIGHT), b"\r\n", b"{}", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", message(RIGHT) * 50],
    ids=["response", "line", "bit", "refusal", "many-responses"],
)
@pytest.mark.parametrize("late", [False, True], ids=["at-once", "late"])
@pytest.mark.parametrize("shape", ["length", "chunks"])
def test_bytes_after_a_response_are_dropped(server: FaultServer, extra: bytes, shape: str, *, late: bool) -> None:
    """Bytes after a response are not read as the next response: the connection is closed."""

    def behave(visit: Visit) -> None:
        body = visit.body()
        whole = message(body) if shape == "length" else in_chunks(body)
        visit.line.send(whole if late else whole + extra)
        if late:
            visit.line.send(extra)

    server.will(behave)
    with client_of(server) as client:
        first = _checked(client, "first")
        while late and server.connections == 1 and not _is_readable(client):
            pass  # on its way
        following = [_checked(client, f"next {number}") for number in range(3)]

    assert [first, *following] == ["first", "next 0", "next 1", "next 2"]
    assert server.connections == 2


def _is_readable(client: ChatarminOS) -> bool:
    """Return whether there is something on the connection that a client keeps, or no connection."""
    pool = vars(_transport(client)._channel._session.adapters["http://"]).get("pool")
    kept = [one for one in pool.pool.queue if one is not None and one.sock is not None]
    return not kept or not kept[0].is_connected


def test_interim_response_is_skipped(server: FaultServer) -> None:
    """Status 100 or 103 in front of an answer is passed over."""
    server.will(
        lambda visit: visit.line.send(b"HTTP/1.1 100 Continue\r\n\r\n" + message(visit.body())),
        lambda visit: visit.line.send(b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" + message(visit.body())),
    )
    with client_of(server, max_retries=0) as client:
        assert _checked(client, "first") == "first"
        assert _checked(client, "second") == "second"
        following = [_checked(client, f"next {number}") for number in range(3)]

    assert following == ["next 0", "next 1", "next 2"]


def test_response_after_a_late_interim_one_is_not_left_to_the_next_call(server: FaultServer) -> None:
    """Interim answers of any number are passed over, however late the answer itself comes."""

    def with_hints(visit: Visit) -> None:
        for status in (b"103 Early Hints", b"102 Processing", b"103 Early Hints"):
            visit.line.send(b"HTTP/1.1 " + status + b"\r\nLink: <x>\r\n\r\n")
            visit.line.over.wait(0.05)
        visit.line.send(message(visit.body()))

    server.will(with_hints)
    with client_of(server, max_retries=0) as client:
        assert [_checked(client, name) for name in ("first", "second")] == ["first", "second"]

    assert server.connections == 1


def test_connection_that_switches_to_another_protocol_is_not_kept(server: FaultServer) -> None:
    """The bytes after status 101 are not HTTP, and no response."""
    server.will(lambda visit: visit.line.send(b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\n\r\n"))
    with client_of(server, max_retries=0) as client:
        with pytest.raises(InvalidResponse):
            _checked(client, "first")
        assert _checked(client, "second") == "second"

    assert server.connections == 2


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("behaviour", [chunked, answered(), dripped("body", 0.0)], ids=["chunks", "length", "drips"])
def test_valid_responses_share_one_connection(server: FaultServer, behaviour: Behaviour, batch: int) -> None:
    """However an answer is cut into pieces, it is right, and its connection is used again."""
    server.behaviour = behaviour
    asked = [request_of("features.check", feature_code=f"f{number}") for number in range(batch)]
    with client_of(server) as client:
        for _ in range(3):
            answers: list[Any] = client.batch(asked)
            assert [answer.feature_code for answer in answers] == [f"f{number}" for number in range(batch)]

    assert server.connections == 1


# Refusals


@pytest.mark.parametrize(
    ("code", "status", "kind", "attempts"),
    [
        ("BAD_REQUEST", 400, BadRequestError, 1),
        ("UNAUTHORIZED", 401, UnauthorizedError, 1),
        ("FORBIDDEN", 403, ForbiddenError, 1),
        ("NOT_FOUND", 404, NotFoundError, 1),
        ("TIMEOUT", 408, ApiError, 1),
        ("CONFLICT", 409, ConflictError, 1),
        ("PRECONDITION_FAILED", 412, UsageLimitError, 1),
        ("TOO_MANY_REQUESTS", 429, RateLimitError, 3),
        ("INTERNAL_SERVER_ERROR", 500, ServerError, 1),
        ("BAD_GATEWAY", 502, ServerError, 3),
        ("SERVICE_UNAVAILABLE", 503, ServerError, 3),
        ("GATEWAY_TIMEOUT", 504, ServerError, 3),
    ],
)
def test_refusal_has_the_class_of_its_code(
    server: FaultServer, code: str, status: int, kind: type[ApiError], attempts: int
) -> None:
    """A refusal has the class of its code; only a temporary one is retried."""
    server.behaviour = refused(code, status)
    with client_of(server) as client:
        error = _error(client)
        server.behaviour = answered()
        assert _checked(client, "next") == "next"

    _presentable(error)
    assert isinstance(error, ApiError)
    assert (type(error), error.code, error.http_status) == (kind, code, status)
    assert len(server.requests) == attempts + 1
    assert server.connections == 1


@pytest.mark.parametrize("text", ["x" * 100_000, "\x1b[2J\r\n\0\x07", "\u202etxt.exe\u2028", f"no such key: {KEY}"])
def test_message_of_a_refusal_is_readable(plain: FaultServer, text: str) -> None:
    """A message of the service is shown short, without control characters and without the key."""
    plain.behaviour = answered(envelope("NOT_FOUND", 404, -32004, text), "404 Not Found")
    with client_of(plain) as client:
        _presentable(_error(client))


@pytest.mark.parametrize("key", [KEY, 'os_sk_"quoted"', "os_sk_back\\slash", "os_sk_a/b+c=<d>&e"])
def test_echoed_key_is_redacted(plain: FaultServer, key: str) -> None:
    """A key that the service writes back is in no message and no data, also where JSON escapes its characters."""
    body = {"message": f"bad key {key}", "code": -32001, "data": {"code": "UNAUTHORIZED", "httpStatus": 401, "k": key}}
    plain.will(
        answered(json.dumps({"error": body}).encode(), "401 Unauthorized"),
        answered(json.dumps({"oops": key}).encode(), "401 Unauthorized", {"X-Request-Id": key, "Content-Type": key}),
        answered(json.dumps({"error": body}).replace("/", "\\/").encode(), "401 Unauthorized"),
        answered(json.dumps({"error": body}).replace("<", "\\u003c").encode(), "401 Unauthorized"),
    )
    with client_of(plain, api_key=key) as client:
        errors = [_error(client) for _ in range(4)]

    for error in errors:
        assert key not in str(error)
        assert key not in repr(vars(error))
        assert key not in str(getattr(error, "data", ""))
        assert key not in getattr(error, "message", "")


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("path", ["features.check", "companies.update", "links.reset"])
def test_redirect_is_not_followed(server: FaultServer, path: str, status: int) -> None:
    """A redirect is an invalid answer: where it leads to nobody comes, and nothing is tried again."""
    with FaultServer() as elsewhere:
        location = f"{elsewhere.url}/{path}"
        server.will(answered(b"moved", f"{status} Moved", {"Location": location}, executes=False))
        with client_of(server) as client, pytest.raises(InvalidResponse, match=f"redirects .*{status}") as raised:
            client.send(request_of(path))
        with client_of(server) as client:
            assert _checked(client, "next") == "next"

    assert (raised.value.outcome, raised.value.attempts) == ("unknown", 1)
    assert elsewhere.connections == 0
    assert len(server.requests) == 2


# Memory


def _peak(client: ChatarminOS) -> tuple[ChatarminError, float]:
    """Return an error, and how much memory was held at most until it came, in MiB."""
    tracemalloc.start()
    try:
        error = _error(client)
        return error, tracemalloc.get_traced_memory()[1] / MIB
    finally:
        tracemalloc.stop()


def _bomb(size: int, layers: int = 1) -> bytes:
    """Return *size* MiB of nothing, compressed."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    data = b"".join([packer.compress(b" " * MIB) for _ in range(size)]) + packer.flush()
    for _ in range(layers - 1):
        data = _gzipped(data)
    return data


@pytest.mark.slow
@pytest.mark.parametrize(("encoding", "layers"), [("gzip", 1), ("gzip, gzip", 2)], ids=["one-layer", "two-layers"])
def test_decompression_bomb_is_bounded(plain: FaultServer, encoding: str, layers: int) -> None:
    """A response that decompresses to more than the maximum is an error at that point, and is never retried."""
    plain.behaviour = answered(_bomb(128, layers), headers={"Content-Encoding": encoding})
    with client_of(plain) as client:
        error, peak = _peak(client)
        plain.behaviour = answered()
        assert _checked(client, "next") == "next"

    _presentable(error)
    assert isinstance(error, InvalidResponse)
    assert error.attempts == len(plain.requests) - 1 == 1
    assert peak < 150


def test_endless_response_is_bounded(plain: FaultServer) -> None:
    """An answer without an end is given up where it is larger than an answer may be."""
    plain.behaviour = endless
    with client_of(plain) as client:
        error, peak = _peak(client)
        plain.behaviour = answered()
        assert _checked(client, "next") == "next"

    _presentable(error)
    assert isinstance(error, InvalidResponse)
    assert error.attempts == len(plain.requests) - 1 == 1
    assert peak < 150


def test_too_large_content_length_fails_at_once(plain: FaultServer) -> None:
    """An answer that says that it will be too large is given up before it has come."""
    plain.behaviour = answered(RIGHT, length=10**12)
    with client_of(plain) as client:
        error, peak = _peak(client)
        plain.behaviour = answered()
        assert _checked(client, "next") == "next"

    assert isinstance(error, InvalidResponse)
    assert peak < 20


# Not sent


@pytest.mark.parametrize("path", ["features.check", "companies.create", "links.reset"])
def test_closed_port_is_not_sent(path: str) -> None:
    """A refused connection is `ConnectionFailed` and not sent, and any call is tried again."""
    with client_of(f"http://127.0.0.1:{dead_port()}{BASE}") as client, pytest.raises(ConnectionFailed) as raised:
        client.send(request_of(path))

    assert (raised.value.outcome, raised.value.attempts) == ("not_sent", 3)
    assert raised.value.request == request_of(path)


def test_name_without_an_address_is_not_sent() -> None:
    """A host that does not exist is `ConnectionFailed` and not sent; the error names it."""
    with (
        client_of("https://service.invalid/api") as client,
        pytest.raises(ConnectionFailed, match=r"service\.invalid") as no,
    ):
        client.links.reset()

    assert (no.value.outcome, no.value.attempts) == ("not_sent", 3)


@pytest.mark.parametrize("path", ["features.check", "links.reset"])
def test_connection_that_is_not_accepted_is_not_sent(path: str) -> None:
    """Where a connection does not come about in time the call is `TimedOut` and not sent."""
    with Backlog() as full, client_of(f"http://127.0.0.1:{full.port}{BASE}", timeout=0.2) as client:
        if not full.is_full:
            pytest.skip("this system takes more connections than it was asked to")
        with pytest.raises(TimedOut) as raised:
            client.send(request_of(path))

    assert (raised.value.outcome, raised.value.attempts) == ("not_sent", 1)


# TLS


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch, authority: Authority) -> Authority:
    """Return the authority, trusted through the environment."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", authority.bundle)
    return authority


def _untrusted(server: FaultServer, path: str = "features.check", **settings: Any) -> ConnectionFailed:
    """Return the error of a call whose certificate fails, having checked that it is one of those."""
    with client_of(server, **settings) as client, pytest.raises(ConnectionFailed, match="certificate") as raised:
        client.send(request_of(path))
    assert (raised.value.outcome, raised.value.attempts) == ("not_sent", 1)
    assert (server.connections, server.requests) == (1, [])
    assert len(str(raised.value)) < 1000
    return raised.value


@pytest.mark.parametrize("path", ["features.check", "links.reset"])
def test_unknown_authority_is_not_trusted(tmp_path: Path, trusted: Authority, path: str) -> None:
    """A certificate of an authority that is not known fails at once, and the error says so."""
    with FaultServer(tls=_context(_new_authority(tmp_path))) as server:
        assert "issuer" in str(_untrusted(server, path))

    assert trusted


@pytest.mark.parametrize("path", ["features.check", "links.reset"])
def test_certificate_of_another_host_is_not_trusted(trusted: Authority, path: str) -> None:
    """A certificate for another host fails at once, and the error says so."""
    with FaultServer(tls=_context(trusted, "elsewhere.example.com")) as server:
        assert "not valid for '127.0.0.1'" in str(_untrusted(server, path))


@pytest.mark.parametrize("path", ["features.check", "links.reset"])
def test_expired_certificate_is_not_trusted(trusted: Authority, path: str) -> None:
    """A certificate whose time is over fails at once, and the error says so."""
    ended = datetime.now(UTC) - timedelta(days=1)
    context = _context(trusted, not_before=ended - timedelta(days=30), not_after=ended)
    with FaultServer(tls=context) as server:
        assert "expired" in str(_untrusted(server, path))


def test_session_with_other_authorities_refuses_the_certificate(tmp_path: Path, authority: Authority) -> None:
    """A session of the user's own is not trusted more than it says."""
    with FaultServer(tls=_context(_new_authority(tmp_path))) as server, requests.Session() as session:
        session.verify = authority.bundle
        _untrusted(server, session=session)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["features.check", "links.reset"])
@pytest.mark.parametrize("accepting", [reset_at_accept, close_at_accept, reset_after(50)])
def test_handshake_that_is_lost_is_not_sent(trusted: Authority, accepting: Accepting, path: str) -> None:
    """A connection that is lost in the TLS handshake is no matter of certificates; any call is tried again."""
    with FaultServer(tls=_context(trusted)) as server, client_of(server) as client:
        server.accepting = accepting
        with _forgiving(), pytest.raises(ConnectionFailed) as raised:
            client.send(request_of(path))
        server.accepting = None
        assert _checked(client, "next") == "next"

    assert (raised.value.outcome, raised.value.attempts) == ("not_sent", 3)
    assert "certificate" not in str(raised.value)


@contextmanager
def _forgiving() -> Iterator[None]:
    """Forgive Python a socket that it does not close where a reset comes just before the handshake."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


def _speak_http(line: Line) -> None:
    """Respond in plain text to bytes that are not a request."""
    line.more()
    line.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    line.close()


def test_port_without_tls_is_not_sent(trusted: Authority) -> None:
    """Where a service does not speak TLS nothing is sent, and the error does not speak of certificates."""
    with FaultServer(tls=_context(trusted)) as server, client_of(server) as client:
        server.accepting = _speak_http
        with pytest.raises(ConnectionFailed) as raised:
            client.links.reset()

    assert raised.value.outcome == "not_sent"
    assert "certificate" not in str(raised.value)


@pytest.mark.parametrize("path", ["features.check", "links.reset"])
def test_handshake_that_stalls_is_not_sent(trusted: Authority, path: str) -> None:
    """A handshake that does not end in time is `TimedOut` and not sent."""
    with FaultServer(tls=_context(trusted)) as server, client_of(server, timeout=0.2) as client:
        server.accepting = stall_at_accept
        with pytest.raises(TimedOut) as raised:
            client.send(request_of(path))

    assert (raised.value.outcome, raised.value.attempts) == ("not_sent", 1)


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_authority_of_the_environment_is_trusted(
    monkeypatch: pytest.MonkeyPatch, authority: Authority, name: str
) -> None:
    """A private authority may be named in the environment, which is read when a client is made."""
    monkeypatch.setenv(name, authority.bundle)
    with FaultServer(tls=_context(authority)) as server, client_of(server) as client:
        monkeypatch.delenv(name)
        assert [_checked(client, f"f{number}") for number in range(3)] == ["f0", "f1", "f2"]

    assert server.connections == 1


def test_authority_of_a_session_is_trusted(authority: Authority) -> None:
    """A private authority may be on a session's `verify`."""
    with FaultServer(tls=_context(authority)) as server, requests.Session() as session:
        session.verify = authority.bundle
        with client_of(server, session=session) as client:
            assert [_checked(client, f"f{number}") for number in range(3)] == ["f0", "f1", "f2"]


def test_missing_authority_is_named(monkeypatch: pytest.MonkeyPatch, authority: Authority) -> None:
    """Where the file with the authorities is missing, that is said before anything is sent."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", authority.bundle + ".missing")
    with (
        FaultServer(tls=_context(authority)) as server,
        pytest.raises((InvalidInput, ConnectionFailed), match="REQUESTS_CA_BUNDLE"),
        client_of(server) as client,
    ):
        client.links.reset()

    assert server.connections == 0


# Proxies

HOST = "service.test"


@pytest.fixture
def tunnelled(trusted: Authority) -> Iterator[FaultServer]:
    """Return a service at a host that only a proxy knows."""
    with FaultServer(tls=_context(trusted, HOST)) as one:
        one.url = f"https://{HOST}:8443{BASE}"
        yield one


def test_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch, tunnelled: FaultServer) -> None:
    """Calls over https go through the proxy of the environment, as it was when the client was made."""
    with Proxy(tunnelled.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with client_of(tunnelled) as client:
            monkeypatch.delenv("HTTPS_PROXY")
            assert [_checked(client, f"f{number}") for number in range(3)] == ["f0", "f1", "f2"]

    assert proxy.connects == [f"{HOST}:8443"]


@pytest.mark.parametrize("no_proxy", [HOST, ".test", "*", f"other.example,{HOST}:8443"])
def test_host_without_a_proxy_is_reached_directly(
    monkeypatch: pytest.MonkeyPatch, tunnelled: FaultServer, no_proxy: str
) -> None:
    """A host that NO_PROXY names is reached without."""
    addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", tunnelled.port))]
    with Proxy(tunnelled.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", no_proxy)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
        with client_of(tunnelled) as client:
            assert _checked(client, "direct") == "direct"

    assert proxy.connects == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_is_not_proxied(monkeypatch: pytest.MonkeyPatch, plain: FaultServer, host: str) -> None:
    """A service on this machine is reached without a proxy, whatever the environment says."""
    with Proxy(plain.port) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        with client_of(plain.url.replace("127.0.0.1", host)) as client:
            assert _checked(client, "direct") == "direct"

    assert proxy.connects == []


@pytest.mark.parametrize("path", ["features.check", "links.reset"])
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"",
    ],
    ids=["wants-a-password", "bad-gateway", "no-proxy", "closes"],
)
def test_refused_tunnel_is_not_sent(
    monkeypatch: pytest.MonkeyPatch, tunnelled: FaultServer, answer: bytes, path: str
) -> None:
    """Where a proxy makes no tunnel the call is `ConnectionFailed` and not sent, and any call is tried again."""
    with Proxy(tunnelled.port, answer=answer) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//user:hidden@"))
        with client_of(tunnelled) as client, pytest.raises(ConnectionFailed) as raised:
            client.send(request_of(path))

    assert (raised.value.outcome, raised.value.attempts) == ("not_sent", 3)
    assert "hidden" not in str(raised.value)
    assert tunnelled.connections == 0


def test_missing_proxy_is_not_sent(monkeypatch: pytest.MonkeyPatch, tunnelled: FaultServer) -> None:
    """Where nobody listens at the proxy's port the call is `ConnectionFailed` and not sent."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:hidden@127.0.0.1:{dead_port()}")
    with client_of(tunnelled) as client, pytest.raises(ConnectionFailed) as raised:
        client.links.reset()

    assert (raised.value.outcome, raised.value.attempts) == ("not_sent", 3)
    assert "hidden" not in str(raised.value)


def test_silent_proxy_is_not_sent(monkeypatch: pytest.MonkeyPatch, tunnelled: FaultServer) -> None:
    """Where a proxy does not answer in time the call is `TimedOut` and not sent."""
    with Proxy(tunnelled.port, answer=None) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with client_of(tunnelled, timeout=0.2) as client, pytest.raises(TimedOut) as raised:
            client.links.reset()

    assert (raised.value.outcome, raised.value.attempts) == ("not_sent", 1)


def test_connection_lost_in_a_tunnel_has_an_unknown_outcome(
    monkeypatch: pytest.MonkeyPatch, tunnelled: FaultServer
) -> None:
    """Behind a proxy too a handshake that is lost is not sent, and a request that is lost is unknown."""
    with Proxy(tunnelled.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with client_of(tunnelled) as client:
            tunnelled.accepting = reset_at_accept
            with pytest.raises(ConnectionFailed) as before:
                client.links.reset()
            tunnelled.accepting = None
            tunnelled.will(closed)
            with pytest.raises(ConnectionFailed) as after:
                client.links.reset()
            assert _checked(client, "next") == "next"

    assert (before.value.outcome, before.value.attempts) == ("not_sent", 3)
    assert (after.value.outcome, after.value.attempts) == ("unknown", 1)
