"""One request and its response: its deadline, and how far it has come."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from urllib3 import Timeout

from chatarmin_os.transports.http.dns import DeadlineError

if TYPE_CHECKING:
    from http.client import HTTPResponse

    import requests

    from chatarmin_os.transports.http.retry import Deadline

_MIN_TIMEOUT_SECONDS = 0.001  # requests and urllib3 refuse 0


class Phase(StrEnum):
    """The step of an exchange, as a message names it."""

    LOOKING_UP = "looking up the name"
    CONNECTING = "connecting"
    TUNNELLING = "asking the proxy for a tunnel"
    HANDSHAKE = "making the TLS handshake"
    SENDING = "sending the request"
    WAITING = "waiting for the response"
    READING = "reading the response"


class Exchange(Timeout):
    """One request and its response.

    It is the `timeout=` of the request: requests and urllib3 pass a timeout object on down to the connection, which
    needs the deadline and reports its progress here. Its values are computed when they are read, not by the parent.

    Attributes:
        deadline: The instant at which the call has to end.
        may_repeat: Whether the call may be sent twice.
        is_ours: Whether a connection of this package carries it.
        phase: The present step, if a connection of this package carries it.
        sent: Bytes of the request that the operating system has taken.
        response: The response whose body is not decoded yet; None before its head was read.
        was_closed: Whether the other side closed the connection while a response was read.
        has_trailing_data: Whether the connection had more bytes than the response.
        location: The place that the response redirects to.
    """

    def __init__(self, deadline: Deadline, *, may_repeat: bool) -> None:  # the parent's timeouts are overridden below
        self.deadline = deadline
        self.may_repeat = may_repeat
        self.is_ours = False
        self.phase = Phase.SENDING
        self.sent = 0
        self.response: HTTPResponse | None = None
        self.was_closed = False
        self.has_trailing_data = False
        self.location = ""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.phase}, {self.deadline.remaining():.3f} s left>"

    __str__ = __repr__

    def clone(self) -> Exchange:
        """Return the exchange itself, which urllib3 copies for each request."""
        return self

    def time_left(self) -> float:
        """Return the seconds that are left.

        Raises:
            DeadlineError: No time is left.
        """
        seconds = self.deadline.remaining()
        if seconds <= 0:
            raise DeadlineError("the deadline passed")
        return seconds

    def start_connect(self) -> float:
        """Start no clock: the deadline has its own."""
        return 0.0

    @property
    def connect_timeout(self) -> float:
        """The seconds that are left, as a timeout of a socket: never 0."""
        return max(self.deadline.remaining(), _MIN_TIMEOUT_SECONDS)

    @property
    def read_timeout(self) -> float:
        """The same seconds."""
        return self.connect_timeout

    def drop_location(self, response: requests.Response, **_: Any) -> None:
        """Move the redirect's target here: requests would read the whole body before it does not follow."""
        self.location = response.headers.pop("Location", "")
