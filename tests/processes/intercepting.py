"""Libraries that answer calls in place of the network, each as an application's tests use it.

    python -W error intercepting.py NAME URL

The program prints the responses to a client that is imported while one of them is active, and those afterwards.
"""

from __future__ import annotations

import json
import re
import sys
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from unittest import mock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "os_sk_test_intercepted"
MOCKED = '{"result":{"data":[{"code":"mocked","name":"Mocked"}]}}'
REAL = '{"result":{"data":[{"code":"real","name":"Real"}]}}'
HEADERS = {"Content-Type": "application/json"}
PATHS = {"GET": "/tiers.list", "POST": "/links.reset"}
"""The calls that each of them answers: a query, and the mutation that must not be sent by accident."""


@contextmanager
def vcrpy(url: str) -> Iterator[Any]:
    """Replay a cassette, and record nothing."""
    import vcr  # type: ignore[import-untyped]

    def interaction(method: str, path: str) -> dict[str, Any]:
        headers = {"content-type": ["application/json"], "content-length": [str(len(MOCKED))]}
        return {
            "request": {"method": method, "uri": url + path, "body": None, "headers": {}},
            "response": {"status": {"code": 200, "message": "OK"}, "headers": headers, "body": {"string": MOCKED}},
        }

    seen: list[str | None] = []

    def note(request: Any) -> Any:
        seen.append(request.headers.get("Authorization"))
        return request

    with TemporaryDirectory() as folder:
        path = f"{folder}/cassette.json"
        with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123 - as short as it can be
            json.dump({"version": 1, "interactions": [interaction(*item) for item in PATHS.items()]}, file)
        with vcr.use_cassette(path, record_mode="none", serializer="json", before_record_request=note):
            seen.clear()  # of the cassette's own requests
            yield lambda: seen


@contextmanager
def pook(url: str) -> Iterator[Any]:
    """Answer at `HTTPConnectionPool.urlopen`."""
    import pook  # type: ignore[import-untyped]

    with pook.use():
        mocks = [getattr(pook, method.lower())(url + path) for method, path in PATHS.items()]
        for one in mocks:
            one.reply(200).json(json.loads(MOCKED))
        yield lambda: [match.headers["Authorization"] for one in mocks for match in one.matches]


@contextmanager
def httpretty(url: str) -> Iterator[Any]:
    """Answer at the socket."""
    import httpretty  # type: ignore[import-untyped]

    with httpretty.enabled():
        for method, path in PATHS.items():
            httpretty.register_uri(method, re.compile(re.escape(url + path)), body=MOCKED, adding_headers=HEADERS)
        yield lambda: [request.headers.get("Authorization") for request in httpretty.latest_requests()]


@contextmanager
def mocket(url: str) -> Iterator[Any]:
    """Answer at the socket, and let nothing through."""
    from mocket import Mocket, Mocketizer  # type: ignore[import-untyped]
    from mocket.mocks.mockhttp import Entry  # type: ignore[import-untyped]

    with Mocketizer(strict_mode=True):
        for method, path in PATHS.items():
            Entry.single_register(method, url + path, body=MOCKED, headers=HEADERS)
        yield lambda: [request.headers.get("authorization") for request in Mocket.request_list()]


@contextmanager
def requests_mock(url: str) -> Iterator[Any]:
    """Answer at the adapter of the session."""
    import requests_mock

    with requests_mock.Mocker() as mocker:
        for method, path in PATHS.items():
            mocker.request(method, url + path, text=MOCKED, headers=HEADERS)
        yield lambda: [request.headers["Authorization"] for request in mocker.request_history]


@contextmanager
def responses(url: str) -> Iterator[Any]:
    """Answer at `HTTPAdapter.send`."""
    import responses

    with responses.RequestsMock() as mocker:
        for method, path in PATHS.items():
            mocker.add(method, url + path, body=MOCKED, headers=HEADERS)
        yield lambda: [call.request.headers["Authorization"] for call in mocker.calls]


def _answer(kind: Any, **attributes: Any) -> Any:
    import io

    body: Any = io.BytesIO(MOCKED.encode())
    return kind(body, headers=HEADERS, status=200, preload_content=False, **attributes)


@contextmanager
def session_send(_: str) -> Iterator[Any]:
    """Put a function in place of `Session.send`."""
    import requests

    seen: list[str] = []

    def send(_: Any, request: Any, **__: Any) -> Any:
        seen.append(request.headers["Authorization"])
        response = requests.Response()
        response.status_code, response._content = 200, MOCKED.encode()
        response._content_consumed = True
        response.request = request
        return response

    with mock.patch.object(requests.sessions.Session, "send", send):
        yield lambda: seen


@contextmanager
def _urllib3(name: str) -> Iterator[Any]:
    import urllib3

    seen: list[str] = []

    def answer(*_: Any, headers: Any, **__: Any) -> Any:
        seen.append(headers["Authorization"])
        return _answer(urllib3.HTTPResponse)

    with mock.patch.object(urllib3.HTTPConnectionPool, name, answer):
        yield lambda: seen


def urlopen(_: str) -> Any:
    """Put a function in place of `HTTPConnectionPool.urlopen`."""
    return _urllib3("urlopen")


def make_request(_: str) -> Any:
    """Put a function in place of `HTTPConnectionPool._make_request`."""
    return _urllib3("_make_request")


INTERCEPTORS = {
    "vcrpy": vcrpy,
    "pook": pook,
    "httpretty": httpretty,
    "mocket": mocket,
    "requests-mock": requests_mock,
    "responses": responses,
    "Session.send": session_send,
    "urlopen": urlopen,
    "_make_request": make_request,
}


@contextmanager
def requests_cache(_: str) -> Iterator[Any]:
    """Put sessions that keep answers in place of `requests.Session`."""
    import requests_cache

    with requests_cache.enabled(backend="memory", allowable_methods=("GET", "POST")):
        yield


@contextmanager
def mocked_session(_: str) -> Iterator[Any]:
    """Put a mock in place of `requests.Session`, wherever it is defined."""
    with mock.patch("requests.Session"), mock.patch("requests.sessions.Session"):
        yield


SESSIONS = {"requests-cache": requests_cache, "a mock": mocked_session}
"""Replacements of the class of sessions, which must not answer for the service."""


def answers(url: str, **settings: Any) -> Callable[[], list[str]]:
    """Return a function that makes both calls of one client and returns the source of each response."""
    from chatarmin_os.transports import Call, HTTPTransport

    transport = HTTPTransport(KEY, url, transformer="json", max_retries=0, **settings)
    calls = [Call("tiers.list", "query"), Call("links.reset", "mutation", {})]

    def ask() -> list[str]:
        answers: Any = [transport.send(call) for call in calls]
        return [answer[0]["code"] for answer in answers]

    return ask


if __name__ == "__main__":
    name, base_url = sys.argv[1:]
    with (INTERCEPTORS | SESSIONS)[name](base_url):
        first = answers(base_url)
        found = [first()]
    found.append(first())
    print(json.dumps(found))  # noqa: T201 - the test reads it
