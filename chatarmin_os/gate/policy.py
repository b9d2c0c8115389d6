"""How old an answer may be, and the decision if no answer is known."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen

from chatarmin_os._input import Number, name_fields_in_errors, seconds
from chatarmin_os._json import describe
from chatarmin_os._messages import closest
from chatarmin_os._pickling import AcrossVersions
from chatarmin_os.errors import InvalidInput
from chatarmin_os.models.features import FeatureAccess

OnOutage = Literal["deny", "allow", "raise"]
Freshness = Literal["fresh", "stale", "gone"]

_CHOICES = ("deny", "allow", "raise")
_MAX_AGE_SECONDS = 30.0
_MAX_AGE_SECONDS_OF_A_QUANTITY = 2.0


def _optional_seconds(value: Number | None) -> float | None:
    return None if value is None else seconds(value)


def _on_outage(value: str) -> str:
    if not isinstance(value, str) or value not in _CHOICES:
        near = closest(value, _CHOICES) if isinstance(value, str) else None
        raise InvalidInput(
            f'expected "deny", "allow" or "raise", got {describe(value)}', f"did you mean {near!r}?" if near else None
        )
    return str(value)


@frozen(kw_only=True, field_transformer=name_fields_in_errors)
class Policy(AcrossVersions):
    """How old an answer about a feature may be, and what the gate decides if it knows none.

    Args:
        max_age: Seconds for which an answer is used without asking again; None: 30, and 2 for a feature with a
            quantity, but never more than *max_stale*.
        max_stale: Seconds for which an older answer is used while the service does not answer.
        on_outage: The decision if nothing younger is known and the service does not answer: `"deny"`, `"allow"`, or
            `"raise"` to raise the error. A mistake, such as a wrong key, never allows.

    Raises:
        InvalidInput: An invalid value, or a *max_age* above *max_stale*.

    Example:
        >>> from chatarmin_os.gate import Policy
        >>> Policy(max_age=60, on_outage="allow")
        Policy(max_age=60.0, max_stale=900.0, on_outage='allow')
        >>> Policy(max_stale=-1)
        Traceback (most recent call last):
        ...
        chatarmin_os.errors.InvalidInput: max_stale: must be seconds of at least 0, got int -1
    """

    max_age: float | None = field(default=None, converter=_optional_seconds)
    max_stale: float = field(default=900.0, converter=seconds)
    on_outage: str = field(default="deny", converter=_on_outage)

    def __attrs_post_init__(self) -> None:
        if self.max_age is not None and self.max_age > self.max_stale:
            raise InvalidInput(
                f"must be at least max_age, {self.max_age}, got {self.max_stale}", "raise it or lower max_age"
            ).at("max_stale")

    def max_age_of(self, access: FeatureAccess | None) -> float:
        """Return the seconds for which an answer about a feature is fresh.

        Example:
            >>> from chatarmin_os import FeatureAccess
            >>> from chatarmin_os.gate import Policy
            >>> credits = FeatureAccess(is_enabled=True, has_quantity=True)
            >>> Policy().max_age_of(credits), Policy().max_age_of(None), Policy(max_stale=1).max_age_of(credits)
            (2.0, 30.0, 1.0)
        """
        if self.max_age is not None:
            return self.max_age
        usual = _MAX_AGE_SECONDS_OF_A_QUANTITY if access is not None and has_quantity(access) else _MAX_AGE_SECONDS
        return min(usual, self.max_stale)


def has_quantity(access: FeatureAccess) -> bool:
    """Return whether usage of a feature is counted."""
    if access.has_quantity is None:
        return access.quantity_limit is not None or access.remaining is not None
    return access.has_quantity


def freshness(age: float, max_age: float, max_stale: float) -> Freshness:
    """Return the freshness of an answer of an *age*.

    Example:
        >>> freshness(1.9, 2, 900), freshness(2, 2, 900), freshness(900, 2, 900)
        ('fresh', 'stale', 'gone')
    """
    if age < max_age:
        return "fresh"
    return "stale" if age < max_stale else "gone"
