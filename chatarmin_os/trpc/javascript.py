"""Values as JavaScript reads and writes them: its numbers, `JSON.stringify`, `decodeURIComponent`."""

from __future__ import annotations

import json
import math
import re
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from chatarmin_os._json import MAX_SAFE_INTEGER, decode, timestamp_text
from chatarmin_os._unset import UNSET

_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")


def parsed(text: str) -> Any:
    """Return JSON with the numbers that JavaScript makes of it.

    Raises:
        ValueError: It is none, or nested without end.
    """
    return decode(_decoder, text)


def _number(text: str) -> float:
    number = float(text)
    return int(number) if number.is_integer() and abs(number) <= MAX_SAFE_INTEGER else number


def _constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


_decoder = json.JSONDecoder(parse_float=_number, parse_int=_number, parse_constant=_constant)


def plain(value: Any) -> Any:
    """Return a value as `JSON.stringify` has it."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items() if inner is not UNSET}
    if isinstance(value, (list, tuple)):
        return [None if inner is UNSET else plain(inner) for inner in value]
    if isinstance(value, datetime):
        return timestamp_text(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def unquoted(path: str) -> str:
    """Return what `decodeURIComponent` returns.

    Raises:
        ValueError: It refuses.
    """
    if _BAD_ESCAPE.search(path):
        raise ValueError("URI malformed")
    return unquote(path, errors="strict")
