"""`chatarmin-os outbox`: look at the usage that waits in an outbox, send it, and decide about dead events."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from chatarmin_os.cli._connection import add_options, advice_about, connect, run_command
from chatarmin_os.cli._output import complain, print_json
from chatarmin_os.cli._parser import command

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction

_PURPOSE = "show the usage that waits in an outbox, send it, and decide about dead events"
_URL = "the path of the outbox, or redis://HOST:PORT/DB"
_EXAMPLES = {
    "status": ("chatarmin-os outbox usage.db status", "chatarmin-os outbox usage.db status --json | jq .oldest_age"),
    "drain": (
        "chatarmin-os outbox usage.db drain --deadline 50",
        "chatarmin-os outbox redis://localhost:6379/0 drain --follow",
    ),
    "dead": ("chatarmin-os outbox usage.db dead --limit 1000 --json",),
    "revive": ("chatarmin-os outbox usage.db revive", "chatarmin-os outbox usage.db revive job-17 job-18"),
    "discard": ("chatarmin-os outbox usage.db discard job-17",),
}


def add_command(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Add the command and its subcommands to the command line."""
    from chatarmin_os.outbox.arguments import CODES, COMMANDS, add_arguments

    examples = [examples[0] for examples in _EXAMPLES.values()]
    parser = command(commands, "outbox", _PURPOSE, *examples, codes=CODES)
    parser.add_argument("url", metavar="URL", help=_URL)
    parts = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, purpose in COMMANDS.items():
        part = command(
            parts,
            name,
            purpose,
            *_EXAMPLES[name],
            codes=CODES,
            run=partial(run_command, partial(_run, name)),
            names={"url": "URL", "keys": "KEY"},
        )
        add_arguments(part, name)
        if name == "drain":
            part.add_argument(
                "--base-url", metavar="URL", help="the URL of the service; default: OS_BASE_URL, or the public one"
            )
            add_options(part)


def _run(name: str, given: Namespace) -> int:
    from chatarmin_os.outbox.commands import run
    from chatarmin_os.outbox.errors import OutboxError
    from chatarmin_os.outbox.opening import open_outbox

    try:
        with open_outbox(given.url) as outbox:
            answer = run(name, vars(given), outbox, client=partial(connect, given))
    except OutboxError as error:
        complain(str(error))
        return 3
    if given.json:
        print_json(answer.document)
    else:
        advice = [] if answer.refusal is None else advice_about(answer.refusal, given)
        print("\n".join([*answer.lines, *advice]))
    return answer.code
