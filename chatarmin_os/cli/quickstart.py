"""`chatarmin-os quickstart`: the whole story, told step by step."""

from __future__ import annotations

import textwrap
from argparse import RawDescriptionHelpFormatter
from typing import TYPE_CHECKING

from chatarmin_os.cli._output import print_json, print_table

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction

_WIDTH = 100


def add_command(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Add the command to those of the command line."""
    parser = commands.add_parser(
        "quickstart",
        help="the whole story on an in-memory service: no account, no network",
        description="From sign-up to upgrade on an in-memory service, step by step: no account, no network.",
        epilog="examples:\n  chatarmin-os quickstart\n  chatarmin-os quickstart --json",
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print the same as one JSON document")
    parser.set_defaults(run=_quickstart)


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
