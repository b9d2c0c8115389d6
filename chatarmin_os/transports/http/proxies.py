"""The proxy of the environment for one service, and the hosts that NO_PROXY exempts; read once, when a client is made.

requests and urllib know fewer forms of NO_PROXY than curl and Go. A list that works for the other programs of a host
works here:

- Entries are separated by commas or white space, in any case; `*` exempts every host.
- `example.com` and `.example.com` exempt the name and all names below it; `*.example.com` only those below it.
- Names may end with a dot, here and in the base URL, and be written in Unicode or in Punycode.
- Addresses are written plainly, in brackets or as a network (`10.0.0.0/8`, `2001:db8::/32`).
- `host:port` exempts only that port; a base URL without a port has 443 (https) or 80 (http).
- `no_proxy` counts before `NO_PROXY`; an empty one counts as not set.
"""

from __future__ import annotations

import os
import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit
from urllib.request import getproxies, getproxies_environment

import idna
from requests.utils import should_bypass_proxies

from chatarmin_os.errors import InvalidInput
from chatarmin_os.transports.http.settings import is_host, is_loopback

_DEFAULT_PORTS = {"http": 80, "https": 443}


def proxies_for(base_url: str) -> dict[str, str]:
    """Return the proxy for a service by the URL's scheme, as requests takes it; empty if there is no proxy.

    Raises:
        InvalidInput: The proxy's URL is invalid, or it is a SOCKS proxy.
    """
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    found = getproxies()
    name = next((name for name in (parts.scheme, "all") if found.get(name)), None)
    if name is None or is_loopback(host) or _is_exempt(host, parts.port or _DEFAULT_PORTS[parts.scheme], base_url):
        return {}
    return {parts.scheme: _checked(found[name], f"{name.upper()}_PROXY")}


def _checked(proxy: str, variable: str) -> str:
    """Return a proxy's URL with its scheme, by default http as in curl; never echo it: it has a password."""
    url = proxy.strip()
    url = url if "://" in url else f"http://{url}"
    if url.lower().startswith("socks"):
        raise InvalidInput(
            "the environment names a SOCKS proxy (ALL_PROXY or HTTPS_PROXY), through which no deadline holds",
            "to use it without one, pass session=requests.Session() to HTTPTransport",
        ).at("session")
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in _DEFAULT_PORTS and parts.port != 0 and is_host(parts.hostname or "")
    except ValueError:
        is_valid = False
    if not is_valid or not url.isprintable() or " " in url:
        raise InvalidInput(
            "is not a valid URL of a proxy", "set it to one such as http://proxy.example.com:3128, or remove it"
        ).at(variable)
    return url


def _is_exempt(host: str, port: int, base_url: str) -> bool:
    entries = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    is_exempt = any(matches(entry, host, port) for entry in re.split(r"[,\s]+", entries))
    # Without proxies in the environment, the settings of Windows or macOS apply, with their own exceptions.
    return is_exempt or (not getproxies_environment() and should_bypass_proxies(base_url, None))


def matches(entry: str, host: str, port: int) -> bool:
    """Return whether an entry of NO_PROXY exempts a host.

    Example:
        >>> [matches(entry, "os.example.com", 443) for entry in ("Example.com.", "*.example.com", "ple.com", "*")]
        [True, True, False, True]
        >>> [matches(entry, "os.example.com", 443) for entry in ("os.example.com:443", "os.example.com:80", "")]
        [True, False, False]
        >>> [matches(entry, "2001:db8::1", 443) for entry in ("2001:DB8:0::1", "[2001:db8::1]:443", "2001:db8::/32")]
        [True, True, True]
    """
    if entry == "*":
        return True
    head, _, tail = entry.rpartition(":")
    has_port = head.endswith("]") or (head and ":" not in head)
    name, wanted_port = (head, tail) if has_port else (entry, "")
    if wanted_port not in {"", str(port)}:
        return False
    address = _address(host)
    if address is not None:
        network = _network(name)
        return network is not None and address in network
    return _is_below(_encoded(host), name)


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text.replace("[", "").replace("]", "").rstrip("."), strict=False)
    except ValueError:
        return None


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host.rstrip("."))
    except ValueError:
        return None


def _is_below(host: str, name: str) -> bool:
    domain = _encoded(name.removeprefix("*").lstrip("."))
    return bool(domain) and (host.endswith(f".{domain}") or (host == domain and not name.startswith("*")))


def _encoded(name: str) -> str:
    """Return a host name in the form of DNS: in lower case, in Punycode, without the dot at its end."""
    name = name.rstrip(".").lower()
    if name.isascii():
        return name
    try:
        return idna.encode(name, uts46=True).decode()
    except UnicodeError:
        return name  # an invalid name matches no host
