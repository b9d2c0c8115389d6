"""The results of an outbox and a sender."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import field, frozen

from chatarmin_os.models._base import Quantity

OLD_SECONDS = 3600.0
"""The age of the oldest waiting event from which people are warned."""


@frozen(kw_only=True)
class OutboxStats:
    """The content of an outbox.

    Attributes:
        ready: Events that wait to be sent, also those that wait to be sent again.
        leased: Events that a sender has now.
        dead: Events that will not be sent: refused, or too old to be sent again safely.
        dead_quantity: The quantity of the dead events, by their reason.
        oldest_age: Seconds since the oldest ready or leased event was created; None without one.
        bytes: The size of the stored events; None if it is unknown.

    Example:
        >>> from chatarmin_os.outbox import SQLiteOutbox
        >>> outbox = SQLiteOutbox(tmp_path / "usage.db")
        >>> key = outbox.put(external_org_id="org_1", feature_code="ai_credit", quantity=5)
        >>> stats = outbox.stats()
        >>> stats.ready, stats.leased, stats.dead, stats.dead_quantity
        (1, 0, 0, {})
    """

    ready: int
    leased: int
    dead: int
    dead_quantity: Mapping[str, Quantity] = field(hash=False)
    oldest_age: float | None
    bytes: int | None


@frozen(kw_only=True)
class DeadEvent:
    """Usage that will not be sent, unless it is revived.

    Attributes:
        key: Its idempotency key.
        company_id: The company; None if the organisation was never found to be linked.
        external_org_id: Your id of the organisation; None if the company was given.
        feature_code: The feature; empty if the stored event is damaged.
        quantity: The quantity; 0 if the stored event is damaged.
        metadata: Your details.
        created_at: When it was created, in UTC.
        attempts: How many times it may have reached the service.
        reason: The code of the refusal, `"window_expired"`, `"not_linked"`, or `"damaged"`.
        error: The message of the refusal; it may have data of yours, and is not logged.

    Example:
        >>> from chatarmin_os.outbox import Sender, SQLiteOutbox
        >>> outbox = SQLiteOutbox(tmp_path / "usage.db")
        >>> key = outbox.put(company_id="comp_unknown", feature_code="ai_credit", quantity=5)
        >>> Sender(client, outbox).drain().refused
        1
        >>> [event] = outbox.dead()
        >>> event.key == key, event.reason, event.attempts
        (True, 'NOT_FOUND', 1)
    """

    key: str
    company_id: str | None
    external_org_id: str | None
    feature_code: str
    quantity: float
    metadata: dict[str, Any] | None = field(hash=False)
    created_at: datetime
    attempts: int
    reason: str
    error: str


@frozen(kw_only=True)
class DrainReport:
    """The result of one `drain`.

    Attributes:
        counted: Events that the service counted, or had counted before; they are gone.
        refused: Events that are dead now.
        retried: Events that wait to be sent again.
        left: Events that are in the outbox, ready and leased.
        requests: Requests of usage that were sent.
        stopped: Why it ended: `"empty"` (nothing can be sent now), `"deadline"`, `"limit"`, `"unauthorized"` (the key
            was refused, or the service has no such procedure), or `"outage"` (no response, or nothing but 5xx, 408,
            429 and 499).

    Example:
        >>> from chatarmin_os.outbox import Sender, SQLiteOutbox
        >>> outbox = SQLiteOutbox(tmp_path / "usage.db")
        >>> Sender(client, outbox).drain().stopped
        'empty'
    """

    counted: int = 0
    refused: int = 0
    retried: int = 0
    left: int = 0
    requests: int = 0
    stopped: str = "empty"
