"""Helpers of this folder: the echo service and its certificate, programs in their own processes, checked calls."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import pytest
import trustme

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatarmin_os import ChatarminOS

HERE = Path(__file__).parent
KEY = "os_sk_test_echo"
HANGS = 60
"""Seconds after which something has certainly come to a halt; nothing that works takes a good part of it."""


class Certificate(NamedTuple):
    """A certificate for loopback, and the authority that it is from, as files."""

    chain: Path
    authority: Path

    @classmethod
    def issue(cls, folder: Path) -> Self:
        """Return a certificate of a new authority."""
        authority = trustme.CA()
        paths = cls(folder / "chain.pem", folder / "authority.pem")
        authority.cert_pem.write_to_path(str(paths.authority))
        authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(str(paths.chain))
        return paths


class Echo:
    """The echo (`echo_server.py`), a process until it is closed.

    Attributes:
        url: The base URL for clients.
        environment: The variables with which a process trusts it.
    """

    def __init__(self, certificate: Certificate | None = None) -> None:
        """Start it and wait until it answers."""
        command = [sys.executable, str(HERE / "echo_server.py"), *([str(certificate.chain)] if certificate else [])]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own server
        scheme = "https" if certificate else "http"
        self.url = f"{scheme}://127.0.0.1:{int(self._line())}/api/v1"
        self.environment = {"REQUESTS_CA_BUNDLE": str(certificate.authority)} if certificate else {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=HANGS)

    def _line(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline()

    def _numbers(self) -> dict[str, int]:
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        numbers: dict[str, int] = json.loads(self._line())
        return numbers

    @property
    def opened(self) -> int:
        """How many connections were ever opened."""
        return self._numbers()["opened"]

    @property
    def open(self) -> int:
        """How many of them no end was seen of."""
        return self._numbers()["open"]

    @property
    def waiting(self) -> int:
        """How many calls wait for others to come."""
        return self._numbers()["waiting"]


def eventually(act: Callable[[], Any], expected: Any) -> None:
    """Wait until *act* returns the expected value, for other processes take their time."""
    until = time.monotonic() + HANGS
    while (got := act()) != expected:
        assert time.monotonic() < until, f"{got!r} and never {expected!r}"
        time.sleep(0.01)


def asked(client: ChatarminOS, code: str, company_id: str = "c") -> int:
    """Ask about a feature, see to it that the answer is to this question, and return the connection's number."""
    access = client.features.check(company_id=company_id, feature_code=code)
    assert access.feature_name == code, f"asked about {code} and got {access.feature_name}"
    assert isinstance(access.current_usage, int)
    return access.current_usage


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a program of this folder: that of the tests, without settings for clients."""
    ours = ("OS_API_KEY", "OS_BASE_URL", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    return {name: value for name, value in os.environ.items() if name not in ours} | more


def ran(program: str, *arguments: str, echo: Echo) -> Any:
    """Run a program of this folder to its end, without a warning, and return the JSON that it printed."""
    command = [sys.executable, "-W", "error", str(HERE / program), *arguments]
    variables = environment(OS_API_KEY=KEY, OS_BASE_URL=echo.url, **echo.environment)
    done = subprocess.run(  # noqa: S603 - our own programs
        command, env=variables, capture_output=True, text=True, check=False, timeout=10 * HANGS
    )
    assert (done.stderr, done.returncode) == ("", 0), f"{program} ended with {done.returncode}: {done.stderr}"
    return json.loads(done.stdout)


def needed(name: str) -> Any:
    """Return a module that tests need; without it they are skipped, but not in CI."""
    return import_module(name) if os.environ.get("CI") else pytest.importorskip(name)
