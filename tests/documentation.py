"""The examples of the README and of the documentation; run it to write them to a folder for type checkers.

    python tests/documentation.py FOLDER

The Python blocks of a section belong together: they are one module, or one file for each `title="..."`.
"""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

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
)

_BLOCK = re.compile(
    r'^```(?P<language>\w*)(?: title="(?P<title>[^"]+)")?\n(?P<code>.*?)^```$', re.MULTILINE | re.DOTALL
)


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    section: str
    language: str
    title: str
    code: str


class Example(NamedTuple):
    """Files that belong together, and the commands beside them."""

    name: str
    files: dict[str, str]
    commands: str


def pages() -> list[Path]:
    """Return the pages that people write; those of the reference are made from docstrings."""
    return [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]


def blocks() -> list[Block]:
    """Return the fenced blocks of all pages, with the level-2 heading they are below."""
    return [
        Block(page.stem.lower(), section.partition("\n")[0], block["language"], block["title"] or "", block["code"])
        for page in pages()
        for section in re.split(r"^##? ", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
        for block in _BLOCK.finditer(section)
    ]


def examples() -> list[Example]:
    """Return the Python of each section: one module of its untitled blocks, and the files of its titled ones."""
    found: dict[str, Example] = {}
    for block in blocks():
        if block.language not in {"python", "sh"}:
            continue
        name = re.sub(r"\W+", "_", f"{block.page}_{block.section}".lower())
        if block.title:
            name += "_files"
        example = found.setdefault(name, Example(name, {}, ""))
        if block.language == "sh":
            files = found.pop(f"{name}_files", None)
            if files:
                found[files.name] = files._replace(commands=files.commands + block.code)
            continue
        file = block.title or "example.py"
        example.files[file] = "\n".join(filter(None, [example.files.get(file), block.code]))
    return [example for example in found.values() if example.files]


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
    """Write each module to *folder*, and files that belong together to a folder of their own in it."""
    folder.mkdir(parents=True, exist_ok=True)
    for example in examples():
        if [*example.files] == ["example.py"]:
            (folder / f"{example.name}.py").write_text(example.files["example.py"], encoding="utf-8")
            continue
        (folder / example.name).mkdir(exist_ok=True)
        for file, code in example.files.items():
            (folder / example.name / file).write_text(code, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
