"""A server in another process that answers each path with prepared JSON: it costs little and computes nothing.

The cost of a client is measured in its own process, so that the server's time is in no figure except those by the
clock. It keeps connections open, takes GET and POST alike, and counts its requests. It can also hang: accept, and never
answer.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from multiprocessing.connection import Connection

_COUNT, _HANG, _GO_ON = "/answered", "/hang", "/go-on"
# About the fields that a service behind a proxy sends.
_HEAD = (
    "HTTP/1.1 {status}\r\nDate: Tue, 03 Nov 2026 10:30:00 GMT\r\nContent-Type: application/json\r\n"
    "Content-Length: {length}\r\nConnection: keep-alive\r\nVary: Origin\r\n"
    "X-Request-Id: 0b6e1f6c-6f0a-4a4e-9d55-0c1d2e3f4a5b\r\n\r\n"
)


@contextmanager
def serving(answers: Mapping[str, Any]) -> Generator[str]:
    """Serve *answers*, JSON by path, and yield their base URL."""
    spawn = get_context("spawn")  # a fork would copy the memory of this process
    here, there = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(dict(answers), there), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{here.recv()}"
    finally:
        process.terminate()
        process.join()


def answered(url: str, action: Callable[[], object]) -> int:
    """Return how many requests the server at *url* gets during *action*."""
    before = _control(url, _COUNT)
    action()
    return _control(url, _COUNT) - before


@contextmanager
def hanging(url: str) -> Generator[None]:
    """Let the server at *url* answer nothing until the end of the block."""
    _control(url, _HANG)
    try:
        yield
    finally:
        _control(url, _GO_ON)


def _control(url: str, path: str) -> int:
    with urlopen(url + path) as response:  # noqa: S310 - http, and our own server
        return int(response.read())


def _serve(answers: dict[str, Any], pipe: Connection) -> None:
    encoded = {path.encode(): _response("200 OK", json.dumps(answer)) for path, answer in answers.items()}

    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: _Canned(encoded), "127.0.0.1", 0, backlog=128)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(forever())


class _Canned(asyncio.Protocol):
    """One connection with one request at a time, as none of the clients pipelines."""

    _transport: asyncio.Transport
    _total = 0
    _hangs = False

    def __init__(self, answers: Mapping[bytes, bytes]) -> None:
        self._answers = answers
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            return
        self._received = b""
        path = head.split(b" ", 2)[1].partition(b"?")[0]
        if path.decode() in {_COUNT, _HANG, _GO_ON}:
            if path.decode() != _COUNT:
                _Canned._hangs = path.decode() == _HANG
            self._transport.write(_response("200 OK", str(self._total)))
            return
        _Canned._total += 1
        if not self._hangs:
            self._transport.write(self._answers.get(path) or _not_found(path))


def _not_found(path: bytes) -> bytes:
    return _response("404 Not Found", json.dumps(f"no answer for {path!r}"))


def _length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


def _response(status: str, body: str) -> bytes:
    content = body.encode()
    return _HEAD.format(status=status, length=len(content)).encode() + content
