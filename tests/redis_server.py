"""A Redis of its own for a test: on a free port and a Unix socket, in a folder of its own.

with RedisServer(tmp_path) as server:
    server.hang()     it accepts connections, and answers nothing
    server.resume()
    server.kill()     at once, as a machine that is lost
    server.start()    again, empty, on the same port
"""

from __future__ import annotations

import shutil
import signal
import socketserver
import subprocess
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import redis
from ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_STARTS_WITHIN = 30.0  # seconds
OLD_VERSION = "5.0.14"


class RedisServer:
    """Runs a Redis until it is closed.

    Attributes:
        port: Its port on loopback, the same after each start.
        path: Its Unix socket.
        client: A client of it, to look at what is there.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        """Start it with these options of its command line."""
        self.path = str(folder / "redis.sock")
        self.port = free_port()
        self._command = [
            shutil.which("redis-server") or "redis-server",
            *("--bind", "127.0.0.1", "--port", str(self.port), "--unixsocket", self.path, "--dir", str(folder)),
            *("--save", "", "--appendonly", "no", "--daemonize", "no"),
            *options,
        ]
        self.client: Any = redis.Redis(unix_socket_path=self.path)
        self.start()

    def start(self) -> None:
        """Start it, and wait until it listens: it writes a line then."""
        self._process = subprocess.Popen(  # noqa: S603 - our own arguments
            self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self._process.stdout
        lines = []
        for line in self._process.stdout:
            lines.append(line)
            if "eady to accept connections" in line and "unix" not in line.lower():
                return
        raise RuntimeError("".join(lines))

    @property
    def pid(self) -> int:
        """The id of its process."""
        return self._process.pid

    def hang(self) -> None:
        """Stop it where it is: the kernel goes on accepting connections for it."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait(_STARTS_WITHIN)
        assert self._process.stdout
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        if self._process.returncode is None:
            self.kill()


class _OldAnswers(socketserver.StreamRequestHandler):
    """Answers OK, and to INFO with a version that is too old for the outbox, until the client closes the connection."""

    def handle(self) -> None:
        """Answer each command."""
        while count := self.rfile.readline():
            words = [self.rfile.read(int(self.rfile.readline()[1:]) + 2)[:-2] for _ in range(int(count[1:]))]
            text = f"redis_version:{OLD_VERSION}\r\n".encode()
            self.wfile.write(b"$%d\r\n%s\r\n" % (len(text), text) if words[0].upper() == b"INFO" else b"+OK\r\n")


@contextmanager
def old_redis() -> Iterator[int]:
    """Run a server that says it is a Redis of `OLD_VERSION`, and yield its port."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _OldAnswers) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
