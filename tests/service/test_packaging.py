"""The service is whole wherever Python programs are put: in a zip file, and in a program made with PyInstaller."""

from __future__ import annotations

import importlib.util
import pkgutil
import runpy
import shutil
import signal
import subprocess
import sys
import zipapp
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import requests

import chatarmin_os
from chatarmin_os import ChatarminOS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.slow

KEY = "os_sk_in_a_zip_file"
NEEDED = (
    "attr", "attrs", "cattrs", "certifi", "charset_normalizer", "chatarmin_os", "idna", "requests", "typing_extensions",
    "urllib3", "waitress",
)  # fmt: skip


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a zipapp of the command line, with everything that it needs."""
    folder = tmp_path_factory.mktemp("app")
    for name in NEEDED:
        found = importlib.util.find_spec(name)
        assert found is not None
        assert found.origin
        if found.submodule_search_locations:
            ignored = shutil.ignore_patterns("__pycache__", "*.so")
            shutil.copytree(Path(found.origin).parent, folder / name, ignore=ignored)
        else:
            shutil.copy(found.origin, folder)
    target = folder.with_suffix(".pyz")
    zipapp.create_archive(folder, target, main="chatarmin_os.cli:main")
    return target


def test_page_is_served_from_a_zip_file(program: Path) -> None:
    """With its script and style; calls work as usual, also from a snapshot."""
    command = [sys.executable, "-I", "-S", str(program), "serve", "--port", "0"]  # -S: nothing else that is installed
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own program
        assert process.stdout
        url = process.stdout.readline().strip()
        root = url.removesuffix("/api/v1")
        page = Path(chatarmin_os.__file__).parent / "server" / "page"
        try:
            for path, name in (
                ("/", "index.html"),
                ("/page.css", "page.css"),
                ("/page.js", "page.js"),
                ("/dom.js", "dom.js"),
            ):
                answer = requests.get(root + path)  # noqa: S113 - waits for no one
                assert (answer.status_code, answer.content) == (200, (page / name).read_bytes())
            with ChatarminOS(KEY, base_url=url) as client:
                assert client.onboard(external_org_id="org_1", tier_code="free").link_status == "created"
            snapshot = requests.get(f"{root}/__fake__/snapshot", headers={"x-api-key": KEY})  # noqa: S113
            assert snapshot.json()["result"]["data"]["companies"]
        finally:
            process.send_signal(signal.SIGTERM)


def test_commands_run_from_a_zip_file(program: Path) -> None:
    """Late imports included."""
    for arguments in (["quickstart", "--json"], ["completion", "bash"], ["--version"], ["recording", "--help"]):
        command = [sys.executable, "-I", "-S", "-W", "error", str(program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own program
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout


# PyInstaller


def _modules() -> Iterator[str]:
    for module in pkgutil.walk_packages(chatarmin_os.__path__, "chatarmin_os."):
        if not module.name.endswith(".hook-chatarmin_os"):
            yield module.name


def _collect_submodules(package: str, *, filter: Callable[[str], bool]) -> list[str]:
    """Return the modules of a package that pass a filter, as PyInstaller's function of this name does."""
    return [name for name in (package, *_modules()) if filter(name)]


def _collect_data_files(package: str) -> list[tuple[str, str]]:
    """Return the files of a package that are not modules, as PyInstaller's function of this name does."""
    folder = Path(importlib.import_module(package).__file__ or "").parent
    files = [file for file in folder.rglob("*.*") if file.suffix not in {".py", ".pyc"}]
    return [(str(file), str(file.parent.relative_to(folder.parent))) for file in files]


def test_pyinstaller_hook_collects_modules_and_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyInstaller finds it by its entry point; it adds the modules that no import statement shows."""
    hooks = ModuleType("PyInstaller.utils.hooks")
    hooks.__dict__.update(collect_submodules=_collect_submodules, collect_data_files=_collect_data_files)
    for name in ("PyInstaller", "PyInstaller.utils"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, hooks.__name__, hooks)
    (entry,) = [
        one for one in entry_points(group="pyinstaller40", name="hook-dirs") if one.value.startswith("chatarmin_os.")
    ]
    (folder,) = entry.load()()

    added: dict[str, list[Any]] = {"imports": [], "datas": []}
    api = SimpleNamespace(add_imports=lambda *names: added["imports"].extend(names), add_datas=added["datas"].extend)
    runpy.run_path(str(Path(folder) / "hook-chatarmin_os.py"))["hook"](api)

    left_out = {*_modules()} - {*added["imports"]}
    assert left_out == {"chatarmin_os.pytest", "chatarmin_os.integrations.pytest", "chatarmin_os._pyinstaller"}
    assert "chatarmin_os.server.waitress" in added["imports"]
    page = {Path(file).name for file, where in added["datas"] if where == "chatarmin_os/server/page"}
    assert page == {
        *("index.html", "page.css"),
        *(
            f"{name}.js"
            for name in (
                "page",
                "calls",
                "catalogue",
                "chart",
                "company",
                "control",
                "dialogs",
                "dom",
                "export",
                "stripe",
            )
        ),
    }


def test_start_imports_neither_sqlite_nor_the_views() -> None:
    """They are a good part of the time of a start, and most starts need neither; a name of the package brings them."""
    code = (
        "import sys; from chatarmin_os.fake.server import FakeService, Server; server = Server(FakeService()); "
        "server.stop(); late = ['sqlite3', *(f'chatarmin_os.server.{name}' for name in ('state', 'view', 'words'))]; "
        "print([name for name in late if name in sys.modules]); "
        "from chatarmin_os.fake.server import StateFile; print(StateFile.__name__, 'sqlite3' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own code
    assert done.stdout.split("\n")[:2] == ["[]", "StateFile True"]
