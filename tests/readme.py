"""The Python blocks of the README, a module per section; run it to write them to a folder for type checkers."""

from __future__ import annotations

import re
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def sections() -> dict[str, str]:
    """Return the Python of each section that has any, by its title; blocks of one section belong together."""
    found = {}
    for section in re.split(r"^## ", README.read_text(encoding="utf-8"), flags=re.MULTILINE):
        blocks = re.findall(r"^```python\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL)
        if blocks:
            found[section.partition("\n")[0]] = "\n".join(blocks)
    return found


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for title, code in sections().items():
        name = re.sub(r"\W+", "_", title.lower())
        (folder / f"readme_{name}.py").write_text(code, encoding="utf-8")
