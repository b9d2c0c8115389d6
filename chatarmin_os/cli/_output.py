"""The output of the commands: tables for people, JSON for programs, errors on one line."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any

from chatarmin_os._messages import printable
from chatarmin_os._table import table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chatarmin_os._json import JSON

_KEY = re.compile(r"""os_sk_\w(?:[^\s'"]*[^\s'":;,)])?""")


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


def redact_keys(text: str) -> str:
    """Return a text without API keys, such as one that was typed instead of the name of its file.

    Example:
        >>> redact_keys("--api-key-file os_sk_live_1: No such file or directory")
        '--api-key-file [key]: No such file or directory'
    """
    return _KEY.sub("[key]", text)
