"""The fake behind real sockets: served by the package, and behind tRPC itself, run by Node.

    FakeServer      POST /api/v1/links.create          the package's own server
    TrpcServer      node trpc_server/server.mjs        both versions of tRPC, plain and with superjson
      -> FakeServer   POST /api/v1/links.create          passes the calls on to the same fakes

The API key decides which fake responds: each test has its own fake, and all share the servers.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from itertools import count
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, NoReturn

from chatarmin_os import ApiError
from chatarmin_os.server import FakeService, Server
from chatarmin_os.server.products import Products

if TYPE_CHECKING:
    from chatarmin_os.fake import FakeTransport

NODE_SERVER = Path(__file__).parent / "trpc_server"


class FakeServer:
    """Serves fakes on loopback, each under its own API key, until it is closed.

    Attributes:
        url: The base URL, for clients and for a `TrpcServer`.
    """

    def __init__(self) -> None:
        service = FakeService()
        service.products = self._products = _GivenProducts()
        self._server = Server(service)
        self.url = self._server.url
        self._numbers = count(1)
        self._thread = Thread(target=self._server.run)
        self._thread.start()

    def add(self, fake: FakeTransport) -> str:
        """Serve *fake*, and return the API key that leads to it."""
        api_key = f"os_sk_test_{next(self._numbers)}"
        self._products.add(api_key, fake)
        return api_key

    def forget(self, api_key: str) -> None:
        """Stop serving the fake of *api_key*: the key is refused from now on."""
        self._products.forget(api_key)

    def close(self) -> None:
        """Stop listening, and end the connections that clients keep open."""
        self._server.stop()
        self._thread.join()


class _GivenProducts(Products):
    """Products without new ones for unknown keys."""

    def create(self, api_key: str) -> NoReturn:  # noqa: ARG002 - all are refused
        raise ApiError.from_code("UNAUTHORIZED", "Invalid or missing API key")


class TrpcServer:
    """Runs tRPC itself, by Node, in front of the fakes of a `FakeServer`, until it is closed.

    Attributes:
        urls: A base URL for each configuration: `v11-plain`, `v11-superjson`, `v10-plain`, `v10-superjson`, and each
            of them with `-nobatching` behind it.
    """

    def __init__(self, url: str) -> None:
        """Start Node and wait until it listens; *url* is that of the `FakeServer`."""
        command = [shutil.which("node") or "node", str(NODE_SERVER / "server.mjs"), url]
        # Node ends with its standard input, so it also ends if this process is killed.
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own server
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            self.close()
            raise RuntimeError(f"node ended with {self._process.returncode}; the reason is on standard error")
        self.urls: dict[str, str] = json.loads(line)

    def close(self) -> None:
        """End Node, and wait for it."""
        try:
            self._process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
