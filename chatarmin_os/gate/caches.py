"""Caches that gates share: one of a Django project, or a Redis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from chatarmin_os._input import Number, at_field, positive_seconds, text
from chatarmin_os._json import short_repr
from chatarmin_os._redis import own_pool
from chatarmin_os.errors import InvalidInput
from chatarmin_os.gate.resting import RestingCache, whole

if TYPE_CHECKING:
    import redis

__all__ = ["DjangoCache", "RedisCache"]


class DjangoCache(RestingCache):
    """A cache of a Django project: of its setting CACHES.

    Args:
        alias: The name of the cache there. With a `LocMemCache` each process has its own.
        now: Returns seconds on a clock that never goes back; default: the machine's.

    Raises:
        InvalidInput: CACHES has no such cache.
        ImportError: Django is not installed.

    Policies:
        - **Time**: how long an operation may take is a setting of the cache itself: give one on a network a timeout,
          such as `"OPTIONS": {"socket_timeout": 0.05, "socket_connect_timeout": 0.05}` with Django's `RedisCache`.
          After an operation of more than half a second the cache is left alone for ten times as long as that took.
        - **Failures** are raised. Then the cache is left alone for a second: `get` returns None, `set` does nothing.
          Keys that were not deleted are deleted as soon as it works again.
        - **Keys** are hashed, so that any backend takes them. Times are whole seconds, rounded up, at most a year.
        - **Transactions**: a cache in the database is a part of the transaction that it is used in.
        - **Threads and forks**: as Django's caches.

    Example:
        >>> from chatarmin_os.gate import Gate
        >>> gate = Gate(client, shared=DjangoCache("default"))
    """

    _failures = (Exception,)
    _max_seconds = 0.5  # as long as a check of the gate may take; nothing can end an operation of Django's

    def __init__(self, alias: str = "default", *, now: Callable[[], float] | None = None) -> None:
        try:
            from django.core.cache import caches
        except ImportError as missing:
            raise ImportError("DjangoCache needs Django: pip install 'chatarmin-os[django]'") from missing
        super().__init__(now)
        self._alias = at_field("alias", text)(alias)
        if self._alias not in list(caches):
            raise InvalidInput(f"CACHES has no cache {short_repr(self._alias)}; it has {', '.join(caches)}").at("alias")
        self._caches = caches

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._alias!r}>"

    def _get(self, key: str) -> object:
        return self._caches[self._alias].get(_hashed(key))

    def _set(self, key: str, value: str, seconds: float) -> None:
        self._caches[self._alias].set(_hashed(key), value, timeout=whole(seconds))

    def _delete(self, keys: Sequence[str]) -> None:
        self._caches[self._alias].delete_many([_hashed(key) for key in keys])


def _hashed(key: str) -> str:
    return f"chatarmin_os:{sha256(key.encode()).hexdigest()}"


class RedisCache(RestingCache):
    """A Redis, or what speaks its protocol, through redis-py 5.1 or later: 5.0 ignores the timeout of a Unix socket.

    Args:
        redis_client: A `redis.Redis`, over TCP, TLS or a Unix socket. Its connections are not used: this cache opens
            its own, with the same settings except for those under *Policies*. Clients of Sentinel and of clusters, and
            asynchronous ones, are refused.
        prefix: What each key begins with.
        timeout: Seconds for connecting, and for each wait for an answer, whatever the timeouts of the client are.
        now: Returns seconds on a clock that never goes back; default: the machine's.

    Raises:
        InvalidInput: *redis_client* is not a client of one server, or another argument is invalid.
        ImportError: redis-py is not installed.

    Policies:
        - **Time**: nothing is repeated. Looking up the name of a host is the one step without a timeout.
        - **Failures** are raised. If Redis could not be reached, the cache is left alone for a second: `get`
          returns None, `set` does nothing. Keys that were not deleted are deleted as soon as it works again.
        - **Values** that are not UTF-8 are none.
        - **Connections**: as many as threads use it at once, over RESP 2. `max_connections` of the client does not
          apply.
        - **Threads, forks and gevent**: as redis-py; a forked child opens connections of its own.

    Example:
        >>> import redis
        >>> from chatarmin_os.gate import Gate
        >>> gate = Gate(client, shared=RedisCache(redis.Redis()))
    """

    def __init__(
        self,
        redis_client: redis.Redis,
        prefix: str = "chatarmin_os:",
        *,
        timeout: Number = 0.05,
        now: Callable[[], float] | None = None,
    ) -> None:
        try:
            import redis
        except ImportError as missing:
            raise ImportError("RedisCache needs redis-py: pip install 'chatarmin-os[redis]'") from missing
        super().__init__(now)
        self._prefix = at_field("prefix", text)(prefix)
        self._failures = (redis.ConnectionError, redis.TimeoutError, OSError)
        pool = own_pool(
            redis_client,
            at_field("timeout", positive_seconds)(timeout),
            field="redis_client",
            instead="give the client of one server, or an object of your own with the methods of SharedCache",
        )
        self._client: Any = redis.Redis(connection_pool=pool)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._prefix!r}>"

    def _get(self, key: str) -> object:
        value = self._client.get(self._named(key))
        try:
            return None if value is None else value.decode()
        except UnicodeDecodeError:
            return None

    def _set(self, key: str, value: str, seconds: float) -> None:
        self._client.set(self._named(key), value.encode(), px=whole(seconds, unit=0.001))

    def _delete(self, keys: Sequence[str]) -> None:
        self._client.delete(*(self._named(key) for key in keys))

    def _named(self, key: str) -> bytes:
        return f"{self._prefix}{key}".encode()
