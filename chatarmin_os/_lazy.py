"""Names of a package and attributes that are created at their first use."""

from __future__ import annotations

import sys
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T_co = TypeVar("T_co", covariant=True)


class lockless_cached_property(cached_property[T_co]):  # noqa: N801 - a decorator, named as its parent is
    """A cached property without the lock of Python 3.11, which a fork in another thread can leave locked for ever."""

    if not TYPE_CHECKING:  # pragma: no branch - its types are its parent's

        def __get__(self, instance: Any, owner: type | None = None) -> Any:
            return self if instance is None else vars(instance).setdefault(self.attrname, self.func(instance))


def lazy_exports(
    package: str, names_by_module: Mapping[str, tuple[str, ...]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of *package*, which import each name from its module at first use."""
    home = {name: module for module, names in names_by_module.items() for name in names}
    namespace = vars(sys.modules[package])

    def get(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        namespace[name] = value = getattr(import_module(home[name]), name)
        return value

    return get, lambda: sorted({*namespace, *home})
