"""A log that is bounded in bytes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import MutableSequence

_ENTRY_BYTES = 250  # of an entry, without what is in it: measured 190 to 240

E = TypeVar("E")


class BoundedLog(Generic[E]):
    """The last entries of several owners. An owner is the list of the serial numbers of its entries."""

    def __init__(self, max_bytes: int, max_entries: int) -> None:
        self._max_bytes, self._max_entries = max_bytes, max_entries
        self._entries: dict[int, tuple[MutableSequence[int], int, E]] = {}  # by serial number
        self._first = self._next = 0  # serial numbers; the first entries may be dropped already
        self._lock = threading.Lock()
        self.bytes = 0

    def add(self, owner: MutableSequence[int], entry: E, size: int) -> None:
        """Add an entry with its size in bytes; drop the oldest one of the owner, and of all, beyond the limits."""
        size += _ENTRY_BYTES
        with self._lock:
            serial = self._next
            self._next = serial + 1
            self._entries[serial] = owner, size, entry
            owner.append(serial)
            self.bytes += size
            if len(owner) > self._max_entries:
                self._drop(owner[0])
            while self.bytes > self._max_bytes:
                while self._first not in self._entries:
                    self._first += 1
                self._drop(self._first)

    def entries(self, owner: MutableSequence[int]) -> list[E]:
        """Return an owner's entries, oldest first."""
        with self._lock:
            return [self._entries[serial][2] for serial in owner]

    def clear(self, owner: MutableSequence[int]) -> None:
        """Drop all entries of an owner."""
        with self._lock:
            while owner:
                self._drop(owner[0])

    def _drop(self, serial: int) -> None:
        """Drop an entry, the oldest one of its owner."""
        owner, size, _ = self._entries.pop(serial)
        del owner[0]
        self.bytes -= size
