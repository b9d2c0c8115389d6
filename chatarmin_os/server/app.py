"""The fake as a WSGI application: the service's tRPC endpoint, the control API, the page."""

from __future__ import annotations

import json
import re
import time
from datetime import datetime
from functools import cache, cached_property, partial
from http.client import responses
from importlib.resources import files
from ipaddress import IPv4Address, IPv6Address, ip_address
from random import Random
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from chatarmin_os._input import at_field, items
from chatarmin_os._json import describe
from chatarmin_os._unset import UNSET
from chatarmin_os.errors import CODES, InvalidInput, TransportError
from chatarmin_os.fake import Catalogue
from chatarmin_os.fake.router import ROUTES
from chatarmin_os.server import control
from chatarmin_os.server.products import Products
from chatarmin_os.trpc import server as trpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from importlib.resources.abc import Traversable
    from wsgiref.types import StartResponse, WSGIEnvironment

    from chatarmin_os.fake import FakeTransport
    from chatarmin_os.server.product import InjectedFailure, Product
    from chatarmin_os.trpc.server import Dialect, Response

BASE = "/api/v1"
CONTROL_BASE = "/__fake__"
MAX_BODY_BYTES = 4 * 2**20
"""A larger body of a request is refused."""

_TIMESTAMPS, _FREE_FORM = {"createdAt", "validUntil"}, {"metadata", "configValues"}

_PAGE_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript"}
_PAGE_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}
_PORTS = {"http": "80", "https": "443"}
MAX_LATENCY_SECONDS = 3600
_names = partial(items, of="names")
_NAME = re.compile("[A-Za-z0-9_.-]+")
_AUTHORITY = re.compile(r"(?:\[([^\s\[\]]+)\]|([^\s\[\]:/?#@\\,]+))(?::[0-9]*)?")
_ABSOLUTE = re.compile("https?://[^/?#]*/?", re.IGNORECASE)


class ResponseLost(Exception):  # noqa: N818 - not an error of the service
    """The server must close the connection without a response, as a test has asked for."""


class FakeService:
    """A WSGI application: tRPC at `/api/v1`, the control API at `/__fake__/`, a page at `/`.

    Each API key that begins with `os_sk_` has its own product, which is created when the key is first used. The service
    answers everybody who reaches it: use it on laptops and in tests, not in a network that you share with others.

    Policies:
        - **Other sites**: a browser may send requests here from any page. A request is refused if its Host is neither
          localhost, an IP address nor one of *hosts*, and if its Origin is neither this machine nor the host that the
          request itself names.

    Args:
        fakes: Fakes by the API keys that lead to them, for tests that arrange them in Python.
        is_empty: Whether other products begin without features and tiers, instead of with the demo catalogue.
        catalogue: The catalogue that other products begin with, copied; or a function that returns it, called once.
        version: The version of tRPC, 10 or 11.
        transformer: How values are written: `"json"`, `"superjson"`, or `"auto"`: as each request is written.
        latency: Seconds to wait before each request of the endpoint is read, 3,600 at most.
        fail_rate: The fraction of its requests that fail: half of them are refused with SERVICE_UNAVAILABLE before they
            are carried out, and half are carried out and their response is lost.
        hosts: Further names of the service, without ports.
        now: Returns the time of other products as an aware datetime; default: the real clock.
        sleep: Waits for a number of seconds; default: `time.sleep`.
        random: Draws the requests that fail; default: another sequence each time.

    Raises:
        ValueError: A setting is invalid; the message names it.

    Example:
        >>> from wsgiref.util import setup_testing_defaults
        >>> environ = {"PATH_INFO": "/api/v1/tiers.list", "HTTP_X_API_KEY": "os_sk_test"}
        >>> setup_testing_defaults(environ)
        >>> print(*FakeService()(environ, lambda status, headers: print(status)))
        200 OK
        b'{"result": {"data": [{"code": "free", "name": "Free"}, ...
    """

    def __init__(
        self,
        fakes: Mapping[str, FakeTransport] | None = None,
        *,
        is_empty: bool = False,
        catalogue: Catalogue | Callable[[], Catalogue] | None = None,
        version: Literal[10, 11] = 11,
        transformer: Literal["auto", "json", "superjson"] = "auto",
        latency: float = 0.0,
        fail_rate: float = 0.0,
        hosts: Iterable[str] = (),
        now: Callable[[], datetime] | None = None,
        sleep: Callable[[float], object] = time.sleep,
        random: Random | None = None,
    ) -> None:
        if version not in (10, 11):
            raise ValueError(f"version: expected 10 or 11, got {version!r}")
        if transformer not in ("auto", "json", "superjson"):
            raise ValueError(f"transformer: expected 'auto', 'json' or 'superjson', got {transformer!r}")
        for name, value, limit in (("latency", latency, MAX_LATENCY_SECONDS), ("fail_rate", fail_rate, 1)):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= limit:
                raise ValueError(f"{name}: expected a number from 0 to {limit}, got {value!r}")
        self.products = Products(fakes, catalogue=_initial_catalogue(catalogue, is_empty=is_empty), now=now)
        self._dialect = trpc.Dialect(version, transformer)
        self._latency, self._fail_rate = latency, fail_rate
        self._sleep, self._random = sleep, random or Random()  # noqa: S311 - nothing secret
        self._hosts = set(map(at_field("hosts", host_name), at_field("hosts", _names)(hosts)))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request.

        Raises:
            ResponseLost: The server must close the connection without a response.
        """
        response = self._respond(environ)
        headers = list(response.headers.items())
        if response.status != 204:  # noqa: PLR2004 - No Content
            headers.append(("content-length", str(len(response.body))))
        start_response(status_line(response.status), headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [response.body]

    def _respond(self, environ: WSGIEnvironment) -> Response:
        headers = {
            name.removeprefix("HTTP_").replace("_", "-").lower(): value
            for name, value in environ.items()
            if name.startswith("HTTP_") or name in {"CONTENT_TYPE", "CONTENT_LENGTH"}
        }
        problem = self._check_origin(headers)
        if problem:
            return refusal("FORBIDDEN", problem)
        target = _target(environ)
        path = target.partition("?")[0]
        for base in (BASE, CONTROL_BASE):
            if path == base or path.startswith(f"{base}/"):
                below = target[len(base) :].removeprefix("/")
                request = trpc.Request(environ["REQUEST_METHOD"], below, headers, _body(environ, headers))
                return self._endpoint(request) if base == BASE else self._control(request)
        page = self._page.get(path)
        if page:
            return _page_response(*page, environ["REQUEST_METHOD"])
        # In the words of tRPC: a client with a wrong base URL learns that it is not a record that is missing.
        message = f'No procedure found on path "{path}": the service is at {BASE}, its control API at {CONTROL_BASE}/'
        return refusal("NOT_FOUND", message)

    @cached_property
    def _page(self) -> dict[str, tuple[str, bytes]]:
        return read_page(files("chatarmin_os.server") / "page")  # once: the package may be a zip file

    def _check_origin(self, headers: Mapping[str, str]) -> str | None:
        """Return why a request may come from a page of another site, None if it does not."""
        host, origin = headers.get("host"), headers.get("origin")
        if host is not None and not self._is_own(host):
            return f"Host {host[:100]!r} is not allowed; add it with --allow-host"
        if origin is not None and not _is_same_site(origin, host):
            return f"Origin {origin[:100]!r} is not allowed: it is neither this machine nor the requested host"
        return None

    def _is_own(self, host: str) -> bool:
        name = _host_of(host)
        return name in self._hosts or _is_local_name(name) or _address(name) is not None

    def _endpoint(self, request: trpc.Request) -> Response:
        if self._latency:
            self._sleep(self._latency)
        failure: InjectedFailure | None = None
        if self._fail_rate and self._random.random() < self._fail_rate:
            failure = self._random.choice(("refused", "lost"))

        @cache
        def product() -> Product:
            return self.products.for_headers(request.headers)

        @cache  # a batch may have hundreds of calls of one procedure
        def find(path: str) -> trpc.Procedure | None:
            route = ROUTES.get(path)
            if route is None:
                return None

            def run(read: Callable[[], Any]) -> Any:
                return product().answer(path, route.kind, read() if route.schema else UNSET, failure)

            return trpc.Procedure(route.kind, run, to_dates=_with_dates)

        response = _call(request, find, self._dialect)
        if failure == "lost" and request.method != "HEAD":
            raise ResponseLost
        return response

    def _control(self, request: trpc.Request) -> Response:
        def find(name: str) -> trpc.Procedure | None:
            return control.procedure(self.products, request.headers, name)

        return _call(request, find, trpc.Dialect())


def _initial_catalogue(given: Catalogue | Callable[[], Catalogue] | None, *, is_empty: bool) -> Catalogue | None:
    if is_empty:
        if given is not None:
            raise ValueError("catalogue: must not be given together with is_empty; omit one of them")
        return Catalogue()
    catalogue = given() if callable(given) else given
    if catalogue is not None and not isinstance(catalogue, Catalogue):
        source = "the function returned" if callable(given) else "got"
        raise ValueError(f"catalogue: expected a Catalogue, {source} {describe(catalogue)}")
    return catalogue


def host_name(given: str) -> str:
    """Return a further name of the service in lower case.

    Raises:
        InvalidInput: It is not a single name without a port.
    """
    if not isinstance(given, str) or not _NAME.fullmatch(given):
        raise InvalidInput(f"expected a name such as fake, without http:// and port; got {describe(given)}")
    return given.lower()


def _is_same_site(origin: str, host: str | None) -> bool:
    """Return whether an Origin is a page of this machine, or of the host that the request names.

    Example:
        >>> _is_same_site("http://localhost:5173", "127.0.0.1:3001"), _is_same_site("http://10.0.0.9", "10.0.0.9:80")
        (True, True)
        >>> _is_same_site("http://10.0.0.8", "10.0.0.9:80"), _is_same_site("http://10.0.0.9:8080", "10.0.0.9:80")
        (False, False)
    """
    scheme, _, authority = origin.partition("://")
    port = _PORTS.get(scheme.lower())
    if port is None:
        return False
    name = _host_of(authority)
    address = _address(name)
    if _is_local_name(name) or (address is not None and address.is_loopback):
        return True
    return host is not None and _with_port(authority, port) == _with_port(host, port)


def _with_port(authority: str, port: str) -> str:
    has_port = ":" in authority.rpartition("]")[2]
    return (authority if has_port else f"{authority}:{port}").lower()


def _host_of(authority: str) -> str:
    """Return the name or address in an authority, with or without a port; an empty text if it has anything else.

    Example:
        >>> [_host_of(text) for text in ("LocalHost:3001", "[::1]:80", "evil@localhost", "localhost:80.evil.example")]
        ['localhost', '::1', '', '']
    """
    parts = _AUTHORITY.fullmatch(authority)
    return (parts[1] or parts[2]).lower() if parts else ""


def _is_local_name(name: str) -> bool:
    return name == "localhost" or name.endswith(".localhost")


def _address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(name.partition("%")[0])
    except ValueError:
        return None


def _with_dates(response: Any, name: str = "") -> Any:
    """Return a response with its timestamps as datetimes, which superjson marks as the dates they are in TypeScript."""
    if name in _TIMESTAMPS and isinstance(response, str):
        return datetime.fromisoformat(response)
    if name in _FREE_FORM or not isinstance(response, (dict, list)):
        return response
    if isinstance(response, list):
        return [_with_dates(item) for item in response]
    return {key: _with_dates(value, key) for key, value in response.items()}


def _call(request: trpc.Request, find: Callable[[str], trpc.Procedure | None], dialect: Dialect) -> Response:
    try:
        return trpc.respond(request, find, dialect)
    except TransportError:
        raise ResponseLost from None


def status_line(status: int) -> str:
    """Return a status code with its reason phrase."""
    return f"{status} {responses.get(status, 'Unknown')}"


def refusal(code: str, message: str) -> Response:
    """Return the response that refuses a whole request, as tRPC writes it."""
    known = CODES[code]
    data = {"code": code, "httpStatus": known.http_status}
    content = {"error": {"message": message, "code": known.number, "data": data}}
    return trpc.Response(known.http_status or 500, json.dumps(content).encode(), {"content-type": "application/json"})


def _target(environ: WSGIEnvironment) -> str:
    """Return path and query as they were sent, if the server passes them on: decoding would lose details."""
    raw: str | None = environ.get("REQUEST_URI") or environ.get("RAW_URI")
    if raw is None or environ.get("SCRIPT_NAME"):  # the raw one includes it
        path = quote(environ.get("PATH_INFO", ""), encoding="latin-1")
    else:
        absolute = _ABSOLUTE.match(raw)
        path = re.split("[?#]", f"/{raw[absolute.end() :]}" if absolute else raw, maxsplit=1)[0]
    query = environ.get("QUERY_STRING", "")
    return f"{path}?{query}" if query else path


def _body(environ: WSGIEnvironment, headers: Mapping[str, str]) -> bytes | None:
    limit, length = MAX_BODY_BYTES + 1, headers.get("content-length", "")
    if not environ.get("wsgi.input_terminated"):  # reading further would wait for more
        limit = min(limit, int(length[:20])) if length.isdecimal() else 0
    body = bytes(environ["wsgi.input"].read(limit))
    return body if len(body) <= MAX_BODY_BYTES else None


def read_page(folder: Traversable) -> dict[str, tuple[str, bytes]]:
    """Return the types and contents of the page's files by their paths."""
    return {
        "/" if file.name == "index.html" else f"/{file.name}": (kind, file.read_bytes())
        for file in folder.iterdir()
        for suffix, kind in _PAGE_TYPES.items()
        if file.name.endswith(suffix)
    }


def _page_response(kind: str, content: bytes, method: str) -> Response:
    if method not in {"GET", "HEAD"}:
        return refusal("METHOD_NOT_SUPPORTED", "The page can only be read; use GET")
    return trpc.Response(200, content, {"content-type": f"{kind}; charset=utf-8", **_PAGE_HEADERS})
