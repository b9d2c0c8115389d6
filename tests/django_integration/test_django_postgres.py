"""Usage that follows a transaction of PostgreSQL: what only a real database does at the end of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import django_project
import pytest
from django.db import DatabaseError, IntegrityError, OperationalError, connections, transaction
from django.test import RequestFactory
from postgres_server import PostgresServer

from chatarmin_os.django import metered, track_usage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chatarmin_os.fake import FakeTransport

pytest_plugins = ["django_project.fixtures"]
pytestmark = [pytest.mark.slow, pytest.mark.needs("postgres")]

assert django_project.SETTINGS, "importing the project configures Django"

REQUEST = RequestFactory().get("/", headers={"X-Organisation": "org_1"})


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Run PostgreSQL, as the database "postgres" of the project."""
    server = PostgresServer()
    known = connections.configure_settings({**connections.settings, "postgres": server.settings()})
    connections.settings["postgres"] = known["postgres"]
    run("CREATE TABLE parents (id int PRIMARY KEY)")
    run("CREATE TABLE children (parent int REFERENCES parents DEFERRABLE INITIALLY DEFERRED)")
    yield server
    connections["postgres"].close()
    del connections["postgres"], connections.settings["postgres"]
    server.close()


def run(statement: str) -> None:
    """Run a statement of SQL."""
    with connections["postgres"].cursor() as cursor:
        cursor.execute(statement)


def tracked(fake: FakeTransport) -> list[Any]:
    """Return the quantities that the service got."""
    return [call.input["quantity"] for call in fake.calls if call.path == "billing.trackUsage"]


def count(quantity: float) -> None:
    """Count usage in two ways."""
    track_usage(REQUEST, "ai_credit", quantity, using="postgres")
    with metered(REQUEST, "ai_credit", quantity + 1, using="postgres"):
        pass


@pytest.mark.usefixtures("server")
def test_usage_is_sent_after_the_commit(fake: FakeTransport) -> None:
    """The rows are there before the usage is sent."""
    with transaction.atomic(using="postgres"):
        run("INSERT INTO parents VALUES (1)")
        count(1)
        assert tracked(fake) == []

    assert tracked(fake) == [1, 2]


@pytest.mark.usefixtures("server")
def test_commit_that_fails_sends_nothing(fake: FakeTransport) -> None:
    """A constraint that is checked at the commit undoes all, when the view has ended already."""

    def sell() -> None:
        with transaction.atomic(using="postgres"):
            run("INSERT INTO children VALUES (99)")
            count(1)

    with pytest.raises(IntegrityError):
        sell()
    assert tracked(fake) == []


@pytest.mark.usefixtures("server")
def test_savepoint_survives_an_error_of_the_database(fake: FakeTransport) -> None:
    """An error ends the inner block with its usage; the outer one commits with its own."""

    def fail() -> None:
        with transaction.atomic(using="postgres"):
            count(1)
            run("SELECT 1 / 0")

    with transaction.atomic(using="postgres"):
        count(3)
        with pytest.raises(DatabaseError):
            fail()
        count(5)

    assert tracked(fake) == [3, 4, 5, 6]


def test_database_that_is_gone_sends_nothing(server: PostgresServer, fake: FakeTransport) -> None:
    """If the server ends during a transaction, it did not commit, and no usage is sent; later transactions do."""

    def sell() -> None:
        with transaction.atomic(using="postgres"):
            run("INSERT INTO parents VALUES (2)")
            count(1)
            server.stop()

    with pytest.raises(OperationalError):
        sell()
    assert tracked(fake) == []

    server.start()
    connections["postgres"].close()
    with transaction.atomic(using="postgres"):
        run("INSERT INTO parents VALUES (2)")
        count(3)
    assert tracked(fake) == [3, 4]
