"""The pages of the example applications in headless Chromium: wide and narrow, light and dark."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browsing import emulated, pale_texts, running_chromium
from ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.slow, pytest.mark.needs("chromium")]

EXAMPLES = Path(__file__).parents[2] / "examples"
MAX_WAIT_SECONDS = 60
LONG = "Acme" + 60 * "e"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Run a browser for all tests of this module."""
    with running_chromium() as driver:
        yield driver


@contextmanager
def serving(folder: Path, *command: str, **variables: str) -> Iterator[str]:
    """Run an application on a free port, and yield its address."""
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OS_", "DJANGO_"))}
    process = subprocess.Popen(  # noqa: S603 - our own examples
        [sys.executable, *(word.format(port=port) for word in command)],
        cwd=folder,
        env=environment | variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + MAX_WAIT_SECONDS
    try:
        while not _is_up(url):
            assert time.monotonic() < deadline, "the application does not answer"
            time.sleep(0.05)
        yield url
    finally:
        process.kill()
        process.wait()


def _is_up(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=MAX_WAIT_SECONDS):  # noqa: S310 - our own server
            return True
    except urllib.error.URLError:
        return False


def send(browser: Any, form: str, then: str, **fields: str) -> None:
    """Fill and send a form, and wait until the next page is there with a text."""
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver.support.wait import WebDriverWait

    for name, value in fields.items():
        browser.find_element("name", name).send_keys(value)
    browser.find_element("css selector", f"{form} button").click()
    wait = WebDriverWait(browser, MAX_WAIT_SECONDS, 0.05, ignored_exceptions=[WebDriverException])
    wait.until(lambda _: then in browser.find_element("tag name", "body").text)


def look_at(browser: Any, url: str, text: str) -> None:
    """Check that a page has a text, fits the screen, and can be read, on a screen and a phone, light and dark."""
    for scheme in ("light", "dark"):
        for width in (1280, 400):
            with emulated(browser, width=width, scheme=scheme):
                browser.get(url)
                assert text in browser.find_element("tag name", "body").text
                assert browser.execute_script("return document.documentElement.scrollWidth") <= width, (url, scheme)
                assert pale_texts(browser) == [], (url, scheme, width)


def test_pages_of_the_flask_app_fit_and_can_be_read(browser: Any) -> None:
    """Sign-up, home, the denied page and the admin page."""
    command = ["-m", "flask", "--app", "exporter", "run", "--port", "{port}"]
    with serving(EXAMPLES / "flask_exporter", *command, EXPORTER_TRANSPORT="fake") as url:
        look_at(browser, url, "Sign up")
        send(browser, "form", "You are signed in", name=LONG, email="ann@acme.example")
        organisation = browser.find_element("tag name", "code").text
        look_at(browser, url, "100 of 100 summaries are left")
        look_at(browser, f"{url}/orders.csv", "Your plan does not include this feature")
        browser.get(f"{url.replace('//', '//ops:admin@')}/admin/{organisation}")
        look_at(browser, f"{url}/admin/{organisation}", "disabled")
        look_at(browser, f"{url}/admin/{LONG}", "not_linked")


def test_pages_of_the_django_project_fit_and_can_be_read(browser: Any, tmp_path: Path) -> None:
    """Sign-up, home, both denied pages, and home after the upgrade; names and topics may be long."""
    folder = Path(
        shutil.copytree(EXAMPLES / "django_shop", tmp_path / "shop", ignore=lambda *_: ["db.sqlite3", ".venv"])
    )
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=folder, check=True)
    with serving(folder, *["manage.py", "runserver", "{port}", "--noreload"]) as url:
        look_at(browser, url, "Sign up")
        password = "correct horse battery"  # noqa: S105 - of nobody
        form = {"username": "ann", "password1": password, "password2": password, "organisation": LONG}
        send(browser, "main form", "100 of 100 credits left", **form, email="ann@acme.example")
        look_at(browser, url, "100 of 100 credits left")
        look_at(browser, f"{url}/reports.csv", "Your plan does not include this feature")
        look_at(browser, f"{url}/single-sign-on/", "sso is a part of Enterprise")
        browser.get(url)
        send(browser, "form[action='/reports/']", "99 of 100 credits left", topic=LONG)
        send(browser, "form[action='/upgrade/']", "Your new plan is active")
        look_at(browser, url, "9999 of 10000 credits left")
