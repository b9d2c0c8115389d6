"""The service responds to allowed callers, in the envelopes of tRPC, behind any WSGI server."""

from __future__ import annotations

import random
from contextlib import suppress
from datetime import UTC, datetime
from http.client import HTTPConnection, RemoteDisconnected
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import pytest
from flask import Flask
from requesting import KEY, NO_KEY, WAYS, mutate, open_service, query, send_over_socket, send_to_application
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from chatarmin_os import ApiError, ChatarminOS, NotFoundError
from chatarmin_os.fake import Catalogue, FakeTransport
from chatarmin_os.server import FakeService, serve_fake
from chatarmin_os.server.app import MAX_BODY_BYTES, ResponseLost, read_page
from chatarmin_os.server.products import Products

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from requesting import Reply

    from chatarmin_os._call import Call
    from chatarmin_os._json import JSON


@pytest.fixture(params=WAYS)
def ask(request: pytest.FixtureRequest) -> Iterator[Callable[..., Reply]]:
    """Yield a function that sends requests to the service, as each WSGI server passes them on."""
    with open_service(request.param) as ask:
        yield ask


# Keys


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": KEY},
        {**NO_KEY, "authorization": f"Bearer {KEY}"},
        {**NO_KEY, "authorization": f"bearer {KEY}"},
        {**NO_KEY, "authorization": f"BEARER   {KEY}"},
        {"x-api-key": KEY, "authorization": "Basic dXNlcjpwYXNz"},
        {"x-api-key": "other", "authorization": f"Bearer {KEY}"},
    ],
)
def test_api_key_is_accepted_in_either_header(ask: Callable[..., Reply], headers: dict[str, str | None]) -> None:
    """The scheme in any case; other schemes are ignored."""
    reply = ask("GET", "/api/v1/tiers.list", headers)

    assert [tier["code"] for tier in reply.data] == ["free", "trial", "pro", "enterprise"]


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        (NO_KEY, "Missing API key: send Authorization: Bearer os_sk_... or x-api-key"),
        ({"x-api-key": ""}, "Missing API key"),
        ({**NO_KEY, "authorization": "Bearer"}, "Missing API key"),
        ({**NO_KEY, "authorization": "Bearer   "}, "Missing API key"),
        ({**NO_KEY, "authorization": KEY}, "Missing API key"),
        ({"x-api-key": "sk_test_1"}, "Invalid API key: this local service accepts any key that begins with os_sk_"),
        ({**NO_KEY, "authorization": "Bearer OS_SK_1"}, "Invalid API key"),
    ],
)
def test_other_api_keys_are_refused(ask: Callable[..., Reply], headers: dict[str, str | None], message: str) -> None:
    """A missing, blank or foreign one: the message says which keys are accepted, and does not repeat it."""
    reply = ask("GET", "/api/v1/tiers.list", headers)

    assert reply.code == "UNAUTHORIZED"
    assert reply.error["message"].startswith(message)
    assert reply.error["data"]["path"] == "tiers.list"
    assert "sk_test_1" not in reply.error["message"]


def test_each_api_key_has_its_own_product(ask: Callable[..., Reply]) -> None:
    """Changes of one do not show in another; both headers lead to the same."""
    mutate(ask, "companies.create", {"name": "Acme", "externalOrgId": "org_1"})
    linked = {"externalOrgId": "org_1"}

    assert query(ask, "companies.getByProductLink", linked).data["name"] == "Acme"
    assert (
        query(ask, "companies.getByProductLink", linked, x_api_key=None, authorization=f"Bearer {KEY}").data["name"]
        == "Acme"
    )
    assert query(ask, "companies.getByProductLink", linked, x_api_key=KEY + "2").data is None


@pytest.mark.parametrize("key", [KEY, "os_sk_ab", "os_sk_" + "x" * 5000, "os_sk_ÿ€"])
def test_product_name_does_not_show_the_key(key: str) -> None:
    """It has the last four characters at most."""
    products = Products()
    product = products.for_headers({"x-api-key": key})

    assert product.name == f"os_sk_…{key.removeprefix('os_sk_')[-4:]}"
    assert key not in product.id + product.name


def test_number_of_products_is_limited() -> None:
    """New keys are refused with advice, unless an unchanged product can make space."""
    service = FakeService()
    service.products = Products(max_products=2)

    def create(key: str) -> Reply:
        given = {"name": "Acme", "externalOrgId": key}
        return mutate(lambda *request: send_to_application(service, *request), "companies.create", given, x_api_key=key)

    def look(key: str) -> Reply:
        return send_to_application(service, "GET", "/api/v1/tiers.list", {"x-api-key": key})

    assert [look(f"os_sk_{number}").status for number in range(5)] == [200] * 5
    assert [create(key).status for key in ("os_sk_1", "os_sk_2", "os_sk_3")] == [200, 200, 429]
    assert look("os_sk_4").error["message"].startswith("The service has 2 products")
    assert "forget" in look("os_sk_4").error["message"]
    assert [create(key).status for key in ("os_sk_1", "os_sk_2")] == [409, 409]
    assert len(list(service.products)) == 2
    mutate(lambda *request: send_to_application(service, *request), "forget", base="/__fake__", x_api_key="os_sk_1")
    assert look("os_sk_4").status == 200


def test_products_can_begin_empty() -> None:
    """Without the demo catalogue."""
    assert query(lambda *given: send_to_application(FakeService(is_empty=True), *given), "tiers.list").data == []


def test_product_is_created_once() -> None:
    """Two first calls with one key get one product."""
    products = Products()
    assert products.create(KEY) is products.create(KEY)


def test_forgotten_key_leads_to_a_new_product() -> None:
    """Whether it led to a fake that was passed in, or to nothing yet."""
    products = Products({KEY: FakeTransport()})
    given = products.for_headers({"x-api-key": KEY})
    for key in (KEY, "os_sk_never_seen"):
        products.forget(key)

    assert products.for_headers({"x-api-key": KEY}) is not given
    assert list(products) == [products.for_headers({"x-api-key": KEY})]


def test_products_can_begin_with_a_catalogue() -> None:
    """Passed in itself or by a function; every product has its own copy."""
    catalogue = Catalogue()
    catalogue.add_tier("basic", name="Basic")
    for given in (catalogue, lambda: catalogue):
        service = FakeService(catalogue=given)
        ask = lambda *request: send_to_application(service, *request)  # noqa: E731, B023 - a partial of a new service
        mutate(ask, "add_tier", {"code": "gold", "name": "Gold"}, base="/__fake__")
        assert [tier["code"] for tier in query(ask, "tiers.list").data] == ["basic", "gold"]
        assert [tier["code"] for tier in query(ask, "tiers.list", x_api_key="os_sk_2").data] == ["basic"]
    with serve_fake(catalogue=catalogue) as url:
        assert query(lambda *request: send_over_socket(url, *request), "tiers.list").data == [
            {"code": "basic", "name": "Basic"}
        ]


# Other sites


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:3001", "app.localhost:80", "127.0.0.1", "127.0.0.1:3001", "10.1.2.3:80", "[::1]:3001",
     "[fe80::1%25eth0]", "dev.example:3001", "Dev.Example"],
)  # fmt: skip
def test_own_host_is_allowed(host: str) -> None:
    """IP addresses, localhost and its subdomains, and names in `hosts`."""
    service = FakeService(hosts=["DEV.example"])

    assert send_to_application(service, "GET", "/api/v1/tiers.list", {"host": host}).status == 200
    own = {"host": host, "origin": f"http://{host}"}
    assert send_to_application(service, "GET", "/api/v1/tiers.list", own).status == 200


FOREIGN_HOSTS = [
    "evil.example",
    "evil.example:3001",
    "localhost.evil.example",
    "127.0.0.1.nip.io",
    "xlocalhost",
    "1.2.3",
]


@pytest.mark.parametrize("host", [*FOREIGN_HOSTS, "[::1", "[x]", "", "user@evil.example"])
def test_foreign_host_is_refused(host: str) -> None:
    """A foreign name that points here, or an invalid one: nothing is carried out, at any path."""
    service = FakeService()
    for target in ("/", "/api/v1/tiers.list", "/__fake__/products", "/elsewhere"):
        reply = send_to_application(service, "GET", target, {"host": host})
        assert (reply.status, reply.code) == (403, "FORBIDDEN")
        assert "is not allowed; add it with --allow-host" in reply.error["message"]
    assert list(service.products) == []


@pytest.mark.parametrize(
    "origin",
    [
        "null", "file://", "", "x", *(f"http://{host}" for host in FOREIGN_HOSTS), "http://[",
        "http://localhost:80, http://evil.example", "http://127.0.0.1:3001.evil.example", "http://evil.example@localhost",
        "http://localhost/.evil.example", "http://localhost#evil.example", "http://evil.example\\@localhost",
    ],
)  # fmt: skip
def test_foreign_origin_is_refused(origin: str) -> None:
    """The browser sends the origin of its page."""
    service = FakeService()
    reply = mutate(
        lambda *given: send_to_application(service, *given),
        "companies.create",
        {"name": "a", "externalOrgId": "b"},
        origin=origin,
    )

    assert (reply.status, reply.code) == (403, "FORBIDDEN")
    assert list(service.products) == []


@pytest.mark.parametrize(
    "origin",
    ["http://localhost:3001", "http://127.0.0.1:3001", "http://localhost:5173", "https://app.localhost",
     "http://127.9.8.7", "http://[::1]:3001", "HTTP://LOCALHOST"],
)  # fmt: skip
def test_origin_on_this_machine_is_allowed(ask: Callable[..., Reply], origin: str) -> None:
    """The page itself, and applications under development, at any port."""
    assert query(ask, "tiers.list", origin=origin).status == 200


@pytest.mark.parametrize(
    ("origin", "host", "is_own"),
    [
        ("http://10.0.0.9:3001", "10.0.0.9:3001", True),
        ("http://10.0.0.9", "10.0.0.9:80", True),
        ("https://dev.example", "dev.example:443", True),
        ("https://Dev.Example", "dev.example", True),
        ("http://[2001:db8::1]:3001", "[2001:db8::1]:3001", True),
        ("http://[2001:db8::1]", "[2001:db8::1]:80", True),
        ("http://10.0.0.8:3001", "10.0.0.9:3001", False),
        ("http://10.0.0.9:8080", "10.0.0.9:3001", False),
        ("http://10.0.0.9:3001", "127.0.0.1:3001", False),
        ("http://192.0.2.1", "localhost:3001", False),
        ("http://[2001:db8::1]:3001", "[::1]:3001", False),
        ("http://0.0.0.0:3001", "127.0.0.1:3001", False),
        ("http://dev.example", "127.0.0.1:3001", False),
        ("http://10.0.0.9:3001@evil.example", "10.0.0.9:3001", False),
        ("http://10.0.0.9:3001/", "10.0.0.9:3001", False),
        ("http://10.0.0.9:3001, http://evil.example", "10.0.0.9:3001", False),
        ("ftp://localhost", "localhost", False),
        ("chrome-extension://localhost", "localhost", False),
        ("http://localhost.evil.example", "localhost", False),
        ("http://localhost@evil.example", "localhost", False),
    ],
)
def test_other_origin_must_be_the_requested_host(origin: str, host: str, *, is_own: bool) -> None:
    """An Origin is allowed on this machine, or if it equals host and port of the request."""
    service = FakeService(hosts=["dev.example"])

    reply = send_to_application(service, "GET", "/api/v1/tiers.list", {"host": host, "origin": origin})

    assert reply.status == (200 if is_own else 403)
    assert is_own or "Origin" in reply.error["message"]


def test_origin_without_a_host_must_be_on_this_machine() -> None:
    """There is no host to compare it with."""
    for origin, status in (("http://localhost", "401 Unauthorized"), ("http://10.0.0.9", "403 Forbidden")):
        lines: list[str] = []
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/api/v1/tiers.list", "wsgi.input": BytesIO()}
        FakeService()({**environ, "HTTP_ORIGIN": origin}, lambda line, _, lines=lines: lines.append(line))
        assert lines == [status]


def test_host_is_checked_over_a_socket() -> None:
    """As a browser sends it for a name that points here."""
    with serve_fake(hosts=["dev.example"]) as url:
        assert send_over_socket(url, "GET", "/api/v1/tiers.list", {"host": "dev.example:3001"}).status == 200
        assert send_over_socket(url, "GET", "/api/v1/tiers.list", {"host": "evil.example:3001"}).code == "FORBIDDEN"


def test_host_may_be_missing() -> None:
    """HTTP 1.0 has none."""
    assert (
        send_to_application(
            FakeService(), "GET", "/api/v1/tiers.list", {"host": None}, environ={"HTTP_HOST": "localhost"}
        ).status
        == 200
    )
    lines: list[str] = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/api/v1/tiers.list", "wsgi.input": BytesIO()}
    FakeService()(environ, lambda status, _: lines.append(status))  # type: ignore[arg-type]
    assert lines == ["401 Unauthorized"]


# Paths


@pytest.mark.parametrize(
    "path",
    ["/api", "/api/v2/tiers.list", "/api/v1x", "/__fake__x", "/__init__.py", "/../_control.py", "/page/x", "*"],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_other_paths_are_not_found(method: str, path: str) -> None:
    """The message says where the service is."""
    reply = send_to_application(FakeService(), method, "/", environ={"REQUEST_URI": path})

    assert reply.code == "NOT_FOUND"
    assert reply.error["message"] == (
        f'No procedure found on path "{path}": the service is at /api/v1, its control API at /__fake__/'
    )


@pytest.mark.parametrize("base", ["", "/api", "/api/v2", "/api/v1/v1"])
def test_wrong_base_url_is_a_missing_procedure(base: str) -> None:
    """A client must not take it for a record that is missing."""
    with serve_fake() as url:
        client = ChatarminOS(KEY, base_url=url.removesuffix("/api/v1") + base)
        with client, pytest.raises(NotFoundError) as caught:
            client.companies.get_by_product_link(external_org_id="org_1")

    assert caught.value.is_missing_procedure


@pytest.mark.parametrize(
    "target", ["/api/v1", "/api/v1/", "/api/v1/no.such", "/__fake__", "/__fake__/no", "/__fake__/"]
)
def test_unknown_procedure_is_refused_as_by_trpc(ask: Callable[..., Reply], target: str) -> None:
    """The message has the path."""
    reply = ask("GET", target)

    path = target.removeprefix("/api/v1").removeprefix("/__fake__").strip("/")
    assert reply.error["message"] == f'No procedure found on path "{path}"'
    assert reply.code == "NOT_FOUND"


def test_page_is_served() -> None:
    """With headers that keep foreign scripts and frames out."""
    kinds = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
    for file in (files("chatarmin_os.server") / "page").iterdir():
        path = "/" if file.name == "index.html" else f"/{file.name}"
        reply = send_to_application(FakeService(), "GET", path, NO_KEY)
        assert (reply.status, reply.body) == (200, file.read_bytes())
        assert reply.headers == {
            "content-type": f"{kinds[Path(file.name).suffix]}; charset=utf-8",
            "content-length": str(len(reply.body)),
            "content-security-policy": (
                "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
            ),
            "x-content-type-options": "nosniff",
            "cache-control": "no-cache",
        }


def test_only_files_of_the_page_are_read(tmp_path: Path) -> None:
    """Those of the types that a page has."""
    for name in ("index.html", "page.css", "page.js", "notes.txt", ".page.js.swp"):
        (tmp_path / name).write_text(name, encoding="utf-8")

    assert read_page(tmp_path) == {
        "/": ("text/html", b"index.html"),
        "/page.css": ("text/css", b"page.css"),
        "/page.js": ("text/javascript", b"page.js"),
    }


def test_page_can_only_be_read() -> None:
    """Its files have their names alone as paths; HEAD returns the headers alone."""
    service = FakeService()
    for path in ("/", "/page.css", "/page.js?v=1"):
        reply = send_to_application(service, "GET", path, NO_KEY)
        head = send_to_application(service, "HEAD", path, NO_KEY)
        assert reply.status == 200
        assert head == (200, reply.headers, b"")
        assert send_to_application(service, "POST", path, NO_KEY).code == "METHOD_NOT_SUPPORTED"
    for path in ("/index.html", "/page.mjs", "/x/../page.css"):
        assert send_to_application(service, "GET", path, NO_KEY).code == "NOT_FOUND"


@pytest.mark.parametrize("target", ["/api/v1/tiers.list", "/api/v1/no.such", "/__fake__/products"])
def test_head_has_no_content(ask: Callable[..., Reply], target: str) -> None:
    """As with tRPC."""
    reply = ask("HEAD", target, NO_KEY)

    assert (reply.status, reply.body) == (204, b"")
    assert "content-length" not in reply.headers


def test_refused_head_has_no_body() -> None:
    """It has the length of the body."""
    reply = send_to_application(FakeService(), "HEAD", "/", {"origin": "null"})

    assert (reply.status, reply.body) == (403, b"")
    assert int(reply.headers["content-length"]) > 0


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://127.0.0.1/api/v1/tiers.list", 200),
        ("HTTP://user@x:80/api/v1/tiers.list?batch=1", 200),
        ("https://localhost/api/v1/tiers.list#top", 200),
        ("/api/v1/tiers.list#top", 200),
        ("http://localhost", 200),
        ("http://localhost?x=/api/v1/tiers.list", 200),
        ("http://localhost/tiers.list", 404),
        ("ftp://localhost/api/v1/tiers.list", 404),
    ],
)
def test_target_can_be_absolute(target: str, status: int) -> None:
    """As proxies receive it; a fragment is ignored."""
    for name in ("REQUEST_URI", "RAW_URI"):
        assert send_to_application(FakeService(), "GET", "/", environ={name: target}).status == status


def test_service_can_be_mounted_in_an_application() -> None:
    """Below one of its paths."""
    application = Flask("shop")
    application.wsgi_app = DispatcherMiddleware(application.wsgi_app, {"/below/it": FakeService()})  # type: ignore[method-assign]
    client = application.test_client()

    answer = client.get("/below/it/api/v1/tiers.list", headers={"x-api-key": KEY})
    assert [tier["code"] for tier in answer.json["result"]["data"]] == ["free", "trial", "pro", "enterprise"]  # type: ignore[index]
    assert client.get("/elsewhere").status_code == 404


def test_inputs_arrive_with_every_server(ask: Callable[..., Reply]) -> None:
    """Escapes are decoded once, even if the server has decoded those of the path."""
    name = "Ünï %2C, +&=#/?\N{GRINNING FACE}"
    mutate(ask, "companies.create", {"name": name, "externalOrgId": name})
    by_query = query(ask, "companies.getByProductLink", {"externalOrgId": name})
    batch = ask("GET", "/api/v1/tiers.list%2Ctiers.list?batch=1")

    assert by_query.data["name"] == name
    assert len(batch.content) == 2


# Bodies


def _too_large() -> bytes:
    return b'"' + b"x" * (MAX_BODY_BYTES - 1) + b'"'


def test_body_of_the_maximal_size_is_accepted(ask: Callable[..., Reply]) -> None:
    """With one byte more, each call is refused."""
    headers = {"content-type": "application/json"}
    fits = ask("POST", "/api/v1/companies.create", headers, _too_large()[:-2] + b'"')
    does_not = ask("POST", "/api/v1/companies.create", headers, _too_large())

    assert fits.code == "BAD_REQUEST"
    assert (does_not.status, does_not.code) == (413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize("length", ["0", "", "-1", "x", "5x", "²", "9" * 5000])
def test_invalid_content_length_is_ignored(length: str) -> None:
    """If the server lets one through, nothing beyond the limit is read."""
    service = FakeService()
    body = BytesIO(b'{"name": "Acme", "externalOrgId": "org_1"}')
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/api/v1/companies.create",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": length,
        "HTTP_X_API_KEY": KEY,
        "wsgi.input": body,
    }
    lines: list[str] = []
    service(environ, lambda status, _: lines.append(status))  # type: ignore[arg-type]

    assert lines == ["200 OK" if length == "9" * 5000 else "400 Bad Request"]


@pytest.mark.parametrize("way", ["wsgi", "socket"])
def test_chunked_body_is_accepted(way: str) -> None:
    """Its length is unknown, and still limited."""
    body = b'{"name": "Acme", "externalOrgId": "org_1"}'

    def reply(body: bytes) -> int:
        if way == "wsgi":
            environ = {"wsgi.input": BytesIO(body), "wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
            service = FakeService()
            headers = {"content-type": "application/json"}
            return send_to_application(service, "POST", "/api/v1/companies.create", headers, environ=environ).status
        with serve_fake() as url:
            connection = HTTPConnection(urlsplit(url).netloc)
            pieces = (body[start : start + 100_000] for start in range(0, len(body), 100_000))
            headers = {"content-type": "application/json", "x-api-key": KEY}
            with suppress(ConnectionError):  # it need not be read to its end
                connection.request("POST", "/api/v1/companies.create", pieces, headers, encode_chunked=True)
            status = connection.getresponse().status
            connection.close()
            return status

    assert reply(body) == 200
    assert reply(_too_large()) == 413


def test_body_beyond_the_limit_of_the_server_is_refused() -> None:
    """By its length alone."""
    with serve_fake() as url:
        connection = HTTPConnection(urlsplit(url).netloc)
        connection.putrequest("POST", "/api/v1/companies.create")
        connection.putheader("content-length", str(10**9))
        connection.endheaders()
        answer = connection.getresponse()
        assert answer.status == 413
        assert b"exceeds max_body" in answer.read()
        connection.close()


# Settings


def test_version_10_is_served() -> None:
    """A mutation that is requested by GET has no path there."""
    service = FakeService(version=10)
    reply = send_to_application(service, "GET", "/api/v1/companies.create")

    assert (reply.status, reply.error["message"]) == (404, 'No "query"-procedure on path "companies.create"')
    assert send_to_application(service, "GET", "/api/v1/tiers.list").status == 200


@pytest.mark.parametrize("transformer", ["json", "superjson"])
def test_transformer_can_be_set(transformer: Literal["json", "superjson"]) -> None:
    """Every response uses it, however the request is written."""
    ask = lambda *given: send_to_application(FakeService(transformer=transformer), *given)  # noqa: E731 - a partial of a new service
    answer = query(ask, "companies.getByProductLink", {"json": {"externalOrgId": "org_1"}})

    if transformer == "json":
        assert answer.code == "BAD_REQUEST"
    else:
        assert answer.data == {"json": None}


def test_latency_delays_requests() -> None:
    """Those to the endpoint, and no others."""
    waits: list[float] = []
    service = FakeService(latency=0.25, sleep=waits.append)
    for target in ("/api/v1/tiers.list", "/api/v1/no.such", "/__fake__/products", "/elsewhere"):
        send_to_application(service, "GET", target)

    assert waits == [0.25, 0.25]


def test_some_requests_fail() -> None:
    """Half of these are refused before they are carried out; half are carried out, and their response is lost."""
    service = FakeService(fail_rate=0.5, random=random.Random(7))  # noqa: S311 - nothing secret
    outcomes = {"answered": 0, "refused": 0, "lost": 0}
    for number in range(400):
        given = {"name": f"Company {number}", "externalOrgId": f"org_{number}"}
        try:
            reply = mutate(lambda *request: send_to_application(service, *request), "companies.create", given)
        except ResponseLost:
            outcomes["lost"] += 1
        else:
            outcomes["answered" if reply.status == 200 else "refused"] += 1
            assert reply.status == 200 or reply.code == "SERVICE_UNAVAILABLE"
    (product,) = service.products
    by_code: dict[str | None, int] = {}
    for call in product.calls():
        code = call["error"]["code"] if call["error"] else None
        by_code[code] = by_code.get(code, 0) + 1

    assert sum(outcomes.values()) == 400
    assert 160 < outcomes["answered"] < 240
    assert 70 < outcomes["refused"] < 130
    assert 70 < outcomes["lost"] < 130
    assert len(product.fake.service.state.companies) == outcomes["answered"] + outcomes["lost"]
    assert by_code == {None: outcomes["answered"], "SERVICE_UNAVAILABLE": outcomes["refused"], "LOST": outcomes["lost"]}


def test_all_requests_can_fail() -> None:
    """Except HEAD, which has no response that could be lost."""
    service = FakeService(fail_rate=1)
    for _ in range(20):
        assert send_to_application(service, "HEAD", "/api/v1/tiers.list").status == 204
        with suppress(ResponseLost):
            assert (
                query(lambda *given: send_to_application(service, *given), "tiers.list").code == "SERVICE_UNAVAILABLE"
            )


def test_lost_response_closes_the_connection() -> None:
    """A failure that the fake injects does so too; the call was carried out if it was to be."""
    fake = FakeTransport()
    with serve_fake({KEY: fake}) as url:
        mutate(lambda *given: send_over_socket(url, *given), "fail", {"error": "lost", "after": True}, base="/__fake__")
        with pytest.raises((RemoteDisconnected, ConnectionResetError)):
            mutate(
                lambda *given: send_over_socket(url, *given),
                "companies.create",
                {"name": "Acme", "externalOrgId": "org_1"},
            )
        (call,) = query(lambda *given: send_over_socket(url, *given), "calls", base="/__fake__").data

    assert len(fake.service.state.companies) == 1
    assert call["error"] == {"code": "LOST", "message": "the connection was lost: injected by fake.fail()"}
    assert [one.path for one in fake.calls] == ["companies.create"]


@pytest.mark.parametrize(
    "settings",
    [
        {"version": 9}, {"version": "11"}, {"version": []}, {"transformer": "devalue"}, {"transformer": None},
        {"latency": -1}, {"latency": float("inf")}, {"latency": float("nan")}, {"latency": "1"}, {"latency": True},
        {"fail_rate": -0.1}, {"fail_rate": 1.1}, {"fail_rate": float("nan")}, {"fail_rate": None},
        {"hosts": "dev.example"}, {"hosts": [""]}, {"hosts": [1]}, {"hosts": 1},
        {"hosts": ["fake:3001"]}, {"hosts": ["http://fake"]}, {"hosts": ["fake", "a b"]}, {"hosts": ["fake\n"]},
        {"catalogue": 1}, {"catalogue": {}}, {"catalogue": dict}, {"catalogue": Catalogue(), "is_empty": True},
        {"fakes": {"sk_1": FakeTransport()}}, {"fakes": {1: FakeTransport()}}, {"fakes": {KEY: None}},
    ],
)  # fmt: skip
def test_invalid_settings_are_refused(settings: dict[str, Any]) -> None:
    """The message has the expected value."""
    with pytest.raises(ValueError, match=r"expected|begins with|blank|must not be given together"):
        FakeService(**settings)


class _BrokenFake(FakeTransport):
    def send(self, _: Call) -> JSON:
        raise ZeroDivisionError


def test_defect_of_the_fake_is_an_internal_server_error(caplog: pytest.LogCaptureFixture) -> None:
    """In the response and in the list of calls; the log has the traceback."""
    service = FakeService({KEY: _BrokenFake()})
    ask = lambda *given: send_to_application(service, *given)  # noqa: E731 - a partial of a new service

    assert query(ask, "tiers.list").code == "INTERNAL_SERVER_ERROR"
    assert query(ask, "calls", base="/__fake__").data[0]["error"]["code"] == "INTERNAL_SERVER_ERROR"
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("code", ["TIMEOUT", "BAD_GATEWAY", "CLIENT_CLOSED_REQUEST", "NO_SUCH_CODE"])
def test_every_code_has_a_status_line(code: str) -> None:
    """Unknown ones, too."""
    fake = FakeTransport()
    fake.fail(error=ApiError.from_code(code))

    assert query(lambda *given: send_to_application(FakeService({KEY: fake}), *given), "tiers.list").code == code


@pytest.mark.parametrize("transformer", ["json", "superjson"])
def test_stored_values_come_back_unchanged(transformer: Literal["json", "superjson"]) -> None:
    """Also if their keys are those of timestamps of the service, which alone are dates for superjson."""
    config = {"createdAt": "soon", "nested": [{"validUntil": "never"}]}
    until = datetime(2030, 1, 1, tzinfo=UTC)
    with serve_fake(transformer=transformer) as url, ChatarminOS(KEY, base_url=url) as client:
        company = client.companies.create(name="Acme", external_org_id="org_1", created_at=until).id
        client.features.set_access(
            company_id=company, feature_code="sso", is_enabled=True, config=config, valid_until=until
        )
        access = client.features.check(company_id=company, feature_code="sso")
        found = client.companies.get_by_product_link(external_org_id="org_1")

    assert access.config_values == config
    assert access.valid_until == until
    assert found is not None
    assert found.created_at == until


def test_werkzeug_reads_the_response() -> None:
    """A test client of another framework gets JSON."""
    answer = Client(FakeService()).get("/api/v1/tiers.list", headers={"x-api-key": KEY})

    assert answer.is_json
    assert answer.json is not None
