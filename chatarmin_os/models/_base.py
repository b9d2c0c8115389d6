"""What all models share: how a field says that it must be there, and where unknown fields go."""

from __future__ import annotations

from typing import Any, TypeAlias

from attrs import field

Quantity: TypeAlias = int | float
"""An int where it is whole, else a float; never a bool."""


def required(default: Any = None) -> Any:
    """Return a field without which an answer is not the service's; typed as always there.

    It is at its *default* only in the empty model that stands for an empty answer (`companies.update`,
    `features.set_access`), and in a model that a user makes without it.
    """
    return field(default=default, metadata={"required": True})


def unknown_fields() -> Any:
    """Return the field for what the service sent beyond what this version knows: its wire names, as JSON."""
    return field(factory=dict[str, Any], kw_only=True, eq=False, repr=False)
