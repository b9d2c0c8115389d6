"""The table of assumptions is complete: criteria, docstrings and the page of the documentation agree with it."""

from __future__ import annotations

import ast
import re
from collections import Counter
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import assumptions_page
import pytest

from chatarmin_os.drift.assumptions import CRITERIA
from chatarmin_os.fake.router import ROUTES
from chatarmin_os.fake.rules.assumptions import ASSUMPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chatarmin_os.fake.rules.assumptions import Assumption

ROOT = Path(__file__).parents[2]
BY_NAME = {assumption.name: assumption for assumption in ASSUMPTIONS}
CRITERIA_BY_NAME = {name for criteria in CRITERIA.values() for name in criteria}

# The modules of the fake whose docstrings mention assumptions, and the assumptions that they mean.
MENTIONS = {
    "fake/lookup.py": {"input-company"},
    "fake/router.py": {"input-unstorable"},
    "fake/rules/addresses.py": {"input-email"},
    "fake/rules/urls.py": {"input-avatar"},
    "fake/rules/usage.py": {"usage-fraction"},
    "fake/stripe.py": {"cancel-access"},
}
GENERAL = {"fake/rules/__init__.py", "fake/transport.py"}
"""Modules with a docstring about assumptions in general."""

_MENTION = re.compile(r"\bassum|decided by this project", re.IGNORECASE)


def test_names_occur_once() -> None:
    """A name means one assumption."""
    assert [name for name, count in Counter(one.name for one in ASSUMPTIONS).items() if count > 1] == []


def test_topics_are_together() -> None:
    """The table has a part per noun."""
    topics = [topic for topic, _ in groupby(one.topic for one in ASSUMPTIONS)]

    assert len(topics) == len(set(topics))


@pytest.mark.parametrize("assumption", ASSUMPTIONS, ids=lambda one: one.name)
def test_row_is_well_formed(assumption: Assumption) -> None:
    """A name is words with hyphens, a text is one sentence, a version is one of the changelog or the next one."""
    assert re.fullmatch(r"[a-z]+(-[a-z]+)+", assumption.name)
    assert re.fullmatch(r"[A-Za-z].*\.", assumption.text)
    assert assumption.since in {"0.1.0", "0.2.0"}
    assert assumption.readme is None or re.fullmatch(
        r"[A-Z][A-Za-z ]+: .*[^.]|[a-z]+\.[A-Za-z]+: .*[^.]", assumption.readme
    )


@pytest.mark.parametrize("assumption", ASSUMPTIONS, ids=lambda one: one.name)
def test_assumption_is_exercised_or_says_why_not(assumption: Assumption) -> None:
    """An assumption has a criterion, or the reason why no recording can show it."""
    assert (assumption.name in CRITERIA_BY_NAME) == (assumption.unobservable is None)


def test_criteria_are_of_assumptions() -> None:
    """Each criterion names an assumption of the table, and procedures that there are."""
    assert CRITERIA_BY_NAME - BY_NAME.keys() == set()
    assert CRITERIA.keys() - ROUTES.keys() == set()


def _docstrings(path: Path) -> Iterator[str]:
    """Yield the docstrings of a module and of its classes and functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            yield ast.get_docstring(node) or ""


def test_assumptions_in_docstrings_are_in_the_table() -> None:
    """A docstring of the fake that mentions an assumption means one of the table."""
    files = [path for path in (ROOT / "chatarmin_os" / "fake").rglob("*.py") if path.name != "assumptions.py"]
    mentioning = [path for path in files if any(map(_MENTION.search, _docstrings(path)))]
    found = {path.relative_to(ROOT / "chatarmin_os").as_posix() for path in mentioning}

    assert found - GENERAL == MENTIONS.keys()
    assert set().union(*MENTIONS.values()) - BY_NAME.keys() == set()


def test_page_equals_the_table() -> None:
    """`docs/assumptions.md` is as `python tests/meta/assumptions_page.py` writes it."""
    assert assumptions_page.PATH.read_text(encoding="utf-8") == assumptions_page.page()
