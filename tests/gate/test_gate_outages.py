"""Outages are waited out, policies decide without an answer, and mistakes never allow."""

from __future__ import annotations

import gc
import logging
from datetime import timedelta
from random import uniform
from typing import TYPE_CHECKING, Any

import pytest
from steering import LISTING, SINGLE, Clock, Running, Stage
from waiting import until

from chatarmin_os import (
    ApiError,
    BadRequestError,
    ChatarminError,
    ConnectionFailed,
    ForbiddenError,
    InvalidInput,
    InvalidResponse,
    NotFoundError,
    RateLimitError,
    ServerError,
    TimedOut,
    UnauthorizedError,
)
from chatarmin_os.gate import Policy
from chatarmin_os.gate.backoff import Backoff

if TYPE_CHECKING:
    from chatarmin_os.fake import FakeTransport


def _name(error: ChatarminError) -> str:
    """Return the id of an error."""
    return f"{type(error).__name__}-{getattr(error, 'http_status', None) or 'none'}"


OUTAGES = [
    ConnectionFailed("refused", outcome="not_sent"),
    TimedOut("slow"),
    ServerError("down", code="INTERNAL_SERVER_ERROR", http_status=500),
    ApiError("odd", code="ODD", http_status=599),
    InvalidResponse("HTML", http_status=302),
    InvalidResponse("nothing"),
    RateLimitError("slow down", code="TOO_MANY_REQUESTS", http_status=429),
]
MISTAKES = [
    UnauthorizedError("no", code="UNAUTHORIZED", http_status=401),
    ForbiddenError("no", code="FORBIDDEN", http_status=403),
    BadRequestError("no", code="BAD_REQUEST", http_status=400),
    InvalidInput("no"),
    NotFoundError('No procedure found on path "features.x"', code="NOT_FOUND", http_status=404),
    InvalidResponse("$.features: expected a list", http_status=200),
    ApiError("odd", code="ODD", http_status=418),
    ChatarminError("odd"),
]


def _fails(stage: Stage, error: ChatarminError | None, path: str = LISTING) -> None:
    """Let each call of a path fail, or none."""
    if error is None:
        stage.transport.answers.pop(path, None)
    else:
        stage.transport.answers[path] = lambda _call, _answer: error


@pytest.fixture
def clock() -> Clock:
    """Return the clock of the gate."""
    return Clock()


@pytest.fixture
def stage(service: FakeTransport, clock: Clock) -> Stage:
    """Return a stage whose gate has that clock."""
    return Stage(service, now=clock, policies={"sso": Policy(on_outage="allow"), "seats": Policy(on_outage="raise")})


@pytest.mark.parametrize("error", OUTAGES, ids=_name)
def test_outage_gives_the_old_answer_while_it_is_younger_than_max_stale(
    stage: Stage, clock: Clock, error: ChatarminError
) -> None:
    """A refresh without an answer leaves the old one in use, with the error; then the policy decides."""
    stage.check()
    _fails(stage, error)
    clock.seconds += 899.9
    old = stage.check()
    clock.seconds += 0.1
    gone = stage.check()

    assert (old.allowed, old.source, type(old.error)) == (True, "stale", type(error))
    assert old.error.__traceback__ is old.error.__context__ is None
    assert old.age == pytest.approx(900)
    assert (gone.allowed, gone.reason, gone.source, gone.access, gone.fetched_at, gone.age) == (
        False,
        "outage",
        "policy",
        None,
        None,
        None,
    )


@pytest.mark.parametrize("error", OUTAGES, ids=_name)
def test_policy_decides_if_nothing_is_known(stage: Stage, error: ChatarminError) -> None:
    """Both "deny" and "allow" are decisions; "raise" raises the error, each time another object."""
    _fails(stage, error)

    denied, allowed = stage.check(), stage.check("sso")
    raised: list[ChatarminError] = []
    for _ in range(2):
        with pytest.raises(type(error)) as caught:
            stage.check("seats")
        raised.append(caught.value)

    assert (denied.allowed, denied.reason, denied.source) == (False, "outage", "policy")
    assert (allowed.allowed, allowed.reason, allowed.source) == (True, "outage", "policy")
    assert type(denied.error) is type(allowed.error) is type(error)
    assert raised[0] is not raised[1]
    assert stage.calls() == [LISTING]


@pytest.mark.parametrize("error", MISTAKES, ids=_name)
def test_mistake_is_raised_whatever_the_policy_says(stage: Stage, clock: Clock, error: ChatarminError) -> None:
    """Without an old answer a mistake is raised, again and again while it waits; the service is not asked again."""
    _fails(stage, error)
    for feature in ("api_access", "sso", "seats"):
        with pytest.raises(type(error)) as caught:
            stage.check(feature)
        assert caught.value.__context__ is None
    assert stage.calls() == [LISTING]
    clock.seconds += 1
    _fails(stage, None)

    assert stage.check().source == "live"


@pytest.mark.parametrize("error", MISTAKES, ids=_name)
def test_mistake_leaves_the_old_answer_in_use(
    stage: Stage, clock: Clock, error: ChatarminError, caplog: pytest.LogCaptureFixture
) -> None:
    """With an old answer within `max_stale` that is given, with the error, and an ERROR is logged once a minute."""
    stage.check()
    _fails(stage, error)
    clock.seconds += 31
    decisions = [stage.check(), stage.check()]

    assert [(one.source, type(one.error)) for one in decisions] == [("stale", type(error))] * 2
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    clock.seconds += 60
    stage.check()
    assert len(caplog.records) == 2
    clock.seconds += 900
    with pytest.raises(type(error)):
        stage.check()


def test_mistakes_do_not_count_towards_the_five(service: FakeTransport, clock: Clock) -> None:
    """Ten organisations with mistakes let the eleventh through."""
    stage = Stage(service, now=clock)
    _fails(stage, MISTAKES[0])
    for number in range(10):
        with pytest.raises(UnauthorizedError):
            stage.check(organisation=f"org_x{number}")
    _fails(stage, None)

    assert stage.check().source == "live"


def test_key_is_left_alone_for_a_wait_that_doubles(stage: Stage, clock: Clock) -> None:
    """After a failure the service is not asked for 0.5 to 1 second, doubling to 30 with each failure."""
    stage.gate._state.breaker._jitter = lambda _low, _high: 0.0
    stage.check()
    _fails(stage, TimedOut("slow"))
    clock.seconds += 31
    stage.check()
    assert len(stage.calls()) == 2
    for wait in (1, 2, 4, 8, 16, 30, 30):
        clock.seconds += wait / 2 - 0.01
        stage.check()
        assert stage.calls() == []
        clock.seconds += wait / 2 + 0.01
        stage.check()
        assert stage.calls() == [LISTING]
    _fails(stage, None)
    clock.seconds += 30
    assert stage.check().source == "live"
    assert stage.check().error is None

    _fails(stage, TimedOut("slow"))
    clock.seconds += 31
    stage.check()
    clock.seconds += 1  # an answer has ended the doubling
    stage.calls()
    stage.check()
    assert stage.calls() == [LISTING]


def test_waits_are_random() -> None:
    """Processes that failed together do not come back together."""

    def wait() -> float:
        one = Backoff()
        one.fail(TimedOut("slow"), 0.0, uniform)
        return one.until

    waits = {wait() for _ in range(50)}
    assert len(waits) > 10
    assert all(0.5 <= one <= 1 for one in waits)


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (RateLimitError("slow", code="TOO_MANY_REQUESTS", retry_after=20), 20),
        (ServerError("down", code="SERVICE_UNAVAILABLE", retry_after=20), 20),
        (InvalidResponse("HTML", http_status=503, retry_after=20), 20),
        (RateLimitError("slow", code="TOO_MANY_REQUESTS", retry_after=4000), 300),
        (RateLimitError("slow", code="TOO_MANY_REQUESTS", retry_after=0.01), 0.5),
    ],
    ids=["429", "503", "proxy", "at-most-300", "at-least-the-wait"],
)
def test_retry_after_is_a_lower_bound_of_the_wait(
    stage: Stage, clock: Clock, error: ChatarminError, seconds: float
) -> None:
    """The service is not asked before `Retry-After`, up to 300 seconds."""
    _fails(stage, error)
    stage.check()
    clock.seconds += seconds - 0.01
    stage.check()
    assert stage.calls() == [LISTING]
    clock.seconds += 0.51
    stage.check()

    assert stage.calls() == [LISTING]


def test_rate_limit_lets_the_whole_gate_wait(stage: Stage, clock: Clock) -> None:
    """After a 429 no organisation is asked for; then one refresh goes through."""
    _fails(stage, RateLimitError("slow", code="TOO_MANY_REQUESTS", retry_after=5))
    stage.check()
    stage.calls()
    decision = stage.check(organisation="org_2")
    assert (decision.source, type(decision.error)) == ("policy", RateLimitError)
    clock.seconds += 4.9
    stage.check(organisation="org_2")
    assert stage.calls() == []
    clock.seconds += 0.2
    _fails(stage, None)

    assert stage.check(organisation="org_2").reason == "not_linked"
    assert stage.check().source == "live"


def test_fifth_failure_lets_the_whole_gate_wait(stage: Stage, clock: Clock) -> None:
    """Four failures of any keys do not stop others; from the fifth on one refresh goes through after each wait."""
    _fails(stage, TimedOut("slow"))
    for number in range(5):
        stage.check(organisation=f"org_x{number}")
    assert len(stage.calls()) == 5
    decision = stage.check(organisation="org_x6")
    assert (decision.source, type(decision.error)) == ("policy", TimedOut)
    assert stage.calls() == []

    clock.seconds += 1
    for number in range(7, 10):
        stage.check(organisation=f"org_x{number}")
    assert len(stage.calls()) == 1
    clock.seconds += 1 - 0.01  # the second wait is 1 to 2 seconds
    stage.check(organisation="org_x10")
    assert stage.calls() == []
    clock.seconds += 1.01
    _fails(stage, None)
    stage.check(organisation="org_x11")
    stage.check(organisation="org_x12")
    assert len(stage.calls()) == 2


def test_failures_are_counted_in_a_row(stage: Stage) -> None:
    """An answer in between starts the count again."""
    for number in range(8):
        _fails(stage, None if number == 4 else TimedOut("slow"))
        stage.check(organisation=f"org_x{number}")
    assert len(stage.calls()) == 8


def test_others_do_not_go_through_with_the_probe(service: FakeTransport, clock: Clock) -> None:
    """While the one refresh after a wait is under way, others still decide without the service."""
    stage = Stage(service, now=clock, timeout=10)
    _fails(stage, TimedOut("slow"))
    for number in range(5):
        stage.check(organisation=f"org_x{number}")
    clock.seconds += 1
    hold = stage.transport.hold(LISTING)
    probe = Running(lambda: stage.check(organisation="org_x6"))
    hold.wait()
    assert stage.check(organisation="org_x7").source == "policy"
    hold.release()
    probe.result()
    assert len(stage.calls()) == 6


def test_probe_that_ends_with_a_foreign_exception_lets_the_next_through(stage: Stage, clock: Clock) -> None:
    """An interrupt of the one refresh does not close the gate for ever."""
    _fails(stage, TimedOut("slow"))
    for number in range(5):
        stage.check(organisation=f"org_x{number}")
    clock.seconds += 1
    stage.transport.answers[LISTING] = lambda _call, _answer: KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        stage.check(organisation="org_x6")
    _fails(stage, None)

    assert stage.check(organisation="org_x7").reason == "not_linked"


def test_answer_that_was_under_way_does_not_end_a_wait(service: FakeTransport, clock: Clock) -> None:
    """The service asked for a wait after that request had been sent."""
    stage = Stage(service, now=clock, timeout=10)
    hold = stage.transport.hold(LISTING)
    before = Running(stage.check)
    hold.wait()
    stage.transport.answers["features.listAccess"] = lambda _call, _answer: RateLimitError(
        "slow", code="TOO_MANY_REQUESTS", retry_after=20
    )
    stage.gate.check(company_id=stage.company, feature_code="sso")
    hold.release()
    assert before.result().source == "live"
    stage.calls()
    clock.seconds += 19
    assert stage.check(organisation="org_2").source == "policy"
    clock.seconds += 1

    assert stage.check(organisation="org_2").source == "live"
    assert stage.calls() == [LISTING]


def test_failures_at_the_same_time_double_the_wait_once(service: FakeTransport, clock: Clock) -> None:
    """A batch that fails for many organisations is one reason to wait."""
    stage = Stage(service, now=clock)
    _fails(stage, TimedOut("slow"))
    stage.gate.check_many([(f"org_x{number}", "sso") for number in range(40)])
    clock.seconds += 1
    _fails(stage, None)

    assert stage.check().source == "live"


def test_retry_after_of_a_late_failure_prolongs_the_wait(stage: Stage, clock: Clock) -> None:
    """A failure during the gate's wait may ask for a longer one."""
    breaker = stage.gate._state.breaker
    breaker.fail(RateLimitError("slow", code="TOO_MANY_REQUESTS"), clock.seconds)
    breaker.fail(RateLimitError("slow", code="TOO_MANY_REQUESTS", retry_after=100), clock.seconds)

    assert breaker.until == clock.seconds + 100


def test_foreign_exception_passes_and_who_waited_asks_for_itself(service: FakeTransport) -> None:
    """An exception that is not ours is raised as it is in the thread that refreshed, and remembered nowhere."""
    stage = Stage(service, timeout=10)
    foreign = KeyError("a bug of the transport")
    answers = [foreign]
    stage.transport.answers[LISTING] = lambda _call, answer: answers.pop() if answers else answer
    hold = stage.transport.hold(LISTING)
    first = Running(stage.check)
    hold.wait()
    other = Running(stage.check)
    until(lambda: stage.waiting() == 1)
    hold.release()

    with pytest.raises(KeyError) as caught:
        first.result()
    assert caught.value is foreign
    assert other.result().source == "live"
    assert stage.calls() == [LISTING, LISTING]


def test_policy_decisions_are_logged_once_a_minute_and_organisation(
    stage: Stage, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """At WARNING, with organisation, feature and error class; not with the message, which may have ids."""
    _fails(stage, ServerError("company comp_secret is locked", code="INTERNAL_SERVER_ERROR"))
    for organisation in ("org_1", "org_2"):
        for _ in range(3):
            stage.check(organisation=organisation)
    clock.seconds += 60
    stage.check()

    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 3
    assert caplog.records[0].getMessage() == (
        "the gate has no new answer about feature 'api_access' of organisation 'org_1': "
        "ServerError INTERNAL_SERVER_ERROR"
    )
    assert "comp_secret" not in caplog.text


def test_logs_have_no_company_id(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """A company id is the service's."""
    _fails(stage, TimedOut("slow"), "features.listAccess")
    stage.gate.check(company_id="comp_secret", feature_code="sso")

    assert "of a company: TimedOut" in caplog.text
    assert "comp_secret" not in caplog.text


def test_stale_answers_of_an_outage_are_not_logged(
    stage: Stage, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Old answers are what the gate is for."""
    stage.check()
    _fails(stage, TimedOut("slow"))
    clock.seconds += 31
    stage.check()

    assert not caplog.records


def test_errors_that_are_kept_hold_no_frames(stage: Stage, clock: Clock) -> None:
    """What was on the stack when a refresh failed can be collected, also if a caller keeps the decision."""

    class Large:
        pass

    def fail() -> Any:
        large = Large()
        try:
            {}[large]  # type: ignore[index]
        except KeyError as cause:
            raise ServerError("down", code="INTERNAL_SERVER_ERROR") from cause

    stage.check()
    stage.transport.answers[LISTING] = lambda _call, _answer: fail()
    clock.seconds += 31
    decision = stage.check()
    gc.collect()

    assert decision.error.__cause__ is None
    assert not [one for one in gc.get_objects() if type(one) is Large]


def test_error_of_a_fresh_decision_is_that_of_the_last_refresh(stage: Stage, clock: Clock) -> None:
    """A feature that is still fresh says that the last refresh failed, until one succeeds."""
    stage.check("ai_credit")
    assert stage.check().error is None
    _fails(stage, TimedOut("slow"))
    clock.seconds += 3
    stage.check("ai_credit")
    fresh = stage.check()
    assert (fresh.source, type(fresh.error)) == ("cache", TimedOut)
    _fails(stage, None)
    clock.seconds += 1
    stage.check("ai_credit")

    assert stage.check().error is None


def test_wrong_type_in_an_answer_is_a_mistake(stage: Stage) -> None:
    """`isEnabled: "yes"` is no access, though `on_outage` is "allow"."""
    stage.transport.answers[LISTING] = lambda _call, answer: (
        answer | {"features": [one | {"isEnabled": "yes"} for one in answer["features"]]}
    )
    with pytest.raises(InvalidResponse, match=r"expected true or false at \$\.features\[0\]\.isEnabled"):
        stage.check("sso")


def test_outage_of_a_single_question_lets_the_organisation_wait(stage: Stage) -> None:
    """A feature that is asked for alone shares the wait of its organisation."""
    stage.fake.add_feature("exports", name="Exports")
    stage.transport.answers[LISTING] = lambda _call, answer: answer | {"features": answer["features"][:-1]}
    _fails(stage, TimedOut("slow"), SINGLE)
    for _ in range(3):
        assert stage.check("exports").source == "policy"

    assert stage.calls() == [LISTING, SINGLE]


def test_answers_are_refreshed_by_later_callers_after_an_outage(service: FakeTransport) -> None:
    """On the real clock of the fake: an outage ends, and the next check after the wait is live."""
    stage = Stage(service)
    stage.check()
    service.advance(timedelta(seconds=31))
    service.fail(LISTING, error="lost")
    assert stage.check().source == "stale"
    service.advance(timedelta(seconds=1))

    assert stage.check().source == "live"
