"""Support for pydantic, which only its users import."""

from __future__ import annotations

from typing import Any


class Instance:
    """A class whose instances pydantic's `validate_call` accepts unchanged."""

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.is_instance_schema(cls)
