"""Name look-ups within a deadline, which the operating system does not offer."""

from __future__ import annotations

import os
import socket
import threading
from ipaddress import ip_address
from typing import Any

from urllib3.util import connection  # programs switch IPv6 off there


class DeadlineError(TimeoutError):
    """The deadline passed; a plain `TimeoutError` may come from a timer of the caller."""


class _LookUp:
    """One look-up of a name, in a thread: the operating system's own limit is often far beyond the deadline.

    Thread and event are looked up in `threading` each time: gevent may have replaced them since this module was
    imported, and a waiter would never notice the end of a thread of the old class.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self.addresses: list[Any] = []
        self.error: BaseException | None = None
        self.is_over = threading.Event()

    def start(self) -> None:
        try:
            threading.Thread(target=self._run, name=f"look up {self._host}", daemon=True).start()
        except RuntimeError as error:  # the limit of threads
            raise OSError(f"no thread to look up the name: {error}") from error

    def _run(self) -> None:
        try:
            self.addresses = _addresses(self._host, self._port)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            self.error = error
        finally:
            self.is_over.set()


_look_ups: dict[tuple[str, int, int], _LookUp] = {}
"""The last look-up, by host, port and process."""


def resolve(host: str, port: int, seconds: float) -> list[Any]:
    """Return the addresses of a host, looked up within so many seconds.

    Calls at the same time share a look-up: while the name server does not answer, one thread waits for each name and
    not one for each call. A child process lacks its parent's threads, so the key includes the process.

    Raises:
        socket.gaierror: The host does not exist.
        DeadlineError: The name server did not answer in time.
        BaseException: A replacement of `socket.getaddrinfo` raised something else.
    """
    if _is_literal(host):
        return _addresses(host, port)
    key = host, port, os.getpid()
    look_up = _look_ups.get(key)
    if look_up is None or look_up.is_over.is_set():
        look_up = _LookUp(host, port)
        look_up.start()
        _look_ups[key] = look_up  # two threads at once start two, which does no harm
    if not look_up.is_over.wait(seconds):
        raise DeadlineError("the name server did not answer in time")
    if isinstance(look_up.error, (OSError, UnicodeError)):
        # Each call that waited raises its own error: a shared one would collect their tracebacks.
        raise socket.gaierror(*look_up.error.args)
    if look_up.error is not None:
        raise look_up.error
    return look_up.addresses


def _addresses(host: str, port: int) -> list[Any]:
    return socket.getaddrinfo(host, port, connection.allowed_gai_family(), socket.SOCK_STREAM)


def _is_literal(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return host == "localhost"
    return True
