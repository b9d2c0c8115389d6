"""The rules that the fake had to decide, because the service's README is silent on them, and the calls that touch them.

A call that touches a rule confirms it where the fake's outcome, or the fields that show the rule, are as recorded, and
contradicts it where they are not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os.drift.decided import billing, companies, contacts, features, inputs, onboarding, tiers, usage
from chatarmin_os.drift.decided._rule import RULES, Memory, Rule, Situation

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["RULES", "Memory", "Rule", "Situation", "touched"]

_DECLARED: tuple[ModuleType, ...] = (inputs, companies, contacts, features, usage, tiers, billing, onboarding)


def touched(situation: Situation) -> list[Rule]:
    """Return the rules that a call touches, once the fake has answered it."""
    return [rule for rule in RULES if situation.path in rule.paths and rule.touches(situation)]
