"""HTTPTransport through the client: requests, responses, retries and secrets."""

from __future__ import annotations

import copy
import gzip
import json
import logging
import os
import pickle
import re
import ssl
import subprocess
import sys
from collections import deque
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import requests
import responses
import trustme
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from requests.auth import HTTPDigestAuth
from urllib3.exceptions import MaxRetryError, NewConnectionError

from chatarmin_os import (
    ApiError,
    ChatarminError,
    ChatarminOS,
    ConflictError,
    ConnectionFailed,
    CreateCompanyInput,
    CreateLinkInput,
    FeatureCheckInput,
    GetTierInput,
    InvalidInput,
    InvalidResponse,
    ListTiersInput,
    NotFoundError,
    RateLimitError,
    ResetLinksInput,
    ServerError,
    TierSummary,
    TimedOut,
    TransportError,
    UnauthorizedError,
    UpdateCompanyInput,
    __version__,
)
from chatarmin_os.transports import Call, HTTPTransport
from chatarmin_os.transports.http.retry import max_wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Mock: TypeAlias = responses.RequestsMock
Patch: TypeAlias = pytest.MonkeyPatch
Log: TypeAlias = pytest.LogCaptureFixture
Given: TypeAlias = requests.Session | None

URL = "https://os.test/api/v1"
KEY = "os_sk_live_a1B2c3"
ANYTHING = re.compile(r"https://os\.test/")
in_any_session = pytest.mark.parametrize("session", [None, requests.Session()], ids=["own", "given"])
UNAUTHORIZED = ApiError.from_code("UNAUTHORIZED", "Invalid or missing API key")


@pytest.fixture(autouse=True)
def mocked(monkeypatch: Patch) -> Iterator[Mock]:
    """Answer every request with the responses that a test adds, without settings of the machine."""
    for name in list(os.environ):
        if re.fullmatch("OS_.*|.*_CA_BUNDLE|NETRC|(?i:.*_proxy)", name):
            monkeypatch.delenv(name)
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


WAITS: list[float] = []
"""The waits between attempts of clients that `_client` made, which take no time."""


@pytest.fixture(autouse=True)
def sleeps() -> list[float]:
    """Return the waits of this test."""
    WAITS.clear()
    return WAITS


class Service:
    """A service that speaks tRPC, plain or with superjson, and keeps the received calls.

    Attributes:
        answers: The answers by path: JSON or a refusal, or a deque of them to give one after the other.
        asked: Method, paths and inputs of each request, the inputs as it understands them.
    """

    def __init__(self, mocked: Mock, transformer: str = "json", **answers: Any) -> None:
        self.transformer = transformer
        self.answers = {path.replace("_", "."): answer for path, answer in answers.items()}
        self.asked: list[tuple[str, list[str], list[Any]]] = []
        self.urls: list[str] = []
        self.max_calls = 1000
        self.refuses_batches: ApiError | None = None
        self.listen(mocked)

    def listen(self, mocked: Mock) -> None:
        """Answer whatever nothing else answers first."""
        for method in (responses.GET, responses.POST):
            mocked.add_callback(method, ANYTHING, self._respond, content_type="application/json")

    def _respond(self, request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        url = urlsplit(str(request.url))
        query = parse_qs(url.query)
        paths, is_batch = unquote(url.path).removeprefix("/api/v1/").split(","), "batch" in query
        body = request.body.decode() if isinstance(request.body, bytes) else ""
        text = body or query.get("input", ["{}" if is_batch else "null"])[0]
        content = json.loads(text)
        inputs = [self._read(content.get(str(index)) if is_batch else content) for index in range(len(paths))]
        self.asked.append((str(request.method), paths, inputs))
        self.urls.append(str(request.url))
        if is_batch and (self.refuses_batches or len(paths) > self.max_calls):
            too_large = ApiError.from_code("BAD_REQUEST", "Batch call exceeds maximum size")
            status, content = self._one(self.refuses_batches or too_large)
            return status, {}, json.dumps(content)
        received = [self._one(self._answer(path)) for path in paths]
        statuses = {status for status, _ in received}
        items = [item for _, item in received]
        return statuses.pop() if len(statuses) == 1 else 207, {}, json.dumps(items if is_batch else items[0])

    def _read(self, given: Any) -> Any:
        """Return an input as a server reads it: superjson makes nothing of an object without `json`."""
        if self.transformer == "json" or given is None:
            return given
        return given.get("json")

    def _answer(self, path: str) -> Any:
        answer = self.answers.get(path, path)
        return (answer.popleft() if len(answer) > 1 else answer[0]) if isinstance(answer, deque) else answer

    def _one(self, answer: Any) -> tuple[int, Any]:
        is_super = self.transformer == "superjson"
        if not isinstance(answer, ApiError):
            return 200, {"result": {"data": {"json": answer} if is_super else answer}}
        status = answer.http_status or 500
        error = {"message": answer.message, "code": -1, "data": {"code": answer.code, "httpStatus": status}}
        return status, {"error": {"json": error} if is_super else error}

    @property
    def paths(self) -> list[str]:
        """The paths of each request."""
        return [",".join(paths) for _, paths, _ in self.asked]


def _client(**settings: Any) -> ChatarminOS:
    return ChatarminOS(transport=HTTPTransport(KEY, URL, **{"transformer": "json", "sleep": WAITS.append, **settings}))


def _reply(mocked: Mock, body: Any = "", status: int = 200, **settings: Any) -> None:
    """Answer the next requests in this way; the last answer repeats."""
    content = body if isinstance(body, (str, bytes, Exception)) else json.dumps(body)
    for method in (responses.GET, responses.POST):
        mocked.add(method, ANYTHING, content, status=status, **settings)


def _sent(mocked: Mock) -> list[requests.PreparedRequest]:
    return [call.request for call in mocked.calls if isinstance(call, responses.Call)]


def _error(code: str, message: str = "m") -> dict[str, Any]:
    return {"error": {"message": message, "code": -1, "data": {"code": code}}}


Failed = TypeVar("Failed", bound=ChatarminError)


def _failure(kind: type[Failed], ask: Callable[[], object]) -> Failed:
    with pytest.raises(kind) as failed:
        ask()
    assert type(failed.value) is kind
    return failed.value


def _failure_of(ask: Callable[[], object]) -> ChatarminError:
    with pytest.raises(ChatarminError) as failed:
        ask()
    return failed.value


# Requests


def test_query_is_a_get_with_its_input_in_the_url(mocked: Mock) -> None:
    """A query has no body and says no type of one."""
    _reply(mocked, {"result": {"data": {"code": "free", "features": []}}})

    assert _client().tiers.get("frée & co").code == "free"

    (request,) = _sent(mocked)
    assert (request.method, request.body) == ("GET", None)
    assert request.url == f"{URL}/tiers.get?input=%7B%22tierCode%22%3A%22fr%C3%A9e%20%26%20co%22%7D"
    assert {"Content-Type", "Content-Length"}.isdisjoint(request.headers)


def test_mutation_is_a_post_with_its_input_as_json(mocked: Mock) -> None:
    """A mutation has its input in a body of UTF-8, whose type and length are reported."""
    _reply(mocked, {"result": {"data": {"id": "c"}}})

    _client().companies.create(name="Ümläut", external_org_id="o")

    (request,) = _sent(mocked)
    assert (request.method, request.url) == ("POST", f"{URL}/companies.create")
    assert request.body == '{"name":"Ümläut","externalOrgId":"o"}'.encode()
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Content-Length"] == str(len(request.body))


def test_mutation_without_arguments_sends_an_empty_object(mocked: Mock) -> None:
    """There is always a body, for many servers refuse an empty one."""
    _reply(mocked, {"result": {"data": {"linksDeleted": 0}}})

    _client().links.reset()

    assert _sent(mocked)[0].body == b"{}"


@in_any_session
@pytest.mark.parametrize("ask", ["query", "mutation"])
def test_request_has_the_documented_headers(mocked: Mock, session: Given, ask: Any) -> None:
    """Every request has the key, says who asks, and accepts JSON that is not compressed."""
    _reply(mocked, {"result": {"data": None}})

    _client(session=session).call("a.b", kind=ask)

    headers = _sent(mocked)[0].headers
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert headers["User-Agent"] == f"chatarmin-os-python/{__version__}"
    assert headers["Accept"] == "application/json"
    assert headers["Accept-Encoding"] == "identity"


@in_any_session
def test_netrc_does_not_replace_the_key(mocked: Mock, monkeypatch: Patch, tmp_path: Path, session: Given) -> None:
    """An entry of `.netrc` for the host does not replace the key."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine os.test login mallory password stolen\ndefault login mallory password stolen\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    _reply(mocked, {"result": {"data": []}})

    _client(session=session).tiers.list()

    assert _sent(mocked)[0].headers["Authorization"] == f"Bearer {KEY}"


def test_cookies_are_neither_kept_nor_sent(mocked: Mock) -> None:
    """Cookies of a service are dropped, and those of a user's session are not sent."""
    session = requests.Session()
    session.cookies.set("mine", "1")
    _reply(mocked, {"result": {"data": []}}, headers={"Set-Cookie": "theirs=1"})

    for client in (_client(), _client(session=session)):
        client.tiers.list()
        client.tiers.list()

    assert [request.headers.get("Cookie") for request in _sent(mocked)] == [None] * 4


def test_environment_has_key_and_base_url(mocked: Mock, monkeypatch: Patch) -> None:
    """OS_API_KEY and OS_BASE_URL count where nothing is given, and only then; white space goes."""
    monkeypatch.setenv("OS_API_KEY", " os_sk_env\n")
    monkeypatch.setenv("OS_BASE_URL", "https://os.test/env///")
    _reply(mocked, {"result": {"data": []}})

    for client in (ChatarminOS(), ChatarminOS(f"  {KEY}\t", base_url=f"{URL}/")):
        client.tiers.list()

    assert [(request.url, request.headers["Authorization"]) for request in _sent(mocked)] == [
        ("https://os.test/env/tiers.list", "Bearer os_sk_env"),
        (f"{URL}/tiers.list", f"Bearer {KEY}"),
    ]


def test_base_url_defaults_to_the_public_service() -> None:
    """The default is the service's own address."""
    assert repr(HTTPTransport(KEY)) == "<HTTPTransport to https://os.chatarmin.com/api/v1>"


def test_proxies_and_authorities_are_read_once(mocked: Mock, monkeypatch: Patch, tmp_path: Path) -> None:
    """Proxies and REQUESTS_CA_BUNDLE count as they were when the transport was made."""
    authority = tmp_path / "authority.pem"
    trustme.CA().cert_pem.write_to_path(str(authority))
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority))
    client = _client()
    monkeypatch.setenv("HTTPS_PROXY", "http://other.test:3128")
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    _reply(mocked, {"result": {"data": []}})

    client.tiers.list()

    used: Any = _sent(mocked)[0]
    assert used.req_kwargs["proxies"]["https"] == "http://proxy.test:3128"
    assert used.req_kwargs["verify"] == str(authority)


def test_private_authority_may_come_from_either_variable(mocked: Mock, monkeypatch: Patch, tmp_path: Path) -> None:
    """CURL_CA_BUNDLE counts where REQUESTS_CA_BUNDLE is not set; without both TLS is still verified."""
    clients = [_client()]
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "0a1b2c3d.0"))  # a folder, as `openssl rehash` leaves it
    monkeypatch.setenv("CURL_CA_BUNDLE", str(tmp_path))
    clients.append(_client())
    _reply(mocked, {"result": {"data": []}})

    for client in clients:
        client.tiers.list()

    used: list[Any] = _sent(mocked)
    assert [request.req_kwargs["verify"] for request in used] == [True, str(tmp_path)]


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_missing_authority_is_refused(monkeypatch: Patch, name: str, tmp_path: Path) -> None:
    """A file that does not exist fails when the transport is made, not in its first call."""
    monkeypatch.setenv(name, str(tmp_path / "missing.pem"))

    assert name in str(_failure(InvalidInput, _client))


@in_any_session
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.10", "[::1]"])
def test_loopback_is_reached_without_a_proxy(mocked: Mock, monkeypatch: Patch, host: str, session: Given) -> None:
    """Calls to this machine go through no proxy of the environment, which would see the key."""
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.test:3128")
    mocked.add(responses.GET, f"http://{host}:3001/tiers.list", json={"result": {"data": []}})

    ChatarminOS(transport=HTTPTransport(KEY, f"http://{host}:3001", session=session)).tiers.list()

    used: Any = _sent(mocked)[0]
    assert not used.req_kwargs["proxies"]


# Other credentials, other names, sessions


class Stamp(requests.auth.AuthBase):
    """An auth of one's own."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put a header on *request*."""
        request.headers["X-Api-Key"] = "stamped"
        return request


def _stamp(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return Stamp()(request)


@in_any_session
@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        (Stamp(), "X-Api-Key", "stamped"),
        (_stamp, "X-Api-Key", "stamped"),
        (("user", "pass"), "Authorization", "Basic dXNlcjpwYXNz"),
    ],
    ids=["object", "function", "pair"],
)
def test_auth_replaces_the_key(mocked: Mock, auth: Any, header: str, value: str, session: Given) -> None:
    """Any auth of requests does; no key is needed then, and none is sent where one is given."""
    _reply(mocked, {"result": {"data": []}})

    for key in (None, KEY):
        transport = HTTPTransport(key, URL, auth=auth, session=session)
        ChatarminOS(transport=transport).tiers.list()

    for request in _sent(mocked):
        assert request.headers[header] == value
        assert KEY not in str(request.headers)


@in_any_session
def test_digest_authentication_answers_its_challenge(mocked: Mock, session: Given) -> None:
    """An auth that has to ask twice does, and the call is answered."""
    challenge = {"WWW-Authenticate": 'Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256'}
    _reply(mocked, _error("UNAUTHORIZED"), status=401, headers=challenge)
    _reply(mocked, {"result": {"data": {"linksDeleted": 2}}})
    auth = HTTPDigestAuth("user", "pass")
    client = ChatarminOS(transport=HTTPTransport(None, URL, auth=auth, session=session, transformer="json"))

    assert client.links.reset().links_deleted == 2

    first, second = _sent(mocked)
    assert "Authorization" not in first.headers
    assert str(second.headers["Authorization"]).startswith('Digest username="user", realm="r"')
    assert first.body == second.body == b"{}"


def test_path_of_a_procedure_is_replaced(mocked: Mock) -> None:
    """Paths are replaced on the way, also in batches; errors go by the path here."""
    service = Service(mocked, plans_get=ApiError.from_code("NOT_FOUND", "No such tier"))
    client = _client(paths={"tiers.get": "plans.get"})

    error = _failure(NotFoundError, lambda: client.tiers.get("gold"))
    client.batch([GetTierInput(tier_code="gold"), ListTiersInput()])

    assert service.paths == ["plans.get", "plans.get,tiers.list"]
    assert error.path == "tiers.get"


def test_users_session_is_used_and_stays_open(mocked: Mock) -> None:
    """Its headers, parameters and settings count, and closing the client does not close it."""
    closed = []

    class Mine(requests.Session):
        """A session that says when it is closed."""

        def close(self) -> None:
            """Say so."""
            closed.append(self)

    session = Mine()
    session.headers["X-Trace"] = "t"
    session.verify = "authority.pem"
    headers = dict(session.headers)
    _reply(mocked, {"result": {"data": []}})

    with _client(session=session) as client:
        client.tiers.list()

    request: Any = _sent(mocked)[0]
    assert request.headers["X-Trace"] == "t"
    assert request.req_kwargs["verify"] == "authority.pem"
    assert dict(session.headers) == headers
    assert closed == []


def test_hook_of_a_users_session_gets_the_responses(mocked: Mock) -> None:
    """A session processes these responses as it does others."""
    session, seen = requests.Session(), []
    session.hooks["response"] = [lambda response, **_: seen.append(response.status_code)]
    _reply(mocked, {"result": {"data": []}})

    _client(session=session).tiers.list()

    assert seen == [200]


# Answers


@pytest.mark.parametrize(
    ("status", "content_type"),
    [(200, "text/plain"), (201, "text/html"), (404, "application/json"), (500, "application/json"), (502, "")],
)
def test_result_is_recognized_by_the_body(mocked: Mock, status: int, content_type: str) -> None:
    """A result is one, whatever status and content type say."""
    _reply(mocked, {"result": {"data": [{"code": "free"}]}}, status=status, content_type=content_type)

    assert _client().tiers.list() == [TierSummary(code="free", name=None)]
    assert len(mocked.calls) == 1


@pytest.mark.parametrize("status", [200, 201, 404, 500])
def test_refusal_is_recognized_by_the_body(mocked: Mock, status: int) -> None:
    """A refusal is one, whatever status and content type say."""
    _reply(mocked, _error("CONFLICT", "taken"), status=status, content_type="text/html")

    error = _failure(ConflictError, _client().tiers.list)

    assert (error.message, error.http_status, error.path) == ("taken", status, "tiers.list")
    assert error.data == {"code": "CONFLICT"}
    assert error.request == ListTiersInput()


@pytest.mark.parametrize("body", [{"result": {}}, {"result": {"data": None}}], ids=["void", "null"])
def test_empty_result_is_valid(mocked: Mock, body: Any) -> None:
    """Where the service may answer nothing the model is empty; a call by path gives None."""
    _reply(mocked, body)
    client = _client()

    assert client.links.create(company_id="c", external_org_id="o").company_id is None
    assert client.companies.get_by_product_link(external_org_id="o") is None
    assert client.call("any.thing") is None


def test_compressed_and_marked_responses_are_read(mocked: Mock) -> None:
    """A response that is compressed unasked is decompressed; a byte order mark is not content."""
    content = gzip.compress(b'\xef\xbb\xbf{"result":{"data":1}}')
    _reply(mocked, content, headers={"Content-Encoding": "gzip"})

    assert _client().call("a.b") == 1


def test_invalid_compression_is_an_invalid_response(mocked: Mock) -> None:
    """A body that contradicts its headers is an error, and is not requested again."""
    _reply(mocked, b"no gzip", headers={"Content-Encoding": "gzip"})

    error = _failure(InvalidResponse, _client().tiers.list)

    assert "decompress" in str(error)
    assert (len(mocked.calls), error.outcome, error.attempts) == (1, "unknown", 1)


@pytest.mark.parametrize("how", ["sent", "compressed", "declared"])
def test_response_has_a_maximum_size(mocked: Mock, how: str) -> None:
    """A body of more than 64 MiB, after decompression, is not an answer, and the call is not retried."""
    body = b'"' + b" " * 2**26 + b'"'
    if how == "compressed":
        _reply(mocked, gzip.compress(body, 1), headers={"Content-Encoding": "gzip"})
    else:
        _reply(mocked, body if how == "sent" else "", headers={"Content-Length": "67108866"} if how != "sent" else {})

    error = _failure(InvalidResponse, _client().tiers.list)

    assert "67,108,864 bytes" in str(error)
    assert len(mocked.calls) == 1


@pytest.mark.parametrize("transformer", ["json", "superjson"])
@pytest.mark.parametrize("depth", [500, 100_000])
def test_deep_result_is_valid_or_an_invalid_response(mocked: Mock, depth: int, transformer: str) -> None:
    """A deeply nested response is valid, one without end is not; no other exception is raised."""
    nested = "[" * depth + "]" * depth
    data = nested if transformer == "json" else f'{{"json":{nested},"meta":{{"values":{{"0.0":["set"]}}}}}}'
    _reply(mocked, f'{{"result":{{"data":{data}}}}}')
    client = _client(transformer=transformer)

    if depth == 500:
        assert json.dumps(client.call("a.b"), separators=("", "")) == nested
    else:
        assert "nested" in str(_failure(InvalidResponse, lambda: client.call("a.b")))


@pytest.mark.parametrize("depth", [400, 900, 5000])
def test_refusal_with_deep_data_is_a_refusal(mocked: Mock, depth: int) -> None:
    """Whatever a service sends along with a refusal, it is the refusal, or no answer where `json` gives up."""
    nested = "[" * depth + "]" * depth
    error = f'{{"error":{{"message":"m","code":1,"data":{{"code":"CONFLICT","more":{nested}}}}}}}'
    _reply(mocked, error)
    _reply(mocked, f"[{error},{error}]")
    client = _client()

    errors = [_failure_of(client.tiers.list), *client.batch([ListTiersInput()] * 2)]

    assert {type(error) for error in errors} <= ({ConflictError} if depth < 1000 else {ConflictError, InvalidResponse})


def test_superjson_without_end_is_an_invalid_response(mocked: Mock) -> None:
    """A description that is nested too deep to follow is refused, with no other exception."""
    values = '{"a":' * 3000 + '["Date"]' + "}" * 3000
    deep = '{"a":' * 3000 + "1" + "}" * 3000
    _reply(mocked, f'{{"result":{{"data":{{"json":{deep},"meta":{{"values":{values}}}}}}}}}')

    _failure(InvalidResponse, lambda: _client(transformer="superjson").call("a.b"))


REQUEST_IDS = ["X-Request-Id", "request-id", "X-Correlation-ID", "x-amzn-RequestId", "X-Vercel-Id", "CF-Ray"]


@pytest.mark.parametrize("header", REQUEST_IDS)
@pytest.mark.parametrize("code", ["NOT_FOUND", "INTERNAL_SERVER_ERROR"])
def test_error_has_the_request_id(mocked: Mock, header: str, code: str) -> None:
    """The service's id of the exchange is an attribute of the refusal, and in its text."""
    _reply(mocked, _error(code), headers={header: "req_7"})

    error = _failure(NotFoundError if code == "NOT_FOUND" else ServerError, _client().tiers.list)

    assert error.request_id == "req_7"
    assert "request req_7" in str(error)


def test_first_known_request_id_counts(mocked: Mock) -> None:
    """Of several ids one is kept, and a long one is cut; without an id it is None."""
    _reply(mocked, _error("NOT_FOUND"), headers={"CF-Ray": "ray", "X-Request-Id": "mine"})
    _reply(mocked, _error("NOT_FOUND"))
    _reply(mocked, _error("NOT_FOUND"), headers={"X-Request-Id": "r" * 5000})
    client = _client()

    first, second, third = [_failure(NotFoundError, client.tiers.list).request_id for _ in range(3)]

    assert (first, second) == ("mine", None)
    assert third
    assert len(third) <= 200


def test_missing_procedure_differs_from_a_missing_resource(mocked: Mock) -> None:
    """Both are `NotFoundError`; the text of the one names the procedure and base_url."""
    for message in ('No procedure found on path "tiers.get"', 'No "query"-procedure on path "x"', "Tier x not found"):
        _reply(mocked, _error("NOT_FOUND", message), status=404)
    client = _client()

    received = [str(_failure(NotFoundError, lambda: client.tiers.get("x"))) for _ in range(3)]

    advice = "check base_url, which ends in /api/v1, or pass paths= [tiers.get]"
    assert received == [
        f"NOT_FOUND: the service has no procedure 'tiers.get'; {advice}",
        f"NOT_FOUND: the service has no procedure 'x'; {advice}",
        "NOT_FOUND: Tier x not found [tiers.get]",
    ]


@in_any_session
@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
def test_redirect_is_refused(mocked: Mock, status: int, session: Given) -> None:
    """A redirect is not followed and not asked again, and the error says so, but not where it leads to."""
    _reply(mocked, {"result": {"data": []}}, status=status, headers={"Location": f"{URL}/elsewhere?token=t"})
    client = _client(session=session)

    error = _failure(InvalidResponse, client.tiers.list)

    assert len(mocked.calls) == 1
    assert f"status {status}" in str(error)
    assert "os.test" in str(error)
    assert "token" not in str(error)
    assert error.outcome == "unknown"


@in_any_session
def test_redirect_to_nowhere_is_refused_as_well(mocked: Mock, session: Given) -> None:
    """Where a redirect leads to makes no difference."""
    _reply(mocked, status=302, headers={"Location": "http://[broken"})
    _reply(mocked, status=302)
    client = _client(session=session)

    for _ in range(2):
        assert "redirect" in str(_failure(InvalidResponse, client.tiers.list))


def test_unexpected_response_is_shown_in_part(mocked: Mock) -> None:
    """Status, content type and the first 200 characters are shown, on one line."""
    body = "<html>\r\n\x1b[31mBad\x00 Gateway\u2028" + "x" * 1000 + "end"
    _reply(mocked, body.encode(), status=418, content_type="text/html;\tcharset=utf-8")

    error = _failure(InvalidResponse, _client().tiers.list)

    text = str(error)
    assert "status 418" in text
    assert "text/html; charset=utf-8" in text
    assert "<html>" in text
    assert "Gateway" in text
    assert 100 < text.count("x") <= 200
    assert "end" not in text
    assert text.isprintable()
    assert error.request == ListTiersInput()


@pytest.mark.parametrize("body", ["", "null", "42", "{}", "[]", '[{"result":{}}]', '{"message":"no"}', "NaN", "\xff"])
def test_invalid_response_is_not_retried(mocked: Mock, body: str) -> None:
    """A complete answer that is wrong is not asked for again, and the call may have run."""
    _reply(mocked, body.encode("latin-1"))

    error = _failure(InvalidResponse, _client().tiers.list)

    assert (error.outcome, error.attempts, error.retry_after, len(mocked.calls)) == ("unknown", 1, None, 1)


def test_wrong_type_is_refused_with_its_path(mocked: Mock) -> None:
    """An answer that is tRPC and no model names the place; it is not asked for again."""
    _reply(mocked, {"result": {"data": [{"code": "free"}, {"code": 5}]}})

    error = _failure(InvalidResponse, _client().tiers.list)

    assert "$[1].code" in str(error)
    assert len(mocked.calls) == 1


# The transformer


def test_plain_service_gets_one_request(mocked: Mock) -> None:
    """Where the first answer is plain nothing is asked twice."""
    service = Service(mocked, tiers_list=[], companies_create={"id": "c"})
    client = _client(transformer="auto")

    client.tiers.list()
    client.companies.create(name="n", external_org_id="o")

    assert service.asked == [
        ("GET", ["tiers.list"], [None]),
        ("POST", ["companies.create"], [{"name": "n", "externalOrgId": "o"}]),
    ]


@pytest.mark.parametrize("first", [{"code": "pro", "features": []}, ApiError.from_code("BAD_REQUEST", "no tierCode")])
def test_first_query_is_sent_again_in_superjson(mocked: Mock, first: Any) -> None:
    """When a response or a refusal shows superjson, the input may have been lost: the query is sent once more."""
    service = Service(mocked, "superjson", tiers_get=deque([first, {"code": "pro", "features": []}]))
    client = _client(transformer="auto", max_retries=0)

    assert client.tiers.get("pro").code == "pro"
    assert client.tiers.get("pro").code == "pro"

    assert [inputs for _, _, inputs in service.asked] == [[None], [{"tierCode": "pro"}], [{"tierCode": "pro"}]]


@pytest.mark.parametrize("transformer", ["json", "superjson"])
@pytest.mark.parametrize("found", [[], UNAUTHORIZED], ids=["answer", "refusal"])
def test_query_detects_the_transformer_before_a_first_mutation(mocked: Mock, transformer: str, found: Any) -> None:
    """A mutation is sent only in the service's transformer; a refusal of the query shows it too."""
    service = Service(mocked, transformer, tiers_list=found, links_reset={"linksDeleted": 1})
    client = _client(transformer="auto")

    client.links.reset(delete_contacts=True)
    client.links.reset(delete_contacts=True)

    probes = ["tiers.list"] * (1 if transformer == "json" else 2)
    assert service.paths == [*probes, "links.reset", "links.reset"]
    assert service.asked[-1] == service.asked[-2] == ("POST", ["links.reset"], [{"deleteContacts": True}])


def test_probe_uses_the_replaced_path(mocked: Mock) -> None:
    """Other names count for it too."""
    service = Service(mocked, plans=[], links_reset={"linksDeleted": 1})

    _client(transformer="auto", paths={"tiers.list": "plans"}).links.reset()

    assert service.paths == ["plans", "links.reset"]


@pytest.mark.parametrize(
    ("body", "kind", "attempts", "reported"),
    [
        (requests.ConnectionError("lost"), ConnectionFailed, 3, "lost"),
        (requests.ReadTimeout("slow"), TimedOut, 3, "timed out while waiting for the response"),
        ("<html>", InvalidResponse, 1, "<html>"),
        ('{"result":{}}', InvalidResponse, 1, "does not show the service's transformer"),
    ],
    ids=["lost", "slow", "html", "void"],
)
def test_mutation_is_not_sent_while_the_transformer_is_unknown(
    mocked: Mock, body: Any, kind: type[TransportError], attempts: int, reported: str
) -> None:
    """If the query that asks cannot be answered the mutation certainly did not run, and the error names a remedy."""
    _reply(mocked, body)
    client = _client(transformer="auto")

    error = _failure(kind, lambda: client.companies.create(name="n", external_org_id="o"))

    assert {request.method for request in _sent(mocked)} == {"GET"}
    assert (error.outcome, error.attempts, len(mocked.calls)) == ("not_sent", attempts, attempts)
    assert reported in str(error)
    assert "companies.create was not sent" in str(error)
    assert error.request == CreateCompanyInput(name="n", external_org_id="o")


def test_failed_probe_is_repeated_for_the_next_mutation(mocked: Mock) -> None:
    """Once the service answers, mutations are sent."""
    _reply(mocked, "<html>")
    _reply(mocked, {"result": {"data": []}})
    _reply(mocked, {"result": {"data": {"linksDeleted": 1}}})
    mocked.replace(responses.POST, ANYTHING, json={"result": {"data": {"linksDeleted": 1}}})
    client = _client(transformer="auto")

    _failure(InvalidResponse, client.links.reset)

    assert client.links.reset().links_deleted == 1


@pytest.mark.parametrize(("given", "transformer_of_service"), [("json", "superjson"), ("superjson", "json")])
@pytest.mark.parametrize("ask", ["query", "mutation"])
@pytest.mark.parametrize("answer", [[], ApiError.from_code("CONFLICT", "m")], ids=["result", "refusal"])
def test_wrong_transformer_is_named(
    mocked: Mock, given: Any, transformer_of_service: Any, ask: Any, answer: Any
) -> None:
    """A given transformer is not changed; the error names the right one, and the call may have run."""
    service = Service(mocked, transformer_of_service, a_b=answer)

    error = _failure(InvalidResponse, lambda: _client(transformer=given).call("a.b", {"json": 1}, kind=ask))

    assert f"transformer={transformer_of_service!r}" in str(error)
    assert (error.outcome, error.attempts, len(service.asked)) == ("unknown", 1, 1)


@pytest.mark.parametrize(("before", "after"), [("json", "superjson"), ("superjson", "json")])
def test_query_detects_a_changed_transformer(mocked: Mock, before: str, after: str) -> None:
    """The query is sent again; later calls use the new transformer."""
    service = Service(mocked, before, tiers_get={"code": "pro", "features": []}, links_reset={"linksDeleted": 0})
    client = _client(transformer="auto")
    client.tiers.get("pro")
    service.transformer = after
    service.asked.clear()

    client.tiers.get("free")
    client.links.reset(reset_mrr=True)

    assert service.paths == ["tiers.get", "tiers.get", "links.reset"]
    assert [inputs for _, _, inputs in service.asked[1:]] == [[{"tierCode": "free"}], [{"resetMrr": True}]]


def test_mutation_detects_a_changed_transformer(mocked: Mock) -> None:
    """Its input may have been lost and it may have run: that is said, it is not repeated, and the next one is right."""
    service = Service(mocked, "json", companies_update={}, tiers_list=[])
    client = _client(transformer="auto")
    client.tiers.list()
    service.transformer = "superjson"
    update = UpdateCompanyInput(company_id="c", created_at="2024-01-15T10:30:00Z")

    error = _failure(InvalidResponse, lambda: client.send(update))
    client.send(update)

    assert error.outcome == "unknown"
    assert "transformer='superjson'" in str(error)
    assert service.paths == ["tiers.list", "companies.update", "companies.update"]
    assert service.asked[-1][2] == [{"companyId": "c", "createdAt": "2024-01-15T10:30:00.000Z"}]


GATEWAY_PAGES = [{"error": {"code": "504", "message": "Timeout"}}, {"error": {"message": "Timeout"}}]


@pytest.mark.parametrize("page", GATEWAY_PAGES, ids=["code", "message"])
def test_gateway_error_does_not_change_the_transformer(mocked: Mock, page: Any) -> None:
    """An error with neither the number nor the data of tRPC shows no transformer, and may be temporary."""
    service = Service(mocked, "superjson", tiers_list=[], companies_update={})
    client = _client(transformer="auto")
    client.tiers.list()
    mocked.remove(responses.POST, ANYTHING)
    mocked.post(ANYTHING, json=page, status=504)
    service.listen(mocked)

    client.companies.update(company_id="c", created_at="2024-01-15T10:30:00Z")

    assert service.asked[-1][2] == [{"companyId": "c", "createdAt": "2024-01-15T10:30:00.000Z"}]


@pytest.mark.parametrize("page", GATEWAY_PAGES, ids=["code", "message"])
def test_gateway_error_does_not_show_the_transformer(mocked: Mock, page: Any) -> None:
    """If nothing but a gateway answers the query that asks, the mutation is not sent."""
    _reply(mocked, page, status=504)

    error = _failure(InvalidResponse, _client(transformer="auto", max_retries=0).links.reset)

    assert error.outcome == "not_sent"
    assert [request.method for request in _sent(mocked)] == ["GET"]


def test_wrong_key_is_the_error_of_a_first_mutation(mocked: Mock) -> None:
    """A refusal of the query that asks says more than that the transformer is not known."""
    _reply(mocked, {"error": {"message": "Invalid API key", "code": "401", "data": {"code": "UNAUTHORIZED"}}}, 401)

    error = _failure(UnauthorizedError, _client(transformer="auto").links.reset)

    assert (error.message, error.request) == ("Invalid API key", ResetLinksInput())
    assert [request.method for request in _sent(mocked)] == ["GET"]


def test_gateway_error_does_not_reset_the_transformer() -> None:
    """An error whose number is none of tRPC's shows nothing of how the service writes values."""
    client = _client(transformer="auto")
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mocked:
        Service(mocked, "superjson", links_reset={"linksDeleted": 0}, tiers_list=[])
        client.links.reset()
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mocked:
        _reply(mocked, {"error": {"code": 500, "message": "Internal", "status": "INTERNAL"}}, 500)
        _failure(ServerError, client.tiers.list)
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mocked:
        service = Service(mocked, "superjson", links_reset={"linksDeleted": 0})
        client.links.reset(delete_contacts=True)

    assert service.asked == [("POST", ["links.reset"], [{"deleteContacts": True}])]


def test_one_probe_serves_a_batch_of_mutations(mocked: Mock) -> None:
    """A batch that has queries needs none, for they go first."""
    service = Service(mocked, tiers_list=[], links_reset={"linksDeleted": 0})

    _client(transformer="auto").batch([ResetLinksInput(), ResetLinksInput()])
    _client(transformer="auto").batch([ResetLinksInput(), ListTiersInput()])

    assert service.paths == ["tiers.list", "links.reset,links.reset", "tiers.list", "links.reset"]


def test_failed_probe_fails_every_mutation_of_a_batch(mocked: Mock) -> None:
    """Each mutation of a batch gets its own copy of the error of the probe."""
    _reply(mocked, "<html>")

    answers = _client(transformer="auto").batch([ResetLinksInput(), ResetLinksInput(delete_contacts=True)])

    errors = [answer for answer in answers if isinstance(answer, InvalidResponse)]
    assert [error.outcome for error in errors] == ["not_sent", "not_sent"]
    assert [error.request for error in errors] == [ResetLinksInput(), ResetLinksInput(delete_contacts=True)]
    assert len(mocked.calls) == 1


# Batches


def _checks(count: int, length: int = 1) -> list[FeatureCheckInput]:
    return [FeatureCheckInput(company_id=f"c{index}" + "x" * length, feature_code="f") for index in range(count)]


@pytest.mark.parametrize(("count", "sizes"), [(1, [1]), (2, [2]), (50, [50]), (51, [50, 1]), (120, [50, 50, 20])])
def test_batch_is_split_at_fifty_calls(mocked: Mock, count: int, sizes: list[int]) -> None:
    """Answers keep the order of the calls; a part of one call is not a batch."""
    service = Service(mocked, n=deque({"isEnabled": True, "currentUsage": index} for index in range(count)))
    client = _client(paths={"features.check": "n"})

    answers = client.batch(_checks(count))

    assert [len(paths) for _, paths, _ in service.asked] == sizes
    assert ["batch=1" in url for url in service.urls] == [size > 1 for size in sizes]
    assert [getattr(answer, "current_usage", answer) for answer in answers] == list(range(count))
    sent = [given["companyId"] for _, _, inputs in service.asked for given in inputs]
    assert sent == [request.company_id for request in _checks(count)]


@pytest.mark.parametrize(
    ("transformer", "transformer_of_service"), [("json", "json"), ("auto", "json"), ("auto", "superjson")]
)
@pytest.mark.parametrize("length", [100, 1000, 3990])
def test_batch_is_split_at_eight_thousand_characters(
    mocked: Mock, transformer: str, transformer_of_service: str, length: int
) -> None:
    """No URL is longer, also while it is not known how long inputs are; few requests are much shorter."""
    service = Service(mocked, transformer_of_service, features_check={"isEnabled": True})

    answers = _client(transformer=transformer).batch(_checks(30, length))

    assert all(getattr(answer, "is_enabled", False) for answer in answers)
    assert max(map(len, service.urls)) <= 8000
    assert len(service.urls) <= (30 * (length + 120)) // (8000 - length - 300) + 3


@pytest.mark.parametrize(
    ("transformer", "length", "sizes"), [("json", 8000, [2]), ("json", 8001, [1, 1]), ("auto", 8000, [1, 1])]
)
def test_url_has_a_maximum_length(mocked: Mock, transformer: str, length: int, sizes: list[int]) -> None:
    """Eight thousand characters are fine and one more is not; an unknown transformer may take more characters."""
    service = Service(mocked, features_check={"isEnabled": True})
    _client().batch(_checks(2))
    left_characters = length - len(service.urls.pop())
    service.asked.clear()
    short, long = _checks(2)[0], FeatureCheckInput(company_id="c1x" + "x" * left_characters, feature_code="f")

    _client(transformer=transformer).batch([short, long])

    assert [len(paths) for _, paths, _ in service.asked] == sizes
    assert (max(map(len, service.urls)) == length) is (sizes == [2])


def test_too_long_call_is_sent_alone(mocked: Mock) -> None:
    """A call that cannot be split is sent in its own request."""
    service = Service(mocked, features_check={"isEnabled": True})

    _client().batch([*_checks(2), *_checks(1, 9000), *_checks(2)])

    assert [len(paths) for _, paths, _ in service.asked] == [2, 1, 2]


@pytest.mark.parametrize("ask", [ListTiersInput(), ResetLinksInput()], ids=["query", "mutation"])
def test_long_paths_count_as_well(mocked: Mock, ask: Any) -> None:
    """The paths of a batch, of whichever kind, are part of its URL."""
    service = Service(mocked)

    _client(paths={ask.path: "x" * 200}).batch([ask] * 50)

    assert sum(len(paths) for _, paths, _ in service.asked) == 50
    assert max(map(len, service.urls)) <= 8000


def test_body_of_mutations_has_no_maximum(mocked: Mock) -> None:
    """Long inputs of mutations, which are in no URL, do not split a batch."""
    service = Service(mocked, companies_create={"id": "c"})

    _client().batch([CreateCompanyInput(name="n" * 9000, external_org_id="o")] * 50)

    assert [len(paths) for _, paths, _ in service.asked] == [50]


def test_queries_and_mutations_are_sent_apart(mocked: Mock) -> None:
    """There is one request of each kind, queries first, and every answer is at its place."""
    service = Service(
        mocked,
        tiers_list=[],
        links_reset={"linksDeleted": 3},
        features_check={"isEnabled": True},
        tiers_get=UNAUTHORIZED,
    )

    reset, tiers, tier, again, check = _client().batch(
        [ResetLinksInput(), ListTiersInput(), GetTierInput(tier_code="t"), ResetLinksInput(), *_checks(1)]
    )

    assert service.paths == ["tiers.list,tiers.get,features.check", "links.reset,links.reset"]
    assert (tiers, getattr(check, "is_enabled", None)) == ([], True)
    assert getattr(reset, "links_deleted", None) == getattr(again, "links_deleted", None) == 3
    assert isinstance(tier, UnauthorizedError)
    assert tier.path == "tiers.get"
    assert tier.request == GetTierInput(tier_code="t")


def test_empty_batch_sends_nothing() -> None:
    """Where there is nothing to ask there is nothing to answer."""
    client = _client()

    assert client.batch(iter(())) == []
    assert client.transport.send_many([]) == []


@pytest.mark.parametrize(("code", "status"), [("BAD_REQUEST", 400), ("INTERNAL_SERVER_ERROR", 500)], ids=["11", "10"])
@pytest.mark.parametrize("transformer", ["json", "superjson"])
def test_service_without_batches_is_detected_once(mocked: Mock, code: str, status: int, transformer: str) -> None:
    """The message of either version of tRPC that batches are off makes this batch and later ones single calls."""
    service = Service(mocked, transformer, tiers_list=[], links_reset={"linksDeleted": 0})
    service.refuses_batches = ApiError.from_code(code, "Batching is not enabled on the server", http_status=status)
    client = _client(transformer=transformer, max_retries=0)

    assert client.batch([ListTiersInput()] * 3) == [[]] * 3
    assert client.batch([ListTiersInput()] * 2) == [[]] * 2
    client.batch([ResetLinksInput()] * 2)

    assert service.paths == [
        "tiers.list,tiers.list,tiers.list",
        *["tiers.list"] * 3,
        *["tiers.list"] * 2,
        *["links.reset"] * 2,
    ]


def test_batch_that_is_too_large_is_split(mocked: Mock) -> None:
    """Batches are halved until the service takes them, and stay so small."""
    service = Service(mocked, tiers_list=[])
    service.max_calls = 3
    client = _client(max_retries=0)

    assert client.batch([ListTiersInput()] * 10) == [[]] * 10
    first = [len(paths) for _, paths, _ in service.asked]
    service.asked.clear()
    assert client.batch([ListTiersInput()] * 6) == [[]] * 6

    assert first[:2] == [10, 5]
    assert len(first) <= 9
    assert sum(size for size in first if size <= 3) == 10
    assert [len(paths) for _, paths, _ in service.asked] == [2, 2, 2]


def test_attempts_are_counted_in_a_split_batch(mocked: Mock) -> None:
    """Each of the single calls is made as often as any call, and says how often."""
    _reply(mocked, _error("BAD_REQUEST", "Batching is not enabled on the server"), status=400)
    _reply(mocked, "", status=503)

    answers: list[Any] = _client().batch([ListTiersInput()] * 2)

    assert [type(answer) for answer in answers] == [InvalidResponse] * 2
    assert len(mocked.calls) == 7
    assert all(answer.attempts >= 3 for answer in answers)


@pytest.mark.parametrize("count", [0, 1, 3, 4])
@pytest.mark.parametrize("ask", [ListTiersInput(), ResetLinksInput()], ids=["query", "mutation"])
def test_wrong_number_of_envelopes_is_an_invalid_response(mocked: Mock, count: int, ask: Any) -> None:
    """With too few or too many answers it is not known whose they are: each call has its own error, which is final."""
    _reply(mocked, [{"result": {"data": []}}] * count)

    answers: list[Any] = _client().batch([ask, ask])

    assert [type(answer) for answer in answers] == [InvalidResponse, InvalidResponse]
    assert answers[0] is not answers[1]
    assert all(answer.request is ask and answer.outcome == "unknown" for answer in answers)
    assert len(mocked.calls) == 1


@pytest.mark.parametrize("odd", [None, {}, {"message": "no"}])
def test_odd_items_do_not_count_as_envelopes(mocked: Mock, odd: Any) -> None:
    """One invalid item among as many items as calls leaves open to which calls they belong."""
    _reply(mocked, [{"result": {"data": []}}, odd, {"result": {"data": []}}])

    assert [type(answer) for answer in _client().batch([ListTiersInput()] * 2)] == [InvalidResponse] * 2


def test_error_of_the_whole_request_fails_each_call(mocked: Mock) -> None:
    """One error object for a batch is a refusal of every call in it, each with its own path and request."""
    _reply(mocked, _error("UNAUTHORIZED", "Missing API key"), status=401)

    answers: list[Any] = _client().batch([ListTiersInput(), GetTierInput(tier_code="t")])

    assert [type(answer) for answer in answers] == [UnauthorizedError] * 2
    assert [answer.path for answer in answers] == ["tiers.list", "tiers.get"]
    assert [answer.http_status for answer in answers] == [401, 401]
    assert [answer.request for answer in answers] == [ListTiersInput(), GetTierInput(tier_code="t")]
    answers[0].data["code"] = "changed"
    assert answers[1].data == {"code": "UNAUTHORIZED"}


def test_single_result_is_an_invalid_response_to_a_batch(mocked: Mock) -> None:
    """One result cannot be that of several calls."""
    _reply(mocked, {"result": {"data": []}})

    answers = _client().batch([ListTiersInput(), ListTiersInput()])

    assert [type(answer) for answer in answers] == [InvalidResponse] * 2


def test_only_failed_calls_of_a_batch_are_retried(mocked: Mock, sleeps: list[float]) -> None:
    """Of a batch those calls are made again that may be, in one request; the others keep their answers."""
    limited, down = ApiError.from_code("TOO_MANY_REQUESTS"), ApiError.from_code("SERVICE_UNAVAILABLE")
    service = Service(
        mocked, links_create=deque([limited, down, {}]), companies_update=deque([down, {}]), links_reset=down
    )
    create = CreateLinkInput(company_id="c", external_org_id="o")
    update = UpdateCompanyInput(company_id="c", created_at="2024-01-15T10:30:00Z")

    created, updated, reset = _client().batch([create, update, ResetLinksInput()])

    assert service.paths == ["links.create,companies.update,links.reset", "links.create,companies.update"]
    assert isinstance(created, ServerError)
    assert not isinstance(updated, ChatarminError)
    assert isinstance(reset, ServerError)
    assert len(sleeps) == 1


def test_lost_batch_fails_each_call(mocked: Mock) -> None:
    """Safe calls are retried, and each call without an answer gets its own error."""
    _reply(mocked, requests.ConnectionError("lost"))

    create = CreateLinkInput(company_id="c", external_org_id="o")
    update = UpdateCompanyInput(company_id="c", created_at="2024-01-15T10:30:00Z")
    answers: list[Any] = _client().batch([create, update])

    assert [type(answer) for answer in answers] == [ConnectionFailed, ConnectionFailed]
    assert [answer.attempts for answer in answers] == [1, 3]
    assert [answer.request for answer in answers] == [create, update]
    assert len(mocked.calls) == 3


# Repeats

REFUSED = requests.ConnectionError(
    MaxRetryError(None, "/", NewConnectionError(None, "Connection refused"))  # type: ignore[arg-type]
)
CERTIFICATE = requests.exceptions.SSLError(ssl.SSLCertVerificationError(1, "self-signed certificate"))


@pytest.mark.parametrize("ask", ["query", "safe mutation", "mutation"])
@pytest.mark.parametrize(
    ("answer", "repeated"),
    [
        ((_error("TOO_MANY_REQUESTS"), 429), "any"),
        ((_error("TOO_MANY_REQUESTS"), 200), "any"),
        (("<html>", 429), "any"),
        ((_error("BAD_GATEWAY"), 502), "safe"),
        ((_error("SERVICE_UNAVAILABLE"), 503), "safe"),
        ((_error("GATEWAY_TIMEOUT"), 504), "safe"),
        ((_error("SERVICE_UNAVAILABLE"), 200), "safe"),
        ((_error("TEAPOT"), 503), "safe"),
        (("<html>", 502), "safe"),
        (("", 503), "safe"),
        (("<html>", 504), "safe"),
        ((requests.ConnectionError("lost"), 0), "safe"),
        ((requests.exceptions.ChunkedEncodingError("cut"), 0), "safe"),
        ((requests.ReadTimeout("slow"), 0), "safe"),
        ((REFUSED, 0), "any"),
        ((requests.ConnectTimeout("slow"), 0), "any"),
        ((CERTIFICATE, 0), "never"),
        ((_error("INTERNAL_SERVER_ERROR"), 500), "never"),
        ((_error("NOT_IMPLEMENTED"), 501), "never"),
        ((_error("BAD_REQUEST"), 400), "never"),
        ((_error("UNAUTHORIZED"), 401), "never"),
        ((_error("TIMEOUT"), 408), "never"),
        ((_error("CONFLICT"), 409), "never"),
        ((_error("PRECONDITION_FAILED"), 412), "never"),
        (("<html>", 200), "never"),
        (("<html>", 403), "never"),
        (("<html>", 500), "never"),
        (("", 302), "never"),
    ],
)
def test_retries_by_failure(
    mocked: Mock, sleeps: list[float], answer: tuple[Any, int], repeated: str, ask: str
) -> None:
    """Any call is retried that did not run; after a temporary failure only safe calls are, and after others none."""
    body, status = answer
    _reply(mocked, body, status=status or 200)
    client = _client(max_retries=3)
    path, kind, is_safe = {
        "query": ("tiers.list", "query", True),
        "safe mutation": ("companies.update", "mutation", True),
        "mutation": ("links.reset", "mutation", False),
    }[ask]

    with pytest.raises((ApiError, TransportError)) as failed:
        client.transport.send(Call(path, kind, None, is_safe))  # type: ignore[arg-type]

    attempts = 4 if repeated == "any" or (repeated == "safe" and is_safe) else 1
    assert len(mocked.calls) == attempts
    assert len(sleeps) == attempts - 1
    assert all(0 <= nap <= max_wait(attempt) for attempt, nap in enumerate(sleeps, 1))
    if isinstance(failed.value, TransportError):
        unsent = body in (REFUSED, CERTIFICATE) or isinstance(body, requests.ConnectTimeout)
        assert (failed.value.attempts, failed.value.outcome) == (attempts, "not_sent" if unsent else "unknown")


@pytest.mark.parametrize("max_retries", [0, 1, 2, 5])
def test_retries_are_counted(mocked: Mock, max_retries: int) -> None:
    """A call is made once, and again at most as often as was said."""
    _reply(mocked, "", status=503)

    error = _failure(InvalidResponse, _client(max_retries=max_retries).tiers.list)

    assert len(mocked.calls) == error.attempts == max_retries + 1


def test_retry_succeeds(mocked: Mock) -> None:
    """A temporary failure leaves no trace; the retry is the same request, with the same idempotency key."""
    _reply(mocked, "<html>", status=502)
    _reply(mocked, requests.ConnectionError("lost"))
    _reply(mocked, {"result": {"data": {"currentUsage": 5}}})

    usage = _client().billing.track_usage(company_id="c", feature_code="f", quantity=1)

    first, second, third = [request.body for request in _sent(mocked)]
    assert usage.current_usage == 5
    assert first == second == third
    assert "idempotencyKey" in str(first)


def test_unknown_outcome_stays_unknown(mocked: Mock) -> None:
    """Where an earlier attempt may have run, a later one that was not sent does not undo that."""
    _reply(mocked, requests.ConnectionError("lost"))
    _reply(mocked, REFUSED)

    error = _failure(ConnectionFailed, _client().tiers.list)

    assert (error.outcome, error.attempts) == ("unknown", 3)
    assert "Connection refused" in str(error)


@pytest.mark.parametrize("status", [502, 503, 504])
@pytest.mark.parametrize("body", ["envelope", "<html>"])
def test_outcome_is_unknown_if_the_service_was_reached_before(mocked: Mock, status: int, body: str) -> None:
    """An earlier attempt that was answered may have run, whether the response was tRPC or not."""
    codes = {502: "BAD_GATEWAY", 503: "SERVICE_UNAVAILABLE", 504: "GATEWAY_TIMEOUT"}
    _reply(mocked, _error(codes[status]) if body == "envelope" else body, status=status)
    _reply(mocked, REFUSED)
    update = UpdateCompanyInput(company_id="c", created_at="2024-01-15T10:30:00Z")

    error = _failure(ConnectionFailed, lambda: _client().send(update))

    assert (error.outcome, error.attempts) == ("unknown", 3)


def test_query_in_the_wrong_transformer_counts_as_sent(mocked: Mock) -> None:
    """If it cannot be retried, it may still have reached the service."""
    _reply(mocked, {"result": {"data": {"json": []}}})
    _reply(mocked, REFUSED)

    error = _failure(ConnectionFailed, _client(transformer="auto", max_retries=0).tiers.list)

    assert error.outcome == "unknown"


def test_response_after_an_unsent_attempt_is_retried_by_its_own_rule(mocked: Mock) -> None:
    """A call that was not sent is made again, and once it may have run it is not."""
    _reply(mocked, REFUSED)
    _reply(mocked, "", status=503)

    error = _failure(InvalidResponse, _client().links.reset)

    assert (error.outcome, error.attempts, len(mocked.calls)) == ("unknown", 2, 2)


def test_untrusted_certificate_is_named(mocked: Mock) -> None:
    """The error names the problem and a remedy."""
    _reply(mocked, CERTIFICATE)

    error = _failure(ConnectionFailed, _client().tiers.list)

    assert "certificate" in str(error)
    assert "REQUESTS_CA_BUNDLE" in str(error)


def test_service_that_is_down_is_not_flooded(mocked: Mock) -> None:
    """A transport has twenty repeats; when they are used up calls are made once."""
    _reply(mocked, "", status=503)
    client = _client()

    attempts = [_failure(InvalidResponse, client.tiers.list).attempts for _ in range(30)]

    assert attempts[:10] == [3] * 10
    assert attempts[10:] == [1] * 20


def test_answered_calls_refund_retries(mocked: Mock) -> None:
    """Five calls that are answered make one repeat possible again."""
    service = Service(mocked, tiers_list=[], tiers_get=ApiError.from_code("SERVICE_UNAVAILABLE"))
    client = _client(max_retries=20)
    _failure(ServerError, lambda: client.tiers.get("t"))

    for _ in range(6):
        client.tiers.list()
    service.asked.clear()
    _failure(ServerError, lambda: client.tiers.get("t"))

    assert service.paths == ["tiers.get"] * 2


def test_deadline_that_has_passed_sends_nothing(mocked: Mock) -> None:
    """Without time nothing is sent, for a batch as for a call."""
    _reply(mocked, {"result": {"data": []}})
    client = _client(timeout=1e-9)

    error = _failure(TimedOut, client.links.reset)
    answers = client.batch([ListTiersInput(), ResetLinksInput()])

    assert (error.outcome, error.attempts) == ("not_sent", 1)
    assert [getattr(answer, "outcome", None) for answer in answers] == ["not_sent", "not_sent"]
    assert not mocked.calls


def test_wait_beyond_the_deadline_ends_the_call(mocked: Mock, sleeps: list[float]) -> None:
    """A call is not retried if the wait would take longer than the time that is left."""
    _reply(mocked, "", status=503, headers={"Retry-After": "0.5"})

    error = _failure(InvalidResponse, _client(timeout=0.4).tiers.list)

    assert (error.attempts, error.retry_after, sleeps) == (1, 0.5, [])


# Retry-After


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("body", ["envelope", "<html>"])
def test_wait_within_the_deadline_is_waited(mocked: Mock, sleeps: list[float], status: int, body: str) -> None:
    """The service's own wait counts where it is longer, in seconds or as a date."""
    started = datetime.now(UTC)
    soon = format_datetime(started + timedelta(seconds=6), usegmt=True)  # in whole seconds
    max_seconds = (
        6 - started.microsecond / 1e6 + 0.02
    )  # the real clock that is read may be one tick of the system behind
    content = _error("TOO_MANY_REQUESTS" if status == 429 else "SERVICE_UNAVAILABLE") if body == "envelope" else body
    _reply(mocked, content, status=status, headers={"Retry-After": "3"})
    _reply(mocked, content, status=status, headers={"Retry-After": soon})
    _reply(mocked, {"result": {"data": []}})

    assert _client().tiers.list() == []

    assert sleeps[0] == 3
    assert 3 < sleeps[1] <= max_seconds


@pytest.mark.parametrize("after", ["60", "date"])
@pytest.mark.parametrize(
    ("status", "code"), [(429, "TOO_MANY_REQUESTS"), (503, "SERVICE_UNAVAILABLE")], ids=["429", "503"]
)
def test_wait_beyond_the_deadline_is_on_the_error(
    mocked: Mock, sleeps: list[float], after: str, status: int, code: str
) -> None:
    """Where the deadline comes first the error is raised at once, and says how long to wait."""
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=61), usegmt=True) if after == "date" else after
    _reply(mocked, _error(code), status=status, headers={"Retry-After": later})
    _reply(mocked, "<html>", status=status, headers={"Retry-After": later})
    client = _client()

    errors: list[Any] = [_failure_of(client.tiers.list) for _ in range(2)]

    assert [type(error) for error in errors] == [RateLimitError if status == 429 else ServerError, InvalidResponse]
    assert all(30 < error.retry_after < 62 for error in errors)  # the clock that is read may be one tick behind
    assert sleeps == []
    assert len(mocked.calls) == 2


@pytest.mark.parametrize("value", ["-3", "soon", "", "nan", "1e9", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_invalid_wait_is_ignored(mocked: Mock, sleeps: list[float], value: str) -> None:
    """Junk and instants in the past count as no wait."""
    _reply(mocked, _error("TOO_MANY_REQUESTS"), status=429, headers={"Retry-After": value})

    error = _failure(RateLimitError, _client().tiers.list)

    assert error.retry_after is None
    assert len(sleeps) == 2


def test_error_without_a_retry_has_the_wait(mocked: Mock) -> None:
    """A mutation that may have run is not made again, and the error still says when the service is back."""
    _reply(mocked, _error("SERVICE_UNAVAILABLE"), status=503, headers={"Retry-After": "1"})
    _reply(mocked, _error("INTERNAL_SERVER_ERROR"), status=500, headers={"Retry-After": "1"})
    client = _client()

    errors = [_failure(ServerError, client.links.reset) for _ in range(2)]

    assert [error.retry_after for error in errors] == [1, None]


# Secrets


def _texts(root: Any) -> Iterator[str]:
    """Yield all texts that can be reached from an object by attributes, keys and items."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, type):
            continue
        seen.add(id(one))
        if isinstance(one, (str, bytes)):
            yield one if isinstance(one, str) else one.decode("latin-1")
        elif isinstance(one, dict):
            waiting += [*one, *one.values()]
        elif isinstance(one, (list, tuple, set, frozenset)):
            waiting += one
        else:
            slots: list[str] = [slot for kind in type(one).__mro__ for slot in getattr(kind, "__slots__", ())]
            waiting += [getattr(one, slot, None) for slot in slots]
            waiting += [getattr(one, "__dict__", None), getattr(one, "args", None)]
            waiting += [getattr(one, "__cause__", None), getattr(one, "__context__", None)]


ECHOES: dict[str, tuple[Any, int, dict[str, str]]] = {
    "message": (_error("FORBIDDEN", f"the key {KEY} may not"), 403, {}),
    "data": ({"error": {"message": "m", "data": {"code": "FORBIDDEN", KEY: [{"key": f"-{KEY}-"}]}}}, 403, {}),
    "code": ({"error": {"message": "m", "data": {"code": KEY}}}, 403, {}),
    "issues": (_error("BAD_REQUEST", json.dumps([{"path": [KEY], "message": KEY}])), 400, {}),
    "superjson": ({"error": {"json": {"message": KEY, "data": {"code": "FORBIDDEN", "k": KEY}}}}, 403, {}),
    "page": (f"<html>{'x' * 190}{KEY}", 403, {}),
    "cut page": (f"<html>{'x' * 185}{KEY}", 403, {}),
    "type": ("<html>", 403, {"Content-Type": f"text/{KEY}"}),
    "cut type": ("<html>", 403, {"Content-Type": "t" * 70 + KEY}),
    "request id": (_error("FORBIDDEN"), 403, {"X-Request-Id": KEY}),
    "cut request id": (_error("FORBIDDEN"), 403, {"X-Request-Id": "r" * 190 + KEY}),
    "redirect": ("", 302, {"Location": f"https://os.test/?key={KEY}"}),
    "number": ('{"result":{"data":1' + KEY, 403, {}),
    "lost": (requests.ConnectionError(f"Authorization: Bearer {KEY}"), 0, {}),
    "not sent": (requests.ConnectTimeout(f"Authorization: Bearer {KEY}"), 0, {}),
    "rate": (_error("TOO_MANY_REQUESTS", KEY), 429, {"Retry-After": KEY}),
    "wrong type": ({"result": {"data": [{"code": {KEY: KEY}}]}}, 200, {}),
}


@pytest.mark.parametrize("name", ECHOES)
@pytest.mark.parametrize("transformer", ["auto", "json"])
def test_echoed_key_is_shown_nowhere(mocked: Mock, caplog: Log, name: str, transformer: str) -> None:
    """Wherever a service puts the key, it is in no text, attribute, copy, pickle or line of the log."""
    caplog.set_level(logging.DEBUG)
    body, status, headers = ECHOES[name]
    _reply(mocked, body, status=status or 200, headers=headers)
    client = _client(transformer=transformer)

    single = _failure_of(client.tiers.list)
    errors = [
        single,
        *[answer for answer in client.batch([ListTiersInput()] * 2) if isinstance(answer, ChatarminError)],
    ]

    for error in errors:
        shown = [str(error), repr(error), repr(vars(error)), *_texts(error), *_texts(copy.deepcopy(error))]
        shown += [pickle.dumps(error).decode("latin-1"), repr(getattr(error, "issues", None))]
        assert not [text for text in shown if KEY in text or KEY[:-1] in text]
        assert len(str(error)) < 1000
        assert str(error).isprintable()
    assert len(errors) == 3
    assert KEY not in caplog.text


@pytest.mark.parametrize("key", ["os_sk_a/b+c==", 'os_sk_"quoted"', "os_sk_back\\slash", "os_sk_<&>'"])
@pytest.mark.parametrize(
    "escape", [json.dumps, lambda text: json.dumps(text).replace("/", "\\/")], ids=["plain", "slash"]
)
def test_key_is_redacted_if_json_escapes_it(mocked: Mock, key: str, escape: Callable[[str], str]) -> None:
    """How the service writes its text down makes no difference."""
    _reply(mocked, '{"error":{"message":%s,"data":{"code":"FORBIDDEN","k":%s}}}' % (escape(key), escape(key)))  # noqa: UP031

    error = _failure_of(ChatarminOS(transport=HTTPTransport(key, URL)).tiers.list)

    assert not [text for text in _texts(error) if key in text]


def test_key_that_a_result_echoes_is_redacted(mocked: Mock) -> None:
    """An answer is read without the key, so that nothing that is made of it has it."""
    _reply(mocked, {"result": {"data": {"code": "t", "name": KEY, "features": [], "more": {KEY: KEY}}}})

    tier = _client().tiers.get("t")

    assert not [text for text in _texts([tier, tier.extra]) if KEY in text]


@in_any_session
def test_key_is_in_no_attribute(mocked: Mock, session: Given) -> None:
    """Neither client nor transport has an attribute that leads to the key, before and after a call."""
    client = _client(session=session)
    _reply(mocked, {"result": {"data": []}})

    client.tiers.list()

    assert not [text for text in [*_texts(client), repr(client), repr(client.transport)] if KEY in text]


@in_any_session
def test_key_is_in_no_connection_error(mocked: Mock, session: Given) -> None:
    """The request with its headers, which requests attaches to its exceptions, is dropped."""
    lost = requests.ConnectionError("lost", request=requests.Request("GET", URL, {"Authorization": KEY}).prepare())
    _reply(mocked, lost)

    error = _failure(ConnectionFailed, _client(session=session, max_retries=0).tiers.list)

    assert not [text for text in _texts(error) if KEY in text]
    assert error.__cause__ is None
    assert error.__context__ is sys.exc_info()[1]  # the exception that the test runner is handling, if any


def test_message_of_a_refusal_is_short_and_on_one_line(mocked: Mock) -> None:
    """Whatever a service says, an error's text stays below 1,000 characters and has no control characters."""
    _reply(
        mocked, _error("\x1b[31mCODE\n", "first\nsecond\x00\u202e" + "x" * 10_000), headers={"X-Request-Id": "r" * 900}
    )

    error = _failure(ApiError, _client().tiers.list)

    assert len(str(error)) < 1000
    assert str(error).isprintable()
    assert "first second" in str(error)


# The log


def test_attempt_is_logged_on_one_line(mocked: Mock, caplog: Log) -> None:
    """There is one line at DEBUG for each attempt and one at INFO for each repeat, without inputs and answers."""
    caplog.set_level(logging.DEBUG)
    _reply(mocked, "<html>secret page", status=503, headers={"X-Request-Id": "req_1"})
    _reply(mocked, requests.ConnectionError("lost"))
    _reply(mocked, {"result": {"data": {"code": "secret code", "features": []}}})

    _client().tiers.get("secret tier")

    lines = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert {record.name for record in caplog.records} == {"chatarmin_os"}
    assert [re.sub(r"[0-9.]+ ms", "N ms", text) for _, text in lines] == [
        "tiers.get, attempt 1: 503 after N ms, request req_1",
        "tiers.get: retry in N ms",
        "tiers.get, attempt 2: ConnectionFailed after N ms",
        "tiers.get: retry in N ms",
        "tiers.get, attempt 3: 200 after N ms",
    ]
    assert [level for level, _ in lines] == ["DEBUG", "INFO", "DEBUG", "INFO", "DEBUG"]
    assert "secret" not in caplog.text


def test_batch_is_logged_with_each_path_once(mocked: Mock, caplog: Log) -> None:
    """A line is about a request, not about a call."""
    caplog.set_level(logging.DEBUG, "chatarmin_os")
    Service(mocked, tiers_list=[])

    _client().batch([ListTiersInput(), GetTierInput(tier_code="t"), ListTiersInput()])

    (record,) = caplog.records
    assert record.getMessage().startswith("tiers.list,tiers.get, attempt 1: 200 after ")


def test_disabled_log_costs_nothing(mocked: Mock, caplog: Log) -> None:
    """Above DEBUG there is no line for an attempt."""
    caplog.set_level(logging.INFO)
    _reply(mocked, {"result": {"data": []}})

    _client().tiers.list()

    assert caplog.records == []


def test_only_warnings_are_written_without_a_configured_log() -> None:
    """A program that does not set up logging sees no attempt and no retry, and sees usage that is lost."""
    code = (
        "import logging\n"
        "from chatarmin_os import ChatarminOS, ConnectionFailed\n"
        "client = ChatarminOS('os_sk_test', base_url='http://127.0.0.1:1/api/v1', max_retries=1)\n"
        "try:\n"
        "    client.tiers.list()\n"
        "except ConnectionFailed:\n"
        "    logging.getLogger('chatarmin_os').warning('usage was lost')\n"
    )

    command = [sys.executable, "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)  # noqa: S603 - our own code

    assert (found.stdout, found.stderr) == ("", "usage was lost\n")


def test_probe_of_the_transformer_is_logged(mocked: Mock, caplog: Log) -> None:
    """The probe, and the query that is sent again in the right transformer, are attempts like any other."""
    caplog.set_level(logging.DEBUG)
    service = Service(mocked, "superjson", tiers_list=[], links_reset={"linksDeleted": 0})

    _client(transformer="auto").links.reset()

    assert [record.getMessage().partition(",")[0] for record in caplog.records] == service.paths
    assert service.paths == ["tiers.list", "tiers.list", "links.reset"]


# Copies


@pytest.mark.parametrize("holder", [HTTPTransport(KEY, URL), _client()], ids=["transport", "client"])
def test_transport_is_not_pickled(holder: Any) -> None:
    """A key and connections are not for other processes: pickling is refused."""
    with pytest.raises(TypeError, match="does not pickle"):
        pickle.dumps(holder)


@pytest.mark.parametrize("act", [copy.copy, copy.deepcopy])
def test_transport_has_no_copies(act: Callable[[Any], object]) -> None:
    """A copy of a transport would share connections, and is refused as well."""
    with pytest.raises(TypeError, match="does not pickle"):
        act(HTTPTransport(KEY, URL))


# Settings

BAD_SETTINGS: list[tuple[str, Any]] = [
    *[("api_key", key) for key in ("", "  ", "\n", "os_sk_\nkey", "os_sk_\x00", "os_sk_schlüssel", 5, b"os_sk_bytes")],
    *[("base_url", url) for url in ("", " ", "os.test", "ftp://os.test", "https://", "https://:443", "//os.test", 5)],
    *[("base_url", f"https://{url}") for url in ("os.test?a=1", "os.test#a", "u:p@os.test", "u@os.test", "os.test:0")],
    *[("base_url", f"https://{url}") for url in ("os.test:99999", "os.test:x", "os test", "os.test/a b", "[::1")],
    *[("base_url", f"https://{url}") for url in ("os.test/\n", ".", "os.test/\x7f", "*.test", "os.test\\@x")],
    *[("base_url", f"http://{host}") for host in ("os.test", "10.0.0.1", "0.0.0.0", "localhost.os.test")],  # noqa: S104
    *[("base_url", f"http://{host}") for host in ("127.0.0.1.os.test", "[::2]", "128.0.0.1", "mylocalhost")],
    *[("timeout", seconds) for seconds in (0, -1, float("nan"), float("inf"), "5", True, None, 10**400)],
    *[("max_retries", count) for count in (-1, 1.5, "2", True, None, float("inf"))],
    *[("transformer", name) for name in ("", "JSON", None, 5, ["json"])],
    *[("paths", paths) for paths in ("a", [("a", "b")], 5, {5: "a"}, {"a": 5}, {"": "a"}, {"a": " "}, {"a": None})],
    *[("session", session) for session in ("s", requests.Session, object())],
    *[("auth", auth) for auth in ("os_sk_secret", ("os_sk_secret",), ("a", "b", "os_sk_secret"), 5)],
    *[("allow_http", flag) for flag in (1, "yes", None)],
]


@pytest.mark.parametrize(("field", "value"), BAD_SETTINGS)
def test_invalid_setting_is_refused(field: str, value: Any) -> None:
    """A bad setting is refused when the transport is made, by the name of its argument, and no secret is shown."""
    settings = {"api_key": KEY, "base_url": URL, field: value}

    error = _failure(InvalidInput, lambda: HTTPTransport(**settings))

    assert str(error.field).partition(".")[0].partition("[")[0] == field
    assert str(error).startswith(field)
    assert isinstance(error, ValueError)
    assert not re.search(r"os_sk_(?!\.\.\.)|schl|u:p@|u@", repr([str(error), vars(error), error.args]))
    assert str(error).isprintable()


@pytest.mark.parametrize("field", ["api_key", "base_url", "timeout", "max_retries"])
def test_client_refuses_the_same_settings(field: str) -> None:
    """The settings that the client passes to the transport are refused by the same rules."""
    for value in [value for name, value in BAD_SETTINGS if name == field]:
        settings = {"api_key": KEY, "base_url": URL, field: value}
        assert _failure(InvalidInput, lambda given=settings: ChatarminOS(**given)).field == field  # type: ignore[misc]


def test_missing_key_names_the_argument_and_the_variable() -> None:
    """Without a key the error names the argument and the variable."""
    error = _failure(InvalidInput, ChatarminOS)

    assert error.field == "api_key"
    assert "OS_API_KEY" in str(error)


@pytest.mark.parametrize("value", ["", "  ", "os_sk_\nkey", "os_sk_schlüssel"])
def test_key_of_the_environment_is_checked(monkeypatch: Patch, value: str) -> None:
    """A blank or broken key of the environment is refused, and not shown."""
    monkeypatch.setenv("OS_API_KEY", value)

    error = _failure(InvalidInput, ChatarminOS)

    assert error.field == "api_key"
    assert "os_sk_\n" not in str(error)
    assert "schl" not in str(error)


def test_invalid_url_of_the_environment_is_refused(monkeypatch: Patch) -> None:
    """OS_BASE_URL is checked as the argument is; a blank one is none."""
    monkeypatch.setenv("OS_BASE_URL", "http://os.test")
    assert _failure(InvalidInput, lambda: ChatarminOS(KEY)).field == "base_url"

    monkeypatch.setenv("OS_BASE_URL", "")
    assert "os.chatarmin.com" in repr(ChatarminOS(KEY).transport)


@pytest.mark.parametrize(
    ("given", "settings", "url"),
    [
        ("http://localhost:3001/api/v1", {}, "http://localhost:3001/api/v1"),
        ("http://LOCALHOST/", {}, "http://localhost"),
        ("http://127.0.0.1:3001", {}, "http://127.0.0.1:3001"),
        ("http://127.255.0.9", {}, "http://127.255.0.9"),
        ("http://[::1]:80/", {}, "http://[::1]:80"),
        ("http://os.test/api", {"allow_http": True}, "http://os.test/api"),
        ("https://OS.test/Api//", {}, "https://os.test/Api"),
        ("https://os.test/api?", {}, "https://os.test/api"),
        ("https://os.test/api#", {}, "https://os.test/api"),
        ("https://bücher.test", {}, "https://xn--bcher-kva.test"),
        ("HTTPS://os.test:8443", {}, "https://os.test:8443"),
    ],
)
def test_valid_url_is_accepted(mocked: Mock, given: str, settings: Any, url: str) -> None:
    """Https may lead anywhere, plain http to this machine, or anywhere where that is allowed in so many words."""
    mocked.add(responses.GET, re.compile(".*"), json={"result": {"data": []}})

    ChatarminOS(transport=HTTPTransport(KEY, given, **settings)).tiers.list()

    assert _sent(mocked)[0].url == f"{url}/tiers.list"


@pytest.mark.parametrize("value", [30, 29.5, 1e300])
def test_valid_timeout_is_accepted(mocked: Mock, value: float) -> None:
    """Any number of seconds above 0 does, whole or not, however large."""
    _reply(mocked, {"result": {"data": []}})

    assert ChatarminOS(KEY, base_url=URL, timeout=value, max_retries=0).tiers.list() == []


def test_short_timeout_is_accepted() -> None:
    """A millisecond is a timeout, however little can be done in it."""
    ChatarminOS(KEY, base_url=URL, timeout=0.001).close()


# Others who look on


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """The spans of OpenTelemetry's instrumentation of requests."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    RequestsInstrumentor().instrument(tracer_provider=provider)
    yield exporter
    RequestsInstrumentor().uninstrument()
    provider.shutdown()


@in_any_session
def test_attempt_is_a_span(mocked: Mock, spans: InMemorySpanExporter, session: Given) -> None:
    """OpenTelemetry sees each request, with its status, and the service gets the trace; no span has the key."""
    down = ApiError.from_code("SERVICE_UNAVAILABLE")
    company = deque([down, {"id": "c"}])
    Service(mocked, tiers_list=[], companies_getByProductLink=company, links_reset={"linksDeleted": 0})
    client = _client(session=session)

    client.tiers.list()
    client.companies.get_by_product_link(external_org_id="o")
    client.links.reset()

    seen = spans.get_finished_spans()
    attributes: list[dict[str, Any]] = [dict(span.attributes or {}) for span in seen]
    status = [next(value for name, value in one.items() if name.endswith("status_code")) for one in attributes]
    assert [span.name for span in seen] == ["GET", "GET", "GET", "POST"]
    assert status == [200, 503, 200, 200]
    assert KEY not in repr(attributes)
    parents = [request.headers["traceparent"] for request in _sent(mocked)]
    assert len(set(parents)) == 4


def test_lost_connection_is_a_span(mocked: Mock, spans: InMemorySpanExporter) -> None:
    """A call without a response is a span with its exception."""
    _reply(mocked, requests.ConnectionError("lost"))

    _failure(ConnectionFailed, _client(max_retries=0).tiers.list)

    (span,) = spans.get_finished_spans()
    assert not span.status.is_ok


def test_exception_being_handled_is_no_cause(mocked: responses.RequestsMock) -> None:
    """A call that is made while another exception is handled shows its own failure, not that one."""
    _reply(mocked, requests.ConnectionError("lost"))

    try:
        raise TimeoutError("of the caller")  # noqa: TRY301 - it simulates the caller's own
    except TimeoutError:
        error = _failure(ConnectionFailed, _client(max_retries=0).tiers.list)

    assert "lost" in str(error)
