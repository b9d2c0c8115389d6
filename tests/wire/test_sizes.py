"""Requests that are too large for a server: batches are sent in parts, a single call says how large it was.

The answers are those of real servers: Fastify 5.0 and 5.12, express 4.21 with express.json(), Node 20, tRPC 11.25,
nginx 1.22, HAProxy and IIS.
"""

from __future__ import annotations

import copy
import json
import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import responses

from chatarmin_os import (
    ApiError,
    ChatarminError,
    ChatarminOS,
    CreateCompanyInput,
    FeatureCheckInput,
    InvalidResponse,
    ListTiersInput,
    RateLimitError,
    ServerError,
    TrackUsageInput,
)
from chatarmin_os.transports import HTTPTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import requests

Mock: TypeAlias = responses.RequestsMock
Answer: TypeAlias = tuple[int, dict[str, str], str]

URL = "https://os.test/api/v1"
HTML, JSON = {"Content-Type": "text/html; charset=utf-8"}, {"Content-Type": "application/json"}
EXPRESS = (
    '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>Error</title>\n</head>\n<body>\n'
    "<pre>PayloadTooLargeError: request entity too large<br> &nbsp; &nbsp;at readStream</pre>\n</body>\n</html>\n"
)


@pytest.fixture(autouse=True)
def mocked() -> Iterator[Mock]:
    """Answer every request with the responses that a test adds."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


class Asked(NamedTuple):
    """A request as a server sees it."""

    method: str
    url: str
    path: str
    inputs: list[Any]
    body: bytes

    @property
    def is_batch(self) -> bool:
        return "batch=1" in self.url


class Limited:
    """A service behind a server that refuses large requests; it keeps the received ones.

    Attributes:
        asked: Each request that came.
        refused: How many of them were too large.
    """

    def __init__(self, mocked: Mock, is_too_large: Callable[[Asked], bool], refusal: Callable[[Asked], Answer]) -> None:
        self.is_too_large, self.refusal = is_too_large, refusal
        self.asked: list[Asked] = []
        self.refused = 0
        for method in (responses.GET, responses.POST):
            mocked.add_callback(method, re.compile(URL), self._respond)

    def _respond(self, request: requests.PreparedRequest) -> Answer:
        url = urlsplit(str(request.url))
        path = unquote(url.path).removeprefix("/api/v1/")
        body = request.body if isinstance(request.body, bytes) else b""
        content = json.loads(body or parse_qs(url.query).get("input", ["{}"])[0])
        inputs = list(content.values()) if "batch=1" in url.query else [content]
        asked = Asked(str(request.method), str(request.url), path, inputs, body)
        self.asked.append(asked)
        if self.is_too_large(asked):
            self.refused += 1
            return self.refusal(asked)
        items = [
            {"result": {"data": _answer(name, given)}} for name, given in zip(path.split(","), inputs, strict=True)
        ]
        return 200, JSON, json.dumps(items if asked.is_batch else items[0])

    @property
    def sizes(self) -> list[int]:
        """How many calls were in each request."""
        return [len(asked.path.split(",")) for asked in self.asked]


def _answer(path: str, given: Any) -> Any:
    if path == "billing.trackUsage":
        return {"currentUsage": given["quantity"]}
    return (
        {"id": given["name"]}
        if path == "companies.create"
        else {"isEnabled": True, "featureCode": given["featureCode"]}
    )


def _fastify_414(asked: Asked) -> Answer:
    reported = f"'{urlsplit(asked.url).path}' is exceeding the max param length"
    error = {"error": "Bad Request", "code": "FST_ERR_MAX_PARAM_LENGTH", "message": reported, "statusCode": 414}
    return 414, JSON, json.dumps(error)


def _fastify_404(asked: Asked) -> Answer:
    reported = f"Route {asked.method}:{urlsplit(asked.url).path} not found"
    return 404, JSON, json.dumps({"message": reported, "error": "Not Found", "statusCode": 404})


def _trpc_413(asked: Asked) -> Answer:
    data = {"code": "PAYLOAD_TOO_LARGE", "httpStatus": 413}
    error = {"error": {"message": "PAYLOAD_TOO_LARGE", "code": -32013, "data": data}}
    return 413, JSON, json.dumps([error] * len(asked.inputs) if asked.is_batch else error)


def _always(status: int, headers: dict[str, str], body: str) -> Callable[[Asked], Answer]:
    return lambda _: (status, headers, body)


def _long_path(asked: Asked) -> bool:
    return len(asked.path) > 100


def _long_url(maximum: int) -> Callable[[Asked], bool]:
    return lambda asked: len(asked.url) > maximum


def _long_body(maximum: int) -> Callable[[Asked], bool]:
    return lambda asked: len(asked.body) > maximum


_NGINX = "<html>\r\n<head><title>414 Request-URI Too Large</title></head>\r\n</html>\r\n"
_NGINX_400 = "<html>\r\n<head><title>400 Request Header Or Cookie Too Large</title></head>\r\n</html>\r\n"
QUERIES: dict[str, tuple[Callable[[Asked], bool], Callable[[Asked], Answer]]] = {
    "fastify": (_long_path, _fastify_414),
    "fastify-5.0": (_long_path, _fastify_404),
    "node": (_long_url(4000), _always(431, {}, "")),
    "nginx": (_long_url(4000), _always(414, HTML, _NGINX)),
    "nginx-headers": (_long_url(4000), _always(400, HTML, _NGINX_400)),
    "haproxy": (_long_url(4000), _always(400, HTML, "<html><body><h1>400 Bad request</h1>\n</body></html>\n")),
    "iis": (_long_url(2048), _always(404, HTML, "<!DOCTYPE html><html><head><title>404.15</title></head></html>")),
    "cloud": (_long_url(3000), _always(413, JSON, '{"message": "Request Entity Too Large"}')),
    "nothing": (_long_url(1000), _always(414, {}, "")),
}
MUTATIONS: dict[str, tuple[Callable[[Asked], bool], Callable[[Asked], Answer]]] = {
    "express": (_long_body(1500), _always(413, HTML, EXPRESS)),
    "trpc": (_long_body(1500), _trpc_413),
    "fastify-body": (_long_body(1500), _always(413, JSON, '{"statusCode": 413, "error": "Payload Too Large"}')),
    "nothing": (_long_body(1500), _always(413, {}, "")),
    "fastify": (_long_path, _fastify_414),
    "fastify-5.0": (_long_path, _fastify_404),
    "url": (_long_url(200), _always(414, HTML, _NGINX)),
}


WAITS: list[float] = []
"""The waits between attempts, which take no time."""


def _client(**settings: Any) -> ChatarminOS:
    given = {"transformer": "json", "max_retries": 0, "sleep": WAITS.append, **settings}
    return ChatarminOS(transport=HTTPTransport("os_sk_test", URL, **given))


def _checks(count: int) -> list[Any]:
    return [FeatureCheckInput(company_id="c" * 36, feature_code=f"f{number}") for number in range(count)]


def _events(count: int, filler: int = 10) -> list[Any]:
    return [
        TrackUsageInput(company_id="c" * 36, feature_code="seats", quantity=number + 1, metadata={"note": "n" * filler})
        for number in range(count)
    ]


@pytest.mark.parametrize("name", QUERIES)
def test_batch_of_queries_that_is_too_large_is_sent_in_parts(mocked: Mock, name: str) -> None:
    """Each call has its own answer, and the next batch begins with a size that the server accepts."""
    service, client = Limited(mocked, *QUERIES[name]), _client()

    first: list[Any] = client.batch(_checks(50))
    refused = service.refused
    service.asked.clear()
    second: list[Any] = client.batch(_checks(50))

    assert [access.feature_code for access in first] == [f"f{number}" for number in range(50)]
    assert [access.feature_code for access in second] == [f"f{number}" for number in range(50)]
    assert 1 <= refused <= 4
    assert service.refused == refused
    assert max(service.sizes) > 3


@pytest.mark.parametrize("name", MUTATIONS)
def test_batch_of_mutations_that_is_too_large_is_sent_in_parts(mocked: Mock, name: str) -> None:
    """Each call ran once, also those that may not be repeated: a batch that was refused for its size did not run."""
    service, client = Limited(mocked, *MUTATIONS[name]), _client()
    companies = [CreateCompanyInput(name=f"n{number}", external_org_id=f"o{number}") for number in range(20)]

    created: list[Any] = client.batch(companies)
    counted: list[Any] = client.batch(_events(30))
    refused = service.refused
    again: list[Any] = client.batch(_events(30))

    assert [company.id for company in created] == [f"n{number}" for number in range(20)]
    assert [usage.current_usage for usage in counted] == [usage.current_usage for usage in again] == [*range(1, 31)]
    assert 1 <= refused <= 8
    assert service.refused == refused


def test_batch_is_halved(mocked: Mock) -> None:
    """Two halves of the same size follow a batch that was refused, and later batches are no larger."""
    service, client = Limited(mocked, _long_body(8000), _always(413, HTML, EXPRESS)), _client()

    client.batch(_events(50))
    assert service.sizes == [50, 25, 25]
    client.batch(_events(50))
    assert service.sizes == [50, 25, 25, 25, 25]


def test_large_mutation_does_not_shrink_batches_of_queries(mocked: Mock) -> None:
    """Sizes are remembered by kind and by measure: small mutations still share a request."""
    service, client = Limited(mocked, _long_body(20_000), _always(413, HTML, EXPRESS)), _client()

    answers: list[Any] = client.batch([*_events(2, filler=100_000), *_events(10)])
    assert [isinstance(answer, InvalidResponse) for answer in answers] == [True] * 2 + [False] * 10
    service.asked.clear()
    client.batch(_checks(50))
    client.batch(_events(50))

    assert service.sizes == [50, 50]


def test_limits_belong_to_one_service(mocked: Mock) -> None:
    """Each transport learns for itself."""
    service = Limited(mocked, _long_path, _fastify_414)
    _client().batch(_checks(50))
    service.asked.clear()

    _client().batch(_checks(50))

    assert service.sizes[0] == 50


@pytest.mark.parametrize("status", [400, 404])
def test_wrong_base_url_does_not_shrink_batches(mocked: Mock, status: int) -> None:
    """A server that answers nothing has few requests more to refuse, and nothing is remembered of it."""
    service, client = Limited(mocked, lambda _: True, _always(status, HTML, "<html>no such page</html>")), _client()

    answers: list[Any] = client.batch(_checks(50))
    assert {type(answer) for answer in answers} == {InvalidResponse}
    assert len(service.asked) < 30
    service.is_too_large = lambda _: False
    service.asked.clear()
    client.batch(_checks(50))

    assert service.sizes == [50]


@pytest.mark.parametrize("status", [400, 404])
def test_short_batch_is_not_split(mocked: Mock, status: int) -> None:
    """A URL that no server refuses for its length was refused for something else."""
    service = Limited(mocked, lambda _: True, _always(status, HTML, "<html>no such page</html>"))

    answers: list[Any] = _client().batch(_checks(2))

    assert {type(answer) for answer in answers} == {InvalidResponse}
    assert service.sizes == [2]


def test_refusals_of_single_calls_do_not_shrink_batches(mocked: Mock) -> None:
    """Where every call of a long batch is refused for itself, it is not sent again."""

    def refusal(asked: Asked) -> Answer:
        error = {
            "error": {"message": "Batch call exceeds maximum size", "code": -32600, "data": {"code": "BAD_REQUEST"}}
        }
        return 400, JSON, json.dumps([error] * len(asked.inputs))

    service = Limited(mocked, lambda _: True, refusal)

    answers: list[Any] = _client().batch(_checks(40))

    assert {answer.code for answer in answers} == {"BAD_REQUEST"}
    assert service.sizes == [40]


def test_limit_stays_after_a_split_batch(mocked: Mock) -> None:
    """A limit of the number of calls holds for queries and mutations alike, also if the remaining calls fail."""
    received = {
        "error": {"message": "Batch call exceeds maximum size", "code": -32600, "data": {"code": "BAD_REQUEST"}}
    }

    def refusal(asked: Asked) -> Answer:
        return (400, JSON, json.dumps(received)) if len(asked.inputs) > 10 else (400, HTML, "<html>")

    service, client = Limited(mocked, lambda _: True, refusal), _client()
    client.batch(_checks(20))
    service.asked.clear()
    service.is_too_large = lambda asked: len(asked.inputs) > 10
    client.batch(_checks(20))
    client.batch(_events(20))

    assert service.sizes == [10] * 4


# A single call


@pytest.mark.parametrize("name", MUTATIONS)
def test_too_large_mutation_reports_its_size(mocked: Mock, name: str) -> None:
    """It is a refusal that no repeat will help, with the bytes that were sent."""
    _, refusal = MUTATIONS[name]
    service = Limited(mocked, lambda _: True, refusal)
    [event] = _events(1, filler=123_000)

    with pytest.raises(ChatarminError) as raised:
        _client(max_retries=2).send(event)

    assert len(service.asked) == 1
    assert raised.value.request == event
    if refusal is _trpc_413:
        assert isinstance(raised.value, ApiError)
        assert (raised.value.code, raised.value.http_status) == ("PAYLOAD_TOO_LARGE", 413)
        assert str(copy.copy(raised.value)) == str(raised.value)
        assert raised.value.args[1]["request_size"] in str(raised.value)
    else:
        assert isinstance(raised.value, InvalidResponse)
    if refusal is not _fastify_404:  # no router takes a name of 18 characters for too long
        assert "too large" in str(raised.value).lower().replace("_", " ")
        assert f"a body of {len(service.asked[0].body):,} bytes" in str(raised.value)


@pytest.mark.parametrize("name", ["node", "nginx", "cloud", "nothing"])
def test_too_large_query_reports_its_size(mocked: Mock, name: str) -> None:
    """The size of a query is the number of characters of its URL."""
    service = Limited(mocked, lambda _: True, QUERIES[name][1])

    with pytest.raises(InvalidResponse, match="too large") as raised:
        _client(max_retries=2).features.check(company_id="c" * 9000, feature_code="seats")

    assert f"a URL of {len(service.asked[0].url):,} characters" in str(raised.value)
    assert "a body" not in str(raised.value)
    assert len(service.asked) == 1


def test_large_call_of_a_batch_fails_alone(mocked: Mock) -> None:
    """The others run, and the one that is too large says how large it was."""
    service, client = Limited(mocked, _long_body(100_000), _always(413, HTML, EXPRESS)), _client()

    answers: list[Any] = client.batch([*_events(9), *_events(1, filler=150_000), *_events(9)])

    assert [isinstance(answer, InvalidResponse) for answer in answers] == [False] * 9 + [True] + [False] * 9
    assert "a body of 150," in str(answers[9])
    assert sum(len(asked.inputs) for asked in service.asked if not _long_body(100_000)(asked)) == 18


# Retry-After of a batch


def _mixed(*errors: tuple[str, int] | None) -> str:
    """Return the answer to a batch of checks, some of which were refused with a code and a status."""
    return json.dumps(
        [
            {"error": {"message": "m", "code": -1, "data": {"code": error[0], "httpStatus": error[1]}}}
            if error
            else {"result": {"data": {"isEnabled": True}}}
            for error in errors
        ]
    )


@pytest.fixture
def sleeps() -> list[float]:
    """Return the waits of this test."""
    WAITS.clear()
    return WAITS


@pytest.mark.parametrize("status", [207, 200, 429])
def test_call_of_a_batch_waits_by_its_own_status(mocked: Mock, sleeps: list[float], status: int) -> None:
    """The header of a batch that was answered 207 is for its calls that were refused with 429 or 503."""
    refused = _mixed(None, ("TOO_MANY_REQUESTS", 429), ("SERVICE_UNAVAILABLE", 503), ("INTERNAL_SERVER_ERROR", 500))
    mocked.add(responses.GET, re.compile(URL), refused, status=status, headers={"Retry-After": "7"})
    mocked.add(responses.GET, re.compile(URL), _mixed(None, None), status=200)

    answers: list[Any] = _client(max_retries=1).batch(_checks(4))

    assert [isinstance(answer, ApiError) for answer in answers] == [False, False, False, True]
    assert answers[3].retry_after is None
    assert sleeps == [7]


@pytest.mark.parametrize("wait", ["60", "1234567890", "9" * 400, "Fri, 31 Dec 99999 23:59:59 GMT"])
def test_call_of_a_batch_fails_without_a_wait_beyond_the_deadline(mocked: Mock, sleeps: list[float], wait: str) -> None:
    """It is raised with the wait, and not repeated; the other answers are there."""
    refused = _mixed(None, ("TOO_MANY_REQUESTS", 429), ("SERVICE_UNAVAILABLE", 503), ("BAD_GATEWAY", 502))
    mocked.add(responses.GET, re.compile(URL), refused, status=207, headers={"Retry-After": wait})

    answers: list[Any] = _client(max_retries=2).batch(_checks(4))

    assert [type(answer) for answer in answers[1:]] == [RateLimitError, ServerError, ServerError]
    assert answers[0].is_enabled
    assert answers[1].retry_after == pytest.approx(answers[2].retry_after, abs=5)  # a date is so far away from now
    assert answers[1].retry_after > 50
    assert answers[3].retry_after is None
    assert sleeps == []
    assert len(mocked.calls) == 1


@pytest.mark.parametrize("wait", ["soon", "-1", "Sun, 06 Nov 1994 08:49:37 GMT", ""])
def test_invalid_retry_after_is_ignored_in_a_batch(mocked: Mock, sleeps: list[float], wait: str) -> None:
    """The refused call is repeated after an ordinary wait."""
    mocked.add(
        responses.GET,
        re.compile(URL),
        _mixed(None, ("TOO_MANY_REQUESTS", 429)),
        status=207,
        headers={"Retry-After": wait},
    )
    mocked.add(responses.GET, re.compile(URL), json.dumps({"result": {"data": {"isEnabled": True}}}))

    answers: list[Any] = _client(max_retries=1).batch(_checks(2))

    assert all(answer.is_enabled for answer in answers)
    assert len(sleeps) == 1
    assert sleeps[0] <= 0.1


@pytest.mark.parametrize("wait", ["1234567890", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_call_fails_without_a_wait_beyond_the_deadline(mocked: Mock, sleeps: list[float], wait: str) -> None:
    """A wait of ten digits is a wait, and not junk after which the call is repeated within a tenth of a second."""
    refused = json.loads(_mixed(("TOO_MANY_REQUESTS", 429)))[0]
    mocked.add(responses.GET, re.compile(URL), json.dumps(refused), status=429, headers={"Retry-After": wait})

    with pytest.raises(RateLimitError) as raised:
        _client(max_retries=2).send(_checks(1)[0])

    assert raised.value.retry_after is not None
    assert 1_234_567_890 <= raised.value.retry_after < math.inf
    assert (sleeps, len(mocked.calls)) == ([], 1)


def test_error_for_a_page_has_its_retry_after(mocked: Mock) -> None:
    """The page of a proxy that says when to come again is an InvalidResponse with that wait."""
    mocked.add(responses.GET, re.compile(URL), "<html>", status=503, headers={"Retry-After": "12345678901"})

    with pytest.raises(InvalidResponse) as raised:
        _client(max_retries=2).send(ListTiersInput())

    assert raised.value.retry_after == 12_345_678_901
    assert raised.value.attempts == 1


def test_unexpected_response_shows_no_query_string(mocked: Mock) -> None:
    """A framework that writes a database message into its own error shows it to nobody."""
    reported = 'Failed query: insert into "c" values ($1)\nparams: ann@acme.com'
    mocked.add(responses.GET, re.compile(URL), json.dumps({"statusCode": 500, "message": reported}), status=500)

    with pytest.raises(InvalidResponse, match="Failed query: ") as raised:
        _client().send(ListTiersInput())

    assert "ann@" not in str(raised.value)
