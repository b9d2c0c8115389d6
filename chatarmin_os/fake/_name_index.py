"""Which names are most like a given one, among a hundred thousand, without looking at each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os.fake.rules.matching import EQUAL_NAME
from chatarmin_os.fake.rules.names import name_confidence, trigrams

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIRST_BLOCK = 10  # 2 ** 10 names; each block after the second holds twice as many as the one before


class NameIndex:
    """An inverted index over normalised names.

    Names are numbered in the order they come and held in blocks of 1,024, 1,024, 2,048, 4,096 ...: for each block the
    names that have a trigram, by trigram. A search goes from block to block and asks each only for what would still
    be among the best: the more it has found, the fewer trigrams a name may miss, and the fewer lists are looked at.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._owners: list[list[int]] = []
        self._sizes: list[int] = []
        self._blocks: list[tuple[int, dict[str, set[int]]]] = []  # with the first owner in it

    def add(self, name: str, owner: int) -> None:
        """Add an owner of *name*; owners come in ascending order."""
        number = self._numbers.get(name)
        if number is not None:
            self._owners[number].append(owner)
            return
        number = self._numbers[name] = len(self._owners)
        self._owners.append([owner])
        grams = trigrams(name)
        self._sizes.append(len(grams))
        if (number >> _FIRST_BLOCK).bit_length() == len(self._blocks):
            self._blocks.append((owner, {}))
        _, block = self._blocks[-1]
        for gram in grams:
            block.setdefault(gram, set()).add(number)

    def best(self, name: str, *, least: int, count: int) -> list[tuple[int, int]]:
        """Return (confidence, owner) of the *count* best, not below *least* percent; equals by owner."""
        found: list[tuple[int, int]] = []
        exact = self._numbers.get(name)
        if exact is not None and least <= EQUAL_NAME:
            found = [(EQUAL_NAME, owner) for owner in self._owners[exact][:count]]
        grams = trigrams(name)
        for first_owner, block in self._blocks:
            if len(found) == count:
                # What comes now can be among the best by more points, or by as many and an earlier owner.
                confidence, owner = found[-1]
                least = max(least, confidence + (owner < first_owner))
            fresh = [
                (confidence, owner)
                for number, confidence in self._similar(grams, block, least)
                if number != exact
                for owner in self._owners[number][:count]
            ]
            if fresh:
                found = sorted(found + fresh, key=lambda pair: (-pair[0], pair[1]))[:count]
        return found

    def _similar(self, grams: frozenset[str], block: dict[str, set[int]], least: int) -> Iterator[tuple[int, int]]:
        """Yield the names of *block* that share enough with *grams*, and the percentage that each gives.

        A name that gives *least* percent misses at most so many of *grams*. They are gone through from the rarest
        on, sorting names by how many they have missed; who misses one more falls out at the end.
        """
        none: set[int] = set()
        may_miss = len(grams) + (-least * len(grams) // EQUAL_NAME)
        missed: list[set[int]] = []
        seen: set[int] = set()
        for posting in sorted((block.get(gram, none) for gram in grams), key=len):
            falling = none
            for count, names in enumerate(missed):
                staying = names & posting
                missed[count], falling = staying | falling, names - staying
            if len(missed) <= may_miss:
                missed.append((posting - seen) | falling)
                seen |= posting
            elif not any(missed):
                return
        for count, names in enumerate(missed):
            shared = len(grams) - count
            for number in names:
                confidence = name_confidence(shared, len(grams) + self._sizes[number] - shared)
                if confidence >= least:
                    yield number, confidence
