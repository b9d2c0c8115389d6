"""The kinds of fields that models share."""

from __future__ import annotations

from typing import Any, TypeAlias

from attrs import field

Quantity: TypeAlias = int | float
"""An int if it is whole, else a float; never a bool."""


def required(default: Any = None) -> Any:
    """Return a field that each answer must have.

    It has its *default* only in the empty model for an empty answer (`companies.update`, `features.set_access`), and in
    a model that a user builds without it.
    """
    return field(default=default, metadata={"required": True})


def unknown_fields() -> Any:
    """Return the field for the parts of an answer that this version does not know."""
    return field(factory=dict, kw_only=True, eq=False, repr=False)
