"""The notation of values in test ids."""

from __future__ import annotations

import re
import unicodedata

from chatarmin_os._json import short_repr

MAX_LENGTH = 40


def words(value: object) -> str:
    """Return a value as words with hyphens, for `ids=`; pytest numbers equal ones.

    Example:
        >>> words("Café & Co. KG"), words(-0.5), words({"a": [1]}), words(" "), words("")
        ('Cafe-Co.-KG', 'minus-0.5', 'a-1', 'signs', 'empty')
    """
    text = value.__name__ if isinstance(value, type) else value if isinstance(value, str) else short_repr(value)
    text = re.sub(r" (object )?at 0x[0-9a-f]+", "", text)
    if re.match(r"-[0-9]", text):
        text = f"minus {text}"
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    joined = re.sub(r"[^A-Za-z0-9_.]+", "-", letters)[:MAX_LENGTH].strip("-")
    return joined or ("signs" if value else "empty")
