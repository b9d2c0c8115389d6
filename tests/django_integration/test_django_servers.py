"""The project under real servers, while the local service stops and starts."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
from ports import free_port

from chatarmin_os import ChatarminOS

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

KEY = "os_sk_of_the_servers"
MAX_WAIT_SECONDS = 60
TESTS = Path(__file__).parents[1]
GUNICORN = "gunicorn --preload --workers 2 --bind fd://{fd} --log-level warning django_project.served:application"
SERVERS = {
    "sync": f"{GUNICORN} --worker-class sync",
    "gthread": f"{GUNICORN} --worker-class gthread --threads 8",
    "gevent": f"{GUNICORN} --worker-class gevent",
    "gevent-first": f"{GUNICORN} --worker-class gevent --config {TESTS}/django_project/gevent_first.py",
    "uvicorn": "uvicorn --fd {fd} --log-level warning django_project.served:asgi",
}


class Service:
    """The local service, on one port and with one file of its state."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/api/v1"
        self._command = f"-m chatarmin_os serve --port {self.port} --state {folder / 'state'}".split()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, *self._command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout
        assert self._process.stdout.readline().strip() == self.url

    def stop(self) -> None:
        """End it; it keeps its state."""
        self._process.terminate()
        self._process.communicate()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """Run the local service, where org_1 has the tier "pro"."""
    service = Service(tmp_path)
    service.start()
    with ChatarminOS(KEY, base_url=service.url) as client:
        client.onboard(external_org_id="org_1", tier_code="pro")
        client.onboard(external_org_id="org_2", tier_code="pro")
    yield service
    service.stop()


@contextmanager
def serving(server: str, service: Service) -> Iterator[int]:
    """Run the project under a server, and yield its port."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listening:
        options = SERVERS[server].format(fd=listening.fileno())
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        environment |= {"OS_API_KEY": KEY, "OS_BASE_URL": service.url, "PYTHONPATH": str(TESTS)}
        process = subprocess.Popen(  # noqa: S603 - our own project
            [sys.executable, "-m", *options.split()], env=environment, cwd=TESTS, pass_fds=[listening.fileno()]
        )
        try:
            yield listening.getsockname()[1]
        finally:
            process.terminate()
            process.wait(MAX_WAIT_SECONDS)
    assert process.returncode in {0, -signal.SIGTERM}


def ask(port: int, path: str, organisation: str = "org_1") -> tuple[int, Any]:
    """Return status and body of a response."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=MAX_WAIT_SECONDS)
    try:
        connection.request("GET", path, headers={"X-Organisation": organisation, "Accept": "application/json"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def wait_for(seen: Counter[Any], outcome: Any) -> None:
    """Wait until an outcome is seen once more."""
    before, deadline = seen[outcome], time.monotonic() + MAX_WAIT_SECONDS
    while seen[outcome] <= before:
        assert time.monotonic() < deadline, f"{outcome} is not among {seen}"
        time.sleep(0.02)


@pytest.mark.parametrize("server", SERVERS)
def test_features_outlive_the_service_under_load(server: str, service: Service) -> None:
    """No request fails while the service is gone: known answers are used, and new ones after it is back."""
    path = "/async-allowed" if server == "uvicorn" else "/allowed"
    seen: Counter[Any] = Counter()
    ended, numbers = Event(), count()

    def load(port: int) -> None:
        while not ended.is_set():
            asked = "/denied" if next(numbers) % 5 == 0 else path
            status, body = ask(port, asked)
            seen[asked, status, body.get("source") or body.get("reason")] += 1

    with serving(server, service) as port, ThreadPoolExecutor(8) as pool:
        threads = [pool.submit(load, port) for _ in range(6)]
        try:
            wait_for(seen, (path, 200, "live"))
            wait_for(seen, ("/denied", 403, "disabled"))
            service.stop()
            wait_for(seen, (path, 200, "stale"))
            cold = ask(port, path, "org_2")
            wait_for(seen, (path, 200, "stale"))
            wait_for(seen, ("/denied", 403, "disabled"))
            service.start()
            wait_for(seen, (path, 200, "live"))
            wait_for(seen, (path, 200, "live"))
        finally:
            ended.set()
        for thread in threads:
            thread.result()

    assert (cold[0], cold[1]["reason"]) == (503, "outage")
    assert {(asked, status) for asked, status, _ in seen} == {(path, 200), ("/denied", 403)}


@pytest.mark.parametrize("server", ["sync", "gthread", "gevent-first"])
def test_usage_is_counted_once_under_load(server: str, service: Service) -> None:
    """Each response of a metered view is one unit of usage, whichever worker it is from."""
    with serving(server, service) as port, ThreadPoolExecutor(8) as pool:
        outcomes = [status for status, _ in pool.map(lambda _: ask(port, "/used"), range(200))]

    with ChatarminOS(KEY, base_url=service.url) as client:
        access = client.features.check_by_external_org_id("org_1", "ai_credit")
    assert Counter(outcomes) == {200: 200}
    assert access.current_usage == 200
