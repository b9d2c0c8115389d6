"""The failures of an exchange: the kind of each, and the error and retries of each kind."""

from __future__ import annotations

import http.client
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import requests
import urllib3
from urllib3.exceptions import ConnectTimeoutError, DecodeError, NameResolutionError, ProtocolError, ReadTimeoutError

from chatarmin_os import ConnectionFailed, InvalidResponse, TimedOut
from chatarmin_os.transports.http.dns import DeadlineError
from chatarmin_os.transports.http.exchange import Exchange, Phase
from chatarmin_os.transports.http.failures import RULES, Kind, TooLargeError, causes_of, classify, failure_of
from chatarmin_os.transports.http.retry import Deadline

if TYPE_CHECKING:
    from chatarmin_os.errors import TransportError

POOL: Any = urllib3.HTTPConnectionPool("os.test")
UNTRUSTED = ssl.SSLCertVerificationError(1, "self-signed certificate")
LOST_PACKETS = TimeoutError(110, "Connection timed out")


@pytest.mark.parametrize(
    ("kind", "error", "outcome", "repeat", "text"),
    [
        (Kind.NO_TIME_LEFT, TimedOut, "not_sent", "never", "timed out before the request was sent"),
        (
            Kind.TIMED_OUT_UNSENT,
            TimedOut,
            "not_sent",
            "any",
            "timed out before the request was sent, while connecting",
        ),
        (Kind.TIMED_OUT, TimedOut, "unknown", "safe", "timed out after 2.0 s while connecting"),
        (
            Kind.UNTRUSTED,
            ConnectionFailed,
            "not_sent",
            "never",
            RULES[Kind.UNTRUSTED].message.format(reason="why"),
        ),
        (Kind.NOT_CONNECTED, ConnectionFailed, "not_sent", "any", "no connection: why"),
        (Kind.CONNECTION_LOST, ConnectionFailed, "unknown", "safe", "the connection was lost: why"),
        (Kind.NOT_HTTP, InvalidResponse, "unknown", "never", "the response is not valid HTTP: why"),
        (Kind.TOO_LARGE, InvalidResponse, "unknown", "never", "the response has more than why bytes"),
        (
            Kind.REDIRECTED,
            InvalidResponse,
            "unknown",
            "never",
            "redirectswhy, which is not followed; check the base URL",
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Kind) else "",
)
def test_failure_of_a_kind(kind: Kind, error: type[TransportError], outcome: str, repeat: str, text: str) -> None:
    """Each kind has its error, its outcome, its message and the calls that may be retried."""
    failure = failure_of(kind, "os.test", phase=Phase.CONNECTING, reason="why", after=" after 2.0 s")

    assert (type(failure.error), failure.error.outcome, failure.repeat) == (error, outcome, repeat)
    assert str(failure.error) == f"os.test: {text}"


def test_every_kind_has_a_rule() -> None:
    """The table is complete."""
    assert list(RULES) == list(Kind)


def _exchange(*, is_ours: bool = True, sent: int = 0, was_closed: bool = False) -> Exchange:
    exchange = Exchange(Deadline(10), may_repeat=True)
    exchange.is_ours, exchange.sent, exchange.was_closed = is_ours, sent, was_closed
    return exchange


OURS_UNSENT, OURS_SENT = _exchange(), _exchange(sent=1)
OURS_CLOSED = _exchange(sent=1, was_closed=True)
FOREIGN = _exchange(is_ours=False)


@pytest.mark.parametrize(
    ("error", "exchange", "is_plain", "kind"),
    [
        (TooLargeError("1"), OURS_SENT, True, Kind.TOO_LARGE),
        (DeadlineError("late"), OURS_UNSENT, True, Kind.TIMED_OUT_UNSENT),
        (DeadlineError("late"), OURS_SENT, True, Kind.TIMED_OUT),
        (requests.ConnectionError(ProtocolError("aborted", LOST_PACKETS)), OURS_SENT, True, Kind.CONNECTION_LOST),
        (requests.ConnectionError(LOST_PACKETS), OURS_UNSENT, True, Kind.NOT_CONNECTED),
        (requests.exceptions.SSLError(UNTRUSTED), OURS_UNSENT, True, Kind.UNTRUSTED),
        (ConnectionRefusedError(111, "refused"), OURS_UNSENT, True, Kind.NOT_CONNECTED),
        (http.client.BadStatusLine("x"), OURS_UNSENT, True, Kind.NOT_CONNECTED),
        (http.client.BadStatusLine("x"), OURS_SENT, True, Kind.NOT_HTTP),
        (http.client.BadStatusLine("x"), OURS_CLOSED, True, Kind.CONNECTION_LOST),
        (DecodeError("x"), OURS_CLOSED, True, Kind.NOT_HTTP),
        (ConnectionResetError(104, "reset"), OURS_SENT, True, Kind.CONNECTION_LOST),
        (requests.ConnectTimeout(ConnectTimeoutError("x")), FOREIGN, True, Kind.TIMED_OUT_UNSENT),
        (requests.ConnectTimeout(ConnectTimeoutError("x")), FOREIGN, False, Kind.TIMED_OUT),
        (requests.ReadTimeout(ReadTimeoutError(POOL, "/", "x")), FOREIGN, True, Kind.TIMED_OUT),
        (NameResolutionError("os.test", POOL, OSError(1)), FOREIGN, True, Kind.NOT_CONNECTED),  # type: ignore[arg-type]
        (NameResolutionError("os.test", POOL, OSError(1)), FOREIGN, False, Kind.CONNECTION_LOST),  # type: ignore[arg-type]
        (http.client.RemoteDisconnected("gone"), FOREIGN, True, Kind.CONNECTION_LOST),
        (http.client.BadStatusLine("x"), FOREIGN, True, Kind.NOT_HTTP),
    ],
    ids=[
        "too-large",
        "deadline-unsent",
        "deadline-sent",
        "timeout-of-the-system-sent",
        "timeout-of-the-system-unsent",
        "untrusted",
        "refused",
        "garbled-unsent",
        "garbled",
        "garbled-for-it-was-closed",
        "compression-garbled-though-closed",
        "reset",
        "own-session-connect-timeout",
        "own-session-with-retries-connect-timeout",
        "own-session-read-timeout",
        "own-session-no-such-host",
        "own-session-with-retries-no-such-host",
        "own-session-closed",
        "own-session-garbled",
    ],
)
def test_kind_of_a_failure(error: BaseException, exchange: Exchange, is_plain: bool, kind: Kind) -> None:  # noqa: FBT001
    """The exception, and how far the exchange had come, decide."""
    assert classify(causes_of(error), exchange, is_plain=is_plain) is kind
