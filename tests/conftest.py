"""What every test may ask for: a client on each transport, and the service's own side of it."""

from __future__ import annotations

import pytest

from chatarmin_os import ChatarminOS
from chatarmin_os.fake import FakeTransport, demo_catalogue


@pytest.fixture(params=["fake"])
def arrange(request: pytest.FixtureRequest) -> FakeTransport:
    """The service's own side: the handles with which a test arranges what no client could (demo catalogue)."""
    assert request.param == "fake"
    return FakeTransport(demo_catalogue())


@pytest.fixture
def client(arrange: FakeTransport) -> ChatarminOS:
    """A client of the service that `arrange` arranges; tests with it run through every transport."""
    return ChatarminOS(transport=arrange)
