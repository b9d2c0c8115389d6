"""A text is a URL if JavaScript's `new URL()` parses it without a base; that the service checks this is an assumption.

These functions follow the states of the URL Standard's parser, but only decide whether it fails; they build no URL.
"""

from __future__ import annotations

import re
from functools import partial

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)
_SPECIAL = frozenset({"ftp", "http", "https", "ws", "wss"})
_SPECIAL_END, _OTHER_END = re.compile(r"[/?#\\]"), re.compile(r"[/?#]")
_HOST = re.compile(r"(?:\[[^\]]*\]|[^:\[]+|\[[^\]]*$)*")  # a colon inside brackets does not begin a port
_PORT = re.compile(r":?([0-9]*)")
_MAX_PORT = 0xFFFF
_DRIVE_LETTER = re.compile(r"[A-Za-z][:|]")
_FORBIDDEN_IN_HOST = re.compile(r"[\x00\t\n\r #/:<>?@\[\\\]^|]")
_FORBIDDEN_IN_DOMAIN = re.compile(r"[\x00-\x20\x7f#%/:<>?@\[\\\]^|]")
_ESCAPES = re.compile(rb"%([0-9A-Fa-f]{2})")
_IPV4_NUMBERS = {
    16: re.compile(r"0[xX]([0-9A-Fa-f]*)"),
    8: re.compile(r"0([0-7]+)"),
    10: re.compile(r"(0|[1-9][0-9]*)"),
}
_MAX_IPV4_PARTS = 4
_BYTE = 0x100
_MAX_IPV6_LENGTH = 45
_JOINERS = frozenset("\u200c\u200d")
_EDGES = "".join(map(chr, range(0x21)))
_without_line_breaks = partial(re.compile(r"[\t\n\r]").sub, "")


def is_url(text: str) -> bool:
    """Return whether `new URL()` parses *text* as an absolute URL.

    Example:
        >>> [is_url(text) for text in ("https://acme.com/a b.png", "data:image/png;base64,AA==", "mailto:ann")]
        [True, True, True]
        >>> [is_url(text) for text in ("example.com", "/avatars/1.png", "https://a b.com", "https://acme.com:port")]
        [False, False, False, False]
    """
    text = _without_line_breaks(text.strip(_EDGES))
    scheme = _SCHEME.match(text)
    if not scheme:
        return False
    name, rest = scheme[1].lower(), text[scheme.end() :]
    if name == "file":
        return _is_file(rest)
    if name in _SPECIAL:
        return _is_authority(rest.lstrip("/\\"), _SPECIAL_END, is_special=True)
    return not rest.startswith("//") or _is_authority(rest[2:], _OTHER_END, is_special=False)


def _is_file(rest: str) -> bool:
    """Return whether the rest of a `file:` URL is valid: only its host can be invalid, but not a drive letter."""
    if not re.match(r"[/\\]{2}", rest):
        return True
    host = _SPECIAL_END.split(rest[2:], maxsplit=1)[0]
    return not host or _DRIVE_LETTER.fullmatch(host) is not None or _is_domain_or_address(host)


def _is_authority(rest: str, end: re.Pattern[str], *, is_special: bool) -> bool:
    """Return whether user, host and port at the beginning of *rest* are valid."""
    authority = end.split(rest, maxsplit=1)[0]
    _, at, place = authority.rpartition("@")
    name = _HOST.match(place)[0]  # type: ignore[index]  # it matches any text
    port = place[len(name) :]
    if not _is_port(port):
        return False
    if not name:
        return not (is_special or at or port)
    return _is_domain_or_address(name) if is_special else _is_opaque_host(name)


def _is_port(text: str) -> bool:
    digits = _PORT.fullmatch(text)
    number = digits[1].lstrip("0") if digits else None
    return number is not None and len(number) <= len(str(_MAX_PORT)) and int(number or "0") <= _MAX_PORT


def _is_opaque_host(host: str) -> bool:
    if host.startswith("["):
        return _is_ipv6(host)
    return not _FORBIDDEN_IN_HOST.search(host)


def _is_domain_or_address(host: str) -> bool:
    if host.startswith("["):
        return _is_ipv6(host)
    decoded = _ESCAPES.sub(lambda escape: bytes.fromhex(escape[1].decode()), host.encode(errors="replace"))
    name = _to_ascii(decoded.decode(errors="replace"))
    if not name or _FORBIDDEN_IN_DOMAIN.search(name):
        return False
    parts = name.split(".")
    if not parts[-1] and len(parts) > 1:
        parts.pop()
    is_number = parts[-1].isascii() and parts[-1].isdigit()
    return _is_ipv4(parts) if is_number or _ipv4_number(parts[-1]) is not None else True


def _is_ipv6(host: str) -> bool:
    if not host.endswith("]") or len(host) > _MAX_IPV6_LENGTH + 2 or "%" in host:
        return False
    from ipaddress import IPv6Address  # few URLs need it

    try:
        IPv6Address(host[1:-1])
    except ValueError:
        return False
    return True


def _is_ipv4(parts: list[str]) -> bool:
    """Return whether *parts* are up to four numbers: bytes, except the last one, which fills the remaining bytes."""
    numbers = [_ipv4_number(part) for part in parts] if len(parts) <= _MAX_IPV4_PARTS else [None]
    *first, last = (-1 if number is None else number for number in numbers)
    return all(0 <= number < _BYTE for number in first) and 0 <= last < _BYTE ** (_MAX_IPV4_PARTS - len(first))


def _ipv4_number(text: str) -> int | None:
    """Return a number in a notation of IPv4 addresses, None if *text* is not a number; a huge number is cut short."""
    for base, notation in _IPV4_NUMBERS.items():
        if digits := notation.fullmatch(text):
            return int(digits[1].lstrip("0")[:20] or "0", base)
    return None


def _to_ascii(domain: str) -> str | None:
    """Return a domain in ASCII by the URL Standard (UTS 46 without the limits of DNS), None if that fails."""
    labels = domain.lower().split(".")
    if domain.isascii() and not any(label.startswith("xn--") for label in labels):
        return ".".join(labels)
    import idna  # few URLs need it

    try:
        return ".".join(map(_encode, idna.uts46_remap(domain, std3_rules=False).split(".")))
    except (ValueError, IndexError):  # idna's errors are UnicodeErrors, which are ValueErrors
        return None


def _encode(label: str) -> str:
    """Return a mapped label in ASCII.

    Raises:
        ValueError: The label is invalid.
    """
    is_encoded = label.startswith("xn--")
    if label.isascii() and not is_encoded:
        return label
    import idna

    unicode = label[4:].encode("ascii").decode("punycode") if is_encoded else label
    encoded = f"xn--{unicode.encode('punycode').decode()}"
    if is_encoded and (not unicode or encoded != label or idna.uts46_remap(unicode, std3_rules=False) != unicode):
        raise ValueError(label)
    idna.check_initial_combiner(unicode)
    if not all(idna.valid_contextj(unicode, place) for place, letter in enumerate(unicode) if letter in _JOINERS):
        raise ValueError(label)
    idna.check_bidi(unicode)
    return encoded
