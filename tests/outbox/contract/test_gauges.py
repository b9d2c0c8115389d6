"""The figures of an outbox as gauges of OpenTelemetry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os import ChatarminOS
from chatarmin_os._watching import outboxes
from chatarmin_os.integrations.opentelemetry.outboxes import OutboxReader

if TYPE_CHECKING:
    import pytest
    from outbox_world import World


def test_gauges_read_every_outbox_in_a_thread(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The thread of the metrics reads what is there, and leaves no connection behind."""
    ChatarminOS(transport=world.fake).onboard(external_org_id="org_gauges", tier_code="free")
    world.put(2)
    before = outboxes.copy()
    outboxes.clear()
    outboxes.add(world.outbox)
    try:
        found = OutboxReader(max_wait=60).read()
    finally:
        outboxes[:] = before

    [stats] = found[type(world.outbox).__name__]
    assert (stats.ready, stats.dead) == (2, 0)
    assert caplog.records == []
