"""The fake as a local service: a real tRPC endpoint, a control door for tests, a page to look at.

`chatarmin-os serve` runs it; `serve_fake` does in a test; `FakeService` is a WSGI application for any server.
"""

from chatarmin_os.server.app import FakeService
from chatarmin_os.server.running import Server, serve_fake
from chatarmin_os.server.state import CannotServe, StateFile

__all__ = ["CannotServe", "FakeService", "Server", "StateFile", "serve_fake"]
