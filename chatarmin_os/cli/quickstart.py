"""`chatarmin-os quickstart`: two customers from sign-up to upgrade, step by step."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from chatarmin_os.cli._output import print_json, print_table
from chatarmin_os.cli._parser import add_json, command

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction

_WIDTH = 100


def add_command(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = command(
        commands,
        "quickstart",
        "show two customers from sign-up to upgrade on an in-memory service: no account, no network",
        "chatarmin-os quickstart",
        "chatarmin-os quickstart --json",
        codes="0 success",
        run=_quickstart,
    )
    add_json(parser)


def _quickstart(given: Namespace) -> int:
    from chatarmin_os.cli._scenario import Scenario

    scenario = Scenario()
    if given.json:
        steps = [step._asdict() for step in scenario.steps()]
        print_json({"steps": steps, "companies": scenario.companies()})
        return 0
    print("ChatarminOS in memory, from sign-up to upgrade. Each step: the situation, the call, the result.")
    for number, step in enumerate(scenario.steps(), start=1):
        print()
        print(_wrap(step.title, first=f"{number:>2}. "))
        print(_wrap(step.call, first="    >>> "))
        print(_wrap(step.outcome, first="    "))
    print("\nIn the end:\n")
    print_table(scenario.companies(), indent="    ")
    return 0


def _wrap(text: str, first: str) -> str:
    """Return a text in lines, of which the first begins with *first* and the others are indented as far."""
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )
