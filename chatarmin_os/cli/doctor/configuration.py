"""Checks of key, base URL, certificate files and environment variables; nothing is sent."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from chatarmin_os._input import secret
from chatarmin_os.cli._connection import HINTS, key_in
from chatarmin_os.cli.doctor.examination import environment
from chatarmin_os.cli.doctor.findings import Finding, failure, ok, warning
from chatarmin_os.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chatarmin_os.cli.doctor.examination import Examination

PREFIX = "os_sk_"
_KEY, _URL, _ALLOW = "OS_API_KEY", "OS_BASE_URL", "OS_ALLOW_HTTP"
_AUTHORITIES = ("OS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # the first that is set counts
_CERTIFICATE = ("OS_CLIENT_CERT", "OS_CLIENT_KEY")
_READ = (_KEY, _URL, _ALLOW, *_AUTHORITIES, *_CERTIFICATE)
_UNREAD = {
    "SSL_CERT_FILE": "set OS_CA_BUNDLE to the file instead",
    "SSL_CERT_DIR": "set OS_CA_BUNDLE to the folder instead",
    "PYTHONHTTPSVERIFY": "remove it: TLS is always verified",
}
_OWN_PREFIX = re.compile(r"(?:CHATARMIN_?OS|CHATARMIN|OS)_")
_REMAINDERS = {re.sub("^OS_|_", "", name): name for name in _READ}
"""The variables that are read, by their names without prefix and underscores."""

_OTHER_NAMES = {"KEY": _KEY, "SECRETKEY": _KEY, "TOKEN": _KEY, "URL": _URL, "BASEURI": _URL, "ENDPOINT": _URL}
"""The same by what others call them; with the prefix OS_ these are variables of OpenStack."""


def check_key(examination: Examination) -> Iterator[Finding]:
    """Find the key, where it comes from and whether it has the right form."""
    from chatarmin_os.transports.http import settings

    source = ""  # an error of the file names it
    try:
        source, given = _key_and_source(examination)
        if given:
            examination.secrets.add(given)
        key = settings.api_key(secret(given))
    except InvalidInput as error:
        is_missing = error.problem == "is missing"
        advice = f"set {_KEY}, or pass --api-key-file FILE" if is_missing else error.hint or "check the file"
        yield failure(error.problem if is_missing or error.field is None else f"{source}: {error.problem}", advice)
        return
    examination.key = key
    length, begins_so = len(key()), key().startswith(PREFIX)
    shown = (
        f"{PREFIX}... with {length} characters, from {source}" if begins_so else f"{length} characters, from {source}"
    )
    if begins_so:
        yield ok(shown, source=source, length=length)
    else:
        advice = f"copy the key from Settings, Developers, API Keys: it begins with {PREFIX}"
        yield warning(f"{shown}, do not begin with {PREFIX}", advice, source=source, length=length)
    yield from _ignored(_KEY, source, key())


def _key_and_source(examination: Examination) -> tuple[str, str | None]:
    given, project = examination.given, examination.project
    own = os.environ.get(_KEY)
    if own:
        examination.secrets.add(own)
    if given.api_key_file is not None:
        return f"--api-key-file {given.api_key_file}", key_in(given.api_key_file)
    of_project = project.settings.api_key() if project else None
    if project and of_project:
        return f"{project.place}.API_KEY", of_project
    return _KEY, own


def _ignored(name: str, source: str, value: str) -> Iterator[Finding]:
    """Find a variable that the settings of a project contradict; an option is meant to be another value."""
    other = os.environ.get(name, "").strip().rstrip("/")
    if other and other != value and source not in {name, "the default"} and not source.startswith("--"):
        yield warning(f"{name} differs from {source}, and is not used", "remove one of the two")


def check_base_url(examination: Examination) -> Iterator[Finding]:
    """Find the base URL, where it comes from and whether it is valid."""
    from chatarmin_os.transports.http import settings

    given, project = examination.given.base_url, examination.project
    source = "--base-url"
    if given is None and project and project.settings.base_url:
        given, source = project.settings.base_url, f"{project.place}.BASE_URL"
    elif given is None:
        source = _URL if os.environ.get(_URL) else "the default"
    try:
        url = settings.base_url(given, allow_http=examination.given.allow_http)
    except InvalidInput as error:
        place = f"{source}: " if error.field == "base_url" else ""
        hint = HINTS["base_url"] if "plain http" in error.problem else error.hint
        yield failure(f"{place}{error.problem.replace(f' (from {_URL})', '')}", hint or "correct it")
        return
    examination.base_url = url
    shown = f"{url}, from {source}" if source != "the default" else f"{url}, the default"
    if examination.is_tls or settings.is_loopback(urlsplit(url).hostname or ""):
        yield ok(shown, url=url, source=source)
    else:
        yield warning(f"{shown}, shows the key to the network", "use https, except in a test", url=url, source=source)
    yield from _ignored(_URL, source, url)


def check_trust(examination: Examination) -> Iterator[Finding]:
    """Find the authorities and the client certificate."""
    from chatarmin_os.transports.http import trust

    try:
        examination.trust = found = trust.trust_for(examination.base_url, None, None)
    except InvalidInput as error:
        yield failure(str(error), error.hint or "correct the file, or remove the variable")
        return
    if not examination.is_tls:
        yield ok("not used: the base URL is plain http")
        return
    name = next(iter(environment(*_AUTHORITIES)), None)
    authorities = f"{found.verify}, from {name}" if name else "those of certifi"
    certificate = f"{' and '.join(found.cert)}, from OS_CLIENT_CERT" if found.cert else "none"
    yield ok(f"authorities: {authorities}; client certificate: {certificate}")


def check_variables(examination: Examination) -> Iterator[Finding]:
    """Find variables of the environment that are not read, misspelled, or contradict others."""
    found = [*_unread(), *_misspelled(), *_contradictions(), *_without_effect(examination)]
    yield from found or [ok("none is ignored, misspelled or contradicts another one")]


def _unread() -> Iterator[Finding]:
    has_own = bool(environment(*_AUTHORITIES))
    for name in environment(*_UNREAD):
        if not (has_own and name.startswith("SSL_")):
            yield warning(f"{name} is not read", _UNREAD[name])


def _misspelled() -> Iterator[Finding]:
    for name in sorted(os.environ):
        prefix = _OWN_PREFIX.match(name.upper())
        if prefix is None or name in _READ:
            continue
        known = _REMAINDERS if prefix.group() == "OS_" else {**_REMAINDERS, **_OTHER_NAMES}
        meant = known.get(name.upper()[prefix.end() :].replace("_", ""))
        if meant is not None:
            yield warning(f"{name} is not read", f"did you mean {meant}?")


def _contradictions() -> Iterator[Finding]:
    authorities = environment(*_AUTHORITIES)
    if len(set(authorities.values())) > 1:
        first, *others = authorities
        yield warning(
            f"{', '.join(others)} {'is' if len(others) == 1 else 'are'} ignored: {first} counts first",
            f"remove {'it' if len(others) == 1 else 'them'}, or set all to the same file",
        )
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        both = environment(name.lower(), name)
        if len(set(both.values())) > 1:
            yield warning(f"{name} is ignored: {name.lower()} counts first, and differs", "remove one of the two")


def _without_effect(examination: Examination) -> Iterator[Finding]:
    if not examination.base_url:
        return
    if examination.is_tls:
        if os.environ.get(_ALLOW, "").strip().lower() in {"1", "true", "yes", "on"}:
            yield warning(f"{_ALLOW} has no effect on https", "remove it, so that no plain http URL is accepted later")
        if environment("HTTP_PROXY", "http_proxy") and not environment(
            "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"
        ):
            yield warning("HTTP_PROXY has no effect on https", "set HTTPS_PROXY if the service is behind the proxy")
    elif own := environment("OS_CA_BUNDLE", *_CERTIFICATE):
        yield warning(f"{', '.join(own)}: no effect on plain http", "use https, or remove what is not needed")
