"""The rules that the fake had to decide, because the service's README is silent on them, and the calls that touch them.

A call that touches a rule confirms it where what shows it, the outcome or some fields, is on the fake as recorded, and
contradicts it where it is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os.drift.assumptions import (
    answers,
    billing,
    companies,
    contacts,
    features,
    inputs,
    onboarding,
    tiers,
    usage,
)
from chatarmin_os.drift.assumptions.rule import RULES, Memory, Rule, Situation

if TYPE_CHECKING:
    from types import ModuleType

    from chatarmin_os.drift.compare import Outcome

__all__ = ["RULES", "Memory", "Rule", "Situation", "touched"]

_DECLARED: tuple[ModuleType, ...] = (inputs, companies, contacts, features, usage, tiers, billing, onboarding, answers)


def touched(situation: Situation, recorded: Outcome) -> list[Rule]:
    """Return the rules that a call touches, once the fake has answered it.

    One side is enough: what the fake makes of a call, or what was recorded of it.
    """
    rules = [rule for rule in RULES if situation.path in rule.paths]
    sides = [situation.seen_as(came) for came in (situation.came, recorded)]
    return [rule for rule in rules if any(rule.touches(side) for side in sides)]
