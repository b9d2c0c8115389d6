"""Connections that keep a deadline to the byte, and know how far a call came.

requests and urllib3 time each wait on a socket; bytes that drip keep such a clock from ever running out, and their
exceptions do not tell whether a request had left. Here every read and write gets what is left of the call's deadline,
and what was written is counted. The call is found in a context variable, since nothing of it goes through urllib3.
"""

from __future__ import annotations

import io
import socket
import sys
from collections import deque
from contextlib import suppress
from contextvars import ContextVar
from http.client import HTTPResponse, IncompleteRead
from queue import Empty
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any, cast

import urllib3
from requests.models import Response
from urllib3 import connection, connectionpool
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util import connection as util_connection
from urllib3.util import ssl_

from chatarmin_os._clock import monotonic
from chatarmin_os.transports.http import dns, happy_eyeballs
from chatarmin_os.transports.http.dns import DeadlineError
from chatarmin_os.transports.http.masked import MASK, MaskedHeaders
from chatarmin_os.transports.http.unpatched import HTTPAdapter, HTTPConnection, HTTPSConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from requests.models import PreparedRequest

    from chatarmin_os.transports.http.retry import Deadline
    from chatarmin_os.transports.http.trust import Trust

MOST_IDLE = 55.0
"""Seconds: an older idle connection is not used, for a load balancer will have forgotten it (most do after 60)."""

MOST_IDLE_ONCE = 1.0
"""The same for a call that may not be made twice: whether the service closes it meanwhile could not be told."""


_INTERIM, _SWITCHING = (102, 103), 101


class Exchange:
    """One request and its answer: until when it may take, and how far it came."""

    __slots__ = (
        "deadline",
        "is_replaced",
        "is_spoiled",
        "is_watched",
        "location",
        "may_repeat",
        "sent",
        "was_closed",
    )

    def __init__(self, deadline: Deadline, *, may_repeat: bool) -> None:
        self.deadline = deadline
        self.may_repeat = may_repeat
        self.is_replaced = are_connections_replaced()  # whether those of another library are to carry it
        self.is_watched = False  # whether a connection of this module carries it
        self.sent = 0  # bytes of the request that were handed to the operating system
        self.was_closed = False  # whether the other side closed the connection while an answer was read
        self.is_spoiled = False  # whether there was more on the connection than the answer
        self.location = ""  # where the answer redirects to


current: ContextVar[Exchange] = ContextVar("chatarmin_os.exchange")


def _time_left(exchange: Exchange) -> float:
    """Return the seconds that are left.

    Raises:
        DeadlineError: None are.
    """
    left = exchange.deadline.remaining()
    if left <= 0:
        raise DeadlineError("the deadline passed")
    return left


# What other libraries put in place of urllib3's own


def are_connections_replaced() -> bool:
    """Return whether another library has put in connections (vcrpy), or TLS beside sockets (httpretty, mocket)."""
    return (
        HTTPConnectionPool.ConnectionCls is not HTTPConnection
        or HTTPSConnectionPool.ConnectionCls is not HTTPSConnection
        or not _is_defined_in(ssl_, vars(connection)["ssl_wrap_socket"])
    )


def _is_defined_in(module: ModuleType, function: Any) -> bool:
    """Return whether a function or bound method is the one of a module of urllib3, and not put in place of it."""
    if type(function) is MethodType:  # not `isinstance`: wrappers of instrumentation pass for what they wrap
        function = function.__func__
    return type(function) is FunctionType and function.__globals__ is vars(module)


def _kind_of_sockets() -> tuple[Any, Any]:
    """Return what makes and connects sockets now: mocks, blocks of the network and gevent replace one or the other."""
    return socket.socket, getattr(socket.socket, "connect", None)


# Reading


class _TimedIO(io.RawIOBase):
    """What comes from a socket; each read may take what is left of the deadline."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, exchange: Exchange) -> None:
        self._raw, self._sock, self._exchange = raw, sock, exchange
        self.is_over = False  # whether nothing more is to be read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.is_over:
            return 0
        self._sock.settimeout(_time_left(self._exchange))
        count = self._raw.readinto(buffer)
        self._exchange.was_closed = count == 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Reader(io.BufferedReader):
    """The reader of one answer; what is left in it at its end would be taken for the next answer's beginning."""

    def __init__(self, raw: _TimedIO, exchange: Exchange) -> None:
        super().__init__(raw)
        self._timed, self._exchange = raw, exchange

    def close(self) -> None:
        if not self.closed:
            self._timed.is_over = True
            self._exchange.is_spoiled = bool(self.peek(1))
        super().close()


class Answer(HTTPResponse):
    """An answer that is read within the deadline."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        exchange = current.get()
        self.fp: Any = _Reader(_TimedIO(self.fp.detach(), sock, exchange), exchange)

    def begin(self) -> None:
        """Read the head of the answer itself, which may follow interim ones.

        http.client passes over status 100 only: the answer would be left behind for the next call. It takes a head that
        is cut for a short one.
        """
        super().begin()
        while self.status in _INTERIM and not current.get().was_closed:
            self.headers = None  # type: ignore[assignment]  # or it would not read another
            super().begin()
        if current.get().was_closed:
            raise IncompleteRead(b"")
        if self.status == _SWITCHING:
            self.will_close = True  # what follows is no HTTP


# Connecting and writing

_MASKED_HEADER = f": {MASK}\r\n".encode()


class _Connection(HTTPConnection):
    response_class = Answer
    sock: Any
    exchange: Exchange | None = None  # that carries the connection now; None while it waits
    idle_since = 0.0
    _is_tunnelling = False
    _kind_of_sockets: Any = None
    _secrets: Sequence[Callable[[], str]] = ()  # that `send` puts in place of their mask
    _body = b""  # that `send` puts behind the headers

    def _new_conn(self) -> socket.socket:
        """Connect to the first address that answers; programs that connect in a way of their own do so here too."""
        plain, create = super()._new_conn, util_connection.create_connection
        if not (_is_defined_in(connection, plain) and _is_defined_in(util_connection, create)):
            return plain()
        exchange, port = current.get(), self.port or self.default_port
        self._kind_of_sockets = _kind_of_sockets()
        try:
            addresses = dns.resolved(self.host, port, _time_left(exchange))
            options = self.socket_options or ()
            sock = happy_eyeballs.connect(self.host, port, addresses, options, lambda: _time_left(exchange))
            sock.settimeout(_time_left(exchange))  # the TLS handshake takes no longer than that in all
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except DeadlineError as error:
            raise ConnectTimeoutError(self, "no connection in time") from error
        except OSError as error:
            raise NewConnectionError(self, str(error)) from error
        sys.audit("http.client.connect", self, self.host, port)  # as urllib3 and http.client do
        return sock

    def is_fresh(self, exchange: Exchange) -> bool:
        """Return whether an idle connection can carry a call."""
        most = MOST_IDLE if exchange.may_repeat else MOST_IDLE_ONCE
        return monotonic() - self.idle_since <= most and self._kind_of_sockets == _kind_of_sockets()

    def close(self) -> None:
        """Close, unless it has become another call's: whom an exception has interrupted may not know that yet."""
        if self.exchange is None or self.exchange is current.get(None):
            super().close()

    def _tunnel(self) -> None:
        """Ask a proxy for a tunnel; none of that reaches the service."""
        self._is_tunnelling = True
        try:
            super()._tunnel()
        finally:
            self._is_tunnelling = False
        self.sock.settimeout(_time_left(current.get()))

    def request(self, method: str, url: str, body: Any = None, headers: Any = None, **settings: Any) -> None:
        """Make a request without its secret, which `send` fills in: it would be in the locals of each frame between.

        A body goes out with the headers, in one packet and one call of the system where urllib3 makes two of each.
        """
        headers, self._secrets = headers.parted() if isinstance(headers, MaskedHeaders) else (headers, [])
        self._body = body if type(body) is bytes and "Content-Length" in headers else b""
        super().request(method, url, None if self._body else body, headers, **settings)

    def _completed(self, data: Any) -> Any:
        secrets, body = self._secrets, self._body
        self._secrets, self._body = (), b""
        if secrets:  # nothing has a name that holds it
            return data.replace(_MASKED_HEADER, b": %b\r\n" % secrets[0]().encode("latin-1"), 1) + body
        return data + body if body else data

    def send(self, data: Any) -> None:
        """Write all of *data*, completed with secret and body, and count what was written."""
        exchange = current.get()
        if self.sock is None:
            self.connect()
        sock: Any = self.sock
        view = memoryview(data if self._is_tunnelling else self._completed(data))
        while view:
            sock.settimeout(_time_left(exchange))
            written = sock.send(view)
            if not self._is_tunnelling:
                exchange.sent += written
            view = view[written:]


class _TLSConnection(_Connection, HTTPSConnection):
    pass


# Keeping connections


class _Idle:
    """The connections that wait for a call, the last used first; what a pool asks of a `queue.LifoQueue`.

    That one has a lock of Python's own making, which an exception raised by a signal can leave locked for ever, and so
    can a fork. What is done here is done in one step of the interpreter. There may be as many as there are.
    """

    def __init__(self, _: int) -> None:
        self.queue: deque[Any] = deque()

    def get(self, *_: Any, **__: Any) -> Any:
        try:
            return self.queue.pop()
        except IndexError:
            raise Empty from None

    def put(self, connection: Any, *_: Any, **__: Any) -> None:
        if connection is not None:  # a pool begins with places for connections that are not made yet
            self.queue.append(connection)

    def close_old(self) -> None:
        """Close those that are too old to be used; as many as ever were in use at once would stay otherwise."""
        while self.queue:
            try:
                oldest = self.queue.popleft()
            except IndexError:  # another thread has taken it
                return
            if monotonic() - oldest.idle_since <= MOST_IDLE:
                self.queue.appendleft(oldest)
                return
            oldest.close()


class _Kept(HTTPConnectionPool):
    """Connections that are used again while they are fresh, and were left clean."""

    QueueCls = _Idle  # type: ignore[assignment]  # it is no LifoQueue, and that is its point

    def _get_conn(self, timeout: float | None = None) -> Any:
        exchange = current.get()
        connection: Any = super()._get_conn(timeout)
        exchange.is_watched = True
        if connection.sock is not None and not connection.is_fresh(exchange):
            connection.close()
        connection.exchange = exchange
        return connection

    def urlopen(self, *arguments: Any, **settings: Any) -> Any:
        """Make one request. urllib3 would encode the URL again, byte by byte, and prepare for repeats of its own.

        What is put in place of its methods gets the call as requests makes it: mocks such as pook, instrumentation.
        """
        plain: Any = super().urlopen
        is_plain = _is_defined_in(connectionpool, plain) and _is_defined_in(connectionpool, self._make_request)
        if self.proxy is not None or not is_plain:
            return plain(*arguments, **settings)
        connection = self._get_conn()
        try:
            connection.timeout = _time_left(current.get())
            self._validate_conn(connection)
            with suppress(BrokenPipeError, ConnectionResetError):  # it may have answered before it closed
                connection.request(
                    settings["method"],
                    settings["url"],
                    settings["body"],
                    settings["headers"],
                    preload_content=False,
                    decode_content=False,
                )
            answer = connection.getresponse()
        except BaseException:
            connection.close()
            raise
        answer._connection, answer._pool = connection, self  # noqa: SLF001 - as urllib3 does
        return answer

    def _put_conn(self, conn: Any) -> None:
        """Keep a connection; once, also where an exception strikes as it is given back and it is given back again."""
        exchange = current.get()
        if conn is not None and conn.exchange is exchange:
            if exchange.is_spoiled:
                conn.close()
            conn.idle_since = monotonic()
            conn.exchange = None
            super()._put_conn(conn)
            idle: Any = self.pool
            idle.close_old()


class _Pool(_Kept):
    ConnectionCls = _Connection  # pyright: ignore[reportAssignmentType] - a protocol of theirs that their own is not


class _TLSPool(_Kept, HTTPSConnectionPool):
    ConnectionCls = _TLSConnection  # pyright: ignore[reportAssignmentType] - the same


_POOLS = {"http": _Pool, "https": _TLSPool}


class Adapter(HTTPAdapter):
    """An adapter for one service: it finds its pool once, and leaves out what no answer of the service needs."""

    def __init__(self, trust: Trust) -> None:
        self._trust = trust
        super().__init__(pool_connections=1, pool_maxsize=1)  # of as many connections as are in use at once

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Let its pools be those of this module."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Let the pools behind a proxy be those of this module too, and the authorities be those of the service."""
        if proxy.lower().startswith("https:"):
            kwargs["proxy_ssl_context"] = self._trust.context(for_proxy=True)
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def get_connection_with_tls_context(
        self, request: PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        """Return the one pool, made for the first request; of threads that make it at once all take the first one's.

        Connections of another library get a plain pool, which they are made for, and a new one: what they leave in it
        is not for later calls.
        """
        if current.get().is_replaced:
            plain = HTTPAdapter()
            pool: Any = plain.get_connection_with_tls_context(request, verify, proxies=proxies, cert=cert)
            plain.cert_verify(pool, request.url or "", verify, cert)
            return pool
        pool = vars(self).get("_pool")
        if pool is None:
            pool = super().get_connection_with_tls_context(request, verify, proxies=proxies, cert=cert)
            pool = vars(self).setdefault("_pool", pool)
        return pool

    def build_connection_pool_key_attributes(self, request: PreparedRequest, *_: Any, **__: Any) -> Any:
        """Add a context with all files loaded; urllib3 would load them again for each connection."""
        host, settings = super().build_connection_pool_key_attributes(request, verify=True)
        if host["scheme"] == "https":
            settings["ssl_context"] = self._trust.context()
        return host, settings

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Do nothing: the pool was told when it was made."""

    def request_url(self, request: PreparedRequest, proxies: Any) -> str:
        """Return the end of the URL, unless a proxy has to be told the whole."""
        url = request.url or ""
        return super().request_url(request, proxies) if proxies else url[url.index("/", len("https://")) :]

    def build_response(self, req: PreparedRequest, resp: Any) -> Response:
        """Return the answer without what takes time and nobody reads, such as its cookies."""
        if type(resp) is not urllib3.HTTPResponse:
            return super().build_response(req, resp)  # of a library that put it in place
        response: Any = Response()
        response.status_code = resp.status
        response.headers = resp.headers  # they are found in any case there too
        response.raw, response.reason = resp, resp.reason
        response.url, response.request = req.url or "", req
        response.connection = self  # an auth that answers a challenge sends through it
        return cast("Response", response)

    def close(self) -> None:
        """Close all connections."""
        vars(self).pop("_pool", None)
        super().close()
