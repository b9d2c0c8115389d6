"""`chatarmin-os quickstart`: the whole story, told step by step."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from chatarmin_os.cli._output import print_json, print_table
from chatarmin_os.cli._parser import add_json, command

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction

_WIDTH = 100


def add_command(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Add the command to those of the command line."""
    parser = command(
        commands,
        "quickstart",
        "the whole story on an in-memory service, from sign-up to upgrade: no account, no network",
        "chatarmin-os quickstart",
        "chatarmin-os quickstart --json",
        codes="0 done",
        run=_quickstart,
    )
    add_json(parser)


def _quickstart(given: Namespace) -> int:
    from chatarmin_os._quickstart import Story

    story = Story()
    if given.json:
        steps = [step._asdict() for step in story.steps()]
        print_json({"steps": steps, "companies": story.companies()})
        return 0
    print("ChatarminOS in memory, from sign-up to upgrade. Each step: what happens, the call, what it answers.")
    for number, step in enumerate(story.steps(), start=1):
        print()
        print(_wrapped(step.title, first=f"{number:>2}. "))
        print(_wrapped(step.call, first="    >>> "))
        print(_wrapped(step.outcome, first="    "))
    print("\nIn the end:\n")
    print_table(story.companies(), indent="    ")
    return 0


def _wrapped(text: str, first: str) -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )
