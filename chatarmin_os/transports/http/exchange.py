"""One request to the service and its answer, or why there is none; nothing here repeats anything."""

from __future__ import annotations

import http.client
import os
import ssl
from copy import copy
from inspect import CO_VARARGS
from traceback import walk_tb
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import requests
from requests.cookies import RequestsCookieJar
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import (
    ConnectTimeoutError,
    DecodeError,
    HTTPError,
    IncompleteRead,
    InvalidChunkLength,
    InvalidHeader,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
)

from chatarmin_os._messages import printable, without_query
from chatarmin_os._version import __version__
from chatarmin_os.errors import ConnectionFailed, InvalidResponse, TimedOut, TransportError
from chatarmin_os.transports.http import retry
from chatarmin_os.transports.http.connections import Adapter, Answer, Exchange, current
from chatarmin_os.transports.http.dns import DeadlineError
from chatarmin_os.transports.http.masked import Masked, MaskedHeaders
from chatarmin_os.transports.http.settings import is_loopback
from chatarmin_os.transports.http.trust import UnusableFileError
from chatarmin_os.transports.http.unpatched import HTTPAdapter, Session
from chatarmin_os.trpc.superjson import LARGEST_ANSWER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chatarmin_os._json import JSON
    from chatarmin_os.errors import Outcome
    from chatarmin_os.transports.http.retry import Deadline, Repeat
    from chatarmin_os.transports.http.trust import Trust
    from chatarmin_os.trpc.client import Message

_SHORTEST = 0.001  # seconds: 0 and below are no timeouts to requests
_ALARM = 0.05  # seconds that are left when a timeout cannot be one of the deadline
_PIECE = 2**14  # bytes: even where it explodes, what a piece is decompressed to stays bounded
_LONGEST_MESSAGE, _LONGEST_EXCERPT = 600, 200
_REQUEST_IDS = ("x-request-id", "request-id", "x-correlation-id", "x-amzn-requestid", "x-vercel-id", "cf-ray")
_REDIRECTS = range(300, 400)
# What shows that a request was not sent where a session of the user's own carried it.
_BEFORE_SENDING = (
    ConnectTimeoutError,
    NewConnectionError,
    NameResolutionError,
    requests.ConnectTimeout,
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    LocationParseError,
    UnusableFileError,
)

# What shows that a connection of such a session was closed in the middle.
_CUT = (http.client.RemoteDisconnected, http.client.IncompleteRead, IncompleteRead, ConnectionError)

# What shows that the time was up, unless the operating system has given up a connection by itself.
_TIMEOUTS = (TimeoutError, ReadTimeoutError, requests.Timeout)

# What shows that an answer is no HTTP, unless it was cut.
_GARBLED = (http.client.HTTPException, InvalidHeader, InvalidChunkLength, DecodeError, ValueError)


class Reply(NamedTuple):
    """A complete answer, of whoever answered."""

    status: int
    content_type: str
    retry_after: str | None
    """The header as it came: whether it concerns a call depends on the status of that call."""
    request_id: str | None
    body: bytes


class Failure(NamedTuple):
    """Why there is no answer, and which calls may be made again."""

    error: TransportError
    repeat: Repeat


class _NoCookies(RequestsCookieJar):
    """A jar that stays empty, and takes no lock that an exception of a signal, or a fork, could leave locked."""

    def extract_cookies(self, response: object, request: object) -> None:
        """Take no cookie out of an answer."""


_NO_COOKIES = _NoCookies()


class _TooLarge(Exception):  # noqa: N818 - never leaves this module
    """An answer that is larger than any may be."""


class Courier:
    """It carries requests to one service, in sessions of its own or in one of the user's."""

    def __init__(
        self,
        base_url: str,
        *,
        authorise: Callable[[Any], Any],
        blotted: Callable[[bytes], bytes],
        session: requests.Session | None,
        proxies: dict[str, str],
        trust: Trust,
    ) -> None:
        self._base_url = base_url
        self._host = urlsplit(base_url).netloc
        self._authorise = authorise
        self._blotted = blotted
        self._given = session
        self._trust = trust
        self._session = session or _new_session(trust)
        self._process = os.getpid()
        self._trust_version = trust.version()
        self._inherited: list[Any] = []
        self._route = {"proxies": proxies, "verify": trust.verify, "cert": trust.cert}
        get = {
            "User-Agent": f"chatarmin-os-python/{__version__}",
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # what is not compressed cannot explode
        }
        self._headers = {
            "GET": MaskedHeaders(get),
            "POST": MaskedHeaders({**get, "Content-Type": "application/json"}),
        }

    def close(self) -> None:
        """Close the connections of this process, unless they are the user's own."""
        if self._given is None and self._process == os.getpid():
            self._session.close()

    def carried(self, message: Message, deadline: Deadline, *, may_repeat: bool) -> Reply | Failure:
        """Return the answer to *message*, or why there is none. What it holds meanwhile shows in no traceback."""
        if not deadline.remaining():
            return Failure(self._timed_out("not_sent"), "never")
        session = self._session_of_this_process()
        exchange = Exchange(deadline, may_repeat=may_repeat)
        token = current.set(exchange)
        response = None
        try:
            request, settings = self._prepared(session, message)
            if exchange.is_replaced:
                _unmask(request)
            try:
                response = session.send(
                    request,
                    timeout=max(deadline.remaining(), _SHORTEST),
                    stream=True,
                    allow_redirects=False,
                    **settings,
                )
            except requests.HTTPError as error:  # of a hook such as `raise_for_status`; here the body decides
                if error.response is None:
                    raise
                response = error.response
            if response.status_code in _REDIRECTS:
                return self._redirected(response, exchange.location)
            reply = self._reply(response, _body(response))
            response = None  # read to its end, its connection is free again
        except (requests.RequestException, HTTPError, http.client.HTTPException, OSError, _TooLarge) as error:
            failure = self._failure(list(_causes(error)), exchange, is_plain=_is_plain(session, self._base_url))
            if response is not None and isinstance(failure.error, InvalidResponse):
                failure.error.http_status = response.status_code
            return failure
        finally:
            if response is not None:
                response.close()
            current.reset(token)
        return reply

    def _session_of_this_process(self) -> requests.Session:
        """Return the session; a child process must not read from connections that its parent reads from.

        Connections made under another trust are not used again either: their authority may have been removed.
        """
        process, trust_version = os.getpid(), self._trust.version()
        if self._trust_version != trust_version:
            self._session = _new_session(self._trust)  # calls under way end on the old one
            self._trust_version = trust_version
        if self._process != process:
            if self._given is None:
                # Closes the child's ends of the parent's connections, not the parent's.
                self._session = _new_session(self._trust)
            else:
                self._inherited += _forgotten_connections(self._given)
            self._process = process
        return self._session

    def _prepared(self, session: requests.Session, message: Message) -> tuple[requests.PreparedRequest, dict[str, Any]]:
        """Return a request, and with what settings it is sent."""
        url, headers = self._base_url + message.target, self._headers[message.method].copy()
        if self._given is not None:
            given = requests.Request(message.method, url, headers, data=message.body, auth=self._authorise)
            request = session.prepare_request(given)
            request.headers.pop("Cookie", None)
            request.register_hook("response", _stays)
            settings = session.merge_environment_settings(url, {}, True, None, None)
            proxies = session.proxies if is_loopback(urlsplit(url).hostname or "") else settings["proxies"]
            return request, {"proxies": proxies, "verify": settings["verify"], "cert": settings["cert"]}
        # By hand: all but the body and the end of the URL is as it always is.
        request = requests.PreparedRequest()
        request.method, request.url, request.body = message.method, url, message.body
        request.headers = headers
        request.hooks, request._cookies = {"response": [_stays]}, _NO_COOKIES  # noqa: SLF001
        if message.body is not None:
            headers["Content-Length"] = str(len(message.body))
        return self._authorise(request), self._route

    def _reply(self, response: requests.Response, body: bytes) -> Reply:
        headers = response.headers
        request_id = next((headers[name] for name in _REQUEST_IDS if name in headers), None)
        return Reply(
            response.status_code,
            headers.get("Content-Type", "no content type"),
            headers.get("Retry-After"),
            request_id and self.shown(request_id, at_most=_LONGEST_EXCERPT),
            self._blotted(body),
        )

    # What went wrong

    def blot(self, content: dict[str, JSON]) -> None:
        """Blot out the key in JSON, however the service had written it down, and however deep."""
        waiting: list[JSON] = [content]
        while waiting:
            holder = waiting.pop()
            for place, part in list(holder.items() if isinstance(holder, dict) else enumerate(holder)):
                if isinstance(part, (dict, list)):
                    waiting.append(part)
                elif isinstance(part, str):
                    holder[place] = self._without_key(part)
                if isinstance(place, str) and self._without_key(place) != place:
                    holder[self._without_key(place)] = holder.pop(place)

    def _without_key(self, text: str) -> str:
        return self._blotted(text.encode(errors="surrogatepass")).decode(errors="surrogatepass")

    def shown(self, text: str, at_most: int = _LONGEST_MESSAGE) -> str:
        """Return foreign text as it may be shown: without the key and control characters, and not long."""
        return printable(self._without_key(text), at_most)

    def unexpected(self, reply: Reply, reason: str, repeat: Repeat | None = None) -> Failure:
        """Return the failure that an answer is which is not the service's."""
        text = without_query(reply.body[: 4 * _LONGEST_EXCERPT].decode(errors="replace"))
        excerpt = self.shown(text, at_most=_LONGEST_EXCERPT)
        told = f"{self._host}: status {reply.status}, {reason}: {self.shown(reply.content_type, 80)}: {excerpt!r}"
        wait = retry.retry_after(reply.status, reply.retry_after)
        return Failure(
            InvalidResponse(told, retry_after=wait, http_status=reply.status),
            repeat or retry.after_status(reply.status),
        )

    def _redirected(self, response: requests.Response, location: str) -> Failure:
        # Without its query, which may hold what is secret.
        where = self.shown(location.partition("?")[0].partition("#")[0], _LONGEST_EXCERPT)
        to = f" to {where}" if where and "@" not in where else ""
        told = f"{self._host} redirects{to} (status {response.status_code}), which is not followed: is base_url right?"
        return Failure(InvalidResponse(told, http_status=response.status_code), "never")

    def _timed_out(self, outcome: Outcome) -> TimedOut:
        told = "before the request was sent" if outcome == "not_sent" else "while the answer was waited for"
        return TimedOut(f"{self._host}: the time was up {told}", outcome=outcome)

    def _failure(self, causes: list[BaseException], exchange: Exchange, *, is_plain: bool) -> Failure:
        callers_own = [cause for cause in causes if _is_callers_own(cause, exchange)]
        if callers_own:
            raise callers_own[-1] from None  # the inmost: urllib3 gives its traceback to what it wraps it in
        if exchange.is_watched:
            outcome: Outcome = "unknown" if exchange.sent else "not_sent"
        else:
            outcome = "not_sent" if is_plain and _tells_unsent(causes) else "unknown"
        if isinstance(causes[0], _TooLarge):
            return Failure(InvalidResponse(f"{self._host}: an answer of more than {LARGEST_ANSWER:,} bytes"), "never")
        if any(isinstance(cause, _TIMEOUTS) for cause in causes) and not any(map(_is_of_the_system, causes)):
            return Failure(self._timed_out(outcome), "any" if outcome == "not_sent" else "safe")
        reason = self.shown(str(causes[-1]) or type(causes[-1]).__name__)
        if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
            told = f"{self._host}: its certificate is not trusted ({reason})"
            what_helps = "pass the path of its authority as verify=, or in REQUESTS_CA_BUNDLE"
            return Failure(ConnectionFailed(f"{told}; {what_helps}", outcome="not_sent"), "never")
        was_cut = exchange.was_closed or (not exchange.is_watched and any(isinstance(cause, _CUT) for cause in causes))
        garbled = DecodeError if was_cut else _GARBLED  # what was cut cannot but look garbled
        if outcome == "unknown" and any(isinstance(cause, garbled) for cause in causes):
            return Failure(InvalidResponse(f"{self._host}: no answer of HTTP: {reason}"), "never")
        told = f"{self._host}: {'no connection' if outcome == 'not_sent' else 'the connection was lost'}: {reason}"
        return Failure(ConnectionFailed(told, outcome=outcome), "any" if outcome == "not_sent" else "safe")


def _forgotten_connections(session: requests.Session) -> list[Any]:
    """Give a session of the user's own pools and a jar of its own in a child process, and return what it had.

    That is to be kept: to close it, or to let go of it, would take locks that another thread may have held at the fork.
    """
    had = []
    for adapter in session.adapters.values():
        if isinstance(adapter, HTTPAdapter):
            had += [adapter.poolmanager, adapter.proxy_manager]
            adapter.__setstate__(adapter.__getstate__())  # as one that comes out of a pickle
        else:
            adapter.close()
    session.cookies = copy(session.cookies)
    return had


def _stays(response: requests.Response, **_: Any) -> None:
    """Forget where an answer redirects to: requests would look, and read the whole body, though it must not follow."""
    current.get().location = response.headers.pop("Location", "")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what is inside it: requests and urllib3 wrap one in the other in several ways.

    What was handled when it was raised, its context, is none of its causes: it may be of another connection.
    """
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop(0)
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            inside = [*one.args, getattr(one, "reason", None), one.__cause__]
            waiting += [part for part in inside if isinstance(part, BaseException)]


def _is_of_the_system(cause: BaseException) -> bool:
    """Return whether it is a timeout of the operating system's own, such as ETIMEDOUT after many lost packets."""
    return isinstance(cause, TimeoutError) and cause.errno is not None


def _is_callers_own(cause: BaseException, exchange: Exchange) -> bool:
    """Return whether a timer or signal of the caller's raised it, beside the call.

    The network's timeouts are plain: of the class itself, and either with a number or when the time is up.
    """
    if _is_of_a_signal(cause):
        return True
    if not isinstance(cause, TimeoutError) or isinstance(cause, DeadlineError) or cause.errno is not None:
        return False
    is_early = exchange.is_watched and exchange.deadline.remaining() > _ALARM
    return type(cause) is not TimeoutError or is_early


def _is_of_a_signal(cause: BaseException) -> bool:
    """Return whether the handler of a signal raised it: Python hands it the frame that it interrupts."""
    for frame, _ in walk_tb(cause.__traceback__):
        if frame.f_globals is globals():
            continue  # it still runs: Python 3.11 would keep a copy of its locals, and so the error itself in a circle
        code, values = frame.f_code, frame.f_locals
        count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & CO_VARARGS)
        for name in code.co_varnames[:count]:
            given = values.get(name)
            if any(
                isinstance(one, FrameType) and one is frame.f_back
                for one in (given if isinstance(given, tuple) else (given,))
            ):
                return True
    return False


def _unmask(request: requests.PreparedRequest) -> None:
    """Let headers be plain text, for what writes them to a file by their type."""
    plain = {name: str(value) if isinstance(value, Masked) else value for name, value in request.headers.items()}
    request.headers = CaseInsensitiveDict(plain)


def _tells_unsent(causes: list[BaseException]) -> bool:
    return any(isinstance(cause, _BEFORE_SENDING) for cause in causes)


def _is_plain(session: requests.Session, url: str) -> bool:
    """Return whether a session sends what it is given once, and says truly what became of it."""
    adapter = session.get_adapter(url)
    if not isinstance(adapter, HTTPAdapter) or type(adapter) not in {HTTPAdapter, Adapter}:
        return False
    return adapter.max_retries.total == 0


def _body(response: requests.Response) -> bytes:
    """Return the body of an answer, read to its end.

    Raises:
        _TooLarge: It is larger than any may be.
    """
    raw, declared = response.raw, getattr(response.raw, "length_remaining", None)
    if declared is not None and declared > LARGEST_ANSWER:
        raise _TooLarge
    if response._content_consumed:  # noqa: SLF001 - by a hook of the user's own session
        if len(response.content) > LARGEST_ANSWER:
            raise _TooLarge
        return response.content
    if declared is not None and "Content-Encoding" not in response.headers:
        answer = getattr(raw, "_original_response", None)
        if not isinstance(answer, Answer):  # of a session of the user's own, or of a test
            return bytes(raw.read(decode_content=False))
        body: bytes = answer.read()
        raw.release_conn()
        return body
    pieces, size = [], 0
    while piece := raw.read(_PIECE, decode_content=True):
        pieces.append(piece)
        size += len(piece)
        if size > LARGEST_ANSWER:
            raise _TooLarge
    return b"".join(pieces)


def _new_session(trust: Trust) -> requests.Session:
    """Return a session that keeps nothing but connections."""
    session, adapter = Session(), Adapter(trust)
    session.trust_env = False
    session.cookies = _NO_COOKIES
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session
