"""The command line: `chatarmin-os`, the same as `python -m chatarmin_os`.

It is made with argparse, for it belongs to the plain install, to which no other library may be added.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from io import TextIOWrapper
from typing import TYPE_CHECKING

from chatarmin_os._version import __version__
from chatarmin_os.cli import quickstart, serve, service

if TYPE_CHECKING:
    from collections.abc import Sequence

_EXIT_CODES = """\
exit codes: 0 done; 1 the service refused or failed; 2 wrong usage; 3 no answer; 130 interrupted
`chatarmin-os COMMAND --help` has examples.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Example:
        >>> main(["quickstart", "--json"])
        {...
        0
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that knows few letters gets the others as escapes
            stream.reconfigure(errors="backslashreplace")
    given = _parser().parse_args(arguments)
    try:
        code: int = given.run(given)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has read enough; what is still buffered must not fail at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="chatarmin-os",
        description="ChatarminOS on the command line.",
        epilog=_EXIT_CODES,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"chatarmin-os {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    service.add_commands(commands)
    serve.add_command(commands)
    quickstart.add_command(commands)
    return parser
