"""The state that a client keeps between calls (idle connections, a budget), and the caller's own alarms."""

from __future__ import annotations

import signal
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest
from fault_server import FaultServer, age, client_of, closed, fine, idle_connections, stalled
from samples import request_of

from chatarmin_os import ConnectionFailed
from chatarmin_os.transports.http.idle import IdleStack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fault_server import Visit

THREADS = 20


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """Run a service that fails on request."""
    with FaultServer() as server:
        yield server


def test_connections_of_a_burst_are_closed_when_they_are_too_old(server: FaultServer) -> None:
    """A process does not hold as many connections as it ever had at once: calls close those that nobody used."""
    together = Barrier(THREADS)

    def behave(visit: Visit) -> None:
        together.wait()
        fine(visit)

    server.behaviour = behave
    with client_of(server) as client:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda _: client.tiers.list(), range(THREADS)))
        assert len(idle_connections(client)) == THREADS
        server.behaviour = fine
        client.tiers.list()
        assert len(idle_connections(client)) == THREADS

        oldest = idle_connections(client)
        age(client, 56)
        client.tiers.list()

        assert len(idle_connections(client)) == 1
        assert all(connection.sock is None for connection in oldest)


def test_closing_old_connections_stops_if_another_thread_took_the_last() -> None:
    """An empty queue is not an error."""

    class Taken(deque[Any]):
        """A queue whose last connection goes to another thread as soon as somebody looks."""

        def __bool__(self) -> bool:
            """Say that there is one."""
            return True

    idle = IdleStack()
    idle.queue = Taken()

    idle.close_old()

    assert not list(idle.queue)


def test_unanswered_calls_refund_no_retries(server: FaultServer) -> None:
    """While a service is down, calls that may not be repeated do not pay for repeats of others."""
    with client_of(server) as client:
        transport: Any = client.transport
        while transport._sender.budget.take():
            pass
        for _ in range(10):
            server.will(closed)
            with pytest.raises(ConnectionFailed):
                client.send(request_of("companies.create"))

        assert transport._sender.budget._left < 1

        client.send(request_of("companies.create"))

        assert transport._sender.budget._left > 0


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timers that signal")
@pytest.mark.parametrize("path", ["tiers.list", "companies.create"])
def test_callers_alarm_is_not_a_timeout(server: FaultServer, path: str) -> None:
    """A TimeoutError that a signal's handler raises goes through to the caller, and nothing is sent again."""

    def ring(*_: object) -> None:
        raise TimeoutError("the caller's own alarm")

    server.will(stalled)
    before = signal.signal(signal.SIGALRM, ring)
    try:
        with client_of(server) as client:
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            with pytest.raises(TimeoutError, match="the caller's own alarm"):
                client.send(request_of(path))
            assert client.send(request_of("tiers.list")) is not None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert server.executed[path] == (2 if path == "tiers.list" else 1)
