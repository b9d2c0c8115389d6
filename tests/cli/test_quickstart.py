"""`chatarmin-os quickstart`, --version, and `python -m chatarmin_os`."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from chatarmin_os import __main__, __version__, cli
from chatarmin_os.cli import main

if TYPE_CHECKING:
    from pathlib import Path


def _document(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["quickstart", "--json"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_quickstart_prints_the_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    """The steps have the real results, a refusal beyond the limit among them, and a table follows."""
    code = main(["quickstart"])

    printed, errors = capsys.readouterr()
    assert (code, errors) == (0, "")
    assert "link_status 'linked'" in printed
    assert "link_status 'created'" in printed
    assert "UsageLimitError: PRECONDITION_FAILED" in printed
    assert printed.count("current_usage 60, remaining 40") == 2
    assert "can_use True, current_usage 100, quantity_limit 10000" in printed
    assert printed.splitlines()[-1].split() == ["Bolt", "Ltd", "org_bolt", "Pro", "4", "100", "10000"]


def test_quickstart_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """The output is ASCII in at most 100 columns."""
    main(["quickstart"])

    printed = capsys.readouterr().out
    assert printed.isascii()
    assert max(map(len, printed.splitlines())) <= 100


def test_quickstart_json_has_the_same_steps(capsys: pytest.CaptureFixture[str]) -> None:
    """The JSON document has the printed steps and the rows of the table."""
    document = _document(capsys)
    main(["quickstart"])

    printed = " ".join(capsys.readouterr().out.split())
    for step in document["steps"]:
        for text in step.values():
            assert " ".join(text.split()) in printed
    assert [row["company"] for row in document["companies"]] == ["Acme GmbH", "Bolt Ltd"]


def test_quickstart_counts_a_repeated_event_once(capsys: pytest.CaptureFixture[str]) -> None:
    """The same event sent twice has the same result twice."""
    steps = _document(capsys)["steps"]

    once, again = (step["outcome"] for step in steps if "job-1" in step["call"])
    assert once == again


def test_quickstart_calls_methods_of_the_client(capsys: pytest.CaptureFixture[str]) -> None:
    """Each printed call begins with a method of the client."""
    from chatarmin_os import ChatarminOS

    for step in _document(capsys)["steps"]:
        method: Any = ChatarminOS.in_memory()
        for name in step["call"].partition("(")[0].split(".")[1:]:
            method = getattr(method, name)
        assert callable(method)


@pytest.mark.parametrize(
    "wrong", [[], ["quickstrat"], ["quickstart", "--jsno"]], ids=["no-command", "unknown-command", "unknown-option"]
)
def test_wrong_usage_exits_2(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The error and the usage are printed to standard error."""
    with pytest.raises(SystemExit) as ended:
        main(wrong)

    assert ended.value.code == 2
    assert "usage: chatarmin-os" in capsys.readouterr().err


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    """--version prints the name and the version."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])

    assert ended.value.code == 0
    assert capsys.readouterr().out == f"chatarmin-os {__version__}\n"


def test_module_runs_the_command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m chatarmin_os quickstart` is `chatarmin-os quickstart`."""
    monkeypatch.setattr(sys, "argv", ["chatarmin_os", "quickstart", "--json"])
    monkeypatch.delitem(sys.modules, "chatarmin_os.__main__")  # it runs as a program, not as an imported module

    with pytest.raises(SystemExit) as ended:
        runpy.run_module("chatarmin_os", run_name="__main__")

    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["steps"]


def test_quickstart_ends_at_a_closed_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """`chatarmin-os quickstart | head -1` exits with 0, also if the rest is written at exit."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", encoding="utf-8") as closed:  # noqa: PTH123 - a descriptor, no path
        monkeypatch.setattr(sys, "stdout", closed)

        assert main(["quickstart"]) == 0


def test_entry_point_exits_130_at_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C outside of a command ends without a traceback, too."""

    def interrupt() -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "main", interrupt)

    assert __main__.main() == 130


@pytest.mark.skipif(os.name == "nt", reason="this system has no signal of Ctrl-C for one process")
@pytest.mark.parametrize("module", ["chatarmin_os.cli", "argparse", "chatarmin_os.cli.service"])
def test_interrupt_during_the_import_has_no_traceback(tmp_path: Path, module: str) -> None:
    """Ctrl-C while the modules of the command line are imported exits with 130 and prints nothing."""
    code = (
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}:\n"
        "            signal.raise_signal(signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupting())\n"
    )
    (tmp_path / "sitecustomize.py").write_text(code, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "chatarmin_os", "quickstart"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603

    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
