"""A name with several addresses: the first that answers is taken, and taken first the next time."""

from __future__ import annotations

import selectors
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from fault_server import Backlog, FaultServer, client_of
from ports import dead_port
from waiting import waiting

from chatarmin_os import ConnectionFailed, TimedOut
from chatarmin_os.transports.http import happy_eyeballs

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

URL = "http://service.test/api/v1"
IPV4, IPV6 = socket.AF_INET, socket.AF_INET6
TIMEOUT = 20.0


def _entry(port: int, host: str = "127.0.0.1") -> Any:
    return IPV4, socket.SOCK_STREAM, 6, "", (host, port)


@contextmanager
def _resolved(*ports: int) -> Iterator[list[int]]:
    """Let the name have addresses with these ports; collect the ports that are tried."""
    tried: list[int] = []
    happy_eyeballs._last_answered.clear()

    class Socket(socket.socket):
        def connect(self, address: Any) -> None:
            tried.append(address[1])
            super().connect(address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", lambda *_, **__: [_entry(port) for port in ports])
        patch.setattr(socket, "socket", Socket)
        yield tried


def _open(sockets: list[socket.socket]) -> list[socket.socket]:
    return [one for one in sockets if one.fileno() >= 0]


def test_dead_first_address_costs_a_fraction_of_a_second() -> None:
    """The next is tried while the first is pending, and is the first from then on; no thread is needed for it."""
    with Backlog() as dead, FaultServer() as server, _resolved(dead.port, server.port) as tried:
        if not dead.is_full:
            pytest.skip("this system takes connections beyond the backlog")
        with waiting(20, happy_eyeballs.NEXT_AFTER_SECONDS) as is_over:
            for _ in range(3):
                with client_of(URL, timeout=TIMEOUT, allow_http=True) as client:
                    client.tiers.list()
            is_late = is_over()
        threads = [thread.name for thread in threading.enumerate() if thread.name == "look up service.test"]

    assert tried == [dead.port, server.port, server.port, server.port]
    assert not is_late
    assert threads == []


def test_address_that_answers_late_is_used() -> None:
    """A try stays pending while others are made."""
    with Backlog() as late, Backlog() as dead, FaultServer() as server, _resolved(late.port, dead.port) as tried:
        if not (late.is_full and dead.is_full):
            pytest.skip("this system takes connections beyond the backlog")
        opening = threading.Thread(target=late.lead_to, args=[server.port], daemon=True)
        with client_of(URL, timeout=TIMEOUT, allow_http=True) as client:
            opening.start()
            assert client.tiers.list() is not None
        opening.join()

    assert tried == [late.port, dead.port]


def test_address_that_fails_late_leaves_the_others_pending() -> None:
    """Nothing that is pending is given up for it."""
    with (
        Backlog() as failing,
        Backlog() as late,
        FaultServer() as server,
        _resolved(failing.port, late.port) as tried,
    ):
        if not (failing.is_full and late.is_full):
            pytest.skip("this system takes connections beyond the backlog")
        opening = threading.Thread(target=late.lead_to, args=[server.port], daemon=True)
        with client_of(URL, timeout=TIMEOUT, allow_http=True) as client:
            opening.start()
            closing = threading.Timer(0.5, failing.close)
            closing.start()
            assert client.tiers.list() is not None
        opening.join()
        closing.join()

    assert tried == [failing.port, late.port]


def test_sockets_may_connect_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As they do on some systems, and where a program puts in a class of its own."""

    class Socket(socket.socket):
        def connect(self, address: Any) -> None:
            self.settimeout(TIMEOUT)
            super().connect(address)

    monkeypatch.setattr(socket, "socket", Socket)
    with FaultServer() as server, client_of(server) as client:
        assert client.tiers.list() is not None


def test_refusing_address_is_skipped_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next does not wait; the one that is remembered gives way to it."""
    monkeypatch.setattr(happy_eyeballs, "NEXT_AFTER_SECONDS", 2 * TIMEOUT)
    refusing = dead_port()
    with FaultServer() as server, _resolved(refusing, server.port) as tried:
        happy_eyeballs._last_answered["service.test", 80] = ("127.0.0.1", refusing)
        for _ in range(2):
            with client_of(URL, timeout=TIMEOUT, allow_http=True) as client:
                client.tiers.list()

    assert tried == [refusing, server.port, server.port]


def test_error_has_the_reason_of_the_last_address() -> None:
    """Each is tried once."""
    ports = [dead_port(), dead_port()]
    with (
        _resolved(*ports) as tried,
        client_of(URL, allow_http=True, max_retries=0) as client,
        pytest.raises(ConnectionFailed, match="Connection refused") as failed,
    ):
        client.tiers.list()

    assert tried == ports
    assert failed.value.outcome == "not_sent"


def test_name_without_addresses_is_a_failed_connection() -> None:
    """The error says that there are none."""
    with (
        _resolved() as tried,
        client_of(URL, allow_http=True, max_retries=0) as client,
        pytest.raises(ConnectionFailed, match="no address") as failed,
    ):
        client.tiers.list()

    assert (tried, failed.value.outcome) == ([], "not_sent")


def test_deadline_holds_if_all_addresses_are_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """All are tried within it, and all sockets are closed."""
    sockets: list[socket.socket] = []
    register = selectors.DefaultSelector.register

    def note(self: Any, sock: Any, *rest: Any) -> Any:
        sockets.append(sock)
        return register(self, sock, *rest)

    monkeypatch.setattr(selectors.DefaultSelector, "register", note)
    with Backlog() as one, Backlog() as other, _resolved(one.port, other.port) as tried:
        if not (one.is_full and other.is_full):
            pytest.skip("this system takes connections beyond the backlog")
        with client_of(URL, timeout=1, allow_http=True, max_retries=0) as client, pytest.raises(TimedOut) as late:
            client.tiers.list()

    assert (tried, len(sockets), _open(sockets)) == ([one.port, other.port], 2, [])
    assert late.value.outcome == "not_sent"


def test_families_take_turns() -> None:
    """A network whose IPv6 leads nowhere costs one wait, not one per address; the last that answered comes first."""
    six = [(IPV6, socket.SOCK_STREAM, 6, "", (f"::{number}", 443, 0, 0)) for number in (1, 2, 3)]
    four = [_entry(443, f"127.0.0.{number}") for number in (1, 2)]

    assert happy_eyeballs._in_order([*six, *four], None) == [six[0], four[0], six[1], four[1], six[2]]
    assert happy_eyeballs._in_order([*six, *four], four[1][4]) == [four[1], six[0], four[0], six[1], six[2]]
    assert happy_eyeballs._in_order([*six, *four], ("192.0.2.1", 443))[0] == six[0]
