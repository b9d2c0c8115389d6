"""Between attrs objects and wire JSON: camelCase for our fields and never for the customer's keys, strict types.

Functions are made once per class, when it is first used. cattrs dispatches on types; what it would coerce
(`bool("false")`, `int(5.9)`) or accept (text where a list is meant) is replaced by hooks that refuse, and a refusal
names its place from the root of the answer in wire names: `$.features[3].isEnabled`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial, reduce
from operator import or_
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

from attrs import NOTHING, Attribute, fields, has
from cattrs import Converter
from cattrs.gen import make_dict_unstructure_fn, override

from chatarmin_os._call import Call
from chatarmin_os._input import at_field, items, keywords
from chatarmin_os._json import JSON, copy_json, describe, timestamp_text, to_json
from chatarmin_os._request import Request
from chatarmin_os._unset import UNSET
from chatarmin_os._values import far_instant_of, instant_of, number_of
from chatarmin_os.errors import InvalidInput, InvalidResponse

if TYPE_CHECKING:
    from chatarmin_os.models._base import Quantity

T = TypeVar("T")
Decode = Callable[..., Any]

_OK = 200


class _Codec(NamedTuple):
    """Both ways of one procedure."""

    encode: Callable[[Any], JSON]
    decode: Decode


_codecs: dict[type, _Codec] = {}


def to_call(request: Request[Any]) -> Call:
    """Return *request* as it travels.

    Raises:
        TypeError: It is no request.
    """
    kind: type[Any] = type(request)
    codec = _codecs.get(kind) or _made(request)
    return Call(kind.path, kind.kind, codec.encode(request), kind.safe_to_repeat)


def from_answer(request: Request[T], answer: JSON) -> T:
    """Return *answer* as the result of *request*.

    Raises:
        InvalidResponse: Something in it has the wrong type, or is missing and must be there. Its `http_status` is 200
            whatever the transport, for a result is what the wire sends with this status.
    """
    codec = _codecs.get(type(request)) or _made(request)
    try:
        result: T = codec.decode(answer)
    except _Mismatch as mismatch:
        reason = str(mismatch)
    except RecursionError:
        reason = "JSON nested too deep at $"
    else:
        return result
    raise InvalidResponse(f"{request.path} answered something unexpected: {reason}", http_status=_OK)


def mismatch(value: JSON, kind: Any) -> str | None:
    """Return where and how JSON is not of a type made of TypedDicts, None where it is."""
    try:
        _decoder_of(kind)(value)
    except _Mismatch as found:
        return str(found)
    return None


def _made(request: Request[Any]) -> _Codec:
    """Make the functions of a request's class; another thread that does the same at once does no harm."""
    if not (isinstance(request, Request) and has(type(request))):
        raise TypeError(f"expected a request such as FeatureCheckInput(...), got {describe(request)}")
    kind: Any = type(request)
    encode = _requests.get_unstructure_hook(kind) if fields(kind) else _no_input
    decode = _lenient(kind.result) if kind.may_be_empty else _decoder_of(kind.result)
    codec = _codecs[kind] = _Codec(encode, decode)
    return codec


def _no_input(_: Any) -> None:
    return None


def _lenient(kind: Any) -> Decode:
    """Make the decoder of a model that may be empty, or not be there at all."""
    decode = _model(kind, lenient=True)
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


def _is_sequence(kind: Any) -> bool:
    return get_origin(kind) in (list, tuple)


def _is_mapping(kind: Any) -> bool:
    return get_origin(kind) is dict


# Requests -> JSON


_requests = Converter()
_requests.register_unstructure_hook(datetime, timestamp_text)
_requests.register_unstructure_hook_func(_is_mapping, to_json)


def _unstructuring(kind: Any) -> Callable[[Any], JSON]:
    """Make the encoder of an attrs class: what is at its default (None, UNSET, False) is left out."""
    renamed: Any = {attribute.name: override(rename=wire_name(attribute.name)) for attribute in fields(kind)}
    return make_dict_unstructure_fn(kind, _requests, _cattrs_omit_if_default=True, **renamed)


_requests.register_unstructure_hook_factory(has, _unstructuring)


# JSON -> requests


def request_from_json(document: Mapping[str, Any]) -> Request[Any]:
    """Return the request of which *document* is the `to_json()`: the equal one, with the same idempotency key.

    It is built like any other request, so that a value which the request refuses is refused here too.

    Raises:
        InvalidInput: *document* is no `{"path": ..., "input": ...}`, has an unknown path or an unknown key, or lacks a
            required one; an event without its `idempotencyKey` would become another event each time it is read.

    Example:
        >>> from chatarmin_os import TrackUsageInput
        >>> event = TrackUsageInput(company_id="comp_1", feature_code="ai_credit", quantity=5)
        >>> request_from_json(event.to_json()) == event
        True
    """
    from chatarmin_os.procedures.table import PROCEDURES  # it imports all requests

    if not isinstance(document, Mapping):
        raise InvalidInput(f"expected what request.to_json() returns, got {describe(document)}").at("document")
    content = keywords(document, allowed=_DOCUMENT, needed=_DOCUMENT)
    path, given = content["path"], content["input"]
    kind: Any = PROCEDURES.get(path) if isinstance(path, str) else None
    if kind is None:
        raise InvalidInput(f"expected the path of a procedure, such as tiers.get; got {describe(path)}").at("path")
    if not fields(kind):
        if given is not None:
            raise InvalidInput(f"{kind.path} has none, got {describe(given)}").at("input")
        given = {}
    elif not isinstance(given, Mapping):
        raise InvalidInput(f"expected a JSON object, got {describe(given)}").at("input")
    request: Request[Any] = kind(**_arguments(kind, given))
    return request


_DOCUMENT = ("path", "input")


def _arguments(kind: Any, value: Any) -> dict[str, Any]:
    """Return the keyword arguments of an attrs class from a JSON object with wire names."""
    wire_fields: dict[str, Attribute[Any]] = {wire_name(field.name): field for field in fields(kind)}
    given, types = keywords(value, allowed=tuple(wire_fields)), get_type_hints(kind)
    for key, field in wire_fields.items():
        if key not in given and (field.default is NOTHING or field.name == "idempotency_key"):
            raise InvalidInput("is missing").at(field.name)
        if key in given and given[key] is None and field.default is not UNSET:
            raise InvalidInput("null is never sent here, leave the key out").at(field.name)
    return {
        wire_fields[key].name: at_field(wire_fields[key].name, _argument_of(types[wire_fields[key].name]))(item)
        for key, item in given.items()
    }


def _argument_of(kind: Any) -> Callable[[JSON], Any]:
    """Make what converts the JSON of one argument; all but the names in nested objects is left to its field."""
    kind = _without_none(kind)
    if has(kind):
        return partial(_arguments, kind)
    if _is_sequence(kind):
        convert = _argument_of(get_args(kind)[0])
        return lambda value: [
            at_field(f"[{index}]", convert)(item) for index, item in enumerate(items(value, "values"))
        ]
    return lambda value: value


# JSON -> models


class _Mismatch(Exception):  # noqa: N818 - never leaves this module
    """A value that is not of the type it must have, and its place."""

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


# A field of a model takes what databases and JavaScript make of numbers and instants, too.


def _model_quantity(value: JSON) -> Quantity:
    """Return a quantity; text that is exactly a JSON number is that number, as a driver writes `numeric` and `int8`."""
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
    own: dict[str, Any] = copy_json(value)
    return own


def _mapping_of(kind: Any) -> Decode:
    """Make the decoder of `dict[str, X]`; the customer's own keys and values are taken as they are."""
    of = get_args(kind)[1]
    if of is Any:
        return _mapping
    decode_item = _decoder_of(of)

    def decode(value: JSON, _: Any = None) -> dict[str, Any]:
        items = _mapping(value)
        try:
            return {key: decode_item(item) for key, item in items.items()}
        except _Mismatch:
            raise _blamed((f".{key}", decode_item, item) for key, item in items.items()) from None

    return decode


def _typed_dict(kind: Any) -> Decode:
    """Make the decoder of a TypedDict: every key that it requires, and none that it does not know."""
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
            raise _blamed((f".{key}", decoders[key], item) for key, item in given.items()) from None

    return decode


def _sequence(kind: Any) -> Decode:
    """Make the decoder of `list[X]` or `tuple[X, ...]`; both are a JSON list."""
    make, decode_item = get_origin(kind), _decoder_of(get_args(kind)[0])

    def decode(value: JSON, _: Any = None) -> Any:
        if type(value) is not list:
            raise _Mismatch("a list", value)
        try:
            return make([decode_item(item) for item in value])
        except _Mismatch:
            raise _blamed((f"[{index}]", decode_item, item) for index, item in enumerate(value)) from None

    return decode


def _union(kind: Any) -> Decode:
    """Make the decoder of `X | None` or of a quantity."""
    known = [part for part in get_args(kind) if part is not NoneType]
    decode = _decoder_of(known[0]) if len(known) == 1 else _quantity
    if NoneType not in get_args(kind):
        return decode
    return lambda value, _=None: None if value is None else decode(value)


_MODEL_NUMBERS = {_quantity: _model_quantity, _int: _model_int}

# What a value of exactly this type needs no further look at: checked in place, without a call.
_EXACT = {_text: "str", _bool: "bool", _model_quantity: "int", _model_int: "int"}


def _model(kind: Any, *, lenient: bool = False) -> Decode:
    """Make the decoder of a model; a *lenient* one requires no field of it.

    It is compiled, as attrs and cattrs compile theirs: a loop over the fields would take twice the time.
    """
    types = get_type_hints(kind)
    names: dict[str, Any] = {"kind": kind, "own": copy_json, "Mismatch": _Mismatch, "blamed": _blamed}
    steps, places = [], []
    for index, attribute in enumerate(attribute for attribute in fields(kind) if attribute.name != "extra"):
        optional = lenient or not attribute.metadata.get("required")
        decode = _decoder_of(_without_none(types[attribute.name]))
        decode = _MODEL_NUMBERS.get(decode, decode)
        wire, value, hook = wire_name(attribute.name), f"v{index}", f"h{index}"
        names[hook] = decode
        places.append((wire, decode, optional))
        steps.append(f"{value} = pop({wire!r}, None)")
        exact = f"type({value}) is not {_EXACT[decode]}" if decode in _EXACT else None
        given = f"{value} is not None" if optional else None
        steps.append(f"if {' and '.join(filter(None, (given, exact))) or True}: {value} = {hook}({value})")
        if optional and attribute.default == ():
            steps.append(f"else: {value} = ()")
    names["places"], newline = places, "\n" + 8 * " "
    source = f"""
def decode(value, _=None):
    if type(value) is not dict:
        raise Mismatch("an object", value)
    rest = value.copy()
    pop = rest.pop
    try:
        {newline.join(steps)}
    except Mismatch:
        raise blamed(
            ("." + wire, hook, value.get(wire))
            for wire, hook, optional in places
            if not optional or value.get(wire) is not None
        ) from None
    return kind({", ".join(f"v{index}" for index in range(len(places)))}, extra=own(rest) if rest else rest)
"""
    exec(source, names)  # noqa: S102 - made of this module's text and of field names alone
    made: Decode = names["decode"]
    return made


def _blamed(parts: Iterable[tuple[str, Decode, JSON]]) -> _Mismatch:
    """Return the mismatch of the first of *parts* that has one, with its place in front."""
    for place, decode, value in parts:
        try:
            decode(value)
        except _Mismatch as mismatch:
            return mismatch.at(place)
    raise AssertionError("nothing to blame")  # pragma: no cover - only called where a part has failed


def _without_none(kind: Any) -> Any:
    """Return the type `X` of `X | None`, a quantity as it is."""
    return reduce(or_, (part for part in get_args(kind) if part is not NoneType)) if _is_union(kind) else kind


_answers = Converter(detailed_validation=False)
_answers.register_structure_hook(str, _text)
_answers.register_structure_hook(bool, _bool)
_answers.register_structure_hook(int, _int)
_answers.register_structure_hook(datetime, _instant)
_answers.register_structure_hook_factory(_is_mapping, _mapping_of)
_answers.register_structure_hook_factory(is_typeddict, _typed_dict)
_answers.register_structure_hook_factory(has, _model)
_answers.register_structure_hook_factory(_is_sequence, _sequence)
_answers.register_structure_hook_factory(_is_union, _union)


def _decoder_of(kind: Any) -> Decode:
    decode: Decode = _answers.get_structure_hook(kind)
    return decode
