"""Between attrs objects and wire JSON: camelCase for our fields, never for the customer's keys, and strict types.

The codec of a class is built at its first use. cattrs only dispatches on types: its own hooks coerce (`bool("false")`,
`int(5.9)`), take text for a list, and name places in Python. The hooks here reject a wrong type and name its place from
the root of the answer in wire names: `$.features[3].isEnabled`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import reduce
from operator import itemgetter, or_
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    NamedTuple,
    NotRequired,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from attrs import fields, has
from cattrs import Converter
from cattrs.gen import make_dict_unstructure_fn, override

from chatarmin_os._call import Call
from chatarmin_os._json import JSON, copy_json, describe, timestamp_text, to_json
from chatarmin_os._request import Request
from chatarmin_os._values import far_instant_of, instant_of, number_of
from chatarmin_os.errors import InvalidResponse

if TYPE_CHECKING:
    from chatarmin_os.models._base import Quantity

T = TypeVar("T")
Decode = Callable[..., Any]

_OK = 200


class _Codec(NamedTuple):
    """The encoder and the decoder of one procedure."""

    encode: Callable[[Any], JSON]
    decode: Decode


_codecs: dict[type, _Codec] = {}


def to_call(request: Request[Any]) -> Call:
    """Return the call that *request* makes.

    Raises:
        TypeError: *request* is not a request.
    """
    kind: type[Any] = type(request)
    codec = _codecs.get(kind) or _codec_for(request)
    return Call(kind.path, kind.kind, codec.encode(request), kind.safe_to_repeat)


def from_answer(request: Request[T], answer: JSON) -> T:
    """Return *answer* as the result of *request*.

    Raises:
        InvalidResponse: A value has the wrong type, or a required one is missing. Its `http_status` is 200 on every
            transport: the service sends results with this status.
    """
    codec = _codecs.get(type(request)) or _codec_for(request)
    try:
        result: T = codec.decode(answer)
    except _Mismatch as mismatch:
        reason = str(mismatch)
    except RecursionError:
        reason = "JSON nested too deep at $"
    else:
        return result
    raise InvalidResponse(f"{request.path}: unexpected answer: {reason}", http_status=_OK)


def mismatch(value: JSON, kind: Any) -> str | None:
    """Return how and where JSON differs from a type made of TypedDicts; None if it matches."""
    try:
        _decoder_of(kind)(value)
    except _Mismatch as error:
        return str(error)
    return None


def _codec_for(request: Request[Any]) -> _Codec:
    """Build and keep the codec of a request's class; it does no harm if two threads do so at once."""
    if not (isinstance(request, Request) and has(type(request))):
        raise TypeError(f"expected a request such as FeatureCheckInput(...), got {describe(request)}")
    kind: Any = type(request)
    encode = _requests.get_unstructure_hook(kind) if fields(kind) else _no_input
    decode = _optional_model(kind.result) if kind.may_be_empty else _decoder_of(kind.result)
    codec = _codecs[kind] = _Codec(encode, decode)
    return codec


def _no_input(_: Any) -> None:
    return None


def _optional_model(kind: Any) -> Decode:
    """Build the decoder of a model without required fields; null is an empty one."""
    decode = _model(kind, has_required=False)
    return lambda answer: decode({} if answer is None else answer)


def wire_name(name: str) -> str:
    """Return the camelCase of a snake_case name.

    Example:
        >>> wire_name("external_org_id")
        'externalOrgId'
    """
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in (Union, UnionType)


def is_sequence(kind: Any) -> bool:
    """Return whether a type is a list or a tuple."""
    return get_origin(kind) in (list, tuple)


def _is_mapping(kind: Any) -> bool:
    return get_origin(kind) is dict


# Requests -> JSON


_requests = Converter()
_requests.register_unstructure_hook(datetime, timestamp_text)
_requests.register_unstructure_hook_func(_is_mapping, to_json)


def _unstructuring(kind: Any) -> Callable[[Any], JSON]:
    """Build the encoder of an attrs class, which omits fields at their default (None, UNSET, False)."""
    renamed: Any = {attribute.name: override(rename=wire_name(attribute.name)) for attribute in fields(kind)}
    return make_dict_unstructure_fn(kind, _requests, _cattrs_omit_if_default=True, **renamed)


_requests.register_unstructure_hook_factory(has, _unstructuring)


# JSON -> models


class _Mismatch(Exception):  # noqa: N818 - never leaves this module
    """A value of the wrong type, and its place."""

    def __init__(self, expected: str, value: object, place: str = "") -> None:
        super().__init__(expected, value, place)
        self.expected, self.value, self.place = expected, value, place

    def at(self, place: str) -> _Mismatch:
        return _Mismatch(self.expected, self.value, place + self.place)

    def __str__(self) -> str:
        return f"expected {self.expected} at ${self.place}, got {describe(self.value)}"


def _text(value: JSON, _: Any = None) -> str:
    if type(value) is not str:
        raise _Mismatch("text", value)
    return value


def _bool(value: JSON, _: Any = None) -> bool:
    if type(value) is not bool:
        raise _Mismatch("true or false", value)
    return value


def _quantity(value: JSON, _: Any = None) -> Quantity:
    if type(value) is int:
        return value
    if type(value) is not float or value - value != 0:  # an infinity or NaN minus itself is NaN
        raise _Mismatch("a number", value)
    return int(value) if value.is_integer() else value


def _int(value: JSON, _: Any = None) -> int:
    whole = _quantity(value)
    if type(whole) is not int:
        raise _Mismatch("a whole number", value)
    return whole


# Fields of models also accept numbers as the text that databases write.


def _model_quantity(value: JSON) -> Quantity:
    """Return a quantity; text that is exactly a JSON number is that number: drivers write `numeric` and `int8` so."""
    if type(value) is str:
        number = number_of(value)
        if number is not None:
            return number
    return _quantity(value)


def _model_int(value: JSON) -> int:
    whole = _model_quantity(value)
    if type(whole) is not int:
        raise _Mismatch("a whole number", value)
    return whole


def _instant(value: JSON, _: Any = None) -> datetime:
    if type(value) is str:
        moment = instant_of(value) or far_instant_of(value)
        if moment is not None:
            return moment
    raise _Mismatch("an instant such as 2024-01-15T10:30:00.000Z", value)


def _mapping(value: JSON, _: Any = None) -> dict[str, Any]:
    if type(value) is not dict:
        raise _Mismatch("an object", value)
    copy: dict[str, Any] = copy_json(value)
    return copy


def _mapping_of(kind: Any) -> Decode:
    """Build the decoder of `dict[str, X]`; the customer's keys and values stay unchanged."""
    of = get_args(kind)[1]
    if of is Any:
        return _mapping
    decode_item = _decoder_of(of)

    def decode(value: JSON, _: Any = None) -> dict[str, Any]:
        items = _mapping(value)
        try:
            return {key: decode_item(item) for key, item in items.items()}
        except _Mismatch:
            raise _first_mismatch((f".{key}", decode_item, item) for key, item in items.items()) from None

    return decode


def _typed_dict(kind: Any) -> Decode:
    """Build the decoder of a TypedDict, which rejects missing and unknown keys."""
    types = get_type_hints(kind, include_extras=True)
    decoders = {key: _decoder_of(get_args(of)[0] if get_origin(of) is NotRequired else of) for key, of in types.items()}
    required = [key for key, of in types.items() if get_origin(of) is not NotRequired]

    def decode(value: JSON, _: Any = None) -> dict[str, Any]:
        given = _mapping(value)
        for key in required:
            if key not in given:
                raise _Mismatch(f"an object with the key {key!r}", value)
        for key in given:
            if key not in decoders:
                raise _Mismatch(f"an object without the key {key!r}", value)
        try:
            return {key: decoders[key](item) for key, item in given.items()}
        except _Mismatch:
            raise _first_mismatch((f".{key}", decoders[key], item) for key, item in given.items()) from None

    return decode


def _sequence(kind: Any) -> Decode:
    """Build the decoder of `list[X]` or `tuple[X, ...]`; both are a JSON list."""
    make, decode_item = get_origin(kind), _decoder_of(get_args(kind)[0])

    def decode(value: JSON, _: Any = None) -> Any:
        if type(value) is not list:
            raise _Mismatch("a list", value)
        try:
            return make([decode_item(item) for item in value])
        except _Mismatch:
            raise _first_mismatch((f"[{index}]", decode_item, item) for index, item in enumerate(value)) from None

    return decode


def _union(kind: Any) -> Decode:
    """Build the decoder of `X | None` or of a quantity."""
    known = [part for part in get_args(kind) if part is not NoneType]
    decode = _decoder_of(known[0]) if len(known) == 1 else _quantity
    if NoneType not in get_args(kind):
        return decode
    return lambda value, _=None: None if value is None else decode(value)


_MODEL_NUMBERS = {_quantity: _model_quantity, _int: _model_int}

_EXACT: dict[Decode, type] = {_text: str, _bool: bool, _model_quantity: int, _model_int: int}
"""Decoders that return values of this type unchanged."""


def _model(kind: Any, *, has_required: bool = True) -> Decode:
    """Build the decoder of a model."""
    rows = _rows(kind, has_required=has_required)
    omitted = {row.wire: None for row in rows}
    pick = _picker(list(omitted))
    steps = [(index, row.exact, row.decode) for index, row in enumerate(rows)]

    # Long lists spend their time here: `itemgetter` reads all fields at once; a value of an exact type costs no call.
    def decode(value: JSON, _: Any = None) -> Any:
        if type(value) is not dict:
            raise _Mismatch("an object", value)
        try:
            arguments = [*pick(value)]
        except KeyError:
            value = omitted | value
            arguments = [*pick(value)]
        try:
            for index, exact, decode_field in steps:
                if type(item := arguments[index]) not in exact:
                    arguments[index] = decode_field(item)
        except _Mismatch:
            raise _first_mismatch(
                (f".{row.wire}", row.decode, value[row.wire]) for row in rows if type(value[row.wire]) not in row.exact
            ) from None
        if len(value) == len(omitted):
            return kind(*arguments)
        return kind(*arguments, extra=copy_json({key: value[key] for key in value if key not in omitted}))

    return decode


class _Row(NamedTuple):
    """A field of a model: its wire name, the types of values that need no decoding, and the decoder of all others."""

    wire: str
    exact: frozenset[type]
    decode: Decode


def _picker(keys: Sequence[str]) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
    """Return a function that reads *keys* of a mapping as a tuple; `itemgetter` with one key would return no tuple."""
    return itemgetter(*keys) if len(keys) > 1 else lambda value: (value[keys[0]],)


def _rows(kind: Any, *, has_required: bool) -> list[_Row]:
    types = get_type_hints(kind)
    rows = []
    for attribute in fields(kind):
        if attribute.name == "extra":
            continue
        decode = _decoder_of(without_none(types[attribute.name]))
        decode = _MODEL_NUMBERS.get(decode, decode)
        exact = {_EXACT[decode]} if decode in _EXACT else set()
        if not (has_required and attribute.metadata.get("required")):
            if attribute.default == ():
                decode = _or_empty(decode)
            else:
                exact.add(NoneType)
        rows.append(_Row(wire_name(attribute.name), frozenset(exact), decode))
    return rows


def _or_empty(decode: Decode) -> Decode:
    return lambda value: () if value is None else decode(value)


def _first_mismatch(parts: Iterable[tuple[str, Decode, JSON]]) -> _Mismatch:
    """Return the first mismatch of *parts*, with its place in front."""
    for place, decode, value in parts:
        try:
            decode(value)
        except _Mismatch as mismatch:
            return mismatch.at(place)
    raise AssertionError("no mismatch")  # pragma: no cover - only called after one


def without_none(kind: Any) -> Any:
    """Return the type `X` of `X | None`; other types unchanged."""
    return reduce(or_, (part for part in get_args(kind) if part is not NoneType)) if _is_union(kind) else kind


_answers = Converter(detailed_validation=False)
_answers.register_structure_hook(str, _text)
_answers.register_structure_hook(bool, _bool)
_answers.register_structure_hook(int, _int)
_answers.register_structure_hook(datetime, _instant)
_answers.register_structure_hook_factory(_is_mapping, _mapping_of)
_answers.register_structure_hook_factory(is_typeddict, _typed_dict)
_answers.register_structure_hook_factory(has, _model)
_answers.register_structure_hook_factory(is_sequence, _sequence)
_answers.register_structure_hook_factory(_is_union, _union)


def _decoder_of(kind: Any) -> Decode:
    decode: Decode = _answers.get_structure_hook(kind)
    return decode
