"""Classes as requests and urllib3 define them, whatever another library has installed over them.

`requests_cache.install_cache()` replaces `requests.Session`, vcrpy the connections of urllib3, maybe before this
module is imported. What they install derives from what it replaces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import requests.adapters
import requests.sessions
import urllib3.connection

if TYPE_CHECKING:
    from collections.abc import Iterable

    from requests.adapters import HTTPAdapter
    from requests.sessions import Session
    from urllib3.connection import HTTPConnection, HTTPSConnection
else:

    def _defined_in(module: str, kinds: Iterable[type]) -> type:
        return next(kind for kind in kinds if kind.__module__ == module)

    # Tests replace Session by anything, mocks too, but not its base.
    Session = _defined_in("requests.sessions", requests.sessions.SessionRedirectMixin.__subclasses__())
    HTTPAdapter = _defined_in("requests.adapters", requests.adapters.HTTPAdapter.__mro__)
    HTTPConnection = _defined_in("urllib3.connection", urllib3.connection.HTTPConnection.__mro__)
    HTTPSConnection = _defined_in("urllib3.connection", urllib3.connection.HTTPSConnection.__mro__)

__all__ = ["HTTPAdapter", "HTTPConnection", "HTTPSConnection", "Session"]
