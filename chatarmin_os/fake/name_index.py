"""The search for the most similar names, among a hundred thousand."""

from __future__ import annotations

from itertools import groupby, islice
from typing import TYPE_CHECKING

from chatarmin_os.fake.rules.matching import EQUAL_NAME
from chatarmin_os.fake.rules.names import MAX_TRIGRAMS, name_confidence, trigrams

if TYPE_CHECKING:
    from collections.abc import Iterator


class NameIndex:
    """An index over normalised names.

    Names are numbered in the order they are added. A set of names is an integer with the bits of their numbers, so that
    one operation compares thousands of names: a search among 100,000 takes some ten times as long as among 1,000.

    The first search indexes the names that were added before, so that nobody else pays for it.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._owners: list[list[int]] = []
        self._waiting: list[str] = []  # the last names, which no search has indexed
        self._by_key: dict[str | int, list[int]] = {}  # by trigram, and by number of trigrams
        self._bits: dict[str | int, tuple[int, int]] = {}  # made by searches; with the number of their members
        self._sizes: set[int] = set()

    def add(self, name: str, owner: int) -> None:
        """Add an owner of *name*; owners come in ascending order."""
        number = self._numbers.setdefault(name, len(self._owners))
        if number < len(self._owners):
            self._owners[number].append(owner)
            return
        self._owners.append([owner])
        self._waiting.append(name)

    def equal(self, name: str, *, count: int) -> list[int]:
        """Return the first *count* owners of *name*."""
        number = self._numbers.get(name)
        return [] if number is None else self._owners[number][:count]

    def similar(self, name: str, *, min_percent: int, count: int) -> list[tuple[int, int]]:
        """Return (confidence, owner) of the *count* best other names, from *min_percent* on; ties by owner."""
        grams = trigrams(name)
        if min_percent >= EQUAL_NAME or not 0 < len(grams) <= MAX_TRIGRAMS:
            return []
        self._index_waiting()
        found: list[tuple[int, int]] = []
        for confidence, group in groupby(self._ranked(name, grams, min_percent, count), key=lambda pair: pair[0]):
            owners = sorted(owner for _, number in group for owner in self._owners[number][:count])
            found += [(confidence, owner) for owner in owners[: count - len(found)]]
            if len(found) == count:
                break
        return found

    def _index_waiting(self) -> None:
        """Add the last names to the sets of names with a trigram, or with a number of trigrams."""
        for number, name in enumerate(self._waiting, len(self._owners) - len(self._waiting)):
            grams = trigrams(name)
            if len(grams) <= MAX_TRIGRAMS:
                self._sizes.add(len(grams))
                keys: list[str | int] = [*grams, len(grams)]
                for key in keys:
                    self._by_key.setdefault(key, []).append(number)
        self._waiting.clear()

    def _ranked(self, name: str, grams: frozenset[str], min_percent: int, count: int) -> Iterator[tuple[int, int]]:
        """Yield (confidence, number) of names, best first, with enough ties for the first *count*."""
        others = (1 << len(self._owners)) - 1
        if name in self._numbers:
            others ^= 1 << self._numbers[name]
        sharing = _count([self._names_with(gram) for gram in grams], others)
        kinds = [
            (name_confidence(shared, len(grams) + size - shared), shared, size)
            for shared in range(1, len(sharing))
            for size in self._sizes
            if size >= shared
        ]
        for confidence, shared, size in sorted(kinds, reverse=True):
            if confidence < min_percent:
                return
            names = sharing[shared] & self._names_with(size)
            for number in islice(_numbers(names), count):
                yield confidence, number

    def _names_with(self, key: str | int) -> int:
        """Return the names with a trigram, or with a number of trigrams."""
        bits, known = self._bits.get(key, (0, 0))
        numbers = self._by_key.get(key, [])
        if known < len(numbers):
            new = bytearray(len(self._owners) // 8 + 1)
            for number in numbers[known:]:
                new[number // 8] |= 1 << number % 8
            bits |= int.from_bytes(new, "little")
            self._bits[key] = bits, len(numbers)
        return bits


def _numbers(names: int) -> Iterator[int]:
    """Yield the numbers of a set of names, the lowest first."""
    while names:
        lowest = names & -names
        yield lowest.bit_length() - 1
        names ^= lowest


def _count(sets: list[int], names: int) -> list[int]:
    """Return those of *names* that are in none of *sets*, those that are in exactly one, and so on."""
    by_count = [names]  # those in no or more sets, in one or more, ...
    for members in sets:
        for count in range(len(by_count), 0, -1):
            more = by_count[count - 1] & members
            if count < len(by_count):
                by_count[count] |= more
            elif more:
                by_count.append(more)
    return [some & ~more for some, more in zip(by_count, [*by_count[1:], 0], strict=True)]
