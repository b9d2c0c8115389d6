"""Connections of our own to the Redis of a user's client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chatarmin_os.errors import InvalidInput

if TYPE_CHECKING:
    import redis

# The beginnings of the settings that our connections must not take over: retries, a cache in the process, and notices
# of the server that make timeouts longer.
_NOT_SHARED = ("retry", "cache", "event_dispatcher", "maint", "oss_cluster", "orig_", "himport", "connection_pool")
_TIMEOUT_SECONDS = 5.0


def own_pool(client: Any, timeout: float | None = None, *, field: str, instead: str) -> redis.ConnectionPool:
    """Return a pool of connections to the same server that repeat nothing.

    Args:
        client: A `redis.Redis` of one server.
        timeout: Seconds for connecting, and for each wait for an answer; None: those of the client, or 5.
        field: The argument that an error names.
        instead: What to do if it is no such client.

    Raises:
        InvalidInput: It is not a client of one server.
    """
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry
    from redis.sentinel import SentinelConnectionPool

    pool = client.connection_pool if isinstance(client, redis.Redis) else None
    if not isinstance(pool, redis.ConnectionPool) or isinstance(pool, SentinelConnectionPool):
        kind = type(client if pool is None else pool)
        problem = f"expected a redis.Redis of one server, got a {kind.__module__}.{kind.__qualname__}"
        raise InvalidInput(problem, instead).at(field)
    given = pool.connection_kwargs
    settings = {name: value for name, value in given.items() if not name.startswith(_NOT_SHARED)}
    settings |= {
        "socket_timeout": timeout or given.get("socket_timeout") or _TIMEOUT_SECONDS,
        # named for Unix sockets, which do not take it from the other one
        "socket_connect_timeout": timeout or given.get("socket_connect_timeout") or _TIMEOUT_SECONDS,
        "health_check_interval": 0,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,  # no notices of the server come between the answers
        "decode_responses": False,
    }
    return redis.ConnectionPool(connection_class=pool.connection_class, max_connections=2**31, **settings)
