"""What an argument may be: converters of request fields, each from what a caller has to what the wire takes.

A converter returns the value as it will travel (still as Python: a datetime, a plain str) or raises `InvalidInput`
without a field; `at_field` puts a field's name in front, so the same converter serves every argument of its kind.
`at_field` also resolves lazy objects before a converter sees them, and turns what a broken object raises into
`InvalidInput`.
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
"""An int or float, as an argument is annotated."""

SOURCES = ("subscription", "manual", "trial", "api")


def secret(value: T) -> Callable[[], T]:
    """Return *value* behind a function: what shows the locals of a traceback, or walks attributes, does not see it.

    The function is none of Python's own, which would have the value among its locals while it runs.
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
"""Built-in errors of an object that cannot be read, such as a time zone without an offset or an unbound proxy.

Others pass through: those of a database or a network behind a lazy object, and those of the caller's own timer.
"""


def at_field(place: str, convert: Callable[[Any], T]) -> Callable[[Any], T]:
    """Return *convert* for values that may be lazy or broken, with *place* in front of its refusals."""

    def converted(value: Any) -> T:
        try:
            return convert(plain(value))
        except InvalidInput as refusal:
            raise refusal.at(place) from refusal.__cause__
        except _ERRORS_OF_VALUES as error:
            kind = type(value).__name__
            raise InvalidInput(f"could not read the given {kind}: {short_repr(error, 120)}").at(place) from error

    # attrs puts it into `__init__` of requests, where the text "Any" would be a name of their module.
    converted.__annotations__["value"] = Any
    return converted


def private(_cls: type, fields: list[Attribute[Any]]) -> list[Attribute[Any]]:
    """Let the repr of a class shorten e-mail addresses; for `attrs.frozen(field_transformer=...)`."""
    return [field.evolve(repr=private_repr) if field.repr else field for field in fields]


def name_fields_in_errors(cls: type, fields: list[Attribute[Any]]) -> list[Attribute[Any]]:
    """Let each field's refusals begin with its name, and the repr shorten e-mail addresses."""
    return [
        field.evolve(converter=at_field(field.name, field.converter))
        # An inherited one has its name already.
        if callable(field.converter) and not field.inherited  # pyright: ignore[reportAttributeAccessIssue] - not in stubs
        else field
        for field in private(cls, fields)
    ]


def text(value: str) -> str:
    """Text that is not blank."""
    if not isinstance(value, str):
        raise InvalidInput(f"expected text, got {describe(value)}")
    unicode = unicode_text(value)
    if not unicode.strip():
        raise InvalidInput("blank text")
    return unicode


def optional_text(value: str | None) -> str | None:
    """Text that is not blank, or None for not given."""
    return _optional(text, value)


def address(value: str) -> str:
    """An e-mail address, without the white space around it; whether it is one is for the service to say."""
    return text(value).strip()


def optional_address(value: str | None) -> str | None:
    """An e-mail address, or None for not given."""
    return _optional(address, value)


def _optional(convert: Callable[[Any], T], value: Any) -> T | None:
    if value is None:
        return None
    try:
        return convert(value)
    except InvalidInput as refusal:
        raise InvalidInput(f"{refusal}; leave it out or pass None where there is none") from None


def identifier(value: str | UUID) -> str:
    """An id: text that is not blank, or a UUID."""
    if isinstance(value, UUID):
        return UUID.__str__(value)
    if not isinstance(value, str):
        raise InvalidInput(f"expected an id as text or uuid.UUID, got {describe(value)}")
    return text(value)


def optional_identifier(value: str | UUID | None) -> str | None:
    """An id, or None for not given."""
    return None if value is None else identifier(value)


def idempotency_key(value: str | UUID | None) -> str:
    """An idempotency key; a new random one where none is given."""
    return str(uuid4()) if value is None else identifier(value)


def boolean(value: bool) -> bool:  # noqa: FBT001 - the one argument is the value
    """Return True or False and nothing that merely counts as such."""
    if value is True or value is False:
        return value
    raise InvalidInput(f"expected True or False, got {describe(value)}")


def optional_boolean(value: bool | None) -> bool | None:  # noqa: FBT001 - the one argument is the value
    """True, False, or None for not given."""
    return None if value is None else boolean(value)


def number(value: float) -> int | float:
    """An int or float that JSON and JavaScript hold: finite, integers up to 2**53 - 1; no bool, no Decimal."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidInput(f"expected an int or float, got {describe(value)}")
    return integer(value) if isinstance(value, int) else finite(value)


def quantity(value: float) -> int | float:
    """Return a number above 0."""
    checked = number(value)
    if checked <= 0:
        raise InvalidInput(f"expected a number above 0, got {describe(value)}")
    return checked


def limit(value: float | Unset | None) -> int | float | Unset | None:
    """Return a number of at least 0, None for no limit, or UNSET for leave it as it is."""
    return UNSET if value is UNSET else nullable_limit(value)


def nullable_limit(value: float | None) -> int | float | None:
    """Return a number of at least 0, or None for no limit."""
    if value is None:
        return None
    checked = number(value)
    if checked < 0:
        raise InvalidInput(f"expected a number of at least 0, or None; got {describe(value)}")
    return checked


def fraction(value: float | None) -> int | float | None:
    """Return a number from 0 to 1, or None for not given."""
    if value is None:
        return None
    checked = number(value)
    if not 0 <= checked <= 1:
        raise InvalidInput(f"expected a fraction from 0 to 1, got {describe(value)}")
    return checked


def source(value: str | None) -> str | None:
    """Return the name of a source, or None for not given."""
    name = optional_text(value)
    if name is not None and name not in SOURCES:
        raise InvalidInput(f"expected one of {', '.join(SOURCES)}; got {describe(value)}")
    return name


def timestamp(value: datetime | str) -> datetime:
    """An aware datetime or ISO 8601 text with an offset, in UTC; what is finer than a millisecond is cut."""
    if isinstance(value, str):
        moment = _parsed(value)
    elif isinstance(value, datetime):
        moment = value
    else:
        raise InvalidInput(
            f"expected an aware datetime, or ISO 8601 text with an offset such as 2024-01-15T10:30:00Z; "
            f"got {describe(value)}"
        )
    return _in_utc(moment, value)


def optional_timestamp(value: datetime | str | None) -> datetime | None:
    """An instant, or None for not given."""
    return None if value is None else timestamp(value)


def expiry(value: datetime | date | str | Unset | None) -> datetime | Unset | None:
    """An instant, a day (its start in UTC), None for no expiry, or UNSET for leave it as it is."""
    if value is None or value is UNSET:
        return value
    if isinstance(value, str) and (day := _day(value)):
        value = day
    if isinstance(value, date) and not isinstance(value, datetime):
        value = _datetime()(value.year, value.month, value.day, tzinfo=UTC)
    try:
        return timestamp(value)
    except InvalidInput as refusal:
        raise InvalidInput(f"{refusal}; a day such as 2026-12-31 means its start in UTC") from None


def _datetime() -> type[datetime]:
    """Return the class `datetime` itself: a library that freezes time puts a subclass in its place, in every module."""
    return next(kind for kind in datetime.__mro__ if kind.__module__ == "datetime")


def _day(value: str) -> date | None:
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None


def _parsed(value: str) -> datetime:
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        raise InvalidInput(f"expected ISO 8601 text such as 2024-01-15T10:30:00Z, got {describe(value)}") from None


def _in_utc(moment: datetime, given: object) -> datetime:
    """Return an instant as a plain datetime in UTC, for a subclass (of pandas, of pendulum) has methods of its own."""
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
            f"an instant needs its offset from UTC (datetime(..., tzinfo=UTC) or text ending in Z); "
            f"got {describe(given)}"
        )
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise InvalidInput(f"is outside the years 1 to 9999 in UTC: {describe(given)}") from None


def mapping(value: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A mapping of what travels as JSON, copied; None for not given."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise InvalidInput(f"expected a mapping, got {describe(value)}")
    return _checked(dict(value))


def overrides(value: Mapping[str, Mapping[str, Any]] | None) -> dict[str, dict[str, Any]] | None:
    """Limits that differ from a tier's, by feature code, copied; None for not given."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise InvalidInput(f"expected a mapping of feature codes, got {describe(value)}")
    return _checked({code: at_field(_place(code), _override)(override) for code, override in value.items()})


def _override(value: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidInput(f'expected a mapping such as {{"max_quantity": 10}}, got {describe(value)}')
    for key in ("included_quantity", "max_quantity"):  # what else there is, is for the service to say
        at_field(key, nullable_limit)(value.get(key))
    return dict(value)


def _checked(value: dict[str, Any]) -> dict[str, Any]:
    checked: dict[str, Any] = to_json(value)
    return checked


def items(value: Iterable[Any], of: str) -> list[Any]:
    """Return the items of a list or another iterable; one text or one mapping is no list."""
    if isinstance(value, (str, bytes, Mapping)):
        raise InvalidInput(f"expected a list of {of}, got one {describe(value)}; put it in a list")
    if not isinstance(value, Iterable):
        raise InvalidInput(f"expected a list of {of}, got {describe(value)}; one of them goes in a list too")
    return list(value)


def keywords(value: Any, allowed: tuple[str, ...], needed: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a mapping as keyword arguments: only what is *allowed*, and all that is *needed*."""
    if not isinstance(value, Mapping):
        raise InvalidInput(f"expected a mapping with {', '.join(allowed)}; got {describe(value)}")
    for key in value:
        if key not in allowed:
            raise InvalidInput(f"no such field; allowed: {', '.join(allowed)}").at(_place(key))
    for key in needed:
        if key not in value:
            raise InvalidInput("is missing").at(key)
    return {_place(key): given for key, given in value.items()}


def _place(key: object) -> str:
    """Return the name of the place that a key of a mapping is."""
    key = plain(key)
    return str.__str__(key) if isinstance(key, str) else short_repr(key)


def hint(value: str | None) -> str | None:
    """Text, where blank counts as not given."""
    if value is None or (isinstance(value, str) and not str.strip(value)):
        return None
    return text(value)


def hint_addresses(value: Iterable[str] | None) -> tuple[str, ...]:
    """E-mail addresses, trimmed and without the blank ones; None for none."""
    given = () if value is None else items(value, of="texts")
    trimmed = [at_field(f"[{index}]", _hint_address)(entry) for index, entry in enumerate(given)]
    return tuple(entry for entry in trimmed if entry)


def _hint_address(value: str) -> str:
    return (hint(value) or "").strip() if isinstance(value, str) else text(value)
