"""Records calls and decisions.

The names follow the semantic conventions for RPC of version 1.45, in which they are stable. They are literals: the
package of the conventions for Python changes with each of its versions, and has older names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from opentelemetry import baggage, context, metrics, propagate, trace

# `suppress_http_instrumentation` sets this key too, in a context of its own, for as much as a third of a span.
from opentelemetry.context import _SUPPRESS_HTTP_INSTRUMENTATION_KEY as WITHOUT_HTTP
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import Span, SpanKind, StatusCode

from chatarmin_os._clock import perf_counter
from chatarmin_os._version import __version__
from chatarmin_os.errors import CODES, ApiError
from chatarmin_os.integrations.opentelemetry.outboxes import GAUGES

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from chatarmin_os._call import Call
    from chatarmin_os._json import JSON

Attributes = dict[str, str | int]

_SCOPE, _SCHEMA = "chatarmin_os", "https://opentelemetry.io/schemas/1.45.0"
_SYSTEM, _OTHER = "trpc", "_OTHER"
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)  # of the conventions, in seconds
_NAME, _VALUE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"), re.compile(r"[!-~](?:[\t -~]*[!-~])?")  # RFC 9110, 5
_OF_THE_CLIENT = frozenset(
    {
        *("accept", "accept-encoding", "authorization", "content-length", "content-type", "user-agent"),
        *("connection", "cookie", "expect", "host", "te", "trailer", "transfer-encoding", "upgrade"),  # not for traces
    }
)
_PATH = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*", re.ASCII)
_MAX_PATH, _MAX_FEATURES = 100, 500
_MIN_FAILURE = 400
_NOTHING: Attributes = {}
_PORTS = {"http": 80, "https": 443}


class Telemetry:
    """An observer that records with one provider of spans and one of metrics."""

    def __init__(self, tracer_provider: TracerProvider | None, meter_provider: MeterProvider | None) -> None:
        self._tracer = trace.get_tracer(_SCOPE, __version__, tracer_provider, _SCHEMA)
        meter = metrics.get_meter(_SCOPE, __version__, meter_provider, _SCHEMA)
        self._duration = meter.create_histogram(
            "rpc.client.call.duration",
            unit="s",
            description="Measures the duration of an outgoing Remote Procedure Call (RPC).",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self._decisions = meter.create_counter(
            "chatarmin_os.gate.decisions", unit="{decision}", description="Decisions of gates that a caller got."
        )
        self._features: set[str] = set()
        for name, unit, description, read in GAUGES:
            meter.create_observable_gauge(
                f"chatarmin_os.outbox.{name}", callbacks=[read], unit=unit, description=description
            )

    def begin(self, calls: Sequence[Call], service: str) -> _Round | None:
        """Start the spans of calls, unless the application suppresses instrumentation."""
        return _Round(self._tracer, self._duration, calls, service) if is_instrumentation_enabled() else None

    def decide(self, feature: str, source: str, reason: str, *, is_known: bool) -> None:
        """Count a decision; a feature that nobody knows may be text of a visitor, and is counted as `_OTHER`."""
        if is_known and len(self._features) < _MAX_FEATURES:
            self._features.add(feature)
        name = feature if feature in self._features else _OTHER
        if is_instrumentation_enabled():
            self._decisions.add(
                1, {"chatarmin_os.feature": name, "chatarmin_os.source": source, "chatarmin_os.reason": reason}
            )


class _Round:
    """The spans of one call, or of the calls of a batch and of the batch, from their start to their end."""

    def __init__(self, tracer: trace.Tracer, duration: metrics.Histogram, calls: Sequence[Call], service: str) -> None:
        self._duration = duration
        self._names = [_names_of(call.path, service) for call in calls]
        self._outer = context.get_current()
        self._is_batch = len(calls) > 1
        if self._is_batch:
            size: Attributes = {"chatarmin_os.batch.size": len(calls)}
            self._current = tracer.start_span("batch", self._outer, attributes=size)
        else:
            self._current = _start(tracer, self._names[0], self._outer)
        here = trace.set_span_in_context(self._current, self._outer)
        is_full = self._is_batch and self._current.is_recording()
        self._spans = [_start(tracer, names, here) for names in self._names] if is_full else []
        # The spans of HTTP instrumentation have the URL, in which a query has its input.
        self._here = context.set_value(WITHOUT_HTTP, True, here)
        self._started = perf_counter()

    def enter(self) -> None:
        """Make its context the current one."""
        context.attach(self._here)

    def headers(self) -> Mapping[str, str]:
        """Return the headers of the trace, without baggage, which may be anything and is not for the service."""
        headers: dict[str, str] = {}
        propagate.inject(headers, baggage.clear(self._here) if baggage.get_all(self._here) else self._here)
        return {name: value for name, value in headers.items() if _is_of_a_trace(name, value)}

    def attempt(self, number: int, calls: int, outcome: int | BaseException) -> None:
        """Add an event, unless the attempt is the whole call: the span says it all then."""
        if number == 1 and isinstance(outcome, int) and outcome < _MIN_FAILURE:
            return
        attributes: Attributes = {"chatarmin_os.attempt": number}
        if self._is_batch:
            attributes["chatarmin_os.batch.size"] = calls
        if isinstance(outcome, int):
            attributes["http.response.status_code"] = outcome
        else:
            attributes |= _failure_of(outcome)
        self._current.add_event("chatarmin_os.attempt", attributes)

    def end(self, results: Sequence[JSON | BaseException]) -> None:
        """Record durations and errors, and end the spans; the second time, after an interrupt, do what is left."""
        seconds = perf_counter() - self._started
        context.attach(self._outer)  # not by a token, which an interrupt could have kept from being stored
        failures = [_failure_of(one) if isinstance(one, BaseException) else _NOTHING for one in results]
        try:
            while self._names:
                failure = failures[-len(self._names)]
                names = self._names.pop(0)
                attributes = {**names.of_metrics, **failure} if failure else names.of_metrics
                self._duration.record(seconds, attributes, self._here)
        finally:  # spans end whatever happens to metrics
            while self._spans:
                failure = failures[-len(self._spans)]
                _end(self._spans.pop(0), failure)
            _end(self._current, failures[0] if all(failures) else _NOTHING)


class _Names:
    """The name of a span, and the attributes of its call."""

    def __init__(self, name: str, of_span: Attributes, of_metrics: Attributes) -> None:
        self.name, self.of_span, self.of_metrics = name, of_span, of_metrics


@lru_cache(maxsize=512)
def _names_of(path: str, service: str) -> _Names:
    from chatarmin_os.procedures.table import PROCEDURES  # late: it is needed with the first call

    is_known = path in PROCEDURES
    of_metrics: Attributes = {"rpc.system.name": _SYSTEM, "rpc.method": path if is_known else _OTHER}
    of_metrics |= _address_of(service)
    of_span = {**of_metrics, "rpc.system": _SYSTEM}  # its name before 1.40, by which many tools still group
    if not is_known and len(path) <= _MAX_PATH and _PATH.fullmatch(path):
        of_span["rpc.method_original"] = path
    return _Names(path if is_known else _SYSTEM, of_span, of_metrics)


def _address_of(service: str) -> Attributes:
    """Return the host and port of a base URL; nothing for a transport without network.

    Example:
        >>> _address_of("https://os.example.com/api/v1")
        {'server.address': 'os.example.com', 'server.port': 443}
        >>> _address_of("FakeTransport")
        {}
    """
    try:
        url = urlsplit(service)
        default, host, port = _PORTS.get(url.scheme), url.hostname, url.port
    except ValueError:  # a name that somebody gave to a transport
        return {}
    if default is None or not host:
        return {}
    return {"server.address": host, "server.port": port or default}


def _is_of_a_trace(name: object, value: object) -> bool:
    r"""Return whether a request can have a header of a propagator: not if HTTP forbids it, or the client sets it.

    Example:
        >>> _is_of_a_trace("X-Trace", "1"), _is_of_a_trace("X-Trace", "1\r\n2"), _is_of_a_trace("Authorization", "1")
        (True, False, False)
    """
    if not (isinstance(name, str) and isinstance(value, str)):
        return False
    return bool(_NAME.fullmatch(name) and _VALUE.fullmatch(value)) and name.lower() not in _OF_THE_CLIENT


def _start(tracer: trace.Tracer, names: _Names, parent: context.Context) -> Span:
    return tracer.start_span(names.name, parent, SpanKind.CLIENT, names.of_span)


def _end(span: Span, failure: Attributes) -> None:
    if failure:
        span.set_attributes(failure)
        span.set_status(StatusCode.ERROR)  # without a text: that of an error may have inputs
    span.end()


def _failure_of(error: BaseException) -> Attributes:
    """Return the attributes of an error: a code of the service, or the name of its class.

    Example:
        >>> from chatarmin_os import TimedOut
        >>> _failure_of(ApiError.from_code("NOT_FOUND"))
        {'error.type': 'NOT_FOUND', 'rpc.status_code': 'NOT_FOUND'}
        >>> _failure_of(TimedOut("too late"))
        {'error.type': 'TimedOut'}
    """
    if isinstance(error, ApiError):
        code = error.code if error.code in CODES else _OTHER  # what a service sends may be anything
        return {"error.type": code, "rpc.status_code": code}
    return {"error.type": type(error).__name__}
