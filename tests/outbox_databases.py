"""Outboxes in databases of Django; importing this module configures Django, once per process."""

from __future__ import annotations

import atexit
from functools import cache
from typing import TYPE_CHECKING

import django_project
from django.core.management import call_command
from django.db import connections
from mariadb_server import MariaDBServer
from postgres_server import PostgresServer

from chatarmin_os.django import DjangoOutbox

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    Server = TypeVar("Server", MariaDBServer, PostgresServer)

assert django_project.SETTINGS, "importing the project configures Django"


def outbox(using: str, now: Callable[[], float] | None = None) -> DjangoOutbox:
    """Return an empty outbox."""
    from chatarmin_os.integrations.django.models import OutboxEvent

    OutboxEvent.objects.using(using).all().delete()
    return DjangoOutbox(using, now=now)


_POSTGRES, _MARIADB = "postgres_of_outboxes", "mariadb_of_outboxes"


@cache
def postgres_server() -> PostgresServer:
    """Run PostgreSQL until this process ends."""
    return _run_until_the_end(_POSTGRES, PostgresServer())


@cache
def postgres() -> str:
    """Return the alias of a database in PostgreSQL, with the table of the outbox."""
    return _database(_POSTGRES, postgres_server().settings())


@cache
def mariadb() -> str:
    """Return the alias of a database in MariaDB, with the table of the outbox."""
    return _database(_MARIADB, _run_until_the_end(_MARIADB, MariaDBServer()).settings())


def _run_until_the_end(alias: str, server: Server) -> Server:
    """Close a server, and the connection to it, when this process ends."""

    def close() -> None:
        connections[alias].close()
        server.close()

    atexit.register(close)
    return server


def _database(alias: str, settings: dict[str, Any]) -> str:
    """Return the alias of a new database of the project."""
    known = connections.configure_settings({**connections.settings, alias: settings})
    connections.settings[alias] = known[alias]
    call_command("migrate", database=alias, run_syncdb=True, verbosity=0)
    return alias
