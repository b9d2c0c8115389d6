"""Run parts of the benchmarks, or all: `python -m benchmarks [PART...]`.

The exit code says nothing about the figures: they are no tests, and a busy machine must not fail a build.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

from benchmarks._measure import table

if TYPE_CHECKING:
    from benchmarks._measure import Part

_SAME_NAME = (
    "calls",
    "decode",
    "growth",
    "http",
    "gate",
    "outbox",
    "backfill",
    "otel",
    "serve",
    "page",
    "recordings",
    "doctor",
)
# A part is imported when its turn comes: `import` needs nothing installed but the package.
_MODULES = {"import": "imports"} | {name: name for name in _SAME_NAME}


def main() -> None:
    """Run the parts that the command line names, and print a table for each part."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Compare the package with its peers.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of {', '.join(_MODULES)}; default: all")
    asked = parser.parse_args().parts
    if unknown := sorted({*asked} - {*_MODULES}):
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(_MODULES)}")
    python = ".".join(map(str, sys.version_info[:2]))
    requests = ".".join(version("requests").split(".")[:2])
    print(f"{os.cpu_count()} cores, Python {python}, requests {requests}.")
    for name, module in _MODULES.items():
        if name in asked or not asked:
            part: Part = import_module(f"benchmarks.{module}").run()
            print(f"\n## {part.title}\n\n{part.note}\n\n{table(part.rows)}", flush=True)


if __name__ == "__main__":
    main()
