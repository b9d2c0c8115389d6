"""The outbox in the database of a project: with its transactions, in its views, and in its checks."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
import threading
from contextlib import closing
from importlib import import_module
from io import StringIO
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, connections, transaction
from django.db.backends.signals import connection_created
from django.test import RequestFactory, override_settings
from django.test.utils import CaptureQueriesContext
from django_project.models import Membership
from outbox_databases import mariadb, postgres
from outbox_databases import outbox as empty_outbox

from chatarmin_os import ApiError, ChatarminOS, ConnectionFailed, InvalidInput
from chatarmin_os.django import DjangoOutbox, get_gate, get_outbox, metered, track_usage
from chatarmin_os.django.test import override_service
from chatarmin_os.integrations.django.models import OutboxEvent
from chatarmin_os.integrations.django.outbox import _after_in_child, _close_if_broken
from chatarmin_os.integrations.django.rows import Rows
from chatarmin_os.outbox import Outbox, OutboxUnavailable, Sender, SQLiteOutbox, UsageEvent, opening
from chatarmin_os.transports import FunctionTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from chatarmin_os.fake import FakeTransport
    from chatarmin_os.gate import Metered
    from chatarmin_os.transports import Call, Transport

pytest_plugins = ["django_project.fixtures"]

REQUEST = RequestFactory().get("/", headers={"X-Organisation": "org_1"})
USAGE: dict[str, Any] = {"external_org_id": "org_1", "feature_code": "ai_credit", "quantity": 5}
TRACK = "billing.trackUsage"


class UndoError(Exception):
    """Ends a transaction."""


SERVERS = {"postgres": postgres, "mariadb": mariadb}
ON_SERVERS = [pytest.param(name, marks=[pytest.mark.slow, pytest.mark.needs(name)]) for name in SERVERS]


@pytest.fixture(params=["default", "other", *ON_SERVERS])
def outbox(request: pytest.FixtureRequest) -> DjangoOutbox:
    """Return an empty outbox in each database."""
    return empty_outbox(SERVERS[request.param]() if request.param in SERVERS else request.param)


def project(outbox: object, fake: Transport) -> Any:
    """Override the settings by some with an outbox."""
    options = {"TRANSPORT": fake, "ORGANISATION": "django_project.views.organisation_of", "OUTBOX": outbox}
    return override_settings(CHATARMIN_OS=options)


@pytest.fixture
def database(fake: FakeTransport) -> Iterator[DjangoOutbox]:
    """Configure the outbox in the default database."""
    empty_outbox("default")
    with project("django", fake):
        found = get_outbox()
        assert isinstance(found, DjangoOutbox)
        yield found


@pytest.fixture
def file(fake: FakeTransport, tmp_path: Path) -> Iterator[Outbox]:
    """Configure an outbox in a file."""
    with project(tmp_path / "usage.db", fake):
        found = get_outbox()
        assert isinstance(found, SQLiteOutbox)
        yield found


def undo(act: Callable[[], object], using: str | None = None) -> None:
    """Do something in a transaction that is rolled back."""

    def fail() -> None:
        with transaction.atomic(using=using):
            act()
            raise UndoError

    with pytest.raises(UndoError):
        fail()


def run_out(using: str) -> None:
    """Make the transaction one that can only be rolled back."""
    transaction.set_rollback(True, using=using)


def tracked(fake: FakeTransport) -> list[Any]:
    """Return the quantities that the service got."""
    return [call.input["quantity"] for call in fake.calls if call.path == TRACK]


def lost(caplog: pytest.LogCaptureFixture) -> Any:
    """Return the key of the one event in the log."""
    _, event = caplog.text.split("with its key: ")
    return json.loads(event.splitlines()[0])["idempotency_key"]


# Transactions


def test_put_commits_with_the_transaction(outbox: DjangoOutbox) -> None:
    """Events of a transaction, and of a savepoint, are there after its commit."""
    with transaction.atomic(using=outbox.using):
        outbox.put(**USAGE)
        with transaction.atomic(using=outbox.using):
            outbox.put_many([UsageEvent(**USAGE), UsageEvent(**USAGE)])

    assert outbox.stats().ready == 3


def test_put_rolls_back_with_the_transaction(outbox: DjangoOutbox) -> None:
    """Events of a transaction, or of a savepoint, that is rolled back were never there."""
    undo(lambda: outbox.put(**USAGE), outbox.using)
    assert outbox.stats().ready == 0

    with transaction.atomic(using=outbox.using):
        outbox.put(**USAGE, idempotency_key="job-1")
        undo(lambda: outbox.put(**USAGE), outbox.using)
    assert list(OutboxEvent.objects.using(outbox.using).values_list("key", flat=True)) == ["job-1"]


def test_put_that_fails_does_not_break_the_transaction(outbox: DjangoOutbox) -> None:
    """A key that waits with other values is refused, and the transaction goes on."""
    with transaction.atomic(using=outbox.using):
        outbox.put(**USAGE, idempotency_key="job-1")
        with pytest.raises(InvalidInput, match="idempotency_key"):
            outbox.put_many([UsageEvent(**USAGE), UsageEvent(**{**USAGE, "quantity": 6}, idempotency_key="job-1")])
        outbox.put(**USAGE)

    assert outbox.stats().ready == 2


def test_put_in_a_broken_transaction(outbox: DjangoOutbox) -> None:
    """A transaction that can only be rolled back takes nothing; the error has the event."""

    def put() -> None:
        run_out(outbox.using)
        with pytest.raises(OutboxUnavailable, match="TransactionManagementError") as raised:
            outbox.put(**USAGE, idempotency_key="job-1")
        assert raised.value.event is not None
        assert raised.value.event.idempotency_key == "job-1"

    undo(put, outbox.using)


def test_sender_needs_transactions_of_its_own(outbox: DjangoOutbox) -> None:
    """Inside `atomic` a sender is refused: its leases would be seen by nobody, and undone after the requests."""
    outbox.put(**USAGE)
    with override_service() as fake:
        client = get_gate().client
        with transaction.atomic(using=outbox.using), pytest.raises(RuntimeError, match="durable"):
            Sender(client, outbox).drain()
        assert tracked(fake) == []
        assert Sender(client, outbox).drain().counted == 1


def test_sender_needs_autocommit() -> None:
    """Where the user commits by hand a sender is refused: its leases would not be committed before its requests."""
    outbox = empty_outbox("default")
    outbox.put(**USAGE)
    with override_service() as fake:
        sender = Sender(get_gate().client, outbox)
        transaction.set_autocommit(False)
        try:
            with pytest.raises(RuntimeError, match="autocommit"):
                sender.drain()
        finally:
            transaction.rollback()
            transaction.set_autocommit(True)
        assert tracked(fake) == []
        assert sender.drain().counted == 1


class Conflict:
    """Ends the transactions of some statements as a database does that has to choose between two of them."""

    def __init__(self, times: int) -> None:
        self.times = times

    def __call__(self, execute: Any, sql: str, params: Any, many: Any, context: Any) -> Any:
        """Fail, or execute an INSERT or an UPDATE."""
        if self.times and sql.startswith(("INSERT", "UPDATE")):
            self.times -= 1
            error = OperationalError()
            error.__cause__ = Exception(1213, "Deadlock found when trying to get lock")
            raise error
        return execute(sql, params, many, context)


def test_deadlock_is_tried_again(fake: FakeTransport) -> None:
    """A transaction of the outbox that the database ended in favour of another one is done again."""
    outbox = empty_outbox("default")

    with connection.execute_wrapper(Conflict(2)):
        outbox.put(**USAGE)
    with connection.execute_wrapper(Conflict(2)):
        assert Sender(get_gate().client, outbox).drain().counted == 1

    assert tracked(fake) == [5]


def test_deadlock_of_the_users_transaction_is_not_tried_again() -> None:
    """The database has ended all of it, and only the user can do it again."""
    outbox, conflict = empty_outbox("default"), Conflict(1)

    with transaction.atomic(), connection.execute_wrapper(conflict), pytest.raises(OutboxUnavailable):
        outbox.put(**USAGE)

    assert conflict.times == 0
    assert outbox.stats().ready == 0


def test_deadlocks_end() -> None:
    """It is not tried for ever."""
    outbox = empty_outbox("default")

    with connection.execute_wrapper(Conflict(100)), pytest.raises(OutboxUnavailable) as raised:
        outbox.put(**USAGE)

    assert raised.value.event is not None


def test_alias_that_does_not_exist() -> None:
    """A database that the project does not have is a mistake, and no outage."""
    with pytest.raises(InvalidInput, match="using: the project has no database 'missing'"):
        DjangoOutbox("missing").put(**USAGE)


def test_database_that_is_missing() -> None:
    """A database that cannot be opened is not available; the error has advice and no text of the database."""
    outbox = DjangoOutbox("unreachable")

    with pytest.raises(
        OutboxUnavailable, match=r"'unreachable' is not available \(OperationalError\).*migrate --database unreachable"
    ):
        outbox.stats()
    outbox.close()
    assert repr(outbox) == "<DjangoOutbox in 'unreachable'>"


@pytest.mark.parametrize("is_usable", [True, False])
@pytest.mark.parametrize("in_atomic_block", [True, False])
def test_connection_that_ended_is_closed(is_usable: bool, in_atomic_block: bool) -> None:  # noqa: FBT001
    """After an error a connection that cannot be used is closed, except for that of the caller's transaction."""
    closed: list[bool] = []
    connection = SimpleNamespace(
        connection=object(),
        in_atomic_block=in_atomic_block,
        is_usable=lambda: is_usable,
        close=lambda: closed.append(True),
    )

    _close_if_broken(connection)

    assert bool(closed) is (not is_usable and not in_atomic_block)


def test_alias_is_text() -> None:
    """The alias is checked."""
    with pytest.raises(InvalidInput, match="using: "):
        DjangoOutbox(5)  # type: ignore[arg-type]


# Keys


def delete_after_insert(times: int) -> Any:
    """Let others deliver events between the statements of `put`."""

    def execute(execute: Any, sql: str, params: Any, many: Any, context: Any) -> Any:
        nonlocal times
        result = execute(sql, params, many, context)
        if sql.startswith("INSERT") and times:
            times -= 1
            OutboxEvent.objects.all().delete()
        return result

    return connection.execute_wrapper(execute)


def test_key_that_is_delivered_meanwhile() -> None:
    """An event whose key was there, and is gone when it is looked at, is put again."""
    outbox = empty_outbox("default")
    outbox.put(**USAGE, idempotency_key="job-1")

    with delete_after_insert(1):
        outbox.put(**USAGE, idempotency_key="job-1")

    assert outbox.stats().ready == 1


def test_keys_that_are_always_delivered_meanwhile() -> None:
    """A put does not try for ever."""
    outbox = empty_outbox("default")

    with delete_after_insert(100), pytest.raises(OutboxUnavailable, match="put the event again"):
        outbox.put(**USAGE)


def test_keys_differ_by_case_and_may_be_long(outbox: DjangoOutbox) -> None:
    """A key is compared by its bytes, and has no maximum length."""
    keys = ["job", "Job", "j" * 10_000, "j" * 10_000 + "ö"]

    assert [outbox.put(**USAGE, idempotency_key=key) for key in keys] == keys
    assert outbox.stats().ready == 4


def test_many_events_at_once(fake: FakeTransport) -> None:
    """More events than a statement can hold are stored, leased, revived and discarded."""
    outbox = empty_outbox("default")
    keys = outbox.put_many([UsageEvent(**{**USAGE, "feature_code": "unknown"}) for _ in range(600)])
    with override_service():
        assert Sender(get_gate().client, outbox).drain().refused == 600

    assert outbox.revive(keys) == 600
    assert fake.calls == []


def test_text_of_the_service_is_stored(fake: FakeTransport, outbox: DjangoOutbox) -> None:
    """A message may have characters that a database refuses."""
    fake.fail(TRACK, error=ApiError.from_code("CONFLICT", "a\0b\ud800c"))
    outbox.put(**USAGE)

    assert Sender(get_gate().client, outbox).drain().refused == 1
    assert outbox.dead()[0].error == "a\0b\ud800c"


# Views


def test_usage_is_written_inside_the_transaction(database: DjangoOutbox, fake: FakeTransport) -> None:
    """The row is a part of the transaction, nothing is sent, and the gate subtracts it after the commit."""
    with transaction.atomic():
        track_usage(REQUEST, "ai_credit", 5, idempotency_key="job-1")
        assert OutboxEvent.objects.get().key == "job-1"

    assert tracked(fake) == []
    access = get_gate().check(external_org_id="org_1", feature_code="ai_credit").access
    assert access is not None
    assert access.remaining == 9_995
    assert Sender(get_gate().client, database).drain().counted == 1
    assert tracked(fake) == [5]


def test_usage_rolls_back(database: DjangoOutbox, caplog: pytest.LogCaptureFixture) -> None:
    """Usage of a transaction that is rolled back is neither stored nor expected nor logged."""
    undo(lambda: track_usage(REQUEST, "ai_credit", 5))

    assert database.stats().ready == 0
    access = get_gate().check(external_org_id="org_1", feature_code="ai_credit").access
    assert access is not None
    assert access.remaining == 10_000
    assert caplog.text == ""


def test_usage_in_a_broken_transaction(database: DjangoOutbox, caplog: pytest.LogCaptureFixture) -> None:
    """A transaction that can only be rolled back has no usage, and nothing is wrong."""

    def track() -> None:
        run_out("default")
        track_usage(REQUEST, "ai_credit", 5)

    undo(track)

    assert database.stats().ready == 0
    assert caplog.text == ""


@pytest.mark.usefixtures("database")
def test_usage_that_is_not_stored_is_logged_at_the_commit(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If the table is missing, the transaction commits without the event, and the log has it."""
    monkeypatch.setattr(OutboxEvent._meta, "db_table", "missing")
    try:
        with transaction.atomic():
            Membership.objects.create(token="t", org_id="org_1")  # noqa: S106 - no password
            track_usage(REQUEST, "ai_credit", 5, idempotency_key="job-1")
            assert caplog.text == ""
    finally:
        monkeypatch.undo()

    assert lost(caplog) == "job-1"
    assert Membership.objects.all().delete()[0] == 1


def test_usage_without_a_transaction_is_stored_at_once(database: DjangoOutbox) -> None:
    """In autocommit mode the row is there at once."""
    track_usage("org_1", "ai_credit", 5)

    assert database.stats().ready == 1


# Blocks


def metered_block(**values: Any) -> Metered:
    """Use five credits in a block."""
    with metered(REQUEST, "ai_credit", 5, "job-1", **values) as block:
        pass
    return block


def remaining() -> Any:
    """Return the credits that are left as far as the gate knows."""
    access = get_gate().check(external_org_id="org_1", feature_code="ai_credit").access
    assert access is not None
    return access.remaining


def test_block_is_stored_in_the_transaction_and_sent_at_its_commit(database: DjangoOutbox, fake: FakeTransport) -> None:
    """The event is a part of the transaction, so that a process that ends at the commit loses none."""
    with transaction.atomic():
        block = metered_block()
        assert (tracked(fake), database.stats().leased) == ([], 1)

    assert tracked(fake) == [5]
    assert block.result is not None
    assert block.result.remaining == remaining() == 9_995
    assert not OutboxEvent.objects.exists()


def test_block_without_a_transaction_is_sent_at_once(database: DjangoOutbox, fake: FakeTransport) -> None:
    """In autocommit mode the event is in the outbox while it is sent."""
    seen: list[int] = []

    def answer(call: Call) -> Any:
        if call.path == TRACK:
            seen.append(database.stats().leased)
        return fake.send(call)

    with project("django", FunctionTransport(answer)):
        assert metered_block().result is not None

    assert seen == [1]
    assert not OutboxEvent.objects.exists()


def test_block_rolls_back(database: DjangoOutbox, fake: FakeTransport) -> None:
    """Usage of a transaction that is rolled back is neither stored nor sent."""
    undo(metered_block)

    assert (tracked(fake), database.stats().ready, database.stats().leased) == ([], 0, 0)
    assert remaining() == 10_000


def test_block_that_used_nothing_is_not_stored(database: DjangoOutbox, fake: FakeTransport) -> None:
    """A quantity of 0 is no event."""
    with metered(REQUEST, "ai_credit") as block:
        block.quantity = 0

    assert (tracked(fake), database.stats().ready) == ([], 0)


@pytest.mark.parametrize(("outcome", "attempts"), [("unknown", 1), ("not_sent", 0)])
def test_block_waits_for_a_sender_in_an_outage(
    outcome: Any, attempts: int, database: DjangoOutbox, fake: FakeTransport
) -> None:
    """A sender delivers it; it counts as tried if it may have reached the service. The gate subtracts it until then."""
    with transaction.atomic():
        block = metered_block()
        fake.fail(TRACK, error=ConnectionFailed("lost", outcome=outcome))

    event = OutboxEvent.objects.get()
    assert (event.attempts, event.first_tried is not None) == (attempts, bool(attempts))
    assert (block.result, database.stats().ready, remaining()) == (None, 1, 9_995)
    assert Sender(get_gate().client, database).drain().counted == 1
    assert remaining() == 9_995


def test_block_with_a_refused_key_waits(database: DjangoOutbox, fake: FakeTransport) -> None:
    """A wrong API key loses no usage."""
    with transaction.atomic():
        metered_block()
        fake.fail(TRACK, error="UNAUTHORIZED")

    assert (database.stats().ready, OutboxEvent.objects.get().attempts) == (1, 0)


def test_block_that_the_service_refuses_is_dead(
    database: DjangoOutbox, fake: FakeTransport, caplog: pytest.LogCaptureFixture
) -> None:
    """Its event can be seen, revived and discarded; the log has no details of it."""
    with transaction.atomic():
        metered_block(metadata={"model": "small"})
        fake.fail(TRACK, error=ApiError.from_code("CONFLICT", "of the service"))

    [dead] = database.dead()
    assert (dead.key, dead.reason, dead.error, dead.attempts) == ("job-1", "CONFLICT", "of the service", 1)
    assert caplog.messages == ["usage job-1 of ai_credit is dead: CONFLICT"]


def test_block_of_a_process_that_ends_is_sent_by_a_sender(database: DjangoOutbox, fake: FakeTransport) -> None:
    """A process that ends after the commit leaves the event; it counts as tried, for the service may have it."""

    def end(call: Call) -> Any:
        if call.path == TRACK:
            raise SystemExit(1)
        return fake.send(call)

    with project("django", FunctionTransport(end)), pytest.raises(SystemExit), transaction.atomic():
        metered_block()

    event = OutboxEvent.objects.get()
    assert (event.attempts, event.first_tried, database.stats().leased) == (1, event.since, 1)
    OutboxEvent.objects.update(next_at=0.0)  # its lease has ended
    assert Sender(get_gate().client, database).drain().counted == 1


def test_block_of_an_unknown_company_waits_for_a_sender(fake: FakeTransport) -> None:
    """If an outage hides the company, the sender looks it up."""
    features = {"ai_credit": {"on_outage": "allow"}}
    options = {"TRANSPORT": fake, "ORGANISATION": "django_project.views.organisation_of", "FEATURES": features}
    outbox = empty_outbox("default")
    with override_settings(CHATARMIN_OS={**options, "OUTBOX": "django"}):
        fake.fail(error="lost")
        block = metered_block()

    assert (block.result, outbox.stats().ready) == (None, 1)
    assert OutboxEvent.objects.get().organisation == "org_1"


def test_block_whose_key_waits_already(database: DjangoOutbox, fake: FakeTransport) -> None:
    """The same event is sent by a sender, once; one with other values is sent, so that the service says no."""
    with project("django", fake):
        company = get_gate().check(external_org_id="org_1", feature_code="ai_credit").company_id
        database.put(company_id=company, feature_code="ai_credit", quantity=5, idempotency_key="job-1")
        OutboxEvent.objects.update(owner="a sender", next_at=database._now() + 30, since=database._now())
        assert metered_block().result is None
        assert (tracked(fake), database.stats().leased) == ([], 1)

        with metered(REQUEST, "ai_credit", 6, "job-1"):
            pass
        assert tracked(fake) == [6]


def test_block_is_sent_if_it_cannot_be_stored(
    database: DjangoOutbox, fake: FakeTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the table is missing, the usage is sent at the commit; if it is missing then only, it was sent before."""
    with monkeypatch.context() as patch, transaction.atomic():
        patch.setattr(OutboxEvent._meta, "db_table", "missing")
        metered_block()
    assert tracked(fake) == [5]

    with transaction.atomic():
        with metered(REQUEST, "ai_credit", 6):
            pass
        monkeypatch.setattr(OutboxEvent._meta, "db_table", "missing")
    monkeypatch.undo()
    assert tracked(fake) == [5, 6]
    assert database.stats().leased == 1  # its lease ends, and its key lets it count once


@pytest.mark.usefixtures("database")
def test_usage_where_the_user_commits(caplog: pytest.LogCaptureFixture) -> None:
    """Where the user commits by hand the row is a part of his transaction, and nothing is wrong."""
    transaction.set_autocommit(False)
    try:
        track_usage(REQUEST, "ai_credit", 5)
        transaction.commit()
    finally:
        transaction.set_autocommit(True)

    assert OutboxEvent.objects.count() == 1
    assert caplog.text == ""


def test_transaction_of_another_database_decides(database: DjangoOutbox) -> None:
    """With `using` the row is written when the transaction of that database commits."""
    with transaction.atomic(using="other"):
        track_usage("org_1", "ai_credit", 5, using="other")
        assert database.stats().ready == 0
    undo(lambda: track_usage("org_1", "ai_credit", 5, using="other"), "other")

    assert database.stats().ready == 1


def test_outbox_may_be_in_another_database(fake: FakeTransport) -> None:
    """An outbox in another database is part of that one's transactions."""
    with project(empty_outbox("other"), fake):
        outbox = get_outbox()
        assert outbox is not None
        with transaction.atomic(using="other"):
            track_usage("org_1", "ai_credit", 5, using="other")
            assert outbox.stats().ready == 1


def test_file_takes_usage_on_commit(file: Outbox, fake: FakeTransport) -> None:
    """An outbox in a file gets the usage after the commit, and none after a rollback."""
    with transaction.atomic():
        track_usage(REQUEST, "ai_credit", 5)
        assert file.stats().ready == 0
    assert file.stats().ready == 1
    undo(lambda: track_usage(REQUEST, "ai_credit", 5))

    assert file.stats().ready == 1
    assert tracked(fake) == []


@pytest.mark.usefixtures("rows")
def test_async_view_stores_in_its_transaction(database: DjangoOutbox) -> None:
    """Asynchronous code has its usage stored by the thread of its connection."""
    import asyncio

    async def view() -> None:
        track_usage("org_1", "ai_credit", 5)

    asyncio.run(view())

    assert database.stats().ready == 1
    connections.close_all()


@pytest.mark.parametrize("kind", ["database", "file"])
def test_metered_block_ends_well_in_an_outage(kind: str, request: pytest.FixtureRequest, fake: FakeTransport) -> None:
    """The outbox takes what the service does not count."""
    outbox = request.getfixturevalue(kind)
    fake.fail(TRACK, error=ConnectionFailed("lost"))

    with transaction.atomic(), metered(REQUEST, "ai_credit", 5) as use:
        assert outbox.stats().ready == 0

    assert use.result is None
    assert outbox.stats().ready == 1


# Checks and migrations


def ids(outbox: object, **settings: Any) -> list[str]:
    """Return the ids of the messages about an outbox."""
    with override_settings(CHATARMIN_OS={"API_KEY": "os_sk_test", "OUTBOX": outbox}, **settings):
        return [str(message.id) for message in run_checks(tags=["chatarmin_os"])]


class Closed:
    """A router that has no table of the outbox."""

    def allow_migrate(self, db: str, app_label: str, **_: Any) -> bool:
        """Refuse a table in the database `other`."""
        return (db, app_label) != ("other", "chatarmin_os")


def test_outbox_that_can_be_written(tmp_path: Path) -> None:
    """A file that is there or can be created, and a database, are fine; nothing is created."""
    assert ids(str(tmp_path / "usage.db")) == []
    assert list(tmp_path.iterdir()) == []
    SQLiteOutbox(tmp_path / "usage.db").close()
    assert ids(tmp_path / "usage.db") == ids("django") == ids(DjangoOutbox("other")) == []


def test_file_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """E004 says why a file cannot be written."""
    path = tmp_path / "usage.db"
    (tmp_path / "link").symlink_to(path)
    for wrong in (tmp_path, tmp_path / "link", tmp_path / "missing" / "usage.db"):
        assert ids(str(wrong)) == ["chatarmin_os.E004"]

    monkeypatch.setattr(os, "access", lambda path, _: str(path) != str(tmp_path))
    assert ids(str(path)) == ["chatarmin_os.E004"]
    path.touch()
    assert ids(str(path)) == ["chatarmin_os.E004"]  # SQLite writes a log next to it
    monkeypatch.setattr(os, "access", lambda _, __: False)
    assert ids(str(path)) == ["chatarmin_os.E004"]


def foreign(path: Path) -> None:
    """Make the database of another application."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE notes (text)")


def newer(path: Path) -> None:
    """Make an outbox of a later version."""
    SQLiteOutbox(path).close()
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")


def damaged(path: Path) -> None:
    """Make an outbox that cannot be read, but is repaired when it is opened."""
    SQLiteOutbox(path).close()
    path.write_bytes(b"damaged" * 999)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (foreign, "it is the database of another application; check the path; the file was left unchanged"),
        (newer, "a later version wrote it; upgrade chatarmin-os; the file was left unchanged"),
        (lambda path: path.write_text("a text"), "it is not an outbox; check the path; the file was left unchanged"),
        (damaged, None),
        (lambda path: path.touch(), None),
    ],
    ids=["foreign", "newer", "text", "damaged", "empty"],
)
def test_file_of_something_else_is_no_outbox(tmp_path: Path, make: Callable[[Path], Any], problem: str | None) -> None:
    """E004 says so before the first put does; the file is not touched."""
    path = tmp_path / "usage.db"
    make(path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    with override_settings(CHATARMIN_OS={"API_KEY": "os_sk_test", "OUTBOX": str(path)}):
        messages = run_checks(tags=["chatarmin_os"])

    expected = [] if problem is None else [f"CHATARMIN_OS.OUTBOX: {str(path)!r}: {problem}"]
    assert [message.msg for message in messages] == expected
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_file_that_is_open_is_not_read(file: Outbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing it would end the locks that SQLite has on it in this process."""
    file.put(**USAGE)
    monkeypatch.setattr(opening, "_header", None)

    assert run_checks(tags=["chatarmin_os"]) == []
    assert (tmp_path / "usage.db").is_file()


def test_database_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """E004 names a database that does not exist, and one that gets no table."""
    assert ids(DjangoOutbox("missing")) == ["chatarmin_os.E004"]
    assert ids(DjangoOutbox("other"), DATABASE_ROUTERS=[Closed()]) == ["chatarmin_os.E004"]
    monkeypatch.setitem(connections.settings["other"], "ENGINE", "django.db.backends.dummy")
    assert ids(DjangoOutbox("other")) == ["chatarmin_os.E004"]


@pytest.mark.parametrize("field", ["BigAutoField", "AutoField"])
def test_migrations_are_complete(field: str) -> None:
    """No migration is missing, whatever the project's type of primary keys is."""
    with override_settings(DEFAULT_AUTO_FIELD=f"django.db.models.{field}"):
        call_command("makemigrations", "chatarmin_os", check=True, dry_run=True, stdout=StringIO())


# Senders


def test_only_a_database_without_row_locks_is_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite is locked before a sender reads; a database that locks rows is not."""
    rows = Rows("default")

    for has_row_locks, count in ((False, 1), (True, 0)):
        monkeypatch.setattr(
            rows, "_connection", SimpleNamespace(features=SimpleNamespace(has_select_for_update=has_row_locks))
        )
        with CaptureQueriesContext(connection) as queries:
            rows.lock_out_others()
        assert len(queries) == count


def test_senders_on_several_threads_share_the_events(fake: FakeTransport, outbox: DjangoOutbox) -> None:
    """Events that several threads send at once are counted once."""
    outbox.put_many([UsageEvent(**{**USAGE, "quantity": 1}) for _ in range(300)])
    client = get_gate().client
    reports = []

    def drain() -> None:
        try:
            reports.append(Sender(client, outbox).drain())
        finally:
            connections.close_all()

    threads = [threading.Thread(target=drain) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(report.counted for report in reports) == 300
    assert len(tracked(fake)) == 300


def test_thread_of_a_sender_closes_its_connection(fake: FakeTransport) -> None:
    """Django closes the connections of requests only; one that stays open would hold the database."""
    outbox = empty_outbox("default")
    outbox.put(**USAGE)
    opened: list[Any] = []
    counted = threading.Event()

    def note(connection: Any, **_: Any) -> None:
        opened.append(connection)

    def answer(call: Call) -> Any:
        if call.path == TRACK:
            counted.set()
        return fake.send(call)

    sender = Sender(ChatarminOS(transport=FunctionTransport(answer)), outbox)
    connection_created.connect(note)
    try:
        sender.start()
        assert counted.wait(60)
        sender.stop(60)
    finally:
        connection_created.disconnect(note)

    assert [found.connection for found in opened] == [None]
    assert outbox.stats().ready == 0


def put_in_a_child(outbox: DjangoOutbox) -> None:
    """Fork, put 20 events in the child, and as many in the parent at the same time."""
    child = os.fork()
    code = 1
    try:
        if not child:
            signal.alarm(60)  # ends a child that hangs
        for _ in range(20):
            outbox.put(**USAGE)
        code = 0
    finally:
        if not child:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.slow
@pytest.mark.needs("postgres")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 warns of threads
def test_forked_child_has_a_connection_of_its_own() -> None:
    """A put before a fork leaves a connection open, whose answers parent and child would take from each other."""
    outbox = empty_outbox(postgres())
    outbox.put(**USAGE)
    raw = connections[outbox.using].connection

    put_in_a_child(outbox)

    assert outbox.stats().ready == 41
    assert connections[outbox.using].connection is raw


def test_child_leaves_the_connection_of_its_parent() -> None:
    """What a child does, in this process: it opens another connection, unless the caller's transaction is open."""
    outbox = empty_outbox("default")
    outbox.put(**USAGE)
    raw = connection.connection
    assert raw is not None

    with transaction.atomic():
        _after_in_child()
        assert connection.connection is raw
    _after_in_child()
    assert outbox.stats().ready == 1
    assert connection.connection is not raw
    raw.close()  # in this process it is the only user
    _after_in_child()  # it is connected to no database
    connection.close()
    _after_in_child()
    assert connection.connection is None


@pytest.mark.slow
@pytest.mark.needs("postgres")
def test_sender_skips_the_rows_that_another_locks() -> None:
    """On PostgreSQL a sender waits for no other one: it leases the events that are left."""
    outbox = empty_outbox(postgres())
    outbox.put_many([UsageEvent(**USAGE) for _ in range(5)])
    found: list[int] = []

    def claim() -> None:
        try:
            found.append(len(outbox._claim("other", 5, [], lease=30.0, now=outbox._now)[1]))
        finally:
            connections.close_all()

    with transaction.atomic(using=outbox.using):
        rows = Rows(outbox.using)
        assert len(rows.claim("one", 2, 30.0, outbox._now())) == 2
        thread = threading.Thread(target=claim)
        thread.start()
        thread.join()
        assert found == [3]
    assert outbox.stats().leased == 5


# Commands


def run(*arguments: str) -> tuple[int, str]:
    """Return exit code and output of `manage.py chatarmin_outbox`."""
    output = StringIO()
    try:
        call_command("chatarmin_outbox", *arguments, stdout=output)
    except SystemExit as ended:
        return int(ended.code or 0), output.getvalue()
    except CommandError as error:
        return error.returncode, str(error)
    return 0, output.getvalue()


@pytest.mark.parametrize("kind", ["database", "file"])
def test_commands_send_and_show_events(kind: str, request: pytest.FixtureRequest) -> None:
    """The commands are those of `chatarmin-os outbox`, with its exit codes."""
    outbox = request.getfixturevalue(kind)
    outbox.put(**USAGE)
    outbox.put(**{**USAGE, "feature_code": "unknown"}, idempotency_key="job-1")

    code, text = run("drain", "--json")
    assert (code, json.loads(text)["counted"], json.loads(text)["refused"]) == (4, 1, 1)
    code, text = run("dead")
    assert code == 4
    assert "job-1" in text
    assert run("revive", "job-1") == (0, "1 event will be sent again.\n")
    assert run("drain")[0] == 4
    assert run("discard", "job-1") == (0, "1 event discarded.\n")
    assert run("status")[0] == 0


@pytest.mark.usefixtures("database")
def test_drain_has_an_exit_code(fake: FakeTransport) -> None:
    """A refused key is 1, and an outage 3."""
    track_usage("org_1", "ai_credit", 5)
    fake.fail(error=ConnectionFailed("lost"))
    assert run("drain")[0] == 3
    OutboxEvent.objects.update(next_at=0.0)
    fake.fail(error="UNAUTHORIZED")
    assert run("drain")[0] == 1


def test_commands_make_no_file(fake: FakeTransport, tmp_path: Path) -> None:
    """An outbox that nobody has used yet is wrong usage, as is no command; a database that fails is 3."""
    with project(tmp_path / "usage.db", fake):
        code, text = run("status")
        assert (code, text.partition(": ")[0]) == (2, "CHATARMIN_OS.OUTBOX")
        assert run() == (2, "a command is missing; pass one of status, drain, dead, revive, discard")
    assert list(tmp_path.iterdir()) == []
    with project(DjangoOutbox("unreachable"), fake):
        assert run("status")[0] == 3


# Tasks


def test_task_of_django(database: DjangoOutbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Django has tasks, one of them drains the outbox; elsewhere the import says which Django it needs."""
    names = ("chatarmin_os.integrations.django.background", "chatarmin_os.django.tasks")
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "django.tasks", None)
    with pytest.raises(ImportError, match="needs Django 6"):
        import_module("chatarmin_os.django.tasks")

    tasks: Any = ModuleType("django.tasks")
    tasks.task = lambda function: SimpleNamespace(call=function)  # as that of Django does
    monkeypatch.setitem(sys.modules, "django.tasks", tasks)
    task = import_module("chatarmin_os.django.tasks").drain_usage
    database.put(**USAGE)

    assert task.call()["counted"] == 1
    for name in names:
        monkeypatch.delitem(sys.modules, name)
