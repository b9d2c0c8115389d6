"""`manage.py chatarmin_outbox`: the events of an outbox."""

from __future__ import annotations

from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError, CommandParser

from chatarmin_os.web.report import NO_OUTBOX


class Command(BaseCommand):
    """Says that no outbox is configured."""

    help = "Shows and sends the events of the outbox."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take any arguments."""
        parser.add_argument("arguments", nargs="*", help="what to do with the events")

    def handle(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse."""
        raise CommandError(NO_OUTBOX, returncode=2)
