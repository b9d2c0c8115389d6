"""A PostgreSQL server of the tests, in a folder of its own and on a socket in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

_FOLDERS = (*os.environ["PATH"].split(os.pathsep), *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"))))
_USER = "postgres"


def program(name: str) -> str | None:
    """Return the path of a program of PostgreSQL."""
    return shutil.which(name, path=os.pathsep.join(_FOLDERS))


class PostgresServer:
    """Runs PostgreSQL until it is closed; as another user, if root runs the tests, for it refuses to be run by root."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))  # a short path: that of a socket has 107 characters at most
        self._as_user: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(self.folder, _USER)
            self._as_user = [shutil.which("runuser") or "runuser", "-u", _USER, "--"]
        self._data = self.folder / "data"
        self._run("initdb", "-D", str(self._data), "-U", _USER, "-A", "trust", "--no-sync")
        self.start()

    def start(self) -> None:
        """Start the server, and wait until it takes connections."""
        options = f"-c listen_addresses='' -c unix_socket_directories='{self.folder}' -c fsync=off"
        self._run("pg_ctl", "-D", str(self._data), "-o", options, "-l", str(self.folder / "log"), "-w", "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server whatever its clients do: at once, or with a last checkpoint if *mode* is `"fast"`."""
        self._run("pg_ctl", "-D", str(self._data), "-m", mode, "-w", "stop")

    def settings(self) -> dict[str, Any]:
        """Return the entry for DATABASES of Django."""
        return {"ENGINE": "django.db.backends.postgresql", "HOST": str(self.folder), "NAME": _USER, "USER": _USER}

    def close(self) -> None:
        """Stop the server, and delete its folder."""
        self.stop()
        shutil.rmtree(self.folder)

    def _run(self, name: str, *arguments: str) -> None:
        path = program(name) or name
        subprocess.run([*self._as_user, path, *arguments], cwd=self.folder, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
