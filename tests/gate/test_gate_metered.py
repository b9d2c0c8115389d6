"""A metered block is counted if it ends well."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from steering import LISTING, Stage

from chatarmin_os import ConnectionFailed, InvalidInput, NotFoundError, TimedOut, UsageLimitError
from chatarmin_os._usage_event import TriedEvent
from chatarmin_os.gate import FeatureDenied, Policy, UsageEvent
from chatarmin_os.outbox import OutboxFull, OutboxUnavailable, SQLiteOutbox

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path

    from chatarmin_os.fake import FakeTransport

TRACK = "billing.trackUsage"
LOOK_UP = "companies.getByProductLink"


class ListOutbox:
    """An outbox that keeps usage in a list, or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.usage: list[dict[str, Any]] = []
        self.error = error

    def put(self, **usage: Any) -> str:
        """Take usage."""
        if self.error is not None:
            raise self.error
        self.usage.append(usage)
        key: str = usage["idempotency_key"]
        return key


@pytest.fixture
def stage(service: FakeTransport) -> Stage:
    """Return a stage whose answers stay fresh."""
    return Stage(service, default=Policy(max_age=900))


def _usage(stage: Stage) -> Any:
    return stage.client.features.check(company_id=stage.company, feature_code="ai_credit").current_usage


def test_block_that_ends_well_is_counted(stage: Stage) -> None:
    """The quantity at the end counts, under one key, with the metadata."""
    with stage.gate.metered(
        external_org_id="org_1", feature_code="ai_credit", quantity=5, idempotency_key="job", metadata={"a": 1}
    ) as use:
        assert (use.decision.allowed, use.quantity, use.result) == (True, 5, None)
        use.quantity = 7.5
    sent = stage.fake.calls[-1]

    assert use.result is not None
    assert use.result.current_usage == 7.5
    assert sent.path == TRACK
    assert sent.input == {
        "companyId": stage.company,
        "featureCode": "ai_credit",
        "quantity": 7.5,
        "idempotencyKey": "job",
        "metadata": {"a": 1},
    }
    assert stage.check("ai_credit").access.current_usage == 7.5
    assert stage.calls() == [LISTING, TRACK]


def test_block_for_a_company_is_counted(stage: Stage) -> None:
    """The same by company id; a key is made."""
    with stage.gate.metered(company_id=stage.company, feature_code="ai_credit") as use:
        pass
    assert use.result is not None
    assert use.result.current_usage == 1
    assert len(stage.fake.calls[-1].input["idempotencyKey"]) == 36


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyboardInterrupt(), StopIteration()], ids=lambda error: type(error).__name__
)
def test_block_that_raises_is_not_counted(stage: Stage, error: BaseException) -> None:
    """The exception passes as it is."""
    with (
        pytest.raises(type(error)) as caught,
        stage.gate.metered(external_org_id="org_1", feature_code="ai_credit") as use,
    ):
        raise error
    assert caught.value is error
    assert use.result is None
    assert _usage(stage) == 0


def test_block_in_a_generator_that_is_closed_is_not_counted(stage: Stage) -> None:
    """A response that a reader abandons was not delivered; one that is read to its end was."""

    def stream() -> Generator[int]:
        with stage.gate.metered(external_org_id="org_1", feature_code="ai_credit", quantity=3):
            yield 1
            yield 2

    abandoned = stream()
    next(abandoned)
    abandoned.close()
    assert _usage(stage) == 0
    assert list(stream()) == [1, 2]
    assert _usage(stage) == 3


def test_quantity_zero_counts_nothing(stage: Stage) -> None:
    """Nothing was used after all."""
    with stage.gate.metered(external_org_id="org_1", feature_code="ai_credit") as use:
        use.quantity = 0
    assert use.result is None
    assert TRACK not in stage.calls()


@pytest.mark.parametrize("quantity", [-1, True, float("inf"), "5", None])
def test_bad_quantity_is_refused_where_it_is_set(stage: Stage, quantity: Any) -> None:
    """Before the block ends; the quantity stays as it was."""
    with stage.gate.metered(external_org_id="org_1", feature_code="ai_credit") as use:
        with pytest.raises(InvalidInput, match="quantity: "):
            use.quantity = quantity
        assert use.quantity == 1


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"quantity": 0}, "quantity"),
        ({"quantity": -1}, "quantity"),
        ({"quantity": True}, "quantity"),
        ({"feature_code": " "}, "feature_code"),
        ({"company_id": "comp_1"}, "external_org_id"),
        ({"external_org_id": None}, "external_org_id"),
        ({"metadata": {"a": {1}}}, "metadata.a"),
        ({"idempotency_key": ""}, "idempotency_key"),
    ],
)
def test_bad_arguments_are_refused_at_once(stage: Stage, wrong: dict[str, Any], field: str) -> None:
    """Before the block runs; the error names the argument."""
    with pytest.raises(InvalidInput) as caught:
        stage.gate.metered(**({"external_org_id": "org_1", "feature_code": "ai_credit"} | wrong))
    assert caught.value.field == field


def test_denied_feature_does_not_run_the_block(stage: Stage) -> None:
    """As `require`."""
    with (
        pytest.raises(FeatureDenied, match="disabled"),
        stage.gate.metered(external_org_id="org_1", feature_code="sso"),
    ):
        raise AssertionError
    assert TRACK not in stage.calls()


def test_fewer_than_the_quantity_remain(stage: Stage) -> None:
    """Exactly the quantity is enough; without enough the denial says `limit_reached`."""
    with stage.gate.metered(external_org_id="org_1", feature_code="seats", quantity=25) as use:
        use.quantity = 1
    with (
        pytest.raises(FeatureDenied) as caught,
        stage.gate.metered(external_org_id="org_1", feature_code="seats", quantity=25),
    ):
        raise AssertionError
    decision = caught.value.decision
    assert (decision.allowed, decision.reason, decision.source) == (False, "limit_reached", "cache")
    assert stage.check("seats").allowed


def test_remaining_quantity_is_computed_if_the_service_does_not_say(stage: Stage) -> None:
    """From the limit and the usage."""
    stage.transport.answers[LISTING] = lambda _call, answer: (
        answer | {"features": [{k: v for k, v in one.items() if k != "remaining"} for one in answer["features"]]}
    )
    with (
        pytest.raises(FeatureDenied, match="limit_reached"),
        stage.gate.metered(external_org_id="org_1", feature_code="seats", quantity=26),
    ):
        raise AssertionError


def test_unlimited_is_enough_for_any_quantity(stage: Stage) -> None:
    """None remaining is no limit."""
    stage.client.tiers.apply("enterprise", company_id=stage.company)
    with stage.gate.metered(external_org_id="org_1", feature_code="ai_credit", quantity=1_000_000) as use:
        pass
    assert use.result is not None
    assert use.result.remaining is None


def test_block_runs_once(stage: Stage) -> None:
    """One object is one event."""
    use = stage.gate.metered(external_org_id="org_1", feature_code="ai_credit")
    with use:
        pass
    with pytest.raises(RuntimeError, match="a metered block runs once"), use:
        raise AssertionError
    assert repr(use) == "<Metered 1 of 'ai_credit'>"


def test_refused_usage_is_raised(stage: Stage) -> None:
    """A limit that others have reached by then; the outbox is not for it."""
    outbox = ListOutbox()
    stage = Stage(stage.fake, outbox=outbox)
    with (
        pytest.raises(UsageLimitError) as caught,
        stage.gate.metered(external_org_id="org_1", feature_code="ai_credit") as use,
    ):
        use.quantity = 20_000
    assert caught.value.request is not None
    assert caught.value.request.quantity == 20_000  # type: ignore[attr-defined]
    assert outbox.usage == []


def test_usage_that_failed_is_raised_with_its_request(stage: Stage) -> None:
    """Sending `.request` counts it once."""
    stage.fake.fail(TRACK, error="lost", after=True)
    with (
        pytest.raises(ConnectionFailed) as caught,
        stage.gate.metered(external_org_id="org_1", feature_code="ai_credit", quantity=5),
    ):
        pass
    assert caught.value.request is not None
    assert not hasattr(caught.value, "event")
    assert stage.client.send(caught.value.request).current_usage == 5


def test_usage_of_an_unknown_company_looks_it_up(stage: Stage) -> None:
    """A policy allowed the block while nothing was known."""
    stage = Stage(stage.fake, default=Policy(on_outage="allow"))
    stage.fake.fail(LISTING, error="lost")
    with stage.gate.metered(external_org_id="org_1", feature_code="ai_credit", quantity=5) as use:
        assert use.decision.source == "policy"
    assert use.result is not None
    assert use.result.current_usage == 5
    assert stage.calls() == [LISTING, LOOK_UP, TRACK]


@pytest.mark.parametrize("error", ["lost", "UNAUTHORIZED"])
def test_company_that_cannot_be_looked_up_is_raised_with_the_event(stage: Stage, error: str) -> None:
    """The event has everything to send it later."""
    stage = Stage(stage.fake, default=Policy(on_outage="allow"))
    stage.fake.fail(LISTING, error="lost")
    with (
        pytest.raises(Exception, match="injected") as caught,
        stage.gate.metered(external_org_id="org_1", feature_code="ai_credit", quantity=5, idempotency_key="job"),
    ):
        stage.fake.fail(LOOK_UP, error=error)
    event: UsageEvent = caught.value.event  # type: ignore[attr-defined]
    assert (event.external_org_id, event.company_id, event.feature_code) == ("org_1", None, "ai_credit")
    assert (event.quantity, event.idempotency_key) == (5, "job")


def test_usage_of_an_organisation_that_is_not_linked_is_raised_with_the_event(stage: Stage) -> None:
    """Nothing can count it yet."""
    stage = Stage(stage.fake, default=Policy(on_outage="allow"))
    stage.fake.fail(LISTING, error="lost")
    with (
        pytest.raises(NotFoundError, match="not linked") as caught,
        stage.gate.metered(external_org_id="org_9", feature_code="ai_credit"),
    ):
        pass
    assert caught.value.event.external_org_id == "org_9"  # type: ignore[attr-defined]


def test_outbox_takes_usage_that_failed(stage: Stage) -> None:
    """The block ends well, and the usage is subtracted until it was sent."""
    outbox = ListOutbox()
    stage = Stage(stage.fake, outbox=outbox, default=Policy(max_age=900))
    stage.fake.fail(TRACK, error="lost")
    with stage.gate.metered(
        external_org_id="org_1", feature_code="ai_credit", quantity=5, idempotency_key="job", metadata={"a": 1}
    ) as use:
        pass
    assert use.result is None
    assert outbox.usage == [
        {
            "company_id": stage.company,
            "external_org_id": None,
            "feature_code": "ai_credit",
            "quantity": 5,
            "idempotency_key": "job",
            "metadata": {"a": 1},
        }
    ]
    assert stage.check("ai_credit").access.remaining == 9_995


def test_usage_that_ran_is_subtracted_twice_until_it_is_known(stage: Stage) -> None:
    """The service has counted it, and the gate cannot know that the outbox has the same usage: the safe side."""
    stage = Stage(stage.fake, outbox=ListOutbox(), default=Policy(max_age=900))
    stage.fake.fail(TRACK, error="lost", after=True)
    with stage.gate.metered(external_org_id="org_1", feature_code="ai_credit", quantity=5):
        pass

    assert _usage(stage) == 5
    assert stage.check("ai_credit").access.remaining == 9_990


@pytest.mark.parametrize("organisation", ["org_1", "org_9"], ids=["look-up-fails", "not-linked"])
def test_outbox_takes_usage_without_a_company(stage: Stage, organisation: str) -> None:
    """It looks the company up later."""
    outbox = ListOutbox()
    stage = Stage(stage.fake, outbox=outbox, default=Policy(on_outage="allow"))
    stage.fake.fail(LISTING, error="lost")
    with stage.gate.metered(external_org_id=organisation, feature_code="ai_credit"):
        if organisation == "org_1":
            stage.fake.fail(LOOK_UP, error="lost")
    assert [(one["external_org_id"], one["company_id"]) for one in outbox.usage] == [(organisation, None)]


@pytest.mark.parametrize("full", [OutboxFull("full"), OutboxUnavailable("busy"), OSError("full")], ids=repr)
def test_failure_of_the_outbox_is_the_cause_of_the_usages_failure(stage: Stage, full: Exception) -> None:
    """The error still has the request and the event."""
    stage = Stage(stage.fake, outbox=ListOutbox(full))
    stage.transport.answers[TRACK] = lambda _call, _answer: TimedOut("slow")
    with (
        pytest.raises(TimedOut) as caught,
        stage.gate.metered(external_org_id="org_1", feature_code="ai_credit", idempotency_key="job"),
    ):
        pass
    assert caught.value.__cause__ is full
    assert caught.value.request is not None
    assert caught.value.event.idempotency_key == "job"  # type: ignore[attr-defined]


def test_outbox_of_a_user_gets_usage_that_may_be_counted(stage: Stage, tmp_path: Path) -> None:
    """A subclass sees it in `put_many`; if it fails, its error has the event, which is still one that was tried."""
    seen: list[Any] = []

    class Noting(SQLiteOutbox):
        def put_many(self, events: Iterable[Any]) -> list[str]:
            seen.extend(events)
            if len(seen) > 1:
                raise OutboxUnavailable("busy")
            return super().put_many(seen)

    with Noting(tmp_path / "usage.db") as outbox:
        stage = Stage(stage.fake, outbox=outbox)
        stage.fake.fail(TRACK, error="lost", times=2)
        use: dict[str, Any] = {"external_org_id": "org_1", "feature_code": "ai_credit"}
        with stage.gate.metered(**use, idempotency_key="job_1"):
            pass
        with pytest.raises(ConnectionFailed) as caught, stage.gate.metered(**use, idempotency_key="job_2"):
            pass
        event: Any = caught.value.event  # type: ignore[attr-defined]
        SQLiteOutbox.put_many(outbox, [event])

        assert seen[1] is event
        assert outbox.stats().ready == 2
    assert isinstance(event, UsageEvent)
    copies = pickle.loads(pickle.dumps(event)), evolve(event)  # noqa: S301 - our own
    assert [type(copy) for copy in copies] == [TriedEvent, TriedEvent]
    assert copies == (event, event)


def test_outbox_error_has_the_event_as_it_was_put(tmp_path: Path) -> None:
    """An event that was tried is one in the error of a full outbox, too."""
    given: dict[str, Any] = {"company_id": "c", "feature_code": "f", "quantity": 1, "metadata": {"a": "b" * 70_000}}
    with SQLiteOutbox(tmp_path / "usage.db", max_bytes=2**16) as outbox:
        for kind in (UsageEvent, TriedEvent):
            event = kind(**given)
            with pytest.raises(OutboxFull) as caught:
                outbox.put_many([event])
            assert caught.value.event == event
