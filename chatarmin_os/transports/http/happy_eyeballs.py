"""Connecting to a name with several addresses, of which some may be dead: RFC 8305, "Happy Eyeballs"."""

from __future__ import annotations

import os
import selectors
import socket
from collections import Counter
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

NEXT_AFTER_SECONDS = 0.25
"""Seconds without an answer after which the next address is tried too."""

_last_answered: dict[tuple[str, int], Any] = {}
"""The address that answered last, by host and port."""


def connect(
    host: str, port: int, addresses: Iterable[Any], options: Iterable[Any], time_left: Callable[[], float]
) -> socket.socket:
    """Return a socket that is connected to the first of the addresses that answers.

    The address that answered last comes first; then the families take turns. An address is tried as soon as one before
    it has failed, and after `NEXT_AFTER_SECONDS` at the latest. All sockets but the returned one are closed.
    No thread is needed.

    Args:
        host: The name of the addresses.
        port: The port.
        addresses: The result of `socket.getaddrinfo`.
        options: Arguments for `setsockopt`.
        time_left: Returns the seconds that are left, and raises if none are.

    Raises:
        OSError: No address accepts a connection; the reason of the last that failed.
    """
    untried = _in_order(addresses, _last_answered.get((host, port)))
    failure = OSError("the name has no address")
    with selectors.DefaultSelector() as pending:
        try:
            while untried or pending.get_map():
                left = time_left()
                try:
                    sock, address = _next(pending, untried, options, left)
                except BlockingIOError:
                    continue  # no address has answered yet
                except OSError as error:
                    if error.errno is None:  # not from the system: a timer of the caller raised it
                        raise
                    failure = error.with_traceback(None)  # it would refer to this frame, and so to the error itself
                else:
                    _last_answered[host, port] = address
                    return sock
        finally:
            for key in list(pending.get_map().values()):
                _socket_of(key).close()
    try:
        raise failure
    finally:
        del failure  # for the same reason


def _in_order(addresses: Iterable[Any], first: Any) -> list[Any]:
    """Return the addresses in the order to try them."""
    turns: Counter[int] = Counter()

    def rank(entry: Any) -> tuple[bool, int]:
        family, *_, address = entry
        turns[family] += 1
        return address != first, turns[family]

    return sorted(addresses, key=rank)


def _next(
    pending: selectors.BaseSelector, untried: list[Any], options: Iterable[Any], left: float
) -> tuple[socket.socket, Any]:
    """Try the next address, if one is left, and return the first socket that is connected, with its address.

    Raises:
        BlockingIOError: No socket is connected yet.
        OSError: An address failed.
    """
    if untried:
        family, kind, protocol, _, address = untried.pop(0)
        sock = socket.socket(family, kind, protocol)
        try:
            for option in options:
                sock.setsockopt(*option)
            sock.settimeout(0)
            sock.connect(address)
        except BlockingIOError:
            pending.register(sock, selectors.EVENT_WRITE, address)
        except BaseException:
            sock.close()
            raise
        else:
            return sock, address
    for key, _ in pending.select(min(left, NEXT_AFTER_SECONDS) if untried else left):
        sock = _socket_of(key)
        pending.unregister(sock)
        try:
            _raise_if_failed(sock)
        except BaseException:
            sock.close()
            raise
        return sock, key.data
    raise BlockingIOError


def _raise_if_failed(sock: socket.socket) -> None:
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))
    sock.getpeername()  # fails if it was reset already; Python's TLS would not close it then


def _socket_of(key: selectors.SelectorKey) -> socket.socket:
    sock: socket.socket = cast("Any", key.fileobj)
    return sock
