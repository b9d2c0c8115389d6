"""`chatarmin-os assumptions`: the rules that the fake assumes."""

from __future__ import annotations

import textwrap
from itertools import groupby
from typing import TYPE_CHECKING

from chatarmin_os.cli._output import print_json
from chatarmin_os.cli._parser import add_json, command

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction

    from chatarmin_os.fake.rules.assumptions import Assumption

_WIDTH = 100


def add_command(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = command(
        commands,
        "assumptions",
        "list the rules that the fake assumes because the service's README is silent or leaves a choice",
        "chatarmin-os assumptions",
        "chatarmin-os assumptions --json | jq '.assumptions[] | select(.readme == null) | .name'",
        codes="0 success",
        run=_assumptions,
    )
    add_json(parser)


def _assumptions(given: Namespace) -> int:
    from chatarmin_os.fake.rules.assumptions import ASSUMPTIONS

    if given.json:
        print_json({"assumptions": [assumption._asdict() for assumption in ASSUMPTIONS]})
        return 0
    width = max(len(one.name) for one in ASSUMPTIONS)
    print("Columns: the name of the assumption, the version since which the fake assumes it, and the rule.\n")
    for topic, assumptions in groupby(ASSUMPTIONS, lambda one: one.topic):
        print(f"{topic.capitalize()}:")
        for one in assumptions:
            print(_entry(one, width))
        print()
    print("`chatarmin-os recording check` confirms or contradicts them. --json adds the service's README.")
    return 0


def _entry(assumption: Assumption, width: int) -> str:
    """Return the name, the version and the wrapped text of an assumption."""
    return textwrap.fill(
        assumption.text,
        _WIDTH,
        initial_indent=f"  {assumption.name:<{width}}  {assumption.since}  ",
        subsequent_indent=" " * (width + len(assumption.since) + 6),
        break_long_words=False,
        break_on_hyphens=False,
    )
