"""How a procedure of the fake is declared: its path, its kind, and the shape of its input.

The shape is checked before the handler runs, so that no handler parses input: what is blank, unknown or of the wrong
type is `BAD_REQUEST` and named, in the wire's names.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from chatarmin_os._json import FORBIDDEN_KEYS, copy_json, describe, short_repr, timestamp_text
from chatarmin_os.errors import ApiError
from chatarmin_os.fake.rules import addresses, urls

if TYPE_CHECKING:
    from chatarmin_os._json import JSON
    from chatarmin_os._request import Kind
    from chatarmin_os.fake.state import State

Given: TypeAlias = dict[str, Any]
Handler: TypeAlias = "Callable[[State, Given], JSON]"
Check: TypeAlias = Callable[[Any, str], Any]


class Field(NamedTuple):
    """A key of an input."""

    check: Check
    is_required: bool = True


class Route(NamedTuple):
    """A procedure of the fake."""

    kind: Kind
    shape: dict[str, Field]
    handler: Handler


ROUTES: dict[str, Route] = {}


def procedure(path: str, kind: Kind, **shape: Field) -> Callable[[Handler], Handler]:
    """Declare the decorated function as what answers *path*."""

    def declared(handler: Handler) -> Handler:
        ROUTES[path] = Route(kind, shape, handler)
        return handler

    return declared


def bad_request(place: str, reason: str) -> ApiError:
    """Return the refusal of what stands at *place* of the input."""
    told = {"zodError": {"formErrors": [], "fieldErrors": {place: [reason]}}}
    return ApiError.from_code("BAD_REQUEST", f"{place}: {reason}", data=told)


def not_found(what: str, of: str) -> ApiError:
    """Return the refusal of an id that there is not."""
    return ApiError.from_code("NOT_FOUND", f"No {what} {short_repr(of)}")


def read_input(route: Route, given: JSON) -> Given:
    """Return the input of a procedure with every key checked and normalised; nothing in it is shared with *given*.

    Raises:
        ApiError: Something in it is not valid; the message names the field.
    """
    if refused := _unstorable(given):
        place, reason = refused
        raise bad_request(f"input{place}" if place[:1] in ("", "[") else place, reason)
    return shaped(route.shape, {} if given is None else given)


def _unstorable(value: JSON) -> tuple[str, str] | None:
    """Return the place and the reason of a text or key that no service can store (assumed), None if there is none.

    PostgreSQL has no U+0000, and JavaScript objects lose these keys or break over them. Places are written only once
    one is found: written on the way, they would take the product of the lengths of keys and lists.
    """
    if isinstance(value, str):
        return ("", "contains U+0000, which cannot be stored") if "\0" in value else None
    if isinstance(value, list):
        for index, item in enumerate(value):
            if refused := _unstorable(item):
                return _below(f"[{index}]", *refused)
    for key, inner in value.items() if isinstance(value, dict) else ():
        if key in FORBIDDEN_KEYS:
            return key, f"the key {key!r} has a meaning of its own in JavaScript; choose another one"
        if refused := _unstorable(key) or _unstorable(inner):
            return _below(key, *refused)
    return None


def _below(name: str, place: str, reason: str) -> tuple[str, str]:
    return (name if not place else f"{name}{place}" if place.startswith("[") else f"{name}.{place}"), reason


def shaped(shape: dict[str, Field], given: JSON, place: str = "") -> Given:
    """Return an object of *shape* with every key checked and normalised."""
    if not isinstance(given, dict):
        raise bad_request(place or "input", f"expected an object, got {describe(given)}")
    prefix = f"{place}." if place else ""
    checked = {}
    for key, value in given.items():
        field = shape.get(key)
        if field is None:
            raise bad_request(f"{prefix}{key}", f"unknown key; known: {', '.join(shape) or 'none'}")
        checked[key] = field.check(value, prefix + key)
    for key, field in shape.items():
        if field.is_required and key not in checked:
            raise bad_request(prefix + key, "is missing")
    return checked


# Checks: the value at a place, as the handler gets it.


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise bad_request(place, f"expected text, got {describe(value)}")
    if not value.strip():
        raise bad_request(place, "blank text")
    return value


def _flag(value: Any, place: str) -> bool:
    if not isinstance(value, bool):
        raise bad_request(place, f"expected true or false, got {describe(value)}")
    return value


def number(value: Any, place: str) -> int | float:
    """Return a number that is no bool."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise bad_request(place, f"expected a number, got {describe(value)}")
    return value


def _quantity(value: Any, place: str) -> int | float:
    quantity = number(value, place)
    if quantity <= 0:
        raise bad_request(place, f"expected a number above 0, got {describe(value)}")
    return quantity


def limit_at(value: Any, place: str) -> int | float | None:
    """Return a number of at least 0, or None for no limit."""
    limit = None if value is None else number(value, place)
    if limit is not None and limit < 0:
        raise bad_request(place, f"expected a number of at least 0, or null; got {describe(value)}")
    return limit


def _fraction(value: Any, place: str) -> float:
    fraction = number(value, place)
    if not 0 <= fraction <= 1:
        raise bad_request(place, f"expected a fraction from 0 to 1, got {describe(value)}")
    return fraction


def _mapping(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise bad_request(place, f"expected an object, got {describe(value)}")
    own: dict[str, Any] = copy_json(value)  # it is kept, while the input itself is in the log of calls
    return own


def _instant(value: Any, place: str) -> str:
    try:
        moment = datetime.fromisoformat(_text(value, place))
        if moment.utcoffset() is None:
            raise bad_request(place, f"expected an instant with its offset from UTC, got {describe(value)}")
        return timestamp_text(moment)
    except (ValueError, OverflowError):
        raise bad_request(place, f"expected an ISO 8601 instant, got {describe(value)}") from None


def _nullable_instant(value: Any, place: str) -> str | None:
    return None if value is None else _instant(value, place)


def _domain(value: Any, place: str) -> str:
    domain = addresses.domain(_text(value, place))
    if domain is None:
        raise bad_request(
            place, f"expected a domain such as acme.com, or an unambiguous URL of one; got {short_repr(value)}"
        )
    return domain


def _email(value: Any, place: str) -> str:
    email = addresses.email(_text(value, place))
    if email is None:
        raise bad_request(place, f"expected an e-mail address such as ann@acme.com, got {short_repr(value)}")
    return email


def _url(value: Any, place: str) -> str:
    url = _text(value, place)
    if not urls.is_url(url):
        raise bad_request(place, f"expected an absolute URL such as https://acme.com/ann.png, got {short_repr(value)}")
    return url


def one_of(*names: str) -> Check:
    """Make the check for one of *names*."""

    def check(value: Any, place: str) -> str:
        name = _text(value, place)
        if name not in names:
            raise bad_request(place, f"expected one of {', '.join(names)}; got {describe(value)}")
        return name

    return check


def list_of(check: Check) -> Check:
    """Make the check for a list whose items pass *check*."""

    def checked(value: Any, place: str) -> list[Any]:
        if not isinstance(value, list):
            raise bad_request(place, f"expected a list, got {describe(value)}")
        return [check(item, f"{place}[{index}]") for index, item in enumerate(value)]

    return checked


def object_of(**shape: Field) -> Check:
    """Make the check for an object of *shape*."""
    return lambda value, place: shaped(shape, value, place)


def optional(field: Field) -> Field:
    """Return *field* as one that may be absent; null is refused all the same."""
    return field._replace(is_required=False)


TEXT, FLAG, QUANTITY, LIMIT = Field(_text), Field(_flag), Field(_quantity), Field(limit_at)
FRACTION, MAPPING, INSTANT, NULLABLE_INSTANT = (
    Field(_fraction),
    Field(_mapping),
    Field(_instant),
    Field(_nullable_instant),
)
DOMAIN, EMAIL, URL = Field(_domain), Field(_email), Field(_url)
