"""Print the public names of the package with their signatures: what a version must not lose.

python tests/meta/public_names.py > tests/meta/public_names.txt
"""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

MODULES = [
    "chatarmin_os",
    "chatarmin_os.celery",
    "chatarmin_os.backfill",
    "chatarmin_os.django",
    "chatarmin_os.django.rest_framework",
    "chatarmin_os.django.test",
    "chatarmin_os.drift",
    "chatarmin_os.errors",
    "chatarmin_os.explanation",
    "chatarmin_os.fake",
    "chatarmin_os.fake.server",
    "chatarmin_os.flask",
    "chatarmin_os.gate",
    "chatarmin_os.gate.caches",
    "chatarmin_os.integrations.openfeature",
    "chatarmin_os.integrations.opentelemetry",
    "chatarmin_os.outbox",
    "chatarmin_os.pytest",
    "chatarmin_os.resources",
    "chatarmin_os.transports",
    "chatarmin_os.transports.redactors",
]
"""The documented import paths."""

_SPECIAL_METHODS = {"__bool__", "__call__", "__enter__", "__init__", "__iter__"}


def public_names() -> Iterator[str]:
    """Yield a line for each public name, and for each public member of a class."""
    for name in MODULES:
        module = import_module(name)
        yield f"{name}:"
        for exported in sorted(getattr(module, "__all__", None) or _own_names(module)):
            yield from _lines_of(f"    {exported}", getattr(module, exported))


def _own_names(module: Any) -> list[str]:
    """Return the names that a module without `__all__` defines."""
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    ]


def _lines_of(name: str, value: Any) -> Iterator[str]:
    value = inspect.unwrap(value) if callable(value) and not inspect.isclass(value) else value  # a fixture
    if inspect.isclass(value):
        parents = ", ".join(parent.__name__ for parent in value.__mro__[1:] if not parent.__name__.startswith("_"))
        yield f"{name}({parents})"
        for member, found in sorted(inspect.getmembers_static(value)):
            is_public = not member.startswith("_") or member in _SPECIAL_METHODS
            if is_public and _is_ours(value, member):
                yield f"        {member}{_signature(found)}"
    else:
        yield f"{name}{_signature(value)}"


def _is_ours(kind: type, member: str) -> bool:
    """Return whether a class of this package defines the member."""
    home = next(parent for parent in kind.__mro__ if member in vars(parent))
    return home.__module__.startswith("chatarmin_os")


def _signature(value: Any) -> str:
    """Return the parameters of a function with their defaults; annotations are type-checked elsewhere."""
    function = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
    if not inspect.isroutine(function) or inspect.ismethoddescriptor(function):
        return ""
    signature = inspect.signature(function)
    # The name of `*arguments` is not part of the interface.
    parameters = [
        one.replace(annotation=one.empty, name="args" if one.kind is one.VAR_POSITIONAL else one.name)
        for one in signature.parameters.values()
    ]
    return str(signature.replace(parameters=parameters, return_annotation=signature.empty))


if __name__ == "__main__":
    print("\n".join(public_names()))
