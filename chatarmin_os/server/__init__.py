"""The fake as a local service: a real tRPC endpoint, a control API for tests, a page to look at.

`chatarmin-os serve` runs it; `serve_fake` runs it in a test; `FakeService` is a WSGI application for any server.
"""

from chatarmin_os.server.app import FakeService
from chatarmin_os.server.state import StartupError, StateFile
from chatarmin_os.server.waitress import Server, serve_fake

CannotServe = StartupError
"""The name of `StartupError` in version 0.1.0."""

__all__ = ["CannotServe", "FakeService", "Server", "StartupError", "StateFile", "serve_fake"]
