"""Durations, decisions of gates, and gauges of outboxes."""

from __future__ import annotations

import gc
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from chatarmin_os import ChatarminError, ChatarminOS, ListTiersInput, NotFoundError
from chatarmin_os._watching import outboxes
from chatarmin_os.gate import Gate, Policy
from chatarmin_os.integrations.opentelemetry import instrument, uninstrument
from chatarmin_os.integrations.opentelemetry.outboxes import OutboxReader, reader
from chatarmin_os.outbox import Sender, SQLiteOutbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from recorded import Recorded

    from chatarmin_os.fake import FakeTransport
    from chatarmin_os.outbox import OutboxStats

DURATION, DECISIONS = "rpc.client.call.duration", "chatarmin_os.gate.decisions"


# Durations


def test_duration_has_the_attributes_and_buckets_of_the_conventions(observed: ChatarminOS, recorded: Recorded) -> None:
    """Each call is one measurement in seconds, by procedure and error."""
    observed.tiers.list()
    observed.tiers.list()
    with pytest.raises(NotFoundError):
        observed.tiers.get("gold")

    (listed, lists), (refused, refusals) = recorded.points(DURATION)
    assert listed == {"rpc.system.name": "trpc", "rpc.method": "tiers.list"}
    failure = {"error.type": "NOT_FOUND", "rpc.status_code": "NOT_FOUND"}
    assert refused == {"rpc.system.name": "trpc", "rpc.method": "tiers.get", **failure}
    assert (lists.count, refusals.count) == (2, 1)
    buckets = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
    assert tuple(lists.explicit_bounds) == buckets
    assert 0 < lists.sum < 3600


def test_duration_links_to_its_span(observed: ChatarminOS, recorded: Recorded) -> None:
    """It is measured in the context of the span, so that exemplars lead to the trace."""
    observed.tiers.list()

    [span] = recorded.spans()
    [(_, point)] = recorded.points(DURATION)
    assert {one.span_id for one in point.exemplars} == {span.context.span_id}


# Decisions


def _decisions(recorded: Recorded) -> dict[tuple[str, str, str], int]:
    return {
        (one["chatarmin_os.feature"], one["chatarmin_os.source"], one["chatarmin_os.reason"]): point.value
        for one, point in recorded.points(DECISIONS)
    }


def test_each_decision_that_a_caller_gets_is_counted(observed: ChatarminOS, recorded: Recorded) -> None:
    """By feature, source and reason; `require` and `metered` count one, `features` and `check_many` each of theirs."""
    observed.onboard(external_org_id="org_1", tier_code="free")
    gate = Gate(observed)
    asked: dict[str, Any] = {"external_org_id": "org_1", "feature_code": "ai_credit"}

    gate.check(**asked)
    gate.check(**asked)
    gate.require(**asked)
    with gate.metered(**asked):
        pass
    assert _decisions(recorded) == {("ai_credit", "live", "allowed"): 1, ("ai_credit", "cache", "allowed"): 3}

    gate.check_many([("org_1", "sso"), ("org_1", "sso"), ("", "sso")])
    gate.features(external_org_id="org_1")
    gate.features(external_org_id="org_1")

    counts = _decisions(recorded)
    assert counts["sso", "cache", "disabled"] == 4
    assert sum(counts.values()) == gate.stats().fresh == 4 + 2 + 2 * 5


def test_decision_of_a_policy_is_counted(demo: FakeTransport, observed: ChatarminOS, recorded: Recorded) -> None:
    """In an outage the counter says that a policy decided; an error is no decision."""
    gate = Gate(observed, policies={"sso": Policy(on_outage="allow")}, default=Policy(on_outage="raise"))
    demo.fail(error="INTERNAL_SERVER_ERROR", times=9)

    assert gate.check(external_org_id="org_1", feature_code="sso")
    with pytest.raises(ChatarminError):
        gate.check(external_org_id="org_1", feature_code="seats")

    assert _decisions(recorded) == {("sso", "policy", "outage"): 1}


def test_unknown_features_are_counted_together(observed: ChatarminOS, recorded: Recorded) -> None:
    """A code that neither the service nor a policy has may be text of a visitor; once it is known, it has its name."""
    gate = Gate(observed, policies={"beta": Policy()})
    for code in ("jane@example.com", "seats", "beta", *(f"junk_{number}" for number in range(50))):
        gate.check(external_org_id="org_1", feature_code=code)
    assert _decisions(recorded) == {
        ("_OTHER", "live", "not_linked"): 1,
        ("_OTHER", "cache", "not_linked"): 51,
        ("beta", "cache", "not_linked"): 1,
    }
    assert "jane" not in recorded.exported()

    observed.onboard(external_org_id="org_2", tier_code="free")
    gate.check(external_org_id="org_2", feature_code="seats")
    assert gate.check(external_org_id="org_1", feature_code="seats").reason == "not_linked"
    assert _decisions(recorded)["seats", "cache", "not_linked"] == 1


def test_number_of_features_is_bounded(observed: ChatarminOS, recorded: Recorded) -> None:
    """Beyond 500 features all others are one."""
    codes = [f"feature_{number}" for number in range(600)]
    gate = Gate(observed, policies={code: Policy() for code in codes})
    for code in codes:
        gate.check(external_org_id="org_1", feature_code=code)

    counts = _decisions(recorded)
    assert len({feature for feature, _, _ in counts}) == 501
    assert counts["_OTHER", "cache", "not_linked"] == 100


# Outboxes


@pytest.fixture
def no_others() -> Iterator[None]:
    """Forget outboxes of other tests."""
    gc.collect()
    before = outboxes.copy()
    outboxes.clear()
    reader._read_at = float("-inf")
    yield
    outboxes[:] = before


def _gauges(recorded: Recorded) -> dict[str, dict[str, float]]:
    return {
        name: {
            one["chatarmin_os.outbox.type"]: point.value
            for one, point in recorded.points(f"chatarmin_os.outbox.{name}")
        }
        for name in ("ready", "dead", "oldest_age")
    }


@pytest.mark.usefixtures("no_others")
def test_gauges_have_the_content_of_the_outboxes(
    observed: ChatarminOS, recorded: Recorded, tmp_path: Path, demo: FakeTransport
) -> None:
    """Ready, dead, and the age of the oldest event; several outboxes of one class are added up, each place once."""
    now = 1_000_000.0
    one = SQLiteOutbox(tmp_path / "one.db", now=lambda: now)
    again, other = (
        SQLiteOutbox(tmp_path / "one.db", now=lambda: now),
        SQLiteOutbox(tmp_path / "two.db", now=lambda: now),
    )
    one.put(company_id="comp_unknown", feature_code="seats", quantity=1)
    Sender(ChatarminOS(transport=demo), one).drain()
    one.put(company_id="comp_unknown", feature_code="seats", quantity=1)
    now += 90
    other.put(company_id="comp_unknown", feature_code="seats", quantity=1)

    assert _gauges(recorded) == {
        "ready": {"SQLiteOutbox": 2},
        "dead": {"SQLiteOutbox": 1},
        "oldest_age": {"SQLiteOutbox": 90.0},
    }
    assert again.stats().ready == 1
    uninstrument(observed)
    assert _gauges(recorded) == {"ready": {}, "dead": {}, "oldest_age": {}}


@pytest.mark.usefixtures("no_others", "observed")
def test_empty_outbox_has_an_age_of_zero(recorded: Recorded, tmp_path: Path) -> None:
    """An alert on the age ends when the outbox is empty."""
    outbox = SQLiteOutbox(tmp_path / "usage.db")

    assert _gauges(recorded)["oldest_age"] == {"SQLiteOutbox": 0.0}
    outbox.close()


@pytest.mark.usefixtures("no_others")
def test_gauges_survive_a_second_instrumentation(demo: FakeTransport, recorded: Recorded, tmp_path: Path) -> None:
    """Instruments cannot be removed from a provider; those that exist report again."""
    outbox = SQLiteOutbox(tmp_path / "usage.db")
    client = uninstrument(instrument(ChatarminOS(transport=demo), **recorded.settings))
    assert _gauges(recorded)["ready"] == {}
    instrument(client, **recorded.settings)

    assert _gauges(recorded)["ready"] == {"SQLiteOutbox": 0}
    outbox.close()


class _Outbox:
    """An outbox whose `stats` a test sets."""

    def __init__(self, act: Any) -> None:
        self._act, self.ended = act, 0

    def _place(self) -> int:
        return id(self)

    def stats(self) -> OutboxStats:
        result: OutboxStats = self._act()
        return result

    def _end_thread(self) -> None:
        self.ended += 1


@pytest.mark.usefixtures("no_others")
def test_outbox_that_fails_is_left_out_and_logged_once(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """The others are reported; the log has the kind of the error, and not its text."""

    def fail() -> None:
        raise OSError("secret")

    broken, outbox = _Outbox(fail), SQLiteOutbox(tmp_path / "usage.db")
    outboxes.add(broken)
    for _ in range(2):
        assert [*OutboxReader(max_age=0).read()] == ["SQLiteOutbox"]

    mine = OutboxReader(max_age=0)
    caplog.clear()
    assert [*mine.read()] == [*mine.read()] == ["SQLiteOutbox"]
    lines = [line.getMessage() for line in caplog.records]
    assert lines == ["no metrics of an outbox: _Outbox cannot be read: OSError"]
    assert broken.ended == 4
    outbox.close()


@pytest.mark.usefixtures("no_others")
def test_outbox_that_hangs_delays_a_collection_once(caplog: pytest.LogCaptureFixture) -> None:
    """A collection waits for a bounded time, the next ones not at all, until the outbox answers again."""
    go, begun = Event(), Event()
    numbers: list[int] = []

    def hang() -> Any:
        numbers.append(1)
        begun.set()
        go.wait()
        raise OSError

    hanging = _Outbox(hang)
    outboxes.add(hanging)
    mine = OutboxReader(max_wait=0.01)
    assert mine.read() == mine.read() == {}
    assert begun.wait(60)
    assert len(numbers) == 1
    assert [line.getMessage() for line in caplog.records] == ["no metrics of an outbox: an outbox does not answer"]

    thread = mine.thread
    assert thread is not None
    go.set()
    thread.join()
    assert mine.read() == {}


@pytest.mark.usefixtures("no_others")
def test_last_collection_of_a_process_raises_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be started any more, as at the end of Python 3.12, gauges are left out; else they go on."""

    def refuse(_: Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    outbox, mine = SQLiteOutbox(tmp_path / "usage.db"), OutboxReader()
    with monkeypatch.context() as patch:
        patch.setattr(Thread, "start", refuse)
        assert mine.read() == {}

    assert [*mine.read()] == ["SQLiteOutbox"]
    outbox.close()


@pytest.mark.usefixtures("no_others")
def test_one_collection_reads_an_outbox_once(observed: ChatarminOS, tmp_path: Path) -> None:
    """All gauges, and other readers at the same moment, share one reading."""
    reads: list[int] = []
    outbox = SQLiteOutbox(tmp_path / "usage.db")

    def read() -> OutboxStats:
        assert not is_instrumentation_enabled()  # else each collection would be spans of the database
        reads.append(1)
        return outbox.stats()

    counting = _Outbox(read)
    mine = OutboxReader(max_age=3600)
    outboxes[:] = []
    outboxes.add(counting)
    assert len(mine.read()) == len(mine.read()) == 1
    assert reads == [1]
    outbox.close()
    observed.close()


def test_meter_provider_that_raises_harms_no_call(demo: FakeTransport) -> None:
    """A provider that was shut down, or never had a reader, changes nothing for calls."""
    provider = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    client = instrument(ChatarminOS(transport=demo), meter_provider=provider)
    provider.shutdown()

    assert len(client.batch([ListTiersInput(), ListTiersInput()])) == 2
    assert Gate(client).check(external_org_id="org_1", feature_code="sso").reason == "not_linked"
