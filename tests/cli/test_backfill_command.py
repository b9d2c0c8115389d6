"""`chatarmin-os backfill`: a file, a dry run, a report, the rows that failed, and exit codes."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from chatarmin_os import ChatarminOS
from chatarmin_os.cli import main
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.server import serve_fake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = "os_sk_backfill_secret"
ROWS = "id,Company,tier_code\norg_1,Acme Inc,free\norg_2,,free\norg_3,Bolt Ltd,gold\n"
MAP = ("--map", "id=external_org_id")


@pytest.fixture(scope="module")
def service() -> Iterator[tuple[FakeTransport, str]]:
    """Serve a fake for all tests of this file; each one starts with an empty product."""
    fake = FakeTransport(demo_catalogue())
    with serve_fake({KEY: fake}) as url:
        yield fake, url


@pytest.fixture
def fake(service: tuple[FakeTransport, str]) -> FakeTransport:
    """Return the empty fake."""
    service[0].reset()
    service[0].calls.clear()
    return service[0]


@pytest.fixture
def run(
    service: tuple[FakeTransport, str],
    fake: FakeTransport,  # noqa: ARG001 - it is empty now
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs the command in a folder with `customers.csv`: its code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OS_API_KEY", KEY)
    monkeypatch.setenv("OS_BASE_URL", service[1])
    (tmp_path / "customers.csv").write_text(ROWS)

    def run(*arguments: str, file: str = "customers.csv", checkpoint: str = "checkpoint") -> tuple[int, str, str]:
        code = main(["backfill", file, "--checkpoint", checkpoint, *arguments])
        return code, *capsys.readouterr()

    return run


def test_file_is_brought_in(run: Any, fake: FakeTransport, tmp_path: Path) -> None:
    """The report has counts and failures; the rows that failed are written; the same command goes on."""
    code, output, errors = run(*MAP, "--failed", "failed.csv")

    assert (code, errors) == (1, "")
    assert output.splitlines()[1:5] == [
        "  1 done",
        "  0 were done before",
        "  2 failed",
        "line 3: column 'Company' (name): must not be empty",
    ]
    assert output.splitlines()[5].startswith("line 4: tier: NOT_FOUND: tier_code: no tier 'gold' in this product; its")
    assert (tmp_path / "failed.csv").read_text().splitlines()[0] == "id,Company,tier_code,error"
    assert [company["name"] for company in fake.snapshot()["companies"]] == ["Acme Inc"]

    (tmp_path / "customers.csv").write_text(ROWS.replace(",,", ",C,").replace("gold", "pro"))
    code, output, _ = run(*MAP, "--json")
    document = json.loads(output)
    assert code == 0
    assert document.pop("seconds") >= 0
    counts = {"total": 3, "done": 2, "skipped": 1, "failed": 0, "kept_tiers": 0}
    assert document == counts | {"dry_run": False, "failures": []}


def test_dry_run_reports_a_plan(run: Any, fake: FakeTransport, tmp_path: Path) -> None:
    """Nothing changes: neither the service nor the folder."""
    code, output, _ = run(*MAP, "--dry-run", "--mode", "onboard")

    assert code == 1
    assert "  1 would be done\n" in output
    assert "  2 would fail\n" in output
    assert "organisations to match, or to create a company for: 1\ntiers to apply: 1\n" in output
    assert "--failed FILE writes the rows that failed" in output
    assert fake.snapshot()["companies"] == []
    assert list(tmp_path.iterdir()) == [tmp_path / "customers.csv"]
    assert json.loads(run(*MAP, "--dry-run", "--json")[1])["plan"] == {"create": 1, "tier": 1}


def test_tiers_that_are_not_applied_are_counted(run: Any, fake: FakeTransport, tmp_path: Path) -> None:
    """A company that has features keeps them, and the report says so."""
    ChatarminOS(transport=fake).onboard(external_org_id="org_1", tier_code="free")
    (tmp_path / "customers.csv").write_text("external_org_id,name,tier_code\norg_1,Acme Inc,pro\n")

    output = run("--dry-run")[1]

    assert "companies that keep their features, and get no tier without --apply-tier: 1\n" in output


def test_only_the_first_failures_are_shown(run: Any, tmp_path: Path) -> None:
    """The others are counted."""
    (tmp_path / "customers.csv").write_text("external_org_id,name\n" + "org,\n" * 15)
    code, output, _ = run()
    assert code == 1
    assert output.count("must not be empty") == 10
    assert "and 5 more\n" in output


def test_line_of_a_failure_is_short_and_complete(run: Any, fake: FakeTransport, monkeypatch: Any) -> None:
    """The file and the line are not repeated; a step and a code are shown unless the row is invalid."""
    rows = "external_org_id,name,contacts\norg_1,Acme\norg_2,Bolt,Bob\norg_3,Cone,\norg_3,Cone,\norg_4,Dot,d@e\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(rows.encode())))
    output = run(file="-")[1]

    lines = [line.partition(";")[0] for line in output.splitlines()[4:]]
    assert lines == [
        "line 2: expected 3 cells, got 2",
        "line 3: column 'contacts' (contacts[0].email): not an e-mail address, got str 'Bob'",
        "line 5: read: CONFLICT: external_org_id: line 4 has the same one",
        "line 6: contacts: BAD_REQUEST: contacts[0].email: expected an e-mail address such as ann@acme.com, got 'd@e'",
        "--failed FILE writes the rows that failed, to be corrected",
    ]
    assert len(fake.snapshot()["companies"]) == 2


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "customers.csv, line 1: no column is certain to be external_org_id; map one"),
        ((*MAP, "--rate", "0"), "--rate: expected a number above 0"),
        ((*MAP, "--workers", "0"), "--workers: expected an int from 1 to 1,000"),
        (("--map", "id=org"), "--map.id: no such field, got str 'org'; allowed: external_org_id, name, domain,"),
        ((*MAP, "--failed", "customers.csv"), "--failed customers.csv: it is FILE, too"),
        ((*MAP, "--failed", "checkpoint"), "--failed checkpoint: it is --checkpoint, too"),
        ((*MAP, "--failed", "checkpoint-wal"), "--failed checkpoint-wal: it is --checkpoint, too"),
        ((*MAP, "--failed", "key", "--api-key-file", "key"), "--failed key: it is --api-key-file, too"),
        ((*MAP, "--failed", "./key", "--api-key-file", "key"), "--failed ./key: it is --api-key-file, too"),
        ((*MAP, "--api-key-file", "checkpoint"), "--api-key-file checkpoint: it is --checkpoint, too"),
        ((*MAP, "--api-key-file", "customers.csv"), "--api-key-file customers.csv: it is FILE, too"),
        ((*MAP, "--failed", "."), "--failed .: pass the path of a file"),
        ((*MAP, "--failed", "-"), "--failed -: pass the path of a file"),
        ((*MAP, "--failed", "missing/failed.csv"), "--failed missing/failed.csv: there is no such folder"),
        (
            (*MAP, "--dask", "tcp://a:1", "--api-key-file", "key"),
            "--api-key-file: workers of a cluster read OS_API_KEY",
        ),
    ],
)
def test_wrong_usage_is_one_line(
    run: Any, arguments: tuple[str, ...], problem: str, fake: FakeTransport, tmp_path: Path
) -> None:
    """The exit code is 2, nothing is sent, and nothing is written."""
    code, output, errors = run(*arguments)
    assert (code, output) == (2, "")
    assert problem in errors
    assert errors.count("\n") == 1
    assert fake.calls == []
    assert [path.name for path in tmp_path.iterdir()] == ["customers.csv"]  # no checkpoint either


def test_mapping_has_two_sides(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """`COLUMN=` ignores a column, and a text without = is refused."""
    assert run(*MAP, "--map", "tier_code=")[1].splitlines()[1] == "  2 done"
    with pytest.raises(SystemExit):
        run("--map", "id")
    assert "expected COLUMN=FIELD, got 'id'" in capsys.readouterr().err


def test_refused_key_and_outage_have_codes(run: Any, fake: FakeTransport) -> None:
    """1: the service refused the key; 3: a dry run got no response."""
    fake.fail("tiers.list", error="UNAUTHORIZED")
    code, _, errors = run(*MAP)
    assert code == 1
    assert "UNAUTHORIZED" in errors
    assert KEY not in errors

    code, _, errors = run(*MAP, "--dry-run", "--base-url", "http://127.0.0.1:9/api/v1", checkpoint="other")
    assert code == 3
    assert "could not reach the service" in errors


def test_ctrl_c_says_how_to_go_on(run: Any, fake: FakeTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit code is 130, and the same command ends the rest."""
    from chatarmin_os.backfill.checkpoint import Checkpoint

    note = Checkpoint.note

    def press(*arguments: Any) -> None:
        monkeypatch.setattr(Checkpoint, "note", note)
        note(*arguments)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Checkpoint, "note", press)
    code, _, errors = run(*MAP)
    assert code == 130
    assert "run the same command again: rows that are done are skipped" in errors

    assert run(*MAP)[1].splitlines()[1] == "  1 done"
    assert len(fake.snapshot()["companies"]) == 1


def test_failing_checkpoint_is_one_line(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk ends the run, and the message says how to go on."""
    from chatarmin_os._sqlite_errors import DiskFullError

    def fail(*_: Any) -> None:
        raise DiskFullError("the disk is full")

    monkeypatch.setattr("chatarmin_os.backfill.checkpoint._set_fact", fail)
    code, _, errors = run(*MAP)
    assert code == 3
    assert errors.splitlines() == [
        "chatarmin-os: checkpoint: the disk is full",
        "  run the same command again: rows that are done are skipped",
    ]


def test_dask_may_be_missing(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the extra."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    code, _, errors = run(*MAP, "--dask", "tcp://127.0.0.1:9")
    assert code == 2
    assert errors == "chatarmin-os: --dask: Dask is not installed; pip install 'chatarmin-os[dask]'\n"


def test_standard_input_is_the_key_or_the_file(run: Any, fake: FakeTransport) -> None:
    """A reader of the key would take rows along."""
    code, _, errors = run("--api-key-file", "-", file="-")
    assert (code, fake.calls) == (2, [])
    assert "standard input cannot be both the API key and FILE" in errors


def test_folder_without_permission_is_refused(run: Any, fake: FakeTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the run: root may write everywhere, so that the question is replaced."""
    monkeypatch.setattr("os.access", lambda *_: False)
    code, _, errors = run(*MAP, "--failed", "failed.csv")
    assert (code, fake.calls) == (2, [])
    assert errors == "chatarmin-os: --failed failed.csv: no permission to write there\n"


def test_report_is_printed_if_failed_rows_cannot_be_written(
    run: Any, fake: FakeTransport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk may be full; a file of an earlier run stays as it is, and no half of one is left."""

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "failed.csv").write_text("earlier")
    monkeypatch.setattr("os.replace", fail)
    code, output, errors = run(*MAP, "--failed", "failed.csv", "--json")
    assert (code, json.loads(output)["done"], len(fake.snapshot()["companies"])) == (3, 1, 1)
    assert errors.splitlines() == [
        "chatarmin-os: --failed failed.csv: No space left on device",
        "  pass another file, and run the same command again: rows that failed are tried again",
    ]
    assert (tmp_path / "failed.csv").read_text() == "earlier"
    assert {path.name for path in tmp_path.iterdir()} == {"customers.csv", "checkpoint", "failed.csv"}


def test_device_is_written_to_and_no_file_next_to_it(run: Any, tmp_path: Path) -> None:
    """A named pipe stays one, and a file whose name has an end more is left alone; it may be FILE."""
    (tmp_path / "failed.csv.new").write_text(ROWS)
    os.mkfifo(tmp_path / "pipe")
    read: list[str] = []
    thread = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_text()))
    thread.start()
    run(*MAP, "--failed", "pipe", file="failed.csv.new")
    thread.join()
    run(*MAP, "--failed", "failed.csv", file="failed.csv.new")

    assert read[0].startswith("id,Company,tier_code,error\norg_2,,free,")
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "failed.csv.new").read_text() == ROWS
    assert (tmp_path / "failed.csv").read_text() == read[0]
    assert (tmp_path / "failed.csv").stat().st_mode & 0o777 == 0o600
