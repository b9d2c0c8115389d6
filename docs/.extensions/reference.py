# ruff: noqa: INP001 - Griffe loads it by its path
"""Extensions of Griffe, which reads the package for the reference, for constructs that it does not know."""

from __future__ import annotations

import re
from typing import Any

from griffe import (
    Attribute,
    Class,
    ExprCall,
    ExprKeyword,
    Extension,
    Function,
    Object,
    Parameter,
    ParameterKind,
    Parameters,
)


class Examples(Extension):
    """Shows the section `Example:` of a docstring as code, as Griffe does for `Examples:`."""

    def on_instance(self, *, obj: Object, **_: Any) -> None:
        """Rename the section."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)


class CachedProperties(Extension):
    """Shows cached properties without a lock as attributes."""

    def on_class_members(self, *, cls: Class, **_: Any) -> None:
        """Replace the function by an attribute."""
        for name, member in list(cls.members.items()):
            if isinstance(member, Function) and "lockless_cached_property" in decorators_of(member):
                attribute = Attribute(name, annotation=member.returns, docstring=member.docstring)
                attribute.labels |= {"property"}
                cls.set_member(name, attribute)


class AttrsFields(Extension):
    """Shows all fields of an attrs class, also those without a description, as the arguments of its constructor."""

    def on_class_members(self, *, cls: Class, **_: Any) -> None:
        """Add the constructor that attrs generates."""
        is_attrs = any(re.match(r"frozen\b", decorator) for decorator in decorators_of(cls))
        if not is_attrs or "__init__" in cls.members:
            return
        fields = [
            Parameter(
                name,
                annotation=member.annotation,
                kind=ParameterKind.keyword_only if is_keyword_only(cls) else ParameterKind.positional_or_keyword,
                default=default_of(member),
            )
            for name, member in cls.members.items()
            if isinstance(member, Attribute) and member.annotation and "ClassVar" not in str(member.annotation)
        ]
        cls.set_member("__init__", Function("__init__", parameters=Parameters(Parameter("self"), *fields)))


def decorators_of(owner: Class | Function) -> list[str]:
    """Return the decorators of a class or function as their source."""
    return [str(decorator.value) for decorator in owner.decorators]


def is_keyword_only(cls: Class) -> bool:
    """Return whether a class takes its fields by keyword alone."""
    return any("kw_only=True" in decorator for decorator in decorators_of(cls))


def default_of(field: Attribute) -> Any:
    """Return the default of a field, None if it has to be given or is always in a response."""
    if not isinstance(field.value, ExprCall):
        return field.value
    if str(field.value.function) == "unknown_fields":
        return "{}"
    given = {argument.name: argument.value for argument in field.value.arguments if isinstance(argument, ExprKeyword)}
    return given.get("default")
