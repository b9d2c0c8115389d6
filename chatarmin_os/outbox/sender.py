"""Delivers the events of an outbox."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from datetime import timedelta
from random import SystemRandom
from typing import Any

from chatarmin_os import _clock
from chatarmin_os._input import Number, at_field, positive_seconds, seconds
from chatarmin_os._json import describe
from chatarmin_os.client import ChatarminOS, ensure_client
from chatarmin_os.errors import ChatarminError, InvalidInput
from chatarmin_os.outbox import forks
from chatarmin_os.outbox.base import Outbox, positive
from chatarmin_os.outbox.companies import Companies
from chatarmin_os.outbox.delivery import Sizes
from chatarmin_os.outbox.drain import Drain, Learned, Settings
from chatarmin_os.outbox.errors import OutboxError
from chatarmin_os.outbox.records import OLD_SECONDS, DrainReport
from chatarmin_os.outbox.signals import Stop, stopped_by

_log = logging.getLogger("chatarmin_os")

_MAX_BATCH = 50  # the largest request of the client


class Sender:
    """Takes events from an outbox and reports them to the service.

    Any number of senders share an outbox, in any number of processes. All of them have the same *lease*.

    Policies:
        - **Leases**: an event is with one sender at a time, for *lease* seconds; the events of a sender that was killed
          are sent by others after that. No order is promised.
        - **Twice** is prevented by the idempotency key, within the service's memory of keys (*window*): an event whose
          first attempt is older than that, less an hour, is dead (`"window_expired"`) instead of sent. One that never
          may have reached the service is sent at any age.
        - **Refused** with a 4xx code: dead at once, with the code as its reason. **Failed** (no answer, 5xx, 408, 429,
          499): sent again after a random 0.5 to 1 second, doubling to 5 minutes, and not before Retry-After (which
          counts up to a day).
        - **Stops**: a refused key, or a service without such a procedure, stops the sender, and it keeps everything.
          After two requests without an answer a drain ends.
        - **Organisations** are looked up in batches, and companies that are found are remembered for a minute. One that
          is not linked is looked up again; after a day the event is dead (`"not_linked"`).
        - **Billing period**: usage has no time of its own. An event that is delivered after its period ended is billed
          in the next one. A WARNING is logged when the oldest event is older than an hour.

    Args:
        client: The client; its own retries are not used.
        outbox: The outbox.
        batch: How many events a request has at most; more than 50 count as 50.
        lease: Seconds for which an event is leased.
        window: How long the service remembers idempotency keys, more than an hour. An assumption: its documentation
            does not say.
        gate: A gate that learns the answers, if it has another client than this one.
        now: Returns the seconds since 1970; default: the clock of the machine.
        random: Returns a number from 0 to 1, for waits.

    Raises:
        InvalidInput: An invalid argument, which the error names.
        TypeError: *client*, *outbox* or *gate* is something else.

    Example:
        >>> from chatarmin_os.outbox import Sender, SQLiteOutbox
        >>> company = client.onboard(external_org_id="org_1", tier_code="free").company_id
        >>> outbox = SQLiteOutbox(tmp_path / "usage.db")
        >>> keys = [outbox.put(company_id=company, feature_code="ai_credit", quantity=5) for _ in range(3)]
        >>> Sender(client, outbox).drain()
        DrainReport(counted=3, refused=0, retried=0, left=0, requests=1, stopped='empty')
    """

    def __init__(
        self,
        client: ChatarminOS,
        outbox: Outbox,
        *,
        batch: int = 50,
        lease: Number = 30.0,
        window: timedelta = timedelta(hours=24),
        gate: Any = None,
        now: Callable[[], float] | None = None,
        random: Callable[[], float] | None = None,
    ) -> None:
        ensure_client(client)
        if not isinstance(outbox, Outbox):
            raise TypeError(f"outbox: expected an Outbox, got {describe(outbox)}")
        if gate is not None and not callable(getattr(gate, "watch", None)):
            raise TypeError(f"gate: expected a chatarmin_os.gate.Gate, got {describe(gate)}")
        now = _clock.wall if now is None else now
        self._outbox = outbox
        self._settings = Settings(
            client=client.with_options(max_retries=0),
            outbox=outbox,
            lease=at_field("lease", _interval)(lease),
            window=at_field("window", _window)(window),
            now=now,
            random=SystemRandom().random if random is None else random,
        )
        self._learned = Learned(Sizes(min(at_field("batch", positive)(batch), _MAX_BATCH)), Companies(now))
        if gate is not None:
            gate.watch(client)
        self._is_old = False
        self._failure: type[Exception] | None = None  # that was logged last
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._poll = 1.0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} from {self._outbox!r} to {self._settings.client!r}>"

    def drain(self, *, deadline: Number | None = None, limit: int | None = None) -> DrainReport:
        """Deliver the events that can be sent now.

        Args:
            deadline: Seconds from now after which nothing more is sent; the request under way ends at about that time.
            limit: How many events are taken at most.

        Raises:
            InvalidInput: An invalid argument, which the error names.
            OutboxUnavailable: The outbox cannot be read or written.

        Example:
            >>> from chatarmin_os.outbox import Sender, SQLiteOutbox
            >>> fake.fail("billing.trackUsage", error="lost")
            >>> outbox = SQLiteOutbox(tmp_path / "usage.db")
            >>> key = outbox.put(company_id="comp_1", feature_code="ai_credit", quantity=5)
            >>> report = Sender(client, outbox).drain(deadline=10)
            >>> report.retried, report.left, report.stopped
            (1, 1, 'outage')
        """
        left = None if deadline is None else at_field("deadline", _wait)(deadline)
        count = None if limit is None else at_field("limit", positive)(limit)
        return self._drain(lambda: False, deadline=left, limit=count)[0]

    def run(self, *, poll: Number = 1.0, stop: threading.Event | None = None) -> None:
        """Deliver events as they come, until *stop* is set or SIGTERM is received.

        Args:
            poll: Seconds to wait when nothing can be sent.
            stop: Ends it, after the request under way.

        Raises:
            InvalidInput: *poll* is not a number above 0.
            UnauthorizedError: The key was refused; all events are kept.
            NotFoundError: The service has no such procedure; all events are kept.

        Example:
            >>> import threading
            >>> from chatarmin_os.outbox import Sender, SQLiteOutbox
            >>> stop = threading.Event()
            >>> stop.set()
            >>> Sender(client, SQLiteOutbox(tmp_path / "usage.db")).run(stop=stop)
        """
        interval = at_field("poll", _interval)(poll)
        event = threading.Event() if stop is None else stop
        with stopped_by(event, signal.SIGTERM) as stopped:
            self._run(interval, stopped)

    def start(self, *, poll: Number = 1.0) -> None:
        """Deliver in a thread of this process, until `stop`; a second call does nothing.

        After a fork the child starts a thread of its own at its first `put`. The thread does not keep the process
        alive: events that are left are sent later.

        Args:
            poll: Seconds to wait when nothing can be sent.

        Raises:
            InvalidInput: *poll* is not a number above 0.

        Example:
            >>> from chatarmin_os.outbox import Sender, SQLiteOutbox
            >>> sender = Sender(client, SQLiteOutbox(tmp_path / "usage.db"))
            >>> sender.start()
            >>> sender.stop()
        """
        self._poll = at_field("poll", _interval)(poll)
        if self._thread is None or not self._thread.is_alive() or self._stop.is_set():
            self._stop = threading.Event()
            self._thread = threading.Thread(
                target=self._run_in_thread, args=(self._stop,), name="chatarmin_os-outbox", daemon=True
            )
            forks.register(self, self._outbox)
            self._thread.start()

    def stop(self, deadline: Number = 5.0) -> None:
        """End the thread after the request under way; drain nothing more.

        Args:
            deadline: Seconds to wait for it.

        Raises:
            InvalidInput: *deadline* is not a number of at least 0.

        Example:
            >>> from chatarmin_os.outbox import Sender, SQLiteOutbox
            >>> Sender(client, SQLiteOutbox(tmp_path / "usage.db")).stop()
        """
        left = at_field("deadline", _wait)(deadline)
        forks.forget(self)
        self._stop.set()
        if self._thread is not None:
            self._thread.join(left)

    def _restart(self) -> None:
        """Start a thread, in a child of the process in which it was started."""
        self._thread = None
        self.start(poll=self._poll)

    def _drain(
        self, is_stopped: Callable[[], bool], *, deadline: float | None = None, limit: int | None = None
    ) -> tuple[DrainReport, ChatarminError | None]:
        drain = Drain(self._settings, self._learned, deadline=deadline, limit=limit, is_stopped=is_stopped)
        report = drain.run()
        self._failure = None
        self._warn_of_age(drain.oldest_age)
        return report, drain.refusal

    def _drain_or_log(
        self, is_stopped: Callable[[], bool], *, deadline: float | None = None, limit: int | None = None
    ) -> tuple[DrainReport, ChatarminError | None] | None:
        """Drain, or log the error of the outbox: once, until it works again."""
        try:
            return self._drain(is_stopped, deadline=deadline, limit=limit)
        except OutboxError as error:
            if self._is_news(error):
                _log.error("%s", error)
            return None

    def _is_news(self, error: Exception) -> bool:
        """Return whether an error differs from the one before, with no success in between."""
        before, self._failure = self._failure, type(error)
        return before is not self._failure

    def _warn_of_age(self, age: float | None) -> None:
        was_old, self._is_old = self._is_old, age is not None and age > OLD_SECONDS
        if self._is_old and not was_old:
            _log.warning(
                "usage waits in the outbox for more than an hour; if its billing period ends, the next one includes it"
            )

    def _run(self, poll: float, stop: threading.Event | Stop) -> None:
        while not stop.is_set():
            done = self._drain_or_log(stop.is_set)
            if done is not None and done[1] is not None:
                raise done[1]
            stop.wait(poll)

    def _run_in_thread(self, stop: threading.Event) -> None:
        try:
            self._run_on(stop)
        finally:
            self._outbox._end_thread()

    def _run_on(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self._run(self._poll, stop)
            except ChatarminError as error:
                _log.error("the sender of the outbox ends: %s", error)
                return
            except Exception as error:  # noqa: BLE001 - a defect must not end the delivery
                if self._is_news(error):
                    _log.exception("the sender of the outbox failed; it goes on")
                stop.wait(self._poll)


def _wait(value: Number) -> float:
    """Return seconds of at least 0 for which a thread can wait."""
    if seconds(value) > threading.TIMEOUT_MAX:
        raise InvalidInput(f"must be at most {threading.TIMEOUT_MAX:.0f} seconds, got {describe(value)}")
    return float(value)


def _interval(value: Number) -> float:
    """Return seconds above 0 for which a thread can wait."""
    return _wait(positive_seconds(value))


def _window(value: timedelta) -> timedelta:
    if not isinstance(value, timedelta) or value <= timedelta(0):
        raise InvalidInput(f"expected a timedelta above 0, got {describe(value)}")
    return value
