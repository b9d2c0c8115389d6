"""Programs that some tests start, and why one of them cannot run here.

A test names its program with the marker `needs`. If the program is missing, its tests are not collected, and one line
of the summary says so.
"""

from __future__ import annotations

import os
import shutil
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent


def chromium() -> str | None:
    """Return the path of Chromium or Chrome, None if neither is installed."""
    return shutil.which("chromium") or shutil.which("google-chrome")


def missing_chromium() -> str | None:
    """Return what to do so that Chromium runs, None if it does."""
    if chromium() and shutil.which("chromedriver"):
        return None
    return "apt-get install chromium chromium-driver"


def missing_node(folder: Path) -> str | None:
    """Return what to do so that Node runs the programs of *folder*, None if it does.

    Raises:
        RuntimeError: It does not, and this is CI (the environment has CI set), where no test may be left out.
    """
    remedy = None
    if shutil.which("node") is None:
        remedy = f"install Node 18 or later, and run npm ci --prefix tests/{folder.name}"
    elif not (folder / "node_modules" / ".package-lock.json").is_file():  # npm writes it last
        remedy = f"npm ci --prefix tests/{folder.name}"
    if remedy and os.environ.get("CI"):
        raise RuntimeError(f"tests/{folder.name} cannot run: {remedy}")
    return remedy


PROGRAMS: dict[str, Callable[[], str | None]] = {
    "chromium": missing_chromium,
    "trpc_client": lambda: missing_node(HERE / "trpc_client"),
    "trpc_server": lambda: missing_node(HERE / "trpc_server"),
}


@cache
def missing(program: str) -> str | None:
    """Return what to do so that a program of `PROGRAMS` runs, None if it does.

    Raises:
        RuntimeError: As `missing_node`.
    """
    return PROGRAMS[program]()
