"""Serving the fake on a socket."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from chatarmin_os._clock import monotonic
from chatarmin_os.server.app import BASE, LARGEST_BODY, AnswerLost, FakeService
from chatarmin_os.server.state import CannotServe
from chatarmin_os.server.waitress import MAX_FULL_SECONDS, REST_SECONDS, connection_limit, listener_class

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from wsgiref.types import StartResponse, WSGIEnvironment

    from chatarmin_os.fake import FakeTransport

_THREADS = 32  # so many requests may wait out their latency at once
_log = logging.getLogger("chatarmin_os")
_queue_log = logging.getLogger("chatarmin_os.server.queue")
_queue_log.setLevel(logging.ERROR)  # waitress warns of each request that waits for a thread, which is no trouble here


class Server:
    """A service on a socket that listens already; `run` answers until `stop` is called.

    Args:
        service: What answers.
        host: The address to listen at.
        port: The port; 0: any that is free.

    Raises:
        CannotServe: waitress is not installed, or the address cannot be listened at.
    """

    def __init__(self, service: FakeService, host: str = "127.0.0.1", port: int = 0) -> None:
        try:
            listener = listener_class()
            import waitress.channel as channels  # type: ignore[import-untyped]
            import waitress.task as tasks  # type: ignore[import-untyped]
            import waitress.wasyncore as loop  # type: ignore[import-untyped]
            from waitress import adjustments
        except ImportError as missing:
            told = "the server is not installed: pip install 'chatarmin-os[server]' brings waitress"
            raise CannotServe(told) from missing

        def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            try:
                return service(environ, start_response)
            except AnswerLost:
                raise channels.ClientDisconnected from None  # closes the connection, and says nothing

        if not 0 <= port < 2**16:  # others would be taken for a rest of them
            raise CannotServe(f"cannot listen at {host}, port {port}: there is no such port; try another host or port")
        self._map: dict[Any, Any] = {}
        self._loop, self._close_all = loop.loop, loop.close_all
        self._workers = tasks.ThreadedTaskDispatcher()
        self._workers.queue_logger = _queue_log
        try:
            settings = adjustments.Adjustments(
                host=host,
                port=port,
                connection_limit=connection_limit(),
                max_request_body_size=4 * LARGEST_BODY,
                outbuf_overflow=4 * LARGEST_BODY,  # answers are in memory already, and files are scarce
                ident=None,
                clear_untrusted_proxy_headers=True,
            )
            # A host may have several addresses, each of which is listened at: localhost often has two.
            self._listening = [
                listener(application, self._map, dispatcher=self._workers, adj=settings, sockinfo=address)
                for address in settings.listen
            ]
        except (OSError, ValueError) as error:
            self._close_all(self._map)
            reason = getattr(error, "strerror", None) or str(error).rstrip(".")
            raise CannotServe(f"cannot listen at {host}, port {port}: {reason}; try another host or port") from error
        self._next_check = 0.0
        self._has_warned = False
        self._lock = threading.RLock()  # stop and close may be called by a signal's handler
        self._is_stopped = self._is_closed = False
        self._ends_it: int | None = None
        self._ended = threading.Event()
        self.port: int = self._listening[0].effective_port
        here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - all addresses: this one is among them
        shown = f"[{here}]" if ":" in here else here
        self.url = f"http://{shown}:{self.port}{BASE}"

    def run(self) -> None:
        """Answer requests until `stop` or `close` is called, or KeyboardInterrupt or SystemExit is raised here.

        It returns at once where it was closed before, or runs in another thread.
        """
        if not self._is_to_end_here():
            return
        try:
            with suppress(KeyboardInterrupt, SystemExit):
                self._workers.set_thread_count(_THREADS)
                while not self._is_stopped:
                    self._loop(timeout=REST_SECONDS, use_poll=True, map=self._map, count=1)
                    self._close_overdue()
        finally:
            self._end()

    def _close_overdue(self) -> None:
        """Close connections that others may need; say it once if there are as many as there can be."""
        now = monotonic()
        is_full = any(one.is_full for one in self._listening)
        if is_full and not self._has_warned:
            self._has_warned = True
            _log.warning(
                "%d connections are open, which is all that the limit of open files allows (ulimit -n); "
                "further ones wait until one of them ends, or does nothing for %g seconds",
                sum(len(one.active_channels) for one in self._listening),
                MAX_FULL_SECONDS,
            )
        if now < self._next_check:
            return
        self._next_check = now + REST_SECONDS
        for one in self._listening:
            for channel in list(one.active_channels.values()):
                if channel.is_overdue(now, is_full=is_full):
                    channel.will_close = True  # nothing that it still sends is read
                    channel.handle_close()

    def close(self) -> None:
        """Listen no longer, and end all connections; `run` does so at its end, which another thread waits for here."""
        self.stop()
        if self._is_to_end_here():
            self._end()
        elif self._ends_it != threading.get_ident():  # or a signal's handler would wait for what it interrupts
            self._ended.wait()

    def _is_to_end_here(self) -> bool:
        """Return whether this thread is the first that runs or closes it: that one ends it, and no other."""
        with self._lock:
            if self._ends_it is not None:
                return False
            self._ends_it = threading.get_ident()
            return True

    def _end(self) -> None:
        with self._lock:
            self._is_closed = True
        try:
            for one in self._listening:
                for channel in list(one.active_channels.values()):
                    channel.handle_close()
            self._workers.shutdown()
            self._close_all(self._map)  # last: the workers wake the loop by what is closed here
        finally:
            self._ended.set()

    def stop(self) -> None:
        """Let `run` return; may be called from any thread."""
        self._is_stopped = True
        with self._lock:
            if not self._is_closed:
                self._listening[0].trigger.pull_trigger()


@contextmanager
def serve_fake(fakes: Mapping[str, FakeTransport] | None = None, *, port: int = 0, **settings: Any) -> Iterator[str]:
    """Serve the fake on loopback while a test runs, and yield its base URL.

    Args:
        fakes: Fakes by the API keys that lead to them, for a test that arranges them.
        port: The port; 0: any that is free.
        **settings: As `FakeService` takes them.

    Raises:
        CannotServe: waitress is not installed, or the port is in use.

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
