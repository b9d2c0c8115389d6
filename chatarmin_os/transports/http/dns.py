"""Looking names up within a deadline: the operating system has no such thing."""

from __future__ import annotations

import os
import socket
import threading
from ipaddress import ip_address
from typing import Any

from urllib3.util import connection  # programs say here that they want no IPv6


class DeadlineError(TimeoutError):
    """The deadline passed; `TimeoutError` itself may be that of a timer of the caller's."""


class _LookUp:
    """One look-up of a name: the operating system bounds it in ways of its own, often far beyond the deadline.

    Thread and event are those that `threading` has now: gevent may have replaced them since this module was imported,
    and a thread of the old class would never be seen to end.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self.addresses: list[Any] = []
        self.error: BaseException | None = None
        self.over = threading.Event()

    def start(self) -> None:
        try:
            threading.Thread(target=self._run, name=f"look up {self._host}", daemon=True).start()
        except RuntimeError as error:  # there can be no more threads
            raise OSError(f"the name cannot be looked up: {error}") from error

    def _run(self) -> None:
        try:
            self.addresses = _addresses(self._host, self._port)
        except BaseException as error:  # noqa: BLE001 - it is raised where the address is needed
            self.error = error
        finally:
            self.over.set()


_look_ups: dict[tuple[str, int, int], _LookUp] = {}
"""The last one, by host, port and process."""


def resolve(host: str, port: int, seconds: float) -> list[Any]:
    """Return the addresses of a host, looked up within so many seconds.

    Calls at the same time share one: while names are not answered, one thread waits for each name and not one for each
    call. A child process has none of its parent's threads, hence the process in the key.

    Raises:
        socket.gaierror: There is no such host.
        DeadlineError: None was found in time.
        BaseException: Whatever is put in place of `socket.getaddrinfo` raises beside those.
    """
    if _is_literal(host):
        return _addresses(host, port)
    key = host, port, os.getpid()
    look_up = _look_ups.get(key)
    if look_up is None or look_up.over.is_set():
        look_up = _LookUp(host, port)
        look_up.start()
        _look_ups[key] = look_up  # two threads at once make two, which does no harm
    if not look_up.over.wait(seconds):
        raise DeadlineError("the name was not looked up in time")
    if isinstance(look_up.error, (OSError, UnicodeError)):
        # Raised as its own error for each call that waited: a shared one would gather their tracebacks.
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
