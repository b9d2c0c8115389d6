"""The transports that a client can send its calls through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os._call import Call
from chatarmin_os._lazy import lazy_exports
from chatarmin_os.transports.base import Transport

if TYPE_CHECKING:
    from chatarmin_os.fake.transport import FakeTransport
    from chatarmin_os.recording.transports import RecordingTransport, ReplayTransport
    from chatarmin_os.transports.function import FunctionTransport
    from chatarmin_os.transports.http.transport import HTTPTransport

# A program that uses neither the fake nor requests does not import them.
__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "chatarmin_os.fake.transport": ("FakeTransport",),
        "chatarmin_os.transports.function": ("FunctionTransport",),
        "chatarmin_os.transports.http.transport": ("HTTPTransport",),
        "chatarmin_os.recording.transports": ("RecordingTransport", "ReplayTransport"),
    },
)

__all__ = [
    "Call",
    "FakeTransport",
    "FunctionTransport",
    "HTTPTransport",
    "RecordingTransport",
    "ReplayTransport",
    "Transport",
]
