"""OpenTelemetry: what a call costs while it is off, and with an exporter that does nothing.

A canned server on loopback responds; only the time of the client's process is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from benchmarks._measure import Part, Row, Samples, cpu_seconds, interleaved, micro, within_limit
from benchmarks._server import serving
from benchmarks.http import _ACCESS, _ANSWERS, _ASKED, _BASE, _BATCH, _KEY
from chatarmin_os import ChatarminOS, FeatureCheckInput
from chatarmin_os.gate import Gate, Policy
from chatarmin_os.integrations.opentelemetry import instrument
from chatarmin_os.transports import FunctionTransport, HTTPTransport

if TYPE_CHECKING:
    from chatarmin_os._call import Call
    from chatarmin_os._watching import Watch

_MAX_OFF, _MAX_ON = 1.01, 1.15
_ROUNDS = 60
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
    with serving(_ANSWERS) as url:
        transport = HTTPTransport(_KEY, url + _BASE)
        asked = [FeatureCheckInput(company_id=_ASKED["companyId"], feature_code="ai_credit")] * _BATCH
        clients = {
            "without": _WithoutSeam(transport=transport),
            "off": ChatarminOS(transport=transport),
            "on": on(ChatarminOS(transport=transport)),
        }
        subjects: dict[str, tuple[Callable[[], object], int]] = {}
        for name, client in clients.items():
            subjects[f"check, {name}"] = partial(_check, client), 100
            subjects[f"batch, {name}"] = partial(client.batch, asked), 10
        for name, local in {"off": _local(), "on": on(_local())}.items():
            gate = Gate(local, default=Policy(max_age=86_400, max_stale=86_400))
            ask = partial(gate.check, external_org_id="org_1", feature_code="ai_credit")
            assert ask()
            subjects[f"gate, {name}"] = ask, 2_000
        samples = interleaved({name: partial(_cpu_time, *subject) for name, subject in subjects.items()}, rounds=_ROUNDS)
    spans.shutdown()
    metrics.shutdown()
    note = (
        "Process time on loopback with keep-alive; *without* is a client that has no seam for telemetry, *off* one that "
        "nobody observes, *on* one whose spans go to an exporter that does nothing."
    )
    return Part("OpenTelemetry", note, list(_rows(samples)))


def _local() -> ChatarminOS:
    return ChatarminOS(transport=FunctionTransport(lambda _: _ORGANISATION))


def _check(client: ChatarminOS) -> object:
    return client.features.check(company_id=_ASKED["companyId"], feature_code="ai_credit")


def _cpu_time(act: Callable[[], object], times: int) -> float:
    def repeat() -> None:
        for _ in range(times):
            act()

    return cpu_seconds(repeat) / times


def _rows(samples: Samples) -> Iterator[Row]:
    def row(name: str, other: str, what: str, maximum: float | None = None) -> Row:
        ratio = samples.ratio(name, other)
        figure = f"{micro(samples.median(name))} ({micro(samples.median(other))})"
        if maximum is None:
            return Row(what, figure, f"{ratio:.2f}")
        return within_limit(maximum, ratio, what=what, figure=figure)

    yield row("check, off", "check, without", "`features.check`, off, to without", _MAX_OFF)
    yield row("check, on", "check, off", "`features.check`, on, to off", _MAX_ON)
    yield row("batch, off", "batch, without", f"`batch` of {_BATCH}, off, to without", _MAX_OFF)
    yield row("batch, on", "batch, off", f"`batch` of {_BATCH}, on: a span for each call, to off")
    yield row("gate, on", "gate, off", "`gate.check`, fresh, on, to off")
