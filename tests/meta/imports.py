"""The import graph of the package, read from its source: also imports for type checkers, and late ones in functions."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PACKAGE = "chatarmin_os"


class Import(NamedTuple):
    """One module of the package imports another."""

    importer: str
    imported: str
    is_late: bool

    def __str__(self) -> str:
        return f"{self.importer} -> {self.imported}"


def modules() -> dict[str, Path]:
    """Return the modules of the package, by name."""
    paths = [path for path in (ROOT / PACKAGE).rglob("*.py") if path.stem.replace("_", "a").isidentifier()]
    return {_module_name(path): path for path in sorted(paths)}


def _module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports() -> list[Import]:
    """Return all imports between modules of the package."""
    found = modules()
    return sorted({edge for name, path in found.items() for edge in _imports_of(name, path, set(found))})


def _imports_of(name: str, path: Path, known: set[str]) -> Iterator[Import]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    late = {
        node
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            # A name is a module of its own, or one that the module defines.
            targets = [f"{node.module}.{alias.name}" for alias in node.names]
            targets = [target if target in known else node.module for target in targets]
        else:
            continue
        for target in targets:
            if target in known and target != name:
                yield Import(name, target, node in late)


def packages(edges: list[Import]) -> set[tuple[str, str]]:
    """Return the imports between top-level packages and modules: `chatarmin_os.fake.rules.names` is `fake`."""
    pairs = {(_top(edge.importer), _top(edge.imported)) for edge in edges}
    return {(importer, imported) for importer, imported in pairs if importer != imported}


def _top(name: str) -> str:
    return name.split(".")[1] if "." in name else name
