"""A domain is compared as lower-case ASCII without what surrounds it in a URL; an e-mail address by its lower case.

What follows the `@` of an e-mail address is a host name and never read as a URL: an address that reads as one host to
the program that verified it, and as another one here, would link its owner to a stranger's company.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    FREE_MAIL_DOMAINS: frozenset[str]
    """Domains that say nothing about a company, because anybody can have an address there; loaded on first use."""

MAX_DOMAIN_LENGTH = 253  # what DNS allows; it also bounds the work of IDNA
_DOMAIN = re.compile(
    r"""
    (?:[a-z][a-z0-9+.-]*://)?     # a scheme,
    (?:[a-z0-9_+-]+               # a user without a dot: `acme.com@x.example` passes for another host,
       (?::[^\s/?\#@\\]*)?@)?     # with a password,
    ([^\s\x00-\x20/?\#@:\\%]+)    # the host,
    (?::[0-9]*)?                  # a port,
    (?:/[^\s\\@]*)?               # and a path; `#` and `?` stand behind a slash, or parsers differ about the host
    """,
    re.VERBOSE | re.IGNORECASE,
)
_ASCII_DOMAIN = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)+")
_EMAIL = re.compile(r"(?!\.)[A-Za-z0-9_'+.-]*[A-Za-z0-9_+-]@((?:[A-Za-z0-9][A-Za-z0-9-]*\.)+[A-Za-z]{2,})")


def domain(given: str) -> str | None:
    r"""Return the domain that *given* (a host or a URL) names, None if it names none or could be read in two ways.

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
    parts = _DOMAIN.fullmatch(given.strip(" \t\r\n"))
    return _normalised(parts[1]) if parts else None


def _normalised(host: str) -> str | None:
    """Return the domain of a host name as it is compared, None if it has no such form."""
    if len(host) > MAX_DOMAIN_LENGTH + 1:
        return None
    host = host.lower()
    if not host.isascii() or "xn--" in host:
        import idna  # takes as long to import as the rest of the fake, and few domains need it

        try:
            if not all(map(idna.uts46_remap, host)):
                return None  # a letter that nobody sees, and that is dropped
            host = idna.encode(host, uts46=True).decode()
        except idna.IDNAError:
            return None
    host = host.removesuffix(".")
    while host.startswith("www.") and "." in host[4:]:
        host = host[4:]
    return host if len(host) <= MAX_DOMAIN_LENGTH and _ASCII_DOMAIN.fullmatch(host) else None


def telling(normalised: str | None) -> str | None:
    """Return a normalised domain if it says anything about a company, None for a free mail provider's."""
    return None if normalised is None or is_free_mail(normalised) else normalised


def is_free_mail(normalised: str) -> bool:
    """Return whether a normalised domain is a free mail provider's, or below one.

    Example:
        >>> is_free_mail("hotmail.fr"), is_free_mail("ann.fastmail.com"), is_free_mail("notgmail.com")
        (True, True, False)
    """
    if len(normalised) > MAX_DOMAIN_LENGTH:  # it comes from a file, and is none
        return False
    labels = normalised.split(".")
    known = free_mail_domains()
    return any(".".join(labels[start:]) in known for start in range(len(labels) - 1))


@cache
def free_mail_domains() -> frozenset[str]:
    """Return the domains of free mail providers; `free_mail_domains.txt` names the list's source and licence."""
    resources = import_module("importlib.resources")  # imported late: it takes as long as the rest of the fake
    lines = resources.files(__package__).joinpath("free_mail_domains.txt").read_text("utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


def __getattr__(name: str) -> frozenset[str]:
    if name == "FREE_MAIL_DOMAINS":
        return free_mail_domains()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def email(given: str) -> str | None:
    """Return *given* if it is an e-mail address, else None.

    The rule is that of zod's `email()`, which its versions 3 and 4 share: ASCII letters, digits and `_'+-.` before the
    `@`, neither a dot first or last nor two in a row, no apostrophe last; behind it labels of letters, digits and
    hyphens, the last one of at least two letters. That the service checks addresses with zod is an assumption.

    Example:
        >>> email("O'Neill+x@mail.acme.com")
        "O'Neill+x@mail.acme.com"
        >>> [email(text) for text in ("ann", "ann@acme", "ann@acme.c", "a..b@acme.com", "ann@müller.de", "a@b.co ")]
        [None, None, None, None, None, None]
    """
    return given if ".." not in given and _EMAIL.fullmatch(given) else None


def email_domain(address: str) -> str | None:
    """Return the domain of an e-mail address if it says anything about a company."""
    parts = _EMAIL.fullmatch(address)
    return telling(_normalised(parts[1])) if parts else None
