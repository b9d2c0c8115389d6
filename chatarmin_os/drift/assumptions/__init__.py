"""The calls that exercise an assumption, and the verdict of each call on it.

`chatarmin_os.fake.rules.assumptions` has the assumptions. Here each observable one has a *criterion*: the calls that
exercise it, and the fields that show it. A call that exercises an assumption confirms it if the fake gives these fields
as recorded, and contradicts it otherwise. A module per noun declares the criteria.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chatarmin_os.drift.assumptions import (
    answers,
    billing,
    companies,
    contacts,
    features,
    inputs,
    links,
    onboarding,
    tiers,
    usage,
)
from chatarmin_os.drift.assumptions.context import Context, History
from chatarmin_os.drift.assumptions.criterion import CRITERIA, Criterion

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["CRITERIA", "Context", "Criterion", "History", "exercised"]

_DECLARING: tuple[ModuleType, ...] = (
    inputs,
    companies,
    contacts,
    features,
    usage,
    tiers,
    billing,
    links,
    onboarding,
    answers,
)


def exercised(call: Context, recorded: dict[str, Any]) -> list[Criterion]:
    """Return the criteria of the assumptions that a call exercises, by the fake's outcome or by the recorded one."""
    sides = [call, call.with_outcome(recorded)]
    criteria = CRITERIA.get(call.path, {}).values()
    return [criterion for criterion in criteria if any(criterion.exercises(side) for side in sides)]
