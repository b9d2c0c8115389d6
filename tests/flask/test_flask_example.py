"""The example `flask_exporter`: its own tests run wherever it is copied to, and its README's commands start it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from ports import free_port

from chatarmin_os.server import serve_fake

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "flask_exporter"
HANGS = 30
"""Seconds after which something has certainly come to a halt."""


def _commands() -> list[str]:
    """Return the commands of the README, one a line."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", (EXAMPLE / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def _get(port: int, path: str = "/") -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=HANGS) as response:
        text: str = response.read().decode()
        return text


@pytest.fixture
def port() -> int:
    """Return a free port."""
    return free_port()


@contextmanager
def _run(command: str, port: int) -> Iterator[None]:
    """Run a command of the README, with the Python of the tests and another port, while the test runs."""
    words = shlex.split(command)
    variables = dict(word.split("=", 1) for word in words if "=" in word)
    program, *arguments = words[len(variables) :]
    assert program == ".venv/bin/flask"
    started = [sys.executable, "-m", "flask", *arguments, f"--port={port}"]
    process = subprocess.Popen(started, cwd=EXAMPLE, env={**os.environ, **variables}, stderr=subprocess.PIPE)  # noqa: S603
    try:
        until = time.monotonic() + HANGS
        while not _is_up(port):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.communicate(timeout=HANGS)


def _is_up(port: int) -> bool:
    try:
        return "Sign up" in _get(port)
    except urllib.error.URLError:
        return False


def test_readme_starts_the_example_without_an_account(port: int) -> None:
    """Two commands install and run it; the service is in memory."""
    install, run, *_ = _commands()

    assert "pip install" in install
    assert "../..[flask]" in install
    with _run(run, port):
        assert _denied(port)["reason"] == "not_linked"


def test_readme_starts_the_example_with_the_local_service(port: int) -> None:
    """The other two run the local service in a container, and the app with it."""
    compose, run = _commands()[2:]

    assert compose == "docker compose up --detach --build"
    with serve_fake() as url, _run(run.replace("http://127.0.0.1:3001/api/v1", url), port):
        assert _denied(port)["reason"] == "not_linked"


def _denied(port: int) -> dict[str, object]:
    with pytest.raises(urllib.error.HTTPError) as raised:
        _get(port, "/orders.csv")
    with raised.value as response:
        body: dict[str, object] = json.load(response)
        return body


def test_compose_file_builds_the_local_service() -> None:
    """The container is that of the project, and its port is the one of the README, on loopback."""
    service = yaml.safe_load((EXAMPLE / "docker-compose.yml").read_text())["services"]["chatarmin-os"]

    dockerfile = (EXAMPLE / service["build"] / "Dockerfile").read_text()
    assert "EXPOSE 3001" in dockerfile
    assert service["ports"] == ["127.0.0.1:3001:3001"]


def test_example_is_tested_wherever_it_is(tmp_path: Path) -> None:
    """A copy of the folder passes its own tests, without the settings of this project."""
    shutil.copytree(EXAMPLE, tmp_path / "copy", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"]
    done = subprocess.run(command, cwd=tmp_path / "copy", capture_output=True, text=True, check=False)  # noqa: S603

    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
