"""The last changes that the process made: an answer that was asked for before them is not kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TypeAlias

Key: TypeAlias = tuple[str, str]
"""An organisation or a company: ("organisation", id) or ("company", id)."""

EVERYTHING: Key = ("everything", "")


_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class _Fence:
    """The last end of a mutation, and the number of those that are under way."""

    def __init__(self) -> None:
        self.ended = -1
        self.changed_at = _LONG_AGO
        self.under_way = 0


class Fences:
    """The mutations of the process by the organisation or company that they concern.

    A fence beyond that number counts for everything. Its owner has a lock.

    Args:
        max_fences: The number of organisations and companies to remember.
    """

    def __init__(self, max_fences: int) -> None:
        self._max = max_fences
        self._fences: OrderedDict[Key, _Fence] = OrderedDict()
        self._everything = _Fence()
        self._count = 0

    def __len__(self) -> int:
        return len(self._fences)

    def tick(self) -> int:
        """Return the number of a new refresh; fences that end later have higher numbers."""
        self._count += 1
        return self._count

    def begin(self, keys: Iterable[Key]) -> None:
        """Take note of a mutation that is about to be sent."""
        for key in keys:
            self._of(key).under_way += 1

    def end(self, keys: Iterable[Key], at: datetime) -> None:
        """Take note of the end of a mutation that `begin` knows."""
        for key in keys:
            fence = self._of(key)
            fence.under_way = max(0, fence.under_way - 1)
            self._mark(fence, at)
        self._trim()

    def put(self, keys: Iterable[Key], at: datetime) -> None:
        """Take note of a change without a beginning."""
        for key in keys:
            self._mark(self._of(key), at)
        self._trim()

    def touch(self, key: Key, at: datetime) -> None:
        """Take note of usage: it outdates the answers of others, and not a refresh, to which it is applied."""
        fence = self._of(key)
        fence.changed_at = max(fence.changed_at, at)
        self._trim()

    def is_clear(self, keys: Iterable[Key], since: int) -> bool:
        """Return whether a refresh of that number may be kept: no mutation ended since, and none is under way."""
        return all(
            not fence.under_way and fence.ended <= since
            for key in (*keys, EVERYTHING)
            if (fence := self._get(key)) is not None
        )

    def has_ended(self, keys: Iterable[Key], since: int) -> bool:
        """Return whether a mutation ended after the refresh of that number began."""
        return any(fence.ended > since for key in (*keys, EVERYTHING) if (fence := self._get(key)) is not None)

    def is_newer(self, keys: Iterable[Key], fetched_at: datetime) -> bool:
        """Return whether an answer of others was fetched after the last change here, and none is under way."""
        return all(
            not fence.under_way and fence.changed_at < fetched_at
            for key in (*keys, EVERYTHING)
            if (fence := self._get(key)) is not None
        )

    def forget_threads(self, at: datetime) -> list[Key]:
        """End every mutation that is under way, and return their keys.

        The process is a child, and their threads stayed with its parent.
        """
        ended = []
        for key, fence in [(EVERYTHING, self._everything), *self._fences.items()]:
            if fence.under_way:
                fence.under_way = 0
                self._mark(fence, at)
                ended.append(key)
        return ended

    def _get(self, key: Key) -> _Fence | None:
        return self._everything if key == EVERYTHING else self._fences.get(key)

    def _of(self, key: Key) -> _Fence:
        fence = self._get(key)
        if fence is None:
            fence = self._fences[key] = _Fence()
        elif key != EVERYTHING:
            self._fences.move_to_end(key)
        return fence

    def _mark(self, fence: _Fence, at: datetime) -> None:
        fence.ended = self.tick()
        fence.changed_at = max(fence.changed_at, at)

    def _trim(self) -> None:
        while len(self._fences) > self._max:
            key = next((key for key, fence in self._fences.items() if not fence.under_way), None)
            if key is None:
                return
            old = self._fences.pop(key)
            self._everything.ended = max(self._everything.ended, old.ended)
            self._everything.changed_at = max(self._everything.changed_at, old.changed_at)
