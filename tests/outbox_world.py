"""A client, an outbox and a clock, for tests of outboxes; a plugin with the fixture `world`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import redis
from redis_server import RedisServer

from chatarmin_os import ApiError, ChatarminError, ChatarminOS, ConnectionFailed
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.outbox import Outbox, RedisOutbox, Sender, SQLiteOutbox, UsageEvent
from chatarmin_os.transports import FunctionTransport, Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from chatarmin_os._json import JSON
    from chatarmin_os.outbox import DrainReport
    from chatarmin_os.transports import Call

START = 1_700_000_000.0
HOUR, DAY = 3600.0, 86_400.0
USAGE = "billing.trackUsage"


def _in_a_file(request: pytest.FixtureRequest, now: Callable[[], float]) -> Outbox:
    folder: Path = request.getfixturevalue("tmp_path")
    return SQLiteOutbox(folder / "usage.db", synchronous="normal", now=now)


def _in_redis(request: pytest.FixtureRequest, now: Callable[[], float]) -> Outbox:
    server: RedisServer = request.getfixturevalue("redis_of_outboxes")
    return RedisOutbox(redis.Redis(unix_socket_path=server.path), name=f"usage:{uuid4()}", now=now)


def _in_django(_: pytest.FixtureRequest, now: Callable[[], float]) -> Outbox:
    import outbox_databases  # it imports and configures Django

    return outbox_databases.outbox("default", now)


def _in_postgres(_: pytest.FixtureRequest, now: Callable[[], float]) -> Outbox:
    import outbox_databases

    return outbox_databases.outbox(outbox_databases.postgres(), now)


def _in_mariadb(_: pytest.FixtureRequest, now: Callable[[], float]) -> Outbox:
    import outbox_databases

    return outbox_databases.outbox(outbox_databases.mariadb(), now)


KINDS: dict[str, Callable[[pytest.FixtureRequest, Callable[[], float]], Outbox]] = {
    "sqlite": _in_a_file,
    "redis": _in_redis,
    "django": _in_django,
    "django-postgres": _in_postgres,
    "django-mariadb": _in_mariadb,
}
"""Each kind of outbox, made for a test and with a clock; the contract runs on all of them."""

NEEDS = {
    "redis": [pytest.mark.needs("redis-server")],
    "django-postgres": [pytest.mark.slow, pytest.mark.needs("postgres")],
    "django-mariadb": [pytest.mark.slow, pytest.mark.needs("mariadb")],
}


@pytest.fixture(scope="session")
def redis_of_outboxes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Run one Redis for all outboxes, which have names of their own."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


class World:
    """An outbox, and the service to which its events go.

    Attributes:
        outbox: The outbox, which reads the same clock as the senders.
        fake: The service.
        client: A client of it.
        company: A company, linked to `org_1`, with the features `ai_credit` and `team_seats`.
        at: The time in seconds, for outbox and senders.
    """

    outbox: Outbox

    def __init__(self) -> None:
        self.fake = FakeTransport(demo_catalogue())
        self.client = ChatarminOS(transport=self.fake)
        self.company = self.client.onboard(external_org_id="org_1", tier_code="enterprise").company_id
        self.at = START
        self.waits = 1.0  # the value of random numbers

    def now(self) -> float:
        """Return the time."""
        return self.at

    def at_text(self, seconds: float) -> str:
        """Return the instant so many seconds from now, as ISO 8601 text."""
        return datetime.fromtimestamp(self.at + seconds, UTC).isoformat()

    def sender(self, client: ChatarminOS | None = None, **settings: Any) -> Sender:
        """Return a sender on the clock of the test."""
        given = {"now": self.now, "random": lambda: self.waits, **settings}
        return Sender(client or self.client, self.outbox, **given)

    def through(self, answer: Callable[[Sequence[Call]], Any] = lambda _: None) -> tuple[ChatarminOS, Batches]:
        """Return a client, and its transport that passes the rounds of usage through a function."""
        transport = Batches(self.fake, answer)
        return ChatarminOS(transport=transport), transport

    def drain(self, answer: Callable[[Sequence[Call]], Any], **settings: Any) -> DrainReport:
        """Drain, with a function that may answer instead of the service."""
        return self.sender(self.through(answer)[0], **settings).drain()

    def put(self, count: int = 1, **values: Any) -> list[str]:
        """Put events of one credit each, and return their keys."""
        given = {"company_id": self.company, "feature_code": "ai_credit", "quantity": 1, **values}
        if "external_org_id" in given:
            del given["company_id"]
        if count == 1:
            return [self.outbox.put(**given)]
        created_at = datetime.fromtimestamp(self.outbox._now(), UTC)
        return self.outbox.put_many(UsageEvent(**given, created_at=created_at) for _ in range(count))

    def usage(self) -> float:
        """Return the usage that the service has counted."""
        access = self.client.features.check(company_id=self.company, feature_code="ai_credit")
        assert access.current_usage is not None
        return access.current_usage

    def advance(self, seconds: float) -> None:
        """Move the clocks of the test and of the service forward."""
        self.at += seconds
        self.fake.advance(timedelta(seconds=seconds))

    def reasons(self) -> list[str]:
        """Return the reasons of the dead events."""
        return [event.reason for event in self.outbox.dead()]


@pytest.fixture(params=[pytest.param(kind, marks=NEEDS.get(kind, [])) for kind in KINDS])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Return a world with an outbox of each kind."""
    world = World()
    world.outbox = KINDS[request.param](request, world.now)
    with world.outbox:
        yield world


class Batches(Transport):
    """Passes the rounds of usage through a function, which may answer itself; keeps the inputs of each round.

    Attributes:
        rounds: The inputs of usage, a list for each round.
        others: The paths of all other calls.
    """

    def __init__(self, inner: Transport, answer: Callable[[Sequence[Call]], Sequence[Any] | None]) -> None:
        self._inner, self._answer = inner, answer
        self.rounds: list[list[Any]] = []
        self.others: list[str] = []

    def send(self, call: Call) -> JSON:
        """Send a single call as a round of its own."""
        [answer] = self.send_many([call])
        if isinstance(answer, ChatarminError):
            raise answer
        return answer

    def send_many(self, calls: Sequence[Call]) -> list[JSON | ChatarminError]:
        """Let the function answer, or the inner transport if it returns None."""
        if calls[0].path != USAGE:
            self.others += [call.path for call in calls]
        else:
            self.rounds.append([call.input for call in calls])
        answers = self._answer(calls)
        return self._inner.send_many(calls) if answers is None else list(answers)


def refuse(code: str, message: str = "", **values: Any) -> Callable[[Sequence[Call]], list[ApiError]]:
    """Return a function that refuses each call with a code."""
    return lambda calls: [ApiError.from_code(code, message, **values) for _ in calls]


def lose(calls: Sequence[Call]) -> list[ConnectionFailed]:
    """Answer no call: the connection is lost."""
    return [ConnectionFailed("lost") for _ in calls]


def unsent(calls: Sequence[Call]) -> list[ConnectionFailed]:
    """Answer no call: nothing was sent."""
    return [ConnectionFailed("refused", outcome="not_sent") for _ in calls]


def nobody() -> ChatarminOS:
    """Return a client whose service does not answer."""

    def fail(_: Call) -> JSON:
        raise ConnectionFailed("refused", outcome="not_sent")

    return ChatarminOS(transport=FunctionTransport(fail))
