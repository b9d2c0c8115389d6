"""The costs of the fake as a local service: beside a trivial application on the same server, and `import werkzeug`."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from http.client import HTTPConnection
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from benchmarks._measure import Part, Row, interleaved, number
from chatarmin_os import ChatarminOS
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.server import FakeService, Server, StateFile

if TYPE_CHECKING:
    from collections.abc import Callable

_KEY = "os_sk_benchmark"
_REQUESTS, _STARTS, _COMPANIES = 1_000, 7, 10_000

_TRIVIAL = """
from waitress import create_server
def application(environ, start_response):
    start_response("200 OK", [("content-type", "application/json"), ("content-length", "2")])
    return [b"{}"]
server = create_server(application, host="127.0.0.1", port=0, threads=16)
print(f"http://127.0.0.1:{server.effective_port}/", flush=True)
server.run()
"""
_OURS = """
from chatarmin_os.fake.server import FakeService, Server
server = Server(FakeService())
print(server.url, flush=True)
server.run()
"""


def run() -> Part:
    """Measure and return the table."""
    return Part(
        "Serve",
        "Times by the clock, server and client on one machine, one connection kept open. Starting: a process of its "
        "own, from nothing to the first answer. Saving: the longest of many calls while the state of "
        f"{_COMPANIES:,} companies is saved again and again, beside `json.dumps` of it.",
        [*_throughput(), _starting(), _saving()],
    )


class _Process:
    """A server in a process of its own."""

    def __init__(self, code: str) -> None:
        self._process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)  # noqa: S603
        assert self._process.stdout
        self.url = urlsplit(self._process.stdout.readline().strip())
        self._connection = HTTPConnection(self.url.hostname or "", self.url.port)

    def ask(self, target: str) -> bytes:
        self._connection.request("GET", target, headers={"x-api-key": _KEY})
        return self._connection.getresponse().read()

    def close(self) -> None:
        self._connection.close()
        self._process.kill()
        self._process.communicate()


def _throughput() -> list[Row]:
    trivial, ours = _Process(_TRIVIAL), _Process(_OURS)
    client = ChatarminOS(_KEY, base_url=ours.url.geturl())
    company = client.onboard(external_org_id="org_1", tier_code="free").company_id
    client.close()
    given = quote(json.dumps({"companyId": company, "featureCode": "ai_credit"}))

    def timed(process: _Process, target: str) -> Callable[[], float]:
        def ask() -> float:
            start = perf_counter()
            for _ in range(_REQUESTS):
                process.ask(target)
            return perf_counter() - start

        return ask

    samples = interleaved(
        {
            "trivial": timed(trivial, "/"),
            "tiers.list": timed(ours, "/api/v1/tiers.list"),
            "features.check": timed(ours, f"/api/v1/features.check?input={given}"),
        },
        rounds=9,
    )
    trivial.close()
    ours.close()
    rows = []
    for name in ("tiers.list", "features.check"):
        ratio = 1 / samples.ratio(name, "trivial")
        rate = number(_REQUESTS / samples.median(name))
        rows.append(Row(f"`{name}`, requests per second", rate, f"{ratio:.2f}", "≥ 0.5", ratio >= 0.5))
    return rows


def _starting() -> Row:
    def import_werkzeug() -> float:
        start = perf_counter()
        subprocess.run([sys.executable, "-c", "import werkzeug"], check=True)
        return perf_counter() - start

    def start_and_ask() -> float:
        start = perf_counter()
        process = _Process(_OURS)
        process.ask("/api/v1/tiers.list")
        taken = perf_counter() - start
        process.close()
        return taken

    samples = interleaved({"werkzeug": import_werkzeug, "ours": start_and_ask}, rounds=_STARTS)
    ratio = samples.ratio("ours", "werkzeug")
    figure = f"{samples.median('ours') * 1000:.0f} ms"
    return Row("from start to the first answer, beside `import werkzeug`", figure, f"{ratio:.2f}", "≤ 2", ratio <= 2)


def _saving() -> Row:
    fake = FakeTransport(demo_catalogue())
    direct = ChatarminOS(transport=fake)
    for index in range(_COMPANIES):
        direct.onboard(external_org_id=f"org_{index}", tier_code="pro")
    snapshot = fake.snapshot()
    start = perf_counter()
    json.dumps(snapshot)
    dumps = perf_counter() - start
    service = FakeService({_KEY: fake})
    waits: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        server = Server(service)
        thread = threading.Thread(target=server.run)
        thread.start()
        with StateFile(Path(folder) / "state.json", service.products), ChatarminOS(_KEY, base_url=server.url) as client:
            until = perf_counter() + 5
            while perf_counter() < until:
                start = perf_counter()
                client.features.set_access(external_org_id="org_1", feature_code="sso", is_enabled=True)
                waits.append(perf_counter() - start)
        server.stop()
        thread.join()
    ratio = max(waits) / dumps
    figure = f"{max(waits) * 1000:.0f} ms"
    return Row("longest wait while the state is saved, beside `json.dumps`", figure, f"{ratio:.2f}", "≤ 1", ratio <= 1)
