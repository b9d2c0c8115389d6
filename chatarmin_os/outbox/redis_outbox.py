"""The outbox in Redis: a stream and a consumer group."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from chatarmin_os import _clock
from chatarmin_os._input import at_field, text
from chatarmin_os._redis import own_pool
from chatarmin_os.outbox import redis_scripts
from chatarmin_os.outbox.base import Outbox
from chatarmin_os.outbox.changes import Bury, Change, Delay, Remove, Try
from chatarmin_os.outbox.errors import OutboxFull, OutboxUnavailable
from chatarmin_os.outbox.records import DeadEvent, OutboxStats
from chatarmin_os.outbox.stored import Claimed, Stored, as_number, is_same, other_values, to_dead_event

if TYPE_CHECKING:
    import redis as _redis

_log = logging.getLogger("chatarmin_os")

T = TypeVar("T")

_MIN_VERSION = (6, 2)
_MAX_EVENTS = 200  # of one lease: Redis does nothing else while a script runs


class RedisOutbox(Outbox):
    """An outbox in a Redis 6.2 or later, for any number of processes and machines; it needs the extra `redis`.

    Policies:
        - **Durable**: as Redis is. An event that `put` returned survives a power failure with `appendonly yes` and
          `appendfsync always`; with `everysec` the last second is lost, without `appendonly` all since the last
          snapshot. A replica that takes over may lack the last events. Nothing here is trimmed or expires; a
          `maxmemory-policy` that evicts keys loses usage, and is logged at WARNING: use `noeviction`.
        - **No answer**: a connection that fails is not tried again. `OutboxUnavailable` says so, and the event may be
          stored if Redis had received it: put it again with the key of `error.event`, and it is stored once.
        - **Full**: at `maxmemory` `put` raises `OutboxFull`; senders go on.
        - **Leases** are by the clock of Redis. Entries that were given to another consumer of the group `senders` are
          taken from it after the time of a lease.
        - **Connections** of its own, with the settings of *redis*, over RESP 2; a timeout that it lacks is 5 seconds.
        - **Threads and forks**: as redis-py; a forked child opens connections of its own.

    Args:
        redis: A `redis.Redis` of one server. Clients of Sentinel and of clusters, and asynchronous ones, are refused.
        name: The key of the stream; other keys begin with the same name in braces.
        now: Returns the seconds since 1970; default: the clock of Redis, the same for all machines.

    Raises:
        InvalidInput: *redis* is not a client of one server, or *name* is blank.
        ImportError: redis-py is not installed.

    Example:
        >>> import redis
        >>> from chatarmin_os.outbox import RedisOutbox
        >>> RedisOutbox(redis.Redis())  # it connects at the first `put`
        <RedisOutbox 'chatarmin_os:usage'>
    """

    def __init__(
        self,
        redis: _redis.Redis,
        *,
        name: str = "chatarmin_os:usage",
        now: Callable[[], float] | None = None,
    ) -> None:
        try:
            from redis import Redis, RedisError, ResponseError
        except ImportError as missing:
            raise ImportError("RedisOutbox needs redis-py: pip install 'chatarmin-os[redis]'") from missing
        self._name = at_field("name", text)(name)
        self._clock = now
        pool = own_pool(redis, field="redis", instead="give the client of the one server that has the stream")
        self._client: Any = Redis(connection_pool=pool)
        self._failures = (RedisError, OSError)
        self._refusal: type[Exception] = ResponseError
        self._is_checked = False
        prefix = name if "{" in name or "}" in name else f"{{{name}}}"  # the same slot as the stream
        self._keys = [name.encode(), *(f"{prefix}:{part}".encode() for part in redis_scripts.PARTS)]
        scripts = redis_scripts.PUT, redis_scripts.SEND, redis_scripts.STATS, redis_scripts.DEAD, redis_scripts.OF_DEAD
        self._put, self._send, self._read, self._list, self._of_dead = map(self._client.register_script, scripts)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name!r}>"

    def close(self) -> None:
        """Close the connections of this process; the next use opens new ones."""
        self._client.connection_pool.disconnect()

    def stats(self) -> OutboxStats:
        """Return the content of the outbox."""
        now, waiting, leased, oldest, tally = self._run(self._read, [self._instant()])
        dead: dict[str, Decimal] = {}
        count = 0
        for name, number in zip(tally[::2], map(int, tally[1::2]), strict=True):
            reason, quantity = json.loads(_text(name))
            dead[reason] = dead.get(reason, Decimal(0)) + Decimal(quantity) * number
            count += number
        return OutboxStats(
            ready=waiting - leased,
            leased=leased,
            dead=count,
            dead_quantity={reason: as_number(quantity) for reason, quantity in dead.items()},
            oldest_age=_age(now, oldest),
            bytes=self._doing(self._size),
        )

    def _waiting(self) -> tuple[int, float | None]:
        """Return how many events are ready or leased, and the age of the oldest one, in seconds."""
        now, waiting, _, oldest, _ = self._run(self._read, [self._instant()])
        return waiting, _age(now, oldest)

    def _size(self) -> int | None:
        """Return the memory of all keys, as Redis estimates it; None if it does not say."""
        try:
            return sum(self._client.memory_usage(key) or 0 for key in self._keys)
        except self._refusal:
            return None

    def _store(self, events: Sequence[Stored]) -> None:
        left = {event.key: event for event in events}
        while left:
            values = [
                _bytes(value)
                for event in left.values()
                for value in (
                    event.key,
                    event.input,
                    event.company or "",
                    event.organisation or "",
                    repr(event.created),
                )
            ]
            found = [_stored(row) for row in self._run(self._put, values)]
            if not found:
                return
            for same in found:
                if not is_same(same, left.pop(same.key)):
                    raise other_values(same.key)

    def _dead(self, limit: int) -> list[DeadEvent]:
        return [_dead_event(json.loads(_text(record))) for record in self._run(self._list, [limit])]

    def _revive(self, keys: list[str] | None) -> int:
        return self._change_dead("revive", keys)

    def _discard(self, keys: list[str]) -> int:
        return self._change_dead("discard", keys)

    def _change_dead(self, action: str, keys: list[str] | None) -> int:
        chosen = ["all"] if keys is None else ["some", *map(_bytes, keys)]
        count: int = self._run(self._of_dead, [action, *chosen])
        return count

    def _claim(
        self, owner: str, count: int, changes: Sequence[Change], *, lease: float, now: Callable[[], float]
    ) -> tuple[list[Change], list[Claimed]]:
        """Make changes, and lease events to *owner*; *now* is the instant of attempts only."""
        values = [self._instant(), repr(now()), owner, repr(lease), min(count, _MAX_EVENTS)]
        for change in changes:
            values += map(_bytes, _as_texts(change))
        done, taken, gone = self._run(self._send, values)
        if gone:
            ids = ", ".join(map(_text, gone))
            _log.error("%d entries of %s have no event any more, and were removed: %s", len(gone), self._name, ids)
        return [changes[place] for place in done], [_claimed(*row) for row in taken]

    def _apply(self, owner: str, changes: Sequence[Change], *, lease: float, now: Callable[[], float]) -> list[Change]:
        """Make changes to events that *owner* has."""
        return self._claim(owner, 0, changes, lease=lease, now=now)[0]

    def _instant(self) -> str:
        """Return the instant of a given clock; nothing stands for that of Redis."""
        return "" if self._clock is None else repr(self._clock())

    def _now(self) -> float:
        return _clock.wall() if self._clock is None else self._clock()

    def _run(self, script: Any, values: Sequence[Any]) -> Any:
        return self._doing(lambda: script(keys=self._keys, args=values))

    def _doing(self, action: Callable[[], T]) -> T:
        try:
            self._check()
            return action()
        except self._failures as error:
            raise self._error_of(error) from error

    def _check(self) -> None:
        """Look once at the version and the settings of the server."""
        if self._is_checked:
            return
        try:
            found = self._client.info()
        except self._refusal:  # this user may not see it
            found = {}
        version = str(found.get("redis_version", "6.2"))
        if tuple(map(int, version.split(".")[:2])) < _MIN_VERSION:
            raise OutboxUnavailable(f"the outbox needs Redis 6.2 or later, and this one is {version}")
        policy = found.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            _log.warning("the Redis of the outbox may lose usage: its maxmemory-policy is %s, not noeviction", policy)
        self._is_checked = True

    def _error_of(self, error: Exception) -> OutboxFull | OutboxUnavailable:
        if not isinstance(error, self._refusal):
            problem = f"the outbox is not available: {str(error).rstrip('.')}"
            return OutboxUnavailable(
                f"{problem}; an event may be stored: put it again with its key, and it counts once"
            )
        if "used memory > 'maxmemory'" in str(error):
            return OutboxFull("the outbox is full: Redis has its maxmemory; drain it, or raise maxmemory")
        return OutboxUnavailable(f"the outbox is not available: Redis refused: {error}")


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")  # messages of the service may have any text


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogatepass")


def _age(now: bytes, oldest: bytes) -> float | None:
    return max(0.0, float(now) - float(oldest)) if oldest else None


def _stored(row: Sequence[bytes]) -> Stored:
    key, given, company, organisation, created = map(_text, row)
    return Stored(key, given, company or None, organisation or None, float(created))


def _dead_event(record: dict[str, str]) -> DeadEvent:
    event = Stored(
        record["key"],
        record["input"],
        record["found"] or None,
        record["organisation"] or None,
        float(record["created"]),
    )
    return to_dead_event(event, attempts=int(record["attempts"]), reason=record["reason"], error=record["error"])


# The state of an event: the company, attempts, failures, the first attempt and the first look-up, all as text.


def _claimed(place: bytes, *row: bytes) -> Claimed:
    *values, state = row
    event = _stored(values)
    if not state:
        return Claimed(place, event)
    company, attempts, failures, first, looked_up = json.loads(_text(state))
    return Claimed(
        place,
        Stored(event.key, event.input, company or None, event.organisation, event.created),
        int(attempts),
        int(failures),
        float(first) if first else None,
        float(looked_up) if looked_up else None,
    )


def _state(claimed: Claimed, company: str | None, attempts: int, first_tried: float | None) -> str:
    looked_up = claimed.looked_up
    instants = ("" if instant is None else repr(instant) for instant in (first_tried, looked_up))
    return json.dumps([company or "", str(attempts), str(claimed.failures), *instants], ensure_ascii=False)


def _as_texts(change: Change) -> tuple[str, ...]:
    """Return a change as seven texts: the kind, the id, the new state, and four values."""
    claimed, kind, state, values = change.claimed, "lease", "", ("", "", "", "")
    if isinstance(change, Remove):
        kind = "remove"
    elif isinstance(change, Try):
        first = change.tried_at if claimed.first_tried is None else claimed.first_tried
        state = _state(claimed, change.company, claimed.attempts + 1, first)
    elif isinstance(change, Delay):
        kind, values = "delay", (repr(change.wait), "", "", "")
        state = _state(claimed, claimed.event.company, claimed.attempts, claimed.first_tried)
    elif isinstance(change, Bury):
        quantity = json.dumps([change.reason, repr(json.loads(claimed.event.input)["quantity"])])
        kind, values = "bury", (str(change.attempts), change.reason, change.error, quantity)
    return kind, _text(claimed.place), state, *values
