"""One connection and single requests to a service, with everything that a diagnosis asks about them; no retries."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, NamedTuple

from chatarmin_os._clock import perf_counter, wall
from chatarmin_os.transports.http import settings
from chatarmin_os.transports.http.channel import Channel
from chatarmin_os.transports.http.exchange import Exchange, Phase
from chatarmin_os.transports.http.failures import Failure
from chatarmin_os.transports.http.redaction import Redactor
from chatarmin_os.transports.http.replies import Replies
from chatarmin_os.trpc.client import WireRequest, make_request

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import requests

    from chatarmin_os._call import Call
    from chatarmin_os.errors import ApiError
    from chatarmin_os.transports.http.channel import Reply
    from chatarmin_os.transports.http.retry import Deadline
    from chatarmin_os.transports.http.trust import Trust
    from chatarmin_os.trpc.client import Envelope, Transformer


class Steps(Exchange):
    """An exchange that notes when each of its phases began."""

    def __init__(self, deadline: Deadline) -> None:
        self.began: dict[Phase, float] = {}
        super().__init__(deadline, may_repeat=True)

    @property
    def phase(self) -> Phase:
        """The present step."""
        return list(self.began)[-1]

    @phase.setter
    def phase(self, phase: Phase) -> None:  # pyright: ignore[reportIncompatibleVariableOverride] - of an attribute
        """Begin a step."""
        self.began.pop(phase, None)  # the initial one comes again
        self.began[phase] = perf_counter()


class Connected(NamedTuple):
    """An attempt to connect.

    Attributes:
        failure: Why there is no connection; None with one.
        failed_at: The step that failed; None with a connection.
        address: The address of the service, or of its proxy; blank without a connection.
        tls_version: Such as `"TLSv1.3"`; blank without TLS.
        certificate: That of the service, as of `ssl.SSLSocket.getpeercert`; empty without TLS.
        seconds: How long each step took that ended.
        total: Seconds until the connection, or the failure.
    """

    failure: Failure | None
    failed_at: Phase | None
    address: str
    tls_version: str
    certificate: Any
    seconds: dict[Phase, float]
    total: float


class Response(NamedTuple):
    """The response to one request.

    Attributes:
        reply: The complete response, or the failure.
        seconds: From the request to the end of the response.
        date: The header Date; None without one.
        received_at: Seconds since 1970 on the clock of this machine, when the head of the response was read.
    """

    reply: Reply | Failure
    seconds: float
    date: str | None
    received_at: float


class Probe:
    """Requests to one service, one after the other, as a client of the same settings sends them.

    Args:
        base_url: A valid base URL.
        key: Returns the key; None: requests carry none.
        proxies: The proxies, as of `proxies_for`.
        trust: The authorities.
    """

    def __init__(self, base_url: str, key: Callable[[], str] | None, *, proxies: dict[str, str], trust: Trust) -> None:
        redactor = Redactor(settings.redactor(key))
        self._authorize = settings.auth(None, key) if key else _unchanged
        self._date: str | None = None
        self._received_at = 0.0
        self._channel = Channel(
            base_url, authorize=self._prepared, redactor=redactor, session=None, proxies=proxies, trust=trust
        )
        self._replies = Replies(self._channel.host, redactor)

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def _prepared(self, request: Any) -> Any:
        request.register_hook("response", self._note)
        return self._authorize(request)

    def _note(self, response: requests.Response, **_: Any) -> None:
        self._date, self._received_at = response.headers.get("Date"), wall()

    def connect(self, deadline: Deadline) -> Connected:
        """Connect, step by step; the next request uses the connection if it can."""
        steps, start = Steps(deadline), perf_counter()
        result = self._channel.connect(steps)
        end = perf_counter()
        failure = result if isinstance(result, Failure) else None
        moments = [*steps.began.items()]
        ends = [moment for _, moment in moments[1:]] + [end]
        seconds = {phase: until - began for (phase, began), until in zip(moments, ends, strict=True)}
        failed_at = steps.phase if failure else None
        address, tls_version, certificate = ("", "", {}) if failure else _facts_of(result)
        return Connected(failure, failed_at, address, tls_version, certificate, seconds, end - start)

    def ask(self, calls: Sequence[Call], transformer: Transformer, deadline: Deadline, padding: str = "") -> Response:
        """Send queries in one request; the padding is a parameter of the URL that the service ignores."""
        request = make_request(calls, transformer, {})
        if padding:
            joint = "&" if "?" in request.target else "?"
            request = WireRequest(request.method, f"{request.target}{joint}padding={padding}", request.body)
        self._date, start = None, perf_counter()
        reply = self._channel.exchange(request, deadline, may_repeat=True)
        return Response(reply, perf_counter() - start, self._date, self._received_at)

    def envelopes(self, reply: Reply, calls: Sequence[Call]) -> list[Envelope] | Failure:
        """Return an envelope for each call, one for a request that was refused, or why the response has none."""
        return self._replies.parse_envelopes(reply, calls)

    def error(self, reply: Reply, envelope: Envelope, call: Call) -> ApiError:
        """Return the error of an envelope that has one."""
        return self._replies.to_error(reply, envelope, call)


def _facts_of(sock: Any) -> tuple[str, Any, Any]:
    """Return the address of the other side, the version of TLS, and the certificate."""
    try:
        address = sock.getpeername()[0]
    except OSError:  # the other side has closed it since
        address = ""
    return (address, sock.version(), sock.getpeercert()) if isinstance(sock, ssl.SSLSocket) else (address, "", {})


def _unchanged(request: Any) -> Any:
    return request
