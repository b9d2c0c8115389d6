"""An outage as a process sees it: over HTTP, from a service that stops to answer and comes back."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from ports import free_port
from steering import Running
from waiting import PATIENCE

from chatarmin_os import ChatarminOS, TransportError
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.gate import Decision, Gate, Policy
from chatarmin_os.server import serve_fake

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

KEY = "os_sk_test"
THREADS, CHECKS = 8, 1_250
MIN_WAIT_SECONDS = 0.5


class Silence:
    """A port that accepts connections and never answers."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_server(("127.0.0.1", port), backlog=128)
        self._socket.setblocking(False)

    def attempts(self) -> int:
        """Return the number of connections since this was last called."""
        number = 0
        while True:
            try:
                self._socket.accept()[0].close()
            except BlockingIOError:
                return number
            number += 1

    def close(self) -> None:
        """Refuse connections from now on."""
        self._socket.close()


@contextmanager
def silence(url: str) -> Iterator[Silence]:
    """Let nobody answer at a URL."""
    found = Silence(urlsplit(url).port or 0)
    try:
        yield found
    finally:
        found.close()


def _checks(gate: Gate, number: int) -> list[Decision]:
    return [gate.check(external_org_id="org_1", feature_code="api_access") for _ in range(number)]


def test_outage_over_http_is_answered_from_what_is_known_until_the_service_is_back() -> None:
    """Ten thousand checks of eight threads: all stale, an attempt for each wait; then the next one is live."""
    fake = FakeTransport(demo_catalogue())
    ChatarminOS(transport=fake).onboard(external_org_id="org_1", tier_code="pro")
    with serve_fake({KEY: fake}, port=free_port()) as url:
        client = ChatarminOS(KEY, base_url=url)
        gate = Gate(client, default=Policy(max_age=0))
        assert _checks(gate, 1)[0].source == "live"

    with client:
        with silence(url) as service:
            started = monotonic()
            threads = [Running(lambda: _checks(gate, CHECKS)) for _ in range(THREADS)]
            decisions = [decision for thread in threads for decision in thread.result()]
            seconds = monotonic() - started
            attempts = service.attempts()

        assert len(decisions) == THREADS * CHECKS
        assert {(decision.source, decision.allowed) for decision in decisions} == {("stale", True)}
        assert 1 <= attempts <= 1 + seconds / MIN_WAIT_SECONDS

        with serve_fake({KEY: fake}, port=urlsplit(url).port or 0):
            until = monotonic() + PATIENCE
            while (decision := _checks(gate, 1)[0]).source == "stale":
                assert monotonic() < until
                Event().wait(0.02)
        assert (decision.source, decision.error) == ("live", None)


def test_outage_over_http_with_nothing_known_leaves_the_service_alone_after_five_attempts() -> None:
    """The policy decides about each organisation; the sixth is not asked for any more."""
    with silence("http://127.0.0.1:0") as service:
        port = service._socket.getsockname()[1]
        with ChatarminOS(KEY, base_url=f"http://127.0.0.1:{port}/api/v1") as client:
            gate = Gate(client, timeout=0.25, first_timeout=0.25)  # a busy machine connects late
            started = monotonic()
            decisions = [gate.check(external_org_id=f"org_{number}", feature_code="sso") for number in range(100)]
            seconds = monotonic() - started

        assert {(decision.reason, decision.source) for decision in decisions} == {("outage", "policy")}
        assert all(isinstance(decision.error, TransportError) for decision in decisions)
        assert 5 <= service.attempts() <= 5 + seconds / MIN_WAIT_SECONDS
