"""The service responds to any request as tRPC does, never with a traceback, and continues."""

from __future__ import annotations

import json
import logging
import os
import random
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import pytest
from requesting import KEY, Reply, is_envelope, query, send_to_application

from chatarmin_os import PROCEDURES
from chatarmin_os.server import FakeService, serve_fake

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNT = 50_000 if os.environ.get("CHATARMIN_FULL") else 2_000
PARTS = 4  # tests, each with a seed of its own
RAW_COUNT = COUNT // 10

PATHS = [
    *PROCEDURES, "tiers.list,tiers.get", "nope", "", ",", "tiers.list/", "tiers%2Elist", "%", "%zz", "%00",
    "%ff", "../x", "__proto__", "tiers.list," * 300, "products", "view", "fail", "advance", "calls", "snapshot",
    "stripe.complete", "\u00fc",
]  # fmt: skip
BASES = ["/api/v1/", "/__fake__/", "/api/v1", "/", "//api/v1/", "/api/", ""]
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"]
ODD: list[Any] = [
    None, True, 0, -1, 2**53, 1e308, "", "x", "\0", "\ud800", "x" * 5000, [], {}, [[]], {"": None}, "org_1",
    "2024-02-30", {"json": 1}, {"json": None, "meta": {"values": ["undefined"]}},
    {"json": {}, "meta": {"values": {"a": ["Date"]}}}, {"0": {"json": {}}}, {"0": 1, "1": None},
    {"price_ids": ["a", 5]}, {"days": 1e18}, {"path": "tiers.list", "error": ""},
]  # fmt: skip
NAMES = [
    "companyId", "externalOrgId", "featureCode", "quantity", "tierCode", "hints", "contacts", "email",
    "metadata", "validUntil", "name", "session_id", "price_ids", "code", "snapshot", "since", "search", "limit",
    "after", "times", "days", "json", "meta",
]  # fmt: skip
BYTES = [b"", b"{", b"null", b"[]", b"NaN", b"\xff\xfe", b"[" * 5000, b"9" * 5000, b'{"a":' * 500, b"<x>", b'"\\ud800"']
HEADERS: list[tuple[str, str]] = [
    ("content-type", "text/plain"), ("content-type", ""), ("content-type", "application/json; charset=utf-16"),
    ("host", "evil.example"), ("host", "[::1"), ("host", "localhost:99999999"), ("origin", "null"),
    ("origin", "http://[x"), ("authorization", "Bearer"), ("authorization", "Basic x"),
    ("authorization", "Bearer os_sk_" + "\xff" * 50), ("x-api-key", "os_sk_"), ("x-api-key", ""),
    ("trpc-accept", "application/jsonl"), ("accept", "application/jsonl"), ("x-fake-product", "nope"),
    ("trpc-batch-mode", "stream"), ("content-encoding", "gzip"), ("x-forwarded-host", "x"),
]  # fmt: skip


class _Fuzz:
    """Creates requests that are slightly wrong, the same ones for a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - nothing secret

    def value(self, depth: int = 3) -> Any:
        """Return some JSON."""
        if not depth or self.random.random() < 0.4:
            return self.random.choice(ODD)
        inside = [self.value(depth - 1) for _ in range(self.random.randrange(4))]
        return inside if self.random.random() < 0.2 else {self.random.choice(NAMES): one for one in inside}

    def body(self) -> bytes:
        """Return a body, or an input."""
        if self.random.random() < 0.2:
            return self.random.choice(BYTES)
        text = json.dumps(self.value()).encode()
        if self.random.random() < 0.1:
            place = self.random.randrange(len(text) + 1)
            return text[:place] + self.random.choice(BYTES)[:100] + text[place:]
        return text

    def request(self) -> tuple[str, str, dict[str, str], bytes]:
        """Return method, target, headers and body."""
        is_get = self.random.random() < 0.5
        method = self.random.choice(METHODS) if self.random.random() < 0.2 else "GET" if is_get else "POST"
        base = self.random.choice(BASES[:2]) if self.random.random() < 0.8 else self.random.choice(BASES)
        target = base + self.random.choice(PATHS)
        parameters = []
        if self.random.random() < 0.3:
            parameters.append(self.random.choice(["batch=1", "batch=", "batch=0", "batch", "batch=1&batch=0"]))
        if self.random.random() < 0.6:
            given = self.body()
            parameters.append(
                "input=" + (quote(given) if self.random.random() < 0.9 else given.decode("latin-1")[:200])
            )
        target += "?" + "&".join(parameters) if parameters else ""
        headers = {"content-type": "application/json", "x-api-key": KEY}
        for _ in range(self.random.choice([0, 0, 1, 3])):
            name, value = self.random.choice(HEADERS)
            headers[name] = value
        return method, target, headers, b"" if method == "GET" else self.body()


def _contents(body: bytes, content_type: str) -> list[Any]:
    """Return the envelope of each call in a response."""
    try:
        content = json.loads(body)
    except ValueError:  # one JSON document a line
        assert content_type.startswith("application/json")
        return [envelope for line in body.splitlines() for [[envelope]] in json.loads(line).values()]
    if isinstance(content, dict) and content and all(key.isdecimal() for key in content):
        return [one[0][0] if isinstance(one, list) else one for one in content.values()]  # a stream of 11, or of 10
    return content if isinstance(content, list) else [content]


def _is_superjson_envelope(envelope: Any) -> bool:
    """Return whether this is an envelope of superjson."""
    match envelope:
        case {"result": {"data": {"json": _, **_meta}}}:
            return True
        case {"error": {"json": inner, **_meta}}:
            return is_envelope({"error": inner})
        case {"json": dict(head), **_meta}:
            return all(is_envelope(one) for [[one]] in head.values())
    return False


def _check(reply: Reply) -> int:
    """Check a response, and return its status."""
    assert b"Traceback" not in reply.body
    assert reply.status in {200, 204, 207} or 400 <= reply.status <= 503, reply
    if reply.status == 204 or not reply.body or reply.headers.get("content-type", "").startswith("text/html"):
        return reply.status
    for content in _contents(reply.body, reply.headers["content-type"]):
        assert is_envelope(content) or _is_superjson_envelope(content), reply.body[:500]
    return reply.status


@pytest.fixture
def _quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail if the service logs a defect of its own."""
    with caplog.at_level(logging.WARNING):
        yield
    assert [record.getMessage() for record in caplog.records if record.name == "chatarmin_os"] == []


@pytest.mark.usefixtures("_quiet")
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("version", [11, 10])
def test_odd_requests_get_envelopes(version: Any, part: int) -> None:
    """Odd paths, inputs, bodies and headers are refused as by tRPC, and the next request works."""
    service, fuzz = FakeService(version=version), _Fuzz(part)
    statuses: dict[int, int] = {}
    for _ in range(COUNT // PARTS // 2):
        method, target, headers, body = fuzz.request()
        raw = {"REQUEST_URI": target, "SERVER_PROTOCOL": "HTTP/1.1"}
        if not target.startswith("/"):
            continue  # servers refuse it
        headers_ = {"HTTP_" + name.upper().replace("-", "_"): value for name, value in headers.items()}
        headers_["CONTENT_TYPE"] = headers_.pop("HTTP_CONTENT_TYPE", "")
        reply = send_to_application(service, method, "/", {"x-api-key": None}, body, environ={**headers_, **raw})
        status = _check(reply)
        statuses[status] = statuses.get(status, 0) + 1

    assert query(lambda *given: send_to_application(service, *given), "tiers.list").status == 200
    assert len(statuses) > 5, statuses


def _response_to(address: tuple[str, int], raw: bytes) -> bytes:
    """Send bytes over a new connection, and return the response until the connection is closed."""
    pieces = []
    # If the request is refused before all of it was read, its rest resets the connection.
    with socket.create_connection(address) as line, suppress(ConnectionError):
        line.sendall(raw)
        line.shutdown(socket.SHUT_WR)
        while piece := line.recv(65536):
            pieces.append(piece)
    return b"".join(pieces)


def test_damaged_http_gets_a_response() -> None:
    """Over a socket, with damaged heads: a status line, an envelope or plain text, and the next request works."""
    fuzz = _Fuzz(99)
    with serve_fake() as url:
        host, _, port = urlsplit(url).netloc.partition(":")
        for _ in range(RAW_COUNT):
            method, target, headers, body = fuzz.request()
            head = f"{method} {target} HTTP/1.1\r\n" + "".join(
                f"{name}: {value}\r\n" for name, value in headers.items()
            )
            whole = head.encode("latin-1", "replace") + b"content-length: %d\r\n\r\n" % len(body) + body
            if fuzz.random.random() < 0.5:
                place = fuzz.random.randrange(len(whole))
                whole = whole[:place] + fuzz.random.randbytes(fuzz.random.randrange(1, 9)) + whole[place + 1 :]
            answer = _response_to((host, int(port)), whole)
            assert b"Traceback" not in answer
            assert not answer or answer.startswith(b"HTTP/1."), answer[:200]

        with socket.create_connection((host, int(port))) as line:
            line.sendall(b"GET /api/v1/tiers.list HTTP/1.1\r\nhost: localhost\r\nx-api-key: %b\r\n\r\n" % KEY.encode())
            assert line.recv(65536).startswith(b"HTTP/1.1 200 OK")
