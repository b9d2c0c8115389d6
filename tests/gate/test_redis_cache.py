"""A Redis as the cache that gates share: a real one that is stopped, killed, full, locked, and full of other things."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
import redis
import redis.asyncio
import trustme
from redis.cache import CacheConfig
from redis.cluster import RedisCluster
from redis.sentinel import Sentinel
from redis_server import RedisServer

from chatarmin_os import InvalidInput
from chatarmin_os.gate.caches import RedisCache
from chatarmin_os.gate.shared_cache import SharedCache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.needs("redis-server")

T = TypeVar("T")
LONG = 10.0  # seconds: a call that takes so long has no timeout of its own

# A busy machine may let a Redis that works wait for longer than the 50 ms that are the default.
Cache = partial(RedisCache, timeout=LONG)


class Clock:
    """A clock that a test moves."""

    seconds = 100.0

    def __call__(self) -> float:
        """Return its seconds."""
        return self.seconds


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Run one Redis for all tests that leave it as it was."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(shared_server: RedisServer) -> RedisServer:
    """Return that Redis, empty."""
    shared_server.client.flushall()
    return shared_server


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisServer]:
    """Run a Redis for one test."""
    with RedisServer(tmp_path) as server:
        yield server


def cache_of(server: RedisServer, **settings: Any) -> RedisCache:
    """Return a cache on a client with these settings."""
    return Cache(redis.Redis(port=server.port, **settings))


def works(cache: RedisCache) -> bool:
    """Return whether a value can be set, read and deleted."""
    cache.set("works", "yes", 60)
    value = cache.get("works")
    cache.delete("works")
    return value == "yes" and cache.get("works") is None


# Values


def test_values_are_kept(server: RedisServer) -> None:
    """Text comes back as it was, under the prefixed key; a deleted key has none."""
    cache = cache_of(server)
    assert isinstance(cache, SharedCache)

    cache.set("org:ü", '{"a": "ä €"}', 60)

    assert cache.get("org:ü") == '{"a": "ä €"}'
    assert server.client.keys() == ["chatarmin_os:org:ü".encode()]
    cache.delete("org:ü")
    assert cache.get("org:ü") is None


def test_prefixes_separate(server: RedisServer) -> None:
    """Two prefixes are two caches."""
    one, other = (Cache(redis.Redis(port=server.port), prefix) for prefix in ("a:", "b:"))

    one.set("key", "1", 60)

    assert other.get("key") is None
    assert server.client.keys() == [b"a:key"]


@pytest.mark.parametrize(
    ("seconds", "max_milliseconds"), [(0.0001, 1), (0.25, 250), (900, 900_000), (1e30, 31_536_000_000)], ids=str
)
def test_value_expires(server: RedisServer, seconds: float, max_milliseconds: int) -> None:
    """The time is kept to the millisecond, and at most a year."""
    cache_of(server).set("key", "value", seconds)

    left = server.client.pttl("chatarmin_os:key")
    assert left <= max_milliseconds
    assert left > max_milliseconds - LONG * 1000


def test_value_that_expired_is_missing(server: RedisServer) -> None:
    """After its time a value is gone."""
    cache = cache_of(server)
    cache.set("key", "value", 0.001)

    time.sleep(0.01)

    assert cache.get("key") is None


@pytest.mark.parametrize(
    "settings",
    [{"decode_responses": True}, {"encoding": "latin-1"}, {"db": 3}, {"protocol": 3}, {"client_name": "shop"}],
    ids=str,
)
def test_settings_of_the_client_do_not_matter(server: RedisServer, settings: dict[str, Any]) -> None:
    """Whatever else the client is for, the cache works, in the client's database."""
    cache = cache_of(server, **settings)

    cache.set("key", "ä €", 60)

    assert cache.get("key") == "ä €"
    assert redis.Redis(port=server.port, db=settings.get("db", 0)).get("chatarmin_os:key") == "ä €".encode()


def test_value_of_another_process_is_not_cached_here(server: RedisServer) -> None:
    """A client that keeps values in its process does not do so for this cache."""
    cache = cache_of(server, protocol=3, cache_config=CacheConfig())
    cache.set("key", "old", 60)
    assert cache.get("key") == "old"

    server.client.set("chatarmin_os:key", "new")

    assert cache.get("key") == "new"


# Connections


def test_unix_socket(server: RedisServer) -> None:
    """A client over a Unix socket will do."""
    assert works(Cache(redis.Redis(unix_socket_path=server.path)))


@pytest.mark.parametrize("pool", [redis.ConnectionPool, redis.BlockingConnectionPool])
def test_url(server: RedisServer, pool: type[redis.ConnectionPool]) -> None:
    """So will one from a URL, and on a pool of another kind."""
    assert works(Cache(redis.Redis(connection_pool=pool.from_url(f"redis://127.0.0.1:{server.port}/2"))))


def test_password_and_tls(tmp_path: Path) -> None:
    """Over TLS, with a user and a password, the cache has the trust and the credentials of the client."""
    authority = trustme.CA()
    for name, blob in {
        "ca.pem": authority.cert_pem,
        "key.pem": (issued := authority.issue_cert("localhost")).private_key_pem,
        "cert.pem": issued.cert_chain_pems[0],
    }.items():
        blob.write_to_path(tmp_path / name)
    options = ["--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem", "--tls-ca-cert-file", "ca.pem"]
    with RedisServer(tmp_path, *options, "--tls-auth-clients", "no", "--tls-port", "0") as server:
        server.client.config_set("requirepass", "of tests")
        server.client = redis.Redis(unix_socket_path=server.path, password="of tests")  # noqa: S106
        server.client.config_set("port", 0)
        server.client.config_set("tls-port", server.port)
        tls: dict[str, Any] = {"ssl": True, "ssl_ca_certs": str(tmp_path / "ca.pem")}

        assert works(cache_of(server, password="of tests", **tls))  # noqa: S106
        with pytest.raises(redis.AuthenticationError):
            cache_of(server, **tls).get("key")
        with pytest.raises(redis.ConnectionError, match="certificate verify failed"):
            cache_of(server, password="of tests", ssl=True).get("key")  # noqa: S106


def test_client_is_left_as_it_is(server: RedisServer) -> None:
    """The cache opens connections of its own; those of the client keep their settings."""
    client = redis.Redis(port=server.port, socket_timeout=7)
    before = dict(client.connection_pool.connection_kwargs)

    assert works(Cache(client))

    assert client.connection_pool.connection_kwargs == before
    assert client.connection_pool._available_connections == []


def test_threads_share_it(server: RedisServer) -> None:
    """Threads each get their own answers; the client's number of connections does not matter."""
    cache = cache_of(server, max_connections=1)

    def work(number: int) -> list[str | None]:
        answers = []
        for turn in range(50):
            cache.set(f"{number}:{turn}", f"{number} {turn}", 60)
            answers.append(cache.get(f"{number}:{turn}"))
        return answers

    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(work, range(8)))

    assert results == [[f"{number} {turn}" for turn in range(50)] for number in range(8)]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no forks")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_child_has_its_own_connection(server: RedisServer) -> None:
    """A child reads what its parent has set, on another connection, which ends with the child."""
    cache = cache_of(server, client_name="of-the-cache")
    cache.set("key", "of the parent", 60)

    def connections() -> set[str]:
        return {client["id"] for client in server.client.client_list() if client["name"] == "of-the-cache"}

    [own] = connections()
    child = os.fork()
    if not child:
        is_right = cache.get("key") == "of the parent" and len(connections()) == 2
        cache.set("key", "of the child", 60)
        os._exit(0 if is_right else 1)
    assert os.waitpid(child, 0)[1] == 0

    assert cache.get("key") == "of the child"
    assert own in connections()


GREENLETS = """
from gevent import monkey; monkey.patch_all()
import os, signal, sys, time
import gevent, redis
from chatarmin_os.gate.caches import RedisCache

cache, ticks, failures = RedisCache(redis.Redis(port=int(sys.argv[1])), timeout=1), 0, []
cache.set("key", "value", 60)
assert [job.get() for job in [gevent.spawn(cache.get, "key") for _ in range(50)]] == ["value"] * 50

def tick():
    global ticks
    while True:
        gevent.sleep(0.001)
        ticks += 1

def fail():
    try:
        cache.get("key")
    except redis.TimeoutError as error:
        failures.append(error)

os.kill(int(sys.argv[2]), signal.SIGSTOP)
ticking = gevent.spawn(tick)
gevent.joinall([gevent.spawn(fail) for _ in range(5)])
os.kill(int(sys.argv[2]), signal.SIGCONT)
assert failures and ticks > 3, (failures, ticks)
with gevent.Timeout(0.0001, False):
    while True:
        RedisCache.get(cache, "key")
time.sleep(1)
assert cache.get("key") == "value"
print("fine")
"""


@pytest.mark.slow
def test_greenlets_share_it(own_server: RedisServer) -> None:
    """Under gevent other greenlets go on while the cache waits for a Redis that hangs."""
    command = [sys.executable, "-c", GREENLETS, str(own_server.port), str(own_server.pid)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603

    assert (done.stdout, done.returncode) == ("fine\n", 0), done.stderr


# Failures


def patiently(act: Callable[[], T], clock: Clock) -> T:
    """Return the result of an operation that a busy machine may let wait for too long."""
    while True:
        try:
            return act()
        except redis.TimeoutError:
            clock.seconds += 1


@pytest.mark.parametrize("kind", ["port", "socket"])
def test_redis_that_hangs_is_left_alone(own_server: RedisServer, kind: str) -> None:
    """With a Redis that hangs one call waits 50 ms and is not repeated; then the cache rests, and works again later."""
    clock = Clock()
    # The client itself would wait for ever, again and again.
    where: dict[str, Any] = {"port": own_server.port} if kind == "port" else {"unix_socket_path": own_server.path}
    cache = RedisCache(redis.Redis(**where, socket_timeout=None, socket_connect_timeout=None), now=clock)
    patiently(lambda: cache.set("key", "value", 60), clock)
    own_server.hang()

    start = time.perf_counter()
    for _ in range(2):  # on the connection that was there, and on a new one
        with pytest.raises(redis.TimeoutError):
            cache.get("key")
        assert cache.get("key") is None
        clock.seconds += 1
    assert 0.09 < time.perf_counter() - start < LONG

    own_server.resume()
    assert patiently(lambda: cache.get("key"), clock) == "value"


def test_deletion_outlives_a_redis_that_hangs(own_server: RedisServer) -> None:
    """An old value that could not be deleted is deleted before it can be read again."""
    clock = Clock()
    cache, other = RedisCache(redis.Redis(port=own_server.port), now=clock), cache_of(own_server)
    other.set("key", "old", 60)
    own_server.hang()
    with pytest.raises(redis.TimeoutError):
        cache.delete("key")
    own_server.resume()
    assert other.get("key") == "old"

    clock.seconds += 1
    patiently(lambda: cache.get("another"), clock)

    assert other.get("key") is None


def test_redis_that_is_killed_and_started(own_server: RedisServer) -> None:
    """Without a Redis each call fails at once and the cache rests; with a new one it works, and is empty."""
    clock = Clock()
    cache = Cache(redis.Redis(port=own_server.port), now=clock)
    cache.set("key", "value", 60)
    own_server.kill()

    for _ in range(2):
        with pytest.raises(redis.ConnectionError):
            cache.get("key")
        assert cache.get("key") is None
        clock.seconds += 1

    own_server.start()
    assert cache.get("key") is None
    assert works(cache)


def test_restart_between_two_calls_is_not_noticed(own_server: RedisServer) -> None:
    """A connection that Redis has closed is replaced without an error."""
    cache = cache_of(own_server)
    assert works(cache)
    own_server.kill()
    own_server.start()

    assert works(cache)


def test_full_redis_is_still_read(server: RedisServer) -> None:
    """A Redis that takes no more values refuses to set, and is read on without a rest."""
    cache = cache_of(server)
    cache.set("key", "value", 60)
    server.client.config_set("maxmemory-policy", "noeviction")
    server.client.config_set("maxmemory", 1)
    try:
        with pytest.raises(redis.ResponseError, match="maxmemory"):
            cache.set("key", "new", 60)
        assert cache.get("key") == "value"
        cache.delete("key")
        assert cache.get("key") is None
    finally:
        server.client.config_set("maxmemory", 0)


def test_wrong_password_rests(server: RedisServer) -> None:
    """With a wrong password the cache rests after each failure, and the password is not in the error."""
    server.client.config_set("requirepass", "right")
    try:
        cache = cache_of(server, password="swordfish")  # noqa: S106
        with pytest.raises(redis.AuthenticationError) as refused:
            cache.get("key")
        assert "swordfish" not in f"{refused.value!r} {cache!r}"
        assert cache.get("key") is None
    finally:
        redis.Redis(port=server.port, password="right").config_set("requirepass", "")  # noqa: S106


def test_garbage_is_missing(server: RedisServer) -> None:
    """Bytes that are no text are no value; a value of another type is an error, without a rest."""
    cache = cache_of(server)
    server.client.set("chatarmin_os:bytes", b"\xff\x00")
    server.client.rpush("chatarmin_os:list", "a")

    assert cache.get("bytes") is None
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        cache.get("list")
    cache.set("list", "text", 60)
    assert cache.get("list") == "text"


# Arguments

OTHERS: dict[str, Callable[[], object]] = {
    "redis.sentinel.SentinelConnectionPool": lambda: Sentinel([("127.0.0.1", 1)]).master_for("shop"),  # type: ignore[no-untyped-call]
    "redis.asyncio.client.Redis": redis.asyncio.Redis,
    "redis.cluster.RedisCluster": lambda: RedisCluster.__new__(RedisCluster),
    "builtins.str": lambda: "redis://localhost",
    "builtins.NoneType": lambda: None,
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_clients_are_refused(name: str) -> None:
    """What is not the client of one server is refused, with its type and an advice."""
    with pytest.raises(InvalidInput, match=rf"^redis_client: .* got a {name}; give the client of one server"):
        RedisCache(OTHERS[name]())  # type: ignore[arg-type]


@pytest.mark.parametrize("prefix", ["", " ", None, b"shop:"], ids=repr)
def test_prefix_is_text(prefix: Any) -> None:
    """Without a prefix the keys could be those of another program."""
    with pytest.raises(InvalidInput, match=r"^prefix: "):
        RedisCache(redis.Redis(), prefix)


@pytest.mark.parametrize("timeout", [0, -1, True, None, "1", float("nan")], ids=repr)
def test_timeout_is_a_number_of_seconds(timeout: Any) -> None:
    """A cache without a timeout could stop a whole process."""
    with pytest.raises(InvalidInput, match=r"^timeout: "):
        RedisCache(redis.Redis(), timeout=timeout)


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without redis-py the error says how to install it."""
    client = redis.Redis()
    monkeypatch.setitem(sys.modules, "redis", None)

    with pytest.raises(ImportError, match=r"pip install 'chatarmin-os\[redis\]'"):
        RedisCache(client)


def test_repr_shows_the_prefix(server: RedisServer) -> None:
    """A repr shows neither host nor password."""
    assert repr(cache_of(server, password="secret")) == "<RedisCache 'chatarmin_os:'>"  # noqa: S106
