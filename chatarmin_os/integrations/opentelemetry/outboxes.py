"""Gauges of the outboxes of this process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.metrics import CallbackOptions, Observation

from chatarmin_os._clock import monotonic
from chatarmin_os._watching import Watchers, outboxes

if TYPE_CHECKING:
    from chatarmin_os.outbox.records import OutboxStats

_log = logging.getLogger("chatarmin_os")

_MAX_WAIT_SECONDS, _MAX_AGE_SECONDS = 1.0, 1.0


class OutboxReader:
    """Reads the outboxes for gauges, in a thread: one that hangs must not stop a collection.

    Args:
        max_wait: Seconds for which a collection waits.
        max_age: Seconds for which the content is used again: a collection has several gauges.

    Attributes:
        thread: The thread that reads, or has read.
    """

    def __init__(self, *, max_wait: float = _MAX_WAIT_SECONDS, max_age: float = _MAX_AGE_SECONDS) -> None:
        self._max_wait, self._max_age = max_wait, max_age
        self.thread: threading.Thread | None = None
        self._started = 0.0
        self._found: dict[str, list[OutboxStats]] = {}
        self._read_at = float("-inf")
        self._failed: set[str] = set()

    def read(self) -> dict[str, list[OutboxStats]]:
        """Return the content of the outboxes by the name of their class; nothing while one does not answer."""
        now = monotonic()
        if now - self._read_at > self._max_age:
            thread = self.thread
            if thread is None or not thread.is_alive():
                self._started = now
                thread = threading.Thread(target=self._run, name="chatarmin_os-telemetry", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # Python 3.12 refuses it while the last metrics are collected, at the end
                    return {}
                self.thread = thread
            thread.join(max(0.0, self._started + self._max_wait - now))
            if thread.is_alive():
                self._note("an outbox does not answer")
                return {}
        return self._found

    @suppress_instrumentation()  # no spans of the database, which would be of no request
    def _run(self) -> None:
        found: dict[str, list[OutboxStats]] = {}
        for outbox in {one._place(): one for one in outboxes.alive()}.values():  # noqa: SLF001 - it may be open twice
            name = type(outbox).__name__
            try:
                try:
                    stats = outbox.stats()
                finally:
                    outbox._end_thread()  # noqa: SLF001 - its connection of this thread
            except Exception as error:  # noqa: BLE001 - of any database
                self._note(f"{name} cannot be read: {type(error).__name__}")
            else:
                found.setdefault(name, []).append(stats)
        self._found, self._read_at = found, monotonic()

    def _note(self, problem: str) -> None:
        if problem not in self._failed:
            self._failed.add(problem)
            _log.warning("no metrics of an outbox: %s", problem)


reader = OutboxReader()


def _gauge(value: Callable[[Sequence[OutboxStats]], float]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    """Return the callback of a gauge, from what it makes of the outboxes of one class."""

    def read(_: CallbackOptions) -> Iterable[Observation]:
        found = reader.read() if Watchers.are_any_observed() else {}
        return [Observation(value(stats), {"chatarmin_os.outbox.type": name}) for name, stats in found.items()]

    return read


GAUGES = (
    ("ready", "{event}", "Events that wait to be sent.", _gauge(lambda all_of: sum(one.ready for one in all_of))),
    ("dead", "{event}", "Events that will not be sent.", _gauge(lambda all_of: sum(one.dead for one in all_of))),
    (
        "oldest_age",
        "s",
        "Age of the oldest event that is not sent; 0 without one.",
        _gauge(lambda all_of: max(one.oldest_age or 0.0 for one in all_of)),
    ),
)
