"""The protocol of shared caches, and the one in memory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

from chatarmin_os.fake import FakeTransport
from chatarmin_os.gate import shared_cache
from chatarmin_os.gate.shared_cache import DictCache, SharedCache

if TYPE_CHECKING:
    import pytest


def test_value_is_there_until_it_expires() -> None:
    """A value expires after its time on the given clock, and can be replaced and deleted before."""
    fake = FakeTransport()
    cache = DictCache(now=fake.monotonic)

    cache.set("a", "1", 60)
    cache.set("a", "2", 600)
    cache.set("b", "3", 60)
    fake.advance(timedelta(seconds=61))

    assert (cache.get("a"), cache.get("b"), cache.get("c")) == ("2", None, None)
    cache.delete("a")
    cache.delete("a")
    assert cache.get("a") is None


def test_real_clock_is_the_default() -> None:
    """Without a clock of its own it uses the real one."""
    cache = DictCache()

    cache.set("a", "1", 60)
    cache.set("b", "1", 0)

    assert (cache.get("a"), cache.get("b")) == ("1", None)


def test_oldest_entries_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache is bounded; what was set again is no longer old. A repr shows no key and no value."""
    monkeypatch.setattr(shared_cache, "_MAX_ENTRIES", 3)
    cache = DictCache()

    for key in "abcad":
        cache.set(key, "1", 60)

    assert [cache.get(key) for key in "abcd"] == ["1", None, "1", "1"]
    assert repr(cache) == "<DictCache with 3 entries>"


def test_threads_share_it() -> None:
    """Threads that set, get and delete the same keys do not disturb each other."""
    cache = DictCache()

    def work(number: int) -> None:
        for turn in range(2_000):
            key = str(turn % 7)
            cache.set(key, f"{number}", 60)
            assert cache.get(key) in {None, *"01234567"}
            cache.delete(key)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))


def test_protocol_is_three_methods() -> None:
    """Any object with the three methods is a shared cache."""

    class Own:
        def get(self, key: str) -> str | None:
            return key

        def set(self, key: str, value: str, seconds: float) -> None: ...

        def delete(self, key: str) -> None: ...

    assert isinstance(Own(), SharedCache)
    assert not isinstance({}, SharedCache)
