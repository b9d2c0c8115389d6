"""`chatarmin-os assumptions`: the table of assumptions, for people and for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from chatarmin_os.cli import main
from chatarmin_os.fake.rules.assumptions import ASSUMPTIONS

if TYPE_CHECKING:
    import pytest


def test_assumptions_are_printed_by_topic(capsys: pytest.CaptureFixture[str]) -> None:
    """Each assumption has its name, its version and its text under its topic, in at most 100 columns of ASCII."""
    assert main(["assumptions"]) == 0

    printed, errors = capsys.readouterr()
    words = " ".join(printed.split())
    assert errors == ""
    assert printed.isascii()
    assert printed.startswith("Columns: the name of the assumption, the version since which the fake assumes it, and ")
    assert max(map(len, printed.splitlines())) <= 100
    assert printed.index("Inputs:\n") < printed.index("Companies:\n") < printed.index("Answers:\n")
    for one in ASSUMPTIONS:
        assert f"{one.name} {one.since} {one.text}" in words


def test_assumptions_json_has_stable_keys(capsys: pytest.CaptureFixture[str]) -> None:
    """The document has each assumption, in the order of the table."""
    assert main(["assumptions", "--json"]) == 0

    document = json.loads(capsys.readouterr().out)
    assert document.keys() == {"assumptions"}
    assert [row["name"] for row in document["assumptions"]] == [one.name for one in ASSUMPTIONS]
    for row in document["assumptions"]:
        assert row.keys() == {"name", "topic", "text", "readme", "since", "unobservable"}
    (fraction,) = [row for row in document["assumptions"] if row["name"] == "usage-fraction"]
    assert fraction == {
        "name": "usage-fraction",
        "topic": "usage",
        "text": "A quantity may be a fraction, and is counted exactly.",
        "readme": None,
        "since": "0.2.0",
        "unobservable": None,
    }
