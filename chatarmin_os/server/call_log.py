"""The log of calls that products have received, bounded in bytes."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict, deque
from itertools import count
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chatarmin_os._json import JSON
    from chatarmin_os._request import Kind

MAX_LOG_BYTES = 16 * 2**20
"""The limit for the calls of all products together; beyond it, the oldest call of any product is dropped."""
MAX_VALUE_BYTES = 64 * 2**10
"""An input or a response whose JSON is longer is not logged."""
MAX_MESSAGE_CHARACTERS = 1_000
"""An error's message is cut there."""
MAX_CALLS = 500
"""The limit for the calls of one product."""

_ENTRY_BYTES = 1_000  # an entry without its texts: measured 700 to 900


class Received(TypedDict):
    """A call and its response."""

    number: int
    at: str
    path: str
    kind: Kind
    input: JSON
    answer: JSON
    error: dict[str, str] | None
    ms: float


class CallLog:
    """The last calls of several owners. Inputs and responses are stored as text, whose size is known.

    Parsed JSON takes up to twenty times the bytes of its text, so that a dozen small requests could fill the memory.
    """

    def __init__(self, max_bytes: int = MAX_LOG_BYTES) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[int, tuple[deque[int], int, dict[str, Any]]] = OrderedDict()
        self._serials = count()
        self._lock = threading.Lock()
        self.bytes = 0

    def append(self, owner: deque[int], call: Received) -> None:
        """Add a call of an owner; *owner* lists the owner's entries."""
        entry: dict[str, Any] = {**call, "input": _text(call["input"]), "answer": _text(call["answer"])}
        size = _ENTRY_BYTES + len(entry["input"]) + len(entry["answer"])
        if call["error"]:
            entry["error"] = {name: text[:MAX_MESSAGE_CHARACTERS] for name, text in call["error"].items()}
            size += len(entry["error"]["message"])
        with self._lock:
            serial = next(self._serials)
            self._entries[serial] = (owner, size, entry)
            owner.append(serial)
            self.bytes += size
            if len(owner) > MAX_CALLS:
                self._drop(owner[0])
            while self.bytes > self._max_bytes:
                self._drop(next(iter(self._entries)))

    def read(self, owner: deque[int], after: float = 0, last: int = MAX_CALLS) -> list[Received]:
        """Return an owner's calls with a higher number than *after*, oldest first, at most the *last* ones."""
        with self._lock:
            entries = [self._entries[serial][2] for serial in owner]
        return [_parse(call) for call in entries[-last:] if call["number"] > after]

    def clear(self, owner: deque[int]) -> None:
        """Drop all calls of an owner."""
        with self._lock:
            while owner:
                self._drop(owner[0])

    def _drop(self, serial: int) -> None:
        """Drop an entry, the oldest one of its owner."""
        owner, size, _ = self._entries.pop(serial)
        owner.popleft()
        self.bytes -= size


def _text(value: JSON) -> str:
    text = json.dumps(value)
    return text if len(text) <= MAX_VALUE_BYTES else json.dumps(f"({len(text):,} bytes of JSON, not logged)")


def _parse(call: Mapping[str, Any]) -> Received:
    parsed: Any = {**call, "input": json.loads(call["input"]), "answer": json.loads(call["answer"])}
    return parsed  # type: ignore[no-any-return]
