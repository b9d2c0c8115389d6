"""The fake behind real sockets: as plain tRPC told by Python, and behind tRPC itself, run by Node.

    FakeServer     POST /api/v1/links.create              the wire as tRPC 11 speaks it, told a second time
    TrpcServer     node trpc_server/server.mjs            both versions of tRPC, plain and with superjson
      -> FakeServer  POST /door {key, path, kind, input}  asks the same fakes for the answers

Which fake answers is a matter of the API key, so that every test has its own and all share the servers.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from chatarmin_os import PROCEDURES, ApiError, InvalidInput, TransportError
from chatarmin_os.errors import CODES
from chatarmin_os.transports import Call

if TYPE_CHECKING:
    from chatarmin_os.fake import FakeTransport
    from chatarmin_os.procedures._base import Kind

NODE_SERVER = Path(__file__).parent / "trpc_server"
BASE = "/api/v1"


class FakeServer(ThreadingHTTPServer):
    """Serves fakes on loopback, each under an API key of its own, until it is closed.

    Attributes:
        url: The base URL for clients: plain tRPC 11 with single calls and batches.
        door: The URL at which a `TrpcServer` asks the same fakes.
    """

    daemon_threads = False  # so that closing waits for them, and no thread of a test outlives the server
    request_queue_size = 128  # tests let many threads connect at once

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Face)
        origin = f"http://127.0.0.1:{self.server_port}"
        self.url, self.door = origin + BASE, f"{origin}/door"
        self._fakes: dict[str, FakeTransport] = {}
        self._numbers = count(1)
        self._connections: set[Any] = set()
        self._thread = Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def add(self, fake: FakeTransport) -> str:
        """Serve *fake*, and return the API key that leads to it."""
        api_key = f"os_sk_test_{next(self._numbers)}"
        self._fakes[api_key] = fake
        return api_key

    def forget(self, api_key: str) -> None:
        """Serve the fake of *api_key* no longer: the key is refused from now on."""
        del self._fakes[api_key]

    def close(self) -> None:
        """Stop listening, and end the connections that clients keep open."""
        self.shutdown()
        self._thread.join()
        for connection in list(self._connections):
            with suppress(OSError):  # it has ended just now
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()

    def answer(self, api_key: str, path: str, kind: Kind, given: Any) -> Any:
        """Return what the fake of *api_key* answers.

        Raises:
            ApiError: It refuses, no fake has such a key, or the input is beyond what it takes as JSON.
            TransportError: A test wants the answer to be lost.
        """
        fake = self._fakes.get(api_key)
        if fake is None:
            raise ApiError.from_code("UNAUTHORIZED", "Invalid or missing API key")
        known = PROCEDURES.get(path)
        try:
            return fake.send(Call(path, kind, given, known is not None and known.safe_to_repeat))
        except InvalidInput as refusal:
            raise ApiError.from_code("BAD_REQUEST", str(refusal)) from None

    def process_request(self, request: Any, client_address: Any) -> None:
        """Keep the connection, so that closing can end it."""
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        """Let go of a connection that is over."""
        self._connections.discard(request)
        super().shutdown_request(request)


class _Face(BaseHTTPRequestHandler):
    """One connection to a `FakeServer`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave together
    server: FakeServer

    def handle_one_request(self) -> None:
        """Answer a request, or lose the connection where a test wants the answer to be lost."""
        try:
            super().handle_one_request()
        except TransportError:
            self.close_connection = True

    def do_GET(self) -> None:
        """Answer queries."""
        self._told("query", parse_qs(urlsplit(self.path).query).get("input", [""])[0])

    def do_POST(self) -> None:
        """Answer mutations, and the door."""
        text = self.rfile.read(int(self.headers.get("content-length", "0"))).decode(errors="replace")
        if self.path == "/door":
            self._told_at_the_door(**json.loads(text))
        elif self.headers.get_content_type() != "application/json":  # where there is none, it is text/plain
            refusal = ApiError.from_code("UNSUPPORTED_MEDIA_TYPE", "Missing or unsupported content-type header")
            self._reply(*_refused(refusal))
        else:
            self._told("mutation", text)

    def _told(self, kind: Kind, text: str) -> None:
        """Answer one call, or a batch."""
        url = urlsplit(self.path)
        whole = unquote(url.path).removeprefix(f"{BASE}/")
        if "1" not in parse_qs(url.query).get("batch", ()):
            self._reply(*self._one(kind, whole, text))
            return
        answers = [self._one(kind, path, text, str(index)) for index, path in enumerate(whole.split(","))]
        statuses = {status for status, _ in answers}
        self._reply(statuses.pop() if len(statuses) == 1 else 207, [envelope for _, envelope in answers])

    def _one(self, kind: Kind, path: str, text: str, index: str | None = None) -> tuple[int, Any]:
        """Return status and envelope of one call; *index* is its place in a batch."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        api_key = token if scheme == "Bearer" else self.headers.get("x-api-key", "")
        try:
            answer = self.server.answer(api_key, path, kind, _parsed(text, index))
        except ApiError as refusal:
            return _refused(refusal, path)
        return 200, {"result": {"data": answer}}

    def _told_at_the_door(self, path: str, kind: Kind, key: str, input: Any = None) -> None:
        try:
            self._reply(200, {"answer": self.server.answer(key, path, kind, input)})
        except ApiError as refusal:
            self._reply(200, {"error": {"code": refusal.code, "message": refusal.message, "data": refusal.data}})

    def _reply(self, status: int, answer: Any) -> None:
        body = json.dumps(answer, allow_nan=False).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the fakes have their own log of calls."""


def _parsed(text: str, index: str | None) -> Any:
    """Return the input of a call, None where it has none."""
    try:
        given = json.loads(text, parse_constant=_no_number) if text else None
    except (ValueError, RecursionError) as error:
        raise ApiError.from_code("BAD_REQUEST", str(error)) from None
    if index is None:
        return given
    if not isinstance(given, dict | None):
        raise ApiError.from_code("BAD_REQUEST", '"input" needs to be an object when doing a batch call')
    return (given or {}).get(index)


def _no_number(name: str) -> None:
    raise ValueError(f"Unexpected token in JSON: {name}")


def _refused(refusal: ApiError, path: str | None = None) -> tuple[int, Any]:
    """Return status and envelope of a refusal."""
    status = refusal.http_status or CODES["INTERNAL_SERVER_ERROR"].http_status
    number = CODES.get(refusal.code, CODES["INTERNAL_SERVER_ERROR"]).number
    where = {} if path is None else {"path": path}
    data = {"code": refusal.code, "httpStatus": status, **where, **(refusal.data or {})}
    return status, {"error": {"message": refusal.message, "code": number, "data": data}}


class TrpcServer:
    """tRPC itself, run by Node, in front of the fakes of a `FakeServer`, until it is closed.

    Attributes:
        urls: A base URL for each configuration: `v11-plain`, `v11-superjson`, `v10-plain`, `v10-superjson`, and each
            of them with `-nobatching` behind it.
    """

    def __init__(self, door: str) -> None:
        """Start Node and wait until it answers; *door* is that of the `FakeServer`."""
        command = [shutil.which("node") or "node", str(NODE_SERVER / "server.mjs"), door]
        # Node ends when its standard input does, so also when this process is killed.
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own server
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            self.close()
            raise RuntimeError(f"node ended with {self._process.returncode}; it says why on standard error")
        self.urls: dict[str, str] = json.loads(line)

    def close(self) -> None:
        """End Node, and wait for it."""
        try:
            self._process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()


def node_missing() -> str | None:
    """Return why a `TrpcServer` cannot run here, None where it can.

    Raises:
        RuntimeError: It cannot, and this is CI (the environment has CI set), where nothing may be skipped.
    """
    reason = None
    if shutil.which("node") is None:
        reason = "there is no node on the PATH"
    elif not (NODE_SERVER / "node_modules" / ".package-lock.json").is_file():  # written when all are installed
        reason = "its packages are not installed: npm ci --prefix tests/trpc_server"
    if reason and os.environ.get("CI"):
        raise RuntimeError(f"the tRPC server of the tests cannot run: {reason}")
    return reason
