"""The service over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os._lazy import lazy_exports

if TYPE_CHECKING:
    from chatarmin_os.transports.http.transport import HTTPTransport

# A fake needs the settings of this package, and not requests.
__getattr__, __dir__ = lazy_exports(__name__, {"chatarmin_os.transports.http.transport": ("HTTPTransport",)})

__all__ = ["HTTPTransport"]
