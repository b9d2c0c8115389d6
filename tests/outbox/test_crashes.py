"""Processes that are killed, threads that fork, and disks that fail: no event is missing, none counts twice."""

from __future__ import annotations

from typing import Any

import crash_harness
import pytest
from crash_harness import NEEDS, SCENARIOS
from crash_verdict import HEADER, Verdict, judge, line, row

SEED = "--seed=7"


def _marked(scenario: str) -> Any:
    place, _ = SCENARIOS[scenario]
    marks = [pytest.mark.needs(NEEDS[place])] if place in NEEDS else []
    return pytest.param(scenario, marks=marks)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", [_marked(scenario) for scenario in SCENARIOS])
def test_nothing_is_missing_and_nothing_counts_twice(scenario: str) -> None:
    """Each acknowledged event is counted once, and none is left; some events were sent twice, or given up."""
    if reason := crash_harness.why_not(scenario):
        pytest.skip(reason)

    found = crash_harness.run(scenario, "--small", SEED)

    assert isinstance(found, Verdict), found
    assert found.is_good, row(scenario, found)
    assert found.sent > found.counted or found.dead  # after a day an event is not sent again


@pytest.mark.slow
@pytest.mark.parametrize(("plant", "column"), [("loss", "missing"), ("double", "twice")])
def test_harness_shows_a_planted_defect(plant: str, column: str) -> None:
    """The verdict fails if producers acknowledge what they did not put, or the service remembers no keys."""
    found = crash_harness.run("sqlite-kills", "--small", SEED, f"--plant={plant}")

    assert isinstance(found, Verdict), found
    assert not found.is_good
    assert getattr(found, column) > 0


ONCE = {"one": 1, "two": 1}


@pytest.mark.parametrize(
    ("acknowledged", "counts", "values", "columns"),
    [
        (["one", "two"], ONCE, {}, {"is_good": True, "acknowledged": 2, "counted": 2}),
        (["one"], ONCE, {}, {"is_good": True, "acknowledged": 1, "counted": 2}),
        (["one", "two", "three"], ONCE, {}, {"is_good": False, "missing": 1}),
        (["one", "two"], {"one": 2, "two": 3}, {}, {"is_good": False, "twice": 2}),
        (["one"], {"one": 1, "two": 2}, {}, {"is_good": False, "twice": 1}),
        (["one", "dead"], ONCE, {"dead": {"dead"}}, {"is_good": False, "missing": 1, "dead": 1}),
        (["one"], ONCE, {"dead": {"two"}}, {"is_good": False, "missing": 0, "dead": 1}),
        (["one", "dead"], ONCE, {"dead": {"dead"}, "can_die": True}, {"is_good": True, "missing": 0, "dead": 1}),
        (["one", "other"], ONCE, {"dead": {"dead"}, "can_die": True}, {"is_good": False, "missing": 1}),
        (["one"], ONCE, {"left": 1}, {"is_good": False, "left": 1}),
        (["one"], ONCE, {"failed": 1}, {"is_good": False, "failed": 1}),
        ([], {}, {}, {"is_good": False}),
    ],
    ids=[
        "all",
        "not-acknowledged",
        "missing",
        "twice",
        "not-acknowledged-twice",
        "dead",
        "not-acknowledged-dead",
        "may-be-dead",
        "dead-and-missing",
        "left",
        "failed",
        "nothing",
    ],
)
def test_verdict_compares_what_was_acknowledged_with_what_was_counted(
    acknowledged: list[str], counts: dict[str, int], values: dict[str, Any], columns: dict[str, int]
) -> None:
    """Nothing may be missing, twice, left, failed or, in most scenarios, dead."""
    verdict = judge(acknowledged, counts, **values)

    assert {name: getattr(verdict, name) for name in columns} == columns


def test_table_shows_failures() -> None:
    """A row has a cell for each heading, and says so if the scenario failed."""
    good, bad = judge(["one"], ONCE), judge(["one"], {"one": 2})

    assert len(row("name", good).split()) == len(line(HEADER).split()) == len(HEADER)
    assert row("name", bad).endswith("FAILED")


def test_command_refuses_unknown_scenarios() -> None:
    """The error names them."""
    with pytest.raises(SystemExit, match="2"):
        crash_harness.main(["other-kills"])


@pytest.mark.parametrize(("found", "code"), [(judge(["one"], ONCE), 0), (judge(["one"], {}), 1), ("Traceback", 1)])
def test_command_ends_with_one_if_a_scenario_fails(
    found: Verdict | str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table has what was found, or the output of a harness that failed."""
    with pytest.raises(SystemExit) as caught:
        crash_harness.main(["sqlite-kills", "sqlite-days"], run_scenario=lambda *_: found)

    assert caught.value.code == code
    printed = capsys.readouterr().out
    assert (found if isinstance(found, str) else row("sqlite-days", found)) in printed
