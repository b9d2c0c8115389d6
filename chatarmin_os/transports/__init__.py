"""What a client can send its calls through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os._call import Call
from chatarmin_os._lazy import lazy_exports
from chatarmin_os.transports.base import Transport

if TYPE_CHECKING:
    from chatarmin_os.fake.transport import FakeTransport
    from chatarmin_os.recording.transports import RecordingTransport, ReplayTransport
    from chatarmin_os.transports.http.transport import HTTPTransport

# What does not use the fake, or requests, does not import it.
__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "chatarmin_os.fake.transport": ("FakeTransport",),
        "chatarmin_os.transports.http.transport": ("HTTPTransport",),
        "chatarmin_os.recording.transports": ("RecordingTransport", "ReplayTransport"),
    },
)

__all__ = ["Call", "FakeTransport", "HTTPTransport", "RecordingTransport", "ReplayTransport", "Transport"]
