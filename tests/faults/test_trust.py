"""Whom a client trusts, and the certificate that it shows: files that change, by argument and by environment."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest
import requests
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from fault_server import KEY, FaultServer, Proxy, client_of, fine

from chatarmin_os import ChatarminOS, ConnectionFailed, InvalidInput
from chatarmin_os.transports import HTTPTransport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fault_server import Behaviour, Line, Visit

URL = "https://os.example.com/api/v1"
VARIABLES = ("OS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "OS_CLIENT_CERT", "OS_CLIENT_KEY")


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeat without a wait, and let the environment say nothing of proxies and trust."""
    for name in (*VARIABLES, "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    """Return the authority that the service's certificate is from."""
    return trustme.CA()


@pytest.fixture(scope="module")
def other() -> trustme.CA:
    """Return an authority that has nothing to do with the service."""
    return trustme.CA()


@pytest.fixture
def context(ca: trustme.CA) -> ssl.SSLContext:
    """Return the TLS context of the service."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def server(context: ssl.SSLContext) -> Iterator[FaultServer]:
    """Run a service whose certificate is from a private authority."""
    with FaultServer(tls=context) as server:
        yield server


@pytest.fixture
def mutual(ca: trustme.CA, context: ssl.SSLContext) -> Iterator[FaultServer]:
    """Run a service that takes clients with a certificate alone."""
    context.verify_mode = ssl.CERT_REQUIRED
    ca.configure_trust(context)
    with FaultServer(tls=context) as server:
        yield server


def pem_of(*authorities: trustme.CA) -> bytes:
    """Return the certificates of authorities, as a file holds them."""
    return b"".join(one.cert_pem.bytes() for one in authorities)


def written(path: Path, *contents: bytes) -> Path:
    """Return a file of these contents."""
    path.write_bytes(b"".join(contents))
    return path


def checked(client: ChatarminOS, code: str = "seats") -> str | None:
    """Make a call, and return its result."""
    return client.features.check(company_id="c1", feature_code=code).feature_code


def noting(seen: list[Any]) -> Behaviour:
    """Answer as ever, and note the number of the certificate that the client showed."""

    def behave(visit: Visit) -> None:
        sock: Any = visit.line.sock
        seen.append(int(sock.getpeercert()["serialNumber"], 16))
        fine(visit)

    return behave


def serial_of(certificate: trustme.LeafCert) -> int:
    """Return the number of a certificate."""
    return x509.load_pem_x509_certificate(certificate.cert_chain_pems[0].bytes()).serial_number


# Authorities


def test_authority_may_be_a_file(server: FaultServer, ca: trustme.CA, other: trustme.CA, tmp_path: Path) -> None:
    """A service whose certificate is from an authority of the file is trusted; the path may be text or a Path."""
    bundle = written(tmp_path / "bundle.pem", pem_of(other, ca))

    for verify in (bundle, str(bundle)):
        with client_of(server, verify=verify) as client:
            assert checked(client) == "seats"


def test_relative_path_keeps_its_file(
    server: FaultServer, ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path is understood when the transport is made; a daemon that changes its folder finds the file."""
    written(tmp_path / "ca.pem", pem_of(ca))
    monkeypatch.chdir(tmp_path)

    with client_of(server, verify="ca.pem") as client:
        monkeypatch.chdir("/")
        assert [checked(client, code) for code in "ab"] == ["a", "b"]

    assert server.connections == 1


def test_verify_replaces_the_default_authorities(
    server: FaultServer, ca: trustme.CA, other: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The argument replaces the authorities of the environment, and is not added to them."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(written(tmp_path / "ca.pem", pem_of(ca))))

    with (
        client_of(server, verify=written(tmp_path / "other.pem", pem_of(other))) as client,
        pytest.raises(ConnectionFailed, match=r"certificate is not trusted .*verify=") as failed,
    ):
        client.links.reset()

    assert failed.value.outcome == "not_sent"


def test_intermediate_authority_may_be_trusted_by_itself(tmp_path: Path, ca: trustme.CA) -> None:
    """Every certificate in the file is trusted, also one that is not self-signed."""
    intermediate = ca.create_child_ca()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    intermediate.issue_cert("127.0.0.1").configure_cert(context)
    bundle = written(tmp_path / "intermediate.pem", pem_of(intermediate))

    with FaultServer(tls=context) as server, client_of(server, verify=bundle) as client:
        assert checked(client) == "seats"


@pytest.fixture
def folder(ca: trustme.CA, tmp_path: Path) -> Path:
    """Return a folder with the authority under the name that OpenSSL looks up."""
    where = tmp_path / "authorities"
    where.mkdir()
    certificate = written(where / "ca.pem", pem_of(ca))
    openssl = shutil.which("openssl") or pytest.skip("without openssl there is no such folder")
    command = [openssl, "x509", "-in", str(certificate), "-noout", "-hash"]
    digest = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    (where / f"{digest}.0").symlink_to("ca.pem")
    return where


def test_authorities_may_be_a_folder(server: FaultServer, folder: Path) -> None:
    """A folder that OpenSSL can look authorities up in is trusted; one that is removed there no longer is."""
    with client_of(server, verify=folder) as client:
        assert checked(client) == "seats"
        for link in folder.glob("*.0"):
            link.unlink()
        with pytest.raises(ConnectionFailed, match="openssl rehash") as failed:
            checked(client)

    assert failed.value.outcome == "not_sent"


@pytest.mark.parametrize("name", ["OS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_authorities_may_come_from_the_environment(
    server: FaultServer, ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Each of three variables names authorities; they are read when the client is made."""
    monkeypatch.setenv(name, str(written(tmp_path / "ca.pem", pem_of(ca))))
    monkeypatch.setenv("OS_API_KEY", KEY)

    with ChatarminOS(base_url=server.url) as client:
        monkeypatch.delenv(name)
        assert checked(client) == "seats"


def test_own_variable_takes_precedence(
    server: FaultServer, ca: trustme.CA, other: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OS_CA_BUNDLE is for this client alone, so that it counts before those that all of requests reads."""
    monkeypatch.setenv("OS_CA_BUNDLE", str(written(tmp_path / "ca.pem", pem_of(ca))))
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(written(tmp_path / "other.pem", pem_of(other))))

    with client_of(server) as client:
        assert checked(client) == "seats"


def test_without_tls_the_environments_files_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service on this machine, over plain http, does not fail because of files that nobody needs for it."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "missing.pem")

    with FaultServer() as server, client_of(server) as client:
        assert checked(client) == "seats"


# Client certificates


@pytest.mark.parametrize("form", ["one file", "pair", "list"])
def test_client_certificate_is_sent(mutual: FaultServer, ca: trustme.CA, tmp_path: Path, form: str) -> None:
    """Certificate and key may be in one file or in two."""
    bundle, certificate = written(tmp_path / "ca.pem", pem_of(ca)), ca.issue_cert("client@example.com")
    both = written(tmp_path / "both.pem", certificate.private_key_and_cert_chain_pem.bytes())
    alone = written(tmp_path / "certificate.pem", certificate.cert_chain_pems[0].bytes())
    key = written(tmp_path / "key.pem", certificate.private_key_pem.bytes())
    cert = {"one file": both, "pair": (alone, str(key)), "list": [str(alone), key]}[form]
    seen: list[int] = []
    mutual.behaviour = noting(seen)

    with client_of(mutual, verify=bundle, cert=cert) as client:
        assert checked(client) == "seats"

    assert seen == [serial_of(certificate)]


@pytest.mark.parametrize("files", [1, 2])
def test_client_certificate_may_come_from_the_environment(
    mutual: FaultServer, ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    """OS_CLIENT_CERT names the certificate, and OS_CLIENT_KEY its key if that is in a file of its own."""
    certificate, key = ca.issue_cert("client@example.com"), b""
    monkeypatch.setenv("OS_CA_BUNDLE", str(written(tmp_path / "ca.pem", pem_of(ca))))
    if files == 2:
        monkeypatch.setenv("OS_CLIENT_KEY", str(written(tmp_path / "key", certificate.private_key_pem.bytes())))
    else:
        key = certificate.private_key_pem.bytes()
    monkeypatch.setenv("OS_CLIENT_CERT", str(written(tmp_path / "cert", certificate.cert_chain_pems[0].bytes(), key)))

    with client_of(mutual) as client:
        assert checked(client) == "seats"


def test_missing_client_certificate_is_refused(mutual: FaultServer, ca: trustme.CA, tmp_path: Path) -> None:
    """Without a certificate the call fails, and nothing is executed."""
    with (
        client_of(mutual, verify=written(tmp_path / "ca.pem", pem_of(ca)), max_retries=0) as client,
        pytest.raises(ConnectionFailed),
    ):
        checked(client)

    assert mutual.executed == {}


# Files that change


def test_removed_authority_is_no_longer_trusted(
    server: FaultServer, ca: trustme.CA, other: trustme.CA, tmp_path: Path
) -> None:
    """Once its file is without the authority a connection is not even used again that was open; and back again."""
    bundle = written(tmp_path / "bundle.pem", pem_of(ca))

    with client_of(server, verify=bundle) as client:
        assert [checked(client, code) for code in "ab"] == ["a", "b"]
        assert server.connections == 1
        written(bundle, pem_of(other))
        with pytest.raises(ConnectionFailed, match="certificate") as failed:
            client.links.reset()
        assert failed.value.outcome == "not_sent"
        written(bundle, pem_of(other, ca))
        assert [checked(client, code) for code in "cd"] == ["c", "d"]

    assert server.executed["links.reset"] == 0
    assert server.connections == 3


def test_replaced_file_of_the_same_size_and_age_is_detected(
    server: FaultServer, ca: trustme.CA, other: trustme.CA, tmp_path: Path
) -> None:
    """A copy that keeps the time of the last change, as `cp -p` makes one, is noticed."""
    bundle = written(tmp_path / "bundle.pem", pem_of(ca).ljust(4096, b"\n"))
    times = bundle.stat()

    with client_of(server, verify=bundle) as client:
        assert checked(client) == "seats"
        written(bundle, pem_of(other).ljust(4096, b"\n"))
        os.utime(bundle, ns=(times.st_atime_ns, times.st_mtime_ns))
        with pytest.raises(ConnectionFailed, match="certificate"):
            checked(client)


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN CERTIFICATE-----\n"], ids=["missing", "empty", "half"])
def test_invalid_file_fails_calls_until_it_is_repaired(
    server: FaultServer, ca: trustme.CA, tmp_path: Path, content: bytes | None
) -> None:
    """While the file is missing or half written calls are not sent, and the error names it; then they are again."""
    bundle = written(tmp_path / "bundle.pem", pem_of(ca))

    with client_of(server, verify=bundle) as client:
        assert checked(client, "a") == "a"
        bundle.unlink()
        if content is not None:
            written(bundle, content)
        with pytest.raises(ConnectionFailed, match=r"bundle\.pem") as failed:
            client.links.reset()
        assert (failed.value.outcome, failed.value.attempts) == ("not_sent", 3)
        written(bundle, pem_of(ca))
        assert checked(client, "b") == "b"


def test_renewed_client_certificate_is_sent(mutual: FaultServer, ca: trustme.CA, tmp_path: Path) -> None:
    """A certificate that is replaced in its file, which some sites do every few hours, needs no new client."""
    bundle, seen = written(tmp_path / "ca.pem", pem_of(ca)), []  # type: ignore[var-annotated]
    mutual.behaviour = noting(seen)
    first, second = ca.issue_cert("client@example.com"), ca.issue_cert("client@example.com")
    cert = written(tmp_path / "client.pem", first.private_key_and_cert_chain_pem.bytes())

    with client_of(mutual, verify=bundle, cert=cert) as client:
        checked(client)
        written(tmp_path / "new.pem", second.private_key_and_cert_chain_pem.bytes()).replace(cert)
        checked(client)
        checked(client)

    assert seen == [serial_of(first), serial_of(second), serial_of(second)]


def test_changed_file_does_not_disturb_a_running_call(
    server: FaultServer, ca: trustme.CA, other: trustme.CA, tmp_path: Path
) -> None:
    """A call that was sent before the change gets its answer."""
    bundle = written(tmp_path / "bundle.pem", pem_of(ca))
    has_come, may_answer, answers = Event(), Event(), []

    def late(visit: Visit) -> None:
        has_come.set()
        may_answer.wait()
        fine(visit)

    server.will(late)
    with client_of(server, verify=bundle) as client:
        call = Thread(target=lambda: answers.append(checked(client, "a")))
        call.start()
        has_come.wait()
        written(bundle, pem_of(other, ca))
        answers.append(checked(client, "b"))
        may_answer.set()
        call.join()
        answers.append(checked(client, "c"))

    assert answers == ["b", "a", "c"]


# Invalid files


@pytest.fixture
def files(tmp_path: Path, ca: trustme.CA, other: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of files that can be used, and of such that cannot, and be in it."""
    monkeypatch.chdir(tmp_path)
    certificate, foreign = ca.issue_cert("client@example.com"), ca.issue_cert("other@example.com")
    pem, key = certificate.cert_chain_pems[0].bytes(), certificate.private_key_pem.bytes()
    written(tmp_path / "ca.pem", pem_of(ca))
    written(tmp_path / "cert.pem", pem)
    written(tmp_path / "key.pem", key)
    written(tmp_path / "both.pem", key, pem)
    written(tmp_path / "foreign.pem", foreign.private_key_pem.bytes())
    written(tmp_path / "empty.pem")
    written(tmp_path / "text.pem", b"trust me\n")
    written(tmp_path / "der.pem", ssl.PEM_cert_to_DER_cert(pem.decode()))
    written(tmp_path / "half.pem", pem_of(other)[:300])
    (tmp_path / "folder").mkdir()
    private_key, formats = serialization.load_pem_private_key(key, None), serialization.PrivateFormat
    password = serialization.BestAvailableEncryption(b"secret")
    for name, form in (("encrypted.pem", formats.PKCS8), ("traditional.pem", formats.TraditionalOpenSSL)):
        written(tmp_path / name, private_key.private_bytes(serialization.Encoding.PEM, form, password))
    written(tmp_path / "encrypted_both.pem", (tmp_path / "encrypted.pem").read_bytes(), pem)
    return tmp_path


BAD_AUTHORITIES: list[tuple[Any, str]] = [
    ("missing.pem", "No such file"),
    ("ca.pem/inside.pem", "Not a directory"),
    ("empty.pem", "PEM"),
    ("text.pem", "PEM"),
    ("der.pem", "PEM"),
    ("half.pem", "PEM"),
    ("key.pem", "PEM"),
    ("folder", "openssl rehash"),
    ("nul\x00.pem", "null byte"),
]
BAD_CERTIFICATES: list[tuple[Any, str]] = [
    ("missing.pem", "missing.pem' cannot be read: No such file"),
    (("cert.pem", "missing.pem"), "missing.pem' cannot be read: No such file"),
    (("missing.pem", "key.pem"), "missing.pem' cannot be read: No such file"),
    (("cert.pem", "folder"), "folder' cannot be read: .*directory"),
    ("cert.pem", "PEM"),
    ("key.pem", "PEM"),
    ("text.pem", "PEM"),
    (("key.pem", "cert.pem"), "PEM"),
    (("cert.pem", "foreign.pem"), r"cert.pem and .*foreign.pem.*MISMATCH"),
    (("cert.pem", "encrypted.pem"), r"key in .*/encrypted\.pem is encrypted"),
    (("cert.pem", "traditional.pem"), r"key in .*/traditional\.pem is encrypted"),
    ("encrypted_both.pem", r"key in .*/encrypted_both\.pem is encrypted"),
    ("nul\x00.pem", "null byte"),
]
NO_PATHS: list[Any] = [5, b"ca.pem", "", " ", ["a", "b", "c"], (), ("cert.pem", None), {}, True]


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(("path", "problem"), BAD_AUTHORITIES)
def test_unusable_authorities_are_refused(monkeypatch: pytest.MonkeyPatch, path: str, problem: str) -> None:
    """A file or folder that holds no authority fails when the transport is made, and argument or variable is named."""
    with pytest.raises(InvalidInput, match=f"^verify: .*{problem}") as given:
        HTTPTransport(KEY, URL, verify=path)
    assert given.value.field == "verify"

    if "\0" not in path:  # no environment holds it
        monkeypatch.setenv("OS_CA_BUNDLE", path)
        with pytest.raises(InvalidInput, match=f"^OS_CA_BUNDLE: .*{problem}") as of_environment:
            HTTPTransport(KEY, URL)
        assert of_environment.value.field == "OS_CA_BUNDLE"


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(("cert", "problem"), BAD_CERTIFICATES)
def test_unusable_certificate_is_refused(monkeypatch: pytest.MonkeyPatch, cert: Any, problem: str) -> None:
    """A missing, foreign or encrypted key fails when the transport is made; no password is asked for."""
    with pytest.raises(InvalidInput, match=f"^cert: .*{problem}") as given:
        HTTPTransport(KEY, URL, cert=cert)
    assert given.value.field == "cert"

    paths = (cert,) if isinstance(cert, str) else cert
    if "\0" not in paths[0]:
        for name, path in zip(("OS_CLIENT_CERT", "OS_CLIENT_KEY"), paths, strict=False):
            monkeypatch.setenv(name, path)
        with pytest.raises(InvalidInput, match=f"^OS_CLIENT_CERT: .*{problem}") as of_environment:
            HTTPTransport(KEY, URL)
        assert of_environment.value.field == "OS_CLIENT_CERT"


@pytest.mark.usefixtures("files")
def test_key_without_a_certificate_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """OS_CLIENT_KEY alone is a mistake."""
    monkeypatch.setenv("OS_CLIENT_KEY", "key.pem")

    with pytest.raises(InvalidInput, match=r"^OS_CLIENT_KEY: is set without OS_CLIENT_CERT"):
        HTTPTransport(KEY, URL)

    HTTPTransport(KEY, URL, cert="both.pem")  # with an argument the environment's are not looked at


@pytest.mark.parametrize("given", NO_PATHS)
@pytest.mark.parametrize("name", ["verify", "cert"])
def test_invalid_path_is_refused(name: str, given: Any) -> None:
    """Authorities are one path, a certificate one or two."""
    settings: dict[str, Any] = {name: given}

    with pytest.raises(InvalidInput, match=f"^{name}: must be the path of") as refused:
        HTTPTransport(KEY, URL, **settings)

    assert refused.value.field == name


def test_verification_is_always_on() -> None:
    """`verify=False`, as requests takes it, is refused, and the refusal names the alternative."""
    nothing: Any = False

    with pytest.raises(
        InvalidInput, match=r"^verify: must not be False, TLS is always verified; pass the path of"
    ) as refused:
        HTTPTransport(KEY, URL, verify=nothing)

    assert refused.value.field == "verify"


@pytest.mark.parametrize("name", ["verify", "cert"])
def test_session_has_its_own_trust(files: Path, name: str) -> None:
    """With a session of the user's own these arguments would have no effect, and are refused."""
    settings: dict[str, Any] = {name: files / "both.pem"}

    with pytest.raises(InvalidInput, match=f"^{name}: does not go with session=") as refused:
        HTTPTransport(KEY, URL, session=requests.Session(), **settings)

    assert refused.value.field == name


# Proxies that speak TLS


class TLSProxy(Proxy):
    """A proxy that is itself reached over TLS, and asks for a client certificate without insisting."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        """Lead to *port*."""
        self._context = context
        self.certificates: list[Any] = []
        super().__init__(port)
        self.url = f"https://127.0.0.1:{self.port}"

    def _serve(self, line: Line, given: Any) -> None:
        line.sock = tls = self._context.wrap_socket(line.sock, server_side=True)
        self.certificates.append(tls.getpeercert())
        super()._serve(line, given)


def test_proxy_has_the_same_trust_and_gets_no_certificate(
    ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The authorities count for a proxy that speaks TLS too; the client's certificate is for the service alone."""
    bundle, certificate = written(tmp_path / "ca.pem", pem_of(ca)), ca.issue_cert("client@example.com")
    cert = written(tmp_path / "client.pem", certificate.private_key_and_cert_chain_pem.bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_OPTIONAL
    ca.configure_trust(context)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.verify_mode = ssl.CERT_REQUIRED
    ca.configure_trust(own)
    ca.issue_cert("service.test").configure_cert(own)
    seen: list[int] = []

    with FaultServer(tls=own) as server, TLSProxy(server.port, context) as proxy:
        server.behaviour = noting(seen)
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with client_of("https://service.test:8443/api/v1", verify=bundle, cert=cert) as client:
            assert checked(client) == "seats"

    assert proxy.connects == ["service.test:8443"]
    assert proxy.certificates == [None]
    assert seen == [serial_of(certificate)]
