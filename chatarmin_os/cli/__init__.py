"""The command line: `chatarmin-os`, the same as `python -m chatarmin_os`.

It uses argparse, because the plain install must not need another library for it.
"""

from __future__ import annotations

import sys
from io import StringIO, TextIOWrapper
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argparse import ArgumentParser, _SubParsersAction
    from collections.abc import Sequence

_EXIT_CODES = """\
exit codes: 0 success; 1 the service refused or failed; 2 wrong usage; 3 no response; 4 events are dead (outbox);
  130 interrupted
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
        # A stream that the shell has closed (`>&-`) is None.
        sys.stdin, sys.stdout, sys.stderr = (one or StringIO() for one in (sys.stdin, sys.stdout, sys.stderr))
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):  # letters that its encoding lacks are written as escapes
                stream.reconfigure(errors="backslashreplace")
        try:
            given = build_parser().parse_args(arguments)
            code: int = given.run(given)
        finally:
            sys.stdout.flush()  # --help, too, which ends with SystemExit
    except OSError as error:
        from chatarmin_os._unwritable import exit_code

        return exit_code(error, "chatarmin-os")
    except KeyboardInterrupt:
        return 130
    return code


def build_parser() -> ArgumentParser:
    """Return the parser with all commands; their modules are imported here, so that `main` catches Ctrl-C."""
    from argparse import RawDescriptionHelpFormatter

    from chatarmin_os._version import __version__
    from chatarmin_os.cli import (
        assumptions,
        backfill,
        completion,
        doctor,
        outbox,
        quickstart,
        recording,
        serve,
        service,
    )
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
    backfill.add_command(commands)
    doctor.add_command(commands)
    serve.add_command(commands)
    recording.add_command(commands)
    outbox.add_command(commands)
    assumptions.add_command(commands)
    quickstart.add_command(commands)
    completion.add_command(commands)
    return parser
