"""The extension under gunicorn, while the service stops and starts again."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ports import free_port

from chatarmin_os import ChatarminOS
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.server import serve_fake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="there are no forks")]

HERE = Path(__file__).parent
KEY = "os_sk_test_worker"
HANGS = 60
"""Seconds after which something has certainly come to a halt."""


class App:
    """The app under gunicorn."""

    def __init__(self, port: int) -> None:
        self._port = port

    def get(self, path: str) -> tuple[int, str]:
        """Return status and text of a request."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=HANGS)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def wait_for(self, path: str, status: int) -> None:
        """Ask until a request has a status."""
        until = time.monotonic() + HANGS
        while (got := self.get(path))[0] != status:
            assert time.monotonic() < until, got
            time.sleep(0.05)


@pytest.fixture(
    params=[
        "--workers=2 --worker-class=sync",
        "--worker-class=gthread --threads=8",
        "--workers=2 --worker-class=gevent",
    ],
    ids=["sync", "gthread", "gevent"],
)
def service_port(request: pytest.FixtureRequest) -> tuple[str, int]:
    """Return options of gunicorn, and a free port for the service."""
    return request.param, free_port()


@pytest.fixture
def app(service_port: tuple[str, int], fake: FakeTransport, tmp_path: Path) -> Iterator[App]:
    """Run the app with the service at first; check afterwards that it ended well and logged no secret."""
    options, port = service_port
    log = tmp_path / "log"
    environment = {**os.environ, "OS_API_KEY": KEY, "OS_BASE_URL": f"http://127.0.0.1:{port}/api/v1"}
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening, log.open("w") as stream:
        command = [sys.executable, "-m", "gunicorn", "--preload", f"--chdir={HERE}", *options.split()]
        command += [f"--bind=fd://{listening.fileno()}", "--log-level=warning", "worker_app:app"]
        process = subprocess.Popen(command, env=environment, pass_fds=[listening.fileno()], stderr=stream)  # noqa: S603
        try:
            yield App(listening.getsockname()[1])
        finally:
            process.terminate()
            process.wait(HANGS)
    assert process.returncode == 0
    text = log.read_text()
    assert KEY not in text
    assert not any(company in text for company in fake.service.state.companies)
    assert "send it again with its key" in text


@pytest.fixture
def fake() -> FakeTransport:
    """Return a service with a hundred organisations."""
    fake = FakeTransport(demo_catalogue())
    client = ChatarminOS(transport=fake)
    for number in range(100):
        client.onboard(external_org_id=f"org_{number}", tier_code="enterprise")
    return fake


def test_app_goes_on_while_the_service_is_down(fake: FakeTransport, service_port: tuple[str, int], app: App) -> None:
    """Under load what is known stays open, what is unknown is 503, and nothing is a 500; then all is as before.

    At first connections to the service are refused, then it accepts them and never responds.
    """
    warm = ["/seats?org=org_0", "/work?org=org_0"]
    if "gevent" not in service_port[0]:  # Flask's async views need asgiref, which needs a thread for each request
        warm.append("/async-seats?org=org_0")
    is_over = threading.Event()

    def load(_: int) -> list[tuple[int, str]]:
        return [app.get(path) for path in _until(is_over, warm)]

    with ThreadPoolExecutor(8) as pool:
        with serve_fake({KEY: fake}, port=service_port[1]):
            for path in warm * 20:  # each worker knows it
                assert app.get(path)[0] == 200
            loads = [pool.submit(load, number) for number in range(8)]
            app.wait_for("/seats?org=org_1", 200)
        before = _used(fake)
        try:
            cold = [app.get(f"/seats?org=org_{number}") for number in range(10, 40)]
            with socket.create_server(("127.0.0.1", service_port[1])):  # it accepts, and never responds
                cold += [app.get(f"/seats?org=org_{number}") for number in range(40, 45)]
            with serve_fake({KEY: fake}, port=service_port[1]):
                for number in range(40, 60):
                    app.wait_for(f"/seats?org=org_{number}", 200)
                _wait_until(lambda: _used(fake) > before)
        finally:
            is_over.set()

    assert {status for one in loads for status, _ in one.result()} == {200}
    assert {status for status, _ in cold} == {503}
    assert json.loads(cold[0][1])["reason"] == "outage"


def _until(is_over: threading.Event, paths: list[str]) -> Iterator[str]:
    for number in count():
        if is_over.is_set():
            return
        yield paths[number % len(paths)]


def _used(fake: FakeTransport) -> int:
    access = ChatarminOS(transport=fake).features.check_by_external_org_id("org_0", "ai_credit")
    return int(access.current_usage or 0)


def _wait_until(is_true: Callable[[], bool]) -> None:
    until = time.monotonic() + HANGS
    while not is_true():
        assert time.monotonic() < until
        time.sleep(0.05)
