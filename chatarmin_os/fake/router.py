"""The procedures of the fake: for each path its kind, the schema of its input, and its handler.

The input is validated before the handler runs, so no handler checks its input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from chatarmin_os._json import FORBIDDEN_KEYS
from chatarmin_os.fake.schema import Input, Schema, bad_request, validate

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatarmin_os._json import JSON
    from chatarmin_os._request import Kind
    from chatarmin_os.fake.schema import Field
    from chatarmin_os.fake.state import State

Handler: TypeAlias = "Callable[[State, Input], JSON]"


class Route(NamedTuple):
    """A procedure of the fake."""

    kind: Kind
    schema: Schema
    handler: Handler


ROUTES: dict[str, Route] = {}
"""The procedures by their paths on the wire; importing `service` declares them."""


def procedure(path: str, kind: Kind, **schema: Field) -> Callable[[Handler], Handler]:
    """Declare the decorated function as the handler of *path*."""

    def declare(handler: Handler) -> Handler:
        ROUTES[path] = Route(kind, schema, handler)
        return handler

    return declare


def read_input(route: Route, value: JSON) -> Input:
    """Return the input of a procedure with every key validated and normalised; it shares nothing with *value*.

    Raises:
        ApiError: Something in it is invalid; the message names the field.
    """
    if refused := _find_unstorable(value):
        place, reason = refused
        raise bad_request(f"input{place}" if place[:1] in ("", "[") else place, reason)
    return validate(route.schema, {} if value is None else value)


def _find_unstorable(value: JSON) -> tuple[str, str] | None:
    """Return the place and the reason of a text or key that no service can store (an assumption); None without one.

    PostgreSQL has no U+0000, and JavaScript objects lose these keys or break over them. Only the place of
    the first error is composed: composing each place would cost the product of the lengths of keys and lists.
    """
    if isinstance(value, str):
        return ("", "contains U+0000, which cannot be stored") if "\0" in value else None
    if isinstance(value, list):
        for index, item in enumerate(value):
            if refused := _find_unstorable(item):
                return _below(f"[{index}]", *refused)
    for key, inner in value.items() if isinstance(value, dict) else ():
        if key in FORBIDDEN_KEYS:
            return key, f"JavaScript treats the key {key!r} specially; choose another one"
        if "\0" not in key and type(inner) is str and "\0" not in inner:  # the most frequent case
            continue
        if refused := _find_unstorable(key) or _find_unstorable(inner):
            return _below(key, *refused)
    return None


def _below(name: str, place: str, reason: str) -> tuple[str, str]:
    return (name if not place else f"{name}{place}" if place.startswith("[") else f"{name}.{place}"), reason
