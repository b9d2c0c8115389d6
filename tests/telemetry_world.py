"""Fixtures of the tests of telemetry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chatarmin_os import ChatarminOS
from chatarmin_os.fake import FakeTransport, demo_catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recorded import Recorded


@pytest.fixture
def demo() -> FakeTransport:
    """Return a service in memory with the demo catalogue."""
    return FakeTransport(demo_catalogue())


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    """Return providers that keep their records."""
    from recorded import Recorded  # late: most tests do not need the SDK

    recorded = Recorded()
    yield recorded
    recorded.close()


@pytest.fixture
def observed(demo: FakeTransport, recorded: Recorded) -> ChatarminOS:
    """Return a client on the demo that is recorded."""
    from chatarmin_os.integrations.opentelemetry import instrument  # late: the same

    return instrument(ChatarminOS(transport=demo), **recorded.settings)
