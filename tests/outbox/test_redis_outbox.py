"""What is particular to the outbox in Redis: a real one that is full, hangs, is killed, and has other users."""

from __future__ import annotations

import json
import logging
import multiprocessing
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import redis
import redis.asyncio
from outbox_world import USAGE as TRACK
from outbox_world import Batches, World, lose, refuse
from redis.cluster import RedisCluster
from redis.sentinel import Sentinel
from redis_server import RedisServer

from chatarmin_os import ChatarminOS, InvalidInput
from chatarmin_os.outbox import OutboxFull, OutboxUnavailable, RedisOutbox, Sender, UsageEvent, redis_outbox
from chatarmin_os.outbox.changes import Bury, Keep, Remove

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from chatarmin_os.outbox.changes import Change
    from chatarmin_os.outbox.stored import Claimed

pytestmark = pytest.mark.needs("redis-server")

GROUP = "senders"
USAGE: dict[str, Any] = {"company_id": "comp_1", "feature_code": "ai_credit", "quantity": 1}


class RedisWorld(World):
    """A world with an outbox in Redis.

    Attributes:
        server: The Redis.
        name: The name of the stream.
    """

    def __init__(self, server: RedisServer) -> None:
        super().__init__()
        self.server, self.name = server, f"usage:{uuid4()}"
        self.outbox = self.outbox_of(now=self.now)

    def outbox_of(self, *, now: Callable[[], float] | None = None, **settings: Any) -> RedisOutbox:
        """Return an outbox of this name through a client with these settings."""
        given = {"unix_socket_path": self.server.path, **settings}
        return RedisOutbox(redis.Redis(**given), name=self.name, now=now)

    def put_many(self, count: int) -> None:
        """Put many events at once."""
        self.outbox.put_many(UsageEvent(**{**USAGE, "company_id": self.company}) for _ in range(count))

    def claim(self, owner: str = "one", count: int = 100, lease: float = 30.0) -> list[Claimed]:
        """Lease events."""
        return self.outbox._claim(owner, count, [], lease=lease, now=self.now)[1]

    def ids(self) -> list[bytes]:
        """Return the ids of the entries."""
        return [place for place, _ in self.server.client.xrange(self.name)]

    def pending(self) -> int:
        """Return how many entries the group has given to somebody."""
        count: int = self.server.client.xpending(self.name, GROUP)["pending"]
        return count

    def content(self) -> dict[bytes, bytes]:
        """Return all keys, as bytes."""
        client = self.server.client
        return {key: client.dump(key) for key in client.scan_iter(f"*{self.name}*")}

    def consumers(self) -> set[str]:
        """Return the consumers of the group."""
        return {found["name"].decode() for found in self.server.client.xinfo_consumers(self.name, GROUP)}


@pytest.fixture
def world(redis_of_outboxes: RedisServer) -> Iterator[RedisWorld]:
    """Return a world in the Redis of all tests that leave it as it was."""
    world = RedisWorld(redis_of_outboxes)
    with world.outbox:
        yield world


@pytest.fixture
def own_world(tmp_path: Path) -> Iterator[RedisWorld]:
    """Return a world in a Redis of its own."""
    with RedisServer(tmp_path) as server:
        world = RedisWorld(server)
        with world.outbox:
            yield world


# Clients

OTHERS: dict[str, Callable[[], Any]] = {
    "redis.sentinel.SentinelConnectionPool": lambda: Sentinel([("127.0.0.1", 1)]).master_for("shop"),  # type: ignore[no-untyped-call]
    "redis.asyncio.client.Redis": redis.asyncio.Redis,
    "redis.cluster.RedisCluster": lambda: RedisCluster.__new__(RedisCluster),
    "builtins.str": lambda: "redis://localhost",
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_clients_are_refused(name: str) -> None:
    """What is not the client of one server is refused, with its type and an advice."""
    with pytest.raises(InvalidInput, match=rf"^redis: .* got a {name}; pass redis\.Redis\(\.\.\.\)"):
        RedisOutbox(OTHERS[name]())


def test_name_is_checked() -> None:
    """A blank name is refused."""
    with pytest.raises(InvalidInput, match=r"^name: must not be blank"):
        RedisOutbox(redis.Redis(), name=" ")


def test_place_is_that_of_the_server_and_the_stream() -> None:
    """Streams of the same name in two databases are not counted as one, nor one stream twice."""
    own = RedisOutbox(redis.Redis())._place()

    assert own == RedisOutbox(redis.Redis.from_url("redis://localhost"))._place()
    assert own == RedisOutbox(redis.Redis(password="secret"))._place()  # noqa: S106 - of nobody
    others = [
        RedisOutbox(redis.Redis(), name="other"),
        RedisOutbox(redis.Redis(db=1)),
        RedisOutbox(redis.Redis(port=6380)),
        RedisOutbox(redis.Redis("other")),
        RedisOutbox(redis.Redis(unix_socket_path="/run/redis.sock")),
    ]
    assert len({own, *(one._place() for one in others)}) == 6


def test_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without redis-py the error says what to install."""
    client = redis.Redis()
    monkeypatch.setitem(sys.modules, "redis", None)

    with pytest.raises(ImportError, match=r"pip install 'chatarmin-os\[redis\]'"):
        RedisOutbox(client)


@pytest.mark.parametrize(
    "settings",
    [{"decode_responses": True}, {"protocol": 3}, {"protocol": 3, "decode_responses": True, "encoding": "latin-1"}],
)
def test_settings_of_the_client_do_not_matter(world: RedisWorld, settings: dict[str, Any]) -> None:
    """Texts of any kind come back as they were, whatever the client makes of answers."""
    with world.outbox_of(now=world.now, **settings) as outbox:
        world.outbox = outbox
        values: dict[str, Any] = {"external_org_id": "org ✓", "idempotency_key": "a\nb ä", "metadata": {"ü": "ä"}}
        outbox.put(feature_code="ai_credit", quantity=0.1, **values)
        [claimed] = world.claim()
        error = 'a "b" \ud800\n'
        outbox._apply("one", [Bury(claimed, 1, "CONFLICT", error)], lease=30.0, now=world.now)

        [event] = outbox.dead()
        assert (event.key, event.external_org_id, event.error, event.quantity) == ("a\nb ä", "org ✓", error, 0.1)
        assert event.metadata == {"ü": "ä"}
        assert outbox.stats().dead_quantity == {"CONFLICT": 0.1}
        assert outbox.revive(["a\nb ä"]) == 1
        assert [again.event for again in world.claim("other")] == [claimed.event]


def test_keys_have_one_slot(world: RedisWorld) -> None:
    """The stream has the name, and all other keys the same slot of a cluster; braces in the name stay."""
    outbox = world.outbox
    assert isinstance(outbox, RedisOutbox)
    assert outbox._keys[:2] == [world.name.encode(), f"{{{world.name}}}:keys".encode()]
    assert RedisOutbox(redis.Redis(), name="{a}:b")._keys[1] == b"{a}:b:keys"
    assert repr(outbox) == f"<RedisOutbox '{world.name}'>"


def test_names_do_not_mix(world: RedisWorld) -> None:
    """Outboxes of different names on one Redis have nothing in common."""
    other = RedisWorld(world.server)
    world.put(idempotency_key="job_1")
    other.put(2)
    other.put(idempotency_key="job_1", quantity=7)

    assert len(other.claim()) == 3
    assert (world.outbox.stats().ready, world.outbox.stats().leased) == (1, 0)
    assert world.sender().drain().counted == 1
    assert (world.outbox.stats().ready, other.outbox.stats().leased) == (0, 3)


# Failures


def test_no_connection(tmp_path: Path) -> None:
    """Without a connection nothing is stored, and the event can be put again when Redis is back."""
    client = redis.Redis(unix_socket_path=str(tmp_path / "redis.sock"))
    outbox = RedisOutbox(client)

    with pytest.raises(OutboxUnavailable, match="put it again with its key, and it counts once") as caught:
        outbox.put(**USAGE)
    for look in outbox.stats, outbox.dead, outbox.revive, Sender(ChatarminOS.in_memory(), outbox).drain:
        with pytest.raises(OutboxUnavailable, match=r"; check that Redis runs and can be reached$"):
            look()
    event = caught.value.event
    assert event is not None
    with RedisServer(tmp_path), outbox:
        assert outbox.put_many([event]) == [event.idempotency_key]
        assert outbox.stats().ready == 1


@pytest.mark.slow
def test_lost_answer(own_world: RedisWorld) -> None:
    """A `put` without an answer may be stored; put again with its key, the event is there once."""
    with own_world.outbox_of(socket_timeout=1) as outbox:  # a busy machine may let a Redis that works wait
        outbox.put(**USAGE)
        own_world.server.hang()
        with pytest.raises(OutboxUnavailable) as caught:
            outbox.put(**USAGE)
        own_world.server.resume()
        event = caught.value.event
        assert event is not None

    assert own_world.outbox.put_many([event]) == [event.idempotency_key]
    assert own_world.outbox.stats().ready == 2


def test_full_memory(own_world: RedisWorld) -> None:
    """At `maxmemory` nothing is stored, draining goes on, and there is place for new events after that."""
    keys = own_world.put(120)
    dead = own_world.put(company_id="comp_unknown")
    own_world.server.client.config_set("maxmemory", 1)

    with pytest.raises(OutboxFull, match="drain it, or raise maxmemory") as caught:
        own_world.put(idempotency_key="job_1")
    assert caught.value.event is not None
    with pytest.raises(OutboxFull):
        own_world.outbox.put_many([UsageEvent(**USAGE), UsageEvent(**USAGE)])
    report = own_world.sender().drain()
    assert (report.counted, report.refused, report.left) == (len(keys), 1, 0)
    with pytest.raises(OutboxFull):
        own_world.outbox.revive()
    assert own_world.outbox.discard(dead) == 1

    own_world.server.client.config_set("maxmemory", 0)
    assert own_world.put(idempotency_key="job_1") == ["job_1"]
    assert own_world.outbox.stats().ready == 1


@pytest.mark.parametrize("part", ["", "keys", "created", "states", "order", "cursor"])
def test_key_of_another_type(world: RedisWorld, part: str) -> None:
    """A key that is in use for something else is named before anything is changed."""
    if part == "cursor":
        world.put()
    key = f"{{{world.name}}}:{part}" if part else world.name
    world.server.client.rpush(key, "mine")
    before = world.content()

    use = world.claim if part in {"states", "order", "cursor"} else world.put
    with pytest.raises(OutboxUnavailable, match=rf"not available: {key} belongs to another application; pass another"):
        use()
    assert world.content() == before


def test_stream_of_another_application(world: RedisWorld) -> None:
    """A stream that has none of our events is left as it is."""
    world.server.client.xadd(world.name, {"order": "17"})
    before = world.content()

    for use in (world.put, world.claim, lambda: world.outbox.revive(["a"])):
        with pytest.raises(OutboxUnavailable, match="belongs to another application"):
            use()
    assert world.content() == before


def test_key_of_another_type_that_comes_later(world: RedisWorld) -> None:
    """An error in a script is one line, without the place in it."""
    world.put()
    world.server.client.delete(world.name)
    world.server.client.set(world.name, "mine")

    text = "the outbox is not available: Redis refused: .*Operation against a key holding the wrong kind of value"
    with pytest.raises(OutboxUnavailable, match=rf"^{text}$"):
        world.put()


def test_scripts_are_loaded_again(world: RedisWorld) -> None:
    """A Redis that has forgotten the scripts gets them again."""
    world.put()
    world.server.client.script_flush()

    assert world.put()
    assert world.sender().drain().counted == 2


def test_restricted_user(own_world: RedisWorld) -> None:
    """A user who may see neither the version nor the memory can use the outbox."""
    own_world.server.client.acl_setuser(
        "shop", enabled=True, passwords=["+secret"], keys=["*"], commands=["+@all", "-info", "-memory"]
    )
    with own_world.outbox_of(username="shop", password="secret") as outbox:  # noqa: S106 - a test
        outbox.put(**USAGE)

        assert (outbox.stats().ready, outbox.stats().bytes) == (1, None)


def _limit_user(server: RedisServer, *commands: str, keys: Sequence[str] = ("*",)) -> None:
    server.client.acl_setuser("shop", enabled=True, reset=True, passwords=["+secret"], keys=keys, commands=commands)


SHOP: dict[str, Any] = {"username": "shop", "password": "secret"}


@pytest.mark.parametrize("missing", ["xrange", "hdel", "hset", "zadd", "xadd"])
def test_user_who_may_not_put(own_world: RedisWorld, missing: str) -> None:
    """A user without a right stores nothing: a script that fails in its middle would leave half of an event."""
    _limit_user(own_world.server, "+@all", f"-{missing}")

    with (
        own_world.outbox_of(**SHOP) as outbox,
        pytest.raises(OutboxUnavailable, match=rf"not available: its user may not run {missing.upper()} on .*usage"),
    ):
        outbox.put(**USAGE)
    assert own_world.content() == {}


SEND = ("zrem", "zrangebyscore", "hincrby", "get", "set", "xdel", "xack", "xpending", "xgroup", "xclaim", "xautoclaim")


@pytest.mark.parametrize("missing", [*SEND, "xreadgroup"])
def test_user_who_may_not_send(own_world: RedisWorld, missing: str) -> None:
    """A user without a right for sending changes nothing, and may put."""
    _limit_user(own_world.server, "+@all", f"-{missing}")
    with own_world.outbox_of(**SHOP) as own_world.outbox:
        own_world.put()
        before = own_world.content()

        with pytest.raises(OutboxUnavailable, match=rf"may not run {missing.upper()} on "):
            own_world.sender().drain()
        with pytest.raises(OutboxUnavailable, match=rf"may not run {missing.upper()} on "):
            own_world.outbox.revive(["job_1"])
        assert own_world.content() == before


def test_user_with_the_rights_of_the_documentation(own_world: RedisWorld) -> None:
    """The rights that the docstring names are enough for everything."""
    [line] = [line for line in (RedisOutbox.__doc__ or "").splitlines() if "+@read" in line]
    commands = line.split("`")[1].split()
    _limit_user(own_world.server, *commands, keys=[own_world.name, f"{{{own_world.name}}}:*"])

    with own_world.outbox_of(**SHOP) as own_world.outbox:
        own_world.put(2)
        dead = own_world.put(company_id="comp_unknown")
        assert own_world.sender().drain().counted == 2
        assert [event.key for event in own_world.outbox.dead()] == dead
        assert own_world.outbox.revive() == own_world.outbox.stats().ready == 1
        assert own_world.sender().drain().refused == own_world.outbox.discard(dead) == 1
        assert isinstance(own_world.outbox.stats().bytes, int)


def test_wrong_password(own_world: RedisWorld) -> None:
    """A wrong password stores nothing, and the error does not say that it may have."""
    with (
        own_world.outbox_of(username="shop", password="geheim") as outbox,  # noqa: S106 - a test
        pytest.raises(OutboxUnavailable, match="Redis refused: invalid username-password pair") as caught,
    ):
        outbox.put(**USAGE)
    assert "may be stored" not in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_policy_that_evicts_is_logged(own_world: RedisWorld, caplog: pytest.LogCaptureFixture) -> None:
    """A Redis that removes keys when its memory is full is no place for usage: that is logged once."""
    own_world.server.client.config_set("maxmemory-policy", "allkeys-lru")

    own_world.put(2)

    assert [record.getMessage() for record in caplog.records] == [
        "the Redis of the outbox may lose usage: its maxmemory-policy is allkeys-lru, not noeviction"
    ]


def test_policy_that_evicts_what_expires_is_not_logged(own_world: RedisWorld, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing of the outbox expires, so that such a policy removes nothing of it."""
    own_world.server.client.config_set("maxmemory-policy", "volatile-lru")

    own_world.put()

    assert caplog.messages == []
    client = own_world.server.client
    assert {client.ttl(key) for key in client.scan_iter("*")} == {-1}


class OtherServer:
    """Says the same to everything, and something else to INFO.

    Attributes:
        port: Its port on loopback.
    """

    def __init__(self, answer: bytes, info: bytes) -> None:
        self._answer, self._info = answer, info
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection, connection.makefile("rwb") as stream:
            while count := stream.readline():
                words = [stream.read(int(stream.readline()[1:]) + 2)[:-2] for _ in range(int(count[1:]))]
                stream.write(self._info if words[0] == b"INFO" else self._answer)
                stream.flush()

    def close(self) -> None:
        """Wait for the end of the connection."""
        self._thread.join()
        self._listener.close()


SERVERS = {
    "old": (
        (b"+OK\r\n", b"$22\r\nredis_version:5.0.14\r\n\r\n"),
        "^the outbox needs Redis 6.2 or later, and this one is 5.0.14$",
    ),
    "without-scripts": (
        (b"-ERR unknown command\r\n", b"-ERR unknown command\r\n"),
        "^the outbox is not available: Redis refused: unknown command$",
    ),
    "without-scripts-and-number": (
        (b"-ERR unknown command\r\n", b"$22\r\nredis_version:newest\r\n\r\n"),
        "^the outbox is not available: Redis refused: unknown command$",
    ),
}


@pytest.mark.parametrize("name", SERVERS)
def test_other_servers_are_refused(name: str) -> None:
    """A server without the commands that are needed is an error of one line, with its version if it is too old."""
    answers, message = SERVERS[name]
    server = OtherServer(*answers)
    with (
        RedisOutbox(redis.Redis(port=server.port)) as outbox,
        pytest.raises(OutboxUnavailable, match=message),
    ):
        outbox.put(**USAGE)
    server.close()


# The stream


def test_sender_leaves_no_consumer(world: RedisWorld) -> None:
    """A sender that ends removes its consumer; what waits is pending with the consumer `waiting`."""
    world.put(3)
    world.sender(ChatarminOS(transport=Batches(world.fake, lose))).drain()
    assert (world.consumers(), world.pending()) == ({"waiting"}, 3)
    world.advance(2)

    assert world.sender().drain(limit=2).counted == 2
    assert world.sender().drain().counted == 1

    assert (world.consumers(), world.pending(), world.ids()) == ({"waiting"}, 0, [])


def test_consumer_of_a_killed_sender_is_removed(world: RedisWorld) -> None:
    """The consumer of a sender that was killed has its entries until others have taken all of them."""
    world.put(3)
    assert len(world.claim("killed")) == 3
    assert "killed" in world.consumers()
    world.at += 30

    assert len(world.claim("next", 2)) == 2
    assert world.consumers() >= {"killed", "next"}
    assert world.sender().drain().counted == 1
    assert "killed" not in world.consumers()


@pytest.mark.parametrize("wait", [0.0, 30.0])
def test_entry_without_fields_is_no_event(world: RedisWorld, caplog: pytest.LogCaptureFixture, wait: float) -> None:
    """An entry that somebody removed, before or after it was leased, is forgotten; the key can be used again."""
    [key, _] = world.put(2)
    if wait:
        world.claim()
    removed = world.ids()[0]
    world.server.client.xdel(world.name, removed)
    world.at += wait

    assert (world.outbox.stats().ready, world.outbox.stats().oldest_age) == (1, wait)
    report = world.sender().drain()

    assert (report.counted, report.left, world.pending()) == (1, 0, 0)
    assert world.outbox.stats().oldest_age is None
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    text = f"1 entries of {world.name} have no event any more, and were removed: {removed.decode()}"
    lost = f"1 events of {world.name} are lost: somebody removed their entries"
    assert errors == [text if wait else lost]
    assert world.put(idempotency_key=key) == [key]
    assert world.sender().drain().requests == 1


def test_many_entries_without_fields(world: RedisWorld, caplog: pytest.LogCaptureFixture) -> None:
    """However many entries somebody removed, one drain gets over all of them, and each is logged once."""
    world.put_many(560)
    assert [len(world.claim("killed", 200)) for _ in range(2)] == [200, 200]
    world.server.client.xtrim(world.name, maxlen=0, approximate=False)
    world.at += 30
    world.put()

    assert world.outbox.stats().ready == 1
    assert world.sender().drain().counted == 1
    counts = {"lost": 0, "removed": 0}
    for record in caplog.records:
        assert isinstance(record.args, tuple)
        counts["lost" if "lost" in record.getMessage() else "removed"] += int(str(record.args[0]))
    assert counts == {"lost": 160, "removed": 400}
    assert sum("lost" in message for message in caplog.messages) == 1
    assert any(message.endswith(", …") for message in caplog.messages)


def test_dead_event_without_fields_is_no_event(world: RedisWorld) -> None:
    """An entry that is removed while a sender has it is not counted among the dead, but as delivered if it is."""
    world.put(2)
    one, other = world.claim()
    world.server.client.xdel(world.name, one.place, other.place)

    changes: list[Change] = [Remove(one), Bury(other, 1, "CONFLICT", "")]
    assert world.outbox._apply("one", changes, lease=30.0, now=world.now) == changes[:1]
    assert (world.outbox.stats().dead, world.pending()) == (0, 0)


def test_entry_of_others_is_no_event(world: RedisWorld, caplog: pytest.LogCaptureFixture) -> None:
    """An entry without the fields of an event is removed and logged; the events around it are delivered."""
    world.put()
    world.server.client.xadd(world.name, {"key": "job_1"})
    world.put()

    assert world.sender().drain().counted == 2
    assert "1 entries of" in caplog.text
    assert world.ids() == []


def test_entries_of_another_consumer_are_taken(world: RedisWorld, caplog: pytest.LogCaptureFixture) -> None:
    """Entries that a consumer of somebody else has are taken from it after the time of a lease."""
    world.put(3)
    world.claim("one", 1)
    client = world.server.client
    client.xreadgroup(GROUP, "stranger", {world.name: ">"})
    client.xdel(world.name, world.ids()[2])
    assert world.claim("two") == []
    time.sleep(0.06)

    assert len(world.claim("two", lease=0.05)) == 1
    assert "1 entries of" in caplog.text


def test_group_of_many_events_that_was_destroyed(world: RedisWorld) -> None:
    """A sender gets over all events that others have, however many they are."""
    world.put_many(500)
    assert [len(world.claim("one", 200)) for _ in range(2)] == [200, 200]
    world.server.client.xgroup_destroy(world.name, GROUP)

    assert len(world.claim("two", 200)) == 100


def test_lost_entry_among_many(world: RedisWorld) -> None:
    """The search for lost entries goes on where the last one ended, so that it ends up with each of them."""
    world.put_many(1500)
    for count in [200] * 7 + [99]:
        world.claim("one", count)
    client = world.server.client
    client.xreadgroup(GROUP, "stranger", {world.name: ">"})
    client.xclaim(world.name, GROUP, "stranger", 0, [world.ids()[-1]], idle=60_000)

    assert [len(world.claim("two")) for _ in range(3)] == [0, 1, 0]


def test_lease_is_small(world: RedisWorld) -> None:
    """However many events a sender asks for, a script takes few of them, for Redis does nothing else while it runs."""
    world.put_many(300)

    assert [len(world.claim("one", 800)) for _ in range(3)] == [200, 100, 0]


def test_nothing_is_left_of_events(world: RedisWorld) -> None:
    """After all events are delivered or discarded, no key has anything of them."""
    world.put_many(3)
    world.put(external_org_id="org_1")
    dead = world.put(company_id="comp_unknown")
    world.sender(ChatarminOS(transport=Batches(world.fake, lose))).drain()
    world.advance(2)
    world.sender().drain()
    world.outbox.discard(dead)

    left = {key.decode() for key in world.server.client.scan_iter(f"*{world.name}*")}
    assert left == {world.name, f"{{{world.name}}}:cursor"}
    assert world.ids() == []


def test_delivered_event_has_no_age(world: RedisWorld) -> None:
    """The instant of an event goes with it, so that figures never have to look for the events of it."""
    world.put()
    [claimed] = world.claim()
    assert world.outbox._apply("one", [Remove(claimed)], lease=30.0, now=world.now)

    assert world.server.client.zcard(f"{{{world.name}}}:created") == 0


def test_first_attempt_is_remembered(world: RedisWorld) -> None:
    """The instant of the first attempt stays that, also of a sender that was killed; a look-up is no attempt."""
    world.put()
    world.put(external_org_id="org_1")
    start = world.at
    world.claim("killed")
    world.at += 30
    world.claim("killed too")
    world.at += 30

    tried, looked_up = world.claim()
    assert (tried.attempts, tried.first_tried) == (2, start)
    assert (looked_up.attempts, looked_up.first_tried) == (0, None)


def test_group_that_was_destroyed(world: RedisWorld) -> None:
    """A group that is missing is created again, and events stay with those who have them."""
    world.put(3)
    [claimed] = world.claim("one", 1)
    world.server.client.xgroup_destroy(world.name, GROUP)

    assert len(world.claim("two")) == 2
    assert world.outbox._apply("one", [Remove(claimed)], lease=30.0, now=world.now)
    assert world.pending() == 2


def test_order_of_dead_events(world: RedisWorld) -> None:
    """Dead events are listed in the order in which they were put, also those of one millisecond."""
    events = [UsageEvent(**USAGE) for _ in range(25)]
    keys = world.outbox.put_many(events)
    world.sender(ChatarminOS(transport=Batches(world.fake, refuse("CONFLICT")))).drain()

    assert [event.key for event in world.outbox.dead()] == keys
    assert world.outbox.revive(keys[3:5]) == 2
    assert [event.key for event in world.outbox.dead(limit=4)] == [*keys[:3], keys[5]]


def test_many_dead_events(world: RedisWorld) -> None:
    """Hundreds of dead events are listed, revived and discarded in parts, each a script."""
    events = [UsageEvent(**USAGE) for _ in range(401)]
    keys = world.outbox.put_many(events)

    def bury() -> None:
        while taken := world.claim():
            changes = [Bury(claimed, 1, "CONFLICT", "") for claimed in taken]
            assert world.outbox._apply("one", changes, lease=30.0, now=world.now) == changes

    bury()
    for limit in (1, 200, 201, 500):
        assert [event.key for event in world.outbox.dead(limit=limit)] == keys[:limit]
    assert world.outbox.revive() == len(keys)
    assert (world.outbox.revive(), world.outbox.dead(), world.outbox.stats().ready) == (0, [], len(keys))
    bury()
    assert world.outbox.revive(keys[1:]) == len(keys) - 1
    bury()
    assert world.outbox.discard(keys) == len(keys)
    assert world.outbox.stats().dead == 0


def test_revived_event_keeps_its_company(world: RedisWorld) -> None:
    """The company that was found is not looked up again after an event was revived."""
    world.put(external_org_id="org_1")
    refusing = Batches(world.fake, lambda calls: refuse("CONFLICT")(calls) if calls[0].path == TRACK else None)
    world.sender(ChatarminOS(transport=refusing)).drain()
    assert world.outbox.revive() == 1
    transport = Batches(world.fake, lambda _: None)

    assert world.sender(ChatarminOS(transport=transport)).drain().counted == 1
    assert transport.others == []


def test_many_events_at_once(world: RedisWorld) -> None:
    """All events of a large `put_many` are stored, those that wait already once."""
    events = [UsageEvent(**USAGE) for _ in range(1000)]
    world.outbox.put_many(events[:10])

    assert world.outbox.put_many(events) == [event.idempotency_key for event in events]
    stats = world.outbox.stats()
    assert stats.ready == 1000
    assert stats.bytes is not None
    assert stats.bytes > 1000 * len(json.dumps(USAGE))


def test_too_many_events_at_once(world: RedisWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """More events than Redis should store without a pause are refused, all of them."""
    monkeypatch.setattr(redis_outbox, "_MAX_PUT", 3)

    with pytest.raises(InvalidInput, match=r"^events: expected at most 3 events at once, got 4; put them in parts"):
        world.put_many(4)
    world.put_many(3)
    assert world.outbox.stats().ready == 3


def test_clock_of_redis(world: RedisWorld) -> None:
    """Leases are by the clock of Redis, so that machines whose clocks differ leave each other theirs."""
    with world.outbox_of() as outbox:
        outbox.put(**USAGE)

        def claim(owner: str, lease: float, now: float) -> list[Claimed]:
            return outbox._claim(owner, 1, [], lease=lease, now=lambda: now)[1]

        [claimed] = claim("one", 30.0, 1.0)
        assert outbox.stats().leased == 1
        assert claim("two", 30.0, 1e10) == []
        assert outbox._apply("one", [Keep(claimed)], lease=0.05, now=lambda: 1.0)
        time.sleep(0.06)
        assert outbox._apply("one", [Remove(claimed)], lease=30.0, now=time.time) == []
        [again] = claim("two", 30.0, 2e9)

        assert (again.attempts, again.first_tried) == (1, 1.0)
        age = outbox.stats().oldest_age
        assert age is not None
        assert age >= 0.05


def test_one_key_of_many_threads(world: RedisWorld) -> None:
    """An event that many threads put at once is stored once."""
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: world.put(idempotency_key="job_1"), range(64)))

    assert keys == [["job_1"]] * 64
    assert len(world.ids()) == 1


def _put_in_child(outbox: RedisOutbox) -> None:
    for _ in range(20):
        outbox.put(**USAGE)
    outbox.close()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 warns of threads
def test_forked_children(world: RedisWorld) -> None:
    """Children open connections of their own, and lose nothing."""
    assert isinstance(world.outbox, RedisOutbox)
    world.put()
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_put_in_child, args=(world.outbox,)) for _ in range(4)]
    for child in children:
        child.start()
    world.put()
    for child in children:
        child.join(60)

    assert [child.exitcode for child in children] == [0] * 4
    assert world.outbox.stats().ready == 82
