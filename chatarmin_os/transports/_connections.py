"""Connections that keep a deadline to the byte, and know how far a call came.

requests and urllib3 time each wait on a socket; bytes that drip keep such a clock from ever running out, and their
exceptions do not tell whether a request had left. Here every read and write gets what is left of the call's deadline,
and what was written is counted. The call is found in a context variable, since nothing of it goes through urllib3.
"""

from __future__ import annotations

import io
import socket
from collections import deque
from contextlib import suppress
from contextvars import ContextVar
from http.client import HTTPResponse, IncompleteRead
from queue import Empty
from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter
from requests.models import Response
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from chatarmin_os._clock import monotonic
from chatarmin_os.transports import _dns

if TYPE_CHECKING:
    from requests.models import PreparedRequest

    from chatarmin_os.transports._retry import Deadline
    from chatarmin_os.transports._trust import Trust

MOST_IDLE = 55.0
"""Seconds: an older idle connection is not used, for a load balancer will have forgotten it (most do after 60)."""

MOST_IDLE_ONCE = 1.0
"""The same for a call that may not be made twice: whether the service closes it meanwhile could not be told."""


_INTERIM, _SWITCHING = (102, 103), 101


class Exchange:
    """One request and its answer: until when it may take, and how far it came."""

    __slots__ = ("deadline", "is_spoiled", "is_watched", "location", "may_repeat", "sent", "was_closed")

    def __init__(self, deadline: Deadline, *, may_repeat: bool) -> None:
        self.deadline = deadline
        self.may_repeat = may_repeat
        self.is_watched = False  # whether a connection of this module carries it
        self.sent = 0  # bytes of the request that were handed to the operating system
        self.was_closed = False  # whether the other side closed the connection while an answer was read
        self.is_spoiled = False  # whether there was more on the connection than the answer
        self.location = ""  # where the answer redirects to


current: ContextVar[Exchange] = ContextVar("chatarmin_os.exchange")


def _time_left(exchange: Exchange) -> float:
    """Return the seconds that are left.

    Raises:
        TimeoutError: None are.
    """
    left = exchange.deadline.remaining()
    if left <= 0:
        raise TimeoutError("the deadline passed")
    return left


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


class _Connection(HTTPConnection):
    response_class = Answer
    sock: Any
    exchange: Exchange | None = None  # that carries the connection now; None while it waits
    idle_since = 0.0
    _is_tunnelling = False

    def _new_conn(self) -> socket.socket:
        """Connect to the first address that answers; each gets a fair share of the time that is left."""
        exchange = current.get()
        try:
            addresses = _dns.resolved(self.host, self.port or self.default_port, _time_left(exchange))
            sock = self._connected(addresses, exchange)
            sock.settimeout(_time_left(exchange))  # the TLS handshake takes no longer than that in all
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, "no connection in time") from error
        except OSError as error:
            raise NewConnectionError(self, str(error)) from error
        return sock

    def _connected(self, addresses: list[Any], exchange: Exchange) -> socket.socket:
        failure: OSError = OSError("the name has no address")
        for index, (family, kind, protocol, _, address) in enumerate(addresses):
            sock = None
            try:
                sock = socket.socket(family, kind, protocol)
                for option in self.socket_options or ():
                    sock.setsockopt(*option)
                sock.settimeout(_time_left(exchange) / (len(addresses) - index))
                sock.connect(address)
                sock.getpeername()  # fails if it is reset already, where Python's TLS would forget to close it
            except BaseException as error:
                if sock is not None:
                    sock.close()
                if not isinstance(error, OSError):
                    raise
                failure = error
            else:
                return sock
        raise failure

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

    def send(self, data: Any) -> None:
        """Write all of *data*, and count what was written."""
        exchange = current.get()
        if self.sock is None:
            self.connect()
        sock: Any = self.sock
        view = memoryview(data)
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
        most = MOST_IDLE if exchange.may_repeat else MOST_IDLE_ONCE
        if connection.sock is not None and monotonic() - connection.idle_since > most:
            connection.close()
        connection.exchange = exchange
        return connection

    def urlopen(self, method: str, url: str, body: Any = None, headers: Any = None, *rest: Any, **settings: Any) -> Any:
        """Make one request. urllib3 would encode the URL again, byte by byte, and prepare for repeats of its own."""
        if self.proxy is not None:
            return super().urlopen(method, url, body, headers, *rest, **settings)
        connection = self._get_conn()
        try:
            self._validate_conn(connection)
            connection.timeout = _time_left(current.get())
            with suppress(BrokenPipeError, ConnectionResetError):  # it may have answered before it closed
                connection.request(method, url, body, headers, preload_content=False, decode_content=False)
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
        """Return the one pool, made for the first request; of threads that make it at once all take the first one's."""
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
        response = Response()
        response.status_code = resp.status
        response.headers = resp.headers  # they are found in any case there too
        response.raw, response.reason = resp, resp.reason
        response.url, response.request = req.url or "", req
        response.connection = self  # an auth that answers a challenge sends through it
        return response

    def close(self) -> None:
        """Close all connections."""
        vars(self).pop("_pool", None)
        super().close()
