"""The report of a run: its failed rows, as long as the checkpoint has them, and their file."""

from __future__ import annotations

import os
import re
import threading
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from backfill_world import World
from customer_files import read

from chatarmin_os import ChatarminError, ContactInput, InvalidInput
from chatarmin_os.backfill import Row
from chatarmin_os.backfill.row import row_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROWS = [
    {"external_org_id": "org_1", "name": "Acme Inc", "tier_code": "gold"},
    {"external_org_id": "org_2", "name": "Bolt Ltd"},
]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a world without customers."""
    return World(tmp_path)


def names(folder: Path) -> set[str]:
    """Return the names of the files of a folder."""
    return {path.name for path in folder.iterdir()}


def test_failures_can_be_read_many_times(world: World) -> None:
    """A run that did not get far takes nothing away from the report of the one before."""
    report = world.run(ROWS)

    def broken() -> Any:
        yield ROWS[0]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        world.run(broken())

    assert [row.line for row in report.failures] == [row.line for row in report.failures] == [1]


def test_failures_of_an_old_run_are_an_error(world: World, tmp_path: Path) -> None:
    """They are not shown as none: a later run has tried the rows again."""
    old = world.run(ROWS)
    new = world.run(ROWS)

    with pytest.raises(ChatarminError, match="a later run has ended; its report has the rows that failed"):
        list(old.failures)
    with pytest.raises(ChatarminError, match="a later run has ended"):
        old.write_failed(tmp_path / "failed")
    assert names(tmp_path) == {"checkpoint"}
    assert [row.line for row in new.failures] == [1]


def test_failures_of_a_removed_checkpoint_are_an_error(world: World) -> None:
    """No empty checkpoint is made in its place."""
    report = world.run(ROWS)
    world.checkpoint.unlink()

    with pytest.raises(ChatarminError, match="it was removed, and with it the rows that failed"):
        list(report.failures)
    assert names(world.folder) == set()


def test_report_without_failures_needs_no_checkpoint(world: World, tmp_path: Path) -> None:
    """There are none, whatever became of the file."""
    report = world.run(ROWS[1:])
    world.checkpoint.unlink()

    report.write_failed(tmp_path / "failed")

    assert list(report.failures) == []
    assert (tmp_path / "failed").read_bytes() == b""


@pytest.mark.parametrize("dry_run", [False, True])
def test_checkpoint_is_not_overwritten_by_failed_rows(world: World, tmp_path: Path, dry_run: bool) -> None:  # noqa: FBT001
    """Not through a link either."""
    world.run(ROWS)
    content = world.checkpoint.read_bytes()
    report = world.run(ROWS, dry_run=dry_run)
    (tmp_path / "link").symlink_to(world.checkpoint)

    for path in (world.checkpoint, str(world.checkpoint), tmp_path / "link"):
        with pytest.raises(InvalidInput, match="path: it is the checkpoint; pass another file"):
            report.write_failed(path)

    assert not dry_run or world.checkpoint.read_bytes() == content
    assert world.run(ROWS).skipped == 1


@pytest.mark.parametrize("path", [None, 5, "", b"failed", "a\0b"])
def test_path_of_failed_rows_has_to_be_one(world: World, path: Any) -> None:
    """The argument is named."""
    report = world.run(ROWS)

    with pytest.raises(InvalidInput, match="path: expected the path of a file"):
        report.write_failed(path)


class Addresses:
    """A query of Django: iterable, and its text shows only some of its items."""

    def __iter__(self) -> Iterator[str]:
        """Return the addresses."""
        return iter(["ann@a.example", "bob@a.example"])


@pytest.mark.parametrize("name", ["failed.csv", "failed.tsv", "failed.jsonl", "failed"])
def test_failed_rows_of_a_program_are_complete(world: World, tmp_path: Path, name: str) -> None:
    """Whatever the types of their values are, and whichever step fails."""
    since = datetime(2024, 1, 15, 12, 30, tzinfo=UTC)
    people: list[Any] = [ContactInput(email="ann@a.example", role="CEO"), "bob@a.example"]
    rows: list[Any] = [
        {"external_org_id": "org_1", "name": "Acme", "tier_code": "gold", "contacts": people, "created_at": since},
        Row("org_2", "Bolt", tier_code="gold", contacts=people),
        MappingProxyType({"external_org_id": UUID(int=3), "name": "", "contacts": Addresses(), "created_at": since}),
        {"external_org_id": "org_4", "name": "", "contacts": people},
    ]
    report = world.run(rows)
    assert [(row.line, row.code) for row in report.failures] == [
        (1, "NOT_FOUND"),
        (2, "NOT_FOUND"),
        (3, "INVALID"),
        (4, "INVALID"),
    ]

    report.write_failed(tmp_path / name)

    assert read(tmp_path / name)[:2] == [row_of(rows[0]), rows[1]]
    corrected = (tmp_path / name).read_text().replace('"name": ""', '"name": "N"')
    corrected = re.sub(rf"^({UUID(int=3)}|org_4),,", r"\1,N,", corrected, flags=re.MULTILINE)
    corrected = re.sub(rf'^("{UUID(int=3)}"|"org_4")\t""', r'\1\t"N"', corrected, flags=re.MULTILINE)
    (tmp_path / name).write_text(corrected)
    assert read(tmp_path / name)[2:] == [
        Row(UUID(int=3), "N", contacts=["ann@a.example", "bob@a.example"], created_at=since),
        Row("org_4", "N", contacts=people),
    ]


def test_failed_rows_are_private(world: World, tmp_path: Path) -> None:
    """Whatever was there before, and however long its name is."""
    path = tmp_path / ("f" * 240)
    path.write_text("old")
    path.chmod(0o644)

    world.run(ROWS).write_failed(path)

    assert path.stat().st_mode & 0o777 == 0o600
    assert b"gold" in path.read_bytes()
    assert names(tmp_path) == {"checkpoint", path.name}


def test_failed_rows_follow_a_link(world: World, tmp_path: Path) -> None:
    """The link stays."""
    (tmp_path / "link").symlink_to(tmp_path / "target")

    world.run(ROWS).write_failed(tmp_path / "link")

    assert (tmp_path / "link").is_symlink()
    assert b"gold" in (tmp_path / "target").read_bytes()


@pytest.mark.parametrize("name", ["", "missing/failed"])
def test_file_that_cannot_be_written_leaves_nothing_behind(world: World, tmp_path: Path, name: str) -> None:
    """A folder, or a file in one that is missing."""
    report = world.run(ROWS)
    folder = tmp_path / "folder"
    folder.mkdir()

    with pytest.raises(OSError, match="folder"):
        report.write_failed(folder / name)

    assert names(folder) == set()
    assert names(tmp_path) == {"checkpoint", "folder"}


def test_failed_rows_can_be_written_to_a_pipe(world: World, tmp_path: Path) -> None:
    """It is not replaced by a file: nor is /dev/stdout."""
    path, read = tmp_path / "pipe", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()), daemon=True)
    reader.start()

    world.run(ROWS).write_failed(path)
    reader.join()

    assert b"gold" in read[0]
    assert path.is_fifo()
