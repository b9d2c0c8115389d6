"""The outbox in Redis: a stream and a consumer group."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from chatarmin_os import _clock
from chatarmin_os._input import at_field, text
from chatarmin_os._redis import own_pool
from chatarmin_os.errors import InvalidInput
from chatarmin_os.outbox import redis_scripts
from chatarmin_os.outbox.base import Outbox
from chatarmin_os.outbox.changes import Bury, Change, Delay, Remove, Try
from chatarmin_os.outbox.errors import OutboxFull, OutboxUnavailable
from chatarmin_os.outbox.records import DeadEvent, OutboxStats
from chatarmin_os.outbox.stored import (
    Claimed,
    Stored,
    age_of,
    is_same,
    other_values,
    stats_of,
    sum_quantities,
    to_dead_event,
)

if TYPE_CHECKING:
    import redis as _redis

_log = logging.getLogger("chatarmin_os")

T = TypeVar("T")

_MIN_VERSION = (6, 2)
# Redis does nothing else while a script runs: so many events has one at most.
_MAX_EVENTS, _MAX_PUT = 200, 100_000
_MAX_NAMED = 20
_SERVER = {"path": "", "host": "localhost", "port": 6379, "db": 0}  # the defaults of redis-py
_PLACE_IN_SCRIPT = re.compile(r"^Error running script.*@user_script: ?\d+: -?|,? ?script: [0-9a-f]{40}.*$", re.DOTALL)


class RedisOutbox(Outbox):
    """An outbox in a Redis 6.2 or later, for any number of processes and machines; it needs the extra `redis`.

    Policies:
        - **Durable**: as Redis is. An event that `put` returned survives a power failure with `appendonly yes` and
          `appendfsync always`; with `everysec` the last second is lost, without `appendonly` all since the last
          snapshot. A replica that takes over may lack the last events. Nothing here is trimmed or expires; a
          `maxmemory-policy` that evicts any key loses usage, and is logged at WARNING: use `noeviction`.
        - **No answer**: a connection that fails is not tried again. `OutboxUnavailable` says so, and the event may be
          stored if Redis had received it: put it again with the key of `error.event`, and it is stored once.
        - **Full**: at `maxmemory` `put` raises `OutboxFull`, nothing is stored, and senders go on.
        - **Size**: about 450 bytes of memory for an event, and its metadata. `put_many` stores up to 100,000 events.
        - **Rights**: a user of the access list needs the keys `NAME` and `{NAME}:*`, and the commands
          `+@read +@write +@scripting +@connection +time +info`. Rights are checked before anything is changed.
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
            from redis import AuthenticationError, BusyLoadingError, Redis, RedisError, ResponseError
        except ImportError as missing:
            raise ImportError("RedisOutbox needs redis-py: pip install 'chatarmin-os[redis]'") from missing
        self._name = at_field("name", text)(name)
        self._clock = now
        pool = own_pool(
            redis,
            field="redis",
            instead="pass redis.Redis(...) or redis.Redis.from_url(...) of the server that has the stream",
        )
        self._client: Any = Redis(connection_pool=pool)
        self._failures = (RedisError, OSError)
        self._refusals = (ResponseError, AuthenticationError, BusyLoadingError)
        self._checked: set[str] = set()
        prefix = name if "{" in name or "}" in name else f"{{{name}}}"  # the same slot as the stream
        self._keys = [name.encode(), *(f"{prefix}:{part}".encode() for part in redis_scripts.PARTS)]
        scripts = redis_scripts.CHECK, redis_scripts.PUT, redis_scripts.SEND, redis_scripts.STATS, redis_scripts.OF_DEAD
        self._try, self._put, self._send, self._read, self._of_dead = map(self._client.register_script, scripts)
        self._set_tried = self._client.register_script(redis_scripts.SET_TRIED)
        self._rights = {self._put: "put", self._set_tried: "send", self._send: "send", self._of_dead: "send"}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name!r}>"

    def _place(self) -> Hashable:
        settings = self._client.connection_pool.connection_kwargs
        return repr(self), *(settings.get(name) or default for name, default in _SERVER.items())

    def close(self) -> None:
        """Close the connections of this process; the next use opens new ones."""
        self._client.connection_pool.disconnect()

    def stats(self) -> OutboxStats:
        """Return the content of the outbox."""
        now, waiting, leased, oldest, tally = self._figures("tally")
        groups = ((*json.loads(_text(name)), int(number)) for name, number in zip(tally[::2], tally[1::2], strict=True))
        dead = sum_quantities((reason, Decimal(quantity), number) for reason, quantity, number in groups)
        return stats_of(waiting, leased, dead, age=_age(now, oldest), size=self._doing(self._size))

    def _waiting(self) -> tuple[int, float | None]:
        """Return how many events are ready or leased, and the age of the oldest one, in seconds."""
        now, waiting, _, oldest, _ = self._figures("")
        return waiting, _age(now, oldest)

    def _figures(self, tally: str) -> Sequence[Any]:
        """Return the instant, the number of entries, that of leases, the oldest creation and, if wanted, the tally."""
        figures: list[Any] = []
        lost, has_more = 0, 1
        try:
            while has_more:
                *figures, count, has_more = self._run(self._read, [self._instant(), tally])
                lost += count
        finally:  # also if the connection ends after the first ones
            if lost:
                _log.error("%d events of %s are lost: somebody removed their entries", lost, self._name)
        return figures

    def _size(self) -> int | None:
        """Return the memory of all keys, as Redis estimates it; None if it does not say."""
        try:
            return sum(self._client.memory_usage(key) or 0 for key in self._keys)
        except self._refusals:
            return None

    def _store(self, events: Sequence[Stored]) -> None:
        if len(events) > _MAX_PUT:
            problem = f"expected at most {_MAX_PUT} events at once, got {len(events)}"
            raise InvalidInput(problem, "put them in parts: until all are stored, Redis does nothing else").at("events")
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
                    _state(Claimed(None, event), event.company, 1, event.created) if event.is_tried else "",
                )
            ]
            found = [_stored(row) for row in self._run(self._put, values)]
            if not found:
                return
            for same in found:
                event = left.pop(same.key)
                if not is_same(same, event):
                    raise other_values(same.key)
                if event.is_tried:
                    self._run(self._set_tried, [_bytes(event.key), repr(event.created)])

    def _dead(self, limit: int) -> list[DeadEvent]:
        found: list[DeadEvent] = []
        for keys in self._pages_of_dead(min(limit, _MAX_EVENTS)):
            records = self._doing(partial(self._client.hmget, self._key_of("dead"), keys))
            found += (_dead_event(json.loads(_text(record))) for record in records if record is not None)
            if len(found) >= limit:
                break
        return found[:limit]

    def _revive(self, keys: list[str] | None) -> int:
        return self._change_dead("revive", keys)

    def _discard(self, keys: list[str]) -> int:
        return self._change_dead("discard", keys)

    def _change_dead(self, action: str, keys: list[str] | None) -> int:
        pages: Iterable[list[bytes]] = self._pages_of_dead(_MAX_EVENTS)
        if keys is not None:
            chosen = list(map(_bytes, keys))
            pages = (chosen[start : start + _MAX_EVENTS] for start in range(0, len(chosen), _MAX_EVENTS))
        return sum(self._run(self._of_dead, [action, *page]) for page in pages)

    def _pages_of_dead(self, size: int) -> Iterator[list[bytes]]:
        """Yield the keys of dead events, the oldest first, without those that die after the first page."""
        order = self._key_of("order")
        start, end = b"-", self._doing(partial(self._client.zrange, order, -1, -1))
        while end:
            members = self._doing(partial(self._client.zrangebylex, order, start, b"[" + end[0], 0, size))
            if not members:
                break
            yield [member.partition(b" ")[2] for member in members]
            start = b"(" + members[-1]

    def _key_of(self, part: str) -> bytes:
        return self._keys[1 + redis_scripts.PARTS.index(part)]

    def _claim(
        self, owner: str, count: int, changes: Sequence[Change], *, lease: float, now: Callable[[], float]
    ) -> tuple[list[Change], list[Claimed]]:
        """Make changes, and lease events to *owner*; *now* is the instant of attempts only."""
        head = [self._instant(), repr(now()), owner, repr(lease), min(count, _MAX_EVENTS)]
        texts = [_bytes(value) for change in changes for value in _as_texts(change)]
        done: list[Change] = []
        while True:
            places, taken, gone, has_more = self._run(self._send, [*head, *texts])
            done += [changes[place] for place in places]
            if gone:
                self._log_gone([_text(place) for place in gone])
            if taken or not has_more:
                return done, [_claimed(*row) for row in taken]
            texts = []

    def _log_gone(self, ids: Sequence[str]) -> None:
        more = ", …" if len(ids) > _MAX_NAMED else ""
        text = ", ".join(ids[:_MAX_NAMED]) + more
        _log.error("%d entries of %s have no event any more, and were removed: %s", len(ids), self._name, text)

    def _apply(self, owner: str, changes: Sequence[Change], *, lease: float, now: Callable[[], float]) -> list[Change]:
        """Make changes to events that *owner* has."""
        return self._claim(owner, 0, changes, lease=lease, now=now)[0]

    def _instant(self) -> str:
        """Return the instant of a given clock; nothing stands for that of Redis."""
        return "" if self._clock is None else repr(self._clock())

    def _now(self) -> float:
        return _clock.wall() if self._clock is None else self._clock()

    def _run(self, script: Any, values: Sequence[Any]) -> Any:
        return self._doing(lambda: script(keys=self._keys, args=values), self._rights.get(script))

    def _doing(self, action: Callable[[], T], rights: str | None = None) -> T:
        try:
            if "server" not in self._checked:
                self._check_server()
            if rights is not None and rights not in self._checked:
                self._check_rights(rights)
            return action()
        except self._failures as error:
            raise self._error_of(error, is_put=rights == "put") from error

    def _check_server(self) -> None:
        """Look once at the version and the settings of the server."""
        try:
            found = self._client.info()
        except self._refusals[0]:  # a ResponseError: this user may not see it
            found = {}
        version = re.match(r"(\d+)\.(\d+)", str(found.get("redis_version")))
        if version and tuple(map(int, version.groups())) < _MIN_VERSION:
            problem = f"the outbox needs Redis 6.2 or later, and this one is {found['redis_version']}"
            raise OutboxUnavailable(problem)
        policy = str(found.get("maxmemory_policy"))
        if policy.startswith("allkeys"):  # the others remove only keys that expire, and none of ours does
            _log.warning("the Redis of the outbox may lose usage: its maxmemory-policy is %s, not noeviction", policy)
        self._checked.add("server")

    def _check_rights(self, rights: str) -> None:
        """Look once whether a script can make all its changes: one that fails does not undo them."""
        found = self._try(keys=self._keys, args=[rights])
        if found:
            key, *command = map(_text, found)
            problem = f"{key} belongs to another application; pass another name"
            if command:
                problem = f"its user may not run {command[0]} on {key}"
            raise OutboxUnavailable(f"the outbox is not available: {problem}")
        self._checked.add(rights)

    def _error_of(self, error: Exception, *, is_put: bool) -> OutboxFull | OutboxUnavailable:
        problem = _PLACE_IN_SCRIPT.sub("", str(error)).rstrip(".")
        if not isinstance(error, self._refusals):
            hint = "check that Redis runs and can be reached"
            if is_put:
                hint = "an event may be stored: put it again with its key, and it counts once"
            return OutboxUnavailable(f"the outbox is not available: {problem}; {hint}")
        if "used memory > 'maxmemory'" in problem:
            return OutboxFull("the outbox is full: Redis has its maxmemory; drain it, or raise maxmemory")
        return OutboxUnavailable(f"the outbox is not available: Redis refused: {problem}")


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")  # messages of the service may have any text


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogatepass")


def _age(now: bytes, oldest: bytes) -> float | None:
    return age_of(float(oldest) if oldest else None, int(now) / 1e6)


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
    """Return a change as eight texts: the kind, the id, the new state, the key, and four values."""
    claimed, kind, state, values = change.claimed, "lease", "", ("", "", "", "")
    if isinstance(change, Remove):
        kind = "remove"
    elif isinstance(change, Try):
        state = _state(claimed, change.company, change.attempts, change.first_tried)
    elif isinstance(change, Delay):
        kind, values = "delay", (repr(change.wait), "", "", "")
        state = _state(claimed, claimed.event.company, claimed.attempts, claimed.first_tried)
    elif isinstance(change, Bury):
        quantity = json.dumps([change.reason, repr(json.loads(claimed.event.input)["quantity"])])
        kind, values = "bury", (str(change.attempts), change.reason, change.error, quantity)
    return kind, _text(claimed.place), state, claimed.event.key, *values
