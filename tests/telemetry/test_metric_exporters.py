"""Exporters of metrics that fail: the reader that `opentelemetry-instrument` uses calls them in a thread of its own."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, PeriodicExportingMetricReader

from chatarmin_os import ChatarminOS
from chatarmin_os.gate import Gate
from chatarmin_os.integrations.opentelemetry import instrument

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from chatarmin_os.fake import FakeTransport


class _Exporter(MetricExporter):
    """An exporter that does what a test says, and notes that it began and ended."""

    def __init__(self, act: Callable[[], None]) -> None:
        super().__init__()
        self._act = act
        self.begun, self.ended = Event(), Event()

    def export(self, *_: Any, **__: Any) -> MetricExportResult:
        """Act."""
        self.begun.set()
        try:
            self._act()
        finally:
            self.ended.set()
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 0) -> bool:  # noqa: ARG002 - as in the SDK
        """Keep nothing back."""
        return True

    def shutdown(self, *_: Any, **__: Any) -> None:
        """End."""


def _use(client: ChatarminOS) -> None:
    """Make a call and a decision, both of which are measured."""
    assert len(client.tiers.list()) == 4
    assert Gate(client).check(external_org_id="org_1", feature_code="sso").reason == "not_linked"


def test_hanging_metric_exporter_harms_no_call(demo: FakeTransport) -> None:
    """Calls and decisions are measured while the exporter hangs."""
    go = Event()

    def hang() -> None:
        go.wait()

    exporter = _Exporter(hang)
    provider = MeterProvider([PeriodicExportingMetricReader(exporter, 5)], shutdown_on_exit=False)
    client = instrument(ChatarminOS(transport=demo), meter_provider=provider)
    try:
        _use(client)
        assert exporter.begun.wait(60)
        _use(client)
        assert not exporter.ended.is_set()
    finally:
        go.set()
        provider.shutdown()


def test_raising_metric_exporter_harms_no_call(demo: FakeTransport, caplog: pytest.LogCaptureFixture) -> None:
    """The SDK logs the exception, and goes on."""

    def fail() -> None:
        raise OSError("nobody listens")

    exporter = _Exporter(fail)
    provider = MeterProvider([PeriodicExportingMetricReader(exporter, 5)], shutdown_on_exit=False)
    client = instrument(ChatarminOS(transport=demo), meter_provider=provider)
    _use(client)
    assert exporter.ended.wait(60)
    _use(client)
    provider.shutdown()

    assert {line.name.partition(".")[0] for line in caplog.records} == {"opentelemetry"}
