"""The lines of an application that exist only to connect it to this package.

    python tests/glue.py FILE...

The rule: a line of code counts if it belongs to a statement that mentions the package: a name that was imported from
it, an object that was made of such a name, or the setting. Of a compound statement only its header and its decorators
count, not its body. The function that says whose request it is counts whole, with its decorators. Blank lines, comments
and docstrings do not count.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE, SETTING, LOADER = "chatarmin_os", "CHATARMIN_OS", "organisation_loader"


def glue(source: str, *, organisation: str | None = None) -> list[str]:
    """Return the lines of a module that connect it; *organisation* is the function that a setting names."""
    tree, lines = ast.parse(source), source.splitlines()
    names = {*_names(tree)}
    numbers = {number for node in ast.walk(tree) for number in _numbers(node, names, organisation)}
    return [lines[number - 1] for number in sorted(numbers) if not lines[number - 1].lstrip().startswith("#")]


def _names(tree: ast.Module) -> Iterator[str]:
    """Yield the names in a module that are the package's, or that are assigned an object made of one of those."""
    names = {SETTING}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and _is_ours(node.module):
            names |= {alias.asname or alias.name for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and _mentions(node.value, names):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    yield from names


def _numbers(node: ast.AST, names: set[str], organisation: str | None) -> Iterator[int]:
    """Yield the numbers of the lines of a statement, or of a part of one, that count."""
    if _is_entry(node):
        yield from _lines(node)
    elif isinstance(node, ast.FunctionDef) and _is_loader(node, organisation):
        first = node.body[ast.get_docstring(node) is not None]
        for decorator in node.decorator_list:
            yield from _lines(decorator)
        yield from (*range(node.lineno, node.body[0].lineno), *range(first.lineno, (node.end_lineno or 0) + 1))
    else:
        for part in _parts(node):
            if _mentions(part, names):
                yield from _lines(part)


def _is_entry(node: ast.AST) -> bool:
    """Return whether the package is imported, set up by keyword, or entered in a list of an application."""
    if isinstance(node, ast.ImportFrom):
        return _is_ours(node.module)
    if isinstance(node, ast.keyword):
        return node.arg == SETTING
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(f"{PACKAGE}.")


def _is_ours(module: str | None) -> bool:
    return (module or "").split(".")[0] == PACKAGE


def _is_loader(function: ast.FunctionDef, organisation: str | None) -> bool:
    return function.name == organisation or any(
        isinstance(one, ast.Attribute) and one.attr == LOADER for one in function.decorator_list
    )


def _parts(node: ast.AST) -> list[ast.AST]:
    """Return a simple statement, or what a compound one has next to its body."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [*node.decorator_list]
    if isinstance(node, ast.With):
        return [*node.items]
    if isinstance(node, ast.ExceptHandler):
        return [node.type] if node.type else []
    if isinstance(node, ast.If | ast.While):
        return [node.test]
    if isinstance(node, ast.For):
        return [node.iter]
    return [node] if isinstance(node, ast.stmt) and not isinstance(node, ast.Try) else []


def _mentions(node: ast.AST, names: set[str]) -> bool:
    return any(
        (isinstance(one, ast.Name) and one.id in names)
        or (isinstance(one, ast.Attribute) and one.attr == "features" and ast.unparse(one.value) == "request")
        for one in ast.walk(node)
    )


def _lines(node: ast.AST) -> range:
    located = node.context_expr if isinstance(node, ast.withitem) else node
    assert isinstance(located, ast.stmt | ast.expr | ast.keyword)
    return range(located.lineno, (located.end_lineno or located.lineno) + 1)


if __name__ == "__main__":
    for path in sys.argv[1:]:
        found = glue(Path(path).read_text(), organisation="organisation_of")
        print(f"{path}: {len(found)}", *found, sep="\n")  # noqa: T201 - a program
