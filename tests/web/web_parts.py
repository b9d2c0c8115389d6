"""Objects that settings of tests name by their dotted paths."""

from __future__ import annotations

from typing import Any

from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.gate import DictCache

transport = FakeTransport(demo_catalogue())
cache = DictCache()
number = 5


def make_transport() -> FakeTransport:
    """Return a new transport."""
    return FakeTransport(demo_catalogue())


def make_number() -> int:
    """Return no transport."""
    return number


def organisation_of(request: Any) -> str:
    """Return the organisation of a request."""
    return f"org_{request}"


def on_denied(request: Any, decision: Any) -> str:
    """Return a response."""
    return f"{request} {decision}"


async def async_organisation_of(request: Any) -> str:
    """Return the organisation of a request, too late."""
    return f"org_{request}"


class Asynchronous:
    """A callable that is asynchronous."""

    async def __call__(self, request: Any) -> str:
        """Return the organisation of a request, too late."""
        return f"org_{request}"


asynchronous = Asynchronous()
