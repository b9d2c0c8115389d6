"""Objects that a setting names by their dotted path."""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutinefunction
from pkgutil import resolve_name
from typing import Any

from chatarmin_os._json import describe, short_repr
from chatarmin_os.errors import InvalidInput


def imported(value: Any) -> Any:
    """Return the object at a dotted path; anything but text is the object itself.

    Raises:
        InvalidInput: The object cannot be imported.

    Example:
        >>> imported("chatarmin_os.fake.demo_catalogue").__name__
        'demo_catalogue'
        >>> imported("shop.billing.organisation_of")
        Traceback (most recent call last):
        ...
        chatarmin_os.errors.InvalidInput: 'shop.billing.organisation_of' cannot be imported: No module named 'shop'
    """
    if not isinstance(value, str):
        return value
    if "." not in value:
        raise InvalidInput(f"expected a dotted path such as 'shop.billing.{value.strip() or 'name'}', got {value!r}")
    try:
        return resolve_name(value)
    except Exception as error:  # the module that is imported may fail in any way
        kind = "" if isinstance(error, (ImportError, AttributeError)) else f"{type(error).__name__}: "
        raise InvalidInput(f"{value!r} cannot be imported: {kind}{short_repr(error, 200, str)}") from error


def function_at(value: Any) -> Callable[..., Any] | None:
    """Return a function that is given by itself or by its dotted path; None if it was omitted.

    Raises:
        InvalidInput: It cannot be imported, is not callable, or is `async`.
    """
    function = imported(value)
    if function is None:
        return None
    if not callable(function):
        raise InvalidInput(f"expected a function or its dotted path, got {describe(function)}")
    if iscoroutinefunction(function) or iscoroutinefunction(getattr(function, "__call__", None)):  # noqa: B004 - an object with an async __call__
        raise InvalidInput("must not be async", "define it without async; it runs in a thread of its own")
    found: Callable[..., Any] = function
    return found
