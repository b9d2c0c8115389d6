"""Connections of the local service: waitress, with bounds on their number and on the time of each."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any, cast

from chatarmin_os._clock import monotonic
from chatarmin_os.server.app import refusal, status_line

MAX_FULL_SECONDS = 5.0
"""How long a connection may idle, receive or send while no further one can be accepted."""
REST_SECONDS = 0.5
"""The pause before the next attempt if the system had no file descriptor for a connection."""

_MAX_IDLE_SECONDS = 120.0
_MAX_TRANSFER_SECONDS = 30.0  # for one request to arrive, and for one answer to be taken
_MIN_CONNECTIONS, _MAX_CONNECTIONS = 4, 1_000
_RESERVED_FILES = 32  # for what is no connection: the state file, large bodies that waitress keeps in files
_ERRORS = {413: "PAYLOAD_TOO_LARGE", 500: "INTERNAL_SERVER_ERROR", 501: "NOT_IMPLEMENTED"}  # of waitress, by status

_server_log = logging.getLogger("chatarmin_os.server")
_server_log.setLevel(logging.ERROR)  # waitress warns each time that the limit of connections is reached; here once


def listener_class() -> Any:  # noqa: C901 - four small classes, whose bases may be missing
    """Return waitress's server with our connections.

    Raises:
        ImportError: waitress is not installed.
    """
    # The extra `server` may be missing, also where it was there before.
    import waitress.channel as channels  # type: ignore[import-untyped]
    import waitress.parser as parsers  # type: ignore[import-untyped]
    import waitress.server as servers  # type: ignore[import-untyped]
    import waitress.task as tasks  # type: ignore[import-untyped]

    class ErrorTask(tasks.ErrorTask):  # type: ignore[misc]
        """Answers what is no HTTP as tRPC would."""

        def execute(self) -> None:
            error = cast("Any", self.request).error  # the stubs know another request
            answer = refusal(_ERRORS.get(error.code, "BAD_REQUEST"), f"{error.reason}: {error.body}")
            self.status = status_line(answer.status)
            self.response_headers = list(answer.headers.items())
            self.set_close_on_finish()
            self.content_length = len(answer.body)
            self.write(answer.body)

    class Parser(parsers.HTTPRequestParser):  # type: ignore[misc]
        """Refuses what the parser below it fails over."""

        path = ""  # there is none where the first line is broken, and the log asks for it

        def parse_header(self, header_plus: bytes) -> None:
            try:
                super().parse_header(header_plus)
            except ValueError as error:
                raise parsers.ParsingError(str(error)) from None

    class Channel(channels.HTTPChannel):  # type: ignore[misc]
        """A connection."""

        parser_class, error_task_class = Parser, ErrorTask
        answers = 0
        _phase: object = None
        _phase_began = 0.0

        def service(self) -> None:
            super().service()
            self.answers += 1

        def is_overdue(self, now: float, *, is_full: bool) -> bool:
            """Return whether it has idled, or received or sent the same message, for too long.

            The time of a whole message counts, so that bytes that trickle in do not prolong it.
            """
            is_sending = self.total_outbufs_len > 0
            phase = (self.request, self.answers, is_sending, len(self.requests))
            if phase != self._phase:
                self._phase, self._phase_began = phase, now
            if self.requests and not is_sending:
                return False  # the answer is being made
            is_idle = self.request is None and not is_sending
            at_most = MAX_FULL_SECONDS if is_full else _MAX_IDLE_SECONDS if is_idle else _MAX_TRANSFER_SECONDS
            return now - self._phase_began > at_most

        def handle_error(self) -> None:
            if isinstance(sys.exception(), OSError):
                self.handle_close()  # no file for a large body: nobody can do more about it, or needs a traceback
            else:
                super().handle_error()

    class Listener(servers.TcpWSGIServer):  # type: ignore[misc]
        """Accepts connections, as many as there are file descriptors for."""

        channel_class = Channel
        logger = _server_log
        _rests_until = 0.0

        @property
        def is_full(self) -> bool:
            return bool(self.in_connection_overflow) or monotonic() < self._rests_until

        def readable(self) -> bool:
            return super().readable() and not self.is_full

        def accept(self) -> Any:
            try:
                return super().accept()
            except OSError:
                # No file descriptor is left: the connection is still waiting, and would be reported again at once.
                self._rests_until = monotonic() + REST_SECONDS
                return None

    return Listener


def connection_limit() -> int:
    """Return how many connections there are file descriptors for; each takes one."""
    try:
        import resource
    except ImportError:  # pragma: no cover - Windows
        return _MAX_CONNECTIONS
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open(os.devnull, "rb") as lowest_free:  # noqa: PTH123 - its number is what counts
        left = allowed - lowest_free.fileno() - _RESERVED_FILES
    return _MAX_CONNECTIONS if allowed < 0 else min(_MAX_CONNECTIONS, max(left, _MIN_CONNECTIONS))
