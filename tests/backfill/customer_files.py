"""Files of customers, and the rows that reading them returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chatarmin_os import InvalidInput
from chatarmin_os.backfill import Row, read_rows
from chatarmin_os.backfill.row import origin_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HEADER = "external_org_id,name\n"
MAX_ROWS = 100_000


def write(folder: Path, content: str | bytes, name: str = "customers.csv") -> Path:
    """Write a file; text is encoded as UTF-8, with its line ends as they are."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path | str, mapping: Mapping[str, str | None] | None = None) -> list[Row | InvalidInput]:
    """Return the rows of a file and the errors between them, in order."""
    rows = read_rows(path, mapping=mapping)
    found: list[Row | InvalidInput] = []
    for _ in range(MAX_ROWS):
        try:
            found.append(next(rows))
        except StopIteration:
            return found
        except InvalidInput as error:
            found.append(error)
    raise AssertionError("the iterator does not end")


def read_text(folder: Path, content: str | bytes, **options: Any) -> list[Row | InvalidInput]:
    """Write a file, and read it."""
    mapping = options.pop("mapping", None)
    return read(write(folder, content, **options), mapping)


def line_of(one: Row | InvalidInput) -> int | None:
    """Return the line of a row or of an error."""
    if isinstance(one, InvalidInput):
        return one.line
    origin = origin_of(one)
    return origin and origin.line


def error_of(folder: Path, content: str | bytes, **options: Any) -> InvalidInput:
    """Return the only outcome of reading a file, which is an error."""
    (error,) = read_text(folder, content, **options)
    assert isinstance(error, InvalidInput)
    return error
