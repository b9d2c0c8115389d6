"""The outbox: usage that is never lost and never counted twice, also while the service does not answer.

    >>> from chatarmin_os.outbox import Sender, SQLiteOutbox
    >>> company = client.onboard(external_org_id="org_1", tier_code="free")
    >>> outbox = SQLiteOutbox(tmp_path / "usage.db")
    >>> key = outbox.put(external_org_id="org_1", feature_code="ai_credit", quantity=5)  # in a request
    >>> Sender(client, outbox).drain().counted  # elsewhere
    1

Where to look: `base` is the interface, for views and senders; `sqlite`, `sqlite_file`, `rows` and `salvage` are the
outbox in a file, `redis_outbox` and `redis_scripts` the one in Redis. `sender` has the methods and the thread, `drain`
delivers, and `delivery` decides, by pure functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os._lazy import lazy_exports

if TYPE_CHECKING:
    from chatarmin_os._usage_event import UsageEvent
    from chatarmin_os.outbox.base import Outbox
    from chatarmin_os.outbox.errors import OutboxError, OutboxFull, OutboxUnavailable
    from chatarmin_os.outbox.records import DeadEvent, DrainReport, OutboxStats
    from chatarmin_os.outbox.redis_outbox import RedisOutbox
    from chatarmin_os.outbox.sender import Sender
    from chatarmin_os.outbox.sqlite import SQLiteOutbox

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "chatarmin_os._usage_event": ("UsageEvent",),
        "chatarmin_os.outbox.base": ("Outbox",),
        "chatarmin_os.outbox.errors": ("OutboxError", "OutboxFull", "OutboxUnavailable"),
        "chatarmin_os.outbox.records": ("DeadEvent", "DrainReport", "OutboxStats"),
        "chatarmin_os.outbox.redis_outbox": ("RedisOutbox",),
        "chatarmin_os.outbox.sender": ("Sender",),
        "chatarmin_os.outbox.sqlite": ("SQLiteOutbox",),
    },
)

__all__ = [
    "DeadEvent",
    "DrainReport",
    "Outbox",
    "OutboxError",
    "OutboxFull",
    "OutboxStats",
    "OutboxUnavailable",
    "RedisOutbox",
    "SQLiteOutbox",
    "Sender",
    "UsageEvent",
]
