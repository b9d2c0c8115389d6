"""The fake's core: reading, changing, replacing and answering without a transport."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from chatarmin_os import ApiError
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.fake.service import Service
from chatarmin_os.transports import Call

if TYPE_CHECKING:
    from collections.abc import Callable

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def core() -> Service:
    """A service with the demo catalogue, at noon."""
    return Service(demo_catalogue(), now=lambda: NOON)


def test_answer_returns_responses_and_raises_refusals(core: Service) -> None:
    """A call is a path, a kind and an input; a refusal has the facts of its call that the wire has."""
    created: Any = core.answer("companies.create", "mutation", {"name": "Acme", "externalOrgId": "org_1"})

    with pytest.raises(ApiError, match="No feature 'x'") as refused:
        core.answer("features.check", "query", {"companyId": created["id"], "featureCode": "x"})

    assert core.answer("companies.getByProductLink", "query", {"externalOrgId": "org_1"}) == created
    assert refused.value.path == "features.check"
    assert refused.value.data == {"code": "NOT_FOUND", "httpStatus": 404, "path": "features.check"}


def test_a_response_is_not_shared_with_the_tables(core: Service) -> None:
    """Changing a response changes nothing in the service."""
    created: Any = core.answer("companies.create", "mutation", {"name": "Acme", "externalOrgId": "org_1"})
    created["name"] = "Globex"

    found: Any = core.answer("companies.getByProductLink", "query", {"externalOrgId": "org_1"})

    assert found["name"] == "Acme"


def _create(core: Service) -> None:
    core.answer("companies.create", "mutation", {"name": "Acme", "externalOrgId": "org_1"})


def _add_company(core: Service) -> None:
    with core.change() as state:
        state.add_company("Acme", None, None)


CHANGES: dict[str, Callable[[Service], object]] = {
    "mutation": _create,
    "change": _add_company,
    "advance": lambda core: core.advance(HOUR),
    "replace": lambda core: core.replace(core.load(core.snapshot())),
    "reset": lambda core: core.reset(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_revision_grows_with_each_change(core: Service, change: Callable[[Service], object]) -> None:
    """A snapshot may be another only if the revision is another."""
    before = core.revision

    change(core)

    assert core.revision > before


def test_the_revision_stays_without_a_change(core: Service) -> None:
    """Queries, refused mutations, reading and snapshots leave the revision."""
    before = core.revision

    core.answer("tiers.list", "query", None)
    with pytest.raises(ApiError):
        core.answer("companies.create", "mutation", {"name": "Acme"})
    with core.read():
        core.snapshot()

    assert core.revision == before


def test_read_shows_the_tables_at_the_present_time(core: Service) -> None:
    """The state has the time of the clock, and the time that the service was advanced by."""
    core.advance(HOUR)

    with core.read() as state:
        assert state.now == NOON + HOUR == core.now()


def test_replace_takes_the_tables_of_a_snapshot(core: Service) -> None:
    """Loading and replacing are two steps, so that several services can be checked before any is changed."""
    other = Service(demo_catalogue(), now=lambda: NOON)
    other.answer("companies.create", "mutation", {"name": "Acme", "externalOrgId": "org_1"})
    empty = core.snapshot()

    state = core.load(other.snapshot())

    assert core.snapshot() == empty
    core.replace(state)
    assert core.snapshot() == other.snapshot()


def test_added_events_return_their_responses_unchecked(core: Service) -> None:
    """The response of an added event may have any form, such as one that an older service gave."""
    created: Any = core.answer("companies.create", "mutation", {"name": "Acme", "externalOrgId": "org_1"})
    event: Any = {"companyId": created["id"], "featureCode": "seats", "quantity": 2, "answer": {"used": "2"}}
    with core.change() as state:
        state.events["key_1"] = event

    usage = {"companyId": created["id"], "featureCode": "seats", "quantity": 2, "idempotencyKey": "key_1"}

    assert core.answer("billing.trackUsage", "mutation", usage) == {"used": "2"}


def test_a_fake_forgets_its_failures_when_its_state_is_replaced() -> None:
    """Failures that were injected for the former state hit no call of the new one; the log of calls stays."""
    fake = FakeTransport(demo_catalogue())
    fake.send(Call("tiers.list", "query"))
    fake.fail(error="CONFLICT")

    fake.replace(fake.service.load(fake.snapshot()))

    assert fake.injected_failures == []
    assert [call.path for call in fake.calls] == ["tiers.list"]
