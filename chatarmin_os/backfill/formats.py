"""The names of files, and the formats that their endings stand for."""

from __future__ import annotations

from pathlib import PurePath

_COMPRESSED = {".gz", ".bz2", ".xz"}

TAB_SEPARATED = {".tsv", ".tab"}
TABLES = {".csv", ".txt", *TAB_SEPARATED}
JSON_LINES = {".jsonl", ".ndjson"}
JSON_FILES = {".json", *JSON_LINES}


def name_of(path: str) -> str:
    """Return the name of a file in messages.

    Example:
        >>> name_of("a.csv"), name_of("-")
        ('a.csv', 'standard input')
    """
    return "standard input" if path == "-" else path


def suffix_of(path: str) -> str:
    """Return the ending of a file's name in lower case, without that of its compression.

    Example:
        >>> suffix_of("exports/Customers.CSV.gz"), suffix_of("-")
        ('.csv', '')
    """
    name = PurePath(path.lower())
    return PurePath(name.stem).suffix if name.suffix in _COMPRESSED else name.suffix
