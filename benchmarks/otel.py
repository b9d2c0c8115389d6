"""OpenTelemetry: what a call costs while it is off, and with an exporter that does nothing.

A canned server on loopback responds.
"""

from __future__ import annotations

from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from benchmarks._measure import Part, Row, Samples, cpu_seconds, interleaved, micro, number, within_limit
from benchmarks._server import serving
from benchmarks.http import _ACCESS, _ANSWERS, _ASKED, _BASE, _BATCH, _KEY
from chatarmin_os import ChatarminOS, FeatureCheckInput
from chatarmin_os.gate import Gate, Policy
from chatarmin_os.integrations.opentelemetry import instrument
from chatarmin_os.transports import FunctionTransport, HTTPTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from chatarmin_os._call import Call
    from chatarmin_os._watching import Watch

_MAX_OFF, _MAX_ON = 1.01, 1.15
_ROUNDS = 60
_ATTRIBUTES = {"rpc.system.name": "trpc", "rpc.method": "features.check", "server.address": "127.0.0.1"}
_ORGANISATION = {"companyId": _ASKED["companyId"], "features": [_ACCESS | {"validUntil": None}]}


class _Nowhere(SpanExporter):
    """An exporter that does nothing."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002 - it does nothing
        return SpanExportResult.SUCCESS


class _WithoutSeam(ChatarminOS):
    """A client as it would be without the seam of telemetry: it looks for watchers only."""

    def _watch_calls(self, calls: Sequence[Call]) -> Watch | None:
        return self._watchers.watch(calls) if self._watchers else None


def run() -> Part:
    """Measure calls, batches and decisions."""
    spans, metrics = TracerProvider(shutdown_on_exit=False), MeterProvider([InMemoryMetricReader()])
    spans.add_span_processor(BatchSpanProcessor(_Nowhere()))
    on = partial(instrument, tracer_provider=spans, meter_provider=metrics)
    in_memory = {
        f"call, {name}": partial(_cpu_time, partial(_check, client), 2_000)
        for name, client in {"without": _WithoutSeam(transport=_LOCAL), "off": ChatarminOS(transport=_LOCAL)}.items()
    }
    for name, client in {"off": _local(), "on": on(_local())}.items():
        gate = Gate(client, default=Policy(max_age=86_400, max_stale=86_400))
        ask = partial(gate.check, external_org_id="org_1", feature_code="ai_credit")
        assert ask()
        in_memory[f"gate, {name}"] = partial(_cpu_time, ask, 2_000)
    rows = list(_in_memory(interleaved(in_memory, rounds=_ROUNDS)))
    with serving(_ANSWERS) as url:
        transport = HTTPTransport(_KEY, url + _BASE)
        asked = [FeatureCheckInput(company_id=_ASKED["companyId"], feature_code="ai_credit")] * _BATCH
        over_http: dict[str, Callable[[], float]] = {}
        for name, client in {
            "off": ChatarminOS(transport=transport),
            "on": on(ChatarminOS(transport=transport)),
        }.items():
            check, batch = partial(_check, client), partial(client.batch, asked)
            over_http |= {
                f"clock, {name}": partial(_clock_time, check, 100),
                f"CPU, {name}": partial(_cpu_time, check, 100),
                f"batch, {name}": partial(_clock_time, batch, 10),
            }
        tracer, histogram = spans.get_tracer("bare"), metrics.get_meter("bare").create_histogram("bare")
        bare = ChatarminOS(transport=transport)

        def check_in_span() -> None:
            with tracer.start_as_current_span("check", attributes=_ATTRIBUTES):
                _check(bare)
                histogram.record(0.1, _ATTRIBUTES)

        over_http |= {
            "clock, bare": partial(_clock_time, check_in_span, 100),
            "CPU, bare": partial(_cpu_time, check_in_span, 100),
        }
        rows += _over_http(interleaved(over_http, rounds=_ROUNDS))
    spans.shutdown()
    metrics.shutdown()
    note = (
        "*Without* is a client that has no seam for telemetry, *off* one that nobody observes, *on* one whose spans go "
        "to an exporter that does nothing. Process time in memory; over HTTP, on loopback with keep-alive, by the "
        "clock unless the row says otherwise. *The floor* is a call of a client that nobody observes, in a span "
        "with three attributes and a measurement with the same, by the SDK alone, which sends no header."
    )
    return Part("OpenTelemetry", note, rows)


_LOCAL = FunctionTransport(lambda call: _ACCESS if call.path == "features.check" else _ORGANISATION)


def _local() -> ChatarminOS:
    return ChatarminOS(transport=_LOCAL)


def _check(client: ChatarminOS) -> object:
    return client.features.check(company_id=_ASKED["companyId"], feature_code="ai_credit")


def _cpu_time(act: Callable[[], object], times: int) -> float:
    def repeat() -> None:
        for _ in range(times):
            act()

    return cpu_seconds(repeat) / times


def _clock_time(act: Callable[[], object], times: int) -> float:
    start = perf_counter()
    for _ in range(times):
        act()
    return (perf_counter() - start) / times


def _in_memory(samples: Samples) -> Iterator[Row]:
    yield _row(samples, "call, off", "call, without", "`features.check` in memory, off, to without", _MAX_OFF)
    yield _row(samples, "gate, on", "gate, off", "`gate.check`, fresh, on, to off")


def _over_http(samples: Samples) -> Iterator[Row]:
    yield _row(samples, "clock, on", "clock, off", "`features.check` over HTTP, on, to off", _MAX_ON)
    yield _row(samples, "clock, bare", "clock, off", "in a bare span of the SDK, with a bare measurement: the floor")
    yield _row(samples, "CPU, on", "CPU, off", "the same as the first, process time")
    yield _row(samples, "CPU, bare", "CPU, off", "the floor, process time")
    yield _row(samples, "CPU, on", "CPU, bare", "on, to the floor, process time")
    yield _row(samples, "batch, on", "batch, off", f"`batch` of {_BATCH} over HTTP, on: a span for each call, to off")


def _row(samples: Samples, name: str, other: str, what: str, maximum: float | None = None) -> Row:
    ratio = samples.ratio(name, other)
    figure = f"{micro(samples.median(name))} ({micro(samples.median(other))})"
    if maximum is None:
        return Row(what, figure, number(ratio))
    return within_limit(maximum, ratio, what=what, figure=figure)
