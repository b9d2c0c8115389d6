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
from contextlib import contextmanager
from http.cookiejar import CookieJar
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
import yaml

from chatarmin_os.server import serve_fake

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def blocks_of_the_readme(folder: Path) -> list[list[str]]:
    """Return the commands of the README."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", (folder / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    return [block.splitlines() for block in blocks]


@contextmanager
def running(folder: Path, command: str) -> Iterator[str]:
    """Run a command that serves the project, on a free port, and yield its address."""
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
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def test_commands_of_the_readme_start_the_project(folder: Path) -> None:
    """The second line, after the installation, migrates and serves."""
    (_, command), _ = blocks_of_the_readme(folder)

    with running(folder, command) as url:
        assert "<h1>Sign up</h1>" in _get(f"{url}/")


def test_commands_of_the_readme_use_the_local_service(folder: Path) -> None:
    """A customer signs up, and upgrades at the local service, where every checkout is paid at once."""
    _, (compose, command) = blocks_of_the_readme(folder)
    manage(folder, "migrate")

    assert compose == "docker compose up --detach --build"
    with serve_fake() as service:
        settings = command.replace("http://127.0.0.1:3001/api/v1", service).replace(".venv/bin", "exec .venv/bin")
        words = settings.split()
        exported = f"export {' '.join(words[:2])}; {' '.join(words[2:])}"
        with running(folder, exported) as url:
            _get(f"{url}/sign-up/")
            cookies = CookieJar()
            opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies))

            def post(path: str, **fields: str) -> str:
                opener.open(f"{url}/sign-up/", timeout=MAX_WAIT_SECONDS).close()
                [token] = [cookie.value or "" for cookie in cookies if cookie.name == "csrftoken"]
                body = urlencode({**fields, "csrfmiddlewaretoken": token}).encode()
                with opener.open(f"{url}{path}", body, timeout=MAX_WAIT_SECONDS) as response:
                    return str(response.read().decode())

            password = {"password1": "correct horse battery", "password2": "correct horse battery"}
            signed_up = post("/sign-up/", username="ann", organisation="Acme", email="ann@acme.example", **password)
            upgraded = post("/upgrade/")

    assert "100 of 100 credits left" in signed_up
    assert "Your new plan is active" in upgraded
    assert "10000 of 10000 credits left" in upgraded


def test_checkout_at_a_real_service_needs_stripe(folder: Path) -> None:
    """With a key and without the local service the stand-in for Stripe pays nothing."""
    code = (
        "import os; os.environ.update(OS_API_KEY='os_sk_test', DJANGO_SETTINGS_MODULE='shop.settings')\n"
        "import django; django.setup()\n"
        "from shop.stripe_stand_in import pay\n"
        "try: pay(['price_1'])\n"
        "except NotImplementedError as error: print(error)"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)  # noqa: S603

    assert (done.stdout, done.stderr) == ("let shop/payments.py create a checkout session of Stripe\n", "")


def test_compose_file_builds_the_local_service() -> None:
    """The container is that of the project, and its port is the one of the README, on loopback."""
    service = yaml.safe_load((EXAMPLE / "docker-compose.yml").read_text())["services"]["chatarmin-os"]

    assert "EXPOSE 3001" in (EXAMPLE / service["build"] / "Dockerfile").read_text()
    assert service["ports"] == ["127.0.0.1:3001:3001"]


def _get(url: str) -> str:
    deadline = time.monotonic() + MAX_WAIT_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=MAX_WAIT_SECONDS) as response:  # noqa: S310 - our own server
                return str(response.read().decode())
        except urllib.error.URLError:
            assert time.monotonic() < deadline, "the project does not answer"
            time.sleep(0.1)
