"""Domains are compared as lower-case ASCII without the other parts of a URL, e-mail addresses in lower case.

The part of an e-mail address behind the `@` is a host name and never parsed as a URL: an address that means one host
to the program that verified it, and another host here, would link its owner to a stranger's company.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    FREE_MAIL_DOMAINS: frozenset[str]
    """Domains on which anyone can have an address, so they are not evidence of a company; loaded on first use."""

MAX_DOMAIN_LENGTH = 253  # the limit of DNS; it also bounds the work of IDNA
_DOMAIN = re.compile(
    r"""
    (?:[a-z][a-z0-9+.-]*://)?     # a scheme,
    (?:[a-z0-9_+-]+               # a user without a dot: `acme.com@x.example` passes for another host,
       (?::[^\s/?\#@\\]*)?@)?     # with a password,
    ([^\s\x00-\x20/?\#@:\\%]+)    # the host,
    (?::[0-9]*)?                  # a port,
    (?:/[^\s\\@]*)?               # and a path; a `#` or `?` before it would make parsers differ about the host
    """,
    re.VERBOSE | re.IGNORECASE,
)
_ASCII_DOMAIN = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)+")
_EMAIL = re.compile(r"(?!\.)[A-Za-z0-9_'+.-]*[A-Za-z0-9_+-]@((?:[A-Za-z0-9][A-Za-z0-9-]*\.)+[A-Za-z]{2,})")


def domain(host_or_url: str) -> str | None:
    r"""Return the domain of a host or a URL, None if it is missing or parsers would differ about it.

    Lower case, without scheme, user, `www.`, port, path and trailing dot; other scripts become ASCII by UTS 46,
    non-transitional.

    Example:
        >>> domain("https://ann@www.Acme.com:8080/pricing?x=1")
        'acme.com'
        >>> domain("acme.com."), domain("straße.de"), domain("strasse.de")
        ('acme.com', 'xn--strae-oqa.de', 'strasse.de')
        >>> [domain(text) for text in ("localhost", "acme inc.com", "acme..com", ".com", "")]
        [None, None, None, None, None]
        >>> [domain(text) for text in ("acme.com#.evil.example", "acme.com\\@evil.example", "evil.example@acme.com")]
        [None, None, None]
    """
    parts = _DOMAIN.fullmatch(host_or_url.strip(" \t\r\n"))
    return _normalised(parts[1]) if parts else None


def _normalised(host: str) -> str | None:
    """Return a host name in the form that is compared, None if it is not a domain."""
    if len(host) > MAX_DOMAIN_LENGTH + 1:
        return None
    host = host.lower()
    if not host.isascii() or "xn--" in host:
        import idna  # importing it takes as long as the rest of the fake, and few domains need it

        try:
            if not all(map(idna.uts46_remap, host)):
                return None  # an invisible letter, which IDNA drops
            host = idna.encode(host, uts46=True).decode()
        except idna.IDNAError:
            return None
    host = host.removesuffix(".")
    while host.startswith("www.") and "." in host[4:]:
        host = host[4:]
    return host if len(host) <= MAX_DOMAIN_LENGTH and _ASCII_DOMAIN.fullmatch(host) else None


def business_domain(normalised: str | None) -> str | None:
    """Return a normalised domain if it is evidence of a company, None for a free mail provider's."""
    return None if normalised is None or is_free_mail(normalised) else normalised


def is_free_mail(normalised: str) -> bool:
    """Return whether a normalised domain is a free mail provider's, or a subdomain of one.

    Example:
        >>> is_free_mail("hotmail.fr"), is_free_mail("ann.fastmail.com"), is_free_mail("notgmail.com")
        (True, True, False)
    """
    if len(normalised) > MAX_DOMAIN_LENGTH:  # not a domain; snapshots may contain such text
        return False
    known = free_mail_domains()
    while normalised not in known:
        _, _, normalised = normalised.partition(".")
        if "." not in normalised:
            return False
    return True


@cache
def free_mail_domains() -> frozenset[str]:
    """Return the domains of free mail providers; `free_mail_domains.txt` names the list's source and licence."""
    resources = import_module("importlib.resources")  # importing it takes as long as the rest of the fake
    lines = resources.files(__package__).joinpath("free_mail_domains.txt").read_text("utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


def __getattr__(name: str) -> frozenset[str]:
    if name == "FREE_MAIL_DOMAINS":
        return free_mail_domains()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def email(address: str) -> str | None:
    """Return *address* if it is an e-mail address, else None.

    The rule is that of zod's `email()`, which its versions 3 and 4 share: ASCII letters, digits and `_'+-.` before the
    `@`, no dot first or last, no two dots in a row, no apostrophe last; behind it labels of letters, digits and
    hyphens, the last one of at least two letters. That the service checks addresses with zod is an assumption.

    Example:
        >>> email("O'Neill+x@mail.acme.com")
        "O'Neill+x@mail.acme.com"
        >>> [email(text) for text in ("ann", "ann@acme", "ann@acme.c", "a..b@acme.com", "ann@müller.de", "a@b.co ")]
        [None, None, None, None, None, None]
    """
    return address if ".." not in address and _EMAIL.fullmatch(address) else None


def email_domain(address: str) -> str | None:
    """Return the domain of an e-mail address if it is evidence of a company."""
    parts = _EMAIL.fullmatch(address)
    return business_domain(_normalised(parts[1])) if parts else None
