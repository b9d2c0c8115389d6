"""Requests from their JSON, for queues that store JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, get_args, get_type_hints

from attrs import NOTHING, Attribute, fields, has

from chatarmin_os._converter import is_sequence, wire_name, without_none
from chatarmin_os._input import at_field, items, keywords
from chatarmin_os._json import JSON, describe
from chatarmin_os._request import Request
from chatarmin_os._unset import UNSET
from chatarmin_os.errors import InvalidInput
from chatarmin_os.procedures.table import PROCEDURES

_KEYS = ("path", "input")


def request_from_json(document: Mapping[str, Any]) -> Request[Any]:
    """Return the request whose `to_json()` is *document*: an equal one, with the same idempotency key.

    It checks the values as every request does.

    Args:
        document: An object with the keys "path" and "input"; not JSON text.

    Raises:
        InvalidInput: *document* is not such an object, has an unknown path or key, lacks a required key, or has an
            invalid value. The `idempotencyKey` is required: without it, each reading would create another event.

    Example:
        >>> from chatarmin_os import TrackUsageInput
        >>> event = TrackUsageInput(company_id="comp_1", feature_code="ai_credit", quantity=5)
        >>> request_from_json(event.to_json()) == event
        True
    """
    if not isinstance(document, Mapping):
        hint = "parse JSON text with json.loads first" if isinstance(document, (str, bytes, bytearray)) else None
        raise InvalidInput(f"expected the result of request.to_json(), got {describe(document)}", hint).at("document")
    content = keywords(document, allowed=_KEYS, needed=_KEYS)
    path, given = content["path"], content["input"]
    kind: Any = PROCEDURES.get(path) if isinstance(path, str) else None
    if kind is None:
        raise InvalidInput(f"expected the path of a procedure, such as tiers.get, got {describe(path)}").at("path")
    if not fields(kind):
        if given is not None:
            raise InvalidInput(f"expected null, as {kind.path} has no input, got {describe(given)}").at("input")
        given = {}
    elif not isinstance(given, Mapping):
        raise InvalidInput(f"expected a JSON object, got {describe(given)}").at("input")
    request: Request[Any] = kind(**_arguments(kind, given))
    return request


def _arguments(kind: Any, value: Any) -> dict[str, Any]:
    """Return the keyword arguments of an attrs class from a JSON object with wire names."""
    wire_fields: dict[str, Attribute[Any]] = {wire_name(field.name): field for field in fields(kind)}
    given, types = keywords(value, allowed=tuple(wire_fields)), get_type_hints(kind)
    for key, field in wire_fields.items():
        if key not in given and (field.default is NOTHING or field.name == "idempotency_key"):
            raise InvalidInput("required").at(field.name)
        if key in given and given[key] is None and field.default is not UNSET:
            raise InvalidInput("must not be null", "omit the key").at(field.name)
    return {
        wire_fields[key].name: at_field(wire_fields[key].name, _converter_for(types[wire_fields[key].name]))(item)
        for key, item in given.items()
    }


def _converter_for(kind: Any) -> Callable[[JSON], Any]:
    """Return a function that renames the keys of nested objects; the fields of the request check everything else."""
    kind = without_none(kind)
    if has(kind):
        return partial(_arguments, kind)
    if is_sequence(kind):
        convert = _converter_for(get_args(kind)[0])
        return lambda value: [
            at_field(f"[{index}]", convert)(item) for index, item in enumerate(items(value, "values"))
        ]
    return lambda value: value
