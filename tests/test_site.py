"""The documentation builds, describes every public name, and loads nothing from other hosts."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from html import unescape
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
from documentation import DOCS, ROOT, public_names

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(find_spec("zensical") is None, reason="the group `docs` is not installed")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the documentation in a folder of its own; a warning fails the build."""
    folder = tmp_path_factory.mktemp("documentation")
    for name in ("chatarmin_os", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("zensical.toml", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"):
        shutil.copy(ROOT / name, folder)
    command = [sys.executable, "-m", "zensical", "build", "--strict"]

    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 - our own pages

    assert done.returncode == 0, done.stdout + done.stderr
    # The log alone has the reports of mkdocstrings and Griffe: a name that does not exist, an argument that a signature
    # lacks. The build still succeeds with "No issues found".
    assert not re.search(r"error|warning|griffe|mkdocstrings", done.stdout + done.stderr, re.IGNORECASE), (
        done.stdout + done.stderr
    )
    return folder / "site"


def test_every_page_is_in_the_navigation() -> None:
    """A page that no menu lists is not found."""
    settings = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))
    listed = re.findall(r"'([\w/-]+\.md)'", str(settings["project"]["nav"]))

    assert sorted(listed) == sorted(page.relative_to(DOCS).as_posix() for page in DOCS.glob("**/*.md"))


def test_the_reference_describes_every_public_name(site: Path) -> None:
    """Names that the package imports lazily have their docstrings, and classes of attrs their fields."""
    entries: dict[str, str] = {}
    for page in (site / "reference").glob("*/index.html"):
        parts = re.split(r'<h[2-6] id="(chatarmin_os[\w.]*)"', page.read_text(encoding="utf-8"))
        entries |= dict(zip(parts[1::2], parts[2::2], strict=True))

    assert [name for name in public_names() if name not in entries] == []
    assert [name for name in public_names() if "<p>" not in entries[name]] == []
    assert "idempotency_key" in entries["chatarmin_os.TrackUsageInput"]
    assert "short_id" in entries["chatarmin_os.Company"]
    assert "chatarmin_os.ChatarminOS.sign_up" in entries


def test_signatures_have_inherited_fields_and_values_of_private_defaults(site: Path) -> None:
    """A signature of the reference is the one that Python has, on lines that fit a page."""
    requests = _signatures(site / "reference" / "requests" / "index.html")
    client = _signatures(site / "reference" / "client" / "index.html")

    assert "CreateContactInput(\n    *,\n    email: str,\n    name: str | None = None,\n" in requests
    assert "ContactInput(\n    *,\n    email: str,\n    name: str | None = None,\n" in requests
    assert "\n    timeout: Number = 10.0,\n    max_retries: int = 2,\n" in client


def _signatures(page: Path) -> str:
    """Return the signatures of a page as text."""
    found = re.findall(r'<div class="[^"]*doc-signature[^"]*">(.*?)</div>', page.read_text("utf-8"), re.DOTALL)
    return unescape(re.sub("<[^>]+>", "", "\n".join(found)))


def test_pages_load_nothing_from_other_hosts(site: Path) -> None:
    """Scripts, styles, fonts and pictures come with the site."""
    pages = [*site.glob("**/*.html")]
    loaded = re.compile(r'<(?:script|img|iframe)[^>]* src="https?:|<link[^>]* href="https?:[^>]*rel="stylesheet')
    styles = [style.read_text(encoding="utf-8") for style in site.glob("**/*.css")]

    assert pages
    assert not any(
        'class="mermaid"' in page.read_text(encoding="utf-8") for page in pages
    )  # its script would be loaded
    assert [str(page) for page in pages if loaded.search(page.read_text(encoding="utf-8"))] == []
    assert not any(re.search(r"url\([\"']?https?:|@import", style) for style in styles)
