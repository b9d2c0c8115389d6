"""`chatarmin-os doctor`: key, URL, variables, files, outboxes and versions; its output and its exit codes."""

from __future__ import annotations

import io
import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from cases import check_each
from diagnosis import VARIABLES, diagnose, printed
from redis_server import RedisServer
from rights import without_rights_of_root

from chatarmin_os import ChatarminOS
from chatarmin_os._version import __version__
from chatarmin_os.cli.doctor import versions
from chatarmin_os.cli.doctor.examination import Check, Examination, examine
from chatarmin_os.cli.doctor.findings import Finding, Line, Secrets, failure, ok, summary, text_of, warning
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.outbox import RedisOutbox, Sender, SQLiteOutbox
from chatarmin_os.server import serve_fake
from chatarmin_os.transports.http import probe
from chatarmin_os.transports.http.retry import Deadline
from chatarmin_os.transports.http.trust import Trust

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "os_sk_doctor_secret"
NOWHERE = "http://127.0.0.1:9/api/v1"  # the port of the service discard, which nobody runs


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the key and a URL at which nothing listens; a test that needs a service has its own."""
    for name in [*VARIABLES, *(name for name in os.environ if name.startswith(("OS_", "CHATARMIN_")))]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OS_API_KEY", KEY)
    monkeypatch.setenv("OS_BASE_URL", NOWHERE)


@pytest.fixture
def url() -> Iterator[str]:
    """The URL of a service that knows the key."""
    with serve_fake({KEY: FakeTransport(demo_catalogue())}) as url:
        yield url


# Output


def test_text_has_sections_and_a_summary(url: str) -> None:
    """Each check is a line below its section; the last line counts."""
    code, text = printed("--base-url", url)
    lines = text.splitlines()

    assert code == 0
    assert [line for line in lines if line and not line.startswith(" ")] == [
        "Configuration",
        "Network",
        "Service",
        "Outbox",
        "Versions",
        lines[-1],
    ]
    assert "  ok           key accepted       the service accepts the key" in lines
    assert re.fullmatch(r"0 failures, 0 warnings, \d+ ok, 0 not checked", lines[-1])
    assert text.isascii()


def test_advice_is_on_the_next_line() -> None:
    """A failure exits with 1, and has advice."""
    code, text = printed()

    assert code == 1
    assert re.search(r"^  failure      connection +the service: .*\n +-> start it, or check host", text, re.MULTILINE)
    assert text.splitlines()[-1].startswith("1 failure, 0 warnings, ")
    assert "  not checked  TLS                needs connection" in text


def test_json_has_the_same_findings(url: str) -> None:
    """Each finding has a section, a check, a status, a text, advice or null, and values; statuses are counted."""
    code, text = printed("--json", "--base-url", url)
    document = json.loads(text)

    assert code == 0
    assert document["counts"].keys() == {"failure", "warning", "ok", "not_checked"}
    assert sum(document["counts"].values()) == len(document["findings"])
    assert {tuple(finding) for finding in document["findings"]} == {
        ("section", "check", "status", "text", "advice", "values")
    }
    assert text.isascii()


@pytest.mark.parametrize(
    "arguments", [("--timeout", "soon"), ("--timeout", "-1"), ("--time", "3"), ("org_1",)], ids=lambda part: part[-1]
)
def test_wrong_usage_exits_with_2(arguments: tuple[str, ...]) -> None:
    """Nothing is examined."""
    code, text = printed(*arguments)

    assert code == 2
    assert "Configuration" not in text


def test_no_terminal_is_asked_for_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing key is a finding, also on a terminal, where other commands ask for it."""
    monkeypatch.delenv("OS_API_KEY")
    monkeypatch.setattr(sys, "stdin", None)

    assert diagnose().bad()["key"] == "is missing -> set OS_API_KEY, or pass --api-key-file FILE"


def test_check_that_raises_stops_no_other() -> None:
    """An error of a check is its last finding; those that need it are not made."""

    def broken(_: Examination) -> Iterator[Finding]:
        yield warning("before", "look")
        raise ZeroDivisionError(KEY)

    checks = [
        Check("A", "broken", broken),
        Check("A", "below", lambda _: [ok("never")], needs=("broken",)),
        Check("A", "far below", lambda _: [ok("never")], needs=("below",)),
        Check("B", "other", lambda _: [ok("fine")]),
    ]
    nothing: Any = None

    lines = list(examine(checks, Examination(nothing, 1)))

    assert [(line.check, line.finding.status, line.finding.text) for line in lines] == [
        ("broken", "warning", "before"),
        ("broken", "failure", "the check itself failed with ZeroDivisionError"),
        ("below", "not checked", "needs broken"),
        ("far below", "not checked", "needs below"),
        ("other", "ok", "fine"),
    ]


# The key


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("", "is missing"),
        ("   ", "is missing"),
        (f'"{KEY}"', "OS_API_KEY: is in quotes"),
        (f"Bearer {KEY}", "OS_API_KEY: has white space inside"),
        (f"{KEY}\n{KEY}", "OS_API_KEY: has control or non-ASCII characters"),
        (f"{KEY}\u200b", "OS_API_KEY: has control or non-ASCII characters"),
        ("schl\u00fcssel-geheim", "OS_API_KEY: has control or non-ASCII characters"),
    ],
    ids=["empty", "blank", "quotes", "bearer", "two-lines", "invisible", "letters"],
)
def test_key_of_a_wrong_form(monkeypatch: pytest.MonkeyPatch, url: str, key: str, text: str) -> None:
    """The variable is named, the value is not; the service is still looked at."""
    monkeypatch.setenv("OS_API_KEY", key)

    found = diagnose("--base-url", url, secrets=(KEY, key.strip() or KEY, "geheim"))

    assert found.bad()["key"].startswith(text)
    assert found.of("response")["status"] == "ok"
    assert found.of("key accepted")["text"] == "needs key"
    assert KEY not in printed("--base-url", url)[1]


@pytest.mark.parametrize(
    "key", ["sk_live_0123456789", "secret-of-another/service+=", "0123456789abcdef"], ids=["live", "letters", "hex"]
)
def test_key_of_another_service(monkeypatch: pytest.MonkeyPatch, url: str, key: str) -> None:
    """It is a warning, and refused."""
    monkeypatch.setenv("OS_API_KEY", key)

    found = diagnose("--base-url", url, secrets=(key,))

    assert found.bad()["key"].startswith(f"{len(key)} characters, from OS_API_KEY, do not begin with os_sk_")
    assert found.bad()["key accepted"].startswith("the service does not know the key: UNAUTHORIZED")


def test_key_in_odd_places_is_not_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also where a URL, a file, an outbox or a variable was expected."""
    password = "hunter2hunter2"  # noqa: S105 - of a test
    cases: list[tuple[str, ...]] = [
        ("--base-url", KEY),
        ("--base-url", f"https://{KEY}@os.example.com"),
        ("--base-url", f"{NOWHERE}?key={KEY}"),
        ("--base-url", f"http://127.0.0.1:9/{KEY}"),
        ("--base-url", "os_sk_other"),
        ("--api-key-file", KEY),
        ("--api-key-file", str(tmp_path / KEY)),
        ("--outbox", KEY),
        ("--outbox", f"redis://:{password}@127.0.0.1:9/0"),
        ("--outbox", f"amqp://ann:{password}@127.0.0.1:9/0"),
        ("--outbox", f"redis:/ann:{password}@127.0.0.1:9/0"),
        ("--outbox", f"redis:/ann:{password}/{password}@127.0.0.1:9/0"),
        ("--api-key", KEY),
    ]
    monkeypatch.setenv("OS_CA_BUNDLE", KEY)
    monkeypatch.setenv("CURL_CA_BUNDLE", KEY)
    monkeypatch.setenv("HTTPS_PROXY", f"http://ann:{password}@127.0.0.1:9")

    def check(arguments: tuple[str, ...]) -> None:
        for form in ((), ("--json",)):
            text = printed(*arguments, *form)[1]
            assert [secret for secret in (KEY, password, "os_sk_other") if secret in text] == []

    check_each(cases, check)


def test_key_of_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The file counts before the variable."""
    path = tmp_path / "key"
    path.write_text(f"{KEY}_of_file\n")

    found = diagnose("--api-key-file", str(path), secrets=(KEY,))

    assert found.of("key")["text"] == f"os_sk_... with {len(KEY) + 8} characters, from --api-key-file {path}"
    path.write_text(KEY)
    assert diagnose("--api-key-file", str(path)).of("key")["status"] == "ok"
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{KEY}\n"))
    assert diagnose("--api-key-file", "-").of("key")["values"]["source"] == "--api-key-file -"


def test_file_without_a_key(tmp_path: Path) -> None:
    """A file that is missing, or empty, is named; the variable does not stand in for it."""
    missing = diagnose("--api-key-file", str(tmp_path / "key")).bad()["key"]
    (tmp_path / "key").write_text("\n")
    empty = diagnose("--api-key-file", str(tmp_path / "key")).bad()["key"]

    assert missing.startswith(f"--api-key-file {tmp_path}/key: No such file or directory")
    assert empty.startswith("is missing")


# The base URL


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("os.example.com/api/v1", "OS_BASE_URL: must be an http(s) URL with a host"),
        ("https://ann:pw@os.example.com", "OS_BASE_URL: must be an http(s) URL with a host"),
        ("http://os.example.com/api/v1", "OS_BASE_URL: plain http to os.example.com would show the key"),
        ("https://os..example.com", "OS_BASE_URL: "),
        (f"https://{'a' * 64}.example.com", "OS_BASE_URL: "),
    ],
    ids=["no-scheme", "user", "plain", "host", "long-host"],
)
def test_invalid_base_url(monkeypatch: pytest.MonkeyPatch, url: str, text: str) -> None:
    """The source is named; nothing that needs a URL is checked."""
    monkeypatch.setenv("OS_BASE_URL", url)

    found = diagnose()

    assert found.code == 1
    assert found.bad().keys() == {"base URL"}
    assert found.bad()["base URL"].startswith(text)
    assert found.statuses()["proxy"] == found.statuses()["clock"] == "not checked"


def test_plain_http_has_the_advice_of_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the option; with it, or with the variable, the URL is a warning."""
    monkeypatch.setenv("OS_BASE_URL", "http://192.0.2.1:9/api/v1")
    refused = diagnose().bad()["base URL"]
    monkeypatch.setenv("OS_BASE_URL", NOWHERE)
    monkeypatch.setenv("NO_PROXY", "*")

    allowed = diagnose("--base-url", "http://192.0.2.1:9/api/v1", "--allow-http", "--timeout", "0.1")

    assert refused.endswith(" -> use https, or --allow-http")
    finding = allowed.of("base URL")
    assert finding["text"] == "http://192.0.2.1:9/api/v1, from --base-url, shows the key to the network"
    assert finding["status"] == "warning"


def test_invalid_permission_of_plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is named, and not the URL."""
    monkeypatch.setenv("OS_ALLOW_HTTP", "maybe")

    assert diagnose().bad()["base URL"] == "OS_ALLOW_HTTP must be 1 or 0, got str 'maybe' -> correct it"


def test_base_url_in_another_form_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Capital letters and a slash at the end are no contradiction."""
    monkeypatch.setenv("OS_BASE_URL", "HTTP://LOCALHOST:9/api/v1/")

    assert diagnose().of("base URL")["text"] == "http://localhost:9/api/v1, from OS_BASE_URL"


def test_default_base_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without option and variable it is the public one; this test sends nothing there."""
    monkeypatch.delenv("OS_BASE_URL")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")

    assert diagnose().of("base URL")["text"] == "https://os.chatarmin.com/api/v1, the default"


# Certificate files, proxies and variables


@pytest.mark.parametrize("name", ["OS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "OS_CLIENT_CERT", "OS_CLIENT_KEY"])
def test_unusable_certificate_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    """The variable is named; no connection is tried."""
    monkeypatch.setenv("OS_BASE_URL", NOWHERE.replace("http:", "https:"))
    monkeypatch.setenv(name, str(tmp_path / "missing.pem"))

    found = diagnose()

    assert found.bad()["certificate files"].startswith(f"{name}: ")
    assert found.of("name")["text"] == "needs certificate files"


def test_certificate_file_that_goes_away(tmp_path: Path) -> None:
    """One that was there when it was checked, and is missing when a connection is made, is a failure before it."""
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    trust = Trust(str(tmp_path / "ca.pem"))
    examined = probe.Probe("https://127.0.0.1:9/api/v1", None, proxies={}, trust=trust)
    (tmp_path / "ca.pem").unlink()

    connected = examined.connect(Deadline(1))

    assert connected.failed_at == "sending the request"
    assert "cannot be read" in str(connected.failure)


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        ({"HTTPS_PROXY": "socks5://127.0.0.1:9"}, "the environment names a SOCKS proxy"),
        ({"HTTPS_PROXY": "http://proxy:99999"}, "HTTPS_PROXY: is not a valid URL of a proxy"),
        ({"ALL_PROXY": "ftp://proxy"}, "ALL_PROXY: is not a valid URL of a proxy"),
    ],
    ids=["socks", "port", "scheme"],
)
def test_invalid_proxy(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], text: str) -> None:
    """It is a failure, with advice."""
    monkeypatch.setenv("OS_BASE_URL", "https://os.example.com/api/v1")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    found = diagnose()

    assert found.bad()["proxy"].startswith(text)
    assert found.of("proxy")["advice"]
    assert found.of("name")["text"] == "needs proxy"


def test_proxy_that_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loopback address, or NO_PROXY, exempts the service."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:10")

    assert diagnose().of("proxy")["text"] == "none; NO_PROXY or a loopback address exempts the service"


def test_proxy_without_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """The port of its scheme is shown."""
    monkeypatch.setenv("OS_BASE_URL", "https://os.example.com/api/v1")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1")

    assert diagnose("--timeout", "0.5").of("proxy")["text"] == "http://127.0.0.1:80"
    monkeypatch.setenv("HTTPS_PROXY", "https://[::1]")
    assert diagnose("--timeout", "0.5").of("proxy")["text"] == "https://[::1]:443"


_TLS = {"OS_BASE_URL": "https://127.0.0.1:9/api/v1"}


@pytest.mark.parametrize(
    ("variables", "warnings"),
    [
        ({}, []),
        ({"SSL_CERT_FILE": "/ca.pem"}, ["SSL_CERT_FILE is not read -> set OS_CA_BUNDLE to the file instead"]),
        ({"SSL_CERT_FILE": "/ca.pem", "REQUESTS_CA_BUNDLE": "/ca.pem"}, []),
        ({"SSL_CERT_DIR": "/certs"}, ["SSL_CERT_DIR is not read -> set OS_CA_BUNDLE to the folder instead"]),
        ({"PYTHONHTTPSVERIFY": "0"}, ["PYTHONHTTPSVERIFY is not read -> remove it: TLS is always verified"]),
        (
            {"OS_CA_BUNDLE": "/a", "CURL_CA_BUNDLE": "/b", **_TLS},
            ["CURL_CA_BUNDLE is ignored: OS_CA_BUNDLE counts first"],
        ),
        (
            {"OS_CA_BUNDLE": "/a", "CURL_CA_BUNDLE": "/b", "REQUESTS_CA_BUNDLE": "/a", **_TLS},
            ["REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE are ignored: OS_CA_BUNDLE counts first"],
        ),
        ({"REQUESTS_CA_BUNDLE": "/a", "CURL_CA_BUNDLE": "/a"}, []),
        ({"CHATARMIN_API_KEY": "x"}, ["CHATARMIN_API_KEY is not read -> did you mean OS_API_KEY?"]),
        ({"CHATARMIN_OS_KEY": "x"}, ["CHATARMIN_OS_KEY is not read -> did you mean OS_API_KEY?"]),
        ({"OS_APIKEY": "x"}, ["OS_APIKEY is not read -> did you mean OS_API_KEY?"]),
        ({"os_api_key": "x"}, ["os_api_key is not read -> did you mean OS_API_KEY?"]),
        (
            {"CHATARMIN_URL": "x", "OS_ALLOWHTTP": "1"},
            ["CHATARMIN_URL is not read -> did you mean OS_BASE_URL?", "OS_ALLOWHTTP is not read"],
        ),
        (
            {
                "OS_AUTH_URL": "x",
                "OS_TOKEN": "x",
                "OS_URL": "x",
                "OS_ENDPOINT": "x",
                "OS_USERNAME": "x",
                "OS_PASSWORD": "x",
            },
            [],
        ),  # of OpenStack
        ({"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:10"}, ["HTTPS_PROXY is ignored"]),
        ({"NO_PROXY": "a.example.com", "no_proxy": "b.example.com"}, ["NO_PROXY is ignored: no_proxy counts first"]),
        ({"NO_PROXY": "a.example.com", "no_proxy": "a.example.com"}, []),
        ({"OS_ALLOW_HTTP": "1"}, []),
        ({"OS_ALLOW_HTTP": "1", **_TLS}, ["OS_ALLOW_HTTP has no effect on https"]),
        ({"OS_ALLOW_HTTP": "0", **_TLS}, []),
        ({"HTTP_PROXY": "http://127.0.0.1:10", **_TLS}, ["HTTP_PROXY has no effect on https"]),
        ({"HTTP_PROXY": "http://127.0.0.1:10", "https_proxy": "http://127.0.0.1:10", **_TLS}, []),
        ({"OS_CA_BUNDLE": "/ca.pem"}, ["OS_CA_BUNDLE: no effect on plain http -> use https"]),
        ({"OS_CLIENT_CERT": "/a", "OS_CLIENT_KEY": "/b"}, ["OS_CLIENT_CERT, OS_CLIENT_KEY: no effect on plain http"]),
        ({"OS_BASE_URL": "nonsense", "OS_ALLOW_HTTP": "1"}, []),
    ],
    ids=[
        *("none", "ssl-file", "ssl-file-too", "ssl-folder", "verify", "curl", "three", "equal"),
        *("prefix", "long-prefix", "no-line", "lower-case", "two", "openstack"),
        *("proxy", "no-proxy", "no-proxy-equal", "allow", "allow-tls", "allow-not", "http-proxy", "both-proxies"),
        *("plain-bundle", "plain-certificate", "no-url"),
    ],
)
def test_variables(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], warnings: list[str]) -> None:
    """Variables that are not read, misspelled, without effect or in contradiction are warnings."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    found = [f"{one['text']} -> {one['advice']}" for one in diagnose().found["variables"] if one["status"] != "ok"]

    assert len(found) == len(warnings), found
    assert all(text.startswith(start) for text, start in zip(found, warnings, strict=True)), found


# The outbox


def put_events(path: Path, count: int = 1) -> None:
    """Put events into an outbox."""
    with SQLiteOutbox(path) as outbox:
        for _ in range(count):
            outbox.put(external_org_id="org_1", feature_code="ai_credit", quantity=5)


def content_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return the rights and the bytes of all files in a folder."""
    return {path.name: (path.stat().st_mode, path.read_bytes()) for path in folder.iterdir()}


def test_outbox_of_the_option(tmp_path: Path) -> None:
    """Its events are counted."""
    put_events(tmp_path / "usage.db")

    finding = diagnose("--outbox", str(tmp_path / "usage.db")).of("outbox")

    assert finding["status"] == "ok"
    assert re.fullmatch(r"--outbox: 1 ready, 0 leased, 0 dead, the oldest \d+ s old", finding["text"])
    assert finding["values"]["ready"] == 1


def _as_it_is(_: Path) -> None:
    """Leave the file as it is."""


def _without_lock(path: Path) -> None:
    """Copy an outbox to another place: with rights for others, and without its lock."""
    path.chmod(0o640)
    path.with_name("usage.db.lock").unlink()


def _damage(path: Path) -> None:
    """Damage the pages of the table."""
    content = path.read_bytes()
    path.write_bytes(content[:8192] + b"\xff" * (len(content) - 8192))


def _take_back_table(path: Path) -> None:
    """Leave a file as a process does that ended before it made the table."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("DROP TABLE events")
        connection.execute("PRAGMA user_version = 0")


def _give_later_format(path: Path) -> None:
    """Leave a file as a later version does."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 9")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (_as_it_is, "--outbox: 30 ready, 0 leased, 0 dead, the oldest "),
        (_without_lock, "--outbox: 30 ready, 0 leased, 0 dead, the oldest "),
        (_damage, "--outbox: it is damaged; it was left unchanged"),
        (_take_back_table, "--outbox: nothing was put yet"),
        (_give_later_format, "--outbox: {path}: a later version wrote it"),
    ],
    ids=["as-it-is", "without-lock", "damaged", "without-table", "later-format"],
)
def test_outbox_is_left_unchanged(tmp_path: Path, change: Callable[[Path], None], expected: str) -> None:
    """A lock of another user would keep the application out, and a damaged file is the application's to repair."""
    path = tmp_path / "usage.db"
    put_events(path, 30)
    change(path)
    before = content_of(tmp_path)

    finding = diagnose("--outbox", str(path)).of("outbox")

    assert content_of(tmp_path) == before
    assert finding["text"].startswith(expected.format(path=path))
    if change is _damage:
        assert finding["status"] == "failure"
        assert finding["advice"].startswith("let the application use it: it sets the file aside, keeps the events")


def test_outbox_in_use_is_counted_with_its_log(tmp_path: Path) -> None:
    """What the application has just put is in the log, which stays as it is."""
    path = tmp_path / "usage.db"
    with SQLiteOutbox(path) as outbox:
        for _ in range(3):
            outbox.put(external_org_id="org_1", feature_code="ai_credit", quantity=5)
        log = tmp_path / "usage.db-wal"
        before = path.read_bytes(), log.read_bytes()

        finding = diagnose("--outbox", str(path)).of("outbox")

        assert finding["values"]["ready"] == 3
        assert (path.read_bytes(), log.read_bytes()) == before


@pytest.mark.needs("redis-server")
def test_outbox_in_redis_is_left_unchanged(tmp_path: Path) -> None:
    """It is counted, and an empty one gets no keys."""
    with RedisServer(tmp_path) as server:
        url = f"redis://127.0.0.1:{server.port}/0"
        empty = diagnose("--outbox", url).of("outbox")["text"]
        assert server.client.keys() == []
        with RedisOutbox(server.client) as outbox:
            outbox.put(external_org_id="org_1", feature_code="ai_credit", quantity=5)
        before = {key: server.client.dump(key) for key in server.client.keys()}  # noqa: SIM118 - those of Redis

        found = diagnose("--outbox", url).of("outbox")

        assert {key: server.client.dump(key) for key in server.client.keys()} == before  # noqa: SIM118 - the same
    assert empty == "--outbox: 0 ready, 0 leased, 0 dead"
    assert found["text"].startswith("--outbox: 1 ready, 0 leased, 0 dead, the oldest ")


def test_outbox_that_another_program_holds(tmp_path: Path) -> None:
    """A file in use is no server that does not answer."""
    path = tmp_path / "usage.db"
    put_events(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE events SET created = created")

        bad = diagnose("--outbox", str(path), "--timeout", "1").bad()

    assert bad["outbox"] == (
        "--outbox: it is in use by another process -> end the other program, such as a shell of SQLite, then run it "
        "again"
    )


@pytest.mark.parametrize("rights", [(0o755, 0o444), (0o555, 0o666)], ids=["file", "folder"])
def test_outbox_that_this_user_cannot_write(rights: tuple[int, int]) -> None:
    """Senders of this user could not work, though it could be read."""
    of_folder, of_file = rights
    with TemporaryDirectory() as name:  # in a folder that others may enter, unlike that of pytest
        path = Path(name, "usage.db")
        put_events(path)
        path.chmod(of_file)
        path.parent.chmod(of_folder)
        with without_rights_of_root():
            bad = diagnose("--outbox", str(path)).bad()
        path.parent.chmod(0o755)

    assert bad["outbox"] == (
        f"--outbox: {path}: the file or its folder is read-only -> run as the user whose application writes it, who "
        "must be able to write in the folder"
    )


def test_empty_outbox(tmp_path: Path) -> None:
    """It has no oldest event."""
    SQLiteOutbox(tmp_path / "usage.db").close()

    finding = diagnose("--outbox", str(tmp_path / "usage.db")).of("outbox")

    assert finding["text"] == "--outbox: 0 ready, 0 leased, 0 dead"


def test_outbox_that_nobody_empties(tmp_path: Path) -> None:
    """An event that waits for more than an hour is a warning."""
    path = tmp_path / "usage.db"
    with SQLiteOutbox(path) as outbox:
        outbox.put(external_org_id="org_1", feature_code="ai_credit", quantity=5)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE events SET created = created - 7200")

    finding = diagnose("--outbox", str(path)).of("outbox")

    assert finding["status"] == "warning"
    assert finding["text"] == "--outbox: 1 ready, 0 leased, 0 dead, the oldest 2 h old"
    assert finding["advice"] == "run a sender with the key of this product"


def test_dead_events(tmp_path: Path) -> None:
    """They are a warning with the commands that decide about them, also if one is damaged."""
    path = tmp_path / "usage.db"
    with SQLiteOutbox(path) as outbox:
        outbox.put(company_id="comp_unknown", feature_code="ai_credit", quantity=5)
        Sender(ChatarminOS.in_memory(), outbox).drain()

    finding = diagnose("--outbox", str(path)).of("outbox")

    assert (finding["status"], finding["text"]) == ("warning", "--outbox: 0 ready, 0 leased, 1 dead")
    assert finding["advice"].startswith("list dead events with the command `dead`")
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE events SET input = CAST(x'ff' AS TEXT)")
    assert diagnose("--outbox", str(path)).of("outbox") == finding


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("{folder}/missing.db", "--outbox: {folder}/missing.db: there is no such file"),
        ("{folder}", "--outbox: {folder}: it is a folder"),
        ("", "--outbox: it is empty"),
        ("amqp://localhost", "--outbox: no outbox has the scheme 'amqp'"),
        ("redis://127.0.0.1:9/0", "--outbox: "),
    ],
    ids=["missing", "folder", "empty", "scheme", "redis"],
)
def test_outbox_that_cannot_be_opened(tmp_path: Path, url: str, text: str) -> None:
    """It is a failure, which stops no other check."""
    found = diagnose("--outbox", url.format(folder=tmp_path))

    assert found.code == 1
    assert found.bad()["outbox"].startswith(text.format(folder=tmp_path))
    assert found.of("SQLite")["status"] == "ok"


# Versions


def test_versions_are_shown() -> None:
    """Python, OpenSSL, this package, its libraries, the extras and SQLite."""
    found = diagnose().found

    assert found["Python"][0]["values"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["package"][0]["values"] == {"version": __version__}
    assert found["libraries"][0]["values"].keys() == {"attrs", "cattrs", "idna", "requests", "urllib3", "certifi"}
    assert {"django", "redis", "server"} <= set(found["libraries"][1]["values"]["extras"])
    assert found["SQLite"][0]["values"]["version"] == sqlite3.sqlite_version


def _distribution(folder: Path, name: str, version: str, requires: tuple[str, ...] = ()) -> None:
    """Install metadata as pip would."""
    metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir(parents=True)
    lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
    lines += [f"Requires-Dist: {one}" for one in requires]
    (metadata / "METADATA").write_text("\n".join(lines) + "\n")


def test_library_out_of_range(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A library that the package needs is a failure, one of an extra a warning; both have the command."""
    needs = ("attrs>=24.1", "requests<3,>=2.32.3", "nowhere>=1", 'redis<9,>=5.1; extra == "redis"')
    _distribution(tmp_path, "chatarmin-os", __version__, needs)
    _distribution(tmp_path, "requests", "2.30.0")
    _distribution(tmp_path, "attrs", "24.1.0")
    _distribution(tmp_path, "redis", "4.6.0")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    examination: Any = None

    needed, extras = versions.check_requirements(examination)

    assert needed.status == "failure"
    assert needed.text.startswith("attrs 24.1.0, requests 2.30.0, nowhere is missing, certifi ")
    assert needed.advice == 'pip install "requests<3,>=2.32.3" "nowhere>=1"'
    assert (extras.status, extras.text) == ("warning", "extras: redis (redis 4.6.0)")
    assert extras.advice == 'if you use these: pip install "redis<9,>=5.1"'


@pytest.mark.parametrize(
    ("installed", "status", "text"),
    [
        ((), "ok", f"chatarmin-os {__version__}, not installed by pip"),
        ((__version__,), "ok", f"chatarmin-os {__version__}"),
        ((__version__, __version__), "ok", f"chatarmin-os {__version__}"),
        (("0.0.9",), "warning", f"version {__version__} runs, 0.0.9 is installed"),
        (("0.0.9", __version__), "warning", "several versions are installed: 0.0.9 in "),
    ],
    ids=["none", "same", "twice", "older", "two"],
)
def test_installed_versions(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, installed: tuple[str, ...], status: str, text: str
) -> None:
    """The one that runs must be the one that is installed."""
    for number, version in enumerate(installed):
        _distribution(tmp_path / str(number), "chatarmin-os", version)
    monkeypatch.setattr(sys, "path", [str(tmp_path / str(number)) for number in range(len(installed))])
    examination: Any = None

    [finding] = versions.check_package(examination)

    assert finding.status == status
    assert finding.text.startswith(text)


def test_package_that_is_not_installed_by_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its ranges are unknown, which is no failure."""
    monkeypatch.setattr(sys, "path", [])
    examination: Any = None

    [finding] = versions.check_requirements(examination)

    assert finding.status == "not checked"


def test_extra_is_installed_if_all_of_it_is() -> None:
    """Half of one is not named, nor is its version compared."""
    texts = ('requests >=2; extra == "whole"', 'requests >=99; extra == "half"', 'no-such-package >=1; extra == "half"')

    finding = versions._extras([versions.parse_requirement(text) for text in texts])

    assert (finding.status, finding.values) == ("ok", {"extras": ["whole"]})


def test_sqlite_with_the_fault_of_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is shown, and no warning: the package avoids it."""
    examination: Any = None
    for version, is_faulty in (((3, 40, 1), True), ((3, 51, 3), False)):
        monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
        [finding] = versions.check_sqlite(examination)
        assert (finding.status, finding.values["has_lossy_log"]) == ("ok", is_faulty)


@pytest.mark.parametrize("version", ["", "dev", "1.2.x"])
def test_odd_versions_are_compared(version: str) -> None:
    """A version without a number is older than any."""
    assert versions.is_in_range(version, ">=2") is False
    assert versions.is_in_range(version, "<2") is True


# Secrets and findings


def test_short_words_are_no_secrets() -> None:
    """A key of a few letters would be found in words."""
    secrets = Secrets()
    secrets.add("key of")

    assert secrets.hide("the key of OS_API_KEY") == "the key of OS_API_KEY"
    assert secrets.hide_in({"a": ["b"], "n": 1}) == {"a": ["b"], "n": 1}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("not redis://:pass@host", "not redis:[password]@host"),
        ("http://ann:p@ss@host:80, then", "http:[password]@host:80, then"),
        ("http://ann:a:b@host", "http:[password]@host"),
        ("http://ann@host", "http:[password]@host"),
        ("https://host/api/v1, from ann@acme.com", "https://host/api/v1, from ann@acme.com"),
    ],
    ids=["no-user", "at-sign", "colon", "user", "no-password"],
)
def test_passwords_of_addresses_are_redacted(text: str, shown: str) -> None:
    """The last @ of an address ends its password; wherever the text is in a document."""
    secrets = Secrets()

    assert secrets.hide(text) == shown
    assert secrets.hide_in({"a": [text, {"b": text}], "n": 1}) == {"a": [shown, {"b": shown}], "n": 1}


def test_secret_that_begins_another_leaves_nothing_of_it() -> None:
    """The longest is looked for first."""
    secrets = Secrets()
    for key in ("password", "password-of-production"):
        secrets.add(key)

    assert secrets.hide("password-of-production, password") == "[key], [key]"


def test_sections_are_separated() -> None:
    """A blank line stands before each section but the first."""
    lines = [Line("A", "one", ok("fine")), Line("B", "three", failure("bad", "do it"))]

    assert text_of(lines, str) == [
        "A",
        "  ok           one    fine",
        "",
        "B",
        "  failure      three  bad",
        "                      -> do it",
        "",
        summary(lines),
    ]


@pytest.mark.slow
def test_command_imports_no_more_than_it_needs(url: str) -> None:
    """Without a project neither Django nor the gate is imported."""
    code = (
        "import sys; from chatarmin_os.cli import main; main(['doctor']);"
        "sys.exit(bool({'django', 'flask', 'chatarmin_os.gate', 'chatarmin_os.web'} & {*sys.modules}))"
    )
    environment = {**os.environ, "OS_BASE_URL": url}

    assert subprocess.run([sys.executable, "-c", code], env=environment, stdout=subprocess.DEVNULL).returncode == 0  # noqa: S603, PLW1510
