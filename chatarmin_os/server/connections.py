"""The connections that a server has accepted: as many as there are file descriptors for."""

from __future__ import annotations

import errno
import logging
import os
import socket
import threading
import time
from contextlib import contextmanager, suppress
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from chatarmin_os._clock import monotonic

if TYPE_CHECKING:
    from collections.abc import Iterator
    from wsgiref.types import WSGIEnvironment

MIN_CONNECTIONS, MAX_CONNECTIONS = 4, 1_000
RESERVED_FILES = 32  # for everything else: the state file, the listening sockets, the application around a test
PAUSE_SECONDS = 0.05
"""The pause before the next attempt if the system had no file descriptor for a connection."""

_NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)
_CLOSED = socket.socket()
_CLOSED.close()
_log = logging.getLogger("chatarmin_os")


class Connection:
    """An accepted connection.

    Attributes:
        idle_since: When the last response was made, or the connection was accepted.
        is_busy: Whether the application is making a response.
        has_ended: Whether `end` was called.
    """

    def __init__(self, accepted: socket.socket) -> None:
        self._socket = accepted
        self.idle_since = monotonic()
        self.is_busy = self.has_ended = False

    @property
    def is_open(self) -> bool:
        """Whether it was neither ended nor closed here."""
        return not self.has_ended and self._socket.fileno() >= 0

    def end(self) -> None:
        """End the connection at once; the server notices, and closes it."""
        self.has_ended = True
        with suppress(OSError):  # it has ended already
            self._socket.shutdown(socket.SHUT_RDWR)


class Connections:
    """The open connections by the address of the client.

    If there are as many as there may be, each further one ends the one that has been idle longest. A connection is idle
    unless the application is making its response: a client that sends or reads byte by byte does not keep others out.

    Args:
        limit: How many there may be.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._connections: dict[tuple[str, str], Connection] = {}
        self._has_warned = False
        self._lock = threading.Lock()

    def add(self, accepted: socket.socket, address: tuple[Any, ...]) -> None:
        """Add a connection; if there are too many, end another one."""
        with self._lock:
            open_ = {key: connection for key, connection in self._connections.items() if connection.is_open}
            idle = [connection for connection in open_.values() if not connection.is_busy]
            if len(open_) >= self.limit and idle:
                min(idle, key=attrgetter("idle_since")).end()
                self._warn(len(open_))
            self._connections = {**open_, (str(address[0]), str(address[1])): Connection(accepted)}

    def _warn(self, count: int) -> None:
        if not self._has_warned:
            self._has_warned = True
            _log.warning(
                "%d connections are open, which is all that the limit of open files allows (ulimit -n); "
                "each further one closes the one that has been idle longest",
                count,
            )

    @contextmanager
    def busy(self, environ: WSGIEnvironment) -> Iterator[Connection]:
        """Yield the connection of a request, which is busy in the block."""
        with self._lock:
            known = self._connections.get((environ["REMOTE_ADDR"], environ["REMOTE_PORT"]))
            connection = known or Connection(_CLOSED)  # the client has left already
            connection.is_busy = True
        try:
            yield connection
        finally:
            connection.is_busy, connection.idle_since = False, monotonic()

    def end_all(self) -> None:
        """End all connections at once."""
        with self._lock:
            for connection in self._connections.values():
                connection.end()


class ListeningSocket(socket.socket):
    """A listening socket that adds each accepted connection to others."""

    def __init__(self, family: int, connections: Connections) -> None:
        super().__init__(family, socket.SOCK_STREAM)
        self._connections = connections

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection.

        Raises:
            BlockingIOError: No connection is waiting, or no file descriptor is left for it.
        """
        try:
            accepted, address = super().accept()
        except OSError as error:
            if error.errno in _NO_DESCRIPTOR:
                time.sleep(PAUSE_SECONDS)  # it would be reported again at once
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from error
            raise
        self._connections.add(accepted, address)
        return accepted, address


def listen(host: str, port: int, connections: Connections) -> list[ListeningSocket]:
    """Listen at all addresses of a host, which may have several: localhost often has two.

    Raises:
        OSError: An address cannot be listened at.
    """
    sockets: list[ListeningSocket] = []
    try:
        for family, _, _, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            one = ListeningSocket(family, connections)
            sockets.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind((address[0], port, *address[2:]))
            one.listen()
            port = one.getsockname()[1]  # a free port is chosen once, for all addresses
    except BaseException:
        for one in sockets:
            one.close()
        raise
    return sockets


def connection_limit() -> int:
    """Return how many connections there are file descriptors for; each takes one."""
    try:
        import resource
    except ImportError:  # pragma: no cover - Windows
        return MAX_CONNECTIONS
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open(os.devnull, "rb") as lowest_free:  # noqa: PTH123 - its descriptor is the number of those in use
        left = allowed - lowest_free.fileno() - RESERVED_FILES
    return MAX_CONNECTIONS if allowed < 0 else min(MAX_CONNECTIONS, max(left, MIN_CONNECTIONS))
