"""Looking names up within a deadline: the operating system has no such thing."""

from __future__ import annotations

import os
import socket
import threading
from ipaddress import ip_address
from typing import Any


class _LookUp:
    """One look-up of a name: the operating system bounds it in ways of its own, often far beyond the deadline.

    Thread and event are those that `threading` has now: gevent may have replaced them since this module was imported,
    and a thread of the old class would never be seen to end.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self.addresses: list[Any] = []
        self.error: OSError | UnicodeError | None = None
        self.over = threading.Event()

    def start(self) -> None:
        try:
            threading.Thread(target=self._run, name=f"look up {self._host}", daemon=True).start()
        except RuntimeError as error:  # there can be no more threads
            raise OSError(f"the name cannot be looked up: {error}") from error

    def _run(self) -> None:
        try:
            self.addresses = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            self.error = error
        finally:
            self.over.set()


_look_ups: dict[tuple[str, int, int], _LookUp] = {}
"""The last one, by host, port and process."""


def resolved(host: str, port: int, seconds: float) -> list[Any]:
    """Return the addresses of a host, looked up within so many seconds.

    Calls at the same time share one: while names are not answered, one thread waits for each name and not one for each
    call. A child process has none of its parent's threads, hence the process in the key.

    Raises:
        OSError: There is no such host, or none was found in time.
    """
    if _is_literal(host):
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    key = host, port, os.getpid()
    look_up = _look_ups.get(key)
    if look_up is None or look_up.over.is_set():
        look_up = _LookUp(host, port)
        look_up.start()
        _look_ups[key] = look_up  # two threads at once make two, which does no harm
    if not look_up.over.wait(seconds):
        raise TimeoutError("the name was not looked up in time")
    if look_up.error is not None:
        # Raised as its own error for each call that waited: a shared one would gather their tracebacks.
        raise socket.gaierror(*look_up.error.args)
    return look_up.addresses


def _is_literal(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return host == "localhost"
    return True
