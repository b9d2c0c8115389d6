"""Checks of the service by a few queries: its answer, the key, its clock, its transformer, round trips and limits."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from statistics import median
from typing import TYPE_CHECKING

from chatarmin_os._clock import perf_counter
from chatarmin_os.cli.doctor.examination import milliseconds
from chatarmin_os.cli.doctor.findings import Finding, failure, ok, unchecked, warning
from chatarmin_os.errors import (
    ForbiddenError,
    InvalidResponse,
    NotFoundError,
    RateLimitError,
    ServerError,
    TimedOut,
    UnauthorizedError,
)
from chatarmin_os.transports import Call
from chatarmin_os.transports.http.failures import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chatarmin_os.cli.doctor.examination import Examination
    from chatarmin_os.transports.http.channel import Reply

_QUERY = Call("tiers.list", "query", None, safe_to_repeat=True)
_SAMPLES = 5
_SKEWED_SECONDS, _WRONG_SECONDS = 30.0, 3600.0  # an outbox and the service allow an hour
_BATCHES = (50, 25, 12, 6, 3)  # the client sends up to 50, and halves a batch that is refused
_URLS = (8_000, 4_000, 2_000)  # the same of characters
_SIZE_STATUSES = frozenset({400, 404, 413, 414, 431})
_LIMIT_TEXT = re.compile("batch", re.IGNORECASE)
_PATH = "/api/v1"
_WRONG_PATH = f"check the base URL: it ends in {_PATH}"
_WRONG_HOST = "check the host of the base URL, and whether a log-in page, a firewall or a proxy answers in its place"
_ON_THE_WAY = "see the log of the service, and of what is on the way to it"
_REDIRECTED = (
    "set the base URL to where it leads, if the service is there; a log-in page belongs to something before it"
)
_IS_TLS = "if it speaks TLS at this port, begin the base URL with https://"
_ADVICE = {
    401: "the server in front of the service refuses: check the base URL, and a login that the network asks for",
    403: "the server in front of the service refuses: check firewall, proxy and base URL",
    407: "the proxy asks for a login: put user and password into the variable that names it, or set NO_PROXY",
    429: "too many requests: wait, then run it again",
}
_BAD_REQUEST, _MIN_SERVER_ERROR = 400, 500
_REDIRECTS = range(300, 400)
_UNITS = (("days", 86_400), ("h", 3600), ("min", 60))
_QUERY_LENGTH = len(f"/{_QUERY.path}?padding=")


def check_response(examination: Examination) -> Iterator[Finding]:
    """Send the first query, and find out whether it is this service that responds."""
    response = examination.response = examination.ask([_QUERY], examination.deadline())
    reply = response.reply
    if isinstance(reply, Failure):
        yield failure(str(reply.error), _advice_about_failure(examination, reply))
        return
    envelopes = examination.probe.envelopes(reply, [_QUERY])
    if isinstance(envelopes, Failure):
        yield failure(str(envelopes.error), _advice_about_status(examination, reply.status))
        return
    [examination.envelope] = envelopes
    if examination.envelope.error is not None:
        examination.error = error = examination.probe.error(reply, examination.envelope, _QUERY)
        if isinstance(error, NotFoundError) and error.is_missing_procedure:
            yield failure(f"it has no procedure {_QUERY.path}", _advice_about_url(examination))
            return
        if isinstance(error, (ServerError, RateLimitError)):
            yield failure(str(error), _advice_about_status(examination, error.http_status or reply.status))
            return
    yield ok(f"status {reply.status} from tRPC in {milliseconds(response.seconds)} ms")


def _advice_about_failure(examination: Examination, failed: Failure) -> str:
    error, text = failed.error, str(failed.error)
    if "certificate_required" in text.lower().replace(" ", "_"):
        return "the server asks for a client certificate: set OS_CLIENT_CERT and OS_CLIENT_KEY"
    if isinstance(error, TimedOut):
        return f"{_ON_THE_WAY}; --timeout SECONDS waits longer"
    if isinstance(error, InvalidResponse):
        if error.http_status is None:
            return "check host and port of the base URL: a server of another kind listens there"
        if error.http_status in _REDIRECTS:
            return _REDIRECTED
    elif not examination.is_tls:
        return f"{_ON_THE_WAY}; {_IS_TLS}"
    return _ON_THE_WAY


def _advice_about_status(examination: Examination, status: int) -> str:
    if status >= _MIN_SERVER_ERROR:
        return "the service, or a proxy before it, is down or failed: try later, then ask who runs it"
    if status == _BAD_REQUEST and not examination.is_tls:
        return f"{_advice_about_url(examination)}; {_IS_TLS}"
    return _ADVICE.get(status) or _advice_about_url(examination)


def _advice_about_url(examination: Examination) -> str:
    return _WRONG_HOST if examination.base_url.endswith(_PATH) else _WRONG_PATH


def check_acceptance(examination: Examination) -> Iterator[Finding]:
    """Report whether the service accepts the key."""
    error = examination.error
    if error is None:
        yield ok("the service accepts the key")
    elif isinstance(error, UnauthorizedError):
        advice = "find the key in Settings, Developers, API Keys; it must belong to the service at the base URL"
        yield failure(f"the service does not know the key: {error}", advice)
    elif isinstance(error, ForbiddenError):
        yield failure(f"the key may not read the tiers: {error}", "use a key of the product with all rights")
    else:
        yield failure(
            f"the service refuses {_QUERY.path}: {error}", "upgrade chatarmin-os, or ask who runs the service"
        )


def check_clock(examination: Examination) -> Iterator[Finding]:
    """Compare the clock of this machine with the header Date of the response."""
    response = examination.response
    moment = _moment(response.date) if response else None
    if response is None or moment is None:
        yield unchecked("no response with a valid header Date was received")
        return
    # The header has whole seconds, and was written while the request was under way.
    skew = response.received_at - response.seconds / 2 - moment - 0.5
    amount = abs(skew)
    text = f"this machine is {_duration(amount)} {'ahead of' if skew > 0 else 'behind'} the server"
    advice = "synchronise it (NTP): the ends of accesses, the validity of certificates and the times of events go by it"
    if amount >= _WRONG_SECONDS:
        yield failure(text, advice, skew_seconds=round(skew))
    elif amount >= _SKEWED_SECONDS:
        yield warning(text, advice, skew_seconds=round(skew))
    else:
        yield ok("within seconds of the server's", skew_seconds=round(skew))


def _moment(date: str | None) -> float | None:
    try:
        moment = parsedate_to_datetime(date or "")
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _duration(seconds: float) -> str:
    """Return seconds as text in one unit.

    Example:
        >>> _duration(45), _duration(300), _duration(86_399), _duration(400_000)
        ('45 s', '5 min', '24 h', '5 days')
    """
    unit, length = next((one for one in _UNITS if seconds >= 2 * one[1]), ("s", 1))
    return f"{seconds / length:.0f} {unit}"


def check_transformer(examination: Examination) -> Iterator[Finding]:
    """Report how the service writes values."""
    found = examination.envelope.transformer
    if found is None:
        advice = 'pass transformer="json" or "superjson" to HTTPTransport, or no mutation can be sent'
        yield warning("the response does not show whether the service uses superjson", advice)
        return
    examination.transformer = found
    yield ok(found, transformer=found)


def check_round_trip(examination: Examination) -> Iterator[Finding]:
    """Measure requests on the open connection: fewer if they take long."""
    start, samples = perf_counter(), list[float]()
    while len(samples) < _SAMPLES and perf_counter() - start < examination.seconds / 2:
        response = examination.ask([_QUERY], examination.deadline())
        if isinstance(response.reply, Failure):
            text = f"request {len(samples) + 2} on the connection failed: {response.reply.error}"
            yield failure(text, _advice_about_failure(examination, response.reply))
            return
        samples.append(response.seconds)
    low, middle = milliseconds(min(samples)), milliseconds(median(samples))
    set_up = milliseconds(examination.connected.total)
    text = f"min {low} ms, median {middle} ms of {len(samples)}; before them {set_up} ms to connect"
    values = {"min_ms": low, "median_ms": middle, "connect_ms": set_up}
    timeout = examination.call_seconds()
    if median(samples) > timeout / 2:
        advice = "raise the timeout, or find what is slow on the way: retries will not fit into it"
        yield warning(f"{text}: more than half of the timeout of {timeout:g} s", advice, **values)
    else:
        yield ok(text, **values)


def check_batch(examination: Examination) -> Iterator[Finding]:
    """Find out how many calls the service takes in one request, with as few requests as possible."""
    deadline, refusal = examination.deadline(), ""
    for size in _BATCHES:
        calls = [_QUERY] * size
        response = examination.ask(calls, deadline)
        problem, is_limit = _refusal(examination, response.reply, calls)
        if not problem:
            yield _batch_of(size, refusal)
            return
        if not is_limit:
            yield _undecided("batches", problem)
            return
        refusal = refusal or problem
    yield _batch_of(1, refusal)


def _batch_of(size: int, refusal: str) -> Finding:
    if not refusal:
        return ok(f"{size} calls in one request", calls=size)
    what = "no batches" if size == 1 else f"{size} calls in one request, and not {_BATCHES[0]}"
    change = "allow batches in" if size == 1 else "raise the limit of"
    advice = f"the client sends smaller requests by itself; for fewer requests {change} the server"
    return warning(f"{what}: {refusal}", advice, calls=size)


def check_url_length(examination: Examination) -> Iterator[Finding]:
    """Find out how long a URL may be, by a parameter that the service ignores."""
    deadline, refusal = examination.deadline(), ""
    for length in _URLS:
        padding = "0" * max(1, length - len(examination.base_url) - _QUERY_LENGTH)
        response = examination.ask([_QUERY], deadline, padding)
        problem, is_limit = _refusal(examination, response.reply, [_QUERY])
        if problem and not is_limit:
            yield _undecided("long URLs", problem)
            return
        if problem:
            refusal = refusal or problem
            continue
        if refusal:
            advice = "the client sends smaller batches by itself; for fewer requests raise the limit of the server"
            yield warning(f"{length:,} characters, and not {_URLS[0]:,}: {refusal}", advice, characters=length)
        else:
            yield ok(f"{length:,} characters", characters=length)
        return
    advice = "raise the limit of the server or of the proxy before it: batches of queries are sent one by one"
    yield warning(f"fewer than {_URLS[-1]:,} characters: {refusal}", advice, characters=None)


def _refusal(examination: Examination, reply: Reply | Failure, calls: list[Call]) -> tuple[str, bool]:
    """Return why a request was refused, blank if it was not, and whether for its size."""
    if isinstance(reply, Failure):
        return str(reply.error), False
    envelopes = examination.probe.envelopes(reply, calls)
    if isinstance(envelopes, Failure):
        return str(envelopes.error), reply.status in _SIZE_STATUSES
    refused = next((envelope for envelope in envelopes if envelope.error is not None), None)
    if refused is None:
        return "", False
    text = str(examination.probe.error(reply, refused, _QUERY))
    is_whole = len(envelopes) < len(calls) and bool(_LIMIT_TEXT.search(text))
    return text, is_whole or reply.status in _SIZE_STATUSES


def _undecided(what: str, problem: str) -> Finding:
    return warning(f"{what} could not be tried: {problem}", "run it again; the client finds the limit by itself")
