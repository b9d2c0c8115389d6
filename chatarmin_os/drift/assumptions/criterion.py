"""A criterion: which calls exercise an assumption, and when such a call confirms it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from chatarmin_os.drift.compare import Notation, fields_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chatarmin_os.drift.assumptions.context import Context
    from chatarmin_os.drift.compare import Difference


_OUTCOME = "outcome"
_USAGE = "currentUsage"

ACCESS_QUERIES = (
    "features.check",
    "features.checkByExternalOrgId",
    "features.listAccess",
    "features.getAccessByExternalOrgId",
)
"""The procedures that answer with accesses."""

Predicate: TypeAlias = "Callable[[Context], object]"


class Criterion(NamedTuple):
    """The criterion of an assumption.

    Attributes:
        name: The assumption.
        exercises: Whether a call exercises it.
        shown_by: The fields of the answer that show it, and `outcome` if an answer instead of a refusal, or the code of
            the refusal, shows it.
        is_notation: Whether it is about how these fields are written, and not about their values.
    """

    name: str
    exercises: Predicate
    shown_by: frozenset[str]
    is_notation: bool

    def verdict(self, differences: Sequence[Difference], *, is_explained: bool = False) -> bool | None:
        """Return whether a call that exercises the assumption confirms it, None if the call shows nothing about it.

        Args:
            differences: The differences between the recorded outcome and the fake's.
            is_explained: Whether the start of the fake was chosen so that it refuses this call: such a refusal confirms
                nothing.
        """
        if is_explained and not differences and _OUTCOME in self.shown_by:
            return None
        if any(difference.kind in {"outcome", "code"} for difference in differences):
            return False if _OUTCOME in self.shown_by else None
        of_this_kind = [
            difference for difference in differences if isinstance(difference, Notation) is self.is_notation
        ]
        differing = set().union(*(fields_of(difference.place) for difference in of_this_kind))
        if differing & {_USAGE} - self.shown_by:
            return None  # the usage differs, which other calls may have caused
        return not differing & self.shown_by


CRITERIA: dict[str, dict[str, Criterion]] = {}
"""By procedure, the criteria for its calls, by assumption."""


def exercised_by(
    name: str, *paths: str, shows: str = _OUTCOME, is_notation: bool = False
) -> Callable[[Predicate], Predicate]:
    """Declare the decorated predicate as the criterion of an assumption.

    Args:
        name: The assumption.
        paths: The procedures whose calls can exercise it.
        shows: The fields of the answer that show it, separated by spaces, or `outcome`.
        is_notation: Whether the assumption is about how these fields are written, and not about their values.
    """

    def declare(exercises: Predicate) -> Predicate:
        criterion = Criterion(name, exercises, frozenset(shows.split()), is_notation)
        for path in paths:
            CRITERIA.setdefault(path, {})[name] = criterion
        return exercises

    return declare
