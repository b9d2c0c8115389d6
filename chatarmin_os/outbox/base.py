"""The interface of outboxes, for views and for senders."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from chatarmin_os._input import Number, at_field, identifier, items
from chatarmin_os._json import describe
from chatarmin_os._usage_event import UsageEvent
from chatarmin_os._watching import outboxes
from chatarmin_os.errors import InvalidInput
from chatarmin_os.outbox.changes import Change
from chatarmin_os.outbox.errors import OutboxError
from chatarmin_os.outbox.records import DeadEvent, OutboxStats
from chatarmin_os.outbox.stored import Claimed, Stored, from_arguments, from_events, to_event
from chatarmin_os.procedures.billing import TrackUsageInput


class Outbox(ABC):
    """Keeps usage until a `Sender` has delivered it: durable, and counted once.

    Policies:
        - **Durable**: an event is stored when `put` returns, and stays until the service has counted or refused it.
        - **Once**: an event has one idempotency key, with which it is sent however often. The same key with the same
          values is the same event.
        - **Private**: the ids, the quantity and your metadata are stored, as JSON; names and addresses are not.

    Example:
        >>> from chatarmin_os.outbox import Outbox, SQLiteOutbox
        >>> isinstance(SQLiteOutbox(tmp_path / "usage.db"), Outbox)
        True
    """

    _restart_senders: Callable[[Outbox], None] | None = None  # set in a forked child

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Return a new outbox, about which telemetry may report."""
        outbox = super().__new__(cls)
        outboxes.add(outbox)
        return outbox

    def put(
        self,
        *,
        company_id: str | UUID | None = None,
        external_org_id: str | UUID | None = None,
        feature_code: str,
        quantity: Number,
        idempotency_key: str | UUID | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> str:
        """Store usage, which a sender will report to the service, and return its idempotency key.

        Args:
            company_id: The company.
            external_org_id: Your id of the organisation, instead of the company: the sender looks the company up.
            feature_code: The feature.
            quantity: The quantity, above 0.
            idempotency_key: The text that names the event; default: a new UUID. The key of an event that waits
                already stores nothing.
            metadata: Details to keep with the event, as JSON.

        Raises:
            InvalidInput: An invalid argument, not exactly one of the two ids, or the key of an event that has other
                values.
            OutboxFull: The outbox has its maximum size.
            OutboxUnavailable: It is busy, or cannot be written.

        Example:
            >>> from chatarmin_os.outbox import SQLiteOutbox
            >>> outbox = SQLiteOutbox(tmp_path / "usage.db")
            >>> usage = {"external_org_id": "org_1", "feature_code": "ai_credit", "quantity": 5}
            >>> outbox.put(**usage, idempotency_key="job_1"), outbox.put(**usage, idempotency_key="job_1")
            ('job_1', 'job_1')
            >>> outbox.stats().ready
            1
        """
        stored = from_arguments(
            self._now(), company_id, external_org_id, feature_code, quantity, idempotency_key, metadata
        )
        self._put_all([stored])
        return stored.key

    def put_many(self, events: Iterable[TrackUsageInput | UsageEvent]) -> list[str]:
        """Store many events, all or none of them, and return their keys in order.

        Args:
            events: Requests, such as the `.request` of an error, or events. They count as never sent: put those that
                failed at once, as the service remembers their keys for about a day.

        Raises:
            InvalidInput: As `put`; the place in *events* is named.
            OutboxFull: As `put`.
            OutboxUnavailable: As `put`.

        Example:
            >>> from chatarmin_os.outbox import SQLiteOutbox, UsageEvent
            >>> event = UsageEvent(company_id="comp_1", feature_code="seats", quantity=5, idempotency_key="job_1")
            >>> SQLiteOutbox(tmp_path / "usage.db").put_many([event])
            ['job_1']
        """
        stored = from_events(self._now(), events)
        if stored:
            self._put_all(list({event.key: event for event in stored}.values()))
        return [event.key for event in stored]

    def _put_all(self, events: Sequence[Stored]) -> None:
        if self._restart_senders is not None:
            self._restart_senders(self)
        try:
            self._store(events)
        except OutboxError as error:
            error.event = to_event(events[0])
            raise

    @abstractmethod
    def stats(self) -> OutboxStats:
        """Return the content of the outbox.

        Raises:
            OutboxUnavailable: It cannot be read.

        Example:
            >>> from chatarmin_os.outbox import SQLiteOutbox
            >>> SQLiteOutbox(tmp_path / "usage.db").stats().ready
            0
        """

    def dead(self, *, limit: int = 100) -> list[DeadEvent]:
        """Return events that will not be sent, the oldest first.

        Args:
            limit: How many at most.

        Raises:
            InvalidInput: *limit* is not an integer above 0.
            OutboxUnavailable: The outbox cannot be read.

        Example:
            >>> from chatarmin_os.outbox import SQLiteOutbox
            >>> SQLiteOutbox(tmp_path / "usage.db").dead(limit=10)
            []
        """
        return self._dead(at_field("limit", positive)(limit))

    def revive(self, keys: Iterable[str] | None = None) -> int:
        """Let dead events be sent again, their attempts forgotten, and return how many.

        An event that may have been counted before, and is older than the service's memory of keys, counts twice.

        Args:
            keys: Their idempotency keys; None: all dead events.

        Raises:
            InvalidInput: *keys* is not a list of texts.
            OutboxUnavailable: The outbox cannot be written.

        Example:
            >>> from chatarmin_os.outbox import SQLiteOutbox
            >>> SQLiteOutbox(tmp_path / "usage.db").revive()
            0
        """
        return self._revive(None if keys is None else _keys(keys))

    def discard(self, keys: Iterable[str]) -> int:
        """Remove dead events for ever, and return how many.

        Args:
            keys: Their idempotency keys.

        Raises:
            InvalidInput: *keys* is not a list of texts.
            OutboxUnavailable: The outbox cannot be written.

        Example:
            >>> from chatarmin_os.outbox import SQLiteOutbox
            >>> SQLiteOutbox(tmp_path / "usage.db").discard(["job_1"])
            0
        """
        return self._discard(_keys(keys))

    @abstractmethod
    def close(self) -> None:
        """Close the connections of this process.

        Example:
            >>> from chatarmin_os.outbox import SQLiteOutbox
            >>> SQLiteOutbox(tmp_path / "usage.db").close()
        """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # For the methods above

    @abstractmethod
    def _now(self) -> float:
        """Return the seconds since 1970."""

    @abstractmethod
    def _store(self, events: Sequence[Stored]) -> None:
        """Store events with different keys, all or none.

        One that is tried has one attempt, at its creation, or one more if its key waits; a sender that has it then
        loses it until its lease would have ended.

        Raises:
            InvalidInput: A key waits with other values.
        """

    @abstractmethod
    def _dead(self, limit: int) -> list[DeadEvent]: ...

    @abstractmethod
    def _revive(self, keys: list[str] | None) -> int: ...

    @abstractmethod
    def _discard(self, keys: list[str]) -> int: ...

    # For senders and telemetry

    def _place(self) -> Hashable:
        """Return where the events are: equal for outboxes that have the same."""
        return repr(self)

    def _end_thread(self) -> None:  # noqa: B027 - most have nothing to do
        """Close what the thread of a started sender has for itself, at its end."""

    @abstractmethod
    def _waiting(self) -> tuple[int, float | None]:
        """Return how many events are ready or leased, and the age of the one that was put first, in seconds.

        It is faster than `stats`, and may miss an event that was created before the one that was put first.
        """

    @abstractmethod
    def _claim(
        self, owner: str, count: int, changes: Sequence[Change], *, lease: float, now: Callable[[], float]
    ) -> tuple[list[Change], list[Claimed]]:
        """Make changes as `apply` does, and lease events that can be sent now to *owner*, in one transaction.

        An event with a company counts as tried from now on, but is returned with its earlier attempts. A lease or wait
        that began in the future has ended: the clock was set back.

        Args:
            owner: A text that no other sender has.
            count: How many events at most.
            changes: Changes to events that *owner* has.
            lease: Seconds.
            now: Returns the seconds since 1970; called when others are locked out.
        """

    @abstractmethod
    def _apply(self, owner: str, changes: Sequence[Change], *, lease: float, now: Callable[[], float]) -> list[Change]:
        """Make changes to events that *owner* has, in one transaction, and return those that were made.

        The others are of events whose lease has ended.
        """


def positive(value: int) -> int:
    """Return an integer above 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidInput(f"expected an integer above 0, got {describe(value)}")
    return value


def _keys(keys: Iterable[str]) -> list[str]:
    given = at_field("keys", lambda value: items(value, of="keys"))(keys)
    return [at_field(f"keys[{place}]", identifier)(key) for place, key in enumerate(given)]
