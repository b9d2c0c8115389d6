"""Serving the fake on a socket, by waitress."""

from __future__ import annotations

import logging
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

from chatarmin_os.server.app import BASE, MAX_BODY_BYTES, FakeService, ResponseLost, refusal, status_line
from chatarmin_os.server.connections import Connections, connection_limit, listen
from chatarmin_os.server.startup import StartupError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from wsgiref.types import StartResponse, WSGIEnvironment

    from chatarmin_os.fake import FakeTransport

THREADS = 32
"""The number of requests that are carried out, or wait for their latency, at the same time."""

_IN_MEMORY = 2**40  # bytes: waitress keeps nothing in temporary files, which take file descriptors
_log = logging.getLogger("chatarmin_os")


class Server:
    """A service on a socket that listens from now on; `run` answers until `stop` is called.

    Args:
        service: The service.
        host: The address or name to listen at.
        port: The port; 0: any free one.
        max_connections: How many connections may be open; default: as many as there are file descriptors for, at most
            1,000. Each further one ends the one that has been idle longest.

    Attributes:
        port: The port.
        url: The base URL for clients.

    Raises:
        StartupError: waitress is not installed, or the address cannot be listened at.
    """

    def __init__(
        self, service: FakeService, host: str = "127.0.0.1", port: int = 0, *, max_connections: int | None = None
    ) -> None:
        try:
            from waitress import create_server  # type: ignore[import-untyped]
        except ImportError as missing:
            raise StartupError("waitress is not installed: pip install 'chatarmin-os[server]'") from missing
        if not 0 <= port < 2**16:  # getaddrinfo would take the remainder
            raise _listen_error(host, port, "there is no such port")
        self._service = service
        self._connections = Connections(connection_limit() if max_connections is None else max_connections)
        try:
            self._sockets = listen(host, port, self._connections)
        except OSError as error:
            raise _listen_error(host, port, error.strerror or str(error)) from error
        except UnicodeError as error:
            raise _listen_error(host, port, "the name is invalid") from error
        self._stop = _Stop(self._connections)
        self._dispatchers: dict[int, Any] = {self._stop.fileno(): self._stop}
        self._server = create_server(
            self._application,
            map=self._dispatchers,
            sockets=self._sockets,
            threads=THREADS,
            connection_limit=2 * self._connections.limit + 100,  # never reached: `Connections` has the limit
            max_request_body_size=4 * MAX_BODY_BYTES,  # the service itself refuses more than a quarter
            inbuf_overflow=_IN_MEMORY,
            outbuf_overflow=_IN_MEMORY,
            outbuf_high_watermark=_IN_MEMORY,
            asyncore_use_poll=True,
            log_socket_errors=False,
            ident=None,
            clear_untrusted_proxy_headers=True,
        )
        self._owner: int | None = None  # the thread that runs or closes it
        self._lock = threading.RLock()  # a signal's handler may call stop and close
        self._ended = threading.Event()
        self.port: int = self._sockets[0].getsockname()[1]
        reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - these mean all addresses
        self.url = f"http://{f'[{reachable}]' if ':' in reachable else reachable}:{self.port}{BASE}"

    def run(self) -> None:
        """Answer requests until `stop` or `close` is called, or KeyboardInterrupt or SystemExit is raised here.

        It returns at once if it was closed before, or runs in another thread.
        """
        if self._become_owner():
            self._run()

    def _run(self) -> None:
        try:
            with suppress(KeyboardInterrupt, SystemExit), _without_queue_warnings():
                try:
                    self._server.run()
                except BaseException:  # of a signal's handler
                    self.stop()
                    self._server.run()  # returns at once, and has ended the threads
                    raise
        finally:
            with self._lock:
                for dispatcher in list(self._dispatchers.values()):
                    dispatcher.close()
            self._ended.set()

    def _application(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with self._connections.busy(environ) as connection:
            try:
                return self._service(environ, start_response)
            except ResponseLost:
                connection.end()
                response = refusal("SERVICE_UNAVAILABLE", "nobody receives this: the connection has ended")
            except Exception:  # noqa: BLE001 - clients get an envelope, not the plain text of waitress
                _log.exception("%s failed", environ.get("PATH_INFO"))
                response = refusal("INTERNAL_SERVER_ERROR", "Internal server error: a defect of the fake")
            start_response(status_line(response.status), list(response.headers.items()))
            return [response.body]

    def stop(self) -> None:
        """Let `run` return; may be called from any thread."""
        with self._lock:
            self._stop.request()

    def close(self) -> None:
        """Listen no longer, and end all connections; wait for that if another thread runs the service."""
        self.stop()
        if self._become_owner():
            self._run()  # returns at once, and has ended the threads
        elif self._owner != threading.get_ident():  # or a signal's handler would wait for the thread it interrupts
            self._ended.wait()

    def _become_owner(self) -> bool:
        """Return whether this thread is the first to run or close the server: it alone ends it."""
        with self._lock:
            if self._owner is not None:
                return False
            self._owner = threading.get_ident()
            return True


class _Stop:
    """Ends waitress's loop from any thread; the loop treats it as one of its connections."""

    accepting = False

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._receiver, self._sender = socket.socketpair()

    def request(self) -> None:
        with suppress(OSError):  # it is closed
            self._sender.send(b"x")

    def fileno(self) -> int:
        return self._receiver.fileno()

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def handle_read_event(self) -> NoReturn:
        self._connections.end_all()  # clients that still wait get no response
        raise SystemExit

    def close(self) -> None:
        self._receiver.close()
        self._sender.close()


@contextmanager
def _without_queue_warnings() -> Iterator[None]:
    """Silence waitress's warnings of requests that wait for a thread: even the first one does, until threads start."""
    log = logging.getLogger("waitress.queue")

    def is_error(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR

    log.addFilter(is_error)
    try:
        yield
    finally:
        log.removeFilter(is_error)


def _listen_error(host: str, port: int, reason: str) -> StartupError:
    return StartupError(f"cannot listen at {host}, port {port}: {reason}; try another host or port")


@contextmanager
def serve_fake(fakes: Mapping[str, FakeTransport] | None = None, *, port: int = 0, **settings: Any) -> Iterator[str]:
    """Serve the fake on loopback while a test runs, and yield its base URL.

    Args:
        fakes: Fakes by the API keys that lead to them, for a test that arranges them.
        port: The port; 0: any free one.
        **settings: Those of `FakeService`.

    Raises:
        StartupError: waitress is not installed, or the port is in use.

    Example:
        >>> from chatarmin_os import ChatarminOS
        >>> with serve_fake() as url, ChatarminOS("os_sk_test", base_url=url) as client:
        ...     client.onboard(external_org_id="org_1", tier_code="free").link_status
        'created'
    """
    server = Server(FakeService(fakes, **settings), port=port)
    thread = threading.Thread(target=server.run, name="fake service")
    thread.start()
    try:
        yield server.url
    finally:
        server.stop()
        thread.join()
