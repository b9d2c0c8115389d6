"""The local service, as one that fails: run by `python kill_service.py SEED RATE`, it ends with its standard input.

Of its requests it refuses some with 429 and 503, lets some wait for longer than a client does before they run, and runs
some whose answers are lost. `/counts` counts the requests by their fault, and `/tables` the tables of the fake.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

from chatarmin_os.server import FakeService, Server
from chatarmin_os.server.app import BASE, ResponseLost

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

KEY = "os_sk_kills"
CLIENT_SECONDS = 1.0
_MAX_HANG_SECONDS = 1.5 * CLIENT_SECONDS
_FAULTS = {"429": 1, "503": 1, "hung": 3, "lost": 5}  # how often each is chosen


class FailingService(FakeService):
    """The local service, of which some requests fail.

    Args:
        seed: Decides which requests fail.
        rate: The fraction of them.
    """

    def __init__(self, seed: int, rate: float) -> None:
        super().__init__()
        self._choose, self._rate = random.Random(seed), rate  # noqa: S311 - a test
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request, or fail."""
        path = environ["PATH_INFO"]
        if not path.startswith(BASE):
            return _document(self._report(path), start_response)
        with self._lock:
            fault = self._fault()
            seconds = self._choose.uniform(0, _MAX_HANG_SECONDS)
            self._counts.update(["requests", "running", fault])
            self._counts["lookups"] += path.count("getByProductLink")
        try:
            return self._fail(fault, seconds, environ, start_response)
        finally:
            with self._lock:
                self._counts["running"] -= 1

    def _fault(self) -> str:
        if self._choose.random() >= self._rate:
            return "answered"
        return self._choose.choices([*_FAULTS], [*_FAULTS.values()])[0]

    def _fail(
        self, fault: str, seconds: float, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        if fault == "429":
            start_response("429 Too Many Requests", [("retry-after", "1"), ("content-length", "0")])
            return []
        if fault == "503":
            start_response("503 Service Unavailable", [("content-length", "0")])
            return []
        if fault == "answered":
            return super().__call__(environ, start_response)
        if fault == "hung":
            time.sleep(seconds)  # it runs late, when its client may have given up and asked again
        super().__call__(environ, lambda *_: lambda _: None)
        raise ResponseLost

    def _report(self, path: str) -> object:
        if path == "/counts":
            with self._lock:
                return dict(self._counts)
        with self.products.for_headers({"x-api-key": KEY}).fake.service.read():
            return self.products.for_headers({"x-api-key": KEY}).fake.snapshot()


def _document(value: object, start_response: StartResponse) -> Iterable[bytes]:
    content = json.dumps(value).encode()
    start_response("200 OK", [("content-type", "application/json"), ("content-length", str(len(content)))])
    return [content]


def main(seed: str, rate: str) -> None:
    """Serve until standard input ends."""
    server = Server(FailingService(int(seed), float(rate)))
    thread = threading.Thread(target=server.run)
    thread.start()
    print(server.url, flush=True)  # noqa: T201 - for the process that started this one
    sys.stdin.read()
    server.stop()
    thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
