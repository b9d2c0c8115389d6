"""Exceptions out of nowhere, as of a signal: they come out as they are, and no later call gets another's answer."""

from __future__ import annotations

import gc
import http.client
import os
import random
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.cookiejar import CookieJar
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
import urllib3
from fault_server import FaultServer, Visit, client_of, fine

import chatarmin_os

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from chatarmin_os import ChatarminOS

# An exception in the midst of Python's own code may leave a socket to the garbage collector, and one in the midst of
# the collector's work is swallowed by it.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

FULL = bool(os.environ.get("CHATARMIN_FULL"))
HIT = 300  # interrupts


class Interrupted(BaseException):
    """The exception of a signal's handler: like KeyboardInterrupt it is no `Exception`."""


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """Return a service that echoes the input."""
    with FaultServer() as one:
        yield one
    gc.collect()


def _pool(client: ChatarminOS) -> Any:
    """Return the pool of a client, None before its first call."""
    transport: Any = client.transport
    pool = vars(transport._channel._session.adapters["http://"]).get("pool")
    return pool and pool.pool


def _lock_free(client: ChatarminOS) -> bool:
    """Return whether calls do without the locks of Python's own making that queues and jars of cookies have.

    An exception on entry or exit leaves one locked, and the next caller waits for ever: another
    thread, or the very call that was interrupted, when it gives its connection back. So does a child process that was
    forked while another thread had it. It is looked at, for to try it would not end.
    """
    transport: Any = client.transport
    jar = transport._channel._session.cookies
    return not hasattr(_pool(client), "mutex") and type(jar).extract_cookies is not CookieJar.extract_cookies


def _echo(client: ChatarminOS, code: str) -> None:
    assert client.features.check(company_id="c1", feature_code=code).feature_code == code


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no such timer")
@pytest.mark.parametrize("others", [0, 2], ids=["alone", "with-other-threads"])
def test_signal_at_any_moment_mixes_no_responses(server: FaultServer, others: int) -> None:
    """A call raises the exception of a signal handler unchanged, and every later call gets its own answer."""
    chance = random.Random(others)  # noqa: S311 - nothing secret
    over = threading.Event()

    def interrupt(*_: object) -> None:
        raise Interrupted

    def slowly(visit: Visit) -> None:
        over.wait(chance.random() * 0.001)
        fine(visit)

    def go_on(client: ChatarminOS, name: int) -> int:
        turn = 0
        while not over.is_set():
            _echo(client, f"other {name} {turn}")
            turn += 1
        return turn

    server.behaviour = slowly
    hits = turn = 0
    before = signal.signal(signal.SIGALRM, interrupt)
    with client_of(server) as client, ThreadPoolExecutor(max(1, others)) as threads:
        _echo(client, "first")
        assert _lock_free(client)
        try:
            running = [threads.submit(go_on, client, name) for name in range(others)]
            while hits < HIT:
                turn += 1
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0.00005 + chance.random() * 0.003)
                    _echo(client, f"interrupted {turn}")
                    signal.setitimer(signal.ITIMER_REAL, 0)
                except Interrupted:
                    hits += 1
                _echo(client, f"after {turn}")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            over.set()
        assert all(one.result() for one in running)

    assert turn >= hits == HIT


# At every line

_OURS = [str(Path(str(module.__file__)).parent) for module in (chatarmin_os, requests, urllib3)]
_THEIRS = [str(http.client.__file__), str(threading.__file__), str(sys.modules["queue"].__file__)]


class _Tripwire:
    """Raises at the n-th step (a line begins, or a function ends) of the code that carries calls."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, frame: FrameType, event: str, _: object) -> Any:
        """Trace calls, and in them the steps."""
        name = frame.f_code.co_filename
        return self._step if event == "call" and (name in _THEIRS or name.startswith(tuple(_OURS))) else None

    def _step(self, _: FrameType, event: str, __: object) -> Any:
        if event in {"line", "return"}:
            self.left -= 1
            if self.left == 0:
                sys.settrace(None)
                raise Interrupted
        return self._step


def _interrupted(client: ChatarminOS, at: int) -> bool:
    """Make a call that is interrupted at a step; return whether it had so many."""
    before = sys.gettrace()
    sys.settrace(_Tripwire(at))
    try:
        _echo(client, "interrupted")
    except Interrupted:
        return True
    finally:
        sys.settrace(before)
    return False


def _steps(client: ChatarminOS) -> int:
    """Return how many steps a call has."""
    before, wire = sys.gettrace(), _Tripwire(-1)
    sys.settrace(wire)
    try:
        _echo(client, "counted")
    finally:
        sys.settrace(before)
    return -1 - wire.left


def _kept(client: ChatarminOS) -> list[int]:
    """Return the identities of the sockets that a client keeps."""
    pool = _pool(client)
    return [] if pool is None else [id(connection.sock) for connection in pool.queue]


@pytest.mark.parametrize("state", ["warm", "cold"])
def test_exception_at_any_step_mixes_no_responses(server: FaultServer, state: str) -> None:
    """Wherever an exception strikes, no connection is kept twice, and later answers are right."""
    with client_of(server) as client:
        steps = _steps(client) if state == "cold" else max(_steps(client), _steps(client))
        warm = _steps(client)
    steps = warm if state == "warm" else steps
    stride = 1 if FULL else {"warm": 7, "cold": 67}[state]
    start = random.Random(state).randrange(1, stride + 1)  # noqa: S311 - nothing secret
    hits = 0
    for at in range(start, steps, stride):
        with client_of(server) as client:
            if state == "warm":
                _echo(client, "warm")
                assert _lock_free(client)
            hits += _interrupted(client, at)
            for code in (f"after {at}", f"later {at}"):
                assert len(set(_kept(client))) == len(_kept(client)), f"step {at}: a connection is kept twice"
                _echo(client, code)
    gc.collect()

    assert hits > steps // stride // 2
