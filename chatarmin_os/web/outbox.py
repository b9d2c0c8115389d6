"""The commands about the outbox that the settings name, for the command lines of frameworks."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from chatarmin_os.errors import InvalidInput, NotFoundError
from chatarmin_os.outbox.arguments import COMMANDS, add_arguments
from chatarmin_os.outbox.base import Outbox
from chatarmin_os.outbox.commands import run
from chatarmin_os.outbox.opening import open_outbox
from chatarmin_os.web.log import LOGGER
from chatarmin_os.web.services import Services, no_outbox
from chatarmin_os.web.settings import DJANGO, FAKE, NAME


def add_commands(parser: ArgumentParser) -> None:
    """Add the commands to a parser; the chosen one is `command`, or None if it is missing."""
    parts = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, purpose in COMMANDS.items():
        add_arguments(parts.add_parser(name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}."), name)


def run_command(services: Services, options: Mapping[str, Any]) -> tuple[str, int]:
    """Run a command, and return its output and its exit code.

    Raises:
        InvalidInput: No outbox is configured, its file is missing, no command was given, or an argument is invalid.
        OutboxUnavailable: The outbox cannot be read or written.
        ChatarminError: A setting is invalid.
    """
    services.settings.ensure_valid()
    if services.settings.outbox is None:
        raise no_outbox()
    if options["command"] is None:
        raise InvalidInput("a command is missing", f"pass one of {', '.join(COMMANDS)}")
    if options["command"] == "drain" and services.settings.transport == FAKE:
        LOGGER.warning("%s.TRANSPORT is %r: usage goes to a service in the memory of this process", NAME, FAKE)
    answer = run(options["command"], options, _open(services), client=lambda: services.client)
    lines = answer.lines
    if isinstance(answer.refusal, NotFoundError):  # the only one is of a procedure
        lines = [*lines, f"check BASE_URL of {NAME}, which ends in /api/v1"]
    return json.dumps(answer.document, indent=2) if options["json"] else "\n".join(lines), answer.code


def _open(services: Services) -> Outbox:
    """Return the outbox; a file is not created by a command, which often runs as another user."""
    given = services.settings.outbox
    if isinstance(given, str) and given != DJANGO and "outbox" not in vars(services):
        try:
            vars(services)["outbox"] = open_outbox(given)
        except InvalidInput as error:
            raise InvalidInput(error.problem, error.hint).at("OUTBOX").at(NAME) from None
    return services.require_outbox()
