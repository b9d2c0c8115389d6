"""`chatarmin-os doctor` against servers, proxies and networks that fail: one clear finding, and the others go on."""

from __future__ import annotations

import json
import socket
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from diagnosis import VARIABLES, Diagnosis, diagnose, printed
from fault_server import (
    KEY,
    Backlog,
    FaultServer,
    Proxy,
    answered,
    close_at_accept,
    closed,
    cut,
    dripped,
    endless,
    envelope,
    fine,
    message,
    raw,
    refused,
    reset_after_head,
    reset_at_accept,
    stall_at_accept,
    stalled,
    stalled_after_head,
)

from chatarmin_os import ConnectionFailed
from chatarmin_os.cli.doctor import service
from chatarmin_os.cli.doctor.examination import Examination
from chatarmin_os.server import FakeService, Server
from chatarmin_os.transports.http import probe
from chatarmin_os.transports.http.exchange import Phase
from chatarmin_os.transports.http.failures import Failure
from chatarmin_os.transports.http.probe import Steps
from chatarmin_os.transports.http.retry import Deadline

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fault_server import Accepting, Behaviour, Line, Visit

BEFORE_RESPONSE = ("proxy", "name", "connection", "TLS")
AFTER_RESPONSE = ("key accepted", "transformer", "round trip", "batch", "URL length")
NO_PROCEDURE = envelope("NOT_FOUND", 404, -32004, 'No procedure found on path "tiers.list"')
SHORT = ("--timeout", "1.0")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OS_API_KEY", KEY)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """A service on plain http."""
    with FaultServer() as server:
        yield server


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    """The authority of the services that speak TLS."""
    return trustme.CA()


def examined(url: str, *arguments: str) -> Diagnosis:
    """Examine a service; assert that the checks that need no network succeed whatever happens."""
    found = diagnose("--base-url", url, *arguments, secrets=(KEY,))
    assert {found.of(check)["status"] for check in ("project", "key", "outbox", "Python", "SQLite")} == {"ok"}
    return found


def only_failure(found: Diagnosis) -> tuple[str, str]:
    """Return the check that failed, and its text with its advice; assert that those after it were not made."""
    assert found.code == 1
    assert (found.counts["failure"], found.counts["warning"]) == (1, 0)
    [(check, text)] = found.bad().items()
    return check, text


def context_of(ca: trustme.CA, *hosts: str, **settings: Any) -> ssl.SSLContext:
    """Return the TLS context of a service with a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*hosts or ("127.0.0.1",), **settings).configure_cert(context)
    return context


def trust(ca: trustme.CA, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust an authority by the environment."""
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    monkeypatch.setenv("OS_CA_BUNDLE", str(folder / "ca.pem"))


# Whole and fine


def test_service_that_works_has_no_failure(server: FaultServer) -> None:
    """Each check succeeds with a few requests on one connection, and no mutation is sent."""
    now = format_datetime(datetime.now(UTC), usegmt=True)
    server.behaviour = answered(headers={"Date": now})

    found = examined(server.url)

    assert (found.code, found.bad(), found.counts["not_checked"]) == (0, {}, 0)
    assert server.connections == 1
    assert len(server.requests) == 8
    assert {path for request in server.requests for path in request} == {"tiers.list"}
    assert found.of("batch")["values"] == {"calls": 50}
    assert found.of("URL length")["values"] == {"characters": 8_000}
    assert found.of("round trip")["values"].keys() == {"min_ms", "median_ms", "connect_ms"}


def test_service_at_an_address_of_ipv6() -> None:
    """The base URL may have an address in brackets."""
    server = Server(FakeService(), host="::1")
    thread = Thread(target=server.run)
    thread.start()
    try:
        found = examined(server.url)
    finally:
        server.stop()
        thread.join()

    assert (found.code, found.bad()) == (0, {})
    assert found.of("connection")["text"].startswith("the service at ::1 was reached in ")


# Name and connection


def test_unknown_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that does not exist, or a machine without a network, is one failure."""

    def getaddrinfo(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    found = examined("https://os.example.com/api/v1")

    check, text = only_failure(found)
    assert check == "name"
    assert "Name or service not known" in text
    assert found.statuses()["clock"] == found.statuses()["URL length"] == "not checked"
    assert found.of("connection")["text"] == "needs name"


def test_name_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look-up ends at the deadline."""
    is_over = Event()

    def getaddrinfo(*_: Any, **__: Any) -> Any:
        is_over.wait()
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    try:
        check, text = only_failure(examined("https://silent.example.com/api/v1", *SHORT))
    finally:
        is_over.set()

    assert (check, text.partition(" -> ")[0]) == (
        "name",
        "silent.example.com: timed out before the request was sent, while looking up the name",
    )


def test_refused_connection(server: FaultServer) -> None:
    """Nobody listens at the port."""
    server.close()

    check, text = only_failure(examined(server.url))

    assert check == "connection"
    assert "Connection refused; is chatarmin-os serve running there?" in text


def test_connection_that_is_not_taken() -> None:
    """A host that does not answer packets, as behind a firewall, is a failure at the deadline."""
    with Backlog() as backlog:
        if not backlog.is_full:
            pytest.skip("this system takes connections that nobody accepts")
        check, text = only_failure(examined(f"http://127.0.0.1:{backlog.port}/api/v1", *SHORT))

    assert check == "connection"
    assert "timed out before the request was sent, while connecting" in text


# TLS


def test_valid_certificate(ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The version, the issuer and the rest of the validity are shown."""
    trust(ca, tmp_path, monkeypatch)
    with FaultServer(tls=context_of(ca, not_after=datetime.now(UTC) + timedelta(days=90, hours=1))) as server:
        found = examined(server.url)

    assert (found.code, found.bad()) == (0, {})
    assert found.of("TLS")["text"].startswith("TLSv1.3, certificate of trustme")
    assert found.of("TLS")["values"]["days_left"] == 90
    assert found.of("certificate files")["text"] == (
        f"authorities: {tmp_path}/ca.pem, from OS_CA_BUNDLE; client certificate: none"
    )


def test_certificate_that_expires_soon(ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two weeks before its end is a warning, and the checks go on."""
    trust(ca, tmp_path, monkeypatch)
    with FaultServer(tls=context_of(ca, not_after=datetime.now(UTC) + timedelta(days=3, hours=1))) as server:
        found = examined(server.url)

    assert found.code == 0
    assert found.bad().keys() == {"TLS"}
    assert found.bad()["TLS"].endswith("valid for 3 more days -> renew the certificate of the service")
    assert found.of("batch")["status"] == "ok"


@pytest.mark.parametrize(
    ("hosts", "settings", "is_trusted", "text", "advice"),
    [
        ((), {}, False, "unable to get local issuer certificate", "set OS_CA_BUNDLE to the file of its authority"),
        ((), {"not_after": datetime(2021, 1, 1, tzinfo=UTC)}, True, "certificate has expired", "renew it"),
        ((), {"not_before": datetime(2900, 1, 1, tzinfo=UTC)}, True, "not yet valid", "check the clock"),
        (("os.example.com",), {}, True, "IP address mismatch", "it is of another host"),
    ],
    ids=["unknown-authority", "expired", "not-valid-yet", "other-host"],
)
def test_certificate_that_is_not_trusted(  # noqa: PLR0917 - parameters of a test
    ca: trustme.CA,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    hosts: tuple[str, ...],
    settings: dict[str, Any],
    is_trusted: bool,  # noqa: FBT001 - a parameter of a test
    text: str,
    advice: str,
) -> None:
    """The failure has the reason, and advice for this reason; no request is sent."""
    if "not_before" in settings:
        settings = {**settings, "not_after": datetime(2901, 1, 1, tzinfo=UTC)}
    if is_trusted:
        trust(ca, tmp_path, monkeypatch)
    with FaultServer(tls=context_of(ca, *hosts, **settings)) as server:
        check, shown = only_failure(examined(server.url))

    assert check == "TLS"
    assert text in shown
    assert advice in shown
    assert server.requests == []


def test_self_signed_certificate(tmp_path: Path) -> None:
    """A certificate that is its own authority has its own advice."""
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.cert_pem.write_to_path(str(tmp_path / "own.pem"))
    ca.private_key_pem.write_to_path(str(tmp_path / "own.key"))
    context.load_cert_chain(tmp_path / "own.pem", tmp_path / "own.key")
    with FaultServer(tls=context) as server:
        check, text = only_failure(examined(server.url))

    assert (check, "it is self-signed" in text) == ("TLS", True)


@pytest.mark.parametrize(
    ("behaviour", "advice"),
    [(reset_at_accept, "did not complete the handshake"), (stall_at_accept, "did not complete the handshake")],
    ids=["reset", "stall"],
)
def test_handshake_that_does_not_end(ca: trustme.CA, behaviour: Accepting, advice: str) -> None:
    """It fails in the handshake, at the deadline at the latest."""
    with FaultServer(tls=context_of(ca)) as server:
        server.accepting = behaviour
        check, text = only_failure(examined(server.url, *SHORT))

    assert check in {"TLS", "connection"}  # a reset may come before the connection is seen
    assert advice in text or check == "connection"


def test_tls_to_a_server_of_plain_http(server: FaultServer) -> None:
    """The advice asks for the scheme."""

    def accepting(line: Line) -> None:
        line.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        line.stall()

    server.accepting = accepting

    check, text = only_failure(examined(server.url.replace("http:", "https:"), *SHORT))

    assert check == "TLS"
    assert "Plain http begins with http://" in text


def test_server_that_asks_for_a_client_certificate(
    ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one the response fails, since TLS 1.3 refuses after the handshake; with one everything succeeds."""
    trust(ca, tmp_path, monkeypatch)
    context = context_of(ca)
    context.verify_mode = ssl.CERT_REQUIRED
    ca.configure_trust(context)
    own = ca.issue_cert("client.example.com")
    own.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "own.pem"))
    with FaultServer(tls=context) as server:
        check, text = only_failure(examined(server.url))
        monkeypatch.setenv("OS_CLIENT_CERT", str(tmp_path / "own.pem"))
        with_one = examined(server.url)

    assert check == "response"
    assert "set OS_CLIENT_CERT" in text or "see the log" in text  # a reset may come first
    assert (with_one.code, with_one.bad()) == (0, {})
    assert with_one.of("certificate files")["text"].endswith(
        f"client certificate: {tmp_path}/own.pem, from OS_CLIENT_CERT"
    )


@pytest.mark.parametrize("reason", ["tlsv13 alert certificate required", "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED]"])
def test_alert_of_a_missing_client_certificate(reason: str) -> None:
    """Either form of OpenSSL's text has the advice."""
    nothing: Any = None
    failed = Failure(ConnectionFailed(f"the connection was lost: {reason}"), "never")

    assert "set OS_CLIENT_CERT" in service._advice_about_failure(Examination(nothing, 1), failed)


def test_connection_that_is_lost_over_tls() -> None:
    """Nobody is asked to begin a URL with https:// that does."""
    nothing: Any = None
    examination = Examination(nothing, 1)
    examination.base_url = "https://os.example.com/api/v1"

    advice = service._advice_about_failure(examination, Failure(ConnectionFailed("the connection was lost"), "safe"))

    assert advice == "see the log of the service, and of what is on the way to it"


def test_step_that_comes_again_is_the_last_one() -> None:
    """A request over plain HTTP is sent in the step in which each exchange begins."""
    steps = Steps(Deadline(1))
    steps.phase = Phase.LOOKING_UP
    steps.phase = Phase.SENDING

    assert steps.phase is Phase.SENDING
    assert list(steps.began) == [Phase.LOOKING_UP, Phase.SENDING]


def test_connection_that_has_ended_since() -> None:
    """The other side may close it before its address is read."""
    with socket.socket() as sock:
        assert probe._facts_of(sock) == ("", "", {})


# Proxies


def test_proxy_that_opens_a_tunnel(ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy is named without its password; the name of the service is left to it."""
    trust(ca, tmp_path, monkeypatch)
    with FaultServer(tls=context_of(ca, "os.example.com")) as server, Proxy(server.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("http://", "http://ann:proxy-password@"))
        found = diagnose("--base-url", "https://os.example.com/api/v1", secrets=(KEY, "proxy-password"))

    assert (found.code, found.bad()) == (0, {})
    assert set(proxy.connects) == {"os.example.com:443"}
    assert found.of("proxy")["text"] == f"http://127.0.0.1:{proxy.port}, with a login"
    assert found.of("name")["text"].startswith("the proxy 127.0.0.1 was found in ")
    assert found.of("connection")["text"].endswith(", which opened a tunnel")


@pytest.mark.parametrize(
    ("answer", "login", "advice"),
    [
        ("407 Proxy Authentication Required", "", "put user and password into HTTPS_PROXY"),
        ("407 Proxy Authentication Required", "ann:proxy-password@", "correct user and password in HTTPS_PROXY"),
        ("403 Forbidden", "", "ask who runs the proxy to allow the host and port of the service"),
        ("502 Bad Gateway", "", "the proxy does not reach the service: check host and port of the base URL"),
        ("303 See Other", "", "check that HTTPS_PROXY names an http proxy which opens tunnels (CONNECT)"),
    ],
    ids=["login", "wrong-login", "forbidden", "gateway", "odd"],
)
def test_proxy_that_refuses(monkeypatch: pytest.MonkeyPatch, answer: str, login: str, advice: str) -> None:
    """Its status is shown, and decides what to do."""
    with Proxy(1, answer=f"HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n".encode()) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("http://", f"http://{login}"))
        check, text = only_failure(
            diagnose("--base-url", "https://os.example.com/api/v1", secrets=(KEY, "proxy-password"))
        )

    assert check == "connection"
    assert text.startswith(f"the proxy opened no tunnel: no connection: Tunnel connection failed: {answer} -> {advice}")


def test_proxy_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails at the deadline."""
    with Proxy(1, answer=None) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        check, text = only_failure(examined("https://os.example.com/api/v1", *SHORT))

    assert check == "connection"
    assert text.startswith("the proxy opened no tunnel: timed out before the request was sent")
    assert "check that HTTPS_PROXY names an http proxy" in text


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_proxy_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The failure is that of the proxy, and names it and its variable, not the service."""
    with Proxy(1) as proxy:
        pass
    monkeypatch.setenv(name, proxy.url)

    check, text = only_failure(examined("https://os.example.com/api/v1"))

    assert check == "connection"
    assert text.startswith(f"the proxy 127.0.0.1:{proxy.port}: no connection: ")
    assert text.endswith(f" -> check host and port in {name}, or name the service in NO_PROXY")
    assert "os.example.com" not in text


def test_proxy_of_an_unknown_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name that does not exist is that of the proxy: nobody has looked for the service."""

    def getaddrinfo(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:3128")

    assert only_failure(examined("https://os.example.com/api/v1")) == (
        "name",
        (
            "the proxy proxy.example.com:3128: no connection: [Errno -2] Name or service not known -> check the "
            "network, and the host in HTTPS_PROXY, or name the service in NO_PROXY"
        ),
    )


# Responses

WRONG_HOST = "check the host of the base URL, and whether a log-in page, a firewall or a proxy answers in its place"
TLS_AT_THE_PORT = "if it speaks TLS at this port, begin the base URL with https://"


@pytest.mark.parametrize(
    ("behaviour", "text", "advice"),
    [
        (answered(b"<html>", headers={"Content-Type": "text/html"}), "a page", WRONG_HOST),
        (answered(b"<html>", "404 Not Found"), "status 404, not a tRPC response but a page", WRONG_HOST),
        (answered(b"<html>", "500 Error"), "status 500", "is down or failed"),
        (answered(b"<html>", "503 Error"), "status 503", "is down or failed"),
        (answered(b"slow down", "429 Too Many"), "status 429", "wait, then run it again"),
        (answered(b"login", "401 Unauthorized"), "status 401", "the server in front of the service refuses"),
        (answered(b"", "302 Found", {"Location": "/login"}), "redirects", "set the base URL to where it leads"),
        (answered(b"<html>", "407 Login"), "status 407", "the proxy asks for a login"),
        (answered(b"<html>", "400 Bad Request"), "status 400", TLS_AT_THE_PORT),
        (answered(b"odd", headers={"Content-Encoding": "gzip"}), "not valid HTTP", "see the log"),
        (answered(b"{}", "418 Teapot"), "status 418", WRONG_HOST),
        (answered(NO_PROCEDURE, "404 Not Found"), "it has no procedure tiers.list", WRONG_HOST),
        (refused("INTERNAL_SERVER_ERROR", 500), "INTERNAL_SERVER_ERROR", "is down or failed"),
        (refused("TOO_MANY_REQUESTS", 429), "TOO_MANY_REQUESTS", "wait, then run it again"),
        (stalled, "timed out after 1.0 s while waiting for the response", "--timeout SECONDS waits longer"),
        (stalled_after_head, "timed out after 1.0 s while reading the response", "--timeout"),
        (dripped("status", 0.05), "timed out after 1.0 s", "--timeout"),
        (dripped("body", 0.05), "timed out after 1.0 s", "--timeout"),
        (reset_after_head, "the connection was lost", TLS_AT_THE_PORT),
        (closed, "the connection was lost", TLS_AT_THE_PORT),
        (cut, "the connection was lost", TLS_AT_THE_PORT),
        (raw(b"220 mail.example.com ESMTP\r\n\r\n", closes=True), "not valid HTTP", "another kind listens there"),
    ],
    ids=[
        *("page", "page-404", "page-500", "page-503", "text-429", "text-401", "redirect"),
        *("login-of-a-proxy", "page-400", "garbled", "no-envelope"),
        *("no-procedure", "failed", "too-many", "stall", "stall-after-head", "drip", "drip-of-body"),
        *("reset", "closed", "cut", "no-http"),
    ],
)
def test_first_response_that_is_not_the_service(
    server: FaultServer, behaviour: Behaviour, text: str, advice: str
) -> None:
    """It is one failure with advice, after one request; checks that need it are not made."""
    server.behaviour = behaviour
    found = examined(server.url, *SHORT)

    check, shown = only_failure(found)
    assert check == "response"
    assert text in shown
    assert advice in shown.partition(" -> ")[2]
    assert {found.statuses()[name] for name in BEFORE_RESPONSE} == {"ok"}
    assert {found.statuses()[name] for name in AFTER_RESPONSE} == {"not checked"}
    assert len(server.requests) == 1


def test_page_at_another_path(server: FaultServer) -> None:
    """If the base URL ends otherwise than that of the service, its end comes first."""
    server.behaviour = answered(b"<html>", "404 Not Found")

    found = examined(server.url.removesuffix("/api/v1"))

    assert found.of("response")["advice"] == "check the base URL: it ends in /api/v1"


def test_endless_response(server: FaultServer) -> None:
    """It ends at the deadline, or at the maximum size."""
    server.behaviour = endless

    assert only_failure(examined(server.url, *SHORT))[0] == "response"


@pytest.mark.parametrize("behaviour", [reset_at_accept, close_at_accept], ids=["reset", "close"])
def test_connection_that_ends_at_once(server: FaultServer, behaviour: Accepting) -> None:
    """It is seen at the connection or at the first request."""
    server.accepting = behaviour

    assert only_failure(examined(server.url))[0] in {"connection", "response"}


def test_service_that_stops_after_the_first_response(server: FaultServer) -> None:
    """Each check that sends has a deadline of its own; the others go on."""
    server.will(fine)
    server.behaviour = stalled

    found = examined(server.url, *SHORT)

    assert found.code == 1
    assert "request 2 on the connection failed: " in found.bad()["round trip"]
    assert found.of("batch")["text"].startswith("batches could not be tried: ")
    assert found.of("URL length")["text"].startswith("long URLs could not be tried: ")
    assert found.of("key accepted")["status"] == "ok"


@pytest.mark.slow
def test_slow_round_trips(server: FaultServer) -> None:
    """One that takes more than half of the timeout is a warning, and measured once."""

    def slow(visit: Visit) -> None:
        visit.line.over.wait(1.1)
        fine(visit)

    server.will(fine, slow)

    text = examined(server.url, "--timeout", "2").bad()["round trip"]

    assert " ms of 1; before them " in text
    assert ": more than half of the timeout of 2 s -> raise the timeout" in text


# The key


@pytest.mark.parametrize(
    ("code", "status", "text"),
    [
        ("UNAUTHORIZED", 401, "the service does not know the key"),
        ("FORBIDDEN", 403, "the key may not read the tiers"),
        ("BAD_REQUEST", 400, "the service refuses tiers.list"),
    ],
)
def test_refused_key(server: FaultServer, code: str, status: int, text: str) -> None:
    """A refusal by the service itself says that the URL is right; checks that need a key are not made."""
    server.behaviour = refused(code, status)

    found = examined(server.url)

    check, shown = only_failure(found)
    assert check == "key accepted"
    assert text in shown
    assert found.of("response")["status"] == found.of("round trip")["status"] == "ok"
    assert found.of("batch")["text"] == "needs key accepted"


def test_key_that_the_service_echoes(server: FaultServer) -> None:
    """It is shown neither in the message nor in an excerpt of a page."""
    for body, status in (
        (envelope("UNAUTHORIZED", 401, -32001, f"no such key {KEY}"), "401 Unauthorized"),
        (f"<html>{KEY} {json.dumps(KEY)}".encode(), "500 Error"),
    ):
        server.behaviour = answered(body, status)
        assert examined(server.url).code == 1
        assert KEY not in printed("--base-url", server.url)[1]


def test_without_a_key_the_service_is_still_found(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests go without a key, so that a wrong URL is found out too."""
    monkeypatch.delenv("OS_API_KEY")
    headers: list[bool] = []

    def behaviour(visit: Visit) -> None:
        headers.append("authorization" in visit.headers)
        refused("UNAUTHORIZED", 401)(visit)

    server.behaviour = behaviour

    found = diagnose("--base-url", server.url)

    assert found.bad().keys() == {"key"}
    assert "is missing -> set OS_API_KEY" in found.bad()["key"]
    assert found.of("response")["text"].startswith("status 401 from tRPC")
    assert found.of("key accepted")["text"] == "needs key"
    assert set(headers) == {False}


# The clock


@pytest.mark.parametrize(
    ("ahead", "status", "text"),
    [
        (timedelta(seconds=0), "ok", "within seconds of the server's"),
        (timedelta(minutes=-5), "warning", "this machine is 5 min behind the server"),
        (timedelta(days=1), "failure", "this machine is 24 h ahead of the server"),
        (timedelta(days=-1), "failure", "this machine is 24 h behind the server"),
    ],
    ids=["right", "minutes", "day-ahead", "day-behind"],
)
def test_clock(server: FaultServer, ahead: timedelta, status: str, text: str) -> None:
    """The header Date of the first response is compared with the clock of this machine."""
    date = format_datetime(datetime.now(UTC) - ahead, usegmt=True)
    server.behaviour = answered(headers={"Date": date})

    finding = examined(server.url).of("clock")

    assert (finding["status"], finding["text"]) == (status, text)


def test_clock_by_a_response_that_is_not_the_service(server: FaultServer) -> None:
    """A page shows the time too."""
    date = format_datetime(datetime.now(UTC) - timedelta(days=2), usegmt=True)
    server.behaviour = answered(b"<html>", "404 Not Found", {"Date": date})

    found = examined(server.url)

    assert found.bad().keys() == {"response", "clock"}


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 99 Nov 2020 17:47:53 GMT", "Mon, 30 Nov 2026 17:47:53"])
def test_invalid_date(server: FaultServer, date: str) -> None:
    """Without a valid header nothing is said; a date without a zone is in UTC."""
    server.behaviour = answered(headers={"Date": date})

    finding = examined(server.url).of("clock")

    assert finding["status"] in ({"ok", "warning", "failure"} if "2026" in date else {"not checked"})


# Transformer


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"result": {"data": {"json": []}}}, "ok", "superjson"),
        ({"result": {"data": []}}, "ok", "json"),
        ({"result": {}}, "warning", "does not show"),
    ],
    ids=["superjson", "json", "none"],
)
def test_transformer(server: FaultServer, body: dict[str, Any], status: str, text: str) -> None:
    """The first response shows it; the next requests are written with it."""
    server.will(answered(json.dumps(body).encode()))

    finding = examined(server.url).of("transformer")

    assert finding["status"] == status
    assert text in finding["text"]


# Limits


def limited(*, calls: int = 50, url: int = 10_000, answer: bytes = b"", status: str = "414 Too Long") -> Behaviour:
    """Refuse batches of more calls, and longer URLs."""

    def behave(visit: Visit) -> None:
        if len(visit.paths) > calls or len(visit.target) > url:
            visit.line.send(message(answer, status))
        else:
            fine(visit)

    return behave


@pytest.mark.parametrize(
    ("behaviour", "calls", "requests"),
    [
        (limited(calls=30), 25, 2),
        (limited(calls=3, status="413 Too Large"), 3, 5),
        (limited(calls=12, status="404 Not Found", answer=b"<html>"), 12, 3),
        (
            limited(
                calls=10,
                status="400 Bad Request",
                answer=envelope("BAD_REQUEST", 400, -32600, "Batch call exceeds maximum size"),
            ),
            6,
            4,
        ),
        (
            limited(
                calls=1,
                status="500 Error",
                answer=envelope("INTERNAL_SERVER_ERROR", 500, -32603, "Batching is not enabled on the server"),
            ),
            1,
            5,
        ),
    ],
    ids=["414", "413", "404", "maximum", "no-batches"],
)
def test_batch_limit(server: FaultServer, behaviour: Behaviour, calls: int, requests: int) -> None:
    """It is found by halves, with a few requests, and is a warning: the client adapts to it."""
    server.behaviour = behaviour

    found = examined(server.url)

    finding = found.of("batch")
    assert (found.code, finding["status"], finding["values"]) == (0, "warning", {"calls": calls})
    assert sum(len(paths) > 1 for paths in server.requests) == requests
    assert "the client sends smaller requests by itself" in finding["advice"]


@pytest.mark.parametrize(
    ("limit", "characters"), [(5_000, 4_000), (2_048, 2_000), (1_000, None)], ids=["half", "quarter", "less"]
)
def test_limit_of_urls(server: FaultServer, limit: int, characters: int | None) -> None:
    """It is found by halves, and is a warning."""
    server.behaviour = limited(url=limit)

    found = examined(server.url)

    finding = found.of("URL length")
    assert (found.code, finding["status"], finding["values"]) == (0, "warning", {"characters": characters})


def test_failure_that_is_no_limit(server: FaultServer) -> None:
    """A batch that fails for another reason is not tried again with fewer calls."""
    server.behaviour = limited(calls=1, url=100, status="503 Unavailable")

    found = examined(server.url)

    assert found.of("batch")["text"].startswith("batches could not be tried: ")
    assert found.of("URL length")["text"].startswith("long URLs could not be tried: ")
    assert sum(len(paths) > 1 for paths in server.requests) == 1


def test_batch_with_a_refused_call(server: FaultServer) -> None:
    """An envelope for each call says that the size was accepted, and names other faults."""
    server.will(*[fine] * 6)
    server.behaviour = refused("FORBIDDEN", 403)

    assert examined(server.url).of("batch")["text"].startswith("batches could not be tried: FORBIDDEN")
