"""Processes of a backfill that are killed at random, and a service that fails: everything is there once."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import kill_harness
import kill_moments
import pytest
from backfill_clients import all_of, found_in, write_settings
from kill_harness import ENGINES, Verdict, line, row
from kill_moments import FATAL_NOTE, MOMENTS

if TYPE_CHECKING:
    from serving import FakeServer

    from chatarmin_os.fake import FakeTransport

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


def _run_until(moment: str, settings: Path) -> subprocess.CompletedProcess[str]:
    program = [
        sys.executable,
        str(Path(kill_moments.__file__)),
        moment,
        str(settings),
        str(settings.with_name("state")),
        "330",
    ]
    return subprocess.run(program, capture_output=True, text=True, check=False)  # noqa: S603 - our own program


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS[:-1])
def test_kill_at_each_moment_costs_nothing(
    moment: str, fake_server: FakeServer, service: FakeTransport, tmp_path: Path
) -> None:
    """The next run does the rest; committed rows are skipped, and a rehearsal has changed nothing."""
    settings = write_settings(tmp_path, fake_server.add(service), fake_server.url)
    killed = _run_until(moment, settings)
    before = found_in(service.snapshot())
    ended = _run_until("never", settings)

    assert killed.returncode == -signal.SIGKILL, killed
    assert (before == all_of(0)) == (not moment.endswith("commit"))
    assert found_in(service.snapshot()) == all_of(330)
    done, skipped = map(int, ended.stdout.split())
    noted = {"before-commit": FATAL_NOTE - 1, "after-commit": FATAL_NOTE}.get(moment, 0)
    assert done + skipped == 330
    assert (skipped > 0) == (noted > 0)
    assert not skipped or (noted - 1) * 50 < skipped <= noted * 50


@pytest.mark.slow
def test_checkpoint_of_a_killed_run_is_free(fake_server: FakeServer, service: FakeTransport, tmp_path: Path) -> None:
    """A second run is refused while the first one has the checkpoint, and does everything after it was killed."""
    settings = write_settings(tmp_path, fake_server.add(service), fake_server.url)
    program = [sys.executable, str(Path(kill_moments.__file__)), "waits", str(settings), str(tmp_path / "state"), "330"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:  # noqa: S603 - our own program
        assert holder.stdout
        assert holder.stdout.readline() == b"waiting\n"
        refused = _run_until("never", settings)
        holder.kill()
        holder.wait()
        ended = _run_until("never", settings)

    assert "another run uses this checkpoint; wait until it has ended" in refused.stderr
    assert ended.stdout.split() == ["330", "0"]
    assert found_in(service.snapshot()) == all_of(330)


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
