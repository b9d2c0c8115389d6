"""`chatarmin-os completion`: shells complete commands, options, their values, procedures and files."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from cases import check_each

from chatarmin_os import PROCEDURES
from chatarmin_os.cli import build_parser, main

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable, Iterator
    from pathlib import Path

COMMANDS = {
    "assumptions",
    "backfill",
    "call",
    "check",
    "completion",
    "doctor",
    "explain",
    "onboard",
    "outbox",
    "quickstart",
    "recording",
    "serve",
    "status",
    "track",
}

# The tab key in each shell: it prints words on separate lines, and FILES if it would list files.
BASH = """
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
_chatarmin_os || true
[ ${#COMPREPLY[@]} -eq 0 ] && echo FILES
printf '%s\\n' "${COMPREPLY[@]}"
"""
ZSH = """
compadd() { shift; for word in "$@"; do [[ $word == ${words[CURRENT]}* ]] && print -r -- "$word"; done; true }
_files() { print FILES }
words=("$@"); CURRENT=$#
_chatarmin_os || true
"""


@pytest.fixture(params=["bash", "zsh", "fish"])
def complete(
    request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., set[str]]:
    """Return a function that completes words in a shell with the script."""
    shell = shutil.which(request.param)
    if shell is None:
        pytest.skip(f"{request.param} is not installed")
    assert main(["completion", request.param]) == 0
    script = tmp_path / "script"
    script.write_text(capsys.readouterr().out, encoding="utf-8")
    (tmp_path / "FILES").touch()

    def complete(*words: str) -> set[str]:
        if request.param == "fish":
            code = f"source {script}; complete -C (string join -- ' ' chatarmin-os $argv)"
            command = [shell, "--no-config", "-c", code, "--", *words]
        else:
            before = "compdef() { }; " if request.param == "zsh" else ""
            code = f"{before}source {script}; {BASH if request.param == 'bash' else ZSH}"
            command = [shell, *(["-f"] if request.param == "zsh" else []), "-c", code, "x", "chatarmin-os", *words]
        out = subprocess.check_output(command, text=True, cwd=tmp_path)  # noqa: S603 - a shell with our script
        return {line.partition("\t")[0] for line in out.splitlines()} - {""}

    return complete


def test_commands_are_completed(complete: Callable[..., set[str]]) -> None:
    """All commands, those with a prefix, and subcommands are completed."""
    assert complete("") >= COMMANDS
    assert complete("c") == {"call", "check", "completion"}
    assert complete("recording", "") >= {"check", "show", "redact"}
    assert complete("outbox", "usage.db", "d") == {"dead", "discard", "drain"}
    assert complete("completion", "") >= {"bash", "zsh", "fish"}


def test_procedures_are_completed(complete: Callable[..., set[str]]) -> None:
    """`call` completes the paths of procedures."""
    assert complete("call", "") >= set(PROCEDURES)
    assert complete("call", "tiers.") == {"tiers.list", "tiers.get", "tiers.apply"}


def test_options_are_completed(complete: Callable[..., set[str]]) -> None:
    """The options of the command are completed after any arguments."""
    assert complete("check", "org:org_1", "sso", "--j") == {"--json"}
    assert complete("explain", "org_1", "sso", "--j") == {"--json"}
    assert complete("recording", "check", "x.jsonl", "--run") == {"--run-mutations"}
    assert complete("call", "check", "--mut") == {"--mutation"}
    assert complete("--vers") == {"--version"}


def test_values_of_options_are_completed(complete: Callable[..., set[str]]) -> None:
    """Choices and file names are completed."""
    assert complete("serve", "--trpc", "") == {"10", "11"}
    assert complete("serve", "--transformer", "") == {"auto", "json", "superjson"}
    assert complete("recording", "redact", "x", "--only", "em") == {"email_addresses"}
    assert "FILES" in complete("serve", "--state", "F")
    assert "FILES" in complete("check", "--api-key-file", "F")
    assert "FILES" in complete("recording", "show", "F")


def _options(parser: ArgumentParser, *command: str) -> Iterator[tuple[str, ...]]:
    for action in parser._actions:
        for option in action.option_strings:
            yield (*command, option)
        if isinstance(action.choices, dict):
            for name, below in action.choices.items():
                yield from _options(below, *command, name)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script_has_every_option(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    """Each script is generated from the parser, and has every option of every command."""
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out

    def check(command: tuple[str, ...]) -> None:
        *_, option = command
        spelling = option if shell != "fish" else f"-l {option[2:]}" if option.startswith("--") else f"-s {option[1:]}"
        assert spelling in script

    check_each(_options(build_parser()), check)


def test_unknown_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The error lists the known shells."""
    with pytest.raises(SystemExit) as ended:
        main(["completion", "powershell"])

    assert ended.value.code == 2
    assert "zsh" in capsys.readouterr().err
