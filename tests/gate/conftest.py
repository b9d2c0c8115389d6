"""The stage on which the gate is tested."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from steering import Stage

if TYPE_CHECKING:
    from chatarmin_os.fake import FakeTransport


@pytest.fixture
def stage(service: FakeTransport) -> Stage:
    """Return a service with one organisation, and a gate on it."""
    return Stage(service)
