"""Which proxy of the environment is used for a service, which hosts NO_PROXY exempts, and which proxies are refused."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import pytest
import responses

from chatarmin_os import ChatarminOS, InvalidInput
from chatarmin_os.transports import HTTPTransport

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "os_sk_9f8e7d6c5b4a"
PROXY = "http://proxy.test:3128"
HOST = "os.example.com"
IDN, PUNYCODE = "os.müller.example", "os.xn--mller-kva.example"


@pytest.fixture(autouse=True)
def mocked(monkeypatch: pytest.MonkeyPatch) -> Iterator[responses.RequestsMock]:
    """Answer every call, and have nothing of proxies in the environment."""
    for name in list(os.environ):
        if re.fullmatch("OS_.*|.*_CA_BUNDLE|REQUEST_METHOD|(?i:.*_proxy)", name):
            monkeypatch.delenv(name)
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.get(re.compile("https?://"), json={"result": {"data": []}})
        yield mock


def proxy_of(mocked: responses.RequestsMock, base_url: str, **settings: Any) -> str | None:
    """Return the proxy through which a call to a service goes, None for none."""
    ChatarminOS(transport=HTTPTransport(KEY, base_url, **settings)).tiers.list()
    call: Any = mocked.calls[-1].request
    assert set(call.req_kwargs["proxies"]) <= {base_url.partition(":")[0]}
    proxy: str | None = next(iter(call.req_kwargs["proxies"].values()), None)
    return proxy


# Hosts that are exempt

EXEMPT: list[tuple[str, str]] = [
    # Names, and the names below them
    (HOST, f"https://{HOST}"),
    ("example.com", f"https://{HOST}"),
    (".example.com", f"https://{HOST}"),
    (".example.com", "https://example.com"),
    ("*.example.com", f"https://{HOST}"),
    ("com", f"https://{HOST}"),
    # Ports
    (f"{HOST}:8443", f"https://{HOST}:8443"),
    (f"{HOST}:443", f"https://{HOST}"),
    ("example.com:443", f"https://{HOST}/api/v1"),
    (".example.com:8443", f"https://{HOST}:8443"),
    ("*.example.com:443", f"https://{HOST}"),
    (f"{HOST}:80", f"http://{HOST}"),
    (f"{HOST}:", f"https://{HOST}"),
    (HOST, f"https://{HOST}:8443"),
    # Dots at the end
    (f"{HOST}.", f"https://{HOST}"),
    (HOST, f"https://{HOST}."),
    ("example.com.:443", f"https://{HOST}."),
    # Case, lists and white space
    ("OS.Example.COM", f"https://{HOST}"),
    (HOST, f"https://{HOST.upper()}"),
    (f"other.test,{HOST}", f"https://{HOST}"),
    (f" other.test , {HOST} ", f"https://{HOST}"),
    (f"other.test {HOST}", f"https://{HOST}"),
    (f"other.test\t{HOST}\n", f"https://{HOST}"),
    (f",,{HOST},", f"https://{HOST}"),
    # Everything
    ("*", f"https://{HOST}"),
    (" * ", f"https://{HOST}"),
    ("other.test,*", f"https://{HOST}"),
    ("*", "https://10.1.2.3"),
    # Addresses
    ("10.1.2.3", "https://10.1.2.3"),
    ("10.1.2.3:443", "https://10.1.2.3"),
    ("10.1.2.3:8443", "https://10.1.2.3:8443"),
    ("10.0.0.0/8", "https://10.1.2.3"),
    ("10.9.9.9/8", "https://10.1.2.3"),
    ("0.0.0.0/0", "https://10.1.2.3"),
    ("10.0.0.0/8:443", "https://10.1.2.3"),
    ("2001:db8::1", "https://[2001:db8::1]"),
    ("2001:0DB8:0:0::1", "https://[2001:db8::1]"),
    ("[2001:db8::1]", "https://[2001:db8::1]"),
    ("[2001:db8::1]:443", "https://[2001:db8::1]"),
    ("[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
    ("2001:db8::/32", "https://[2001:db8::1]"),
    ("[2001:db8::]/32", "https://[2001:db8::1]"),
    ("::/0", "https://[2001:db8::1]"),
    # International names
    (IDN, f"https://{IDN}"),
    (IDN, f"https://{PUNYCODE}"),
    (PUNYCODE, f"https://{IDN}"),
    ("müller.example", f"https://{PUNYCODE}"),
    ("*.MÜLLER.example:443", f"https://{PUNYCODE}"),
    (".xn--mller-kva.example.", f"https://{IDN}"),
]
NOT_EXEMPT: list[tuple[str, str]] = [
    ("", f"https://{HOST}"),
    (" , ", f"https://{HOST}"),
    ("ple.com", f"https://{HOST}"),
    ("s.example.com", f"https://{HOST}"),
    ("*example.com", "https://os-example.com"),
    ("*.example.com", "https://example.com"),
    ("*.os.example.com", f"https://{HOST}"),
    (f"deep.{HOST}", f"https://{HOST}"),
    ("os.*", f"https://{HOST}"),
    (f"{HOST}:8443", f"https://{HOST}"),
    (f"{HOST}:443", f"https://{HOST}:8443"),
    (f"{HOST}:80", f"https://{HOST}"),
    (f"{HOST}:https", f"https://{HOST}"),
    (":443", f"https://{HOST}"),
    (".", f"https://{HOST}"),
    ("*.", f"https://{HOST}"),
    (f"other.test;{HOST}", f"https://{HOST}"),
    (f"https://{HOST}", f"https://{HOST}"),
    ("10.1.2.4", "https://10.1.2.3"),
    ("10.1.2.3:80", "https://10.1.2.3"),
    ("11.0.0.0/8", "https://10.1.2.3"),
    ("10.0.0.0/33", "https://10.1.2.3"),
    ("10.", "https://10.1.2.3"),
    ("2.3", "https://10.1.2.3"),
    ("::/0", "https://10.1.2.3"),
    ("0.0.0.0/0", "https://[2001:db8::1]"),
    ("2001:db8::2", "https://[2001:db8::1]"),
    ("[2001:db8::1]:80", "https://[2001:db8::1]"),
    ("db8::1", "https://[2001:db8::1]"),
    ("10.0.0.0/8", f"https://{HOST}"),
    ("muller.example", f"https://{PUNYCODE}"),
    ("mü\u0378ller.example", f"https://{PUNYCODE}"),
]


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize(("entries", "base_url"), EXEMPT)
def test_host_in_no_proxy_is_reached_directly(
    mocked: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch, entries: str, base_url: str, name: str
) -> None:
    """Names, ports, addresses and networks are understood as curl or Go understand them."""
    monkeypatch.setenv("ALL_PROXY", PROXY)
    monkeypatch.setenv(name, entries)

    assert proxy_of(mocked, base_url, allow_http=True) is None


@pytest.mark.parametrize(("entries", "base_url"), NOT_EXEMPT)
def test_other_host_is_reached_through_the_proxy(
    mocked: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch, entries: str, base_url: str
) -> None:
    """A host that only resembles an entry goes through the proxy."""
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", entries)

    assert proxy_of(mocked, base_url) == PROXY


@pytest.mark.parametrize(
    ("lower", "upper", "expected"),
    [(HOST, "other.test", None), ("other.test", HOST, PROXY), ("", HOST, None), (None, HOST, None), (HOST, None, None)],
)
def test_lower_case_variable_takes_precedence(
    mocked: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch, lower: str | None, upper: str | None, expected: Any
) -> None:
    """`no_proxy` hides `NO_PROXY`, unless it is empty, as with curl and requests."""
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    for name, value in (("no_proxy", lower), ("NO_PROXY", upper)):
        if value is not None:
            monkeypatch.setenv(name, value)

    assert proxy_of(mocked, f"https://{HOST}") == expected


# Proxies


@pytest.mark.parametrize(
    ("variables", "base_url", "expected"),
    [
        ({"HTTPS_PROXY": PROXY}, f"https://{HOST}", PROXY),
        ({"https_proxy": PROXY, "HTTPS_PROXY": "http://other.test"}, f"https://{HOST}", PROXY),
        ({"ALL_PROXY": PROXY}, f"https://{HOST}", PROXY),
        ({"ALL_PROXY": "http://other.test", "HTTPS_PROXY": PROXY}, f"https://{HOST}", PROXY),
        ({"HTTP_PROXY": PROXY}, f"https://{HOST}", None),
        ({"HTTPS_PROXY": PROXY}, f"http://{HOST}", None),
        ({"HTTP_PROXY": PROXY}, f"http://{HOST}", PROXY),
        ({"HTTPS_PROXY": ""}, f"https://{HOST}", None),
        ({"NO_PROXY": "other.test"}, f"https://{HOST}", None),
    ],
)
def test_proxy_applies_to_its_scheme(
    mocked: responses.RequestsMock,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    base_url: str,
    expected: Any,
) -> None:
    """The variable of the scheme counts before ALL_PROXY, and lower case before upper."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert proxy_of(mocked, base_url, allow_http=True) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("proxy.test:3128", PROXY),
        ("proxy.test", "http://proxy.test"),
        (f" {PROXY}\n", PROXY),
        ("10.0.0.1:3128", "http://10.0.0.1:3128"),
        ("[2001:db8::1]:3128", "http://[2001:db8::1]:3128"),
        ("HTTP://Proxy.test:3128", "HTTP://Proxy.test:3128"),
        ("https://proxy.test", "https://proxy.test"),
        ("http://user:p%40ss@proxy.test:3128", "http://user:p%40ss@proxy.test:3128"),
        ("user:pass@proxy.test:3128", "http://user:pass@proxy.test:3128"),
        ("http://proxy.test:3128/", "http://proxy.test:3128/"),
    ],
)
def test_proxy_without_a_scheme_uses_http(
    mocked: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch, given: str, expected: str
) -> None:
    """A proxy is a URL, or a host with its port, reached over http as with curl and Go."""
    monkeypatch.setenv("HTTPS_PROXY", given)

    assert proxy_of(mocked, f"https://{HOST}") == expected


@pytest.mark.parametrize(
    "proxy",
    [
        "http://",
        "http://user:hidden@",
        "http://user:hidden@:3128",
        "http://user:hidden@proxy.test:port",
        "user:hidden@proxy.test:port",
        "http://user:hidden@proxy.test:99999",
        "http://user:hidden@proxy.test:0",
        "http://user:hidden@proxy..test:3128",
        f"http://user:hidden@{'p' * 64}.test:3128",
        "http://user:hidden@[2001:db8::1:3128",
        "ftp://user:hidden@proxy.test:3128",
        "file:///hidden",
        "http://user:hidden@proxy test:3128",
        "http://user:hid\x01den@proxy.test:3128",
        "hidden:3128:3128",
    ],
)
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "all_proxy"])
def test_invalid_proxy_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, proxy: str, name: str) -> None:
    """A proxy that cannot be one is named by its variable when the transport is made; its password is not shown."""
    monkeypatch.setenv(name, proxy)

    with pytest.raises(
        InvalidInput, match=f"^{name.upper()}: .*is not a valid URL of a proxy; set it to one such as"
    ) as refused:
        HTTPTransport(KEY, f"https://{HOST}")

    assert refused.value.field == name.upper()
    assert "hid" not in str(refused.value) + repr(refused.value)
    monkeypatch.setenv("NO_PROXY", HOST)
    HTTPTransport(KEY, f"https://{HOST}")  # it is not asked then


def test_invalid_host_is_refused_with_any_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with an empty or endless part is named at once; behind a proxy it failed in the middle of a call."""
    for proxy in ("", PROXY):
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        for host in ("os..example.com", f"{'o' * 64}.example.com", "a" * 300):
            with pytest.raises(InvalidInput, match=r"^base_url: ") as refused:
                HTTPTransport(KEY, f"https://{host}/api/v1")
            assert refused.value.field == "base_url"
