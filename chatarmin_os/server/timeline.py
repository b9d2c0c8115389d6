"""What has happened to each company of a product: changes, usage and refusals, each with its call.

A timeline outlives the log of calls: it keeps changes, not inputs and responses. Usage and refusals are kept apart
from the other events, so that many of them do not crowd out a sign-up or a change of tier.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from chatarmin_os._json import short_repr, timestamp_text
from chatarmin_os.server.bounded_log import BoundedLog
from chatarmin_os.server.changes import Watch, is_usage
from chatarmin_os.server.packed import pack, unpack

if TYPE_CHECKING:
    from datetime import datetime

    from chatarmin_os._json import JSON
    from chatarmin_os.fake.catalogue import Catalogue
    from chatarmin_os.server.changes import Change

MAX_USAGE_BYTES = 32 * 2**20
"""The limit for the usage and refusals of all products together."""
MAX_OTHER_BYTES = 16 * 2**20
"""The limit for the other events of all products together."""
MAX_USAGE_EVENTS = 1_000
"""The limit for the usage and refusals of one company."""
MAX_OTHER_EVENTS = 500
"""The limit for the other events of one company."""

_MAX_TEXT = 500  # characters of a fact
_EVENT_BYTES = 150  # an event without its content: measured 100 to 120, with a tuple, a number and a time
_MAX_PENDING = 32  # events that are settled together, which is faster than each by itself
_PRODUCT = ""  # owns the events of the whole product


class Event(NamedTuple):
    """What a call, or a test control, has changed.

    Attributes:
        number: The number of the call; None: a test control.
        at: The time of the service.
        path: The path of the call, or the name of the test control.
        outcome: The code of its error; `ok`: none.
        change: What has changed, or why it was refused; or what can be asked for it.
    """

    number: int | None
    at: datetime
    path: str
    outcome: str
    change: Change | Watch


_Packed: TypeAlias = "tuple[int, datetime, bytes]"
"""An event as it is kept: its id, its time, and packed: number, path, outcome and change."""


class Logs:
    """The timelines of all products, bounded together."""

    def __init__(self, usage_bytes: int = MAX_USAGE_BYTES, other_bytes: int = MAX_OTHER_BYTES) -> None:
        self.usage: BoundedLog[_Packed] = BoundedLog(usage_bytes, MAX_USAGE_EVENTS)
        self.other: BoundedLog[_Packed] = BoundedLog(other_bytes, MAX_OTHER_EVENTS)


class Timeline:
    """The events of one product by company; one thread at a time records, settles and clears."""

    def __init__(self, logs: Logs | None = None) -> None:
        self._logs = logs or Logs()
        self._usage: dict[str, list[int]] = {}  # by company
        self._other: dict[str, list[int]] = {}
        self._pending: list[tuple[str | None, Event]] = []
        self._count = 0

    def record(self, company_id: str | None, event: Event) -> None:
        """Add an event of a company; None: of the whole product."""
        self._pending.append((company_id, event))
        if len(self._pending) >= _MAX_PENDING:
            self.settle()

    def settle(self) -> None:
        """Find the changes of the last events, and keep them packed; call it before you read."""
        for company_id, (number, at, path, outcome, change) in self._pending:
            found = change.change() if isinstance(change, Watch) else change
            self._count += 1
            content = pack((number, path, outcome, found))
            is_frequent = company_id is not None and is_usage(found)
            log, owners = (self._logs.usage, self._usage) if is_frequent else (self._logs.other, self._other)
            owner = owners.setdefault(company_id or _PRODUCT, [])
            log.add(owner, (self._count, at, content), _EVENT_BYTES + len(content))
        self._pending.clear()

    def page(
        self, company_id: str, catalogue: Catalogue, *, before: float | None, limit: int
    ) -> tuple[list[JSON], bool]:
        """Return the newest events of a company, newest first, and whether there are more.

        Events of the whole product are among them, but those before the sign-up of the company.
        """
        own = self._events(company_id)
        first = own[0][0] if own and "created" in unpack(own[0][2])[-1] else 0
        whole = [event for event in self._logs.other.entries(self._other.get(_PRODUCT, [])) if event[0] > first]
        events = sorted([*own, *whole], reverse=True)
        matching = (event for event in events if before is None or event[0] < before)
        shown: list[JSON] = [_to_json(event, catalogue) for event in islice(matching, limit)]
        return shown, next(matching, None) is not None

    def levels(self, company_id: str, catalogue: Catalogue) -> dict[str, list[list[Any]]]:
        """Return by feature the moments at which its usage or its limits changed, oldest first.

        Each is a time, usage before, usage, limit, included and billable quantity.
        """
        from chatarmin_os.server.words import levels  # late: only a reader needs it

        found: dict[str, list[list[Any]]] = {}
        for _, at, content in self._events(company_id):
            *_, change = unpack(content)
            for code, level in levels(change, catalogue):
                found.setdefault(code, []).append([timestamp_text(at), *level])
        return found

    def _events(self, company_id: str) -> list[_Packed]:
        """Return a company's events, oldest first."""
        return sorted(
            self._logs.usage.entries(self._usage.get(company_id, []))
            + self._logs.other.entries(self._other.get(company_id, []))
        )

    def clear(self) -> None:
        """Delete all events."""
        self._pending.clear()
        for log, owners in ((self._logs.usage, self._usage), (self._logs.other, self._other)):
            for owner in owners.values():
                log.clear(owner)
            owners.clear()


def _to_json(event: _Packed, catalogue: Catalogue) -> dict[str, Any]:
    """Return an event as it is shown."""
    from chatarmin_os.server.words import facts  # late: only a reader needs it

    event_id, at, content = event
    number, path, outcome, change = unpack(content)
    return {
        "id": event_id,
        "number": number,
        "at": timestamp_text(at),
        "path": path,
        "outcome": outcome,
        "facts": [
            {"kind": fact.kind, "text": short_repr(fact.text, _MAX_TEXT, str)}
            for fact in facts(change, catalogue, path)
        ],
    }
