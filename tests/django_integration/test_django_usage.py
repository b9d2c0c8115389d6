"""Usage that follows the transaction of a view, and is logged if it cannot be counted."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from contextvars import ContextVar
from threading import get_ident
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.test import AsyncRequestFactory, RequestFactory, TestCase, override_settings
from django_project.models import Membership
from rest_framework.request import Request

from chatarmin_os import ApiError, InvalidInput
from chatarmin_os.django import get_client, metered, requires_feature, track_usage
from chatarmin_os.django.test import override_service
from chatarmin_os.gate import FeatureDenied
from chatarmin_os.transports import FunctionTransport

if TYPE_CHECKING:
    from chatarmin_os.fake import FakeTransport

pytest_plugins = ["django_project.fixtures"]

REQUEST = RequestFactory().get("/", headers={"X-Organisation": "org_1"})
CREDITS = "ai_credit"
TOKEN = {"token": "t"}


class UndoError(Exception):
    """Ends a transaction."""


def tracked(fake: FakeTransport) -> list[Any]:
    """Return the quantities that the service got."""
    return [call.input["quantity"] for call in fake.calls if call.path == "billing.trackUsage"]


class Unprintable:
    """A value that has no text."""

    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


def lost(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    """Return the event of the one error in the log."""
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.name == "chatarmin_os"
    _, _, event = record.getMessage().partition("with its key: ")
    found: dict[str, Any] = json.loads(event)
    return found


def track(quantity: float, using: str | None = None) -> None:
    """Count usage of org_1."""
    track_usage(REQUEST, CREDITS, quantity, using=using)


def meter(quantity: float, using: str | None = None) -> None:
    """Count usage of a block."""
    with metered(REQUEST, CREDITS, quantity, using=using):
        pass


both = pytest.mark.parametrize("count", [track, meter], ids=["track-usage", "metered"])


@both
def test_usage_without_a_transaction_is_sent_at_once(count: Any, fake: FakeTransport) -> None:
    """In autocommit mode nothing is waited for."""
    count(3)

    assert tracked(fake) == [3]


@both
def test_usage_is_sent_on_commit(count: Any, fake: FakeTransport) -> None:
    """Inside a transaction it waits for the commit."""
    with transaction.atomic():
        count(3)
        assert tracked(fake) == []

    assert tracked(fake) == [3]


@both
def test_usage_is_not_sent_after_a_rollback(count: Any, fake: FakeTransport) -> None:
    """What is undone is not billed."""

    def fail() -> None:
        with transaction.atomic():
            count(3)
            raise UndoError

    with pytest.raises(UndoError):
        fail()

    assert tracked(fake) == []


@both
def test_usage_of_a_savepoint_rolls_back_with_it(count: Any, fake: FakeTransport) -> None:
    """A nested atomic block that is rolled back takes its usage with it, and only its own."""

    def fail() -> None:
        with transaction.atomic():
            count(2)
            raise UndoError

    with transaction.atomic():
        count(1)
        with pytest.raises(UndoError):
            fail()
        with transaction.atomic():
            count(3)

    assert tracked(fake) == [1, 3]


@both
def test_usage_follows_the_named_database(count: Any, fake: FakeTransport) -> None:
    """With `using` the transaction of another database decides."""
    with transaction.atomic(using="other"):
        count(1)
        assert tracked(fake) == [1]
        count(2, using="other")
        assert tracked(fake) == [1]

    assert tracked(fake) == [1, 2]


@both
def test_usage_without_a_transaction_needs_no_database(count: Any, fake: FakeTransport) -> None:
    """A database that is not reachable, or that a project does not have, has no transaction to wait for."""
    count(3, using="unreachable")

    assert tracked(fake) == [3]


@both
def test_failed_usage_does_not_keep_other_callbacks(count: Any, fake: FakeTransport) -> None:
    """What else runs on commit runs, in its order."""
    ran: list[str] = []
    with transaction.atomic():
        transaction.on_commit(lambda: ran.append("before"))
        count(1)
        fake.fail(error="lost", times=9)
        transaction.on_commit(lambda: ran.append("after"))

    assert ran == ["before", "after"]


class Commits(TestCase):
    """Tests that run in a transaction which never commits."""

    def test_usage_on_commit_is_seen_by_capturing(self) -> None:
        """`captureOnCommitCallbacks(execute=True)` commits for a test."""
        with override_service() as fake:
            with self.captureOnCommitCallbacks(execute=True):
                track(3)
                meter(4)
            assert tracked(fake) == [3, 4]

    def test_usage_goes_to_the_client_of_its_time(self) -> None:
        """Usage that commits after a test's service ended does not reach another service."""
        with self.captureOnCommitCallbacks(execute=True), override_service() as fake:
            track(3)
            meter(4)
        assert tracked(fake) == [3, 4]

    async def test_usage_in_an_async_view(self) -> None:
        """An async view, in its thread, uses the transaction of the test."""

        @requires_feature(CREDITS)
        async def view(request: HttpRequest) -> HttpResponse:
            track_usage(request, CREDITS, 1)
            with metered(request, CREDITS, 2):
                pass
            async with metered(request, CREDITS, 3) as usage:
                usage.quantity = 4
            return HttpResponse()

        request = AsyncRequestFactory().get("/", headers={"X-Token": "t"})
        with override_service() as fake:
            await Membership.objects.acreate(org_id="org_1", **TOKEN)
            capturing = self.captureOnCommitCallbacks(execute=True)
            await sync_to_async(capturing.__enter__)()  # the connection is that of the synchronous thread
            response = await view(request)
            assert tracked(fake) == []
            await sync_to_async(capturing.__exit__)(None, None, None)
            assert (response.status_code, tracked(fake)) == (200, [1, 2, 4])


def test_organisation_may_call_async_code_in_an_async_view(fake: FakeTransport) -> None:
    """A function that leads to async code once more does not wait for the loop that waits for it."""

    async def lookup() -> str:
        return "org_1"

    async def main() -> None:
        track_usage(REQUEST, CREDITS, 3)

    with override_settings(CHATARMIN_OS={"TRANSPORT": fake, "ORGANISATION": lambda _: async_to_sync(lookup)()}):
        asyncio.run(main())

    assert tracked(fake) == [3]


def test_orm_that_is_allowed_everywhere_is_called_directly(
    fake: FakeTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With DJANGO_ALLOW_ASYNC_UNSAFE, as under a notebook, Django works in the thread of the loop."""
    threads: list[int] = []

    def organisation_of(_: Any) -> str:
        threads.append(get_ident())
        return "org_1"

    async def main() -> None:
        track_usage(REQUEST, CREDITS, 3)

    async def main_with_a_connection() -> None:
        await main()
        connection.close()  # the one of this task

    with override_settings(CHATARMIN_OS={"TRANSPORT": fake, "ORGANISATION": organisation_of}):
        asyncio.run(main())
        monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        asyncio.run(main_with_a_connection())

    assert [thread == get_ident() for thread in threads] == [False, True]
    assert tracked(fake) == [3, 3]


def test_context_variables_come_back(fake: FakeTransport) -> None:
    """A variable that ORGANISATION sets in the synchronous thread is set for the view, also after a denial."""
    tenant: ContextVar[str] = ContextVar("tenant")

    def organisation_of(_: Any) -> str:
        tenant.set("org_1")
        return "org_1"

    async def main() -> str:
        with pytest.raises(FeatureDenied) as denied, metered(REQUEST, "sso"):
            raise NotImplementedError
        assert denied.value.decision.feature_code == "sso"
        return tenant.get()

    with override_settings(CHATARMIN_OS={"TRANSPORT": fake, "ORGANISATION": organisation_of}):
        assert asyncio.run(main()) == "org_1"


def test_denied_block_of_an_async_view_raises(fake: FakeTransport) -> None:
    """An error comes from the synchronous thread to the async view."""

    async def main() -> None:
        with metered(REQUEST, "sso"):
            raise NotImplementedError

    with pytest.raises(FeatureDenied):
        asyncio.run(main())
    assert tracked(fake) == []


# What is counted


def test_event_has_key_and_metadata(fake: FakeTransport) -> None:
    """The arguments reach the service; without a key each event has a new one."""
    track_usage("org_1", CREDITS, 2, idempotency_key="job-1", metadata={"job": 1})
    track_usage("org_1", CREDITS, 2, idempotency_key="job-1", metadata={"job": 1})
    track_usage("org_1", CREDITS)
    track_usage("org_1", CREDITS)

    calls = [call.input for call in fake.calls if call.path == "billing.trackUsage"]
    assert (calls[0]["idempotencyKey"], calls[0]["metadata"]) == ("job-1", {"job": 1})
    assert len({call["idempotencyKey"] for call in calls}) == 3
    usage = get_client().features.check_by_external_org_id("org_1", CREDITS).current_usage
    assert usage == 4


def test_organisation_may_be_uuid_or_request_of_rest_framework() -> None:
    """An id is text or a UUID; the request of REST framework is one too."""
    org = UUID(int=1)
    with override_service(external_org_id=org) as fake:
        track_usage(org, CREDITS, 1)
        request = RequestFactory().get("/", headers={"X-Organisation": str(org)})
        track_usage(Request(request), CREDITS, 2)
        with metered(Request(request), CREDITS, 3):
            pass
        with metered(org, CREDITS, 4):
            pass

        assert tracked(fake) == [1, 2, 3, 4]


def test_block_decides_the_quantity(fake: FakeTransport) -> None:
    """The quantity at the end of the block counts, and 0 is no usage."""
    with metered(REQUEST, CREDITS) as usage:
        assert usage.decision.access is not None
        usage.quantity = 5
    with metered(REQUEST, CREDITS) as usage:
        usage.quantity = 0

    assert tracked(fake) == [5]
    assert usage.result is None


def test_block_that_fails_counts_nothing(fake: FakeTransport) -> None:
    """After an exception, which passes, nothing is tracked."""
    with pytest.raises(UndoError), metered(REQUEST, CREDITS):
        raise UndoError

    assert tracked(fake) == []


def test_async_block_that_fails_counts_nothing(fake: FakeTransport) -> None:
    """The same in an async view."""

    async def main() -> None:
        async with metered(REQUEST, CREDITS):
            raise UndoError

    with pytest.raises(UndoError):
        asyncio.run(main())
    assert tracked(fake) == []


@pytest.mark.usefixtures("fake")
def test_block_has_its_result_after_the_commit() -> None:
    """The answer of the service is on the object of the block."""
    with transaction.atomic(), metered(REQUEST, CREDITS, 5) as usage:
        pass

    assert usage.result is not None
    assert usage.result.remaining == 9995


@pytest.mark.parametrize(
    ("feature", "quantity", "reason"),
    [("sso", 1, "disabled"), (CREDITS, 10_001, "limit_reached")],
    ids=["disabled", "too-much"],
)
@pytest.mark.usefixtures("fake")
def test_block_is_denied(feature: str, quantity: int, reason: str) -> None:
    """Without the feature, or with less than the quantity left, the block does not run."""
    with pytest.raises(FeatureDenied) as denied, metered(REQUEST, feature, quantity):
        raise NotImplementedError

    assert denied.value.decision.reason == reason


def test_block_for_nobody_is_denied(fake: FakeTransport) -> None:
    """A request without an organisation is not linked; the service is not asked."""
    with pytest.raises(FeatureDenied) as denied, metered(RequestFactory().get("/"), CREDITS):
        raise NotImplementedError

    assert denied.value.decision.reason == "not_linked"
    assert fake.calls == []


@pytest.mark.parametrize("arguments", [{"idempotency_key": 5}, {"idempotency_key": ""}], ids=["int", "blank"])
@pytest.mark.usefixtures("fake")
def test_block_checks_its_key_first(arguments: dict[str, Any]) -> None:
    """A wrong key is an error before the work."""
    with pytest.raises(InvalidInput, match=r"^idempotency_key"), metered(REQUEST, CREDITS, **arguments):
        raise NotImplementedError


# What is logged


EVENT = {"feature_code": CREDITS, "quantity": 3, "idempotency_key": "job-1", "external_org_id": "org_1"}


@both
@pytest.mark.parametrize("error", ["lost", "SERVICE_UNAVAILABLE", "PRECONDITION_FAILED", "UNAUTHORIZED"])
def test_failed_usage_is_logged(count: Any, error: str, fake: FakeTransport, caplog: pytest.LogCaptureFixture) -> None:
    """The response stays as it is, and the log has everything that sends the event again."""

    @requires_feature(CREDITS)
    def view(request: HttpRequest) -> HttpResponse:
        if count is track:
            track_usage(request, CREDITS, 3, idempotency_key="job-1", metadata={"job": 1})
        else:
            with metered(request, CREDITS, 3, "job-1", metadata={"job": 1}):
                pass
        return HttpResponse("done")

    fake.fail("billing.trackUsage", error=error, times=9)
    assert view(REQUEST).content == b"done"

    event = lost(caplog)
    assert event == {**EVENT, "metadata": {"job": 1}}
    track_usage(event.pop("external_org_id"), **event)  # once more
    fake.fail("billing.trackUsage", error=error, times=1)


def test_logged_quantity_is_that_of_the_end(fake: FakeTransport, caplog: pytest.LogCaptureFixture) -> None:
    """A block that changed the quantity is logged with that."""
    fake.fail("billing.trackUsage", error="lost", times=9)

    with metered(REQUEST, CREDITS, 5, "job-1") as usage:
        usage.quantity = 3

    assert lost(caplog) == EVENT


def test_logged_event_can_be_sent_again(fake: FakeTransport, caplog: pytest.LogCaptureFixture) -> None:
    """An event whose answer was lost counts once, also if it is sent again from the log."""
    fake.fail("billing.trackUsage", error="lost", after=True)
    track_usage(REQUEST, CREDITS, 3)

    event = lost(caplog)
    track_usage(event.pop("external_org_id"), event.pop("feature_code"), **event)

    assert get_client().features.check_by_external_org_id("org_1", CREDITS).current_usage == 3


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"quantity": 0}, "quantity"),
        ({"quantity": "many"}, "quantity"),
        ({"feature_code": ""}, "feature_code"),
        ({"idempotency_key": 5}, "idempotency_key"),
        ({"metadata": {"at": object()}}, "metadata"),
        ({"using": "missing"}, "missing"),
        ({"request_or_external_org_id": 5}, "external_org_id"),
        ({"request_or_external_org_id": None}, "external_org_id"),
        ({"request_or_external_org_id": RequestFactory().get("/")}, "not_linked"),
        ({"request_or_external_org_id": "org_9"}, "NOT_FOUND"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_wrong_usage_is_logged_too(
    arguments: dict[str, Any], problem: str, fake: FakeTransport, caplog: pytest.LogCaptureFixture
) -> None:
    """A mistake after the work does not undo the work: it is logged, with its reason."""
    track_usage(**{"request_or_external_org_id": REQUEST, "feature_code": CREDITS, **arguments})

    assert tracked(fake) == []
    assert lost(caplog)["quantity"] == arguments.get("quantity", 1)
    assert problem in caplog.text


def test_failing_organisation_is_logged(fake: FakeTransport, caplog: pytest.LogCaptureFixture) -> None:
    """If ORGANISATION fails, the log has all but the organisation."""
    with override_settings(CHATARMIN_OS={"TRANSPORT": fake, "ORGANISATION": lambda _: 1 / 0}):
        track_usage(REQUEST, CREDITS, 3, idempotency_key="job-1")

    assert lost(caplog) == {name: value for name, value in EVENT.items() if name != "external_org_id"}


@pytest.mark.usefixtures("fake")
def test_manual_transactions_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Without autocommit Django cannot say when a transaction commits."""
    transaction.set_autocommit(False)
    try:
        track(3)
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)

    assert lost(caplog)["quantity"] == 3


def test_worker_that_ends_logs_usage_first(caplog: pytest.LogCaptureFixture) -> None:
    """If a server ends the worker while usage is sent, the event is logged, and the worker ends."""

    def answer(_: Any) -> Any:
        raise SystemExit(1)

    with override_settings(CHATARMIN_OS={"TRANSPORT": FunctionTransport(answer)}), pytest.raises(SystemExit):
        track_usage("org_1", CREDITS, 3, idempotency_key="job-1")

    assert lost(caplog) == EVENT


@pytest.mark.slow
def test_lost_usage_is_seen_without_configuration_of_logging() -> None:
    """A project with DEBUG off and without LOGGING has the event on stderr, although Django writes nothing there."""
    code = """
import django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["chatarmin_os.django"],
    CHATARMIN_OS={"API_KEY": "os_sk_secret", "BASE_URL": "http://127.0.0.1:9/api/v1", "MAX_RETRIES": 0},
)
django.setup()
from chatarmin_os.django import track_usage
track_usage("org_1", "ai_credit", 3, idempotency_key="job-1")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603

    _, _, event = done.stderr.partition("with its key: ")
    assert json.loads(event) == EVENT
    assert "os_sk_secret" not in done.stderr


@pytest.mark.usefixtures("fake")
def test_invalid_organisation_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """An id of the wrong type is logged as it was given."""
    track_usage(5, CREDITS, 3)

    assert lost(caplog)["external_org_id"] == 5


@pytest.mark.parametrize("metadata", [{("a", "b"): 1}, {"at": Unprintable()}], ids=["keys", "values"])
def test_metadata_that_is_no_json_never_raises(
    metadata: Any, fake: FakeTransport, caplog: pytest.LogCaptureFixture
) -> None:
    """The mistake is logged, and the response stays as it is."""
    track_usage("org_1", CREDITS, 3, idempotency_key="job-1", metadata=metadata)

    assert tracked(fake) == []
    assert lost(caplog)["idempotency_key"] == "job-1"


def test_log_has_no_text_of_the_service(fake: FakeTransport, caplog: pytest.LogCaptureFixture) -> None:
    """A message of the service may name a company."""
    fake.fail("billing.trackUsage", error=ApiError.from_code("NOT_FOUND", "No company of-the-service"))

    track_usage("org_1", CREDITS, 3)

    assert "NotFoundError NOT_FOUND" in caplog.text
    assert "of-the-service" not in caplog.text


def test_log_has_no_key(caplog: pytest.LogCaptureFixture) -> None:
    """The API key is in no line of it."""
    key = "os_sk_secret_of_a_test"
    with override_settings(CHATARMIN_OS={"API_KEY": key, "BASE_URL": "http://127.0.0.1:9/api/v1", "MAX_RETRIES": 0}):
        track_usage("org_1", CREDITS, 3)

    assert "not confirmed" in caplog.text
    assert key not in caplog.text
