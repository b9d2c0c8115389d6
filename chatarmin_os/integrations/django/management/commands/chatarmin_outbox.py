"""`manage.py chatarmin_outbox`: the events of an outbox."""

from __future__ import annotations

from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError, CommandParser


class Command(BaseCommand):
    """Says that no outbox is configured."""

    help = "Shows and sends the events of the outbox."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take any arguments."""
        parser.add_argument("command", nargs="*", help="what to do with the events")

    def handle(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse."""
        raise CommandError("no outbox is configured: CHATARMIN_OS.OUTBOX is None", returncode=2)
