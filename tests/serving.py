"""The fake behind real sockets: as the package serves it, and behind tRPC itself, run by Node.

    FakeServer      POST /api/v1/links.create          the package's own server
    TrpcServer      node trpc_server/server.mjs        both versions of tRPC, plain and with superjson
      -> FakeServer   POST /api/v1/links.create          asks the same fakes for the answers

Which fake answers is a matter of the API key, so that every test has its own and all share the servers.
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
    """Serves fakes on loopback, each under an API key of its own, until it is closed.

    Attributes:
        url: The base URL for clients.
        door: The URL at which a `TrpcServer` asks the same fakes: that of the clients.
    """

    def __init__(self) -> None:
        service = FakeService()
        service.products = self._products = _Given()
        self._server = Server(service)
        self.url = self.door = self._server.url
        self._numbers = count(1)
        self._thread = Thread(target=self._server.run)
        self._thread.start()

    def add(self, fake: FakeTransport) -> str:
        """Serve *fake*, and return the API key that leads to it."""
        api_key = f"os_sk_test_{next(self._numbers)}"
        self._products.add(api_key, fake)
        return api_key

    def forget(self, api_key: str) -> None:
        """Serve the fake of *api_key* no longer: the key is refused from now on."""
        self._products.forget(api_key)

    def close(self) -> None:
        """Stop listening, and end the connections that clients keep open."""
        self._server.stop()
        self._thread.join()


class _Given(Products):
    """Products of which none is made for a key that no test was given."""

    def _made(self, api_key: str) -> NoReturn:  # noqa: ARG002 - no key is any good
        raise ApiError.from_code("UNAUTHORIZED", "Invalid or missing API key")


class TrpcServer:
    """tRPC itself, run by Node, in front of the fakes of a `FakeServer`, until it is closed.

    Attributes:
        urls: A base URL for each configuration: `v11-plain`, `v11-superjson`, `v10-plain`, `v10-superjson`, and each
            of them with `-nobatching` behind it.
    """

    def __init__(self, door: str) -> None:
        """Start Node and wait until it answers; *door* is that of the `FakeServer`."""
        command = [shutil.which("node") or "node", str(NODE_SERVER / "server.mjs"), door]
        # Node ends when its standard input does, so also when this process is killed.
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own server
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            self.close()
            raise RuntimeError(f"node ended with {self._process.returncode}; it says why on standard error")
        self.urls: dict[str, str] = json.loads(line)

    def close(self) -> None:
        """End Node, and wait for it."""
        try:
            self._process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
