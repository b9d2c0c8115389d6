"""Responses that are read within the deadline of their exchange."""

from __future__ import annotations

import io
from http.client import HTTPResponse, IncompleteRead
from typing import TYPE_CHECKING, Any

from chatarmin_os.transports.http.exchange import Phase

if TYPE_CHECKING:
    import socket

    from chatarmin_os.transports.http.exchange import Exchange

_INTERIM, _SWITCHING = (102, 103), 101


class TimedIO(io.RawIOBase):
    """The bytes from a socket; each read may take until the deadline."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, exchange: Exchange) -> None:
        self._raw, self._sock, self._exchange = raw, sock, exchange
        self.is_ended = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read into the buffer and return the number of bytes, 0 at the end."""
        if self.is_ended:
            return 0
        exchange = self._exchange
        self._sock.settimeout(exchange.time_left())
        count = self._raw.readinto(buffer)
        exchange.was_closed = count == 0
        exchange.phase = Phase.READING
        return count

    def close(self) -> None:
        """Close the reading side of the socket."""
        self._raw.close()
        super().close()


class Reader(io.BufferedReader):
    """The reader of one response; bytes that are left at its end would be read as the next response."""

    def __init__(self, raw: TimedIO, exchange: Exchange) -> None:
        super().__init__(raw)
        self._timed, self._exchange = raw, exchange

    def close(self) -> None:
        """Note whether bytes are left, without waiting for more, and close."""
        if not self.closed:
            self._timed.is_ended = True
            self._exchange.has_trailing_data = bool(self.peek(1))
        super().close()


class Response(HTTPResponse):
    """A response that is read within the deadline of its exchange."""

    # `close` reads it, also after an interrupt in `__init__`: Python 3.13 reports an error of a finalizer.
    fp: Any = None

    def __init__(self, sock: socket.socket, *args: Any, exchange: Exchange, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._exchange = exchange
        exchange.phase = Phase.WAITING
        exchange.response = self
        stream, self.fp = self.fp, None  # a detached stream cannot be closed
        self.fp = Reader(TimedIO(stream.detach(), sock, exchange), exchange)

    def begin(self) -> None:
        """Read the head of the response, also if interim ones come before it.

        http.client skips status 100 only, and would leave the response to the next call. It takes a head that is cut
        off for a short one.
        """
        super().begin()
        while self.status in _INTERIM and not self._exchange.was_closed:
            self.headers = None  # type: ignore[assignment]  # http.client reads a head only if it has none
            super().begin()
        if self._exchange.was_closed:
            raise IncompleteRead(b"")
        if self.status == _SWITCHING:
            self.will_close = True  # another protocol follows
