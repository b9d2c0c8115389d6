"""Random scenarios against the service that was recorded: nothing may drift."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from random_scenarios import check_day, check_sequence

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("is_late", "is_redacted"),
    [(False, False), (True, False), (False, True)],
    ids=["whole", "signed-up-before", "redacted"],
)
def test_day_of_an_application_does_not_drift(tmp_path: Path, *, is_late: bool, is_redacted: bool) -> None:
    """The prologue shows everything that the calls of customers depend on."""
    reports = [check_day(seed, tmp_path / "day.jsonl", is_late=is_late, is_redacted=is_redacted) for seed in range(40)]

    assert [report for report in reports if report.is_drift] == []
    assert [call.unknown for report in reports for call in report.calls if call.unknown] == []


def test_sequence_of_random_calls_seldom_drifts(tmp_path: Path) -> None:
    """Unlinked companies with similar names are unknown until a call shows them, so a few sequences drift."""
    reports = [check_sequence(seed, tmp_path / "sequence.jsonl") for seed in range(40)]
    calls = [call for report in reports for call in report.calls]

    assert sum(report.is_drift for report in reports) <= 2
    assert sum(call.unknown is not None for call in calls) < 0.03 * len(calls)
