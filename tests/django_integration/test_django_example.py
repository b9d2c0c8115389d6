"""The example `django_shop`: its own tests pass wherever it is copied to, and the commands of its README start it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "django_shop"
MAX_WAIT_SECONDS = 60


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a copy of the example."""
    return Path(shutil.copytree(EXAMPLE, tmp_path / "shop", ignore=shutil.ignore_patterns("__pycache__", "*.sqlite3")))


def environment() -> dict[str, str]:
    """Return the environment without settings of the tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("OS_", "DJANGO_"))}


def manage(folder: Path, *arguments: str) -> str:
    """Return the output of a command of the project, in which a warning is an error."""
    command = [sys.executable, "-W", "error", "manage.py", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_tests_of_the_example_pass(folder: Path) -> None:
    """`manage.py test` needs no account."""
    assert re.search(r"Ran 1\d tests", manage(folder, "test"))


def test_migrations_are_complete(folder: Path) -> None:
    """The tables are those of the models, and the project has no problem."""
    assert "No changes detected" in manage(folder, "makemigrations", "--check")
    assert "no issues" in manage(folder, "check")


def test_commands_of_the_readme_start_the_project(folder: Path) -> None:
    """The second line, after the installation, migrates and serves."""
    (block, *_) = re.findall(r"^```sh\n(.*?)^```$", (folder / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    _, command = block.splitlines()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    command = f"{command} {port} --noreload".replace(".venv/bin/python", sys.executable)
    process = subprocess.Popen(  # noqa: S603 - our own README
        ["bash", "-c", command.replace("&& ", "&& exec ")],  # noqa: S607
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        page = _get(f"http://127.0.0.1:{port}/")
    finally:
        process.kill()
        process.wait()

    assert "<h1>Sign up</h1>" in page


def _get(url: str) -> str:
    deadline = time.monotonic() + MAX_WAIT_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=MAX_WAIT_SECONDS) as response:  # noqa: S310 - our own server
                return str(response.read().decode())
        except urllib.error.URLError:
            assert time.monotonic() < deadline, "the project does not answer"
            time.sleep(0.1)
