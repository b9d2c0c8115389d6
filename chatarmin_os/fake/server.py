"""The public path of `chatarmin_os.server`."""

from chatarmin_os.server import CannotServe, FakeService, Server, StartupError, StateFile, serve_fake

__all__ = ["CannotServe", "FakeService", "Server", "StartupError", "StateFile", "serve_fake"]
