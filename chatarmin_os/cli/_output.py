"""What the commands print: tables for people, JSON for programs, errors in one line."""

from __future__ import annotations

import json
import re
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any

from chatarmin_os.errors import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chatarmin_os._json import JSON


_KEY = re.compile(r"""os_sk_\w(?:[^\s'"]*[^\s'":])?""")


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
    """Print rows as aligned columns under their names; None is a dash, numbers stand to the right."""
    names = list(rows[0])
    cells = [[name.replace("_", " ") for name in names]]
    cells += [[_cell(row[name]) for name in names] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    is_number = [all(isinstance(row[name], (int, float, type(None))) for row in rows) for name in names]
    lines = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, is_number, strict=True)
        )
        for line in cells
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    for line in lines:
        print(f"{indent}{line}".rstrip())


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return printable(value.strftime("%Y-%m-%d %H:%M UTC") if isinstance(value, datetime) else str(value))


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
