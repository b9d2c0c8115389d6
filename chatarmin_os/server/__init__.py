"""The fake as a local service: a real tRPC endpoint, a control API for tests, a page to look at.

`chatarmin-os serve` runs it; `serve_fake` runs it in a test; `FakeService` is a WSGI application for any server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os._lazy import lazy_exports
from chatarmin_os.server.app import FakeService
from chatarmin_os.server.startup import StartupError
from chatarmin_os.server.waitress import Server, serve_fake

if TYPE_CHECKING:
    from chatarmin_os.server.state import StateFile

__getattr__, __dir__ = lazy_exports(__name__, {"chatarmin_os.server.state": ("StateFile",)})  # it imports SQLite

CannotServe = StartupError
"""The name of `StartupError` in version 0.1.0."""

__all__ = ["CannotServe", "FakeService", "Server", "StartupError", "StateFile", "serve_fake"]
