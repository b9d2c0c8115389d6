"""The command line does what its help says."""

from __future__ import annotations

import json
import os
import runpy
import sys
from typing import Any

import pytest

from chatarmin_os import __version__
from chatarmin_os.cli import main


def _told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["quickstart", "--json"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


def test_quickstart_tells_the_story_and_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    """It says what happens, with the real refusal past the limit, and ends with a table."""
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
    """No line is wider than a hundred columns, and any terminal can show it."""
    main(["quickstart"])

    printed = capsys.readouterr().out
    assert printed.isascii()
    assert max(map(len, printed.splitlines())) <= 100


def test_json_is_the_same_story(capsys: pytest.CaptureFixture[str]) -> None:
    """The JSON document has every step that is printed, and the rows of the table."""
    told = _told(capsys)
    main(["quickstart"])

    printed = " ".join(capsys.readouterr().out.split())
    for step in told["steps"]:
        for text in step.values():
            assert " ".join(text.split()) in printed
    assert [row["company"] for row in told["companies"]] == ["Acme GmbH", "Bolt Ltd"]


def test_the_same_event_counts_once_in_the_story(capsys: pytest.CaptureFixture[str]) -> None:
    """What was sent twice has the same outcome twice."""
    steps = _told(capsys)["steps"]

    once, again = (step["outcome"] for step in steps if "job-1" in step["call"])
    assert once == again


def test_calls_of_the_story_name_methods_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    """What is shown as a call begins with a method of the client."""
    from chatarmin_os import ChatarminOS

    for step in _told(capsys)["steps"]:
        method: Any = ChatarminOS.in_memory()
        for name in step["call"].partition("(")[0].split(".")[1:]:
            method = getattr(method, name)
        assert callable(method)


@pytest.mark.parametrize("wrong", [[], ["quickstrat"], ["quickstart", "--jsno"]])
def test_wrong_usage_exits_with_2(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What is wrong is told on stderr, with the usage."""
    with pytest.raises(SystemExit) as ended:
        main(wrong)

    assert ended.value.code == 2
    assert "usage: chatarmin-os" in capsys.readouterr().err


def test_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` prints it."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])

    assert ended.value.code == 0
    assert capsys.readouterr().out == f"chatarmin-os {__version__}\n"


def test_the_module_is_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m chatarmin_os quickstart` runs it."""
    monkeypatch.setattr(sys, "argv", ["chatarmin_os", "quickstart", "--json"])

    with pytest.raises(SystemExit) as ended:
        runpy.run_module("chatarmin_os", run_name="__main__")

    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["steps"]


def test_a_reader_that_has_read_enough_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """`chatarmin-os quickstart | head -1` ends well, also when what is left is written at exit."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", encoding="utf-8") as closed:  # noqa: PTH123 - a descriptor, no path
        monkeypatch.setattr(sys, "stdout", closed)

        assert main(["quickstart"]) == 0
