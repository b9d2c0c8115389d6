"""The public names: a version may add some, and loses none."""

from __future__ import annotations

import re
from difflib import unified_diff
from pathlib import Path

from public_names import MODULES, public_names

RECORDED = Path(__file__).with_name("public_names.txt")
PROMISE = Path(__file__).parents[2] / "docs" / "compatibility.md"


def test_public_names_are_those_on_record() -> None:
    """Names, members and signatures are those of `public_names.txt`; a new name needs its line."""
    recorded = RECORDED.read_text(encoding="utf-8").splitlines()

    assert list(unified_diff(recorded, [*public_names()], "on record", "in the package", lineterm="", n=1)) == []


def test_promise_names_all_public_modules() -> None:
    """A reader sees which names are kept. The tasks of Django 6 can be imported with that version only."""
    public = PROMISE.read_text(encoding="utf-8").partition("## Public\n")[2].partition("\n## ")[0]

    assert sorted(re.findall(r"`(chatarmin_os[\w.]*)`", public)) == sorted([*MODULES, "chatarmin_os.django.tasks"])
