"""Which names are most like a given one, among a hundred thousand, without looking at each."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from chatarmin_os.fake.rules.matching import EQUAL_NAME
from chatarmin_os.fake.rules.names import MAX_TRIGRAMS, name_confidence, trigrams

if TYPE_CHECKING:
    from collections.abc import Iterator

_NONE: set[int] = set()
_FIRST_BLOCK = 10  # 2 ** 10 names; after a block the index holds four times as many as before it


class _Cell(NamedTuple):
    """Some names that have about as many trigrams each, by what they have."""

    by_gram: dict[str, set[int]]
    by_size: dict[int, set[int]]  # by how many trigrams they have


class _Block(NamedTuple):
    """Some names that came one after another."""

    first_owner: int
    cells: dict[int, _Cell]  # by a quarter of the size


class NameIndex:
    """An inverted index over normalised names.

    Names are numbered in the order they come and held in blocks that end at 1,024, 4,096, 16,384 ... A search goes
    from block to block and asks each only for what would still be among the best: the more it has found, the fewer
    trigrams a name may miss, and the fewer lists are looked at. In a block names are apart by size, for a name with
    many more or fewer trigrams is not alike whatever it shares.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._owners: list[list[int]] = []
        self._blocks: list[_Block] = []

    def add(self, name: str, owner: int) -> None:
        """Add an owner of *name*; owners come in ascending order."""
        number = self._numbers.get(name)
        if number is not None:
            self._owners[number].append(owner)
            return
        number = self._numbers[name] = len(self._owners)
        self._owners.append([owner])
        if number >> _FIRST_BLOCK == 4 ** len(self._blocks) >> 2:
            self._blocks.append(_Block(owner, {}))
        grams = trigrams(name)
        if len(grams) > MAX_TRIGRAMS:
            return
        cell = self._blocks[-1].cells.setdefault(len(grams) // 4, _Cell({}, {}))
        cell.by_size.setdefault(len(grams), set()).add(number)
        for gram in grams:
            cell.by_gram.setdefault(gram, set()).add(number)

    def equal(self, name: str, *, count: int) -> list[int]:
        """Return the first *count* owners of *name*."""
        number = self._numbers.get(name)
        return [] if number is None else self._owners[number][:count]

    def similar(self, name: str, *, least: int, count: int) -> list[tuple[int, int]]:
        """Return (confidence, owner) of the *count* best other names, not below *least* percent; equals by owner."""
        if least >= EQUAL_NAME:
            return []
        found: list[tuple[int, int]] = []
        equal, grams = self._numbers.get(name), trigrams(name)
        if len(grams) > MAX_TRIGRAMS:
            return []
        for block in self._blocks:
            if len(found) == count:
                # What comes now can be among the best by more points, or by as many and an earlier owner.
                confidence, owner = found[-1]
                least = max(least, confidence + (owner < block.first_owner))
            fresh = [
                (confidence, owner)
                for cell in block.cells.values()
                for number, confidence in _similar(grams, cell, least)
                if number != equal
                for owner in self._owners[number][:count]
            ]
            if fresh:
                found = sorted(found + fresh, key=lambda pair: (-pair[0], pair[1]))[:count]
        return found


def _similar(grams: frozenset[str], cell: _Cell, least: int) -> Iterator[tuple[int, int]]:
    """Yield the names of *cell* that are like *grams* by at least *least* percent, and by how much."""
    # 80 * shared / together >= least, solved for what must be shared with the smallest of these names ...
    must_share = -(-least * (len(grams) + min(cell.by_size)) // (EQUAL_NAME + least))
    if must_share > min(len(grams), max(cell.by_size)):
        return
    postings = [names for gram in grams if (names := cell.by_gram.get(gram))]
    for count, names in enumerate(_by_missed(postings, len(postings) - must_share)):
        if names:
            shared = len(postings) - count
            # ... and for the size of the largest that what is shared is enough for.
            largest = min(shared * (EQUAL_NAME + least) // least - len(grams), max(cell.by_size))
            for size in range(shared, largest + 1):
                confidence = name_confidence(shared, len(grams) + size - shared)
                for number in names & cell.by_size.get(size, _NONE):
                    yield number, confidence


def _by_missed(postings: list[set[int]], may_miss: int) -> list[set[int]]:
    """Return the names that are in all of *postings*, in all but one, and so on to all but *may_miss*.

    The lists are gone through from the rarest on, sorting names by how many they have missed; who misses one more
    than it may falls out at the end.
    """
    missed: list[set[int]] = []
    for step, posting in enumerate(sorted(postings, key=len)):
        falling: set[int] = set()
        for count, names in enumerate(missed):
            if names or falling:
                staying = names & posting
                missed[count], falling = staying | falling, names - staying
        if step <= may_miss:
            missed.append(posting.difference(*missed) | falling)
        elif not any(missed):
            break
    return missed
