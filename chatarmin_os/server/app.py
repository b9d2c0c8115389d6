"""The fake as a WSGI application: the service's tRPC endpoint, the control door, the page."""

from __future__ import annotations

import json
import random
import re
import time
from datetime import datetime
from functools import cached_property, partial
from http.client import responses
from importlib.resources import files
from ipaddress import IPv4Address, IPv6Address, ip_address
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
from chatarmin_os.trpc import server as _trpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from importlib.resources.abc import Traversable
    from wsgiref.types import StartResponse, WSGIEnvironment

    from chatarmin_os.fake import FakeTransport
    from chatarmin_os.server.products import Mishap
    from chatarmin_os.trpc.server import Answer, Dialect

BASE = "/api/v1"
_DOOR = "/__fake__"
LARGEST_BODY = 4 * 2**20
"""Bytes of a request's body."""

_INSTANTS, _FREE_FORM = {"createdAt", "validUntil"}, {"metadata", "configValues"}

_PAGE: Traversable = files("chatarmin_os.server") / "page"
_PAGE_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript"}
_PAGE_HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}
_PORTS = {"http": "80", "https": "443"}
_LONGEST_LATENCY = 3600
_names = partial(items, of="names")
_NAME = re.compile("[A-Za-z0-9_.-]+")
_AUTHORITY = re.compile(r"(?:\[([^\s\[\]]+)\]|([^\s\[\]:/?#@\\,]+))(?::[0-9]*)?")
_ABSOLUTE = re.compile("https?://[^/?#]*/?", re.IGNORECASE)


class AnswerLost(Exception):  # noqa: N818 - no error of the service, and no answer of it either
    """The connection is to be closed without an answer, for a test wants it to be lost."""


class FakeService:
    """A WSGI application that is ChatarminOS: tRPC at `/api/v1`, the control door at `/__fake__/`, a page at `/`.

    Each API key that begins with `os_sk_` has a product of its own, made when the key is first seen. The service
    answers whoever reaches it: it is for laptops and tests, not for a network that others are on.

    Args:
        fakes: Fakes by the API keys that lead to them, for tests that arrange them in Python.
        is_empty: Let other products begin empty, instead of with the demo catalogue.
        catalogue: What other products begin with, or a function that returns it, called once; each has a copy.
        version: Whether to speak tRPC 11, or 10.
        transformer: How values are written: `"json"`, `"superjson"`, or `"auto"`: as the request has them.
        latency: Seconds that each request of the endpoint waits before it is looked at, an hour at most.
        fail_rate: The fraction of its requests that fail: half of them are refused with SERVICE_UNAVAILABLE before
            anything runs, half are carried out and their answer is lost.
        hosts: Names without ports under which it may be reached, beside localhost and addresses of digits. A page of
            another site whose name points here is refused by its Host, and one that sends requests here by its
            Origin: only pages of this machine, and those of the host that the request itself names, are let in.

    Raises:
        ValueError: A setting that cannot be.

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
    ) -> None:
        if version not in (10, 11):
            raise ValueError(f"version: expected 10 or 11, got {version!r}")
        if transformer not in ("auto", "json", "superjson"):
            raise ValueError(f"transformer: expected 'auto', 'json' or 'superjson', got {transformer!r}")
        for name, value, most in (("latency", latency, _LONGEST_LATENCY), ("fail_rate", fail_rate, 1)):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
                raise ValueError(f"{name}: expected a number from 0 to {most}, got {value!r}")
        self.products = Products(fakes, catalogue=_starting_catalogue(catalogue, is_empty=is_empty))
        self._dialect = _trpc.Dialect(version, transformer)
        self._latency, self._fail_rate = latency, fail_rate
        self._hosts = set(map(at_field("hosts", host_name), at_field("hosts", _names)(hosts)))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request.

        Raises:
            AnswerLost: The connection is to be closed without an answer.
        """
        answer = self._answer(environ)
        headers = list(answer.headers.items())
        if answer.status != 204:  # noqa: PLR2004 - No Content
            headers.append(("content-length", str(len(answer.body))))
        start_response(status_line(answer.status), headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [answer.body]

    def _answer(self, environ: WSGIEnvironment) -> Answer:
        headers = {
            name.removeprefix("HTTP_").replace("_", "-").lower(): value
            for name, value in environ.items()
            if name.startswith("HTTP_") or name in {"CONTENT_TYPE", "CONTENT_LENGTH"}
        }
        stranger = self._stranger(headers)
        if stranger:
            return refusal("FORBIDDEN", stranger)
        target = _target(environ)
        path = target.partition("?")[0]
        for base in (BASE, _DOOR):
            if path == base or path.startswith(f"{base}/"):
                below = target[len(base) :].removeprefix("/")
                request = _trpc.Request(environ["REQUEST_METHOD"], below, headers, _body(environ, headers))
                return self._endpoint(request) if base == BASE else self._control(request)
        page = self._page.get(path)
        if page:
            return _page_answer(*page, environ["REQUEST_METHOD"])
        return refusal("NOT_FOUND", f"Nothing is here: the service is at {BASE}, its control door at {_DOOR}/")

    @cached_property
    def _page(self) -> dict[str, tuple[str, bytes]]:
        """The page's files by their paths, with their types: read once, for the package may be a zip file."""
        return {
            "/" if file.name == "index.html" else f"/{file.name}": (kind, file.read_bytes())
            for file in _PAGE.iterdir()
            for suffix, kind in _PAGE_TYPES.items()
            if file.name.endswith(suffix)
        }

    def _stranger(self, headers: Mapping[str, str]) -> str | None:
        """Return why a request is refused that another site's page may have sent."""
        host, origin = headers.get("host"), headers.get("origin")
        if host is not None and not self._is_own(host):
            return f"The host {host[:100]!r} is not let in; `--allow-host` of the command line adds a name"
        if origin is not None and not _is_same_site(origin, host):
            return f"The origin {origin[:100]!r} is neither this machine's nor that of the host that was asked"
        return None

    def _is_own(self, host: str) -> bool:
        name = _host_of(host)
        return name in self._hosts or _is_local_name(name) or _address(name) is not None

    def _endpoint(self, request: _trpc.Request) -> Answer:
        if self._latency:
            time.sleep(self._latency)
        mishap: Mishap | None = None
        if self._fail_rate and random.random() < self._fail_rate:  # noqa: S311 - nothing secret
            mishap = random.choice(("refused", "lost"))  # noqa: S311

        def find(path: str) -> _trpc.Procedure | None:
            route = ROUTES.get(path)
            if route is None:
                return None

            def run(read: Callable[[], Any]) -> Any:
                product = self.products.of(request.headers)
                return product.answer(path, route.kind, read() if route.schema else UNSET, mishap)

            return _trpc.Procedure(route.kind, run, dated=_with_instants)

        answer = _told(request, find, self._dialect)
        if mishap == "lost" and request.method != "HEAD":
            raise AnswerLost
        return answer

    def _control(self, request: _trpc.Request) -> Answer:
        def find(name: str) -> _trpc.Procedure | None:
            return control.procedure(self.products, request.headers, name)

        return _told(request, find, _trpc.Dialect())


def _starting_catalogue(given: Catalogue | Callable[[], Catalogue] | None, *, is_empty: bool) -> Catalogue | None:
    if is_empty:
        if given is not None:
            raise ValueError("catalogue: not together with is_empty; leave one of them out")
        return Catalogue()
    catalogue = given() if callable(given) else given
    if catalogue is not None and not isinstance(catalogue, Catalogue):
        source = "what the function returned" if callable(given) else "what was given"
        raise ValueError(f"catalogue: expected a Catalogue, {source} is {describe(catalogue)}")
    return catalogue


def host_name(given: str) -> str:
    """Return a name under which the service may be reached, as it is compared.

    Raises:
        InvalidInput: It is none, or more than one: a Host is looked at without its port.
    """
    if not isinstance(given, str) or not _NAME.fullmatch(given):
        told = f"expected a name alone, such as fake, without http:// and port; got {describe(given)}"
        raise InvalidInput(told)
    return given.lower()


def _is_same_site(origin: str, host: str | None) -> bool:
    """Return whether an Origin is a page of this machine, or of the host that a request was sent to.

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
    """Return the name or address in a Host, or in an Origin behind its scheme; an empty text if it is not just that.

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


def _with_instants(answer: Any, name: str = "") -> Any:
    """Return an answer whose own instants are instants: superjson writes them as the dates they are in TypeScript."""
    if name in _INSTANTS and isinstance(answer, str):
        return datetime.fromisoformat(answer)
    if name in _FREE_FORM or not isinstance(answer, (dict, list)):
        return answer
    if isinstance(answer, list):
        return [_with_instants(item) for item in answer]
    return {key: _with_instants(value, key) for key, value in answer.items()}


def _told(request: _trpc.Request, find: Callable[[str], _trpc.Procedure | None], dialect: Dialect) -> Answer:
    try:
        return _trpc.answered(request, find, dialect)
    except TransportError:
        raise AnswerLost from None


def status_line(status: int) -> str:
    """Return a status with its reason."""
    return f"{status} {responses.get(status, 'Unknown')}"


def refusal(code: str, message: str) -> Answer:
    """Return a refusal that concerns no call, as tRPC writes it."""
    known = CODES[code]
    data = {"code": code, "httpStatus": known.http_status}
    content = {"error": {"message": message, "code": known.number, "data": data}}
    return _trpc.Answer(known.http_status or 500, json.dumps(content).encode(), {"content-type": "application/json"})


def _target(environ: WSGIEnvironment) -> str:
    """Return what was asked for, as it came where the server tells it: decoding it early would lose what it was."""
    raw: str | None = environ.get("REQUEST_URI") or environ.get("RAW_URI")
    if raw is None or environ.get("SCRIPT_NAME"):  # which stands in the raw one too, and is not ours
        path = quote(environ.get("PATH_INFO", ""), encoding="latin-1")
    else:
        absolute = _ABSOLUTE.match(raw)
        path = re.split("[?#]", f"/{raw[absolute.end() :]}" if absolute else raw, maxsplit=1)[0]
    query = environ.get("QUERY_STRING", "")
    return f"{path}?{query}" if query else path


def _body(environ: WSGIEnvironment, headers: Mapping[str, str]) -> bytes | None:
    at_most, length = LARGEST_BODY + 1, headers.get("content-length", "")
    if not environ.get("wsgi.input_terminated"):  # so reading on would wait for more
        at_most = min(at_most, int(length[:20])) if length.isdecimal() else 0
    body = bytes(environ["wsgi.input"].read(at_most))
    return body if len(body) <= LARGEST_BODY else None


def _page_answer(kind: str, content: bytes, method: str) -> Answer:
    if method not in {"GET", "HEAD"}:
        return refusal("METHOD_NOT_SUPPORTED", "The page is there to be read: GET it")
    return _trpc.Answer(200, content, {"content-type": f"{kind}; charset=utf-8", **_PAGE_HEADERS})
