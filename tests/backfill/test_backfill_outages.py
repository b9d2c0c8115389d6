"""Refusals, overloads and missing answers, at each step of a row."""

from __future__ import annotations

import random
from concurrent.futures import Executor, Future
from heapq import heappop, heappush
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING, Any

import pytest
from backfill_world import World

from chatarmin_os import ApiError, ChatarminError, ConnectionFailed, InvalidResponse, TimedOut, UnauthorizedError
from chatarmin_os.backfill.pace import Pace
from chatarmin_os.backfill.timing import Timing
from chatarmin_os.errors import CODES

if TYPE_CHECKING:
    import queue
    from collections.abc import Callable
    from pathlib import Path

    from chatarmin_os.backfill import BackfillReport
    from chatarmin_os.transports import Call

STEPS = {
    "companies.getByProductLink": "look_up",
    "companies.create": "create",
    "billing.linkSubscription": "subscription",
    "tiers.apply": "tier",
    "links.create": "label",
    "contacts.bulkUpsert": "contacts",
}
STOPPING = {"UNAUTHORIZED"}
TEMPORARY = {code for code, known in CODES.items() if known.http_status in {408, 429, 499} or known.http_status >= 500}
NO_ANSWERS = {
    "lost": lambda: ConnectionFailed("reset", outcome="unknown"),
    "hangs": lambda: TimedOut("no response", outcome="unknown"),
    "odd": lambda: InvalidResponse("not JSON", outcome="unknown"),
    "overloaded": lambda: ApiError.from_code("SERVICE_UNAVAILABLE"),
}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a world without customers."""
    return World(tmp_path)


def customers(world: World, count: int = 3) -> list[dict[str, Any]]:
    """Return rows that need each step."""
    return [
        {
            "external_org_id": f"org_{number}",
            "name": f"Company {number}",
            "tier_code": "free",
            "contacts": [f"a{number}@a.com", f"b{number}@a.com"],
            "label": "Vienna",
            "stripe_subscription_id": world.fake.stripe.add_subscription([]),
        }
        for number in range(count)
    ]


def times(count: int, path: str, make: Callable[[], ChatarminError]) -> Callable[[Call], ChatarminError | None]:
    """Return a function that answers so many calls of a path with an error."""
    left = count

    def answer(call: Call) -> ChatarminError | None:
        nonlocal left
        if call.path != path or left == 0:
            return None
        left -= 1
        return make()

    return answer


def assert_all_once(world: World, count: int = 3) -> None:
    """Every customer is there once, with all its parts."""
    assert world.companies() == sorted(f"Company {number}" for number in range(count))
    assert world.people() == sorted(f"{letter}{number}@a.com" for number in range(count) for letter in "ab")
    assert {world.tier(f"org_{number}") for number in range(count)} == {"free"}
    assert {link["label"] for link in world.fake.snapshot()["links"]} == {"Vienna"}
    assert len(world.fake.snapshot()["claims"]) == count


@pytest.mark.parametrize("path", STEPS)
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("failure", NO_ANSWERS)
def test_missing_answers_cost_nothing(world: World, path: str, moment: str, failure: str) -> None:
    """An answer that is lost before or after a call ran: in the same run, everything is there once."""
    setattr(world.transport, moment, times(2, path, NO_ANSWERS[failure]))

    report = world.run(customers(world))

    assert (report.done, report.failed) == (3, 0)
    assert_all_once(world)
    assert world.mutations().count("companies.create") == 3 + (
        2 if path == "companies.create" and moment == "before" else 0
    )


@pytest.mark.parametrize("path", STEPS)
@pytest.mark.parametrize("code", sorted(CODES))
def test_refusal_fails_its_row_and_no_other(world: World, path: str, code: str) -> None:
    """Each code at each step: one row fails with the step and the code, and the next run does the rest."""
    first = times(1, path, lambda: ApiError.from_code(code, "no"))
    world.transport.before = first
    rows = customers(world)
    if code in STOPPING:
        with pytest.raises(UnauthorizedError):
            world.run(rows)
    else:
        report = world.run(rows)
        is_tried_again = code in TEMPORARY or (code, path) == ("CONFLICT", "companies.create")
        expected = [] if is_tried_again else [(1, "org_0", STEPS[path], code, "no")]
        found = [(row.line, row.external_org_id, row.step, row.code, row.message) for row in report.failures]
        assert found == expected
        assert report.done == 3 - len(expected)

    assert world.run(rows).failed == 0
    assert_all_once(world)


@pytest.mark.parametrize("outcome", ["not_sent", "unknown"])
def test_row_without_an_answer_fails_at_last_with_the_truth(world: World, outcome: Any) -> None:
    """After 8 attempts the code says whether the call may have run."""
    failing = times(1_000, "tiers.apply", lambda: ConnectionFailed("refused", outcome=outcome))
    world.transport.before = failing

    report = world.run(customers(world, 1))

    [row] = report.failures
    assert (row.step, row.code, row.message) == ("tier", outcome, "refused")
    assert world.mutations().count("tiers.apply") == 8
    assert world.mutations().count("companies.create") == 1
    assert sum(world.waits) >= 60
    world.transport.before = lambda _: None
    assert world.run(customers(world, 1)).done == 1


def test_permanent_conflict_fails_soon(world: World) -> None:
    """Somebody has the link, and nobody finds it: three attempts."""
    world.transport.before = times(1_000, "companies.create", lambda: ApiError.from_code("CONFLICT", "linked"))

    report = world.run(customers(world, 1))

    assert [row.code for row in report.failures] == ["CONFLICT"]
    assert world.mutations() == ["companies.create"] * 3


def test_conflict_with_another_process_links_to_its_company(world: World) -> None:
    """The organisation is looked up again, and its tier is kept."""

    def sign_up(call: Call) -> None:
        if call.path == "companies.create":
            world.transport.before = lambda _: None
            world.direct.onboard(external_org_id="org_0", hints={"company_name": "Company 0"}, tier_code="pro")

    world.transport.before = sign_up

    assert world.run(customers(world, 1)).done == 1
    assert world.companies() == ["Company 0"]
    assert world.tier("org_0") == "pro"


def test_conflict_after_missing_answers_is_looked_up(world: World) -> None:
    """A creation that was given up runs late, between the look-up and the next creation: the row is not given up."""
    lost = times(2, "companies.getByProductLink", lambda: ConnectionFailed("reset", outcome="unknown"))

    def run_late(call: Call) -> ChatarminError | None:
        if call.path == "companies.create":
            world.transport.before = lambda _: None
            world.direct.companies.create(name="Company 0", external_org_id="org_0")
        return lost(call)

    world.transport.before = run_late

    assert world.run(customers(world, 1)).done == 1
    assert_all_once(world, 1)


def test_missing_procedure_ends_the_run(world: World) -> None:
    """A wrong base URL ends the run and fails no row."""
    problem = 'No procedure found on path "companies.create"'
    world.transport.before = times(1, "companies.create", lambda: ApiError.from_code("NOT_FOUND", problem))

    with pytest.raises(ApiError, match="the service has no procedure"):
        world.run(customers(world))

    assert world.run(customers(world, 0)).total == 0


def test_refused_key_at_the_start_ends_the_run(world: World) -> None:
    """No row is asked for."""
    world.transport.before = lambda _: ApiError.from_code("UNAUTHORIZED")
    with pytest.raises(UnauthorizedError):
        world.run(customers(world))
    assert world.paths() == ["tiers.list"]


def test_value_that_a_request_refuses_fails_its_row(world: World) -> None:
    """A contact without an address is refused before anything is sent for it."""
    rows = customers(world)
    rows[1]["contacts"] = [{"email": "a@a.com", "metadata": {"x": object()}}]

    report = world.run(rows)

    assert [(row.line, row.code) for row in report.failures] == [(2, "INVALID")]


@pytest.mark.parametrize("code", ["TOO_MANY_REQUESTS", "SERVICE_UNAVAILABLE"])
def test_retry_after_is_waited_for_by_all(world: World, code: str) -> None:
    """Nothing is sent until the service wants more, and the rate is halved."""
    sent: list[float] = []

    def answer(call: Call) -> ChatarminError | None:
        if call.path == "companies.getByProductLink":
            sent.append(world.at)
            if len(sent) == 1:
                return ApiError.from_code(code, retry_after=30.0)
        return None

    world.transport.before = answer

    report = world.run(customers(world, 120))

    assert (report.done, report.failed) == (120, 0)
    assert sent[:50] == [1_000.0] * 50
    assert min(sent[50:]) >= 1_030.0
    assert_all_once(world, 120)


def test_retry_after_of_hours_is_five_minutes(world: World) -> None:
    """A run does not sleep for a day because a proxy says so."""
    world.transport.before = times(
        1, "companies.getByProductLink", lambda: ApiError.from_code("TOO_MANY_REQUESTS", retry_after=86_400.0)
    )

    assert world.run(customers(world)).done == 3
    assert 1_300.0 <= world.at < 1_310.0


class Slow(Executor):
    """Has several calls in flight; the first call of a run ends at once, the others when `end` is called."""

    def __init__(self, world: World, seconds: float) -> None:
        self._world, self._seconds = world, seconds
        self._waiting: list[tuple[Future[Any], Callable[[], Any]]] = []
        self.submitted_at: list[float] = []

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **_: Any) -> Future[Any]:
        """Take a call."""
        future: Future[Any] = Future()
        if self.submitted_at or len(arguments) == 2:  # a chunk
            self._waiting.append((future, lambda: function(*arguments)))
            self.submitted_at.append(self._world.at)
        else:
            future.set_result(function(*arguments))
        return future

    def take(self, source: queue.SimpleQueue[Any], seconds: float | None) -> Any:
        """Wait for an item: for so many seconds, or for all calls in flight to end."""
        if source.empty():
            self._world.at += self._seconds if seconds is None else seconds
            waiting, self._waiting = (self._waiting, []) if seconds is None else ([], self._waiting)
            for future, call in waiting:
                future.set_result(call())
        return None if source.empty() else source.get_nowait()

    def run(self, rows: list[dict[str, Any]], **settings: Any) -> BackfillReport:
        """Run a backfill."""
        backfill = self._world.backfill(executor=self, **settings)
        backfill._timing = Timing(lambda: self._world.at, lambda: 1.0, self.take)
        return backfill.run(rows)


def test_retry_after_is_waited_for_with_all_workers_busy(world: World) -> None:
    """The place of the rows that were refused is not filled before."""
    world.transport.before = times(
        1, "companies.getByProductLink", lambda: ApiError.from_code("TOO_MANY_REQUESTS", retry_after=30.0)
    )
    slow = Slow(world, seconds=1.0)

    report = slow.run(customers(world, 200), workers=2)

    assert (report.done, report.failed) == (200, 0)
    assert slow.submitted_at[:2] == [1_000.0] * 2
    assert min(slow.submitted_at[2:]) >= 1_031.0


def test_rate_is_kept_with_all_workers_busy(world: World) -> None:
    """Time in which no worker is free is not made up for."""
    slow = Slow(world, seconds=10.0)

    assert slow.run(customers(world, 600), workers=3, rate=50).done == 600

    waits = [after - before for before, after in pairwise(slow.submitted_at)]
    assert min(waits) >= 1.0


@pytest.mark.parametrize("retry_after", [None, 1.0])
def test_busy_service_costs_no_row(world: World, retry_after: float | None) -> None:
    """A service that does 5 calls a second, and refuses the others, does all rows in time."""
    left, at = 5.0, world.at

    def answer(_: Call) -> ChatarminError | None:
        nonlocal left, at
        left, at = min(5.0, left + 5.0 * (world.at - at)), world.at
        if left < 1.0:
            return ApiError.from_code("TOO_MANY_REQUESTS", retry_after=retry_after)
        left -= 1.0
        return None

    world.transport.before = answer

    report = world.run([{"external_org_id": f"org_{number}", "name": "N"} for number in range(60)])

    assert (report.done, report.failed) == (60, 0)
    assert len(world.companies()) == 60


@pytest.mark.parametrize("code", ["TOO_MANY_REQUESTS", "SERVICE_UNAVAILABLE"])
def test_service_that_does_nothing_any_more_ends_the_run(world: World, code: str) -> None:
    """A row that is refused for overload fails only if no other one is done either."""
    done = 0

    def answer(call: Call) -> ChatarminError | None:
        nonlocal done
        done += call.path == "contacts.bulkUpsert"
        return ApiError.from_code(code) if done > 20 and call.path != "tiers.list" else None

    world.transport.before = answer

    report = world.run(customers(world, 100))

    assert (report.done, report.failed) == (20, 80)
    assert {row.code for row in report.failures} == {code}


def test_outage_does_not_gather_rows(world: World) -> None:
    """While nothing is answered, few rows wait to be tried again, however many there are."""
    read = 0

    def rows() -> Any:
        nonlocal read
        for read in range(1, 601):
            yield {"external_org_id": f"org_{read}", "name": "N"}

    until = 1_050.0  # no row has been tried 8 times
    highest = 0

    def answer(call: Call) -> ChatarminError | None:
        nonlocal highest
        if world.at >= until or call.path == "tiers.list":
            return None
        highest = max(highest, read)
        return ConnectionFailed("refused", outcome="not_sent")

    world.transport.before = answer

    report = world.run(rows(), workers=2)

    assert (report.total, report.done, len(world.companies())) == (600, 600, 600)
    assert highest <= 400  # 200 are read at once


@pytest.mark.parametrize("outcome", ["not_sent", "unknown"])
def test_rows_of_a_long_outage_fail_with_the_truth(world: World, outcome: Any) -> None:
    """Each row is tried 8 times; others do not wait for them: a missing answer does not slow the run down."""
    lost = {f"org_{number}" for number in range(0, 500, 5)}

    def answer(call: Call) -> ChatarminError | None:
        organisation = (call.input or {}).get("externalOrgId")
        return ConnectionFailed("refused", outcome=outcome) if organisation in lost else None

    world.transport.before = answer
    done_at: dict[int, float] = {}
    rows = [{"external_org_id": f"org_{number}", "name": "N"} for number in range(500)]

    report = world.backfill().run(rows, progress=lambda ended, _: done_at.setdefault(ended, world.at))

    failures = list(report.failures)
    assert {row.external_org_id for row in failures} == lost
    assert {(row.step, row.code, row.message) for row in failures} == {("look_up", outcome, "refused")}
    assert len(failures) == 100
    assert done_at[400] == 1_000.0


def test_rate_is_kept(world: World) -> None:
    """Rows are spread over the seconds, one at a time if the rate is low."""
    sent: list[float] = []
    world.transport.before = lambda call: sent.append(world.at) if "getBy" in call.path else None

    world.run(customers(world, 40), rate=4)
    assert [round(at - 1_000.0, 3) for at in sent] == [float(number // 4) for number in range(40)]

    sent.clear()
    began_at = world.at
    world.run(customers(world, 3), rate=0.5, checkpoint=world.folder / "slow")
    assert [round(at - began_at, 3) for at in sent] == [0.0, 2.0, 4.0]


def test_pace_grows_again() -> None:
    """After an overload the rate is half of the measured one, grows by a tenth of it a second, and ends at twice."""
    pace = Pace(None, now=0.0)
    assert pace.chunk == 50
    for _ in range(4):
        assert pace.wait(50, now=0.0) == 0.0
    pace.slow_down(sent_at=0.0, retry_after=0.0, now=2.0)  # 100 rows a second
    assert pace.wait(50, now=2.0) == 0.0
    assert pace.wait(50, now=2.0) == pytest.approx(1.0)
    pace.slow_down(sent_at=3.0, retry_after=0.0, now=3.0)
    assert pace.rate == pytest.approx(30.0)  # half of 60
    pace.slow_down(sent_at=3.0, retry_after=0.0, now=3.5)  # the same one
    for second in range(4, 20):
        pace.wait(0, now=float(second))
    assert pace.rate == pytest.approx(190.0)
    pace.wait(0, now=20.5)
    assert pace.rate == inf
    assert pace.wait(1_000, now=61.0) == 0.0
    assert pace.wait(0, now=61.0) == 0.0


def test_pace_grows_again_to_its_maximum() -> None:
    """The rate that counts is that of the rows, not the maximum, and no growth goes beyond it."""
    pace = Pace(10.0, now=0.0)
    for second in range(10):
        pace.wait(4, now=float(second))
    pace.slow_down(sent_at=9.0, retry_after=0.0, now=10.0)
    assert pace.rate == 2.0
    pace.wait(0, now=15.0)
    assert pace.rate == 4.0
    pace.wait(0, now=60.0)
    assert pace.rate == 10.0


def test_pace_grows_only_after_the_wait() -> None:
    """Five minutes of silence are no proof that the service can do more."""
    pace = Pace(100.0, now=0.0)
    pace.wait(100, now=0.0)
    pace.slow_down(sent_at=0.0, retry_after=300.0, now=1.0)
    assert pace.wait(0, now=1.0) == 300.0
    pace.wait(0, now=301.0)
    assert pace.rate == 50.0
    pace.wait(0, now=302.0)
    assert pace.rate == 60.0


def test_usual_rate_is_not_measured_again_at_once() -> None:
    """An overload right after the pace was unlimited again does not make the pace of that moment the usual one."""
    pace = Pace(None, now=0.0)
    pace.wait(1_000, now=0.0)
    pace.slow_down(sent_at=0.0, retry_after=0.0, now=1.0)
    pace.wait(0, now=100.0)
    assert pace.rate == inf
    pace.slow_down(sent_at=100.0, retry_after=0.0, now=100.1)
    assert pace.rate == 500.0


@pytest.mark.parametrize(("fraction", "share"), [(0.0, 0.99), (0.001, 0.7), (0.012, 0.15), (0.06, 0.05)])
def test_few_refusals_do_not_stop_a_run(fraction: float, share: float) -> None:
    """A service that refuses a fraction of all requests, at whatever rate, gets a share of the rows it could do."""
    assert _rows_done(Pace(None, now=0.0), fraction) >= share * _rows_done(Pace(None, now=0.0), 0.0)


def _rows_done(pace: Pace, fraction: float) -> int:
    """Return how many rows are done in five minutes by 16 workers, whose chunks of four requests take 0.4 seconds."""
    chance = random.Random(1)  # noqa: S311 - a test
    now, rows = 0.0, 0
    sent: list[tuple[float, float, int, bool]] = []
    while now < 300.0:
        size = pace.chunk
        at = now + pace.wait(size, now=now)
        while sent and (len(sent) >= 16 or sent[0][0] <= at):
            ends_at, sent_at, count, is_done = heappop(sent)
            now = max(now, ends_at)
            rows += count * is_done
            if not is_done:
                pace.slow_down(sent_at=sent_at, retry_after=0.0, now=now)
        now = max(now, at)
        heappush(sent, (now + 0.4, now, size, chance.random() < (1 - fraction) ** 4))
    return rows
