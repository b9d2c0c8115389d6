"""Every Python block of the README runs, and the README is complete."""

from __future__ import annotations

import re
import subprocess
import sys
from inspect import signature
from typing import TYPE_CHECKING

import pytest
from readme import README, sections

from chatarmin_os import ChatarminOS

if TYPE_CHECKING:
    from pathlib import Path

_PYTEST = "Testing with the fake"


@pytest.mark.parametrize("title", [title for title in sections() if title != _PYTEST])
def test_python_of_the_readme_runs(title: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each section can be pasted as it stands."""
    exec(compile(sections()[title], f"README.md, {title}", "exec"), {"__name__": "readme"})  # noqa: S102 - our own README

    assert not capsys.readouterr().err


def test_the_pytest_example_of_the_readme_passes(tmp_path: Path) -> None:
    """The complete test module passes under pytest, with nothing of this project's configuration."""
    module = tmp_path / "test_example.py"
    module.write_text(sections()[_PYTEST], encoding="utf-8")
    command = [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", str(module)]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)  # noqa: S603 - our own README

    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_the_table_of_methods_is_complete() -> None:
    """Every method of the client and of its resources is in the table, with all its arguments."""
    table = README.read_text(encoding="utf-8").partition("## All methods")[2]
    rows = dict(re.findall(r"^\| `([\w.]+)\((.*?)\)` \|", table, flags=re.MULTILINE))
    client = ChatarminOS.in_memory()
    nouns = ["companies", "contacts", "features", "billing", "tiers", "subscriptions", "links"]
    methods = {
        f"{noun}.{name}": getattr(getattr(client, noun), name)
        for noun in nouns
        for name in _public(getattr(client, noun))
    }
    methods |= {name: getattr(client, name) for name in ("onboard", "sign_up", "send", "batch", "call", "with_options")}

    assert set(rows) == set(methods)
    for name, method in methods.items():
        assert set(re.findall(r"\w+", rows[name])) - {"or"} == set(signature(method).parameters), name


def _public(resource: object) -> list[str]:
    return [name for name in dir(resource) if not name.startswith("_")]
