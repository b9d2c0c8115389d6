"""A service on loopback that fails on request, over raw sockets: to the byte, at every stage of a call.

    with FaultServer() as server, client_of(server) as client:
        server.will(closed, answered(b"<html>", "502 Bad Gateway"))   a behaviour per request, in order; then it is fine
        server.will_accept(reset_at_accept)                           the same per connection, before a byte is read
        client.tiers.list()
        server.executed["tiers.list"]                                 how often it ran

A response echoes the input (see `samples.answer_to`), so that a response to another call is noticed.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Self
from urllib.parse import parse_qs, unquote, urlsplit

from samples import answer_to

from chatarmin_os import ChatarminOS
from chatarmin_os.transports import HTTPTransport

if TYPE_CHECKING:
    import ssl

KEY = "os_sk_test_faults"
BASE = "/api/v1"
LONG = 120.0  # seconds: longer than any stall is waited out; closing the server ends them all

Behaviour = Callable[["Visit"], None]
Accepting = Callable[["Line"], None]


class _Over(Exception):  # noqa: N818 - it ends a connection
    """The connection has ended, and its thread ends too."""


class Asked(NamedTuple):
    """One call of a request."""

    path: str
    input: Any


class Line:
    """One connection, seen from the server."""

    def __init__(self, over: threading.Event, sock: socket.socket) -> None:
        self.over, self.sock = over, sock
        self._buffer = b""

    def more(self) -> None:
        """Read the available bytes."""
        data = self.sock.recv(65536)
        if not data:
            raise _Over
        self._buffer += data

    def head(self) -> bytes:
        """Return the head of a request, once it is there."""
        while b"\r\n\r\n" not in self._buffer:
            self.more()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return head

    def some(self, size: int) -> bytes:
        """Return the next *size* bytes."""
        while len(self._buffer) < size:
            self.more()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def send(self, data: bytes) -> None:
        """Send *data*."""
        self.sock.sendall(data)

    def drip(self, data: bytes, every: float) -> None:
        """Send *data* byte by byte, one *every* so many seconds."""
        for index in range(len(data)):
            self.send(data[index : index + 1])
            if self.over.wait(every):
                raise _Over

    def stall(self) -> NoReturn:
        """Do nothing until the server is closed."""
        self.over.wait(LONG)
        raise _Over

    def reset(self) -> NoReturn:
        """End the connection with a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
        raise _Over

    def close(self) -> NoReturn:
        """End the connection as it should be ended."""
        raise _Over


class Visit:
    """One request on a connection; a behaviour decides how it is answered."""

    def __init__(self, server: FaultServer, line: Line, head: bytes) -> None:
        self.line, self._server = line, server
        first, *lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = first.split(" ")
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        url = urlsplit(self.target)
        self._text = parse_qs(url.query).get("input", [""])[0]
        self.is_batch = "batch=1" in url.query
        self.paths = unquote(url.path).removeprefix(f"{BASE}/").split(",")
        self._is_read = self.method == "GET"

    def read(self) -> list[Asked]:
        """Read the request to its end, and return its calls."""
        if not self._is_read:
            self._text = self.line.some(int(self.headers.get("content-length", "0"))).decode()
            self._is_read = True
        given = json.loads(self._text) if self._text else None
        if not self.is_batch:
            return [Asked(self.paths[0], given)]
        return [Asked(path, (given or {}).get(str(index))) for index, path in enumerate(self.paths)]

    def execute(self) -> list[Any]:
        """Carry the calls out, and return their results."""
        asked = self.read()
        self._server.count(asked)
        return [self._server.answer_to(path, given) for path, given in asked]

    def body(self) -> bytes:
        """Carry the calls out, and return the body of a right answer."""
        results = [{"result": {"data": data}} for data in self.execute()]
        return json.dumps(results if self.is_batch else results[0]).encode()


def message(
    body: bytes, status: str = "200 OK", headers: Mapping[str, str] | None = None, length: int | None = None
) -> bytes:
    """Return an answer of HTTP; a header that is given as empty text is left out."""
    fields = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body) if length is None else length),
        **(headers or {}),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode("latin-1") + body


def envelope(code: str, status: int, number: int, message: str = "refused") -> bytes:
    """Return the body of a refusal by tRPC."""
    return json.dumps(
        {"error": {"message": message, "code": number, "data": {"code": code, "httpStatus": status}}}
    ).encode()


# Behaviours of a connection, before anything is read


def reset_at_accept(line: Line) -> None:
    """Reset the connection at once."""
    line.reset()


def close_at_accept(line: Line) -> None:
    """Close the connection at once."""
    line.close()


def stall_at_accept(line: Line) -> None:
    """Take the connection, and never read from it."""
    line.stall()


def reset_after(size: int) -> Accepting:
    """Read *size* bytes, which are fewer than come, and reset the connection."""

    def behave(line: Line) -> None:
        line.some(size)
        line.reset()

    return behave


# Behaviours of a request


def fine(visit: Visit) -> None:
    """Answer as the service would."""
    visit.line.send(message(visit.body()))


def reset_after_head(visit: Visit) -> None:
    """Reset the connection when the head has come."""
    visit.line.reset()


def reset_before_executing(visit: Visit) -> None:
    """Read everything, and reset the connection."""
    visit.read()
    visit.line.reset()


def closed_before_executing(visit: Visit) -> None:
    """Read everything, and close the connection."""
    visit.read()
    visit.line.close()


def reset_after_executing(visit: Visit) -> None:
    """Carry it out, and reset the connection."""
    visit.execute()
    visit.line.reset()


def closed(visit: Visit) -> None:
    """Carry it out, and close the connection without an answer."""
    visit.execute()
    visit.line.close()


def stalled_before_reading(visit: Visit) -> None:
    """Leave the body of the request where it is."""
    visit.line.stall()


def stalled(visit: Visit) -> None:
    """Carry it out, and say nothing."""
    visit.execute()
    visit.line.stall()


def slow_reading(visit: Visit) -> None:
    """Read the body of the request a little at a time."""
    for _ in range(int(LONG / 0.02)):
        visit.line.some(512)
        if visit.line.over.wait(0.02):
            visit.line.close()


def raw(data: bytes, *, closes: bool = False) -> Behaviour:
    """Carry it out, and answer exactly this."""

    def behave(visit: Visit) -> None:
        visit.execute()
        visit.line.send(data)
        if closes:
            visit.line.close()

    return behave


def answered(
    body: bytes | None = None,
    status: str = "200 OK",
    headers: Mapping[str, str] | None = None,
    length: int | None = None,
    *,
    executes: bool = True,
) -> Behaviour:
    """Carry it out, and answer this; the right body where none is given."""

    def behave(visit: Visit) -> None:
        visit.read()
        right = visit.body() if executes else b""
        visit.line.send(message(right if body is None else body, status, headers, length))

    return behave


def refused(code: str, status: int, number: int = -32603, *, executes: bool = False, wait: str = "") -> Behaviour:
    """Refuse each call with an envelope."""

    def behave(visit: Visit) -> None:
        count = len(visit.read())
        if executes:
            visit.execute()
        one = envelope(code, status, number)
        body = b"[" + b",".join([one] * count) + b"]" if visit.is_batch else one
        visit.line.send(message(body, f"{status} Refused", {"Retry-After": wait}))

    return behave


def cut(visit: Visit) -> None:
    """Carry it out, and close the connection in the middle of the answer."""
    body = visit.body()
    visit.line.send(message(body)[: -len(body) // 2])
    visit.line.close()


def reset_in_body(visit: Visit) -> None:
    """Carry it out, and reset the connection in the middle of the answer."""
    body = visit.body()
    visit.line.send(message(body)[: -len(body) // 2])
    time.sleep(0.05)  # the client reads the sent bytes before the reset discards them
    visit.line.reset()


def stalled_in_body(visit: Visit) -> None:
    """Carry it out, and stop in the middle of the answer."""
    body = visit.body()
    visit.line.send(message(body)[: -len(body) // 2])
    visit.line.stall()


def stalled_after_head(visit: Visit) -> None:
    """Carry it out, and stop after the head of the answer."""
    body = visit.body()
    visit.line.send(message(body)[: -len(body)])
    visit.line.stall()


def dripped(part: str, every: float = 0.05) -> Behaviour:
    """Answer right, but byte by byte from a *part* on: the status line, headers or body; or a body in chunks."""

    def behave(visit: Visit) -> None:
        body = visit.body()
        whole = in_chunks(body, size=1) if part == "chunks" else message(body)
        head = whole.index(b"\r\n\r\n") + 4
        quick = {"status": 0, "headers": whole.index(b"\r\n") + 2, "body": head, "chunks": head}[part]
        visit.line.send(whole[:quick])
        visit.line.drip(whole[quick:], every)

    return behave


def in_chunks(body: bytes, size: int = 50, end: bytes = b"0\r\n\r\n") -> bytes:
    """Return an answer whose body comes in chunks."""
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return message(b"", headers={"Content-Length": "", "Transfer-Encoding": "chunked"}) + chunks + end


def chunked(visit: Visit) -> None:
    """Answer right, in chunks."""
    visit.line.send(in_chunks(visit.body()))


def chunked_and_cut(visit: Visit) -> None:
    """Answer in chunks, and close the connection before the last."""
    visit.line.send(in_chunks(visit.body(), end=b""))
    visit.line.close()


def endless(visit: Visit) -> None:
    """Answer with a body that never ends, as fast as it is taken."""
    visit.execute()
    visit.line.send(message(b"", headers={"Content-Length": "", "Connection": "close"}))
    while not visit.line.over.is_set():
        visit.line.send(b" " * 65536)
    visit.line.close()


class _Server:
    """Listens on loopback, with a thread per connection, until it is closed."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self._lock = threading.Lock()
        self._open: set[Line] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End everything, and wait for it."""
        self.over.set()
        with suppress(OSError), socket.socket() as last:
            last.connect(
                ("127.0.0.1", self.port)
            )  # accepting ends with it; this looks up no name, a test may have its own
        self._accepting.join()
        self._listener.close()
        for line in self._open.copy():
            with suppress(OSError):
                line.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if self.over.is_set():
                sock.close()
                return
            line = Line(self.over, sock)
            self._open.add(line)
            thread = threading.Thread(target=self._served, args=(line, self._accepted()), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _accepted(self) -> Any:
        """Return the settings of the thread of a new connection."""

    def _served(self, line: Line, given: Any) -> None:
        try:
            with suppress(_Over, OSError):
                self._serve(line, given)
        finally:
            line.sock.close()
            self._open.discard(line)

    def _serve(self, line: Line, given: Any) -> None:
        raise NotImplementedError


class FaultServer(_Server):
    """A service with a behaviour per connection and per request.

    Attributes:
        url: The base URL for clients.
        behaviour: The behaviour for requests without another one.
        accepting: The same of connections.
        executed: How often each procedure was carried out.
        keys: How often each idempotency key was.
        ledger: The quantity of each idempotency key, counted once.
        connections: How many there were.
        requests: The calls whose heads came, in order.
        idle_closed: How many connections were closed because nothing came.
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        idle: float | None = None,
        answer: Callable[[str, Any], Any] = answer_to,
    ) -> None:
        """Speak TLS where *tls* is given, and close connections on which nothing came for *idle* seconds."""
        self.answer_to = answer
        self.behaviour: Behaviour = fine
        self.accepting: Accepting | None = None
        self._tls, self._idle = tls, idle
        self._behaviours: deque[Behaviour] = deque()
        self._acceptings: deque[Accepting] = deque()
        self.executed: Counter[str] = Counter()
        self.keys: Counter[str] = Counter()
        self.ledger: dict[str, float] = {}
        self.connections = self.idle_closed = 0
        self.requests: list[list[str]] = []
        super().__init__()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}{BASE}"

    def will(self, *behaviours: Behaviour) -> None:
        """Behave so to the next requests, one after the other."""
        self._behaviours.extend(behaviours)

    def will_accept(self, *behaviours: Accepting) -> None:
        """Behave so to the next connections."""
        self._acceptings.extend(behaviours)

    def count(self, asked: list[Asked]) -> None:
        """Count the executed calls."""
        with self._lock:
            for path, given in asked:
                self.executed[path] += 1
                key = given.get("idempotencyKey") if isinstance(given, dict) else None
                if key is not None:
                    self.keys[key] += 1
                    self.ledger.setdefault(key, given["quantity"])

    def _accepted(self) -> Accepting | None:
        self.connections += 1
        return self._acceptings.popleft() if self._acceptings else self.accepting

    def _serve(self, line: Line, given: Accepting | None) -> None:
        line.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if given:
            given(line)
        if self._tls:
            line.sock = tls = self._tls.wrap_socket(line.sock, server_side=True, do_handshake_on_connect=False)
            tls.do_handshake()
        self._one(line, idle=None)  # a client that has just connected may take its time
        while not self.over.is_set():
            self._one(line, idle=self._idle)

    def _one(self, line: Line, idle: float | None) -> None:
        line.sock.settimeout(idle)
        try:
            head = line.head()
        except TimeoutError:
            line.sock.close()
            self.idle_closed += 1
            line.close()
        line.sock.settimeout(None)
        visit = Visit(self, line, head)
        with self._lock:
            self.requests.append(visit.paths)
            behave = self._behaviours.popleft() if self._behaviours else self.behaviour
        behave(visit)


class Proxy(_Server):
    """A proxy that knows CONNECT alone; all hosts lead to one port of loopback.

    Attributes:
        connects: The hosts that were asked for.
    """

    def __init__(self, port: int, *, answer: bytes | None = b"HTTP/1.1 200 Connection established\r\n\r\n") -> None:
        """Lead to *port*; with another *answer* than yes it opens no tunnel, with None it does not answer."""
        self._to, self._answer = port, answer
        self.connects: list[str] = []
        super().__init__()
        self.url = f"http://127.0.0.1:{self.port}"

    def _serve(self, line: Line, _: Any) -> None:
        self.connects.append(line.head().decode("latin-1").split(" ")[1])
        if self._answer is None:
            line.stall()
        line.send(self._answer)
        if b" 200 " not in self._answer:
            line.close()
        with socket.socket() as inner:
            inner.connect(("127.0.0.1", self._to))
            back = threading.Thread(target=_pump, args=(inner, line.sock), daemon=True)
            back.start()
            _pump(line.sock, inner)
            back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for sock in (source, sink):
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


@contextmanager
def client_of(server: FaultServer | str, **settings: Any) -> Iterator[ChatarminOS]:
    """Return a client of a server, or of a base URL, that knows the transformer and retries without a wait."""
    url = server if isinstance(server, str) else server.url
    given: dict[str, Any] = {"timeout": 30.0, "transformer": "json", "backoff": lambda _: 0.0, **settings}
    with ChatarminOS(transport=HTTPTransport(given.pop("api_key", KEY), url, **given)) as client:
        yield client


def idle_connections(client: ChatarminOS) -> list[Any]:
    """Return the connections that a client keeps."""
    transport: Any = client.transport
    pool = vars(transport._channel._session.adapters["http://"]).get("pool")
    return list(pool.pool.queue) if pool else []


def age(client: ChatarminOS, seconds: float) -> None:
    """Let the idle connections of a client have been idle for so much longer."""
    for connection in idle_connections(client):
        connection.idle_since -= seconds


class Backlog:
    """An address of loopback that takes no connection any more, for nobody accepts those that wait."""

    def __init__(self) -> None:
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(0)
        self.port: int = self._listener.getsockname()[1]
        self._waiting: list[socket.socket] = []
        self.is_full = False

    def __enter__(self) -> Self:
        for _ in range(64):
            sock = socket.socket()
            sock.settimeout(0.2)
            self._waiting.append(sock)
            try:
                sock.connect(("127.0.0.1", self.port))
            except TimeoutError:
                self.is_full = True
                break
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Refuse connections from now on."""
        for sock in [*self._waiting, self._listener]:
            sock.close()

    def lead_to(self, port: int) -> None:
        """Take connections after a while, and lead the first that says something to another port."""
        time.sleep(0.5)
        for waiting in self._waiting:
            waiting.close()
        data = b""
        while not data:
            sock, _ = self._listener.accept()
            data = sock.recv(65536)
            if not data:
                sock.close()
        with sock, socket.socket() as inner:
            inner.connect_ex(("127.0.0.1", port))
            inner.sendall(data)
            back = threading.Thread(target=_pump, args=(inner, sock), daemon=True)
            back.start()
            _pump(sock, inner)
            back.join()
