"""Imports of the package: no circles, and the picture in CONTRIBUTING.md is the code's."""

from __future__ import annotations

import re
import tomllib
from graphlib import CycleError, TopologicalSorter

import pytest
from imports import ROOT, Import, imports, modules, packages

CLOSED_LATE = {
    "chatarmin_os._request -> chatarmin_os._converter": "an error has its request; encoding may raise an error",
    "chatarmin_os._pickling -> chatarmin_os.errors": "an error has its request; loading may raise an error",
    "chatarmin_os.cli.completion -> chatarmin_os.cli": "completion lists the commands, of which it is one",
}
"""Imports inside functions that close a circle -> the reason."""


def test_modules_import_in_no_circle() -> None:
    """Without the late imports that are listed above, modules can be sorted so that each imports only earlier ones."""
    graph: dict[str, set[str]] = {name: set() for name in modules()}
    for edge in imports():
        if not (edge.is_late and str(edge) in CLOSED_LATE):
            graph[edge.importer].add(edge.imported)

    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


@pytest.mark.parametrize("edge", CLOSED_LATE)
def test_late_import_exists(edge: str) -> None:
    """Each exception is an import of today, inside a function only."""
    importer, _, imported = edge.partition(" -> ")

    assert [found.is_late for found in imports() if found[:2] == (importer, imported)] == [True]


def test_picture_shows_the_imports_between_packages() -> None:
    """Each arrow in CONTRIBUTING.md is an import, and each import an arrow; all packages import the ground floor."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    re_exports = {edge for contract in contracts for edge in contract.get("ignore_imports", ())}
    counted = [edge for edge in imports() if str(edge) not in re_exports]
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    picture = text.partition("```mermaid\n")[2].partition("```")[0]
    drawn = {
        (importer, imported)
        for importers, importeds in re.findall(r"^ *([\w &]+) --> ([\w &]+)$", picture, re.MULTILINE)
        for importer in importers.split(" & ")
        for imported in importeds.split(" & ")
    }

    assert drawn == {pair for pair in packages(counted) if not {*pair} & _NOT_DRAWN and not _is_private(pair)}


_NOT_DRAWN = {"chatarmin_os", "__main__", "celery", "django", "errors", "flask", "pytest"}
"""The package itself, which exports lazily; its command; the ground floor; re-exports."""


def _is_private(pair: tuple[str, str]) -> bool:
    return any(name.startswith("_") for name in pair)


def test_imports_are_found() -> None:
    """The graph has imports at the top of a module, for type checkers, and inside functions."""
    assert Import("chatarmin_os.client", "chatarmin_os._call", is_late=False) in imports()
    assert Import("chatarmin_os.client", "chatarmin_os.resources.links", is_late=False) in imports()
    assert Import("chatarmin_os.client", "chatarmin_os.resources.links", is_late=True) in imports()
    assert Import("chatarmin_os.procedures.companies", "chatarmin_os._pydantic", is_late=False) in imports()
