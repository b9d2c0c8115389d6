"""Print the lowest versions that setup.cfg allows, for pip: python tests/release/lowest.py [--extras]."""

from __future__ import annotations

import re
import sys
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).parents[2]


def lowest(*, of_extras: bool) -> list[str]:
    """Return the dependencies of the package, or those of its extras, with the lower ends of their ranges."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    texts = setup["options.extras_require"].values() if of_extras else [setup["options"]["install_requires"]]
    lines = {
        line.partition(";")[0] for text in texts for line in text.splitlines() if line and not line.startswith("#")
    }
    return sorted(pin(line) for line in lines)


def pin(requirement: str) -> str:
    """Return a requirement with the lower end of its range.

    Example:
        >>> pin("flask[async] >=3,<4")
        'flask[async]==3'
    """
    found = re.fullmatch(r"([\w.-]+(?:\[[\w,-]+\])?) *>=([\d.]+(?:b\d+)?)(?:,<[\d.]+)?", requirement.strip())
    if found is None:
        raise ValueError(f"expected NAME >=VERSION with an upper end or none, got {requirement!r}")
    return "==".join(found.groups())


if __name__ == "__main__":
    print(*lowest(of_extras=False), *(lowest(of_extras=True) if "--extras" in sys.argv else []), sep="\n")
