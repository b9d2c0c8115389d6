"""Rows as aligned columns, for people."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from unicodedata import category, east_asian_width

from chatarmin_os._messages import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_EMOJI_STYLE = "\N{VARIATION SELECTOR-16}"
_JOINING_JAMO = frozenset(map(chr, range(0x1160, 0x1200)))  # drawn into the syllable that the letter before them began
_SKIN_TONES = frozenset(map(chr, range(0x1F3FB, 0x1F400)))  # drawn into the emoji before them


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
    widths = [max(map(display_width, column)) for column in zip(*cells, strict=True)]
    is_number = [all(isinstance(row[name], (int, float, type(None))) for row in rows) for name in names]
    lines = [
        "  ".join(
            _padding(cell, width) + cell if right else cell + _padding(cell, width)
            for cell, width, right in zip(line, widths, is_number, strict=True)
        )
        for line in cells
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return [f"{indent}{line}".rstrip() for line in lines]


def display_width(text: str) -> int:
    r"""Return how many columns of a terminal a text takes: two for wide letters and emoji, none for combining marks.

    Example:
        >>> display_width("Zoe\u0308"), display_width("日本"), display_width("👋🏽"), display_width("❤️")
        (3, 4, 2, 2)
    """
    if text.isascii():
        return len(text)
    columns = last = 0
    for letter in text:
        if letter == _EMOJI_STYLE:
            columns += last == 1  # what is drawn as text otherwise is drawn as a picture, which is wide
            last = 2
        elif not (category(letter).startswith("M") or letter in _JOINING_JAMO or letter in _SKIN_TONES):
            last = 2 if east_asian_width(letter) in {"W", "F"} else 1
            columns += last
    return columns


def _padding(text: str, width: int) -> str:
    return " " * (width - display_width(text))


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return printable(value.strftime("%Y-%m-%d %H:%M UTC") if isinstance(value, datetime) else str(value))
