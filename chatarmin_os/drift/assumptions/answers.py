"""The notation of numbers and instants in answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os.drift.assumptions.criterion import exercised_by
from chatarmin_os.fake.router import ROUTES

if TYPE_CHECKING:
    from chatarmin_os.drift.assumptions.context import Context

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


@exercised_by("answer-numbers", *ROUTES, shows=" ".join(_NUMBERS), is_notation=True)
def _answer_numbers(call: Context) -> object:
    # PostgreSQL's drivers return `numeric`, `int8` and counts as text, which the client reads as numbers.
    return _has_any(call.outcome.get("answer"), _NUMBERS)


@exercised_by("answer-instants", *ROUTES, shows=" ".join(_INSTANTS), is_notation=True)
def _answer_instants(call: Context) -> object:
    # A column without a time returns a day, and JavaScript writes its last date with a year of six digits.
    return _has_any(call.outcome.get("answer"), _INSTANTS)


def _has_any(answer: object, fields: frozenset[str]) -> bool:
    """Return whether any of *fields* has a value somewhere in an answer."""
    if isinstance(answer, dict):
        return any((key in fields and value is not None) or _has_any(value, fields) for key, value in answer.items())
    return isinstance(answer, list) and any(_has_any(item, fields) for item in answer)
