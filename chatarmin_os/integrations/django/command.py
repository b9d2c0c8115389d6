"""What the management commands have in common: their arguments, their output, and their errors."""

from __future__ import annotations

import json
from abc import abstractmethod
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from chatarmin_os._unwritable import ending_if_unwritable
from chatarmin_os.errors import ChatarminError
from chatarmin_os.web.report import exit_code


class ServiceCommand(BaseCommand):
    """A command about an organisation; exits with 1 if the service refused, 2 for wrong usage, 3 without a response."""

    requires_system_checks = ()  # the command itself shows what is wrong with the settings

    def add_arguments(self, parser: CommandParser) -> None:
        """Take an organisation and --json."""
        parser.add_argument("org", metavar="ORG", help="your id of the organisation")
        parser.add_argument("--json", action="store_true", help="print one JSON document, for programs")

    def handle(self, *_: Any, **options: Any) -> None:
        """Print the lines, or the JSON document, or the error."""
        with ending_if_unwritable("manage.py"):
            try:
                if options["json"]:
                    self.stdout.write(json.dumps(self.document(options), indent=2))
                else:
                    self.stdout.write("\n".join(self.lines(options)))
            except ChatarminError as error:
                raise CommandError(str(error), returncode=exit_code(error)) from error

    @abstractmethod
    def lines(self, options: dict[str, Any]) -> list[str]:
        """Return the output for people."""

    @abstractmethod
    def document(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return the output for programs."""
