"""Converters of arguments: each checks one kind of value and returns it as a plain Python object.

A converter raises `InvalidInput` without a field; `at_field` adds the field's name, so that one converter serves every
argument of its kind. `at_field` also resolves lazy objects, and turns the errors of broken objects into `InvalidInput`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from itertools import repeat
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from uuid import UUID, uuid4

from chatarmin_os._json import (
    describe,
    finite,
    integer,
    plain,
    private_repr,
    short_repr,
    to_json,
    unicode_text,
)
from chatarmin_os._unset import UNSET, Unset
from chatarmin_os.errors import InvalidInput

if TYPE_CHECKING:
    from attrs import Attribute

T = TypeVar("T")

Number: TypeAlias = int | float
"""The annotation of an int or float argument."""

SOURCES = ("subscription", "manual", "trial", "api")


def secret(value: T) -> Callable[[], T]:
    """Return a function that returns *value*: programs that show locals or walk attributes do not see the value.

    The function is written in C: a Python function would have the value among its locals while it runs.
    """
    return repeat(value).__next__


_ERRORS_OF_VALUES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""Built-in errors of an unreadable object, such as a time zone without an offset or an unbound proxy.

Others pass through: those of a database or a network behind a lazy object, and those of the caller's timer.
"""


def at_field(place: str, convert: Callable[[Any], T]) -> Callable[[Any], T]:
    """Return *convert* for values that may be lazy or broken; its errors name *place*."""

    def convert_at_field(value: Any) -> T:
        try:
            return convert(plain(value))
        except InvalidInput as error:
            raise error.at(place) from error.__cause__
        except _ERRORS_OF_VALUES as error:
            kind = type(value).__name__
            raise InvalidInput(f"could not read the given {kind}: {short_repr(error, 120)}").at(place) from error

    # attrs copies it into `__init__` of requests, where the text "Any" would be a name of their module.
    convert_at_field.__annotations__["value"] = Any
    return convert_at_field


def private(_cls: type, fields: list[Attribute[Any]]) -> list[Attribute[Any]]:
    """Shorten e-mail addresses in the repr of a class; for `attrs.frozen(field_transformer=...)`."""
    return [field.evolve(repr=private_repr) if field.repr else field for field in fields]


def name_fields_in_errors(cls: type, fields: list[Attribute[Any]]) -> list[Attribute[Any]]:
    """Name each field in its errors, and shorten e-mail addresses in the repr."""
    return [
        field.evolve(converter=at_field(field.name, field.converter))
        # An inherited converter names its field already.
        if callable(field.converter) and not field.inherited  # pyright: ignore[reportAttributeAccessIssue] - not in stubs
        else field
        for field in private(cls, fields)
    ]


def text(value: str) -> str:
    """Return text that is not blank."""
    if not isinstance(value, str):
        raise InvalidInput(f"expected text, got {describe(value)}")
    unicode = unicode_text(value)
    if not unicode.strip():
        raise InvalidInput("must not be blank")
    return unicode


def optional_text(value: str | None) -> str | None:
    """Return text that is not blank; None if it was omitted."""
    return None if value is None else _optional(text, value)


def address(value: str) -> str:
    """Return an e-mail address without surrounding white space; only the service checks its form."""
    return text(value).strip()


def optional_address(value: str | None) -> str | None:
    """Return an e-mail address; None if it was omitted."""
    return None if value is None else _optional(address, value)


def _optional(convert: Callable[[Any], T], value: Any) -> T:
    """Return the value of an argument that may be omitted; its errors say so."""
    try:
        return convert(value)
    except InvalidInput as error:
        raise InvalidInput(error.problem, error.hint or "omit it or pass None") from None


def identifier(value: str | UUID) -> str:
    """Return an id, given as text that is not blank or as a UUID."""
    if isinstance(value, UUID):
        return UUID.__str__(value)
    if not isinstance(value, str):
        hint = f"pass str({short_repr(value)})" if type(value) is int else None
        raise InvalidInput(f"must be text or uuid.UUID, got {describe(value)}", hint)
    return text(value)


def optional_identifier(value: str | UUID | None) -> str | None:
    """Return an id; None if it was omitted."""
    return None if value is None else identifier(value)


def company_identifier(value: str | UUID) -> str:
    """Return the id of a company; the error for a result or a company in its place names the attribute to pass."""
    try:
        return identifier(value)
    except InvalidInput as error:
        names = {field.name for field in getattr(type(value), "__attrs_attrs__", ())}
        attribute = next((name for name in ("company_id", "id") if name in names), None)
        hint = "is the organisation linked?" if value is None else attribute and f"pass .{attribute}"
        raise InvalidInput(error.problem, hint or error.hint) from None


def optional_company_identifier(value: str | UUID | None) -> str | None:
    """Return the id of a company; None if it was omitted."""
    return None if value is None else company_identifier(value)


def idempotency_key(value: str | UUID | None) -> str:
    """Return an idempotency key; a new random one if it was omitted."""
    return str(uuid4()) if value is None else identifier(value)


def boolean(value: bool) -> bool:  # noqa: FBT001 - the one argument is the value
    """Return True or False; other truthy and falsy values are errors."""
    if value is True or value is False:
        return value
    raise InvalidInput(f"expected True or False, got {describe(value)}")


def optional_boolean(value: bool | None) -> bool | None:  # noqa: FBT001 - the one argument is the value
    """Return True or False; None if it was omitted."""
    return None if value is None else boolean(value)


def number(value: float) -> int | float:
    """Return an int or float that JSON and JavaScript hold: finite, integers up to 2**53 - 1; not a bool or Decimal."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        is_number = hasattr(value, "__float__") and not isinstance(value, bool)
        raise InvalidInput(f"expected an int or float, got {describe(value)}", "pass float(...)" if is_number else None)
    return integer(value) if isinstance(value, int) else finite(value)


def seconds(value: Number) -> float:
    """Return seconds of at least 0."""
    if number(value) < 0:
        raise InvalidInput(f"must be seconds of at least 0, got {describe(value)}")
    return float(value)


def positive_seconds(value: Number) -> float:
    """Return seconds above 0."""
    if number(value) <= 0:
        raise InvalidInput(f"must be seconds above 0, got {describe(value)}")
    return float(value)


def quantity(value: float) -> int | float:
    """Return a number above 0."""
    checked = number(value)
    if checked <= 0:
        raise InvalidInput(f"expected a number above 0, got {describe(value)}")
    return checked


def limit(value: float | Unset | None) -> int | float | Unset | None:
    """Return a number of at least 0, None for unlimited, or UNSET for unchanged."""
    return UNSET if value is UNSET else nullable_limit(value)


def nullable_limit(value: float | None) -> int | float | None:
    """Return a number of at least 0, or None for unlimited."""
    if value is None:
        return None
    checked = number(value)
    if checked < 0:
        raise InvalidInput(f"expected a number of at least 0 or None, got {describe(value)}")
    return checked


def fraction(value: float | None) -> int | float | None:
    """Return a number from 0 to 1; None if it was omitted."""
    if value is None:
        return None
    checked = number(value)
    if not 0 <= checked <= 1:
        raise InvalidInput(f"expected a fraction from 0 to 1, got {describe(value)}")
    return checked


def source(value: str | None) -> str | None:
    """Return the name of a source; None if it was omitted."""
    name = optional_text(value)
    if name is not None and name not in SOURCES:
        raise InvalidInput(f"expected one of {', '.join(SOURCES)}, got {describe(value)}")
    return name


def timestamp(value: datetime | str) -> datetime:
    """Return an instant in UTC, cut to milliseconds, from an aware datetime or ISO 8601 text with an offset."""
    if isinstance(value, str):
        moment = _parse(value)
    elif isinstance(value, datetime):
        moment = value
    else:
        raise InvalidInput(
            f"expected an aware datetime, or ISO 8601 text with an offset such as 2024-01-15T10:30:00Z, "
            f"got {describe(value)}"
        )
    return _in_utc(moment, value)


def optional_timestamp(value: datetime | str | None) -> datetime | None:
    """Return an instant in UTC; None if it was omitted."""
    return None if value is None else timestamp(value)


def expiry(value: datetime | date | str | Unset | None) -> datetime | Unset | None:
    """Return an instant in UTC, the start of a day in UTC, None for no expiry, or UNSET for unchanged."""
    if value is None or value is UNSET:
        return value
    if isinstance(value, str) and (day := _day(value)):
        value = day
    if isinstance(value, date) and not isinstance(value, datetime):
        value = _datetime()(value.year, value.month, value.day, tzinfo=UTC)
    try:
        return timestamp(value)
    except InvalidInput as error:
        hint = "a day such as 2026-12-31 means its start in UTC"
        raise InvalidInput(error.problem, f"{error.hint}; {hint}" if error.hint else hint) from None


def _datetime() -> type[datetime]:
    """Return the class `datetime` itself: libraries that freeze time replace it by a subclass in every module."""
    if datetime.__module__ == "datetime":
        return datetime
    return next(kind for kind in datetime.__mro__ if kind.__module__ == "datetime")


def _day(value: str) -> date | None:
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None


def _parse(value: str) -> datetime:
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        raise InvalidInput(f"expected ISO 8601 text such as 2024-01-15T10:30:00Z, got {describe(value)}") from None


def _in_utc(moment: datetime, given: object) -> datetime:
    """Return an instant as a plain datetime in UTC; subclasses (of pandas, of pendulum) override its methods."""
    if type(moment) is _datetime() and moment.tzinfo is UTC and not moment.microsecond % 1000:  # such as one of a row
        return moment
    moment = _datetime()(
        moment.year,
        moment.month,
        moment.day,
        moment.hour,
        moment.minute,
        moment.second,
        moment.microsecond // 1000 * 1000,
        moment.tzinfo,
        fold=moment.fold,
    )
    if moment.utcoffset() is None:
        raise InvalidInput(
            f"expected an offset from UTC, got {describe(given)}",
            "pass datetime(..., tzinfo=UTC), or text ending in Z",
        )
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise InvalidInput(f"must be within the years 1 to 9999 in UTC, got {describe(given)}") from None


def mapping(value: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a copy of a mapping that is JSON-serializable; None if it was omitted."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise InvalidInput(f"expected a mapping, got {describe(value)}")
    return _json_object(dict(value))


def overrides(value: Mapping[str, Mapping[str, Any]] | None) -> dict[str, dict[str, Any]] | None:
    """Return a copy of the limits that override a tier's, by feature code; None if they were omitted."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise InvalidInput(f"expected a mapping of feature codes, got {describe(value)}")
    return _json_object({code: at_field(_key_text(code), _override)(override) for code, override in value.items()})


def _override(value: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidInput(f'expected a mapping such as {{"max_quantity": 10}}, got {describe(value)}')
    for key in ("included_quantity", "max_quantity"):  # the service checks other keys
        at_field(key, nullable_limit)(value.get(key))
    return dict(value)


def _json_object(value: dict[str, Any]) -> dict[str, Any]:
    json: dict[str, Any] = to_json(value)
    return json


def items(value: Iterable[Any], of: str) -> list[Any]:
    """Return the items of a list or another iterable; a text or a mapping is an error."""
    if isinstance(value, (str, bytes, Mapping)):
        raise InvalidInput(f"expected a list of {of}, got one {describe(value)}", "put it in a list")
    if not isinstance(value, Iterable):
        raise InvalidInput(f"expected a list of {of}, got {describe(value)}", "put a single one in a list too")
    return list(value)


def keywords(
    value: Any, allowed: tuple[str, ...], needed: tuple[str, ...] = (), *, noun: str = "field"
) -> dict[str, Any]:
    """Return a mapping as keyword arguments: all keys are *allowed*, and all *needed* keys are there.

    The error for another key says that there is no such *noun*.
    """
    if not isinstance(value, Mapping):
        raise InvalidInput(f"expected a mapping with {', '.join(allowed)}, got {describe(value)}")
    for key in value:
        if key not in allowed:
            raise InvalidInput(f"no such {noun}", f"allowed: {', '.join(allowed)}").at(_key_text(key))
    for key in needed:
        if key not in value:
            raise InvalidInput("required").at(key)
    return {_key_text(key): given for key, given in value.items()}


def _key_text(key: object) -> str:
    """Return a key of a mapping as it appears in a place."""
    key = plain(key)
    return str.__str__(key) if isinstance(key, str) else short_repr(key)


def hint(value: str | None) -> str | None:
    """Return text; None if it is blank or was omitted."""
    if value is None or (isinstance(value, str) and not str.strip(value)):
        return None
    return text(value)


def hint_addresses(value: Iterable[str] | None) -> tuple[str, ...]:
    """Return e-mail addresses without surrounding white space; blank ones are dropped, and None is an empty tuple."""
    entries = () if value is None else items(value, of="texts")
    addresses = [at_field(f"[{index}]", _hint_address)(entry) for index, entry in enumerate(entries)]
    return tuple(entry for entry in addresses if entry)


def _hint_address(value: str) -> str:
    return (hint(value) or "").strip() if isinstance(value, str) else text(value)
