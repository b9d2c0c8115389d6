"""A service on loopback that responds as no service should, and keeps the received requests."""

from __future__ import annotations

import socket
import ssl
import struct
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path


class RudeService:
    """It sends the same bytes on every connection, and then nothing more.

    Args:
        answer: The response to a request; None: it sends nothing and resets the connection.
        certificate: A file with a certificate, for TLS.
        is_silent: It says nothing and waits for the client to go.

    Attributes:
        port: Where it is.
        heads: The head of every request that came, as text.
        connections: How many connections there were.
    """

    def __init__(self, answer: bytes | None, *, certificate: Path | None = None, is_silent: bool = False) -> None:
        """Start to listen."""
        self._answer, self._is_silent = answer, is_silent
        self._context: ssl.SSLContext | None = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.heads: list[str] = []
        self.connections = 0
        self._talks: list[tuple[Thread, socket.socket]] = []
        self._is_over = False
        self._thread = Thread(target=self._serve)
        self._thread.start()

    @property
    def url(self) -> str:
        """The base URL for clients."""
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}/api/v1"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        socket.create_connection(("127.0.0.1", self.port)).close()  # it wakes up to see that it is over
        self._thread.join()
        self._listening.close()
        for thread, connection in self._talks:
            with suppress(OSError):  # it has ended already
                connection.shutdown(socket.SHUT_RDWR)
            thread.join()
            connection.close()

    def _serve(self) -> None:
        """Accept connections until it is over, each for a thread of its own."""
        while True:
            connection, _ = self._listening.accept()
            if self._is_over:
                connection.close()
                return
            self.connections += 1
            thread = Thread(target=self._begin, args=[connection])
            self._talks.append((thread, connection))
            thread.start()

    def _begin(self, connection: socket.socket) -> None:
        """Talk on a connection, in whatever way it ends."""
        with suppress(OSError):  # the client has gone, or does not trust it
            if self._context is None:
                self._talk(connection)
                connection.close()
            else:
                with self._context.wrap_socket(connection.dup(), server_side=True) as secure:
                    self._talk(secure)
                connection.shutdown(socket.SHUT_RDWR)

    def _talk(self, connection: socket.socket) -> None:
        """Respond to the requests of a connection until it ends."""
        text = b""
        while piece := connection.recv(65536):
            text += piece
            if not text[:1].isalpha():  # TLS to a plain port
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                return
            head, is_whole, body = text.partition(b"\r\n\r\n")
            if not is_whole or self._is_silent:
                continue
            _, _, length = head.lower().partition(b"content-length: ")
            if len(body) < int(length.split(b"\r\n")[0] or 0):
                continue
            self.heads.append(head.decode("latin-1"))
            if self._answer is None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            connection.sendall(self._answer)
            head, _, body = self._answer.partition(b"\r\n\r\n")
            if f"content-length: {len(body)}\r\n".encode() not in head + b"\r\n":
                return  # the end of the connection is the end of the answer, or cuts it
            text = b""


def answer(body: str | bytes, status: str = "200 OK", *headers: str, kind: str = "application/json") -> bytes:
    """Return an answer in bytes."""
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", f"content-length: {len(content)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content
