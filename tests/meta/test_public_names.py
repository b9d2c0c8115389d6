"""The public names: a version may add some, and loses none."""

from __future__ import annotations

from difflib import unified_diff
from pathlib import Path

from public_names import public_names

RECORDED = Path(__file__).with_name("public_names.txt")


def test_public_names_are_those_on_record() -> None:
    """Names, members and signatures are those of `public_names.txt`; a new name needs its line."""
    recorded = RECORDED.read_text(encoding="utf-8").splitlines()

    assert list(unified_diff(recorded, [*public_names()], "on record", "in the package", lineterm="", n=1)) == []
