"""What the commands print: tables for people, JSON for programs, errors in one line."""

from __future__ import annotations

import json
import re
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any

from chatarmin_os._messages import printable
from chatarmin_os._table import table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chatarmin_os._json import JSON


_KEY = re.compile(r"""os_sk_\w(?:[^\s'"]*[^\s'":;,)])?""")


def print_json(document: JSON) -> None:
    """Print one JSON document, always in the same form: in ASCII, which no terminal and no encoding can spoil."""
    print(json.dumps(document, indent=2))


def document_of(model: Any) -> Any:
    """Return a model as JSON: names of Python, instants as text, `extra` only where the service told more."""
    import attrs

    if attrs.has(type(model)):
        fields = {field.name: getattr(model, field.name) for field in attrs.fields(type(model))}
        return {name: document_of(value) for name, value in fields.items() if name != "extra" or value}
    if isinstance(model, (list, tuple)):
        return [document_of(item) for item in model]
    return model.isoformat() if isinstance(model, datetime) else model


def print_table(rows: Sequence[Mapping[str, Any]], indent: str = "") -> None:
    """Print rows as aligned columns under their names."""
    print("\n".join(table(rows, indent)))


def complain(text: str, *advice: str) -> None:
    """Print what went wrong, and what to do about it, where errors are looked for."""
    print(f"chatarmin-os: {printable(without_keys(text))}", file=sys.stderr)
    for line in advice:
        print(f"  {printable(without_keys(line))}", file=sys.stderr)


def without_keys(text: str) -> str:
    """Return a text without the API keys in it, such as one that was given where the name of its file belongs.

    Example:
        >>> without_keys("--api-key-file os_sk_live_1: No such file or directory")
        '--api-key-file [key]: No such file or directory'
    """
    return _KEY.sub("[key]", text)
