"""Write `docs/assumptions.md` from the table of assumptions.

python tests/meta/assumptions_page.py
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from chatarmin_os.fake.rules.assumptions import ASSUMPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chatarmin_os.fake.rules.assumptions import Assumption

PATH = Path(__file__).parents[2] / "docs" / "assumptions.md"

_HEAD = """\
# Assumptions

The README of the service's TypeScript SDK is the only description of the service. Where it is silent or leaves a
choice, this project assumes the less convenient of two possible services: with a kinder fake, a test could pass that
fails in production. This page lists the assumptions; `chatarmin-os assumptions` prints them, with `--json` for
programs.

`chatarmin-os recording check` compares your recordings of the real service with the fake. For each assumption it says
whether your calls exercise it, and whether they confirm or contradict it. If a recording contradicts an assumption, the
service behaves differently: rely on the recording, not on the fake.

The third column names the section of the service's README that is about the matter, and paraphrases it. A dash means
that it says nothing. *Not observable* means that no recording can confirm or contradict the assumption.

Each assumption holds since version 0.1.0, unless its row names another version. Version
0.2.0 is the next release.
"""


def page() -> str:
    """Return the page."""
    parts = [_HEAD]
    for topic, assumptions in groupby(ASSUMPTIONS, lambda one: one.topic):
        parts += [f"\n## {topic.capitalize()}\n\n", *_table(assumptions)]
    return "".join(parts)


def _table(assumptions: Iterator[Assumption]) -> Iterator[str]:
    yield "| Name | Assumption | The service's README |\n|---|---|---|\n"
    for one in assumptions:
        since = "" if one.since == "0.1.0" else f" Since {one.since}."
        observable = f" *Not observable: {one.unobservable}.*" if one.unobservable else ""
        yield f"| `{one.name}` | {_cell(one.text)}{since}{_cell(observable)} | {_cell(one.readme or '-')} |\n"


def _cell(text: str) -> str:
    """Return a text as Markdown in a cell."""
    return text.replace("__proto__", "`__proto__`").replace("|", "\\|")


if __name__ == "__main__":
    PATH.write_text(page(), encoding="utf-8")
