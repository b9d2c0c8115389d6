"""The settings of the HTTP transport, checked when a client is made, so that no call fails because of a setting.

requests is imported in the functions that need it: the proxies of the environment are checked without it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from hashlib import blake2b, sha256
from ipaddress import ip_address
from operator import methodcaller
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from chatarmin_os._input import at_field, boolean, secret, text
from chatarmin_os._json import describe
from chatarmin_os._messages import printable
from chatarmin_os.errors import InvalidInput

if TYPE_CHECKING:
    import requests

    from chatarmin_os.trpc.client import Transformer

_MIN_KEY_LENGTH = 8
_YES, _NO = frozenset({"1", "true", "yes", "on"}), frozenset({"", "0", "false", "no", "off"})
DEFAULT_BASE_URL = "https://os.chatarmin.com/api/v1"


def api_key(given: Callable[[], str | None]) -> Callable[[], str]:
    """Return the key from the argument, else from OS_API_KEY, without white space around it; never echo it."""
    refusal = _refusal_of_key(_key(given()))
    if refusal:
        raise refusal.at("api_key")
    return secret(str(_key(given())).strip())


def _key(given: str | None) -> Any:
    return os.environ.get("OS_API_KEY") if given is None else given


def _refusal_of_key(key: Any) -> InvalidInput | None:
    """Return the refusal of a key: not raised here, where a traceback would have the key among the locals."""
    if key is not None and not isinstance(key, str):
        # Not the value, which may still be a key.
        return InvalidInput(
            f"must be text, got an object of type {type(key).__name__}", "pass a transport as transport="
        )
    if key is None or not key.strip():
        return InvalidInput("is missing", "pass the API key (os_sk_...), or set the environment variable OS_API_KEY")
    stripped = key.strip()
    if not stripped.isascii() or not stripped.isprintable():
        return InvalidInput("has control or non-ASCII characters, which may be invisible", "copy it again")
    if " " in stripped:
        return InvalidInput("has white space inside", "copy it again, without the word Bearer and without a line break")
    if stripped[0] == stripped[-1] and stripped[0] in "\"'`":
        return InvalidInput("is in quotes", "remove them (`docker run --env-file` keeps the quotes of its file)")
    return None


def base_url(given: str | None, *, allow_http: bool = False) -> str:
    """Return the URL that paths are appended to: the argument, else OS_BASE_URL, else the service's own.

    Plain http is refused unless the host is loopback, *allow_http* is True, or OS_ALLOW_HTTP allows it.
    """
    import requests

    allow_http = at_field("allow_http", boolean)(allow_http) or _environment_allows_http()
    from_environment = None if given is not None else os.environ.get("OS_BASE_URL")
    url = given if given is not None else from_environment or DEFAULT_BASE_URL
    if not isinstance(url, str):
        raise InvalidInput(f"must be a URL as text, got {describe(url)}").at("base_url")
    source = " (from OS_BASE_URL)" if from_environment else ""
    if not _is_plain(url):
        has_no_scheme = "://" not in url and _is_plain(f"https://{url}")
        shown = f", got {describe(url)}" if has_no_scheme else ""  # others may hold a password
        raise InvalidInput(
            f"must be an http(s) URL with a host, without user, query or fragment{shown}{source}",
            "begin it with https://, or http:// for a local service"
            if has_no_scheme
            else f"an example is {DEFAULT_BASE_URL}",
        ).at("base_url")
    host = urlsplit(url).hostname or ""
    if urlsplit(url).scheme == "http" and not (allow_http or is_loopback(host)):
        raise InvalidInput(
            f"plain http to {printable(host, 80)}{source} would show the key to the network",
            "use https, or allow_http=True (or set OS_ALLOW_HTTP=1)",
        ).at("base_url")
    request = requests.PreparedRequest()
    try:
        request.prepare_url(url.rstrip("/"), None)
    except requests.RequestException as error:
        raise InvalidInput(f"is not a valid URL: {error}").at("base_url") from None
    prepared = str(request.url).rstrip("/")
    if not is_host(urlsplit(prepared).hostname or ""):
        raise InvalidInput("has an invalid host name: a part of it is empty or longer than 63 characters").at(
            "base_url"
        )
    return prepared


def _environment_allows_http() -> bool:
    """Return whether OS_ALLOW_HTTP is a yes; refuse a value that is neither yes nor no, which may be a typo."""
    value = os.environ.get("OS_ALLOW_HTTP", "").strip().lower()
    if value not in _YES | _NO:
        raise InvalidInput(f"OS_ALLOW_HTTP must be 1 or 0, got {describe(value)}").at("allow_http")
    return value in _YES


def is_host(host: str) -> bool:
    """Return whether Python can encode the name of a host, as it does to look it up or to name it to a proxy.

    Example:
        >>> [is_host(host) for host in ("os.example.com", "my_service", "::1", "os..example.com", "")]
        [True, True, True, False, False]
    """
    try:
        return bool(host.encode("idna"))
    except UnicodeError:
        return False


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, under a name that no other machine can have."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_plain(url: str) -> bool:
    try:
        parts = urlsplit(url)
        fine = parts.scheme in {"http", "https"} and parts.hostname and parts.username is None and parts.port != 0
    except ValueError:
        return False
    return bool(fine and not parts.query and not parts.fragment and url.isprintable() and " " not in url)


def transformer(given: str) -> Transformer | None:
    """Return the name of a transformer, None to find it out."""
    if given not in ("auto", "json", "superjson"):
        raise InvalidInput(f"must be 'auto', 'json' or 'superjson', got {describe(given)}").at("transformer")
    return None if given == "auto" else cast("Transformer", given)


def function(name: str, given: Any) -> Any:
    """Return a function, or None for the default."""
    if given is not None and not callable(given):
        raise InvalidInput(f"must be a function, got {describe(given)}").at(name)
    return given


def paths(given: Mapping[str, str] | None) -> dict[str, str]:
    """Return the paths of the service by the paths of the package."""
    if given is not None and not isinstance(given, Mapping):
        raise InvalidInput(f"must be a mapping of path to path, got {describe(given)}").at("paths")
    return {
        at_field("paths", text)(here): at_field("paths", at_field(str(here), text))(there)
        for here, there in (given or {}).items()
    }


def session(given: requests.Session | None, *, verify: Any = None, cert: Any = None) -> requests.Session | None:
    """Return the user's own session, or None; a session has its own trust."""
    from chatarmin_os.transports.http.connections import Session

    if given is not None and not isinstance(given, Session):
        raise InvalidInput(f"must be a requests.Session, got {describe(given)}").at("session")
    for name, value in {"verify": verify, "cert": cert}.items():
        if given is not None and value is not None:
            raise InvalidInput("does not go with session=", f"set {name} on the session").at(name)
    return given


def auth(given: Any, key: Callable[[], str] | None) -> Callable[[Any], Any]:
    """Return a function that puts the credentials on a request: the user's own auth, or the key as a bearer token.

    The key is only in cells of functions: no attribute shows it.
    """
    if given is not None:
        if isinstance(given, tuple) and len(given) == 2:  # noqa: PLR2004 - user and password, as requests takes them
            from requests.auth import HTTPBasicAuth

            return HTTPBasicAuth(*given)
        if not callable(given):
            raise InvalidInput(f"must be an auth of requests, got an object of type {type(given).__name__}").at("auth")
        own: Callable[[Any], Any] = given
        return own

    from chatarmin_os.transports.http.masked import MaskedHeaders

    authorization = secret(f"Bearer {key() if key else ''}")

    def bearer(request: Any) -> Any:
        if not isinstance(request.headers, MaskedHeaders):
            request.headers = MaskedHeaders(request.headers)
        request.headers["Authorization"] = authorization
        return request

    return bearer


def fingerprint(key: Callable[[], str], base_url: str) -> str:
    """Return a digest for a product at a service, the same in every process; the key cannot be read from it.

    BLAKE2 is keyed with the key's digest: without the key nobody can compute it, or compare it with another URL's.
    """
    digest = sha256(key().encode()).digest()
    return blake2b(base_url.encode(), key=digest, digest_size=16, person=b"chatarmin-os").hexdigest()


def redactor(key: Callable[[], str] | None) -> Callable[[bytes], bytes]:
    """Return a function that redacts the key if a service echoes it, also as JSON may write it.

    A key of less than 8 characters is not the service's, and would be found in words.
    """
    from chatarmin_os.transports.http.masked import MASK

    plain = key() if key else ""
    if len(plain) < _MIN_KEY_LENGTH:
        return lambda content: content
    escaped = json.dumps(plain)[1:-1]
    forms = sorted({form.encode() for form in (plain, escaped, escaped.replace("/", "\\/"))}, key=len)[::-1]
    # Not functions of Python: they would have the key among their locals while they run, and these hide it in `repr`.
    steps = [methodcaller("replace", form, MASK.encode()).__call__ for form in forms]

    def redact(content: bytes) -> bytes:
        for step in steps:
            content = step(content)
        return content

    return redact
