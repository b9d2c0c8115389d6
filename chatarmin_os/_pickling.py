"""Pickles that other versions load: requests in queues, models in caches."""

from __future__ import annotations

from typing import Any

from attrs import NOTHING, Factory, fields


class AcrossVersions:
    """A frozen attrs class whose pickles other versions of this package load.

    A field that the pickle lacks has its default; a field that this version does not know is dropped.
    """

    __slots__ = ()

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        # attrs writes these two for every slotted class that does not define them; it ignores inherited ones.
        cls.__getstate__ = _get_state  # type: ignore[method-assign]
        cls.__setstate__ = _set_state  # type: ignore[attr-defined]


def _get_state(self: Any) -> dict[str, Any]:
    return {field.name: getattr(self, field.name) for field in fields(type(self))}


def _set_state(self: Any, state: dict[str, Any]) -> None:
    for field in fields(type(self)):
        value = state.get(field.name, field.default)
        if value is NOTHING:
            from chatarmin_os.errors import InvalidInput  # errors know requests, which inherit from this class

            raise InvalidInput(f"required, but missing in a pickled {type(self).__name__}", "build a new one").at(
                field.name
            )
        # The class is frozen; only `object` sets its fields.
        object.__setattr__(self, field.name, value.factory() if isinstance(value, Factory) else value)  # type: ignore[arg-type]
