"""JSON values: accepted and rejected ones, copies, and values in messages."""

from __future__ import annotations

import enum
import json
import math
import re
from collections import OrderedDict, UserDict, defaultdict
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ids import words

from chatarmin_os import InvalidInput
from chatarmin_os._json import (
    FORBIDDEN_KEYS,
    MAX_DEPTH,
    MAX_SAFE_INTEGER,
    copy_json,
    describe,
    private_repr,
    short_repr,
    timestamp_text,
    to_json,
)


class Text(str):
    """Text of a class of its own."""

    __slots__ = ()

    def __str__(self) -> str:
        return "not the text"


class Whole(int):
    """An int of a class of its own."""

    def __repr__(self) -> str:
        return "not the int"


class Broken(float):
    """A float of a class of its own."""

    def __repr__(self) -> str:
        return "not the float"


class Mine(dict[str, Any]):
    """A dict of a class of its own."""


class Colour(enum.StrEnum):
    """Text with names."""

    RED = "red"


class Number(enum.IntEnum):
    """Ints with names."""

    ONE = 1


class Point(NamedTuple):
    """A tuple with names."""

    x: int
    y: list[int]


class Rude:
    """Something that fails when it is shown."""

    def __repr__(self) -> NoReturn:
        raise ZeroDivisionError


SCALARS = st.none() | st.booleans() | st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER) | st.text()
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(SCALARS | NUMBERS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


def _refused(value: Any) -> InvalidInput:
    with pytest.raises(InvalidInput) as refused:
        to_json(value)
    return refused.value


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def _containers(value: Any) -> list[int]:
    """Return the identities of all lists and objects in a value."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [id(value)] * isinstance(value, (dict, list)) + [one for item in inner for one in _containers(item)]


@pytest.mark.slow
@pytest.mark.parametrize("copy", [partial(to_json, is_stored=False), copy_json], ids=["to-json", "copy-json"])
@given(value=JSON)
def test_copy_of_json_is_equal(copy: Any, value: Any) -> None:
    """A copy of JSON is equal, writes the same text, and shares no list and no object."""
    clone = copy(value)

    assert json.dumps(value) == json.dumps(clone)
    assert value == clone
    assert not set(_containers(value)) & set(_containers(clone))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((), []),
        ((1, (2, [3, (4,)])), [1, [2, [3, [4]]]]),
        ({"a": (1,)}, {"a": [1]}),
        (Point(1, [2]), [1, [2]]),
        (Text("text"), "text"),
        (Text("täxt"), "täxt"),
        ({Text("key"): Text("value")}, {"key": "value"}),
        ({Text("kéy"): 1}, {"kéy": 1}),
        (Whole(5), 5),
        (Broken(2.5), 2.5),
        (Colour.RED, "red"),
        ({Colour.RED: Colour.RED}, {"red": "red"}),
        (Number.ONE, 1),
        (Mine(a=[1]), {"a": [1]}),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (defaultdict(str, a="1"), {"a": "1"}),
    ],
    ids=words,
)
def test_serializable_values_become_plain(value: Any, expected: Any) -> None:
    """Tuples become lists; text, numbers and objects of subclasses become plain ones."""
    clone = to_json(value)

    assert expected == clone
    assert [type(part) for part in _parts(expected)] == [type(part) for part in _parts(clone)]
    assert json.dumps(expected) == json.dumps(clone)


def _parts(value: Any) -> list[Any]:
    """Return a value with everything in it, keys too."""
    inner = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return [value, *(part for one in inner for part in _parts(one))]


@pytest.mark.parametrize("value", [True, False, None, 0, -0.0, "", [], {}, 1e308, 5e-324, MAX_SAFE_INTEGER], ids=words)
def test_single_values_stay_unchanged(value: Any) -> None:
    """A single JSON value stays the same value of the same type."""
    clone = to_json(value)

    assert repr(value) == repr(clone)
    assert type(value) is type(clone)


def test_object_keeps_the_order_of_its_keys() -> None:
    """Keys keep their order."""
    assert list(to_json({"b": 1, "a": 2, "c": 3})) == ["b", "a", "c"]


def test_shared_list_becomes_two() -> None:
    """A list that occurs in two places becomes two lists."""
    one: list[int] = [1]

    first, second = to_json([one, one])

    assert first == second == one
    assert first is not second


@pytest.mark.parametrize(
    "value",
    [
        {1, 2},
        frozenset(),
        b"bytes",
        bytearray(b"bytes"),
        Decimal("1.5"),
        Fraction(1, 2),
        1j,
        object(),
        UUID(int=1),
        datetime(2024, 1, 15, tzinfo=UTC),
        range(3),
        iter([1]),
        MappingProxyType({"a": 1}),
        UserDict(a=1),
        len,
        int,
        Rude(),
    ],
    ids=words,
)
def test_other_types_are_rejected(value: Any) -> None:
    """A value that is not JSON-serializable is rejected with its type, alone and at its place."""
    alone, inside = _refused(value), _refused({"rows": [0, {"it": value}]})

    assert alone.problem == f"is not JSON-serializable, got {describe(value)}"
    assert alone.hint == ("pass .isoformat()" if isinstance(value, datetime) else None)
    assert type(value).__name__ in str(alone)
    assert alone.field is None
    assert str(inside) == f"rows[1].it: {alone}"
    assert inside.field == "rows[1].it"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, Broken("inf")])
def test_infinite_numbers_are_rejected(value: float) -> None:
    """NaN and infinities are rejected."""
    assert "expected a finite number" in str(_refused(value))
    assert _refused([[value]]).field == "[0][0]"


@pytest.mark.parametrize(
    "value", [MAX_SAFE_INTEGER + 1, -MAX_SAFE_INTEGER - 1, 10**4000, 10**5000, Whole(2**53)], ids=words
)
def test_unsafe_integers_are_rejected(value: int) -> None:
    """An integer that JavaScript does not hold exactly is rejected, whatever its length."""
    refusal = _refused({"n": value})

    assert refusal.field == "n"
    assert "would be rounded; send it as text" in str(refusal)
    assert len(str(refusal)) < 250


@pytest.mark.parametrize("value", [MAX_SAFE_INTEGER, -MAX_SAFE_INTEGER])
def test_safe_integers_are_accepted(value: int) -> None:
    """JavaScript's largest integers are accepted, positive and negative."""
    assert value == to_json(value)


@pytest.mark.parametrize("half", ["\ud800", "a\udfff", "\udc00\ud800", Text("\ud83d")])
def test_half_a_surrogate_pair_is_rejected(half: str) -> None:
    """Text without a UTF-8 encoding is rejected as a value and as a key; the message has one."""
    value, key = _refused({"a": [half]}), _refused({"a": {half: 1}})

    assert (value.field, key.field) == ("a[0]", "a")
    assert "surrogate" in str(value)
    assert "surrogate" in str(key)
    assert str(value).encode()


def test_character_beyond_the_first_plane_is_accepted() -> None:
    """A character beyond the first plane is accepted."""
    assert to_json({"\U0001f511": "\U0001f511"}) == {"\U0001f511": "\U0001f511"}


@pytest.mark.parametrize("text", ["\0", "a\0", "\0é", Text("a\0b")], ids=words)
def test_nul_is_rejected_at_its_place(text: str) -> None:
    """U+0000, which no database stores, is rejected as a value and as a key; unless stored, it is accepted."""
    value, key = _refused({"a": [text]}), _refused({"a": {text: 1}})

    assert (value.field, key.field) == ("a[0]", "a")
    assert "U+0000" in str(value)
    assert "U+0000" in str(key)
    assert str(value).isprintable()
    assert to_json({"a": [text], text: 1}, is_stored=False) == {"a": [str.__str__(text)], str.__str__(text): 1}


@pytest.mark.parametrize("key", ["__proto__", "constructor", "prototype", Text("__proto__")], ids=words)
@pytest.mark.parametrize(
    ("make", "place"),
    [
        (lambda key: {key: 1}, ""),
        (lambda key: {"fine": 1, "a": {"b": [{}, {key: {}}]}}, "a.b[1]."),
        (lambda key: [[{key: None}]], "[0][0]."),
    ],
    ids=["top", "inside", "list"],
)
def test_special_keys_of_javascript_are_rejected(make: Any, place: str, key: str) -> None:
    """JavaScript drops such a key silently, or fails: it is rejected with its place at any depth."""
    refusal = _refused(make(key))

    assert refusal.field == place + str.__str__(key)
    assert str(refusal) == f"{refusal.field}: JavaScript does not keep a key of this name; use another"
    assert json.dumps(to_json(make(key), is_stored=False)) == json.dumps(make(key))


@pytest.mark.parametrize("word", sorted(FORBIDDEN_KEYS))
def test_similar_keys_are_accepted(word: str) -> None:
    """Only a key of exactly this name is rejected, not a value or a longer key."""
    value = {"kind": word, word.upper(): word, f"{word}_": [word], f" {word}": 1}

    assert to_json(value) == value


@pytest.mark.parametrize("key", [5, None, True, 1.5, (1, 2), b"key"], ids=words)
def test_non_text_keys_are_rejected(key: Any) -> None:
    """A key of another type is rejected at the place of its object, not converted."""
    refusal = _refused({"map": {key: 1}})

    assert refusal.field == "map"
    assert str(refusal) == f"map: keys must be text, got {describe(key)}"


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ([{1}], "[0]"),
        ([0, [1, {2}]], "[1][1]"),
        ({"a": {"b": {"c": {1}}}}, "a.b.c"),
        ({"a": [{"b": [1, 2, {3}]}]}, "a[0].b[2]"),
        ([{"a": {1}}], "[0].a"),
        (({"a": {1}},), "[0].a"),
        ({"first": {1}, "second": {2}}, "first"),
        ({"fine": 1, "a b": {2}}, "a b"),
        ({"": {1}}, ""),
        (Mine(a=Mine(b={1})), "a.b"),
        (Point(1, [{2}]), "[1][0]"),  # type: ignore[list-item]
    ],
    ids=words,
)
def test_place_of_an_invalid_value_is_named(value: Any, place: str) -> None:
    """The error names the keys and indices that lead to the first invalid value."""
    refusal = _refused(value)

    assert place == refusal.field
    assert str(refusal).startswith(f"{place}: is not JSON-serializable, got set ")


@pytest.mark.parametrize("depth", [1, 10, MAX_DEPTH - 1])
def test_nested_lists_are_accepted(depth: int) -> None:
    """Lists in lists are accepted up to the limit."""
    value = _nested(depth)

    assert value == to_json(value) == copy_json(value)


@pytest.mark.parametrize("depth", [MAX_DEPTH, 490, 100_000])
def test_deep_nesting_is_rejected(depth: int) -> None:
    """A value nested deeper than the limit is rejected, whatever the depth that Python could follow."""
    refusal = _refused(_nested(depth))

    assert str(refusal) == "must not be nested deeper than 100 levels, or contain itself"


def test_invalid_value_is_located_in_one_walk() -> None:
    """Naming the place of an invalid value takes one walk, also in a value that branches at each level."""
    value: Any = [{1}]
    for _ in range(MAX_DEPTH - 1):
        value = [value, value]

    assert str(_refused(value)).startswith("[0]" * MAX_DEPTH + ": is not JSON-serializable")
    assert _refused([[1], {"a": {}}, {"b": {1}}]).field == "[2].b"


def test_branching_loop_is_rejected_at_once() -> None:
    """A loop with many paths is not walked on all of them."""
    loop: list[Any] = []
    loop += [loop] * 100

    assert "contain itself" in str(_refused({"a": loop}))


def test_loop_is_rejected() -> None:
    """A list or object that contains itself is rejected, not followed for ever."""
    loop: list[Any] = []
    loop.append({"again": loop})
    circle: dict[str, Any] = {}
    circle["again"] = [circle]

    assert "contain itself" in str(_refused(loop))
    assert "contain itself" in str(_refused(circle))
    assert "contain itself" in str(_refused({"a": (1, loop)}))


def test_copy_json_copies_lists_and_objects_only() -> None:
    """Other values are returned unchanged, as JSON has no other mutable type."""
    pair, mine = (1, [2]), Mine(a=1)

    clone = copy_json({"pair": pair, "mine": mine, "list": [pair]})

    assert clone["pair"] is pair
    assert clone["mine"] is mine
    assert clone["list"][0] is pair
    assert copy_json(pair) is pair


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (datetime(2024, 1, 15, 10, 30, tzinfo=UTC), "2024-01-15T10:30:00.000Z"),
        (datetime(2024, 1, 15, 10, 30, 1, 999_999, tzinfo=UTC), "2024-01-15T10:30:01.999Z"),
        (datetime(2024, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=2))), "2023-12-31T22:30:00.000Z"),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00.000Z"),
    ],
)
def test_instant_is_text_in_utc(moment: datetime, expected: str) -> None:
    """An instant is text in UTC with milliseconds and Z; smaller fractions are cut."""
    assert expected == timestamp_text(moment)


# Messages


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "None"),
        (True, "True"),
        (False, "False"),
        (5, "int 5"),
        (2.5, "float 2.5"),
        ("text", "str 'text'"),
        ("", "str ''"),
        ([1], "list [1]"),
        (Whole(5), "Whole not the int"),
        (Decimal("1.5"), "Decimal('1.5')"),
        (Point(1, []), "Point(x=1, y=[])"),
        (Rude(), "Rude (its repr fails)"),
        ([Rude()], "list (its repr fails)"),
        (10**5000, "int (its repr fails)"),
        ("ask ann.smith@acme.com", "str 'ask a...@acme.com'"),
        (["a\nb"], r"list ['a\nb']"),
    ],
    ids=words,
)
def test_describe_shows_type_and_value(value: Any, expected: str) -> None:
    """A message names the type once, and the value, and does not fail if a value has no repr."""
    assert expected == describe(value)


@pytest.mark.parametrize("length", [0, 1, 57, 58])
def test_short_text_is_shown_completely(length: int) -> None:
    """A text within the limit is unchanged."""
    value = "x" * length

    assert repr(value) == short_repr(value)


@pytest.mark.parametrize("max_length", [20, 21, 60, 61])
@pytest.mark.parametrize("length", [59, 60, 1000, 100_000])
def test_long_text_is_cut_in_the_middle(length: int, max_length: int) -> None:
    """A longer text keeps its beginning and its end, within the limit."""
    value = "a" * length + "z"

    text = short_repr(value, max_length)

    assert len(text) <= max_length
    assert re.fullmatch(r"'a+\.\.\.a*z'", text)


@pytest.mark.parametrize("value", [Rude(), _nested(100_000), {"a": Rude()}], ids=["rude", "deep", "rude-inside"])
def test_failing_repr_breaks_no_message(value: Any) -> None:
    """The message says that the repr fails, whatever the reason."""
    assert short_repr(value) == "(its repr fails)"


@given(value=JSON)
def test_message_is_short_for_any_value(value: Any) -> None:
    """The text of a large value is short."""
    assert len(short_repr(value)) <= 60


# Addresses


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("ann@acme.com", "'a...@acme.com'"),
        ("a@b.co", "'a...@b.co'"),
        ("a...@acme.com", "'a...@acme.com'"),
        ("mary.o'brien@acme.com", '"m...@acme.com"'),
        ("müller+x@acme.com", "'m...@acme.com'"),
        ("Ann <ann@acme.com>, bob@b.co", "'Ann <a...@acme.com>, b...@b.co'"),
        ("mailto:ann@acme.com?cc=bob@b.co", "'mailto:a...@acme.com?cc=b...@b.co'"),
        ({"ann@acme.com": ["bob@b.co"]}, "{'a...@acme.com': ['b...@b.co']}"),
        ("no address @ all @", "'no address @ all @'"),
        ("@handle", "'@handle'"),
        (5, "5"),
        (None, "None"),
    ],
    ids=words,
)
def test_private_repr_shortens_addresses(value: Any, expected: str) -> None:
    """Of each address the first letter and the host remain, wherever it is in a repr."""
    assert private_repr(value) == expected


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["a", "a'", "'a", "''", "@", "a@", "a' ", "é'é", ".", "a@a@'"], ids=words)
def test_private_repr_takes_linear_time(unit: str) -> None:
    """Any number of repetitions is processed at once, and no address is lost."""
    shown = private_repr(unit * 300_000)

    assert shown.count("@") == unit.count("@") * 300_000
