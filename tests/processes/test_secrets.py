"""The API key goes to the service and nowhere else: not into errors, logs, tracebacks, pickles, not to other hosts."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import socket
import traceback
import warnings
from contextlib import ExitStack, contextmanager
from functools import partial
from http.client import HTTPMessage
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
import requests
from echoing import Certificate
from ports import dead_port
from rude_service import RudeService, answer

from chatarmin_os import (
    ApiError,
    ChatarminError,
    ChatarminOS,
    ConnectionFailed,
    InvalidInput,
    InvalidResponse,
    TimedOut,
    UnauthorizedError,
)
from chatarmin_os.transports import HTTPTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CANARY = "canary/4f1c-9d+7e=b2a8"
KEY = f"os_sk_live_{CANARY}"
FINE = answer('{"result":{"data":{"featureName":"Seats","isEnabled":true}}}')

# Looking for it


def shows(found: str | bytes) -> bool:
    """Return whether the key is in a text, unchanged or as JSON, URLs and Python write it."""
    text = found.decode("latin-1") if isinstance(found, bytes) else found
    return any(form in text for form in ("canary/4f1c", "canary\\/4f1c", "canary%2F4f1c", "9d+7e=b2a8", "9d%2B7e%3D"))


def walk(thing: Any, place: str, seen: dict[int, Any]) -> Iterator[str]:
    """Yield the places inside a thing where the key is, going through all that `vars()` and containers hold."""
    if id(thing) in seen or isinstance(thing, (ModuleType, type, HTTPMessage)):
        return  # a connection keeps the last headers of the service until the next response
    seen[id(thing)] = thing  # kept, so that nothing else gets its place in memory
    if isinstance(thing, (str, bytes, bytearray)):
        if shows(bytes(thing) if isinstance(thing, bytearray) else thing):
            yield place
        return
    for name, part in parts(thing):
        yield from walk(part, f"{place}{name}", seen)


def parts(thing: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parts of an object, each with its place."""
    if isinstance(thing, dict):
        for key, value in list(thing.items()):
            yield " key", key
            yield f"[{key!r}]", value
    elif isinstance(thing, (list, tuple, set, frozenset)):
        for value in list(thing):
            yield "[]", value
    elif isinstance(thing, BaseException):
        yield from parts_of_error(thing)
    for name, value in list(getattr(thing, "__dict__", {}).items()):
        yield f".{name}", value
    for kind in type(thing).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in [slots] if isinstance(slots, str) else slots:
            yield f".{name}", getattr(thing, name, None)
    queue = getattr(thing, "queue", None)
    yield " queue", list(queue) if queue else None


def parts_of_error(error: BaseException) -> Iterator[tuple[str, Any]]:
    """Yield the parts of an error that `vars()` does not show, with the local variables of the package."""
    yield ".args", error.args
    yield ".__cause__", error.__cause__
    yield ".__context__", error.__context__
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if "chatarmin_os" in frame.f_code.co_filename:
            yield f" locals of {frame.f_code.co_qualname}", dict(frame.f_locals)


def leaks(thing: Any) -> list[str]:
    """Return where a thing shows the key: in its texts, or anywhere inside."""
    texts = {"str": str(thing), "repr": repr(thing), "format": f"{thing}"}
    return [name for name, text in texts.items() if shows(text)] + list(walk(thing, type(thing).__name__, {}))


def leaks_of_error(error: BaseException) -> list[str]:
    """Return where an error shows the key: also in its pickle, its copies, and its traceback with all locals."""
    text = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    found = [f"traceback: {line.strip()}" for line in text.splitlines() if shows(line)]
    if isinstance(error, ChatarminError):
        dumped = pickle.dumps(error)
        copies = [copy.copy(error), copy.deepcopy(error), pickle.loads(dumped)]  # noqa: S301 - our own
        found += ["pickle"] * shows(dumped) + [f"{name} of a copy" for one in copies for name in leaks(one)]
    return found + leaks(error)


def raised(act: Callable[[], object]) -> BaseException:
    """Return the exception that a function raises."""
    try:
        act()
    except Exception as error:  # noqa: BLE001 - any: it is looked at
        here = error.__traceback__
        return error.with_traceback(here and here.tb_next)  # without this function, which refers to the called one
    raise AssertionError("it raised nothing")


@pytest.fixture(autouse=True)
def captured_output(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Collect all logs and warnings, and check that none of them shows the key."""
    lines: list[str] = []
    with warnings.catch_warnings(record=True) as warned, caplog.at_level(logging.DEBUG):
        warnings.simplefilter("always")
        for name in ("chatarmin_os", "urllib3", "requests"):
            caplog.set_level(logging.DEBUG, logger=name)
        yield lines
    lines += [record.getMessage() for record in caplog.records] + [str(warning.message) for warning in warned]
    assert [line for line in lines if shows(line)] == []
    assert [repr(vars(record)) for record in caplog.records if shows(repr(vars(record)))] == []
    assert warned == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Return a certificate that nobody trusts by default."""
    return Certificate.issue(tmp_path_factory.mktemp("certificate"))


# Failures


def refusal(code: str, status: int, text: str, number: int = -32000) -> str:
    """Return an envelope of an error that shows a text wherever it can."""
    data = {"code": code, "httpStatus": status, "path": "features.check", "headers": {text: [text]}, "stack": text}
    return json.dumps({"error": {"message": f"No: {text}", "code": number, "data": data}})


ECHOED = refusal("UNAUTHORIZED", 401, f"Bearer {KEY}")
FAILURES: dict[str, tuple[type[ChatarminError], bytes | None]] = {
    "reset": (ConnectionFailed, None),
    "cut": (ConnectionFailed, f"HTTP/1.1 200 OK\r\nx: {KEY}\r\ncontent-length: 999\r\n\r\n{KEY}".encode()),
    "cut head": (ConnectionFailed, f"HTTP/1.1 200 OK\r\nauthorization: Bearer {KEY}".encode()),
    "garbage": (ConnectionFailed, f"{KEY}\r\n\r\n".encode()),
    "status line": (ConnectionFailed, f"HTTP/1.1 {KEY} {KEY}\r\n\r\n".encode()),
    "chunks": (ConnectionFailed, f"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{KEY}\r\n".encode()),
    "compressed": (InvalidResponse, answer(KEY, "200 OK", "content-encoding: gzip")),
    "HTML": (InvalidResponse, answer(f"<p>{KEY}</p>", "502 Bad Gateway", f"x-request-id: {KEY}", kind=f"text/{KEY}")),
    "escaped HTML": (InvalidResponse, answer(f"<p>{json.dumps(KEY).replace('/', chr(92) + '/')}</p>", kind=KEY)),
    "JSON of another": (InvalidResponse, answer(json.dumps({"authorization": KEY}), "403 Forbidden")),
    "broken JSON": (InvalidResponse, answer(f'{{"result": "{KEY}"')),
    "a wrong type": (InvalidResponse, answer(json.dumps({"result": {"data": {"isEnabled": KEY}}}))),
    "a wrong answer": (InvalidResponse, answer(json.dumps({"result": {"data": KEY}}))),
    "redirect": (InvalidResponse, answer("", "302 Found", f"location: http://127.0.0.1:9/{KEY}")),
    "redirect nowhere": (InvalidResponse, answer(KEY, "307 Found", f"location: http://[{KEY}/")),
    "refusal": (UnauthorizedError, answer(ECHOED, "401 Unauthorized", f"x-request-id: {KEY}")),
    "slashes escaped": (UnauthorizedError, answer(ECHOED.replace("/", "\\/"), "401 Unauthorized")),
    "letters escaped": (UnauthorizedError, answer(ECHOED.replace("-9d+", "\\u002d9d\\u002b"), "401 Unauthorized")),
    "code": (ApiError, answer(refusal(KEY, 418, KEY), "418 Teapot")),
    "rate": (ApiError, answer(refusal("TOO_MANY_REQUESTS", 429, KEY), "429 Too Many", f"retry-after: {KEY}")),
    "server": (ApiError, answer(refusal("INTERNAL_SERVER_ERROR", 500, KEY), "500 Oops")),
    "superjson": (UnauthorizedError, answer(json.dumps({"error": {"json": json.loads(ECHOED)["error"]}}), "401 No")),
}


def calls(client: ChatarminOS) -> list[Callable[[], object]]:
    """Return a query, a mutation and a batch."""
    return [
        lambda: client.features.check(company_id="c", feature_code="seats"),
        lambda: client.links.create(company_id="c", external_org_id="o"),
        lambda: client.call("tiers.list"),
    ]


@contextmanager
def clients(url: str, timeout: float = 60, **settings: Any) -> Iterator[list[ChatarminOS]]:
    """Make clients with the key: one on a session of its own, one on a session that is given."""
    with requests.Session() as session, ExitStack() as stack:
        make = partial(HTTPTransport, KEY, url, timeout=timeout, max_retries=0, transformer="json", **settings)
        yield [stack.enter_context(ChatarminOS(transport=transport)) for transport in (make(), make(session=session))]


def check_failures(client: ChatarminOS, expected: type[ChatarminError], *, only_first: bool = False) -> None:
    """See to it that each call fails as expected, and that neither its error nor the client shows the key."""
    for call in calls(client)[: 1 if only_first else None]:
        error = raised(call)
        assert isinstance(error, (expected, InvalidResponse))
        assert leaks_of_error(error) == []
    assert leaks(client) == []
    assert leaks(client.transport) == []


@pytest.mark.parametrize("kind", FAILURES)
def test_no_failure_shows_the_key(kind: str) -> None:
    """However an answer fails and wherever it repeats the key: error, traceback, logs and client are without it."""
    expected, captured_output = FAILURES[kind]
    with RudeService(captured_output) as service, clients(service.url) as both:
        for client in both:
            check_failures(client, expected, only_first=kind.startswith("a wrong"))
        assert all(KEY in head for head in service.heads)


def test_timeout_does_not_show_the_key() -> None:
    """A deadline that passes says nothing of the key, before and while an answer is waited for."""
    with RudeService(None, is_silent=True) as service, clients(service.url, timeout=0.2) as both:
        for client in both:
            check_failures(client, TimedOut, only_first=True)


def test_refused_connection_does_not_show_the_key() -> None:
    """Where nobody listens the error says so, without the key."""
    with clients(f"http://127.0.0.1:{dead_port()}") as both:
        for client in both:
            check_failures(client, ConnectionFailed)


def test_unknown_name_does_not_show_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the host does not exist, the error says so, without the key."""

    def unknown(*_: Any, **__: Any) -> NoReturn:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with clients("https://service.test") as both:
        for client in both:
            check_failures(client, ConnectionFailed)


def test_failures_of_tls_do_not_show_the_key(certificate: Certificate) -> None:
    """A certificate that is not trusted, and a port without TLS: the errors are without the key, and it is not sent."""
    with RudeService(FINE, certificate=certificate.chain) as service, clients(service.url) as both:
        for client in both:
            check_failures(client, ConnectionFailed)
        assert service.heads == []
    with RudeService(FINE) as service, clients(service.url.replace("http:", "https:")) as both:
        for client in both:
            check_failures(client, ConnectionFailed)
        assert service.heads == []


def test_success_does_not_show_the_key(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that makes calls shows the key nowhere: not in its texts, not in all it holds, not in the logs."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.authority))
    for chain in (None, certificate.chain):
        with RudeService(FINE, certificate=chain) as service, clients(service.url) as both:
            for client in both:
                assert client.features.check(company_id="c", feature_code="seats").feature_name == "Seats"
                assert leaks(client) == leaks(client.transport) == []
                assert CANARY not in str(vars(client)) + str(vars(client.transport))


def test_neither_client_nor_transport_is_pickled() -> None:
    """A client and its transport refuse to be pickled, for the key would be in it; the refusal is without it."""
    with clients("http://127.0.0.1:9") as both:
        for client in both:
            for thing in (client, client.transport):
                error = raised(partial(pickle.dumps, thing))
                assert isinstance(error, TypeError)
                assert leaks_of_error(error) == []
            assert isinstance(raised(partial(copy.deepcopy, client.transport)), TypeError)


def test_lazy_client_shows_no_key() -> None:
    """The key of a lazy client is nowhere in it, before its first call and after, nor in refusals."""
    client = ChatarminOS.lazy(KEY, base_url="http://127.0.0.1:9")
    make: Any = ChatarminOS.lazy

    assert leaks(client) == []
    for refused in (partial(make, KEY, tmeout=1), partial(make, transport=client.transport, api_key=KEY)):
        error = raised(refused)
        assert isinstance(error, TypeError)
        assert leaks_of_error(error) == []
    with client:
        assert leaks(client) == []
        assert leaks(client.with_options(timeout=1)) == []
        assert leaks(client.transport.fingerprint()) == []


def test_response_that_resembles_the_key_is_not_changed() -> None:
    """Only errors are redacted: the caller gets the service's result unchanged, even if it contains the key."""
    with RudeService(FINE) as service:
        transport = HTTPTransport("Seats", service.url)
        with ChatarminOS(transport=transport) as client:
            assert client.features.check(company_id="c", feature_code="seats").feature_name == "Seats"


# Where it goes


@pytest.fixture
def _hostile_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have credentials for this machine, and for all others, in a home directory and where NETRC says."""
    lines = "machine 127.0.0.1 login mallory password evil\ndefault login mallory password evil\n"
    for name in (".netrc", "_netrc", "netrc"):
        (tmp_path / name).write_text(lines, encoding="utf-8")
        (tmp_path / name).chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


@pytest.mark.usefixtures("_hostile_home")
def test_netrc_does_not_replace_the_key() -> None:
    """Whatever `.netrc` says, the key is sent, and nothing else is: with a session of the user's own too."""
    with RudeService(FINE) as service, clients(service.url) as both:
        for client in both:
            client.features.check(company_id="c", feature_code="seats")
            client.call("tiers.list")
        assert len(service.heads) == 4
        for head in service.heads:
            sent = [line for line in head.splitlines() if line.lower().startswith("authorization")]
            assert sent == [f"Authorization: Bearer {KEY}"]


@pytest.mark.usefixtures("_hostile_home")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost"])
def test_redirect_is_not_followed(status: int, host: str) -> None:
    """Where the service redirects to gets nothing, not even a connection: another port, another host, the same host."""
    with RudeService(FINE) as other:
        location = f"location: http://{host}:{other.port}/api/v1/features.check"
        with RudeService(answer("", f"{status} Moved", location)) as service, clients(service.url) as both:
            for client in both:
                for call in calls(client):
                    assert isinstance(raised(call), InvalidResponse)
            assert len(service.heads) == 6
        assert other.connections == 0


def test_nothing_of_a_response_is_sent_back() -> None:
    """Cookies and other headers of an answer are not kept: later requests are as the first was."""
    headers = [f"set-cookie: tenant{path}=1; Path={path}; Max-Age=9999" for path in ("/", "/api", "/api/v1")]
    headers += ["x-forwarded-for: 6.6.6.6", "x-forwarded-host: evil.test", "www-authenticate: Basic", "etag: 1"]
    with RudeService(answer(FINE.partition(b"\r\n\r\n")[2], "200 OK", *headers)) as service:
        with clients(service.url) as both:
            for client in both:
                for _ in range(3):
                    client.features.check(company_id="c", feature_code="seats")
        text = "\n".join(service.heads).lower()
    first, given = service.heads[:3], service.heads[3:]
    assert (len(set(first)), len(set(given)), len(given)) == (1, 1, 3)
    assert [word for word in ("cookie", "tenant", "forwarded", "evil", "etag", "none-match") if word in text] == []


def test_proxy_does_not_get_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy is asked for a tunnel without the key, and its own credentials are in no error."""
    with RudeService(answer("", "407 Proxy Authentication Required")) as proxy:
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, f"http://proxy_user:proxy_password@127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("no_proxy", "")
        with clients("https://service.test") as both:
            for client in both:
                error = raised(calls(client)[0])
                assert isinstance(error, ConnectionFailed)
                assert "proxy_password" not in str(error) + repr(error)
                assert leaks_of_error(error) == []
        assert proxy.heads
        assert [head for head in proxy.heads if shows(head)] == []


# Refused settings

REFUSED = {
    "newline": "os_sk_\n{}",
    "CRLF": "os_sk_\r\nX-Evil: {}",
    "NUL": "os_sk_\0{}",
    "escape": "os_sk_\x1b[31m{}",
    "delete": "os_sk_\x7f{}",
    "curly quotes": "\N{LEFT DOUBLE QUOTATION MARK}{}\N{RIGHT DOUBLE QUOTATION MARK}",
    "umlaut": "os_sk_\N{LATIN SMALL LETTER A WITH DIAERESIS}{}",
    "emoji": "{}\N{GRINNING FACE}",
    "zero width": "os_sk_\N{ZERO WIDTH SPACE}{}",
    "surrogate": "os_sk_\ud800{}",
    "full width": "os_sk_\N{FULLWIDTH DIGIT ONE}{}",
}


def construct(how: str, key: Any, monkeypatch: pytest.MonkeyPatch) -> BaseException:
    """Return the exception of the constructor with a key, which is passed or in the environment."""
    if how == "environment":
        monkeypatch.setenv("OS_API_KEY", key)
        return raised(ChatarminOS)
    return raised(partial(ChatarminOS if how == "client" else HTTPTransport, key))


@pytest.mark.parametrize("how", ["client", "transport"])
@pytest.mark.parametrize("kind", REFUSED)
def test_invalid_key_is_refused_and_not_shown(how: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that no header may hold is refused when a client is made, by name and without a word of it."""
    error = construct(how, REFUSED[kind].format(KEY), monkeypatch)

    assert isinstance(error, InvalidInput)
    assert error.field == "api_key"
    assert leaks_of_error(error) == []


@pytest.mark.parametrize("kind", [kind for kind in REFUSED if kind not in {"NUL", "surrogate"}])
def test_key_of_the_environment_is_refused_and_not_shown(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for a key in OS_API_KEY, which can be anything but NUL."""
    error = construct("environment", REFUSED[kind].format(KEY), monkeypatch)

    assert isinstance(error, InvalidInput)
    assert leaks_of_error(error) == []


@pytest.mark.parametrize("key", ["", " ", "\t\r\n", "\N{NO-BREAK SPACE}"])
@pytest.mark.parametrize("how", ["client", "transport", "environment"])
def test_blank_key_is_refused(how: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty key or one of white space is refused; the message names the places where a key is read."""
    error = construct(how, key, monkeypatch)

    assert isinstance(error, InvalidInput)
    assert "api_key" in str(error)
    assert "OS_API_KEY" in str(error)


@pytest.mark.parametrize("key", [KEY.encode(), [KEY], {"key": KEY}, object()], ids=lambda key: type(key).__name__)
@pytest.mark.parametrize("how", ["client", "transport"])
def test_key_of_a_wrong_type_is_refused_and_not_shown(how: str, key: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error for a key of another type names only the type, because the value may still be the key."""
    error = construct(how, key, monkeypatch)

    assert isinstance(error, InvalidInput)
    assert leaks_of_error(error) == []


@pytest.mark.parametrize(
    "setting",
    [{"timeout": -1}, {"max_retries": -1}, {"base_url": "http://service.test"}],
    ids=["timeout", "max_retries", "plain-http"],
)
def test_other_invalid_setting_does_not_show_the_key(setting: dict[str, Any]) -> None:
    """A refusal of another setting is without the key that came with it."""
    for make in (ChatarminOS, HTTPTransport):
        error = raised(partial(make, KEY, **setting))
        assert isinstance(error, InvalidInput)
        assert leaks_of_error(error) == []


@pytest.mark.parametrize("key", [f"{KEY}\n", f"\r\n {KEY}\t"], ids=["newline-after", "white-space-around"])
def test_white_space_around_a_key_is_dropped(key: str) -> None:
    """The newline at the end of a file with a key, and white space around it, are not sent."""
    with RudeService(FINE) as service:
        with ChatarminOS(key, base_url=service.url) as client:
            client.features.check(company_id="c", feature_code="seats")
        assert f"\r\nAuthorization: Bearer {KEY}\r\n" in f"{service.heads[0]}\r\n"
