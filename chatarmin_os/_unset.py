"""`UNSET`: the default of arguments for which `None` has a meaning."""

from __future__ import annotations

from enum import Enum
from typing import Literal


class _UnsetType(Enum):
    """The type of `UNSET`; an enum, as its member survives copy and pickle, and type checkers narrow it."""

    UNSET = "UNSET"

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "UNSET"


UNSET = _UnsetType.UNSET
"""The default of an argument that leaves its field unchanged. Falsy, and the same object after copy and pickle.

Example:
    >>> import copy
    >>> copy.deepcopy(UNSET) is UNSET, bool(UNSET)
    (True, False)
"""

Unset = Literal[_UnsetType.UNSET]
