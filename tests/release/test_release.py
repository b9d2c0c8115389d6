"""A release: its metadata, its distributions, its dependencies, and the image of the local service."""

from __future__ import annotations

import doctest
import fnmatch
import gzip
import io
import json
import os
import re
import subprocess
import tarfile
import threading
import tomllib
import zipfile
from configparser import ConfigParser
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import audit
import container
import distributions
import lowest
import pytest
import sbom

from chatarmin_os import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

ROOT = Path(__file__).parents[2]
SETUP = ConfigParser()
SETUP.read(ROOT / "setup.cfg", encoding="utf-8")
needs_build = pytest.mark.skipif(
    find_spec("pip_audit") is None or find_spec("cyclonedx_py") is None, reason="the group `build` is not installed"
)


@pytest.mark.parametrize("module", [audit, container, lowest, sbom], ids=lambda module: module.__name__)
def test_examples_of_the_scripts_run(module: ModuleType) -> None:
    """Their functions show arguments and results by examples."""
    failed, attempted = doctest.testmod(module)

    assert (failed, attempted > 0) == (0, True)


# Metadata


def _ranges(lines: list[str]) -> dict[str, str]:
    """Return the ranges of requirements by their names."""
    found = (re.fullmatch(r"([\w.-]+(?:\[[\w,-]+\])?) *(.*)", line) for line in lines)
    return {one[1]: one[2] for one in found if one}


def test_tests_run_with_the_ranges_of_the_extras() -> None:
    """Otherwise the newest version that an extra allows would not be the one that is tested."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    tested = _ranges([line for line in groups["test"] + groups["dask"] if isinstance(line, str)])
    lines = [line for text in SETUP["options.extras_require"].values() for line in text.splitlines()]
    extras = _ranges([line for line in lines if line and not line.startswith("#")])

    assert extras.pop("asgiref")  # a dependency of Django
    assert len(extras) == 11
    assert extras == {name: tested[name] for name in extras}


def test_lowest_versions_are_those_of_the_ranges() -> None:
    """A range without a lower end is refused."""
    assert {"attrs==24.1", "urllib3==2.7"} <= {*lowest.lowest(of_extras=False)}
    assert {"django==5.2", "flask[async]==3", "redis==5.1", "tqdm==4.64"} <= {*lowest.lowest(of_extras=True)}
    for text in ("django", "django <7", "django ~=5.2"):
        with pytest.raises(ValueError, match="expected NAME >=VERSION"):
            lowest.pin(text)


def test_classifiers_name_the_frameworks_of_the_extras() -> None:
    """Each with the versions that its range allows; no classifier is there twice."""
    classifiers = [line for line in SETUP["metadata"]["classifiers"].splitlines() if line]

    assert sorted(set(classifiers)) == sorted(classifiers)
    assert {f"Framework :: {name}" for name in ("Celery", "Django", "Flask", "Pytest")} <= {*classifiers}
    versions = [line.removeprefix("Framework :: Django :: ") for line in classifiers if ":: Django ::" in line]
    assert versions[0] == _ranges(SETUP["options.extras_require"]["django"].split("\n"))["django"][2:5]
    assert all(version < "7" for version in versions)
    pythons = [line.rpartition(" ")[2] for line in classifiers if re.search(r"Python :: 3\.\d", line)]
    assert f">={pythons[0]}" == SETUP["options"]["python_requires"]


def test_licence_is_an_expression() -> None:
    """Tools that check licences read it; the older `license` is text that means nothing to them."""
    assert SETUP["metadata"]["license_expression"] == "MIT"
    assert "license" not in SETUP["metadata"]


def test_security_policy_supports_this_version() -> None:
    """The table's first row is the minor release of the package, and nobody is sent to an invented address."""
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")

    assert re.findall(r"^\| (\d+\.\d+) \| yes", text, re.MULTILINE) == [__version__.rpartition(".")[0]]
    assert not re.search(r"\S@\S|mailto:", text)


def test_source_archive_has_the_documents_and_the_tests() -> None:
    """The sdist is complete: each file that a test reads is in it."""
    lines = (ROOT / "MANIFEST.in").read_text(encoding="utf-8").split()

    files = {"CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "Dockerfile", ".dockerignore", "zensical.toml"}
    assert files | {"benchmarks", "tests", "docs", "examples", "findings"} <= {*lines}


# Distributions


def _sdist(*, names: list[str], mtime: int, mode: int, owner: str) -> bytes:
    """Return an sdist as setuptools writes it, with the times, modes and owner of a machine."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile("made.tar", "wb", fileobj=packed, mtime=mtime) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as files,
    ):
        for name in names:
            entry = tarfile.TarInfo(f"package-1/{name}")
            entry.size, entry.mtime, entry.mode = len(name), mtime, mode
            entry.uid, entry.uname, entry.pax_headers = mtime, owner, {"mtime": f"{mtime}.5"}
            files.addfile(entry, io.BytesIO(name.encode()))
    return packed.getvalue()


def test_sdists_of_two_machines_become_the_same_bytes() -> None:
    """Order, times, owners and modes of files differ; names, contents and the right to execute stay."""
    first = _sdist(names=["a", "b"], mtime=1_700_000_000, mode=0o644, owner="ann")
    second = _sdist(names=["b", "a"], mtime=1_800_000_000, mode=0o600, owner="bob")
    assert first != second

    packed = distributions.repack(first, 1_600_000_000)

    assert packed == distributions.repack(second, 1_600_000_000)
    assert packed != distributions.repack(second, 1_600_000_001)
    with tarfile.open(fileobj=io.BytesIO(packed)) as files:
        found = [(one.name, one.mode, one.mtime, one.uid, one.uname) for one in files]
        content = files.extractfile("package-1/b")
        assert content
        assert content.read() == b"b"
    assert found == [(f"package-1/{name}", 0o644, 1_600_000_000, 0, "") for name in "ab"]
    script = distributions.repack(_sdist(names=["run"], mtime=1, mode=0o700, owner="ann"), 2)
    with tarfile.open(fileobj=io.BytesIO(script)) as files:
        assert files.getmember("package-1/run").mode == 0o755


# Known vulnerabilities


class _Advisories(BaseHTTPRequestHandler):
    """A list of vulnerabilities in the format of OSV, in which one version of one package is."""

    def do_POST(self) -> None:
        """Answer a query."""
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        is_listed = (asked["package"]["name"], asked["version"]) == ("leaky", "1.0")
        events = [{"introduced": "0"}, {"fixed": "1.1"}]
        affected = {
            "package": {"name": "leaky", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": events}],
        }
        listed = {"id": "PYSEC-1", "affected": [affected], "summary": "it leaks", "published": "2026-01-01T00:00:00Z"}
        content = json.dumps({"vulns": [listed]} if is_listed else {}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Be quiet."""


@pytest.fixture
def advisories() -> Iterator[str]:
    """Serve the list, and yield its URL."""
    with HTTPServer(("127.0.0.1", 0), _Advisories) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()
        thread.join()


def _installed(folder: Path, **versions: str) -> str:
    """Return a folder of installed packages."""
    for name, version in versions.items():
        info = folder / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    return str(folder)


@needs_build
def test_known_vulnerability_fails(advisories: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The output names the package, its version, the advisory and the version that fixes it."""
    folder = _installed(tmp_path, leaky="1.0", sound="2.0")

    assert audit.main(folder, "--osv-url", advisories, services=("osv",)) == 1
    assert "leaky 1.0: PYSEC-1, fixed in 1.1" in capsys.readouterr().out


@needs_build
def test_packages_without_a_known_vulnerability_pass(
    advisories: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The output names them: nothing is taken for clean that was not looked up."""
    assert audit.main(_installed(tmp_path, leaky="1.1", sound="2.0"), "--osv-url", advisories, services=("osv",)) == 0
    assert capsys.readouterr().out == "osv: no known vulnerability in leaky, sound\n"


@needs_build
def test_lists_that_cannot_be_reached_are_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The output says that nothing was audited."""
    closed = HTTPServer(("127.0.0.1", 0), _Advisories)
    closed.server_close()
    url = f"http://127.0.0.1:{closed.server_port}/"

    assert audit.main(_installed(tmp_path, leaky="1.0"), "--osv-url", url, services=("osv",)) == 0
    assert capsys.readouterr().out == "osv: NOT AUDITED: all: it cannot be reached\n"


@needs_build
def test_broken_audit_fails(tmp_path: Path) -> None:
    """An option that pip-audit does not have is no missing network."""
    with pytest.raises(SystemExit, match="pip-audit failed with exit code 2"):
        audit.main(_installed(tmp_path, leaky="1.0"), "--no-such-option")


# The image


def test_image_is_pinned_checked_and_not_run_by_root() -> None:
    """The base has a version of Python and a release of Debian; the user is set after the last command of root."""
    found = container.instructions((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    names = [one.name for one in found]
    by_name = {one.name: one for one in found}

    assert re.fullmatch(r"python:3\.\d+-slim-[a-z]+", by_name["FROM"].text)
    assert by_name["USER"].text not in {"root", "0"}
    assert names.count("USER") == 1
    assert max(place for place, name in enumerate(names) if name == "RUN") < names.index("USER")
    assert by_name["EXPOSE"].text == container.PORT
    assert f":{container.PORT}/" in by_name["HEALTHCHECK"].words[-1]
    assert by_name["ENTRYPOINT"].words[:2] == ["chatarmin-os", "serve"]


def test_image_copies_what_is_not_ignored() -> None:
    """A file that `.dockerignore` leaves out would fail the build."""
    found = container.instructions((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    sources = [name for one in found if one.name == "COPY" for name in one.text.split()[:-1]]
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert "chatarmin_os" in sources
    for name in sources:
        assert (ROOT / name).exists()
        verdicts = [not rule.startswith("!") for rule in rules if fnmatch.fnmatchcase(name, rule.lstrip("!"))]
        assert verdicts[-1] is False, name


_DOCKER = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/log"
case "$*" in
    run*) echo container-1 ;;
    *"id -u") echo USER ;;
esac
"""


@pytest.mark.parametrize("user", ["1000", "0"], ids=["user", "root"])
def test_image_is_built_run_and_removed(
    user: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """If Docker runs, here a program that notes its arguments; a container that runs as root fails, and is removed."""
    (tmp_path / "docker").write_text(_DOCKER.replace("USER", user), encoding="utf-8")
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    if user == "0":
        with pytest.raises(SystemExit, match="the container runs as root"):
            container.main()
    else:
        container.main()
        assert capsys.readouterr().out == "the image was built and run by docker\n"

    log = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    assert [line.split()[0] for line in log[:4]] == ["info", "build", "run", "exec"]
    assert log[-2:] == ["stop container-1", f"rmi {container.IMAGE}"]
    assert any("urlopen" in line for line in log)


@needs_build
@pytest.mark.slow
def test_own_sbom_lists_what_the_wheel_needs(tmp_path: Path) -> None:
    """A dependency that is missing from an environment fails, and so does one that nothing needs."""
    wheel = tmp_path / "thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as files:
        metadata = "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\nRequires-Dist: sound>=1\n"
        files.writestr("thing-1.0.dist-info/METADATA", metadata + 'Requires-Dist: tqdm; extra == "bar"\n')
    subprocess.run(["python3", "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)  # noqa: S603, S607
    (packages,) = (tmp_path / "venv" / "lib").glob("python3*/site-packages")

    def problems() -> list[str]:
        content = sbom.sbom(wheel, str(tmp_path / "venv" / "bin" / "python"))
        return sbom.problems(content, {one.name for one in sbom.requirements_of(sbom.metadata_of(wheel))})

    assert problems() == ["the SBOM lacks sound"]
    _installed(packages, sound="2.0")
    assert problems() == []
    _installed(packages, other="1.0")
    assert problems() == ["nothing needs other"]
