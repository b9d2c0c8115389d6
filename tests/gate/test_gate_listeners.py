"""The seam for integrations: a listener hears of refreshes and changes, without a lock."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from steering import LISTING, Clock, Stage
from waiting import PATIENCE

from chatarmin_os import ChatarminError, ForbiddenError, RateLimitError, TimedOut, UnauthorizedError
from chatarmin_os.gate import Policy

if TYPE_CHECKING:
    from chatarmin_os.fake import FakeTransport
    from chatarmin_os.gate import Gate


class Listening:
    """A listener that writes down each call, and shows that no lock is held."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.heard: list[Any] = []

    def refreshed(self) -> None:
        """Write down the trouble."""
        self._ask_in_another_thread()
        trouble = self.gate._trouble()
        self.heard.append(None if trouble is None else (type(trouble.error).__name__, trouble.has_answers))

    def changed(self, organisation: str | None, company: str | None, feature: str | None) -> None:
        """Write down the change."""
        self._ask_in_another_thread()
        self.heard.append((organisation, company, feature))

    def _ask_in_another_thread(self) -> None:
        thread = threading.Thread(target=self.gate.stats)
        thread.start()
        thread.join(PATIENCE)
        assert not thread.is_alive()


@pytest.fixture
def fake() -> FakeTransport:
    """Return a service."""
    from chatarmin_os.fake import FakeTransport, demo_catalogue

    return FakeTransport(demo_catalogue())


def check(stage: Stage, organisation: str = "org_1") -> None:
    """Check a feature, whatever the result."""
    stage.gate.check(external_org_id=organisation, feature_code="sso")


def listening(stage: Stage) -> Listening:
    """Return a listener of a gate."""
    listener = Listening(stage.gate)
    stage.gate._listen(listener)
    return listener


def test_listener_hears_of_each_round_of_refreshes(fake: FakeTransport) -> None:
    """A batch is one round, and a fresh answer none."""
    stage = Stage(fake)
    listener = listening(stage)
    stage.gate.warm(["org_1", "org_2", "org_3"])
    check(stage)

    assert listener.heard == [None]


def test_fifth_failure_in_a_row_is_trouble(fake: FakeTransport) -> None:
    """Old answers count as long as the default policy lets them, and a success ends it."""
    clock = Clock()
    stage = Stage(fake, now=clock, default=Policy(max_stale=1_000))
    check(stage)
    listener = listening(stage)
    stage.transport.answers[LISTING] = lambda _call, _answer: TimedOut("slow")
    for _ in range(6):
        clock.seconds += 100
        check(stage)
    clock.seconds += 400
    check(stage)
    del stage.transport.answers[LISTING]
    clock.seconds += 100
    check(stage)

    assert listener.heard == [None] * 4 + [("TimedOut", True)] * 2 + [("TimedOut", False), None]


@pytest.mark.parametrize(
    "error",
    [
        UnauthorizedError("no", code="UNAUTHORIZED"),
        ForbiddenError("no", code="FORBIDDEN"),
        RateLimitError("slow down", code="TOO_MANY_REQUESTS"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_refused_key_and_rate_limit_are_trouble_at_once(fake: FakeTransport, error: ChatarminError) -> None:
    """They concern everything that is asked."""
    stage = Stage(fake, now=(clock := Clock()))
    listener = listening(stage)
    stage.transport.answers[LISTING] = lambda _call, _answer: error
    with suppress(ChatarminError):  # a rate limit is a decision of the policy
        check(stage)
    clock.seconds += 100
    del stage.transport.answers[LISTING]
    check(stage)

    assert listener.heard == [(type(error).__name__, False), None]


def test_listener_hears_of_changes(fake: FakeTransport) -> None:
    """A change has organisation, company and feature; failed ones are none."""
    stage = Stage(fake)
    listener = listening(stage)
    stage.client.features.set_access(external_org_id="org_1", feature_code="sso", is_enabled=True)
    stage.client.tiers.apply("free", company_id=stage.company)
    stage.client.onboard(external_org_id="org_1")
    stage.client.contacts.create(company_id=stage.company, email="a@example.com")
    stage.client.billing.track_usage(company_id=stage.company, feature_code="ai_credit", quantity=1)
    fake.fail("tiers.apply", error="lost", after=True)
    with pytest.raises(ChatarminError):
        stage.client.tiers.apply("pro", company_id=stage.company)
    stage.gate.forget(company_id=stage.company)
    stage.client.links.reset()

    assert listener.heard == [
        ("org_1", None, "sso"),
        (None, stage.company, None),
        ("org_1", stage.company, None),
        (None, stage.company, None),
        (None, None, None),
    ]


def test_listener_that_ended_hears_nothing_more(fake: FakeTransport) -> None:
    """Another one of the same gate still does."""
    stage = Stage(fake)
    first, second = Listening(stage.gate), listening(stage)
    end = stage.gate._listen(first)
    stage.gate.clear()
    end()
    end()
    stage.gate.clear()

    assert (first.heard, second.heard) == ([(None, None, None)], [(None, None, None)] * 2)
