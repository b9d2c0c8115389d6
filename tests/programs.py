"""Programs that some tests start, and how to install the missing ones.

A test names its program with the marker `needs`. If the program is missing, its tests are not collected, and one line
of the summary says so.
"""

from __future__ import annotations

import shutil
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import mariadb_server
import postgres_server

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent


def chromium() -> str | None:
    """Return the path of Chromium or Chrome, None if neither is installed."""
    return shutil.which("chromium") or shutil.which("google-chrome")


def missing_chromium() -> str | None:
    """Return how to install Chromium and its driver, None if both are."""
    if chromium() and shutil.which("chromedriver"):
        return None
    return "install chromium and chromium-driver"


def missing_node(folder: Path) -> str | None:
    """Return how to make Node run the programs of *folder*, None if it does."""
    if shutil.which("node") is None:
        return f"install Node 18 or later, and run npm ci --prefix tests/{folder.name}"
    if not (folder / "node_modules" / ".package-lock.json").is_file():  # npm writes it last
        return f"run npm ci --prefix tests/{folder.name}"
    return None


def missing_postgres() -> str | None:
    """Return how to install PostgreSQL, None if it is."""
    return None if postgres_server.program("initdb") else "install postgresql"


PROGRAMS: dict[str, Callable[[], str | None]] = {
    "chromium": missing_chromium,
    "dask": lambda: None if find_spec("distributed") else "install, by pip, --group dask",
    "mariadb": lambda: None if mariadb_server.is_installed() else "install mariadb-server and, by pip, mysqlclient",
    "postgres": missing_postgres,
    "redis-server": lambda: None if shutil.which("redis-server") else "install redis-server",
    "trpc_client": lambda: missing_node(HERE / "trpc_client"),
    "trpc_server": lambda: missing_node(HERE / "trpc_server"),
}


@cache
def missing(program: str) -> str | None:
    """Return how to make a program of `PROGRAMS` run, None if it does."""
    return PROGRAMS[program]()
