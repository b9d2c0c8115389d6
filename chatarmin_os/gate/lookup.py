"""One check, on its way to its result."""

from __future__ import annotations

from chatarmin_os.errors import ChatarminError
from chatarmin_os.gate.answers import Listing, Missing
from chatarmin_os.gate.decision import Decision
from chatarmin_os.gate.fences import Key
from chatarmin_os.gate.flight import Flight

Result = Decision | dict[str, Decision] | ChatarminError


class Lookup:
    """One check by any method of the gate.

    Attributes:
        key: The organisation or the company.
        feature: The feature; None: all.
        deadline: The instant on the real clock at which it gives up.
        result: The decision, the decisions by feature, or the error to raise; None: not yet.
        flight: The refresh that it waits for.
        joined: If another lookup began that: the keys whose changes it was known to concern.
        listed: The listing that was asked for on its behalf.
        missing: That the service did not know the feature, which an older listing does not explain.
        has_first: Whether it has the time of the first refresh of a process.
        logs: What to log once the lock is free.
    """

    __slots__ = ("deadline", "feature", "flight", "has_first", "joined", "key", "listed", "logs", "missing", "result")

    def __init__(self, key: Key, feature: str | None, deadline: float) -> None:
        self.key, self.feature, self.deadline = key, feature, deadline
        self.result: Result | None = None
        self.flight: Flight | None = None
        self.joined: list[Key] | None = None
        self.listed: Listing | None = None
        self.missing: Missing | None = None
        self.has_first = False
        self.logs: list[tuple[int, str, tuple[object, ...]]] = []
