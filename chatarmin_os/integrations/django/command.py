"""What the management commands have in common: their arguments, their output, and their errors."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs
from django.core.management.base import BaseCommand, CommandError, CommandParser

from chatarmin_os._table import table
from chatarmin_os.errors import ApiError, ChatarminError, InvalidInput


class ServiceCommand(BaseCommand):
    """A command about an organisation; exits with 1 if the service refused, 2 for wrong usage, 3 without a response."""

    requires_system_checks: Sequence[str] = ()  # the command raises what is wrong with the settings

    def add_arguments(self, parser: CommandParser) -> None:
        """Take an organisation and --json."""
        parser.add_argument("org", metavar="ORG", help="your id of the organisation")
        parser.add_argument("--json", action="store_true", help="print one JSON document, for programs")

    def handle(self, *_: Any, **options: Any) -> None:
        """Run the command, with its errors as Django prints them."""
        try:
            self.run(options["org"], options)
        except InvalidInput as error:
            raise CommandError(str(error), returncode=2) from error
        except ApiError as error:
            raise CommandError(str(error)) from error
        except ChatarminError as error:
            raise CommandError(f"no response: {error}", returncode=3) from error

    @abstractmethod
    def run(self, org: str, options: dict[str, Any]) -> None:
        """Do what the command is for."""

    def print(self, options: Mapping[str, Any], document: Any, rows: Sequence[Mapping[str, Any]], *notes: str) -> None:
        """Print JSON, or a table and notes."""
        if options["json"]:
            self.stdout.write(json.dumps(document, indent=2))
            return
        lines = [*(table(rows) if rows else []), *([" ".join(notes)] if notes else [])]
        self.stdout.write("\n".join(lines))


def document_of(model: Any) -> Any:
    """Return a model as JSON: Python names, timestamps as text, `extra` only if the service sent unknown fields."""
    if attrs.has(type(model)):
        fields = {field.name: getattr(model, field.name) for field in attrs.fields(type(model))}
        return {name: document_of(value) for name, value in fields.items() if name != "extra" or value}
    if isinstance(model, (list, tuple)):
        return [document_of(item) for item in model]
    return model.isoformat() if isinstance(model, datetime) else model
