"""A cache of a Django project as the cache that gates share, on each backend that Django has."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import redis
from django.core.cache import CacheHandler
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.memcached import BaseMemcachedCache
from redis_server import RedisServer

from chatarmin_os import InvalidInput
from chatarmin_os.gate.caches import DjangoCache
from chatarmin_os.gate.shared_cache import SharedCache

if TYPE_CHECKING:
    from pathlib import Path

KEYS = ["org_1", "with space", "ü" * 300, "\n\x00", ""]


class Memcached(BaseCache):
    """A cache that counts time, and checks keys, as Django's backends of memcached do."""

    stored: dict[str, tuple[str, int]] = {}  # noqa: RUF012 - all connections share it

    def __init__(self, _: str, params: dict[str, Any]) -> None:
        """Take the settings."""
        super().__init__(params)

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        """Return a value."""
        return self.stored.get(self.make_and_validate_key(key, version), (default, 0))[0]

    def set(self, key: str, value: Any, timeout: Any = None, version: int | None = None) -> None:
        """Keep a value with its time."""
        seconds: Any = BaseMemcachedCache.get_backend_timeout(self, timeout)
        self.stored[self.validated(key, version)] = (value, seconds)

    def delete(self, key: str, version: int | None = None) -> bool:
        """Delete a value."""
        return self.stored.pop(self.validated(key, version), None) is not None

    def validated(self, key: str, version: int | None) -> str:
        """Return the key as the server gets it."""
        full = self.make_key(key, version)
        BaseMemcachedCache.validate_key(self, full)
        return str(full)


def cache_of(alias: str = "default") -> DjangoCache:
    """Return a cache on a clock that stands still: it never seems slow, however busy the machine is."""
    return DjangoCache(alias, now=lambda: 100.0)


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CacheHandler:
    """Give Django these caches: its settings are those of other tests, and can be made only once in a process."""
    Memcached.stored.clear()
    handler = CacheHandler(
        {
            "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": str(tmp_path)},
            "files": {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": str(tmp_path)},
            "memcached": {"BACKEND": f"{__name__}.Memcached", "KEY_PREFIX": "x" * 150},
            "none": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"},
            "redis": {
                "BACKEND": "django.core.cache.backends.redis.RedisCache",
                "LOCATION": f"unix://{tmp_path / 'redis.sock'}",
            },
        }
    )
    monkeypatch.setattr("django.core.cache.caches", handler)
    return handler


@pytest.mark.parametrize("alias", ["default", "files", "memcached"])
def test_values_are_kept(alias: str) -> None:
    """Text comes back as it was under any key, another cache object reads it, and a deleted key has none."""
    cache, other = cache_of(alias), cache_of(alias)
    assert isinstance(cache, SharedCache)

    for number, key in enumerate(KEYS):
        cache.set(key, f"ä € {number}", 60)
    assert [other.get(key) for key in KEYS] == [f"ä € {number}" for number in range(len(KEYS))]

    for key in KEYS:
        cache.delete(key)
        assert other.get(key) is None


def test_default_is_the_default_cache() -> None:
    """Without an alias it is the cache that Django calls default."""
    cache_of().set("key", "value", 60)

    assert cache_of("default").get("key") == "value"
    assert repr(DjangoCache()) == "<DjangoCache 'default'>"


def test_keys_are_apart_from_those_of_the_project(caches: CacheHandler) -> None:
    """A key of the gate is none of the project, and cannot be read from what is stored."""
    caches["memcached"].set("org_1", "of the project")
    cache_of("memcached").set("org_1", "of the gate", 60)

    assert caches["memcached"].get("org_1") == "of the project"
    [key] = [key for key, (value, _) in Memcached.stored.items() if value == "of the gate"]
    assert "chatarmin_os:" in key
    assert "org_1" not in key


@pytest.mark.parametrize(("seconds", "stored"), [(0.2, 1), (1, 1), (1.5, 2), (899.01, 900)])
def test_times_are_rounded_up(seconds: float, stored: int) -> None:
    """A part of a second is a whole one: backends that count seconds would take it for none, which means for ever."""
    cache_of("memcached").set("key", "value", seconds)

    [(_, timeout)] = Memcached.stored.values()
    assert timeout == stored


@pytest.mark.parametrize("alias", ["default", "files", "memcached"])
def test_value_without_a_time_is_deleted(alias: str) -> None:
    """What expires at once is gone, whatever the backend takes zero for."""
    cache = cache_of(alias)
    cache.set("key", "old", 60)

    cache.set("key", "new", 0)

    assert cache.get("key") is None


@pytest.mark.parametrize("alias", ["default", "files", "memcached"])
def test_any_time_is_taken(alias: str) -> None:
    """A time that no backend can count is shortened."""
    cache_of(alias).set("key", "value", 1e300)

    assert cache_of(alias).get("key") == "value"


def test_what_is_not_text_is_missing() -> None:
    """A value of another type, which another program has put there, is none."""
    cache = cache_of("memcached")
    cache.set("key", "value", 60)
    [key] = Memcached.stored

    Memcached.stored[key] = ({"a": 1}, 60)  # type: ignore[assignment]

    assert cache.get("key") is None


def test_cache_that_keeps_nothing() -> None:
    """With Django's dummy each value is missing."""
    cache = cache_of("none")
    cache.set("key", "value", 60)

    assert cache.get("key") is None


def test_cache_of_the_thread_is_used(caches: CacheHandler) -> None:
    """Django has a cache object for each thread, and closes it after each request: none of them is kept."""
    cache = cache_of()
    cache.set("key", "value", 60)

    del caches["default"]

    assert cache.get("key") == "value"


@pytest.mark.needs("redis-server")
def test_redis_of_the_project(tmp_path: Path) -> None:
    """With Django's own cache in Redis it works; after a failure, which is raised, it rests, and deletes later."""
    seconds = [100.0]
    with RedisServer(tmp_path) as server:
        cache, other = DjangoCache("redis", now=lambda: seconds[0]), cache_of("redis")
        cache.set("key", "value", 0.5)
        [key] = server.client.keys()
        assert 0 < server.client.pttl(key) <= 1000
        cache.set("key", "value", 60)
        assert cache.get("key") == "value"

        server.kill()
        with pytest.raises(redis.ConnectionError):
            cache.get("key")
        assert cache.get("key") is None
        cache.delete("key")
        server.start()
        other.set("key", "old", 60)
        assert cache.get("key") is None

        seconds[0] += 1
        assert cache.get("key") is None
        assert other.get("key") is None


@pytest.mark.parametrize("alias", ["other", "Default"])
def test_unknown_alias_is_refused(alias: str) -> None:
    """A cache that CACHES does not have is refused at once; the error names those it has."""
    with pytest.raises(InvalidInput, match=rf"^alias: CACHES has no cache '{alias}'; it has default, files"):
        cache_of(alias)


@pytest.mark.parametrize("alias", ["", None, 7], ids=repr)
def test_alias_is_text(alias: Any) -> None:
    """An alias is text."""
    with pytest.raises(InvalidInput, match=r"^alias: "):
        cache_of(alias)


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Django the error says how to install it."""
    monkeypatch.setitem(sys.modules, "django.core.cache", None)

    with pytest.raises(ImportError, match=r"pip install 'chatarmin-os\[django\]'"):
        cache_of()


DATABASE = """
import sys
from django.conf import settings
settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1]}},
    CACHES={"default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "cache"}},
)
import django
django.setup()
from django.core.management import call_command
from django.db import DatabaseError, transaction
from chatarmin_os.gate.caches import DjangoCache

seconds = [100.0]
cache = DjangoCache(now=lambda: seconds[0])
try:
    cache.get("key")
except DatabaseError:
    pass
else:
    raise AssertionError("there is no table")
assert cache.get("key") is None
call_command("createcachetable")
seconds[0] += 1

cache.set("key", "value", 0.5)
assert cache.get("key") == "value"
cache.set("key", "value", 1e300)
cache.delete("key")
assert cache.get("key") is None

cache.set("key", "old", 60)
try:
    with transaction.atomic():
        cache.delete("key")
        assert cache.get("key") is None
        raise ValueError
except ValueError:
    assert cache.get("key") == "old"
print("fine")
"""


def test_database_of_the_project(tmp_path: Path) -> None:
    """A cache in the database works, fails without its table, and is a part of the transaction."""
    command = [sys.executable, "-W", "error", "-c", DATABASE, str(tmp_path / "db.sqlite3")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603

    assert (done.stdout, done.returncode) == ("fine\n", 0), done.stderr
