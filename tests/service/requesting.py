"""Requests to the service without a client: to the WSGI application, and over a socket."""

from __future__ import annotations

import json
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

from werkzeug.test import Client, EnvironBuilder

from chatarmin_os.errors import CODES
from chatarmin_os.server import FakeService, serve_fake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

KEY = "os_sk_live_of_the_tests"
NO_KEY: dict[str, str | None] = {"x-api-key": None}
"""Headers of a request without an API key."""


class Reply(NamedTuple):
    """A response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def content(self) -> Any:
        return json.loads(self.body)

    @property
    def data(self) -> Any:
        """The result of the call."""
        assert self.status == 200, self.body
        return self.content["result"]["data"]

    @property
    def error(self) -> dict[str, Any]:
        """The error of the call."""
        error: dict[str, Any] = self.content["error"]
        assert is_envelope(self.content), self.content
        assert self.status == error["data"]["httpStatus"]
        return error

    @property
    def code(self) -> str:
        return str(self.error["data"]["code"])


def is_envelope(content: Any) -> bool:
    """Return whether content is an envelope of tRPC 11."""
    match content:
        case {"result": {"data": _, **more}, **others} | {"result": {**more}, **others}:
            return not more and not others
        case {"error": {"message": str(), "data": {"code": str(code), "httpStatus": int()}, **number}}:
            return number == ({"code": CODES[code].number} if code in CODES else {})
    return False


def send_to_application(
    service: FakeService,
    method: str,
    target: str,
    headers: Mapping[str, str | None] | None = None,
    body: bytes = b"",
    *,
    environ: Mapping[str, Any] | None = None,
) -> Reply:
    """Send a request to the application, and check that both sides keep to WSGI.

    There is an API key unless *headers* has another or None. The environ has no more of the target than WSGI requires.
    """
    path, _, query = target.partition("?")
    required = {
        "REQUEST_METHOD": method,
        "PATH_INFO": unquote(path, "latin-1"),
        "QUERY_STRING": query,
        "SCRIPT_NAME": "",
    }
    for name, value in {"x-api-key": KEY, **(headers or {})}.items():
        if value is not None:
            variable = name.upper().replace("-", "_")
            required[variable if variable == "CONTENT_TYPE" else f"HTTP_{variable}"] = value
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> Any:
        started.extend((int(status.split(" ", 1)[0]), dict(headers)))
        return started.append

    given: dict[str, Any] = {
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": BytesIO(body),
        **required,
        **(environ or {}),
    }
    setup_testing_defaults(given)
    answer = validator(service)(given, start_response)
    try:
        content = b"".join(answer)
    finally:
        answer.close()  # type: ignore[attr-defined]
    status, response_headers = started
    return Reply(status, response_headers, content)


def _send_by_werkzeug(
    service: FakeService,
    method: str,
    target: str,
    headers: Mapping[str, str | None] | None = None,
    body: bytes = b"",
) -> Reply:
    given = {name: value for name, value in {"x-api-key": KEY, **(headers or {})}.items() if value is not None}
    path, _, query = target.partition("?")
    request = EnvironBuilder(path=path, query_string=query, method=method, headers=list(given.items()), data=body)
    answer = Client(service).open(request)
    return Reply(answer.status_code, {name.lower(): value for name, value in answer.headers}, answer.get_data())


def send_over_socket(
    url: str,
    method: str,
    target: str,
    headers: Mapping[str, str | None] | None = None,
    body: bytes = b"",
) -> Reply:
    """Send a request over a new connection; there is an API key unless *headers* has another or None."""
    connection = HTTPConnection(urlsplit(url).netloc)
    given = {name: value for name, value in {"x-api-key": KEY, **(headers or {})}.items() if value is not None}
    try:
        connection.request(method, target, body or None, given)
        answer = connection.getresponse()
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


WAYS = ("wsgi", "werkzeug", "socket")


@contextmanager
def open_service(way: str, **settings: Any) -> Iterator[Callable[..., Reply]]:
    """Yield a function that sends requests to a service with *settings*, in one of the ways."""
    if way == "socket":
        with serve_fake(**settings) as url:
            yield partial(send_over_socket, url)
    else:
        yield partial(send_to_application if way == "wsgi" else _send_by_werkzeug, FakeService(**settings))


def query(ask: Callable[..., Reply], path: str, given: Any = None, base: str = "/api/v1", **headers: Any) -> Reply:
    """Send a query; *headers* by their Python names."""
    target = f"{base}/{path}" + ("" if given is None else f"?input={quote(json.dumps(given))}")
    return ask("GET", target, _spell(headers))


def mutate(ask: Callable[..., Reply], path: str, given: Any = None, base: str = "/api/v1", **headers: Any) -> Reply:
    """Send a mutation; *headers* by their Python names."""
    body = b"" if given is None else json.dumps(given).encode()
    return ask("POST", f"{base}/{path}", {"content-type": "application/json", **_spell(headers)}, body)


def _spell(headers: Mapping[str, Any]) -> dict[str, Any]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
