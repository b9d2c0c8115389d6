"""Providers of OpenTelemetry that keep all records in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan


class Recorded:
    """Everything that was recorded with its two providers, under `settings`."""

    def __init__(self) -> None:
        """Make the providers."""
        self._exporter, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracer_provider = TracerProvider(shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meter_provider = MeterProvider([self._reader], shutdown_on_exit=False)

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments of `instrument`."""
        return {"tracer_provider": self.tracer_provider, "meter_provider": self.meter_provider}

    def spans(self) -> list[ReadableSpan]:
        """Return the spans that have ended."""
        return list(self._exporter.get_finished_spans())

    def clear(self) -> None:
        """Forget the spans."""
        self._exporter.clear()

    def names(self) -> list[str]:
        """Return the names of the spans that have ended."""
        return [span.name for span in self.spans()]

    def points(self, name: str) -> list[tuple[dict[str, Any], Any]]:
        """Return the attributes and the data points of a metric."""
        return [
            (dict(point.attributes or {}), point)
            for resource in self._metrics()
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def exported(self) -> str:
        """Return everything as text."""
        spans = "\n".join(span.to_json() for span in self.spans())
        return spans + "\n".join(resource.to_json() for resource in self._metrics())

    def _metrics(self) -> list[Any]:
        data = self._reader.get_metrics_data()
        return [] if data is None else list(data.resource_metrics)

    def close(self) -> None:
        """Shut the providers down."""
        self.tracer_provider.shutdown()
        self.meter_provider.shutdown()


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    """Return the attributes of a span."""
    return dict(span.attributes or {})
