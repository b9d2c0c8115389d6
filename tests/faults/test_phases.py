"""The error of a deadline names the step that was running, and a wrong base URL is named as such."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING

import pytest
import trustme
from fault_server import Backlog, FaultServer, answered, client_of, stall_at_accept, stalled, stalled_in_body
from ports import dead_port

from chatarmin_os import ConnectionFailed, InvalidResponse, NotFoundError, TimedOut

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fault_server import Behaviour

    from chatarmin_os import ChatarminOS


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """Run a service that fails on request."""
    with FaultServer() as server:
        yield server


def _text_of_timeout(client: ChatarminOS) -> str:
    with pytest.raises(TimedOut) as raised:
        client.tiers.list()
    return str(raised.value).partition(": ")[2]


def test_timeout_names_the_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name server does not answer."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(3))

    with client_of("http://slow-name.test/api/v1", allow_http=True, timeout=0.3, max_retries=0) as client:
        text = _text_of_timeout(client)

    assert text == "timed out before the request was sent, while looking up the name"


def test_timeout_names_the_connecting() -> None:
    """The host does not accept connections."""
    with Backlog() as full:
        if not full.is_full:
            pytest.skip("this system takes connections beyond the backlog")
        with client_of(f"http://127.0.0.1:{full.port}/api/v1", timeout=0.3, max_retries=0) as client:
            text = _text_of_timeout(client)

    assert text == "timed out before the request was sent, while connecting"


def test_timeout_names_the_handshake(server: FaultServer, tmp_path: Path) -> None:
    """The host accepts the connection and does not speak TLS."""
    authority = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(authority))
    server.accepting = stall_at_accept
    url = server.url.replace("http:", "https:")
    with client_of(url, verify=authority, timeout=0.5, max_retries=0) as client:
        text = _text_of_timeout(client)

    hint = "does this server speak plain http? Then begin base_url with http://"
    assert text == f"timed out before the request was sent, while making the TLS handshake; {hint}"


def test_refused_connection_on_this_machine_suggests_the_local_service() -> None:
    """A service of another host gets no such hint."""
    url = f"http://127.0.0.1:{dead_port()}/api/v1"
    with client_of(url, max_retries=0) as client, pytest.raises(ConnectionFailed) as raised:
        client.tiers.list()

    assert str(raised.value).endswith("Connection refused; is chatarmin-os serve running there?")


@pytest.mark.parametrize(
    ("behaviour", "phase"),
    [(stalled, "waiting for the response"), (stalled_in_body, "reading the response")],
    ids=["waiting", "reading"],
)
def test_timeout_names_the_step_of_the_response(server: FaultServer, behaviour: Behaviour, phase: str) -> None:
    """The service does not respond, or not to the end; the seconds are rounded."""
    server.behaviour = behaviour
    with client_of(server, timeout=0.49996, max_retries=0) as client:
        text = _text_of_timeout(client)

    assert text == f"timed out after 0.5 s while {phase}"


def test_base_url_without_the_procedures_is_a_missing_procedure(server: FaultServer) -> None:
    """A tRPC server at a wrong place says that it has no such procedure."""
    body = {"error": {"message": 'No procedure found on path "tiers.list"', "code": -32004}}
    server.will(answered(json.dumps(body).encode(), "404 Not Found"))
    with client_of(server) as client, pytest.raises(NotFoundError) as raised:
        client.tiers.list()

    assert raised.value.is_missing_procedure


@pytest.mark.parametrize("status", ["404 Not Found", "200 OK"], ids=["not-found", "ok"])
def test_page_in_place_of_a_response_leads_to_the_base_url(server: FaultServer, status: str) -> None:
    """A web server at a wrong place responds with a page."""
    server.will(answered(b"<!DOCTYPE html><title>Not here</title>", status, {"Content-Type": "text/html"}))
    with client_of(server) as client, pytest.raises(InvalidResponse) as raised:
        client.tiers.list()

    assert "not a tRPC response but a page; check the base URL: text/html: '<!DOCTYPE" in str(raised.value)
