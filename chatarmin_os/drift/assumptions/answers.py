"""Decided: how answers write numbers and instants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os.drift.assumptions.rule import decided
from chatarmin_os.fake.router import ROUTES

if TYPE_CHECKING:
    from chatarmin_os.drift.assumptions.rule import Situation

_NUMBERS = frozenset(
    {
        "billableQuantity",
        "confidence",
        "contactsDeleted",
        "created",
        "currentUsage",
        "enabledFeaturesCount",
        "featuresApplied",
        "includedQuantity",
        "linksDeleted",
        "quantityLimit",
        "remaining",
        "unitAmount",
        "updated",
    }
)
_INSTANTS = frozenset({"createdAt", "validUntil"})


@decided(
    "Quantities, counts, confidences and amounts are numbers, and no text.",
    *ROUTES,
    shows=" ".join(_NUMBERS),
    is_notation=True,
)
def _answer_numbers(it: Situation) -> object:
    # PostgreSQL's drivers give `numeric`, `int8` and counts as text; the client reads that as numbers.
    return _has_any(it.came.get("answer"), _NUMBERS)


@decided(
    "Instants have a time and an offset, and a year of four digits.",
    *ROUTES,
    shows=" ".join(_INSTANTS),
    is_notation=True,
)
def _answer_instants(it: Situation) -> object:
    # A column without a time gives a day, and JavaScript writes "never" with a year of six digits.
    return _has_any(it.came.get("answer"), _INSTANTS)


def _has_any(answer: object, fields: frozenset[str]) -> bool:
    """Return whether any of *fields* has a value somewhere in an answer."""
    if isinstance(answer, dict):
        return any((key in fields and value is not None) or _has_any(value, fields) for key, value in answer.items())
    return isinstance(answer, list) and any(_has_any(item, fields) for item in answer)
