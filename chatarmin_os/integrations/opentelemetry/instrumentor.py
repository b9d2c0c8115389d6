"""Turns telemetry on and off, for one client or for all."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, TypeVar

# It has no annotations that mypy reads.
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from chatarmin_os._watching import Watchers
from chatarmin_os.client import ChatarminOS, ensure_client
from chatarmin_os.integrations.opentelemetry.telemetry import Telemetry

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

C = TypeVar("C", bound="ChatarminOS")


def instrument(
    client: C, *, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
) -> C:
    """Record the calls of a client, of its gates and senders, and of all clients that `with_options` made of it.

    The gauges are of all outboxes of the process. A second call replaces the providers.

    Args:
        client: The client, which is changed.
        tracer_provider: Makes the spans; default: the global one.
        meter_provider: Makes the metrics; default: the global one.

    Returns:
        The same client.

    Raises:
        TypeError: *client* is not a client.

    Example:
        >>> from chatarmin_os.integrations.opentelemetry import instrument
        >>> from opentelemetry.sdk.trace import TracerProvider
        >>> from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        >>> from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        >>> spans, provider = InMemorySpanExporter(), TracerProvider()
        >>> provider.add_span_processor(SimpleSpanProcessor(spans))
        >>> tiers = instrument(client, tracer_provider=provider).tiers.list()
        >>> [span.name for span in spans.get_finished_spans()]
        ['tiers.list']
    """
    _watchers_of(client).observe(Telemetry(tracer_provider, meter_provider))
    return client


def uninstrument(client: C) -> C:
    """Undo `instrument`, and return the client; an `Instrumentor` that is in force still records its calls.

    Raises:
        TypeError: *client* is not a client.

    Example:
        >>> from chatarmin_os.integrations.opentelemetry import uninstrument
        >>> uninstrument(client) is client
        True
    """
    _watchers_of(client).observe(None)
    return client


class Instrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Records the calls of all clients of the process, those that exist and those that are made later.

    `opentelemetry-instrument` finds it under the name `chatarmin_os`. Its `instrument` takes *tracer_provider* and
    *meter_provider* as the function of that name does; a client that was given to that function keeps its providers.

    Example:
        >>> from chatarmin_os.integrations.opentelemetry import Instrumentor
        >>> Instrumentor().instrument()
        >>> Instrumentor().uninstrument()
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return nothing: what it instruments is the package that it is in.

        Example:
            >>> from chatarmin_os.integrations.opentelemetry import Instrumentor
            >>> Instrumentor().instrumentation_dependencies()
            ()
        """
        return ()

    def _instrument(self, **settings: Any) -> None:
        Watchers.observer = Telemetry(settings.get("tracer_provider"), settings.get("meter_provider"))

    def _uninstrument(self, **_: Any) -> None:
        Watchers.observer = None


def _watchers_of(client: ChatarminOS) -> Watchers:
    return ensure_client(client)._watchers  # noqa: SLF001 - who is recorded is part of the client
