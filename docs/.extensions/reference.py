# ruff: noqa: INP001 - Griffe loads it by its path
"""Extensions of Griffe, which reads the package for the reference, for constructs that it does not know."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

from griffe import (
    Attribute,
    Class,
    ExprCall,
    ExprKeyword,
    ExprName,
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
    """Shows all fields of an attrs class, inherited ones and those without a description too, as its arguments."""

    def on_class(self, *, cls: Class, **_: Any) -> None:
        """Add the constructor that attrs generates."""
        if not is_attrs(cls) or "__init__" in cls.members:
            return
        fields: dict[str, Parameter] = {}
        for owner in [*reversed(cls.mro()), cls]:
            if is_attrs(owner):
                fields |= fields_of(owner)
        by_kind = sorted(fields.values(), key=lambda field: field.kind is ParameterKind.keyword_only)
        cls.set_member("__init__", Function("__init__", parameters=Parameters(Parameter("self"), *by_kind)))


class PrivateDefaults(Extension):
    """Shows the value of a default that has a private name."""

    def on_function(self, *, func: Function, **_: Any) -> None:
        """Replace the names by their values."""
        for parameter in func.parameters:
            if isinstance(parameter.default, ExprName) and parameter.default.name.startswith("_"):
                parameter.default = repr(getattr(import_module(func.module.path), parameter.default.name))


def is_attrs(cls: Class) -> bool:
    """Return whether a class is an attrs class."""
    return any(re.match(r"frozen\b", decorator) for decorator in decorators_of(cls))


def fields_of(cls: Class) -> dict[str, Parameter]:
    """Return the fields of an attrs class, without inherited ones, as parameters by name."""
    return {
        name: Parameter(name, annotation=member.annotation, kind=kind_of(member, cls), default=default_of(member))
        for name, member in cls.members.items()
        if isinstance(member, Attribute) and member.annotation and "ClassVar" not in str(member.annotation)
    }


def decorators_of(owner: Class | Function) -> list[str]:
    """Return the decorators of a class or function as their source."""
    return [str(decorator.value) for decorator in owner.decorators]


def kind_of(field: Attribute, cls: Class) -> ParameterKind:
    """Return whether a field is given by keyword alone."""
    is_keyword_only = is_unknown_fields(field) or any("kw_only=True" in decorator for decorator in decorators_of(cls))
    return ParameterKind.keyword_only if is_keyword_only else ParameterKind.positional_or_keyword


def is_unknown_fields(field: Attribute) -> bool:
    """Return whether a field of a model holds the values that this version does not know."""
    return isinstance(field.value, ExprCall) and str(field.value.function) == "unknown_fields"


def default_of(field: Attribute) -> Any:
    """Return the default of a field, None if it has to be given or is always in a response."""
    if is_unknown_fields(field):
        return "{}"
    if not isinstance(field.value, ExprCall):
        return field.value
    given = {argument.name: argument.value for argument in field.value.arguments if isinstance(argument, ExprKeyword)}
    return given.get("default")
