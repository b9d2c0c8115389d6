"""Rows as aligned columns, for people."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from chatarmin_os.errors import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def table(rows: Sequence[Mapping[str, Any]], indent: str = "") -> list[str]:
    r"""Return the lines of a table under its column names; None is a dash, numbers stand to the right.

    Example:
        >>> print("\n".join(table([{"feature": "seats", "used": 3}, {"feature": None, "used": 12}])))
        feature  used
        -------  ----
        seats       3
        -          12
    """
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
    return [f"{indent}{line}".rstrip() for line in lines]


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return printable(value.strftime("%Y-%m-%d %H:%M UTC") if isinstance(value, datetime) else str(value))
