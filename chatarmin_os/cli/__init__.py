"""The command line: `chatarmin-os`, the same as `python -m chatarmin_os`.

It is made with argparse, for it belongs to the plain install, to which no other library may be added.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from io import StringIO, TextIOWrapper
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argparse import ArgumentParser, _SubParsersAction
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
    try:
        # Where one was closed (`>&-`) it is None.
        sys.stdin, sys.stdout, sys.stderr = (one or StringIO() for one in (sys.stdin, sys.stdout, sys.stderr))
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):  # a terminal that knows few letters gets the others as escapes
                stream.reconfigure(errors="backslashreplace")
        try:
            given = build_parser().parse_args(arguments)
            code: int = given.run(given)
        finally:
            sys.stdout.flush()  # also what --help has printed, which ends by SystemExit
    except OSError as error:
        return _unwritable(error)
    except KeyboardInterrupt:
        return 130
    return code


def _unwritable(error: OSError) -> int:
    """Return the exit code if standard output or standard error cannot be written."""
    from chatarmin_os.cli._output import complain

    for stream in (sys.stdout, sys.stderr):  # what is still buffered must not fail once more at exit
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    if isinstance(error, BrokenPipeError):  # whoever read the output has read enough
        return 0
    with suppress(OSError):
        complain(f"the output cannot be written: {error.strerror}; what was asked may have been done")
    return 3


def build_parser() -> ArgumentParser:
    """Return the parser with all commands; they are imported here, so that Ctrl-C is caught meanwhile too."""
    from argparse import RawDescriptionHelpFormatter

    from chatarmin_os._version import __version__
    from chatarmin_os.cli import completion, quickstart, recording, serve, service
    from chatarmin_os.cli._parser import Parser

    parser = Parser(
        prog="chatarmin-os",
        description="ChatarminOS on the command line.",
        epilog=_EXIT_CODES,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"chatarmin-os {__version__}")
    commands: _SubParsersAction[Any] = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    service.add_commands(commands)
    serve.add_command(commands)
    recording.add_command(commands)
    quickstart.add_command(commands)
    completion.add_command(commands)
    return parser
