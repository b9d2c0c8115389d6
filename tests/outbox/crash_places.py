"""Where the events of the crash tests are kept: each place opens its outbox, and can be started again."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import redis
from postgres_server import PostgresServer
from redis_server import RedisServer

from chatarmin_os.outbox import Outbox, RedisOutbox, SQLiteOutbox

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from crash_service import Clock


class Place:
    """A file of SQLite, which has no server."""

    has_server = False

    def __init__(self, folder: Path, synchronous: Literal["full", "normal"] = "normal") -> None:
        self.folder = folder / "outbox"  # of the files that the outbox makes, and no others
        self.folder.mkdir()
        self._file, self._synchronous = self.folder / "usage.db", synchronous

    def renew(self) -> Path:
        """Remove all files, and return where the new one will be."""
        for file in self.folder.iterdir():
            file.unlink()
        return self._file

    def open(self, clock: Clock, now: Callable[[], float]) -> Outbox:  # noqa: ARG002 - of Redis
        """Return the outbox in this process, with a clock of its own."""
        return SQLiteOutbox(self._file, synchronous=self._synchronous, put_wait=5, now=now)

    def restart(self, choose: random.Random) -> None:
        """Let the server end at once, and start it again."""

    def close(self) -> None:
        """End the server."""


class FullPlace(Place):
    """A file that survives a power failure."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "full")


class TinyPlace(Place):
    """A file in a file system of 1 MiB."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        mount_tiny(self.folder)

    def close(self) -> None:
        """Remove the file system."""
        subprocess.run(["umount", self.folder], check=True)  # noqa: S603, S607 - of the machine


def mount_tiny(folder: Path) -> None:
    """Mount a file system of 1 MiB on a folder."""
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - of the machine


def why_not_tiny() -> str | None:
    """Return why no file system can be mounted, None if it can."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            mount_tiny(Path(folder))
        except (OSError, subprocess.CalledProcessError) as error:
            return f"no file system can be mounted: {error}"
        subprocess.run(["umount", folder], check=True)  # noqa: S603, S607 - of the machine
    return None


class RedisPlace(Place):
    """A Redis that has each write on disk before it answers; its clock is the same for all processes."""

    has_server = True

    def __init__(self, folder: Path) -> None:
        self._server = RedisServer(folder, "--appendonly", "yes", "--appendfsync", "always")
        self._server.client.close()

    def open(self, clock: Clock, now: Callable[[], float]) -> Outbox:  # noqa: ARG002 - of the others
        """Return the outbox."""
        return RedisOutbox(redis.Redis(unix_socket_path=self._server.path), now=clock.now)

    def restart(self, choose: random.Random) -> None:  # noqa: ARG002 - it ends in one way only
        """Kill the server, and start it again."""
        self._server.kill()
        self._server.start()

    def close(self) -> None:
        """Kill the server."""
        self._server.kill()


class DjangoPlace(Place):
    """A file of SQLite that is the database of a Django project."""

    def __init__(self, folder: Path) -> None:
        self._configure(
            {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(folder / "project.db"),
                "OPTIONS": {"timeout": 30},
            }
        )

    def _configure(self, database: dict[str, Any]) -> None:
        import django
        from django.conf import settings
        from django.core.management import call_command
        from django.db import connections

        settings.configure(INSTALLED_APPS=["chatarmin_os.django"], DATABASES={"default": database})
        django.setup()
        call_command("migrate", verbosity=0)
        connections.close_all()  # children must not share one

    def open(self, clock: Clock, now: Callable[[], float]) -> Outbox:  # noqa: ARG002 - of Redis
        """Return the outbox."""
        from chatarmin_os.django import DjangoOutbox

        return DjangoOutbox(now=now)


class PostgresPlace(DjangoPlace):
    """A PostgreSQL that is the database of a Django project."""

    has_server = True

    def __init__(self, folder: Path) -> None:  # noqa: ARG002 - a server of its own folder
        self._server = PostgresServer()
        self._configure(self._server.settings())

    def restart(self, choose: random.Random) -> None:
        """Stop the server, in a way that ends its sessions, and start it again."""
        self._server.stop(choose.choice(["immediate", "fast"]))
        self._server.start()

    def close(self) -> None:
        """Stop the server, and delete its folder."""
        self._server.close()
