"""Checks of proxy, name, connection and TLS: those of one connection, which the requests then use."""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from chatarmin_os import _clock
from chatarmin_os.cli.doctor.examination import environment, milliseconds
from chatarmin_os.cli.doctor.findings import Finding, failure, ok, warning
from chatarmin_os.errors import InvalidInput
from chatarmin_os.transports.http.exchange import Phase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chatarmin_os.cli.doctor.examination import Examination

_SOON_DAYS = 14
_NO_VARIABLE = ""
_STATUS_OF_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})")
_SECONDS_PER_DAY = 86_400
_CERTIFICATES = {
    9: "it is not valid yet: check the clock of this machine, then the certificate",
    10: "it has expired: renew it, and check the clock of this machine",
    18: "it is self-signed: set OS_CA_BUNDLE to the certificate itself if you trust it",
    62: "it is of another host: check the host of the base URL",
    64: "it is of another host: check the address in the base URL",
}
"""Advice by the codes of OpenSSL's verification."""

_UNKNOWN_AUTHORITY = "set OS_CA_BUNDLE to the file of its authority, such as that of your proxy or company"
_BEFORE_CONNECTING = (Phase.SENDING, Phase.LOOKING_UP)  # the first one stands for reading the certificate files
_OF_A_TUNNEL = (Phase.TUNNELLING, Phase.WAITING, Phase.READING)  # no request was sent yet


def check_proxy(examination: Examination) -> Iterator[Finding]:
    """Find the proxy of the environment that applies to the base URL."""
    from chatarmin_os.transports.http.proxies import proxies_for

    try:
        examination.proxies = proxies_for(examination.base_url)
    except InvalidInput as error:
        name = f"{error.field}: " if error.field != "session" else ""
        advice = error.hint if name else "set HTTPS_PROXY to an http proxy, or name the service in NO_PROXY"
        yield failure(f"{name}{error.problem}", advice or "")
        return
    for proxy in examination.proxies.values():
        parts = urlsplit(proxy)
        login = ", with a login" if parts.username else ""
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        yield ok(f"{parts.scheme}://{host}:{_port_of(proxy)}{login}", host=parts.hostname)
    if not examination.proxies:
        is_exempt = _variable(examination) != _NO_VARIABLE
        yield ok("none; NO_PROXY or a loopback address exempts the service" if is_exempt else "none")


def _variable(examination: Examination) -> str:
    """Return the variable that names the proxy."""
    scheme = urlsplit(examination.base_url).scheme
    names = [name for kind in (scheme, "all") for name in (f"{kind}_proxy", f"{kind.upper()}_PROXY")]
    return next(iter(environment(*names)), _NO_VARIABLE)


def _whose(examination: Examination) -> str:
    """Return how to name the other side of the connection."""
    proxy = next(iter(examination.proxies.values()), None)
    return "the service" if proxy is None else f"the proxy {urlsplit(proxy).hostname}:{_port_of(proxy)}"


def _port_of(url: str) -> int:
    parts = urlsplit(url)
    return parts.port or {"http": 80, "https": 443}[parts.scheme]


def check_name(examination: Examination) -> Iterator[Finding]:
    """Connect, and report the look-up of the name: that of the proxy if there is one."""
    connected = examination.connected = examination.probe.connect(examination.deadline())
    host = _host_of(examination)
    if connected.failed_at in _BEFORE_CONNECTING:
        text, advice = _reason(examination), "check the network, the name server and the spelling of the host"
        if examination.proxies:
            text = f"{_whose(examination)}: {text}"
            advice = f"check the network, and the host in {_variable(examination)}, or name the service in NO_PROXY"
        yield failure(text, advice)
        return
    seconds = connected.seconds[Phase.LOOKING_UP]
    whose = "the proxy " if examination.proxies else ""
    yield ok(f"{whose}{host} was found in {milliseconds(seconds)} ms", milliseconds=milliseconds(seconds))


def check_connection(examination: Examination) -> Iterator[Finding]:
    """Report the TCP connection, to the proxy if there is one, and its tunnel."""
    connected = examination.connected
    if connected.failed_at is Phase.CONNECTING:
        advice = "start it, or check host, port and firewall"
        if examination.proxies:
            advice = f"check host and port in {_variable(examination)}, or name the service in NO_PROXY"
        yield failure(f"{_whose(examination)}: {_reason(examination)}", advice)
        return
    seconds = connected.seconds[Phase.CONNECTING]
    if connected.failed_at in _OF_A_TUNNEL:
        yield failure(f"the proxy opened no tunnel: {_reason(examination)}", _tunnel_advice(examination))
        return
    whose = "the proxy" if examination.proxies else "the service"
    address = f" at {connected.address}" if connected.address else ""
    tunnel = ", which opened a tunnel" if Phase.TUNNELLING in connected.seconds else ""
    text = f"{whose}{address} was reached in {milliseconds(seconds)} ms{tunnel}"
    yield ok(text, milliseconds=milliseconds(seconds))


def _tunnel_advice(examination: Examination) -> str:
    variable, has_login = _variable(examination), any(urlsplit(one).username for one in examination.proxies.values())
    status = _STATUS_OF_TUNNEL.search(_reason(examination))
    kind = status[1] if status else ""
    if kind == "407":
        return f"correct user and password in {variable}" if has_login else f"put user and password into {variable}"
    if kind.startswith("4"):
        return "ask who runs the proxy to allow the host and port of the service, or name the service in NO_PROXY"
    if kind.startswith("5"):
        return "the proxy does not reach the service: check host and port of the base URL, then ask who runs the proxy"
    return f"check that {variable} names an http proxy which opens tunnels (CONNECT), or name the service in NO_PROXY"


def check_tls(examination: Examination) -> Iterator[Finding]:
    """Report the TLS handshake, the certificate and how long it is valid."""
    connected = examination.connected
    if connected.failure is not None:
        cause = connected.failure.error.__cause__
        text = str(connected.failure.error)
        if isinstance(cause, ssl.SSLCertVerificationError):
            text = f"the certificate is not trusted: {cause.verify_message}"
        yield failure(text, _tls_advice(cause))
        return
    if not examination.is_tls:
        yield ok("not used: the base URL is plain http")
        return
    certificate, version = connected.certificate, connected.tls_version
    expires = ssl.cert_time_to_seconds(certificate["notAfter"])
    days = int((expires - _clock.wall()) // _SECONDS_PER_DAY)
    text = f"{version}, certificate of {_name_in(certificate['issuer'])}, valid for {days} more days"
    values = {"version": version, "issuer": _name_in(certificate["issuer"]), "days_left": days}
    if days < _SOON_DAYS:
        yield warning(text, "renew the certificate of the service", **values)
    else:
        yield ok(text, **values)


def _tls_advice(cause: BaseException | None) -> str:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return _CERTIFICATES.get(cause.verify_code, _UNKNOWN_AUTHORITY)
    if isinstance(cause, ssl.SSLError):
        return "does the server speak TLS 1.2 or later at this port? Plain http begins with http://"
    return "the server, or something on the way, did not complete the handshake: check port, firewall and proxy"


def _name_in(names: Any) -> str:
    """Return the name of an issuer.

    Example:
        >>> _name_in(((("countryName", "AT"),), (("organizationName", "Example CA"),)))
        'Example CA'
    """
    parts = {key: value for part in names for key, value in part}
    return parts.get("organizationName") or parts.get("commonName") or "an authority without a name"


def _host_of(examination: Examination) -> str:
    url = next(iter(examination.proxies.values()), examination.base_url)
    return urlsplit(url).hostname or ""


def _reason(examination: Examination) -> str:
    """Return why there is no connection; with a proxy, without the host of the service, which was not looked for."""
    failed = examination.connected.failure
    text = str(failed.error) if failed else ""
    return text.removeprefix(f"{urlsplit(examination.base_url).netloc}: ") if examination.proxies else text
