"""The outbox: usage that is never lost and never counted twice, also while the service does not answer.

    >>> from chatarmin_os.outbox import Sender, SQLiteOutbox
    >>> company = client.onboard(external_org_id="org_1", tier_code="free")
    >>> outbox = SQLiteOutbox(tmp_path / "usage.db")
    >>> key = outbox.put(external_org_id="org_1", feature_code="ai_credit", quantity=5)  # in a request
    >>> Sender(client, outbox).drain().counted  # elsewhere
    1

Where to look:

- **The interface**: `base` has the methods for views and those for senders; `stored` checks an event, and has the forms
  in which an outbox keeps and leases it; `records` and `errors` are what users get.
- **A file**: `sqlite` is the outbox, `sqlite_file` its file with bounds and checkpoints, `rows` the table and all SQL.
  `salvage` replaces a damaged file, and `looking` reads one for a diagnosis, without any change.
- **Redis**: `redis_outbox`; `redis_scripts` has the transactions, in Lua. The outbox in a database is in
  `integrations/django/`.
- **Deliver**: `sender` has the methods and the thread; `drain` is one pass over the events, `companies` looks
  organisations up, and `changes` are written into the outbox. `delivery` decides, by pure functions.
- **Processes**: `forks` starts threads in children, `signals` end a delivery.
- **Commands**: `arguments`, `commands` and `opening` for all command lines; `progress` drains with a bar, and `report`
  is the output.
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
