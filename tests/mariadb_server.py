"""A MariaDB server of the tests, in place of MySQL 8: in a folder of its own, and on a socket in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_PATH = os.pathsep.join((os.environ["PATH"], "/usr/sbin"))
_USER = "root"


def is_installed() -> bool:
    """Return whether the server, and the driver that Django uses, are installed."""
    return shutil.which("mariadbd", path=_PATH) is not None and find_spec("MySQLdb") is not None


class MariaDBServer:
    """Runs MariaDB until it is closed."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="maria-"))  # a short path, for that of the socket
        self._socket = self._folder / "socket"
        options = [f"--datadir={self._folder / 'data'}", f"--user={_USER}"]
        self._run("mariadb-install-db", "--no-defaults", *options, "--auth-root-authentication-method=normal")
        command = [self._program("mariadbd"), "--no-defaults", *options, f"--socket={self._socket}"]
        self._process = subprocess.Popen(  # noqa: S603
            [*command, "--skip-networking", "--innodb-flush-log-at-trx-commit=0", "--character-set-server=utf8mb4"],
            stderr=subprocess.DEVNULL,
        )
        self._run("mariadb-admin", f"--socket={self._socket}", "--silent", "--wait=120", "--connect-timeout=1", "ping")
        self._run("mariadb-admin", f"--socket={self._socket}", "create", "outbox")

    def settings(self) -> dict[str, Any]:
        """Return the entry for DATABASES of Django; the collation is one that ignores case, as the usual ones do."""
        return {
            "ENGINE": "django.db.backends.mysql",
            "HOST": str(self._socket),
            "NAME": "outbox",
            "USER": _USER,
            "OPTIONS": {"charset": "utf8mb4", "collation": "utf8mb4_general_ci"},
        }

    def close(self) -> None:
        """End the server, and delete its folder."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder)

    def _program(self, name: str) -> str:
        return shutil.which(name, path=_PATH) or name

    def _run(self, name: str, *arguments: str) -> None:
        subprocess.run([self._program(name), *arguments], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
