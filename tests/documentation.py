"""The examples of the README and of the documentation; run it to write them to a folder for type checkers.

    python tests/documentation.py FOLDER

The Python blocks of a section belong together: they are one module, or one file for each `title="..."`.
"""

from __future__ import annotations

import json
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"

PUBLIC_MODULES = (
    "chatarmin_os",
    "chatarmin_os.resources",
    "chatarmin_os.fake",
    "chatarmin_os.fake.server",
    "chatarmin_os.transports",
    "chatarmin_os.transports.redactors",
    "chatarmin_os.drift",
    "chatarmin_os.pytest",
    "chatarmin_os.explanation",
    "chatarmin_os.gate",
    "chatarmin_os.gate.caches",
    "chatarmin_os.outbox",
    "chatarmin_os.celery",
    "chatarmin_os.backfill",
    "chatarmin_os.django",
    "chatarmin_os.django.rest_framework",
    "chatarmin_os.django.test",
    "chatarmin_os.flask",
    "chatarmin_os.integrations.openfeature",
    "chatarmin_os.integrations.opentelemetry",
)

_PARTS = re.compile(
    r"^```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<code>.*?)^```$|^##? (?P<heading>[^\n]+)$",
    re.MULTILINE | re.DOTALL,
)
"""A fenced block, or a heading outside of one."""


# Django has no types: its test case is a subclass of Any for mypy, its decorators are untyped, and pyright guesses the
# types of its responses. Dask's client has no types either. The other settings are those of the project, for which mypy
# has checked the same modules before: with settings that differ it would check all of them again.
_MYPY = """\
[mypy]
strict = True
enable_error_code = ignore-without-code, truthy-bool
untyped_calls_exclude = distributed

[mypy-django.*,celery.*]
ignore_missing_imports = True

[mypy-shop.*]
disallow_subclassing_any = False
disallow_untyped_decorators = False
"""
_PYRIGHT_FOR_DJANGO = {"reportArgumentType": False, "reportAttributeAccessIssue": False}


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    section: str
    language: str
    title: str
    code: str


class Example(NamedTuple):
    """Files that belong together, and the commands that follow them."""

    page: str
    name: str
    files: dict[str, str]
    commands: str


def pages() -> list[Path]:
    """Return the pages that people write; those of the reference are made from docstrings."""
    return [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]


def blocks() -> list[Block]:
    """Return the fenced blocks of all pages, with the heading of level 1 or 2 that they are below."""
    found = []
    for page in pages():
        section = ""
        for part in _PARTS.finditer(page.read_text(encoding="utf-8")):
            if part["heading"]:
                section = part["heading"]
            else:
                found.append(Block(page.stem.lower(), section, part["language"], part["title"] or "", part["code"]))
    return found


def examples() -> list[Example]:
    """Return the Python of each section: one module of its untitled blocks, and the files of its titled ones."""
    found: dict[str, Example] = {}
    for block in blocks():
        if block.language not in {"python", "sh"}:
            continue
        name = re.sub(r"\W+", "_", f"{block.page}_{block.section}".lower())
        if block.title:
            name += "_files"
        example = found.setdefault(name, Example(block.page, name, {}, ""))
        if block.language == "sh":
            files = found.pop(f"{name}_files", None)
            if files:
                found[files.name] = files._replace(commands=files.commands + block.code)
            continue
        file = block.title or "example.py"
        example.files[file] = "\n".join(filter(None, [example.files.get(file), block.code]))
    return [example for example in found.values() if example.files]


def is_django(example: Example) -> bool:
    """Return whether an example is part of a project of Django."""
    return "chatarmin_settings.py" in example.files


def public_names() -> list[str]:
    """Return the public names of the package, an object that has several by the first of them."""
    names: dict[int, str] = {}
    for module_name in PUBLIC_MODULES:
        module = import_module(module_name)
        for name in module.__all__:
            if not name.startswith("pytest_"):  # pytest calls these
                names.setdefault(id(getattr(module, name)), f"{module_name}.{name}")
    return sorted(names.values())


def write(folder: Path) -> None:
    """Write modules to *folder*, files that belong together to folders in it, and settings of the type checkers."""
    folders: list[dict[str, Any]] = []
    for example in examples():
        is_module = [*example.files] == ["example.py"]
        parent = folder if is_module else folder / example.name
        parent.mkdir(parents=True, exist_ok=True)
        if not is_module:
            folders.append({"root": example.name} | (_PYRIGHT_FOR_DJANGO if is_django(example) else {}))
        for file, code in example.files.items():
            path = parent / (f"{example.name}.py" if is_module else file)
            if path.parent != parent:
                path.parent.mkdir(exist_ok=True)
                (path.parent / "__init__.py").touch()
            path.write_text(code, encoding="utf-8")
    settings = {"extraPaths": [str(ROOT)], "executionEnvironments": folders}
    (folder / "mypy.ini").write_text(_MYPY, encoding="utf-8")
    (folder / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
