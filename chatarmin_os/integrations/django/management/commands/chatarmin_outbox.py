"""`manage.py chatarmin_outbox COMMAND`: look at the usage that waits, send it, and decide about dead events."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from chatarmin_os._unwritable import ending_if_unwritable
from chatarmin_os.errors import ChatarminError
from chatarmin_os.integrations.django.services import current
from chatarmin_os.outbox.arguments import CODES
from chatarmin_os.web.outbox import add_commands, run_command
from chatarmin_os.web.report import exit_code


class Command(BaseCommand):
    """Shows and sends the events of the outbox of the settings."""

    help = f"Shows the usage that waits in the outbox, sends it, and decides about dead events. Exit codes: {CODES}."
    requires_system_checks = ()  # the command itself shows what is wrong with the settings

    def add_arguments(self, parser: CommandParser) -> None:
        """Take a command and its arguments."""
        add_commands(parser)

    def handle(self, *_: Any, **options: Any) -> None:
        """Run the command, and exit with its code."""
        with ending_if_unwritable("manage.py"):
            try:
                output, code = run_command(current(), options)
            except ChatarminError as error:
                raise CommandError(str(error), returncode=exit_code(error)) from error
            self.stdout.write(output)
        if code:
            sys.exit(code)
