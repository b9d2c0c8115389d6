"""Progress is a bar on a terminal, and lines elsewhere."""

from __future__ import annotations

import io
import sys
from itertools import repeat
from typing import TYPE_CHECKING

import pytest
from backfill_world import World

from chatarmin_os.backfill.progress import Lines, shown

if TYPE_CHECKING:
    from pathlib import Path


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


def test_line_is_written_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    """It has the rows, of all rows if their number is known, and the seconds."""
    at = 0.0
    lines = Lines(lambda: at)
    for at, total in ((9.0, None), (10.0, None), (15.0, 5_000), (21.0, 5_000)):
        lines(int(at * 100), total)

    assert capsys.readouterr().err == "1,000 rows in 10 seconds\n2,100 of 5,000 rows in 21 seconds\n"


def test_bar_is_shown_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends at the number of rows that have ended."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)

    with shown(True) as show:
        show(3, None)
        show(7, 10)

    assert "7.00/10.0" in stream.getvalue()


def test_lines_take_the_place_of_a_bar_without_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra may be missing, and so may standard error."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with shown(True) as show:
        assert isinstance(show, Lines)

    monkeypatch.setattr(sys, "stderr", None)
    with shown(True) as show:
        assert isinstance(show, Lines)
        show(1, None)


@pytest.mark.parametrize("progress", [None, False])
def test_progress_may_be_left_out(progress: bool | None, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: FBT001
    """Nothing is written."""
    with shown(progress) as show:
        show(1, 2)
    assert capsys.readouterr() == ("", "")


def test_progress_is_shown_while_rows_are_skipped_or_refused(tmp_path: Path) -> None:
    """Also without a row to be sent: a file of a million rows that are done takes a while."""
    world = World(tmp_path)
    rows = [{"external_org_id": f"org_{number}", "name": "N"} for number in range(500)]
    world.run(rows)
    seen: list[int] = []

    world.backfill().run(iter(rows), progress=lambda ended, _: seen.append(ended))
    assert {200, 400, 500} <= {*seen}

    seen.clear()
    world.backfill().run(({"external_org_id": "org"} for _ in range(500)), progress=lambda ended, _: seen.append(ended))
    assert {200, 400, 500} <= {*seen}


def test_endless_refused_rows_can_be_ended_by_progress(tmp_path: Path) -> None:
    """An error of the function ends the run."""

    def stop(ended: int, _: int | None) -> None:
        if ended > 1_000:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        World(tmp_path).backfill().run(repeat({"external_org_id": 5}), progress=stop)
