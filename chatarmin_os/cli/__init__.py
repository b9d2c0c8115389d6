"""The command line: `chatarmin-os`, the same as `python -m chatarmin_os`.

It is made with argparse, for it belongs to the plain install, to which no other library may be added.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from io import StringIO, TextIOWrapper
from typing import TYPE_CHECKING, NoReturn

from chatarmin_os._version import __version__
from chatarmin_os.cli import quickstart, recording, serve, service
from chatarmin_os.cli._output import complain, without_keys

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
    # Where one was closed (`>&-`) it is None.
    sys.stdin, sys.stdout, sys.stderr = (one or StringIO() for one in (sys.stdin, sys.stdout, sys.stderr))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that knows few letters gets the others as escapes
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            given = _with_commands(_made()).parse_args(arguments)
            code: int = given.run(given)
        finally:
            sys.stdout.flush()  # also what --help has printed, which ends by SystemExit
    except OSError as error:
        # What is still buffered must not fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # whoever read the output has read enough
            return 0
        complain(f"the output cannot be written: {error.strerror}; what was asked may have been done")
        return 3
    except KeyboardInterrupt:
        return 130
    return code


class _Parser(ArgumentParser):
    """Shows no key that was given as an argument."""

    def error(self, message: str) -> NoReturn:
        super().error(without_keys(message))


def _made() -> ArgumentParser:
    parser = _Parser(
        prog="chatarmin-os",
        description="ChatarminOS on the command line.",
        epilog=_EXIT_CODES,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"chatarmin-os {__version__}")
    return parser


def _with_commands(parser: ArgumentParser) -> ArgumentParser:
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    service.add_commands(commands)
    serve.add_command(commands)
    recording.add_command(commands)
    quickstart.add_command(commands)
    return parser
