"""Processes of a backfill that are killed at random, and a service that fails: everything is there once."""

from __future__ import annotations

import kill_harness
import pytest
from backfill_clients import all_of
from kill_harness import ENGINES, Verdict, line, row

ROWS, KILLS = 600, 5


@pytest.mark.slow
@pytest.mark.parametrize(
    "engine", ["threads", "processes", pytest.param("dask", marks=pytest.mark.needs("dask"))], ids=ENGINES
)
def test_every_company_and_contact_is_there_once(engine: str) -> None:
    """The same command, started again after each kill, ends with everything done, and nothing is there twice."""
    verdict = kill_harness.run(engine, count=ROWS, kills=KILLS, seed=7)

    assert verdict.is_good, row(engine, verdict)
    assert verdict.kills >= 3
    assert verdict.counts["lookups"] > ROWS  # rows in flight were looked up again


def _verdict(**values: int) -> Verdict:
    return Verdict(1, 2, 3.0, {"lookups": 3}, all_of(2)._replace(**values), all_of(2))


@pytest.mark.parametrize(
    ("values", "missing", "twice"),
    [
        ({}, 0, 0),
        ({"companies": 3}, 0, 1),
        ({"contacts": 5}, 0, 1),
        ({"companies": 1, "organisations": 1}, 1, 0),
        ({"contacts": 3, "addresses": 3}, 1, 0),
        ({"tiers": 1}, 1, 0),
    ],
    ids=["all", "company-twice", "contact-twice", "company-missing", "contact-missing", "tier-missing"],
)
def test_verdict_compares_the_service_with_the_rows(values: dict[str, int], missing: int, twice: int) -> None:
    """A company, a contact or a tier that is missing is shown, and one that is there twice."""
    verdict = _verdict(**values)

    assert (verdict.missing, verdict.twice, verdict.is_good) == (missing, twice, not missing and not twice)
    assert row("threads", verdict).endswith("FAILED") == (not verdict.is_good)


@pytest.mark.parametrize(("values", "code"), [({}, 0), ({"companies": 3}, 1)])
def test_command_ends_with_one_if_an_engine_fails(
    values: dict[str, int], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table has a line for each engine that was asked for."""
    verdict = _verdict(**values)

    assert kill_harness.main(["threads", "dask"], run_engine=lambda *_, **__: verdict) == code
    assert row("dask", verdict) in capsys.readouterr().out
    assert len(line(kill_harness.HEADER).split()) == len(row("dask", _verdict()).split())


def test_command_refuses_unknown_engines() -> None:
    """The error names them."""
    with pytest.raises(SystemExit, match="2"):
        kill_harness.main(["ray"])
