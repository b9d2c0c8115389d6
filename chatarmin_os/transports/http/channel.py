"""The way to one service: it sends one request and returns the response, or the failure; it retries nothing."""

from __future__ import annotations

import http.client
import os
import ssl
from copy import copy
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import requests
import urllib3
from requests.cookies import RequestsCookieJar
from urllib3.exceptions import HTTPError

from chatarmin_os._version import __version__
from chatarmin_os.errors import InvalidResponse
from chatarmin_os.transports.http.connections import Adapter, HTTPAdapter, Session, are_connections_replaced
from chatarmin_os.transports.http.exchange import Exchange, Phase
from chatarmin_os.transports.http.failures import (
    Failure,
    Kind,
    TooLargeError,
    causes_of,
    classify,
    failure_of,
    raise_callers_own,
)
from chatarmin_os.transports.http.masked import MaskedHeaders, unmask
from chatarmin_os.transports.http.settings import is_loopback
from chatarmin_os.trpc.superjson import MAX_RESPONSE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from chatarmin_os.transports.http.redaction import Redactor
    from chatarmin_os.transports.http.retry import Deadline
    from chatarmin_os.transports.http.trust import Trust
    from chatarmin_os.trpc.client import WireRequest

_CHUNK_BYTES = 2**14  # decompressed at a time: a small body can explode
_MAX_EXCERPT = 200
_REQUEST_IDS = ("x-request-id", "request-id", "x-correlation-id", "x-amzn-requestid", "x-vercel-id", "cf-ray")
_REDIRECTS = range(300, 400)


class Reply(NamedTuple):
    """A complete response, of the service or of a server in front of it."""

    status: int
    content_type: str
    retry_after: str | None
    """The header as received: whether it concerns a call depends on the status of that call."""
    request_id: str | None
    body: bytes


class _NoCookies(RequestsCookieJar):
    """A jar that stays empty, and takes no lock that an exception of a signal, or a fork, could leave locked."""

    def extract_cookies(self, response: object, request: object) -> None:
        """Take no cookie from a response."""

    def copy(self) -> _NoCookies:
        """Return the jar itself."""
        return self


_NO_COOKIES = _NoCookies()


class _Session(Session):
    """A session that keeps connections and nothing else."""

    def resolve_redirects(self, *_: Any, **__: Any) -> Generator[Any]:
        """Follow no redirect: requests would read its whole body, and parse the URL of every request, to be ready."""
        yield from ()


class Channel:
    """The way to one service, through sessions of this package or through one of the user's.

    Args:
        base_url: The URL that targets are appended to.
        authorize: Puts the credentials on a request.
        redactor: Removes the key from texts.
        session: A session of the user's own; None to make one.
        proxies: The proxies of a session that is made here.
        trust: Its authorities and client certificate.
    """

    def __init__(
        self,
        base_url: str,
        *,
        authorize: Callable[[Any], Any],
        redactor: Redactor,
        session: requests.Session | None,
        proxies: dict[str, str],
        trust: Trust,
    ) -> None:
        self._base_url = base_url
        self.host = urlsplit(base_url).netloc
        self._authorize = authorize
        self._redactor = redactor
        self._given = session
        self._trust = trust
        self._session = session or _new_session(trust)
        self._process = os.getpid()
        self._trust_version = trust.version()
        self._inherited: list[Any] = []
        self._environment_settings = {"proxies": proxies, "verify": trust.verify, "cert": trust.cert}
        self._headers = {
            "User-Agent": f"chatarmin-os-python/{__version__}",
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # a body that is not compressed cannot explode
        }
        self._templates = {"GET": self._template("GET"), "POST": self._template("POST")}

    def close(self) -> None:
        """Close the connections of this process, unless they belong to the user's session."""
        if self._given is None and self._process == os.getpid():
            self._session.close()

    def exchange(
        self,
        wire_request: WireRequest,
        deadline: Deadline,
        *,
        may_repeat: bool,
        headers: Mapping[str, str] | None = None,
    ) -> Reply | Failure:
        """Send a request and return the response, or the failure. No local variable holds the key.

        Args:
            wire_request: The request.
            deadline: When it fails.
            may_repeat: Whether the request may reach the service twice.
            headers: Headers in addition to the usual ones, such as those of a trace.
        """
        if not deadline.remaining():
            return failure_of(Kind.NO_TIME_LEFT, self.host)
        session = self._session_of_this_process()
        exchange = Exchange(deadline, may_repeat=may_repeat)
        response = None
        try:
            request, settings = self._prepare(session, wire_request, exchange)
            if headers:
                request.headers.update(headers)
            try:
                response = session.send(request, stream=True, allow_redirects=False, **settings)
            except requests.HTTPError as error:  # of a hook such as `raise_for_status`; here the body decides
                if error.response is None:
                    raise
                response = error.response
            if response.status_code in _REDIRECTS:
                return self._redirected(response, exchange.location or response.headers.get("Location", ""))
            reply = self._reply(response, _read(response, exchange))
            response = None  # its connection is back in the pool
        except (requests.RequestException, HTTPError, http.client.HTTPException, OSError, TooLargeError) as error:
            failure = self._failure(causes_of(error), exchange, is_plain=_is_plain(session, self._base_url))
            if response is not None and isinstance(failure.error, InvalidResponse):
                failure.error.http_status = response.status_code
            return failure
        finally:
            if response is not None:
                response.close()
        return reply

    def connect(self, exchange: Exchange) -> Any:
        """Return the socket of a new connection, or the failure, whose error has its cause; send no request.

        It is for a diagnosis, and for a channel without a session of the user.
        """
        session: Any = self._session_of_this_process()
        request = self._templates["GET"].copy()
        request.url = f"{self._base_url}/"
        try:
            adapter = session.get_adapter(request.url)
            return adapter.open(request, self._environment_settings["proxies"], exchange)
        except (requests.RequestException, HTTPError, http.client.HTTPException, OSError) as error:
            causes = causes_of(error)
            failure = self._failure(causes, exchange, is_plain=False)
            failure.error.__cause__ = causes[-1].with_traceback(None)  # its frames may have credentials of a proxy
            return failure

    def _session_of_this_process(self) -> requests.Session:
        """Return the session; a child process must not read from connections that its parent reads from.

        Connections made under another trust are not used again either: their authority may have been removed.
        """
        process, trust_version = os.getpid(), self._trust.version()
        if self._trust_version != trust_version:
            self._session = _new_session(self._trust)  # running calls end on the old one
            self._trust_version = trust_version
        if self._process != process:
            if self._given is None:
                # Closes the child's ends of the parent's connections, not the parent's.
                self._session = _new_session(self._trust)
            else:
                self._inherited += _forget_connections(self._given)
            self._process = process
        return self._session

    def _template(self, method: str) -> requests.PreparedRequest:
        """Return a request without URL and body, to be copied for each call."""
        request = requests.PreparedRequest()
        request.method = method
        request.headers = self._masked_headers(method)
        request.prepare_cookies(_NO_COOKIES)
        return request

    def _masked_headers(self, method: str) -> Any:
        content_type = {"Content-Type": "application/json"} if method == "POST" else {}
        return MaskedHeaders({**self._headers, **content_type})

    def _prepare(
        self, session: requests.Session, wire_request: WireRequest, exchange: Exchange
    ) -> tuple[requests.PreparedRequest, dict[str, Any]]:
        """Return a request, and the settings to send it with."""
        url, body = self._base_url + wire_request.target, wire_request.body
        if self._given is not None:
            headers = self._masked_headers(wire_request.method)
            given = requests.Request(wire_request.method, url, headers, data=body, auth=self._authorize)
            request = session.prepare_request(given)
            request.headers.pop("Cookie", None)
            request.register_hook("response", exchange.drop_location)
            if are_connections_replaced():
                request.headers = unmask(request.headers)
            settings = session.merge_environment_settings(url, {}, True, None, None)
            if is_loopback(urlsplit(url).hostname or ""):
                settings["proxies"] = session.proxies
            # Adapters of any class take a number; those of this package take the exchange.
            timeout: Any = exchange.connect_timeout
            return request, {
                "timeout": timeout,
                "proxies": settings["proxies"],
                "verify": settings["verify"],
                "cert": settings["cert"],
            }
        # Without requests' own preparation: all but the body and the target is the same for every call.
        request = self._templates[wire_request.method].copy()
        request.url, request.body = url, body
        request.hooks = {"response": []}  # not the template's, to which an auth may add
        if body is not None:
            request.headers["Content-Length"] = str(len(body))
        return self._authorize(request), {"timeout": exchange, **self._environment_settings}

    def _reply(self, response: requests.Response, body: bytes) -> Reply:
        headers = response.headers
        request_id = next((headers[name] for name in _REQUEST_IDS if name in headers), None)
        return Reply(
            response.status_code,
            headers.get("Content-Type", "no content type"),
            headers.get("Retry-After"),
            request_id and self._redactor.show(request_id, _MAX_EXCERPT),
            self._redactor.redact(body),
        )

    def _redirected(self, response: requests.Response, location: str) -> Failure:
        # Without the query, which may hold secrets.
        where = self._redactor.show(location.partition("?")[0].partition("#")[0], _MAX_EXCERPT)
        target = f" to {where}" if where and "@" not in where else ""
        failure = failure_of(Kind.REDIRECTED, self.host, reason=f"{target} (status {response.status_code})")
        vars(failure.error)["http_status"] = response.status_code
        return failure

    def _failure(self, causes: list[BaseException], exchange: Exchange, *, is_plain: bool) -> Failure:
        raise_callers_own(causes, exchange)
        kind = classify(causes, exchange, is_plain=is_plain)
        phase = exchange.phase
        if not exchange.is_ours:
            phase = Phase.CONNECTING if kind is Kind.TIMED_OUT_UNSENT else Phase.WAITING
        reason = self._redactor.show(str(causes[-1]) or type(causes[-1]).__name__)
        deadline = exchange.deadline
        after = f" after {round(deadline.seconds, 3) or deadline.seconds} s" if deadline.has_passed() else ""
        failure = failure_of(kind, self.host, phase=phase, reason=reason, after=after)
        if hint := self._hint(causes, phase):
            failure.error.args = (f"{failure.error}; {hint}", *failure.error.args[1:])
        return failure

    def _hint(self, causes: list[BaseException], phase: Phase) -> str | None:
        """Return advice about a failure of a service on this machine."""
        if not is_loopback(urlsplit(self._base_url).hostname or ""):
            return None
        if phase is Phase.HANDSHAKE and not isinstance(causes[-1], ssl.SSLCertVerificationError):
            return "does this server speak plain http? Then begin base_url with http://"
        return "is chatarmin-os serve running there?" if isinstance(causes[-1], ConnectionRefusedError) else None


def _forget_connections(session: requests.Session) -> list[Any]:
    """Give a user's session new pools and a new jar in a child process, and return the old ones.

    They have to be kept: to close or to drop them takes locks that another thread may have held at the fork.
    """
    old = []
    for adapter in session.adapters.values():
        if isinstance(adapter, HTTPAdapter):
            old += [adapter.poolmanager, adapter.proxy_manager]
            adapter.__setstate__(adapter.__getstate__())  # as after pickling
        else:
            adapter.close()
    session.cookies = copy(session.cookies)
    return old


def _is_plain(session: requests.Session, url: str) -> bool:
    """Return whether a session sends a request once, and reports its failure truly."""
    adapter = session.get_adapter(url)
    if not isinstance(adapter, HTTPAdapter) or type(adapter) not in {HTTPAdapter, Adapter}:
        return False
    return adapter.max_retries.total == 0


def _read(response: requests.Response, exchange: Exchange) -> bytes:
    """Return the body of a response, read to its end.

    Raises:
        TooLargeError: It is larger than any may be.
    """
    raw = response.raw
    declared = getattr(raw, "length_remaining", None)
    if declared is not None and declared > MAX_RESPONSE_BYTES:
        raise TooLargeError(f"{MAX_RESPONSE_BYTES:,}")
    is_encoded = "Content-Encoding" in response.headers
    if exchange.response and declared and type(raw) is urllib3.HTTPResponse and not is_encoded:
        body = exchange.response.read()  # below the layers of urllib3, which have nothing to do here
        raw.release_conn()
        return body
    chunks, size = [], 0
    for chunk in response.iter_content(_CHUNK_BYTES):  # also if a hook of the user's session has read it
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_RESPONSE_BYTES:
            raise TooLargeError(f"{MAX_RESPONSE_BYTES:,}")
    return b"".join(chunks)


def _new_session(trust: Trust) -> requests.Session:
    session, adapter = _Session(), Adapter(trust)
    session.trust_env = False
    session.cookies = _NO_COOKIES
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session
