"""A domain is compared as lower-case ASCII without what surrounds it in a URL; an e-mail address by its lower case."""

from __future__ import annotations

import re

FREE_MAIL_DOMAINS = frozenset(
    {
        "aol.com",
        "gmail.com",
        "gmx.at",
        "gmx.ch",
        "gmx.de",
        "gmx.net",
        "googlemail.com",
        "hotmail.com",
        "icloud.com",
        "live.com",
        "mail.com",
        "me.com",
        "msn.com",
        "outlook.com",
        "proton.me",
        "protonmail.com",
        "t-online.de",
        "web.de",
        "yahoo.com",
    }
)
"""Domains that say nothing about a company, because anybody can have an address there."""

_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_PORT = re.compile(r":\d*$")
_ASCII_DOMAIN = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)+")


def domain(given: str) -> str | None:
    """Return the domain that *given* (a host or a URL) names, None where it is none.

    Lower case, without scheme, user, `www.`, port, path and trailing dot; other scripts become ASCII by UTS 46,
    non-transitional.

    Example:
        >>> domain("https://ann@www.Acme.com:8080/pricing?x=1")
        'acme.com'
        >>> domain("acme.com."), domain("straße.de"), domain("strasse.de")
        ('acme.com', 'xn--strae-oqa.de', 'strasse.de')
        >>> [domain(text) for text in ("localhost", "acme inc.com", "acme..com", ".com", "")]
        [None, None, None, None, None]
    """
    host = re.split(r"[/?#\\]", _SCHEME.sub("", given.strip()), maxsplit=1)[0]
    host = _PORT.sub("", host.rpartition("@")[2]).lower()
    if not host.isascii() or "xn--" in host:
        import idna  # takes as long to import as the rest of the fake, and few domains need it

        try:
            host = idna.encode(host, uts46=True).decode()
        except idna.IDNAError:
            return None
    host = host.removesuffix(".")
    while host.startswith("www.") and "." in host[4:]:
        host = host[4:]
    return host if _ASCII_DOMAIN.fullmatch(host) else None


def telling(normalised: str | None) -> str | None:
    """Return a normalised domain if it says anything about a company, None for a free mail provider's."""
    return None if normalised in FREE_MAIL_DOMAINS else normalised


def email(given: str) -> str | None:
    """Return an e-mail address without white space around it, None where it is none.

    One `@`, something before it, a dot inside what follows, no white space.

    Example:
        >>> email(" Ann@acme.com ")
        'Ann@acme.com'
        >>> [email(text) for text in ("ann", "@acme.com", "a@b@acme.com", "ann@acme", "ann@acme.", "a n@b.c")]
        [None, None, None, None, None, None]
    """
    address = given.strip()
    user, _, host = address.partition("@")
    fine = user and "@" not in host and "." in host[1:-1] and not re.search(r"\s", address)
    return address if fine else None


def email_domain(address: str) -> str | None:
    """Return the domain of an e-mail address if it says anything about a company."""
    return telling(domain(address.rpartition("@")[2]))
