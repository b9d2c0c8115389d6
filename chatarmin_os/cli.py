"""The command line: `chatarmin-os`, the same as `python -m chatarmin_os`."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from typing import TYPE_CHECKING, Any

from chatarmin_os._version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDTH = 100


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, or 2 for wrong usage."""
    given = _parser().parse_args(arguments)
    try:
        given.run(given)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has read enough; what is still buffered must not fail at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="chatarmin-os", description="ChatarminOS on the command line.")
    parser.add_argument("--version", action="version", version=f"chatarmin-os {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    quickstart = commands.add_parser(
        "quickstart",
        help="the whole story on an in-memory service: no account, no network",
        description="From sign-up to upgrade on an in-memory service, step by step: no account, no network.",
        epilog="examples:\n  chatarmin-os quickstart\n  chatarmin-os quickstart --json",
        formatter_class=RawDescriptionHelpFormatter,
    )
    quickstart.add_argument("--json", action="store_true", help="print the same as one JSON document")
    quickstart.set_defaults(run=_quickstart)
    return parser


def _quickstart(given: Namespace) -> None:
    from chatarmin_os._quickstart import Story

    story = Story()
    if given.json:
        steps = [step._asdict() for step in story.steps()]
        print(json.dumps({"steps": steps, "companies": story.companies()}, indent=2))
        return
    print("ChatarminOS in memory, from sign-up to upgrade. Each step: what happens, the call, what it answers.")
    for number, step in enumerate(story.steps(), start=1):
        print()
        print(_wrapped(step.title, first=f"{number:>2}. "))
        print(_wrapped(step.call, first="    >>> "))
        print(_wrapped(step.outcome, first="    "))
    print("\nIn the end:\n")
    print(_table(story.companies()))


def _wrapped(text: str, first: str) -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _table(rows: list[dict[str, Any]]) -> str:
    """Return rows as aligned columns under their names; None is a dash, numbers stand to the right."""
    names = list(rows[0])
    cells = [[name.replace("_", " ") for name in names]]
    cells += [["-" if row[name] is None else str(row[name]) for name in names] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    is_number = [isinstance(rows[-1][name], int) for name in names]
    lines = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, is_number, strict=True)
        )
        for line in cells
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(f"    {line}".rstrip() for line in lines)
