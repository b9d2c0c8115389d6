"""What the shared caches on a network have in common: a rest after each failure, and no forgotten deletion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chatarmin_os.gate import resting
from chatarmin_os.gate.resting import MAX_PENDING, RestingCache

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Clock:
    """A clock that a test moves."""

    seconds = 100.0

    def __call__(self) -> float:
        """Return its seconds."""
        return self.seconds


class Remote(RestingCache):
    """A cache in memory that raises `error` if it is set, and counts how often it is asked."""

    _failures = (ConnectionError,)

    def __init__(self, now: Clock | None = None) -> None:
        """Start empty, and without a failure."""
        super().__init__(now)
        self.values: dict[str, object] = {}
        self.error: BaseException | None = None
        self.asked: list[str] = []
        self.during: Callable[[], object] = lambda: None

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        self.during()
        if self.error:
            raise self.error

    def _get(self, key: str) -> object:
        self._ask(f"get {key}")
        return self.values.get(key)

    def _set(self, key: str, value: str, seconds: float) -> None:
        self._ask(f"set {key} {seconds:g}")
        self.values[key] = value

    def _delete(self, keys: Sequence[str]) -> None:
        self._ask(f"delete {' '.join(keys)}")
        for key in keys:
            self.values.pop(key, None)


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands still."""
    return Clock()


@pytest.fixture
def remote(clock: Clock) -> Remote:
    """Return a cache that works."""
    return Remote(clock)


def fails(remote: Remote, act: Callable[[], object], error: BaseException | None = None) -> None:
    """Let the cache fail in an operation, which raises the error; afterwards it works."""
    remote.error = error or ConnectionError("lost")
    with pytest.raises(type(remote.error)) as raised:
        act()
    assert raised.value is remote.error
    remote.error = None
    remote.asked.clear()


def test_values_pass(remote: Remote) -> None:
    """A cache that works is asked each time."""
    remote.set("a", "1", 30)
    assert remote.get("a") == "1"
    remote.delete("a")

    assert remote.get("a") is None
    assert remote.asked == ["set a 30", "get a", "delete a", "get a"]


@pytest.mark.parametrize("value", [b"bytes", 7, ["list"], None], ids=repr)
def test_what_is_not_text_is_missing(remote: Remote, value: object) -> None:
    """A value that another program has put there is none."""
    remote.values["a"] = value

    assert remote.get("a") is None


@pytest.mark.parametrize("seconds", [0, -1])
def test_value_without_a_time_is_deleted(remote: Remote, seconds: float) -> None:
    """What expires at once is not stored, and what was there is gone."""
    remote.set("a", "1", 30)

    remote.set("a", "2", seconds)

    assert remote.values == {}


def test_cache_rests_for_a_second(remote: Remote, clock: Clock) -> None:
    """After a failure, which is raised, the cache is not asked for a second."""
    fails(remote, lambda: remote.get("a"))

    clock.seconds += 0.99
    assert remote.get("a") is None
    remote.set("a", "1", 30)
    remote.delete("b")
    assert remote.asked == []

    clock.seconds += 0.01
    remote.set("a", "2", 30)
    assert remote.get("a") == "2"


def test_real_clock_is_the_default() -> None:
    """Without a clock of its own a cache rests by the real one."""
    remote = Remote()
    fails(remote, lambda: remote.get("a"))

    remote.get("a")

    assert remote.asked == []


@pytest.mark.parametrize(
    "act",
    [lambda remote: remote.get("a"), lambda remote: remote.set("a", "1", 30), lambda remote: remote.delete("a")],
    ids=["get", "set", "delete"],
)
def test_each_failure_starts_a_rest(remote: Remote, clock: Clock, act: Callable[[Remote], object]) -> None:
    """If the first operation after a rest fails too, whichever it is, the cache rests again."""
    fails(remote, lambda: act(remote))
    clock.seconds += 1
    fails(remote, lambda: act(remote))

    clock.seconds += 0.99
    assert remote.get("a") is None

    assert remote.asked == []


def test_one_caller_tries(remote: Remote, clock: Clock) -> None:
    """While the first caller after a rest waits for its answer, the others do not ask; afterwards all do."""
    remote.values["a"] = "1"
    fails(remote, lambda: remote.get("a"))
    clock.seconds += 1
    others: list[str | None] = []
    remote.during = lambda: others.append(remote.get("a"))

    assert remote.get("a") == "1"
    assert others == [None]

    remote.during = lambda: None
    assert remote.get("a") == "1"
    assert remote.asked == ["get a", "get a"]


def test_refusal_is_no_failure(remote: Remote) -> None:
    """An error with which the cache answers is raised, and the cache does not rest: it costs no time."""
    remote.values["a"] = "1"
    fails(remote, lambda: remote.set("a", "2", 30), ValueError("it is full"))

    assert remote.get("a") == "1"


def test_refusal_ends_a_rest(remote: Remote, clock: Clock) -> None:
    """If the first operation after a rest is refused, the cache works again."""
    fails(remote, lambda: remote.get("a"))
    clock.seconds += 1
    fails(remote, lambda: remote.set("a", "2", 30), ValueError("it is full"))

    remote.get("a")

    assert remote.asked == ["get a"]


def test_interrupt_is_no_failure(remote: Remote) -> None:
    """An interrupt says nothing about the cache."""
    fails(remote, lambda: remote.get("a"), KeyboardInterrupt())

    remote.get("a")

    assert remote.asked == ["get a"]


# Deletions


@pytest.mark.parametrize("error", [ConnectionError("lost"), ValueError("read only"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("is_resting", [False, True], ids=["failed", "skipped"])
def test_deletion_is_not_forgotten(remote: Remote, clock: Clock, error: BaseException, *, is_resting: bool) -> None:
    """A deletion that failed or was skipped comes before everything else: the old value is never read."""
    for key in "ab":
        remote.set(key, "old", 30)
    if is_resting:
        fails(remote, lambda: remote.get("x"))
        remote.delete("a")
        remote.delete("b")
        remote.asked.clear()
    else:
        fails(remote, lambda: remote.delete("a"), error)
        remote.during = lambda: None
        fails(remote, lambda: remote.delete("b"), error) if not isinstance(error, ConnectionError) else remote.delete(
            "b"
        )
    clock.seconds += 1

    assert remote.get("a") is None
    assert remote.get("b") is None

    assert remote.asked == ["delete a b", "get a", "get b"]


def test_late_deletion_comes_before_a_new_value(remote: Remote, clock: Clock) -> None:
    """A new value of a key is not lost by a deletion that was skipped before."""
    fails(remote, lambda: remote.get("a"))
    remote.delete("a")
    clock.seconds += 1

    remote.set("a", "new", 30)

    assert remote.get("a") == "new"
    assert remote.asked == ["delete a", "set a 30", "get a"]


def test_skipped_deletions_are_bounded(remote: Remote, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that is away for long does not fill the memory: the oldest deletions are forgotten."""
    assert MAX_PENDING == 10_000
    monkeypatch.setattr(resting, "MAX_PENDING", 3)
    fails(remote, lambda: remote.get("a"))
    for key in "abcd":
        remote.delete(key)
    clock.seconds += 1

    remote.get("a")

    assert remote.asked == ["delete b c d", "get a"]


def test_deletion_during_a_deletion_is_kept(remote: Remote, clock: Clock) -> None:
    """A key that is to be deleted while another thread deletes is deleted too."""
    remote.set("b", "old", 30)
    fails(remote, lambda: remote.get("a"))
    remote.delete("a")
    clock.seconds += 1

    def another_thread() -> None:
        remote.during = lambda: None
        remote.delete("b")  # it is resting for all but the first

    remote.during = another_thread

    assert remote.get("a") is None
    assert remote.get("b") is None
    assert remote.values == {}


class Unhurried(Remote):
    """The same without a timeout."""

    _max_seconds = 0.5


def test_cache_that_is_slow_rests(clock: Clock) -> None:
    """An operation that nothing could end is used, and the next ones are skipped for ten times as long as it took."""
    remote = Unhurried(clock)
    remote.values["key"] = "value"
    remote.during = lambda: setattr(clock, "seconds", clock.seconds + 3)

    assert remote.get("key") == "value"

    clock.seconds += 29
    assert remote.get("key") is None
    assert remote.asked == ["get key"]
    clock.seconds += 1
    assert remote.get("key") == "value"


def test_cache_that_is_quick_does_not_rest(clock: Clock) -> None:
    """An operation may take as long as a check."""
    remote = Unhurried(clock)
    remote.during = lambda: setattr(clock, "seconds", clock.seconds + 0.5)

    remote.set("key", "value", 60)

    assert remote.get("key") == "value"


def test_cache_with_a_timeout_may_use_it(remote: Remote, clock: Clock) -> None:
    """Its own timeout says when it has failed."""
    remote.during = lambda: setattr(clock, "seconds", clock.seconds + 3)

    remote.set("key", "value", 60)

    assert remote.get("key") == "value"
