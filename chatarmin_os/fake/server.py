"""The public path of `chatarmin_os.server`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os._lazy import lazy_exports
from chatarmin_os.server import CannotServe, FakeService, Server, StartupError, serve_fake

if TYPE_CHECKING:
    from chatarmin_os.server import StateFile

__getattr__, __dir__ = lazy_exports(__name__, {"chatarmin_os.server": ("StateFile",)})

__all__ = ["CannotServe", "FakeService", "Server", "StartupError", "StateFile", "serve_fake"]
