"""What the HTTP transport is told: checked when a client is made, so that no call fails over a setting."""

from __future__ import annotations

import os
import sys
from urllib.parse import urlsplit

from chatarmin_os._json import described
from chatarmin_os.errors import InvalidInput

DEFAULT_BASE_URL = "https://os.chatarmin.com/api/v1"


def api_key(given: str | None) -> str:
    """Return the key from the argument, else from OS_API_KEY, without white space around it; never echoes it."""
    key = os.environ.get("OS_API_KEY") if given is None else given
    if key is not None and not isinstance(key, str):
        kind = type(key).__name__  # not the value: it may be a key all the same
        raise InvalidInput(f"expected text, got an object of type {kind}; a transport is passed as transport=").inside(
            "api_key"
        )
    if key is None or not key.strip():
        raise InvalidInput("no API key: pass one (os_sk_...), or set the environment variable OS_API_KEY").inside(
            "api_key"
        )
    key = key.strip()
    if not (key.isascii() and key.isprintable()):
        raise InvalidInput("the API key has control or non-ASCII characters; copy it again").inside("api_key")
    return key


def base_url(given: str | None) -> str:
    """Return the URL that paths are appended to: the argument, else OS_BASE_URL, else the service's own."""
    url = given if given is not None else os.environ.get("OS_BASE_URL") or DEFAULT_BASE_URL
    if not isinstance(url, str):
        raise InvalidInput(f"expected a URL as text, got {described(url)}").inside("base_url")
    if not _is_plain(url):
        raise InvalidInput(
            f"expected an http(s) URL with a host, without user, query or fragment, such as {DEFAULT_BASE_URL}"
        ).inside("base_url")
    return url.rstrip("/")


def _is_plain(url: str) -> bool:
    try:
        parts = urlsplit(url)
        fine = parts.scheme in {"http", "https"} and parts.hostname and parts.username is None and parts.port != 0
    except ValueError:
        return False
    return bool(fine and not parts.query and not parts.fragment and url.isprintable() and " " not in url)


def timeout(given: float) -> float:
    """Return the seconds that a whole call may take."""
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 < given <= sys.float_info.max:
        raise InvalidInput(f"expected seconds above 0, got {described(given)}").inside("timeout")
    return float(given)


def max_retries(given: int) -> int:
    """Return how often a call may be repeated."""
    if isinstance(given, bool) or not isinstance(given, int) or given < 0:
        raise InvalidInput(f"expected an int of at least 0, got {described(given)}").inside("max_retries")
    return int(given)
