"""Serving the fake on a socket, and keeping its state in a file."""

from __future__ import annotations

import json
import logging
import os
import threading
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from chatarmin_os.fake.server._service import BASE, LARGEST_BODY, AnswerLost, FakeService, refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import TracebackType
    from wsgiref.types import StartResponse, WSGIEnvironment

    from chatarmin_os.fake import FakeTransport
    from chatarmin_os.fake.server._products import Products

_THREADS = 16  # so many requests may wait out their latency at once
_MOST_CONNECTIONS = 1_000
_ERRORS = {413: "PAYLOAD_TOO_LARGE", 500: "INTERNAL_SERVER_ERROR", 501: "NOT_IMPLEMENTED"}  # of waitress, by status
_PAUSE = 0.5  # seconds between two writings of the state file
_queue_log = logging.getLogger("chatarmin_os.server.queue")
_queue_log.setLevel(logging.ERROR)  # waitress warns of each request that waits for a thread, which is no trouble here


class CannotServe(Exception):  # noqa: N818 - it says what it is
    """The fake cannot be served, and why: a library that is missing, a port in use, a file that is no state."""


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
            channels, tasks = import_module("waitress.channel"), import_module("waitress.task")
            servers, loop = import_module("waitress.server"), import_module("waitress.wasyncore")
        except ImportError as missing:
            told = "the server is not installed: pip install 'chatarmin-os[server]' brings waitress"
            raise CannotServe(told) from missing

        class ErrorTask(tasks.ErrorTask):  # type: ignore[misc, name-defined]
            """Answers what is no HTTP as tRPC would."""

            def execute(self) -> None:
                error = self.request.error
                answer = refusal(_ERRORS.get(error.code, "BAD_REQUEST"), f"{error.reason}: {error.body}")
                self.status = f"{error.code} {error.reason}"
                self.response_headers.extend(answer.headers.items())
                self.set_close_on_finish()
                self.content_length = len(answer.body)
                self.write(answer.body)

        class Channel(channels.HTTPChannel):  # type: ignore[misc, name-defined]
            """A connection."""

            error_task_class = ErrorTask

        def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            try:
                return service(environ, start_response)
            except AnswerLost:
                raise channels.ClientDisconnected from None  # closes the connection, and says nothing

        self._map: dict[Any, Any] = {}
        self._close_all = loop.close_all
        try:
            self._server = servers.create_server(
                application,
                map=self._map,
                host=host,
                port=port,
                threads=_THREADS,
                connection_limit=_MOST_CONNECTIONS,
                max_request_body_size=4 * LARGEST_BODY,
                ident=None,
                clear_untrusted_proxy_headers=True,
            )
        except (OSError, ValueError) as error:
            self._close_all(self._map)
            reason = getattr(error, "strerror", None) or str(error).rstrip(".")
            raise CannotServe(f"cannot listen at {host}, port {port}: {reason}; try another host or port") from error
        self._server.task_dispatcher.queue_logger = _queue_log
        # A host may have several addresses, each of which is listened at: localhost often has two.
        listening = [one for one in self._map.values() if isinstance(one, servers.BaseWSGIServer)]
        for one in listening:
            one.channel_class = Channel
        self._trigger = listening[0].trigger
        self.port: int = listening[0].effective_port
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self.port}{BASE}"

    def run(self) -> None:
        """Answer requests until `stop` is called, or an exception is raised in this thread."""
        try:
            self._server.run()
        finally:
            self.close()

    def close(self) -> None:
        """Listen no longer, and close all connections; `run` does it by itself."""
        self._server.task_dispatcher.shutdown()
        self._close_all(self._map)

    def stop(self) -> None:
        """Let `run` return; may be called from any thread."""
        with suppress(OSError):  # it has ended already
            self._trigger.pull_trigger(lambda: self._close_all(self._map))


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


class StateFile:
    """Keeps products in a file: loaded when it is made, saved while it is open, whenever they have changed.

    The file is written beside itself and then put in place, so that whoever is killed leaves the last good one.

    Raises:
        CannotServe: The file is no state, or cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], products: Products) -> None:
        self._path, self._products = Path(path), products
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="state file", daemon=True)
        self._saved: object = None
        self.problem: str | None = None
        """Why it could not be saved the last time."""
        self._load()
        try:
            self.save()
        except OSError as error:
            raise CannotServe(f"cannot write {self._path}: {error.strerror}; --state names another file") from error

    def _load(self) -> None:
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise CannotServe(f"cannot read {self._path}: {reason}; --state names another file") from error
        try:
            self._products.load(json.loads(text))
        except (ValueError, RecursionError) as error:
            told = f"{self._path} is no state of the fake, and stays as it is: {error}; --state names another file"
            raise CannotServe(told) from error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()
        self.save()

    def _keep(self) -> None:
        while not self._stopped.wait(_PAUSE):
            try:
                self.save()
            except OSError as error:
                self.problem = f"cannot write {self._path}: {error.strerror}"
            else:
                self.problem = None

    def save(self) -> None:
        """Write the file, if anything has changed since.

        Raises:
            OSError: It cannot be written; what was there is there still.
        """
        edition = self._products.edition()
        if edition == self._saved:
            return
        beside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            with beside.open("w", encoding="utf-8") as file:
                file.writelines(self._products.state_text())
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._path)
        finally:
            beside.unlink(missing_ok=True)
        self._saved = edition
