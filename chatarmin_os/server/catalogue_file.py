"""The features and tiers that products begin with, from a file or a module."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from chatarmin_os._bounded_file import read_bounded
from chatarmin_os._input import at_field, keywords
from chatarmin_os._json import describe
from chatarmin_os.errors import InvalidInput
from chatarmin_os.fake import Catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chatarmin_os._json import JSON

MAX_FILE_BYTES = 4 * 2**20

_FEATURE = ("code", "name", "has_quantity", "config")
_TIER = ("code", "name", "base_fee", "currency", "features")


def load_catalogue(source: str) -> Catalogue:
    """Return the catalogue in a JSON file, or the one that `module:attribute` is or returns.

    Raises:
        ValueError: The catalogue is missing or invalid; the message names the file or module, and the place.
    """
    module, separator, attribute = source.partition(":")
    if separator and not os.path.exists(source) and "/" not in source and os.sep not in source:  # noqa: PTH110
        return _import(source, module, attribute)
    with _add_source(source):
        try:
            content = json.loads(read_bounded(source, MAX_FILE_BYTES).decode("utf-8-sig"))
        except OSError as error:
            raise ValueError(error.strerror) from None
        except RecursionError:
            raise ValueError("it is nested too deep") from None
        except ValueError as error:
            raise ValueError(f"not JSON: {error}") from None
        return catalogue_of(content)


def catalogue_of(content: JSON) -> Catalogue:
    """Return the catalogue in a JSON document.

    Raises:
        InvalidInput: It is invalid; the message names the place.

    Example:
        >>> catalogue_of({"features": [{"code": "sso", "name": "SSO"}], "tiers": [{"code": "pro"}]})
        Traceback (most recent call last):
        ...
        chatarmin_os.errors.InvalidInput: tiers[0].name: required
    """
    catalogue = Catalogue()
    try:
        parts = keywords(content, allowed=("features", "tiers"))
        _add_all(parts, "features", catalogue.add_feature, _FEATURE)
        _add_all(parts, "tiers", catalogue.add_tier, _TIER)
    except InvalidInput as error:  # of the methods of Python
        raise InvalidInput(str(error).replace(" or None", " or null"), field=error.field) from None
    return catalogue


def _add_all(parts: dict[str, Any], part: str, add: Callable[..., None], allowed: tuple[str, ...]) -> None:
    rows = parts.get(part, [])
    if not isinstance(rows, list):
        raise InvalidInput(f"expected a list, got {describe(rows)}").at(part)
    known: set[str] = set()

    def add_row(row: JSON) -> None:
        given = keywords(row, allowed=allowed, needed=("code", "name"))
        add(given.pop("code"), **given)
        if row["code"] in known:
            raise InvalidInput(f"duplicate code {row['code']!r}").at("code")
        known.add(row["code"])

    for index, row in enumerate(rows):
        at_field(f"{part}[{index}]", add_row)(row)


def _import(source: str, module: str, attribute: str) -> Catalogue:
    with _add_source(source):
        if not module or not attribute:
            raise ValueError("expected MODULE:ATTRIBUTE, such as shop.billing:catalogue")
        sys.path.insert(0, "")  # as `python -m` does, for modules in the current folder
        try:
            found: Any = import_module(module)
            for name in attribute.split("."):
                found = getattr(found, name)
            catalogue = found() if callable(found) else found
        except Exception as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error
        finally:
            sys.path.remove("")
        if not isinstance(catalogue, Catalogue):
            raise ValueError(f"expected a Catalogue, or a function that returns one; got {describe(catalogue)}")  # noqa: TRY004 - one error for wrong use
        return catalogue


@contextmanager
def _add_source(source: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ValueError(f"--catalogue {source}: {error}") from error
