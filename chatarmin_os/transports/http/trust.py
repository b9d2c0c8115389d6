"""The authorities that a client trusts, and its own certificate: files, read again when they change."""

from __future__ import annotations

import os
import re
import ssl
from pathlib import Path
from typing import Any

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from chatarmin_os._input import at_field
from chatarmin_os._json import describe
from chatarmin_os.errors import InvalidInput

_AUTHORITIES = ("OS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_CERTIFICATE, _KEY = "OS_CLIENT_CERT", "OS_CLIENT_KEY"
_HASHED_NAME = re.compile(r"[0-9a-f]{8}\.[0-9]+")


class UnusableFileError(OSError):
    """A file with authorities, a certificate or a key is missing or invalid."""


class Trust:
    """The authorities that vouch for a service, and the client's own certificate.

    Attributes:
        verify: The path of the authorities; True for those of certifi.
        cert: The paths of the client certificate and, if it has its own file, of its key; None without a certificate.
    """

    def __init__(self, verify: str | None = None, cert: tuple[str, ...] | None = None) -> None:
        self.verify: str | bool = verify or True
        self.cert = cert
        self._files = (*([verify] if verify else []), *(cert or ()))

    def context(self, *, for_proxy: bool = False) -> ssl.SSLContext:
        """Return a new context from the present files; the client's certificate is not shown to a proxy.

        The class is looked up in `ssl` each time: gevent may replace it after this module was imported.

        Raises:
            UnusableFileError: One of the files cannot be used.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # an intermediate authority may be trusted alone
        context.set_alpn_protocols(["http/1.1"])
        _load_authorities(context, self.verify if isinstance(self.verify, str) else DEFAULT_CA_BUNDLE_PATH)
        if self.cert and not for_proxy:
            _load_certificate(context, *self.cert)
        return context

    def version(self) -> tuple[object, ...]:
        """Return a value that differs after any of the files has changed.

        A folder changes when files are added to it or removed from it.
        """
        return tuple(map(_version_of, self._files))


def trust_for(base_url: str, verify: Any, cert: Any) -> Trust:
    """Return the trust of the arguments, else of the environment's files if the service speaks TLS.

    Raises:
        InvalidInput: A file cannot be used; the argument or variable is named.
    """
    authorities = at_field("verify", _authorities)(verify)
    certificate = at_field("cert", _certificate)(cert)
    if base_url.startswith("https:"):
        authorities = authorities or _authorities_of_environment()
        certificate = certificate or _certificate_of_environment()
    return Trust(authorities, certificate)


def _authorities(given: Any) -> str | None:
    if given is None:
        return None
    if given is False:
        raise InvalidInput(
            "must not be False, TLS is always verified", "pass the path of the authority of the service's certificate"
        )
    path = _path(given, "the path of a file or folder of authorities")
    _refuse_unusable(Trust(path))
    return path


def _certificate(given: Any) -> tuple[str, ...] | None:
    if given is None:
        return None
    paths = given if isinstance(given, (tuple, list)) else (given,)
    expected = "the path of a client certificate with its key, or a pair of the paths of certificate and key"
    if len(paths) not in {1, 2}:
        raise InvalidInput(f"must be {expected}, got {len(paths)} paths")
    certificate = tuple(_path(path, expected) for path in paths)
    _refuse_unusable(Trust(cert=certificate))
    return certificate


def _authorities_of_environment() -> str | None:
    name = next((name for name in _AUTHORITIES if os.environ.get(name)), None)
    return at_field(name, _authorities)(os.environ[name]) if name else None


def _certificate_of_environment() -> tuple[str, ...] | None:
    paths = [os.environ[name] for name in (_CERTIFICATE, _KEY) if os.environ.get(name)]
    if paths and not os.environ.get(_CERTIFICATE):
        raise InvalidInput(f"is set without {_CERTIFICATE}", "set that to the certificate of the key").at(_KEY)
    return at_field(_CERTIFICATE, _certificate)(paths) if paths else None


def _path(given: Any, expected: str) -> str:
    path = os.fspath(given) if isinstance(given, os.PathLike) else given
    if not isinstance(path, str) or not path.strip():
        raise InvalidInput(f"must be {expected}, got {describe(given)}")
    return str(Path(path).absolute())  # the same file after `os.chdir`


def _refuse_unusable(trust: Trust) -> None:
    try:
        trust.context()
    except UnusableFileError as problem:
        raise InvalidInput(str(problem)) from None


def _load_authorities(context: ssl.SSLContext, path: str) -> None:
    names: list[str] = []
    try:
        is_folder = Path(path).is_dir()
        if is_folder:
            names = os.listdir(path)  # noqa: PTH208 - only names are needed
        context.load_verify_locations(**{"capath" if is_folder else "cafile": path})
    except ssl.SSLError:
        raise UnusableFileError(f"{path} is not a file of certificates in PEM format") from None
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    if is_folder and not any(map(_HASHED_NAME.fullmatch, names)):
        raise UnusableFileError(
            f"{path} has no certificates under the names that OpenSSL looks up; run `openssl rehash` on it"
        )


def _load_certificate(context: ssl.SSLContext, certificate: str, key: str | None = None) -> None:
    files, encrypted = [certificate, key] if key else [certificate], []

    def no_password() -> str:
        encrypted.append(files[-1])
        return ""  # otherwise OpenSSL would ask on the terminal, and wait there

    for path in files:
        try:
            Path(path).open("rb").close()  # OpenSSL does not say which of the two it cannot read
        except (OSError, ValueError) as error:
            raise _unreadable(path, error) from None
    try:
        context.load_cert_chain(certificate, key, password=no_password)
    except OSError as error:
        if encrypted:
            raise UnusableFileError(f"the key in {files[-1]} is encrypted; decrypt it with `openssl pkey`") from None
        _raise_callers_own(error)
        reason = getattr(error, "reason", None) or "one of them is missing"
        raise UnusableFileError(
            f"{' and '.join(files)}: not a certificate with its private key in PEM format ({reason})"
        ) from None


def _unreadable(path: str, error: OSError | ValueError) -> UnusableFileError:
    _raise_callers_own(error)
    return UnusableFileError(f"{path!r} cannot be read: {getattr(error, 'strerror', None) or error}")


def _raise_callers_own(error: OSError | ValueError) -> None:
    """Raise the exception of a timer or signal of the caller: unlike the system's, it has no number."""
    if isinstance(error, OSError) and error.errno is None:
        raise error


def _version_of(path: str) -> tuple[int, ...] | None:
    try:
        stat = os.stat(path)  # noqa: PTH116 - called for each call to the service
    except OSError:
        return None
    return stat.st_ctime_ns, stat.st_mtime_ns, stat.st_size, stat.st_ino
