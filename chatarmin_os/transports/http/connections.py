"""Connections that keep a deadline to the byte, and report how far an exchange has come.

requests and urllib3 time each wait on a socket: a response that drips never times out, and their exceptions do not say
whether a request was sent. Here each read and write may take until the deadline of the exchange, and written bytes are
counted. The exchange arrives as the `timeout` of the request.

This is the only module that touches private names of requests and urllib3. A comment at each has the reason; in short:

- `HTTPConnection._new_conn` and `_tunnel` are overridden, for urllib3 has no other place to connect within a deadline.
- `HTTPConnectionPool._get_conn` and `_put_conn` are overridden to drop connections that are stale or not clean.
- `HTTPConnectionPool._validate_conn` and `_make_request`, and two attributes of a response, allow a shorter `urlopen`:
  the one of urllib3 encodes each URL again, byte by byte, which takes longer than the rest of a call.
"""

from __future__ import annotations

import socket
import sys
from contextlib import suppress
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any, cast

import requests.adapters
import requests.sessions
import urllib3
import urllib3.connection
from requests.models import Response
from urllib3 import connection as _connection
from urllib3 import connectionpool as _connectionpool
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util import connection as _util_connection
from urllib3.util import ssl_ as _ssl

from chatarmin_os._clock import monotonic
from chatarmin_os.transports.http import dns, happy_eyeballs, reading
from chatarmin_os.transports.http.dns import DeadlineError
from chatarmin_os.transports.http.exchange import Exchange, Phase
from chatarmin_os.transports.http.idle import MAX_IDLE_SECONDS, IdleStack
from chatarmin_os.transports.http.masked import MASK, MaskedHeaders, unmask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from requests.adapters import HTTPAdapter
    from requests.models import PreparedRequest
    from requests.sessions import Session
    from urllib3.connection import HTTPConnection, HTTPSConnection

    from chatarmin_os.transports.http.trust import Trust
else:
    # Classes as requests and urllib3 define them: `requests_cache.install_cache()` replaces `requests.Session`, vcrpy
    # the connections of urllib3, maybe before this module is imported. Both install subclasses.
    def _defined_in(module: str, kinds: Iterable[type]) -> type:
        return next(kind for kind in kinds if kind.__module__ == module)

    # Tests replace Session by anything, mocks too, but not its base.
    Session = _defined_in("requests.sessions", requests.sessions.SessionRedirectMixin.__subclasses__())
    HTTPAdapter = _defined_in("requests.adapters", requests.adapters.HTTPAdapter.__mro__)
    HTTPConnection = _defined_in("urllib3.connection", urllib3.connection.HTTPConnection.__mro__)
    HTTPSConnection = _defined_in("urllib3.connection", urllib3.connection.HTTPSConnection.__mro__)

__all__ = ["Adapter", "Connection", "HTTPAdapter", "Session", "are_connections_replaced"]

MAX_IDLE_SECONDS_ONCE = 1.0
"""The maximum idle time before a call that may not be sent twice: a service may close the connection at that moment."""

_MASKED_HEADER = f": {MASK}\r\n".encode()


def are_connections_replaced() -> bool:
    """Return whether another library has put in connections (vcrpy), or TLS and sockets (httpretty, mocket)."""
    return (
        HTTPConnectionPool.ConnectionCls is not HTTPConnection
        or HTTPSConnectionPool.ConnectionCls is not HTTPSConnection
        or not _is_defined_in_module(_ssl, vars(_connection)["ssl_wrap_socket"])
    )


def _is_defined_in_module(module: ModuleType, function: Any) -> bool:
    """Return whether a function or bound method is the module's own, and not one that another library put there."""
    if type(function) is MethodType:  # not `isinstance`: wrappers of instrumentation pass for the wrapped function
        function = function.__func__
    return type(function) is FunctionType and function.__globals__ is vars(module)


def _socket_functions() -> tuple[Any, Any]:
    """Return the present class of sockets and its connect: mocks, network blocks and gevent replace either."""
    return socket.socket, getattr(socket.socket, "connect", None)


class Connection(HTTPConnection):
    """A connection that one exchange uses; its successor takes the socket over for the next one."""

    sock: Any
    exchange: Exchange
    response_class: Any  # a function, which http.client calls as if it was the class
    idle_since = 0.0
    _is_tunnelling = False
    _socket_source: Any = None
    _secrets: Sequence[Callable[[], str]] = ()  # `send` puts them in place of their mask
    _body = b""  # `send` appends it to the headers

    def join(self, exchange: Exchange) -> None:
        """Carry an exchange from now on; responses belong to it too."""
        self.exchange = exchange
        self.response_class = partial(reading.Response, exchange=exchange)
        exchange.is_ours = True

    def _new_conn(self) -> socket.socket:
        """Connect to the first address that answers within the deadline.

        urllib3's own method bounds neither the look-up nor all addresses together. A program that has put a function of
        its own in its place, or in that of `create_connection`, connects with that one.
        """
        plain, create = super()._new_conn, _util_connection.create_connection
        if not (_is_defined_in_module(_connection, plain) and _is_defined_in_module(_util_connection, create)):
            return plain()
        exchange, port = self.exchange, self.port or self.default_port
        self._socket_source = _socket_functions()
        try:
            exchange.phase = Phase.LOOKING_UP
            addresses = dns.resolve(self.host, port, exchange.time_left())
            exchange.phase = Phase.CONNECTING
            sock = happy_eyeballs.connect(self.host, port, addresses, self.socket_options or (), exchange.time_left)
            sock.settimeout(exchange.connect_timeout)  # for the whole TLS handshake; never raises, so no socket leaks
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except DeadlineError as error:
            raise ConnectTimeoutError(self, "the deadline passed") from error
        except OSError as error:
            raise NewConnectionError(self, str(error)) from error
        exchange.phase = Phase.HANDSHAKE if isinstance(self, HTTPSConnection) else Phase.SENDING
        sys.audit("http.client.connect", self, self.host, port)  # as urllib3 and http.client do
        return sock

    def _tunnel(self) -> None:
        """Ask a proxy for a tunnel, over the same `send`; none of that reaches the service."""
        self._is_tunnelling, self.exchange.phase = True, Phase.TUNNELLING
        try:
            super()._tunnel()
        finally:
            self._is_tunnelling = False
        self.sock.settimeout(self.exchange.time_left())
        self.exchange.phase = Phase.HANDSHAKE

    def is_fresh(self) -> bool:
        """Return whether the exchange may use a connection that was idle."""
        max_idle = MAX_IDLE_SECONDS if self.exchange.may_repeat else MAX_IDLE_SECONDS_ONCE
        return monotonic() - self.idle_since <= max_idle and self._socket_source == _socket_functions()

    def succeed(self) -> Connection:
        """Return a connection for the next exchange, with the socket of this one, which is closed from now on.

        An interrupted call that closes this connection again, or gives it back again, does not touch the next call's.
        """
        successor = type(self).__new__(type(self))
        vars(successor).update(vars(self), idle_since=monotonic())
        self.sock = None
        return successor

    def request(self, method: str, url: str, body: Any = None, headers: Any = None, **settings: Any) -> None:
        """Write a request without its secret, which would be in the locals of each frame down to `send`.

        The body goes out with the headers, in one packet and one system call, where urllib3 makes two of each.
        """
        headers, self._secrets = headers.split() if isinstance(headers, MaskedHeaders) else (headers, [])
        self._body = body if type(body) is bytes and "Content-Length" in headers else b""
        super().request(method, url, None if self._body else body, headers, **settings)

    def _complete(self, data: Any) -> Any:
        """Return the data with secret and body."""
        secrets, body = self._secrets, self._body
        self._secrets, self._body = (), b""
        if secrets:  # no name refers to the secret
            return data.replace(_MASKED_HEADER, b": %b\r\n" % secrets[0]().encode("latin-1"), 1) + body
        return data + body if body else data

    def send(self, data: Any) -> None:
        """Write all of the data, with secret and body, and count the written bytes."""
        exchange = self.exchange
        if self.sock is None:
            self.connect()
        sock: Any = self.sock
        if self._is_tunnelling:
            view = memoryview(data)
        else:
            view, exchange.phase = memoryview(self._complete(data)), Phase.SENDING
        while view:
            sock.settimeout(exchange.time_left())
            written = sock.send(view)
            if not self._is_tunnelling:
                exchange.sent += written
            view = view[written:]


class _TLSConnection(Connection, HTTPSConnection):
    pass


class _KeepAlivePool(HTTPConnectionPool):
    """Connections that are used again while they are fresh and clean."""

    QueueCls = IdleStack  # type: ignore[assignment]  # it is no LifoQueue, and that is its point

    def _get_conn(self, timeout: Any = None) -> Any:
        """Return a connection for the exchange, which `urlopen` passes as `pool_timeout`."""
        exchange: Exchange = timeout
        connection: Any = super()._get_conn(timeout)
        connection.join(exchange)
        if connection.sock is not None and not connection.is_fresh():
            connection.close()
        return connection

    def urlopen(self, *arguments: Any, **settings: Any) -> Any:
        """Send one request, in fewer steps than urllib3: its own method encodes the URL again and prepares retries.

        A library that has replaced a method of urllib3 (pook, OpenTelemetry) gets the call as requests makes it.
        `_make_request` is not called here: if a library has replaced it, urllib3's own `urlopen` calls the replacement.
        """
        exchange: Exchange = settings["timeout"]
        plain: Any = super().urlopen
        is_plain = _is_defined_in_module(_connectionpool, plain) and _is_defined_in_module(
            _connectionpool, self._make_request
        )
        if self.proxy is not None or not is_plain:
            return plain(*arguments, pool_timeout=exchange, **settings)
        connection = self._get_conn(exchange)
        try:
            connection.timeout = exchange.time_left()
            self._validate_conn(connection)  # connects, with TLS
            with suppress(BrokenPipeError, ConnectionResetError):  # it may have responded before it closed
                connection.request(
                    settings["method"],
                    settings["url"],
                    settings["body"],
                    settings["headers"],
                    preload_content=False,
                    decode_content=False,
                )
            response = connection.getresponse()
        except BaseException:
            connection.close()
            raise
        # urllib3 sets them too; the response gives the connection back to the pool when it was read to its end.
        response._connection, response._pool = connection, self  # noqa: SLF001
        return response

    def _put_conn(self, conn: Any) -> None:
        """Keep the connection if it is open and has no bytes left."""
        if conn is None or conn.sock is None:
            return
        if conn.exchange.has_trailing_data:
            conn.close()
        else:
            super()._put_conn(conn.succeed())


class _Pool(_KeepAlivePool):
    ConnectionCls = Connection  # pyright: ignore[reportAssignmentType] - urllib3's own class does not match either


class _TLSPool(_KeepAlivePool, HTTPSConnectionPool):
    ConnectionCls = _TLSConnection  # pyright: ignore[reportAssignmentType] - the same


_POOLS = {"http": _Pool, "https": _TLSPool}


class Adapter(HTTPAdapter):
    """An adapter for one service: it finds its pool once, and leaves out the parts of responses that nobody reads."""

    def __init__(self, trust: Trust) -> None:
        self._trust = trust
        super().__init__(pool_connections=1, pool_maxsize=1)  # the idle stack has no maximum

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Use the pools of this module."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Use the pools of this module behind a proxy too, and trust the same authorities."""
        if proxy.lower().startswith("https:"):
            kwargs["proxy_ssl_context"] = self._trust.context(for_proxy=True)
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def get_connection_with_tls_context(
        self, request: PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        """Return the one pool, made for the first request; threads that make it at the same time take the first one's.

        Connections of another library get a plain pool, which they are made for, and a new one: the connections that
        they leave in it are not for later calls.
        """
        if are_connections_replaced():
            request.headers = unmask(request.headers)
            plain = HTTPAdapter()
            pool: Any = plain.get_connection_with_tls_context(request, verify, proxies=proxies, cert=cert)
            plain.cert_verify(pool, request.url or "", verify, cert)
            return pool
        pool = vars(self).get("pool")
        if pool is None:
            pool = super().get_connection_with_tls_context(request, verify, proxies=proxies, cert=cert)
            pool = vars(self).setdefault("pool", pool)
        return pool

    def open(self, request: PreparedRequest, proxies: Any, exchange: Exchange) -> Any:
        """Return the socket of a new connection in the pool, for a diagnosis: no request is sent.

        It is made as `urlopen` makes one; `_prepare_proxy` also asks for the tunnel and connects. The next request uses
        it, unless bytes have come before: urllib3 drops it then, as it does with the tickets of TLS 1.3.
        """
        pool = self.get_connection_with_tls_context(request, True, proxies=proxies)
        connection = pool._get_conn(exchange)  # noqa: SLF001 - as in `urlopen`
        try:
            connection.timeout = exchange.time_left()
            if pool.proxy is not None and pool.scheme == "https":
                pool._prepare_proxy(connection)  # noqa: SLF001 - the same
            else:
                connection.connect()
        except BaseException:
            connection.close()
            raise
        sock = connection.sock
        pool._put_conn(connection)  # noqa: SLF001 - the same
        return sock

    def build_connection_pool_key_attributes(self, request: PreparedRequest, *_: Any, **__: Any) -> Any:
        """Add a context with all files loaded; urllib3 would load them again for each connection."""
        host, settings = super().build_connection_pool_key_attributes(request, verify=True)
        if host["scheme"] == "https":
            settings["ssl_context"] = self._trust.context()
        return host, settings

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Do nothing: the pool has its context."""

    def request_url(self, request: PreparedRequest, proxies: Any) -> str:
        """Return the target of a request; a proxy needs the whole URL."""
        url = request.url or ""
        return super().request_url(request, proxies) if proxies else url[url.index("/", len("https://")) :]

    def build_response(self, req: PreparedRequest, resp: Any) -> Response:
        """Return the response without the parts that take time and that nobody reads, such as cookies."""
        if type(resp) is not urllib3.HTTPResponse:
            return super().build_response(req, resp)  # of another library
        response: Any = Response()
        response.status_code = resp.status
        response.headers = resp.headers  # case-insensitive too
        response.raw, response.reason = resp, resp.reason
        response.url, response.request = req.url or "", req
        response.connection = self  # an auth that responds to a challenge sends through it
        return cast("Response", response)

    def close(self) -> None:
        """Close all connections."""
        vars(self).pop("pool", None)
        super().close()
