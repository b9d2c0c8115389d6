"""How commands are declared: each with a sentence, examples and its exit codes."""

from __future__ import annotations

from argparse import RawDescriptionHelpFormatter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argparse import ArgumentParser, _SubParsersAction

_JSON = "print one JSON document, for programs"


def command(
    commands: _SubParsersAction[ArgumentParser], name: str, what: str, *examples: str, codes: str, **defaults: Any
) -> ArgumentParser:
    """Add a command to others and return its parser; *what* is a sentence without its capital and its point."""
    parser = commands.add_parser(
        name,
        help=what,
        description=f"{what[0].upper()}{what[1:]}.",
        epilog="\n  ".join(["examples:", *examples]) + f"\n\nexit codes: {codes}",
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(**defaults)
    return parser


def add_json(parser: ArgumentParser) -> None:
    """Add the option that makes a command's output one for programs."""
    parser.add_argument("--json", action="store_true", help=_JSON)
