"""JSON packed into bytes: in a fraction of the time of its text, and of a known size in memory.

Parsed JSON takes up to twenty times the bytes of its text, so that a dozen small requests could fill the memory.
"""

from __future__ import annotations

import marshal
from typing import Any

_VERSION = 2  # writes a shared part each time, so that the size is that of the whole


def pack(value: Any) -> bytes:
    """Return JSON, or tuples of it, as bytes for this process alone.

    Raises:
        ValueError: It is nested more than about 1,000 levels deep.
    """
    return marshal.dumps(value, _VERSION)


def unpack(packed: bytes) -> Any:
    """Return a new copy of what was packed."""
    return marshal.loads(packed)  # noqa: S302 - our own bytes
