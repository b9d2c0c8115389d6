"""Outboxes in databases of Django; importing this module configures Django, once per process."""

from __future__ import annotations

import atexit
from functools import cache
from typing import TYPE_CHECKING

import django_project
from django.core.management import call_command
from django.db import connections
from postgres_server import PostgresServer

from chatarmin_os.django import DjangoOutbox

if TYPE_CHECKING:
    from collections.abc import Callable

assert django_project.SETTINGS, "importing the project configures Django"


def outbox(using: str, now: Callable[[], float] | None = None) -> DjangoOutbox:
    """Return an empty outbox."""
    from chatarmin_os.integrations.django.models import OutboxEvent

    OutboxEvent.objects.using(using).all().delete()
    return DjangoOutbox(using, now=now)


_ALIAS = "postgres_of_outboxes"


@cache
def postgres_server() -> PostgresServer:
    """Run PostgreSQL until this process ends."""
    server = PostgresServer()

    def close() -> None:
        connections[_ALIAS].close()
        server.close()

    atexit.register(close)
    return server


@cache
def postgres() -> str:
    """Return the alias of a database in PostgreSQL, with the table of the outbox."""
    known = connections.configure_settings({**connections.settings, _ALIAS: postgres_server().settings()})
    connections.settings[_ALIAS] = known[_ALIAS]
    call_command("migrate", database=_ALIAS, run_syncdb=True, verbosity=0)
    return _ALIAS
