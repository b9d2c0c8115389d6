"""The schemas of inputs: an object of fields, each with the check of its value.

A blank text, an unknown key or a wrong type is `BAD_REQUEST`; the message has the name of the field on the wire.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from chatarmin_os._json import copy_json, describe, short_repr, timestamp_text
from chatarmin_os.errors import ApiError
from chatarmin_os.fake.rules import addresses, urls

if TYPE_CHECKING:
    from chatarmin_os._json import JSON
    from chatarmin_os.fake.rows import Number

Input: TypeAlias = dict[str, Any]
Check: TypeAlias = Callable[[Any, str], Any]
"""Returns the value at a place as handlers use it, or raises its refusal."""


class Field(NamedTuple):
    """A key of an input."""

    check: Check
    is_required: bool = True


Schema: TypeAlias = dict[str, Field]


def bad_request(place: str, reason: str) -> ApiError:
    """Return the refusal of the value at *place* of the input."""
    data = {"zodError": {"formErrors": [], "fieldErrors": {place: [reason]}}}
    return ApiError.from_code("BAD_REQUEST", f"{place}: {reason}", data=data)


def validate(schema: Schema, value: JSON, place: str = "") -> Input:
    """Return an object of *schema* with every key validated and normalised."""
    if not isinstance(value, dict):
        raise bad_request(place or "input", f"expected an object, got {describe(value)}")
    prefix = f"{place}." if place else ""
    valid = {}
    for key, inner in value.items():
        field = schema.get(key)
        if field is None:
            raise bad_request(f"{prefix}{key}", f"unknown key; known: {', '.join(schema) or 'none'}")
        valid[key] = field.check(inner, prefix + key)
    for key, field in schema.items():
        if field.is_required and key not in valid:
            raise bad_request(prefix + key, "is missing")
    return valid


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise bad_request(place, f"expected text, got {describe(value)}")
    if not value.strip():
        raise bad_request(place, "must not be blank")
    return value


def _boolean(value: Any, place: str) -> bool:
    if not isinstance(value, bool):
        raise bad_request(place, f"expected true or false, got {describe(value)}")
    return value


def _number(value: Any, place: str) -> Number:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise bad_request(place, f"expected a number, got {describe(value)}")
    return value


def _quantity(value: Any, place: str) -> Number:
    quantity = _number(value, place)
    if quantity <= 0:
        raise bad_request(place, f"expected a number above 0, got {describe(value)}")
    return quantity


def _nullable_limit(value: Any, place: str) -> Number | None:
    limit = None if value is None else _number(value, place)
    if limit is not None and limit < 0:
        raise bad_request(place, f"expected a number of at least 0, or null; got {describe(value)}")
    return limit


def _fraction(value: Any, place: str) -> float:
    fraction = _number(value, place)
    if not 0 <= fraction <= 1:
        raise bad_request(place, f"expected a fraction from 0 to 1, got {describe(value)}")
    return fraction


def _mapping(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise bad_request(place, f"expected an object, got {describe(value)}")
    copy: dict[str, Any] = copy_json(value)  # the tables keep it, while the log of calls keeps the input
    return copy


def _timestamp(value: Any, place: str) -> str:
    try:
        moment = datetime.fromisoformat(_text(value, place))
        if moment.utcoffset() is None:
            raise bad_request(place, f"expected a timestamp with its offset from UTC, got {describe(value)}")
        return timestamp_text(moment)
    except (ValueError, OverflowError):
        raise bad_request(place, f"expected an ISO 8601 timestamp, got {describe(value)}") from None


def _nullable_timestamp(value: Any, place: str) -> str | None:
    return None if value is None else _timestamp(value, place)


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

    def check_list(value: Any, place: str) -> list[Any]:
        if not isinstance(value, list):
            raise bad_request(place, f"expected a list, got {describe(value)}")
        return [check(item, f"{place}[{index}]") for index, item in enumerate(value)]

    return check_list


def object_of(**schema: Field) -> Check:
    """Make the check for an object of *schema*."""
    return lambda value, place: validate(schema, value, place)


def optional(field: Field) -> Field:
    """Return *field* as one that may be absent; null is still refused."""
    return field._replace(is_required=False)


TEXT, BOOLEAN, QUANTITY, LIMIT = Field(_text), Field(_boolean), Field(_quantity), Field(_nullable_limit)
FRACTION, MAPPING = Field(_fraction), Field(_mapping)
TIMESTAMP, NULLABLE_TIMESTAMP = Field(_timestamp), Field(_nullable_timestamp)
DOMAIN, EMAIL, URL = Field(_domain), Field(_email), Field(_url)
