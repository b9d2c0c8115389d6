"""The output of the commands: tables for people, JSON for programs, errors on one line."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from chatarmin_os._messages import printable, redact_keys
from chatarmin_os._table import table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chatarmin_os._json import JSON


def print_json(document: JSON) -> None:
    """Print one JSON document, in ASCII, which every terminal and encoding can represent."""
    print(json.dumps(document, indent=2))


def print_table(rows: Sequence[Mapping[str, Any]], indent: str = "") -> None:
    """Print rows as aligned columns with a header."""
    print("\n".join(table(rows, indent)))


def complain(text: str, *advice: str) -> None:
    """Print an error and advice to standard error, without API keys."""
    print(f"chatarmin-os: {printable(redact_keys(text))}", file=sys.stderr)
    for line in advice:
        print(f"  {printable(redact_keys(line))}", file=sys.stderr)
