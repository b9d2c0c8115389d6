"""Values as JavaScript reads and writes them: its numbers, `JSON.stringify`, `decodeURIComponent`."""

from __future__ import annotations

import json
import math
import re
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from chatarmin_os._json import MAX_SAFE_INTEGER, decode, refuse_constant, timestamp_text
from chatarmin_os._unset import UNSET

_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")


def parse(text: str) -> Any:
    """Return the value of JSON text, with the numbers of JavaScript.

    Raises:
        ValueError: It is not JSON, or nested too deep.
    """
    return decode(_decoder, text)


def _number(text: str) -> float:
    number = float(text)
    return int(number) if number.is_integer() and abs(number) <= MAX_SAFE_INTEGER else number


_decoder = json.JSONDecoder(parse_float=_number, parse_int=_number, parse_constant=refuse_constant)


def to_json(value: Any) -> Any:
    """Return a value as `JSON.stringify` would write it."""
    if isinstance(value, dict):
        return {key: to_json(inner) for key, inner in value.items() if inner is not UNSET}
    if isinstance(value, (list, tuple)):
        return [None if inner is UNSET else to_json(inner) for inner in value]
    if isinstance(value, datetime):
        return timestamp_text(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def decode_uri(path: str) -> str:
    """Decode percent escapes as `decodeURIComponent` does.

    Raises:
        ValueError: An escape is malformed.
    """
    if _BAD_ESCAPE.search(path):
        raise ValueError("URI malformed")
    return unquote(path, errors="strict")
