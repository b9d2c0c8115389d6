"""The entries of a gate: a bounded number, the least recently used of which go first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush
from itertools import count

from chatarmin_os.gate.entry import Entry
from chatarmin_os.gate.fences import Key

_MIN_HEAP = 64


class Store:
    """Entries by organisation and by company. Its owner has a lock; only reading the two mappings needs none.

    A use of an entry is one assignment of a higher number, which needs no lock. The heap therefore has the numbers of
    earlier uses; an entry at its top that was used since goes back with its present one.

    Args:
        max_entries: The number of entries to keep.
    """

    def __init__(self, max_entries: int) -> None:
        self._max = max_entries
        self.organisations: dict[str, Entry] = {}
        self.companies: dict[str, Entry] = {}
        self.uses = count(1)
        self._organisations_of: dict[str, set[Key]] = {}
        self._heap: list[tuple[int, int, Entry]] = []
        self._ties = count()

    def __len__(self) -> int:
        return len(self.organisations) + len(self.companies)

    def __iter__(self) -> Iterator[Entry]:
        yield from self.organisations.values()
        yield from self.companies.values()

    def get(self, key: Key) -> Entry | None:
        """Return the entry of a key; None if the store has no such entry."""
        return self._by_id(key).get(key[1])

    def add(self, key: Key, use: int) -> Entry:
        """Add an entry of a key that has none, in the place of the least recently used one if the store is full."""
        if len(self) >= self._max:
            self._evict()
        entry = self._by_id(key)[key[1]] = Entry(key)
        entry.used = use
        heappush(self._heap, (use, next(self._ties), entry))
        return entry

    def set_company(self, entry: Entry, before: str | None) -> None:
        """Take note of the company of an organisation, which was another one before."""
        if entry.key[0] == "organisation" and before != entry.company_id:
            self._forget_company(entry, before)
            if entry.company_id is not None:
                self._organisations_of.setdefault(entry.company_id, set()).add(entry.key)

    def concerned(self, keys: Iterable[Key]) -> list[Entry]:
        """Return the entries of *keys*, and of all organisations of the companies among them."""
        wider = dict.fromkeys(keys)
        for kind, name in tuple(wider):
            if kind == "company":
                wider |= dict.fromkeys(self._organisations_of.get(name, ()))
        return [entry for key in wider if (entry := self.get(key)) is not None]

    def organisations_of(self, company: str) -> set[Key]:
        """Return the organisations that are known to be this company's."""
        return self._organisations_of.get(company, set())

    def remove(self, entry: Entry) -> None:
        """Forget an entry of the store."""
        del self._by_id(entry.key)[entry.key[1]]
        self._forget_company(entry, entry.company_id)
        if len(self._heap) > 2 * len(self) + _MIN_HEAP:
            self._heap = [item for item in self._heap if self.get(item[2].key) is item[2]]
            heapify(self._heap)

    def _evict(self) -> None:
        while True:
            use, _, entry = heappop(self._heap)
            if self.get(entry.key) is not entry:
                continue
            if entry.used == use:
                self.remove(entry)
                return
            heappush(self._heap, (entry.used, next(self._ties), entry))

    def _by_id(self, key: Key) -> dict[str, Entry]:
        return self.organisations if key[0] == "organisation" else self.companies

    def _forget_company(self, entry: Entry, company: str | None) -> None:
        if entry.key[0] == "organisation" and company is not None:
            known = self._organisations_of.get(company, set())
            known.discard(entry.key)
            if not known:
                self._organisations_of.pop(company, None)
