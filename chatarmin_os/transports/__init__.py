"""What a client can send its calls through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os._lazy import exports
from chatarmin_os.transports.base import Call, Transport

if TYPE_CHECKING:
    from chatarmin_os.fake.transport import FakeTransport
    from chatarmin_os.transports.http import HTTPTransport
    from chatarmin_os.transports.recording import RecordingTransport, ReplayTransport

# What does not use the fake, or requests, does not import it.
__getattr__, __dir__ = exports(
    __name__,
    {
        "chatarmin_os.fake.transport": ("FakeTransport",),
        "chatarmin_os.transports.http": ("HTTPTransport",),
        "chatarmin_os.transports.recording": ("RecordingTransport", "ReplayTransport"),
    },
)

__all__ = ["Call", "FakeTransport", "HTTPTransport", "RecordingTransport", "ReplayTransport", "Transport"]
