"""What pydantic is told of classes that it does not know; pydantic itself is imported by whoever uses it."""

from __future__ import annotations

from typing import Any


class Instance:
    """Lets pydantic's `validate_call` take instances of a class as they are, where it would refuse the class."""

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.is_instance_schema(cls)
