"""Private names of requests and urllib3 are touched in one module."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import requests
import urllib3

import chatarmin_os

PACKAGE = Path(chatarmin_os.__file__).parent
ONLY = PACKAGE / "transports" / "http" / "connections.py"
_IMPORT = re.compile(r"^\s*(?:from|import) (?:requests|urllib3)\b", re.MULTILINE)

USERS = sorted(
    path
    for path in PACKAGE.rglob("*.py")
    if path.is_relative_to(ONLY.parent) or _IMPORT.search(path.read_text(encoding="utf-8"))
)
"""The modules that import one of the two libraries, and their neighbours."""


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def _private_names_of_libraries() -> set[str]:
    """Return the private attributes, methods and functions that requests and urllib3 define."""
    names: set[str] = set()
    for library in (requests, urllib3):
        for path in Path(str(library.__file__)).parent.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                    names.add(node.attr)
                elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                    names.add(node.name)
    return {name for name in names if _is_private(name)}


def _touches(path: Path, of_libraries: set[str]) -> set[str]:
    """Return the private names of the libraries that a module may touch.

    These are attributes of other objects than `self`, attributes of `self` that the module does not set, texts such as
    the name in `getattr`, and the methods of classes that derive from another.
    """
    found: set[str] = set()
    of_self: set[str] = set()
    own: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id == "self"):
            found.add(node.attr)
        elif isinstance(node, ast.Attribute):
            (own if isinstance(node.ctx, ast.Store) else of_self).add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
        elif isinstance(node, ast.ClassDef):
            methods = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
            (found if node.bases else own).update(methods)
            own |= methods
    return (found | of_self - own) & of_libraries


def test_private_names_are_touched_in_one_module() -> None:
    """A new release of urllib3 or requests can break that module only."""
    names = _private_names_of_libraries()

    assert {path.name: touched for path in USERS if path != ONLY and (touched := _touches(path, names))} == {}
    assert _touches(ONLY, names) == {
        "_connection",
        "_get_conn",
        "_make_request",
        "_new_conn",
        "_pool",
        "_prepare_proxy",
        "_put_conn",
        "_tunnel",
        "_validate_conn",
    }
